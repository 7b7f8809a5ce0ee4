//! The spikes of a session without the session: a time range, or all of them batch by batch, in bounded memory.

use std::path::{Path, PathBuf};

use arrow_array::{Float64Array, UInt32Array};
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::statistics::Statistics;

use crate::activity::Spikes;
use crate::checked_file::{CheckedFile, unread};
use crate::error::SchemaError;
use crate::manifest::FileEntry;
use crate::tables::{BATCH_ROWS, column, spikes_metadata};

/// The open spikes table of a session, which decodes bytes that have been checked and no others.
///
/// Row groups carry the least and the greatest time of their spikes, so a range of time decodes the groups that it
/// touches and no others. Of a file of more than 4 MiB no more is read than they need: every MiB has a hash of its own
/// in the manifest, unless the store is older than these. Other files are checked whole when they are opened.
#[derive(Debug)]
pub struct SpikeFile {
    path: PathBuf,
    file: CheckedFile,
    metadata: ArrowReaderMetadata,
    n_spikes: u64,
}

impl SpikeFile {
    /// Time and unit.
    pub(crate) const N_COLUMNS: usize = 2;

    /// Opens and checks the file that `entry` lists.
    pub(crate) fn open(path: &Path, entry: &FileEntry, n_spikes: u64) -> Result<Self, SchemaError> {
        let file = if entry.pieces.is_empty() {
            CheckedFile::checked_now(path, entry)?
        } else {
            CheckedFile::by_pieces(path, entry, Self::N_COLUMNS)?
        };
        Self::of_checked(path.to_path_buf(), file, n_spikes)
    }

    /// Takes a file that checks itself; `path` is for messages.
    pub(crate) fn of_checked(path: PathBuf, file: CheckedFile, n_spikes: u64) -> Result<Self, SchemaError> {
        let metadata = spikes_metadata(&path, &file, n_spikes)?;
        Ok(Self { path, file, metadata, n_spikes })
    }

    /// Number of spikes of the session.
    pub fn n_spikes(&self) -> u64 {
        self.n_spikes
    }

    /// Number of row groups that hold spikes between two times, and of all.
    pub fn row_groups_between(&self, start_s: f64, end_s: f64) -> (usize, usize) {
        let groups = self.metadata.metadata().row_groups();
        (groups.iter().filter(|group| may_hold(group, start_s, end_s)).count(), groups.len())
    }

    /// The spikes from `start_s` on and before `end_s`, in batches of some ten thousand; of all units, or of some. Several
    /// may be under way at once, on threads of their own.
    ///
    /// Errors: [`SchemaError::Io`]; [`SchemaError::Damaged`].
    pub fn between(
        &self,
        start_s: f64,
        end_s: f64,
        units: Option<&[u32]>,
    ) -> Result<SpikeBatches, SchemaError> {
        let damaged = |error: ParquetError| unread(&self.path, error);
        let groups = self.metadata.metadata().row_groups().iter().enumerate();
        let chosen =
            groups.filter(|(_, group)| may_hold(group, start_s, end_s)).map(|(index, _)| index).collect();
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.file.clone(), self.metadata.clone())
                .with_row_groups(chosen)
                .with_batch_size(BATCH_ROWS)
                .build()
                .map_err(damaged)?;
        let mut wanted = units.map(<[u32]>::to_vec);
        if let Some(wanted) = &mut wanted {
            wanted.sort_unstable();
        }
        Ok(SpikeBatches { path: self.path.clone(), reader, start_s, end_s, wanted })
    }

    /// The same in one piece.
    ///
    /// Errors: those of [`SpikeFile::between`] and of a batch.
    pub fn read_between(
        &self,
        start_s: f64,
        end_s: f64,
        units: Option<&[u32]>,
    ) -> Result<Spikes, SchemaError> {
        let (mut times_s, mut unit_of) = (Vec::new(), Vec::new());
        for batch in self.between(start_s, end_s, units)? {
            let batch = batch?;
            times_s.extend_from_slice(batch.times_s());
            unit_of.extend_from_slice(batch.units());
        }
        Spikes::new(times_s, unit_of)
    }
}

/// Whether the statistics of a row group allow spikes in the range.
fn may_hold(group: &RowGroupMetaData, start_s: f64, end_s: f64) -> bool {
    match group.columns().first().and_then(|column| column.statistics()) {
        Some(Statistics::Double(bounds)) => match (bounds.min_opt(), bounds.max_opt()) {
            (Some(&least), Some(&greatest)) => least < end_s && greatest >= start_s,
            _ => true,
        },
        _ => true,
    }
}

/// Spikes in batches, in order of time.
pub struct SpikeBatches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    start_s: f64,
    end_s: f64,
    wanted: Option<Vec<u32>>,
}

impl Iterator for SpikeBatches {
    type Item = Result<Spikes, SchemaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.reader.next()? {
            Ok(batch) => batch,
            Err(error) => return Some(Err(SchemaError::damaged(&self.path, error))),
        };
        let arrays = column::<Float64Array>(&self.path, &batch, 0)
            .and_then(|times| Ok((times, column::<UInt32Array>(&self.path, &batch, 1)?)));
        let (times, units) = match arrays {
            Ok(arrays) => arrays,
            Err(error) => return Some(Err(error)),
        };
        let (times, units) = (times.values(), units.values());
        let from = times.partition_point(|&time| time < self.start_s);
        let to = times.partition_point(|&time| time < self.end_s).max(from);
        let found = (times[from..to].iter().copied()).zip(units[from..to].iter().copied());
        let (times_s, units) = match &self.wanted {
            Some(wanted) => found.filter(|(_, unit)| wanted.binary_search(unit).is_ok()).unzip(),
            None => found.unzip(),
        };
        Some(Spikes::new(times_s, units))
    }
}
