//! Writes `spikes.parquet`, of which no more than a row group is in memory.

use std::fs::File;
use std::io::BufWriter;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::error::SchemaError;
use crate::tables::{ROW_GROUP_ROWS, batch, create, spikes_schema, unwritten};

/// One row per spike, sorted by time, which the caller has checked.
pub(crate) struct SpikesTable {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    /// Spikes of the row group under way: where groups and pages end must not depend on how spikes come.
    times_s: Vec<f64>,
    units: Vec<u32>,
}

impl SpikesTable {
    /// Neither column is compressed: times of spikes look random to Snappy, which takes as long to find no pattern in them as
    /// everything else takes to read them, and the dictionary has made bits of the units already. A dictionary of times would
    /// only be given up after its first megabyte.
    pub(crate) fn create(path: &Path) -> Result<Self, SchemaError> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(ColumnPath::from("time_s"), false);
        let writer = create(path, &spikes_schema(), properties)?;
        Ok(Self { path: path.to_path_buf(), writer, times_s: Vec::new(), units: Vec::new() })
    }

    /// Takes the next spikes. After an error the table is worth nothing, and so gone.
    pub(crate) fn append(mut self, mut times_s: &[f64], mut units: &[u32]) -> Result<Self, SchemaError> {
        while !times_s.is_empty() {
            let n_taken = times_s.len().min(ROW_GROUP_ROWS - self.times_s.len());
            let (now_s, later_s) = times_s.split_at(n_taken);
            let (now, later) = units.split_at(n_taken);
            self.times_s.extend_from_slice(now_s);
            self.units.extend_from_slice(now);
            (times_s, units) = (later_s, later);
            if self.times_s.len() == ROW_GROUP_ROWS {
                self.write_group()?;
            }
        }
        Ok(self)
    }

    /// Writes the rest and the footer.
    pub(crate) fn finish(mut self) -> Result<(), SchemaError> {
        if !self.times_s.is_empty() {
            self.write_group()?;
        }
        // Writes out all buffers; `into_inner` would make words of what the operating system says.
        self.writer.finish().map_err(|error| unwritten(&self.path, error))?;
        Ok(())
    }

    fn write_group(&mut self) -> Result<(), SchemaError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(mem::take(&mut self.times_s))),
            Arc::new(UInt32Array::from(mem::take(&mut self.units))),
        ];
        let group = batch(&self.path, &spikes_schema(), columns)?;
        self.writer.write(&group).map_err(|error| unwritten(&self.path, error))
    }
}
