//! Reader for HDF5 tensors of counts, trials x bins x units: of the Neural Latents Benchmark, NDT and LFADS.
//!
//! Counts of a split, here `train`; the others are `valid`, `val`, `eval` and `test`:
//!
//! | units | given bins | later bins |
//! |---|---|---|
//! | held in | `train_spikes_heldin`, `train_data_heldin`, `train_data`, `train_encod_data`, `train_recon_data` | `train_spikes_heldin_forward`, `train_data_heldin_forward`, `train_data_heldin_fp`, `train_data_fp` |
//! | held out | `train_spikes_heldout`, `train_data_heldout` | `train_spikes_heldout_forward`, `train_data_heldout_forward`, `train_data_heldout_fp` |
//!
//! They lie at the root, or in a group for every recording. `train_recon_data`, which has the units and bins of
//! `train_encod_data` and more, is taken in its place. `train_behavior` and `train_ext_input` become signals where they go
//! over time (32-bit where all splits have that), else columns of the trials; `train_decode_mask`, `train_jitter` and `train_inds` become columns of the
//! trials. Such files say neither how wide a bin is nor when a trial was: `dataset.toml` gives `bin_size_s`, and trials
//! lie end to end ([`Trials::has_times`] is false).
//!
//! A group is one session, with the column `split`. Where its splits have different units, as when the held-out units of
//! `eval_` are withheld, every split is a session of its own, called `<name>.<split>`.

mod parts;

use std::collections::BTreeMap;
use std::path::Path;

use neurobrick_schema::{
    Activity, BinnedCounts, Column, ColumnValues, Recording, RecordingParts, SessionId, Table, Trials, Unit,
};

use self::parts::{Block, KEYS, Split, behavior, read_splits, trial_columns};
use crate::dataset_file::{DatasetFile, Place};
use crate::error::IngestError;
use crate::hdf5::H5File;
use crate::reader::{Reader, Source};
use crate::single_file::{files, source_of};

/// Files called `*.h5` and `*.hdf5` with tensors of counts; every group of tensors is a session.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tensors;

impl Reader for Tensors {
    fn format(&self) -> &'static str {
        "tensors"
    }

    fn probe(&self, path: &Path) -> Result<bool, IngestError> {
        Ok(files(path, &["h5", "hdf5"])?.iter().any(|file| is_of_this_kind(path, file)))
    }

    fn sessions(&self, path: &Path) -> Result<Vec<Source>, IngestError> {
        let mut sources = Vec::new();
        for file in files(path, &["h5", "hdf5"])?.into_iter().filter(|file| is_of_this_kind(path, file)) {
            let opened = H5File::open(&file, &[]);
            let source = source_of(path, file)?;
            let Ok(opened) = opened else {
                // Reading it will say what is wrong.
                sources.push(source);
                continue;
            };
            match sessions_of(&opened, &source) {
                Ok(sessions) => {
                    sources.extend(sessions.into_iter().map(|session| Source { session, ..source.clone() }));
                }
                // One bad file must not hide the others.
                Err(_) => sources.push(source),
            }
        }
        Ok(sources)
    }

    fn read(&self, source: &Source) -> Result<Recording, IngestError> {
        let path = &source.main;
        let dataset = DatasetFile::read(
            &source.root,
            Place::BesideOrAbove,
            &["bin_size_s = 0  # width of a bin in seconds"],
        )?;
        dataset.refuse_trials(&source.root, "the trials are those of the tensors")?;
        let bin_size_s = DatasetFile::required(
            dataset.bin_size_s,
            &source.root,
            "bin_size_s",
            "width of a bin in seconds",
        )?;
        let file = H5File::open(path, &[])?;
        let base = base_name(source)?;
        let mut chosen = None;
        for (name, group) in groups(&file) {
            let found = named_sessions(&file, &base, &name, group)?;
            if let Some((_, splits)) = found.into_iter().find(|(session, _)| *session == source.session) {
                chosen = Some((group, splits));
            }
        }
        let Some((group, names)) = chosen else {
            return Err(IngestError::NothingRead {
                path: path.clone(),
                detail: format!(
                    "no tensors of counts for session {}; known are {}",
                    source.session,
                    KEYS.join(", ")
                ),
            });
        };
        let read = read_splits(&file, group, &names)?;
        recording(&file, group, source, &dataset, read, bin_size_s)
    }
}

/// Whether a file has tensors, or was given by itself, or cannot be opened: then reading it says why.
fn is_of_this_kind(path: &Path, file: &Path) -> bool {
    path == file || H5File::open(file, &[]).map_or(true, |file| !groups(&file).is_empty())
}

/// Groups that hold tensors: the root without a name, or its members.
fn groups(file: &H5File) -> Vec<(String, usize)> {
    let holds = |node: usize| file.node(node).children.iter().any(|(name, _)| Block::of(name).is_some());
    if holds(0) {
        return vec![(String::new(), 0)];
    }
    let members = file.node(0).children.iter().filter(|(_, node)| holds(*node));
    members.map(|(name, node)| (name.clone(), *node)).collect()
}

/// What the sessions of a file are called before group and split: as the file or as `dataset.toml` says.
fn base_name(source: &Source) -> Result<SessionId, IngestError> {
    source_of(&source.root, source.main.clone()).map(|source| source.session)
}

fn sessions_of(file: &H5File, source: &Source) -> Result<Vec<SessionId>, IngestError> {
    let mut sessions = Vec::new();
    for (name, group) in groups(file) {
        sessions.extend(
            named_sessions(file, &source.session, &name, group)?.into_iter().map(|(session, _)| session),
        );
    }
    Ok(sessions)
}

/// Sessions of a group with the splits that each joins.
fn named_sessions(
    file: &H5File,
    base: &SessionId,
    name: &str,
    group: usize,
) -> Result<Vec<(SessionId, Vec<String>)>, IngestError> {
    let splits = parts::splits(file, group)?;
    let mut parts = vec![base.to_string()];
    parts.extend(Some(name.to_owned()).filter(|name| !name.is_empty()));
    let id = |parts: &[String]| {
        SessionId::new(crate::single_file::plain_name(&parts.join(".")))
            .map_err(IngestError::invalid(&file.path))
    };
    let same_units = splits.windows(2).all(|pair| pair[0].1 == pair[1].1);
    if same_units {
        return Ok(vec![(id(&parts)?, splits.into_iter().map(|(split, _)| split).collect())]);
    }
    let one = |(split, _): (String, _)| {
        Ok((id(&[&parts[..], std::slice::from_ref(&split)].concat())?, vec![split]))
    };
    splits.into_iter().map(one).collect()
}

fn recording(
    file: &H5File,
    group: usize,
    source: &Source,
    dataset: &DatasetFile,
    read: parts::Read,
    bin_size_s: f64,
) -> Result<Recording, IngestError> {
    let path = &file.path;
    let parts::Read { splits, kinds, n_bins, mut left } = read;
    let n_trials: usize = splits.iter().map(|split| split.n_trials).sum();
    let n_units: usize = kinds.iter().map(|(_, n)| n).sum();
    let trial_s = n_bins as f64 * bin_size_s;
    let mut columns = vec![Column {
        name: "split".into(),
        unit: None,
        description: Some("which part of the file the trial is in".into()),
        values: ColumnValues::Text(
            splits.iter().flat_map(|split| vec![Some(split.name.clone()); split.n_trials]).collect(),
        ),
    }];
    columns.extend(trial_columns(file, group, &splits, &mut left)?);
    let (signals, more) = behavior(file, group, &splits, n_bins, bin_size_s, &mut left)?;
    columns.extend(more);
    let columns: Vec<Column> = columns.into_iter().map(|column| dataset.describe(column)).collect();
    dataset.check_notes(&source.root, &columns)?;
    let values = splits.into_iter().flat_map(|split| split.counts).collect();
    let counts = BinnedCounts::new(bin_size_s, n_trials, n_units, n_bins, values)
        .map_err(IngestError::invalid(path))?;
    let unit = |kind: &str, index: usize| Unit {
        id: format!("{kind}.{index}"),
        region: Unit::UNKNOWN_REGION.into(),
        depth_um: None,
        quality: None,
    };
    let units = kinds.iter().flat_map(|(kind, n)| (0..*n).map(move |index| unit(kind, index))).collect();
    let is_held_out = kinds.iter().flat_map(|(kind, n)| vec![Some(*kind == "heldout"); *n]).collect();
    let unit_columns = vec![Column {
        name: "held_out".into(),
        unit: None,
        description: Some("whether the benchmark hides the unit at test".into()),
        values: ColumnValues::Bool(is_held_out),
    }];
    let subject = dataset.subject_or_unknown(path)?;
    let mut step =
        "read by neurobrick from HDF5 tensors; the file has no times, so trials lie end to end".to_owned();
    left.sort();
    if !left.is_empty() {
        step = format!("{step}; not read: {}", left.join(", "));
    }
    let info = dataset.info(source.session.clone(), subject, source.hash_files()?, step);
    Recording::from_parts(RecordingParts {
        info,
        metadata: BTreeMap::new(),
        units,
        unit_columns,
        electrodes: Table::default(),
        activity: Activity::Counts(counts),
        trials: Trials::end_to_end(n_trials, trial_s, columns).map_err(IngestError::invalid(path))?,
        intervals: Vec::new(),
        signals,
    })
    .map_err(IngestError::invalid(path))
}

impl Split {
    /// Name of a tensor of this split.
    fn key(&self, part: &str) -> String {
        format!("{}_{part}", self.name)
    }
}
