//! Fused CPU kernels on plain `f32` slices, forward and backward, for models of neural data.
//!
//! No tensor library: arrays are row-major slices and their sizes. `neurobrick-nn` lends them to Burn's Flex
//! backend.
//!
//! ```
//! use neurobrick_kernels::{DropoutStream, gelu, layer_norm};
//!
//! let x = [0.5, -1.0, 2.0, 0.0]; // one row of four
//! let (mut normed, mut stats) = ([0.0; 4], [0.0; 2]);
//! layer_norm(&x, &[1.0; 4], &[0.0; 4], 1e-5, &mut normed, &mut stats);
//!
//! let mut hidden = [0.0; 4];
//! gelu(&normed, &mut hidden);
//!
//! DropoutStream::new(42, 0, 0, 0).apply_add(0.1, 0, &x, &mut hidden);
//! assert!(hidden.iter().all(|v| v.is_finite()));
//! ```
//!
//! The crate has no features.

#![expect(
    clippy::inline_always,
    reason = "code for an instruction set must be inlined into the function that is compiled for it"
)]

mod activations;
mod attention;
mod cell;
mod control;
mod counts;
mod dropout;
mod exp_erf;
mod gru;
mod lanes;
mod layer_norm;
mod normals;
mod optimizer;
mod poisson;
mod product;
mod rotary;
mod simd;
mod softmax;

pub use activations::{gelu, gelu_backward, softsign, softsign_backward};
pub use attention::{AttentionDropout, AttentionShape, attention, attention_backward};
pub use control::{ControlGradients, ControlInputs, ControlShape, ControlTrace, control, control_backward};
pub use counts::SparseCounts;
pub use dropout::{DropoutStream, philox4x32};
pub use exp_erf::{erf, erf_slice, exp, exp_slice};
pub use gru::{GruCell, GruGradients, GruInputs, GruShape, GruTrace, gru, gru_backward};
pub use layer_norm::{layer_norm, layer_norm_backward};
pub use optimizer::{AdamWRates, AdamWStep, adamw, add_assign, sum_squares};
pub use poisson::{poisson_nll, poisson_nll_and_slopes};
pub use product::{Matrix, add_rows, product, product_of};
pub use rotary::{TurnPairs, TurnTable, turn};
pub use softmax::softmax;
