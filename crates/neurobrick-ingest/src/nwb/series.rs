//! Time series and events anywhere below acquisition, processing, stimulus, analysis and scratch.
//!
//! A group is a series by what it holds, not by the name of its type, so that types of extensions are read as well:
//! `data` with `timestamps` or `starting_time`; `timestamps` alone; or `times` of events with values beside them.

use neurobrick_schema::{
    Clock, Column, ColumnValues, Interval, IntervalTable, Samples, SchemaError, Signal, SignalColumn, Trials,
};

use super::tables::Tables;
use super::{Notes, PartNames, RECORDED};
use crate::array::{Array, Values};
use crate::error::IngestError;
use crate::hdf5::{H5File, Unread};

/// Bytes of one signal in memory. A raw recording of hours has more, and is better kept where it is.
const MAX_SIGNAL_BYTES: usize = 1 << 30;
/// Columns of a signal: more than the channels of any probe.
const MAX_COLUMNS: usize = 10_000;
const AXES: [&str; 3] = ["x", "y", "z"];

/// Reads every series of a file; texts over time become intervals of no length.
pub(super) fn read_all(
    file: &H5File,
    tables: &Tables,
    signals: &mut Vec<Signal>,
    intervals: &mut Vec<IntervalTable>,
    notes: &mut Notes,
) -> Result<(), IngestError> {
    let mut names = PartNames::default();
    let mut interval_names = PartNames::default();
    for table in intervals.iter() {
        interval_names.take(&table.name);
    }
    for (node, group) in file.nodes() {
        let is_recorded = RECORDED.iter().any(|part| group.path.starts_with(&format!("{part}/")));
        if !group.is_group() || !is_recorded || is_inside_table(file, tables, node) {
            continue;
        }
        let series = Series { file, node };
        match series.read() {
            Ok(Some(Content::Signal { clock, columns, left, is_turned })) => {
                if is_turned {
                    notes.steps.push(format!(
                        "data of {} lie column by column, as the number of its columns says, and were turned",
                        group.path
                    ));
                }
                let (clock, columns) = in_order(clock, columns, &group.path, notes);
                let name = names.take(&group.path);
                for (part, reason) in left {
                    notes.leave(&part, reason);
                }
                match Signal::new(name, series.description()?, clock, columns) {
                    Ok(signal) => signals.push(signal),
                    Err(error) => notes.leave(&group.path, plainly(&error)),
                }
            }
            Ok(Some(Content::Labels { times_s, labels })) => {
                let at = |&time: &f64| Interval { start_s: time, end_s: time };
                let column = Column {
                    name: "label".into(),
                    unit: None,
                    description: None,
                    values: ColumnValues::Text(labels.into_iter().map(Some).collect()),
                };
                match Trials::new(times_s.iter().map(at).collect(), vec![column]) {
                    Ok(rows) => intervals.push(IntervalTable {
                        name: interval_names.take(&group.path),
                        description: series.description()?,
                        rows,
                    }),
                    Err(error) => notes.leave(&group.path, plainly(&error)),
                }
            }
            Ok(None) => {
                let has_data = group.children.iter().any(|(_, child)| file.is_dataset(*child));
                if has_data {
                    let kind = file.text(node, "neurodata_type")?.unwrap_or_else(|| "a group".into());
                    notes.leave(&group.path, format!("{kind} holds neither series nor intervals"));
                }
            }
            Err(Unread::Unsupported(reason)) => notes.leave(&group.path, reason),
            Err(Unread::Failed(error)) => return Err(error),
        }
    }
    for &table in &tables.others {
        let kind = file.text(table, "neurodata_type")?.unwrap_or_else(|| "a table".into());
        notes.leave(
            &file.node(table).path,
            format!("{kind} is not a table of units, electrodes or intervals"),
        );
    }
    Ok(())
}

/// Sorts the samples of an irregular clock by time where they do not ascend, and says so.
fn in_order(
    clock: Clock,
    mut columns: Vec<SignalColumn>,
    path: &str,
    notes: &mut Notes,
) -> (Clock, Vec<SignalColumn>) {
    let Clock::Irregular { times_s } = clock else {
        return (clock, columns);
    };
    let n_back = times_s.windows(2).filter(|pair| pair[1] < pair[0]).count();
    if n_back == 0 {
        return (Clock::Irregular { times_s }, columns);
    }
    let mut order: Vec<usize> = (0..times_s.len()).collect();
    order.sort_by(|&a, &b| times_s[a].total_cmp(&times_s[b]));
    for column in &mut columns {
        column.samples = match &column.samples {
            Samples::Float(values) => Samples::Float(pick(values, &order)),
            Samples::Float32(values) => Samples::Float32(pick(values, &order)),
            Samples::Int(values) => Samples::Int(pick(values, &order)),
        };
    }
    notes.steps.push(format!("times of {path} go back {n_back} times, so its samples were sorted by time"));
    (Clock::Irregular { times_s: pick(&times_s, &order) }, columns)
}

fn pick<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().map(|&index| values[index]).collect()
}

fn plainly(error: &SchemaError) -> String {
    error.to_string()
}

fn is_inside_table(file: &H5File, tables: &Tables, node: usize) -> bool {
    let path = file.node(node).path.as_str();
    tables.contains(node)
        || path
            .match_indices('/')
            .skip(1)
            .any(|(end, _)| file.find(&path[..end]).is_some_and(|above| tables.contains(above)))
}

enum Content {
    Signal {
        clock: Clock,
        columns: Vec<SignalColumn>,
        left: Vec<(String, String)>,
        /// Whether the data lay `[column, time]`.
        is_turned: bool,
    },
    Labels {
        times_s: Vec<f64>,
        labels: Vec<String>,
    },
}

struct Series<'a> {
    file: &'a H5File,
    node: usize,
}

impl Series<'_> {
    fn child(&self, name: &str) -> Option<usize> {
        self.file.node(self.node).child(name).filter(|&child| self.file.is_dataset(child))
    }

    fn part(&self, name: &str) -> String {
        format!("{}/{name}", self.file.node(self.node).path)
    }

    fn description(&self) -> Result<Option<String>, IngestError> {
        let text = self.file.text(self.node, "description")?;
        Ok(text.filter(|text| !text.is_empty() && text != "no description"))
    }

    /// The series in a group; `None` when it holds none.
    fn read(&self) -> Result<Option<Content>, Unread> {
        let (timestamps, start) = (self.child("timestamps"), self.child("starting_time"));
        if let (None, None, Some(times)) = (timestamps, start, self.child("times")) {
            return self.events(times).map(Some);
        }
        if timestamps.is_none() && start.is_none() {
            return Ok(None);
        }
        if self.child("external_file").is_some() {
            return Err(Unread::Unsupported("images in other files".into()));
        }
        let Some(data) = self.child("data") else {
            return match timestamps {
                Some(times) => {
                    let clock = Clock::Irregular { times_s: self.times(times)? };
                    let (columns, left) = (Vec::new(), Vec::new());
                    Ok(Some(Content::Signal { clock, columns, left, is_turned: false }))
                }
                None => Err(Unread::Unsupported("no data".into())),
            };
        };
        let shape = self.check_size(data)?;
        let mut array = self.file.read(data)?;
        if let Values::Text(labels) = array.values {
            let Some(times) = timestamps.filter(|_| shape.len() == 1) else {
                return Err(Unread::Unsupported("text without a time for each".into()));
            };
            let times_s = self.times(times)?;
            if times_s.len() != labels.len() {
                return Err(uneven(labels.len(), times_s.len()));
            }
            return Ok(Some(Content::Labels { times_s, labels }));
        }
        let clock = self.clock(timestamps, start)?;
        let is_turned = self.is_turned(&shape, &clock)?;
        if is_turned {
            let turned = array.arranged(&["column", "time"], ["time", "column"]);
            let (shape, values) =
                turned.map_err(|shape| Unread::Unsupported(format!("data of shape {shape:?}")))?;
            array = Array { shape: shape.to_vec(), values };
        }
        let shape = array.shape.clone();
        if let Clock::Irregular { times_s } = &clock
            && times_s.len() != shape[0]
        {
            return Err(uneven(shape[0], times_s.len()));
        }
        let columns = self.columns(data, array)?;
        let left = self.left(&["data", "timestamps", "starting_time", "channel_conversion", "electrodes"])?;
        Ok(Some(Content::Signal { clock, columns, left, is_turned }))
    }

    /// Shape of the data, `[time]` or `[time, column]`, once it is known to fit.
    fn check_size(&self, data: usize) -> Result<Vec<usize>, Unread> {
        let shape = self.file.shape(data)?;
        if !(1..=2).contains(&shape.len()) {
            return Err(Unread::Unsupported(format!("data of {} axes", shape.len())));
        }
        let n_bytes = shape.iter().try_fold(8_usize, |n, &length| n.checked_mul(length));
        if n_bytes.is_none_or(|n| n > MAX_SIGNAL_BYTES) || shape.get(1).is_some_and(|&n| n > MAX_COLUMNS) {
            return Err(Unread::Unsupported(format!(
                "data of shape {shape:?} is over 1 GiB or 10000 columns"
            )));
        }
        Ok(shape)
    }

    /// Whether data lie `[column, time]` against the format: the rows that say what the columns are, such as regions of
    /// interest, are then as many as the first axis has entries and not as the second has. Exports of Suite2p do.
    fn is_turned(&self, shape: &[usize], clock: &Clock) -> Result<bool, Unread> {
        let [n_first, n_second] = *shape else { return Ok(false) };
        let is_timed = matches!(clock, Clock::Irregular { times_s } if times_s.len() != n_second);
        if n_first == n_second || is_timed {
            return Ok(false);
        }
        for name in ["rois", "electrodes"] {
            if let Some(rows) = self.child(name)
                && let [n_rows] = self.file.shape(rows)?[..]
            {
                return Ok(n_rows == n_first);
            }
        }
        Ok(false)
    }

    fn times(&self, node: usize) -> Result<Vec<f64>, Unread> {
        if let Some(unit) = self.file.text(node, "unit")?
            && !["s", "sec", "second", "seconds", ""].contains(&unit.to_ascii_lowercase().as_str())
        {
            return Err(Unread::Unsupported(format!("times in {unit}")));
        }
        let Array { shape, values } = self.file.read(node)?;
        let kind = values.kind();
        let times = values.into_f64().filter(|_| shape.len() == 1);
        times.ok_or_else(|| Unread::Unsupported(format!("times that are {kind} of shape {shape:?}")))
    }

    fn clock(&self, timestamps: Option<usize>, start: Option<usize>) -> Result<Clock, Unread> {
        if let Some(times) = timestamps {
            return Ok(Clock::Irregular { times_s: self.times(times)? });
        }
        let Some(start) = start else {
            return Err(Unread::Unsupported("no times".into()));
        };
        let start_s = self.file.read(start)?.values.into_f64().and_then(|values| values.first().copied());
        let rate_hz = self.file.number(start, "rate")?;
        match (start_s, rate_hz) {
            (Some(start_s), Some(rate_hz)) => Ok(Clock::Regular { start_s, rate_hz }),
            _ => Err(Unread::Unsupported("a starting time without a rate".into())),
        }
    }

    /// Columns of the data in the unit of measure that the series states.
    fn columns(&self, data: usize, array: Array) -> Result<Vec<SignalColumn>, Unread> {
        let Array { shape, values } = array;
        let unit = self.file.text(data, "unit")?.filter(|unit| !unit.is_empty());
        let conversion = self.file.number(data, "conversion")?.unwrap_or(1.0);
        let offset = self.file.number(data, "offset")?.unwrap_or(0.0);
        let n_columns = shape.get(1).copied().unwrap_or(1);
        let per_channel = self.channel_conversion(n_columns)?;
        let names = self.column_names(&shape)?;
        let kind = values.kind();
        let samples = match values {
            Values::Float(values) => Samples::Float(values),
            Values::Float32(values) => Samples::Float32(values),
            Values::Int(values) => Samples::Int(values),
            Values::Bool(values) => Samples::Int(values.into_iter().map(i64::from).collect()),
            _ => return Err(Unread::Unsupported(format!("data of {kind}"))),
        };
        let column = |(index, name): (usize, String)| {
            let samples = samples.every(index, n_columns);
            let factor = conversion * per_channel.as_ref().map_or(1.0, |factors| factors[index]);
            SignalColumn {
                name,
                unit: unit.clone(),
                description: None,
                samples: scale(samples, factor, offset),
            }
        };
        Ok(names.into_iter().enumerate().map(column).collect())
    }

    /// Further factor of every channel of an electrical series.
    fn channel_conversion(&self, n_columns: usize) -> Result<Option<Vec<f64>>, Unread> {
        let Some(node) = self.child("channel_conversion") else {
            return Ok(None);
        };
        let factors = self.file.read(node)?.values.into_f64().filter(|factors| factors.len() == n_columns);
        let wrong = || Unread::Unsupported("channel_conversion is not one number per column".into());
        factors.map(Some).ok_or_else(wrong)
    }

    /// `value` for a single column; axes for positions; `electrode_<row>` where rows are given; else numbers.
    fn column_names(&self, shape: &[usize]) -> Result<Vec<String>, Unread> {
        let n_columns = shape.get(1).copied().unwrap_or(1);
        if let Some(node) = self.child("electrodes")
            && let Values::Int(rows) = self.file.read(node)?.values
            && rows.len() == n_columns
        {
            let names: Vec<String> = rows.iter().map(|row| format!("electrode_{row}")).collect();
            let distinct: std::collections::HashSet<&String> = names.iter().collect();
            if distinct.len() == names.len() {
                return Ok(names);
            }
        }
        if n_columns == 1 {
            return Ok(vec!["value".into()]);
        }
        let is_spatial = self.file.text(self.node, "neurodata_type")?.as_deref() == Some("SpatialSeries");
        if is_spatial && n_columns <= AXES.len() {
            return Ok(AXES[..n_columns].iter().map(|&axis| axis.to_owned()).collect());
        }
        Ok((0..n_columns).map(|column| column.to_string()).collect())
    }

    /// Events: `times`, and every list of one number per event beside them.
    fn events(&self, times: usize) -> Result<Content, Unread> {
        let times_s = self.times(times)?;
        let (mut columns, mut left) = (Vec::new(), Vec::new());
        for (name, child) in &self.file.node(self.node).children {
            if *child == times || !self.file.is_dataset(*child) {
                continue;
            }
            let is_region =
                self.file.text(*child, "neurodata_type")?.is_some_and(|kind| kind == "DynamicTableRegion");
            if is_region || self.file.shape(*child)? != [times_s.len()] {
                left.push((self.part(name), "not one value per event".to_owned()));
                continue;
            }
            let array = self.file.read(*child)?;
            let samples = match array.values {
                Values::Float(values) => Samples::Float(values),
                Values::Float32(values) => Samples::Float32(values),
                Values::Int(values) => Samples::Int(values),
                other => {
                    left.push((self.part(name), other.kind().to_owned()));
                    continue;
                }
            };
            let unit = self.file.text(*child, "unit")?.filter(|unit| !unit.is_empty());
            columns.push(SignalColumn { name: name.clone(), unit, description: None, samples });
        }
        Ok(Content::Signal { clock: Clock::Irregular { times_s }, columns, left, is_turned: false })
    }

    /// Datasets of the group that are not among `read`, such as the quality of control of a series.
    fn left(&self, read: &[&str]) -> Result<Vec<(String, String)>, IngestError> {
        let mut left = Vec::new();
        for (name, child) in &self.file.node(self.node).children {
            let is_value = self.file.is_dataset(*child) && !read.contains(&name.as_str());
            if is_value && !self.file.shape(*child)?.is_empty() {
                left.push((self.part(name), "beside the data of a series".to_owned()));
            }
        }
        Ok(left)
    }
}

fn uneven(n_samples: usize, n_times: usize) -> Unread {
    Unread::Unsupported(format!("{n_samples} samples but {n_times} timestamps"))
}

/// `value * factor + offset` in 64 bits; samples that need neither stay as they are.
fn scale(samples: Samples, factor: f64, offset: f64) -> Samples {
    if factor.to_bits() == 1.0_f64.to_bits() && offset.to_bits() == 0.0_f64.to_bits() {
        return samples;
    }
    let scaled = (0..samples.len()).map(|index| samples.value(index) * factor + offset);
    Samples::Float(scaled.collect())
}
