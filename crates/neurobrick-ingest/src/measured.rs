//! Recordings without units: signals and intervals of one file, with the card of its folder.

use std::collections::BTreeMap;

use neurobrick_schema::{Activity, IntervalTable, Recording, RecordingParts, Signal, Spikes, Table};

use crate::dataset_file::DatasetFile;
use crate::error::IngestError;
use crate::reader::Source;

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) intervals: Vec<IntervalTable>,
    pub(crate) signals: Vec<Signal>,
}

impl Measured {
    /// Joins it with the card; `step` says how it was read. `trials` of the card's file names the table of intervals that
    /// becomes the trials.
    pub(crate) fn into_recording(
        mut self,
        source: &Source,
        dataset: &DatasetFile,
        step: String,
    ) -> Result<Recording, IngestError> {
        let subject = dataset.subject_or_unknown(&source.main)?;
        let trials = dataset.take_trials(&source.root, &mut self.intervals)?;
        let step = match &dataset.trials {
            Some(name) => format!("{step}; {name} taken as the trials"),
            None => step,
        };
        Recording::from_parts(RecordingParts {
            info: dataset.info(source.session.clone(), subject, source.hash_files()?, step),
            metadata: self.metadata,
            units: Vec::new(),
            unit_columns: Vec::new(),
            electrodes: Table::default(),
            activity: Activity::Spikes(Spikes::default()),
            trials: trials.unwrap_or_default(),
            intervals: self.intervals,
            signals: self.signals,
        })
        .map_err(IngestError::invalid(&source.main))
    }
}
