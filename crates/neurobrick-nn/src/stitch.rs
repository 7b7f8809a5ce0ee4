//! The per-session layers that let one network read many animals.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::{InitStreams, linear};

/// Where a read-out starts.
#[derive(Clone, Copy, Debug)]
pub enum ReadOutStart<'a> {
    /// `torch.nn.Linear`'s default, as published with MtM.
    Default,
    /// Bias at the log of each unit's mean spikes per bin and default weights times `weight_scale`: the model
    /// starts as the unit-mean baseline instead of predicting about one spike per bin everywhere.
    LogMeanRates {
        /// Natural log of mean spikes per bin, one per unit.
        log_mean_rates: &'a [f64],
        /// Factor on the default weights.
        weight_scale: f64,
    },
}

impl ReadOutStart<'_> {
    /// A map from latents of width `d_latent` to the log rates of `n_units` units that starts here.
    pub fn read_out(
        self,
        d_latent: usize,
        n_units: usize,
        init: &mut InitStreams,
        device: &Device,
    ) -> Linear {
        let mut read_out = linear(d_latent, n_units, init, device);
        if let Self::LogMeanRates { log_mean_rates, weight_scale } = self {
            #[expect(clippy::cast_possible_truncation, reason = "biases are single precision")]
            let bias: Vec<f32> = log_mean_rates.iter().map(|&r| r as f32).collect();
            read_out.weight = Param::from_tensor((read_out.weight.val() * weight_scale).detach());
            read_out.bias =
                Some(Param::from_tensor(Tensor::from_data(TensorData::new(bias, [n_units]), device)));
        }
        read_out
    }
}

/// Linear maps between the units of one session and the widths that all sessions share.
#[derive(Module, Debug)]
pub struct SessionStitch {
    /// Units → shared width.
    pub read_in: Linear,
    /// Latents → log rate of each unit.
    pub read_out: Linear,
}

impl SessionStitch {
    /// A stitch for `n_units` units between widths `d_in` and `d_latent`.
    pub fn new(
        n_units: usize,
        d_in: usize,
        d_latent: usize,
        start: ReadOutStart<'_>,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        let read_in = linear(n_units, d_in, init, device);
        Self { read_in, read_out: start.read_out(d_latent, n_units, init, device) }
    }
}
