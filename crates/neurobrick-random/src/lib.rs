//! Seeded, counter-based random streams that resume by replay.
//!
//! Every random choice in neurobrick (splits, order, masks, initial weights, bootstrap) but dropout, whose masks are
//! drawn by `neurobrick-kernels` from Philox streams with addresses of the same kind, is read from a [`Stream`]: the ChaCha8 key stream of a key made of `(seed, domain, indices)`. There is no generator state to
//! save. Whoever knows the seed and the step draws the same numbers again, so a resumed run equals an
//! uninterrupted one, whatever the number of threads.
//!
//! ```
//! use neurobrick_random::{Domain, Stream};
//!
//! let mut masks = Stream::new(42, Domain::Mask, [7, 0, 3]); // e.g. step 7, batch 0, trial 3
//! let hidden: Vec<bool> = (0..100).map(|_| masks.bernoulli(0.3)).collect();
//!
//! let mut again = Stream::new(42, Domain::Mask, [7, 0, 3]);
//! assert!(hidden.iter().all(|&h| h == again.bernoulli(0.3)));
//! ```
//!
//! The crate has no features.

mod stream;

pub use stream::{Domain, Stream, name_index};
