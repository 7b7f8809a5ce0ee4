//! Configuration of `evaluate --protocol bwb`.

use std::collections::BTreeSet;

use neurobrick_data::{Alignment, BlockConfig, SplitOrder};
use neurobrick_evaluate::protocols::bwb::is_reserved;
use neurobrick_schema::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BehaviorTarget, DataConfig, ModelSource};
use crate::PipelineError;

/// Events that are counted in bins: starts of the intervals of a table, such as licks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventTarget {
    /// Name in tables and files.
    pub name: String,
    /// The table of intervals.
    pub table: String,
}

/// A column of the trial table whose values are classes, as text; trials without a value are left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassTarget {
    /// Name in tables and files.
    pub name: String,
    /// The column.
    pub column: String,
}

/// The suites of `BrainWideBench` on sessions of one's own: TS1 with the behaviors, events and labels named here, TS2 always,
/// TS3 where `region_fit_sessions` are named.
///
/// `data.window` is the interval of a trial that may be used; windows of `window_s` are cut from it. `data.split` deals trials
/// by blocks of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BwbConfig {
    /// Seed of the models that are scored; names the files of the submission.
    pub seed: u64,
    /// Sessions that are scored.
    pub sessions: Vec<SessionId>,
    /// Store, interval of a trial, split by blocks of time, filter of units.
    pub data: DataConfig,
    /// Length of a window in seconds; the benchmark's is 1, in bins of 20 ms.
    #[serde(default = "one_second")]
    pub window_s: f64,
    /// Bins between the starts of test windows; the benchmark's is 1.
    #[serde(default = "one")]
    pub stride_bins: usize,
    /// Models that are scored beside the baselines; they need windows as long as the interval of a trial.
    #[serde(default)]
    pub models: Vec<ModelSource>,
    /// Behavior by bin, scored by R² after z-scoring with the mean and deviation of training bins.
    #[serde(default)]
    pub behaviors: Vec<BehaviorTarget>,
    /// Events by bin, scored by Poisson D².
    #[serde(default)]
    pub events: Vec<EventTarget>,
    /// Classes of trials, scored by balanced accuracy.
    #[serde(default)]
    pub labels: Vec<ClassTarget>,
    /// Sessions whose units teach the regions of others; none: no TS3.
    #[serde(default)]
    pub region_fit_sessions: Vec<SessionId>,
}

fn one_second() -> f64 {
    1.0
}
fn one() -> usize {
    1
}

impl BwbConfig {
    /// Checks every value.
    ///
    /// # Errors
    /// If a number is out of range, the split is not one by blocks, intervals overlap, windows are no part of the interval,
    /// a name cannot be that of a file, is given twice or is a baseline's, or a session is named twice or both teaches
    /// regions and is scored.
    pub fn validate(&self) -> Result<(), PipelineError> {
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        if self.sessions.is_empty() {
            return refuse("sessions", "name at least one session".to_owned());
        }
        if !matches!(self.data.split.order, SplitOrder::Blocks(_)) {
            let BlockConfig { block_s, gap_s, .. } = BlockConfig::brain_wide_bench();
            let message =
                format!("must be blocks of time; the benchmark's are {block_s} s long, {gap_s} s apart");
            return refuse("data.split.order", message);
        }
        self.refuse_overlap()?;
        let (n_bins, n_all) = (self.window_bins()?, self.data.window.n_bins()?);
        if n_bins < 2 || n_bins > n_all {
            return refuse(
                "window_s",
                format!("is {n_bins} bins; must be from 2 to the interval's {n_all} bins"),
            );
        }
        if !self.models.is_empty() && n_bins != n_all {
            let message =
                format!("models read intervals of {n_all} bins, not windows of {n_bins}; make both equal");
            return refuse("models", message);
        }
        if self.stride_bins == 0 {
            return refuse("stride_bins", "must be positive".to_owned());
        }
        self.validate_names()?;
        for behavior in &self.behaviors {
            behavior.validate()?;
        }
        for (field, sessions) in
            [("sessions", &self.sessions), ("region_fit_sessions", &self.region_fit_sessions)]
        {
            let mut known = BTreeSet::new();
            if let Some(session) = sessions.iter().find(|session| !known.insert(*session)) {
                return refuse(field, format!("{session} is named twice; its units would count twice"));
            }
        }
        match self.sessions.iter().find(|session| self.region_fit_sessions.contains(session)) {
            Some(both) => {
                refuse("region_fit_sessions", format!("{both} is scored as well; it cannot do both"))
            }
            None => Ok(()),
        }
    }

    /// Bins of intervals that overlap would be scored twice, and could be learned from and scored.
    fn refuse_overlap(&self) -> Result<(), PipelineError> {
        let window = &self.data.window;
        let length_s = window.end_s - window.start_s;
        match window.align {
            // A microsecond absorbs the rounding of times in seconds.
            Alignment::Every(every_s) if every_s < length_s - 1e-6 => Err(PipelineError::BadValue {
                field: "data.window.align.every".to_owned(),
                message: format!(
                    "is {every_s} s, so that intervals of {length_s} s overlap; let them follow each other, `stride_bins` \
                     slides windows within them"
                ),
            }),
            _ => Ok(()),
        }
    }

    fn validate_names(&self) -> Result<(), PipelineError> {
        let refuse =
            |field: &str, message: String| Err(PipelineError::BadValue { field: field.to_owned(), message });
        // Targets name folders of tasks, models those of systems: the two may be alike.
        let (mut targets, mut systems) = (BTreeSet::new(), BTreeSet::new());
        let behaviors = self.behaviors.iter().map(|target| ("behaviors.name", &target.name));
        let events = self.events.iter().map(|target| ("events.name", &target.name));
        let labels = self.labels.iter().map(|target| ("labels.name", &target.name));
        let models = self.models.iter().map(|model| ("models.name", &model.name));
        for (field, name) in behaviors.chain(events).chain(labels).chain(models) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(is_plain) {
                return refuse(field, format!("`{name}` names files; use letters, digits, `_` and `-`"));
            }
            let is_model = field == "models.name";
            if is_model && is_reserved(name) {
                return refuse(
                    field,
                    format!("`{name}` is the name of a baseline, or of all systems together"),
                );
            }
            if !(if is_model { &mut systems } else { &mut targets }).insert(name) {
                return refuse(field, format!("`{name}` is taken"));
            }
        }
        Ok(())
    }

    /// Bins of a window.
    ///
    /// # Errors
    /// If the window is no whole number of bins.
    pub fn window_bins(&self) -> Result<usize, PipelineError> {
        let mut window = self.data.window.clone();
        window.end_s = window.start_s + self.window_s;
        Ok(window.n_bins()?)
    }
}
