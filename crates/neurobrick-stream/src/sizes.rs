//! Sizes of a streamed model, and the names and shapes of its parameters.

use crate::StreamError;

/// Rows of the table of prompts.
const N_PROMPTS: usize = 4;

/// Sizes of a causal NDT-stitch model as one session sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSizes {
    /// Units of the session.
    pub n_units: usize,
    /// Bins of a window: the length of the table of positions.
    pub n_bins: usize,
    /// Width of the stitch.
    pub d_stitch: usize,
    /// Width of the hidden layer of the embedding.
    pub d_embed: usize,
    /// Width of a token.
    pub d_model: usize,
    /// Number of transformer layers.
    pub n_layers: usize,
    /// Number of attention heads; divides `d_model`.
    pub n_heads: usize,
    /// Width of the hidden layer of the MLP.
    pub d_mlp: usize,
}

/// Where the parameters of one session and task lie among those of a whole model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionPlace {
    /// Position in the list of stitches.
    pub stitch: usize,
    /// Row of the table of sessions.
    pub session_row: usize,
    /// Row of the table of prompts; `None` for a model without prompts.
    pub prompt_row: Option<usize>,
}

impl StreamSizes {
    /// Names and shapes of the parameters a stream reads, as model folders store them. A table of sessions may have
    /// more rows than named here.
    pub fn parameters(&self, place: &SessionPlace) -> Vec<(String, Vec<usize>)> {
        let d = self.d_model;
        let stitch = format!("stitches.{}", place.stitch);
        let mut found = Vec::new();
        linear(&mut found, &format!("{stitch}.read_in"), self.n_units, self.d_stitch);
        linear(&mut found, &format!("{stitch}.read_out"), d, self.n_units);
        linear(&mut found, "embed_spikes", self.d_stitch, self.d_embed);
        linear(&mut found, "projection", self.d_embed, d);
        found.push(("embed_pos.weight".to_owned(), vec![self.n_bins, d]));
        if place.prompt_row.is_some() {
            found.push(("embed_prompt.weight".to_owned(), vec![N_PROMPTS, d]));
        }
        found.push(("embed_session.weight".to_owned(), vec![place.session_row + 1, d]));
        for layer in 0..self.n_layers {
            let at = |part: &str| format!("layers.{layer}.{part}");
            norm(&mut found, &at("ln1"), d);
            for part in ["attn.query", "attn.key", "attn.value", "attn.out_proj"] {
                linear(&mut found, &at(part), d, d);
            }
            norm(&mut found, &at("ln2"), d);
            linear(&mut found, &at("mlp.up_proj"), d, self.d_mlp);
            linear(&mut found, &at("mlp.down_proj"), self.d_mlp, d);
        }
        norm(&mut found, "out_norm", d);
        found
    }

    pub(crate) fn check(&self, place: &SessionPlace) -> Result<(), StreamError> {
        for (field, size) in [
            ("n_units", self.n_units),
            ("n_bins", self.n_bins),
            ("d_stitch", self.d_stitch),
            ("d_embed", self.d_embed),
            ("d_model", self.d_model),
            ("n_layers", self.n_layers),
            ("n_heads", self.n_heads),
            ("d_mlp", self.d_mlp),
        ] {
            require(field, size > 0, "positive", size)?;
        }
        let divisor = format!("a divisor of d_model = {}", self.d_model);
        require("n_heads", self.d_model.is_multiple_of(self.n_heads), &divisor, self.n_heads)?;
        if let Some(row) = place.prompt_row {
            require("prompt_row", row < N_PROMPTS, &format!("below {N_PROMPTS}"), row)?;
        }
        Ok(())
    }
}

fn linear(found: &mut Vec<(String, Vec<usize>)>, name: &str, n_in: usize, n_out: usize) {
    found.push((format!("{name}.weight"), vec![n_in, n_out]));
    found.push((format!("{name}.bias"), vec![n_out]));
}

fn norm(found: &mut Vec<(String, Vec<usize>)>, name: &str, width: usize) {
    found.push((format!("{name}.gamma"), vec![width]));
    found.push((format!("{name}.beta"), vec![width]));
}

fn require(field: &'static str, holds: bool, wanted: &str, received: usize) -> Result<(), StreamError> {
    if holds { Ok(()) } else { Err(StreamError::BadSize { field, wanted: wanted.to_owned(), received }) }
}
