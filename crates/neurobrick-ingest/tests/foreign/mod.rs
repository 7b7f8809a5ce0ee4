//! Small foreign recordings made up for the tests, to be broken in one place each.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a failed unwrap is a failed test"
)]

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use neurobrick_ingest::{IngestError, Reader};
use neurobrick_schema::Recording;
use parquet::arrow::ArrowWriter;
use zip::write::SimpleFileOptions;

/// The real recordings of the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/recordings")
}

pub const DATASET: &str = "dataset = \"made-up\"\nsource = \"a test\"\ncitation = \"\"\nlicense = \"CC0-1.0\"\n\
                           species = \"Mus musculus\"\nconsent = \"non_human\"\n";

/// A `.npy` file of version 1.0.
pub fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = u16::try_from(header.len()).unwrap();
    [b"\x93NUMPY\x01\x00", &length.to_le_bytes()[..], header.as_bytes(), data].concat()
}

pub fn npy_f64(shape: &str, values: &[f64]) -> Vec<u8> {
    npy("<f8", shape, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>())
}

/// A compressed `.npz` archive.
pub fn npz(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        writer.start_file(format!("{name}.npy"), SimpleFileOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Counts 0, 1, 2 ... of 2 trials, 3 units and 4 bins of 20 ms from 1 s and from 3 s.
pub fn counts_members() -> Vec<(&'static str, Vec<u8>)> {
    let bins = |start: f64| (0..4).map(move |bin| start + f64::from(bin) * 0.02);
    let times: Vec<f64> = bins(1.0).chain(bins(3.0)).collect();
    let counts: Vec<u8> = (0..24).collect();
    vec![("counts", npy("|u1", "(2, 3, 4)", &counts)), ("bin_time", npy_f64("(2, 4)", &times))]
}

/// Writes session `s1` of mouse `Ada`, and returns its folder.
pub fn counts_folder(root: &Path) -> PathBuf {
    let dir = root.join("counts");
    fs::create_dir_all(&dir).unwrap();
    for (name, text) in [
        ("dataset.toml", DATASET),
        ("sessions.csv", "file,mouse,trials,units,bins,total_spikes\ns1,Ada,2,3,4,276\n"),
        ("s1_trials.csv", "trial,contrast,outcome,side,go\n0,0.5,1,left,true\n1,,-1,,false\n"),
        ("s1_units.csv", "unit,brain_area\n0,VISp\n1,root\n7,VISp\n"),
    ] {
        fs::write(dir.join(name), text).unwrap();
    }
    fs::write(dir.join("s1.npz"), npz(&counts_members())).unwrap();
    dir
}

pub fn floats(values: &[f64]) -> ArrayRef {
    Arc::new(Float64Array::from(values.to_vec()))
}

pub fn ints(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

pub fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub fn metrics_columns() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("cluster_id", ints(&[0, 2, 5])),
        ("acronym", texts(&["CA1", "DG", "root"])),
        ("depths", Arc::new(Float32Array::from(vec![20.0, 40.5, 60.0]))),
        ("label", floats(&[1.0, f64::NAN, 0.0])),
    ]
}

pub fn trials_columns() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("intervals_0", floats(&[0.0, 1.0])),
        ("intervals_1", floats(&[1.5, 2.5])),
        ("choice", ints(&[1, -1])),
        ("contrastLeft", floats(&[0.25, f64::NAN])),
        ("name", texts(&["a", "b"])),
    ]
}

pub fn write_probe(probe: &Path, times_s: &[f64]) {
    fs::create_dir_all(probe).unwrap();
    let clusters: Vec<u8> = (0..times_s.len()).flat_map(|i| [0_u32, 5, 2, 5][i % 4].to_le_bytes()).collect();
    let shape = format!("({},)", times_s.len());
    fs::write(probe.join("spikes.times.npy"), npy_f64(&shape, times_s)).unwrap();
    fs::write(probe.join("spikes.clusters.npy"), npy("<u4", &shape, &clusters)).unwrap();
    parquet(&probe.join("clusters.metrics.pqt"), metrics_columns());
}

/// Writes a session with two probes in the folders `Ada/2024-05-06/001`, and returns the topmost one.
pub fn alf_folder(root: &Path) -> PathBuf {
    let top = root.join("alf-data");
    let alf = top.join("Ada/2024-05-06/001/alf");
    write_probe(&alf.join("probe00"), &[0.1, 0.2, 0.3, 2.0]);
    write_probe(&alf.join("probe01/sorter"), &[0.15, 0.2, 0.9]);
    parquet(&alf.join("_ibl_trials.table.pqt"), trials_columns());
    fs::write(top.join("dataset.toml"), DATASET).unwrap();
    top
}

/// Reads the first session of a folder.
pub fn read(reader: &dyn Reader, path: &Path) -> Result<Recording, IngestError> {
    reader.read(&reader.sessions(path)?[0])
}
