//! How alike two representations of the same conditions are, and how much of what can be explained is.
//!
//! [`linear_cka`], [`Procrustes`] and [`Dissimilarity`] compare `[conditions, features]` matrices with the same rows.
//! [`Reliability`], [`fraction_explainable`] and [`RdmCeiling`] say how much of a noisy response any model could explain.

mod alignment;
mod dissimilarity;
mod rdm_ceiling;
mod reliability;

pub use alignment::{Procrustes, linear_cka, linear_cka_unbiased};
pub use dissimilarity::{Dissimilarity, DissimilarityKind};
pub use rdm_ceiling::{RdmAgreement, RdmCeiling};
pub use reliability::{Correlation, ExplainedVariance, NormalizedScore, Reliability, fraction_explainable};

use dissimilarity::ranks;

use ndarray::ArrayView2;

use crate::MetricError;

/// Same number of rows, at least `least`, all finite.
fn check_pair(x: &ArrayView2<f64>, y: &ArrayView2<f64>, least: usize) -> Result<(), MetricError> {
    if x.nrows() != y.nrows() {
        let (expected, got) = (vec![x.nrows(), y.ncols()], y.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "second representation", expected, got });
    }
    check_one(x, least, "first representation")?;
    check_one(y, least, "second representation")
}

fn check_one(x: &ArrayView2<f64>, least: usize, what: &'static str) -> Result<(), MetricError> {
    if x.is_empty() || x.nrows() < least {
        return Err(MetricError::Empty { what: "set of enough conditions" });
    }
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        Some(((row, column), &value)) => {
            Err(MetricError::NotFinite { what, value, index: vec![row, column] })
        }
        None => Ok(()),
    }
}
