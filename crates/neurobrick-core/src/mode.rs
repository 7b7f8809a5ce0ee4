//! Whether a forward pass is for training, and where its dropout comes from.

use neurobrick_random::{Domain, Stream};

/// Training with dropout, or evaluation without.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// No dropout.
    Eval,
    /// Dropout read from streams.
    Train(&'a DropoutStreams),
}

/// Dropout masks as a pure function of (seed, step, example, site).
///
/// Every trial of a batch has its own stream at every site, so the masks do not depend on how a batch is cut into
/// shards, and a resumed run drops the same units again.
#[derive(Clone, Copy, Debug)]
pub struct DropoutStreams {
    seed: u64,
    step: u64,
    first_example: u64,
}

impl DropoutStreams {
    /// Streams of `step`, for a shard that starts at trial `first_example` of the batch.
    pub fn new(seed: u64, step: u64, first_example: u64) -> Self {
        Self { seed, step, first_example }
    }

    /// Factors of inverted dropout (Srivastava et al. 2014): 0 with probability `p`, else `1 / (1 - p)`, for
    /// `n_examples` times `per_example` values. `p` is honored to within 2⁻¹⁷.
    pub fn factors(&self, p: f64, site: u64, n_examples: usize, per_example: usize) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "p lies in [0, 1)")]
        let threshold = (p * 65536.0).round() as u32;
        #[expect(clippy::cast_possible_truncation, reason = "a factor near one")]
        let keep = (1.0 / (1.0 - p)) as f32;
        let mut bytes = vec![0u8; 2 * per_example];
        let mut factors = Vec::with_capacity(n_examples * per_example);
        for example in 0..n_examples as u64 {
            let address = [self.step, self.first_example + example, site];
            Stream::new(self.seed, Domain::Dropout, address).fill(&mut bytes);
            factors.extend(bytes.chunks_exact(2).map(|pair| {
                let draw = u32::from(u16::from_le_bytes([pair[0], pair[1]]));
                if draw < threshold { 0.0 } else { keep }
            }));
        }
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_have_mean_one_and_do_not_depend_on_sharding() {
        let whole = DropoutStreams::new(5, 9, 0).factors(0.4, 3, 8, 1000);
        let mean = whole.iter().map(|&f| f64::from(f)).sum::<f64>() / 8000.0;
        // Standard error of the mean of {0, 1/0.6}: sqrt(0.4 / 0.6 / 8000) = 0.009.
        assert!((mean - 1.0).abs() < 0.036, "{mean}");
        let second_half = DropoutStreams::new(5, 9, 4).factors(0.4, 3, 4, 1000);
        assert_eq!(whole[4000..], second_half);
        assert_ne!(whole, DropoutStreams::new(5, 10, 0).factors(0.4, 3, 8, 1000));
    }
}
