//! The gated recurrent unit of LFADS, in one and in both directions of time.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData};

use crate::{InitStreams, ops};

/// The recurrent half of LFADS's gated recurrent unit with a clipped state (Pandarinath et al. 2018,
/// doi:10.1038/s41592-018-0109-9; `lfads_torch.modules.recurrent` at 007a555).
///
/// With a drive `x` of three parts and state `h`
///
/// ```text
/// z = σ(x_z + h W_z)    r = σ(x_r + h W_r)    n = tanh(x_n + (r ∘ h) W_n)    h' = clip(z ∘ h + (1 − z) ∘ n)
/// ```
///
/// It is not PyTorch's `GRUCell`, which orders its parts r, z, n and resets after the recurrent product. The drive is
/// an affine map of the input (see [`gru_drive`]); it holds the only bias, since the recurrent one of the reference is
/// frozen at zero.
#[derive(Module, Debug)]
pub struct ClippedGru {
    /// `[H, 3 H]`: columns of update z, reset r and candidate n.
    pub recurrent: Param<Tensor<2>>,
    clip: f64,
}

impl ClippedGru {
    /// A cell of `d_hidden` units whose state stays within ±`clip`, with normal weights of standard deviation `std`.
    pub fn new(d_hidden: usize, clip: f64, std: f64, init: &mut InitStreams, device: &Device) -> Self {
        Self { recurrent: init.normal([d_hidden, 3 * d_hidden], std, device), clip }
    }

    /// Largest absolute value of a state.
    pub fn clip(&self) -> f64 {
        self.clip
    }

    /// Number of hidden units.
    pub fn d_hidden(&self) -> usize {
        self.recurrent.val().dims()[0]
    }

    /// States `[B, T, H]` after every bin, from `start` `[B, H]`, under a drive `[B, T, 3 H]`. With `reverse` the last bin
    /// comes first, and the state of a bin has seen that bin and all later ones.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, drive: Tensor<3>, start: Tensor<2>, reverse: bool) -> Tensor<3> {
        ops::gru(drive, start, self.recurrent.val(), self.clip, reverse)
    }

    /// Sum of squared recurrent weights, which LFADS penalizes.
    pub fn sum_squares(&self) -> Tensor<1> {
        self.recurrent.val().square().sum()
    }

    /// Number of recurrent weights.
    pub fn n_weights(&self) -> usize {
        self.recurrent.val().shape().num_elements()
    }
}

/// The affine map from inputs of width `d_input` to the drives of `n_cells` cells of `d_hidden` units side by side:
/// weights normal with standard deviation `std`; biases 1 for update and reset and 0 for the candidate, as in LFADS.
pub fn gru_drive(
    d_input: usize,
    d_hidden: usize,
    n_cells: usize,
    std: f64,
    init: &mut InitStreams,
    device: &Device,
) -> Linear {
    let weight = init.normal([d_input, 3 * d_hidden * n_cells], std, device);
    Linear { weight, bias: Some(gru_bias(d_hidden, n_cells, device)) }
}

/// The bias of [`gru_drive`] alone: a cell without inputs is driven by it.
pub fn gru_bias(d_hidden: usize, n_cells: usize, device: &Device) -> Param<Tensor<1>> {
    let bias: Vec<f32> =
        (0..3 * d_hidden * n_cells).map(|i| if i / d_hidden % 3 < 2 { 1.0 } else { 0.0 }).collect();
    let shape = [bias.len()];
    Param::from_tensor(Tensor::from_data(TensorData::new(bias, shape), device))
}

/// Two [`ClippedGru`] cells that read a window from both ends, each from a learned start.
#[derive(Module, Debug)]
pub struct BidirectionalGru {
    /// From the first bin to the last.
    pub ahead: ClippedGru,
    /// From the last bin to the first.
    pub back: ClippedGru,
    /// Learned first states `[2, H]` of the two; zero at the start of training.
    pub start: Param<Tensor<2>>,
}

impl BidirectionalGru {
    /// Two cells of `d_hidden` units; see [`ClippedGru::new`].
    pub fn new(d_hidden: usize, clip: f64, std: f64, init: &mut InitStreams, device: &Device) -> Self {
        let mut cell = || ClippedGru::new(d_hidden, clip, std, init, device);
        Self { ahead: cell(), back: cell(), start: Param::from_tensor(Tensor::zeros([2, d_hidden], device)) }
    }

    /// States `[B, T, H]` of the cell ahead and of the cell back, under a drive `[B, T, 6 H]`: that of the cell ahead, then
    /// that of the cell back.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn forward(&self, drive: Tensor<3>) -> [Tensor<3>; 2] {
        let [b, _, width] = drive.dims();
        let h = width / 6;
        let starts = [0, 1].map(|row| self.start.val().narrow(0, row, 1).expand([b, h]));
        let recurrents = [self.ahead.recurrent.val(), self.back.recurrent.val()];
        let states = ops::gru_pair(drive, starts, recurrents, self.ahead.clip);
        [states.clone().narrow(2, 0, h), states.narrow(2, h, h)]
    }
}

/// A linear map without bias whose columns are scaled to unit length at every use: LFADS's read-out of factors from the
/// generator, which keeps their scale in the generator's hands.
#[derive(Module, Debug)]
pub struct UnitLinear {
    /// `[D_in, D_out]`, before scaling.
    pub weight: Param<Tensor<2>>,
}

impl UnitLinear {
    /// A map with normal weights of variance `1 / d_input`, which the scaling undoes.
    pub fn new(d_input: usize, d_output: usize, init: &mut InitStreams, device: &Device) -> Self {
        Self { weight: init.normal([d_input, d_output], (d_input as f64).powf(-0.5), device) }
    }

    /// The weights as they are used: every column divided by its length, or by 1e-12 if it is shorter.
    pub fn unit_weight(&self) -> Tensor<2> {
        let weight = self.weight.val();
        let length = weight.clone().square().sum_dim(0).sqrt().clamp_min(1e-12);
        weight / length
    }
}
