//! `BrainWideBench`'s suites: what is predicted from what, by which baselines, and the files of a submission.

mod activity;
mod baseline;
mod behavior;
mod regions;
mod submission;
mod table;
mod windows;

pub(crate) use activity::{Hidden, Predicted, activity, activity_score, floored_logs};
pub(crate) use baseline::{Baseline, EVERY_SYSTEM, is_reserved};
pub(crate) use behavior::{behavior, class_of_trials, classes, events};
pub(crate) use regions::{RegionDecoder, unit_features};
pub(crate) use submission::in_half_precision;
pub use submission::{BwbSubmission, BwbTask, Prediction};
pub use table::{BwbRow, BwbTable};
pub(crate) use windows::Windows;

/// What all baselines say.
pub(crate) type Baselines<T> = Vec<Told<T>>;

/// What a baseline says, and what it chose on validation trials.
pub(crate) struct Told<T> {
    pub(crate) system: String,
    pub(crate) choice: String,
    pub(crate) prediction: T,
}

impl<T> Told<T> {
    fn new(system: Baseline, choice: &str, prediction: T) -> Self {
        Self { system: system.name().to_owned(), choice: choice.to_owned(), prediction }
    }
}
