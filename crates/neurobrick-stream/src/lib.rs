//! Causal inference bin by bin, for closed loops: the model of `neurobrick-models`' `NdtStitch` under causal attention,
//! with keys and values kept, without a tensor library and without allocation after construction.
//!
//! ```
//! use neurobrick_stream::{CausalStream, Precision, SessionPlace, StreamSizes, StreamWeights};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sizes = StreamSizes {
//!     n_units: 3, n_bins: 50, d_stitch: 8, d_embed: 16, d_model: 8, n_layers: 2, n_heads: 2, d_mlp: 16,
//! };
//! let place = SessionPlace { stitch: 0, session_row: 0, prompt_row: Some(1) };
//! // Any source of weights serves; here every parameter is a constant.
//! let shapes: std::collections::BTreeMap<_, _> = sizes.parameters(&place).into_iter().collect();
//! let constant = |name: &str| {
//!     let shape = shapes.get(name)?.clone();
//!     let n_values = shape.iter().product();
//!     Some((shape, vec![0.1; n_values]))
//! };
//! let weights = StreamWeights::from_lookup(&sizes, place, &constant)?;
//! let mut stream = CausalStream::new(&weights, Precision::F32)?;
//! let answer = stream.predict_bin(&[0u16, 2, 1])?;
//! assert_eq!((answer.bin, answer.rates.len(), answer.latents.len()), (0, 3, 8));
//! let ahead = stream.forecast(5)?;
//! assert_eq!((ahead.first_bin, ahead.rates.len()), (1, 15));
//! # Ok(())
//! # }
//! ```
//!
//! The crate has no features.

#![allow(
    clippy::inline_always,
    reason = "a function that is not inlined into the dispatched one is compiled without its instructions"
)]

mod cache;
mod decoder;
mod error;
mod layer;
mod panels;
mod precision;
mod sizes;
mod stream;
mod weights;

pub use decoder::{Decoded, Decoder, DecoderKind};
pub use error::StreamError;
pub use precision::Precision;
pub use sizes::{SessionPlace, StreamSizes};
pub use stream::{BinAnswer, CausalStream, Count, Forecast};
pub use weights::{Lookup, StreamWeights};
