//! The same weights, bin by bin: from a model to a stream of one session.

use neurobrick_core::weights::state_dict;
use neurobrick_core::{ModelError, PopulationModel, Prompt};
use neurobrick_nn::Activation;
use neurobrick_schema::SessionId;
use neurobrick_stream::{SessionPlace, StreamError, StreamSizes, StreamWeights};

use super::{NdtStitch, NdtStitchConfig};

/// Why a model cannot be streamed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NdtStreamError {
    /// The model does not know the session or cannot be read bin by bin.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The weights are not what a stream needs.
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl NdtStitchConfig {
    /// Sizes of a stream for a session of `n_units` units.
    pub fn stream_sizes(&self, n_units: usize) -> StreamSizes {
        StreamSizes {
            n_units,
            n_bins: self.n_bins,
            d_stitch: self.d_stitch,
            d_embed: self.d_embed,
            d_model: self.d_model,
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            d_mlp: self.d_mlp,
        }
    }
}

impl NdtStitch {
    /// Weights for answering `session` bin by bin, under causal attention and the prompt of forward prediction.
    ///
    /// # Errors
    /// If the session is unknown, a weight is not finite, the model has no shared embedding or another function than GELU, or it
    /// is `faithful`: its prefix tokens see the whole window, so no bin can be answered before the last.
    pub fn stream_weights(&self, session: &SessionId) -> Result<StreamWeights, NdtStreamError> {
        let idx = self.session_idx(session)?;
        let config = self.config();
        if config.faithful {
            return Err(NdtStreamError::Model(ModelError::Unsupported {
                what: "answer bin by bin, since its prefix tokens see the future".to_owned(),
                hint: "train it with `faithful = false`".to_owned(),
            }));
        }
        if config.d_embed == 0 || config.activation != Activation::Gelu {
            return Err(NdtStreamError::Model(ModelError::Unsupported {
                what: "answer bin by bin: streams have a shared embedding and GELU".to_owned(),
                hint: "train it with `d_embed` above 0 and `activation = \"gelu\"`".to_owned(),
            }));
        }
        let sizes = config.stream_sizes(self.sessions()[idx].n_units);
        let place = SessionPlace {
            stitch: self.stitch_of[idx],
            session_row: self.first_row + idx,
            prompt_row: config.prompt.then(|| Prompt::Causal.row()),
        };
        let state = state_dict(self);
        let lookup = |name: &str| {
            let data = state.get(name)?;
            // A stream has no factor before the projection: its weights take it in.
            #[expect(clippy::cast_possible_truncation, reason = "streams compute in single precision")]
            let scale = if name == "projection.weight" { config.embed_scale as f32 } else { 1.0 };
            Some((data.shape().to_vec(), data.iter::<f32>().map(|weight| weight * scale).collect()))
        };
        Ok(StreamWeights::from_lookup(&sizes, place, &lookup)?)
    }
}
