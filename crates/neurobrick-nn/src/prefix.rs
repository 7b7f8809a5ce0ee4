//! Learned tokens in front of a sequence: prompts, tokens of sessions, registers.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::InitStreams;

/// A table of learned tokens `[R, D]`. As prompts or tokens of sessions, one row stands in front of a sequence; as registers
/// (Darcet et al. 2023, arXiv:2309.16588), all of them do, where attention may keep what belongs to no token.
#[derive(Module, Debug)]
pub struct TokenTable {
    /// The tokens, a row each.
    pub weight: Param<Tensor<2>>,
}

impl TokenTable {
    /// `n_rows` tokens that start normal with standard deviation `std` (`torch.nn.Embedding`: 1; registers: 0.02).
    pub fn new(n_rows: usize, d_model: usize, std: f64, init: &mut InitStreams, device: &Device) -> Self {
        Self { weight: init.normal([n_rows, d_model], std, device) }
    }

    /// Number of tokens, `R`.
    pub fn n_rows(&self) -> usize {
        self.weight.val().dims()[0]
    }

    /// One token for each of `b` sequences, `[B, 1, D]`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize, b: usize) -> Tensor<3> {
        self.rows(row, 1, b)
    }

    /// All tokens for each of `b` sequences, `[B, R, D]`.
    pub fn all(&self, b: usize) -> Tensor<3> {
        self.rows(0, self.n_rows(), b)
    }

    fn rows(&self, from: usize, n: usize, b: usize) -> Tensor<3> {
        let weight = self.weight.val();
        let d = weight.dims()[1];
        weight.narrow(0, from, n).unsqueeze::<3>().expand([b, n, d])
    }
}

/// Tokens `[B, S, D]` behind what stands in front of them, and the length of that: a model drops as many of its answers.
///
/// # Panics
/// If numbers of sequences or widths differ.
pub fn prepend(mut prefix: Vec<Tensor<3>>, tokens: Tensor<3>) -> (Tensor<3>, usize) {
    let n_prefix = prefix.iter().map(|part| part.dims()[1]).sum();
    prefix.push(tokens);
    (Tensor::cat(prefix, 1), n_prefix)
}
