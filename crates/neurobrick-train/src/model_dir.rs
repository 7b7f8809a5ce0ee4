//! Model folders: configuration, weights, and an example that a loaded model must answer as it did.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Tensor, TensorData};
use neurobrick_core::weights::{StateDict, from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{Context, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::manifest::Manifest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::TrainError;
use crate::checkpoint::{FORMAT_VERSION, WEIGHTS, bad_file, from_json, to_json, write_folder};
use crate::workers::device_of;

const CONFIG: &str = "config.json";
const PARITY: &str = "parity.safetensors";
/// What the model answered, among the tensors of an example of a model that answers no log rates.
const OUTPUTS: &str = "outputs";
const LOG_RATES: &str = "log_rates";

/// What a model folder holds beside the weights.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelFile<C> {
    format_version: u32,
    model: C,
    sessions: Vec<SessionSpec>,
}

/// A small input by name, and what a model answers to it.
#[derive(Clone, Debug)]
pub struct ParityExample {
    /// The input.
    pub inputs: StateDict,
    /// The answer.
    pub outputs: TensorData,
}

/// Writes a trained model as a folder: `config.json` (model and sessions), `weights.safetensors`, and
/// `parity.safetensors`, a small input with the output it must give.
///
/// # Errors
/// If the folder cannot be written; an earlier model there is then untouched.
pub fn save_model_dir<M: PopulationModel, C: Serialize>(
    path: &Path,
    model: &M,
    config: &C,
    n_bins: usize,
) -> Result<(), TrainError> {
    let example = match model.sessions().first() {
        None => None,
        Some(spec) => {
            let counts = parity_counts(spec, n_bins);
            let outputs = parity_output(model, spec, counts.clone())?;
            Some(ParityExample { inputs: StateDict::from([("counts".to_owned(), counts)]), outputs })
        }
    };
    write(path, model, (config, model.sessions()), (example, LOG_RATES))
}

/// [`save_model_dir`] for a model of any kind, with an example of its own.
///
/// # Errors
/// If the folder cannot be written; an earlier model there is then untouched.
pub fn save_any_model_dir<M: Module, C: Serialize>(
    path: &Path,
    model: &M,
    (config, sessions): (&C, &[SessionSpec]),
    example: ParityExample,
) -> Result<(), TrainError> {
    write(path, model, (config, sessions), (Some(example), OUTPUTS))
}

fn write<M: Module, C: Serialize>(
    path: &Path,
    model: &M,
    (config, sessions): (&C, &[SessionSpec]),
    (example, output_name): (Option<ParityExample>, &str),
) -> Result<(), TrainError> {
    let file = ModelFile { format_version: FORMAT_VERSION, model: config, sessions: sessions.to_vec() };
    let mut parity = StateDict::new();
    if let Some(ParityExample { inputs, outputs }) = example {
        parity = inputs;
        parity.insert(output_name.to_owned(), outputs);
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    write_folder(
        parent,
        path,
        &[
            (CONFIG, to_json(&file, path)?),
            (WEIGHTS, to_safetensors(&state_dict(model), BTreeMap::new())?),
            (PARITY, to_safetensors(&parity, BTreeMap::new())?),
        ],
    )
}

/// Largest difference from the stored output that a loaded model may show. Other processors sum in another order;
/// a wrong weight or a changed formula shows as far more.
const PARITY_TOLERANCE: f64 = 1e-3;

/// Loads a model folder: verifies hashes, builds the model with `build`, loads weights strictly, and compares its
/// output with the stored one.
///
/// # Errors
/// If a file is missing or damaged, weights do not fit, or the output is another one.
pub fn load_model_dir<M: PopulationModel, C: DeserializeOwned>(
    path: &Path,
    build: impl FnOnce(&C, &[SessionSpec]) -> Result<M, TrainError>,
) -> Result<(M, C), TrainError> {
    read(path, build, LOG_RATES, |model, spec, mut inputs| {
        let counts = inputs.remove("counts").ok_or_else(|| lacks_example(path))?;
        parity_output(model, spec, counts)
    })
}

/// [`load_model_dir`] for a model of any kind; `answer` gives its output to the inputs of its example, for the first session.
///
/// # Errors
/// If a file is missing or damaged, weights do not fit, or the output is another one.
pub fn load_any_model_dir<M: Module, C: DeserializeOwned>(
    path: &Path,
    build: impl FnOnce(&C, &[SessionSpec]) -> Result<M, TrainError>,
    answer: impl FnOnce(&M, &SessionSpec, StateDict) -> Result<TensorData, TrainError>,
) -> Result<(M, C), TrainError> {
    read(path, build, OUTPUTS, answer)
}

fn read<M: Module, C: DeserializeOwned>(
    path: &Path,
    build: impl FnOnce(&C, &[SessionSpec]) -> Result<M, TrainError>,
    output_name: &str,
    answer: impl FnOnce(&M, &SessionSpec, StateDict) -> Result<TensorData, TrainError>,
) -> Result<(M, C), TrainError> {
    let manifest = Manifest::read(path)?;
    manifest.check_names(path)?;
    let file: ModelFile<C> = from_json(&manifest.read_file(path, CONFIG)?, &path.join(CONFIG))?;
    if file.format_version != FORMAT_VERSION {
        return Err(bad_file(
            path,
            format!("format version {} is not {FORMAT_VERSION}", file.format_version),
        ));
    }
    let weights = from_safetensors(&manifest.read_file(path, WEIGHTS)?)?;
    let model = load_state_dict(build(&file.model, &file.sessions)?, weights)?;
    let mut parity = from_safetensors(&manifest.read_file(path, PARITY)?)?;
    if let Some(spec) = file.sessions.first() {
        let expected = parity.remove(output_name).ok_or_else(|| lacks_example(path))?;
        let received = answer(&model, spec, parity)?;
        if expected.shape() != received.shape() {
            let reason = format!(
                "its stored example has the shape {:?}, not {:?}",
                expected.shape(),
                received.shape()
            );
            return Err(bad_file(path, reason));
        }
        let pairs = expected.iter::<f64>().zip(received.iter::<f64>());
        // `f64::max` would pass over NaN.
        let differences = pairs.map(|(a, b)| (a - b).abs());
        let worst = differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
        if worst > PARITY_TOLERANCE {
            let reason =
                format!("its stored example is off by {worst:e}: written by an incompatible version");
            return Err(bad_file(path, reason));
        }
    }
    Ok((model, file.model))
}

fn lacks_example(path: &Path) -> TrainError {
    bad_file(path, format!("{PARITY} lacks its example"))
}

/// Two windows of made-up counts for the parity vector.
fn parity_counts(spec: &SessionSpec, n_bins: usize) -> TensorData {
    let mut draws = Stream::new(0, Domain::Synthetic, [0, 0, 0]);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let counts: Vec<f32> = (0..2 * n_bins * spec.n_units).map(|_| draws.poisson(0.3) as f32).collect();
    TensorData::new(counts, [2, n_bins, spec.n_units])
}

fn parity_output<M: PopulationModel>(
    model: &M,
    spec: &SessionSpec,
    counts: TensorData,
) -> Result<TensorData, TrainError> {
    let model = model.valid();
    let input = ModelInput {
        session: spec.session.clone(),
        counts: Tensor::from_data(counts, &device_of(&model)?),
        hidden: None,
        context: Context::Full,
        prompt: Some(Prompt::Neuron),
    };
    Ok(model.forward(&input, Mode::Eval)?.log_rates.into_data())
}
