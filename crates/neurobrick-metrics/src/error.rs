//! The errors of this crate: what was wrong, where, and with which value.

/// Why a score, a baseline or a probe could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// Two arrays that belong together differ in shape; fix the slice that produced them.
    #[error("{what}: expected shape {expected:?}, got {got:?}")]
    ShapeMismatch {
        /// Which array.
        what: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// A model predicted NaN where a count was observed.
    #[error(
        "rate is NaN at {index:?} although the count there was observed; mask the count or fix the model"
    )]
    NanRate {
        /// Position of the entry.
        index: Vec<usize>,
    },
    /// A rate below zero; exponentiate log-rates before scoring.
    #[error("rate {value} at {index:?} is negative; pass rates, not log-rates")]
    NegativeRate {
        /// The rate.
        value: f64,
        /// Position of the entry.
        index: Vec<usize>,
    },
    /// A count that no spike train can have.
    #[error("{what}: count {value} at {index:?} is not a finite number of at least zero")]
    InvalidCount {
        /// Which array.
        what: &'static str,
        /// The count.
        value: f64,
        /// Position of the entry.
        index: Vec<usize>,
    },
    /// A value that must be finite is not.
    #[error("{what}: {value} at {index:?} is not finite")]
    NotFinite {
        /// Which array.
        what: &'static str,
        /// The value.
        value: f64,
        /// Position of the entry.
        index: Vec<usize>,
    },
    /// Nothing to compute from.
    #[error("{what} is empty")]
    Empty {
        /// Which collection.
        what: &'static str,
    },
    /// The slice on which hyper-parameters are chosen holds no spike of the targets.
    #[error(
        "no spike of the {targets} target units in the {trials} validation trials; nothing can be chosen on them"
    )]
    NoSpikes {
        /// Number of target units.
        targets: usize,
        /// Number of validation trials.
        trials: usize,
    },
    /// An index beyond its axis.
    #[error("{what} {index} is out of range for {limit}")]
    OutOfRange {
        /// What the index addresses.
        what: &'static str,
        /// The index.
        index: usize,
        /// Length of the axis.
        limit: usize,
    },
    /// A target that its own features contain.
    #[error(
        "unit {unit} is both visible and a target; set leave_one_out or remove it from the visible units"
    )]
    Leak {
        /// The unit.
        unit: usize,
    },
    /// An index that occurs twice in a list of distinct ones.
    #[error("{what} {index} is listed twice")]
    Duplicate {
        /// What the index addresses.
        what: &'static str,
        /// The index.
        index: usize,
    },
    /// A list that does not vary has no correlation and no deviance to explain.
    #[error("{what} does not vary")]
    NoVariation {
        /// Which list.
        what: &'static str,
    },
    /// Values that must ascend do not; sort them.
    #[error("{what} is not in ascending order at position {index}")]
    NotInOrder {
        /// Which list.
        what: &'static str,
        /// Position of the first value below its predecessor.
        index: usize,
    },
    /// A setting outside its meaning.
    #[error("{what} is {value}, but must be {must}")]
    InvalidSetting {
        /// The setting.
        what: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        must: &'static str,
    },
    /// Two tables that were not made from the same counts and null, so they cannot be compared trial by trial.
    #[error("the two tables are not paired: their {what} differ")]
    NotPaired {
        /// What differs.
        what: &'static str,
    },
    /// A score that would mislead; see the field.
    #[error("a score needs a valid {field}: {why}")]
    InvalidScore {
        /// The part of the score.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Labels of one class only.
    #[error("all {trials} labels are {class}; a classifier needs both classes")]
    SingleClass {
        /// Number of labels.
        trials: usize,
        /// The only class.
        class: bool,
    },
    /// Labels of one of several classes only.
    #[error(
        "all {trials} labels are of class {class} (from 0) of {n_classes}; a score needs two classes or more"
    )]
    SingleClassOf {
        /// Number of labels.
        trials: usize,
        /// The only class, from 0.
        class: usize,
        /// Number of classes.
        n_classes: usize,
    },
    /// Fewer trials of a class than folds.
    #[error("class {class} has {trials} trials, too few for {folds} folds")]
    TooFewForFolds {
        /// The class.
        class: bool,
        /// Its number of trials.
        trials: usize,
        /// The number of folds asked for.
        folds: usize,
    },
    /// The penalized system has no Cholesky factor; raise the penalty.
    #[error("{what}: the system of size {size} is not positive definite; raise the penalty")]
    NotPositiveDefinite {
        /// Which fit.
        what: &'static str,
        /// Size of the system.
        size: usize,
    },
    /// The eigendecomposition did not converge; look for extreme values in the input.
    #[error("eigendecomposition of size {size} did not converge")]
    Eigen {
        /// Size of the matrix.
        size: usize,
    },
    /// Newton's method ran out of steps; raise the penalty or rescale the features.
    #[error(
        "{what} did not converge in {steps} Newton steps (last decrement {decrement:e}); raise the penalty"
    )]
    NotConverged {
        /// Which fit.
        what: &'static str,
        /// Steps taken.
        steps: usize,
        /// Newton decrement at the last step.
        decrement: f64,
    },
}
