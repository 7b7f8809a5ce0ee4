//! The Parquet tables of a session folder: Arrow schemas, encoders and strict decoders.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeListArray, Float64Array, RecordBatch, StringArray, UInt16Array, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::{ReaderProperties, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{ChunkReader, RowGroupReader};
use parquet::file::serialized_reader::SerializedRowGroupReader;

use crate::activity::{Ascent, BinnedCounts, Spikes};
use crate::block::Block;
use crate::checked_file::{CheckedFile, unread};
use crate::column_tables::{GrowingColumns, fields, kinds, listed_kinds, to_array};
use crate::columns::Column;
use crate::error::SchemaError;
use crate::plain_pages;
use crate::recording::Unit;
use crate::session_file::{ColumnFile, ColumnType};
use crate::spikes_table::SpikesTable;

/// Rows of a row group: a time range of the spikes is found by the statistics of whole groups.
pub(crate) const ROW_GROUP_ROWS: usize = 1 << 20;
/// Rows that are decoded at once.
pub(crate) const BATCH_ROWS: usize = 1 << 16;
/// Counts that are encoded at once.
const COUNTS_PER_BATCH: usize = 1 << 22;

pub(crate) fn write(
    path: &Path,
    schema: &SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, SchemaError>>,
) -> Result<(), SchemaError> {
    let failed = |error: ParquetError| unwritten(path, error);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let mut writer = create(path, schema, properties)?;
    for batch in batches {
        writer.write(&batch?).map_err(failed)?;
    }
    // Writes out all buffers; `into_inner` would make words of what the operating system says.
    writer.finish().map_err(failed)?;
    Ok(())
}

/// A table without rows yet.
pub(crate) fn create(
    path: &Path,
    schema: &SchemaRef,
    properties: WriterPropertiesBuilder,
) -> Result<ArrowWriter<BufWriter<File>>, SchemaError> {
    let properties = properties.set_max_row_group_row_count(Some(ROW_GROUP_ROWS)).build();
    let file = File::create_new(path).map_err(SchemaError::io("create", path))?;
    ArrowWriter::try_new(BufWriter::new(file), Arc::clone(schema), Some(properties))
        .map_err(|error| unwritten(path, error))
}

/// What the operating system refused stays an error of its own: a full disk is no fault of the data.
pub(crate) fn unwritten(path: &Path, error: ParquetError) -> SchemaError {
    let detail = error.to_string();
    if let ParquetError::External(source) = error
        && let Ok(source) = source.downcast::<io::Error>()
    {
        return SchemaError::io("write", path)(*source);
    }
    SchemaError::Encode { path: path.to_path_buf(), detail }
}

pub(crate) fn batch(
    path: &Path,
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
) -> Result<RecordBatch, SchemaError> {
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| SchemaError::Encode { path: path.to_path_buf(), detail: error.to_string() })
}

/// Decodes a table whose schema and number of rows are known, batch by batch.
pub(crate) fn read(
    path: &Path,
    bytes: CheckedFile,
    schema: &SchemaRef,
    n_rows: usize,
    mut take: impl FnMut(&RecordBatch) -> Result<(), SchemaError>,
) -> Result<(), SchemaError> {
    let unreadable = |error: ParquetError| unread(path, error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(unreadable)?;
    if builder.schema().fields() != schema.fields() {
        return Err(SchemaError::damaged(
            path,
            format!("its columns are {:?}, expected {:?}", builder.schema().fields(), schema.fields()),
        ));
    }
    let rows = builder.metadata().file_metadata().num_rows();
    if usize::try_from(rows).ok() != Some(n_rows) {
        return Err(SchemaError::damaged(path, format!("{rows} rows, session.json says {n_rows}")));
    }
    for batch in builder.with_batch_size(BATCH_ROWS).build().map_err(unreadable)? {
        take(&batch.map_err(|error| SchemaError::damaged(path, error))?)?;
    }
    Ok(())
}

pub(crate) fn column<'a, T: 'static>(
    path: &Path,
    batch: &'a RecordBatch,
    index: usize,
) -> Result<&'a T, SchemaError> {
    batch.columns()[index]
        .as_any()
        .downcast_ref()
        .ok_or_else(|| SchemaError::damaged(path, format!("column {index} has an unexpected type")))
}

fn units_schema(columns: impl Iterator<Item = (String, ColumnType)>) -> SchemaRef {
    let own = [
        Field::new("id", DataType::Utf8, false),
        Field::new("region", DataType::Utf8, false),
        Field::new("depth_um", DataType::Float64, true),
        Field::new("quality", DataType::Float64, true),
    ];
    Arc::new(Schema::new(own.into_iter().chain(fields(columns)).collect::<Vec<_>>()))
}

/// `units.parquet`: one row per unit, in the order that unit indices count.
pub(crate) fn write_units(path: &Path, units: &[Unit], columns: &[Column]) -> Result<(), SchemaError> {
    let schema = units_schema(kinds(columns));
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(units.iter().map(|unit| &unit.id))),
        Arc::new(StringArray::from_iter_values(units.iter().map(|unit| &unit.region))),
        Arc::new(units.iter().map(|unit| unit.depth_um).collect::<Float64Array>()),
        Arc::new(units.iter().map(|unit| unit.quality).collect::<Float64Array>()),
    ];
    for column in columns {
        arrays.push(to_array(path, &column.values)?);
    }
    write(path, &schema, [batch(path, &schema, arrays)].into_iter())
}

pub(crate) fn read_units(
    path: &Path,
    bytes: CheckedFile,
    n_units: usize,
    columns: &[ColumnFile],
) -> Result<(Vec<Unit>, Vec<Column>), SchemaError> {
    let mut units = Vec::new();
    let mut growing = GrowingColumns::new(columns);
    read(path, bytes, &units_schema(listed_kinds(columns)), n_units, |batch| {
        let ids: &StringArray = column(path, batch, 0)?;
        let regions: &StringArray = column(path, batch, 1)?;
        let depths: &Float64Array = column(path, batch, 2)?;
        let qualities: &Float64Array = column(path, batch, 3)?;
        for (((id, region), depth_um), quality) in ids.iter().zip(regions).zip(depths).zip(qualities) {
            let (Some(id), Some(region)) = (id, region) else {
                return Err(SchemaError::damaged(path, "a unit without id or region"));
            };
            units.push(Unit { id: id.to_owned(), region: region.to_owned(), depth_um, quality });
        }
        growing.extend(path, batch, 4)
    })?;
    Ok((units, growing.finish()?))
}

pub(crate) fn spikes_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("time_s", DataType::Float64, false),
        Field::new("unit", DataType::UInt32, false),
    ]))
}

/// `spikes.parquet`: one row per spike, sorted by time.
pub(crate) fn write_spikes(path: &Path, spikes: &Spikes) -> Result<(), SchemaError> {
    SpikesTable::create(path)?.append(spikes.times_s(), spikes.units())?.finish()
}

/// Reads the footer of a spikes table, and checks its columns and its number of rows.
pub(crate) fn spikes_metadata(
    path: &Path,
    file: &impl ChunkReader,
    n_spikes: u64,
) -> Result<ArrowReaderMetadata, SchemaError> {
    let metadata =
        ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|error| unread(path, error))?;
    if metadata.schema().fields() != spikes_schema().fields() {
        return Err(SchemaError::damaged(path, "its columns are not time_s and unit"));
    }
    let rows = metadata.metadata().file_metadata().num_rows();
    if u64::try_from(rows).ok() != Some(n_spikes) {
        return Err(SchemaError::damaged(path, format!("{rows} rows, session.json says {n_spikes}")));
    }
    Ok(metadata)
}

/// Decodes both columns straight to where they stay, without Arrow arrays in between.
pub(crate) fn read_spikes(path: &Path, file: &CheckedFile, n_spikes: u64) -> Result<Spikes, SchemaError> {
    let unread = |error: ParquetError| unread(path, error);
    let metadata = spikes_metadata(path, file, n_spikes)?;
    let too_many = || SchemaError::damaged(path, "more spikes than memory can hold");
    let n_spikes = usize::try_from(n_spikes).map_err(|_| too_many())?;
    let mut times_s = Block::zeros(n_spikes).ok_or_else(too_many)?;
    let mut units = Block::zeros(n_spikes).ok_or_else(too_many)?;
    let file = Arc::new(file.clone());
    let properties = Arc::new(ReaderProperties::builder().build());
    let (mut n_read, mut ascent) = (0_usize, Ascent::default());
    for group in metadata.metadata().row_groups() {
        // Rows of the footer and of its row groups need not agree.
        let start = n_read;
        let end = usize::try_from(group.num_rows()).ok().and_then(|n_rows| start.checked_add(n_rows));
        n_read = end
            .filter(|&end| end <= n_spikes)
            .ok_or_else(|| SchemaError::damaged(path, format!("more than {n_spikes} rows in row groups")))?;
        let group = SerializedRowGroupReader::new(Arc::clone(&file), group, None, Arc::clone(&properties))
            .map_err(unread)?;
        let mut pages = group.get_column_page_reader(0).map_err(unread)?;
        let seen = |page: &[f64]| ascent.see(page);
        plain_pages::read(&mut *pages, &mut times_s[start..n_read], seen).map_err(unread)?;
        let mut pages = group.get_column_page_reader(1).map_err(unread)?;
        plain_pages::read(&mut *pages, &mut units[start..n_read], |_| {}).map_err(unread)?;
    }
    if n_read != n_spikes {
        let detail = format!("{n_read} rows in row groups, not the {n_spikes} of the footer");
        return Err(SchemaError::damaged(path, detail));
    }
    Spikes::seen(times_s, units, ascent)
}

/// The Arrow field of one bin inside the list of a row.
fn bin_field() -> Arc<Field> {
    Arc::new(Field::new("item", DataType::UInt16, false))
}

fn counts_schema(n_bins: i32) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("trial", DataType::UInt32, false),
        Field::new("unit", DataType::UInt32, false),
        Field::new("bins", DataType::FixedSizeList(bin_field(), n_bins), false),
    ]))
}

fn list_length(path: &Path, n_bins: usize) -> Result<i32, SchemaError> {
    i32::try_from(n_bins).map_err(|_| SchemaError::InvalidValue {
        what: format!("n_bins of {}", path.display()),
        found: n_bins.to_string(),
        rule: "at most 2147483647",
    })
}

/// `counts.parquet`: one row per (trial, unit), dense, trials outermost.
pub(crate) fn write_counts(path: &Path, counts: &BinnedCounts) -> Result<(), SchemaError> {
    let n_bins = list_length(path, counts.n_bins())?;
    let schema = counts_schema(n_bins);
    let rows_per_batch = (COUNTS_PER_BATCH / counts.n_bins()).max(1);
    let mut first_row = 0;
    let batches = counts.values().chunks(rows_per_batch * counts.n_bins()).map(|chunk| {
        let rows = first_row..first_row + chunk.len() / counts.n_bins();
        first_row = rows.end;
        let trials =
            rows.clone().map(|row| index(row / counts.n_units())).collect::<Result<Vec<u32>, _>>()?;
        let units = rows.map(|row| index(row % counts.n_units())).collect::<Result<Vec<u32>, _>>()?;
        let bins = UInt16Array::from(chunk.to_vec());
        let bins = FixedSizeListArray::try_new(bin_field(), n_bins, Arc::new(bins), None)
            .map_err(|error| SchemaError::Encode { path: path.to_path_buf(), detail: error.to_string() })?;
        let columns: Vec<ArrayRef> =
            vec![Arc::new(UInt32Array::from(trials)), Arc::new(UInt32Array::from(units)), Arc::new(bins)];
        batch(path, &schema, columns)
    });
    write(path, &schema, batches)
}

fn index(value: usize) -> Result<u32, SchemaError> {
    u32::try_from(value).map_err(|_| SchemaError::InvalidValue {
        what: "row of the counts".into(),
        found: value.to_string(),
        rule: "at most 4294967295",
    })
}

/// Shape of a counts table as `session.json` states it.
#[derive(Clone, Copy)]
pub(crate) struct CountsShape {
    pub(crate) bin_size_s: f64,
    pub(crate) n_trials: usize,
    pub(crate) n_units: usize,
    pub(crate) n_bins: usize,
}

pub(crate) fn read_counts(
    path: &Path,
    bytes: CheckedFile,
    shape: CountsShape,
) -> Result<BinnedCounts, SchemaError> {
    let CountsShape { bin_size_s, n_trials, n_units, n_bins } = shape;
    let n_rows = n_trials.checked_mul(n_units).ok_or_else(|| {
        SchemaError::damaged(path, format!("{n_trials} trials of {n_units} units do not fit"))
    })?;
    let mut values = Vec::new();
    let mut row = 0;
    read(path, bytes, &counts_schema(list_length(path, n_bins)?), n_rows, |batch| {
        let trials: &UInt32Array = column(path, batch, 0)?;
        let units: &UInt32Array = column(path, batch, 1)?;
        let bins: &FixedSizeListArray = column(path, batch, 2)?;
        for (&trial, &unit) in trials.values().iter().zip(units.values()) {
            if (index(row / n_units)?, index(row % n_units)?) != (trial, unit) {
                return Err(SchemaError::damaged(
                    path,
                    format!("row {row} is trial {trial}, unit {unit}: not in order"),
                ));
            }
            row += 1;
        }
        let bins = bins.values().as_any().downcast_ref::<UInt16Array>();
        let bins = bins.ok_or_else(|| SchemaError::damaged(path, "bins are not 16-bit counts"))?;
        values.extend_from_slice(bins.values());
        Ok(())
    })?;
    BinnedCounts::new(bin_size_s, n_trials, n_units, n_bins, values)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// A disk without room.
    struct FullDisk;

    impl io::Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_from_values_that_cannot_be_encoded() {
        let path = Path::new("spikes.parquet");
        let schema = Arc::new(Schema::new(vec![Field::new("unit", DataType::UInt32, false)]));
        let values = batch(path, &schema, vec![Arc::new(UInt32Array::from(vec![1, 2]))]).unwrap();
        let written = ArrowWriter::try_new(FullDisk, schema, None).and_then(|mut writer| {
            writer.write(&values)?;
            writer.finish()
        });
        let error = unwritten(path, written.err().unwrap());
        assert!(
            matches!(&error, SchemaError::Io { action: "write", source, .. }
            if source.kind() == io::ErrorKind::StorageFull),
            "{error:?}"
        );
        let other = unwritten(path, ParquetError::General("a value too large".to_owned()));
        assert!(matches!(other, SchemaError::Encode { .. }));
    }
}
