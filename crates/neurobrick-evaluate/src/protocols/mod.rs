//! Numbers as published benchmarks and papers define them, for comparison with their tables.
//!
//! [`MtmTable`] turns an evaluation of ours into the averages that MtM prints; [`NlbScores`] holds what a submission to the
//! Neural Latents Benchmark is worth; [`BwbTable`] holds the scores of `BrainWideBench`'s suites, [`BwbSubmission`] a file of
//! predictions for it, [`bwb`] what is asked and what baselines say. For claims of one's own there is the report of an
//! evaluation, with nulls, naive baselines and paired differences beside every score.

pub mod bwb;
mod mtm;
mod nlb;

pub use bwb::{BwbRow, BwbSubmission, BwbTable, BwbTask, Prediction};
pub use mtm::{MtmScore, MtmTable};
pub use nlb::{NlbScore, NlbScores, nlb_datasets};
