//! Reader for BrainVision recordings: a header (`.vhdr`), the data it names, and markers (`.vmrk`).
//!
//! The channels become the signal `samples`, in the unit that the header states; markers become the table of intervals
//! `markers`. Headers are UTF-8, or else Latin-1. After the "BrainVision Core Data Format 1.0" of Brain Products.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neurobrick_schema::{
    Clock, Column, ColumnValues, Interval, IntervalTable, Recording, Samples, Signal, SignalColumn, Trials,
};

use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::reader::{Reader, Source};
use crate::single_file::{Distinct, files, name_below, source_of};

/// Unit of measure of channels that name none.
const DEFAULT_UNIT: &str = "µV";

/// Headers called `*.vhdr`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrainVision;

impl Reader for BrainVision {
    fn format(&self) -> &'static str {
        "brainvision"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(!files(path, &["vhdr"])?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let source = |file| {
            let mut source = source_of(path, file)?;
            let header = Ini::read(&source.main)?;
            for key in ["DataFile", "MarkerFile"] {
                if let Some(name) = header.file(key)? {
                    source.files.push(name_below(&source.root, &source.main.with_file_name(name)));
                }
            }
            Ok(source)
        };
        files(path, &["vhdr"])?.into_iter().map(source).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(&source.root, Place::BesideOrAbove, &[])?;
        let header = Ini::read(path)?;
        let interval_us: f64 = header.number("Common Infos", "SamplingInterval")?;
        let rate_hz = 1e6 / interval_us;
        let samples = Data::open(path, &header)?;
        let columns = samples.columns(path, &header)?;
        let signal = Signal::new("samples", None, Clock::Regular { start_s: 0.0, rate_hz }, columns);
        let signal = signal.map_err(IngestError::invalid(path))?;
        let mut intervals = Vec::new();
        if let Some(name) = header.file("MarkerFile")? {
            let markers = Ini::read(&path.with_file_name(name))?;
            intervals.push(markers_table(&markers, rate_hz)?);
        }
        let measured = Measured { intervals, signals: vec![signal], ..Measured::default() };
        measured.into_recording(source, &dataset, "read by neurobrick from brainvision".to_owned())
    }
}

/// A file of sections with keys and values.
struct Ini<'a> {
    path: std::borrow::Cow<'a, Path>,
    sections: BTreeMap<String, Vec<(String, String)>>,
}

impl Ini<'static> {
    fn read(path: &Path) -> Result<Self, IngestError> {
        if !path.is_file() {
            let needed_for = "the header names it; put it beside the header under that name";
            return Err(IngestError::MissingFile { path: path.to_path_buf(), needed_for });
        }
        Self::parse(path, fs::read(path).map_err(IngestError::io("read", path))?)
    }

    fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, IngestError> {
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|error| error.as_bytes().iter().map(|&byte| char::from(byte)).collect());
        if !text.trim_start_matches('\u{feff}').to_lowercase().starts_with("brain vision data exchange") {
            return Err(IngestError::malformed(path, "the file", "it does not start as a BrainVision file"));
        }
        let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let mut section = String::new();
        for line in
            text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(';'))
        {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = line.split_once('=') {
                let entry = (key.trim().to_owned(), value.trim().to_owned());
                sections.entry(section.clone()).or_default().push(entry);
            }
        }
        Ok(Self { path: path.to_path_buf().into(), sections })
    }
}

impl Ini<'_> {
    fn entries(&self, section: &str) -> &[(String, String)] {
        let found = self.sections.iter().find(|(name, _)| name.eq_ignore_ascii_case(section));
        found.map(|(_, entries)| entries.as_slice()).unwrap_or_default()
    }

    fn get(&self, section: &str, key: &str) -> Option<&str> {
        let found = self.entries(section).iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| value.as_str())
    }

    fn malformed(&self, part: &str, detail: impl ToString) -> IngestError {
        IngestError::malformed(&self.path, part, detail)
    }

    fn required(&self, section: &str, key: &str) -> Result<&str, IngestError> {
        self.get(section, key).ok_or_else(|| self.malformed(section, format!("{key} is missing")))
    }

    fn number<T: std::str::FromStr + PartialOrd + Default>(
        &self,
        section: &str,
        key: &str,
    ) -> Result<T, IngestError> {
        let text = self.required(section, key)?;
        let number = text.parse().ok().filter(|number| *number > T::default());
        number.ok_or_else(|| {
            self.malformed(section, format!("{key} is {text:?}, which is not a positive number"))
        })
    }

    /// Name of a file beside the header.
    fn file(&self, key: &str) -> Result<Option<String>, IngestError> {
        let Some(name) = self.get("Common Infos", key).filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let stem = self.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let name = name.replace("$b", &stem);
        let is_plain = !name.contains(['/', '\\']) && name != "..";
        if is_plain {
            Ok(Some(name))
        } else {
            Err(self.malformed(key, format!("{name:?} is not beside the header")))
        }
    }
}

#[derive(Clone, Copy)]
enum Format {
    Int16,
    Int32,
    Float32,
}

/// The samples of all channels.
struct Data {
    format: Format,
    is_multiplexed: bool,
    n_channels: usize,
    n_samples: usize,
    bytes: Vec<u8>,
}

impl Data {
    fn open(path: &Path, header: &Ini<'_>) -> Result<Self, IngestError> {
        let is = |section: &str, key: &str, value: &str| {
            header.required(section, key).map(|found| found.eq_ignore_ascii_case(value))
        };
        let unsupported = |reason: String| IngestError::Unsupported {
            path: path.to_path_buf(),
            part: "the data".into(),
            reason,
        };
        if !is("Common Infos", "DataFormat", "BINARY")? {
            return Err(unsupported("data as text; export it as binary".into()));
        }
        let is_multiplexed = is("Common Infos", "DataOrientation", "MULTIPLEXED")?;
        if !is_multiplexed && !is("Common Infos", "DataOrientation", "VECTORIZED")? {
            return Err(
                header.malformed("Common Infos", "DataOrientation is neither MULTIPLEXED nor VECTORIZED")
            );
        }
        let (format, width) = match header.required("Binary Infos", "BinaryFormat")? {
            "INT_16" => (Format::Int16, 2),
            "INT_32" => (Format::Int32, 4),
            "IEEE_FLOAT_32" => (Format::Float32, 4),
            other => return Err(unsupported(format!("binary format {other}"))),
        };
        let n_channels: usize = header.number("Common Infos", "NumberOfChannels")?;
        let name = header.file("DataFile")?;
        let name = name.ok_or_else(|| header.malformed("Common Infos", "DataFile is missing"))?;
        let data_path = path.with_file_name(name);
        if !data_path.is_file() {
            let needed_for = "the header names it; put it beside the header under that name";
            return Err(IngestError::MissingFile { path: data_path, needed_for });
        }
        let bytes = fs::read(&data_path).map_err(IngestError::io("read", &data_path))?;
        let row_bytes = n_channels.checked_mul(width).filter(|&n| n > 0 && bytes.len().is_multiple_of(n));
        let Some(row_bytes) = row_bytes else {
            let detail = format!("{} bytes are not whole samples of {n_channels} channels", bytes.len());
            return Err(IngestError::malformed(&data_path, "the data", detail));
        };
        Ok(Self { format, is_multiplexed, n_channels, n_samples: bytes.len() / row_bytes, bytes })
    }

    fn value(&self, place: usize) -> f64 {
        match self.format {
            Format::Int16 => f64::from(i16::from_le_bytes(self.item(place))),
            Format::Int32 => f64::from(i32::from_le_bytes(self.item(place))),
            Format::Float32 => f64::from(f32::from_le_bytes(self.item(place))),
        }
    }

    fn item<const N: usize>(&self, place: usize) -> [u8; N] {
        self.bytes.as_chunks().0[place]
    }

    fn columns(&self, path: &Path, header: &Ini<'_>) -> Result<Vec<SignalColumn>, IngestError> {
        let listed = header.entries("Channel Infos");
        if listed.len() != self.n_channels {
            return Err(IngestError::Disagreement {
                path: path.to_path_buf(),
                what: "number of listed channels".into(),
                found: listed.len().to_string(),
                expected: self.n_channels.to_string(),
            });
        }
        let mut names = Distinct::default();
        let mut columns = Vec::new();
        for (channel, (key, info)) in listed.iter().enumerate() {
            let mut parts = info.split(',').map(|part| part.trim().replace("\\1", ","));
            let mut part = || parts.next().unwrap_or_default();
            let (name, reference, resolution, unit) = (part(), part(), part(), part());
            let resolution = match resolution.as_str() {
                "" => 1.0,
                text => text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| {
                    header.malformed("Channel Infos", format!("{key} has resolution {text:?}"))
                })?,
            };
            let place = |sample: usize| {
                if self.is_multiplexed {
                    sample * self.n_channels + channel
                } else {
                    channel * self.n_samples + sample
                }
            };
            let values = (0..self.n_samples).map(|sample| self.value(place(sample)) * resolution);
            columns.push(SignalColumn {
                name: names.take(if name.is_empty() { key } else { &name }),
                unit: Some(if unit.is_empty() { DEFAULT_UNIT.into() } else { unit }),
                description: (!reference.is_empty()).then(|| format!("against {reference}")),
                samples: Samples::Float(values.collect()),
            });
        }
        Ok(columns)
    }
}

/// Markers: `Mk1=Type,Description,Position,Size,Channel[,Date]`, positions counted from one.
fn markers_table(markers: &Ini<'_>, rate_hz: f64) -> Result<IntervalTable, IngestError> {
    let (mut rows, mut kinds, mut labels, mut channels) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (key, info) in markers.entries("Marker Infos") {
        let parts: Vec<String> = info.split(',').map(|part| part.trim().replace("\\1", ",")).collect();
        let number = |index: usize, least: u32| {
            let number = parts.get(index).and_then(|text| text.parse::<u32>().ok()).filter(|n| *n >= least);
            number.ok_or_else(|| markers.malformed("Marker Infos", format!("{key} is {info:?}")))
        };
        let start_s = f64::from(number(2, 1)? - 1) / rate_hz;
        rows.push(Interval { start_s, end_s: start_s + f64::from(number(3, 0)?) / rate_hz });
        channels.push(Some(i64::from(number(4, 0)?)));
        kinds.push(parts.first().cloned());
        labels.push(parts.get(1).cloned());
    }
    let column = |name: &str, text: &str, values| Column {
        name: name.into(),
        unit: None,
        description: Some(text.into()),
        values,
    };
    let columns = vec![
        column("type", "kind of marker", ColumnValues::Text(kinds)),
        column("label", "what is marked", ColumnValues::Text(labels)),
        column("channel", "channel that is marked, counted from 1; 0 for all", ColumnValues::Int(channels)),
    ];
    let rows = Trials::new(rows, columns).map_err(IngestError::invalid(&markers.path))?;
    Ok(IntervalTable { name: "markers".into(), description: None, rows })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn any_header_is_read_or_refused() {
        let folder = crate::fuzz::scratch();
        let path = folder.path().join("x.vhdr");
        fs::write(folder.path().join("x.eeg"), [0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6]).unwrap();
        let seed = "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFile=$b.eeg\n\
                    MarkerFile=x.vmrk\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n\
                    SamplingInterval=5000\n[Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\n\
                    Ch1=Fp1,,0.1,\nCh2=a\\1b,Cz,,\u{b5}V\n";
        let vectors = seed.replace("MULTIPLEXED", "VECTORIZED").replace("INT_16", "IEEE_FLOAT_32");
        let vectors = vectors.replace("NumberOfChannels=2", "NumberOfChannels=3") + "Ch3=third";
        crate::fuzz::check(&[seed.as_bytes(), vectors.as_bytes()], |bytes| {
            let columns = Ini::parse(&path, bytes.to_vec()).and_then(|header| {
                drop((header.number::<f64>("Common Infos", "SamplingInterval"), header.file("MarkerFile")));
                Data::open(&path, &header)?.columns(&path, &header)
            });
            columns.is_ok()
        });
    }

    #[test]
    fn any_markers_are_read_or_refused() {
        let path = Path::new("x.vmrk");
        let seed = b"Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=x.eeg\n\
                     [Marker Infos]\n; a comment\nMk1=New Segment,,1,1,0,20131113161403794232\n\
                     Mk2=Stimulus,S\\1 253,488,1,0\n";
        crate::fuzz::check(&[seed], |bytes| {
            Ini::parse(path, bytes.to_vec()).is_ok_and(|markers| markers_table(&markers, 200.0).is_ok())
        });
    }
}
