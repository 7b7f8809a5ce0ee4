//! Spectra of stretches of single channels.

use std::f64::consts::PI;

use burn::tensor::{Tensor, TensorData};
use neurobrick_core::{TokenizeError, Tokenizer, Tokens};

use crate::SignalPatches;
use crate::time_bins::positive;

/// A token for each stretch of each channel of signals `[B, T, C]`, which carries the natural logarithm of its one-sided power
/// spectral density: values `[B, S, F]` at the frequencies `0, rate / n, …` up to half the rate, of patches of `n` samples.
///
/// Patches are weighted by a periodic Hann window, without detrending: the density of `scipy.signal.spectrogram(x, rate, "hann",
/// n, n - hop, detrend=False)`, in the square of the signal's unit per Hz. `floor` is added to it, so that silence is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectrogram {
    patches: SignalPatches,
    floor: f64,
}

impl Spectrogram {
    /// Spectra of `patches`; `floor` in the square of the signal's unit per Hz.
    ///
    /// # Errors
    /// If patches are of one sample, or the floor is not finite and above zero, also in single precision.
    pub fn new(patches: SignalPatches, floor: f64) -> Result<Self, TokenizeError> {
        if patches.n_samples() < 2 {
            return Err(TokenizeError::BadSetting {
                field: "n_samples",
                expected: "two at least for a spectrum",
                received: patches.n_samples().to_string(),
            });
        }
        if floor < f64::from(f32::MIN_POSITIVE) {
            // It would be zero in single precision.
            let (field, expected) = ("floor", "above zero in single precision");
            return Err(TokenizeError::BadSetting { field, expected, received: floor.to_string() });
        }
        Ok(Self { patches, floor: positive("floor", floor)? })
    }

    /// The frequencies, `F`.
    pub fn frequencies_hz(&self) -> Vec<f64> {
        let n = self.patches.n_samples();
        (0..=n / 2).map(|k| k as f64 * self.patches.rate_hz() / n as f64).collect()
    }

    /// Windowed cosines and sines `[n, 2 F]`, scaled so that the sum of squares of both is the density.
    fn transform(&self) -> Vec<f64> {
        let n = self.patches.n_samples();
        let n_frequencies = n / 2 + 1;
        let window: Vec<f64> = (0..n).map(|i| 0.5 - 0.5 * (2.0 * PI * i as f64 / n as f64).cos()).collect();
        let energy: f64 = window.iter().map(|w| w * w).sum();
        let mut transform = vec![0.0; n * 2 * n_frequencies];
        for (i, row) in transform.chunks_exact_mut(2 * n_frequencies).enumerate() {
            for k in 0..n_frequencies {
                // Frequencies between zero and half the rate stand for their negatives, too.
                let sides = if k == 0 || 2 * k == n { 1.0 } else { 2.0 };
                let scale = window[i] * (sides / (energy * self.patches.rate_hz())).sqrt();
                let angle = 2.0 * PI * ((i * k) % n) as f64 / n as f64;
                row[k] = scale * angle.cos();
                row[n_frequencies + k] = scale * angle.sin();
            }
        }
        transform
    }
}

impl Tokenizer for Spectrogram {
    type Windows = Tensor<3>;

    fn tokenize(&self, signals: &Tensor<3>) -> Result<Tokens, TokenizeError> {
        let patches = self.patches.cut(signals.clone())?;
        let (n, n_frequencies) = (self.patches.n_samples(), self.patches.n_samples() / 2 + 1);
        let transform = TensorData::new(self.transform(), [n, 2 * n_frequencies]);
        let transform = Tensor::<2>::from_data(transform, (&patches.device(), patches.dtype()));
        let [b, s, _] = patches.dims();
        let both = patches.reshape([b * s, n]).matmul(transform);
        let squares = both.clone() * both;
        let density =
            squares.clone().narrow(1, 0, n_frequencies) + squares.narrow(1, n_frequencies, n_frequencies);
        let values = (density + self.floor).log().reshape([b, s, n_frequencies]);
        Ok(Tokens { values: Some(values), places: self.patches.places(signals.dims()) })
    }
}
