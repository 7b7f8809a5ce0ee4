//! Weights of published PyTorch code in, and state dicts that it loads out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::weights::{StateDict, from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{ComputeDevice, Mode, ModelError, ModelInput, PopulationModel, SessionSpec};
use neurobrick_data::{SplitConfig, UnitFilter};
use neurobrick_models::AnyModel;
use neurobrick_models::torch::{KeyMap, TorchNames, TorchSession};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_train::save_model_dir;

use super::training::{ImportedFrom, ModelRecord, load_model};
use crate::PipelineError;
use crate::config::{ImportConfig, ImportParity};

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

/// Makes the model folder `out` from the safetensors file `dict`.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, the example is answered otherwise, or a file cannot be read or
/// written. Nothing is written then.
pub fn import_weights(config: &ImportConfig, dict: &Path, out: &Path) -> Result<Imported, PipelineError> {
    config.model.validate()?;
    let n_bins = config.window.n_bins()?;
    if n_bins != config.model.n_bins() {
        let message = format!("has {n_bins} bins, but the model reads {}", config.model.n_bins());
        return Err(PipelineError::BadValue { field: "window".to_owned(), message });
    }
    if out.exists() {
        let message = "is there already; choose a new folder for the model".to_owned();
        return Err(PipelineError::BadFile { path: out.to_owned(), message });
    }
    let map = KeyMap::new(config.names, &config.model, &config.places())?;
    let own = map.to_own(&read_dict(dict)?)?;
    let spec = |session: &SessionId, n_units| SessionSpec {
        session: session.clone(),
        n_units,
        log_mean_rates: None,
    };
    let specs: Vec<SessionSpec> = config.sessions.iter().map(|s| spec(&s.session, s.n_units)).collect();
    let device = Device::flex();
    let model = load_state_dict(config.model.build(&specs, config.seed, &device)?, own)?;
    let difference = config.parity.as_ref().map(|parity| check_parity(&model, parity)).transpose()?;
    let n_imported = n_values(&state_dict(&model));
    let new = config.new_sessions.iter().map(|s| spec(&s.session, s.n_units));
    let all: Vec<SessionSpec> = specs.iter().cloned().chain(new).collect();
    let model = model.with_sessions(&all, config.seed, &device)?;
    let record = ModelRecord {
        config: config.model.clone(),
        seed: config.seed,
        window: config.window.clone(),
        split: SplitConfig::default(),
        units: UnitFilter::default(),
        trained_on: Vec::new(),
        imported_from: Some(ImportedFrom {
            names: config.names,
            sessions: config.sessions.iter().map(|s| s.session.clone()).collect(),
        }),
        alignment: None,
    };
    save_model_dir(out, &model, &record, n_bins)?;
    Ok(Imported { n_imported, n_new: n_values(&state_dict(&model)).saturating_sub(n_imported), difference })
}

fn n_values(state: &StateDict) -> usize {
    state.values().map(|data| data.shape().num_elements()).sum()
}

fn read_dict(path: &Path) -> Result<StateDict, PipelineError> {
    let bytes = fs::read(path).map_err(PipelineError::io("read", path))?;
    from_safetensors(&bytes).map_err(|error| PipelineError::BadFile {
        path: path.to_owned(),
        message: format!("{error}; docs/guide/models.md says how a checkpoint becomes a state dict"),
    })
}

/// The largest difference from an example.
fn check_parity(model: &AnyModel, parity: &ImportParity) -> Result<f64, PipelineError> {
    let mut example = read_dict(&parity.file)?;
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

/// Writes the model in `model` as a state dict under the names of the code it was published with: all its sessions, or
/// those named.
///
/// # Errors
/// If the folder is damaged, a session is unknown, or the published code has no place for what the model has.
pub fn export_weights(model: &Path, sessions: &[SessionId], to: &Path) -> Result<Exported, PipelineError> {
    let (model, record) = load_model(model, ComputeDevice::Flex)?;
    let names = TorchNames::of(&record.config).ok_or_else(|| ModelError::Unsupported {
        what: format!(
            "be exported: there is no map from models of kind `{}` to names of PyTorch code",
            record.config.kind()
        ),
        hint: "its folder holds `weights.safetensors`, which any library reads".to_owned(),
    })?;
    let model = if sessions.is_empty() {
        model
    } else {
        let spec = |session| Ok(model.sessions()[model.session_idx(session)?].clone());
        let specs: Vec<SessionSpec> = sessions.iter().map(spec).collect::<Result<_, ModelError>>()?;
        model.with_sessions(&specs, record.seed, &Device::flex())?
    };
    let map = KeyMap::new(names, &record.config, &TorchSession::of(&model))?;
    let dict = map.to_torch(&state_dict(&model))?;
    let sessions: Vec<SessionId> = model.sessions().iter().map(|s| s.session.clone()).collect();
    let rows = sessions.iter().map(SessionId::as_str).collect::<Vec<_>>().join("\n");
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("sessions".to_owned(), rows)]);
    write_file(to, &to_safetensors(&dict, metadata)?)?;
    Ok(Exported { names, sessions, n_tensors: dict.len() })
}
