//! The metrics of the Neural Latents Benchmark (Pei et al. 2021), as `nlb_tools` at commit 1ddc15f computes them.
//!
//! [`evaluate`] scores a submission against its targets; its parts stand alone: [`velocity_r2`], [`psth_r2`],
//! [`speed_correlation`], and [`bits_per_spike`](crate::bits_per_spike) for co-smoothing and forward prediction.
//! [`chop`], [`merge`] and [`smooth_segments`] are what its models use around them. Values are for comparison with
//! published tables: they carry no interval; use [`BitsTable`](crate::BitsTable) and [`Score`](crate::Score) for
//! claims of one's own.

mod chop;
mod evaluate;
mod psth;
mod segments;
mod speed;
mod velocity;

pub use chop::{chop, merge};
pub use evaluate::{Evaluation, Submission, Targets, evaluate};
pub use psth::psth_r2;
pub use segments::smooth_segments;
pub use speed::speed_correlation;
pub use velocity::{DecodeMasks, DecoderPenalty, velocity_r2};
