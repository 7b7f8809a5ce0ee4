//! Which patches are read, and which see which.

use burn::tensor::{Device, Int, Tensor, TensorData};
use neurobrick_core::ModelInput;
use neurobrick_nn::AttentionMask;
use neurobrick_tokenize::PatchGrid;

use crate::rows::{indices, select};

/// Tokens that follow the patches: session and subject.
pub(super) const N_CONTEXT: usize = 2;

/// The patches of a batch: what of them is visible, and which the encoder reads.
#[derive(Debug)]
pub(super) struct Tokens {
    grid: PatchGrid,
    n_examples: usize,
    /// Patches of a window.
    n_patches: usize,
    /// 1 where an entry `[B, S, size]` is a visible count.
    visible: Vec<f32>,
    /// Patches of each example that are not hidden whole, ascending.
    kept: Vec<Vec<usize>>,
}

impl Tokens {
    /// The patches of `input` on `grid`.
    pub(super) fn new(grid: PatchGrid, input: &ModelInput) -> Self {
        let [n_examples, n_bins, n_units] = input.counts.dims();
        let n_patches = grid.n_tokens();
        let hidden = match &input.hidden {
            Some(hidden) => hidden.iter().copied().collect(),
            None => vec![false; n_examples * n_bins * n_units],
        };
        let cut = grid.cut_mask(&hidden, true);
        let is_kept: Vec<bool> = cut.chunks(grid.size()).map(|patch| patch.contains(&false)).collect();
        let kept = is_kept
            .chunks(n_patches)
            .map(|example| (0..n_patches).filter(|&token| example[token]).collect())
            .collect();
        let visible = cut.iter().map(|&hidden| f32::from(u8::from(!hidden))).collect();
        Self { grid, n_examples, n_patches, visible, kept }
    }

    /// 1 where an entry of a patch is a visible count, one row for each, `[B S size, 1]`.
    pub(super) fn visible(&self, like: &Tensor<3>) -> Tensor<2> {
        let n = self.visible.len();
        Tensor::from_data(TensorData::new(self.visible.clone(), [n, 1]), (&like.device(), like.dtype()))
    }

    /// Rows of the encoder: as many as the example that keeps most, and one at least.
    fn n_rows(&self) -> usize {
        self.kept.iter().map(Vec::len).max().unwrap_or(0).max(1)
    }

    /// Whether the encoder reads every patch of every example.
    fn is_whole(&self) -> bool {
        self.kept.iter().all(|kept| kept.len() == self.n_patches)
    }

    /// Of `x` `[B, S, D]`, what the encoder reads, `[B, K, D]`. Examples that keep fewer patches than others are filled up
    /// with rows that no other sees.
    pub(super) fn gather(&self, x: Tensor<3>) -> Tensor<3> {
        if self.is_whole() {
            return x;
        }
        let [b, s, d] = x.dims();
        let rows = self.kept.iter().enumerate().flat_map(|(example, kept)| {
            let filled = kept.iter().copied().chain(std::iter::repeat(0)).take(self.n_rows());
            filled.map(move |token| example * s + token)
        });
        select(x.reshape([b * s, d]), rows).reshape([b, self.n_rows(), d])
    }

    /// Of encodings `[B, K, D]`, a token for every patch, `[B, S, D]`: `mask_token` `[D]` where it was not read.
    pub(super) fn scatter(&self, encoded: Tensor<3>, mask_token: Tensor<1>) -> Tensor<3> {
        if self.is_whole() {
            return encoded;
        }
        let [b, k, d] = encoded.dims();
        let all = Tensor::cat(vec![encoded.reshape([b * k, d]), mask_token.unsqueeze()], 0);
        let rows = self.kept.iter().enumerate().flat_map(|(example, kept)| {
            let mut rows = vec![b * k; self.n_patches];
            for (row, &token) in kept.iter().enumerate() {
                rows[token] = example * k + row;
            }
            rows
        });
        select(all, rows).reshape([b, self.n_patches, d])
    }

    /// Rows of the tables of bins and of patches, token by token.
    pub(super) fn places(&self, device: &Device) -> [Tensor<1, Int>; 2] {
        let index = |of: fn((usize, usize)) -> usize| {
            let rows = (0..self.n_patches).map(|token| of(self.grid.place(token)));
            indices(rows, device)
        };
        [index(|(bin, _)| bin), index(|(_, patch)| patch)]
    }

    /// What hides from the rows of the encoder: patches of later bins, if `is_causal`; rows that were filled up; and
    /// every patch from the context, through which the future could travel.
    pub(super) fn encoder_mask(&self, is_causal: bool) -> AttentionMask {
        if self.is_whole() {
            return self.decoder_mask(is_causal);
        }
        let (k, size) = (self.n_rows(), self.n_rows() + N_CONTEXT);
        let mut hide = Vec::with_capacity(self.n_examples * size * size);
        for kept in &self.kept {
            let bin = |row: usize| kept.get(row).map(|&token| self.grid.place(token).0);
            for query in 0..size {
                hide.extend((0..k).map(|key| match (bin(query), bin(key)) {
                    (Some(query), Some(key)) => is_causal && key > query,
                    // A row that was filled up sees itself, so that its numbers are finite.
                    _ => query != key,
                }));
                hide.extend([false; N_CONTEXT]);
            }
        }
        AttentionMask::per_example(hide, self.n_examples, size)
    }

    /// What hides from the rows of the decoder, which has all patches.
    pub(super) fn decoder_mask(&self, is_causal: bool) -> AttentionMask {
        let size = self.n_patches + N_CONTEXT;
        let bin = |row: usize| (row < self.n_patches).then(|| self.grid.place(row).0);
        let hides = |query, key| match (bin(query), bin(key)) {
            (Some(query), Some(key)) => is_causal && key > query,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        AttentionMask::new((0..size * size).map(|i| hides(i / size, i % size)).collect(), size)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use std::sync::Arc;

    use neurobrick_core::Context;
    use neurobrick_schema::SessionId;

    use super::*;

    /// Two bins of three units in patches of two: four tokens. The first example hides its first patch whole and unit 1
    /// of bin 1; the second hides nothing.
    fn tokens() -> Tokens {
        let mut hidden = ndarray::Array3::from_elem((2, 2, 3), false);
        for place in [[0, 0, 0], [0, 0, 1], [0, 1, 1]] {
            hidden[place] = true;
        }
        let input = ModelInput {
            session: SessionId::new("s").unwrap(),
            counts: Tensor::zeros([2, 2, 3], &Device::flex()),
            hidden: Some(Arc::new(hidden)),
            context: Context::Full,
            prompt: None,
        };
        Tokens::new(PatchGrid::new([2, 3], [1, 2]), &input)
    }

    #[test]
    fn patches_hidden_whole_are_left_out_and_come_back_as_mask_tokens() {
        let (tokens, device) = (tokens(), Device::flex());
        assert_eq!(tokens.kept, [vec![1, 2, 3], vec![0, 1, 2, 3]]);
        // Units of the second patch are one and what is filled up.
        assert_eq!(tokens.visible[..8], [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let x = Tensor::<3>::from_data([[[0.0], [1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0], [7.0]]], &device);
        let read = tokens.gather(x);
        let values = |t: Tensor<3>| t.into_data().iter::<f64>().collect::<Vec<_>>();
        assert_eq!(values(read.clone()), [1.0, 2.0, 3.0, 0.0, 4.0, 5.0, 6.0, 7.0]);
        let mask_token = Tensor::<1>::from_data([-9.0], &device);
        assert_eq!(values(tokens.scatter(read, mask_token)), [-9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn masks_hide_the_future_and_everything_from_the_context() {
        let rows = |hide: &[bool], size: usize| -> Vec<String> {
            let row = |row: &[bool]| row.iter().map(|&h| if h { 'x' } else { '.' }).collect();
            hide.chunks(size).map(row).collect()
        };
        let tokens = tokens();
        let found = rows(tokens.decoder_mask(true).hide(), 6);
        assert_eq!(found, ["..xx..", "..xx..", "......", "......", "xxxx..", "xxxx.."]);
        let found = rows(tokens.encoder_mask(true).hide(), 6);
        // Kept tokens 1 of bin 0, 2 and 3 of bin 1, and a row that is filled up.
        assert_eq!(found[..6], [".xxx..", "...x..", "...x..", "xxx...", "xxxx..", "xxxx.."]);
        assert_eq!(found[6..], ["..xx..", "..xx..", "......", "......", "xxxx..", "xxxx.."]);
        let found = rows(tokens.encoder_mask(false).hide(), 6);
        assert_eq!(found[..6], ["...x..", "...x..", "...x..", "xxx...", "xxxx..", "xxxx.."]);
    }
}
