//! Suite TS3: the region of single units from what their spikes alone look like.

use ndarray::{Array2, Axis};
use neurobrick_data::SessionData;
use neurobrick_metrics::decoders::{DiscriminantAnalysis, Shrinkage, Standardizer};
use neurobrick_metrics::{MetricError, macro_f1};
use neurobrick_schema::RegionLevel;

use super::{Baseline, Baselines, Told};

const SHRINKAGES: [f64; 5] = [0.01, 0.1, 0.3, 0.6, 0.9];
/// Bins of delay at which a unit is compared with itself.
const DELAYS: [usize; 4] = [1, 2, 4, 8];

/// Units of a session: features `[unit, P]` and the Cosmos division of each, `None` outside of all.
#[derive(Clone, Debug)]
pub struct RegionUnits {
    /// `[unit, P]`.
    pub features: Array2<f64>,
    /// The division of each; `None` outside of all.
    pub regions: Vec<Option<String>>,
}

/// Units of a session that carry a spike, and which units these are.
pub fn unit_features(data: &SessionData) -> (RegionUnits, Vec<usize>) {
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let counts = data.counts_of(&all);
    let total = counts.sum_axis(Axis(2));
    let units: Vec<usize> =
        (0..data.n_units()).filter(|&unit| counts.index_axis(Axis(2), unit).sum() > 0.0).collect();
    let rows: Vec<Vec<f64>> = units
        .iter()
        .map(|&unit| of_unit(counts.index_axis(Axis(2), unit).to_owned(), &total, data))
        .collect();
    let n_features = rows.first().map_or(0, Vec::len);
    let features = Array2::from_shape_fn((units.len(), n_features), |(i, j)| rows[i][j]);
    let table = data.regions();
    let division = |unit: usize| {
        let name = RegionLevel::Cosmos.name(&table.names()[table.of_unit()[unit]]).to_owned();
        (!["root", "void", "unknown"].contains(&name.as_str())).then_some(name)
    };
    let regions = units.iter().map(|&unit| division(unit)).collect();
    (RegionUnits { features, regions }, units)
}

/// Log rate, variance over mean of a trial's spikes, share of bins with several spikes among those with one, correlation
/// with itself some bins later, correlation with all other units' spikes.
fn of_unit(counts: Array2<f64>, total: &Array2<f64>, data: &SessionData) -> Vec<f64> {
    let n_bins = counts.ncols();
    let rate_hz = counts.sum() / (counts.len() as f64 * data.bin_size_s());
    let by_trial: Vec<f64> = counts.rows().into_iter().map(|row| row.sum()).collect();
    let mean = by_trial.iter().sum::<f64>() / by_trial.len() as f64;
    let variance = by_trial.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / by_trial.len() as f64;
    let with_spikes = counts.iter().filter(|&&n| n > 0.0).count() as f64;
    let with_several = counts.iter().filter(|&&n| n > 1.0).count() as f64;
    let mut found = vec![rate_hz.ln(), (variance / mean + 0.01).ln(), with_several / with_spikes];
    let pairs = |delay: usize| -> (Vec<f64>, Vec<f64>) {
        let rows = counts.rows();
        let of = |row: ndarray::ArrayView1<f64>| -> Vec<(f64, f64)> {
            (delay..n_bins).map(|bin| (row[bin], row[bin - delay])).collect()
        };
        rows.into_iter().flat_map(of).unzip()
    };
    for delay in DELAYS {
        let (now, before) = pairs(delay);
        found.push(correlation(&now, &before));
    }
    let own: Vec<f64> = counts.iter().copied().collect();
    let others: Vec<f64> = total.iter().zip(&own).map(|(total, own)| total - own).collect();
    found.push(correlation(&own, &others));
    found
}

/// Pearson's; zero where one side does not vary, which is no sign of a relation.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        ab += a * b;
        aa += a * a;
        bb += b * b;
    }
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Baselines that learned the divisions of units from those of other sessions.
#[derive(Clone, Debug)]
pub struct RegionDecoder {
    /// Names of the classes, sorted.
    pub names: Vec<String>,
    commonest: usize,
    known: Known,
    shrinkage: f64,
}

impl RegionDecoder {
    /// Learns from all sessions that have a unit with a division. The shrinkage is chosen by macro F1 over these sessions,
    /// each left out in turn; one without which a single division is left chooses nothing.
    ///
    /// # Errors
    /// With fewer than two such sessions, without a session to choose by, or with a single division.
    pub fn fit(sessions: &[RegionUnits]) -> Result<Self, MetricError> {
        let learned: Vec<&RegionUnits> =
            sessions.iter().filter(|s| s.regions.iter().any(Option::is_some)).collect();
        if learned.len() < 2 {
            let (what, must) = ("number of sessions with units to learn regions from", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: learned.len() as f64, must });
        }
        let mut names: Vec<String> =
            learned.iter().flat_map(|s| s.regions.iter().flatten().cloned()).collect();
        names.sort_unstable();
        names.dedup();
        let folds: Vec<(Known, Known)> = (0..learned.len())
            .map(|fold| {
                let others = (0..learned.len()).filter(|index| *index != fold).map(|index| learned[index]);
                (Known::new(others, &names), Known::new([learned[fold]], &names))
            })
            .filter(|(others, _)| others.classes.iter().any(|class| *class != others.classes[0]))
            .collect();
        let mut best: Option<(f64, f64)> = None;
        for shrinkage in SHRINKAGES {
            let (mut truth, mut predicted) = (Vec::new(), Vec::new());
            for (others, left_out) in &folds {
                predicted.extend(others.predict(&left_out.x, shrinkage)?);
                truth.extend_from_slice(&left_out.classes);
            }
            let score = macro_f1(&truth, &predicted)?;
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, shrinkage));
            }
        }
        let (_, shrinkage) = best.ok_or(MetricError::Empty { what: "list of shrinkages" })?;
        let known = Known::new(learned, &names);
        let count = |class: &usize| known.classes.iter().filter(|other| *other == class).count();
        let commonest = (0..names.len()).max_by_key(count).unwrap_or(0);
        Ok(Self { names, commonest, known, shrinkage })
    }

    /// The class of each unit by every system, from features `[unit, P]`.
    ///
    /// # Errors
    /// Without a unit, and on other features than were learned from.
    pub fn predict(&self, features: &Array2<f64>) -> Result<Baselines<Vec<usize>>, MetricError> {
        let found = self.known.predict(features, self.shrinkage)?;
        Ok(vec![
            Told::new(Baseline::Majority, "–", vec![self.commonest; features.nrows()]),
            Told::new(Baseline::Discriminant, &format!("shrinkage {}", self.shrinkage), found),
        ])
    }
}

fn classes_of(session: &RegionUnits, names: &[String]) -> Vec<Option<usize>> {
    session.regions.iter().map(|region| names.binary_search(region.as_ref()?).ok()).collect()
}

/// Units with a division, of some sessions.
#[derive(Clone, Debug)]
struct Known {
    x: Array2<f64>,
    classes: Vec<usize>,
}

impl Known {
    fn new<'a>(sessions: impl IntoIterator<Item = &'a RegionUnits>, names: &[String]) -> Self {
        let (mut flat, mut classes, mut n_features) = (Vec::new(), Vec::new(), 0);
        for session in sessions {
            for (unit, class) in classes_of(session, names).into_iter().enumerate() {
                if let Some(class) = class {
                    flat.extend(session.features.row(unit));
                    classes.push(class);
                    n_features = session.features.ncols();
                }
            }
        }
        let x = Array2::from_shape_fn((classes.len(), n_features), |(i, j)| flat[i * n_features + j]);
        Self { x, classes }
    }

    fn predict(&self, x: &Array2<f64>, shrinkage: f64) -> Result<Vec<usize>, MetricError> {
        let scaler = Standardizer::fit(&self.x.view())?;
        let mut seen = self.classes.clone();
        seen.sort_unstable();
        seen.dedup();
        let numbered: Vec<usize> =
            self.classes.iter().map(|class| seen.partition_point(|other| other < class)).collect();
        let known = scaler.apply(&self.x.view())?;
        let fit = DiscriminantAnalysis::fit(&known.view(), &numbered, Shrinkage::Fixed(shrinkage))?;
        let found = fit.predict(&scaler.apply(&x.view())?.view())?;
        Ok(found.into_iter().map(|class| seen[class]).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_random::{Domain, Stream};
    use neurobrick_testkit::synthetic_data;

    use super::*;

    /// Two features, one of which tells three regions apart; a unit outside of all teaches nothing.
    fn session(salt: u64) -> RegionUnits {
        let mut stream = Stream::new(salt, Domain::Synthetic, [3, 0, 0]);
        let names = ["CB", "HPF", "TH"];
        let features = Array2::from_shape_fn(
            (61, 2),
            |(i, j)| if j == 0 { 4.0 * (i % 3) as f64 } else { 0.0 } + stream.normal(),
        );
        let regions = (0..61).map(|i| (i < 60).then(|| names[i % 3].to_owned())).collect();
        RegionUnits { features, regions }
    }

    #[test]
    fn regions_that_features_tell_apart_are_told_apart() {
        let scored = session(9);
        let decoder = RegionDecoder::fit(&[session(1), session(2)]).unwrap();
        let systems = decoder.predict(&scored.features).unwrap();
        assert_eq!(decoder.names, ["CB", "HPF", "TH"]);
        let truth: Vec<usize> = (0..60).map(|i| i % 3).collect();
        let f1 = |told: &Told<Vec<usize>>| macro_f1(&truth, &told.prediction[..60]).unwrap();
        assert!(f1(&systems[1]) > 0.9, "{}", f1(&systems[1]));
        assert!(f1(&systems[0]) < 0.2, "{}", f1(&systems[0]));
        assert!(RegionDecoder::fit(&[session(1)]).is_err());
    }

    /// Sessions without units, and one without which a single division is left, take nothing from the others.
    #[test]
    fn a_session_that_cannot_teach_leaves_the_others_theirs() {
        let none = RegionUnits { features: Array2::zeros((0, 0)), regions: Vec::new() };
        let mut outside = session(4);
        outside.regions.fill(None);
        let scored = session(9).features;
        let told = |sessions: &[RegionUnits]| -> Vec<Vec<usize>> {
            let systems = RegionDecoder::fit(sessions).unwrap().predict(&scored).unwrap();
            systems.into_iter().map(|told| told.prediction).collect()
        };
        let plain = told(&[session(1), session(2)]);
        assert_eq!(told(&[none.clone(), session(1), outside.clone(), session(2)]), plain);
        assert!(RegionDecoder::fit(&[none, session(1), outside]).is_err());

        let mut single = session(5);
        single.regions.iter_mut().flatten().for_each(|name| "TH".clone_into(name));
        // Left alone it teaches nothing; with the other left in, both learn.
        assert_eq!(told(&[session(1), single.clone()])[0].len(), 61);
        assert!(RegionDecoder::fit(&[single.clone(), single]).is_err());
    }

    #[test]
    fn features_are_those_of_their_unit_and_divisions_those_of_cosmos() {
        let data = synthetic_data(4, 30, 20, 6, 2);
        let (units, places) = unit_features(&data);
        assert_eq!(places, [0, 1, 2, 3, 4, 5]);
        let named: Vec<&str> = units.regions.iter().map(|region| region.as_deref().unwrap()).collect();
        assert_eq!(named, ["HPF", "TH", "Isocortex", "HPF", "TH", "Isocortex"]);
        let all: Vec<usize> = (0..30).collect();
        let rate_hz = data.mean_rates(&all).unwrap()[4] / 0.02;
        assert!((units.features[[4, 0]] - rate_hz.ln()).abs() < 1e-12);
        assert!(units.features.iter().all(|value| value.is_finite()));
    }
}
