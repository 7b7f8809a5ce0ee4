//! One transformer layer, a token at a time.

use neurobrick_kernels::{add_assign, gelu, layer_norm};

use crate::cache::Cache;
use crate::panels::Linear;
use crate::{Precision, StreamError, StreamWeights};

/// Epsilon of the model's layer norms, the default of `torch.nn.LayerNorm`.
const EPSILON: f32 = 1e-5;

/// Scale and shift of a layer norm.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl Norm {
    pub(crate) fn new(weights: &StreamWeights, name: &str) -> Result<Self, StreamError> {
        let take = |part: &str| Ok(weights.take(&format!("{name}.{part}"))?.to_vec());
        Ok(Self { gamma: take("gamma")?, beta: take("beta")? })
    }

    pub(crate) fn forward(&self, x: &[f32], out: &mut [f32]) {
        // The statistics serve a backward pass.
        let mut stats = [0.0; 2];
        layer_norm(x, &self.gamma, &self.beta, EPSILON, out, &mut stats);
    }
}

/// The linear map called `name`.
pub(crate) fn linear(
    weights: &StreamWeights,
    name: &str,
    precision: Precision,
) -> Result<Linear, StreamError> {
    let take = |part: &str| weights.take(&format!("{name}.{part}"));
    Ok(Linear::new(take("weight")?, take("bias")?, precision))
}

/// Buffers of a layer that live for one token.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    normed: Vec<f32>,
    pub(crate) query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    hidden: Vec<f32>,
    activated: Vec<f32>,
    change: Vec<f32>,
}

impl Scratch {
    pub(crate) fn new(d_model: usize, d_mlp: usize, n_scores: usize) -> Self {
        let zeros = |n: usize| vec![0.0; n];
        Self {
            normed: zeros(d_model),
            query: zeros(d_model),
            key: zeros(d_model),
            value: zeros(d_model),
            scores: zeros(n_scores),
            mixed: zeros(d_model),
            hidden: zeros(d_mlp),
            activated: zeros(d_mlp),
            change: zeros(d_model),
        }
    }
}

/// `x += Attn(LN(x)); x += MLP(LN(x))` with the keys and values of earlier tokens at hand.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    out_proj: Linear,
    mlp_norm: Norm,
    up_proj: Linear,
    down_proj: Linear,
    query_scale: f32,
    cache: Cache,
}

impl Layer {
    pub(crate) fn new(
        weights: &StreamWeights,
        idx: usize,
        n_slots: usize,
        precision: Precision,
    ) -> Result<Self, StreamError> {
        let sizes = weights.sizes();
        let d_head = sizes.d_model / sizes.n_heads;
        let part = |name: &str| linear(weights, &format!("layers.{idx}.{name}"), precision);
        #[expect(clippy::cast_possible_truncation, reason = "activations are single precision")]
        let query_scale = (d_head as f64).powf(-0.5) as f32;
        Ok(Self {
            attention_norm: Norm::new(weights, &format!("layers.{idx}.ln1"))?,
            query: part("attn.query")?,
            key: part("attn.key")?,
            value: part("attn.value")?,
            out_proj: part("attn.out_proj")?,
            mlp_norm: Norm::new(weights, &format!("layers.{idx}.ln2"))?,
            up_proj: part("mlp.up_proj")?,
            down_proj: part("mlp.down_proj")?,
            query_scale,
            cache: Cache::new(sizes.n_heads, d_head, n_slots),
        })
    }

    pub(crate) fn n_scores(&self) -> usize {
        self.cache.n_scores()
    }

    pub(crate) fn n_bytes(&self) -> usize {
        let all = [&self.query, &self.key, &self.value, &self.out_proj, &self.up_proj, &self.down_proj];
        all.into_iter().map(Linear::n_bytes).sum()
    }

    /// Leaves the scaled query of token `x` in the scratch, its key and value in `slot`.
    pub(crate) fn project(&mut self, x: &[f32], slot: usize, scratch: &mut Scratch) {
        let Scratch { normed, query, key, value, .. } = scratch;
        self.attention_norm.forward(x, normed);
        self.query.forward(normed, query);
        self.key.forward(normed, key);
        self.value.forward(normed, value);
        for q in query.iter_mut() {
            *q *= self.query_scale;
        }
        self.cache.store(slot, key, value);
    }

    /// Changes token `x`, whose query is in the scratch and which sees the first `n_visible` slots.
    pub(crate) fn update(&self, x: &mut [f32], n_visible: usize, scratch: &mut Scratch) {
        let Scratch { normed, query, scores, mixed, hidden, activated, change, .. } = scratch;
        self.cache.attend(query, n_visible, scores, mixed);
        self.out_proj.forward(mixed, change);
        add_assign(x, change);
        self.mlp_norm.forward(x, normed);
        self.up_proj.forward(normed, hidden);
        gelu(hidden, activated);
        self.down_proj.forward(activated, change);
        add_assign(x, change);
    }
}
