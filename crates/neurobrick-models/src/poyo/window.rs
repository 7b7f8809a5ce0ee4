//! Windows of spikes, and their tokens.

use neurobrick_core::ModelError;
use neurobrick_schema::SessionId;

/// One spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// Unit of the session.
    pub unit: usize,
    /// Seconds from the start of the window.
    pub time_s: f64,
}

/// Spikes of one session over a window, and when to decode.
#[derive(Clone, Debug, PartialEq)]
pub struct PoyoWindow {
    /// The session.
    pub session: SessionId,
    /// Spikes, in any order.
    pub spikes: Vec<Spike>,
    /// When outputs are asked for, in seconds from the start of the window.
    pub output_times_s: Vec<f64>,
}

/// Kinds of tokens, rows of their table; the last row of the published table is never used.
const SPIKE: usize = 0;
const START: usize = 1;
const END: usize = 2;
pub(super) const N_KINDS: usize = 4;

/// Tokens of a batch of windows, filled up to the longest, `[B, S]`.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    /// Row of the table of units.
    pub(super) units: Vec<usize>,
    /// Row of the table of kinds.
    pub(super) kinds: Vec<usize>,
    /// Seconds from the start of the window.
    pub(super) times_s: Vec<f64>,
    /// `true` where there is no token.
    pub(super) filling: Vec<bool>,
    /// `S`.
    pub(super) longest: usize,
}

impl Tokens {
    /// The tokens of `windows` of `window_s` seconds, whose units begin at these rows of the table and are so many: for
    /// each unit a start and an end, so that a silent unit is seen to be silent, then the spikes.
    pub(super) fn new(
        windows: &[PoyoWindow],
        places: &[(usize, usize)],
        window_s: f64,
    ) -> Result<Self, ModelError> {
        let lengths = windows.iter().zip(places).map(|(w, (_, n_units))| 2 * n_units + w.spikes.len());
        let longest = lengths.max().unwrap_or(0);
        let mut tokens = Self { longest, ..Self::default() };
        for (window, &(first, n_units)) in windows.iter().zip(places) {
            for unit in 0..n_units {
                tokens.push(first + unit, START, 0.0);
                tokens.push(first + unit, END, window_s);
            }
            for spike in &window.spikes {
                if spike.unit >= n_units || !spike.time_s.is_finite() {
                    return Err(ModelError::Unsupported {
                        what: format!(
                            "read a spike of unit {} at {} s: session {} has {n_units} units",
                            spike.unit, spike.time_s, window.session
                        ),
                        hint: "number units from 0 and times from the start of the window".to_owned(),
                    });
                }
                tokens.push(first + spike.unit, SPIKE, spike.time_s);
            }
            for _ in 2 * n_units + window.spikes.len()..longest {
                tokens.push(first, SPIKE, 0.0);
                if let Some(last) = tokens.filling.last_mut() {
                    *last = true;
                }
            }
        }
        Ok(tokens)
    }

    fn push(&mut self, unit: usize, kind: usize, time_s: f64) {
        self.units.push(unit);
        self.kinds.push(kind);
        self.times_s.push(time_s);
        self.filling.push(false);
    }
}
