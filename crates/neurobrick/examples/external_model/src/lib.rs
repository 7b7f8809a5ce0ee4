//! A tokenizer and a model of one's own, in a crate of its own: nothing here reaches behind neurobrick's public pieces.
//!
//! [`SmoothedBins`] makes each bin a token that carries the mean counts of the bins before it and its own;
//! [`SmoothedLinear`] mixes these linearly and adds what it finds to each unit's log mean rate. `src/main.rs` trains it and
//! writes the report, `tests/contract.rs` holds both to the laws that neurobrick's own are held to.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick::core::sessions::{check_input, kept_or_fresh};
use neurobrick::core::{ModelError, Output, TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};
use neurobrick::nn::{InitStreams, ReadOutStart, SessionStitch};
use neurobrick::prelude::*;

/// Mean counts of a bin and of up to `width - 1` bins before it.
#[derive(Clone, Copy, Debug)]
pub struct SmoothedBins {
    width: usize,
    bin_size_s: f64,
}

impl SmoothedBins {
    /// Averages of `width` bins of `bin_size_s` seconds.
    ///
    /// # Errors
    /// If no bin is averaged.
    pub fn new(width: usize, bin_size_s: f64) -> Result<Self, TokenizeError> {
        if width == 0 {
            let (field, expected) = ("width", "one bin at least");
            return Err(TokenizeError::BadSetting { field, expected, received: width.to_string() });
        }
        Ok(Self { width, bin_size_s })
    }

    /// First of the bins that token `bin` averages.
    fn first(self, bin: usize) -> usize {
        (bin + 1).saturating_sub(self.width)
    }

    /// Values `[B, T, N]` of counts `[B, T, N]`: a product with a band of `[T, T]`, so that gradients pass.
    fn smooth(self, counts: Tensor<3>) -> Tensor<3> {
        let [b, t, _] = counts.dims();
        let weight = |bin: usize, of: usize| {
            let is_averaged = (self.first(bin)..=bin).contains(&of);
            f64::from(u8::from(is_averaged)) / (bin + 1 - self.first(bin)) as f64
        };
        let band = (0..t * t).map(|i| weight(i / t, i % t)).collect();
        let band = TensorData::new(band, [1, t, t]);
        Tensor::<3>::from_data(band, (&counts.device(), counts.dtype())).expand([b, t, t]).matmul(counts)
    }
}

impl Tokenizer for SmoothedBins {
    type Windows = Tensor<3>;

    fn tokenize(&self, counts: &Tensor<3>) -> Result<Tokens, TokenizeError> {
        let [b, t, n] = counts.dims();
        let place = |bin: usize| TokenPlace {
            kind: 0,
            sources: 0..n,
            start_s: self.first(bin) as f64 * self.bin_size_s,
            end_s: (bin + 1) as f64 * self.bin_size_s,
        };
        let places = TokenPlaces::shared((0..t).map(place).collect(), b);
        Ok(Tokens { values: Some(self.smooth(counts.clone())), places })
    }
}

/// Units → latents of smoothed counts → log rates, with one stitch per session.
#[derive(Module, Debug)]
pub struct SmoothedLinear {
    stitches: Vec<SessionStitch>,
    gain: Param<Tensor<1>>,
    #[module(skip)]
    tokenizer: SmoothedBins,
    #[module(skip)]
    n_bins: usize,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

/// Latents.
const D_LATENT: usize = 8;

impl SmoothedLinear {
    /// A fresh model for windows of `n_bins` bins of `sessions`.
    ///
    /// # Errors
    /// If a session is listed twice.
    pub fn new(
        tokenizer: SmoothedBins,
        n_bins: usize,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let gain = Param::from_tensor(Tensor::ones([D_LATENT], device));
        let empty = Self { stitches: Vec::new(), gain, tokenizer, n_bins, table: Vec::new() };
        empty.with_sessions(sessions, seed, device)
    }
}

fn stitch(spec: &SessionSpec, seed: u64, device: &Device) -> SessionStitch {
    let start = match &spec.log_mean_rates {
        Some(log_mean_rates) => ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: 0.1 },
        None => ReadOutStart::Default,
    };
    let mut init = InitStreams::new(seed, spec.session.as_str());
    SessionStitch::new(spec.n_units, D_LATENT, D_LATENT, start, &mut init, device)
}

impl PopulationModel for SmoothedLinear {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, _mode: Mode<'_>) -> Result<Output, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.n_bins, input)?;
        let stitch = &self.stitches[idx];
        let latents = stitch.read_in.forward(self.tokenizer.smooth(input.counts.clone()));
        let latents = latents * self.gain.val().unsqueeze();
        Ok(Output { log_rates: stitch.read_out.forward(latents.clone()), latents })
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let own = (self.table.as_slice(), self.stitches.as_slice());
        let stitches = kept_or_fresh(sessions, own, |spec| Ok(stitch(spec, seed, device)))?;
        Ok(Self { stitches, table: sessions.to_vec(), ..self.clone() })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }
}
