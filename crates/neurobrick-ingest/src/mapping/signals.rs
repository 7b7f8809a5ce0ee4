//! Signals of a mapped folder: over the whole session, or cut into trials.

use neurobrick_schema::{Clock, Samples, Signal, SignalColumn};

use super::arrays::Starred;
use super::config::{ArrayName, ColumnMap, SampleAxis, SignalMap, in_words};
use super::trials::{Laid, TOLERANCE_S};
use super::{Files, MappingFile, arrays};
use crate::array::{Array, Values};
use crate::error::IngestError;

/// A signal that is cut into trials.
pub(super) struct Cut {
    /// Number of trials in the source.
    pub(super) n_rows: usize,
    n_times: usize,
    /// From the start of a trial to its first sample, seconds.
    start_s: f64,
    rate_hz: f64,
    /// Samples `[trial, time]`.
    columns: Vec<SignalColumn>,
}

impl Cut {
    /// Length of a trial in seconds.
    pub(super) fn trial_s(&self) -> f64 {
        self.n_times as f64 / self.rate_hz
    }
}

impl Files<'_> {
    /// A signal on a clock of its own, or with a time for every sample.
    pub(super) fn signal(&self, map: &SignalMap) -> Result<Signal, IngestError> {
        let clock = match (&map.times, map.start_s, map.rate_hz) {
            (Some(times), _, _) => Clock::Irregular { times_s: self.times(times)? },
            (None, start_s, rate_hz) => {
                Clock::Regular { start_s: start_s.unwrap_or(f64::NAN), rate_hz: rate_hz.unwrap_or(f64::NAN) }
            }
        };
        let mut columns = Vec::new();
        for column in &map.columns {
            columns.extend(self.signal_columns(column)?);
        }
        let signal = Signal::new(map.name.as_str(), map.description.clone(), clock, columns);
        signal.map_err(IngestError::invalid(&self.path(MappingFile::NAME)))
    }

    /// One column, or one for each entry of the axis that is not time.
    fn signal_columns(&self, map: &ColumnMap) -> Result<Vec<SignalColumn>, IngestError> {
        if let Some(ArrayName::Name(name)) = &map.array
            && let Some(found) = arrays::samples_of_text(self.root, &map.file, name)?
        {
            let one = |(stars, array): Starred| {
                let samples = samples(array.values).map_err(|kind| self.not_numbers(map, kind))?;
                let name = stars.iter().fold(map.name.clone(), |name, star| format!("{name}.{star}"));
                Ok(column(map, name, samples))
            };
            return found.into_iter().map(one).collect();
        }
        let array = self.one(&map.file, map.array.as_ref())?;
        let Array { shape, values } = array.squeezed();
        let samples = samples(values).map_err(|kind| self.not_numbers(map, kind))?;
        let column = |name: String, samples| column(map, name, samples);
        match shape[..] {
            [_] => Ok(vec![column(map.name.clone(), samples)]),
            [n_rows, n_columns] => {
                let is_time_first = map.time_axis.unwrap_or(0) == 0;
                let (n_series, n_samples) =
                    if is_time_first { (n_columns, n_rows) } else { (n_rows, n_columns) };
                let place = |series: usize, sample: usize| {
                    if is_time_first { sample * n_columns + series } else { series * n_columns + sample }
                };
                let one = |series: usize| {
                    let order: Vec<usize> = (0..n_samples).map(|sample| place(series, sample)).collect();
                    column(format!("{}.{series}", map.name), pick(&samples, &order))
                };
                Ok((0..n_series).map(one).collect())
            }
            _ => Err(IngestError::WrongShape {
                path: self.path(&map.file),
                part: format!("column {:?}", map.name),
                found: shape,
                expected: "one or two axes".into(),
            }),
        }
    }

    /// Reads a signal that is cut into trials.
    pub(super) fn cut(&self, map: &SignalMap) -> Result<Cut, IngestError> {
        let axes = map.axes.as_deref().unwrap_or_default();
        let names: Vec<String> = axes.iter().map(in_words).collect();
        let mut cut = Cut {
            n_rows: 0,
            n_times: 0,
            start_s: map.start_s.unwrap_or(f64::NAN),
            rate_hz: map.rate_hz.unwrap_or(f64::NAN),
            columns: Vec::new(),
        };
        for one in &map.columns {
            let array = self.one(&one.file, one.array.as_ref())?;
            let arranged = array.arranged(axes, [SampleAxis::Channel, SampleAxis::Trial, SampleAxis::Time]);
            let ([n_channels, n_rows, n_times], values) =
                arranged.map_err(|found| IngestError::WrongShape {
                    path: self.path(&one.file),
                    part: format!("column {:?}", one.name),
                    found,
                    expected: format!(
                        "an axis for each of {}, as axes of mapping.toml has them",
                        names.join(", ")
                    ),
                })?;
            let all = samples(values).map_err(|kind| self.not_numbers(one, kind))?;
            if cut.columns.is_empty() {
                (cut.n_rows, cut.n_times) = (n_rows, n_times);
            }
            if (cut.n_rows, cut.n_times) != (n_rows, n_times) {
                return Err(IngestError::Disagreement {
                    path: self.path(&one.file),
                    what: format!("number of trials x samples of column {:?}", one.name),
                    found: format!("{n_rows} x {n_times}"),
                    expected: format!("{} x {}", cut.n_rows, cut.n_times),
                });
            }
            if !axes.contains(&SampleAxis::Channel) {
                cut.columns.push(column(one, one.name.clone(), all));
                continue;
            }
            let width = n_rows * n_times;
            cut.columns.extend((0..n_channels).map(|channel| {
                let places: Vec<usize> = (channel * width..(channel + 1) * width).collect();
                column(one, format!("{}.{channel}", one.name), pick(&all, &places))
            }));
        }
        Ok(cut)
    }

    /// Lays a signal that is cut into trials on the clock of the session.
    pub(super) fn lay(
        &self,
        map: &SignalMap,
        cut: Cut,
        laid: &Laid,
        step: &mut String,
    ) -> Result<Signal, IngestError> {
        let path = self.path(MappingFile::NAME);
        let trial_s = cut.trial_s();
        let Cut { n_rows, n_times, start_s, rate_hz, mut columns } = cut;
        let refuse = |detail: String| {
            let detail = format!("signal {}: {detail}", map.name);
            Err(IngestError::DatasetFile { path: path.clone(), detail })
        };
        if n_rows != laid.n_rows {
            return refuse(format!("its columns have {n_rows} trials, and the session has {}", laid.n_rows));
        }
        let intervals = laid.trials.intervals();
        let clock = if laid.trials.has_times() {
            let time_s = |sample: usize| start_s + sample as f64 / rate_hz;
            let times_s =
                intervals.iter().flat_map(|trial| (0..n_times).map(move |i| trial.start_s + time_s(i)));
            let times_s: Vec<f64> = times_s.collect();
            let mut places: Vec<usize> =
                laid.rows.iter().flat_map(|row| row * n_times..(row + 1) * n_times).collect();
            let mut order: Vec<usize> = (0..times_s.len()).collect();
            if !times_s.is_sorted() {
                order.sort_by(|&a, &b| times_s[a].total_cmp(&times_s[b]));
                places = order.iter().map(|&index| places[index]).collect();
                *step = format!(
                    "{step}; trials of the signal {} overlap, its samples are sorted by time",
                    map.name
                );
            }
            for column in &mut columns {
                column.samples = pick(&column.samples, &places);
            }
            Clock::Irregular { times_s: order.into_iter().map(|index| times_s[index]).collect() }
        } else {
            let fits = |length_s: f64| (length_s - trial_s).abs() <= TOLERANCE_S;
            if start_s != 0.0 || !intervals.iter().all(|trial| fits(trial.duration_s())) {
                let length_s = intervals.first().map_or(0.0, neurobrick_schema::Interval::duration_s);
                return refuse(format!(
                    "its trials take {trial_s} s from {start_s} s on, and those of the session, which have no times, \
                     {length_s} s from 0 s on; give trials.start"
                ));
            }
            Clock::Regular { start_s: 0.0, rate_hz }
        };
        let signal = Signal::new(map.name.as_str(), map.description.clone(), clock, columns);
        signal.map_err(IngestError::invalid(&path))
    }
}

/// Numbers as samples; else what they are.
fn samples(values: Values) -> Result<Samples, &'static str> {
    match values {
        Values::Float(values) => Ok(Samples::Float(values)),
        Values::Float32(values) => Ok(Samples::Float32(values)),
        Values::Int(values) => Ok(Samples::Int(values)),
        Values::Bool(values) => Ok(Samples::Int(values.into_iter().map(i64::from).collect())),
        other => Err(other.kind()),
    }
}

fn column(map: &ColumnMap, name: String, samples: Samples) -> SignalColumn {
    SignalColumn { name, unit: map.unit.clone(), description: map.description.clone(), samples }
}

fn pick(samples: &Samples, order: &[usize]) -> Samples {
    match samples {
        Samples::Float(values) => Samples::Float(order.iter().map(|&index| values[index]).collect()),
        Samples::Float32(values) => Samples::Float32(order.iter().map(|&index| values[index]).collect()),
        Samples::Int(values) => Samples::Int(order.iter().map(|&index| values[index]).collect()),
    }
}
