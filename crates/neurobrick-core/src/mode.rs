//! Whether a forward pass is for training, and where its dropout comes from.

/// Training with dropout, or evaluation without.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// No dropout.
    Eval,
    /// Dropout read from streams.
    Train(&'a DropoutStreams),
}

/// Dropout masks as a pure function of (seed, step, example, site).
///
/// Every trial of a batch has its own stream at every site, so the masks do not depend on how a batch is cut into
/// shards, and a resumed run drops the same units again.
#[derive(Clone, Copy, Debug)]
pub struct DropoutStreams {
    seed: u64,
    step: u64,
    first_example: u64,
}

impl DropoutStreams {
    /// Streams of `step`, for a shard that starts at trial `first_example` of the batch.
    pub fn new(seed: u64, step: u64, first_example: u64) -> Self {
        Self { seed, step, first_example }
    }

    /// Seed, step and number within the batch of trial `example` of this shard.
    pub fn address(&self, example: u64) -> [u64; 3] {
        [self.seed, self.step, self.first_example + example]
    }
}
