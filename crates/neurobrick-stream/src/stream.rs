//! The stream: one bin in, one answer out.

use neurobrick_kernels::{add_assign, exp_slice, softsign};

use crate::decoder::{Decoded, Decoder};
use crate::layer::{Layer, Norm, Scratch, linear};
use crate::panels::Linear;
use crate::{Precision, StreamError, StreamSizes, StreamWeights};

/// A number of spikes as callers hold it.
pub trait Count: Copy {
    /// Spikes as a float.
    fn spikes(self) -> f32;
}

impl Count for u16 {
    fn spikes(self) -> f32 {
        f32::from(self)
    }
}

impl Count for f32 {
    fn spikes(self) -> f32 {
        self
    }
}

/// What the model says of the newest bin.
#[derive(Clone, Copy, Debug)]
pub struct BinAnswer<'a> {
    /// Position of the bin in its window.
    pub bin: usize,
    /// Natural log of expected spikes per bin, `[N]`.
    pub log_rates: &'a [f32],
    /// Expected spikes per bin, `[N]`.
    pub rates: &'a [f32],
    /// State of the model, `[D]`.
    pub latents: &'a [f32],
    /// Answers of the decoders, in the order they were given.
    pub behavior: &'a [Decoded],
}

/// What the model expects of the bins to come.
#[derive(Clone, Copy, Debug)]
pub struct Forecast<'a> {
    /// Position of the first bin in the window.
    pub first_bin: usize,
    /// Natural log of expected spikes per bin, row-major `[bin, N]`.
    pub log_rates: &'a [f32],
    /// Expected spikes per bin, row-major `[bin, N]`.
    pub rates: &'a [f32],
}

/// A causal model that reads one session bin by bin, keeping keys and values of the bins before.
///
/// Nothing is allocated after construction, so a call takes about the same time whenever it is made; what a core
/// loses by sleeping between bins, [`keep_warm`](Self::keep_warm) keeps.
#[derive(Clone, Debug)]
pub struct CausalStream {
    sizes: StreamSizes,
    precision: Precision,
    n_prefix: usize,
    read_in: Linear,
    embed_spikes: Linear,
    projection: Linear,
    positions: Vec<f32>,
    layers: Vec<Layer>,
    out_norm: Norm,
    read_out: Linear,
    decoded: Vec<Decoded>,
    /// Bins of the window that have been answered.
    n_done: usize,
    /// Units that fired in the bin being read, and their spikes; room for all units.
    active: Vec<(usize, f32)>,
    n_active: usize,
    stitched: Vec<f32>,
    embedded: Vec<f32>,
    softsign: Vec<f32>,
    token: Vec<f32>,
    latents: Vec<f32>,
    /// Log rates and rates of as many bins as a window has; a single answer uses the first row.
    log_rates: Vec<f32>,
    rates: Vec<f32>,
    scratch: Scratch,
}

impl CausalStream {
    /// A stream at the start of a window.
    ///
    /// # Errors
    /// If the weights lack a parameter.
    pub fn new(weights: &StreamWeights, precision: Precision) -> Result<Self, StreamError> {
        let sizes = weights.sizes().clone();
        let StreamSizes { n_units, n_bins, d_model, d_mlp, .. } = sizes;
        let place = &weights.place;
        let row = |name: &str, row: usize| Ok(&weights.take(name)?[row * d_model..(row + 1) * d_model]);
        let mut prefix = row("embed_session.weight", place.session_row)?.to_vec();
        if let Some(prompt) = place.prompt_row {
            prefix.extend_from_slice(row("embed_prompt.weight", prompt)?);
        }
        let n_prefix = prefix.len() / d_model;
        let mut layers = (0..sizes.n_layers)
            .map(|idx| Layer::new(weights, idx, n_prefix + n_bins, precision))
            .collect::<Result<Vec<_>, _>>()?;
        let mut scratch = Scratch::new(d_model, d_mlp, layers.first().map_or(0, Layer::n_scores));
        read_prefix(&mut layers, prefix, d_model, &mut scratch);
        let stitch = format!("stitches.{}", place.stitch);
        Ok(Self {
            precision,
            n_prefix,
            read_in: linear(weights, &format!("{stitch}.read_in"), precision)?,
            embed_spikes: linear(weights, "embed_spikes", precision)?,
            projection: linear(weights, "projection", precision)?,
            positions: weights.take("embed_pos.weight")?.to_vec(),
            layers,
            out_norm: Norm::new(weights, "out_norm")?,
            read_out: linear(weights, &format!("{stitch}.read_out"), precision)?,
            decoded: Vec::new(),
            n_done: 0,
            // Full length, since a clone keeps a vector's length but not its capacity.
            active: vec![(0, 0.0); n_units],
            n_active: 0,
            stitched: vec![0.0; sizes.d_stitch],
            embedded: vec![0.0; sizes.d_embed],
            softsign: vec![0.0; sizes.d_embed],
            token: vec![0.0; d_model],
            latents: vec![0.0; d_model],
            log_rates: vec![0.0; n_bins * n_units],
            rates: vec![0.0; n_bins * n_units],
            scratch,
            sizes,
        })
    }

    /// The stream with decoders, which answer in the order given.
    ///
    /// # Errors
    /// If a decoder contradicts itself or does not fit the model.
    pub fn with_decoders(mut self, decoders: &[Decoder]) -> Result<Self, StreamError> {
        let d_model = self.sizes.d_model;
        self.decoded = decoders.iter().map(|d| Decoded::new(d, d_model)).collect::<Result<_, _>>()?;
        Ok(self)
    }

    /// Sizes of the model.
    pub fn sizes(&self) -> &StreamSizes {
        &self.sizes
    }

    /// How weights are stored.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of weights that every bin reads, apart from the read-in, of which it reads the units that fired.
    pub fn weight_bytes(&self) -> usize {
        let maps = [&self.embed_spikes, &self.projection, &self.read_out];
        maps.into_iter().map(Linear::n_bytes).chain(self.layers.iter().map(Layer::n_bytes)).sum()
    }

    /// Bins that the window has room for.
    pub fn bins_left(&self) -> usize {
        self.sizes.n_bins - self.n_done
    }

    /// Forgets the bins seen so far; the next bin is the first of a window.
    pub fn begin_window(&mut self) {
        self.n_done = 0;
    }

    /// Reads the `counts` `[N]` of the next bin and answers for that bin.
    ///
    /// The model sees the counts it answers for, as when latents are read; what it expects before seeing them is
    /// `forecast(1)`.
    ///
    /// # Errors
    /// If the window is full, the number of counts is not that of the units, or a count is negative or not finite;
    /// the stream is then as before.
    pub fn predict_bin<C: Count>(&mut self, counts: &[C]) -> Result<BinAnswer<'_>, StreamError> {
        let StreamSizes { n_units, n_bins, .. } = self.sizes;
        if self.n_done == n_bins {
            return Err(StreamError::WindowFull { n_bins });
        }
        if counts.len() != n_units {
            return Err(StreamError::WrongLength { expected: n_units, received: counts.len() });
        }
        self.n_active = 0;
        for (unit, count) in counts.iter().enumerate() {
            let value = count.spikes();
            if !(value >= 0.0 && value.is_finite()) {
                return Err(StreamError::BadCount { unit, value });
            }
            if value > 0.0 {
                self.active[self.n_active] = (unit, value);
                self.n_active += 1;
            }
        }
        let bin = self.n_done;
        self.read(bin);
        self.write_rates(0);
        for decoded in &mut self.decoded {
            decoded.decode(&self.latents);
        }
        self.n_done += 1;
        Ok(BinAnswer {
            bin,
            log_rates: &self.log_rates[..n_units],
            rates: &self.rates[..n_units],
            latents: &self.latents,
            behavior: &self.decoded,
        })
    }

    /// What the next `n_ahead` bins are expected to hold, with their counts hidden: forward prediction, the task that
    /// causal masking trains. The bins are not taken as seen; the next [`predict_bin`](Self::predict_bin) goes on where
    /// the last one ended.
    ///
    /// # Errors
    /// If the window has less room.
    pub fn forecast(&mut self, n_ahead: usize) -> Result<Forecast<'_>, StreamError> {
        let left = self.bins_left();
        if n_ahead > left {
            return Err(StreamError::ForecastTooLong { asked: n_ahead, left });
        }
        self.n_active = 0;
        let first_bin = self.n_done;
        for ahead in 0..n_ahead {
            // Slots past the bins seen so far are written again before they are read.
            self.read(first_bin + ahead);
            self.write_rates(ahead);
        }
        let end = n_ahead * self.sizes.n_units;
        Ok(Forecast { first_bin, log_rates: &self.log_rates[..end], rates: &self.rates[..end] })
    }

    /// Passes over weights and cache again and again until `is_due` says that a bin is there: a core that sleeps between
    /// bins finds the caches cold and its clock slow, and takes several times as long to answer. `is_due` is asked
    /// before every layer and every other large matrix, so a pass delays a bin by a small part of an answer. The price
    /// is a core that is never idle.
    ///
    /// What the stream knows stays as it is, to the bit.
    pub fn keep_warm(&mut self, mut is_due: impl FnMut() -> bool) {
        // Any unit may fire in the bin to come.
        self.n_active = self.sizes.n_units;
        for (unit, active) in self.active.iter_mut().enumerate() {
            *active = (unit, 1.0);
        }
        // A full window is followed by a new one.
        let bin = if self.bins_left() == 0 { 0 } else { self.n_done };
        while !is_due() {
            // As in a forecast, the slot of the bin to come is written again before it is read.
            if !self.read_unless(bin, &mut is_due) {
                return;
            }
            if is_due() {
                return;
            }
            self.write_rates(0);
            for decoded in &mut self.decoded {
                decoded.decode(&self.latents);
            }
        }
    }

    /// Latents of the active counts as those of `bin`.
    fn read(&mut self, bin: usize) {
        self.read_unless(bin, &mut || false);
    }

    /// Latents of the active counts as those of `bin`, unless `stop` says so on the way; whether they are there.
    fn read_unless(&mut self, bin: usize, stop: &mut impl FnMut() -> bool) -> bool {
        let d = self.sizes.d_model;
        self.read_in.forward_sparse(&self.active[..self.n_active], &mut self.stitched);
        if stop() {
            return false;
        }
        self.embed_spikes.forward(&self.stitched, &mut self.embedded);
        softsign(&self.embedded, &mut self.softsign);
        self.projection.forward(&self.softsign, &mut self.token);
        add_assign(&mut self.token, &self.positions[bin * d..(bin + 1) * d]);
        let slot = self.n_prefix + bin;
        for layer in &mut self.layers {
            if stop() {
                return false;
            }
            layer.project(&self.token, slot, &mut self.scratch);
            layer.update(&mut self.token, slot + 1, &mut self.scratch);
        }
        self.out_norm.forward(&self.token, &mut self.latents);
        true
    }

    /// Rates of the latents into row `row` of the answers.
    fn write_rates(&mut self, row: usize) {
        let n = self.sizes.n_units;
        let log_rates = &mut self.log_rates[row * n..(row + 1) * n];
        self.read_out.forward(&self.latents, log_rates);
        exp_slice(log_rates, &mut self.rates[row * n..(row + 1) * n]);
    }
}

/// Fills the first slots with the prefix tokens, which see each other only and are the same in every window.
fn read_prefix(layers: &mut [Layer], mut tokens: Vec<f32>, d_model: usize, scratch: &mut Scratch) {
    let n_prefix = tokens.len() / d_model;
    for layer in layers {
        let mut queries = Vec::with_capacity(tokens.len());
        for (slot, token) in tokens.chunks_exact(d_model).enumerate() {
            layer.project(token, slot, scratch);
            queries.extend_from_slice(&scratch.query);
        }
        for (token, query) in tokens.chunks_exact_mut(d_model).zip(queries.chunks_exact(d_model)) {
            scratch.query.copy_from_slice(query);
            layer.update(token, n_prefix, scratch);
        }
    }
}
