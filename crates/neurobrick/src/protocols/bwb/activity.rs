//! Suite TS2: hidden units from visible ones, and the last tenth of a window from the rest.

use ndarray::{Array2, Array3, Axis, s};
use neurobrick_data::{SessionData, hold_out_units};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::bwb::{ActivityScore, Bins, Forecast, Readout};
use neurobrick_train::{EvalTask, TaskPlan, TaskQuery, TrainSession};

use super::Windows;
use crate::PipelineError;

/// What the benchmark puts before the names of units that it hashes to choose those it hides.
const HIDE_PREFIX: &str = "ts2_co_smoothing_test:";
/// Share of units, and of the bins of a window, that are hidden.
const SHARE: f64 = 0.1;

/// What is hidden at test.
pub(crate) struct Hidden {
    /// Hidden units, ascending.
    pub(crate) units: Vec<usize>,
    /// Last bins of a window that are hidden.
    pub(crate) n_forward: usize,
    visible: Vec<usize>,
}

/// One system's prediction of one task.
pub(crate) struct Predicted {
    pub(crate) system: String,
    /// What was chosen on validation trials.
    pub(crate) choice: String,
    /// `[window, bin, unit]` of what is scored.
    pub(crate) log_rates: Array3<f64>,
}

impl Hidden {
    /// A tenth of the units by a hash of their names, and the last tenth of the bins.
    ///
    /// # Errors
    /// If there are fewer than two units.
    pub(crate) fn new(unit_ids: &[String], n_bins: usize) -> Result<Self, PipelineError> {
        let units = hold_out_units(unit_ids, HIDE_PREFIX, SHARE)?;
        let visible = (0..unit_ids.len()).filter(|unit| units.binary_search(unit).is_err()).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of some bins")]
        let n_forward = ((SHARE * n_bins as f64).round() as usize).max(1);
        Ok(Self { units, n_forward, visible })
    }

    /// The question that a model is asked for hidden units.
    pub(crate) fn plan(&self, n_bins: usize) -> TaskPlan {
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

/// Predictions of all baselines for the test windows, by task: hidden units, then the last bins.
///
/// # Errors
/// If training or validation trials have no spike to learn or choose by.
pub(crate) fn activity(
    session: &TrainSession,
    hidden: &Hidden,
    windows: &Windows,
    n_bins: usize,
) -> Result<[Vec<Predicted>; 2], PipelineError> {
    Ok([co_smoothing(session, hidden, windows)?, forecasts(session, hidden, windows, n_bins)?])
}

fn co_smoothing(
    session: &TrainSession,
    hidden: &Hidden,
    windows: &Windows,
) -> Result<Vec<Predicted>, PipelineError> {
    let (data, split) = (&session.data, &session.split);
    let rows = |trials: &[usize], units: &[usize]| bins_as_rows(data, trials, units);
    let [x, y] = [&hidden.visible, &hidden.units].map(|units| rows(&split.train, units));
    let [x_valid, y_valid] = [&hidden.visible, &hidden.units].map(|units| rows(&split.valid, units));
    let train = Bins { visible: x.view(), hidden: y.view() };
    let valid = Bins { visible: x_valid.view(), hidden: y_valid.view() };
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let seen = rows(&all, &hidden.visible);
    let baselines = [
        ("mean_rate", Readout::mean_rate(&train)),
        ("population_coupling", Readout::population_coupling(&train, &valid)),
        ("reduced_rank", Readout::reduced_rank(&train, &valid)),
    ];
    let predicted = |(system, readout): (&str, Result<Readout, MetricError>)| {
        let readout = readout?;
        let log_rates = readout.log_rates(&seen.view())?;
        let shape = (data.n_trials(), data.n_bins(), hidden.units.len());
        let by_trial =
            Array3::from_shape_fn(shape, |(trial, bin, unit)| log_rates[[trial * shape.1 + bin, unit]]);
        let log_rates = windows.cut(&by_trial);
        Ok(Predicted { system: system.to_owned(), choice: readout.choice().to_owned(), log_rates })
    };
    baselines.into_iter().map(predicted).collect()
}

fn forecasts(
    session: &TrainSession,
    hidden: &Hidden,
    windows: &Windows,
    n_bins: usize,
) -> Result<Vec<Predicted>, PipelineError> {
    let (data, split) = (&session.data, &session.split);
    let all: Vec<usize> = (0..data.n_trials()).collect();
    let counts = data.counts_of(&all);
    // Windows to learn from begin where another hidden part would.
    let n = hidden.n_forward;
    let cut = |trials: &[usize]| Windows::sliding(trials, data.n_bins(), n_bins, n).cut(&counts);
    let (train, valid, test) = (cut(&split.train), cut(&split.valid), windows.cut(&counts));
    let (t, v) = (train.view(), valid.view());
    let baselines = [
        ("mean_rate", Forecast::mean_rate(&t, n)),
        ("trailing_mean", Forecast::trailing_mean(&t, &v, n)),
        ("shrinkage", Forecast::shrunk(&t, &v, n)),
        ("autoregression", Forecast::autoregression(&t, &v, n)),
    ];
    let predicted = |(system, forecast): (&str, Result<Forecast, MetricError>)| {
        let forecast = forecast?;
        let log_rates = forecast.log_rates(&test.view())?;
        Ok(Predicted { system: system.to_owned(), choice: forecast.choice().to_owned(), log_rates })
    };
    baselines.into_iter().map(predicted).collect()
}

impl Predicted {
    /// The benchmark's score of hidden units (`[window, bin, unit]` of all bins) or of the last bins of all units.
    pub(crate) fn score(&self, counts: &Array3<f64>) -> Result<ActivityScore, MetricError> {
        let first = counts.len_of(Axis(1)).saturating_sub(self.log_rates.len_of(Axis(1)));
        ActivityScore::new(&self.log_rates.view(), &counts.slice(s![.., first.., ..]))
    }
}

/// Counts of some units, bins of trials as rows.
fn bins_as_rows(data: &SessionData, trials: &[usize], units: &[usize]) -> Array2<f64> {
    let n_bins = data.n_bins();
    let counts = data.counts();
    Array2::from_shape_fn((trials.len() * n_bins, units.len()), |(row, column)| {
        f64::from(counts[[trials[row / n_bins], row % n_bins, units[column]]])
    })
}
