//! The per-session layers that let one network read many animals.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Array2;
use neurobrick_core::Alignment;

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
            read_out.weight = Param::from_tensor((read_out.weight.val() * weight_scale).detach());
            read_out.bias = Some(Param::from_tensor(single(log_mean_rates, [n_units], device)));
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

    /// The same maps, but the first channels of the read-in are the components of `alignment`, and the first latents are
    /// read out as these components would be, times `read_out_scale`; the bias of the read-out is the log of the mean
    /// rates. Channels and latents beyond the components stay as they are.
    ///
    /// # Panics
    /// If the alignment is of other units, or has more components than there are channels or latents.
    #[must_use]
    pub fn aligned(self, alignment: &Alignment, read_out_scale: f64, device: &Device) -> Self {
        let n_units = alignment.n_units();
        let values = |array: &Array2<f64>, factor: f64| {
            let values: Vec<f64> = array.iter().map(|v| v * factor).collect();
            single::<2>(&values, [array.nrows(), array.ncols()], device)
        };
        let replaced = |layer: Linear, axis: usize, values: Tensor<2>, bias: Tensor<1>| {
            let (weight, n) = (layer.weight.val(), values.dims()[axis]);
            let rest = weight.dims()[axis] - n;
            let weight = match rest {
                0 => values,
                _ => Tensor::cat(vec![values, weight.narrow(axis, n, rest)], axis),
            };
            Linear {
                weight: Param::from_tensor(weight.detach()),
                bias: Some(Param::from_tensor(bias.detach())),
            }
        };
        let k = alignment.n_components();
        let (read_in, read_out) = (self.read_in, self.read_out);
        assert!(
            k <= read_in.weight.dims()[1] && k <= read_out.weight.dims()[0],
            "more components than channels"
        );
        assert_eq!(n_units, read_in.weight.dims()[0], "units of the alignment");
        let own = single::<1>(&alignment.read_in_bias, [k], device);
        let bias_in = match read_in.bias.as_ref().map(Param::val) {
            Some(bias) if bias.dims()[0] > k => {
                let rest = bias.dims()[0] - k;
                Tensor::cat(vec![own, bias.narrow(0, k, rest)], 0)
            }
            _ => own,
        };
        let bias_out = single(&alignment.log_mean_rates, [n_units], device);
        Self {
            read_in: replaced(read_in, 1, values(&alignment.read_in, 1.0), bias_in),
            read_out: replaced(read_out, 0, values(&alignment.read_out, read_out_scale), bias_out),
        }
    }
}

/// Numbers of `shape`, row by row, rounded to single precision, as all weights are.
///
/// # Panics
/// If there are more or fewer than `shape` has places.
pub fn single<const D: usize>(values: &[f64], shape: [usize; D], device: &Device) -> Tensor<D> {
    #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
    let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}
