//! From a store to sessions ready for training.

use std::path::PathBuf;
use std::sync::Arc;

use neurobrick_data::{SessionData, SplitConfig, TrialSplit, UnitFilter, WindowConfig};
use neurobrick_schema::{Card, Recording, SessionId, Store};
use neurobrick_train::TrainSession;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EvaluateError, SessionHash};

/// Where windows come from and how trials are split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The store.
    pub store: PathBuf,
    /// The window cut from every trial.
    pub window: WindowConfig,
    /// Fractions of trials.
    #[serde(default)]
    pub split: SplitConfig,
    /// Units that are good enough; all where nothing is said.
    #[serde(default, skip_serializing_if = "UnitFilter::is_empty")]
    pub units: UnitFilter,
}

/// A session with its split, its card and the hash of its data.
#[derive(Clone, Debug)]
pub struct LoadedSession {
    /// Windows and split.
    pub train: TrainSession,
    /// Provenance.
    pub card: Card,
    /// Hash of the data.
    pub hash: SessionHash,
}

/// Loads sessions from the store of `config`, verified, without the units that do not pass, binned and split by `seed`.
///
/// # Errors
/// If a session is missing or damaged, no unit passes, or the window does not fit it.
pub fn load_sessions(
    config: &DataConfig,
    sessions: &[SessionId],
    seed: u64,
) -> Result<Vec<LoadedSession>, EvaluateError> {
    let store = Store::open(&config.store)?;
    let mut loaded = Vec::with_capacity(sessions.len());
    for session in sessions {
        if !store.contains(session) {
            let known: Vec<String> = store.sessions()?.iter().map(ToString::to_string).collect();
            return Err(EvaluateError::SessionNotInStore {
                session: session.clone(),
                store: config.store.clone(),
                known: known.join(", "),
            });
        }
        let (data, recording) = SessionData::of_units(store.read(session)?, &config.units, &config.window)?;
        let split = TrialSplit::of(&data, &config.split, seed)?;
        loaded.push(LoadedSession {
            train: TrainSession::new(Arc::new(data), split)?,
            card: recording.info().card.clone(),
            hash: SessionHash { session: session.clone(), blake3: store.digest(session)? },
        });
    }
    Ok(loaded)
}

/// A session of the store without the units that do not pass.
///
/// # Errors
/// If it is missing or damaged, or no unit passes.
pub fn read_recording(
    store: &Store,
    config: &DataConfig,
    session: &SessionId,
) -> Result<Recording, EvaluateError> {
    Ok(config.units.apply(store.read(session)?)?)
}
