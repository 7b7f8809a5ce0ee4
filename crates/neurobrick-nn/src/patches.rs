//! Time-by-unit patches: tokens of one bin and a few dozen neighboring units.

use burn::tensor::Tensor;

/// How the units of a session are cut into patches of `size`: units `0..size`, the next `size`, and so on, the last patch
/// filled up with nothing (NDT-2, Ye et al. 2023). Tokens are ordered by bin, then by patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchGrid {
    n_units: usize,
    size: usize,
}

impl PatchGrid {
    /// A grid over `n_units` units in patches of `size`.
    ///
    /// # Panics
    /// If one of them is zero.
    pub fn new(n_units: usize, size: usize) -> Self {
        assert!(n_units > 0 && size > 0, "patches of {size} over {n_units} units");
        Self { n_units, size }
    }

    /// Patches of one bin, `P`.
    pub fn n_patches(self) -> usize {
        self.n_units.div_ceil(self.size)
    }

    /// Bin and patch of token `token`.
    pub fn place(self, token: usize) -> (usize, usize) {
        (token / self.n_patches(), token % self.n_patches())
    }

    fn n_filled(self) -> usize {
        self.n_patches() * self.size - self.n_units
    }

    /// Values `[B, T, N]` as tokens `[B, T P, size]`, filled up with zeros.
    pub fn cut(self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let filled = match self.n_filled() {
            0 => x,
            n => Tensor::cat(vec![x.clone(), Tensor::zeros([b, t, n], (&x.device(), x.dtype()))], 2),
        };
        filled.reshape([b, t * self.n_patches(), self.size])
    }

    /// Tokens `[B, T P, size]` as values `[B, T, N]`; what was filled up is left out.
    pub fn join(self, tokens: Tensor<3>) -> Tensor<3> {
        let [b, s, _] = tokens.dims();
        let p = self.n_patches();
        tokens.reshape([b, s / p, p * self.size]).narrow(2, 0, self.n_units)
    }

    /// `mask` `[.., T, N]` of bins and units, row by row, as entries of tokens `[.., T P, size]`; what is filled up is
    /// `fill`.
    pub fn cut_mask(self, mask: impl IntoIterator<Item = bool>, fill: bool) -> Vec<bool> {
        let mut cut = Vec::new();
        for (i, entry) in mask.into_iter().enumerate() {
            cut.push(entry);
            if (i + 1) % self.n_units == 0 {
                cut.extend(std::iter::repeat_n(fill, self.n_filled()));
            }
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn cutting_and_joining_are_inverse_and_patches_are_neighbors() {
        let (grid, device) = (PatchGrid::new(5, 2), Device::flex());
        assert_eq!((grid.n_patches(), grid.place(7)), (3, (2, 1)));
        let values: Vec<f64> = (1..=20).map(f64::from).collect();
        let x = Tensor::<3>::from_data(TensorData::new(values.clone(), [2, 2, 5]), &device);
        let tokens = grid.cut(x);
        assert_eq!(tokens.dims(), [2, 6, 2]);
        let first: Vec<f64> = tokens.clone().narrow(0, 0, 1).into_data().iter::<f64>().collect();
        assert_eq!(first, [1.0, 2.0, 3.0, 4.0, 5.0, 0.0, 6.0, 7.0, 8.0, 9.0, 10.0, 0.0]);
        assert_eq!(grid.join(tokens).into_data().iter::<f64>().collect::<Vec<_>>(), values);
        let mask = grid.cut_mask((0..10).map(|i| i == 4 || i == 5), true);
        let hidden: Vec<usize> = mask.iter().enumerate().filter(|(_, h)| **h).map(|(i, _)| i).collect();
        // Entry 4 is the last of bin 0, entry 5 the first of bin 1; 5 and 11 are filled up.
        assert_eq!((mask.len(), hidden), (12, vec![4, 5, 6, 11]));
    }
}
