//! Reader for EDF, EDF+ and BDF: channels on regular clocks, and annotations.
//!
//! Channels of one rate become one signal, in the physical unit that the file states; annotations become the table of
//! intervals `annotations`. Nothing is taken from the patient field, where names of persons stand; `dataset.toml` names
//! the subject. After Kemp et al. (1992), [doi:10.1016/0013-4694(92)90009-7](https://doi.org/10.1016/0013-4694(92)90009-7),
//! and Kemp and Olivan (2003), [doi:10.1016/S1388-2457(03)00123-8](https://doi.org/10.1016/S1388-2457(03)00123-8).

mod annotations;
mod header;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neurobrick_schema::{Clock, IntervalTable, Recording, Samples, Signal, SignalColumn, Trials};

use self::header::{Channel, Header};
use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::reader::{Reader, Source};
use crate::single_file::{Distinct, files, source_of};

/// Samples of a file in memory: 4 GiB of 64-bit numbers.
const MAX_SAMPLES: usize = 1 << 29;

/// Files called `*.edf` and `*.bdf`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edf;

impl Reader for Edf {
    fn format(&self) -> &'static str {
        "edf"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(!files(path, &["edf", "bdf"])?.is_empty())
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        files(path, &["edf", "bdf"])?.into_iter().map(|file| source_of(path, file)).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(&source.root, Place::BesideOrAbove, &[])?;
        let bytes = fs::read(path).map_err(IngestError::io("read", path))?;
        let malformed = |detail: String| IngestError::malformed(path, "the file", detail);
        let header = Header::parse(&bytes).map_err(malformed)?;
        let records = Body::new(&header, &bytes).map_err(malformed)?;
        let mut steps = vec![format!("read by neurobrick from {}", header.kind.name())];
        let annotations = annotations::read(&records).map_err(malformed)?;
        let starts_s = match annotations.starts_s {
            Some(starts_s) => starts_s,
            None => (0..records.n_records).map(|record| record as f64 * header.record_s).collect(),
        };
        let signals = signals(path, &records, &starts_s, &mut steps)?;
        let mut intervals = Vec::new();
        if !annotations.rows.is_empty() {
            let rows = Trials::new(annotations.rows, vec![annotations.labels]);
            let rows = rows.map_err(IngestError::invalid(path))?;
            intervals.push(IntervalTable { name: "annotations".into(), description: None, rows });
        }
        let metadata = BTreeMap::from([("start".to_owned(), header.start.clone())]);
        Measured { metadata, intervals, signals }.into_recording(source, &dataset, steps.join("; "))
    }
}

/// The data of a file behind its header, in records of equal length.
struct Body<'a> {
    header: &'a Header,
    data: &'a [u8],
    n_records: usize,
    record_bytes: usize,
}

impl<'a> Body<'a> {
    fn new(header: &'a Header, bytes: &'a [u8]) -> Result<Self, String> {
        let sample_bytes = header.kind.sample_bytes();
        let n_samples: Option<usize> =
            header.channels.iter().try_fold(0, |n: usize, c| n.checked_add(c.n_samples));
        let record_bytes = n_samples.and_then(|n| n.checked_mul(sample_bytes)).filter(|&n| n > 0);
        let record_bytes = record_bytes.ok_or("its records hold no samples")?;
        let data = bytes.get(header.n_bytes..).ok_or("it is cut off in the header")?;
        let (n_records, rest) = (data.len() / record_bytes, data.len() % record_bytes);
        // A recording that was not closed says -1 records.
        if header.n_records.is_some_and(|n| n != n_records) || rest != 0 {
            let promised = header.n_records.map_or_else(|| "whole".to_owned(), |n| n.to_string());
            return Err(format!(
                "{} bytes of data are not {promised} records of {record_bytes} bytes",
                data.len()
            ));
        }
        if n_records == 0 {
            return Err("it has no data".into());
        }
        if data.len() / sample_bytes > MAX_SAMPLES {
            return Err(format!("more than {MAX_SAMPLES} samples; cut the recording into parts"));
        }
        Ok(Self { header, data, n_records, record_bytes })
    }

    /// The bytes of a channel in a record.
    fn of(&self, channel: &Channel, record: usize) -> &'a [u8] {
        let sample_bytes = self.header.kind.sample_bytes();
        let start = record * self.record_bytes + channel.first_sample * sample_bytes;
        &self.data[start..start + channel.n_samples * sample_bytes]
    }

    /// Whole numbers of a channel, as they are in the file.
    fn digital(&self, channel: &Channel) -> Vec<i32> {
        let width = self.header.kind.sample_bytes();
        let mut values = Vec::with_capacity(self.n_records * channel.n_samples);
        for record in 0..self.n_records {
            values.extend(self.of(channel, record).chunks_exact(width).map(|sample| match *sample {
                [a, b] => i32::from(i16::from_le_bytes([a, b])),
                // Three bytes at the top of four keep their sign.
                [a, b, c] => i32::from_le_bytes([0, a, b, c]) >> 8,
                _ => 0,
            }));
        }
        values
    }
}

/// One signal for every rate that occurs.
fn signals(
    path: &Path,
    records: &Body<'_>,
    starts_s: &[f64],
    steps: &mut Vec<String>,
) -> Result<Vec<Signal>, IngestError> {
    let channels = records.header.channels.iter().filter(|channel| !channel.is_annotation);
    let mut by_rate: BTreeMap<usize, Vec<&Channel>> = BTreeMap::new();
    for channel in channels.filter(|channel| channel.n_samples > 0) {
        by_rate.entry(channel.n_samples).or_default().push(channel);
    }
    let record_s = records.header.record_s;
    if record_s <= 0.0 && !by_rate.is_empty() {
        return Err(IngestError::malformed(
            path,
            "the file",
            format!("records of {record_s} s with samples"),
        ));
    }
    let is_single = by_rate.len() == 1;
    // Times in the file have some digits only; a gap is more than a tenth of the shortest step.
    let shortest_s = by_rate.keys().next_back().map_or(0.0, |&n| record_s / n as f64);
    let first_s = starts_s.first().copied().unwrap_or(0.0);
    let is_regular = starts_s
        .iter()
        .enumerate()
        .all(|(record, start_s)| (start_s - first_s - record as f64 * record_s).abs() <= 0.1 * shortest_s);
    let mut names = Distinct::default();
    let mut signals = Vec::new();
    for (n_samples, channels) in by_rate {
        let rate_hz = n_samples as f64 / record_s;
        let clock = if is_regular {
            Clock::Regular { start_s: first_s, rate_hz }
        } else {
            let times = |&start_s: &f64| (0..n_samples).map(move |sample| start_s + sample as f64 / rate_hz);
            Clock::Irregular { times_s: starts_s.iter().flat_map(times).collect() }
        };
        let mut labels = Distinct::default();
        let mut columns = Vec::new();
        for channel in channels {
            let label = if channel.label.is_empty() { "unnamed" } else { channel.label.as_str() };
            let name = labels.take(label);
            if name != label {
                steps.push(format!("a second channel {label:?} called {name:?}"));
            }
            let scale = channel.scale();
            if matches!(scale, Scale::Unknown) {
                let [from, to] = channel.physical;
                steps.push(format!(
                    "channel {name:?} says to go from {from} to {to}, which gives no scale: kept as the whole numbers of the file, \
                     without a unit"
                ));
            }
            columns.push(SignalColumn {
                name,
                unit: Some(channel.unit.clone())
                    .filter(|unit| !unit.is_empty() && !matches!(scale, Scale::Unknown)),
                description: channel.description(),
                samples: scale.samples(records.digital(channel)),
            });
        }
        let name = if is_single { "samples".into() } else { names.take(&format!("samples_{rate_hz}hz")) };
        signals.push(Signal::new(name, None, clock, columns).map_err(IngestError::invalid(path))?);
    }
    Ok(signals)
}

/// How whole numbers become quantities.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// They are quantities already: both scales are the same.
    Same,
    /// `gain * (offset + number)`, as `EDFlib` does it, so that results are the same to the last bit.
    Linear { gain: f64, offset: f64 },
    /// The channel says to go from a quantity to the same one, or further than numbers go. `EDFlib` refuses such a file, MNE takes
    /// an arbitrary range of one.
    Unknown,
}

impl Channel {
    fn scale(&self) -> Scale {
        let ([digital_min, digital_max], [physical_min, physical_max]) = (self.digital, self.physical);
        if self.digital.map(f64::to_bits) == self.physical.map(f64::to_bits) {
            return Scale::Same;
        }
        let gain = (physical_max - physical_min) / (digital_max - digital_min);
        let offset = physical_max / gain - digital_max;
        if gain.is_normal() && offset.is_finite() { Scale::Linear { gain, offset } } else { Scale::Unknown }
    }
}

impl Scale {
    /// Samples in the unit of the channel; whole numbers stay whole where there is nothing to scale.
    fn samples(self, digital: Vec<i32>) -> Samples {
        match self {
            Self::Same | Self::Unknown => Samples::Int(digital.into_iter().map(i64::from).collect()),
            Self::Linear { gain, offset } => {
                Samples::Float(digital.into_iter().map(|value| gain * (offset + f64::from(value))).collect())
            }
        }
    }
}
