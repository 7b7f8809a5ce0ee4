//! From the initial condition to factors: the generator, and the controller that pushes it.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::Mode;
use neurobrick_nn::ops::{ControlledRun, control};
use neurobrick_nn::{
    ClippedGru, DiagonalGaussian, Dropout, InitStreams, UnitLinear, affine, gru_bias, gru_drive,
};

use super::LfadsConfig;
use super::model::Site;
use super::stitch::normal_linear;

/// What infers inputs.
#[derive(Module, Debug)]
pub(super) struct Controller {
    /// Encoder → drive.
    from_encoder: Linear,
    /// Factors → drive, `[F, 3 C]`.
    from_factors: Param<Tensor<2>>,
    pub(super) cell: ClippedGru,
    /// First state `[1, C]`.
    start: Param<Tensor<2>>,
    /// State → means and log variances of inputs.
    to_inputs: Linear,
    /// Inputs → drive of the generator, `[U, 3 G]`.
    into_generator: Param<Tensor<2>>,
    encoder_dropout: Dropout,
    factor_dropout: Dropout,
}

/// The generator with its way in and out.
#[derive(Module, Debug)]
pub(super) struct Generator {
    /// Initial condition → first state.
    from_initial: Linear,
    /// Drive without any input `[3 G]`.
    bias: Param<Tensor<1>>,
    /// External inputs → drive, `[E, 3 G]`.
    from_external: Option<Param<Tensor<2>>>,
    pub(super) cell: ClippedGru,
    to_factors: UnitLinear,
    pub(super) controller: Option<Controller>,
    state_dropout: Dropout,
    external_dropout: Dropout,
}

/// What the generator answers.
pub(super) struct Generated {
    pub(super) start: Tensor<2>,
    pub(super) states: Tensor<3>,
    pub(super) factors: Tensor<3>,
    pub(super) controller_states: Option<Tensor<3>>,
    pub(super) inputs: Option<DiagonalGaussian<3>>,
}

/// What the generator starts from and is driven by.
pub(super) struct Seeds {
    /// Initial condition `[B, Z]`, a mean or a sample.
    pub(super) initial: Tensor<2>,
    /// What the controller reads `[B, T, 2 H]`.
    pub(super) encoded: Option<Tensor<3>>,
    /// External inputs `[B, T, E]`.
    pub(super) external: Option<Tensor<3>>,
    /// Noise of the inputs `[B, T, U]`; without it they are their means.
    pub(super) noise: Option<Tensor<3>>,
}

impl Generator {
    pub(super) fn new(config: &LfadsConfig, init: &mut InitStreams, device: &Device) -> Self {
        let LfadsConfig { d_generator: g, n_factors: f, d_controller: c, d_inputs: u, .. } = *config;
        let (d_encoded, d_external) = (2 * config.d_ci_encoder, config.d_external);
        // Controller and generator start as the reference starts them: by the widths of input and state apart.
        let std = |width: usize| (width.max(1) as f64).powf(-0.5);
        let from_generator_inputs = std(u + d_external);
        let site = |site: Site| Dropout::new(config.dropout, site.number());
        let controller = config.has_controller().then(|| Controller {
            from_encoder: gru_drive(d_encoded, c, 1, std(d_encoded + f), init, device),
            from_factors: init.normal([f, 3 * c], std(d_encoded + f), device),
            cell: ClippedGru::new(c, config.clip, std(c), init, device),
            start: Param::from_tensor(Tensor::zeros([1, c], device)),
            to_inputs: normal_linear(c, 2 * u, 1.0, init, device),
            into_generator: init.normal([u, 3 * g], from_generator_inputs, device),
            encoder_dropout: site(Site::Encoded),
            factor_dropout: site(Site::Factors),
        });
        Self {
            from_initial: normal_linear(config.d_initial, g, 1.0, init, device),
            bias: gru_bias(g, 1, device),
            from_external: (d_external > 0)
                .then(|| init.normal([d_external, 3 * g], from_generator_inputs, device)),
            cell: ClippedGru::new(g, config.clip, std(g), init, device),
            to_factors: UnitLinear::new(g, f, init, device),
            controller,
            state_dropout: site(Site::States),
            external_dropout: site(Site::External),
        }
    }

    pub(super) fn forward(&self, n_bins: usize, seeds: Seeds, mode: Mode<'_>) -> Generated {
        let start = affine(seeds.initial, &self.from_initial);
        let [b, g] = start.dims();
        let device = start.device();
        let mut drive = self.bias.val().reshape([1, 1, 3 * g]);
        if let (Some(weight), Some(external)) = (&self.from_external, seeds.external) {
            let external = self.external_dropout.forward(external, mode);
            drive = drive + external.matmul(weight.val().unsqueeze());
        }
        let state_drops = self.state_dropout.factors([b, n_bins + 1, g], mode, &device);
        let to_factors = self.to_factors.unit_weight();
        let (Some(controller), Some(encoded)) = (&self.controller, seeds.encoded) else {
            let states = self.cell.forward(drive.expand([b, n_bins, 3 * g]), start.clone(), false);
            let read = match state_drops {
                Some(drops) => states.clone() * drops.narrow(1, 1, n_bins),
                None => states.clone(),
            };
            let factors = read.matmul(to_factors.unsqueeze());
            return Generated { start, states, factors, controller_states: None, inputs: None };
        };
        let encoded = controller.encoder_dropout.forward(encoded, mode);
        let [n_factors, three_c] = controller.from_factors.val().dims();
        let answer = control(ControlledRun {
            controller_drive: affine(encoded, &controller.from_encoder),
            generator_drive: drive,
            controller_start: controller.start.val().expand([b, three_c / 3]),
            generator_start: start.clone(),
            controller_recurrent: controller.cell.recurrent.val(),
            generator_recurrent: self.cell.recurrent.val(),
            factors_to_controller: controller.from_factors.val(),
            controller_to_inputs: controller.to_inputs.weight.val(),
            inputs_bias: match &controller.to_inputs.bias {
                Some(bias) => bias.val(),
                None => Tensor::zeros([controller.to_inputs.weight.val().dims()[1]], &device),
            },
            inputs_to_generator: controller.into_generator.val(),
            generator_to_factors: to_factors,
            noise: seeds.noise,
            factor_drops: controller.factor_dropout.factors([b, n_bins, n_factors], mode, &device),
            state_drops,
            controller_clip: controller.cell.clip(),
            generator_clip: self.cell.clip(),
        });
        Generated {
            start,
            states: answer.states,
            factors: answer.factors,
            controller_states: Some(answer.controller_states),
            inputs: Some(DiagonalGaussian { mean: answer.input_means, log_var: answer.input_log_vars }),
        }
    }
}
