//! A signal on the grid of a session's windows.

use ndarray::Array2;
use neurobrick_data::{SessionData, WindowConfig};
use neurobrick_schema::{Recording, Signal};

use crate::PipelineError;
use crate::config::BehaviorTarget;

/// Means of a signal's samples in every bin of every usable trial, `[trial, bin]`: where a bin has no sample, the line
/// between its neighbors. NaN where the signal does not reach or is missing.
pub(crate) fn binned_signal(
    recording: &Recording,
    data: &SessionData,
    window: &WindowConfig,
    target: &BehaviorTarget,
) -> Result<Array2<f64>, PipelineError> {
    let refuse = |message: String| PipelineError::BadValue { field: "behaviors".to_owned(), message };
    let signal = recording.signals().iter().find(|s| s.name() == target.signal).ok_or_else(|| {
        let known: Vec<&str> = recording.signals().iter().map(Signal::name).collect();
        refuse(format!(
            "session {} has no signal `{}`; it has: {}",
            data.session(),
            target.signal,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ))
    })?;
    let column = signal.column(&target.column).ok_or_else(|| {
        let known: Vec<&str> = signal.columns().iter().map(|c| c.name.as_str()).collect();
        refuse(format!(
            "signal `{}` has no column `{}`; it has: {}",
            target.signal,
            target.column,
            known.join(", ")
        ))
    })?;
    let n = signal.len();
    let times: Vec<f64> = (0..n).map(|i| signal.time_s(i)).collect();
    let value = |i: usize| {
        let value = column.samples.value(i);
        if target.absolute { value.abs() } else { value }
    };
    let starts: Vec<f64> = data.windows().iter().map(|window| window.start_s).collect();
    let bin_s = window.bin_size_s;
    Ok(Array2::from_shape_fn((starts.len(), data.n_bins()), |(trial, bin)| {
        let (from, to) = (starts[trial] + bin as f64 * bin_s, starts[trial] + (bin + 1) as f64 * bin_s);
        let (first, last) = (times.partition_point(|&t| t < from), times.partition_point(|&t| t < to));
        if last > first {
            return (first..last).map(value).sum::<f64>() / (last - first) as f64;
        }
        if first == 0 || first == n {
            return f64::NAN;
        }
        let middle = f64::midpoint(from, to);
        let share = (middle - times[first - 1]) / (times[first] - times[first - 1]);
        value(first - 1) + share * (value(first) - value(first - 1))
    }))
}
