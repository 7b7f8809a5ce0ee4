//! From counts to the posterior of the initial condition and to what the controller reads.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::Mode;
use neurobrick_nn::{BidirectionalGru, DiagonalGaussian, Dropout, InitStreams, affine};

use super::LfadsConfig;
use super::model::Site;
use super::stitch::normal_linear;

/// Both encoders, without what drives them.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    pub(super) ic: BidirectionalGru,
    /// Ends of the encoder of initial conditions → mean and log variance.
    to_initial: Linear,
    pub(super) ci: Option<BidirectionalGru>,
    code_dropout: Dropout,
}

/// What the encoders answer.
pub(super) struct Encoded {
    /// Posterior of the initial condition `[B, Z]`.
    pub(super) initial: DiagonalGaussian<2>,
    /// For every bin of the window, states ahead and back: `[B, T, 2 H]`.
    pub(super) inputs: Option<Tensor<3>>,
}

impl Encoder {
    pub(super) fn new(config: &LfadsConfig, d_input: usize, init: &mut InitStreams, device: &Device) -> Self {
        let mut both = |d_hidden: usize| {
            let std = ((d_input + d_hidden) as f64).powf(-0.5);
            BidirectionalGru::new(d_hidden, config.clip, std, init, device)
        };
        let ic = both(config.d_ic_encoder);
        let ci = config.has_controller().then(|| both(config.d_ci_encoder));
        Self {
            ic,
            ci,
            to_initial: normal_linear(2 * config.d_ic_encoder, 2 * config.d_initial, 1.0, init, device),
            code_dropout: Dropout::new(config.dropout, Site::Code.number()),
        }
    }

    /// Encodes drives `[B, T_ic, 6 H]` and `[B, T_ci, 6 H]`.
    pub(super) fn forward(
        &self,
        config: &LfadsConfig,
        ic_drive: Tensor<3>,
        ci_drive: Option<Tensor<3>>,
        mode: Mode<'_>,
    ) -> Encoded {
        let [b, n_bins, _] = ic_drive.dims();
        let h = config.d_ic_encoder;
        let [ahead, back] = self.ic.forward(ic_drive);
        let ends = [ahead.narrow(1, n_bins - 1, 1), back.narrow(1, 0, 1)].map(|x| x.reshape([b, h]));
        let code = self.code_dropout.forward(Tensor::cat(ends.to_vec(), 1), mode);
        let both = affine(code, &self.to_initial);
        let z = config.d_initial;
        let variance = both.clone().narrow(1, z, z).exp() + config.initial_min_var;
        let initial = DiagonalGaussian { mean: both.narrow(1, 0, z), log_var: variance.log() };
        let inputs = match (&self.ci, ci_drive) {
            (Some(encoder), Some(drive)) => Some(lagged(encoder.forward(drive), config)),
            _ => None,
        };
        Encoded { initial, inputs }
    }
}

/// States ahead delayed and states back advanced by the lag, zeros where nothing was encoded: `[B, T, 2 H]`.
fn lagged([ahead, back]: [Tensor<3>; 2], config: &LfadsConfig) -> Tensor<3> {
    let [b, n_bins, h] = ahead.dims();
    let lag = config.ci_lag.min(n_bins);
    let zeros = |n: usize, width: usize| {
        (n > 0).then(|| Tensor::<3>::zeros([b, n, width], (&ahead.device(), ahead.dtype())))
    };
    let kept = |x: &Tensor<3>, from: usize| (lag < n_bins).then(|| x.clone().narrow(1, from, n_bins - lag));
    let joined = |parts: [Option<Tensor<3>>; 3]| {
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        Tensor::cat(parts, 1)
    };
    let delayed = joined([zeros(lag, h), kept(&ahead, 0), None]);
    let advanced = joined([kept(&back, lag), zeros(lag, h), None]);
    let both = Tensor::cat(vec![delayed, advanced], 2);
    joined([zeros(config.n_ic_bins, 2 * h), Some(both), zeros(config.n_forward_bins, 2 * h)])
}
