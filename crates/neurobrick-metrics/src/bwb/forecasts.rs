//! The last bins of a window from those before.

use ndarray::{Array2, Array3, ArrayView3, Axis, s};
use rayon::prelude::*;

use super::{ActivityScore, Log, floors};
use crate::baselines::last_mean::visible_bins;
use crate::baselines::{LastMean, LastMeanGrid};
use crate::likelihood::check_count;
use crate::{MetricError, RidgeRegression};

/// Bins of its own past that an autoregression reads, and the penalties it tries (`BrainWideBench`, suite TS2).
const HISTORIES: [usize; 5] = [3, 5, 10, 20, 45];
const PENALTIES: [f64; 6] = [0.1, 1.0, 10.0, 1e2, 1e3, 1e4];
/// Bins that a trailing mean averages.
const TRAILS: [usize; 4] = [5, 10, 20, 45];

/// A forecast of all units from the earlier bins of the same window. Baselines of `BrainWideBench`'s forecasting; settings are
/// chosen by Poisson D² on the validation windows, those of [`Forecast::shrunk`] by bits/spike.
#[derive(Clone, Debug)]
pub struct Forecast {
    kind: Kind,
    floors: Vec<f64>,
    n_forward: usize,
    choice: String,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The mean of each unit.
    Mean(Vec<f64>),
    /// The mean over the last so many visible bins.
    Trailing(usize),
    /// The same, drawn to the unit's mean.
    Shrunk(LastMean),
    /// Of each unit: coefficients `[history, n_forward]` and intercepts.
    Own(Vec<(Array2<f64>, Vec<f64>)>),
}

impl Forecast {
    /// The mean of each unit over `train` (`[B, T, N]`). Fails without windows, unless
    /// `0 < n_forward < T`, and on counts that are negative or not finite.
    pub fn mean_rate(train: &ArrayView3<f64>, n_forward: usize) -> Result<Self, MetricError> {
        check_train(train, n_forward)?;
        let means = means(train);
        let (floors, kind) = (floors(&means), Kind::Mean(means));
        Ok(Self { kind, floors, n_forward, choice: "–".to_owned() })
    }

    /// Each unit goes on at the mean of its last visible bins, but not below a tenth of its mean. Fails as
    /// [`Self::mean_rate`] and where [`ActivityScore::new`] fails on `valid`.
    pub fn trailing_mean(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        n_forward: usize,
    ) -> Result<Self, MetricError> {
        check_train(train, n_forward)?;
        let floors = floors(&means(train));
        let candidates = TRAILS.into_iter().map(|window| {
            let choice = format!("{window} bins");
            Ok(Self { kind: Kind::Trailing(window), floors: floors.clone(), n_forward, choice })
        });
        best_on(valid, n_forward, candidates)
    }

    /// Each unit goes on between the mean of its last visible bins and its mean over training. Fails as [`LastMean::fit`].
    pub fn shrunk(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        n_forward: usize,
    ) -> Result<Self, MetricError> {
        check_train(train, n_forward)?;
        let grid = LastMeanGrid { windows_bins: TRAILS.to_vec(), ..LastMeanGrid::default() };
        let found = LastMean::fit(train, valid, n_forward, &grid)?;
        let choice = format!("{} bins, weight {}", found.choice().window_bins, found.choice().weight);
        let floors = floors(&means(train));
        Ok(Self { kind: Kind::Shrunk(found), floors, n_forward, choice })
    }

    /// Each unit from its own last bins by ridge regression, one history and penalty for all units; rates are kept above a
    /// tenth of the unit's mean. Fails as [`Self::trailing_mean`].
    pub fn autoregression(
        train: &ArrayView3<f64>,
        valid: &ArrayView3<f64>,
        n_forward: usize,
    ) -> Result<Self, MetricError> {
        let n_visible = check_train(train, n_forward)?;
        let floors = floors(&means(train));
        let grid = HISTORIES.into_iter().filter(|&history| history <= n_visible);
        // The shortest window still has a history.
        let histories: Vec<usize> = if n_visible < HISTORIES[0] { vec![n_visible] } else { grid.collect() };
        let settings = histories.iter().flat_map(|&h| PENALTIES.map(|penalty| (h, penalty)));
        let candidates = settings.map(|(history, penalty)| {
            let fits = (0..train.len_of(Axis(2)))
                .into_par_iter()
                .map(|unit| {
                    let own = train.index_axis(Axis(2), unit);
                    let x = own.slice(s![.., n_visible - history..n_visible]);
                    let fit = RidgeRegression::fit(&x, &own.slice(s![.., n_visible..]), penalty)?;
                    Ok((fit.coefficients().to_owned(), fit.intercept().to_vec()))
                })
                .collect::<Result<_, MetricError>>()?;
            let choice = format!("{history} bins, penalty {penalty}");
            Ok(Self { kind: Kind::Own(fits), floors: floors.clone(), n_forward, choice })
        });
        best_on(valid, n_forward, candidates)
    }

    /// Logarithm of the expected counts in the last bins, `[B, n_forward, N]`; reads only the earlier bins of `counts`
    /// (`[B, T, N]`). Fails on another number of units, if there are too few bins, and on earlier counts that are
    /// negative or not finite.
    pub fn log_rates(&self, counts: &ArrayView3<f64>) -> Result<Log, MetricError> {
        let n_visible = check(counts, self.n_forward)?;
        let (n_windows, _, n_units) = counts.dim();
        if n_units != self.floors.len() {
            let expected = vec![n_windows, counts.len_of(Axis(1)), self.floors.len()];
            return Err(MetricError::ShapeMismatch {
                what: "counts",
                expected,
                got: counts.shape().to_vec(),
            });
        }
        // A NaN would become the floor below, which is a rate like any other.
        check_counts(&counts.slice(s![.., ..n_visible, ..]))?;
        let shape = (n_windows, self.n_forward, n_units);
        let mut rates = match &self.kind {
            Kind::Mean(means) => Array3::from_shape_fn(shape, |(_, _, unit)| means[unit]),
            Kind::Trailing(window) => {
                let from = n_visible.saturating_sub(*window);
                let recent =
                    counts.slice(s![.., from..n_visible, ..]).sum_axis(Axis(1)) / (n_visible - from) as f64;
                Array3::from_shape_fn(shape, |(b, _, unit)| recent[[b, unit]])
            }
            Kind::Shrunk(found) => found.predict(counts)?,
            Kind::Own(fits) => {
                let mut out = Array3::zeros(shape);
                for (unit, (coefficients, intercept)) in fits.iter().enumerate() {
                    let history = coefficients.nrows();
                    let own = counts.slice(s![.., n_visible.saturating_sub(history)..n_visible, unit]);
                    if own.ncols() != history {
                        let (expected, got) = (vec![n_windows, history], own.shape().to_vec());
                        return Err(MetricError::ShapeMismatch { what: "visible bins", expected, got });
                    }
                    let found = own.dot(coefficients) + ndarray::ArrayView1::from(intercept);
                    out.slice_mut(s![.., .., unit]).assign(&found);
                }
                out
            }
        };
        for (mut unit, &floor) in rates.axis_iter_mut(Axis(2)).zip(&self.floors) {
            unit.mapv_inplace(|rate| rate.max(floor).ln());
        }
        Ok(rates)
    }

    /// What was chosen on the validation windows, in words.
    pub fn choice(&self) -> &str {
        &self.choice
    }
}

fn best_on(
    valid: &ArrayView3<f64>,
    n_forward: usize,
    candidates: impl Iterator<Item = Result<Forecast, MetricError>>,
) -> Result<Forecast, MetricError> {
    let n_visible = check(valid, n_forward)?;
    let counts = valid.slice(s![.., n_visible.., ..]);
    let mut best: Option<(f64, Forecast)> = None;
    for candidate in candidates {
        let candidate = candidate?;
        let log_rates = candidate.log_rates(valid)?;
        let score = ActivityScore::new(&log_rates.view(), &counts)?.poisson_d2;
        if best.as_ref().is_none_or(|(highest, _)| score > *highest) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, found)| found).ok_or(MetricError::Empty { what: "list of settings" })
}

fn means(counts: &ArrayView3<f64>) -> Vec<f64> {
    let n = (counts.len_of(Axis(0)) * counts.len_of(Axis(1))) as f64;
    counts.sum_axis(Axis(0)).sum_axis(Axis(0)).mapv(|sum| sum / n).to_vec()
}

fn check_train(counts: &ArrayView3<f64>, n_forward: usize) -> Result<usize, MetricError> {
    check_counts(counts)?;
    check(counts, n_forward)
}

fn check_counts(counts: &ArrayView3<f64>) -> Result<(), MetricError> {
    let mut entries = counts.indexed_iter();
    entries.try_for_each(|((window, bin, unit), &count)| check_count(count, || vec![window, bin, unit]))
}

/// Bins before the last `n_forward`.
fn check(counts: &ArrayView3<f64>, n_forward: usize) -> Result<usize, MetricError> {
    if counts.is_empty() {
        return Err(MetricError::Empty { what: "windows" });
    }
    visible_bins(counts, n_forward)
}
