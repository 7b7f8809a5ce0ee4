//! The parts of a group of tensors: which blocks of counts there are, and what else belongs to the trials.

use std::collections::BTreeMap;

use neurobrick_schema::{Clock, Column, ColumnValues, Samples, Signal, SignalColumn};

use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::hdf5::{H5File, Unread};

/// Tensors that make a group one of counts; the front of a name is its split.
pub(super) const KEYS: [&str; 6] = [
    "train_spikes_heldin",
    "train_data_heldin",
    "train_data",
    "train_encod_data",
    "train_recon_data",
    "eval_spikes_heldout",
];
/// Splits in the order of their trials.
const SPLITS: [&str; 5] = ["train", "valid", "val", "eval", "test"];

/// Kinds of units with their number, in the order of the units.
pub(super) type Kinds = Vec<(&'static str, usize)>;

/// Which counts a tensor holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Block {
    /// Held-in before held-out.
    is_held_out: bool,
    /// The bins after those that a model is given.
    is_forward: bool,
}

impl Block {
    /// What a name stands for, with its split.
    pub(super) fn of(name: &str) -> Option<(&'static str, Self)> {
        let (front, rest) = name.split_once('_')?;
        let split = SPLITS.into_iter().find(|split| *split == front)?;
        let (is_held_out, is_forward) = match rest {
            "spikes_heldin" | "data_heldin" | "data" | "encod_data" | "recon_data" => (false, false),
            "spikes_heldout" | "data_heldout" => (true, false),
            "spikes_heldin_forward" | "data_heldin_forward" | "data_heldin_fp" | "data_fp" => (false, true),
            "spikes_heldout_forward" | "data_heldout_forward" | "data_heldout_fp" => (true, true),
            _ => return None,
        };
        Some((split, Self { is_held_out, is_forward }))
    }
}

/// The counts of a split.
pub(super) struct Split {
    pub(super) name: String,
    pub(super) n_trials: usize,
    /// Bins that a model is given; forward bins follow.
    pub(super) n_given_bins: usize,
    /// `[trial, unit, bin]`.
    pub(super) counts: Vec<u16>,
}

/// The counts of a session.
pub(super) struct Read {
    pub(super) splits: Vec<Split>,
    /// Kinds of units with their number, in the order of the units.
    pub(super) kinds: Kinds,
    pub(super) n_bins: usize,
    /// What was not read, with the reason.
    pub(super) left: Vec<String>,
}

/// Tensors by the split and the block that they hold.
type Tensors = BTreeMap<(&'static str, Block), (String, usize)>;

/// The tensor of every block: `recon_data` has the units and bins of `encod_data` and more.
///
/// Errors: [`IngestError::Unsupported`] where two other tensors hold one block, since nothing says which of them counts.
fn tensors(file: &H5File, group: usize) -> Result<Tensors, IngestError> {
    let mut found = Tensors::new();
    for (name, node) in &file.node(group).children {
        let Some(key) = Block::of(name).filter(|_| file.is_dataset(*node)) else { continue };
        // Names are sorted, so that `encod_data` has come before `recon_data`.
        if let Some((other, _)) = found.insert(key, (name.clone(), *node))
            && !(other.ends_with("_encod_data") && name.ends_with("_recon_data"))
        {
            return Err(IngestError::Unsupported {
                path: file.path.clone(),
                part: file.node(*node).path.clone(),
                reason: format!("{other} holds counts of the same trials, units and bins; keep one of them"),
            });
        }
    }
    Ok(found)
}

/// Splits that have counts, with the kinds and numbers of their units.
pub(super) fn splits(file: &H5File, group: usize) -> Result<Vec<(String, Kinds)>, IngestError> {
    let found = tensors(file, group)?;
    let mut splits: Vec<(String, Kinds)> = Vec::new();
    for name in SPLITS {
        let mut kinds = Vec::new();
        for (kind, is_held_out) in [("heldin", false), ("heldout", true)] {
            if let Some((_, node)) = found.get(&(name, Block { is_held_out, is_forward: false })) {
                kinds.push((kind, axes(file, *node)?[2]));
            }
        }
        if !kinds.is_empty() {
            splits.push((name.to_owned(), kinds));
        }
    }
    Ok(splits)
}

fn axes(file: &H5File, node: usize) -> Result<[usize; 3], IngestError> {
    file.shape(node)?.try_into().map_err(|found| IngestError::WrongShape {
        path: file.path.clone(),
        part: file.node(node).path.clone(),
        found,
        expected: "trials x bins x units".into(),
    })
}

/// Reads the counts of some splits, which have the same units.
pub(super) fn read_splits(file: &H5File, group: usize, names: &[String]) -> Result<Read, IngestError> {
    let found = tensors(file, group)?;
    let kinds =
        splits(file, group)?.into_iter().find(|(name, _)| names.contains(name)).map(|(_, kinds)| kinds);
    let kinds = kinds.unwrap_or_default();
    let block = |split: &str, kind: &str, is_forward: bool| {
        let is_held_out = kind == "heldout";
        let key = found.keys().find(|key| key.0 == split && key.1 == Block { is_held_out, is_forward });
        key.and_then(|key| found.get(key))
    };
    // Later bins count only where every unit of every trial has them.
    let has_forward =
        names.iter().all(|split| kinds.iter().all(|(kind, _)| block(split, kind, true).is_some()));
    let mut left = Vec::new();
    for ((split, key), (name, _)) in &found {
        let is_of_a_kind = kinds.iter().any(|(kind, _)| (*kind == "heldout") == key.is_held_out);
        let is_used = has_forward && is_of_a_kind;
        if names.iter().any(|name| name == split) && key.is_forward && !is_used {
            left.push(format!("{name} (not there for all units of the session)"));
        }
    }
    let mut read = Vec::new();
    for split in names {
        let mut parts = Vec::new();
        for (kind, _) in &kinds {
            for is_forward in [false, true] {
                if let Some((_, node)) = block(split, kind, is_forward).filter(|_| has_forward || !is_forward)
                {
                    parts.push((*kind, is_forward, axes(file, *node)?, counts(file, *node)?, *node));
                }
            }
        }
        read.push(join(file, split, &kinds, parts)?);
    }
    let n_bins = read.first().map_or(0, |(_, n_bins)| *n_bins);
    if let Some((split, other)) = read.iter().find(|(_, other)| *other != n_bins) {
        return Err(IngestError::Disagreement {
            path: file.path.clone(),
            what: format!("number of bins of {}", split.name),
            found: other.to_string(),
            expected: n_bins.to_string(),
        });
    }
    Ok(Read { splits: read.into_iter().map(|(split, _)| split).collect(), kinds, n_bins, left })
}

type Part = (&'static str, bool, [usize; 3], Vec<u16>, usize);

/// Lays the blocks of a split into one array `[trial, unit, bin]`; also its number of bins.
///
/// Errors: [`IngestError::Disagreement`] for a block of another shape than the others make it; [`IngestError::Empty`].
fn join(
    file: &H5File,
    name: &str,
    kinds: &[(&'static str, usize)],
    parts: Vec<Part>,
) -> Result<(Split, usize), IngestError> {
    let length = |is_forward: bool, axis: usize| {
        parts.iter().find(|part| part.1 == is_forward).map_or(0, |part| part.2[axis])
    };
    let (n_trials, n_given_bins, n_later) = (length(false, 0), length(false, 1), length(true, 1));
    let expected = |kind: &str, is_forward: bool| {
        let width = kinds.iter().find(|(other, _)| *other == kind).map_or(0, |(_, width)| *width);
        [n_trials, if is_forward { n_later } else { n_given_bins }, width]
    };
    // Before memory is taken: blocks that do not fit together promise far more counts than the file has.
    for (kind, is_forward, shape, _, node) in &parts {
        let expected = expected(kind, *is_forward);
        if *shape != expected {
            return Err(IngestError::Disagreement {
                path: file.path.clone(),
                what: format!("shape of {}", file.node(*node).path),
                found: format!("{shape:?}"),
                expected: format!("{expected:?}"),
            });
        }
        if shape[1..].contains(&0) {
            let what = file.node(*node).path.clone();
            return Err(IngestError::Empty { path: file.path.clone(), what });
        }
    }
    let too_large = || IngestError::malformed(&file.path, name, "its counts do not fit into memory");
    let n_units = kinds.iter().try_fold(0_usize, |n, (_, width)| n.checked_add(*width));
    let n_units = n_units.ok_or_else(too_large)?;
    let n_bins = n_given_bins.checked_add(n_later).ok_or_else(too_large)?;
    let n_counts = n_trials.checked_mul(n_units).and_then(|n| n.checked_mul(n_bins)).ok_or_else(too_large)?;
    let mut counts = vec![0; n_counts];
    let mut first_unit = 0;
    for &(kind, width) in kinds {
        for (_, is_forward, [_, n_here, _], values, _) in parts.iter().filter(|part| part.0 == kind) {
            let first_bin = if *is_forward { n_given_bins } else { 0 };
            for (index, &value) in values.iter().enumerate() {
                let (trial, bin, unit) = (index / (n_here * width), index / width % n_here, index % width);
                counts[(trial * n_units + first_unit + unit) * n_bins + first_bin + bin] = value;
            }
        }
        first_unit += width;
    }
    Ok((Split { name: name.to_owned(), n_trials, n_given_bins, counts }, n_bins))
}

/// A tensor as counts: whole numbers from 0 to 65535, however they are stored.
fn counts(file: &H5File, node: usize) -> Result<Vec<u16>, IngestError> {
    let part = &file.node(node).path;
    let values = file.read(node).map_err(|unread| unread.required(file, node))?.values;
    let kind = values.kind();
    let values = values.into_f64().ok_or_else(|| IngestError::WrongType {
        path: file.path.clone(),
        part: part.clone(),
        found: kind.into(),
        expected: "counts",
    })?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a count")]
    let count = |(index, value): (usize, f64)| {
        if value.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&value) {
            return Ok(value as u16);
        }
        let detail = format!(
            "{value} is no count; a store of counts has no place for missing, smoothed or scaled ones, so give the counts themselves"
        );
        Err(IngestError::bad_value(&file.path, part, index, detail))
    };
    values.into_iter().enumerate().map(count).collect()
}

/// What the trials are labeled with: masks, jitter, positions in the source.
pub(super) fn trial_columns(
    file: &H5File,
    group: usize,
    splits: &[Split],
    left: &mut Vec<String>,
) -> Result<Vec<Column>, IngestError> {
    let mut columns = Vec::new();
    for (part, meaning) in [
        ("decode_mask", "whether the benchmark decodes from the trial"),
        ("jitter", "shift of the trial in bins"),
        ("inds", "position of the trial in the source"),
    ] {
        columns.extend(joined(file, group, splits, part, meaning, left)?);
    }
    for (name, _) in &file.node(group).children {
        let is_model = ["psth", "conversion_factor", "alignment_matrix_cxf", "alignment_bias_c"]
            .contains(&name.as_str());
        let is_derived =
            ["cond_idx", "truth"].iter().any(|part| splits.iter().any(|split| *name == split.key(part)));
        if is_model || is_derived || name.contains("_rates_") {
            left.push(format!("{name} (made from the recording, not part of it)"));
        }
    }
    Ok(columns)
}

/// A tensor with one value, or a row of values, for every trial; missing where a split has none.
fn joined(
    file: &H5File,
    group: usize,
    splits: &[Split],
    part: &str,
    meaning: &str,
    left: &mut Vec<String>,
) -> Result<Vec<Column>, IngestError> {
    let mut width = None;
    let mut rows: Vec<Option<Vec<f64>>> = Vec::new();
    let mut is_bool = true;
    for split in splits {
        let key = split.key(part);
        let array = match file.node(group).child(&key).map(|node| file.read(node)) {
            None => None,
            Some(Ok(Array { values: values @ Values::Lists(_), .. })) => {
                left.push(format!("{key} ({})", values.kind()));
                None
            }
            Some(Ok(array)) => Some(array),
            Some(Err(Unread::Unsupported(reason))) => {
                left.push(format!("{key} ({reason})"));
                None
            }
            Some(Err(Unread::Failed(error))) => return Err(error),
        };
        let Some(Array { shape, values }) = array else {
            rows.extend(vec![None; split.n_trials]);
            continue;
        };
        let values = match values {
            Values::Bool(values) => values.into_iter().map(|value| f64::from(u8::from(value))).collect(),
            values => {
                is_bool = false;
                values.into_f64().unwrap_or_default()
            }
        };
        let n_each = values.len().checked_div(split.n_trials).unwrap_or(0);
        let fits = shape.len() <= 2
            && shape.first() == Some(&split.n_trials)
            && n_each * split.n_trials == values.len();
        if !fits || n_each == 0 || *width.get_or_insert(n_each) != n_each {
            return Err(IngestError::WrongShape {
                path: file.path.clone(),
                part: key,
                found: shape,
                expected: format!("one row for each of {} trials", split.n_trials),
            });
        }
        rows.extend(values.chunks(n_each).map(|row| Some(row.to_vec())));
    }
    let width = width.unwrap_or(0);
    let column = |index: usize| {
        let value =
            |row: &Option<Vec<f64>>| row.as_ref().map(|row| row[index]).filter(|value| value.is_finite());
        let is_whole = rows.iter().filter_map(value).all(|value| value.fract() == 0.0 && value.abs() < 9e15);
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
        let whole = |row: &Option<Vec<f64>>| value(row).map(|value| value as i64);
        Column {
            name: if width == 1 { part.to_owned() } else { format!("{part}.{index}") },
            unit: None,
            description: Some(meaning.to_owned()).filter(|meaning| !meaning.is_empty()),
            values: if is_bool {
                ColumnValues::Bool(rows.iter().map(|row| value(row).map(|value| value != 0.0)).collect())
            } else if is_whole {
                ColumnValues::Int(rows.iter().map(whole).collect())
            } else {
                ColumnValues::Float(rows.iter().map(value).collect())
            },
        }
    };
    Ok((0..width).map(column).collect())
}

/// Behavior and inputs: signals where they go over time, else columns of the trials.
pub(super) fn behavior(
    file: &H5File,
    group: usize,
    splits: &[Split],
    n_bins: usize,
    bin_size_s: f64,
    left: &mut Vec<String>,
) -> Result<(Vec<Signal>, Vec<Column>), IngestError> {
    let (mut signals, mut columns) = (Vec::new(), Vec::new());
    for part in ["behavior", "ext_input"] {
        let nodes = splits.iter().map(|split| file.node(group).child(&split.key(part)));
        let nodes: Vec<Option<usize>> = nodes.collect();
        let Some(first) = nodes.iter().flatten().next() else { continue };
        if file.shape(*first)?.len() < 3 {
            columns.extend(joined(file, group, splits, part, "", left)?);
            continue;
        }
        let width = axes(file, *first)?[2];
        // Read before memory is taken for the columns, so that there are no more than the file has values for.
        let mut tensors = Vec::new();
        for (split, node) in splits.iter().zip(&nodes) {
            tensors.push(match node {
                Some(node) => Some(over_time(file, *node, split, n_bins, width)?),
                None => None,
            });
        }
        let is_narrow = tensors.iter().flatten().all(|(_, values)| matches!(values, Values::Float32(_)));
        // What is not known, as for the later bins, is NaN.
        let mut series = vec![Vec::new(); width];
        for (split, tensor) in splits.iter().zip(tensors) {
            let mut rows = vec![vec![f64::NAN; split.n_trials * n_bins]; width];
            let (n_here, values) = tensor.unwrap_or((0, Values::Float(Vec::new())));
            for (index, value) in values.into_f64().unwrap_or_default().into_iter().enumerate() {
                let (trial, bin, column) = (index / (n_here * width), index / width % n_here, index % width);
                rows[column][trial * n_bins + bin] = value;
            }
            for (series, mut row) in series.iter_mut().zip(rows) {
                series.append(&mut row);
            }
        }
        let column = |(index, samples): (usize, Vec<f64>)| SignalColumn {
            name: index.to_string(),
            unit: None,
            description: None,
            samples: if is_narrow { narrow(&samples) } else { Samples::Float(samples) },
        };
        let columns = series.into_iter().enumerate().map(column).collect();
        let clock = Clock::Regular { start_s: 0.0, rate_hz: 1.0 / bin_size_s };
        let signal = Signal::new(part, None, clock, columns);
        signals.push(signal.map_err(IngestError::invalid(&file.path))?);
    }
    Ok((signals, columns))
}

/// A tensor over time, `[trial, bin, column]`, as its number of bins and its numbers.
fn over_time(
    file: &H5File,
    node: usize,
    split: &Split,
    n_bins: usize,
    width: usize,
) -> Result<(usize, Values), IngestError> {
    let [n_trials, n_here, n_columns] = axes(file, node)?;
    let values = file.read(node).map_err(|unread| unread.required(file, node))?.values;
    let is_sound =
        n_trials == split.n_trials && n_columns == width && [n_bins, split.n_given_bins].contains(&n_here);
    if is_sound && matches!(values, Values::Float(_) | Values::Float32(_) | Values::Int(_)) {
        return Ok((n_here, values));
    }
    Err(IngestError::WrongShape {
        path: file.path.clone(),
        part: file.node(node).path.clone(),
        found: vec![n_trials, n_here, n_columns],
        expected: format!("[{}, {}, {width}] numbers", split.n_trials, split.n_given_bins),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "all of them come from 32-bit numbers")]
fn narrow(samples: &[f64]) -> Samples {
    Samples::Float32(samples.iter().map(|&value| value as f32).collect())
}
