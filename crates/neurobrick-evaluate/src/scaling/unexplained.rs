//! How much there would be to explain.

use ndarray::{Axis, s};
use neurobrick_train::{EvalTask, TaskPlan, TrainSession};

use crate::EvaluateError;
use crate::evaluation::quoted_null;

/// Bits/spike of rates equal to the counts themselves, which no prediction can pass, under the null that the task is
/// reported with: training means for the future, evaluated means otherwise.
///
/// # Errors
/// If the task has nothing to score on the session.
pub fn saturated_bits(
    session: &TrainSession,
    task: EvalTask,
    max_units: Option<usize>,
    seed: u64,
) -> Result<f64, EvaluateError> {
    let data = &session.data;
    let id = data.session().as_str();
    let plan = TaskPlan::new(task, id, data.regions(), data.n_bins(), max_units, seed)?;
    let test = data.counts_of(&session.split.test);
    let test = test.slice(s![.., plan.first_bin.., ..]).select(Axis(2), &plan.units);
    let train = data.counts_of(&session.split.train).select(Axis(2), &plan.units);
    let rates = quoted_null(task).rates(&test.view(), &train.view())?;
    let (mut gain, mut spikes) = (0.0, 0.0);
    for ((_, _, unit), &count) in test.indexed_iter() {
        let rate = rates[unit].max(neurobrick_metrics::RATE_FLOOR);
        let own = if count > 0.0 { count * count.ln() - count } else { 0.0 };
        let null = count * rate.ln() - rate;
        gain += own - null;
        spikes += count;
    }
    Ok(gain / spikes / std::f64::consts::LN_2)
}
