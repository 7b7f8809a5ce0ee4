//! Writes a session whose spikes come batch by batch.

use std::mem;

use crate::activity::{Activity, Spikes};
use crate::atomic::Staging;
use crate::error::SchemaError;
use crate::recording::{Recording, check_units_of_spikes};
use crate::spikes_table::SpikesTable;
use crate::store::{SPIKES_FILE, SessionDigest, Store, finish_session};

/// A session under way, whose spikes need not fit into memory: no more than one batch and a row group of a million are held.
///
/// The files are the same, byte for byte, as [`Store::write`] makes of the whole recording, however the spikes are cut into
/// batches. Unless it is finished, nothing of the session is left.
///
/// ```no_run
/// # fn of(recording: neurobrick_schema::Recording, batches: Vec<neurobrick_schema::Spikes>)
/// # -> Result<(), neurobrick_schema::SchemaError> {
/// let store = neurobrick_schema::Store::open("store")?;
/// let mut writer = store.writer(recording)?;
/// for spikes in &batches {
///     writer = writer.append(spikes)?;
/// }
/// println!("{}", writer.finish()?.digest);
/// # Ok(())
/// # }
/// ```
pub struct SessionWriter<'a> {
    store: &'a Store,
    staging: Staging,
    recording: Recording,
    table: SpikesTable,
    n_spikes: u64,
    last_s: f64,
}

impl Store {
    /// Starts a session with all that `recording` has; further spikes of its units follow its own.
    ///
    /// Errors: [`SchemaError::NoSpikeTimes`] for a recording of counts; those of [`Store::stage`]; [`SchemaError::Io`];
    /// [`SchemaError::Encode`].
    pub fn writer(&self, recording: Recording) -> Result<SessionWriter<'_>, SchemaError> {
        let mut parts = recording.into_parts();
        let spikes = match mem::replace(&mut parts.activity, Activity::Spikes(Spikes::default())) {
            Activity::Spikes(spikes) => spikes,
            Activity::Counts(_) => return Err(SchemaError::NoSpikeTimes { session: parts.info.session }),
        };
        let recording = Recording::from_parts(parts)?;
        let staging = self.stage(&recording.info().session)?;
        let table = SpikesTable::create(&staging.path().join(SPIKES_FILE))?;
        let (n_spikes, last_s) = (0, f64::NEG_INFINITY);
        SessionWriter { store: self, staging, recording, table, n_spikes, last_s }.append(&spikes)
    }
}

impl SessionWriter<'_> {
    /// Writes the next spikes, none of them before the last one so far. An error is the end of the session.
    ///
    /// Errors: [`SchemaError::UnsortedSpikes`]; [`SchemaError::UnitOutOfRange`], with the place in the batch;
    /// [`SchemaError::Io`]; [`SchemaError::Encode`].
    pub fn append(mut self, spikes: &Spikes) -> Result<Self, SchemaError> {
        let (Some(&first_s), Some(&last_s)) = (spikes.times_s().first(), spikes.times_s().last()) else {
            return Ok(self);
        };
        if first_s < self.last_s {
            return Err(SchemaError::UnsortedSpikes { index: 0, time_s: first_s, previous_s: self.last_s });
        }
        check_units_of_spikes(spikes, self.recording.n_units())?;
        self.table = self.table.append(spikes.times_s(), spikes.units())?;
        self.n_spikes += spikes.len() as u64;
        self.last_s = last_s;
        Ok(self)
    }

    /// Writes all else and puts the session in place; one of that name is replaced.
    ///
    /// Errors: [`SchemaError::Io`]; [`SchemaError::Encode`]. What was stored before is then untouched.
    pub fn finish(self) -> Result<SessionDigest, SchemaError> {
        let Self { store, staging, recording, table, n_spikes, .. } = self;
        table.finish()?;
        let digest = finish_session(staging.path(), &recording, Some(n_spikes))?;
        store.commit(staging, &digest)?;
        Ok(digest)
    }
}
