//! Leak and shortcut tests.

use std::path::Path;
use std::time::Instant;

use neurobrick_core::Prompt;
use neurobrick_evaluate::auditing::{AuditResult, NamedAudit, session_rows, table_rows};
use neurobrick_metrics::audit::{AuditSettings, audit as audit_rows};
use neurobrick_schema::atomic::write_file;
use neurobrick_train::latents;

use super::training::load_model;
use crate::config::{AuditConfig, SessionsAudit};
use crate::pipeline::{Observer, Progress};
use crate::{Compute, PipelineError, RunFolder, RunManifest, SessionHash, load_sessions};

/// Audits every table and session, and writes `audit.json`, `audit.md` and `manifest.json` into `out`.
///
/// # Errors
/// If data are missing or damaged, a column is unknown, or a label has one class only.
pub fn audit(
    config: &AuditConfig,
    out: &Path,
    command: &str,
    compute: Compute,
    observer: &mut dyn Observer,
) -> Result<AuditResult, PipelineError> {
    config.validate()?;
    let folder = RunFolder::open(out)?;
    folder.settle_config(config)?;
    let started = Instant::now();
    let settings = AuditSettings { n_shuffles: config.n_shuffles, ..AuditSettings::with_seed(config.seed) };
    let total = config.tables.len() + config.sessions.iter().map(|s| s.sessions.len()).sum::<usize>();
    let mut state =
        Progress { stage: "audit".to_owned(), done: 0, total: total as u64, message: String::new() };
    let (mut audits, mut hashes) = (Vec::new(), Vec::new());
    for table in &config.tables {
        table.name.clone_into(&mut state.message);
        observer.progress(&state);
        let (rows, split) = table_rows(table, config.seed)?;
        audits.push(NamedAudit { name: table.name.clone(), report: audit_rows(&rows, &split, &settings)? });
        state.done += 1;
    }
    for sessions in &config.sessions {
        let (found, data) =
            audit_sessions(sessions, (config.seed, compute), &settings, &mut state, observer)?;
        audits.extend(found);
        hashes.extend(data);
    }
    observer.progress(&state);
    let result = AuditResult { format_version: 1, audits };
    let mut manifest = RunManifest::new(command, config.seed, compute, hashes);
    manifest.stages.push(("audit".to_owned(), started.elapsed().as_secs_f64()));
    folder.write_json("audit.json", &result)?;
    folder.write_json("manifest.json", &manifest)?;
    write_file(&out.join("audit.md"), result.markdown().as_bytes())?;
    Ok(result)
}

fn audit_sessions(
    audit: &SessionsAudit,
    (seed, compute): (u64, Compute),
    settings: &AuditSettings,
    state: &mut Progress,
    observer: &mut dyn Observer,
) -> Result<(Vec<NamedAudit>, Vec<SessionHash>), PipelineError> {
    let (mut audits, mut hashes) = (Vec::new(), Vec::new());
    for session in load_sessions(&audit.data, &audit.sessions, seed)? {
        let id = &session.hash.session;
        state.message = format!("{id}: {}", audit.label.name());
        observer.progress(state);
        let latents = match &audit.model {
            Some(path) => {
                let (model, record) =
                    load_model(Path::new(&path.replace("{session}", id.as_str())), compute.device)?;
                record.check_data(&audit.data, seed, &session.hash)?;
                let all: Vec<usize> = (0..session.train.data.n_trials()).collect();
                Some(latents(&model, &session.train.data, &all, Prompt::Neuron, compute.n_threads)?)
            }
            None => None,
        };
        let (rows, split) = session_rows(&session.train, audit, latents.as_ref())?;
        let report = audit_rows(&rows, &split, settings)?;
        audits.push(NamedAudit { name: state.message.clone(), report });
        hashes.push(session.hash);
        state.done += 1;
    }
    Ok((audits, hashes))
}
