//! Suite TS1: behavior and events by bin, classes by trial, from counts.

use std::collections::BTreeSet;

use ndarray::{Array1, Array2, Array3, Axis, s};
use neurobrick_metrics::decoders::{DiscriminantAnalysis, Shrinkage, Standardizer};
use neurobrick_metrics::{
    MetricError, PoissonRegression, RidgeRegression, balanced_accuracy, poisson_d2, r2,
};
use neurobrick_train::TrainSession;

use super::{Baseline, Baselines, Told};
use crate::EvaluateError;
use crate::decoding::SHRINKAGES;
use crate::evaluation::{text_at, unknown_column};

/// Bins of history that a regression may read.
const HISTORIES: [usize; 4] = [0, 2, 5, 10];
const RIDGE_PENALTIES: [f64; 8] = [0.1, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6];
const POISSON_PENALTIES: [f64; 5] = [1e-3, 1e-2, 1e-1, 1.0, 10.0];

/// Trials of each part, among those that can be used.
struct Parts {
    train: Vec<usize>,
    valid: Vec<usize>,
}

impl Parts {
    fn of(session: &TrainSession, is_usable: impl Fn(usize) -> bool) -> Result<Self, MetricError> {
        let kept = |trials: &[usize]| trials.iter().copied().filter(|&t| is_usable(t)).collect::<Vec<_>>();
        let parts = Self { train: kept(&session.split.train), valid: kept(&session.split.valid) };
        if parts.train.is_empty() || parts.valid.is_empty() {
            return Err(MetricError::Empty { what: "set of training or validation trials with the target" });
        }
        Ok(parts)
    }
}

/// Predictions of behavior `[trial, bin]` by the baselines, `[trial, bin, 1]` for every trial, in deviations of the training
/// bins from their mean; and the behavior in the same unit. Trials with a bin that is NaN are not learned from.
///
/// # Errors
/// If no training or validation trial is whole, or the behavior does not vary there.
pub fn behavior(
    session: &TrainSession,
    values: &Array2<f64>,
) -> Result<(Baselines<Array3<f64>>, Array3<f64>), MetricError> {
    let parts = Parts::of(session, |trial| values.row(trial).iter().all(|v| v.is_finite()))?;
    let known: Vec<f64> = parts.train.iter().flat_map(|&trial| values.row(trial).to_vec()).collect();
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let variance = known.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / known.len() as f64;
    if variance <= 0.0 {
        return Err(MetricError::NoVariation { what: "the behavior in training trials" });
    }
    let scaled = values.mapv(|v| (v - mean) / variance.sqrt());
    let by_bin = Regression { session, values: &scaled, parts };
    let (mut best, mut choice, mut highest) = (None, String::new(), f64::NEG_INFINITY);
    for history in HISTORIES {
        let (x, all) = by_bin.designs(history)?;
        let y = by_bin.rows(&by_bin.parts.train).insert_axis(Axis(1));
        let truth = by_bin.rows(&by_bin.parts.valid).insert_axis(Axis(1));
        for penalty in RIDGE_PENALTIES {
            let fit = RidgeRegression::fit(&x.view(), &y.view(), penalty)?;
            let found = fit.predict(&all.view())?.index_axis_move(Axis(1), 0);
            let predicted = by_bin.of_rows(&found, &by_bin.parts.valid).insert_axis(Axis(1));
            let score = r2::uniform(&truth.view(), &predicted.view())?;
            if score > highest {
                (best, highest) = (Some(found), score);
                choice = format!("penalty {penalty}, {history} bins of history");
            }
        }
    }
    let shape = values.dim();
    let by_trial = |flat: &Array1<f64>| {
        Array3::from_shape_fn((shape.0, shape.1, 1), |(trial, bin, _)| flat[trial * shape.1 + bin])
    };
    let mut found = vec![Told::new(Baseline::Mean, "–", Array3::zeros((shape.0, shape.1, 1)))];
    if let Some(best) = best {
        found.push(Told::new(Baseline::Wiener, &choice, by_trial(&best)));
    }
    Ok((found, scaled.insert_axis(Axis(2))))
}

/// Expected counts of events `[trial, bin]` by the baselines, `[trial, bin, 1]`.
///
/// # Errors
/// If training or validation trials have no event.
pub fn events(session: &TrainSession, counts: &Array2<f64>) -> Result<Baselines<Array3<f64>>, MetricError> {
    let by_bin = Regression { session, values: counts, parts: Parts::of(session, |_| true)? };
    let y = by_bin.rows(&by_bin.parts.train);
    let truth = by_bin.rows(&by_bin.parts.valid);
    let (mut best, mut choice, mut highest) = (None, String::new(), f64::NEG_INFINITY);
    for history in &HISTORIES[..3] {
        let (x, all) = by_bin.designs(*history)?;
        for penalty in POISSON_PENALTIES {
            let fit = PoissonRegression::fit(&x.view(), &y.view(), penalty)?;
            // Beyond what a bin of 20 ms can hold a rate is an extrapolation.
            let found = fit.predict(&all.view())?.mapv(|rate| rate.clamp(1e-6, 1e3));
            let score = poisson_d2(&by_bin.of_rows(&found, &by_bin.parts.valid).view(), &truth.view())?;
            if score > highest {
                (best, highest) = (Some(found), score);
                choice = format!("penalty {penalty}, {history} bins of history");
            }
        }
    }
    let shape = counts.dim();
    let mean = (y.sum() / y.len() as f64).max(1e-6);
    let mut found = vec![Told::new(Baseline::Mean, "–", Array3::from_elem((shape.0, shape.1, 1), mean))];
    if let Some(best) = best {
        let rates =
            Array3::from_shape_fn((shape.0, shape.1, 1), |(trial, bin, _)| best[trial * shape.1 + bin]);
        found.push(Told::new(Baseline::PoissonRegression, &choice, rates));
    }
    Ok(found)
}

/// Class of every usable trial by a column of the trial table, and the names of the classes, sorted.
///
/// # Errors
/// If there is no such column.
pub fn class_of_trials(
    session: &TrainSession,
    column: &str,
) -> Result<(Vec<Option<usize>>, Vec<String>), EvaluateError> {
    let data = &session.data;
    let found = data.trials().column(column).ok_or_else(|| unknown_column(session, column))?;
    let texts: Vec<String> = data.trial_idx().iter().map(|&row| text_at(&found.values, row)).collect();
    let names: BTreeSet<&String> = texts.iter().filter(|text| !text.is_empty()).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let class = |text: &String| names.binary_search(text).ok();
    Ok((texts.iter().map(class).collect(), names))
}

/// Classes of `test` trials predicted from the mean square roots of counts by the baselines.
///
/// # Errors
/// If training trials hold one class only, or validation trials none.
pub fn classes(
    session: &TrainSession,
    labels: &[Option<usize>],
    test: &[usize],
) -> Result<Baselines<Vec<usize>>, MetricError> {
    let parts = Parts::of(session, |trial| labels[trial].is_some())?;
    let data = &session.data;
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let means = data.counts_of(&all).mapv(f64::sqrt).sum_axis(Axis(1)) / data.n_bins() as f64;
    let scaler = Standardizer::fit(&means.select(Axis(0), &parts.train).view())?;
    let x = scaler.apply(&means.view())?;
    let of = |trials: &[usize]| -> Vec<usize> { trials.iter().filter_map(|&trial| labels[trial]).collect() };
    let (train, valid) = (of(&parts.train), of(&parts.valid));
    // The fit numbers classes in a row; some may occur at test only.
    let mut seen = train.clone();
    seen.sort_unstable();
    seen.dedup();
    let numbered: Vec<usize> = train.iter().map(|class| seen.partition_point(|s| s < class)).collect();
    let pick = |trials: &[usize]| x.select(Axis(0), trials);
    let mut best: Option<(f64, String, Vec<usize>)> = None;
    for shrinkage in SHRINKAGES {
        let fit = DiscriminantAnalysis::fit(&pick(&parts.train).view(), &numbered, shrinkage)?;
        let predict = |trials: &[usize]| -> Result<Vec<usize>, MetricError> {
            let found = fit.predict(&pick(trials).view())?;
            Ok(found.into_iter().map(|class| seen[class]).collect())
        };
        let score = balanced_accuracy(&valid, &predict(&parts.valid)?)?;
        if best.as_ref().is_none_or(|(highest, ..)| score > *highest) {
            let choice = match shrinkage {
                Shrinkage::LedoitWolf => "shrinkage by Ledoit and Wolf".to_owned(),
                Shrinkage::Fixed(share) => format!("shrinkage {share}"),
            };
            best = Some((score, choice, predict(test)?));
        }
    }
    let count = |class: &usize| train.iter().filter(|other| *other == class).count();
    let commonest = seen.iter().copied().max_by_key(count).unwrap_or(0);
    let mut found = vec![Told::new(Baseline::Majority, "–", vec![commonest; test.len()])];
    found.extend(best.map(|(_, choice, predicted)| Told::new(Baseline::Discriminant, &choice, predicted)));
    Ok(found)
}

/// A value for every bin, from the square roots of counts in that bin and those before.
struct Regression<'a> {
    session: &'a TrainSession,
    /// `[trial, bin]`.
    values: &'a Array2<f64>,
    parts: Parts,
}

impl Regression<'_> {
    /// Features of training bins and of all bins, standardized by the training bins. Before the first bin of an interval
    /// stands the first.
    fn designs(&self, history: usize) -> Result<(Array2<f64>, Array2<f64>), MetricError> {
        let counts = self.session.data.counts();
        let (n_trials, n_bins, n_units) = counts.dim();
        let design = |trials: &[usize]| {
            Array2::from_shape_fn((trials.len() * n_bins, (history + 1) * n_units), |(row, column)| {
                let bin = (row % n_bins).saturating_sub(column / n_units);
                f64::from(counts[[trials[row / n_bins], bin, column % n_units]]).sqrt()
            })
        };
        let train = design(&self.parts.train);
        let scaler = Standardizer::fit(&train.view())?;
        let all: Vec<usize> = (0..n_trials).collect();
        Ok((scaler.apply(&train.view())?, scaler.apply(&design(&all).view())?))
    }

    fn rows(&self, trials: &[usize]) -> Array1<f64> {
        trials.iter().flat_map(|&trial| self.values.row(trial).to_vec()).collect()
    }

    /// Those of all bins that belong to some trials.
    fn of_rows(&self, all: &Array1<f64>, trials: &[usize]) -> Array1<f64> {
        let n_bins = self.values.ncols();
        let of = |trial: usize| all.slice(s![trial * n_bins..(trial + 1) * n_bins]).to_vec();
        trials.iter().flat_map(|&trial| of(trial)).collect()
    }
}
