//! What can go wrong between a store and a training example.

use neurobrick_schema::{SchemaError, SessionId};

use crate::Part;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The store could not be read.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The window does not hold a whole number of bins.
    #[error(
        "a window of {length_s} s does not divide into bins of {bin_size_s} s; choose a multiple of the bin size"
    )]
    UnevenWindow {
        /// Length of the window, in seconds.
        length_s: f64,
        /// Size of a bin, in seconds.
        bin_size_s: f64,
    },
    /// The recording exists only as counts, on another grid than the one asked for.
    #[error(
        "session {session}: counts come in bins of {recorded_s} s over {recorded_bins} bins from trial start, which cannot give {asked}"
    )]
    IncompatibleGrid {
        /// The session.
        session: SessionId,
        /// Recorded bin size, in seconds.
        recorded_s: f64,
        /// Recorded bins per trial.
        recorded_bins: usize,
        /// What was asked for.
        asked: String,
    },
    /// The trial column to align to is missing or holds no numbers.
    #[error("session {session}: no numeric trial column `{column}` to align to; this session has: {known}")]
    UnknownAlignment {
        /// The session.
        session: SessionId,
        /// The column asked for.
        column: String,
        /// The columns there are.
        known: String,
    },
    /// Nothing is left to learn from.
    #[error(
        "session {session}: {n_trials} usable trials cannot be split into train, valid and test parts of {fractions}; at least one trial each is needed{}",
        without_trials(*n_trials)
    )]
    TooFewTrials {
        /// The session.
        session: SessionId,
        /// Number of usable trials.
        n_trials: usize,
        /// The fractions asked for.
        fractions: String,
    },
    /// A fraction lies outside `(0, 1)` or they sum to more than one.
    #[error(
        "split fractions must be positive and sum to 1; received train {train}, valid {valid}, test {test}"
    )]
    BadFractions {
        /// Fraction of training trials.
        train: f64,
        /// Fraction of validation trials.
        valid: f64,
        /// Fraction of test trials.
        test: f64,
    },
    /// One trial cannot both train and validate.
    #[error("max_calibration must be at least 2; received {received}")]
    TooFewCalibration {
        /// Trials allowed.
        received: usize,
    },
    /// More spikes of one unit in one bin than a count can hold.
    #[error("session {session}: unit {unit} has more than {max} spikes in one bin of trial {trial}; the spike times look damaged", max = u16::MAX)]
    CountOverflow {
        /// The session.
        session: SessionId,
        /// Index of the unit.
        unit: usize,
        /// Index of the trial.
        trial: usize,
    },
    /// Counts that do not fit into memory.
    #[error(
        "session {session}: {n_windows} windows of {n_bins} bins and {n_units} units take {:.1} GB of memory, more than there is; let windows slide further (`align = {{ every = .. }}`), make them shorter or their bins wider, or keep fewer units (`units`)",
        2e-9 * *n_windows as f64 * *n_bins as f64 * *n_units as f64
    )]
    TooLarge {
        /// The session.
        session: SessionId,
        /// Number of windows, to one or two.
        n_windows: usize,
        /// Bins of each.
        n_bins: usize,
        /// Number of units.
        n_units: usize,
    },
    /// A grid without bins, or one that whole nanoseconds cannot hold.
    #[error(
        "a grid of {n_bins} bins of {bin_size_s} s from {start_s} s: at least one bin of at least a nanosecond is needed"
    )]
    BadGrid {
        /// Start in seconds.
        start_s: f64,
        /// Size of a bin in seconds.
        bin_size_s: f64,
        /// Number of bins.
        n_bins: usize,
    },
    /// Samples at times of their own.
    #[error(
        "signal {signal} has samples at times of their own, and windows need a fixed rate; put it on bins (`BehaviorConfig`) instead"
    )]
    IrregularSignal {
        /// The signal.
        signal: String,
    },
    /// A window that is not all within a signal.
    #[error(
        "signal {signal} has samples from {signal_start_s} s to {signal_end_s} s, not all of the window from {start_s} s to {end_s} s"
    )]
    WindowOutsideSignal {
        /// The signal.
        signal: String,
        /// Start of the window, in seconds.
        start_s: f64,
        /// End of the window, in seconds.
        end_s: f64,
        /// First sample, in seconds.
        signal_start_s: f64,
        /// End of the last sample, in seconds.
        signal_end_s: f64,
    },
    /// The session has no such signal, or the signal no such column.
    #[error("no signal {signal}; there are: {known}")]
    UnknownSignal {
        /// What was asked for.
        signal: String,
        /// What there is.
        known: String,
    },
    /// Samples cannot be further away than a positive time.
    #[error("max_gap_s must be a positive number of seconds; received {max_gap_s}")]
    BadGap {
        /// What was given.
        max_gap_s: f64,
    },
    /// Windows that share spikes cannot be dealt by chance or by count: training would see the test.
    #[error(
        "session {session}: windows overlap, so a split by trials would leak; set `order = {{ blocks = .. }}`, or let windows slide by their length"
    )]
    OverlapLeaks {
        /// The session.
        session: SessionId,
    },
    /// Blocks of time that cannot be dealt.
    #[error(
        "blocks of {block_s} s with gaps of {gap_s} s: both must be finite, the first positive, and the pattern must name train, valid and test"
    )]
    BadBlocks {
        /// Length of a block in seconds.
        block_s: f64,
        /// Time between parts in seconds.
        gap_s: f64,
    },
    /// Blocks have fractions of their own.
    #[error(
        "leave train, valid and test out where blocks are dealt: the pattern says how much each part gets"
    )]
    BlocksAndFractions,
    /// A column has parts of its own.
    #[error(
        "leave train, valid and test of `split` out where a column deals trials; how much a part gets is a matter of its values"
    )]
    ColumnAndFractions,
    /// Values and cuts that make no three parts.
    #[error("the split by column `{column}`: {detail}")]
    BadColumnSplit {
        /// The column.
        column: String,
        /// What is wrong.
        detail: String,
    },
    /// Trials have no such column, or it holds neither text, whole numbers nor truth values.
    #[error(
        "session {session}: trials have no column `{column}` of text, whole numbers or truth values to split by; they have: {known}"
    )]
    UnknownSplitColumn {
        /// The session.
        session: SessionId,
        /// The column asked for.
        column: String,
        /// The columns there are.
        known: String,
    },
    /// A trial that belongs to no part.
    #[error(
        "session {session}: `{column}` of trial {trial} is {value}, which neither train, valid, test nor leave_out names"
    )]
    UnknownSplitValue {
        /// The session.
        session: SessionId,
        /// The column.
        column: String,
        /// Row of the trial table.
        trial: usize,
        /// The value.
        value: String,
    },
    /// A part without a trial.
    #[error(
        "session {session}: no usable trial is left for {part} by column `{column}`; name other values, or cut another fraction", part = part.name()
    )]
    EmptyPart {
        /// The session.
        session: SessionId,
        /// The part.
        part: Part,
        /// The column.
        column: String,
    },
    /// The source says which part a trial is in, but not when it was: dealt otherwise, trials that overlap may part.
    #[error(
        "session {session} does not say when trials were, so a split of ours could put trials that overlap on both sides; its column `split` has the values {}; use it: {}", values.join(", "), suggestion(values)
    )]
    SplitOfSource {
        /// The session.
        session: SessionId,
        /// Values of its column, in order of appearance.
        values: Vec<String>,
    },
    /// Windows cannot slide by nothing.
    #[error(
        "`align = {{ every = .. }}` must be a whole number of bins of {bin_size_s} s, at least one; received {every_s}"
    )]
    BadStride {
        /// What was given.
        every_s: f64,
        /// Size of a bin in seconds.
        bin_size_s: f64,
    },
    /// Fewer sessions or subjects than parts.
    #[error("{n_groups} groups cannot be dealt to all parts; at least {needed} are needed")]
    TooFewGroups {
        /// Number of sessions or subjects.
        n_groups: usize,
        /// How many are needed.
        needed: usize,
    },
    /// A hold-out of nothing, or of all.
    #[error("cannot hold out {fraction} of {n_units} units; at least one must be held out and one stay")]
    BadHoldout {
        /// Fraction asked for.
        fraction: f64,
        /// Number of units.
        n_units: usize,
    },
    /// No unit passes the filter.
    #[error("session {session}: none of {n_units} units passes the filter; {reasons}")]
    NoUnitLeft {
        /// The session.
        session: SessionId,
        /// Number of units.
        n_units: usize,
        /// How many each rule takes out.
        reasons: String,
    },
    /// A filter asks for a column that the units do not have.
    #[error("session {session}: units have no column `{column}` {kind}; they have: {known}")]
    UnknownUnitColumn {
        /// The session.
        session: SessionId,
        /// The column.
        column: String,
        /// Of what kind it should be.
        kind: &'static str,
        /// The columns they have.
        known: String,
    },
    /// A filter that only spike times can answer.
    #[error("session {session} has counts only, so `{rule}` cannot be computed; leave it out")]
    NeedsSpikeTimes {
        /// The session.
        session: SessionId,
        /// The rule.
        rule: &'static str,
    },
    /// A sampler without anything to draw.
    #[error("a plan of mixed batches cannot be made: {detail}")]
    BadSampler {
        /// What is missing.
        detail: String,
    },
}

/// What to do where a recording has no trials.
fn without_trials(n_trials: usize) -> &'static str {
    if n_trials > 0 {
        return "";
    }
    "; in a recording without trials, let windows slide over time with `align = { every = 1.0 }`, or see by `inspect` \
     whether one of its tables of intervals can be its trials"
}

/// A split by the column `split`: its first value trains, its last one tests, and what is between or cut off validates.
fn suggestion(values: &[String]) -> String {
    let [train, valid @ .., test] = values else { return String::new() };
    let valid = if valid.is_empty() {
        "cut = [{ part = \"valid\", from = \"train\", fraction = 0.125 }]".to_owned()
    } else {
        format!("valid = {valid:?}")
    };
    format!(
        "`order = {{ column = {{ name = \"split\", train = [{train:?}], test = [{test:?}], {valid} }} }}`"
    )
}
