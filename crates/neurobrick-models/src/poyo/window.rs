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
    /// Units that are seen, all if `None`: dropout of units leaves the others out as if they had not been recorded.
    pub units: Option<Vec<usize>>,
    /// Spikes of these units, in any order.
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
        let mut seen = Vec::with_capacity(windows.len());
        for (window, &(_, n_units)) in windows.iter().zip(places) {
            let mut is_seen = vec![window.units.is_none(); n_units];
            for &unit in window.units.iter().flatten() {
                *is_seen.get_mut(unit).ok_or_else(|| unknown_unit(window, unit, 0.0, n_units))? = true;
            }
            seen.push(is_seen);
        }
        let length = |(window, is_seen): (&PoyoWindow, &Vec<bool>)| {
            2 * is_seen.iter().filter(|seen| **seen).count() + window.spikes.len()
        };
        let lengths: Vec<usize> = windows.iter().zip(&seen).map(length).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let mut tokens = Self { longest, ..Self::default() };
        for (((window, &(first, n_units)), is_seen), length) in
            windows.iter().zip(places).zip(&seen).zip(lengths)
        {
            for unit in (0..n_units).filter(|&unit| is_seen[unit]) {
                tokens.push(first + unit, START, 0.0);
                tokens.push(first + unit, END, window_s);
            }
            for &Spike { unit, time_s } in &window.spikes {
                if !is_seen.get(unit).is_some_and(|seen| *seen) || !time_s.is_finite() {
                    return Err(unknown_unit(window, unit, time_s, n_units));
                }
                tokens.push(first + unit, SPIKE, time_s);
            }
            for _ in length..longest {
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

fn unknown_unit(window: &PoyoWindow, unit: usize, time_s: f64, n_units: usize) -> ModelError {
    let seen = window.units.as_ref().map_or(n_units, Vec::len);
    ModelError::Unsupported {
        what: format!(
            "read unit {unit} at {time_s} s: session {} has {n_units} units, of which the window sees {seen}",
            window.session
        ),
        hint: "number units from 0 and times from the start of the window, and leave out spikes of units that are not seen"
            .to_owned(),
    }
}
