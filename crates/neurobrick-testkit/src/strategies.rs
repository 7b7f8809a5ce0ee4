//! Inputs for property tests of one's own model.

use ndarray::Array3;
use neurobrick_core::MaskScheme;
use proptest::prelude::*;

/// Every mask scheme that shows nothing of what it hides, at its published ratio; patches are of 4 units.
pub const SCHEMES: [MaskScheme; 7] = [
    MaskScheme::Temporal { ratio: 0.3 },
    MaskScheme::Neuron { ratio: 0.3 },
    MaskScheme::Causal { ratio: 0.6 },
    MaskScheme::InterRegion,
    MaskScheme::IntraRegion { ratio: 0.3 },
    MaskScheme::Random { ratio: 0.3 },
    MaskScheme::Patch { ratio: 0.5, n_units: 4 },
];

/// One of [`SCHEMES`].
pub fn mask_scheme() -> impl Strategy<Value = MaskScheme> {
    prop::sample::select(SCHEMES.to_vec())
}

/// Counts `[trial, bin, unit]` of 0 to `largest` spikes per bin.
///
/// # Panics
/// Never: as many values are drawn as there are entries.
pub fn counts(shape: [usize; 3], largest: u16) -> impl Strategy<Value = Array3<u16>> {
    prop::collection::vec(0..=largest, shape.iter().product::<usize>())
        .prop_map(move |values| Array3::from_shape_vec(shape, values).expect("as many values as entries"))
}
