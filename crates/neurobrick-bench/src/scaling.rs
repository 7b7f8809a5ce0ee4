//! Cost against size: one size at a time goes up a ladder, all others stay at a base.

use neurobrick_evaluate::RunManifest;
use neurobrick_models::NdtStitchConfig;
use serde::{Deserialize, Serialize};

use crate::{BenchCase, Summary, Work, work_flops};

/// Width of an attention head at every width of the model.
const HEAD_WIDTH: usize = 32;
/// Width of a token in the base.
const BASE_WIDTH: usize = 128;

/// A size that goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleAxis {
    /// Bins of a window, each of which is a token.
    Tokens,
    /// Width of a token, with which stitch, embedding, MLP and the number of heads grow.
    Width,
    /// Transformer layers.
    Layers,
    /// Units of a session.
    Units,
    /// Sessions the model knows.
    Sessions,
}

impl ScaleAxis {
    /// All, in the order they are measured.
    pub const ALL: [Self; 5] = [Self::Tokens, Self::Width, Self::Layers, Self::Units, Self::Sessions];

    /// Name in tables.
    pub fn label(self) -> &'static str {
        match self {
            Self::Tokens => "bins (tokens)",
            Self::Width => "width",
            Self::Layers => "layers",
            Self::Units => "units",
            Self::Sessions => "sessions",
        }
    }

    /// Sizes that are measured, smallest first; each ladder has the base as a rung. A quick one has every second.
    pub fn ladder(self, is_quick: bool) -> Vec<usize> {
        let all: &[usize] = match self {
            Self::Tokens => &[25, 50, 100, 200, 400],
            Self::Width => &[64, 128, 256, 512, 1024],
            Self::Layers => &[1, 2, 4, 8, 16],
            Self::Units => &[100, 300, 1000, 2500, 5000],
            Self::Sessions => &[1, 5, 20, 100, 500],
        };
        all.iter().copied().step_by(if is_quick { 2 } else { 1 }).collect()
    }

    /// The base with this size changed.
    pub fn case(self, size: usize) -> BenchCase {
        let mut case = base_case();
        match self {
            Self::Tokens => case.model.n_bins = size,
            Self::Width => case.model = model_of_width(size),
            Self::Layers => case.model.n_layers = size,
            Self::Units => case.n_units = size,
            Self::Sessions => case.n_sessions = size,
        }
        case.name = format!("{} {size}", self.label());
        case
    }
}

/// What stays while one size goes up: 16 trials of 100 bins and 300 units of one session, the small model.
pub fn base_case() -> BenchCase {
    BenchCase {
        name: "base".to_owned(),
        model: model_of_width(BASE_WIDTH),
        n_units: 300,
        batch_size: 16,
        n_sessions: 1,
    }
}

fn model_of_width(d_model: usize) -> NdtStitchConfig {
    NdtStitchConfig {
        d_model,
        d_stitch: d_model,
        d_embed: 2 * d_model,
        d_mlp: 2 * d_model,
        n_heads: (d_model / HEAD_WIDTH).max(1),
        ..NdtStitchConfig::small(100)
    }
}

/// Cost at one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalePoint {
    /// The size that goes up.
    pub axis: ScaleAxis,
    /// How far it is.
    pub size: usize,
    /// All sizes.
    pub case: BenchCase,
    /// Numbers the model is.
    pub n_parameters: usize,
    /// Bytes that training keeps from step to step: weights, the best ones, two moments.
    pub kept_bytes: usize,
    /// Seconds of every train step.
    pub train_s: Vec<f64>,
    /// Seconds of every forward pass of the batch.
    pub forward_s: Vec<f64>,
    /// Minor page faults during the timed train steps.
    pub page_faults: Option<u64>,
    /// Largest resident memory during train steps, of every process.
    pub peak_bytes: Vec<u64>,
    /// Product peak in every process, 10⁹ operations per second.
    pub product_gflops: Vec<f64>,
}

impl ScalePoint {
    /// A point without measurements.
    pub fn new(axis: ScaleAxis, size: usize) -> Self {
        Self {
            axis,
            size,
            case: axis.case(size),
            n_parameters: 0,
            kept_bytes: 0,
            train_s: Vec::new(),
            forward_s: Vec::new(),
            page_faults: None,
            peak_bytes: Vec::new(),
            product_gflops: Vec::new(),
        }
    }

    /// Median seconds of a work that is measured along ladders; NaN where it was not.
    pub fn median_s(&self, work: Work) -> f64 {
        let times = match work {
            Work::Train => &self.train_s[..],
            Work::Forward => &self.forward_s,
            Work::SingleTrial => &[],
        };
        Summary::of(times).map_or(f64::NAN, |s| s.median)
    }

    /// Operations of matrix products, on paper.
    pub fn flops(&self, work: Work) -> f64 {
        work_flops(&self.case, work)
    }

    /// Largest resident memory: the median of the processes; NaN where the system does not tell.
    pub fn peak_memory(&self) -> f64 {
        let bytes: Vec<f64> = self.peak_bytes.iter().map(|&b| b as f64).collect();
        Summary::of(&bytes).map_or(f64::NAN, |s| s.median)
    }
}

/// All ladders.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Command, commit, machine.
    pub manifest: RunManifest,
    /// Name of the processor.
    pub processor: Option<String>,
    /// Load before the start.
    pub load_before: Option<f64>,
    /// Processes per point.
    pub n_rounds: usize,
    /// Points, axis after axis, smallest first.
    pub points: Vec<ScalePoint>,
}

impl Scaling {
    /// Points of one axis.
    pub fn along(&self, axis: ScaleAxis) -> Vec<&ScalePoint> {
        self.points.iter().filter(|p| p.axis == axis).collect()
    }

    /// The best product of all processes, 10⁹ operations per second: what the machine can do.
    pub fn product_peak(&self) -> f64 {
        self.points.iter().flat_map(|p| &p.product_gflops).copied().fold(f64::NAN, f64::max)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn every_ladder_climbs_over_the_base_and_every_rung_is_a_model() {
        let base = base_case();
        for axis in ScaleAxis::ALL {
            let ladder = axis.ladder(false);
            assert!(ladder.is_sorted_by(|a, b| a < b));
            assert!(axis.ladder(true).iter().all(|size| ladder.contains(size)));
            let cases: Vec<BenchCase> = ladder.iter().map(|&size| axis.case(size)).collect();
            let same = |case: &&BenchCase| BenchCase { name: base.name.clone(), ..(*case).clone() } == base;
            assert_eq!(cases.iter().filter(same).count(), 1, "{}", axis.label());
            for case in cases {
                case.model.validate().unwrap();
            }
        }
    }
}
