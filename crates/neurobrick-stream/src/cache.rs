//! Keys and values of the tokens seen so far, and attention of one token to them.

use neurobrick_kernels::softmax;
use pulp::NullaryFnOnce;

use crate::panels::{LANES, Row, panel_product};

/// Values of a head that lie in one cache line.
const BLOCK: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([f32; BLOCK]);

/// Keys and values of one layer, head after head. A slot is the place of one token.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    d_head: usize,
    n_slots: usize,
    /// `[head, panel of slots, d_head]` rows with a slot per lane, so that scores of many slots are one product.
    keys: Vec<Row<f32>>,
    /// `[head, slot, block]`.
    values: Vec<Block>,
}

impl Cache {
    pub(crate) fn new(n_heads: usize, d_head: usize, n_slots: usize) -> Self {
        let n_rows = n_heads * n_slots.div_ceil(LANES) * d_head;
        let n_blocks = n_heads * n_slots * d_head.div_ceil(BLOCK);
        Self {
            d_head,
            n_slots,
            keys: vec![Row([0.0; LANES]); n_rows],
            values: vec![Block([0.0; BLOCK]); n_blocks],
        }
    }

    /// Length of the buffer of scores that [`attend`](Self::attend) wants.
    pub(crate) fn n_scores(&self) -> usize {
        self.n_slots.next_multiple_of(LANES)
    }

    fn keys_per_head(&self) -> usize {
        self.n_slots.div_ceil(LANES) * self.d_head
    }

    fn blocks_per_slot(&self) -> usize {
        self.d_head.div_ceil(BLOCK)
    }

    /// Puts a token's key and value `[D]` into `slot`.
    pub(crate) fn store(&mut self, slot: usize, key: &[f32], value: &[f32]) {
        let (keys_per_head, blocks_per_slot) = (self.keys_per_head(), self.blocks_per_slot());
        let heads = key.chunks_exact(self.d_head).zip(value.chunks_exact(self.d_head));
        for (head, (key, value)) in heads.enumerate() {
            let first = head * keys_per_head + slot / LANES * self.d_head;
            for (row, k) in self.keys[first..].iter_mut().zip(key) {
                row.0[slot % LANES] = *k;
            }
            let first = (head * self.n_slots + slot) * blocks_per_slot;
            for (block, v) in self.values[first..].iter_mut().zip(value.chunks(BLOCK)) {
                block.0[..v.len()].copy_from_slice(v);
            }
        }
    }

    /// Attends from a scaled `query` `[D]` to the first `n_visible` slots; `mixed` `[D]` gets the heads side by side.
    pub(crate) fn attend(&self, query: &[f32], n_visible: usize, scores: &mut [f32], mixed: &mut [f32]) {
        pulp::Arch::new().dispatch(Attend { cache: self, query, n_visible, scores, mixed });
    }

    #[inline(always)]
    fn score(&self, head: usize, query: &[f32], n_visible: usize, scores: &mut [f32]) {
        let keys = &self.keys[head * self.keys_per_head()..];
        let panels = keys.chunks_exact(self.d_head).take(n_visible.div_ceil(LANES));
        for (panel, scores) in panels.zip(scores.chunks_exact_mut(LANES)) {
            scores.copy_from_slice(&panel_product(query, panel));
        }
    }

    /// The mean of values under `weights`.
    #[inline(always)]
    fn mix(&self, head: usize, weights: &[f32], mixed: &mut [f32]) {
        let per_slot = self.blocks_per_slot();
        let values = &self.values[head * self.n_slots * per_slot..];
        let mut block = 0;
        while block < per_slot {
            let out = &mut mixed[block * BLOCK..];
            // More blocks at a time mean more sums that do not wait for each other.
            block += match per_slot - block {
                4.. => mix_blocks::<4>(weights, &values[block..], per_slot, out),
                2..4 => mix_blocks::<2>(weights, &values[block..], per_slot, out),
                _ => mix_blocks::<1>(weights, &values[block..], per_slot, out),
            };
        }
    }
}

/// Attention to be run in the instructions of the processor.
struct Attend<'a> {
    cache: &'a Cache,
    query: &'a [f32],
    n_visible: usize,
    scores: &'a mut [f32],
    mixed: &'a mut [f32],
}

impl NullaryFnOnce for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let d_head = self.cache.d_head;
        let heads = self.query.chunks_exact(d_head).zip(self.mixed.chunks_exact_mut(d_head));
        for (head, (query, mixed)) in heads.enumerate() {
            self.cache.score(head, query, self.n_visible, self.scores);
            let weights = &mut self.scores[..self.n_visible];
            softmax(weights);
            self.cache.mix(head, weights, mixed);
        }
    }
}

/// Weighted sums of `N` blocks of every slot; returns `N`.
#[inline(always)]
fn mix_blocks<const N: usize>(weights: &[f32], values: &[Block], per_slot: usize, out: &mut [f32]) -> usize {
    let mut sums = [[0f32; BLOCK]; N];
    for (weight, slot) in weights.iter().zip(values.chunks(per_slot)) {
        for (sums, block) in sums.iter_mut().zip(slot) {
            for (sum, value) in sums.iter_mut().zip(&block.0) {
                *sum = weight.mul_add(*value, *sum);
            }
        }
    }
    for (sums, out) in sums.iter().zip(out.chunks_mut(BLOCK)) {
        out.copy_from_slice(&sums[..out.len()]);
    }
    N
}
