//! Behavior read linearly from the latents of a bin.

use neurobrick_kernels::softmax;
use serde::{Deserialize, Serialize};

use crate::panels::Linear;
use crate::{Precision, StreamError};

/// What the outputs of a decoder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecoderKind {
    /// Probabilities of two classes from one column of weights, which speaks for the second class.
    Logistic,
    /// Probabilities of classes, a column of weights each.
    Softmax,
    /// Continuous values, a column of weights each.
    Linear,
}

/// A fitted decoder, as files hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoder {
    /// What is decoded.
    pub name: String,
    /// What the outputs are.
    pub kind: DecoderKind,
    /// Names of the classes, or of the values with their units.
    pub outputs: Vec<String>,
    /// Weights `[D, K]`: a row for every latent.
    pub weights: Vec<Vec<f32>>,
    /// One number per column of weights.
    pub bias: Vec<f32>,
}

impl Decoder {
    /// Refuses a decoder that contradicts itself or does not fit latents of width `d_model`.
    ///
    /// # Errors
    /// Saying what is wrong.
    pub fn check(&self, d_model: usize) -> Result<(), StreamError> {
        let refuse = |message: String| Err(StreamError::BadDecoder { name: self.name.clone(), message });
        let n_columns = match (self.kind, self.outputs.len()) {
            (DecoderKind::Logistic, 2) => 1,
            (DecoderKind::Logistic, n) => {
                return refuse(format!("a logistic decoder has 2 outputs, not {n}"));
            }
            (DecoderKind::Softmax, n @ ..2) => {
                return refuse(format!("a softmax decoder has at least 2 outputs, not {n}"));
            }
            (DecoderKind::Linear, 0) => return refuse("names no output".to_owned()),
            (_, n) => n,
        };
        if self.weights.len() != d_model {
            return refuse(format!(
                "has weights for {} latents, the model has {d_model}",
                self.weights.len()
            ));
        }
        let widths = self.weights.iter().map(Vec::len).chain([self.bias.len()]);
        if let Some(width) = widths.into_iter().find(|&width| width != n_columns) {
            return refuse(format!(
                "rows of weights and the bias must have {n_columns} numbers, not {width}"
            ));
        }
        match self.weights.iter().flatten().chain(&self.bias).find(|w| !w.is_finite()) {
            Some(w) => refuse(format!("holds {w}")),
            None => Ok(()),
        }
    }
}

/// What a decoder answers for a bin.
#[derive(Clone, Debug)]
pub struct Decoded {
    name: String,
    kind: DecoderKind,
    outputs: Vec<String>,
    map: Linear,
    values: Vec<f32>,
}

impl Decoded {
    pub(crate) fn new(decoder: &Decoder, d_model: usize) -> Result<Self, StreamError> {
        decoder.check(d_model)?;
        let weights: Vec<f32> = decoder.weights.iter().flatten().copied().collect();
        Ok(Self {
            name: decoder.name.clone(),
            kind: decoder.kind,
            outputs: decoder.outputs.clone(),
            map: Linear::new(&weights, &decoder.bias, Precision::F32),
            values: vec![0.0; decoder.outputs.len()],
        })
    }

    /// What is decoded.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the values are.
    pub fn kind(&self) -> DecoderKind {
        self.kind
    }

    /// Names of the values.
    pub fn outputs(&self) -> &[String] {
        &self.outputs
    }

    /// One value per output: probabilities that sum to one, or continuous values.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn decode(&mut self, latents: &[f32]) {
        match self.kind {
            DecoderKind::Linear => self.map.forward(latents, &mut self.values),
            DecoderKind::Softmax => {
                self.map.forward(latents, &mut self.values);
                softmax(&mut self.values);
            }
            DecoderKind::Logistic => {
                let [negative, positive] = &mut self.values[..] else { return };
                self.map.forward(latents, std::slice::from_mut(positive));
                // Two classes with scores 0 and z: the softmax is the logistic function of z.
                *negative = 0.0;
                softmax(&mut self.values);
            }
        }
    }
}
