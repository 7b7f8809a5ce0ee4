//! Model folders of decoders of behavior.

use std::path::Path;

use burn::tensor::TensorData;
use neurobrick_core::weights::StateDict;
use neurobrick_core::{ComputeDevice, Mode, SessionSpec};
use neurobrick_models::{Poyo, PoyoWindow};
use neurobrick_random::{Domain, Stream};
use neurobrick_tokenize::{Spike, SpikeWindow};
use neurobrick_train::{ParityExample, TrainError, load_any_model_dir, save_any_model_dir};
use serde::{Deserialize, Serialize};

use crate::PipelineError;
use crate::config::{BehaviorTarget, SpikeDecoderConfig};
use crate::decoding::{BehaviorKind, SessionScales};
use crate::pipeline::ModelRecord;

/// Spikes of the example that a folder holds.
const N_EXAMPLE_SPIKES: usize = 64;
/// Outputs of it.
const N_EXAMPLE_OUTPUTS: usize = 8;

/// A decoder: its sizes, what it decodes, and how to turn its outputs into units of measure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderSpec {
    /// Kind and sizes.
    pub model: SpikeDecoderConfig,
    /// One target for each output, as trained last.
    pub behaviors: Vec<BehaviorTarget>,
    /// Scales of the sessions that the model knows.
    pub scales: Vec<SessionScales>,
}

/// Writes a trained decoder as a model folder.
pub(crate) fn save_decoder_model(
    path: &Path,
    model: &Poyo,
    record: &ModelRecord<DecoderSpec>,
) -> Result<(), TrainError> {
    let Some(first) = model.sessions().first() else { return Err(TrainError::NoSessions) };
    let window_s = model.config().window_s;
    let mut draws = Stream::new(0, Domain::Synthetic, [12, 0, 0]);
    let spikes: Vec<f64> = (0..N_EXAMPLE_SPIKES)
        .flat_map(|_| [draws.below(first.n_units.max(1)) as f64, draws.uniform_in(0.0, window_s)])
        .collect();
    let times = (0..N_EXAMPLE_OUTPUTS).map(|i| (i as f64 + 0.5) / N_EXAMPLE_OUTPUTS as f64 * window_s);
    let times: Vec<f64> = times.collect();
    let inputs = StateDict::from([
        ("spikes".to_owned(), TensorData::new(spikes, [N_EXAMPLE_SPIKES, 2])),
        ("output_times_s".to_owned(), TensorData::new(times, [N_EXAMPLE_OUTPUTS])),
    ]);
    let outputs = answer(model, first, &inputs)?;
    save_any_model_dir(path, model, (record, model.sessions()), ParityExample { inputs, outputs })
}

/// Loads a decoder onto `device`, verified: hashes, strict weights, and its example. The folder of a run stands for the model
/// in it.
///
/// # Errors
/// If a file is missing or damaged, the folder holds another kind of model, or the model answers its example differently.
pub fn load_decoder_model(
    path: &Path,
    device: ComputeDevice,
) -> Result<(Poyo, ModelRecord<DecoderSpec>), PipelineError> {
    let device = device.ready()?;
    let path = &BehaviorKind::Poyo.folder(path)?;
    let build = |record: &ModelRecord<DecoderSpec>, specs: &[SessionSpec]| {
        Ok(Poyo::new(record.config.model.sizes().clone(), specs, 0, &device)?)
    };
    Ok(load_any_model_dir(path, build, |model, spec, inputs| answer(model, spec, &inputs))?)
}

fn answer(model: &Poyo, spec: &SessionSpec, inputs: &StateDict) -> Result<TensorData, TrainError> {
    let numbers = |name: &str| -> Vec<f64> {
        inputs.get(name).map_or_else(Vec::new, |data| data.iter::<f64>().collect())
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole numbers of units")]
    let spike = |pair: &[f64]| Spike { unit: pair[0] as usize, time_s: pair[1] };
    let window = PoyoWindow {
        session: spec.session.clone(),
        input: SpikeWindow {
            n_units: spec.n_units,
            units: None,
            spikes: numbers("spikes").chunks_exact(2).map(spike).collect(),
        },
        output_times_s: numbers("output_times_s"),
    };
    Ok(model.forward(&[window], Mode::Eval)?.into_data())
}
