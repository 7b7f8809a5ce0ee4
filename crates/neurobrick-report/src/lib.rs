//! A finished run becomes one self-contained page.
//!
//! Fill a [`RunReport`] and hand it to [`write()`]: the result is a single `report.html` without scripts or external
//! resources, in light and dark, for screen, phone and paper. [`card`] makes the Markdown model card of the same run,
//! [`verdicts`] the plain sentences at the top. [`log_panels()`] draws cost against size as an SVG file,
//! [`ladders`] scores against size.
//!
//! ```no_run
//! use neurobrick_report::RunReport;
//!
//! fn finish(report: &RunReport, run: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
//!     for verdict in neurobrick_report::verdicts(report) {
//!         println!("{}: {}", verdict.task.label(), verdict.baseline_sentence());
//!     }
//!     neurobrick_report::write(report, run.join("report.html"))?;
//!     std::fs::write(run.join("card.md"), neurobrick_report::card(report))?;
//!     Ok(())
//! }
//! ```
//!
//! Features: none.

pub use card::card;
pub use error::{ReportError, Result};
pub use numbers::counted;
pub use page::{render, write};
pub use svg::ladder::{LadderCurve, LadderPanel, LadderPoint, ladders};
pub use svg::loglog::{LogCurve, LogPanel, log_panels};
pub use verdict::{Answer, Outcome, SessionVerdict, TaskVerdict, verdicts};

pub use model::{
    AttentionContext, ChoiceResult, ChoiceRow, Curve, DataHash, DataSource, DecodingFeature, DecodingNull,
    DecodingResult, DecodingTarget, Estimate, Fact, FineTuningCurves, MaskPicture, MaskScheme, ModelFacts,
    NullScores, PairedDifference, Predictor, PredictorCurve, PredictorScores, PretrainingCurves,
    RegionResult, RegionRow, RegionScore, RegionSummary, Reproduction, RunReport, SchemeCurve, SessionFacts,
    SessionRole, Stage, Summary, SummaryScore, Task, TaskResult, TrialRaster, UnitTrace,
};

mod card;
mod check;
mod error;
mod model;
mod nullable;
mod numbers;
mod page;
mod svg;
mod verdict;
