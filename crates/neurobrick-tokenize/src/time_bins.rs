//! One token per time bin: the counts of all units.

use burn::tensor::Tensor;
use neurobrick_core::{TokenPlace, TokenPlaces, TokenizeError, Tokenizer, Tokens};

/// A token for each bin of counts `[B, T, N]`, which carries the counts of all units (NDT-1, MtM): values `[B, T, N]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeBins {
    bin_size_s: f64,
}

impl TimeBins {
    /// Bins of `bin_size_s` seconds.
    ///
    /// # Errors
    /// If that is not a length of time.
    pub fn new(bin_size_s: f64) -> Result<Self, TokenizeError> {
        Ok(Self { bin_size_s: positive("bin_size_s", bin_size_s)? })
    }
}

/// `value`, if it is finite and above zero.
pub(crate) fn positive(field: &'static str, value: f64) -> Result<f64, TokenizeError> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(TokenizeError::BadSetting { field, expected: "finite and above zero", received: value.to_string() })
}

/// Refuses windows without `what`.
pub(crate) fn some(what: &'static str, received: usize) -> Result<(), TokenizeError> {
    match received {
        0 => Err(TokenizeError::TooSmall { what, received, needed: "one at least is needed".to_owned() }),
        _ => Ok(()),
    }
}

impl Tokenizer for TimeBins {
    type Windows = Tensor<3>;

    fn tokenize(&self, counts: &Tensor<3>) -> Result<Tokens, TokenizeError> {
        let [b, t, n] = counts.dims();
        some("bins", t)?;
        some("units", n)?;
        let place = |bin: usize| TokenPlace {
            kind: 0,
            sources: 0..n,
            start_s: bin as f64 * self.bin_size_s,
            end_s: (bin + 1) as f64 * self.bin_size_s,
        };
        let places = TokenPlaces::shared((0..t).map(place).collect(), b);
        Ok(Tokens { values: Some(counts.clone()), places })
    }
}
