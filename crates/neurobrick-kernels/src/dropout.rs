//! Dropout whose factors are a pure function of where they are used, by the generator Philox4x32-10.

use std::ops::Range;

use pulp::NullaryFnOnce;

use crate::simd::run;

/// Multipliers and key increments of Philox4x32 (Salmon et al. 2011, table 2 and the `Random123` sources).
const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Blocks computed at once; each gives four draws.
const BLOCKS: usize = 8;
/// Draws of one group of blocks.
const GROUP: usize = 4 * BLOCKS;
/// Values of one stream: 2³² blocks of four draws.
const STREAM_LEN: u64 = 1 << 34;
/// Groups drawn between two uses of the factors; 2 KiB stay in the nearest cache.
const WINDOW: usize = 16;

/// One block of Philox4x32-10 (Salmon, Moraes, Dror and Shaw 2011, doi:10.1145/2063384.2063405): four random words
/// of a counter and a key.
///
/// ```
/// let words = neurobrick_kernels::philox4x32([0; 4], [0; 2]);
/// assert_eq!(words, [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
/// ```
#[inline(always)]
pub fn philox4x32(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox_wide(counter.map(u64::from), key).map(low)
}

/// Philox in 64-bit lanes: only the low half of each word is meaningful. A lane then multiplies without being
/// unpacked, and the high halves need no clearing between rounds.
#[inline(always)]
fn philox_wide(mut c: [u64; 4], key: [u32; 2]) -> [u64; 4] {
    let mut key = key;
    for _ in 0..ROUNDS {
        let p0 = u64::from(low(c[0])).wrapping_mul(MULTIPLIERS[0]);
        let p1 = u64::from(low(c[2])).wrapping_mul(MULTIPLIERS[1]);
        c = [(p1 >> 32) ^ c[1] ^ u64::from(key[0]), p1, (p0 >> 32) ^ c[3] ^ u64::from(key[1]), p0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    c
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
#[inline(always)]
const fn low(word: u64) -> u32 {
    word as u32
}

/// The output function of `SplitMix64` (Steele, Lea and Flood 2014), a bijection that mixes all bits.
const fn mix(word: u64) -> u64 {
    let z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The dropout factors of one example at one place of a model in one training step.
///
/// The value at index i depends on (seed, step, example, site, i) and nothing else: not on threads, shards, batch
/// size or the slices asked for.
///
/// The counter of a block is (block, low half of example, step), injective in all three. The key is a mix of
/// (seed, site, high half of example). For one seed and examples below 2³² the key is a bijection of the site, so
/// no two different (step, example, site, block) share counter and key, and Philox is a bijection of the counter
/// per key. Only streams of different seeds (or examples of 2³² and more) can share a key, each pair with
/// probability 2⁻⁶⁴.
///
/// A value is kept where its 32-bit draw is at least p · 2³², so the probability is that of p rounded to a
/// multiple of 2⁻³².
///
/// ```
/// use neurobrick_kernels::DropoutStream;
///
/// let stream = DropoutStream::new(1, 500, 3, 12); // seed, step, example, site
/// let (mut x, mut part) = ([1.0; 100], [0.0; 30]);
/// stream.apply(0.5, 0, &mut x);
/// stream.factors_into(0.5, 70, &mut part);
/// assert_eq!(x[70..], part);
/// assert!(x.iter().all(|&f| f == 0.0 || f == 2.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutStream {
    key: [u32; 2],
    /// Counter words above the block number.
    place: [u32; 3],
}

impl DropoutStream {
    /// The stream of an example at a site (any number that names a place in the model) in a step.
    pub const fn new(seed: u64, step: u64, example: u64, site: u64) -> Self {
        let key = mix(mix(mix(seed) ^ site) ^ (example >> 32));
        Self { key: [low(key), low(key >> 32)], place: [low(example), low(step), low(step >> 32)] }
    }

    /// The four words of block `block`.
    ///
    /// # Panics
    /// If the block lies past index 2³⁴.
    pub(crate) fn words(&self, block: usize) -> [u32; 4] {
        assert!((block as u64) < STREAM_LEN / 4, "block {block} reaches past index 2^34");
        let [example, step_low, step_high] = self.place;
        philox4x32([low(block as u64), example, step_low, step_high], self.key)
    }

    /// Writes the factors of the values from index `start` on: 0 with probability `p`, else 1/(1 − `p`).
    ///
    /// # Panics
    /// If `p` is not in [0, 1) or the range reaches past index 2³⁴.
    pub fn factors_into(&self, p: f64, start: usize, out: &mut [f32]) {
        let draws = Draws::new(self, p, start, out.len());
        run(Factors { draws, out });
    }

    /// Multiplies `x`, the values from index `start` on, by their factors. An infinity or NaN becomes NaN where
    /// dropped.
    ///
    /// # Panics
    /// If `p` is not in [0, 1) or the range reaches past index 2³⁴.
    pub fn apply(&self, p: f64, start: usize, x: &mut [f32]) {
        let draws = Draws::new(self, p, start, x.len());
        run(Products { draws, x });
    }

    /// Turns `x`, the values from index `start` on, into `residual` + `x` · factor, rounded once.
    ///
    /// # Panics
    /// If the lengths differ, `p` is not in [0, 1) or the range reaches past index 2³⁴.
    pub fn apply_add(&self, p: f64, start: usize, residual: &[f32], x: &mut [f32]) {
        assert_eq!(residual.len(), x.len(), "dropout: lengths of residual and x");
        let draws = Draws::new(self, p, start, x.len());
        run(Sums { draws, residual, x });
    }
}

/// Kernel of [`DropoutStream::factors_into`].
struct Factors<'a> {
    draws: Draws,
    out: &'a mut [f32],
}

impl NullaryFnOnce for Factors<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { draws, out } = self;
        let mut windows = Windows::new(draws);
        while let Some((range, factors)) = windows.advance() {
            out[range].copy_from_slice(factors);
        }
    }
}

/// Kernel of [`DropoutStream::apply`].
struct Products<'a> {
    draws: Draws,
    x: &'a mut [f32],
}

impl NullaryFnOnce for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { draws, x } = self;
        let mut windows = Windows::new(draws);
        while let Some((range, factors)) = windows.advance() {
            for (x, &f) in x[range].iter_mut().zip(factors) {
                *x *= f;
            }
        }
    }
}

/// Kernel of [`DropoutStream::apply_add`].
struct Sums<'a> {
    draws: Draws,
    residual: &'a [f32],
    x: &'a mut [f32],
}

impl NullaryFnOnce for Sums<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { draws, residual, x } = self;
        let mut windows = Windows::new(draws);
        while let Some((range, factors)) = windows.advance() {
            for ((x, &r), &f) in x[range.clone()].iter_mut().zip(&residual[range]).zip(factors) {
                *x = x.mul_add(f, r);
            }
        }
    }
}

/// A range of a stream to be drawn with one probability.
#[derive(Clone, Copy)]
struct Draws {
    stream: DropoutStream,
    /// A draw below it drops the value.
    threshold: u32,
    /// Factor of a kept value.
    kept: f32,
    start: usize,
    len: usize,
}

impl Draws {
    fn new(stream: &DropoutStream, p: f64, start: usize, len: usize) -> Self {
        assert!((0.0..1.0).contains(&p), "dropout: probability must be in [0, 1), was {p}");
        assert!(
            start.checked_add(len).is_some_and(|end| end as u64 <= STREAM_LEN),
            "dropout: {len} values from {start} on reach past index 2^34"
        );
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "p is in [0, 1); the cast saturates at 2^32 - 1; the factor is single precision"
        )]
        let (threshold, kept) = ((p * 4_294_967_296.0).round() as u32, (1.0 / (1.0 - p)) as f32);
        Self { stream: *stream, threshold, kept, start, len }
    }

    /// Draws consecutive groups: value j of group g is word j / 8 of block 8 g + j mod 8.
    #[inline(always)]
    fn draw(self, first: usize, groups: &mut [[f32; GROUP]]) {
        let [example, step_low, step_high] = self.stream.place.map(u64::from);
        let mut block = (first * BLOCKS) as u64;
        for group in groups {
            for lane in 0..BLOCKS {
                let counter = [block.wrapping_add(lane as u64), example, step_low, step_high];
                let words = philox_wide(counter, self.stream.key);
                for (word, values) in words.into_iter().zip(group.as_chunks_mut::<BLOCKS>().0) {
                    values[lane] = if low(word) < self.threshold { 0.0 } else { self.kept };
                }
            }
            block = block.wrapping_add(BLOCKS as u64);
        }
    }
}

/// Goes through [`Draws`] in windows that end where groups end, so that each group is drawn once.
struct Windows {
    draws: Draws,
    done: usize,
    factors: [[f32; GROUP]; WINDOW],
}

impl Windows {
    #[inline(always)]
    fn new(draws: Draws) -> Self {
        Self { draws, done: 0, factors: [[0.0; GROUP]; WINDOW] }
    }

    /// The next range of `0..len` and its factors.
    #[inline(always)]
    fn advance(&mut self) -> Option<(Range<usize>, &[f32])> {
        let left = self.draws.len - self.done;
        if left == 0 {
            return None;
        }
        let index = self.draws.start + self.done;
        let skip = index % GROUP;
        let n = (GROUP * WINDOW - skip).min(left);
        let used = &mut self.factors[..(skip + n).div_ceil(GROUP)];
        self.draws.draw(index / GROUP, used);
        let range = self.done..self.done + n;
        self.done += n;
        Some((range, &used.as_flattened()[skip..skip + n]))
    }
}
