//! What belongs to one session: how its units are read and how factors become its rates.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::check_alignment;
use neurobrick_core::{Alignment, ModelError, SessionSpec};
use neurobrick_nn::{InitStreams, SessionStitch, gru_drive, single};

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
            read_out.bias = Some(Param::from_tensor(single(rates, [n_units], device)));
        }
        Self { read_in, drive, read_out }
    }

    /// The same with read-in and read-out of a closed form (Pandarinath et al. 2018).
    ///
    /// # Errors
    /// If units drive the encoders directly, or the sizes do not fit: components are both channels and factors.
    pub(super) fn aligned(
        &self,
        config: &LfadsConfig,
        spec: &SessionSpec,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let Some(read_in) = &self.read_in else {
            return Err(ModelError::Unsupported {
                what: "start from an alignment, since its units drive the encoders directly".to_owned(),
                hint: "set `d_read_in` to the number of shared channels".to_owned(),
            });
        };
        let n_channels = config.n_factors.min(read_in.weight.dims()[1]);
        check_alignment(spec, n_channels, alignment)?;
        let stitch = SessionStitch { read_in: read_in.clone(), read_out: self.read_out.clone() };
        let SessionStitch { read_in, read_out } = stitch.aligned(alignment, config.read_out_scale, device);
        Ok(Self { read_in: Some(read_in), drive: None, read_out })
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
