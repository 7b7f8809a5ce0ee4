//! Which entries a model may see and which it is scored on.
//!
//! The schemes are those of multi-task masking, MtM (Zhang et al. 2024, "Towards a universal translator for
//! neural dynamics at single-cell, single-spike resolution"; reference code `colehurwitz/IBL_MtM_model` at
//! e0c39bd, MIT license): co-smoothing, forward prediction, inter-region and intra-region prediction, with
//! temporal masking as the baseline; those of NDT-1 (Ye and Pandarinath 2021; `snel-repo/neural-data-transformers` at
//! 98dd85a, public domain) and of NDT-2 (Ye et al. 2023; `joel99/context_general_bci` at 8b7226c, MIT). A masked entry
//! is zeroed in the input; only [`MaskScheme::Bert`] may show it, or a made-up count in its place.

use ndarray::{Array3, ArrayView3, ArrayViewMut2, Axis, Zip, s};
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
    /// Masked modeling of NDT-1: spans of whole bins are predicted; most of their entries are zeroed, some replaced by
    /// made-up counts, the rest shown as they are, so that the model cannot tell what it will be asked.
    Bert {
        /// Probability that a bin of a trial is predicted (published: 0.25), however long spans are.
        ratio: f64,
        /// Longest span in bins; the length is drawn uniformly from 1 for every batch (published: searched in 1 to 7).
        max_span: usize,
        /// Share of the predicted entries that is zeroed (published: searched in 0.5 to 1).
        zeroed: f64,
        /// Share of the others that is replaced by counts drawn uniformly below the trial's largest (published: searched
        /// in 0.6 to 1).
        randomized: f64,
    },
    /// Masked autoencoding of NDT-2: in every trial, this share of the patches of one bin and `n_units` units is hidden
    /// (ratio 0.5 of patches of 32).
    Patch {
        /// Share of the patches that is hidden.
        ratio: f64,
        /// Units of a patch: those `0..n_units`, the next `n_units`, and so on; the last patch may be smaller.
        n_units: usize,
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
            Self::Bert { .. } => "bert",
            Self::Patch { .. } => "patch",
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
            | Self::CoordinatedDropout { ratio }
            | Self::Bert { ratio, .. }
            | Self::Patch { ratio, .. } => Some(ratio),
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
            Self::Temporal { .. }
            | Self::Random { .. }
            | Self::CoordinatedDropout { .. }
            | Self::Bert { .. }
            | Self::Patch { .. } => None,
        }
    }

    /// What is out of range in the scheme, if anything is: the field, what it must be, and what it is.
    pub fn fault(&self) -> Option<(&'static str, &'static str, String)> {
        let share = |field, value: f64| {
            (!(0.0..=1.0).contains(&value)).then(|| (field, "in [0, 1]", value.to_string()))
        };
        let length = |field, value: usize| (value == 0).then(|| (field, "positive", value.to_string()));
        let ratio = self.ratio().and_then(|ratio| {
            let ok = ratio > 0.0 && ratio <= 1.0;
            (!ok).then(|| ("schemes.ratio", "in (0, 1]", ratio.to_string()))
        });
        ratio.or_else(|| match *self {
            Self::Bert { max_span, zeroed, randomized, .. } => length("schemes.max_span", max_span)
                .or_else(|| share("schemes.zeroed", zeroed))
                .or_else(|| share("schemes.randomized", randomized)),
            Self::Patch { n_units, .. } => length("schemes.n_units", n_units),
            _ => None,
        })
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
        let span = match *self {
            Self::Bert { max_span, .. } => 1 + stream(0).below(max_span.max(1)),
            _ => 1,
        };
        let shape = (n_trials, n_bins, n_units);
        let mut hidden = Array3::from_elem(shape, false);
        let mut counted = hidden.clone();
        let mut shown = matches!(self, Self::Bert { .. }).then(|| Array3::from_elem(shape, Shown::Zero));
        for trial in 0..n_trials {
            let mut draws = stream(1 + trial);
            let mut hidden = hidden.index_axis_mut(Axis(0), trial);
            let mut counted = counted.index_axis_mut(Axis(0), trial);
            self.hide(&mut hidden, &in_region, span, &mut draws);
            counted.assign(&hidden);
            if let Self::IntraRegion { .. } = self {
                // Of the region that is shown, what is hidden.
                for unit in (0..n_units).filter(|&unit| !in_region(unit)) {
                    counted.column_mut(unit).fill(false);
                }
            }
            if let (Self::Bert { zeroed, randomized, .. }, Some(shown)) = (self, &mut shown) {
                let mut shown = shown.index_axis_mut(Axis(0), trial);
                Zip::from(&mut shown).and(&hidden).for_each(|shown, &hidden| {
                    if hidden {
                        *shown = Shown::draw(*zeroed, *randomized, &mut draws);
                    }
                });
            }
        }
        let visible_scale = match *self {
            Self::CoordinatedDropout { ratio } if ratio < 1.0 => 1.0 / (1.0 - ratio),
            _ => 1.0,
        };
        Masking { hidden, counted, shown, context: self.context(), prompt: self.prompt(), visible_scale }
    }

    /// Hides entries of one trial `[T, N]`.
    fn hide(
        &self,
        hidden: &mut ArrayViewMut2<bool>,
        in_region: &impl Fn(usize) -> bool,
        span: usize,
        draws: &mut Stream,
    ) {
        let (n_bins, n_units) = hidden.dim();
        match *self {
            Self::Temporal { ratio } | Self::Causal { ratio } => {
                for bin in 0..n_bins {
                    hidden.row_mut(bin).fill(draws.bernoulli(ratio));
                }
            }
            Self::Neuron { ratio } => {
                for unit in 0..n_units {
                    hidden.column_mut(unit).fill(draws.bernoulli(ratio));
                }
            }
            Self::InterRegion => {
                for unit in 0..n_units {
                    hidden.column_mut(unit).fill(in_region(unit));
                }
            }
            Self::IntraRegion { ratio } => {
                for unit in 0..n_units {
                    hidden.column_mut(unit).fill(!in_region(unit) || draws.bernoulli(ratio));
                }
            }
            Self::Random { ratio } | Self::CoordinatedDropout { ratio } => {
                hidden.mapv_inplace(|_| draws.bernoulli(ratio));
            }
            Self::Bert { ratio, .. } => {
                for (mut row, is_hidden) in
                    hidden.rows_mut().into_iter().zip(spans(n_bins, ratio, span, draws))
                {
                    row.fill(is_hidden);
                }
            }
            Self::Patch { ratio, n_units } => hide_patches(hidden, ratio, n_units, draws),
        }
    }
}

/// Bins hidden in spans of `width`, each bin with probability `ratio`: spans begin where seeds fall, and seeds are as
/// many as keeps the share.
fn spans(n_bins: usize, ratio: f64, width: usize, draws: &mut Stream) -> Vec<bool> {
    // A bin stays visible if none of the `width` seeds that could cover it falls.
    let seed_ratio = 1.0 - (1.0 - ratio).powf(1.0 / width as f64);
    let seeds: Vec<bool> = (0..n_bins + width - 1).map(|_| draws.bernoulli(seed_ratio)).collect();
    seeds.windows(width).map(|covering| covering.iter().any(|&seed| seed)).collect()
}

/// Hides a share of the patches of one bin and `size` units: always as many of them, so that every trial keeps as many
/// as any other.
fn hide_patches(hidden: &mut ArrayViewMut2<bool>, ratio: f64, size: usize, draws: &mut Stream) {
    let (n_bins, n_units) = hidden.dim();
    let per_bin = n_units.div_ceil(size.max(1));
    let n_patches = n_bins * per_bin;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the patches")]
    let n_hidden = n_patches - ((1.0 - ratio) * n_patches as f64) as usize;
    for patch in draws.permutation(n_patches).into_iter().take(n_hidden) {
        let (bin, first) = (patch / per_bin, patch % per_bin * size);
        hidden.slice_mut(s![bin, first..(first + size).min(n_units)]).fill(true);
    }
}

/// What a hidden entry shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shown {
    /// No spikes.
    Zero,
    /// A count drawn below the trial's largest, by this share of it.
    MadeUp(f64),
    /// The truth.
    Itself,
}

impl Shown {
    fn draw(zeroed: f64, randomized: f64, draws: &mut Stream) -> Self {
        match (draws.bernoulli(zeroed), draws.bernoulli(randomized), draws.uniform()) {
            (true, ..) => Self::Zero,
            (false, true, share) => Self::MadeUp(share),
            (false, false, _) => Self::Itself,
        }
    }

    /// What stands for `count` in a trial whose largest count is `largest`.
    fn count(self, count: u16, largest: u16) -> f32 {
        match self {
            Self::Zero => 0.0,
            #[expect(clippy::cast_possible_truncation, reason = "a count")]
            Self::MadeUp(share) => (share * f64::from(largest)).floor() as f32,
            Self::Itself => f32::from(count),
        }
    }
}

/// What is hidden from a model, what it is scored on, and how it attends; masks are `[B, T, N]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Masking {
    hidden: Array3<bool>,
    counted: Array3<bool>,
    /// What hidden entries show; nothing, if absent.
    shown: Option<Array3<Shown>>,
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
        Self { hidden, counted, shown: None, context, prompt, visible_scale: 1.0 }
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
            shown: None,
            context: Context::Full,
            prompt: Some(prompt),
            visible_scale: 1.0,
        }
    }

    /// Hides the last `n_hidden` bins of every unit, under causal attention; counts all of them.
    pub fn future(shape: [usize; 3], n_hidden: usize) -> Self {
        let mut mask = Array3::from_elem(shape, false);
        mask.slice_mut(s![.., shape[1].saturating_sub(n_hidden).., ..]).fill(true);
        let (context, prompt) = (Context::Causal, Some(Prompt::Causal));
        Self { counted: mask.clone(), hidden: mask, shown: None, context, prompt, visible_scale: 1.0 }
    }

    /// Hides nothing and counts nothing: for reading latents.
    pub fn nothing(shape: [usize; 3], prompt: Prompt) -> Self {
        let mask = Array3::from_elem(shape, false);
        let context = if prompt == Prompt::Causal { Context::Causal } else { Context::Full };
        Self {
            counted: mask.clone(),
            hidden: mask,
            shown: None,
            context,
            prompt: Some(prompt),
            visible_scale: 1.0,
        }
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

    /// The counts a model may see: hidden entries are zero, or what [`MaskScheme::Bert`] shows of them; under coordinated
    /// dropout the others are scaled up.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn visible(&self, counts: ArrayView3<u16>) -> Array3<f32> {
        #[expect(clippy::cast_possible_truncation, reason = "inputs are single precision")]
        let scale = self.visible_scale as f32;
        let shown_count = |&c: &u16, &h: &bool| if h { 0.0 } else { scale * f32::from(c) };
        let zeroed = || Zip::from(counts).and(&self.hidden).map_collect(shown_count);
        let Some(shown) = &self.shown else { return zeroed() };
        let mut visible = zeroed();
        let trials = visible.outer_iter_mut().zip(counts.outer_iter());
        for ((mut visible, counts), (hidden, shown)) in
            trials.zip(self.hidden.outer_iter().zip(shown.outer_iter()))
        {
            let largest = counts.iter().copied().max().unwrap_or(0);
            let entries = Zip::from(&mut visible).and(&counts).and(&hidden).and(&shown);
            entries.for_each(|visible, &count, &hidden, shown| {
                if hidden {
                    *visible = shown.count(count, largest);
                }
            });
        }
        visible
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
            counted: self.counted.slice(s![range.clone(), .., ..]).to_owned(),
            shown: self.shown.as_ref().map(|shown| shown.slice(s![range, .., ..]).to_owned()),
            context: self.context,
            prompt: self.prompt,
            visible_scale: self.visible_scale,
        }
    }
}
