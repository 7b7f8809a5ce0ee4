//! Which entries a model may see and which it is scored on.
//!
//! The schemes are those of multi-task masking, MtM (Zhang et al. 2024, "Towards a universal translator for
//! neural dynamics at single-cell, single-spike resolution"; reference code `colehurwitz/IBL_MtM_model` at
//! e0c39bd, MIT license): co-smoothing, forward prediction, inter-region and intra-region prediction, with
//! temporal masking as the baseline. A masked entry is zeroed in the input, without exception.

use ndarray::{Array3, ArrayView3, Axis, Zip, s};
use neurobrick_data::RegionTable;
use neurobrick_random::{Domain, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which bins a bin may attend to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Context {
    /// Every bin sees every bin.
    Full,
    /// A bin sees itself and earlier bins.
    Causal,
}

/// The task a prompted model is told about; the row of its prompt table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Predict hidden units (co-smoothing).
    Neuron,
    /// Predict the future.
    Causal,
    /// Predict a hidden region from the others.
    InterRegion,
    /// Predict hidden units of a region from the rest of that region.
    IntraRegion,
}

impl Prompt {
    /// All prompts, in the order of the reference's table.
    pub const ALL: [Self; 4] = [Self::Neuron, Self::Causal, Self::InterRegion, Self::IntraRegion];

    /// Row of the prompt table, as in the reference code.
    pub fn row(self) -> usize {
        self as usize
    }
}

/// A published scheme of hiding entries.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum MaskScheme {
    /// Hides whole bins; the baseline of MtM (ratio 0.3), unprompted.
    Temporal {
        /// Probability that a bin of a trial is hidden.
        ratio: f64,
    },
    /// Hides whole units of a trial: co-smoothing (ratio 0.3).
    Neuron {
        /// Probability that a unit of a trial is hidden.
        ratio: f64,
    },
    /// Hides whole bins under causal attention: forward prediction (ratio 0.6).
    Causal {
        /// Probability that a bin of a trial is hidden.
        ratio: f64,
    },
    /// Hides one region, drawn uniformly for the batch.
    InterRegion,
    /// Shows one region, drawn uniformly for the batch, and hides some of its units; only those are counted.
    IntraRegion {
        /// Probability that a unit of the shown region is hidden in a trial.
        ratio: f64,
    },
    /// Hides single entries.
    Random {
        /// Probability that an entry is hidden.
        ratio: f64,
    },
    /// Hides single entries and multiplies the others by 1/(1 − ratio), so that a model expects the same input with
    /// and without: the coordinated dropout of LFADS (Keshtkaran and Pandarinath 2019, arXiv:1908.07896; 0.01 to 0.7).
    CoordinatedDropout {
        /// Probability that an entry is hidden.
        ratio: f64,
    },
}

impl MaskScheme {
    /// The four schemes of MtM with their published ratios.
    pub const MTM: [Self; 4] = [
        Self::Neuron { ratio: 0.3 },
        Self::Causal { ratio: 0.6 },
        Self::InterRegion,
        Self::IntraRegion { ratio: 0.3 },
    ];

    /// Short name, as in configuration files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Temporal { .. } => "temporal",
            Self::Neuron { .. } => "neuron",
            Self::Causal { .. } => "causal",
            Self::InterRegion => "inter_region",
            Self::IntraRegion { .. } => "intra_region",
            Self::Random { .. } => "random",
            Self::CoordinatedDropout { .. } => "coordinated_dropout",
        }
    }

    /// The probability of hiding, where the scheme has one.
    pub fn ratio(&self) -> Option<f64> {
        match *self {
            Self::Temporal { ratio }
            | Self::Neuron { ratio }
            | Self::Causal { ratio }
            | Self::IntraRegion { ratio }
            | Self::Random { ratio }
            | Self::CoordinatedDropout { ratio } => Some(ratio),
            Self::InterRegion => None,
        }
    }

    /// The attention context of the scheme.
    pub fn context(&self) -> Context {
        match self {
            Self::Causal { .. } => Context::Causal,
            _ => Context::Full,
        }
    }

    /// The prompt of the scheme; the baselines have none.
    pub fn prompt(&self) -> Option<Prompt> {
        match self {
            Self::Neuron { .. } => Some(Prompt::Neuron),
            Self::Causal { .. } => Some(Prompt::Causal),
            Self::InterRegion => Some(Prompt::InterRegion),
            Self::IntraRegion { .. } => Some(Prompt::IntraRegion),
            Self::Temporal { .. } | Self::Random { .. } | Self::CoordinatedDropout { .. } => None,
        }
    }

    /// Draws the masks of a batch of `n_trials` windows of `n_bins` bins.
    ///
    /// A pure function of its arguments: `address` tells batches apart, for example `[step, 0]`. Every trial has
    /// a stream of its own, so the masks of a trial do not depend on how a batch is cut into shards.
    pub fn draw(
        &self,
        n_trials: usize,
        n_bins: usize,
        regions: &RegionTable,
        seed: u64,
        address: [u64; 2],
    ) -> Masking {
        let n_units = regions.n_units();
        let stream = |slot: usize| Stream::new(seed, Domain::Mask, [address[0], address[1], slot as u64]);
        // Slot 0 serves the batch, slot 1 + b serves trial b.
        let region = match self {
            Self::InterRegion | Self::IntraRegion { .. } if !regions.names().is_empty() => {
                Some(stream(0).below(regions.names().len()))
            }
            _ => None,
        };
        let in_region = |unit: usize| Some(regions.of_unit()[unit]) == region;
        let mut hidden = Array3::from_elem((n_trials, n_bins, n_units), false);
        let mut counted = hidden.clone();
        for trial in 0..n_trials {
            let mut draws = stream(1 + trial);
            let mut hidden = hidden.index_axis_mut(Axis(0), trial);
            let mut counted = counted.index_axis_mut(Axis(0), trial);
            match *self {
                Self::Temporal { ratio } | Self::Causal { ratio } => {
                    for bin in 0..n_bins {
                        hidden.row_mut(bin).fill(draws.bernoulli(ratio));
                    }
                    counted.assign(&hidden);
                }
                Self::Neuron { ratio } => {
                    for unit in 0..n_units {
                        hidden.column_mut(unit).fill(draws.bernoulli(ratio));
                    }
                    counted.assign(&hidden);
                }
                Self::InterRegion => {
                    for unit in 0..n_units {
                        hidden.column_mut(unit).fill(in_region(unit));
                    }
                    counted.assign(&hidden);
                }
                Self::IntraRegion { ratio } => {
                    for unit in 0..n_units {
                        let target = in_region(unit) && draws.bernoulli(ratio);
                        hidden.column_mut(unit).fill(target || !in_region(unit));
                        counted.column_mut(unit).fill(target);
                    }
                }
                Self::Random { ratio } | Self::CoordinatedDropout { ratio } => {
                    hidden.mapv_inplace(|_| draws.bernoulli(ratio));
                    counted.assign(&hidden);
                }
            }
        }
        let visible_scale = match *self {
            Self::CoordinatedDropout { ratio } if ratio < 1.0 => 1.0 / (1.0 - ratio),
            _ => 1.0,
        };
        Masking { hidden, counted, context: self.context(), prompt: self.prompt(), visible_scale }
    }
}

/// What is hidden from a model, what it is scored on, and how it attends; masks are `[B, T, N]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    hidden: Array3<bool>,
    counted: Array3<bool>,
    context: Context,
    prompt: Option<Prompt>,
    /// What visible counts are multiplied with.
    visible_scale: f64,
}

impl Masking {
    /// Masks of one's own: `true` = hidden, `true` = counted in the loss.
    ///
    /// # Panics
    /// If the shapes differ, or an entry is counted that is not hidden: a model that sees what it must predict
    /// learns to copy.
    pub fn new(
        hidden: Array3<bool>,
        counted: Array3<bool>,
        context: Context,
        prompt: Option<Prompt>,
    ) -> Self {
        assert_eq!(hidden.dim(), counted.dim(), "hidden and counted masks must have one shape");
        let copies = Zip::from(&hidden).and(&counted).any(|&h, &c| c && !h);
        assert!(!copies, "every counted entry must be hidden");
        Self { hidden, counted, context, prompt, visible_scale: 1.0 }
    }

    /// Hides units in every trial and bin; counts all of them.
    pub fn units(shape: [usize; 3], hidden: &[usize], prompt: Prompt) -> Self {
        let mut mask = Array3::from_elem(shape, false);
        for &unit in hidden {
            mask.slice_mut(s![.., .., unit]).fill(true);
        }
        Self {
            counted: mask.clone(),
            hidden: mask,
            context: Context::Full,
            prompt: Some(prompt),
            visible_scale: 1.0,
        }
    }

    /// Hides the last `n_hidden` bins of every unit, under causal attention; counts all of them.
    pub fn future(shape: [usize; 3], n_hidden: usize) -> Self {
        let mut mask = Array3::from_elem(shape, false);
        mask.slice_mut(s![.., shape[1].saturating_sub(n_hidden).., ..]).fill(true);
        Self {
            counted: mask.clone(),
            hidden: mask,
            context: Context::Causal,
            prompt: Some(Prompt::Causal),
            visible_scale: 1.0,
        }
    }

    /// Hides nothing and counts nothing: for reading latents.
    pub fn nothing(shape: [usize; 3], prompt: Prompt) -> Self {
        let mask = Array3::from_elem(shape, false);
        let context = if prompt == Prompt::Causal { Context::Causal } else { Context::Full };
        Self { counted: mask.clone(), hidden: mask, context, prompt: Some(prompt), visible_scale: 1.0 }
    }

    /// `true` = hidden, `[B, T, N]`.
    pub fn hidden(&self) -> &Array3<bool> {
        &self.hidden
    }

    /// `true` = counted in the loss, `[B, T, N]`.
    pub fn counted(&self) -> &Array3<bool> {
        &self.counted
    }

    /// How bins attend.
    pub fn context(&self) -> Context {
        self.context
    }

    /// The prompt.
    pub fn prompt(&self) -> Option<Prompt> {
        self.prompt
    }

    /// The counts a model may see: hidden entries are zero, and under coordinated dropout the others are scaled up.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn visible(&self, counts: ArrayView3<u16>) -> Array3<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
        let scale = self.visible_scale as f32;
        Zip::from(counts).and(&self.hidden).map_collect(|&c, &h| if h { 0.0 } else { scale * f32::from(c) })
    }

    /// Multiplies what a model may see by `scale`, as coordinated dropout does.
    ///
    /// # Panics
    /// If the factor is not positive and finite.
    #[must_use]
    pub fn with_visible_scale(self, scale: f64) -> Self {
        assert!(scale > 0.0 && scale.is_finite(), "a factor of counts must be positive, received {scale}");
        Self { visible_scale: scale, ..self }
    }

    /// The masks of trials `range`.
    #[must_use]
    pub fn trials(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            hidden: self.hidden.slice(s![range.clone(), .., ..]).to_owned(),
            counted: self.counted.slice(s![range, .., ..]).to_owned(),
            context: self.context,
            prompt: self.prompt,
            visible_scale: self.visible_scale,
        }
    }
}
