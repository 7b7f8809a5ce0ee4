//! The stream: a ChaCha8 key stream addressed by seed, domain and three indices.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream is used for. Streams of different domains are independent even under one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Domain {
    /// Assignment of trials or sessions to train, valid and test.
    Split,
    /// Order of trials and batches within an epoch.
    Order,
    /// Choice of the mask scheme of a step.
    Scheme,
    /// Entries hidden by a mask.
    Mask,
    /// Initial weights.
    Init,
    /// Resampling for intervals.
    Bootstrap,
    /// Subsets of units drawn for an evaluation.
    Units,
    /// Folds of a cross-validation.
    Fold,
    /// Synthetic data.
    Synthetic,
    /// A domain of one's own; pick any number and keep it.
    Custom(u32),
}

impl Domain {
    /// The number that enters the key. Part of every recorded result: never renumber.
    const fn tag(self) -> u64 {
        match self {
            Self::Split => 1,
            Self::Order => 2,
            Self::Scheme => 3,
            Self::Mask => 4,
            // 5 was dropout's.
            Self::Init => 6,
            Self::Bootstrap => 7,
            Self::Units => 8,
            Self::Fold => 9,
            Self::Synthetic => 10,
            Self::Custom(n) => (1 << 32) | n as u64,
        }
    }
}

/// 64-bit FNV-1a of a name, to address streams by what they are for (a session, a part of a model) rather than by
/// position in a list.
pub fn name_index(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A reproducible stream of random numbers.
///
/// ChaCha8 (Bernstein 2008) with key `seed ‖ domain ‖ index0 ‖ index1` (four little-endian `u64`) and nonce
/// `index2`. The conversions below are our own, so values do not move with a dependency's version.
#[derive(Clone, Debug)]
pub struct Stream {
    rng: ChaCha8Rng,
}

impl Stream {
    /// The stream of `(seed, domain, indices)`, at its start.
    pub fn new(seed: u64, domain: Domain, indices: [u64; 3]) -> Self {
        let mut key = [0u8; 32];
        for (slot, word) in key.chunks_exact_mut(8).zip([seed, domain.tag(), indices[0], indices[1]]) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(indices[2]);
        Self { rng }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.rng.next_u64()
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.rng.fill_bytes(bytes);
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³.
    pub fn uniform(&mut self) -> f64 {
        // 53 bits fit an f64 exactly.
        (self.bits() >> 11) as f64 * (1.0 / 9_007_199_254_740_992.0)
    }

    /// Uniform in `[low, high)`.
    pub fn uniform_in(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// `true` with probability `p`.
    pub fn bernoulli(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// Standard normal, by Box and Muller's transform (1958), one value per two uniforms.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in `0..n`, without modulo bias (Lemire 2019, with rejection).
    ///
    /// # Panics
    /// If `n` is zero: there is nothing to choose from.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot choose among zero items");
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let wide = u128::from(self.bits()) * u128::from(n);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the low half is what Lemire's test compares"
            )]
            let low = wide as u64;
            if low >= threshold {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "the high half is below n, which is a usize"
                )]
                return (wide >> 64) as usize;
            }
        }
    }

    /// Poisson with mean `mean`, by inversion (Devroye 1986, chapter X.3); meant for means below about 50.
    pub fn poisson(&mut self, mean: f64) -> u32 {
        let mut left = self.uniform();
        let mut p = (-mean).exp();
        let mut k = 0;
        while left > p && k < 10_000 {
            left -= p;
            k += 1;
            p *= mean / f64::from(k);
        }
        k
    }

    /// Shuffles in place (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    /// A random permutation of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_replay_and_differ_by_every_address_part() {
        let draw = |seed, domain, indices| Stream::new(seed, domain, indices).bits();
        let base = draw(1, Domain::Mask, [2, 3, 4]);
        assert_eq!(base, draw(1, Domain::Mask, [2, 3, 4]));
        for other in [
            draw(0, Domain::Mask, [2, 3, 4]),
            draw(1, Domain::Order, [2, 3, 4]),
            draw(1, Domain::Mask, [0, 3, 4]),
            draw(1, Domain::Mask, [2, 0, 4]),
            draw(1, Domain::Mask, [2, 3, 0]),
            draw(1, Domain::Custom(4), [2, 3, 4]),
        ] {
            assert_ne!(base, other);
        }
    }

    /// Results are recorded with their seed, so these values must never move.
    #[test]
    fn first_values_are_pinned() {
        let mut s = Stream::new(42, Domain::Init, [0, 0, 0]);
        let drawn = [s.bits(), s.bits()];
        assert_eq!(drawn, PINNED);
    }
    const PINNED: [u64; 2] = [1_354_496_209_068_120_656, 2_572_670_411_884_298_866];

    #[test]
    fn moments_are_those_of_the_distribution() {
        let n = 200_000;
        let mut s = Stream::new(9, Domain::Synthetic, [0, 0, 0]);
        let mean = |f: &mut dyn FnMut() -> f64| (0..n).map(|_| f()).sum::<f64>() / f64::from(n);
        // Four standard errors of each mean.
        assert!((mean(&mut || s.uniform()) - 0.5).abs() < 4.0 * 0.289 / 447.0);
        assert!(mean(&mut || s.normal()).abs() < 4.0 / 447.0);
        assert!((mean(&mut || s.normal().powi(2)) - 1.0).abs() < 4.0 * 1.42 / 447.0);
        assert!((mean(&mut || f64::from(s.poisson(3.0))) - 3.0).abs() < 4.0 * 1.74 / 447.0);
        assert!((mean(&mut || s.below(7) as f64) - 3.0).abs() < 4.0 * 2.0 / 447.0);
    }

    /// The published test vectors of FNV-1a for the empty string and "a".
    #[test]
    fn names_hash_as_published() {
        assert_eq!([name_index(""), name_index("a")], [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c]);
    }

    #[test]
    fn permutation_holds_each_index_once() {
        let mut order = Stream::new(3, Domain::Order, [0, 0, 0]).permutation(1000);
        assert_ne!(order, (0..1000).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..1000).collect::<Vec<_>>());
    }
}
