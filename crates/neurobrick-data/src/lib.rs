//! From a store to training examples: binned windows, splits by trial and the order of batches.
//!
//! Everything here is a pure function of its input and a seed. A [`UnitFilter`] says which units are good enough. A
//! [`SessionData`] holds one session's counts as `[trial, bin, unit]`, and puts signals on the same bins
//! ([`BehaviorConfig`]); [`ContinuousCounts`] holds a whole session, of which windows are views; [`signal_windows`] cuts samples
//! as they were taken. [`TrialSplit`] says which
//! trials may be trained on (of a source that says so, [`ColumnConfig`]), [`resampling_clusters`] which may be resampled one by one, [`SessionSplit`] which sessions or subjects, [`hold_out_units`] which units are hidden.
//! [`BatchPlan`] (batches of one session) and [`MixedPlan`] (of many, weighted) tell for any step which trials it sees,
//! without remembering anything between steps.
//!
//! ```
//! use neurobrick_data::{BatchPlan, SplitConfig, TrialSplit};
//! use neurobrick_schema::SessionId;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let session = SessionId::new("mouse-1_day-2")?;
//! let split = TrialSplit::new(&session, 100, &SplitConfig::default(), 42)?;
//! assert_eq!((split.train.len(), split.valid.len(), split.test.len()), (70, 10, 20));
//!
//! let plan = BatchPlan::new(&[split.train.len()], 16, 42);
//! let first = plan.batch(0);
//! assert_eq!(first, plan.batch(0)); // replayed, not remembered
//! # Ok(())
//! # }
//! ```
//!
//! The crate has no features.

mod batches;
mod binning;
mod blocks;
mod column_split;
mod continuous;
mod error;
mod grid;
mod holdout;
mod mixed;
mod overlap;
mod recorded;
mod regions;
mod resample;
mod room;
mod session;
mod signal_windows;
mod splits;
mod texts;
mod units;

pub use batches::{BatchPlan, PlannedBatch};
pub use binning::{Alignment, WindowConfig};
pub use blocks::{BlockConfig, Part};
pub use column_split::{ColumnConfig, CutConfig, CutOrder};
pub use continuous::ContinuousCounts;
pub use error::DataError;
pub use grid::{Grid, ticks};
pub use holdout::{SessionSplit, SplitBy, hold_out_units};
pub use mixed::{Draw, MixedPlan, SessionWeights};
pub use overlap::resampling_clusters;
pub use regions::RegionTable;
pub use resample::{BehaviorConfig, ResampleRule};
pub use session::{ExcludedTrial, SessionData};
pub use signal_windows::signal_windows;
pub use splits::{SplitConfig, SplitOrder, TrialSplit};
pub use units::UnitFilter;
