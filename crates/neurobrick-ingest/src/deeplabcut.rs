//! Reader for pose tracks as `DeepLabCut` writes them in CSV: three header rows, or four with several animals.
//!
//! ```text
//! scorer,net,net,net            scorer,net,net,net
//! bodyparts,snout,snout,snout   individuals,adult,adult,adult
//! coords,x,y,likelihood         bodyparts,nose,nose,nose
//! 0,76.6,88.2,0.96              coords,x,y,likelihood
//! ```
//!
//! One signal `pose`, or `pose.<individual>`, with the columns `<bodypart>.x`, `.y` and `.likelihood`; an empty cell is
//! NaN. Frames are on a regular clock of which the file does not say the rate: `dataset.toml` gives `rate_hz`.

use std::collections::BTreeMap;
use std::path::Path;

use neurobrick_schema::{Clock, Recording, Samples, Signal, SignalColumn};

use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::measured::Measured;
use crate::reader::{Reader, Source};
use crate::single_file::{Distinct, files, plain_name, source_of};
use crate::text_file::first_line;

/// Rows of the header by the word that each starts with.
const HEADER: [&str; 4] = ["scorer", "individuals", "bodyparts", "coords"];

/// Files called `*.csv` that start with `scorer`, each a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeepLabCut;

impl Reader for DeepLabCut {
    fn format(&self) -> &'static str {
        "deeplabcut"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(files(path, &["csv"])?.iter().any(|file| is_of_this_kind(file)))
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let files = files(path, &["csv"])?.into_iter().filter(|file| is_of_this_kind(file));
        files.map(|file| source_of(path, file)).collect()
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(
            &source.root,
            Place::BesideOrAbove,
            &["rate_hz = 0  # number of frames per second"],
        )?;
        let rate_hz =
            DatasetFile::required(dataset.rate_hz, &source.root, "rate_hz", "number of frames per second")?;
        let tracks = Tracks::read(path)?;
        let scorer = tracks.scorer.clone();
        let signals = tracks.signals(path, rate_hz)?;
        let step = "read by neurobrick from DeepLabCut CSV".to_owned();
        let measured = Measured {
            metadata: BTreeMap::from([("scorer".to_owned(), scorer)]),
            signals,
            ..Measured::default()
        };
        measured.into_recording(source, &dataset, step)
    }
}

fn is_of_this_kind(file: &Path) -> bool {
    first_line(file).is_some_and(|line| line.starts_with("scorer,"))
}

/// A file in memory, column by column.
struct Tracks {
    scorer: String,
    /// Individual, body part and coordinate of every column; the individual is empty where there is one.
    names: Vec<[String; 3]>,
    columns: Vec<Vec<f64>>,
}

impl Tracks {
    fn read(path: &Path) -> Result<Self, IngestError> {
        let malformed = |part: &str, detail: String| IngestError::malformed(path, part, detail);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .trim(csv::Trim::All)
            .from_path(path)
            .map_err(|error| malformed("the table", error.to_string()))?;
        let mut header: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut n_frames = 0;
        for (row, record) in reader.records().enumerate() {
            // The reader checks that all rows are equally long, and says in which line one is not.
            let record = record.map_err(|error| malformed("the table", error.to_string()))?;
            let first = record.get(0).unwrap_or_default();
            let cells = record.iter().skip(1);
            if let Some(name) = HEADER.into_iter().find(|name| *name == first).filter(|_| n_frames == 0) {
                header.insert(name, cells.map(str::to_owned).collect());
                columns.resize(record.len() - 1, Vec::new());
                continue;
            }
            if first.parse() != Ok(n_frames) {
                let detail = format!("{first:?} where frame {n_frames} is due, in line {}", row + 1);
                return Err(malformed("the frames", detail));
            }
            n_frames += 1;
            for (index, (column, cell)) in columns.iter_mut().zip(cells).enumerate() {
                let value = if cell.is_empty() { Some(f64::NAN) } else { cell.parse().ok() };
                let value = value.filter(|value: &f64| !value.is_infinite()).ok_or_else(|| {
                    let detail = format!(
                        "{cell:?} is not a number; correct it at the source, or leave the cell empty"
                    );
                    IngestError::bad_value(path, &format!("column {}", index + 1), n_frames - 1, detail)
                })?;
                column.push(value);
            }
        }
        let mut row = |name: &str| header.remove(name);
        let (Some(scorer), Some(parts), Some(coords)) = (row("scorer"), row("bodyparts"), row("coords"))
        else {
            return Err(malformed("the header", "it needs the rows scorer, bodyparts and coords".into()));
        };
        let individuals = row("individuals").unwrap_or_else(|| vec![String::new(); parts.len()]);
        let names = individuals.into_iter().zip(parts).zip(coords).map(|((i, p), c)| [i, p, c]).collect();
        Ok(Self { scorer: scorer.into_iter().next().unwrap_or_default(), names, columns })
    }

    /// One signal for every individual, in the order of the file.
    fn signals(self, path: &Path, rate_hz: f64) -> Result<Vec<Signal>, IngestError> {
        let mut by_individual: Vec<(String, Vec<SignalColumn>)> = Vec::new();
        for ([individual, part, coordinate], values) in self.names.into_iter().zip(self.columns) {
            let is_position = ["x", "y", "z"].contains(&coordinate.as_str());
            let column = SignalColumn {
                name: format!("{part}.{coordinate}"),
                unit: is_position.then(|| "px".to_owned()),
                description: None,
                samples: Samples::Float(values),
            };
            match by_individual.iter_mut().find(|(name, _)| *name == individual) {
                Some((_, columns)) => columns.push(column),
                None => by_individual.push((individual, vec![column])),
            }
        }
        let mut names = Distinct::default();
        let signal = |(individual, columns): (String, Vec<SignalColumn>)| {
            let name = if individual.is_empty() { "pose".to_owned() } else { format!("pose.{individual}") };
            let clock = Clock::Regular { start_s: 0.0, rate_hz };
            Signal::new(names.take(&plain_name(&name)), None, clock, columns)
                .map_err(IngestError::invalid(path))
        };
        by_individual.into_iter().map(signal).collect()
    }
}
