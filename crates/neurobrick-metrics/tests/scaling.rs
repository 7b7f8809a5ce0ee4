//! Scaling laws and two-alternative scores on published measurements.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where asserted"
)]

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, Axis};
use neurobrick_metrics::scaling::{LogLinear, PowerLaw, PowerLawBootstrap, backtest};
use neurobrick_metrics::{Bootstrap, MetricError, TwoAlternative, clustered_accuracy};

/// Rows of a CSV without quoted commas, as maps from column to text.
fn table(path: &str) -> Vec<BTreeMap<String, String>> {
    let path = format!("{}/../../fixtures/{path}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines
        .map(|line| names.iter().map(|s| (*s).to_owned()).zip(line.split(',').map(str::to_owned)).collect())
        .collect()
}

fn number(row: &BTreeMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap()
}

/// Compute in 1e13 operations and misalignment of every model, averaged over the regions.
fn alignment(regions: &[&str]) -> (Vec<f64>, Vec<f64>) {
    let mut by_model: BTreeMap<String, (f64, f64, f64)> = BTreeMap::new();
    for row in table("scaling/brain_alignment_vvs.csv") {
        if regions.contains(&row["region"].as_str()) {
            let model = by_model.entry(row["model"].clone()).or_insert((0.0, 0.0, 0.0));
            *model = (number(&row, "total_flops") / 1e13, model.1 + number(&row, "score"), model.2 + 1.0);
        }
    }
    by_model.values().map(|(flops, sum, n)| (flops, 1.0 - sum / n)).unzip()
}

/// The reference fits: agreement with neurons saturates, agreement with behavior has not yet.
#[test]
fn saturating_laws_of_brain_alignment_are_reproduced() {
    let cases: [(&[&str], [f64; 3]); 4] = [
        (&["V1", "V2", "V4", "IT"], [0.523, 0.549, 0.157]),
        (&["IT"], [0.347, 0.938, 0.154]),
        (&["V1"], [0.786, 0.148, 0.356]),
        (&["Behavioral"], [0.0, 1.40, 0.062]),
    ];
    for (regions, [floor, scale, exponent]) in cases {
        let (sizes, errors) = alignment(regions);
        assert_eq!(sizes.len(), 620);
        let law = PowerLaw::fit(&sizes, &errors).unwrap();
        assert!((law.floor - floor).abs() < 1.5e-3, "{regions:?} {law:?}");
        assert!((law.scale - scale).abs() < 0.01 * scale, "{regions:?} {law:?}");
        assert!((law.exponent - exponent).abs() < 1.5e-3, "{regions:?} {law:?}");
    }
    // The backtest tells what the fit to all points hides: from the smaller four fifths of the models nobody would have
    // foretold that agreement saturates, and "no change" forecasts the rest better.
    let (sizes, errors) = alignment(&["IT"]);
    let mut sorted = sizes.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let test = backtest(&sizes, &errors, sorted[496]).unwrap();
    assert_eq!(test.n_points, [497, 123]);
    assert!(test.law.floor < 0.01 && test.relative_error > test.naive_relative_error, "{test:?}");
}

/// The observational law: the first principal component of eight benchmarks rises with log compute in each family.
#[test]
fn log_linear_laws_of_model_families_are_reproduced() {
    let columns = ["MMLU", "ARC-C", "HellaSwag", "Winograd", "TruthfulQA", "GSM8K", "XWinograd", "HumanEval"];
    let rows: Vec<_> = table("scaling/llm_benchmarks_obsscaling.csv")
        .into_iter()
        .filter(|row| columns.iter().all(|c| row.get(*c).is_some_and(|v| !v.is_empty())))
        .collect();
    assert_eq!(rows.len(), 124);
    let mut x = Array2::from_shape_fn((124, 8), |(i, j)| number(&rows[i], columns[j]));
    let means = x.sum_axis(Axis(0)) / 124.0;
    x -= &means;
    let covariance = x.t().dot(&x);
    let mut direction = Array1::from_elem(8, 1.0);
    for _ in 0..500 {
        let next = covariance.dot(&direction);
        direction = &next / next.dot(&next).sqrt();
    }
    let share = direction.dot(&covariance.dot(&direction)) / covariance.diag().sum();
    assert!((share - 0.84).abs() < 0.005, "{share}");
    let scores = x.dot(&direction);
    let r2_of = |family: &str| {
        let of: Vec<usize> = (0..124)
            .filter(|&i| rows[i]["Model Family"] == family && !rows[i]["FLOPs (1E21)"].is_empty())
            .collect();
        let sizes: Vec<f64> = of.iter().map(|&i| number(&rows[i], "FLOPs (1E21)")).collect();
        let values: Vec<f64> = of.iter().map(|&i| scores[i]).collect();
        LogLinear::fit(&sizes, &values).unwrap()
    };
    // Least squares passes through the means.
    let exact = LogLinear::fit(&[1.0, 10.0, 100.0], &[2.0, 5.0, 8.0]).unwrap();
    assert!(
        (exact.predict(1000.0) - 11.0).abs() < 1e-12 && (exact.intercept - 2.0).abs() < 1e-12,
        "{exact:?}"
    );
    for family in ["Pythia", "OPT", "BLOOM", "Llama", "Qwen1.5", "XGLM", "GPT-Neo/J"] {
        let law = r2_of(family);
        assert!((0.935..0.995).contains(&law.r2) && law.slope > 0.0, "{family} {law:?}");
    }
    assert!((r2_of("Cerebras-GPT").r2 - 0.86).abs() < 0.01, "{:?}", r2_of("Cerebras-GPT"));
    assert!(r2_of("StableLM").r2 < 0.15, "{:?}", r2_of("StableLM"));
}

#[test]
fn planted_laws_come_back_with_intervals() {
    let sizes: Vec<f64> = (0..60).map(|i| 2f64.powi(i % 10)).collect();
    let noise = |i: usize| 1.0 + 0.02 * ((i * 37 % 17) as f64 / 8.0 - 1.0);
    let errors: Vec<f64> =
        sizes.iter().enumerate().map(|(i, n)| (0.3 + 0.6 * n.powf(-0.5)) * noise(i)).collect();
    let groups: Vec<usize> = (0..60).map(|i| i / 10).collect();
    let bootstrap = Bootstrap { seed: 1, n_resamples: 200, level: 0.95 };
    let fit = PowerLawBootstrap::new(&sizes, &errors, &groups, &bootstrap).unwrap();
    for (got, want) in [
        (fit.interval(|law| law.floor), 0.3),
        (fit.interval(|law| law.exponent), 0.5),
        (fit.interval(|law| law.predict(4096.0)), 0.3 + 0.6 / 64.0),
    ] {
        assert!((got.value - want).abs() < 0.1 * want, "{got:?}");
        assert!(got.interval.lo <= got.value && got.value <= got.interval.hi, "{got:?}");
        assert!(got.interval.hi - got.interval.lo < 0.5 * want, "{got:?}");
    }
    let (size, never) = fit.size_for(0.33).unwrap();
    assert!((100.0..1500.0).contains(&size.value) && never == 0.0, "{size:?}");
    assert!(fit.size_for(0.2).is_none());
    let test = backtest(&sizes, &errors, 64.0).unwrap();
    assert!(test.relative_error < 0.03 && test.naive_relative_error > 0.05, "{test:?}");
    // The unit of size moves the scale only.
    let thousand: Vec<f64> = sizes.iter().map(|n| n * 1000.0).collect();
    let moved = PowerLaw::fit(&thousand, &errors).unwrap();
    assert!(
        (moved.floor - fit.law().floor).abs() < 1e-3 && (moved.exponent - fit.law().exponent).abs() < 1e-2
    );
    assert!(PowerLaw::fit(&[1.0, 2.0, 2.0, 1.0], &[0.5; 4]).is_err());
    assert!(PowerLaw::fit(&[1.0, 2.0, 3.0, -1.0], &[0.5; 4]).is_err());
    assert!(backtest(&sizes, &errors, 1e9).is_err());
}

/// Groups of a single size each: of four, a resample draws at least three in 168 of 256 cases, and only those are fitted.
#[test]
fn resamples_without_three_sizes_are_left_out() {
    let sizes: Vec<f64> = (0..12).map(|i| [1.0, 4.0, 16.0, 64.0][i / 3]).collect();
    let errors: Vec<f64> =
        sizes.iter().enumerate().map(|(i, n)| 0.3 + 0.6 * n.powf(-0.5) + 1e-3 * (i % 3) as f64).collect();
    let groups: Vec<usize> = (0..12).map(|i| i / 3).collect();
    let bootstrap = Bootstrap { seed: 2, n_resamples: 400, level: 0.95 };
    let fit = PowerLawBootstrap::new(&sizes, &errors, &groups, &bootstrap).unwrap();
    let kept = fit.interval(|law| law.exponent).interval.n_resamples as f64;
    // Within four standard deviations of the binomial.
    let share: f64 = 168.0 / 256.0;
    assert!((kept - 400.0 * share).abs() < 4.0 * (400.0 * share * (1.0 - share)).sqrt(), "{kept}");
}

const MODELS: [&str; 15] = [
    "meta-llama--Llama-2-7b-hf",
    "meta-llama--Llama-2-7b-chat-hf",
    "meta-llama--Llama-2-13b-hf",
    "meta-llama--Llama-2-13b-chat-hf",
    "meta-llama--Llama-2-70b-hf",
    "meta-llama--Llama-2-70b-chat-hf",
    "mistralai--Mistral-7B-v0.1",
    "mistralai--Mistral-7B-Instruct-v0.1",
    "tiiuae--falcon-40b",
    "tiiuae--falcon-40b-instruct",
    "tiiuae--falcon-180B",
    "tiiuae--falcon-180B-chat",
    "facebook--galactica-6.7b",
    "facebook--galactica-30b",
    "facebook--galactica-120b",
];

#[test]
fn brainbench_is_reproduced() {
    let mut costs: BTreeMap<String, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    for row in table("brainbench/ppl_scores.csv").into_iter().filter(|row| row["set"] == "human") {
        let (truth, altered) = costs.entry(row["model"].clone()).or_default();
        truth.push(number(&row, "ppl_original"));
        altered.push(number(&row, "ppl_altered"));
    }
    assert_eq!(costs.len(), 26);
    let score = |model: &str| TwoAlternative::new(&costs[model].0, &costs[model].1).unwrap();
    let mean = MODELS.iter().map(|model| score(model).accuracy()).sum::<f64>() / 15.0;
    assert!((mean - 0.814).abs() < 5e-4, "{mean}");
    assert_eq!(score("gpt2").accuracy(), 0.575);
    let of_logs = |model: &str| {
        let logs = |costs: &[f64]| costs.iter().map(|cost| cost.ln()).collect::<Vec<f64>>();
        TwoAlternative::new(&logs(&costs[model].0), &logs(&costs[model].1)).unwrap().discrimination().unwrap()
    };
    let over_all = |f: &dyn Fn(&str) -> f64| costs.keys().map(|model| f(model)).sum::<f64>() / 26.0;
    let plain = over_all(&|model| score(model).discrimination().unwrap());
    assert!((plain - 0.721).abs() < 5e-4, "{plain}");
    assert!((over_all(&of_logs) - 0.744).abs() < 5e-4, "{}", over_all(&of_logs));
    let paired = score("tiiuae--falcon-180B").compare(&score("gpt2")).unwrap();
    assert!((paired.difference - 0.28).abs() < 1e-12 && paired.p_value < 1e-6, "{paired:?}");
    let same = score("gpt2").compare(&score("gpt2")).unwrap();
    assert_eq!((same.only, same.p_value), ([0, 0], 1.0));

    let people = table("brainbench/human_responses.csv").into_iter().filter(|row| row["set"] == "human");
    let (right, person): (Vec<bool>, Vec<usize>) =
        people.map(|row| (row["correct"] == "1", row["participant"].parse::<usize>().unwrap())).unzip();
    let bootstrap = Bootstrap { n_resamples: 4000, ..Bootstrap::with_seed(2) };
    let (accuracy, interval) = clustered_accuracy(&right, &person, &bootstrap).unwrap();
    assert!((accuracy - 0.634).abs() < 5e-4, "{accuracy}");
    assert!((interval.lo - 0.605).abs() < 4e-3 && (interval.hi - 0.664).abs() < 4e-3, "{interval:?}");
}

#[test]
fn exact_tests_match_the_binomial() {
    // scipy.stats.binomtest(2, 12).pvalue
    let truth = vec![0.0; 12];
    let mut ours = vec![1.0; 12];
    (ours[0], ours[1]) = (-1.0, -1.0);
    let theirs: Vec<f64> = ours.iter().map(|margin| -margin).collect();
    let first = TwoAlternative::new(&truth, &ours).unwrap();
    let paired = first.compare(&TwoAlternative::new(&truth, &theirs).unwrap()).unwrap();
    assert_eq!(paired.only, [10, 2]);
    assert!((paired.p_value - 0.038_574_218_75).abs() < 1e-12, "{paired:?}");
    let tie = TwoAlternative::new(&[1.0, 1.0], &[1.0, 2.0]).unwrap();
    assert_eq!((tie.strictly_right(), tie.accuracy()), (vec![false, true], 0.75));
    assert!(matches!(TwoAlternative::new(&[], &[]), Err(MetricError::Empty { .. })));
}
