//! Weights of models that answer behavior: POYO and NEDS, in and out.

use std::path::Path;

use burn::tensor::Device;
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{ComputeDevice, ModelError, SessionSpec};
use neurobrick_models::torch::TorchNames;
use neurobrick_models::{Neds, NedsPlace, Poyo, PoyoRows};
use neurobrick_schema::SessionId;

use super::training::ImportedFrom;
use super::weights::{
    Export, Imported, check_new, chosen, imported_record, n_values, read_checkpoint, spec, with_new,
    with_none,
};
use crate::PipelineError;
use crate::config::{ImportDecoderConfig, ImportNedsConfig, SESSION_WORDS, UNIT_WORDS, published_names};
use crate::decoding::neds::save_neds_model;
use crate::decoding::spikes::save_decoder_model;
use crate::decoding::{
    BehaviorScale, DecoderSpec, NedsSpec, SessionScales, load_decoder_model, load_neds_model,
};

/// Makes the folder of a decoder in `out` from a checkpoint of `torch_brain`.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, a vocabulary lacks a session or unit, or a file cannot be read or
/// written. Nothing is written then.
pub fn import_decoder(
    config: &ImportDecoderConfig,
    from: &Path,
    out: &Path,
) -> Result<Imported, PipelineError> {
    config.validate()?;
    check_new(out)?;
    let found = read_checkpoint(from, config.entry.as_deref())?;
    let own = config.model.sizes().key_map(&config.rows(&found)?).to_own(&found.weights)?;
    let specs: Vec<SessionSpec> = config.sessions.iter().map(|s| spec(&s.session, s.n_units)).collect();
    let device = Device::flex();
    let model = Poyo::new(config.model.sizes().clone(), &specs, config.seed, &device)?;
    let model = load_state_dict(model, own)?;
    let n_imported = n_values(&model);
    let model = model.with_sessions(&with_new(&specs, &config.new_sessions), config.seed, &device)?;
    let as_it_is = BehaviorScale { mean: 0.0, std: 1.0, unit: None };
    let scales = config.sessions.iter().map(|s| SessionScales {
        session: s.session.clone(),
        scales: if s.scales.is_empty() {
            vec![as_it_is.clone(); config.behaviors.len()]
        } else {
            s.scales.clone()
        },
    });
    let spec = DecoderSpec {
        model: config.model.clone(),
        behaviors: config.behaviors.clone(),
        scales: scales.collect(),
    };
    let from = ImportedFrom { names: config.names, sessions: ids(&specs) };
    let record = imported_record(spec, config.seed, &config.window, from);
    save_decoder_model(out, &model, &record)?;
    Ok(Imported { n_imported, n_new: n_values(&model).saturating_sub(n_imported), difference: None })
}

/// Makes the folder of NEDS in `out` from a checkpoint of the published code.
///
/// # Errors
/// If a tensor is missing, left over or of another shape, or a file cannot be read or written. Nothing is written then.
pub fn import_neds(config: &ImportNedsConfig, from: &Path, out: &Path) -> Result<Imported, PipelineError> {
    config.validate()?;
    check_new(out)?;
    let found = read_checkpoint(from, config.entry.as_deref())?;
    let modalities = config.modalities.of_model();
    let names = config.modality_names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let own = config.model.sizes().key_map(&modalities, &names, &config.places()).to_own(&found.weights)?;
    let specs: Vec<SessionSpec> = config.sessions.iter().map(|s| spec(&s.session, s.n_units)).collect();
    let device = Device::flex();
    let model = Neds::new(config.model.sizes().clone(), modalities, &specs, config.seed, &device)?;
    let model = load_state_dict(model, own)?;
    let n_imported = n_values(&model);
    let model = model.with_sessions(&with_new(&specs, &config.new_sessions), config.seed, &device)?;
    let spec = NedsSpec {
        schemes: config.schemes.clone(),
        ..NedsSpec::untrained(&config.model, &config.modalities)
    };
    let from = ImportedFrom { names: config.names, sessions: ids(&specs) };
    let record = imported_record(spec, config.seed, &config.window, from);
    save_neds_model(out, &model, &record)?;
    Ok(Imported { n_imported, n_new: n_values(&model).saturating_sub(n_imported), difference: None })
}

fn ids(specs: &[SessionSpec]) -> Vec<SessionId> {
    specs.iter().map(|spec| spec.session.clone()).collect()
}

/// Refuses other names than those that a kind was published under.
fn check_names(asked: Option<TorchNames>, own: TorchNames, kind: &str) -> Result<(), ModelError> {
    match asked {
        Some(names) if names != own => Err(ModelError::Unsupported {
            what: format!("lie under the names of {}: it is of kind `{kind}`", names.label()),
            hint: format!("export it under those of {}", own.label()),
        }),
        _ => Ok(()),
    }
}

pub(super) fn export_decoder(
    path: &Path,
    sessions: &[SessionId],
    names: Option<TorchNames>,
) -> Result<Export, PipelineError> {
    check_names(names, TorchNames::TorchBrain, "poyo")?;
    let (model, record) = load_decoder_model(path, ComputeDevice::Flex)?;
    let specs = chosen(model.sessions(), sessions)?;
    let model = model.with_sessions(&specs, record.seed, &Device::flex())?;
    // Row 0 of both tables stands for none.
    let mut rows = Vec::with_capacity(specs.len());
    let mut words = vec!["NA".to_owned()];
    for (i, spec) in specs.iter().enumerate() {
        rows.push(PoyoRows { units: (words.len()..words.len() + spec.n_units).collect(), session: i + 1 });
        words.extend((0..spec.n_units).map(|unit| format!("{}/{unit}", spec.session)));
    }
    let dict = record.config.model.sizes().key_map(&rows).to_torch(&state_dict(&model))?;
    let sessions = ids(&specs);
    let vocabularies = vec![(SESSION_WORDS, with_none(&sessions)), (UNIT_WORDS, words)];
    Ok(Export { names: TorchNames::TorchBrain, sessions, dict, vocabularies })
}

pub(super) fn export_neds(
    path: &Path,
    sessions: &[SessionId],
    names: Option<TorchNames>,
) -> Result<Export, PipelineError> {
    check_names(names, TorchNames::Neds, "neds")?;
    let (model, record) = load_neds_model(path, ComputeDevice::Flex)?;
    let specs = chosen(model.sessions(), sessions)?;
    if specs.windows(2).any(|pair| pair[0].n_units != pair[1].n_units) {
        return Err(ModelError::Unsupported {
            what: "lie in a state dict of NEDS with sessions of different numbers of units".to_owned(),
            hint: "export one session: encoders of the published code are as wide as the largest".to_owned(),
        }
        .into());
    }
    let model = model.with_sessions(&specs, record.seed, &Device::flex())?;
    let place = |(row, spec): (usize, &SessionSpec)| NedsPlace { session: spec.session.to_string(), row };
    let places: Vec<NedsPlace> = specs.iter().enumerate().map(place).collect();
    let NedsSpec { model: config, modalities, .. } = &record.config;
    let names = published_names(modalities);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let map = config.sizes().key_map(&modalities.of_model(), &names, &places);
    let dict = map.to_torch(&state_dict(&model))?;
    Ok(Export { names: TorchNames::Neds, sessions: ids(&specs), dict, vocabularies: Vec::new() })
}
