//! Bricks for neural population models that Burn lacks.
//!
//! Session stitches, attention with named contexts, the transformer layers of MtM and of PyTorch, embeddings of counts,
//! gated feed-forward layers, learned prefix tokens, low-rank changes of linear maps, dropout from counter-based streams, PyTorch-like initial weights from our own generator, the masked
//! Poisson loss and other likelihoods, LFADS's clipped recurrent unit, and Gaussian posteriors with their priors. Each
//! brick is usable alone.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use neurobrick_nn::{InitStreams, linear, poisson_nll_sum};
//!
//! let device = Device::flex();
//! let mut init = InitStreams::new(42, "read_out");
//! let read_out = linear(8, 3, &mut init, &device);
//! let log_rates = read_out.forward(Tensor::<3>::ones([2, 5, 8], &device));
//! let counts = Tensor::<3>::ones([2, 5, 3], &device);
//! let counted = Tensor::<3>::ones([2, 5, 3], &device);
//! let loss = poisson_nll_sum(log_rates, counts, counted).into_scalar::<f32>();
//! assert!(loss.is_finite());
//! ```
//!
//! Features `tch`, `vulkan`, `wgpu` and `cuda` pass on those of `neurobrick-core`: further devices to compute on.

mod attention;
mod band;
mod counts;
mod dropout;
mod encoder;
pub mod flat;
mod fused;
mod gated;
mod init;
mod latent_priors;
mod layer_norm;
mod likelihoods;
mod lora;
pub mod ops;
mod positions;
mod prefix;
mod recurrent;
mod regions;
mod rotary;
mod scale_norm;
mod stitch;
mod transformer;

pub use attention::{ContextAttention, PrefixVisibility, context_mask};
pub use band::Band;
pub use counts::CountEmbedding;
pub use dropout::Dropout;
pub use encoder::{Activation, EncoderConfig, EncoderLayer};
pub use gated::{Gate, GatedConfig, GatedFeedForward};
pub use init::{InitStreams, embedding, linear, scaled};
pub use latent_priors::{AutoregressivePrior, DiagonalGaussian, GaussianPrior};
pub use layer_norm::LayerNorm;
pub use likelihoods::{
    CountTerm, count_cross_entropy, expected_counts, gamma_nll, gaussian_nll, log_gamma, poisson_nll,
    zero_inflated_gamma_nll,
};
pub use lora::{LoraConfig, LoraLinear, freeze_except};
pub use ops::{
    AttentionMask, affine, affine_counts, attend, gelu, normal_noise, normalize, poisson_nll_sum, scalar,
    softsign,
};
pub use positions::sinusoid;
pub use prefix::{TokenTable, prepend};
pub use recurrent::{BidirectionalGru, ClippedGru, UnitLinear, gru_bias, gru_drive};
pub use regions::RegionBlocks;
pub use rotary::{RotaryAttention, RotaryAttentionConfig, RotaryTime, Rotation};
pub use scale_norm::ScaleNorm;
pub use stitch::{ReadOutStart, SessionStitch, single};
pub use transformer::{TransformerConfig, TransformerLayer};
