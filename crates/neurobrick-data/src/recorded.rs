//! Which windows lie in the time that was recorded.

use neurobrick_schema::{Activity, Recording, recorded_stretches};

/// [Stretches](recorded_stretches) in which spikes were recorded, in order.
#[derive(Clone, Debug)]
pub(crate) struct Recorded(Vec<(f64, f64)>);

impl Recorded {
    /// Of all units of a recording; empty without spikes, and of counts.
    pub(crate) fn of(recording: &Recording) -> Self {
        let Activity::Spikes(spikes) = recording.activity() else { return Self(Vec::new()) };
        Self::of_times(spikes.times_s())
    }

    fn of_times(times_s: &[f64]) -> Self {
        Self(recorded_stretches(times_s))
    }

    /// The stretch around a window, `(first spike, last spike)`; `None` if no stretch holds all of it.
    pub(crate) fn around(&self, start_s: f64, end_s: f64) -> Option<(f64, f64)> {
        let after = self.0.partition_point(|stretch| stretch.0 <= start_s);
        self.0[..after].last().copied().filter(|stretch| end_s <= stretch.1)
    }

    /// From the first spike to the last; `None` without spikes.
    pub(crate) fn span(&self) -> Option<(f64, f64)> {
        Some((self.0.first()?.0, self.0.last()?.1))
    }

    /// Why a window cannot be used; `None` if all of it was recorded.
    pub(crate) fn missing(&self, start_s: f64, end_s: f64) -> Option<&'static str> {
        let Some((first, last)) = self.span() else { return Some("no spikes recorded") };
        if start_s < first || end_s > last {
            return Some("window reaches beyond the recorded spikes");
        }
        self.around(start_s, end_s)
            .is_none()
            .then_some("window touches a gap of the recording, a long silence of all units")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_silence_of_many_units_is_a_gap_and_a_pause_of_a_slow_one_is_none() {
        // 100 spikes a second, but for 12 s from 20 s on.
        let busy: Vec<f64> =
            (0..5000).map(|i| f64::from(i) / 100.0).filter(|t| !(20.0..32.0).contains(t)).collect();
        let recorded = Recorded::of_times(&busy);
        assert_eq!(recorded.0.len(), 2, "{:?}", recorded.0);
        assert_eq!(recorded.missing(0.5, 19.0), None);
        assert_eq!(recorded.missing(32.0, 40.0), None);
        for (start, end) in [(19.5, 20.5), (22.0, 23.0), (31.5, 32.5), (10.0, 40.0)] {
            assert!(recorded.missing(start, end).is_some_and(|why| why.contains("gap")), "{start} to {end}");
        }
        assert!(recorded.missing(49.5, 51.0).is_some_and(|why| why.contains("beyond")));
        // One spike in 5 s on average: 60 s without is no gap.
        let slow: Vec<f64> =
            (0..100).map(|i| 5.0 * f64::from(i)).filter(|t| !(100.0..160.0).contains(t)).collect();
        assert_eq!(Recorded::of_times(&slow).missing(90.0, 170.0), None);
        assert!(Recorded::of_times(&[]).missing(0.0, 1.0).is_some());
    }
}
