//! Reader for the text of a Myo armband: eight channels and a label in every line, separated by commas.
//!
//! One signal `emg` with the columns `0` to `7` and `label`, whole numbers as they are. The device sends about 200 samples
//! per second and the file does not say when: `dataset.toml` gives `rate_hz`. A line of other than nine numbers means that
//! a byte was lost on the way and that channels have moved; it refuses the file by its number.

use std::path::Path;

use neurobrick_schema::{Clock, Recording, Samples, Signal, SignalColumn};

use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::reader::{Reader, Source};
use crate::single_file::{files, source_of};
use crate::text_file::{first_line, read_text};

const N_CHANNELS: usize = 8;
/// The device counts in signed bytes.
const RANGE: std::ops::RangeInclusive<i64> = -128..=127;

/// Files called `*.txt` that start with nine whole numbers, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Myo;

impl Reader for Myo {
    fn format(&self) -> &'static str {
        "myo"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(files(path, &["txt"])?.iter().any(|file| is_of_this_kind(file)))
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let files = files(path, &["txt"])?.into_iter().filter(|file| is_of_this_kind(file));
        files.map(|file| source_of(path, file)).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(
            &source.root,
            Place::BesideOrAbove,
            &["rate_hz = 0  # number of samples per second"],
        )?;
        let rate_hz =
            DatasetFile::required(dataset.rate_hz, &source.root, "rate_hz", "number of samples per second")?;
        let text = read_text(path)?;
        let mut columns = vec![Vec::new(); N_CHANNELS + 1];
        for (index, line) in text.lines().enumerate() {
            let row = row(line).map_err(|detail| {
                let detail = format!("line {}: {detail}; cut the file there, or record again", index + 1);
                IngestError::malformed(path, "the samples", detail)
            })?;
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let name = |index: usize| if index == N_CHANNELS { "label".to_owned() } else { index.to_string() };
        let column = |(index, values)| SignalColumn {
            name: name(index),
            unit: None,
            description: None,
            samples: Samples::Int(values),
        };
        let columns = columns.into_iter().enumerate().map(column).collect();
        let clock = Clock::Regular { start_s: 0.0, rate_hz };
        let signal = Signal::new("emg", None, clock, columns).map_err(IngestError::invalid(path))?;
        let step = "read by neurobrick from Myo text".to_owned();
        let measured = Measured { signals: vec![signal], ..Measured::default() };
        measured.into_recording(source, &dataset, step)
    }
}

fn is_of_this_kind(file: &Path) -> bool {
    first_line(file).is_some_and(|line| row(&line).is_ok())
}

/// Eight channels and a label.
fn row(line: &str) -> Result<Vec<i64>, String> {
    let cells: Vec<&str> = line.trim_end().split(',').collect();
    if cells.len() != N_CHANNELS + 1 {
        return Err(format!("{} fields where eight channels and a label are due", cells.len()));
    }
    let number = |(index, cell): (usize, &&str)| {
        let value = cell.parse().ok().filter(|value| index == N_CHANNELS || RANGE.contains(value));
        value.ok_or_else(|| format!("{cell:?} is not a whole number of a signed byte"))
    };
    cells.iter().enumerate().map(number).collect()
}
