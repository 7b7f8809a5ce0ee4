//! Linear predictors of hidden units side by side on recordings: pooled bits/spike on test trials.
//!
//! `cargo run --release -p neurobrick-metrics --example hidden_units -- fixtures/recordings/steinmetz2019-binned SESSION...`
//!
//! Trials are split and units drawn as the pipeline does under seed 42 (70 / 10 / 20 %, 200 units in leave-one-out
//! tasks); everything is chosen on validation trials; the null is each unit's mean over the test bins.
#![expect(clippy::print_stdout, reason = "a command line")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Instant;

use ndarray::{Array3, Axis, concatenate};
use neurobrick_metrics::baselines::{
    Blend, FactorDesign, FactorGrid, PcaPoisson, PcaPoissonGrid, Query, RateLink, RidgeDesign, RidgeGrid,
    WienerDesign, WienerGrid,
};
use neurobrick_metrics::{BitsTable, Bootstrap, Convention, MetricError, NullModel};
use neurobrick_random::{Domain, Stream, name_index};

const SEED: u64 = 42;
const MAX_UNITS: usize = 200;

/// Train, validation and test counts `[B, T, N]` and the region of each unit.
struct Session {
    parts: [Array3<f64>; 3],
    regions: Vec<String>,
}

/// A task: queries with disjoint targets.
type Task = (&'static str, Vec<Query>);

/// Answers a query with test rates and the validation score it chose by.
type Predictor<'a> = (&'static str, Box<dyn Fn(&Query) -> Answer + 'a>);
type Answer = Result<(Array3<f64>, f64), MetricError>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("usage: hidden_units FOLDER SESSION...")?;
    println!("| session | task | units / spikes | predictor | valid | test [95 %] | s |");
    println!("|---|---|---|---|---|---|---|");
    for name in args {
        let session = read(Path::new(&folder), &name)?;
        run(&name, &session)?;
    }
    Ok(())
}

fn run(name: &str, session: &Session) -> Result<(), Box<dyn Error>> {
    let [train, valid, test] = &session.parts;
    let (train, valid) = (train.view(), valid.view());
    let started = Instant::now();
    let ridge = RidgeDesign::new(&train, &valid, &RidgeGrid::default())?;
    let ridge_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let factors = FactorDesign::new(&train, &valid, &FactorGrid::default())?;
    let factors_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let wiener = WienerDesign::new(&train, &valid, &WienerGrid::default())?;
    let wiener_s = started.elapsed().as_secs_f64();
    println!(
        "| {name} | designs | {} x {} x {} | {:.1} effective factors | | | ridge {ridge_s:.1}, factors {factors_s:.1}, Wiener {wiener_s:.1} |",
        train.dim().0,
        train.dim().1,
        train.dim().2,
        factors.models()[0].effective_factors(),
    );
    let softplus = [0.1, 0.2, 0.3, 0.4, 0.6].map(RateLink::Softplus).to_vec();
    let exponential = [0.3, 0.5, 0.7, 0.9].map(RateLink::Exponential).to_vec();
    let soft = WienerDesign::new(&train, &valid, &WienerGrid { links: softplus, ..WienerGrid::default() })?;
    let exp = WienerDesign::new(&train, &valid, &WienerGrid { links: exponential, ..WienerGrid::default() })?;
    let test_view = test.view();
    let predictors: Vec<Predictor> = vec![
        (
            "ridge, one scale",
            Box::new(|q| {
                let fit = ridge.fit(q)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "PCA + Poisson GLM",
            Box::new(|q| {
                let fit = PcaPoisson::fit(&train, &valid, q, &PcaPoissonGrid::default())?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "temporal factors",
            Box::new(|q| {
                let fit = factors.fit(q)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "Wiener filter",
            Box::new(|q| {
                let fit = wiener.fit(q)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "Wiener filter, softplus",
            Box::new(|q| {
                let fit = soft.fit(q)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "Wiener filter, exponential",
            Box::new(|q| {
                let fit = exp.fit(q)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
        (
            "factors + Wiener",
            Box::new(|q| {
                let fit = Blend::fit(&factors, &wiener, q, &Blend::WEIGHTS)?;
                Ok((fit.predict(&test_view)?, fit.choice().valid_bits_per_spike))
            }),
        ),
    ];
    for (task, queries) in tasks(&session.regions) {
        for (predictor, predict) in &predictors {
            report(name, task, predictor, &queries, session, predict)?;
        }
    }
    Ok(())
}

fn report(
    name: &str,
    task: &str,
    predictor: &str,
    queries: &[Query],
    session: &Session,
    predict: &dyn Fn(&Query) -> Answer,
) -> Result<(), Box<dyn Error>> {
    let [train, _, test] = &session.parts;
    let started = Instant::now();
    let (mut rates, mut units, mut chosen) = (Vec::new(), Vec::new(), Vec::new());
    for query in queries {
        let answer = match predict(query) {
            // Without a validation spike nothing can be chosen; the units keep their mean.
            Err(MetricError::NoSpikes { .. }) => {
                let means = NullModel::TrainMean.rates(&test.view(), &train.view())?;
                let (b, t, _) = test.dim();
                Array3::from_shape_fn((b, t, query.targets.len()), |(_, _, n)| means[query.targets[n]])
            }
            answer => {
                let (rates, valid) = answer?;
                chosen.push(valid);
                rates
            }
        };
        rates.push(answer);
        units.extend(&query.targets);
    }
    let seconds = started.elapsed().as_secs_f64();
    let views: Vec<_> = rates.iter().map(|part| part.view()).collect();
    let rates = concatenate(Axis(2), &views)?;
    let counts = test.select(Axis(2), &units);
    let null = NullModel::EvaluatedMean.rates(&counts.view(), &counts.view())?;
    let table = BitsTable::new(&rates.view(), &counts.view(), &null)?;
    let interval = table.interval(Convention::Pooled, &Bootstrap::with_seed(SEED));
    let valid = if let [only] = chosen[..] { format!("{only:.4}") } else { format!("{} fits", chosen.len()) };
    println!(
        "| {name} | {task} | {} / {} | {predictor} | {valid} | {:.4} [{:.3}, {:.3}] | {seconds:.1} |",
        units.len(),
        table.n().spikes,
        table.value(Convention::Pooled),
        interval.lo,
        interval.hi,
    );
    Ok(())
}

fn tasks(regions: &[String]) -> Vec<Task> {
    let n_units = regions.len();
    let mut drawn = Stream::new(SEED, Domain::Units, [0, 0, 0]).permutation(n_units);
    drawn.truncate(MAX_UNITS);
    drawn.sort_unstable();
    let names: std::collections::BTreeSet<&String> = regions.iter().collect();
    let members = |name: &String| -> Vec<usize> { (0..n_units).filter(|&u| &regions[u] == name).collect() };
    let intra = names.iter().map(|name| members(name)).filter(|units| units.len() > 1).map(|units| Query {
        targets: units.iter().copied().filter(|unit| drawn.contains(unit)).collect(),
        visible: units,
        leave_one_out: true,
    });
    vec![
        (
            "co-smoothing, one out",
            vec![Query { visible: (0..n_units).collect(), targets: drawn.clone(), leave_one_out: true }],
        ),
        ("co-smoothing, group", vec![Query::hidden(n_units, (0..n_units).step_by(10).collect())]),
        ("inter-region", names.iter().map(|name| Query::hidden(n_units, members(name))).collect()),
        ("intra-region", intra.filter(|query| !query.targets.is_empty()).collect()),
    ]
}

fn read(folder: &Path, name: &str) -> Result<Session, Box<dyn Error>> {
    let counts = counts_of(&folder.join(format!("{name}.npz")))?;
    let table = std::fs::read_to_string(folder.join(format!("{name}_units.csv")))?;
    let regions = table.lines().skip(1).filter_map(|line| line.split(',').nth(1)).map(str::to_owned);
    let n = counts.len_of(Axis(0));
    let order = Stream::new(SEED, Domain::Split, [name_index(name), 0, 0]).permutation(n);
    // Rounded shares, as in the pipeline's split.
    let (first, second) = ((7 * n + 5) / 10, (8 * n + 5) / 10);
    let part = |range: std::ops::Range<usize>| {
        let mut trials = order[range].to_vec();
        trials.sort_unstable();
        counts.select(Axis(0), &trials)
    };
    Ok(Session { parts: [part(0..first), part(first..second), part(second..n)], regions: regions.collect() })
}

/// `counts.npy` (bytes, `[trials, units, bins]`) of an npz file as `[trials, bins, units]`.
fn counts_of(path: &Path) -> Result<Array3<f64>, Box<dyn Error>> {
    let mut archive = zip::ZipArchive::new(File::open(path)?)?;
    let mut bytes = Vec::new();
    archive.by_name("counts.npy")?.read_to_end(&mut bytes)?;
    let length = bytes.get(8..10).ok_or("counts.npy is cut short")?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = String::from_utf8_lossy(bytes.get(..start).ok_or("counts.npy is cut short")?);
    let shape = header.split('(').nth(1).and_then(|rest| rest.split(')').next()).ok_or("no shape")?;
    let shape: Vec<usize> = shape.split(',').map(|n| n.trim().parse()).collect::<Result<_, _>>()?;
    let [trials, units, bins] = shape[..] else { return Err("counts.npy is not three-dimensional".into()) };
    if !header.contains("'|u1'") || !header.contains("'fortran_order': False") {
        return Err("counts.npy is not an array of bytes in C order".into());
    }
    let values = bytes[start..].iter().map(|&n| f64::from(n)).collect();
    let counts = Array3::from_shape_vec((trials, units, bins), values)?;
    Ok(counts.permuted_axes([0, 2, 1]).as_standard_layout().to_owned())
}
