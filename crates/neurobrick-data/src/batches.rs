//! The order of batches: a pure function of seed and step.

use neurobrick_random::{Domain, Stream};

/// One batch: trials of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBatch {
    /// Position of the session in the list the plan was made for.
    pub session_idx: usize,
    /// Positions in that session's list of training trials.
    pub trials: Vec<usize>,
    /// The epoch this batch belongs to.
    pub epoch: u64,
}

/// Which trials each step sees. Every batch holds trials of one session; in an epoch each trial is seen once.
///
/// Each epoch shuffles the trials of every session, cuts them into batches and shuffles the batches. A remainder
/// makes a smaller batch. (MtM drops it and cuts the batches once for the whole run; see
/// [`BatchPlan::fixed`].)
#[derive(Clone, Debug)]
pub struct BatchPlan {
    n_trials: Vec<usize>,
    batch_size: usize,
    seed: u64,
    fixed: bool,
}

impl BatchPlan {
    /// A plan over sessions with `n_trials[i]` training trials each.
    pub fn new(n_trials: &[usize], batch_size: usize, seed: u64) -> Self {
        Self { n_trials: n_trials.to_vec(), batch_size, seed, fixed: false }
    }

    /// As published with MtM: batches are cut once, incomplete ones are dropped (unless a session has no other),
    /// and epochs only shuffle their order.
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    /// Number of batches in an epoch.
    pub fn batches_per_epoch(&self) -> usize {
        self.n_trials.iter().map(|&n| self.batches_of(n)).sum()
    }

    fn batches_of(&self, n_trials: usize) -> usize {
        if self.fixed && n_trials >= self.batch_size {
            n_trials / self.batch_size
        } else {
            n_trials.div_ceil(self.batch_size)
        }
    }

    /// The batch of `step` (counted from 0 over the whole run).
    ///
    /// # Panics
    /// If the plan holds no trials or the batch size is zero.
    pub fn batch(&self, step: u64) -> PlannedBatch {
        let per_epoch = self.batches_per_epoch();
        assert!(per_epoch > 0, "a plan without trials has no batches");
        let epoch = step / per_epoch as u64;
        #[expect(clippy::cast_possible_truncation, reason = "a remainder of a division by a usize")]
        let place = (step % per_epoch as u64) as usize;
        let order = Stream::new(self.seed, Domain::Order, [epoch, u64::MAX, 0]).permutation(per_epoch);
        let (session_idx, batch_idx) = self.locate(order[place]);

        let shuffle_epoch = if self.fixed { 0 } else { epoch };
        let trials = Stream::new(self.seed, Domain::Order, [shuffle_epoch, session_idx as u64, 0])
            .permutation(self.n_trials[session_idx]);
        let start = batch_idx * self.batch_size;
        let end = (start + self.batch_size).min(trials.len());
        PlannedBatch { session_idx, trials: trials[start..end].to_vec(), epoch }
    }

    /// Session and position within it of the `n`-th batch of an epoch, before shuffling.
    fn locate(&self, mut n: usize) -> (usize, usize) {
        let mut session_idx = 0;
        while n >= self.batches_of(self.n_trials[session_idx]) {
            n -= self.batches_of(self.n_trials[session_idx]);
            session_idx += 1;
        }
        (session_idx, n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn seen(plan: &BatchPlan, epoch: u64) -> BTreeSet<(usize, usize)> {
        let n = plan.batches_per_epoch() as u64;
        (epoch * n..(epoch + 1) * n)
            .map(|step| plan.batch(step))
            .flat_map(|b| b.trials.into_iter().map(move |t| (b.session_idx, t)))
            .collect()
    }

    #[test]
    fn an_epoch_sees_each_trial_once() {
        let plan = BatchPlan::new(&[33, 16, 5], 16, 7);
        assert_eq!(plan.batches_per_epoch(), 3 + 1 + 1);
        for epoch in 0..3 {
            assert_eq!(seen(&plan, epoch).len(), 33 + 16 + 5);
        }
        assert_ne!(plan.batch(0), plan.batch(5), "epochs are shuffled anew");
    }

    #[test]
    fn fixed_batches_keep_their_members() {
        let plan = BatchPlan::new(&[33, 16], 16, 7).fixed();
        assert_eq!(plan.batches_per_epoch(), 3);
        let members = |epoch: u64| -> BTreeSet<Vec<usize>> {
            (0..3).map(|i| plan.batch(epoch * 3 + i).trials).collect()
        };
        assert_eq!(members(0), members(4));
        assert_eq!(seen(&plan, 0).len(), 48);
    }
}
