//! `BrainWideBench`'s suites: what is predicted from what, by which baselines, and the files of a submission.

mod activity;
mod baseline;
mod behavior;
mod regions;
mod submission;
mod table;
mod windows;

pub use activity::{Hidden, Predicted, activity, activity_score, floored_logs};
pub(crate) use baseline::Baseline;
pub use baseline::{EVERY_SYSTEM, is_reserved};
pub use behavior::{behavior, class_of_trials, classes, events};
pub use regions::{RegionDecoder, RegionUnits, unit_features};
pub use submission::{BwbSubmission, BwbTask, Prediction, in_half_precision};
pub use table::{BwbRow, BwbTable};
pub use windows::Windows;

/// What all baselines say.
pub type Baselines<T> = Vec<Told<T>>;

/// What a baseline says, and what it chose on validation trials.
#[derive(Clone, Debug)]
pub struct Told<T> {
    /// Name of the baseline.
    pub system: String,
    /// What it chose, in words.
    pub choice: String,
    /// What it says.
    pub prediction: T,
}

impl<T> Told<T> {
    fn new(system: Baseline, choice: &str, prediction: T) -> Self {
        Self { system: system.name().to_owned(), choice: choice.to_owned(), prediction }
    }
}
