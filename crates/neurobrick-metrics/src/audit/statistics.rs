//! Statistics that have seen the test rows.

use ndarray::{Array2, ArrayView2, Axis};

use super::{AuditRows, AuditSplit, Check, Finding, Outcome};

/// How exactly a standardized column has mean zero and variance one; f32 features keep some 1e-6.
const EXACT: f64 = 1e-5;
/// Share of columns that must bear the mark.
const MOST: f64 = 0.9;

/// Looks for the mark that a standardization or whitening leaves: means of exactly zero and variances of exactly one over
/// *all* rows, which the training rows alone do not have.
pub(super) fn fitted_before_split(rows: &AuditRows, split: &AuditSplit) -> Finding {
    let of_all = marked(&rows.features.view());
    let of_train = marked(&rows.features.select(Axis(0), &split.train).view());
    let numbers = [("columns standardized over all rows", of_all), ("over training rows", of_train)];
    let check = Check::StatisticsBeforeSplit;
    if of_all >= MOST && of_train < MOST {
        let white = if is_white(&rows.features) { " and uncorrelated, as whitening makes them" } else { "" };
        let message = format!(
            "{:.0} % of the features have mean 0 and variance 1 over training and test rows together{white}; \
             fit such statistics on the training rows alone",
            100.0 * of_all
        );
        return Finding::new(check, Outcome::Fail, message, &numbers);
    }
    let message = if of_train >= MOST {
        "features are standardized by the training rows".to_owned()
    } else {
        "features bear no mark of statistics fitted on all rows (a transform that leaves none is not seen)"
            .to_owned()
    };
    Finding::new(check, Outcome::Pass, message, &numbers)
}

/// Share of columns with mean zero and variance one (population or sample).
fn marked(x: &ArrayView2<f64>) -> f64 {
    let n = x.nrows() as f64;
    let is_marked = |column: ndarray::ArrayView1<f64>| {
        let mean = column.sum() / n;
        let squares = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let near_one = |variance: f64| (variance - 1.0).abs() < EXACT;
        mean.abs() < EXACT && (near_one(squares / n) || near_one(squares / (n - 1.0)))
    };
    x.columns().into_iter().filter(|column| is_marked(*column)).count() as f64 / x.ncols().max(1) as f64
}

fn is_white(x: &Array2<f64>) -> bool {
    let second = x.t().dot(x) / x.nrows() as f64;
    x.ncols() > 1 && second.indexed_iter().all(|((i, j), v)| i == j || v.abs() < EXACT)
}
