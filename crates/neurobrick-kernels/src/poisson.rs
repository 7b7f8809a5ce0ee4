//! Poisson negative log-likelihood of counts under log rates, forward and backward.

use pulp::NullaryFnOnce;

use crate::exp_erf::exp;
use crate::lanes::{WIDE_LANES, fold_wide};
use crate::simd::run;

/// Sum over the counted entries of exp(o) − y o, the Poisson negative log-likelihood without its constant ln y!.
///
/// All slices have one length: `log_rates` o and `counts` y in spikes per bin, `counted` 1 where an entry counts and
/// 0 where it does not; such entries contribute exactly 0, whatever they hold. exp is good to 1.02 units in the last place of an `f32`;
/// everything else is in double precision, in an order that does not depend on the processor.
///
/// ```
/// let loss = neurobrick_kernels::poisson_nll(&[0.0, 200.0], &[3.0, 1.0], &[1.0, 0.0]);
/// assert_eq!(loss, 1.0);
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn poisson_nll(log_rates: &[f32], counts: &[f32], counted: &[f32]) -> f64 {
    assert_eq!(counts.len(), log_rates.len(), "poisson_nll: lengths of counts and log_rates");
    assert_eq!(counted.len(), log_rates.len(), "poisson_nll: lengths of counted and log_rates");
    run(Forward { log_rates, counts, counted })
}

/// Kernel of [`poisson_nll`].
struct Forward<'a> {
    log_rates: &'a [f32],
    counts: &'a [f32],
    counted: &'a [f32],
}

impl NullaryFnOnce for Forward<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { log_rates, counts, counted } = self;
        let mut lanes = [0.0; WIDE_LANES];
        let (log_rates, log_rates_rest) = log_rates.as_chunks::<WIDE_LANES>();
        let (counts, counts_rest) = counts.as_chunks::<WIDE_LANES>();
        let (counted, counted_rest) = counted.as_chunks::<WIDE_LANES>();
        for ((o, y), c) in log_rates.iter().zip(counts).zip(counted) {
            add_terms(&mut lanes, o, y, c);
        }
        add_terms(&mut lanes, log_rates_rest, counts_rest, counted_rest);
        fold_wide(lanes)
    }
}

#[inline(always)]
fn add_terms(lanes: &mut [f64; WIDE_LANES], log_rates: &[f32], counts: &[f32], counted: &[f32]) {
    for (((lane, &o), &y), &c) in lanes.iter_mut().zip(log_rates).zip(counts).zip(counted) {
        let term = f64::from(-y).mul_add(f64::from(o), f64::from(exp(o)));
        *lane += if c == 0.0 { 0.0 } else { term };
    }
}

/// [`poisson_nll`] of `log_rates`, which become its gradient: exp(o) − y where counted, exactly 0 elsewhere.
///
/// ```
/// let mut log_rates = [0.0, 200.0];
/// let loss = neurobrick_kernels::poisson_nll_and_slopes(&mut log_rates, &[3.0, 1.0], &[1.0, 0.0]);
/// assert_eq!((loss, log_rates), (1.0, [-2.0, 0.0]));
/// ```
///
/// # Panics
/// If the lengths differ.
pub fn poisson_nll_and_slopes(log_rates: &mut [f32], counts: &[f32], counted: &[f32]) -> f64 {
    assert_eq!(counts.len(), log_rates.len(), "poisson_nll_and_slopes: lengths of counts and log_rates");
    assert_eq!(counted.len(), log_rates.len(), "poisson_nll_and_slopes: lengths of counted and log_rates");
    run(ForwardBackward { log_rates, counts, counted })
}

/// Kernel of [`poisson_nll_and_slopes`].
struct ForwardBackward<'a> {
    log_rates: &'a mut [f32],
    counts: &'a [f32],
    counted: &'a [f32],
}

impl NullaryFnOnce for ForwardBackward<'_> {
    type Output = f64;

    #[inline(always)]
    fn call(self) -> f64 {
        let Self { log_rates, counts, counted } = self;
        let mut lanes = [0.0; WIDE_LANES];
        let (log_rates, log_rates_rest) = log_rates.as_chunks_mut::<WIDE_LANES>();
        let (counts, counts_rest) = counts.as_chunks::<WIDE_LANES>();
        let (counted, counted_rest) = counted.as_chunks::<WIDE_LANES>();
        for ((o, y), c) in log_rates.iter_mut().zip(counts).zip(counted) {
            add_terms_and_slopes(&mut lanes, o, y, c);
        }
        add_terms_and_slopes(&mut lanes, log_rates_rest, counts_rest, counted_rest);
        fold_wide(lanes)
    }
}

#[inline(always)]
fn add_terms_and_slopes(
    lanes: &mut [f64; WIDE_LANES],
    log_rates: &mut [f32],
    counts: &[f32],
    counted: &[f32],
) {
    for (((lane, o), &y), &c) in lanes.iter_mut().zip(log_rates).zip(counts).zip(counted) {
        let rate = exp(*o);
        let term = f64::from(-y).mul_add(f64::from(*o), f64::from(rate));
        *lane += if c == 0.0 { 0.0 } else { term };
        *o = if c == 0.0 { 0.0 } else { rate - y };
    }
}
