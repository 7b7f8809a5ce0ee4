//! Long signals cut into overlapping windows, and windows blended back.

use ndarray::{Array2, Array3, ArrayView2, ArrayView3, Axis, s};

use crate::MetricError;

/// Windows `[n, window, N]` of `values` (`[T, N]`), each starting `window − overlap` bins after the one before; what
/// does not fill a window at the end is left out. Fails unless `overlap < window` and at least one window fits.
pub fn chop(values: &ArrayView2<f64>, window: usize, overlap: usize) -> Result<Array3<f64>, MetricError> {
    let step = step(window, overlap)?;
    let Some(rest) = values.nrows().checked_sub(window) else {
        let (what, must) = ("window", "at most the number of bins");
        return Err(MetricError::InvalidSetting { what, value: window as f64, must });
    };
    let mut chops = Array3::zeros((rest / step + 1, window, values.ncols()));
    for (i, mut chop) in chops.outer_iter_mut().enumerate() {
        chop.assign(&values.slice(s![i * step..i * step + window, ..]));
    }
    Ok(chops)
}

/// Blends windows `[n, window, N]` back into `n_bins` bins; bins that no window reaches are NaN.
///
/// In an overlap of `o` bins the later window weighs `x^power` with `x` going evenly from `1/o` to `1 − 1/o`; an
/// infinite power keeps the earlier window. Fails unless `overlap < window`, on a power that is not positive, and if
/// the windows are longer than `n_bins`.
pub fn merge(
    chops: &ArrayView3<f64>,
    overlap: usize,
    n_bins: usize,
    power: f64,
) -> Result<Array2<f64>, MetricError> {
    let (n_chops, window, n_units) = chops.dim();
    let step = step(window, overlap)?;
    if power.is_nan() || power <= 0.0 {
        return Err(MetricError::InvalidSetting { what: "power", value: power, must: "above zero" });
    }
    let covered = n_chops.saturating_sub(1) * step + window;
    if n_chops == 0 || covered > n_bins {
        let (expected, got) = (vec![n_bins], vec![covered]);
        return Err(MetricError::ShapeMismatch { what: "bins of the windows", expected, got });
    }
    let mut out = Array2::from_elem((n_bins, n_units), f64::NAN);
    for (i, chop) in chops.axis_iter(Axis(0)).enumerate() {
        for bin in 0..window {
            let mut row = out.row_mut(i * step + bin);
            if i == 0 || bin >= overlap {
                row.assign(&chop.row(bin));
                continue;
            }
            let o = overlap as f64;
            let share = if overlap > 1 { bin as f64 / (o - 1.0) } else { 0.0 };
            let later = (1.0 / o + share * (1.0 - 2.0 / o)).powf(power);
            row.zip_mut_with(&chop.row(bin), |earlier, new| {
                *earlier = (1.0 - later) * *earlier + later * new;
            });
        }
    }
    Ok(out)
}

fn step(window: usize, overlap: usize) -> Result<usize, MetricError> {
    match window.checked_sub(overlap) {
        Some(step) if step > 0 => Ok(step),
        _ => {
            let must = "smaller than the window";
            Err(MetricError::InvalidSetting { what: "overlap", value: overlap as f64, must })
        }
    }
}
