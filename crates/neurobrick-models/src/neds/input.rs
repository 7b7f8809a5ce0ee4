//! Windows of spikes and behavior, and what a model sees of them.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use ndarray::{Array3, ArrayView2, ArrayView3, Axis};
use neurobrick_core::ModelError;
use neurobrick_schema::SessionId;

use super::{NedsLabel, NedsMask, NedsModalities};

/// Windows of one session as they were recorded.
#[derive(Clone, Copy, Debug)]
pub struct NedsWindows<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// Spikes per bin, `[B, T, N]`.
    pub counts: ArrayView3<'a, u16>,
    /// Class of every label, `[B, L]`; `None` where it is missing.
    pub labels: ArrayView2<'a, Option<usize>>,
    /// Behaviors, `[B, T, K]`; NaN where one is missing.
    pub behaviors: ArrayView3<'a, f64>,
}

impl NedsWindows<'_> {
    /// Refuses windows that are not of these modalities.
    fn check(&self, modalities: &NedsModalities, mask: &NedsMask) -> Result<(), ModelError> {
        let (b, t, _) = self.counts.dim();
        let sizes = [
            ("windows of labels", b, self.labels.nrows()),
            ("labels", modalities.labels.len(), self.labels.ncols()),
            ("windows of behavior", b, self.behaviors.len_of(Axis(0))),
            ("bins of behavior", t, self.behaviors.len_of(Axis(1))),
            ("behaviors", modalities.behaviors.len(), self.behaviors.len_of(Axis(2))),
            ("windows of the mask", b, mask.hidden().len_of(Axis(0))),
            ("modalities of the mask", modalities.n_modalities(), mask.hidden().len_of(Axis(1))),
            ("bins of the mask", t, mask.hidden().len_of(Axis(2))),
        ];
        for (what, expected, received) in sizes {
            if expected != received {
                let session = self.session.clone();
                return Err(ModelError::SizeMismatch { session, what, expected, received });
            }
        }
        for ((_, number), class) in self.labels.indexed_iter() {
            let NedsLabel { name, n_classes } = &modalities.labels[number];
            if let Some(class) = class
                && class >= n_classes
            {
                return Err(ModelError::Unsupported {
                    what: format!("read class {class} of the label `{name}`, which has {n_classes}"),
                    hint: "number classes from 0, and leave out (`None`) what is of no class".to_owned(),
                });
            }
        }
        Ok(())
    }

    /// Which tokens a model does not see, `[B, M, T]`: those that the mask hides, and those of which nothing is known.
    pub(super) fn unseen(&self, modalities: &NedsModalities, mask: &NedsMask) -> Array3<bool> {
        let mut unseen = mask.hidden().to_owned();
        for ((window, number), class) in self.labels.indexed_iter() {
            if class.is_none() {
                unseen.slice_mut(ndarray::s![window, NedsModalities::label(number), ..]).fill(true);
            }
        }
        for ((window, bin, number), value) in self.behaviors.indexed_iter() {
            if !value.is_finite() {
                unseen[[window, modalities.behavior(number), bin]] = true;
            }
        }
        unseen
    }
}

/// What a model sees of windows of one session. Nothing of a hidden token is in it.
#[derive(Clone, Debug)]
pub struct NedsInput {
    /// The session, which chooses encoders and read-outs.
    pub session: SessionId,
    /// Spikes per bin, `[B, T, N]`, zero where hidden.
    pub counts: Tensor<3>,
    /// Classes of labels as numbers, `[B, L]`, zero where hidden or missing.
    pub labels: Tensor<2>,
    /// Behaviors, `[B, T, K]`, zero where hidden or missing.
    pub behaviors: Tensor<3>,
    /// Tokens that are hidden or missing, `[B, M, T]`: in their place stands the mask token.
    pub unseen: Tensor<3, Bool>,
}

impl NedsInput {
    /// Hides what `mask` hides of `windows` and moves the rest to `device`.
    ///
    /// # Errors
    /// If the windows or the mask are not of these modalities, or of different sizes.
    pub fn new(
        windows: &NedsWindows<'_>,
        modalities: &NedsModalities,
        mask: &NedsMask,
        device: &Device,
    ) -> Result<Self, ModelError> {
        windows.check(modalities, mask)?;
        let unseen = windows.unseen(modalities, mask);
        let (b, t, n) = windows.counts.dim();
        let (n_labels, n_behaviors) = (modalities.labels.len(), modalities.behaviors.len());
        let counts = windows.counts.indexed_iter();
        let counts = counts.map(
            |((window, bin, _), &count)| {
                if unseen[[window, 0, bin]] { 0.0 } else { f32::from(count) }
            },
        );
        let labels = windows.labels.indexed_iter().map(|((window, number), class)| match class {
            Some(class) if !unseen[[window, NedsModalities::label(number), 0]] => *class as f64,
            _ => 0.0,
        });
        let behaviors = windows.behaviors.indexed_iter();
        let behaviors =
            behaviors.map(
                |((window, bin, number), &value)| {
                    if unseen[[window, modalities.behavior(number), bin]] { 0.0 } else { value }
                },
            );
        let counts = TensorData::new(counts.collect::<Vec<f32>>(), [b, t, n]);
        let labels = TensorData::new(labels.collect::<Vec<f64>>(), [b, n_labels]);
        let behaviors = TensorData::new(behaviors.collect::<Vec<f64>>(), [b, t, n_behaviors]);
        let shape = [b, modalities.n_modalities(), t];
        Ok(Self {
            session: windows.session.clone(),
            counts: Tensor::from_data(counts, device),
            labels: Tensor::from_data(labels, device),
            behaviors: Tensor::from_data(behaviors, device),
            unseen: Tensor::from_data(TensorData::new(unseen.iter().copied().collect(), shape), device),
        })
    }
}
