//! Windows of single spikes.

use neurobrick_data::SessionData;
use neurobrick_models::PoyoWindow;
use neurobrick_schema::{Activity, Interval, Recording, SessionId, Spikes};
use neurobrick_tokenize::SpikeWindow;

use super::SpikeDecodingError;

/// The spikes of a session, and the windows that are cut from it.
pub(crate) struct SpikeWindows {
    session: SessionId,
    n_units: usize,
    spikes: Spikes,
    windows: Vec<Interval>,
    /// Middles of the bins, in seconds from the start of a window.
    output_times_s: Vec<f64>,
}

impl SpikeWindows {
    /// The windows of `data`, which was made from `recording`.
    pub(crate) fn new(recording: &Recording, data: &SessionData) -> Result<Self, SpikeDecodingError> {
        let session = data.session().clone();
        let Activity::Spikes(spikes) = recording.activity() else {
            return Err(SpikeDecodingError::NeedsSpikeTimes { session });
        };
        Ok(Self {
            session,
            n_units: recording.n_units(),
            spikes: spikes.clone(),
            windows: data.windows().to_vec(),
            output_times_s: (0..data.n_bins()).map(|bin| (bin as f64 + 0.5) * data.bin_size_s()).collect(),
        })
    }

    pub(crate) fn session(&self) -> &SessionId {
        &self.session
    }

    pub(crate) fn n_units(&self) -> usize {
        self.n_units
    }

    pub(crate) fn windows(&self) -> &[Interval] {
        &self.windows
    }

    /// Window `trial` moved by `shift_s`, of which the model sees `units` (ascending; all if `None`).
    pub(crate) fn window(&self, trial: usize, shift_s: f64, units: Option<Vec<usize>>) -> PoyoWindow {
        let Interval { start_s, end_s } = self.windows[trial];
        let window = Interval { start_s: start_s + shift_s, end_s: end_s + shift_s };
        PoyoWindow {
            session: self.session.clone(),
            input: SpikeWindow::cut(&self.spikes, window, self.n_units, units),
            output_times_s: self.output_times_s.clone(),
        }
    }
}
