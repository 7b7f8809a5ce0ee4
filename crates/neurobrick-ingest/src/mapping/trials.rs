//! Trials of a mapped folder: with times, end to end where the mapping gives none, or one for counts without trials.

use neurobrick_schema::{Activity, Column, Interval, Signal, Trials};

use super::config::{ColumnMap, SessionMap, TimesMap, TrialsMap};
use super::counts::Counted;
use super::signals::Cut;
use super::unit_table::{length, picked};
use super::{Files, MappingFile};
use crate::dataset_file::DatasetFile;
use crate::error::IngestError;

/// Trials of counts may be this much longer or shorter than their bins: a small part of one sample of a 30 kHz system.
pub(super) const TOLERANCE_S: f64 = 1e-6;

/// Trials, and the rows of the source that they are.
pub(super) struct Laid {
    pub(super) trials: Trials,
    /// Positions in the arrays of the source, without the trials that were left out.
    pub(super) rows: Vec<usize>,
    /// Number of trials in the source, also of those that were left out.
    pub(super) n_rows: usize,
    /// What the card should say.
    pub(super) step: String,
}

impl Files<'_> {
    /// The trials, with those left out that have no times, where the mapping asks for it.
    pub(super) fn trials(
        &self,
        map: &SessionMap,
        counted: Option<&Counted>,
        cuts: &[Cut],
        dataset: &DatasetFile,
    ) -> Result<Laid, IngestError> {
        let path = self.path(MappingFile::NAME);
        if let (Some(counted), Some(start_s)) =
            (counted, map.counts.as_ref().and_then(|counts| counts.start_s))
        {
            let whole = Interval { start_s, end_s: start_s + counted.trial_s() };
            let trials = Trials::new(vec![whole], Vec::new()).map_err(IngestError::invalid(&path))?;
            return Ok(Laid { trials, rows: vec![0], n_rows: 1, step: "; all counts are one trial".into() });
        }
        let by_rows = counted.map(|counted| (counted.n_rows, counted.trial_s()));
        let by_rows = by_rows.or_else(|| cuts.first().map(|cut| (cut.n_rows, cut.trial_s())));
        let start = map.trials.as_ref().and_then(|trials| trials.start.as_ref());
        let (Some(start), Some(trials)) = (start, &map.trials) else {
            let Some((n_rows, trial_s)) = by_rows else { return Ok(Laid::none()) };
            let columns = match &map.trials {
                Some(trials) => self.trial_columns(trials, None, n_rows, dataset)?,
                None => Vec::new(),
            };
            return Ok(Laid {
                trials: Trials::end_to_end(n_rows, trial_s, columns).map_err(IngestError::invalid(&path))?,
                rows: (0..n_rows).collect(),
                n_rows,
                step: "; no times of trials are given, so they lie end to end".into(),
            });
        };
        let times = |map: &TimesMap| self.times_or_missing(map, trials.leave_out_untimed);
        let starts = times(start)?;
        let trial_s = counted.map(Counted::trial_s);
        let ends = match (&trials.end, trial_s) {
            (Some(end), _) => times(end)?,
            (None, trial_s) => starts.iter().map(|start_s| start_s + trial_s.unwrap_or(f64::NAN)).collect(),
        };
        let end_file = self.path(&trials.end.as_ref().unwrap_or(start).file);
        let disagreement = |what: &str, found: usize, expected: String| {
            Err(IngestError::Disagreement {
                path: end_file.clone(),
                what: what.into(),
                found: found.to_string(),
                expected,
            })
        };
        if starts.len() != ends.len() {
            return disagreement("number of ends of trials", ends.len(), starts.len().to_string());
        }
        if let Some(n_rows) = counted.map(|counted| counted.n_rows).filter(|n_rows| *n_rows != starts.len()) {
            return disagreement("number of trials", starts.len(), format!("{n_rows}, as the counts have"));
        }
        let rows: Vec<usize> =
            (0..starts.len()).filter(|&row| starts[row].is_finite() && ends[row].is_finite()).collect();
        let intervals: Vec<Interval> =
            rows.iter().map(|&row| Interval { start_s: starts[row], end_s: ends[row] }).collect();
        if let Some(trial_s) = trial_s {
            for (interval, row) in intervals.iter().zip(&rows) {
                if (interval.duration_s() - trial_s).abs() > TOLERANCE_S {
                    let detail = format!(
                        "the trial takes {} s, and its counts {trial_s} s; correct bin_size_s, or take end out of the trials",
                        interval.duration_s()
                    );
                    return Err(IngestError::bad_value(&end_file, "ends of trials", *row, detail));
                }
            }
        }
        let columns = self.trial_columns(trials, Some(&rows), starts.len(), dataset)?;
        let step = match starts.len() - rows.len() {
            0 => String::new(),
            n => format!("; {n} of {} trials have no times and were left out", starts.len()),
        };
        let trials = Trials::new(intervals, columns).map_err(IngestError::invalid(&path))?;
        Ok(Laid { trials, rows, n_rows: starts.len(), step })
    }

    /// The columns of trials, at these rows or at all of `n_rows`.
    fn trial_columns(
        &self,
        map: &TrialsMap,
        rows: Option<&[usize]>,
        n_rows: usize,
        dataset: &DatasetFile,
    ) -> Result<Vec<Column>, IngestError> {
        let column = |map: &ColumnMap| {
            let mut values = self.column_values(map)?;
            if let Some(rows) = rows.filter(|rows| rows.len() < n_rows) {
                let found = length(&values);
                if found != n_rows {
                    return Err(IngestError::Disagreement {
                        path: self.path(&map.file),
                        what: format!("number of rows of the trial column {:?}", map.name),
                        found: found.to_string(),
                        expected: n_rows.to_string(),
                    });
                }
                values = picked(values, rows);
            }
            let (unit, description) = (map.unit.clone(), map.description.clone());
            Ok(dataset.describe(Column { name: map.name.clone(), unit, description, values }))
        };
        map.columns.iter().map(column).collect()
    }

    /// Refuses trials that all lie before or after the data: their times, or those of the data, are in another unit of
    /// measure than the mapping says.
    pub(super) fn check_units_of_measure(
        &self,
        map: &SessionMap,
        trials: &Trials,
        activity: &Activity,
        signals: &[Signal],
    ) -> Result<(), IngestError> {
        let spiked = match activity {
            Activity::Spikes(spikes) => {
                spikes.times_s().first().copied().zip(spikes.times_s().last().copied())
            }
            Activity::Counts(_) => None,
        };
        // What is cut into trials has its times from them.
        let sampled = signals.iter().zip(&map.signals).filter(|(_, map)| map.axes.is_none());
        let sampled = sampled.map(|(signal, _)| signal).filter(|signal| !signal.is_empty());
        let sampled = sampled.map(|signal| (signal.time_s(0), signal.time_s(signal.len() - 1)));
        let join = |a: (f64, f64), b: (f64, f64)| (a.0.min(b.0), a.1.max(b.1));
        let data = spiked.into_iter().chain(sampled).reduce(join);
        let tried = trials.intervals().iter().map(|trial| (trial.start_s, trial.end_s)).reduce(join);
        let (Some(data), Some(tried)) = (data, tried) else { return Ok(()) };
        if trials.intervals().iter().any(|trial| trial.start_s <= data.1 && trial.end_s >= data.0) {
            return Ok(());
        }
        let detail = format!(
            "session {}: none of the {} trials touches the data: trials run from {} s to {} s, spikes and signals \
             from {} s to {} s; correct the unit (s, ms, us or samples with rate_hz) of the times that are wrong, or leave \
             the trials out",
            map.name,
            trials.len(),
            tried.0,
            tried.1,
            data.0,
            data.1
        );
        Err(IngestError::DatasetFile { path: self.path(MappingFile::NAME), detail })
    }
}

impl Laid {
    fn none() -> Self {
        Self { trials: Trials::default(), rows: Vec::new(), n_rows: 0, step: String::new() }
    }
}
