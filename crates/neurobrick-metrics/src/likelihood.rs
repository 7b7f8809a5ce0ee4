//! Poisson likelihood and bits per spike, by the rules of the Neural Latents Benchmark.
//!
//! Reference: `nlb_tools.evaluation` (`neg_log_likelihood`, `bits_per_spike`), commit 1ddc15f, MIT. A NaN count
//! masks its entry in model and null; a NaN or negative rate elsewhere is an error; a rate of exactly zero counts
//! as [`RATE_FLOOR`]. The null predicts each unit's mean over the evaluated data itself.

use std::f64::consts::LN_2;

use ndarray::{ArrayView, ArrayView3, Axis, Dimension, IntoDimension, s};
use rayon::prelude::*;

use crate::MetricError;

/// The rate in spikes/bin that stands for a predicted rate of exactly zero (`nlb_tools`).
pub const RATE_FLOOR: f64 = 1e-9;

/// Trials whose sums one thread takes at a time.
const BLOCK: usize = 16;

/// Exact Poisson negative log-likelihood in nats, `Σ r − n ln r + ln Γ(n + 1)`, over entries with a count.
///
/// `rates` and `counts` have one shape, in spikes/bin. Fails on a shape mismatch, on a NaN or negative rate where
/// the count is observed, and on a negative or infinite count.
#[expect(clippy::needless_pass_by_value, reason = "a view is a reference; callers pass `rates.view()`")]
pub fn poisson_nll<D: Dimension>(
    rates: ArrayView<f64, D>,
    counts: ArrayView<f64, D>,
) -> Result<f64, MetricError> {
    check_shapes(rates.shape(), counts.shape())?;
    let mut nll = 0.0;
    for ((index, &count), &rate) in counts.indexed_iter().zip(rates.iter()) {
        if count.is_nan() {
            continue;
        }
        let position = || index.clone().into_dimension().slice().to_vec();
        let rate = checked_rate(rate, position)?;
        check_count(count, position)?;
        nll += entry_cost(rate, count) + libm::lgamma(count + 1.0);
    }
    Ok(nll)
}

/// Bits per spike of `rates` over the evaluated-mean null, pooled over all units (the benchmark's number).
///
/// Both arrays are `[B, T, N]` in spikes/bin. Without any spike the ratio is −∞ (or NaN for the null itself), as in
/// the reference. Errors as [`poisson_nll`].
pub fn bits_per_spike(rates: &ArrayView3<f64>, counts: &ArrayView3<f64>) -> Result<f64, MetricError> {
    let units = per_unit_sums(rates, counts)?;
    let gain: f64 = units.iter().map(|u| u.gain).sum();
    let spikes: f64 = units.iter().map(|u| u.spikes).sum();
    Ok(gain / spikes / LN_2)
}

/// Bits per spike of each unit alone, infinite values turned into NaN: the convention of the multi-task-masking
/// and NEDS papers, which then average the finite values over units.
///
/// Arrays and errors as [`bits_per_spike`]; one value per unit.
pub fn bits_per_spike_per_unit(
    rates: &ArrayView3<f64>,
    counts: &ArrayView3<f64>,
) -> Result<Vec<f64>, MetricError> {
    let finite_or_nan = |bits: f64| if bits.is_infinite() { f64::NAN } else { bits };
    Ok(per_unit_sums(rates, counts)?.iter().map(|u| finite_or_nan(u.gain / u.spikes / LN_2)).collect())
}

/// Mean of each unit over the entries of `counts` (`[B, T, N]`, spikes/bin) that are not NaN; NaN without any.
pub fn evaluated_mean(counts: &ArrayView3<f64>) -> Vec<f64> {
    let n_units = counts.len_of(Axis(2));
    let of_block = |block: ArrayView3<'_, f64>| {
        let (mut sums, mut seen) = (vec![0.0; n_units], vec![0.0; n_units]);
        for row in block.rows() {
            for ((sum, n), &count) in sums.iter_mut().zip(&mut seen).zip(row) {
                if !count.is_nan() {
                    *sum += count;
                    *n += 1.0;
                }
            }
        }
        (sums, seen)
    };
    let blocks: Vec<_> = blocks_of(counts).map(of_block).collect();
    let total = |unit: usize| {
        blocks.iter().fold((0.0, 0.0), |(sum, n), (sums, seen)| (sum + sums[unit], n + seen[unit]))
    };
    (0..n_units)
        .map(|unit| {
            let (sum, n) = total(unit);
            sum / n
        })
        .collect()
}

/// Trials in blocks of a fixed size, each for one thread: sums over blocks do not depend on the number of threads.
fn blocks_of<'a>(
    counts: &'a ArrayView3<'_, f64>,
) -> impl IndexedParallelIterator<Item = ArrayView3<'a, f64>> {
    let n_trials = counts.len_of(Axis(0));
    (0..n_trials.div_ceil(BLOCK))
        .into_par_iter()
        .map(move |block| counts.slice(s![block * BLOCK..((block + 1) * BLOCK).min(n_trials), .., ..]))
}

struct UnitSums {
    /// NLL of the null minus NLL of the model, nats.
    gain: f64,
    spikes: f64,
}

fn per_unit_sums(rates: &ArrayView3<f64>, counts: &ArrayView3<f64>) -> Result<Vec<UnitSums>, MetricError> {
    check_shapes(rates.shape(), counts.shape())?;
    let null: Vec<f64> =
        evaluated_mean(counts).into_iter().map(|rate| if rate == 0.0 { RATE_FLOOR } else { rate }).collect();
    let zero = || null.iter().map(|_| UnitSums { gain: 0.0, spikes: 0.0 }).collect::<Vec<_>>();
    let of_block = |block: usize, (rates, counts): (ArrayView3<'_, f64>, ArrayView3<'_, f64>)| {
        let mut units = zero();
        for (row, (predicted, observed)) in rates.rows().into_iter().zip(counts.rows()).enumerate() {
            let n_bins = counts.len_of(Axis(1));
            let entries = units.iter_mut().zip(&null).zip(predicted).zip(observed).enumerate();
            for (unit, (((sums, &null_rate), &rate), &count)) in entries {
                if count.is_nan() {
                    continue;
                }
                let position = || vec![block * BLOCK + row / n_bins, row % n_bins, unit];
                let rate = checked_rate(rate, position)?;
                check_count(count, position)?;
                sums.gain += entry_gain(rate, null_rate, count);
                sums.spikes += count;
            }
        }
        Ok(units)
    };
    let both = blocks_of(rates).zip(blocks_of(counts)).enumerate();
    let blocks: Vec<Result<Vec<UnitSums>, MetricError>> = both.map(|(i, pair)| of_block(i, pair)).collect();
    let mut total = zero();
    for block in blocks {
        for (sum, part) in total.iter_mut().zip(block?) {
            sum.gain += part.gain;
            sum.spikes += part.spikes;
        }
    }
    Ok(total)
}

/// `r − n ln r`: the part of the cost that depends on the rate, nats.
pub(crate) fn entry_cost(rate: f64, count: f64) -> f64 {
    if count == 0.0 { rate } else { rate - count * rate.ln() }
}

/// Log-likelihood of `rate` minus that of `null_rate`, nats. Exactly zero if the rates are equal.
pub(crate) fn entry_gain(rate: f64, null_rate: f64, count: f64) -> f64 {
    let spikes = if count == 0.0 { 0.0 } else { count * (rate / null_rate).ln() };
    spikes - (rate - null_rate)
}

/// The rate with exact zero replaced by [`RATE_FLOOR`]; rates that are NaN, infinite or negative are errors.
pub(crate) fn checked_rate(rate: f64, position: impl Fn() -> Vec<usize>) -> Result<f64, MetricError> {
    if rate.is_nan() {
        return Err(MetricError::NanRate { index: position() });
    }
    if rate < 0.0 {
        return Err(MetricError::NegativeRate { value: rate, index: position() });
    }
    if rate.is_infinite() {
        return Err(MetricError::NotFinite { what: "rates", value: rate, index: position() });
    }
    Ok(if rate == 0.0 { RATE_FLOOR } else { rate })
}

pub(crate) fn check_count(count: f64, position: impl Fn() -> Vec<usize>) -> Result<(), MetricError> {
    if count.is_finite() && count >= 0.0 {
        return Ok(());
    }
    Err(MetricError::InvalidCount { what: "counts", value: count, index: position() })
}

pub(crate) fn check_shapes(rates: &[usize], counts: &[usize]) -> Result<(), MetricError> {
    if rates == counts {
        return Ok(());
    }
    Err(MetricError::ShapeMismatch { what: "rates", expected: counts.to_vec(), got: rates.to_vec() })
}
