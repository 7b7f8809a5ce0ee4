//! Centered kernel alignment and Procrustes distance.

use ndarray::{Array2, ArrayView2, Axis};

use super::check_pair;
use crate::MetricError;
use crate::linalg::{matrix_of, product};

/// Linear centered kernel alignment of `[conditions, features]` matrices (Kornblith et al. 2019): 1 for equal up to
/// rotation and scale. With more features than conditions it is high between random matrices; see
/// [`linear_cka_unbiased`]. Fails on different rows, fewer than two, values not finite, and without variation.
pub fn linear_cka(x: &ArrayView2<f64>, y: &ArrayView2<f64>) -> Result<f64, MetricError> {
    check_pair(x, y, 2)?;
    let (k, l) = (centered(x), centered(y));
    let (k, l) = (k.dot(&k.t()), l.dot(&l.t()));
    ratio((&k * &l).sum(), (&k * &k).sum(), (&l * &l).sum())
}

/// The same from unbiased estimates of the kernels' independence criterion (Song et al. 2007), near zero between
/// unrelated matrices whatever their size; may be negative. Fails as [`linear_cka`], and on fewer than four rows.
pub fn linear_cka_unbiased(x: &ArrayView2<f64>, y: &ArrayView2<f64>) -> Result<f64, MetricError> {
    check_pair(x, y, 4)?;
    let kernel = |x: &ArrayView2<f64>| {
        // Centering the features leaves the estimate as it is and keeps its terms small.
        let x = centered(x);
        let mut k = x.dot(&x.t());
        k.diag_mut().fill(0.0);
        k
    };
    let (k, l, n) = (kernel(x), kernel(y), x.nrows() as f64);
    let criterion = |k: &Array2<f64>, l: &Array2<f64>| {
        let (rows_k, rows_l) = (k.sum_axis(Axis(1)), l.sum_axis(Axis(1)));
        (k * l).sum() + k.sum() * l.sum() / ((n - 1.0) * (n - 2.0)) - 2.0 / (n - 2.0) * rows_k.dot(&rows_l)
    };
    ratio(criterion(&k, &l), criterion(&k, &k), criterion(&l, &l))
}

fn ratio(cross: f64, first: f64, second: f64) -> Result<f64, MetricError> {
    if first <= 0.0 || second <= 0.0 {
        return Err(MetricError::NoVariation { what: "a representation over conditions" });
    }
    Ok(cross / (first.sqrt() * second.sqrt()))
}

fn centered(x: &ArrayView2<f64>) -> Array2<f64> {
    x - &(x.sum_axis(Axis(0)) / x.nrows() as f64)
}

/// The rotation, scale and shift that carry one representation onto another (Schönemann 1966).
#[derive(Clone, Debug, PartialEq)]
pub struct Procrustes {
    /// Orthogonal map, `[features of the first, features of the second]`.
    pub rotation: Array2<f64>,
    /// Scale of the rotated, centered first representation.
    pub scale: f64,
    /// What is left after scaling both to unit norm, between 0 (the same shape) and 1 (SciPy's disparity).
    pub disparity: f64,
    /// Angle between the shapes in radians, `arccos` of the aligned correlation: a metric.
    pub angle: f64,
}

impl Procrustes {
    /// Aligns `x` to `y`, both `[conditions, features]` with the same numbers of features (pad with zeros otherwise).
    /// Fails on different shapes, fewer than two rows, values not finite, and without variation.
    pub fn new(x: &ArrayView2<f64>, y: &ArrayView2<f64>) -> Result<Self, MetricError> {
        check_pair(x, y, 2)?;
        if x.ncols() != y.ncols() {
            let (expected, got) = (x.shape().to_vec(), y.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what: "second representation", expected, got });
        }
        let (x, y) = (centered(x), centered(y));
        let norm = |m: &Array2<f64>| m.iter().map(|v| v * v).sum::<f64>().sqrt();
        let (x_norm, y_norm) = (norm(&x), norm(&y));
        if x_norm == 0.0 || y_norm == 0.0 {
            return Err(MetricError::NoVariation { what: "a representation over conditions" });
        }
        let cross = product(matrix_of(&x.view()).transpose(), matrix_of(&y.view()).as_ref());
        let size = cross.nrows();
        let svd = cross.thin_svd().map_err(|_| MetricError::Eigen { size })?;
        let turned = product(svd.U(), svd.V().transpose());
        let nuclear: f64 = svd.S().column_vector().iter().sum();
        let correlation = (nuclear / (x_norm * y_norm)).min(1.0);
        Ok(Self {
            rotation: Array2::from_shape_fn((size, size), |(i, j)| turned[(i, j)]),
            scale: nuclear / (x_norm * x_norm),
            disparity: 1.0 - correlation * correlation,
            angle: correlation.acos(),
        })
    }
}
