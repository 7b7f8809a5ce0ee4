//! Spike sequences altered in one respect: what a model of activity should tell from the real ones.

use ndarray::{Array2, ArrayView2};
use neurobrick_random::{Domain, Stream};
use serde::{Deserialize, Serialize};

use crate::MetricError;
use crate::likelihood::{check_count, checked_rate};

/// Streams of alterations; part of every recorded result.
const DOMAIN: Domain = Domain::Custom(0x5355_5252);

/// What an alteration of a trial's spikes changes, and by that what it leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alteration {
    /// Each unit's spikes are moved around the window's circle by a number of bins of its own. Kept: every unit's counts and
    /// their order on the circle, so its rhythm. Lost: when units fire, and with whom.
    TimeShift,
    /// Units of neighboring rates change places. Kept: every bin's count over all units, and every spike's time. Lost: who
    /// fires.
    UnitSwap,
    /// Each unit's spikes fall anywhere in the window, as those of a Poisson process of constant rate do whose number is known.
    /// Kept: every unit's number of spikes. Lost: when.
    RateMatchedPoisson,
}

impl Alteration {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 3] = [Self::TimeShift, Self::UnitSwap, Self::RateMatchedPoisson];

    /// Name as in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::TimeShift => "time_shift",
            Self::UnitSwap => "unit_swap",
            Self::RateMatchedPoisson => "rate_matched_poisson",
        }
    }
}

/// Makes altered copies of trials, each the same whenever it is asked for.
///
/// ```
/// use ndarray::array;
/// use neurobrick_metrics::{Alteration, Surrogates};
///
/// // Bins by units.
/// let trial = array![[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [1.0, 0.0]];
/// let surrogates = Surrogates::new(Alteration::UnitSwap, &[0.5, 0.5], None, 7)?;
/// let altered = surrogates.altered(&trial.view(), [3, 0])?;
/// assert_eq!(altered.column(0), trial.column(1));
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Surrogates {
    alteration: Alteration,
    /// Units in the order of their rates.
    by_rate: Vec<usize>,
    n_altered: usize,
    seed: u64,
}

impl Surrogates {
    /// For trials with units of these rates, in spikes/bin, such as means over training trials; `n_altered` of the units are
    /// altered in each copy (the nearest even number if they are swapped), all if it is absent.
    ///
    /// Fails on rates that are not numbers, on fewer units than one (two if they are swapped), and if as few are to be altered.
    pub fn new(
        alteration: Alteration,
        rates: &[f64],
        n_altered: Option<usize>,
        seed: u64,
    ) -> Result<Self, MetricError> {
        if let Some((index, &value)) = rates.iter().enumerate().find(|(_, rate)| !rate.is_finite()) {
            return Err(MetricError::NotFinite { what: "rates of units", value, index: vec![index] });
        }
        let (least, must) = match alteration {
            Alteration::UnitSwap => (2, "at least 2, for a swap needs a partner"),
            Alteration::TimeShift | Alteration::RateMatchedPoisson => (1, "at least 1"),
        };
        let n_altered = n_altered.unwrap_or(rates.len()).min(rates.len());
        if n_altered < least {
            let (what, value) = ("number of altered units", n_altered as f64);
            return Err(MetricError::InvalidSetting { what, value, must });
        }
        let mut by_rate: Vec<usize> = (0..rates.len()).collect();
        by_rate.sort_by(|&a, &b| rates[a].total_cmp(&rates[b]));
        Ok(Self { alteration, by_rate, n_altered, seed })
    }

    /// An altered copy of the counts `[T, N]` of a trial; `address` tells trials and draws apart. May equal the trial, where a
    /// unit has too few spikes for the alteration to show.
    ///
    /// Fails on another number of units, without a bin, and on counts that are no whole numbers.
    pub fn altered(&self, counts: &ArrayView2<f64>, address: [u64; 2]) -> Result<Array2<f64>, MetricError> {
        let (n_bins, n_units) = counts.dim();
        if n_units != self.by_rate.len() {
            let (expected, got) = (vec![n_bins, self.by_rate.len()], vec![n_bins, n_units]);
            return Err(MetricError::ShapeMismatch { what: "counts of a trial", expected, got });
        }
        if n_bins == 0 {
            return Err(MetricError::Empty { what: "trial" });
        }
        let is_whole = |count: f64| count.is_finite() && count >= 0.0 && count.fract() == 0.0;
        if let Some(((bin, unit), &value)) = counts.indexed_iter().find(|(_, count)| !is_whole(**count)) {
            return Err(MetricError::InvalidCount {
                what: "counts of a trial",
                value,
                index: vec![bin, unit],
            });
        }
        let mut stream = Stream::new(self.seed, DOMAIN, [address[0], address[1], self.alteration as u64]);
        let mut altered = counts.to_owned();
        match self.alteration {
            Alteration::TimeShift => {
                for unit in self.drawn(&mut stream) {
                    // A trial of one bin has no other place.
                    let shift = if n_bins > 1 { 1 + stream.below(n_bins - 1) } else { 0 };
                    for bin in 0..n_bins {
                        altered[[(bin + shift) % n_bins, unit]] = counts[[bin, unit]];
                    }
                }
            }
            Alteration::UnitSwap => {
                for [a, b] in self.pairs(&mut stream) {
                    altered.column_mut(a).assign(&counts.column(b));
                    altered.column_mut(b).assign(&counts.column(a));
                }
            }
            Alteration::RateMatchedPoisson => {
                for unit in self.drawn(&mut stream) {
                    let mut left = counts.column(unit).sum();
                    altered.column_mut(unit).fill(0.0);
                    while left > 0.5 {
                        altered[[stream.below(n_bins), unit]] += 1.0;
                        left -= 1.0;
                    }
                }
            }
        }
        Ok(altered)
    }

    /// The units to alter, ascending.
    fn drawn(&self, stream: &mut Stream) -> Vec<usize> {
        let mut units: Vec<usize> = (0..self.by_rate.len()).collect();
        if self.n_altered < units.len() {
            stream.shuffle(&mut units);
            units.truncate(self.n_altered);
            units.sort_unstable();
        }
        units
    }

    /// Neighbors in the order of rates, those from the first on or those from the second on, by a coin: so every unit has two
    /// partners.
    fn pairs(&self, stream: &mut Stream) -> Vec<[usize; 2]> {
        let start = if self.by_rate.len() > 2 { stream.below(2) } else { 0 };
        let mut pairs: Vec<[usize; 2]> =
            self.by_rate[start..].chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect();
        let n_wanted = (self.n_altered / 2).max(1);
        if n_wanted < pairs.len() {
            stream.shuffle(&mut pairs);
            pairs.truncate(n_wanted);
        }
        pairs
    }
}

/// How much likelier the real counts are than altered ones under a prediction of both, in nats: `Σ (n − n′) ln r − ln n! +
/// ln n′!`, the difference of two Poisson log likelihoods, whose rates cancel. Zero where a prediction cannot tell them apart,
/// up to the rounding of the sum.
///
/// All are `[T, N]`, rates in spikes/bin. Fails on different shapes, on counts below zero or not finite, and on a NaN or
/// negative rate where the two differ; a rate of zero counts as [`RATE_FLOOR`](crate::RATE_FLOOR).
pub fn log_likelihood_ratio(
    rates: &ArrayView2<f64>,
    real: &ArrayView2<f64>,
    altered: &ArrayView2<f64>,
) -> Result<f64, MetricError> {
    for (what, counts) in [("real counts", real), ("altered counts", altered)] {
        if counts.dim() != rates.dim() {
            let (expected, got) = (rates.shape().to_vec(), counts.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what, expected, got });
        }
    }
    let (mut sum, mut size) = (0.0, 0.0);
    for (((bin, unit), &rate), (&real, &altered)) in rates.indexed_iter().zip(real.iter().zip(altered)) {
        let position = || vec![bin, unit];
        check_count(real, position)?;
        check_count(altered, position)?;
        #[expect(clippy::float_cmp, reason = "equal counts cancel exactly")]
        if real == altered {
            continue;
        }
        let rate = checked_rate(rate, position)?;
        let term = (real - altered) * rate.ln() - libm::lgamma(real + 1.0) + libm::lgamma(altered + 1.0);
        sum += term;
        size += term.abs();
    }
    // Constant rates cannot tell a shift from the truth; what is left of the sum then is rounding.
    Ok(if sum.abs() <= 1e-12 * size { 0.0 } else { sum })
}
