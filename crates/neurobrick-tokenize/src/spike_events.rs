//! One token per spike.

use neurobrick_core::{TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};
use neurobrick_data::ticks;
use neurobrick_schema::{Interval, Spikes};

use crate::time_bins::positive;

/// One spike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spike {
    /// Unit of the session.
    pub unit: usize,
    /// Seconds from the start of the window.
    pub time_s: f64,
}

/// Spikes of one session over a window.
#[derive(Clone, Debug, PartialEq)]
pub struct SpikeWindow {
    /// Units of the session.
    pub n_units: usize,
    /// Units that are seen, all if `None`: dropout of units leaves the others out as if they had not been recorded.
    pub units: Option<Vec<usize>>,
    /// Spikes of these units, in any order.
    pub spikes: Vec<Spike>,
}

impl SpikeWindow {
    /// The spikes of `window`, half-open to a nanosecond as bins are, of `units` (all if `None`) of the `n_units` of the session.
    pub fn cut(spikes: &Spikes, window: Interval, n_units: usize, units: Option<Vec<usize>>) -> Self {
        let times = spikes.times_s();
        let from = times.partition_point(|&time| ticks(time) < ticks(window.start_s));
        let to = from + times[from..].partition_point(|&time| ticks(time) < ticks(window.end_s));
        let mut is_left_out = vec![units.is_some(); n_units];
        for &unit in units.iter().flatten() {
            if let Some(is_left_out) = is_left_out.get_mut(unit) {
                *is_left_out = false;
            }
        }
        let within = times[from..to].iter().zip(&spikes.units()[from..to]);
        // A spike of a unit beyond the session stays, to be refused by name.
        let spikes = within
            .map(|(&time, &unit)| Spike { unit: unit as usize, time_s: time - window.start_s })
            .filter(|spike| !is_left_out.get(spike.unit).copied().unwrap_or(false))
            .collect();
        Self { n_units, units, spikes }
    }

    /// Which units are seen, `[N]`.
    fn seen(&self) -> Result<Vec<bool>, TokenizeError> {
        let mut seen = vec![self.units.is_none(); self.n_units];
        for &unit in self.units.iter().flatten() {
            let n_units = self.n_units;
            *seen.get_mut(unit).ok_or(TokenizeError::NoSuchUnit { unit, n_units })? = true;
        }
        Ok(seen)
    }

    fn unknown(&self, unit: usize, time_s: f64) -> TokenizeError {
        let n_seen = self.units.as_ref().map_or(self.n_units, Vec::len);
        TokenizeError::UnknownUnit { unit, time_s, n_units: self.n_units, n_seen }
    }
}

/// A token for each spike, and a start and an end for each unit that is seen, so that a silent unit is seen to be silent (POYO,
/// Azabou et al. 2023). Tokens carry no values. The starts and ends come first, unit by unit, then the spikes in the order given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpikeEvents {
    window_s: f64,
}

impl SpikeEvents {
    /// Kind of a spike.
    pub const SPIKE: usize = 0;
    /// Kind of the start of a unit, at the start of the window.
    pub const START: usize = 1;
    /// Kind of the end of a unit, at the end of the window.
    pub const END: usize = 2;

    /// Events of windows of `window_s` seconds.
    ///
    /// # Errors
    /// If that is not a length of time.
    pub fn new(window_s: f64) -> Result<Self, TokenizeError> {
        Ok(Self { window_s: positive("window_s", window_s)? })
    }

    /// The tokens of `windows`, which may be of different sessions.
    ///
    /// # Errors
    /// If a spike is of a unit that its window does not see, or at a time that is not a number.
    pub fn places<'a>(
        &self,
        windows: impl IntoIterator<Item = &'a SpikeWindow>,
    ) -> Result<TokenPlaces, TokenizeError> {
        let rows = windows.into_iter().map(|window| self.events(window)).collect::<Result<_, _>>()?;
        Ok(TokenPlaces::of_each(rows))
    }

    fn events(self, window: &SpikeWindow) -> Result<Vec<TokenPlace>, TokenizeError> {
        let event = |kind, unit: usize, time_s| TokenPlace {
            kind,
            sources: unit..unit + 1,
            start_s: time_s,
            end_s: time_s,
        };
        let seen = window.seen()?;
        let mut events = Vec::with_capacity(2 * seen.len() + window.spikes.len());
        for unit in (0..window.n_units).filter(|&unit| seen[unit]) {
            events.push(event(Self::START, unit, 0.0));
            events.push(event(Self::END, unit, self.window_s));
        }
        for &Spike { unit, time_s } in &window.spikes {
            if !seen.get(unit).is_some_and(|seen| *seen) {
                return Err(window.unknown(unit, time_s));
            }
            if !time_s.is_finite() {
                return Err(TokenizeError::NotATime { unit, time_s });
            }
            events.push(event(Self::SPIKE, unit, time_s));
        }
        Ok(events)
    }
}

impl Tokenizer for SpikeEvents {
    type Windows = [SpikeWindow];

    fn tokenize(&self, windows: &[SpikeWindow]) -> Result<Tokens, TokenizeError> {
        Ok(Tokens { values: None, places: self.places(windows)? })
    }
}
