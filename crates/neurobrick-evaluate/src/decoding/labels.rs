//! Labels of trials: of two classes decoded by what is fitted here, of any number by models that answer them themselves.

use std::borrow::Cow;

use ndarray::{Array2, Array3, Axis};
use neurobrick_metrics::decoders::{DiscriminantAnalysis, Shrinkage};
use neurobrick_metrics::{
    Accuracy, Baseline, ConfidenceInterval, Counted, DecodingMetric, LogisticProbe, MetricError,
    NullDistribution, NullTest, ProbeGrid, Split, TestedScore, balanced_accuracy, balanced_interval,
    stratified_folds,
};
use neurobrick_train::TrainSession;

use super::result::{DecodeRow, Decoded};
use super::{Feature, Judging, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets};
use crate::evaluation::{DecodeTarget, LEVEL};

/// Shrinkages of discriminants that are tried, wherever a label is decoded.
pub(crate) const SHRINKAGES: [Shrinkage; 5] = [
    Shrinkage::LedoitWolf,
    Shrinkage::Fixed(0.1),
    Shrinkage::Fixed(0.3),
    Shrinkage::Fixed(0.6),
    Shrinkage::Fixed(0.9),
];
const N_FOLDS: usize = 4;

/// A decoder with its penalty.
#[derive(Clone, Copy)]
enum Setting {
    Logistic { c: f64 },
    Discriminant { shrinkage: Shrinkage },
    Network { kind: NetworkKind, weight_decay: f64 },
}

/// A label of a session's usable trials.
#[derive(Clone, Copy, Debug)]
pub struct LabelTarget<'a> {
    /// Name in tables.
    pub name: &'a str,
    /// Of every usable trial; `None` where it is undefined.
    pub labels: &'a [Option<bool>],
    /// The same label in other sessions, of labeled trials in their order: the null that takes them for the session's own.
    pub of_others: &'a [Vec<bool>],
}

/// Labels of the labeled trials with the rows that are fitted to and scored on.
struct Task<'a> {
    x: Array2<f64>,
    /// The same bin by bin, `[row, bin, P]`, for networks with memory.
    bins: Array3<f64>,
    labels: Vec<bool>,
    /// Trial of each row.
    trials: Vec<usize>,
    /// Training rows, then validation rows: the order in which `evaluate` deals them to folds.
    fit: Vec<usize>,
    /// Rows by which networks stop.
    valid: Vec<usize>,
    test: Vec<usize>,
    /// Labels of other sessions.
    of_others: &'a [Vec<bool>],
    judging: &'a Judging,
}

/// One label from one feature by every decoder of labels.
pub fn decode_labels(
    session: &TrainSession,
    target: LabelTarget<'_>,
    feature: &Feature,
    judging: &Judging,
) -> Vec<DecodeRow> {
    let task = Task::new(session, target, feature, judging);
    let id = session.data.session();
    let row = |decoder: &str, choice: Result<(Setting, String), MetricError>| {
        let decoded = choice.and_then(|(setting, choice)| task.judged(setting, choice));
        DecodeRow::new(id, [target.name, &feature.name, decoder], decoded)
    };
    let mut rows =
        vec![row("logistic", task.choose_logistic()), row("discriminant", task.choose_discriminant())];
    for kind in judging.networks.iter().flat_map(|config| &config.kinds) {
        rows.push(row(kind.name(), task.choose_network(*kind)));
    }
    rows
}

/// A label by the logistic probe alone.
pub(crate) struct Probed {
    /// Its accuracy, its inverse penalty, and its score with the nulls.
    pub(crate) found: Result<(Accuracy, f64, Decoded), MetricError>,
    /// Rows that it was fitted to, whether or not there is a score.
    pub(crate) n_fit: usize,
    /// Rows that are scored.
    pub(crate) n_test: usize,
}

/// The logistic probe of [`decode_labels`], for evaluations.
pub(crate) fn decode_by_logistic(
    session: &TrainSession,
    target: LabelTarget<'_>,
    feature: &Feature,
    judging: &Judging,
) -> Probed {
    let task = Task::new(session, target, feature, judging);
    let found = task.logistic_penalty().and_then(|c| {
        let setting = Setting::Logistic { c };
        Ok((task.accuracy(setting)?, c, task.judged(setting, choice_of(c))?))
    });
    Probed { found, n_fit: task.fit.len(), n_test: task.test.len() }
}

fn choice_of(c: f64) -> String {
    format!("C = {c:e}")
}

impl<'a> Task<'a> {
    fn new(
        session: &TrainSession,
        LabelTarget { labels, of_others, .. }: LabelTarget<'a>,
        feature: &Feature,
        judging: &'a Judging,
    ) -> Self {
        let trials: Vec<usize> = (0..labels.len()).filter(|&trial| labels[trial].is_some()).collect();
        let rows_of = |side: &[usize]| -> Vec<usize> {
            (0..trials.len()).filter(|&row| side.binary_search(&trials[row]).is_ok()).collect()
        };
        let valid = rows_of(&session.split.valid);
        Self {
            x: feature.of_window.select(Axis(0), &trials),
            bins: feature.values.select(Axis(0), &trials),
            labels: trials.iter().map(|&trial| labels[trial] == Some(true)).collect(),
            fit: [rows_of(&session.split.train), valid.clone()].concat(),
            valid,
            test: rows_of(&session.split.test),
            trials,
            of_others,
            judging,
        }
    }
}

impl Task<'_> {
    fn choose_logistic(&self) -> Result<(Setting, String), MetricError> {
        let c = self.logistic_penalty()?;
        Ok((Setting::Logistic { c }, choice_of(c)))
    }

    fn logistic_penalty(&self) -> Result<f64, MetricError> {
        let x = self.x.select(Axis(0), &self.fit);
        let grid = ProbeGrid { n_folds: N_FOLDS, ..ProbeGrid::with_seed(self.judging.seed) };
        let (probe, _) = LogisticProbe::fit_search(&x.view(), &pick(&self.labels, &self.fit), &grid)?;
        Ok(probe.c())
    }

    /// The shrinkage with the best balanced accuracy over folds, the first of equals.
    fn choose_discriminant(&self) -> Result<(Setting, String), MetricError> {
        let fit_labels = pick(&self.labels, &self.fit);
        let folds = stratified_folds(&fit_labels, N_FOLDS, self.judging.seed)?;
        let mut best: Option<(f64, Shrinkage)> = None;
        for shrinkage in SHRINKAGES {
            let mut total = 0.0;
            for fold in 0..N_FOLDS {
                let side = |inside: bool| -> Vec<usize> {
                    let rows = self.fit.iter().zip(&folds).filter(|(_, f)| (**f == fold) == inside);
                    rows.map(|(row, _)| *row).collect()
                };
                total +=
                    self.score(Setting::Discriminant { shrinkage }, &self.labels, &side(false), &side(true))?;
            }
            if best.is_none_or(|(score, _)| total > score) {
                best = Some((total, shrinkage));
            }
        }
        let (_, shrinkage) = best.ok_or(MetricError::Empty { what: "list of shrinkages" })?;
        let choice = match shrinkage {
            Shrinkage::LedoitWolf => "shrinkage by Ledoit and Wolf".to_owned(),
            Shrinkage::Fixed(share) => format!("shrinkage {share}"),
        };
        Ok((Setting::Discriminant { shrinkage }, choice))
    }

    fn choose_network(&self, kind: NetworkKind) -> Result<(Setting, String), MetricError> {
        let found = self.network(kind, None, &self.labels, &self.fit)?;
        let weight_decay = found.weight_decay();
        Ok((Setting::Network { kind, weight_decay }, format!("weight decay {weight_decay}")))
    }

    /// A network that stops by the validation rows among `fit`, with the weight decay given or chosen by them.
    fn network(
        &self,
        kind: NetworkKind,
        weight_decay: Option<f64>,
        labels: &[bool],
        fit: &[usize],
    ) -> Result<NetworkDecoder, MetricError> {
        let mut config = self.judging.networks.clone().unwrap_or_default();
        if let Some(weight_decay) = weight_decay {
            config.weight_decays = vec![weight_decay];
        }
        let (valid, train): (Vec<usize>, Vec<usize>) =
            fit.iter().copied().partition(|row| self.valid.binary_search(row).is_ok());
        let rows = NetworkRows { train: &train, valid: &valid };
        let targets = NetworkTargets::Labels(labels);
        NetworkDecoder::fit(kind, &self.seen(kind), targets, rows, &config, self.judging.seed)
    }

    /// What a network sees: without memory the same as linear decoders, as one bin.
    fn seen(&self, kind: NetworkKind) -> Cow<'_, Array3<f64>> {
        match kind {
            NetworkKind::Mlp => Cow::Owned(self.x.clone().insert_axis(Axis(1))),
            NetworkKind::Gru => Cow::Borrowed(&self.bins),
        }
    }

    fn predict(
        &self,
        setting: Setting,
        labels: &[bool],
        fit: &[usize],
        test: &[usize],
    ) -> Result<Vec<bool>, MetricError> {
        let (x, x_test) = (self.x.select(Axis(0), fit), self.x.select(Axis(0), test));
        let all = labels;
        let labels = pick(labels, fit);
        match setting {
            Setting::Network { kind, weight_decay } => {
                let found = self.network(kind, Some(weight_decay), all, fit)?;
                let log_odds = found.predict(&self.seen(kind).select(Axis(0), test))?;
                Ok(log_odds.iter().map(|&value| value > 0.0).collect())
            }
            Setting::Logistic { c } => LogisticProbe::fit(&x.view(), &labels, c)?.predict(&x_test.view()),
            Setting::Discriminant { shrinkage } => {
                let classes = numbered(&labels);
                let fit = DiscriminantAnalysis::fit(&x.view(), &classes, shrinkage)?;
                Ok(fit.predict(&x_test.view())?.into_iter().map(|class| class == 1).collect())
            }
        }
    }

    fn score(
        &self,
        setting: Setting,
        labels: &[bool],
        fit: &[usize],
        test: &[usize],
    ) -> Result<f64, MetricError> {
        let predicted = self.predict(setting, labels, fit, test)?;
        balanced_accuracy(&numbered(&pick(labels, test)), &numbered(&predicted))
    }

    /// How often the test rows are right. Trials are independent: labels belong to trials, whose windows never overlap; windows
    /// that slide have none.
    fn accuracy(&self, setting: Setting) -> Result<Accuracy, MetricError> {
        let predicted = self.predict(setting, &self.labels, &self.fit, &self.test)?;
        let truth = pick(&self.labels, &self.test);
        two_classes(&truth)?;
        Accuracy::new(&truth, &predicted, &pick(&self.labels, &self.fit), LEVEL)
    }

    fn judged(&self, setting: Setting, choice: String) -> Result<Decoded, MetricError> {
        let Judging { seed, n_blocks, n_shuffles, .. } = *self.judging;
        let accuracy = self.accuracy(setting)?;
        let fit_labels = pick(&self.labels, &self.fit);
        let (value, interval) = (accuracy.balanced, accuracy.balanced_interval);
        let truth = numbered(&pick(&self.labels, &self.test));
        let null = |test: NullTest, groups: &[usize]| {
            NullDistribution::new(test, groups, value, (seed, n_shuffles), |order| {
                let labels: Vec<bool> = order.iter().map(|&row| self.labels[row]).collect();
                // What refuses the labels themselves makes a draw none.
                two_classes(&pick(&labels, &self.fit))?;
                two_classes(&pick(&labels, &self.test))?;
                self.score(setting, &labels, &self.fit, &self.test)
            })
        };
        let majority = usize::from(2 * fit_labels.iter().filter(|&&label| label).count() >= fit_labels.len());
        let scored = Scored { value, interval, truth: &truth, majority };
        let decoded = scored.tested((self.trials.len(), n_blocks), null, choice)?;
        Ok(Decoded { other_sessions: self.other_sessions(setting, value), ..decoded })
    }

    /// The null in labels of other sessions, if one has enough of both classes. What is wrong with another session leaves it
    /// out and takes nothing from this one's score.
    fn other_sessions(&self, setting: Setting, value: f64) -> Option<NullDistribution> {
        let n_rows = self.labels.len();
        let n_of_others: Vec<usize> = self.of_others.iter().map(Vec::len).collect();
        NullDistribution::of_other_sessions(value, n_rows, &n_of_others, |other| {
            let labels = &self.of_others[other][..n_rows];
            two_classes(&pick(labels, &self.fit)).ok()?;
            two_classes(&pick(labels, &self.test)).ok()?;
            self.score(setting, labels, &self.fit, &self.test).ok().filter(|score| score.is_finite())
        })
        .ok()
    }
}

/// What a model that is not fitted here says of a label: a class of every usable trial of the session.
#[derive(Clone, Copy, Debug)]
pub struct PredictedClasses<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// What the table calls its way of decoding: its kind.
    pub decoder: &'a str,
    /// By place in [`DecodeTarget::classes`].
    pub classes: &'a [usize],
}

/// Scores a prediction as those of the decoders are. Its nulls are the same prediction against the labels of other test
/// trials, since nothing is refitted.
pub fn judge_classes(
    session: &TrainSession,
    (target, labels): (&DecodeTarget, &[Option<usize>]),
    predicted: &PredictedClasses<'_>,
    judging: &Judging,
) -> DecodeRow {
    let row = [target.name(), predicted.name, predicted.decoder];
    let labels = (labels, target.classes().len());
    DecodeRow::new(session.data.session(), row, judged_classes(session, labels, predicted.classes, judging))
}

fn judged_classes(
    session: &TrainSession,
    (labels, n_classes): (&[Option<usize>], usize),
    predicted: &[usize],
    judging: &Judging,
) -> Result<Decoded, MetricError> {
    let Judging { seed, n_blocks, n_shuffles, .. } = *judging;
    let labeled = |trials: &[usize]| -> (Vec<usize>, Vec<usize>) {
        trials.iter().filter_map(|&trial| Some((trial, labels[trial]?))).unzip()
    };
    let (test, truth) = labeled(&session.split.test);
    let (_, learned) = labeled(&[&session.split.train[..], &session.split.valid].concat());
    let found: Vec<usize> = test.iter().map(|&trial| predicted[trial]).collect();
    if let Some(&only) = truth.first()
        && truth.iter().all(|&class| class == only)
    {
        return Err(MetricError::SingleClassOf { trials: truth.len(), class: only, n_classes });
    }
    let value = balanced_accuracy(&truth, &found)?;
    let interval = balanced_interval(&truth, &found, LEVEL)?;
    let null = |test: NullTest, groups: &[usize]| {
        let score = |order: &[usize]| balanced_accuracy(&pick(&truth, order), &found);
        NullDistribution::new(test, groups, value, (seed, n_shuffles), score)
    };
    let n = truth.len();
    let count = |class: usize| learned.iter().filter(|&&label| label == class).count();
    let majority = (0..n_classes).max_by_key(|&class| count(class)).unwrap_or(0);
    let scored = Scored { value, interval, truth: &truth, majority };
    scored.tested((n, n_blocks), null, "weights as trained".to_owned())
}

/// A balanced accuracy on test trials, whichever way it came about.
struct Scored<'a> {
    value: f64,
    interval: ConfidenceInterval,
    /// Classes of the test trials.
    truth: &'a [usize],
    /// The class of most training trials.
    majority: usize,
}

impl Scored<'_> {
    /// The score with its nulls, of `n_rows` rows that are shuffled in blocks and shifted as a whole, and the majority class:
    /// right in one class, wrong in all others.
    fn tested(
        &self,
        (n_rows, n_blocks): (usize, usize),
        null: impl Fn(NullTest, &[usize]) -> Result<NullDistribution, MetricError>,
        choice: String,
    ) -> Result<Decoded, MetricError> {
        let n = self.truth.len();
        let blocks: Vec<usize> = (0..n_rows).map(|row| row * n_blocks / n_rows).collect();
        let counted = Counted { trials: n, units: 0, entries: n, spikes: 0.0, sessions: 1 };
        let naive = balanced_accuracy(self.truth, &vec![self.majority; n])?;
        let baseline = Baseline { name: "majority class".to_owned(), value: naive };
        let shuffled = null(NullTest::LabelShuffle, &blocks)?;
        let shifted = null(NullTest::CircularShift, &vec![0; n_rows])?;
        let metric = (DecodingMetric::BalancedAccuracy, self.value);
        let score = TestedScore::new(metric, counted, self.interval, shuffled, baseline, Split::Test)?;
        Ok(Decoded { score, shifted: Some(shifted), other_sessions: None, choice })
    }
}

fn two_classes(labels: &[bool]) -> Result<(), MetricError> {
    match [false, true].into_iter().find(|class| !labels.contains(class)) {
        Some(missing) => Err(MetricError::SingleClass { trials: labels.len(), class: !missing }),
        None => Ok(()),
    }
}

fn pick<T: Copy>(labels: &[T], rows: &[usize]) -> Vec<T> {
    rows.iter().map(|&row| labels[row]).collect()
}

fn numbered(labels: &[bool]) -> Vec<usize> {
    labels.iter().map(|&label| usize::from(label)).collect()
}
