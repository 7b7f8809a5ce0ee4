//! When a recording of spikes ran: from the first spike to the last, without long silences of all units.

use neurobrick_schema::{Activity, Recording};

/// A silence of all units is a gap if it is at least this long, in seconds ...
const GAP_S: f64 = 10.0;
/// ... and as long as so many spikes take on average: independent spikes at a constant rate pause so long with a
/// probability of e⁻¹⁰⁰, and slow or bursting units still have none of their pauses taken for gaps.
const GAP_SPIKES: f64 = 100.0;

/// Stretches in which spikes were recorded, `(first spike, last spike)` in seconds, in order.
///
/// Files say rarely when a recording was paused. What lies in a pause is no activity of zero, and a model or a score that
/// takes it for that learns when somebody pressed a button.
pub(crate) struct Recorded(Vec<(f64, f64)>);

impl Recorded {
    /// Of all units of a recording; empty without spikes, and of counts.
    pub(crate) fn of(recording: &Recording) -> Self {
        let Activity::Spikes(spikes) = recording.activity() else { return Self(Vec::new()) };
        Self::of_times(spikes.times_s())
    }

    fn of_times(times_s: &[f64]) -> Self {
        let (Some(&first), Some(&last)) = (times_s.first(), times_s.last()) else { return Self(Vec::new()) };
        let gap_s = GAP_S.max(GAP_SPIKES * (last - first) / times_s.len() as f64);
        let mut stretches = Vec::new();
        let mut start = first;
        for pair in times_s.windows(2) {
            if pair[1] - pair[0] >= gap_s {
                stretches.push((start, pair[0]));
                start = pair[1];
            }
        }
        stretches.push((start, last));
        Self(stretches)
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
        let after = self.0.partition_point(|stretch| stretch.0 <= start_s);
        let is_within = after.checked_sub(1).is_some_and(|i| end_s <= self.0[i].1);
        (!is_within).then_some("window touches a gap of the recording, a long silence of all units")
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
