//! Scores, nulls, intervals and linear baselines for models of population activity, in f64 on `ndarray` arrays.
//!
//! - Likelihood: [`poisson_nll`], [`bits_per_spike`] by the rules of the Neural Latents Benchmark, and
//!   [`BitsTable`], which holds the sufficient statistics of every convention, interval and paired difference.
//! - [`Score`]: a value that cannot exist without its size, interval, null, baseline and split.
//! - [`baselines`]: unit mean, PSTH, temporal factors, Wiener filter, ridge, PCA with a Poisson regression, forward
//!   ridge, last mean.
//! - [`TemporalFactors`], [`StaticFactors`], [`Gpfa`]: factor models that infer latents from any subset of units.
//! - [`LogisticProbe`] and [`RidgeRegression`]: decoders with cross-validated penalties; [`decoders`]: Kalman, Wiener
//!   cascade, reduced rank, partial least squares, discriminant analysis.
//! - [`nlb`]: the metrics of the Neural Latents Benchmark and its `evaluate`; [`bwb`]: how `BrainWideBench` scores activity.
//! - [`GroupSummary`]: scores by group with the worst shown; [`Retrieval`]: top-k and two-way identification.
//! - [`stack`]: closed forms combined as other sessions teach, for sessions with few trials.
//! - [`scaling`]: power laws with a floor, their intervals and backtests.
//! - [`TwoAlternative`]: the true of two alternatives preferred, with [`Calibration`], comparisons and intervals;
//!   [`Surrogates`]: spike sequences altered in one respect; [`clustered_accuracy`].
//! - [`audit`]: leak and shortcut tests on a dataset, its split and its score; [`NullDistribution`] and [`TestedScore`] for
//!   decoders.
//! - [`SharedComponents`]: components that several sessions share, and maps to and from the units of each.
//! - [`similarity`]: kernel alignment, Procrustes, dissimilarity matrices, reliability and its ceilings.
//! - [`smooth_over_time`], [`r2`], [`roc_auc`], [`macro_f1`], [`poisson_d2`], [`pearson`], [`victor_purpura`], [`van_rossum`].
//!
//! Axes are `[B, T, N]` (trials, bins, units); rates and counts are in spikes/bin.
//!
//! ```
//! use ndarray::Array3;
//! use neurobrick_metrics::{BitsTable, Bootstrap, Convention, NullModel};
//!
//! let train = Array3::from_shape_fn((20, 5, 3), |(b, t, n)| ((b + t * n) % 3) as f64);
//! let test = Array3::from_shape_fn((10, 5, 3), |(b, t, n)| ((b + t * n) % 3) as f64);
//! let null = NullModel::TrainMean.rates(&test.view(), &train.view())?;
//! let rates = test.mapv(|n| 0.5 + 0.5 * n); // what a model predicted
//!
//! let table = BitsTable::new(&rates.view(), &test.view(), &null)?;
//! let interval = table.interval(Convention::Pooled, &Bootstrap::with_seed(7));
//! assert!(table.value(Convention::Pooled) > 0.0 && interval.lo > 0.0);
//! # Ok::<(), neurobrick_metrics::MetricError>(())
//! ```
//!
//! The crate has no features.

mod accuracy;
pub mod audit;
pub mod baselines;
mod bits;
mod bootstrap;
pub mod bwb;
mod comparisons;
mod correlation;
pub mod decoders;
mod deviance;
mod error;
mod factor_analysis;
mod folds;
mod groups;
mod likelihood;
mod linalg;
pub mod nlb;
mod null;
mod poisson_regression;
mod probe;
pub mod r2;
mod ranking;
mod retrieval;
mod ridge_regression;
pub mod scaling;
mod score;
mod session_alignment;
mod sessions;
pub mod similarity;
mod smoothing;
mod spike_distance;
pub mod stack;
mod student;
mod surrogates;
mod tested_score;
mod two_alternative;

pub use accuracy::{Accuracy, balanced_interval};
pub use bits::{BitsTable, Convention, Difference, NullModel};
pub use bootstrap::Bootstrap;
pub use comparisons::{holm, no_difference};
pub use correlation::pearson;
pub use deviance::{poisson_d2, pseudo_r2_mcfadden};
pub use error::MetricError;
pub use factor_analysis::{
    Gpfa, GpfaConfig, GpfaPosterior, StaticFactors, TemporalFactors, TemporalFactorsConfig,
};
pub use folds::{contiguous_folds, stratified_folds};
pub use groups::{GroupRow, GroupSummary};
pub use likelihood::{RATE_FLOOR, bits_per_spike, bits_per_spike_per_unit, evaluated_mean, poisson_nll};
pub use null::{NullDistribution, NullTest};
pub use poisson_regression::PoissonRegression;
pub use probe::{LogisticProbe, ProbeGrid};
pub use ranking::{balanced_accuracy, macro_f1, roc_auc};
pub use retrieval::{Retrieval, Share};
pub use ridge_regression::{RidgeRegression, RidgeSearch, RidgeSolver};
pub use score::{Baseline, ConfidenceInterval, Counted, IntervalMethod, Score, Split};
pub use session_alignment::{SessionAlignment, SharedComponents};
pub use sessions::{Combine, Resampling, SessionBits};
pub use smoothing::{Edge, smooth_over_time};
pub use spike_distance::{van_rossum, victor_purpura};
pub use surrogates::{Alteration, Surrogates, log_likelihood_ratio};
pub use tested_score::{DecodingMetric, TestedScore};
pub use two_alternative::{
    Calibration, CalibrationBin, ClusteredComparison, PairedAccuracy, TwoAlternative, clustered_accuracy,
};
