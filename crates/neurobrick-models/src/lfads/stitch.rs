//! What belongs to one session: how its units are read and how factors become its rates.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::sessions::check_size;
use neurobrick_core::{ModelError, SessionSpec};
use neurobrick_nn::{InitStreams, gru_drive};

use super::LfadsConfig;

/// What drives the cells of both encoders.
#[derive(Module, Debug)]
pub(super) struct EncoderDrive {
    /// `[D, 6 H]` of the encoder of initial conditions.
    pub(super) ic: Linear,
    /// `[D, 6 H]` of the encoder of inputs.
    pub(super) ci: Option<Linear>,
}

impl EncoderDrive {
    /// Drives from `d_input` channels.
    pub(super) fn new(config: &LfadsConfig, d_input: usize, init: &mut InitStreams, device: &Device) -> Self {
        let mut drive = |d_hidden: usize| {
            let std = ((d_input + d_hidden) as f64).powf(-0.5);
            gru_drive(d_input, d_hidden, 2, std, init, device)
        };
        let ic = drive(config.d_ic_encoder);
        Self { ic, ci: config.has_controller().then(|| drive(config.d_ci_encoder)) }
    }
}

/// The layers of one session.
#[derive(Module, Debug)]
pub(super) struct LfadsStitch {
    /// Units → shared channels, if there are some.
    pub(super) read_in: Option<Linear>,
    /// Units → encoders, if there are no shared channels.
    pub(super) drive: Option<EncoderDrive>,
    /// Factors → log rate of each unit.
    pub(super) read_out: Linear,
}

impl LfadsStitch {
    pub(super) fn new(config: &LfadsConfig, spec: &SessionSpec, seed: u64, device: &Device) -> Self {
        let mut init = InitStreams::new(seed, spec.session.as_str());
        let n_units = spec.n_units;
        let read_in = config.d_read_in.map(|width| normal_linear(n_units, width, 1.0, &mut init, device));
        let drive = config.d_read_in.is_none().then(|| EncoderDrive::new(config, n_units, &mut init, device));
        let scale = if spec.log_mean_rates.is_some() { config.read_out_scale } else { 1.0 };
        let mut read_out = normal_linear(config.n_factors, n_units, scale, &mut init, device);
        if let Some(rates) = &spec.log_mean_rates {
            read_out.bias = Some(Param::from_tensor(values(rates, [n_units], device)));
        }
        Self { read_in, drive, read_out }
    }
}

/// LFADS's linear layers: weights normal with variance 1 over the number of inputs, here times `scale` squared; bias 0.
pub(super) fn normal_linear(
    d_input: usize,
    d_output: usize,
    scale: f64,
    init: &mut InitStreams,
    device: &Device,
) -> Linear {
    let weight = init.normal([d_input, d_output], scale * (d_input as f64).powf(-0.5), device);
    Linear { weight, bias: Some(Param::from_tensor(Tensor::zeros([d_output], device))) }
}

/// Numbers rounded to single precision, as all weights are.
fn values<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Layers of a session from a closed form, such as regression of its condition averages on principal components that all
/// sessions share (Pandarinath et al. 2018).
#[derive(Clone, Debug, PartialEq)]
pub struct LfadsAlignment {
    /// Units → shared channels, row by row: `[N, D]`.
    pub read_in: Vec<f64>,
    /// Added after that, `[D]`.
    pub read_in_bias: Vec<f64>,
    /// Factors → log rates, row by row: `[F, N]`.
    pub read_out: Vec<f64>,
    /// Log rates without factors, `[N]`: the log of the mean rates, say.
    pub read_out_bias: Vec<f64>,
}

impl LfadsAlignment {
    /// The layers it describes.
    pub(super) fn stitch(
        &self,
        config: &LfadsConfig,
        spec: &SessionSpec,
        device: &Device,
    ) -> Result<LfadsStitch, ModelError> {
        let Some(width) = config.d_read_in else {
            return Err(ModelError::Unsupported {
                what: "start from an alignment, since its units drive the encoders directly".to_owned(),
                hint: "set `d_read_in` to the number of shared channels".to_owned(),
            });
        };
        let (n, f) = (spec.n_units, config.n_factors);
        for (what, wanted, given) in [
            ("values of the read-in", n * width, self.read_in.len()),
            ("values of the bias of the read-in", width, self.read_in_bias.len()),
            ("values of the read-out", f * n, self.read_out.len()),
            ("values of the bias of the read-out", n, self.read_out_bias.len()),
        ] {
            check_size(spec, what, wanted, given)?;
        }
        let layer = |weight: &[f64], bias: &[f64], shape: [usize; 2]| Linear {
            weight: Param::from_tensor(values(weight, shape, device)),
            bias: Some(Param::from_tensor(values(bias, [shape[1]], device))),
        };
        Ok(LfadsStitch {
            read_in: Some(layer(&self.read_in, &self.read_in_bias, [n, width])),
            drive: None,
            read_out: layer(&self.read_out, &self.read_out_bias, [f, n]),
        })
    }
}
