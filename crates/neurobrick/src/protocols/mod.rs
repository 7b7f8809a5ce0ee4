//! Numbers as published benchmarks and papers define them, and the files of the one that are read and written in a foreign format.
//!
//! What they are is in [`neurobrick_evaluate::protocols`]. Here [`score_nlb`] scores a submission of the Neural Latents Benchmark in
//! the benchmark's own files, [`read_nlb`] reads one, and [`write_nlb`] writes one.

mod nlb_files;
mod nlb_submission;

pub use neurobrick_evaluate::protocols::{
    BwbRow, BwbSubmission, BwbTable, BwbTask, MtmScore, MtmTable, NlbScore, NlbScores, Prediction, bwb,
    nlb_datasets,
};
pub use nlb_files::{read_nlb, score_nlb};
pub use nlb_submission::write_nlb;
