//! Sizes and switches of LFADS.

use neurobrick_core::ModelError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::require;

/// Sizes and switches of an [`Lfads`](crate::Lfads). Defaults are those of `lfads-torch` at 007a555.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LfadsConfig {
    /// Bins of a window.
    pub n_bins: usize,
    /// Last bins of the window, which encoders never read: the generator runs on into them.
    #[serde(default)]
    pub n_forward_bins: usize,
    /// First bins, which the encoder of initial conditions reads alone while that of inputs reads the rest; with 0 both read
    /// everything.
    #[serde(default)]
    pub n_ic_bins: usize,
    /// Width of a read-in by session, for several sessions; without it the units of a session drive the encoders through
    /// weights of their own.
    #[serde(default)]
    pub d_read_in: Option<usize>,
    /// Units of the encoder of initial conditions, in each direction.
    pub d_ic_encoder: usize,
    /// Units of the encoder of inputs, in each direction. Zero together with `d_controller` and `d_inputs`: no controller.
    pub d_ci_encoder: usize,
    /// Bins by which the encoder of inputs is delayed, so that the controller cannot copy the bin it explains.
    #[serde(default = "one")]
    pub ci_lag: usize,
    /// Units of the controller.
    pub d_controller: usize,
    /// Number of inferred inputs.
    pub d_inputs: usize,
    /// Dimensions of the initial condition.
    pub d_initial: usize,
    /// Units of the generator.
    pub d_generator: usize,
    /// Number of factors.
    pub n_factors: usize,
    /// Number of external inputs, which only `Lfads::states` can be given.
    #[serde(default)]
    pub d_external: usize,
    /// Dropout on data, codes, inputs of the controller and states as factors are read from them.
    pub dropout: f64,
    /// Bound of recurrent states.
    #[serde(default = "five")]
    pub clip: f64,
    /// Variance of the prior of initial conditions.
    #[serde(default = "tenth")]
    pub initial_prior_var: f64,
    /// Added to the variance of the posterior of initial conditions.
    #[serde(default = "small_variance")]
    pub initial_min_var: f64,
    /// Time constant from which the prior of inputs starts, in bins.
    #[serde(default = "ten")]
    pub input_prior_tau: f64,
    /// Variance of noise from which the prior of inputs starts.
    #[serde(default = "tenth")]
    pub input_prior_noise_var: f64,
    /// Weight of the divergence of initial conditions, beside a likelihood averaged over bins and units: published values
    /// can be taken over (1e-7 to 1e-3).
    #[serde(default)]
    pub kl_initial: f64,
    /// The same for inputs.
    #[serde(default)]
    pub kl_inputs: f64,
    /// Weight of the squared recurrent weights of the encoder of initial conditions, beside a likelihood averaged over
    /// bins and units. Squares are halved and divided by the number of all weights that are penalized.
    #[serde(default)]
    pub l2_ic_encoder: f64,
    /// The same for the encoder of inputs.
    #[serde(default)]
    pub l2_ci_encoder: f64,
    /// The same for the generator.
    #[serde(default)]
    pub l2_generator: f64,
    /// The same for the controller.
    #[serde(default)]
    pub l2_controller: f64,
    /// Posterior samples whose rates and factors are averaged in evaluation; with 0 posteriors are read at their means.
    #[serde(default)]
    pub n_samples: usize,
    /// Factor on the default read-out weights of a session whose mean rates are known; its bias starts at the log mean
    /// rate.
    #[serde(default = "one_float")]
    pub read_out_scale: f64,
}

fn one() -> usize {
    1
}
fn one_float() -> f64 {
    1.0
}
fn five() -> f64 {
    5.0
}
fn ten() -> f64 {
    10.0
}
fn tenth() -> f64 {
    0.1
}
fn small_variance() -> f64 {
    1e-4
}

impl LfadsConfig {
    /// A size for CPUs with two inferred inputs and the regularization that `lfads-torch` searches around.
    pub fn small(n_bins: usize) -> Self {
        Self {
            n_bins,
            n_forward_bins: 0,
            n_ic_bins: 0,
            d_read_in: Some(24),
            d_ic_encoder: 32,
            d_ci_encoder: 24,
            ci_lag: 1,
            d_controller: 24,
            d_inputs: 2,
            d_initial: 16,
            d_generator: 64,
            n_factors: 16,
            d_external: 0,
            dropout: 0.1,
            clip: five(),
            initial_prior_var: tenth(),
            initial_min_var: small_variance(),
            input_prior_tau: ten(),
            input_prior_noise_var: tenth(),
            kl_initial: 1e-5,
            kl_inputs: 1e-4,
            l2_ic_encoder: 0.0,
            l2_ci_encoder: 0.0,
            l2_generator: 1e-3,
            l2_controller: 1e-3,
            n_samples: 0,
            read_out_scale: 0.3,
        }
    }

    /// Bins that encoders read.
    pub fn n_encoded_bins(&self) -> usize {
        self.n_bins.saturating_sub(self.n_forward_bins)
    }

    /// Whether inputs are inferred.
    pub fn has_controller(&self) -> bool {
        self.d_inputs > 0
    }

    /// Checks every value.
    ///
    /// # Errors
    /// If a size is zero, segments do not fit the window, a controller is half there, or a weight is out of range.
    pub fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("n_bins", self.n_bins),
            ("d_read_in", self.d_read_in.unwrap_or(1)),
            ("d_ic_encoder", self.d_ic_encoder),
            ("d_initial", self.d_initial),
            ("d_generator", self.d_generator),
            ("n_factors", self.n_factors),
        ];
        for (field, value) in sizes {
            require(field, value, value > 0, "positive")?;
        }
        let fits = self.n_forward_bins < self.n_bins;
        require("n_forward_bins", self.n_forward_bins, fits, &format!("below n_bins = {}", self.n_bins))?;
        let n_encoded = self.n_encoded_bins();
        let fits = self.n_ic_bins < n_encoded;
        require("n_ic_bins", self.n_ic_bins, fits, &format!("below the {n_encoded} bins that are encoded"))?;
        let parts = [
            ("d_ci_encoder", self.d_ci_encoder),
            ("d_controller", self.d_controller),
            ("d_inputs", self.d_inputs),
        ];
        let n_given = parts.iter().filter(|(_, size)| *size > 0).count();
        for (field, size) in parts {
            let whole = n_given == 0 || size > 0;
            require(
                field,
                size,
                whole,
                "positive, since other parts of the controller are; or all of them 0",
            )?;
        }
        require("dropout", self.dropout, (0.0..1.0).contains(&self.dropout), "in [0, 1)")?;
        for (field, value) in [
            ("clip", self.clip),
            ("initial_prior_var", self.initial_prior_var),
            ("input_prior_tau", self.input_prior_tau),
            ("input_prior_noise_var", self.input_prior_noise_var),
            ("read_out_scale", self.read_out_scale),
        ] {
            require(field, value, value > 0.0 && value.is_finite(), "positive and finite")?;
        }
        for (field, value) in [
            ("initial_min_var", self.initial_min_var),
            ("kl_initial", self.kl_initial),
            ("kl_inputs", self.kl_inputs),
            ("l2_ic_encoder", self.l2_ic_encoder),
            ("l2_ci_encoder", self.l2_ci_encoder),
            ("l2_generator", self.l2_generator),
            ("l2_controller", self.l2_controller),
        ] {
            require(field, value, value >= 0.0 && value.is_finite(), "zero or positive")?;
        }
        Ok(())
    }
}
