//! Suite TS2: hidden units from visible ones, and the last tenth of a window from the rest.

use ndarray::{Array2, Array3, Axis, s};
use neurobrick_data::{DataError, SessionData, hold_out_units};
use neurobrick_metrics::bwb::{ActivityScore, Bins, Forecast, Readout};
use neurobrick_metrics::{MetricError, RATE_FLOOR};
use neurobrick_train::{EvalTask, TaskPlan, TaskQuery, TrainSession};

use super::{Baseline, Windows};

/// What the benchmark puts before the names of units that it hashes to choose those it hides.
const HIDE_PREFIX: &str = "ts2_co_smoothing_test:";
/// Share of units, and of the bins of a window, that are hidden.
const SHARE: f64 = 0.1;

/// What is hidden at test.
#[derive(Clone, Debug)]
pub struct Hidden {
    /// Hidden units, ascending.
    pub units: Vec<usize>,
    /// Last bins of a window that are hidden.
    pub n_forward: usize,
    visible: Vec<usize>,
}

/// One system's prediction of one task.
#[derive(Debug)]
pub struct Predicted {
    /// Baseline or model.
    pub system: String,
    /// What was chosen on validation trials, and log rates `[window, bin, unit]` of what is scored; or why there are none.
    pub told: Result<(String, Array3<f64>), MetricError>,
}

impl Hidden {
    /// A tenth of the units by a hash of their names, and the last tenth of the bins.
    ///
    /// # Errors
    /// If there are fewer than two units.
    pub fn new(unit_ids: &[String], n_bins: usize) -> Result<Self, DataError> {
        let units = hold_out_units(unit_ids, HIDE_PREFIX, SHARE)?;
        let visible = (0..unit_ids.len()).filter(|unit| units.binary_search(unit).is_err()).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of some bins")]
        let n_forward = ((SHARE * n_bins as f64).round() as usize).max(1);
        Ok(Self { units, n_forward, visible })
    }

    /// The question that a model is asked for hidden units.
    pub fn plan(&self, n_bins: usize) -> TaskPlan {
        let query =
            TaskQuery { visible: self.visible.clone(), targets: self.units.clone(), leave_one_out: false };
        TaskPlan {
            task: EvalTask::CoSmoothingGroup,
            queries: vec![query],
            units: self.units.clone(),
            first_bin: 0,
            n_bins,
        }
    }
}

/// Predictions of all baselines for the test windows, by task: hidden units, then the last bins. Each says by itself if
/// training or validation trials have no spike to learn or choose by.
pub fn activity(
    session: &TrainSession,
    hidden: &Hidden,
    windows: &Windows,
    n_bins: usize,
) -> [Vec<Predicted>; 2] {
    [co_smoothing(session, hidden, windows), forecasts(session, hidden, windows, n_bins)]
}

fn co_smoothing(session: &TrainSession, hidden: &Hidden, windows: &Windows) -> Vec<Predicted> {
    let (data, split) = (&session.data, &session.split);
    let rows = |trials: &[usize], units: &[usize]| bins_as_rows(data, trials, units);
    let [x, y] = [&hidden.visible, &hidden.units].map(|units| rows(&split.train, units));
    let [x_valid, y_valid] = [&hidden.visible, &hidden.units].map(|units| rows(&split.valid, units));
    let train = Bins { visible: x.view(), hidden: y.view() };
    let valid = Bins { visible: x_valid.view(), hidden: y_valid.view() };
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let seen = rows(&all, &hidden.visible);
    let baselines = [
        (Baseline::MeanRate, Readout::mean_rate(&train)),
        (Baseline::PopulationCoupling, Readout::population_coupling(&train, &valid)),
        (Baseline::ReducedRank, Readout::reduced_rank(&train, &valid)),
    ];
    let predict = |readout: Readout| {
        let log_rates = readout.log_rates(&seen.view())?;
        let shape = (data.n_trials(), data.n_bins(), hidden.units.len());
        let by_trial =
            Array3::from_shape_fn(shape, |(trial, bin, unit)| log_rates[[trial * shape.1 + bin, unit]]);
        Ok((readout.choice().to_owned(), windows.cut(&by_trial)))
    };
    let predicted = |(system, fit): (Baseline, Result<Readout, MetricError>)| Predicted {
        system: system.name().to_owned(),
        told: fit.and_then(predict),
    };
    baselines.into_iter().map(predicted).collect()
}

fn forecasts(session: &TrainSession, hidden: &Hidden, windows: &Windows, n_bins: usize) -> Vec<Predicted> {
    let (data, split) = (&session.data, &session.split);
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let counts = data.counts_of(&all);
    // Windows to learn from begin where another hidden part would.
    let n = hidden.n_forward;
    let cut = |trials: &[usize]| Windows::sliding(trials, data.n_bins(), n_bins, n).cut(&counts);
    let (train, valid, test) = (cut(&split.train), cut(&split.valid), windows.cut(&counts));
    let (t, v) = (train.view(), valid.view());
    let baselines = [
        (Baseline::MeanRate, Forecast::mean_rate(&t, n)),
        (Baseline::TrailingMean, Forecast::trailing_mean(&t, &v, n)),
        (Baseline::Shrinkage, Forecast::shrunk(&t, &v, n)),
        (Baseline::Autoregression, Forecast::autoregression(&t, &v, n)),
    ];
    let predict = |forecast: Forecast| {
        let log_rates = forecast.log_rates(&test.view())?;
        Ok((forecast.choice().to_owned(), log_rates))
    };
    let predicted = |(system, fit): (Baseline, Result<Forecast, MetricError>)| Predicted {
        system: system.name().to_owned(),
        told: fit.and_then(predict),
    };
    baselines.into_iter().map(predicted).collect()
}

/// The benchmark's score of hidden units (`[window, bin, unit]` of all bins) or of the last bins of all units.
pub fn activity_score(log_rates: &Array3<f64>, counts: &Array3<f64>) -> Result<ActivityScore, MetricError> {
    let first = counts.len_of(Axis(1)).saturating_sub(log_rates.len_of(Axis(1)));
    ActivityScore::new(&log_rates.view(), &counts.slice(s![.., first.., ..]))
}

/// Logarithms of a model's rates `[window, bin, unit]`. No count supports a rate below [`RATE_FLOOR`], and half precision
/// holds its logarithm.
///
/// # Errors
/// If a rate is negative or not finite: the floor would make a rate like any other of it.
pub fn floored_logs(mut rates: Array3<f64>) -> Result<Array3<f64>, MetricError> {
    if let Some((at, &value)) = rates.indexed_iter().find(|(_, rate)| !(rate.is_finite() && **rate >= 0.0)) {
        let index = vec![at.0, at.1, at.2];
        return Err(if value < 0.0 && value.is_finite() {
            MetricError::NegativeRate { value, index }
        } else {
            MetricError::NotFinite { what: "rates of the model", value, index }
        });
    }
    rates.mapv_inplace(|rate| rate.max(RATE_FLOOR).ln());
    Ok(rates)
}

/// Counts of some units, bins of trials as rows.
fn bins_as_rows(data: &SessionData, trials: &[usize], units: &[usize]) -> Array2<f64> {
    let n_bins = data.n_bins();
    let counts = data.counts();
    Array2::from_shape_fn((trials.len() * n_bins, units.len()), |(row, column)| {
        f64::from(counts[[trials[row / n_bins], row % n_bins, units[column]]])
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn what_is_no_rate_has_no_logarithm() {
        let with = |rate: f64| floored_logs(Array3::from_shape_vec((1, 1, 2), vec![2.0, rate]).unwrap());
        assert!((with(0.0).unwrap()[[0, 0, 1]] - RATE_FLOOR.ln()).abs() < 1e-12);
        assert!((with(3.0).unwrap()[[0, 0, 1]] - 3f64.ln()).abs() < 1e-12);
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = with(wrong).unwrap_err();
            assert!(matches!(&error, MetricError::NotFinite { index, .. } if *index == [0, 0, 1]), "{error}");
        }
        assert!(matches!(with(-1.0), Err(MetricError::NegativeRate { .. })));
    }
}
