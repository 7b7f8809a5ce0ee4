//! Foreign recordings (NWB, ALF, EDF, HDF5 tensors, poses, NPZ, MATLAB, CSV and more) become neurobrick recordings.
//!
//! [`ingest`] recognizes what lies below the given folders, reads each session with all checks, and writes it into a
//! [`Store`](neurobrick_schema::Store). A session that is damaged, incomplete or contradicts itself is refused with an
//! error that names the file and what to do; nothing is repaired silently. Provenance comes from a `dataset.toml`
//! beside the data, which files that describe themselves (NWB) can do without:
//!
//! ```toml
//! dataset = "my-lab-2026"                       # a name of letters, digits, . _ -
//! source = "rig 2, recorded by A. Person"
//! citation = ""
//! license = "CC-BY-4.0"
//! species = "Mus musculus"                      # optional
//! consent = "non_human"                         # or unrestricted, research_only, controlled, unknown
//! ethics = "approved by the board, protocol 7"  # optional
//! changes = ["sorted with Kilosort 4"]          # optional
//! trials = "recognition_table"                  # optional, for NWB: the intervals that are the trials
//! bin_size_s = 0.005                            # for HDF5 tensors, which do not say it
//! rate_hz = 30.0                                # for DeepLabCut, Myo and Suite2p, which do not say it
//!
//! [columns.contrast_left]                       # optional, what a trial column means
//! type = "float"                                # float, int, text or bool; for text tables only
//! unit = "1"
//! description = "contrast of the left stimulus"
//! ```
//!
//! ```no_run
//! use neurobrick_ingest::{IngestError, IngestOptions, ingest};
//! use neurobrick_schema::Store;
//!
//! let store = Store::create("store")?;
//! let options = IngestOptions { n_workers: 2, ..IngestOptions::default() };
//! let summary = ingest(&["recordings/day-1", "recordings/day-2"], &store, &options, &mut |_event| {})?;
//! for refusal in &summary.refused {
//!     eprintln!("{}", refusal.error);
//! }
//! # Ok::<(), IngestError>(())
//! ```
//!
//! With [`IngestOptions::isolation`] every session is read in a process of its own, with limits on memory and time, so
//! that a file that kills its decoder costs one session; [`serve`] is what that process runs.
//!
//! Formats: [`CountsNpz`], [`Alf`], [`Nwb`], [`Edf`], [`BrainVision`], [`Tensors`], [`DeepLabCut`], [`Boris`], [`Myo`],
//! [`Suite2p`], and [`Mapping`] for one's own NPZ, MATLAB, CSV and Parquet files. A further one implements [`Reader`],
//! whose page has an example, and is named in [`IngestOptions::readers`].
//! [`TensorFile`] reads the tensors of a benchmark's target and submission files, [`TensorWriter`] writes them. The crate has
//! no cargo features.

mod alf;
mod array;
mod boris;
mod brainvision;
mod counts_npz;
mod csv_table;
mod dataset_file;
mod deeplabcut;
mod edf;
mod error;
#[cfg(test)]
mod fuzz;
mod guard;
mod hdf5;
mod isolation;
mod mapping;
mod mat5;
mod measured;
mod myo;
mod npy;
mod nwb;
mod parquet_table;
mod pipeline;
mod reader;
mod single_file;
mod suite2p;
mod tensor_file;
mod tensor_writer;
mod tensors;
mod text_file;
mod text_table;
mod trodes;
mod unread;

pub use alf::Alf;
pub use boris::Boris;
pub use brainvision::BrainVision;
pub use counts_npz::CountsNpz;
pub use deeplabcut::DeepLabCut;
pub use edf::Edf;
pub use error::IngestError;
pub use isolation::{Isolation, serve};
pub use mapping::Mapping;
pub use myo::Myo;
pub use nwb::Nwb;
pub use pipeline::{
    Found, IngestEvent, IngestOptions, IngestSummary, Ingested, Plan, READERS, Refusal, ingest, plan,
    recognize,
};
pub use reader::{Reader, Source};
pub use suite2p::Suite2p;
pub use tensor_file::{Tensor, TensorFile};
pub use tensor_writer::TensorWriter;
pub use tensors::Tensors;
