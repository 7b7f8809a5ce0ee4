//! Splits by trial, fixed by seed.

use neurobrick_random::{Domain, Stream, name_index};
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::BlockConfig;
use crate::column_split::ColumnConfig;
use crate::grid::ticks;
use crate::overlap::TOUCH;
use crate::texts::texts;
use crate::{DataError, SessionData};

/// How trials are dealt to the parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SplitOrder {
    /// A seeded random permutation, as MtM (Zhang et al. 2024): ignores slow drift between the parts.
    #[default]
    Random,
    /// The first trials train, the last ones test: scores include drift and are usually lower.
    Chronological,
    /// Blocks of time are dealt in a pattern, with a gap between parts. The pattern takes the place of the fractions.
    Blocks(BlockConfig),
    /// A trial column says which part a trial is in. It takes the place of the fractions.
    Column(ColumnConfig),
}

/// Fractions of the trials of each session that train, validate and test.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SplitConfig {
    /// Fraction of training trials.
    pub train: f64,
    /// Fraction of validation trials, used for early stopping and the hyper-parameters of baselines.
    pub valid: f64,
    /// Fraction of test trials, used for scores only.
    pub test: f64,
    /// How trials are dealt to the parts.
    pub order: SplitOrder,
    /// At most this many trials for training and validation together, as if no more had been recorded: a quarter,
    /// but at least one, validates. Smaller sets lie within larger ones; the test trials stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calibration: Option<usize>,
}

impl Default for SplitConfig {
    /// 70 / 10 / 20 % at random, the split of MtM (Zhang et al. 2024).
    fn default() -> Self {
        Self { train: 0.7, valid: 0.1, test: 0.2, order: SplitOrder::Random, max_calibration: None }
    }
}

/// Which trials of one session belong to which part; indices ascend within a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialSplit {
    /// Trials whose counts may be learned from.
    pub train: Vec<usize>,
    /// Trials for early stopping and hyper-parameters.
    pub valid: Vec<usize>,
    /// Trials for scores.
    pub test: Vec<usize>,
}

impl TrialSplit {
    /// Splits the usable trials of a session in the order that the configuration asks for.
    ///
    /// # Errors
    /// Those of [`TrialSplit::new`] and [`BlockConfig::split`]; [`DataError::OverlapLeaks`] for windows that overlap, unless
    /// blocks are dealt or they are in the same part of a column; [`DataError::BlocksAndFractions`];
    /// [`DataError::SplitOfSource`] where the source does not say when trials were, but which part they are in.
    ///
    /// Of a column: [`DataError::ColumnAndFractions`], [`DataError::BadColumnSplit`], [`DataError::UnknownSplitColumn`],
    /// [`DataError::UnknownSplitValue`], [`DataError::EmptyPart`].
    pub fn of(data: &SessionData, config: &SplitConfig, seed: u64) -> Result<Self, DataError> {
        if let SplitOrder::Column(column) = &config.order {
            return Self::of_column(data, column, config, seed);
        }
        if let Some(values) = split_of_source(data) {
            return Err(DataError::SplitOfSource { session: data.session().clone(), values });
        }
        if let SplitOrder::Blocks(blocks) = &config.order {
            let own = SplitConfig { order: config.order.clone(), ..SplitConfig::default() };
            if *config != own {
                return Err(DataError::BlocksAndFractions);
            }
            return blocks.split(data.session(), data.windows());
        }
        let mut windows: Vec<(i64, i64)> =
            data.windows().iter().map(|window| (ticks(window.start_s), ticks(window.end_s))).collect();
        windows.sort_unstable();
        if windows.windows(2).any(|pair| pair[1].0 + TOUCH < pair[0].1) {
            return Err(DataError::OverlapLeaks { session: data.session().clone() });
        }
        Self::new(data.session(), data.n_trials(), config, seed)
    }

    fn of_column(
        data: &SessionData,
        column: &ColumnConfig,
        config: &SplitConfig,
        seed: u64,
    ) -> Result<Self, DataError> {
        let fractions = |of: &SplitConfig| [of.train, of.valid, of.test].map(f64::to_bits);
        if fractions(config) != fractions(&SplitConfig::default()) {
            return Err(DataError::ColumnAndFractions);
        }
        let mut split = column.split(data, seed)?;
        let (n_train, n_valid) = calibration(config.max_calibration, split.train.len(), split.valid.len())?;
        let place = [name_index(data.session().as_str()), 0, 0];
        let order = Stream::new(seed, Domain::Split, place).permutation(data.n_trials());
        for (trials, n) in [(&mut split.train, n_train), (&mut split.valid, n_valid)] {
            if n < trials.len() {
                trials.sort_by_key(|&trial| order[trial]);
                trials.truncate(n);
                trials.sort_unstable();
            }
        }
        Ok(split)
    }

    /// Splits `n_trials` trials of `session`. The permutation depends on the seed and on the session's id, so
    /// adding a session leaves the splits of the others alone.
    ///
    /// # Errors
    /// If the fractions are not positive or do not sum to one, fewer than two calibration trials are allowed, or a part
    /// would be empty; for orders that depend on more than the number of trials, which [`TrialSplit::of`] deals.
    pub fn new(
        session: &SessionId,
        n_trials: usize,
        config: &SplitConfig,
        seed: u64,
    ) -> Result<Self, DataError> {
        let SplitConfig { train, valid, test, ref order, max_calibration } = *config;
        let all_positive = [train, valid, test].iter().all(|f| *f > 0.0 && f.is_finite());
        if !all_positive || ((train + valid + test) - 1.0).abs() > 1e-9 {
            return Err(DataError::BadFractions { train, valid, test });
        }
        // Cut points are rounded, so the parts are within one trial of their fraction.
        let n_train = rounded(train * n_trials as f64);
        let n_not_test = rounded((train + valid) * n_trials as f64);
        if n_train == 0 || n_not_test <= n_train || n_trials <= n_not_test {
            let fractions = format!("{train} / {valid} / {test}");
            return Err(DataError::TooFewTrials { session: session.clone(), n_trials, fractions });
        }
        let (end_train, n_valid) = calibration(max_calibration, n_train, n_not_test - n_train)?;
        let end_valid = n_train + n_valid;
        let dealt = match order {
            SplitOrder::Random => {
                Stream::new(seed, Domain::Split, [name_index(session.as_str()), 0, 0]).permutation(n_trials)
            }
            SplitOrder::Chronological => (0..n_trials).collect(),
            SplitOrder::Blocks(_) => return Err(DataError::BlocksAndFractions),
            SplitOrder::Column(_) => return Err(DataError::ColumnAndFractions),
        };
        let part = |range: std::ops::Range<usize>| {
            let mut trials = dealt[range].to_vec();
            trials.sort_unstable();
            trials
        };
        Ok(Self {
            train: part(0..end_train),
            valid: part(n_train..end_valid),
            test: part(n_not_test..n_trials),
        })
    }
}

/// How many trials train and validate where no more than `max` may do so together.
fn calibration(max: Option<usize>, n_train: usize, n_valid: usize) -> Result<(usize, usize), DataError> {
    let Some(max) = max.filter(|&max| max < n_train + n_valid) else { return Ok((n_train, n_valid)) };
    if max < 2 {
        return Err(DataError::TooFewCalibration { received: max });
    }
    let n_valid = (max / 4).max(1).min(n_valid);
    Ok(((max - n_valid).min(n_train), n_valid))
}

/// Name of the trial column in which readers keep the parts of a source.
const SOURCE_COLUMN: &str = "split";

/// Values of the column `split` of usable trials that lie end to end because the source does not say when they were; none
/// where it has one value, or trials have times. Such trials may overlap unseen, as the pieces do that LFADS is trained on.
fn split_of_source(data: &SessionData) -> Option<Vec<String>> {
    let trials = data.trials();
    let column = trials.column(SOURCE_COLUMN).filter(|_| !trials.has_times())?;
    let values = texts(&column.values)?;
    let mut distinct: Vec<String> = Vec::new();
    for value in data.trial_idx().iter().filter_map(|&row| values[row].clone()) {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    (distinct.len() > 1).then_some(distinct)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a fraction of a trial count")]
pub(crate) fn rounded(x: f64) -> usize {
    x.round() as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn session(id: &str) -> SessionId {
        SessionId::new(id).unwrap()
    }

    #[test]
    fn parts_cover_every_trial_once() {
        for order in [SplitOrder::Random, SplitOrder::Chronological] {
            for n in [10, 30, 114, 251] {
                let config = SplitConfig { order: order.clone(), ..SplitConfig::default() };
                let split = TrialSplit::new(&session("a"), n, &config, 1).unwrap();
                let mut all = [split.train, split.valid, split.test].concat();
                all.sort_unstable();
                assert_eq!(all, (0..n).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn seed_and_session_change_the_split_and_nothing_else_does() {
        let config = SplitConfig::default();
        let split = |id, seed| TrialSplit::new(&session(id), 100, &config, seed).unwrap();
        assert_eq!(split("a", 1), split("a", 1));
        assert_ne!(split("a", 1), split("a", 2));
        assert_ne!(split("a", 1), split("b", 1));
    }

    #[test]
    fn chronological_order_never_trains_on_the_future() {
        let config = SplitConfig { order: SplitOrder::Chronological, ..SplitConfig::default() };
        let split = TrialSplit::new(&session("a"), 50, &config, 1).unwrap();
        assert!(split.train.last() < split.valid.first() && split.valid.last() < split.test.first());
    }

    #[test]
    fn few_calibration_trials_lie_within_more_and_leave_the_test_trials() {
        let split = |max_calibration| {
            let config = SplitConfig { max_calibration, ..SplitConfig::default() };
            TrialSplit::new(&session("a"), 200, &config, 1).unwrap()
        };
        let all = split(None);
        assert_eq!(split(Some(160)), all);
        let mut last = all.clone();
        for (max, n_train, n_valid) in [(64, 48, 16), (16, 12, 4), (3, 2, 1), (2, 1, 1)] {
            let few = split(Some(max));
            assert_eq!((few.train.len(), few.valid.len()), (n_train, n_valid), "{max}");
            assert_eq!(few.test, all.test);
            assert!(few.train.iter().all(|t| last.train.contains(t)));
            assert!(few.valid.iter().all(|t| last.valid.contains(t)));
            last = few;
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        let bad = SplitConfig { train: 0.9, ..SplitConfig::default() };
        assert!(matches!(TrialSplit::new(&session("a"), 50, &bad, 1), Err(DataError::BadFractions { .. })));
        let few = TrialSplit::new(&session("a"), 3, &SplitConfig::default(), 1);
        assert!(matches!(few, Err(DataError::TooFewTrials { n_trials: 3, .. })));
        let told = |n| TrialSplit::new(&session("a"), n, &SplitConfig::default(), 1).unwrap_err().to_string();
        assert!(told(0).contains("`align = { every = 1.0 }`"), "{}", told(0));
        assert!(told(3).ends_with("at least one trial each is needed"), "{}", told(3));
        let one = SplitConfig { max_calibration: Some(1), ..SplitConfig::default() };
        let one = TrialSplit::new(&session("a"), 50, &one, 1);
        assert!(matches!(one, Err(DataError::TooFewCalibration { received: 1 })));
    }
}
