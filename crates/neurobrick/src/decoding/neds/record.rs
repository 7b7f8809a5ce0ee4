//! Model folders of NEDS.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Bool, Tensor, TensorData};
use neurobrick_core::weights::StateDict;
use neurobrick_core::{ComputeDevice, Mode, SessionSpec};
use neurobrick_models::{Neds, NedsInput, NedsScheme};
use neurobrick_random::{Domain, Stream};
use neurobrick_train::{ParityExample, TrainError, device_of, load_any_model_dir, save_any_model_dir};
use serde::{Deserialize, Serialize};

use crate::PipelineError;
use crate::config::{ModalitiesConfig, MultimodalConfig};
use crate::decoding::{BehaviorKind, SessionScales};
use crate::pipeline::ModelRecord;

/// Windows of the example that a folder holds.
const N_EXAMPLE_WINDOWS: usize = 3;

/// A model of spikes and behavior: its sizes, what it reads and predicts, and how to turn behavior into units of measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NedsSpec {
    /// Kind and sizes.
    pub model: MultimodalConfig,
    /// Labels and behaviors, as trained last.
    pub modalities: ModalitiesConfig,
    /// Scales of behavior of the sessions that the model knows.
    pub scales: Vec<SessionScales>,
    /// Schemes that it was trained with last, on all sessions that it knows; none before training.
    pub schemes: Vec<NedsScheme>,
}

impl NedsSpec {
    /// A model that has learned nothing.
    pub(crate) fn untrained(model: &MultimodalConfig, modalities: &ModalitiesConfig) -> Self {
        let (model, modalities) = (model.clone(), modalities.clone());
        Self { model, modalities, scales: Vec::new(), schemes: Vec::new() }
    }

    /// Why spikes that it predicts from behavior have no score, if training never asked for spikes.
    pub(crate) fn no_encoding(&self) -> Option<String> {
        self.lacks(NedsScheme::hides_spikes, "encode spikes")
    }

    /// Why behavior that it predicts from spikes has no score, if training never asked for behavior.
    pub(crate) fn no_decoding(&self) -> Option<String> {
        self.lacks(NedsScheme::hides_behavior, "decode behavior")
    }

    fn lacks(&self, hides: fn(NedsScheme) -> bool, what: &str) -> Option<String> {
        let names: Vec<&str> = self.schemes.iter().map(|scheme| scheme.name()).collect();
        let is_trained = self.schemes.iter().any(|&scheme| hides(scheme));
        (!is_trained)
            .then(|| format!("the model was not trained to {what}; its schemes were: {}", names.join(", ")))
    }
}

/// Writes a trained model as a folder.
pub(crate) fn save_neds_model(
    path: &Path,
    model: &Neds,
    record: &ModelRecord<NedsSpec>,
) -> Result<(), TrainError> {
    let Some(first) = model.sessions().first() else { return Err(TrainError::NoSessions) };
    let (b, t, n) = (N_EXAMPLE_WINDOWS, model.config().n_bins, first.n_units);
    let modalities = model.modalities();
    let (n_labels, n_behaviors) = (modalities.labels.len(), modalities.behaviors.len());
    let mut draws = Stream::new(0, Domain::Synthetic, [13, 0, 0]);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let counts: Vec<f32> = (0..b * t * n).map(|_| draws.poisson(0.3) as f32).collect();
    let classes = (0..b * n_labels).map(|i| draws.below(modalities.labels[i % n_labels].n_classes) as f64);
    let classes: Vec<f64> = classes.collect();
    let behaviors: Vec<f64> = (0..b * t * n_behaviors).map(|_| draws.normal()).collect();
    // One window shows everything, one hides spikes, one behavior.
    let hides = |window: usize, modality: usize| {
        f64::from(u8::from((window == 1 && modality == 0) || (window == 2 && modality > 0)))
    };
    let n_modalities = modalities.n_modalities();
    let unseen = (0..b * n_modalities * t).map(|i| hides(i / (n_modalities * t), i / t % n_modalities));
    let unseen: Vec<f64> = unseen.collect();
    let inputs = StateDict::from([
        ("counts".to_owned(), TensorData::new(counts, [b, t, n])),
        ("labels".to_owned(), TensorData::new(classes, [b, n_labels])),
        ("behaviors".to_owned(), TensorData::new(behaviors, [b, t, n_behaviors])),
        ("unseen".to_owned(), TensorData::new(unseen, [b, n_modalities, t])),
    ]);
    let outputs = answer(model, first, &inputs)?;
    save_any_model_dir(path, model, (record, model.sessions()), ParityExample { inputs, outputs })
}

/// Loads a model onto `device`, verified: hashes, strict weights, and its example. The folder of a run stands for the model
/// in it.
///
/// # Errors
/// If a file is missing or damaged, the folder holds another kind of model, or the model answers its example differently.
pub fn load_neds_model(
    path: &Path,
    device: ComputeDevice,
) -> Result<(Neds, ModelRecord<NedsSpec>), PipelineError> {
    let device = device.ready()?;
    let path = BehaviorKind::Neds.folder(path)?;
    let build = |record: &ModelRecord<NedsSpec>, specs: &[SessionSpec]| {
        let NedsSpec { model, modalities, .. } = &record.config;
        Ok(Neds::new(model.sizes().clone(), modalities.of_model(), specs, 0, &device)?)
    };
    Ok(load_any_model_dir(&path, build, |model, spec, inputs| answer(model, spec, &inputs))?)
}

/// All answers of all modalities, one behind the other.
fn answer(model: &Neds, spec: &SessionSpec, inputs: &StateDict) -> Result<TensorData, TrainError> {
    let model = model.valid();
    let device = device_of(&model)?;
    let data = |name: &str| -> Result<TensorData, TrainError> {
        let missing = || TrainError::Worker { reason: format!("the example of a model has no {name}") };
        inputs.get(name).cloned().ok_or_else(missing)
    };
    let unseen: Tensor<3, Bool> = Tensor::<3>::from_data(data("unseen")?, &device).greater_elem(0.5);
    let input = NedsInput {
        session: spec.session.clone(),
        counts: Tensor::from_data(data("counts")?, &device),
        labels: Tensor::from_data(data("labels")?, &device),
        behaviors: Tensor::from_data(data("behaviors")?, &device),
        unseen,
    };
    let output = model.forward(&input, Mode::Eval)?;
    let flat = output.logits.into_iter().map(|logits| {
        let n = logits.shape().num_elements();
        logits.reshape([n])
    });
    let n_behaviors = output.behaviors.shape().num_elements();
    let n_rates = output.log_rates.shape().num_elements();
    let mut all: Vec<Tensor<1>> = vec![output.log_rates.reshape([n_rates])];
    all.extend(flat);
    if n_behaviors > 0 {
        all.push(output.behaviors.reshape([n_behaviors]));
    }
    Ok(Tensor::cat(all, 0).into_data())
}
