//! Batches that mix sessions, weighted, and dealt to the workers of a run: pure functions of seed, step and rank.

use neurobrick_random::{Domain, Stream};

use crate::DataError;

/// How often a session is drawn.
#[derive(Clone, Debug, PartialEq)]
pub enum SessionWeights {
    /// As often as it has windows: in an epoch every window is seen once.
    Windows,
    /// All sessions alike, however long they are.
    Equal,
    /// By the number of tokens that all its windows together make, such as bins times units.
    Tokens(Vec<u64>),
}

/// One example of a mixed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Draw {
    /// Position of the session in the list that the plan was made for.
    pub session_idx: usize,
    /// Position in that session's list of windows.
    pub window: usize,
}

/// Which windows every worker sees at every step.
///
/// The batch of a step holds `batch_size` examples for each of `world` workers, drawn as one list of which rank `r` gets
/// the `r`-th part: what a run sees together does not depend on how many workers share it, as long as
/// `batch_size * world` stays.
///
/// ```
/// use neurobrick_data::{MixedPlan, SessionWeights};
///
/// // Sessions of 90 and 10 windows, seen alike often, by two workers of eight examples each.
/// let plan = MixedPlan::new(&[90, 10], &SessionWeights::Equal, 8, 2, 1)?;
/// assert_eq!(plan.steps_per_epoch(), 7);
/// let drawn: Vec<_> = (0..100).flat_map(|step| [plan.batch(step, 0), plan.batch(step, 1)].concat()).collect();
/// let of_second = drawn.iter().filter(|draw| draw.session_idx == 1).count();
/// assert!((700..900).contains(&of_second), "{of_second} of {}", drawn.len());
/// # Ok::<(), neurobrick_data::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MixedPlan {
    /// First example of every session, and the number of all.
    starts: Vec<usize>,
    /// Sum of the weights up to every session; empty where every window is seen once.
    cumulative: Vec<f64>,
    batch_size: usize,
    world: usize,
    seed: u64,
}

impl MixedPlan {
    /// A plan over sessions with `n_windows[i]` windows each.
    ///
    /// # Errors
    /// [`DataError::BadSampler`] without windows, batches or workers, or with weights that do not fit the sessions.
    pub fn new(
        n_windows: &[usize],
        weights: &SessionWeights,
        batch_size: usize,
        world: usize,
        seed: u64,
    ) -> Result<Self, DataError> {
        let bad = |detail: &str| Err(DataError::BadSampler { detail: detail.to_owned() });
        let mut starts = vec![0];
        for n in n_windows {
            starts.push(starts[starts.len() - 1] + n);
        }
        if starts[n_windows.len()] == 0 || batch_size == 0 || world == 0 {
            return bad("there must be a window, a place in the batch and a worker");
        }
        let weight: Vec<f64> = match weights {
            SessionWeights::Windows => Vec::new(),
            SessionWeights::Equal => n_windows.iter().map(|&n| f64::from(u8::from(n > 0))).collect(),
            SessionWeights::Tokens(tokens) if tokens.len() != n_windows.len() => {
                return bad("there must be a number of tokens for every session");
            }
            SessionWeights::Tokens(tokens) => {
                tokens.iter().zip(n_windows).map(|(&t, &n)| if n > 0 { t as f64 } else { 0.0 }).collect()
            }
        };
        let mut sum = 0.0;
        let cumulative: Vec<f64> = weight
            .iter()
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        if !cumulative.is_empty() && sum <= 0.0 {
            return bad("no session with windows has tokens");
        }
        Ok(Self { starts, cumulative, batch_size, world, seed })
    }

    /// Steps in which as many examples are drawn as there are windows.
    pub fn steps_per_epoch(&self) -> usize {
        self.n_windows().div_ceil(self.batch_size * self.world)
    }

    fn n_windows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// The examples of a worker at a step, counted from 0 over the whole run. The last step of an epoch may be shorter
    /// where every window is seen once.
    ///
    /// # Panics
    /// If `rank` is not below the number of workers.
    pub fn batch(&self, step: u64, rank: usize) -> Vec<Draw> {
        assert!(rank < self.world, "rank {rank} of {} workers", self.world);
        let per_epoch = self.steps_per_epoch() as u64;
        let epoch = step / per_epoch;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of a division by a usize")]
        let place = (step % per_epoch) as usize;
        let first = (place * self.world + rank) * self.batch_size;
        let places = first..first + self.batch_size;
        if self.cumulative.is_empty() {
            let order =
                Stream::new(self.seed, Domain::Order, [epoch, u64::MAX - 1, 0]).permutation(self.n_windows());
            return places.filter_map(|place| order.get(place)).map(|&window| self.draw_at(window)).collect();
        }
        places.map(|place| self.draw_weighted(epoch, place)).collect()
    }

    fn draw_at(&self, window: usize) -> Draw {
        let session_idx = self.starts.partition_point(|&start| start <= window) - 1;
        Draw { session_idx, window: window - self.starts[session_idx] }
    }

    /// A session by its weight, and a window of it: each draw reads a stream of its own, so no draw depends on another.
    fn draw_weighted(&self, epoch: u64, place: usize) -> Draw {
        let mut stream = Stream::new(self.seed, Domain::Order, [epoch, u64::MAX - 2, place as u64]);
        let total = self.cumulative[self.cumulative.len() - 1];
        let target = stream.uniform() * total;
        let session_idx =
            self.cumulative.partition_point(|&sum| sum <= target).min(self.cumulative.len() - 1);
        let n_windows = self.starts[session_idx + 1] - self.starts[session_idx];
        Draw { session_idx, window: stream.below(n_windows) }
    }
}
