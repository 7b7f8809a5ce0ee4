//! What a recording is, and the Parquet store it rests in.
//!
//! A [`Recording`] is one session: its [`Unit`]s, their [`Activity`] (spike times or binned counts), its [`Trials`] and
//! a provenance [`Card`]; where they exist also further [`Column`]s of the units, electrodes, other tables of intervals
//! ([`IntervalTable`]) and [`Signal`]s such as positions, licks or voltages, joined by [`RecordingParts`]. A [`Store`] is a folder of recordings that pandas, Polars and `DuckDB` open too; sessions are
//! written whole or not at all, and every byte is checked against a BLAKE3 manifest before it is decoded.
//!
//! Times are seconds from session start in `f64`, intervals are half-open, unit indices count from zero in the order
//! of the units table. No tensors and no foreign formats live here.
//!
//! ```
//! use neurobrick_schema::*;
//!
//! let card = Card {
//!     source: "a made-up example".into(), citation: String::new(), license: "CC0-1.0".into(), species: None,
//!     consent: Consent::NonHuman, ethics: None, changes: vec![], source_files: vec![], notes: None,
//! };
//! let info = SessionInfo {
//!     session: SessionId::new("day-1")?, subject: SubjectId::new("mouse-7")?, dataset: DatasetId::new("demo")?, card,
//! };
//! let units = vec![Unit { id: "0".into(), region: "VISp".into(), depth_um: Some(400.0), quality: None }];
//! let spikes = Spikes::new(vec![0.25, 0.75], vec![0, 0])?;
//! let trials = Trials::new(vec![Interval::new(0.0, 1.0)?], vec![])?;
//! let recording = Recording::new(info, units, Activity::Spikes(spikes), trials)?;
//!
//! let folder = tempfile::tempdir()?;
//! let store = Store::create(folder.path().join("store"))?;
//! store.write(&recording)?;
//! assert_eq!(store.read(&recording.info().session)?, recording);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The cargo feature `remote` adds `RemoteStore`: stores behind `s3://`, `http://`, `https://` and `file://`.

mod activity;
pub mod atomic;
mod block;
mod card;
mod checked_file;
mod column_summary;
mod column_tables;
mod columns;
mod consent;
mod error;
#[cfg(test)]
#[path = "../../neurobrick-ingest/src/fuzz.rs"]
#[allow(dead_code, reason = "shared with the readers of foreign files, which need all of it")]
mod fuzz;
mod ids;
pub mod manifest;
mod merge;
mod names;
mod pieces;
mod plain_pages;
mod quality;
mod recording;
mod regions;
#[cfg(feature = "remote")]
mod remote;
mod session_file;
mod session_writer;
mod signal_tables;
mod signals;
mod spike_file;
mod spikes_table;
mod store;
mod stretches;
mod summary;
mod tables;
mod trials;

pub use activity::{Activity, BinnedCounts, SpikeTimes, Spikes};
pub use card::{Card, SessionInfo, SourceFile};
pub use column_summary::ColumnSummary;
pub use columns::{Column, ColumnValues, ListValues, Table};
pub use consent::Consent;
pub use error::SchemaError;
pub use ids::{DatasetId, SessionId, SubjectId};
pub use manifest::hash_file;
pub use names::nearest_name;
pub use quality::{REFRACTORY_S, UnitQuality, unit_quality};
pub use recording::{Recording, RecordingParts, Unit};
pub use regions::{AllenRegion, RegionLevel};
#[cfg(feature = "remote")]
pub use remote::{Fetched, RemoteStore};
pub use session_file::json_schema;
pub use session_writer::SessionWriter;
pub use signals::{Clock, Samples, Signal, SignalColumn};
pub use spike_file::{SpikeBatches, SpikeFile};
pub use store::{SessionDigest, Store, write_session};
pub use stretches::recorded_stretches;
pub use summary::{IntervalsSummary, RegionCount, SessionSummary, SignalSummary, Silence, summary};
pub use trials::{Interval, IntervalTable, Trials};
