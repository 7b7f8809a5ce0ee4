//! The loss of NEDS: every modality by its own likelihood, over what was hidden of it.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::Axis;
use neurobrick_nn::poisson_nll_sum;

use super::{NedsMask, NedsModalities, NedsOutput, NedsWindows};

/// Entries that a loss counts, by modality: those that are hidden and were recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NedsCounted {
    /// Bins times units.
    pub spikes: u64,
    /// Windows, of each label.
    pub labels: Vec<u64>,
    /// Bins, of each behavior.
    pub behaviors: Vec<u64>,
}

impl NedsCounted {
    /// What `mask` asks of `windows`.
    ///
    /// # Panics
    /// If windows and mask are not of these modalities or of different sizes, which [`NedsInput::new`](super::NedsInput::new)
    /// refuses.
    pub fn of(windows: &NedsWindows<'_>, modalities: &NedsModalities, mask: &NedsMask) -> Self {
        let (hidden, n_units) = (mask.hidden(), windows.counts.len_of(Axis(2)) as u64);
        let spikes = hidden.index_axis(Axis(1), 0).iter().filter(|&&h| h).count() as u64 * n_units;
        let mut counted = Self {
            spikes,
            labels: vec![0; modalities.labels.len()],
            behaviors: vec![0; modalities.behaviors.len()],
        };
        for ((window, number), class) in windows.labels.indexed_iter() {
            let is_counted = class.is_some() && hidden[[window, NedsModalities::label(number), 0]];
            counted.labels[number] += u64::from(is_counted);
        }
        for ((window, bin, number), value) in windows.behaviors.indexed_iter() {
            let is_counted = value.is_finite() && hidden[[window, modalities.behavior(number), bin]];
            counted.behaviors[number] += u64::from(is_counted);
        }
        counted
    }

    /// Entries of all modalities.
    pub fn total(&self) -> u64 {
        self.spikes + self.labels.iter().sum::<u64>() + self.behaviors.iter().sum::<u64>()
    }
}

/// What a model should have answered to windows of which a mask hid a part.
#[derive(Clone, Copy, Debug)]
pub struct NedsTargets<'a> {
    /// What was recorded.
    pub windows: NedsWindows<'a>,
    /// What was hidden of it.
    pub mask: &'a NedsMask,
    /// Entries of the whole batch, of which `windows` may be a shard: shards with these add up to the batch.
    pub counted: &'a NedsCounted,
    /// Weight of labels. As published their cross-entropy is divided by the number of hidden tokens, of which every label has
    /// one in every bin, so that it weighs about `1 / T`.
    pub label_weight: f64,
}

impl NedsTargets<'_> {
    /// The sum over modalities of the mean over hidden entries: Poisson likelihood of spikes (nats, without the term of the
    /// counts alone), cross-entropy of labels (nats) times their weight, squared error of behaviors. `None` if nothing of
    /// the batch is hidden.
    ///
    /// # Panics
    /// If `output` is of other windows.
    pub fn loss(&self, output: &NedsOutput, modalities: &NedsModalities) -> Option<Tensor<1>> {
        let device = output.log_rates.device();
        let terms = self.spikes(output, &device).into_iter();
        let terms = terms.chain(self.labels(output, &device));
        terms.chain(self.behaviors(output, modalities, &device)).reduce(|sum, term| sum + term)
    }

    fn spikes(&self, output: &NedsOutput, device: &Device) -> Option<Tensor<1>> {
        let share = share_of(self.counted.spikes)?;
        let (b, t, n) = self.windows.counts.dim();
        let hidden = self.mask.hidden();
        let counts: Vec<f32> = self.windows.counts.iter().map(|&count| f32::from(count)).collect();
        let bins = hidden.index_axis(Axis(1), 0);
        let counted = bins.iter().flat_map(|&hidden| std::iter::repeat_n(f32::from(u8::from(hidden)), n));
        let counts = Tensor::from_data(TensorData::new(counts, [b, t, n]), device);
        let counted = Tensor::from_data(TensorData::new(counted.collect::<Vec<f32>>(), [b, t, n]), device);
        Some(poisson_nll_sum(output.log_rates.clone(), counts, counted).mul_scalar(share))
    }

    fn labels(&self, output: &NedsOutput, device: &Device) -> Vec<Tensor<1>> {
        let hidden = self.mask.hidden();
        let term = |(number, logits): (usize, &Tensor<2>)| {
            let share = share_of(self.counted.labels[number])?;
            let [b, n_classes] = logits.dims();
            let mut wanted = vec![0f32; b * n_classes];
            for (window, class) in self.windows.labels.column(number).iter().enumerate() {
                if let Some(class) = class
                    && hidden[[window, NedsModalities::label(number), 0]]
                {
                    wanted[window * n_classes + class] = 1.0;
                }
            }
            let wanted = Tensor::from_data(TensorData::new(wanted, [b, n_classes]), device);
            let sum = (log_softmax(logits.clone(), 1) * wanted).sum();
            Some(sum.mul_scalar(-self.label_weight * share))
        };
        output.logits.iter().enumerate().filter_map(term).collect()
    }

    fn behaviors(&self, output: &NedsOutput, modalities: &NedsModalities, device: &Device) -> Vec<Tensor<1>> {
        let hidden = self.mask.hidden();
        let (b, t, n_behaviors) = self.windows.behaviors.dim();
        let term = |number: usize| {
            let share = share_of(self.counted.behaviors[number])?;
            let values = self.windows.behaviors.index_axis(Axis(2), number);
            let place = modalities.behavior(number);
            let is_counted =
                |(window, bin): (usize, usize), value: f64| value.is_finite() && hidden[[window, place, bin]];
            let counted: Vec<f32> =
                values.indexed_iter().map(|(at, &v)| f32::from(u8::from(is_counted(at, v)))).collect();
            let wanted: Vec<f64> =
                values.indexed_iter().map(|(at, &v)| if is_counted(at, v) { v } else { 0.0 }).collect();
            let wanted = Tensor::<2>::from_data(TensorData::new(wanted, [b, t]), device);
            let counted = Tensor::<2>::from_data(TensorData::new(counted, [b, t]), device);
            let found = output.behaviors.clone().narrow(2, number, 1).reshape([b, t]);
            let errors = (found - wanted) * counted;
            Some((errors.clone() * errors).sum().mul_scalar(share))
        };
        (0..n_behaviors).filter_map(term).collect()
    }
}

/// The share of one entry in their mean, unless there are none. Burn's gradient of a division by a number rounds that number's
/// inverse to single precision; that of a product does not.
fn share_of(n: u64) -> Option<f64> {
    (n > 0).then(|| (n as f64).recip())
}
