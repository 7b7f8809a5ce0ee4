//! From a store to training examples: binned windows, splits by trial and the order of batches.
//!
//! Everything here is a pure function of its input and a seed. A [`SessionData`] holds one session's counts as
//! `[trial, bin, unit]`; [`TrialSplit`] says which trials may be trained on; [`BatchPlan`] tells for any step
//! which trials it sees, without remembering anything between steps.
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
mod error;
mod regions;
mod session;
mod splits;

pub use batches::{BatchPlan, PlannedBatch};
pub use binning::{Alignment, WindowConfig};
pub use error::DataError;
pub use regions::RegionTable;
pub use session::{ExcludedTrial, SessionData};
pub use splits::{SplitConfig, SplitOrder, TrialSplit};
