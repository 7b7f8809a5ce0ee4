//! How good the units are: what can be told from their spikes alone.

use crate::activity::{Activity, Spikes};
use crate::recording::Recording;
use crate::stretches::recorded_stretches;

/// Parts of the recorded time that a unit may be present in or not.
const N_PRESENCE_PARTS: usize = 100;

/// What counts as too short an interval between spikes, in seconds: 1.5 ms, as in the quality metrics of the Allen
/// Institute ([doi:10.1038/s41586-020-03171-x](https://doi.org/10.1038/s41586-020-03171-x)).
pub const REFRACTORY_S: f64 = 0.0015;

/// What a unit did over the recorded time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitQuality {
    /// Number of spikes.
    pub n_spikes: u64,
    /// Spikes per second; NaN when no time was recorded.
    pub rate_hz: f64,
    /// Share of a hundred equal parts of the recorded time with at least one spike; `None` where only counts exist.
    pub presence_ratio: Option<f64>,
    /// Share of intervals between spikes that are shorter than [`REFRACTORY_S`]; `None` below two spikes, and where only
    /// counts exist.
    pub refractory_share: Option<f64>,
}

/// What every unit did over the recorded time: from the first to the last spike of any unit without the gaps
/// ([`recorded_stretches`]), or all trials of counts.
pub fn unit_quality(recording: &Recording) -> Vec<UnitQuality> {
    match recording.activity() {
        Activity::Spikes(spikes) => of_spikes(spikes, recording.n_units()),
        Activity::Counts(counts) => {
            let recorded_s = (counts.n_trials() * counts.n_bins()) as f64 * counts.bin_size_s();
            let total = |unit: usize| -> u64 {
                let rows = (0..counts.n_trials()).flat_map(|trial| counts.row(trial, unit));
                rows.map(|&count| u64::from(count)).sum()
            };
            let of_unit = |unit: usize| {
                let n_spikes = total(unit);
                let rate_hz = n_spikes as f64 / recorded_s;
                UnitQuality { n_spikes, rate_hz, presence_ratio: None, refractory_share: None }
            };
            (0..counts.n_units()).map(of_unit).collect()
        }
    }
}

fn of_spikes(spikes: &Spikes, n_units: usize) -> Vec<UnitQuality> {
    let times = spikes.times_s();
    let stretches = recorded_stretches(times);
    let recorded_s: f64 = stretches.iter().map(|(start, end)| end - start).sum();
    // The stretch of the spike at hand, and what was recorded before it.
    let (mut stretch, mut before_s) = (0, 0.0);
    // One instant is no time: a number of spikes over it would be infinite.
    let rate_hz = |n_spikes: u64| if recorded_s > 0.0 { n_spikes as f64 / recorded_s } else { f64::NAN };
    let mut n_spikes = vec![0_u64; n_units];
    let mut n_short = vec![0_u64; n_units];
    let mut n_parts = vec![0_usize; n_units];
    let mut last_part = vec![usize::MAX; n_units];
    let mut last_time = vec![f64::NEG_INFINITY; n_units];
    for (&time, &unit) in times.iter().zip(spikes.units()) {
        let unit = unit as usize;
        n_spikes[unit] += 1;
        n_short[unit] += u64::from(time - last_time[unit] < REFRACTORY_S);
        last_time[unit] = time;
        while time > stretches[stretch].1 {
            before_s += stretches[stretch].1 - stretches[stretch].0;
            stretch += 1;
        }
        let elapsed_s = before_s + (time - stretches[stretch].0);
        // Multiplied first, so that spikes on the borders of parts stay there.
        let place = if recorded_s > 0.0 { elapsed_s * N_PRESENCE_PARTS as f64 / recorded_s } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 <= place <= number of parts"
        )]
        let part = (place as usize).min(N_PRESENCE_PARTS - 1);
        n_parts[unit] += usize::from(part != last_part[unit]);
        last_part[unit] = part;
    }
    (0..n_units)
        .map(|unit| UnitQuality {
            n_spikes: n_spikes[unit],
            rate_hz: rate_hz(n_spikes[unit]),
            presence_ratio: Some(n_parts[unit] as f64 / N_PRESENCE_PARTS as f64),
            refractory_share: (n_spikes[unit] > 1)
                .then(|| n_short[unit] as f64 / (n_spikes[unit] - 1) as f64),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn one_instant_has_no_rate() {
        for times_s in [vec![], vec![2.0], vec![2.0, 2.0]] {
            let units = vec![0; times_s.len()];
            let quality = of_spikes(&Spikes::new(times_s, units).unwrap(), 2);
            assert!(quality.iter().all(|unit| unit.rate_hz.is_nan()), "{quality:?}");
        }
        let quality = of_spikes(&Spikes::new(vec![2.0, 2.5, 4.0], vec![0; 3]).unwrap(), 1);
        assert!((quality[0].rate_hz - 1.5).abs() < 1e-12);
    }

    #[test]
    fn a_pause_is_no_time_of_a_unit() {
        let second = |from: f64| (0..2000).map(move |i| from + f64::from(i) / 100.0);
        let times: Vec<f64> = second(0.0).chain(second(600.0)).collect();
        let units = vec![0; times.len()];
        let quality = of_spikes(&Spikes::new(times, units).unwrap(), 1);
        assert!((quality[0].rate_hz - 4000.0 / 39.98).abs() < 1e-9, "{quality:?}");
        assert_eq!(quality[0].presence_ratio, Some(1.0));
    }
}
