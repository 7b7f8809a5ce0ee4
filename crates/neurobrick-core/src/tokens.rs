//! The seam of tokenizers: windows in, tokens out that know where and when they are from.

use std::ops::Range;

use burn::tensor::Tensor;

/// What one token stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPlace {
    /// Row of a table of kinds; each tokenizer numbers its own.
    pub kind: usize,
    /// Units or channels of the session that the token tells of.
    pub sources: Range<usize>,
    /// Beginning, in seconds from the start of the window.
    pub start_s: f64,
    /// End, in seconds from the start of the window; not before the beginning, and equal to it for an event.
    pub end_s: f64,
}

/// The places of a batch of windows, `[B, S]`: windows with fewer tokens than others are filled up at the end.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPlaces {
    n_windows: usize,
    n_tokens: usize,
    /// One row for each window, or a single one that they share.
    rows: Vec<Vec<TokenPlace>>,
}

impl TokenPlaces {
    /// Places that `n_windows` windows share: a grid.
    pub fn shared(row: Vec<TokenPlace>, n_windows: usize) -> Self {
        Self { n_windows, n_tokens: row.len(), rows: vec![row] }
    }

    /// Places of each window by itself: events.
    pub fn of_each(rows: Vec<Vec<TokenPlace>>) -> Self {
        let n_tokens = rows.iter().map(Vec::len).max().unwrap_or(0);
        Self { n_windows: rows.len(), n_tokens, rows }
    }

    /// `B`.
    pub fn n_windows(&self) -> usize {
        self.n_windows
    }

    /// `S`: tokens of the window that has most.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// The tokens of window `window`, without filling.
    ///
    /// # Panics
    /// If there is no such window.
    pub fn of_window(&self, window: usize) -> &[TokenPlace] {
        assert!(window < self.n_windows, "window {window} of {}", self.n_windows);
        if self.rows.len() == 1 { &self.rows[0] } else { &self.rows[window] }
    }

    /// A value for every entry of `[B, S]`, window by window: `value` of a token's window and place, `filling` where there is
    /// no token.
    pub fn table<V: Clone>(&self, value: impl Fn(usize, &TokenPlace) -> V, filling: V) -> Vec<V> {
        let mut table = Vec::with_capacity(self.n_windows * self.n_tokens);
        for window in 0..self.n_windows {
            let row = self.of_window(window);
            table.extend(row.iter().map(|place| value(window, place)));
            table.extend(std::iter::repeat_n(filling.clone(), self.n_tokens - row.len()));
        }
        table
    }

    /// `[B, S]`, window by window: `true` where there is no token; `None` if there is one everywhere.
    pub fn padding(&self) -> Option<Vec<bool>> {
        let is_full = self.rows.iter().all(|row| row.len() == self.n_tokens);
        (!is_full).then(|| self.table(|_, _| false, true))
    }
}

/// Tokens of a batch of windows.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// What tokens carry, `[B, S, F]`, in the unit of what was tokenized; zero where there is no token. `None` if a token is
    /// nothing but its place, as a spike is.
    pub values: Option<Tensor<3>>,
    /// Where and when they are from.
    pub places: TokenPlaces,
}

/// Cuts windows into tokens.
///
/// A tokenizer has settings and no weights: embedding is the model's. What it reads is its own choice: binned counts and
/// sampled signals as a tensor `[B, T, N]`, single spikes as a slice of windows. One whose windows are tensors computes on their
/// device, and gradients pass through it.
///
/// Object-safe for one kind of windows (`dyn Tokenizer<Windows = Tensor<3>>`), so that a model may choose among tokenizers when
/// it runs. The laws are those of `neurobrick_testkit::tokenizer_contract!(...)`.
pub trait Tokenizer {
    /// A batch of windows.
    type Windows: ?Sized;

    /// The tokens of `windows`, in their order.
    ///
    /// # Errors
    /// If a window is not of the kind that was promised: wrong units, times that are not numbers, sizes that do not fit.
    fn tokenize(&self, windows: &Self::Windows) -> Result<Tokens, TokenizeError>;
}

/// What can go wrong between windows and tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizeError {
    /// A spike of a unit that the session has not, or that the window does not see.
    #[error(
        "a spike of unit {unit} at {time_s} s: the session has {n_units} units, of which the window sees {n_seen}; number units \
         from 0 and leave out spikes of units that are not seen"
    )]
    UnknownUnit {
        /// The unit.
        unit: usize,
        /// Time of the spike, in seconds from the start of the window.
        time_s: f64,
        /// Units of the session.
        n_units: usize,
        /// Units that the window sees.
        n_seen: usize,
    },
    /// A window is to see a unit that the session has not.
    #[error("a window is to see unit {unit} of a session of {n_units} units; they are numbered from 0")]
    NoSuchUnit {
        /// The unit.
        unit: usize,
        /// Units of the session.
        n_units: usize,
    },
    /// A spike at a time that is not a number.
    #[error("a spike of unit {unit} at {time_s} s: times are finite and count from the start of the window")]
    NotATime {
        /// The unit.
        unit: usize,
        /// What was given as its time.
        time_s: f64,
    },
    /// A window of nothing, or too short for a single token.
    #[error("a window of {received} {what}; {needed}")]
    TooSmall {
        /// What was counted: bins, samples, units, channels.
        what: &'static str,
        /// How many there are.
        received: usize,
        /// What is needed, and what to do.
        needed: String,
    },
    /// A setting out of range.
    #[error("`{field}` must be {expected}; received {received}")]
    BadSetting {
        /// Name of the field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What was received.
        received: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(unit: usize, time_s: f64) -> TokenPlace {
        TokenPlace { kind: 2, sources: unit..unit + 1, start_s: time_s, end_s: time_s }
    }

    #[test]
    fn windows_with_fewer_tokens_are_filled_up_at_the_end() {
        let places =
            TokenPlaces::of_each(vec![vec![event(3, 0.5)], vec![event(0, 0.1), event(1, 0.2)], vec![]]);
        assert_eq!((places.n_windows(), places.n_tokens()), (3, 2));
        assert_eq!(places.padding(), Some(vec![false, true, false, false, true, true]));
        let units = places.table(|window, place| 10 * window + place.sources.start, 99);
        assert_eq!(units, [3, 99, 10, 11, 99, 99]);
        assert_eq!(places.of_window(2), []);
    }

    #[test]
    fn a_grid_is_held_once_and_has_no_padding() {
        let place = TokenPlace { kind: 0, sources: 0..4, start_s: 0.02, end_s: 0.04 };
        let places = TokenPlaces::shared(vec![place.clone()], 3);
        assert_eq!((places.n_windows(), places.n_tokens(), places.padding()), (3, 1, None));
        assert_eq!(places.of_window(2), [place]);
        assert_eq!(
            places.table(|window, place| (window, place.end_s), (9, 9.0)),
            [(0, 0.04), (1, 0.04), (2, 0.04)]
        );
    }
}
