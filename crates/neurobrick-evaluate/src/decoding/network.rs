//! Small networks as decoders: what counts or latents tell that no linear read-out finds.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use ndarray::{Array1, Array3, ArrayView3, Axis};
use neurobrick_metrics::MetricError;
use neurobrick_nn::{ClippedGru, InitStreams, affine, gelu, gru_drive, linear, scalar};
use neurobrick_random::{Domain, Stream};
use neurobrick_train::{AdamW, AdamWConfig, Gradients, Rates};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Bound that the workspace's one recurrent cell asks for. States begin at zero and are means of values within ±1, so that
/// none above 1 ever acts.
const CLIP: f64 = 5.0;
/// Decay of the first moment of the optimizer.
const BETA1: f64 = 0.9;

/// Which network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// One hidden layer: of a label it sees the mean over the bins of a window, and `decode` gives it what linear decoders
    /// see (roots of summed counts, means of latents) as one bin; of a behavior it sees the bin alone.
    Mlp,
    /// A recurrent layer (Cho et al. 2014) that reads bins one after the other: a label is read from its last state, a
    /// behavior from the state of the bin.
    Gru,
}

impl NetworkKind {
    /// Name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mlp => "mlp",
            Self::Gru => "gru",
        }
    }
}

/// Size and training of a [`NetworkDecoder`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Which networks.
    pub kinds: Vec<NetworkKind>,
    /// Hidden units.
    pub d_hidden: usize,
    /// Most passes over the training trials.
    pub max_epochs: usize,
    /// Passes without a lower loss on validation trials after which training stops.
    pub patience: usize,
    /// Trials of a batch.
    pub batch_size: usize,
    /// Learning rate of AdamW.
    pub learning_rate: f64,
    /// Weight decays to choose from, by the loss on validation trials.
    pub weight_decays: Vec<f64>,
}

impl Default for NetworkConfig {
    /// Both networks, with 16 hidden units since a session has a few hundred trials. All are choices of this crate and from
    /// no publication: the planted tasks of `tests/network_decoders.rs` are learned under them, and nothing was tuned on
    /// recordings.
    fn default() -> Self {
        Self {
            kinds: vec![NetworkKind::Mlp, NetworkKind::Gru],
            d_hidden: 16,
            max_epochs: 200,
            patience: 20,
            batch_size: 32,
            learning_rate: 1e-2,
            weight_decays: vec![0.01, 0.3, 3.0],
        }
    }
}

impl NetworkConfig {
    /// The first value that is out of range, and what it must be.
    pub fn problem(&self) -> Option<(&'static str, &'static str)> {
        let positive = [
            ("d_hidden", self.d_hidden),
            ("max_epochs", self.max_epochs),
            ("patience", self.patience),
            ("batch_size", self.batch_size),
        ];
        if let Some((field, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Some((field, "must be positive"));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return Some(("learning_rate", "must be positive"));
        }
        let is_decay = |decay: &f64| *decay >= 0.0 && decay.is_finite();
        if self.weight_decays.is_empty() || !self.weight_decays.iter().all(is_decay) {
            return Some(("weight_decays", "needs values of at least zero"));
        }
        let twice = self.kinds.iter().enumerate().any(|(i, kind)| self.kinds[..i].contains(kind));
        if self.kinds.is_empty() || twice {
            return Some(("kinds", "needs `mlp`, `gru` or both, each once"));
        }
        None
    }
}

/// What a network is trained to tell, one row per row of its features.
#[derive(Clone, Copy, Debug)]
pub enum NetworkTargets<'a> {
    /// A label of each trial; classes weigh one half each.
    Labels(&'a [bool]),
    /// Behavior `[trial, bin, K]`.
    Behavior(ArrayView3<'a, f64>),
}

/// Rows to learn from and rows to stop by.
#[derive(Clone, Copy, Debug)]
pub struct NetworkRows<'a> {
    /// Rows that weights are fitted to.
    pub train: &'a [usize],
    /// Rows whose loss ends the training and chooses the weight decay.
    pub valid: &'a [usize],
}

/// A fitted network. It starts from weights of a seed and sees its trials in an order of that seed, so that fitting it again
/// gives the same bits.
///
/// ```
/// use ndarray::Array3;
/// use neurobrick_evaluate::decoding::{NetworkConfig, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets};
///
/// // Which of two units fires more, from `[trial, bin, unit]`.
/// let x = Array3::from_shape_fn((60, 4, 2), |(trial, bin, unit)| ((trial * 7 + bin + 3 * unit) % 5) as f64);
/// let total = |trial: usize, unit: usize| (0..4).map(|bin| x[[trial, bin, unit]]).sum::<f64>();
/// let labels: Vec<bool> = (0..60).map(|trial| total(trial, 0) > total(trial, 1)).collect();
/// let (train, valid): (Vec<usize>, Vec<usize>) = (0..60).partition(|trial| trial % 4 != 0);
/// let rows = NetworkRows { train: &train, valid: &valid };
/// let targets = NetworkTargets::Labels(&labels);
/// let config = NetworkConfig { max_epochs: 20, ..NetworkConfig::default() };
/// let decoder = NetworkDecoder::fit(NetworkKind::Mlp, &x, targets, rows, &config, 1)?;
/// let log_odds = decoder.predict(&x)?;
/// assert_eq!(log_odds.dim(), (60, 1, 1));
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NetworkDecoder {
    network: Network,
    is_label: bool,
    /// Mean and one over the deviation of each feature, over bins of training trials.
    inputs: Scales,
    /// The same of each behavior.
    outputs: Scales,
    weight_decay: f64,
    valid_loss: f64,
}

#[derive(Clone, Debug)]
struct Scales {
    means: Array1<f64>,
    /// Zero where nothing varies.
    inverse: Array1<f64>,
}

#[derive(Module, Debug)]
struct Network {
    read: Linear,
    cell: Option<ClippedGru>,
    out: Linear,
}

impl Network {
    fn new(kind: NetworkKind, n_inputs: usize, d_hidden: usize, n_outputs: usize, seed: u64) -> Self {
        let (mut init, device) = (InitStreams::new(seed, kind.name()), Device::flex());
        let std = ((n_inputs + d_hidden) as f64).powf(-0.5);
        let (read, cell) = match kind {
            NetworkKind::Mlp => (linear(n_inputs, d_hidden, &mut init, &device), None),
            NetworkKind::Gru => (
                gru_drive(n_inputs, d_hidden, 1, std, &mut init, &device),
                Some(ClippedGru::new(d_hidden, CLIP, std, &mut init, &device)),
            ),
        };
        Self { read, cell, out: linear(d_hidden, n_outputs, &mut init, &device) }
    }

    /// `[B, T, P]` to `[B, T, K]`, or `[B, 1, K]` where a label is asked for.
    fn forward(&self, x: Tensor<3>, is_label: bool) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let read = affine(x, &self.read);
        let hidden = match &self.cell {
            None => gelu(read),
            Some(cell) => {
                let start = Tensor::zeros([b, cell.d_hidden()], &read.device());
                let states = cell.forward(read, start, false);
                if is_label { states.narrow(1, t - 1, 1) } else { states }
            }
        };
        affine(hidden, &self.out)
    }
}

impl NetworkDecoder {
    /// Fits a network to features `[trial, bin, P]`: for every weight decay until the loss on `rows.valid` no longer falls, of
    /// which the weights with the lowest are kept, and of those the best.
    ///
    /// Fails without training or validation rows, on rows beyond the features, on features or behavior that are not finite
    /// there, on targets with another number of trials or bins, on a single class, on settings out of range, and
    /// where the loss on `rows.valid` is not finite before training.
    pub fn fit(
        kind: NetworkKind,
        x: &Array3<f64>,
        targets: NetworkTargets<'_>,
        rows: NetworkRows<'_>,
        config: &NetworkConfig,
        seed: u64,
    ) -> Result<Self, MetricError> {
        if config.problem().is_some() {
            let (what, must) = ("settings of a network", "in range; see `NetworkConfig`");
            return Err(MetricError::InvalidSetting { what, value: config.d_hidden as f64, must });
        }
        check(x, targets, rows)?;
        let is_label = matches!(targets, NetworkTargets::Labels(_));
        let x = &seen(kind, is_label, x);
        let inputs = Scales::of(&x.select(Axis(0), rows.train));
        let outputs = match targets {
            NetworkTargets::Labels(_) => Scales::none(1),
            NetworkTargets::Behavior(y) => Scales::of(&y.select(Axis(0), rows.train)),
        };
        let [train, valid] =
            [rows.train, rows.valid].map(|rows| Part::new(x, targets, rows, &inputs, &outputs));
        let mut best: Option<Self> = None;
        for &weight_decay in &config.weight_decays {
            let fresh = Network::new(kind, x.len_of(Axis(2)), config.d_hidden, outputs.means.len(), seed);
            let (network, valid_loss) = train_one(fresh, &train, &valid, config, weight_decay, seed)?;
            if best.as_ref().is_none_or(|known| valid_loss < known.valid_loss) {
                let (inputs, outputs) = (inputs.clone(), outputs.clone());
                best = Some(Self { network, is_label, inputs, outputs, weight_decay, valid_loss });
            }
        }
        best.ok_or(MetricError::Empty { what: "list of weight decays" })
    }

    /// Log-odds `[trial, 1, 1]` of labels under balanced classes, or behavior `[trial, bin, K]`, from features
    /// `[trial, bin, P]`. Fails on another number of features, and on values that are not finite.
    pub fn predict(&self, x: &Array3<f64>) -> Result<Array3<f64>, MetricError> {
        let (n_trials, n_bins, n_features) = x.dim();
        if n_features != self.inputs.means.len() || n_bins == 0 || n_trials == 0 {
            let (expected, got) = (vec![n_trials, n_bins, self.inputs.means.len()], x.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "features", expected, got });
        }
        check_finite("features", &x.view(), &(0..n_trials).collect::<Vec<_>>())?;
        let kind = if self.network.cell.is_some() { NetworkKind::Gru } else { NetworkKind::Mlp };
        let x = self.inputs.apply(&seen(kind, self.is_label, x));
        let out = self.network.forward(tensor(&x, &Device::flex()), self.is_label);
        let [b, t, k] = out.dims();
        let data = out.into_data();
        let values: Vec<f64> = data.iter::<f64>().collect();
        Ok(Array3::from_shape_fn((b, t, k), |(i, j, l)| {
            let value = values[(i * t + j) * k + l];
            // A behavior that never varied is its mean.
            let scale = if self.outputs.inverse[l] > 0.0 { 1.0 / self.outputs.inverse[l] } else { 0.0 };
            value * scale + self.outputs.means[l]
        }))
    }

    /// The weight decay that was chosen.
    pub fn weight_decay(&self) -> f64 {
        self.weight_decay
    }

    /// Loss on the validation rows: nats per label with classes balanced, or squared error in variances of the behavior.
    pub fn valid_loss(&self) -> f64 {
        self.valid_loss
    }
}

/// What a network reads: for labels, a network without memory sees the mean over bins.
fn seen(kind: NetworkKind, is_label: bool, x: &Array3<f64>) -> Array3<f64> {
    if is_label && kind == NetworkKind::Mlp {
        return (x.sum_axis(Axis(1)) / x.len_of(Axis(1)).max(1) as f64).insert_axis(Axis(1));
    }
    x.clone()
}

impl Scales {
    fn of(values: &Array3<f64>) -> Self {
        let n = (values.len_of(Axis(0)) * values.len_of(Axis(1))).max(1) as f64;
        let sum = |values: &Array3<f64>| values.sum_axis(Axis(0)).sum_axis(Axis(0)) / n;
        let means = sum(values);
        let deviations = sum(&(values - &means).mapv(|v| v * v)).mapv(f64::sqrt);
        Self { means, inverse: deviations.mapv(|d| if d > 1e-12 { 1.0 / d } else { 0.0 }) }
    }

    /// No scaling of `n` columns.
    fn none(n: usize) -> Self {
        Self { means: Array1::zeros(n), inverse: Array1::ones(n) }
    }

    fn apply(&self, values: &Array3<f64>) -> Array3<f64> {
        (values - &self.means) * &self.inverse
    }
}

/// Rows of one side, scaled: features `[trial, bin, P]`, targets and their weights `[trial, bin, K]`.
struct Part {
    x: Array3<f64>,
    y: Array3<f64>,
    weights: Array3<f64>,
    is_label: bool,
}

impl Part {
    fn new(
        x: &Array3<f64>,
        targets: NetworkTargets<'_>,
        rows: &[usize],
        inputs: &Scales,
        outputs: &Scales,
    ) -> Self {
        let x = inputs.apply(&x.select(Axis(0), rows));
        match targets {
            NetworkTargets::Behavior(y) => {
                let y = outputs.apply(&y.select(Axis(0), rows));
                let weights = Array3::from_elem(y.dim(), 1.0 / y.len() as f64);
                Self { x, y, weights, is_label: false }
            }
            NetworkTargets::Labels(labels) => {
                let shape = (rows.len(), 1, 1);
                let n_true = rows.iter().filter(|&&row| labels[row]).count();
                let share = |label: bool| if label { n_true } else { rows.len() - n_true };
                let y = Array3::from_shape_fn(shape, |(i, ..)| f64::from(u8::from(labels[rows[i]])));
                let weight = |i: usize| 0.5 / share(labels[rows[i]]).max(1) as f64;
                let weights = Array3::from_shape_fn(shape, |(i, ..)| weight(i));
                Self { x, y, weights, is_label: true }
            }
        }
    }

    /// Weighted loss of some rows.
    fn loss(&self, network: &Network, rows: &[usize], device: &Device) -> Tensor<1> {
        let [x, y, weights] =
            [&self.x, &self.y, &self.weights].map(|values| tensor(&values.select(Axis(0), rows), device));
        let out = network.forward(x, self.is_label);
        let each = if self.is_label {
            // ln(1 + eᶻ) − y z.
            activation::softplus(out.clone(), 1.0) - y * out
        } else {
            (out - y).square()
        };
        (each * weights).sum()
    }
}

/// Trains until the validation loss no longer falls; the weights of its lowest value, and that value. Fails if it is not
/// finite from the start, since no other is lower than that.
fn train_one(
    network: Network,
    train: &Part,
    valid: &Part,
    config: &NetworkConfig,
    weight_decay: f64,
    seed: u64,
) -> Result<(Network, f64), MetricError> {
    let mut optimizer = AdamW::new(AdamWConfig { weight_decay, ..AdamWConfig::default() });
    let rates = Rates { lr: config.learning_rate, beta1: BETA1 };
    let (plain, n_train) = (Device::flex(), train.x.len_of(Axis(0)));
    let all: Vec<usize> = (0..valid.x.len_of(Axis(0))).collect();
    let valid_loss = |network: &Network| scalar(valid.loss(network, &all, &plain));
    let mut network = network;
    let mut best = (network.clone(), valid_loss(&network));
    if !best.1.is_finite() {
        let (what, index) = ("loss on validation trials", vec![0]);
        return Err(MetricError::NotFinite { what, value: best.1, index });
    }
    let mut since = 0;
    for epoch in 0..config.max_epochs {
        let order = Stream::new(seed, Domain::Order, [epoch as u64, 0, 0]).permutation(n_train);
        for rows in order.chunks(config.batch_size) {
            let own = network.valid().train();
            // As if the batch were all trials, so that its size does not scale the step.
            let scale = n_train as f64 / rows.len() as f64;
            let loss = train.loss(&own, rows, &Device::flex().autodiff()) * scale;
            let gradients = Gradients::collect(&own, loss.backward());
            network = optimizer.step(network, gradients, rates);
        }
        let loss = valid_loss(&network);
        if loss < best.1 {
            (best, since) = ((network.clone(), loss), 0);
        } else {
            since += 1;
            // A loss that is not a number never falls again.
            if since >= config.patience || !loss.is_finite() {
                break;
            }
        }
    }
    Ok(best)
}

fn tensor(values: &Array3<f64>, device: &Device) -> Tensor<3> {
    let (b, t, n) = values.dim();
    #[expect(clippy::cast_possible_truncation, reason = "networks compute in single precision")]
    let single: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    Tensor::from_data(TensorData::new(single, [b, t, n]), device)
}

fn check(x: &Array3<f64>, targets: NetworkTargets<'_>, rows: NetworkRows<'_>) -> Result<(), MetricError> {
    let (n_trials, n_bins, n_features) = x.dim();
    if rows.train.is_empty() || rows.valid.is_empty() || n_bins == 0 || n_features == 0 {
        return Err(MetricError::Empty { what: "set of training or validation trials, bins or features" });
    }
    let all = [rows.train, rows.valid].concat();
    if let Some(&index) = all.iter().find(|&&row| row >= n_trials) {
        return Err(MetricError::OutOfRange { what: "trial", index, limit: n_trials });
    }
    check_finite("features", &x.view(), &all)?;
    match targets {
        NetworkTargets::Labels(labels) => {
            if labels.len() != n_trials {
                let (expected, got) = (vec![n_trials], vec![labels.len()]);
                return Err(MetricError::ShapeMismatch { what: "labels", expected, got });
            }
            for rows in [rows.train, rows.valid] {
                let class = labels[rows[0]];
                if rows.iter().all(|&row| labels[row] == class) {
                    return Err(MetricError::SingleClass { trials: rows.len(), class });
                }
            }
            Ok(())
        }
        NetworkTargets::Behavior(y) => {
            if (y.len_of(Axis(0)), y.len_of(Axis(1))) != (n_trials, n_bins) || y.is_empty() {
                let expected = vec![n_trials, n_bins, y.len_of(Axis(2)).max(1)];
                return Err(MetricError::ShapeMismatch {
                    what: "behavior",
                    expected,
                    got: y.shape().to_vec(),
                });
            }
            check_finite("behavior", &y, &all)
        }
    }
}

fn check_finite(what: &'static str, values: &ArrayView3<f64>, rows: &[usize]) -> Result<(), MetricError> {
    for &row in rows {
        for ((bin, column), &value) in values.index_axis(Axis(0), row).indexed_iter() {
            if !value.is_finite() {
                return Err(MetricError::NotFinite { what, value, index: vec![row, bin, column] });
            }
        }
    }
    Ok(())
}
