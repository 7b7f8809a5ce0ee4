//! Single spikes and behavior for sessions that are made as counts.

use ndarray::Array2;
use neurobrick_random::{Domain, Stream, name_index};
use neurobrick_schema::{Activity, Clock, Recording, RecordingParts, Samples, Signal, SignalColumn, Spikes};

use super::{BIN_SIZE_S, SharedSession};

impl SharedSession {
    /// The recording with single spikes in place of counts, and with a signal `cursor` that is a linear read-out of the
    /// latents: column `c` is row `c` of `read_out` (`[K, latent]`), called `x`, `y` and `z`, sampled in the middle of every bin
    /// of a trial and not between trials.
    ///
    /// A spike lies anywhere within its bin, with equal probability. The unit of the cursor is `cm/s`.
    ///
    /// # Panics
    /// If `read_out` has another number of latents than the session, no row or more than three.
    pub fn with_behavior(&self, read_out: &Array2<f64>) -> Recording {
        let (n_trials, n_bins, n_latents) = self.latents.dim();
        let n_columns = read_out.nrows();
        assert_eq!(read_out.ncols(), n_latents, "a weight for every latent");
        assert!((1..=3).contains(&n_columns), "{n_columns} columns, expected one to three");
        let parts = self.recording.clone().into_parts();
        let Activity::Counts(counts) = &parts.activity else { unreachable!("sessions are made as counts") };
        let mut draws = Stream::new(name_index(parts.info.session.as_str()), Domain::Synthetic, [11, 0, 0]);
        let (mut times_s, mut units, mut sampled_s) = (Vec::new(), Vec::new(), Vec::new());
        let mut columns = vec![Vec::new(); n_columns];
        for (trial, interval) in parts.trials.intervals().iter().enumerate().take(n_trials) {
            let at = |bin: usize, part: f64| interval.start_s + (bin as f64 + part) * BIN_SIZE_S;
            for unit in 0..counts.n_units() {
                for (bin, &count) in counts.row(trial, unit).iter().enumerate() {
                    for _ in 0..count {
                        times_s.push(at(bin, draws.uniform()));
                        units.push(u32::try_from(unit).unwrap());
                    }
                }
            }
            for bin in 0..n_bins {
                sampled_s.push(at(bin, 0.5));
                let values = read_out.dot(&self.latents.slice(ndarray::s![trial, bin, ..]));
                columns.iter_mut().zip(values).for_each(|(column, value)| column.push(value));
            }
        }
        let column = |(name, values): (&str, Vec<f64>)| SignalColumn {
            name: name.to_owned(),
            unit: Some("cm/s".to_owned()),
            description: None,
            samples: Samples::Float(values),
        };
        let columns = ["x", "y", "z"].into_iter().zip(columns).map(column).collect();
        let clock = Clock::Irregular { times_s: sampled_s };
        let cursor = Signal::new("cursor", Some("read-out of the latents".to_owned()), clock, columns);
        Recording::from_parts(RecordingParts {
            activity: Activity::Spikes(Spikes::from_unsorted(times_s, units).unwrap()),
            signals: vec![cursor.unwrap()],
            ..parts
        })
        .unwrap()
    }
}

#[cfg(test)]
mod tests {
    use neurobrick_data::{Alignment, BehaviorConfig, ResampleRule, SessionData, WindowConfig};

    use super::*;
    use crate::SharedBrain;

    /// Binned again, spikes are the counts they were made from, and the cursor is the read-out.
    #[test]
    fn spikes_lie_in_their_bins_and_the_cursor_follows_the_latents() {
        let brain = SharedBrain { n_bins: 25, ..SharedBrain::new(2) };
        let made = brain.session(1, 20, 12);
        let read_out = Array2::from_shape_fn((2, brain.n_latents()), |(row, latent)| (row + latent) as f64);
        let recording = made.with_behavior(&read_out);
        let window =
            WindowConfig { align: Alignment::TrialStart, start_s: 0.02, end_s: 0.48, bin_size_s: BIN_SIZE_S };
        let data = SessionData::new(&recording, &window).unwrap();
        let wanted = made.data().counts().slice(ndarray::s![.., 1..24, ..]).to_owned();
        let kept = wanted.select(ndarray::Axis(0), data.trial_idx());
        assert_eq!(data.counts(), kept);
        let config = BehaviorConfig {
            signal: "cursor".to_owned(),
            column: "y".to_owned(),
            rule: ResampleRule::Nearest,
            max_gap_s: 0.001,
        };
        let y = data.behavior(&recording, &config).unwrap();
        let latents = made.latents.slice(ndarray::s![data.trial_idx()[3], 7, ..]);
        let expected: f64 = read_out.row(1).dot(&latents);
        assert!((y[[3, 6]] - expected).abs() < 1e-9);
    }
}
