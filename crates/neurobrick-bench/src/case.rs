//! What is measured: sizes of model and batch, and kinds of work.

use neurobrick_models::NdtStitchConfig;
use serde::{Deserialize, Serialize};

/// Learning rate of the measured steps, small enough that many of them leave the weights sane.
pub const LEARNING_RATE: f64 = 1e-5;
/// Largest global norm of the gradient in the measured steps.
pub const MAX_GRAD_NORM: f64 = 1.0;

/// A model, a session and a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchCase {
    /// Short name, for tables.
    pub name: String,
    /// Sizes and dropout of the model.
    pub model: NdtStitchConfig,
    /// Units of the session.
    pub n_units: usize,
    /// Trials of a batch.
    pub batch_size: usize,
    /// Sessions the model knows, all of this many units; every train step is of one of them.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub n_sessions: usize,
}

fn one() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_one(n: &usize) -> bool {
    *n == 1
}

impl BenchCase {
    /// The published size of MtM, and a size for CPUs with two batch sizes.
    pub fn all() -> Vec<Self> {
        let small = |batch_size| Self {
            name: format!("small-{batch_size}"),
            model: NdtStitchConfig::small(40),
            n_units: 1000,
            batch_size,
            n_sessions: 1,
        };
        let mtm = Self {
            name: "mtm-16".to_owned(),
            model: NdtStitchConfig::published(),
            n_units: 668,
            batch_size: 16,
            n_sessions: 1,
        };
        vec![mtm, small(16), small(64)]
    }

    /// Sizes in words, for people.
    pub fn describe(&self) -> String {
        let m = &self.model;
        let sessions =
            if self.n_sessions == 1 { String::new() } else { format!(", {} sessions", self.n_sessions) };
        format!(
            "{}: batch {} x {} bins x {} units; {} layers of {}, {} heads, MLP {}, stitch {}, embed {}{sessions}",
            self.name,
            self.batch_size,
            m.n_bins,
            self.n_units,
            m.n_layers,
            m.d_model,
            m.n_heads,
            m.d_mlp,
            m.d_stitch,
            m.d_embed
        )
    }
}

/// A kind of work that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Loss with dropout, gradients, clipping, AdamW; of a prepared batch.
    Train,
    /// Log rates of a prepared batch, without dropout or graph.
    Forward,
    /// Log rates of one prepared trial, without dropout or graph.
    SingleTrial,
}

impl Work {
    /// All kinds, in the order they are measured: training first, so that its peak memory is its own.
    pub const ALL: [Self; 3] = [Self::Train, Self::Forward, Self::SingleTrial];

    /// Name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Train => "train step",
            Self::Forward => "forward, batch",
            Self::SingleTrial => "forward, one trial",
        }
    }
}
