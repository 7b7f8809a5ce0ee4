//! Stretches of single channels of a sampled signal.

use burn::tensor::{Device, IndexingUpdateOp, Int, Tensor, TensorData};
use neurobrick_core::{TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};

use crate::time_bins::{positive, some};

/// What becomes of samples at the end of a window that make no whole patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastPatch {
    /// They are left out.
    Drop,
    /// They make a patch that is filled up with zeros.
    FillUp,
}

/// A token for each stretch of each channel of signals `[B, T, C]`: values `[B, S, F]` of `F` samples, ordered by time, then by
/// channel. Patches begin every `hop` samples; those that overlap are averaged when they are joined. NaN stays NaN.
///
/// From a stored signal to tokens and back:
///
/// ```
/// use burn::tensor::{Device, Tensor, TensorData};
/// use neurobrick_core::Tokenizer;
/// use neurobrick_data::signal_windows;
/// use neurobrick_schema::{Clock, Samples, Signal, SignalColumn};
/// use neurobrick_tokenize::{LastPatch, SignalPatches};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let samples = Samples::Float((0..2500).map(|i| f64::from(i % 50)).collect());
/// let c3 = SignalColumn { name: "C3".into(), unit: Some("uV".into()), description: None, samples };
/// let eeg = Signal::new("eeg", None, Clock::Regular { start_s: 0.0, rate_hz: 250.0 }, vec![c3])?;
///
/// // Two seconds from 1 s and from 4.5 s, `[B, T, C]`.
/// let windows = signal_windows(&eeg, &[1.0, 4.5], 500)?;
/// let data = TensorData::new(windows.iter().copied().collect::<Vec<f64>>(), windows.shape());
/// let windows = Tensor::<3>::from_data(data, &Device::flex());
///
/// // Patches of a second, every half second.
/// let patches = SignalPatches::new(250.0, 250, 125, LastPatch::Drop)?;
/// let tokens = patches.tokenize(&windows)?;
/// assert_eq!(tokens.places.n_tokens(), 3);
/// let values = tokens.values.ok_or("signals have values")?;
/// assert_eq!(patches.join(values, 500).dims(), windows.dims());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignalPatches {
    rate_hz: f64,
    n_samples: usize,
    hop: usize,
    last: LastPatch,
}

impl SignalPatches {
    /// Patches of `n_samples` samples, one every `hop`, of signals of `rate_hz` samples a second.
    ///
    /// # Errors
    /// If a setting is zero, the rate is no rate, or there would be samples between patches (`hop` above `n_samples`).
    pub fn new(rate_hz: f64, n_samples: usize, hop: usize, last: LastPatch) -> Result<Self, TokenizeError> {
        let rate_hz = positive("rate_hz", rate_hz)?;
        if n_samples == 0 {
            return Err(TokenizeError::BadSetting {
                field: "n_samples",
                expected: "above zero",
                received: n_samples.to_string(),
            });
        }
        if !(1..=n_samples).contains(&hop) {
            return Err(TokenizeError::BadSetting {
                field: "hop",
                expected: "between 1 and the samples of a patch",
                received: hop.to_string(),
            });
        }
        Ok(Self { rate_hz, n_samples, hop, last })
    }

    /// Samples of a patch, `F`.
    pub fn n_samples(&self) -> usize {
        self.n_samples
    }

    /// Samples a second.
    pub fn rate_hz(&self) -> f64 {
        self.rate_hz
    }

    /// Patches of one channel in a window of `n_samples` samples.
    pub fn n_patches(&self, n_samples: usize) -> usize {
        let beyond_first = n_samples.saturating_sub(self.n_samples);
        match self.last {
            LastPatch::FillUp if n_samples > 0 => beyond_first.div_ceil(self.hop) + 1,
            LastPatch::Drop if n_samples >= self.n_samples => beyond_first / self.hop + 1,
            _ => 0,
        }
    }

    /// Samples that the patches of a window of `n_samples` samples reach over, filled up ones included.
    fn reach(&self, n_samples: usize) -> usize {
        match self.n_patches(n_samples) {
            0 => 0,
            patches => (patches - 1) * self.hop + self.n_samples,
        }
    }

    /// Samples from the start of a window of `n_samples` samples that are in a patch.
    pub fn n_covered(&self, n_samples: usize) -> usize {
        self.reach(n_samples).min(n_samples)
    }

    /// Sample of every entry of every patch of one channel, `[P F]`.
    fn samples(&self, n_patches: usize, device: &Device) -> Tensor<1, Int> {
        let samples = (0..n_patches).flat_map(|patch| patch * self.hop..patch * self.hop + self.n_samples);
        #[expect(clippy::cast_possible_wrap, reason = "samples of a window")]
        let samples: Vec<i64> = samples.map(|sample| sample as i64).collect();
        let n = samples.len();
        Tensor::from_data(TensorData::new(samples, [n]), device)
    }

    /// Signals `[B, T, C]` as patches `[B, P C, F]`.
    ///
    /// # Errors
    /// If there is no channel, or the window is too short for a patch.
    pub fn cut(&self, signals: Tensor<3>) -> Result<Tensor<3>, TokenizeError> {
        let [b, t, c] = signals.dims();
        some("channels", c)?;
        let n_patches = self.n_patches(t);
        if n_patches == 0 {
            let needed =
                format!("a patch takes {} samples: cut longer windows or shorter patches", self.n_samples);
            return Err(TokenizeError::TooSmall { what: "samples", received: t, needed });
        }
        let reach = self.reach(t);
        let whole =
            if reach > t { signals.pad([(0, reach - t), (0, 0)], 0.0) } else { signals.narrow(1, 0, reach) };
        let patches = if self.hop == self.n_samples {
            whole
        } else {
            let samples = self.samples(n_patches, &whole.device());
            whole.select(1, samples)
        };
        let patches: Tensor<4> = patches.reshape([b, n_patches, self.n_samples, c]);
        Ok(patches.swap_dims(2, 3).reshape([b, n_patches * c, self.n_samples]))
    }

    /// Patches `[B, P C, F]` of windows of `n_samples` samples as signals `[B, T, C]`, where `T` are the samples that
    /// [are in a patch](Self::n_covered); those in several are averaged.
    ///
    /// # Panics
    /// If there are no such patches of such windows.
    pub fn join(&self, patches: Tensor<3>, n_samples: usize) -> Tensor<3> {
        let [b, s, f] = patches.dims();
        let n_patches = self.n_patches(n_samples);
        assert!(
            f == self.n_samples && n_patches > 0 && s.is_multiple_of(n_patches),
            "{s} patches of {f} samples are not those of windows of {n_samples} samples"
        );
        let c = s / n_patches;
        let patches: Tensor<4> = patches.reshape([b, n_patches, c, f]);
        let entries: Tensor<3> = patches.swap_dims(2, 3).reshape([b, n_patches * f, c]);
        let signals = if self.hop == f {
            entries
        } else {
            let (device, dtype, reach) = (entries.device(), entries.dtype(), self.reach(n_samples));
            let samples = self.samples(n_patches, &device);
            let sum = Tensor::zeros([b, reach, c], (&device, dtype));
            let sum = sum.select_assign(1, samples, entries, IndexingUpdateOp::Add);
            let share = Tensor::<3>::from_data(
                TensorData::new(self.shares(n_patches), [1, reach, 1]),
                (&device, dtype),
            );
            sum * share
        };
        signals.narrow(1, 0, self.n_covered(n_samples))
    }

    /// One over the number of patches that each sample is in, `[T]`.
    fn shares(&self, n_patches: usize) -> Vec<f64> {
        let mut n_in = vec![0.0; (n_patches - 1) * self.hop + self.n_samples];
        for patch in 0..n_patches {
            let from = patch * self.hop;
            n_in[from..from + self.n_samples].iter_mut().for_each(|n| *n += 1.0);
        }
        n_in.into_iter().map(f64::recip).collect()
    }

    /// Where the patches of windows `[B, T, C]` are from.
    pub(crate) fn places(&self, [b, t, c]: [usize; 3]) -> TokenPlaces {
        let place = |token: usize| {
            let (patch, channel) = (token / c, token % c);
            let start = patch * self.hop;
            TokenPlace {
                kind: 0,
                sources: channel..channel + 1,
                start_s: start as f64 / self.rate_hz,
                end_s: (start + self.n_samples).min(t) as f64 / self.rate_hz,
            }
        };
        TokenPlaces::shared((0..self.n_patches(t) * c).map(place).collect(), b)
    }
}

impl Tokenizer for SignalPatches {
    type Windows = Tensor<3>;

    fn tokenize(&self, signals: &Tensor<3>) -> Result<Tokens, TokenizeError> {
        let values = self.cut(signals.clone())?;
        Ok(Tokens { values: Some(values), places: self.places(signals.dims()) })
    }
}
