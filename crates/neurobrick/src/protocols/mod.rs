//! Numbers as published benchmarks and papers define them, for comparison with their tables.
//!
//! [`MtmTable`] turns an evaluation of ours into the averages that MtM prints; [`score_nlb`] scores a submission of
//! the Neural Latents Benchmark in the benchmark's own files, and [`write_nlb`] writes one;
//! [`BwbTable`] holds the scores of `BrainWideBench`'s suites, [`BwbSubmission`] a file of predictions for it. For claims of one's own there is the report of an
//! evaluation, with nulls, naive baselines and paired differences beside every score.

pub(crate) mod bwb;
mod mtm;
mod nlb;
mod nlb_files;
mod nlb_submission;

pub use bwb::{BwbRow, BwbSubmission, BwbTable, BwbTask, Prediction};
pub use mtm::{MtmScore, MtmTable};
pub use nlb::{NlbScore, NlbScores, nlb_datasets};
pub use nlb_files::{read_nlb, score_nlb};
pub use nlb_submission::write_nlb;
