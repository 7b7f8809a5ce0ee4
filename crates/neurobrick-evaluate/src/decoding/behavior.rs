//! Continuous behavior, bin by bin.

use ndarray::{Array2, Array3, ArrayView2, Axis, s};
use neurobrick_metrics::decoders::{Kalman, KalmanStart, PartialLeastSquares, Standardizer, WienerCascade};
use neurobrick_metrics::{
    Baseline, Bootstrap, Counted, DecodingMetric, MetricError, NullDistribution, NullTest, RidgeRegression,
    Split, TestedScore, contiguous_folds, r2,
};
use neurobrick_schema::SessionId;

use super::result::{DecodeRow, Decoded};
use super::{Feature, Judging, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets};
use crate::evaluation::LEVEL;

const N_FOLDS: usize = 4;
/// Bins of history that a Wiener filter may read.
const HISTORIES: [usize; 3] = [0, 2, 5];
/// Features times lags beyond which a history is not tried.
const MOST_COLUMNS: usize = 1024;
/// Features beyond which a Kalman filter is not tried: it inverts their covariance in every bin.
const MOST_OBSERVED: usize = 128;
const COMPONENTS: [usize; 5] = [1, 2, 4, 8, 16];
const DEGREES: [usize; 2] = [2, 3];
const TRUSTS: [f64; 5] = [0.01, 0.1, 1.0, 10.0, 100.0];

/// Behavior `[trial, bin, K]` of the trials in `trials`, of which some are fitted to and some scored.
#[derive(Clone, Debug)]
pub struct Behavior {
    /// Name in tables.
    pub name: String,
    /// `[trial, bin, K]`, in the order of `trials`.
    pub values: Array3<f64>,
    /// Usable trial of each row.
    pub trials: Vec<usize>,
    /// Rows that decoders are fitted to.
    pub fit: Vec<usize>,
    /// Those of `fit` by which networks stop, ascending.
    pub valid: Vec<usize>,
    /// Rows that are scored.
    pub test: Vec<usize>,
    /// Cluster of each test trial: windows that share spikes are resampled together.
    pub clusters: Vec<usize>,
    /// The same behavior in other sessions, `[trial, bin, K]`: the null that takes them for the session's own.
    pub of_others: Vec<Array3<f64>>,
}

/// A decoder with what it chose.
#[derive(Clone, Copy)]
enum Setting {
    Linear { history: usize, alpha: f64 },
    Cascade { history: usize, alpha: f64, degree: usize },
    LeastSquares { components: usize },
    Kalman { trust: f64 },
    Network { kind: NetworkKind, weight_decay: f64 },
}

/// One behavior from one feature by every decoder of behavior.
pub fn decode_behavior(
    session: &SessionId,
    behavior: &Behavior,
    feature: &Feature,
    judging: &Judging,
) -> Vec<DecodeRow> {
    let task = Task { x: feature.values.select(Axis(0), &behavior.trials), behavior, judging };
    let row = |decoder: &str, setting: Result<(Setting, String), MetricError>| {
        let decoded = setting.and_then(|(setting, choice)| task.judged(setting, choice));
        DecodeRow::new(session, [&behavior.name, &feature.name, decoder], decoded)
    };
    let wiener = task.choose_linear(&HISTORIES);
    let cascade = wiener.clone().and_then(|(setting, _)| task.choose_cascade(setting));
    let mut rows = vec![
        row("ridge", task.choose_linear(&HISTORIES[..1])),
        row("wiener", wiener),
        row("wiener_cascade", cascade),
        row("partial_least_squares", task.choose_among(&least_squares())),
        row("kalman", task.choose_kalman()),
    ];
    for kind in judging.networks.iter().flat_map(|config| &config.kinds) {
        rows.push(row(kind.name(), task.choose_network(*kind)));
    }
    rows
}

fn least_squares() -> Vec<(Setting, String)> {
    let setting = |components| (Setting::LeastSquares { components }, format!("{components} components"));
    COMPONENTS.into_iter().map(setting).collect()
}

struct Task<'a> {
    /// Features of the behavior's trials.
    x: Array3<f64>,
    behavior: &'a Behavior,
    judging: &'a Judging,
}

impl Task<'_> {
    /// Rows of trials with the bins before them; before the first bin of a window stands the first.
    fn design(&self, trials: &[usize], history: usize) -> Array2<f64> {
        let (_, n_bins, n_features) = self.x.dim();
        Array2::from_shape_fn((trials.len() * n_bins, (history + 1) * n_features), |(row, column)| {
            let (trial, bin) = (trials[row / n_bins], row % n_bins);
            self.x[[trial, bin.saturating_sub(column / n_features), column % n_features]]
        })
    }

    fn choose_linear(&self, histories: &[usize]) -> Result<(Setting, String), MetricError> {
        let fit = &self.behavior.fit;
        let n_bins = self.x.len_of(Axis(1));
        let folds: Vec<usize> = contiguous_folds(fit.len(), N_FOLDS)?
            .into_iter()
            .flat_map(|fold| std::iter::repeat_n(fold, n_bins))
            .collect();
        let y = rows(&self.behavior.values, fit);
        let alphas: Vec<f64> = (-1..=6).map(|power| 10f64.powi(power)).collect();
        let mut best: Option<(f64, usize, f64)> = None;
        for &history in histories {
            if history > 0 && (history + 1) * self.x.len_of(Axis(2)) > MOST_COLUMNS {
                continue;
            }
            let x = self.design(fit, history);
            let x = Standardizer::fit(&x.view())?.apply(&x.view())?;
            let (found, search) = RidgeRegression::fit_search_in(&x.view(), &y.view(), &alphas, &folds)?;
            let score = search.mean_r2.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            if best.is_none_or(|(known, ..)| score > known) {
                best = Some((score, history, found.alpha()));
            }
        }
        let (_, history, alpha) = best.ok_or(MetricError::Empty { what: "list of histories" })?;
        let choice = format!("penalty {alpha}, {history} bins of history");
        Ok((Setting::Linear { history, alpha }, choice))
    }

    fn choose_cascade(&self, linear: Setting) -> Result<(Setting, String), MetricError> {
        let Setting::Linear { history, alpha } = linear else {
            return Err(MetricError::Empty { what: "linear part of the cascade" });
        };
        let settings: Vec<(Setting, String)> = DEGREES
            .iter()
            .map(|&degree| {
                let text = format!("penalty {alpha}, {history} bins of history, degree {degree}");
                (Setting::Cascade { history, alpha, degree }, text)
            })
            .collect();
        self.choose_among(&settings)
    }

    fn choose_kalman(&self) -> Result<(Setting, String), MetricError> {
        let n_features = self.x.len_of(Axis(2));
        if n_features > MOST_OBSERVED {
            let (what, must) = ("number of features of a Kalman filter", "at most 128; decode from latents");
            return Err(MetricError::InvalidSetting { what, value: n_features as f64, must });
        }
        let settings: Vec<(Setting, String)> =
            TRUSTS.iter().map(|&trust| (Setting::Kalman { trust }, format!("trust {trust}"))).collect();
        self.choose_among(&settings)
    }

    fn choose_network(&self, kind: NetworkKind) -> Result<(Setting, String), MetricError> {
        let found = self.network(kind, None, &self.behavior.values, &self.behavior.fit)?;
        let weight_decay = found.weight_decay();
        Ok((Setting::Network { kind, weight_decay }, format!("weight decay {weight_decay}")))
    }

    /// A network that stops by the validation trials among `fit`, with the weight decay given or chosen by them.
    fn network(
        &self,
        kind: NetworkKind,
        weight_decay: Option<f64>,
        behavior: &Array3<f64>,
        fit: &[usize],
    ) -> Result<NetworkDecoder, MetricError> {
        let mut config = self.judging.networks.clone().unwrap_or_default();
        if let Some(weight_decay) = weight_decay {
            config.weight_decays = vec![weight_decay];
        }
        let (valid, train): (Vec<usize>, Vec<usize>) =
            fit.iter().copied().partition(|row| self.behavior.valid.binary_search(row).is_ok());
        let rows = NetworkRows { train: &train, valid: &valid };
        let targets = NetworkTargets::Behavior(behavior.view());
        NetworkDecoder::fit(kind, &self.x, targets, rows, &config, self.judging.seed)
    }

    /// The setting with the best R² over folds of training trials, the first of equals.
    fn choose_among(&self, settings: &[(Setting, String)]) -> Result<(Setting, String), MetricError> {
        let fit = &self.behavior.fit;
        let folds = contiguous_folds(fit.len(), N_FOLDS)?;
        let mut best: Option<(f64, &(Setting, String))> = None;
        for candidate in settings {
            let mut total = 0.0;
            for fold in 0..N_FOLDS {
                let side = |inside: bool| -> Vec<usize> {
                    let trials = fit.iter().zip(&folds).filter(|(_, f)| (**f == fold) == inside);
                    trials.map(|(trial, _)| *trial).collect()
                };
                match self.score(candidate.0, &self.behavior.values, &side(false), &side(true)) {
                    Ok(score) => total += score,
                    // The same folds say nothing of any candidate.
                    Err(MetricError::NoVariation { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            if best.is_none_or(|(score, _)| total > score) {
                best = Some((total, candidate));
            }
        }
        best.map(|(_, choice)| choice.clone()).ok_or(MetricError::Empty { what: "list of settings" })
    }

    fn predict(
        &self,
        setting: Setting,
        behavior: &Array3<f64>,
        fit: &[usize],
        test: &[usize],
    ) -> Result<Array2<f64>, MetricError> {
        let standardized = |history: usize| -> Result<[Array2<f64>; 2], MetricError> {
            let (x, x_test) = (self.design(fit, history), self.design(test, history));
            let scaler = Standardizer::fit(&x.view())?;
            Ok([scaler.apply(&x.view())?, scaler.apply(&x_test.view())?])
        };
        let y = rows(behavior, fit);
        match setting {
            Setting::Linear { history, alpha } => {
                let [x, x_test] = standardized(history)?;
                RidgeRegression::fit(&x.view(), &y.view(), alpha)?.predict(&x_test.view())
            }
            Setting::Cascade { history, alpha, degree } => {
                let [x, x_test] = standardized(history)?;
                WienerCascade::fit(&x.view(), &y.view(), alpha, degree)?.predict(&x_test.view())
            }
            Setting::LeastSquares { components } => {
                let [x, x_test] = standardized(0)?;
                PartialLeastSquares::fit(&x.view(), &y.view(), components)?.predict(&x_test.view())
            }
            Setting::Network { kind, weight_decay } => {
                let found = self.network(kind, Some(weight_decay), behavior, fit)?;
                let all = found.predict(&self.x.select(Axis(0), test))?;
                Ok(rows(&all, &(0..test.len()).collect::<Vec<_>>()))
            }
            Setting::Kalman { trust } => {
                let pairs: Vec<(ArrayView2<'_, f64>, ArrayView2<'_, f64>)> = fit
                    .iter()
                    .map(|&t| (self.x.index_axis(Axis(0), t), behavior.index_axis(Axis(0), t)))
                    .collect();
                let filter = Kalman::fit_trials(&pairs, trust)?;
                let n_bins = self.x.len_of(Axis(1));
                let mut out = Array2::zeros((test.len() * n_bins, behavior.len_of(Axis(2))));
                for (row, &trial) in test.iter().enumerate() {
                    let states = filter.predict(&self.x.index_axis(Axis(0), trial), KalmanStart::Prior)?;
                    out.slice_mut(s![row * n_bins..(row + 1) * n_bins, ..]).assign(&states);
                }
                Ok(out)
            }
        }
    }

    fn score(
        &self,
        setting: Setting,
        behavior: &Array3<f64>,
        fit: &[usize],
        test: &[usize],
    ) -> Result<f64, MetricError> {
        let predicted = self.predict(setting, behavior, fit, test)?;
        explained(&rows(behavior, test), &predicted)
    }

    fn judged(&self, setting: Setting, choice: String) -> Result<Decoded, MetricError> {
        let Behavior { values, trials, fit, test, .. } = self.behavior;
        let predicted = self.predict(setting, values, fit, test)?;
        let one_group = vec![0; trials.len()];
        let decoded =
            self.behavior.judge(&predicted, choice, self.judging, |value, (seed, n_shuffles)| {
                NullDistribution::new(
                    NullTest::CircularShift,
                    &one_group,
                    value,
                    (seed, n_shuffles),
                    |order| self.score(setting, &values.select(Axis(0), order), fit, test),
                )
            })?;
        Ok(Decoded { other_sessions: self.other_sessions(setting, decoded.score.value()), ..decoded })
    }

    /// The null in the behavior of other sessions, if one has enough trials, and variation in the rows that are fitted to and in
    /// those that are scored. What is wrong with another session leaves it out and takes nothing from this one's score.
    fn other_sessions(&self, setting: Setting, value: f64) -> Option<NullDistribution> {
        let Behavior { values, fit, test, of_others, .. } = self.behavior;
        let n_rows = values.len_of(Axis(0));
        let n_of_others: Vec<usize> = of_others.iter().map(|other| other.len_of(Axis(0))).collect();
        NullDistribution::of_other_sessions(value, n_rows, &n_of_others, |other| {
            let behavior = of_others[other].slice(s![..n_rows, .., ..]).to_owned();
            if is_constant(&rows(&behavior, fit)) {
                return None;
            }
            self.score(setting, &behavior, fit, test).ok().filter(|score| score.is_finite())
        })
        .ok()
    }
}

/// What a model that is not fitted here says of a behavior: `[trial, bin]` for all usable trials of the session.
#[derive(Clone, Copy, Debug)]
pub struct Predicted<'a> {
    /// Name of the model.
    pub name: &'a str,
    /// What the table calls its way of decoding: its kind.
    pub decoder: &'a str,
    /// `[trial, bin]`.
    pub values: ArrayView2<'a, f64>,
}

/// Scores a prediction as those of the decoders are. Its null is the same prediction against the behavior of other test
/// trials, since nothing is refitted.
pub fn judge_prediction(
    session: &SessionId,
    behavior: &Behavior,
    predicted: &Predicted<'_>,
    judging: &Judging,
) -> DecodeRow {
    let Behavior { values, trials, test, .. } = behavior;
    let of_test: Vec<usize> = test.iter().map(|&row| trials[row]).collect();
    let n_bins = values.len_of(Axis(1));
    let found = Array2::from_shape_fn((test.len() * n_bins, 1), |(row, _)| {
        predicted.values[[of_test[row / n_bins], row % n_bins]]
    });
    let one_group = vec![0; test.len()];
    let judged = behavior.judge(&found, "weights as trained".to_owned(), judging, |value, draws| {
        NullDistribution::new(NullTest::CircularShift, &one_group, value, draws, |order| {
            let shifted: Vec<usize> = order.iter().map(|&row| test[row]).collect();
            explained(&rows(values, &shifted), &found)
        })
    });
    DecodeRow::new(session, [&behavior.name, predicted.name, predicted.decoder], judged)
}

impl Behavior {
    /// The score of `predicted`, the bins of the test trials as rows; `null` gets its value, a seed and a number of draws.
    fn judge(
        &self,
        predicted: &Array2<f64>,
        choice: String,
        judging: &Judging,
        null: impl FnOnce(f64, (u64, usize)) -> Result<NullDistribution, MetricError>,
    ) -> Result<Decoded, MetricError> {
        let Judging { seed, n_shuffles, n_resamples, .. } = *judging;
        let Behavior { values, fit, test, clusters, .. } = self;
        let truth = rows(values, test);
        let value = explained(&truth, predicted)?;
        let n_bins = values.len_of(Axis(1));
        let clusters: Vec<usize> = (0..truth.nrows()).map(|row| clusters[row / n_bins]).collect();
        let interval = Bootstrap { seed, n_resamples, level: LEVEL }.clustered(&clusters, |drawn| {
            explained(&truth.select(Axis(0), drawn), &predicted.select(Axis(0), drawn)).ok()
        });
        let null = null(value, (seed, n_shuffles))?;
        // The mean course over training trials knows the task but no trial.
        let course = values.select(Axis(0), fit).sum_axis(Axis(0)) / fit.len() as f64;
        let naive = Array2::from_shape_fn(truth.dim(), |(row, k)| course[[row % n_bins, k]]);
        let naive = r2::uniform(&truth.view(), &naive.view())?;
        let baseline = Baseline { name: "mean course of training trials".to_owned(), value: naive };
        let counted =
            Counted { trials: test.len(), units: 0, entries: truth.len(), spikes: 0.0, sessions: 1 };
        let metric = (DecodingMetric::R2, value);
        let score = TestedScore::new(metric, counted, interval, null, baseline, Split::Test)?;
        Ok(Decoded { score, shifted: None, other_sessions: None, choice })
    }
}

/// R² of behavior that varies. By convention a constant that is met has an R² of 1 and one that is missed of 0, neither of which
/// says that anything was decoded.
fn explained(truth: &Array2<f64>, predicted: &Array2<f64>) -> Result<f64, MetricError> {
    if is_constant(truth) {
        return Err(MetricError::NoVariation { what: "behavior in the rows that are scored" });
    }
    r2::uniform(&truth.view(), &predicted.view())
}

/// Whether a column has one value only.
fn is_constant(values: &Array2<f64>) -> bool {
    let mut columns = values.columns().into_iter();
    columns.any(|column| column.iter().all(|value| value - column[0] == 0.0))
}

/// Bins of trials as rows.
pub fn rows(values: &Array3<f64>, trials: &[usize]) -> Array2<f64> {
    let (_, n_bins, n_columns) = values.dim();
    Array2::from_shape_fn((trials.len() * n_bins, n_columns), |(row, k)| {
        values[[trials[row / n_bins], row % n_bins, k]]
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use neurobrick_random::{Domain, Stream};

    use super::*;

    /// Forty windows of noise that are seen five times each, as by windows that overlap: resampled one by one they claim an
    /// interval too narrow by the root of five.
    #[test]
    fn windows_of_a_cluster_are_resampled_together() {
        let mut stream = Stream::new(3, Domain::Synthetic, [0, 0, 0]);
        let (n_windows, n_bins) = (300, 4);
        let x = Array3::from_shape_simple_fn((60, n_bins, 3), || stream.normal());
        let noise = Array2::from_shape_simple_fn((60, n_bins), || stream.normal());
        let seen: Vec<usize> = (0..n_windows).map(|window| window / 5).collect();
        let feature = Feature::latents("seen", x.select(Axis(0), &seen));
        let values = (&x.index_axis(Axis(2), 0) + &noise).select(Axis(0), &seen).insert_axis(Axis(2));
        let judging = Judging { seed: 1, n_blocks: 5, n_shuffles: 5, n_resamples: 400, networks: None };
        let session = SessionId::new("made").unwrap();
        let width = |clusters: Vec<usize>| {
            let behavior = Behavior {
                name: "noisy".to_owned(),
                values: values.clone(),
                trials: (0..n_windows).collect(),
                fit: (0..100).collect(),
                valid: Vec::new(),
                test: (100..n_windows).collect(),
                clusters,
                of_others: Vec::new(),
            };
            let rows = decode_behavior(&session, &behavior, &feature, &judging);
            let interval = *rows[0].score.as_ref().unwrap().interval();
            interval.hi - interval.lo
        };
        let (together, alone) = (width((0..200).map(|row| row / 5).collect()), width((0..200).collect()));
        assert!((1.7..2.9).contains(&(together / alone)), "{together} {alone}");
    }
}
