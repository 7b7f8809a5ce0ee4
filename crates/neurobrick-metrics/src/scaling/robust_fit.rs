//! Power laws with a floor, of any number of sizes, fitted by Huber's loss of logarithms from many starts.

use rayon::prelude::*;

use crate::MetricError;

/// Residuals of the logarithm beyond this count by their size, not their square (Hoffmann et al. 2022).
const HUBER_DELTA: f64 = 1e-3;
/// Steps of a fit; with so small a delta it is nearly a fit of absolute deviations, which converges slowly.
const STEPS: usize = 2000;
/// A fit ends when its loss falls by less than this share.
const TOLERANCE: f64 = 1e-12;
/// Logarithm of the lowest floor, which stands for none.
const LOWEST_LOG_FLOOR: f64 = -40.0;

/// A measurement at `A` sizes, in logarithms.
pub(super) struct Point<const A: usize> {
    pub(super) log_sizes: [f64; A],
    pub(super) log_error: f64,
    pub(super) weight: f64,
}

/// The law `[floor, scale, exponent, scale, exponent, ..]` with the least loss, reached from any of the starts (the same
/// with logarithms in place of floor and scales). `P` is one more than twice the number of axes.
pub(super) fn best_law<const A: usize, const P: usize>(
    points: &[Point<A>],
    starts: Vec<[f64; P]>,
) -> Result<[f64; P], MetricError> {
    const { assert!(P == 2 * A + 1, "a floor, and a scale and an exponent for every axis") };
    let fits: Vec<(f64, [f64; P])> = starts.into_par_iter().map(|start| descend(points, start)).collect();
    let best = fits.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
    let (_, mut law) = best.ok_or(MetricError::Empty { what: "list of starts" })?;
    let lowest = points.iter().map(|point| point.log_error).fold(f64::INFINITY, f64::min);
    // At the bound there is no floor.
    law[0] = if law[0] <= lowest - 12.0 { 0.0 } else { law[0].exp() };
    for axis in 0..A {
        law[1 + 2 * axis] = law[1 + 2 * axis].exp();
    }
    Ok(law)
}

/// Number of different values.
pub(super) fn n_distinct(values: impl Iterator<Item = f64>) -> usize {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    values.len()
}

/// Levenberg-Marquardt steps on Huber's loss, reweighted at each step; the loss and where it ends.
fn descend<const A: usize, const P: usize>(points: &[Point<A>], start: [f64; P]) -> (f64, [f64; P]) {
    let (mut at, mut loss) = (start, loss_of(points, &start));
    let mut damping = 1e-3;
    for _ in 0..STEPS {
        let (normal, gradient) = linearized(points, &at);
        let mut moved = false;
        for _ in 0..12 {
            let mut system = normal;
            for (i, row) in system.iter_mut().enumerate() {
                row[i] += damping * (normal[i][i] + 1e-12);
            }
            if let Some(step) = solve(system, gradient) {
                let mut next = at;
                for (value, change) in next.iter_mut().zip(step) {
                    *value -= change;
                }
                next[0] = next[0].clamp(LOWEST_LOG_FLOOR, 40.0);
                let next_loss = loss_of(points, &next);
                if next_loss < loss {
                    moved = loss - next_loss > TOLERANCE * loss;
                    (at, loss) = (next, next_loss);
                    damping = (damping / 3.0).max(1e-12);
                    break;
                }
            }
            damping *= 4.0;
        }
        if !moved {
            break;
        }
    }
    (loss, at)
}

/// Logarithm of the prediction and its slope in every parameter.
fn predicted<const A: usize, const P: usize>(at: &[f64; P], log_sizes: &[f64; A]) -> (f64, [f64; P]) {
    let term = |axis: usize| at[1 + 2 * axis] - at[2 + 2 * axis] * log_sizes[axis];
    let high = (0..A).map(term).fold(at[0], f64::max);
    let mut slope = [0.0; P];
    slope[0] = (at[0] - high).exp();
    let mut sum = slope[0];
    for axis in 0..A {
        let part = (term(axis) - high).exp();
        sum += part;
        slope[1 + 2 * axis] = part;
        slope[2 + 2 * axis] = -part * log_sizes[axis];
    }
    (high + sum.ln(), slope.map(|part| part / sum))
}

fn loss_of<const A: usize, const P: usize>(points: &[Point<A>], at: &[f64; P]) -> f64 {
    let huber = |r: f64| {
        if r.abs() <= HUBER_DELTA { 0.5 * r * r } else { HUBER_DELTA * (r.abs() - 0.5 * HUBER_DELTA) }
    };
    points.iter().map(|point| point.weight * huber(predicted(at, &point.log_sizes).0 - point.log_error)).sum()
}

/// Weighted normal matrix and gradient.
fn linearized<const A: usize, const P: usize>(
    points: &[Point<A>],
    at: &[f64; P],
) -> ([[f64; P]; P], [f64; P]) {
    let (mut normal, mut gradient) = ([[0.0; P]; P], [0.0; P]);
    for point in points {
        let (log_error, slope) = predicted(at, &point.log_sizes);
        let residual = log_error - point.log_error;
        let weight = point.weight * (HUBER_DELTA / residual.abs()).min(1.0);
        for i in 0..P {
            gradient[i] += weight * slope[i] * residual;
            for j in 0..P {
                normal[i][j] += weight * slope[i] * slope[j];
            }
        }
    }
    (normal, gradient)
}

/// Gauss elimination with pivots; `None` for a singular system.
fn solve<const P: usize>(mut a: [[f64; P]; P], mut b: [f64; P]) -> Option<[f64; P]> {
    for k in 0..P {
        let pivot = (k..P).max_by(|&i, &j| a[i][k].abs().total_cmp(&a[j][k].abs()))?;
        a.swap(k, pivot);
        b.swap(k, pivot);
        for i in k + 1..P {
            let factor = a[i][k] / a[k][k];
            let above = a[k];
            for (value, over) in a[i].iter_mut().zip(above).skip(k) {
                *value -= factor * over;
            }
            b[i] -= factor * b[k];
        }
    }
    let mut x = [0.0; P];
    for k in (0..P).rev() {
        let rest: f64 = (k + 1..P).map(|j| a[k][j] * x[j]).sum();
        x[k] = (b[k] - rest) / a[k][k];
    }
    x.iter().all(|v| v.is_finite()).then_some(x)
}
