//! Tokenizers of neural data: what a transformer reads, and where and when each piece of it is from.
//!
//! | tokenizer | reads | a token is | as in |
//! |---|---|---|---|
//! | [`TimeBins`] | counts `[B, T, N]` | all units of one bin | NDT-1 (Ye and Pandarinath 2021), MtM (Zhang et al. 2024) |
//! | [`TimeUnitPatches`] | counts `[B, T, N]` | a few bins of a few neighboring units | NDT-2 (Ye et al. 2023) |
//! | [`SpikeEvents`] | single spikes | one spike; also a start and an end for each unit | POYO (Azabou et al. 2023) |
//! | [`SignalPatches`] | signals `[B, T, C]` | a stretch of one channel | transformers of EEG, as in Jiang et al. 2024 (`LaBraM`) |
//! | [`Spectrogram`] | signals `[B, T, C]` | the spectrum of a stretch of one channel | short-time Fourier transform |
//!
//! All implement [`Tokenizer`](neurobrick_core::Tokenizer), the seam for tokenizers of one's own, which
//! `neurobrick_testkit::tokenizer_contract!` tests. They have settings and no weights; embedding is left to the model. Those of
//! counts and signals compute on the device where their windows are, and can be undone ([`PatchGrid::join`],
//! [`SignalPatches::join`]), which is what a model needs that predicts what was hidden from it.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use neurobrick_core::Tokenizer;
//! use neurobrick_tokenize::{LastPatch, SignalPatches};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Two windows of 250 samples of 4 channels at 100 Hz, in patches of a second that overlap by half.
//! let signals = Tensor::<3>::ones([2, 250, 4], &Device::flex());
//! let patches = SignalPatches::new(100.0, 100, 50, LastPatch::Drop)?;
//! let tokens = patches.tokenize(&signals)?;
//! assert_eq!(tokens.values.map(|values| values.dims()), Some([2, 4 * 4, 100]));
//! let last = &tokens.places.of_window(1)[15];
//! assert_eq!((last.sources.clone(), last.start_s, last.end_s), (3..4, 1.5, 2.5));
//! # Ok(())
//! # }
//! ```
//!
//! Axes: `B` batch, `T` time bins or samples, `N` units, `C` channels, `S` tokens.
//!
//! Features `tch`, `vulkan`, `wgpu` and `cuda` pass on those of `neurobrick-core`: further devices to compute on.

mod patches;
mod signal_patches;
mod spectrogram;
mod spike_events;
mod time_bins;

pub use patches::{PatchGrid, TimeUnitPatches};
pub use signal_patches::{LastPatch, SignalPatches};
pub use spectrogram::Spectrogram;
pub use spike_events::{Spike, SpikeEvents, SpikeWindow};
pub use time_bins::TimeBins;
