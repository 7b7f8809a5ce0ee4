//! A regular grid of bins, on which a time has exactly one place.
//!
//! Times are rounded to whole nanoseconds (ticks) once, and everything after that is arithmetic of whole numbers. A spike
//! at `k * 0.02` seconds, written as the nearest `f64`, lies on the edge of bin `k` for every `k`; with division in floating
//! point it lies now in `k`, now in `k - 1`.

use crate::DataError;

/// Nanoseconds of a second.
const TICKS_PER_S: f64 = 1e9;
/// Longest grid and furthest time: 2^62 nanoseconds are 146 years, and sums of two still fit.
const MAX_TICKS: f64 = 4.6e18;
/// 2^51: below it, adding [`SHIFT`] rounds to a whole number.
const SMALL: f64 = 2_251_799_813_685_248.0;
/// 1.5 * 2^52.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// A time in whole nanoseconds from session start.
///
/// Beyond 4.6e18 nanoseconds, which no session reaches, the nearest that fits.
pub fn ticks(time_s: f64) -> i64 {
    let scaled = time_s * TICKS_PER_S;
    if scaled.abs() < SMALL {
        // The sum has whole numbers only in its last digits: rounded to nearest, ties to even, without a call.
        (scaled + SHIFT).to_bits().cast_signed() - SHIFT.to_bits().cast_signed()
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "limited just before")]
        let ticks = scaled.round_ties_even().clamp(-MAX_TICKS, MAX_TICKS) as i64;
        ticks
    }
}

/// `n_bins` equal bins over a whole number of nanoseconds, half-open: an edge belongs to the bin that it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grid {
    start: i64,
    /// Length of all bins together, in ticks.
    length: u64,
    n_bins: u64,
    /// Bins per tick, to guess a bin with; the guess is then set right.
    bins_per_tick: f64,
}

impl Grid {
    /// The grid of `n_bins` bins of `bin_size_s` seconds from `start_s`.
    ///
    /// Bins need not be whole nanoseconds (frames of a camera are not); only the whole grid is rounded.
    ///
    /// # Errors
    /// [`DataError::BadGrid`] without bins, for bins shorter than a nanosecond, and for grids beyond 146 years.
    pub fn new(start_s: f64, bin_size_s: f64, n_bins: usize) -> Result<Self, DataError> {
        let length_s = bin_size_s * n_bins as f64;
        let is_sound = n_bins > 0
            && u32::try_from(n_bins).is_ok()
            && bin_size_s * TICKS_PER_S >= 1.0
            && length_s * TICKS_PER_S < MAX_TICKS
            && (start_s * TICKS_PER_S).abs() < MAX_TICKS;
        if !is_sound {
            return Err(DataError::BadGrid { start_s, bin_size_s, n_bins });
        }
        let length = ticks(length_s).unsigned_abs();
        let n_bins = n_bins as u64;
        Ok(Self { start: ticks(start_s), length, n_bins, bins_per_tick: n_bins as f64 / length as f64 })
    }

    /// Number of bins.
    #[expect(clippy::cast_possible_truncation, reason = "it was a usize")]
    pub fn n_bins(&self) -> usize {
        self.n_bins as usize
    }

    /// The first tick of a bin, or of what follows the last.
    ///
    /// # Panics
    /// If `bin` is beyond the number of bins.
    pub fn edge(&self, bin: usize) -> i64 {
        let bin = bin as u64;
        assert!(bin <= self.n_bins, "edge {bin} of a grid of {} bins", self.n_bins);
        // The least offset at which `offset * n_bins / length` reaches `bin`.
        let offset = if let Some(place) = bin.checked_mul(self.length) {
            place.div_ceil(self.n_bins)
        } else {
            let place = u128::from(bin) * u128::from(self.length);
            #[expect(clippy::cast_possible_truncation, reason = "at most the length, which fits")]
            let offset = place.div_ceil(u128::from(self.n_bins)) as u64;
            offset
        };
        self.start + offset.cast_signed()
    }

    /// The least number of seconds that rounds to the edge of a bin, or beyond: whatever is smaller lies before it.
    fn edge_s(&self, bin: usize) -> f64 {
        let edge = self.edge(bin);
        let mut time_s = edge as f64 / TICKS_PER_S;
        // Half a tick early, then step by step to the very last number: few steps, as the guess is good to some bits.
        time_s -= 0.5 / TICKS_PER_S;
        while ticks(time_s) >= edge {
            time_s = time_s.next_down();
        }
        while ticks(time_s) < edge {
            time_s = time_s.next_up();
        }
        time_s
    }

    /// The middle of a bin in seconds.
    pub fn center_s(&self, bin: usize) -> f64 {
        let offset = (bin as f64 + 0.5) * self.length as f64 / self.n_bins as f64;
        (self.start as f64 + offset) / TICKS_PER_S
    }

    /// The bin in which a tick lies; `None` outside the grid.
    #[inline]
    pub fn bin_of(&self, tick: i64) -> Option<usize> {
        let offset = tick.wrapping_sub(self.start).cast_unsigned();
        // What lies before the start wraps to the far end.
        (offset < self.length).then(|| self.bin_at(offset))
    }

    /// The bin at an offset below the length: `offset * n_bins / length`, rounded down.
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 <= guess, which is below 2^32"
    )]
    fn bin_at(&self, offset: u64) -> usize {
        let guess = (offset as f64 * self.bins_per_tick) as u64;
        // The guess is off by at most one, and only near an edge.
        let exact = |bin: u64| u128::from(bin) * u128::from(self.length);
        let place = u128::from(offset) * u128::from(self.n_bins);
        if exact(guess) > place {
            guess as usize - 1
        } else if exact(guess + 1) <= place {
            guess as usize + 1
        } else {
            guess as usize
        }
    }

    /// Counts spikes into `counts`, `[bin, unit]` in row order, and adds to what is there. Spikes outside the grid are
    /// passed over. Times must ascend.
    ///
    /// # Errors
    /// The unit of a bin that would hold more than 65535 spikes; `counts` is then only partly filled.
    ///
    /// # Panics
    /// If `times_s` and `units` differ in length, `counts` is not `n_bins * n_units` long, or a unit is out of range.
    pub fn count(
        &self,
        times_s: &[f64],
        units: &[u32],
        n_units: usize,
        counts: &mut [u16],
    ) -> Result<(), usize> {
        assert_eq!(times_s.len(), units.len(), "every spike has a unit");
        assert_eq!(counts.len(), self.n_bins() * n_units, "counts are [bin, unit]");
        let mut at = times_s.partition_point(|&time| ticks(time) < self.start);
        while let Some(bin) = times_s.get(at).and_then(|&time| self.bin_of(ticks(time))) {
            let next_s = self.edge_s(bin + 1);
            let row = &mut counts[bin * n_units..][..n_units];
            while let Some(&unit) = units.get(at).filter(|_| times_s[at] < next_s) {
                let count = &mut row[unit as usize];
                *count = count.checked_add(1).ok_or(unit as usize)?;
                at += 1;
            }
        }
        Ok(())
    }
}
