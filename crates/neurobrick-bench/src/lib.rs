//! Measuring training and inference against other implementations of the same model.
//!
//! The measured sides are processes that answer [`Request`]s line by line: ours is [`serve`], a peer's is a program
//! in another language. Both read one [`Material`] file (weights, counts, masks), so both do the same work; whoever
//! conducts the measurement lets them take turns and collects a [`Comparison`], or takes our side up ladders of sizes
//! and collects a [`Scaling`]. `cargo xtask bench` does that.
//!
//! ```
//! use neurobrick_bench::{BenchCase, Work, work_flops};
//!
//! // Backward, every product has two of its size, but the first needs no gradient of its input.
//! let case = &BenchCase::all()[0];
//! let (train, forward) = (work_flops(case, Work::Train), work_flops(case, Work::Forward));
//! assert!(train > 2.0 * forward && train < 3.0 * forward);
//! ```
//!
//! The crate has no features.

mod case;
mod comparison;
mod engine;
mod error;
mod fit;
mod flops;
mod leave_one_out;
mod material;
mod model_case;
mod model_engine;
mod model_material;
mod peer_case;
mod process;
mod profile;
mod protocol;
mod scaling;
mod scaling_table;
mod serve;
mod statistics;
mod table;

pub use case::{BenchCase, LEARNING_RATE, MAX_GRAD_NORM, Work};
pub use comparison::{CaseResult, Comparison, SideResult, SideUse, WorkResult, same_loss};
pub use engine::Engine;
pub use error::BenchError;
pub use fit::{OffsetPower, upper_exponent};
pub use flops::{PRODUCT_SHAPE, n_parameters, needed_bytes, product_flops, work_flops};
pub use leave_one_out::{LeaveOneOutTimes, leave_one_out, leave_one_out_table};
pub use material::Material;
pub use model_case::{ModelCase, Network};
pub use model_engine::ModelEngine;
pub use model_material::ModelMaterial;
pub use peer_case::PeerCase;
pub use process::{load_average, page_faults, processor_name, reset_peak_memory, resident_bytes};
pub use profile::{StepTimes, profile, profile_table};
pub use protocol::{Answer, Request, decode, encode};
pub use scaling::{ScaleAxis, ScalePoint, Scaling, base_case};
pub use scaling_table::{scaling_figure, scaling_markdown};
pub use serve::serve;
pub use statistics::{Summary, median};
pub use table::markdown;
