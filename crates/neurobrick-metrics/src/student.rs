//! Student's distribution.

/// Chance of a value of at least `t` under `freedom` degrees of freedom, by the incomplete beta function.
pub(crate) fn upper_tail(t: f64, freedom: f64) -> f64 {
    let tail = 0.5 * incomplete_beta(0.5 * freedom, 0.5, freedom / (freedom + t * t));
    if t > 0.0 { tail } else { 1.0 - tail }
}

/// The value that a draw exceeds with probability `tail`, below one half, under `freedom` degrees of freedom: halves an
/// interval until it has no room left.
pub(crate) fn critical(tail: f64, freedom: f64) -> f64 {
    let (mut below, mut above) = (0.0, 1.0);
    while upper_tail(above, freedom) > tail && above < f64::MAX / 2.0 {
        above *= 2.0;
    }
    loop {
        let middle = 0.5 * (below + above);
        if middle <= below || middle >= above {
            return middle;
        }
        if upper_tail(middle, freedom) > tail { below = middle } else { above = middle }
    }
}

/// Regularized incomplete beta function by Lentz's continued fraction (Press et al. 2007, section 6.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(b, a, 1.0 - x);
    }
    let log_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * x.ln() + b * (1.0 - x).ln();
    let not_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut d = 1.0 / not_zero(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / not_zero(1.0 + even * d);
        c = not_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / not_zero(1.0 + odd * d);
        c = not_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    log_front.exp() * fraction / a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.t.ppf(0.975, freedom)`.
    #[test]
    fn critical_values_are_those_of_tables() {
        for (freedom, expected) in
            [(1.0, 12.706_204_736_432_1), (2.0, 4.302_652_729_911_28), (10.0, 2.228_138_851_964_94)]
        {
            let found = critical(0.025, freedom);
            assert!((found - expected).abs() < 1e-9 * expected, "{freedom}: {found}");
        }
    }
}
