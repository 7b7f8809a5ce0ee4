//! Bits per spike over several recording sessions: pooled or averaged, with trials or sessions as the sample.

use serde::{Deserialize, Serialize};

use crate::bits::{BitsTable, UnitSums, mean};
use crate::{Bootstrap, ConfidenceInterval, Convention, Counted, Difference, IntervalMethod, MetricError};

/// How sessions become one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Combine {
    /// All units and spikes in one pot: long, active sessions weigh more.
    Pooled,
    /// The convention within each session, then the mean over sessions in which it is defined (the
    /// multi-task-masking papers).
    SessionMean,
}

/// What the interval generalizes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resampling {
    /// Other trials of these sessions: trials resampled within each.
    Trials,
    /// Other sessions: sessions resampled, then trials within each draw. Honest with few sessions, hence wide.
    SessionsAndTrials,
}

/// One predictor's tables over several sessions.
#[derive(Clone, Debug)]
pub struct SessionBits {
    tables: Vec<BitsTable>,
}

impl SessionBits {
    /// Collects one table per session; fails without any.
    pub fn new(tables: Vec<BitsTable>) -> Result<Self, MetricError> {
        if tables.is_empty() {
            return Err(MetricError::Empty { what: "list of sessions" });
        }
        Ok(Self { tables })
    }

    /// The tables, one per session.
    pub fn tables(&self) -> &[BitsTable] {
        &self.tables
    }

    /// What the score rests on, summed over sessions.
    pub fn n(&self) -> Counted {
        let zero = Counted { trials: 0, units: 0, entries: 0, spikes: 0.0, sessions: 0 };
        self.tables.iter().map(BitsTable::n).fold(zero, |sum, n| Counted {
            trials: sum.trials + n.trials,
            units: sum.units + n.units,
            entries: sum.entries + n.entries,
            spikes: sum.spikes + n.spikes,
            sessions: sum.sessions + n.sessions,
        })
    }

    /// The score in bits/spike.
    pub fn value(&self, convention: Convention, combine: Combine) -> f64 {
        let sums: Vec<UnitSums> = self.tables.iter().map(UnitSums::of).collect();
        let counted: Vec<Vec<bool>> = sums.iter().map(|s| s.counted(convention)).collect();
        let order: Vec<usize> = (0..sums.len()).collect();
        combined(&sums, &order, &counted, convention, combine)
    }

    /// Its percentile interval. NaN bounds if every session has a single trial and sessions are not resampled, or
    /// if sessions are resampled and there is only one.
    pub fn interval(
        &self,
        convention: Convention,
        combine: Combine,
        resampling: Resampling,
        bootstrap: &Bootstrap,
    ) -> ConfidenceInterval {
        if !self.can_resample(resampling) {
            return bootstrap.undefined(self.method(resampling));
        }
        bootstrap
            .interval(self.resampled(convention, combine, resampling, bootstrap), self.method(resampling))
    }

    /// This predictor minus `other` on the same resamples; fails if their sessions are not paired.
    pub fn difference(
        &self,
        other: &Self,
        convention: Convention,
        combine: Combine,
        resampling: Resampling,
        bootstrap: &Bootstrap,
    ) -> Result<Difference, MetricError> {
        if self.tables.len() != other.tables.len() {
            return Err(MetricError::NotPaired { what: "sessions" });
        }
        for (ours, theirs) in self.tables.iter().zip(&other.tables) {
            ours.check_paired(theirs)?;
        }
        let value = self.value(convention, combine) - other.value(convention, combine);
        if !self.can_resample(resampling) {
            return Ok(Difference { value, interval: bootstrap.undefined(self.method(resampling)) });
        }
        let ours = self.resampled(convention, combine, resampling, bootstrap);
        let theirs = other.resampled(convention, combine, resampling, bootstrap);
        let differences = ours.iter().zip(&theirs).map(|(a, b)| a - b).collect();
        Ok(Difference { value, interval: bootstrap.interval(differences, self.method(resampling)) })
    }

    fn can_resample(&self, resampling: Resampling) -> bool {
        match resampling {
            Resampling::Trials => self.tables.iter().any(|table| table.n_rows() > 1),
            Resampling::SessionsAndTrials => self.tables.len() > 1,
        }
    }

    fn method(&self, resampling: Resampling) -> IntervalMethod {
        match resampling {
            Resampling::SessionsAndTrials => IntervalMethod::SessionBootstrap,
            // Rows of a table are its trials, or clusters of overlapping windows.
            Resampling::Trials => self
                .tables
                .iter()
                .map(BitsTable::method)
                .find(|method| *method != IntervalMethod::TrialBootstrap)
                .unwrap_or(IntervalMethod::TrialBootstrap),
        }
    }

    fn resampled(
        &self,
        convention: Convention,
        combine: Combine,
        resampling: Resampling,
        bootstrap: &Bootstrap,
    ) -> Vec<f64> {
        let counted: Vec<Vec<bool>> =
            self.tables.iter().map(|table| UnitSums::of(table).counted(convention)).collect();
        let tables: Vec<_> = self.tables.iter().map(|table| table.reduced(convention)).collect();
        bootstrap.values(|resample| {
            let order = match resampling {
                Resampling::Trials => (0..tables.len()).collect(),
                Resampling::SessionsAndTrials => bootstrap.draws(resample, tables.len()),
            };
            let sums: Vec<UnitSums> = order
                .iter()
                .enumerate()
                .map(|(slot, &session)| {
                    let (n_trials, n_units) = tables[session].spikes.dim();
                    let mut sums = UnitSums::zeros(n_units);
                    sums.add(&tables[session], &bootstrap.weights(resample, slot, n_trials));
                    sums
                })
                .collect();
            combined(&sums, &order, &counted, convention, combine)
        })
    }
}

/// `sums[slot]` belongs to session `order[slot]`.
fn combined(
    sums: &[UnitSums],
    order: &[usize],
    counted: &[Vec<bool>],
    convention: Convention,
    combine: Combine,
) -> f64 {
    match combine {
        Combine::SessionMean => {
            let values: Vec<f64> = sums
                .iter()
                .zip(order)
                .map(|(sums, &session)| sums.value(convention, &counted[session]))
                .filter(|value| value.is_finite())
                .collect();
            mean(&values)
        }
        Combine::Pooled => {
            let mut all = UnitSums::zeros(0);
            let mut all_counted = Vec::new();
            for (sums, &session) in sums.iter().zip(order) {
                all.gain.extend_from_slice(&sums.gain);
                all.spikes.extend_from_slice(&sums.spikes);
                all_counted.extend_from_slice(&counted[session]);
            }
            all.value(convention, &all_counted)
        }
    }
}
