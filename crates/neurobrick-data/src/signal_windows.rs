//! Windows of samples, as they were taken.

use ndarray::Array3;
use neurobrick_schema::{Clock, Signal};

use crate::DataError;

/// A sample counts as at the start of a window if it is before it by no more than this part of the step between samples: times are
/// sums and products of numbers that binary fractions do not hold.
const ROUNDING: f64 = 1e-6;

/// Windows `[B, T, C]` of all columns of `signal`, in their units of measure: for each of `starts_s` (seconds from session start) the
/// first sample at or after it and those that follow, `n_samples` in all. What the source does not know is NaN.
///
/// # Errors
/// If samples come at times of their own, or a window reaches beyond them.
pub fn signal_windows(signal: &Signal, starts_s: &[f64], n_samples: usize) -> Result<Array3<f64>, DataError> {
    let Clock::Regular { start_s, rate_hz } = *signal.clock() else {
        return Err(DataError::IrregularSignal { signal: signal.name().to_owned() });
    };
    let n_all = signal.len();
    let mut firsts = Vec::with_capacity(starts_s.len());
    for &window_s in starts_s {
        let first = ((window_s - start_s) * rate_hz - ROUNDING).ceil();
        // Also false if the start is not a number.
        if !(first >= 0.0 && first + n_samples as f64 <= n_all as f64) {
            return Err(DataError::WindowOutsideSignal {
                signal: signal.name().to_owned(),
                start_s: window_s,
                end_s: window_s + n_samples as f64 / rate_hz,
                signal_start_s: start_s,
                signal_end_s: start_s + n_all as f64 / rate_hz,
            });
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        firsts.push(first as usize);
    }
    let columns = signal.columns();
    let value = |(window, sample, column): (usize, usize, usize)| {
        columns[column].samples.value(firsts[window] + sample)
    };
    Ok(Array3::from_shape_fn((firsts.len(), n_samples, columns.len()), value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use ndarray::{Axis, array};
    use neurobrick_schema::{Samples, SignalColumn};

    use super::*;

    fn signal(clock: Clock) -> Signal {
        let column = |name: &str, factor: f64| SignalColumn {
            name: name.to_owned(),
            unit: Some("uV".to_owned()),
            description: None,
            samples: Samples::Float((0..10).map(|i| factor * f64::from(i)).collect()),
        };
        Signal::new("eeg", None, clock, vec![column("C3", 1.0), column("C4", -1.0)]).unwrap()
    }

    #[test]
    fn windows_begin_at_the_first_sample_that_is_not_before_them() {
        // Samples at 0.2, 0.3, …; in binary 0.3 is not 0.2 plus a tenth.
        let eeg = signal(Clock::Regular { start_s: 0.2, rate_hz: 10.0 });
        let check = |start_s: f64, expected: [f64; 2]| {
            let windows = signal_windows(&eeg, &[0.2, start_s], 2).unwrap();
            assert_eq!(windows.dim(), (2, 2, 2));
            let second = windows.index_axis(Axis(0), 1);
            let [first, then] = expected;
            assert_eq!(second, array![[first, -first], [then, -then]], "from {start_s} s");
        };
        check(0.3, [1.0, 2.0]);
        check(0.1 + 0.2, [1.0, 2.0]);
        check(0.31, [2.0, 3.0]);
        check(1.0, [8.0, 9.0]);
    }

    #[test]
    fn windows_beyond_the_samples_and_signals_without_a_clock_are_refused() {
        let eeg = signal(Clock::Regular { start_s: 0.2, rate_hz: 10.0 });
        for start_s in [0.1, 1.05, f64::NAN] {
            let error = signal_windows(&eeg, &[0.5, start_s], 2).unwrap_err();
            assert!(matches!(error, DataError::WindowOutsideSignal { .. }), "{error}");
        }
        let error = signal_windows(&eeg, &[1.1], 2).unwrap_err().to_string();
        let expected = "signal eeg has samples from 0.2 s to 1.2 s, not all of the window from 1.1 s to 1.3";
        assert!(error.starts_with(expected), "{error}");
        let licks = signal(Clock::Irregular { times_s: (0..10).map(f64::from).collect() });
        let error = signal_windows(&licks, &[0.5], 2).unwrap_err();
        assert!(matches!(error, DataError::IrregularSignal { .. }), "{error}");
    }
}
