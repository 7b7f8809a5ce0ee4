//! Sizes and switches of POYO.

use neurobrick_core::ModelError;
use neurobrick_nn::RotaryTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// Sizes and switches of a [`Poyo`](crate::Poyo).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PoyoConfig {
    /// Length of a window in seconds (published: 1).
    pub window_s: f64,
    /// Seconds between steps of latents (published: 0.125).
    pub latent_step_s: f64,
    /// Latents of a step (published: 32; 16 of the small model).
    pub latents_per_step: usize,
    /// Width of a token (published: 128; 64).
    pub d_model: usize,
    /// Width of a head (published: 64).
    pub d_head: usize,
    /// Layers over latents (published: 24; 6).
    pub n_layers: usize,
    /// Heads of the attention to spikes and of outputs to latents (published: 4; 2).
    pub n_cross_heads: usize,
    /// Heads of the attention among latents (published: 8).
    pub n_self_heads: usize,
    /// Numbers to decode, `K`: 2 for a velocity.
    pub n_outputs: usize,
    /// Dropout within the feed-forward parts (published: 0.2).
    pub dropout_ffn: f64,
    /// Dropout on what layers add to latents (published: 0.4).
    pub dropout_residual: f64,
    /// Dropout on attention weights (published: 0.2).
    pub dropout_attention: f64,
    /// Shortest period of rotary time in seconds (published: 1e-4).
    pub t_min_s: f64,
    /// Longest period of rotary time in seconds (published: 2.0627).
    pub t_max_s: f64,
}

impl PoyoConfig {
    /// The published model of 1.3 million parameters (`torch_brain` v0.1.2), which a CPU trains.
    pub fn small(n_outputs: usize) -> Self {
        Self {
            latents_per_step: 16,
            d_model: 64,
            n_layers: 6,
            n_cross_heads: 2,
            ..Self::published(n_outputs)
        }
    }

    /// The published model of 11.8 million parameters (`torch_brain` v0.1.2).
    pub fn published(n_outputs: usize) -> Self {
        Self {
            window_s: 1.0,
            latent_step_s: 0.125,
            latents_per_step: 32,
            d_model: 128,
            d_head: 64,
            n_layers: 24,
            n_cross_heads: 4,
            n_self_heads: 8,
            n_outputs,
            dropout_ffn: 0.2,
            dropout_residual: 0.4,
            dropout_attention: 0.2,
            t_min_s: 1e-4,
            t_max_s: 2.0627,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, heads cannot turn by halves, times are not positive and ascending, or a dropout lies outside
    /// `[0, 1)`.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("latents_per_step", self.latents_per_step),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_cross_heads", self.n_cross_heads),
            ("n_self_heads", self.n_self_heads),
            ("n_outputs", self.n_outputs),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let turns = self.d_head > 0 && self.d_head.is_multiple_of(4);
        require("d_head", self.d_head, turns, "a multiple of 4, since half of it turns in pairs")?;
        let step = self.latent_step_s;
        let fits = step > 0.0 && self.window_s >= step && self.window_s.is_finite();
        require("latent_step_s", step, fits, &format!("positive and at most window_s = {}", self.window_s))?;
        let ascending = self.t_min_s > 0.0 && self.t_min_s < self.t_max_s && self.t_max_s.is_finite();
        require(
            "t_min_s",
            self.t_min_s,
            ascending,
            &format!("positive and below t_max_s = {}", self.t_max_s),
        )?;
        let dropouts = [
            ("dropout_ffn", self.dropout_ffn),
            ("dropout_residual", self.dropout_residual),
            ("dropout_attention", self.dropout_attention),
        ];
        for (field, p) in dropouts {
            require(field, p, (0.0..1.0).contains(&p), "in [0, 1)")?;
        }
        Ok(())
    }

    /// Times of the latents of a window: the centers of its steps, each for as many latents as a step has.
    pub fn latent_times_s(&self) -> Vec<f64> {
        // To a millionth of a step, so that 0.3 s in steps of 0.1 s has three.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of steps")]
        let n_steps = (self.window_s / self.latent_step_s - 1e-6).ceil() as usize;
        let center = |step: usize| (step as f64 + 0.5) * self.latent_step_s;
        (0..n_steps).flat_map(|step| std::iter::repeat_n(center(step), self.latents_per_step)).collect()
    }

    pub(super) fn rotary(&self) -> RotaryTime {
        RotaryTime::new(self.d_head, self.d_head / 2, self.t_min_s, self.t_max_s)
    }
}
