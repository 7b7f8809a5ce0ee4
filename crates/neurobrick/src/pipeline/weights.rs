//! Weights of published PyTorch code in, and state dicts that it loads out.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::weights::{StateDict, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{ComputeDevice, Mode, ModelError, ModelInput, PopulationModel, SessionSpec};
use neurobrick_data::{SplitConfig, UnitFilter, WindowConfig};
use neurobrick_models::AnyModel;
use neurobrick_models::torch::{Checkpoint, KeyMap, TorchNames, TorchSession};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::save_model_dir;

use super::training::{ImportedFrom, ModelRecord, load_model};
use super::weights_behavior::{export_decoder, export_neds};
use crate::PipelineError;
use crate::config::{ImportConfig, ImportParity, NewSession, SESSION_WORDS};
use crate::decoding::BehaviorKind;

/// What an import brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Imported {
    /// Numbers that came from the state dict.
    pub n_imported: usize,
    /// Numbers of sessions that it does not know.
    pub n_new: usize,
    /// Largest difference from the example, if one was given.
    pub difference: Option<f64>,
}

/// Makes the model folder `out` from the weights in `from`: a safetensors file, or a checkpoint of PyTorch, of which nothing
/// is executed.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, the example is answered otherwise, or a file cannot be read or
/// written. Nothing is written then.
pub fn import_weights(config: &ImportConfig, from: &Path, out: &Path) -> Result<Imported, PipelineError> {
    config.model.validate()?;
    let n_bins = config.window.n_bins()?;
    if n_bins != config.model.n_bins() {
        let message = format!("has {n_bins} bins, but the model reads {}", config.model.n_bins());
        return Err(PipelineError::BadValue { field: "window".to_owned(), message });
    }
    check_new(out)?;
    let found = read_checkpoint(from, config.entry.as_deref())?;
    let map = KeyMap::new(config.names, &config.model, &config.places(&found)?)?;
    let own = map.to_own(&found.weights)?;
    let specs: Vec<SessionSpec> = config.sessions.iter().map(|s| spec(&s.session, s.n_units)).collect();
    let device = Device::flex();
    let model = load_state_dict(config.model.build(&specs, config.seed, &device)?, own)?;
    let difference = config.parity.as_ref().map(|parity| check_parity(&model, parity)).transpose()?;
    let n_imported = n_values(&model);
    let model = model.with_sessions(&with_new(&specs, &config.new_sessions), config.seed, &device)?;
    let known = specs.iter().map(|spec| spec.session.clone()).collect();
    let from = ImportedFrom { names: config.names, sessions: known };
    let record = imported_record(config.model.clone(), config.seed, &config.window, from);
    save_model_dir(out, &model, &record, n_bins)?;
    Ok(Imported { n_imported, n_new: n_values(&model).saturating_sub(n_imported), difference })
}

/// What a folder says of a model that was imported.
pub(super) fn imported_record<C>(
    config: C,
    seed: u64,
    window: &WindowConfig,
    imported_from: ImportedFrom,
) -> ModelRecord<C> {
    ModelRecord {
        config,
        seed,
        window: window.clone(),
        split: SplitConfig::default(),
        units: UnitFilter::default(),
        trained_on: Vec::new(),
        imported_from: Some(imported_from),
        alignment: None,
    }
}

/// A session of so many units.
pub(super) fn spec(session: &SessionId, n_units: usize) -> SessionSpec {
    SessionSpec { session: session.clone(), n_units, log_mean_rates: None }
}

/// Sessions of a checkpoint and those it does not know.
pub(super) fn with_new(specs: &[SessionSpec], new: &[NewSession]) -> Vec<SessionSpec> {
    specs.iter().cloned().chain(new.iter().map(|s| spec(&s.session, s.n_units))).collect()
}

/// Refuses to write over anything.
pub(super) fn check_new(out: &Path) -> Result<(), PipelineError> {
    if out.exists() {
        let message = "is there already; choose a new folder for the model".to_owned();
        return Err(PipelineError::BadFile { path: out.to_owned(), message });
    }
    Ok(())
}

/// Numbers of all parameters.
pub(super) fn n_values<M: Module>(model: &M) -> usize {
    state_dict(model).values().map(|data| data.shape().num_elements()).sum()
}

/// Weights under the names of a file.
pub(super) fn read_checkpoint(path: &Path, entry: Option<&str>) -> Result<Checkpoint, PipelineError> {
    Checkpoint::read(path, entry)
        .map_err(|error| PipelineError::BadFile { path: path.to_owned(), message: error.to_string() })
}

/// The largest difference from an example.
fn check_parity(model: &AnyModel, parity: &ImportParity) -> Result<f64, PipelineError> {
    let mut example = read_checkpoint(&parity.file, None)?.weights;
    let bad = |message: String| PipelineError::BadFile { path: parity.file.clone(), message };
    let mut take = |name: &str| -> Result<TensorData, PipelineError> {
        let data = example.remove(name).ok_or_else(|| bad(format!("has no tensor `{name}`")))?;
        if data.shape().num_dims() == 3 {
            return Ok(data);
        }
        Err(bad(format!("`{name}` must be [B, T, N]; received {:?}", data.shape())))
    };
    let (counts, expected) = (take("counts")?, take("log_rates")?);
    let input = ModelInput {
        session: parity.session.clone(),
        counts: Tensor::from_data(counts, &Device::flex()),
        hidden: None,
        context: parity.context,
        prompt: parity.prompt,
    };
    let found = model.forward(&input, Mode::Eval)?.log_rates.into_data();
    if found.shape() != expected.shape() {
        return Err(bad(format!(
            "`log_rates` is {:?}, the model answers {:?}",
            expected.shape(),
            found.shape()
        )));
    }
    let differences = found.iter::<f64>().zip(expected.iter::<f64>()).map(|(f, e)| (f - e).abs());
    // `f64::max` would pass over NaN.
    let worst = differences.fold(0.0, |m: f64, d| if d.is_nan() { f64::INFINITY } else { m.max(d) });
    if worst <= parity.tolerance {
        return Ok(worst);
    }
    Err(bad(format!(
        "the imported model differs by up to {worst:e} from `log_rates`, allowed are {:e}; check names, sizes and \
         the session's row",
        parity.tolerance
    )))
}

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Whose names it has.
    pub names: TorchNames,
    /// Its sessions, in the order of their rows.
    pub sessions: Vec<SessionId>,
    /// Tensors.
    pub n_tensors: usize,
}

/// What is exported: names, sessions by row, tensors, and further metadata.
pub(super) struct Export {
    pub(super) names: TorchNames,
    pub(super) sessions: Vec<SessionId>,
    pub(super) dict: StateDict,
    /// Words of tables by row.
    pub(super) vocabularies: Vec<(&'static str, Vec<String>)>,
}

/// Writes the model in `model` as a state dict under published names: those asked for, or of the code that models of its
/// kind were published with. It holds all sessions, or those named.
///
/// # Errors
/// If the folder is damaged, a session is unknown, or the published code has no place for what the model has.
pub fn export_weights(
    model: &Path,
    sessions: &[SessionId],
    names: Option<TorchNames>,
    to: &Path,
) -> Result<Exported, PipelineError> {
    let export = match BehaviorKind::at(model) {
        Some(BehaviorKind::Poyo) => export_decoder(model, sessions, names)?,
        Some(BehaviorKind::Neds) => export_neds(model, sessions, names)?,
        None => export_activity(model, sessions, names)?,
    };
    let ids = |ids: &[SessionId]| ids.iter().map(SessionId::as_str).collect::<Vec<_>>().join("\n");
    let mut metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        ("names".to_owned(), export.names.label().to_owned()),
        ("sessions".to_owned(), ids(&export.sessions)),
    ]);
    for (name, words) in &export.vocabularies {
        let words = serde_json::to_string(words)
            .map_err(|e| PipelineError::BadFile { path: to.to_owned(), message: e.to_string() })?;
        metadata.insert((*name).to_owned(), words);
    }
    write_file(to, &to_safetensors(&export.dict, metadata)?)?;
    Ok(Exported { names: export.names, sessions: export.sessions, n_tensors: export.dict.len() })
}

/// The names that a command line calls so.
///
/// # Errors
/// If there are none, with those there are.
pub fn export_names(label: &str) -> Result<TorchNames, PipelineError> {
    TorchNames::ALL.into_iter().find(|names| names.label() == label).ok_or_else(|| {
        let known: Vec<&str> = TorchNames::ALL.iter().map(|names| names.label()).collect();
        let message = format!("must be one of {}; received `{label}`", known.join(", "));
        PipelineError::BadValue { field: "names".to_owned(), message }
    })
}

fn export_activity(
    model: &Path,
    sessions: &[SessionId],
    names: Option<TorchNames>,
) -> Result<Export, PipelineError> {
    let (model, record) = load_model(model, ComputeDevice::Flex)?;
    let names = names.or_else(|| TorchNames::of(&record.config)).ok_or_else(|| ModelError::Unsupported {
        what: format!(
            "be exported: there is no map from models of kind `{}` to names of PyTorch code",
            record.config.kind()
        ),
        hint: "its folder holds `weights.safetensors`, which any library reads".to_owned(),
    })?;
    let specs = chosen(model.sessions(), sessions)?;
    let model = if sessions.is_empty() {
        model
    } else {
        model.with_sessions(&specs, record.seed, &Device::flex())?
    };
    let map = KeyMap::new(names, &record.config, &TorchSession::of(&model, names))?;
    let sessions: Vec<SessionId> = specs.into_iter().map(|spec| spec.session).collect();
    let vocabularies = match names {
        TorchNames::BrainWideBench => vec![(SESSION_WORDS, with_none(&sessions))],
        _ => Vec::new(),
    };
    Ok(Export { names, dict: map.to_torch(&state_dict(&model))?, sessions, vocabularies })
}

/// The sessions asked for, or all.
pub(super) fn chosen(known: &[SessionSpec], asked: &[SessionId]) -> Result<Vec<SessionSpec>, ModelError> {
    if asked.is_empty() {
        return Ok(known.to_vec());
    }
    let find = |id: &SessionId| known.iter().find(|spec| spec.session == *id).cloned();
    let missing = |id: &SessionId| ModelError::UnknownSession {
        session: id.clone(),
        known: known.iter().map(|spec| spec.session.as_str()).collect::<Vec<_>>().join(", "),
    };
    asked.iter().map(|id| find(id).ok_or_else(|| missing(id))).collect()
}

/// Words of a table of sessions, whose first row stands for none.
pub(super) fn with_none(sessions: &[SessionId]) -> Vec<String> {
    std::iter::once("NA").chain(sessions.iter().map(SessionId::as_str)).map(str::to_owned).collect()
}
