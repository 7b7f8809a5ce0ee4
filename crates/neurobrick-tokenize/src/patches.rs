//! Time-by-unit patches: tokens of a few bins and a few dozen neighboring units.

use burn::tensor::Tensor;
use neurobrick_core::{TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};

use crate::time_bins::{positive, some};

/// A token for each patch of bins and units of counts `[B, T, N]` (NDT-2 has patches of one bin): values `[B, S, F]`, bin by
/// bin within a patch, filled up with zeros where a patch reaches beyond the window or the units.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeUnitPatches {
    patch: [usize; 2],
    bin_size_s: f64,
}

impl TimeUnitPatches {
    /// Patches of `patch` bins and units, of bins of `bin_size_s` seconds.
    ///
    /// # Errors
    /// If a patch is empty, or a bin has no length.
    pub fn new(patch: [usize; 2], bin_size_s: f64) -> Result<Self, TokenizeError> {
        if patch.contains(&0) {
            let received = format!("{patch:?}");
            return Err(TokenizeError::BadSetting {
                field: "patch",
                expected: "a bin and a unit at least",
                received,
            });
        }
        Ok(Self { patch, bin_size_s: positive("bin_size_s", bin_size_s)? })
    }

    /// How windows of these `[T, N]` are cut.
    ///
    /// # Errors
    /// If there is no bin or no unit.
    pub fn grid(&self, [n_bins, n_units]: [usize; 2]) -> Result<PatchGrid, TokenizeError> {
        some("bins", n_bins)?;
        some("units", n_units)?;
        Ok(PatchGrid::new([n_bins, n_units], self.patch))
    }
}

impl Tokenizer for TimeUnitPatches {
    type Windows = Tensor<3>;

    fn tokenize(&self, counts: &Tensor<3>) -> Result<Tokens, TokenizeError> {
        let [b, n_bins, n_units] = counts.dims();
        let grid = self.grid([n_bins, n_units])?;
        let [bins, units] = self.patch;
        let place = |token: usize| {
            let (step, patch) = grid.place(token);
            TokenPlace {
                kind: 0,
                sources: patch * units..((patch + 1) * units).min(n_units),
                start_s: (step * bins) as f64 * self.bin_size_s,
                end_s: ((step + 1) * bins).min(n_bins) as f64 * self.bin_size_s,
            }
        };
        let places = TokenPlaces::shared((0..grid.n_tokens()).map(place).collect(), b);
        Ok(Tokens { values: Some(grid.cut(counts.clone())), places })
    }
}

/// How a window `[T, N]` is cut into patches: the first bins and units, the next, and so on, the last ones filled up with
/// nothing. Tokens are ordered by time, then by units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    window: [usize; 2],
    patch: [usize; 2],
}

impl PatchGrid {
    /// A grid over `window` bins and units, in patches of so many.
    ///
    /// # Panics
    /// If one of them is zero.
    pub fn new(window: [usize; 2], patch: [usize; 2]) -> Self {
        assert!(!window.contains(&0) && !patch.contains(&0), "patches of {patch:?} over {window:?}");
        Self { window, patch }
    }

    /// Patches along time.
    pub fn n_steps(self) -> usize {
        self.window[0].div_ceil(self.patch[0])
    }

    /// Patches of units, `P`, of each step.
    pub fn n_patches(self) -> usize {
        self.window[1].div_ceil(self.patch[1])
    }

    /// Tokens of a window, `S`.
    pub fn n_tokens(self) -> usize {
        self.n_steps() * self.n_patches()
    }

    /// Entries of a patch, `F`.
    pub fn size(self) -> usize {
        self.patch[0] * self.patch[1]
    }

    /// Step and patch of units of token `token`.
    pub fn place(self, token: usize) -> (usize, usize) {
        (token / self.n_patches(), token % self.n_patches())
    }

    /// Bins and units of whole patches.
    fn whole(self) -> [usize; 2] {
        [self.n_steps() * self.patch[0], self.n_patches() * self.patch[1]]
    }

    /// Values `[B, T, N]` as tokens `[B, S, F]`, filled up with zeros.
    ///
    /// # Panics
    /// If the values are of another window.
    pub fn cut(self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, n] = x.dims();
        assert_eq!([t, n], self.window, "values of another window");
        let whole = self.whole();
        let x = if whole == self.window { x } else { x.pad([(0, whole[0] - t), (0, whole[1] - n)], 0.0) };
        if self.patch[0] == 1 {
            return x.reshape([b, self.n_tokens(), self.size()]);
        }
        let [bins, units] = self.patch;
        let patches: Tensor<5> = x.reshape([b, self.n_steps(), bins, self.n_patches(), units]);
        patches.swap_dims(2, 3).reshape([b, self.n_tokens(), self.size()])
    }

    /// Tokens `[B, S, F]` as values `[B, T, N]`; what was filled up is left out.
    ///
    /// # Panics
    /// If the tokens are of another grid.
    pub fn join(self, tokens: Tensor<3>) -> Tensor<3> {
        let [b, s, f] = tokens.dims();
        assert_eq!([s, f], [self.n_tokens(), self.size()], "tokens of another grid");
        let ([bins, units], [t, n]) = (self.patch, self.whole());
        let values = if bins == 1 {
            tokens.reshape([b, t, n])
        } else {
            let patches: Tensor<5> = tokens.reshape([b, self.n_steps(), self.n_patches(), bins, units]);
            patches.swap_dims(2, 3).reshape([b, t, n])
        };
        values.narrow(1, 0, self.window[0]).narrow(2, 0, self.window[1])
    }

    /// A mask `[B, T, N]`, row by row, as entries of tokens `[B, S, F]`; what is filled up is `fill`.
    ///
    /// # Panics
    /// If it does not hold whole windows.
    pub fn cut_mask(self, mask: &[bool], fill: bool) -> Vec<bool> {
        let ([t, n], [bins, units]) = (self.window, self.patch);
        assert!(mask.len().is_multiple_of(t * n), "{} entries are no whole windows of {t} x {n}", mask.len());
        let mut cut = Vec::with_capacity(mask.len() / (t * n) * self.n_tokens() * self.size());
        for window in mask.chunks_exact(t * n) {
            for token in 0..self.n_tokens() {
                let (step, patch) = self.place(token);
                for bin in step * bins..(step + 1) * bins {
                    let units = patch * units..(patch + 1) * units;
                    cut.extend(
                        units.map(|unit| if bin < t && unit < n { window[bin * n + unit] } else { fill }),
                    );
                }
            }
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn values(tensor: Tensor<3>) -> Vec<f64> {
        tensor.into_data().iter::<f64>().collect()
    }

    /// Counts 1, 2, … of two windows, cut and joined.
    fn check(window: [usize; 2], patch: [usize; 2], first: &[f64]) {
        let grid = PatchGrid::new(window, patch);
        let n = 2 * window[0] * window[1];
        let x: Vec<f64> = (1..=n).map(|i| i as f64).collect();
        let tokens = grid
            .cut(Tensor::from_data(TensorData::new(x.clone(), [2, window[0], window[1]]), &Device::flex()));
        assert_eq!(tokens.dims(), [2, grid.n_tokens(), grid.size()]);
        assert_eq!(values(tokens.clone().narrow(0, 0, 1)), first);
        // A mask is cut as values are.
        let is_odd = |x: &f64| x % 2.0 > 0.5;
        let cut: Vec<bool> = values(tokens.clone()).iter().map(is_odd).collect();
        assert_eq!(grid.cut_mask(&x.iter().map(is_odd).collect::<Vec<_>>(), false), cut);
        assert_eq!(values(grid.join(tokens)), x);
    }

    #[test]
    fn cutting_and_joining_are_inverse_and_patches_are_neighbors() {
        check([2, 5], [1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 6.0, 7.0, 8.0, 9.0, 10.0, 0.0]);
        check(
            [3, 3],
            [2, 2],
            &[1.0, 2.0, 4.0, 5.0, 3.0, 0.0, 6.0, 0.0, 7.0, 8.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0],
        );
        check([4, 2], [2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(PatchGrid::new([2, 5], [1, 2]).place(5), (1, 2));
    }

    #[test]
    fn what_is_filled_up_is_what_was_asked_for() {
        let mask = PatchGrid::new([2, 5], [1, 2])
            .cut_mask(&(0..10).map(|i| i == 4 || i == 5).collect::<Vec<_>>(), true);
        let hidden: Vec<usize> = mask.iter().enumerate().filter(|(_, h)| **h).map(|(i, _)| i).collect();
        // Entry 4 is the last of bin 0, entry 5 the first of bin 1; 5 and 11 are filled up.
        assert_eq!((mask.len(), hidden), (12, vec![4, 5, 6, 11]));
    }

    #[test]
    fn places_end_where_the_window_does() -> Result<(), TokenizeError> {
        let counts = Tensor::<3>::ones([1, 3, 5], &Device::flex());
        let tokens = TimeUnitPatches::new([2, 3], 0.25)?.tokenize(&counts)?;
        let places: Vec<_> =
            tokens.places.of_window(0).iter().map(|p| (p.sources.clone(), p.start_s, p.end_s)).collect();
        assert_eq!(places, [(0..3, 0.0, 0.5), (3..5, 0.0, 0.5), (0..3, 0.5, 0.75), (3..5, 0.5, 0.75)]);
        Ok(())
    }
}
