//! What POYO reads, and what it is asked.

use neurobrick_schema::SessionId;
use neurobrick_tokenize::SpikeWindow;

/// Spikes of one session over a window, and when to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct PoyoWindow {
    /// The session.
    pub session: SessionId,
    /// Its spikes.
    pub input: SpikeWindow,
    /// When outputs are asked for, in seconds from the start of the window.
    pub output_times_s: Vec<f64>,
}
