//! Which tokens are hidden: the mixed masking of NEDS.

use std::ops::Range;

use ndarray::{Array1, Array3, ArrayView3, ArrayViewMut2, Axis, s};
use neurobrick_core::ModelError;
use neurobrick_random::{Domain, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NedsModalities;
use crate::config::require;

/// Draws of masks, by step and place in the batch.
const MASK_DRAWS: Domain = Domain::Custom(0x4e45_4453);

/// What a window is asked, each by what is hidden of it (Zhang et al. 2025, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NedsScheme {
    /// Spikes from behavior: all tokens of spikes are hidden.
    Encoding,
    /// Behavior from spikes: all labels and behaviors are hidden.
    Decoding,
    /// Some bins of spikes from the others and from behavior.
    SelfSpike,
    /// Some bins of each behavior and some labels, from the others and from spikes.
    SelfBehavior,
    /// The same bins of spikes and of every behavior, and some labels.
    RandomToken,
}

impl NedsScheme {
    /// All schemes.
    pub const ALL: [Self; 5] =
        [Self::Encoding, Self::Decoding, Self::SelfSpike, Self::SelfBehavior, Self::RandomToken];

    /// Name as in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Encoding => "encoding",
            Self::Decoding => "decoding",
            Self::SelfSpike => "self_spike",
            Self::SelfBehavior => "self_behavior",
            Self::RandomToken => "random_token",
        }
    }

    /// Whether spikes are among what it asks for.
    pub fn hides_spikes(self) -> bool {
        matches!(self, Self::Encoding | Self::SelfSpike | Self::RandomToken)
    }

    /// Whether labels and behaviors are among what it asks for.
    pub fn hides_behavior(self) -> bool {
        matches!(self, Self::Decoding | Self::SelfBehavior | Self::RandomToken)
    }
}

/// Hides tokens of one window in `hidden` `[M, T]`; each of `[what]` reads a stream of its own.
fn hide(
    scheme: NedsScheme,
    mut hidden: ArrayViewMut2<'_, bool>,
    modalities: &NedsModalities,
    ratio: f64,
    stream: impl Fn(u64) -> Stream,
) {
    let n_bins = hidden.len_of(Axis(1));
    let bins = |what: u64| -> Vec<bool> {
        let mut draws = stream(what);
        (0..n_bins).map(|_| draws.bernoulli(ratio)).collect()
    };
    match scheme {
        NedsScheme::Encoding => hidden.row_mut(0).fill(true),
        NedsScheme::Decoding => hidden.slice_mut(s![1.., ..]).fill(true),
        NedsScheme::SelfSpike => hidden.row_mut(0).assign(&Array1::from(bins(0))),
        NedsScheme::SelfBehavior | NedsScheme::RandomToken => {
            // A label is in all its tokens: hiding some of them would leave it in the others.
            for number in 0..modalities.labels.len() {
                let place = NedsModalities::label(number);
                let is_hidden = stream(1 + place as u64).bernoulli(ratio);
                hidden.row_mut(place).fill(is_hidden);
            }
            for number in 0..modalities.behaviors.len() {
                let place = modalities.behavior(number);
                let what = if scheme == NedsScheme::RandomToken { 0 } else { 1 + place as u64 };
                hidden.row_mut(place).assign(&Array1::from(bins(what)));
            }
            if scheme == NedsScheme::RandomToken {
                hidden.row_mut(0).assign(&Array1::from(bins(0)));
            }
        }
    }
}

/// How training hides tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NedsMasking {
    /// Schemes, one drawn for every window ("mixed"); `["encoding"]` or `["decoding"]` alone are the unimodal models.
    pub schemes: Vec<NedsScheme>,
    /// Probability that a bin, or a label, is hidden by the schemes that hide some (published: 0.1; tuned from 0.1 to 0.4).
    pub ratio: f64,
}

impl Default for NedsMasking {
    fn default() -> Self {
        Self { schemes: NedsScheme::ALL.to_vec(), ratio: 0.1 }
    }
}

impl NedsMasking {
    /// Checks every value.
    ///
    /// # Errors
    /// If there is no scheme, or the ratio is not within 0 and 1.
    pub fn validate(&self) -> Result<(), ModelError> {
        require("masking.schemes", "none", !self.schemes.is_empty(), "at least one")?;
        let is_ratio = self.ratio > 0.0 && self.ratio < 1.0;
        require("masking.ratio", self.ratio, is_ratio, "above 0 and below 1")
    }

    /// The scheme of the window at `place` of the batch of `step`.
    ///
    /// # Panics
    /// Without schemes, which [`Self::validate`] refuses.
    pub fn scheme(&self, seed: u64, step: u64, place: u64) -> NedsScheme {
        self.schemes[Stream::new(seed, MASK_DRAWS, [step, place, 0]).below(self.schemes.len())]
    }

    /// Masks of the `n_windows` windows of the batch of `step`, a function of seed, step and place alone.
    ///
    /// # Panics
    /// Without schemes, which [`Self::validate`] refuses, or with a ratio that is no probability.
    pub fn draw(
        &self,
        modalities: &NedsModalities,
        [n_windows, n_bins]: [usize; 2],
        seed: u64,
        step: u64,
    ) -> NedsMask {
        let mut hidden = Array3::from_elem((n_windows, modalities.n_modalities(), n_bins), false);
        for (place, window) in (0..).zip(hidden.outer_iter_mut()) {
            let stream = |what: u64| Stream::new(seed, MASK_DRAWS, [step, place, 1 + what]);
            hide(self.scheme(seed, step, place), window, modalities, self.ratio, stream);
        }
        NedsMask { hidden }
    }
}

/// Which tokens are hidden, `[B, M, T]`; `true` = hidden. A label is hidden in all of its tokens or in none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NedsMask {
    hidden: Array3<bool>,
}

impl NedsMask {
    /// A mask of one's own, `[B, M, T]`.
    ///
    /// # Errors
    /// If it has another number of modalities, or hides some tokens of a label and shows others, which hides nothing.
    pub fn new(hidden: Array3<bool>, modalities: &NedsModalities) -> Result<Self, ModelError> {
        let received = hidden.len_of(Axis(1));
        let is_whole = received == modalities.n_modalities();
        require("modalities of a mask", received, is_whole, &modalities.n_modalities().to_string())?;
        for number in 0..modalities.labels.len() {
            for bins in hidden.index_axis(Axis(1), NedsModalities::label(number)).rows() {
                let n_hidden = bins.iter().filter(|&&h| h).count();
                let is_all_or_none = n_hidden == 0 || n_hidden == bins.len();
                require("hidden tokens of a label", n_hidden, is_all_or_none, "all or none")?;
            }
        }
        Ok(Self { hidden })
    }

    /// Hides all spikes: they are predicted from behavior.
    pub fn encoding(modalities: &NedsModalities, shape: [usize; 2]) -> Self {
        Self::hiding(0..1, modalities, shape)
    }

    /// Hides all labels and behaviors: they are predicted from spikes.
    pub fn decoding(modalities: &NedsModalities, shape: [usize; 2]) -> Self {
        Self::hiding(1..modalities.n_modalities(), modalities, shape)
    }

    /// Hides some modalities in all of `[n_windows, n_bins]`.
    fn hiding(places: Range<usize>, modalities: &NedsModalities, [n_windows, n_bins]: [usize; 2]) -> Self {
        let mut hidden = Array3::from_elem((n_windows, modalities.n_modalities(), n_bins), false);
        hidden.slice_mut(s![.., places, ..]).fill(true);
        Self { hidden }
    }

    /// The mask, `[B, M, T]`.
    pub fn hidden(&self) -> ArrayView3<'_, bool> {
        self.hidden.view()
    }

    /// The mask of some windows.
    #[must_use]
    pub fn windows(&self, range: Range<usize>) -> Self {
        Self { hidden: self.hidden.slice(s![range, .., ..]).to_owned() }
    }
}
