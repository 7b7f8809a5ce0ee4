//! Evaluation of models that are not in the zoo.

use std::path::Path;
use std::time::Instant;

use neurobrick_core::PopulationModel;
use neurobrick_report as report;

use super::evaluate::{Finished, evaluate_with};
use crate::config::EvaluateConfig;
use crate::pipeline::Observer;
use crate::{Compute, PipelineError, RunFolder};

/// A model of one's own, trained, with what tables and the report say of it.
#[derive(Clone, Debug)]
pub struct OwnModel<M> {
    /// Name in tables.
    pub name: String,
    /// The model; it reads every session that is evaluated.
    pub model: M,
    /// Whether other sessions than the evaluated one have entered its weights.
    pub is_pretrained: bool,
    /// What a reader of the report must know: what it is, and what it was trained on.
    pub note: String,
}

/// Scores models of one's own as [`evaluate`](super::evaluate()) does those of the zoo: same tasks, baselines, pools and paired
/// differences, and the same files in `out`. `config.models` stays empty.
///
/// Seed and split must be those that the models were trained with; nothing here can know.
///
/// # Errors
/// If `config` names models of the zoo, no model is given, data are missing or damaged, a model refuses its input, or a file
/// cannot be written.
pub fn evaluate_own<M: PopulationModel>(
    config: &EvaluateConfig,
    models: &[OwnModel<M>],
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<report::RunReport, PipelineError> {
    config.validate()?;
    let Some(first) = models.first().filter(|_| config.models.is_empty()) else {
        let message = "give one's own models or models by path, one of the two".to_owned();
        return Err(PipelineError::BadValue { field: "models".to_owned(), message });
    };
    let folder = RunFolder::open(out)?;
    folder.check_config(config)?;
    let started = Instant::now();
    let own = |model: &OwnModel<M>| (model.name.clone(), model.is_pretrained, model.model.clone());
    let load = |_: &_, _: &mut _| Ok(models.iter().map(own).collect());
    let evaluated = evaluate_with(config, models.len(), load, compute, observer)?;
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let finished = Finished {
        names: names.join(", "),
        model: report::ModelFacts {
            name: first.name.clone(),
            license: "not stated".to_owned(),
            n_parameters: Some(first.model.num_params() as u64),
            architecture: Vec::new(),
            intended_use: Vec::new(),
            not_for: Vec::new(),
        },
        notes: models.iter().map(|model| format!("{}: {}", model.name, model.note)).collect(),
        command,
        compute,
        started,
    };
    finished.write(&folder, config, evaluated)
}
