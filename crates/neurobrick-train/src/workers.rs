//! Jobs over worker threads, with results in order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};

use burn::module::Module;
use burn::tensor::Device;
use neurobrick_core::ComputeDevice;

use crate::TrainError;

/// Runs `n_jobs` jobs on `n_threads` threads and returns their results by job number.
///
/// Every thread works in a rayon pool of one thread, so that tensor products inside a job do not spawn further
/// threads, and gets a clone of `shared` (models are `Send` but not `Sync`; a clone shares the weights). With
/// no thread the caller does them all.
/// `progress` is called on the caller's thread after each job with the number done.
///
/// # Errors
/// The first error by job number, or if a thread cannot be started.
pub fn run_jobs<S, T>(
    n_jobs: usize,
    n_threads: usize,
    shared: &S,
    job: impl Fn(&S, usize) -> Result<T, TrainError> + Sync,
    mut progress: impl FnMut(usize),
) -> Result<Vec<T>, TrainError>
where
    S: Clone + Send,
    T: Send,
{
    if n_threads == 0 {
        let one = |idx| {
            let result = job(shared, idx);
            progress(idx + 1);
            result
        };
        return (0..n_jobs).map(one).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<T, TrainError>>>> = Mutex::new((0..n_jobs).map(|_| None).collect());
    let pools = one_thread_pools(n_threads.min(n_jobs.max(1)))?;
    let (tell, told) = mpsc::channel::<()>();
    std::thread::scope(|scope| {
        for pool in &pools {
            let (own, tell) = (shared.clone(), tell.clone());
            let (next, results, job) = (&next, &results, &job);
            scope.spawn(move || {
                pool.install(move || {
                    loop {
                        let idx = next.fetch_add(1, Ordering::Relaxed);
                        if idx >= n_jobs {
                            break;
                        }
                        let result = job(&own, idx);
                        // A poisoned lock only means that another job panicked; the scope reports that.
                        results.lock().unwrap_or_else(PoisonError::into_inner)[idx] = Some(result);
                        // The receiver outlives the workers; nobody waits on a failed send.
                        let _ = tell.send(());
                    }
                });
            });
        }
        drop(tell);
        let mut done = 0;
        while told.recv().is_ok() {
            done += 1;
            progress(done);
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results
        .into_iter()
        .map(|r| r.unwrap_or_else(|| Err(TrainError::Worker { reason: "a job did not finish".to_owned() })))
        .collect()
}

/// The device a model lives on.
///
/// # Errors
/// If it has no parameters, which live on devices.
pub fn device_of<M: Module>(model: &M) -> Result<Device, TrainError> {
    model.devices().first().cloned().ok_or(TrainError::NoDevice)
}

/// Worker threads for models on `device`: those asked for, at least one, or none at all, so that the caller works, where threads do not share it.
pub fn threads_on(device: &Device, n_threads: usize) -> usize {
    if ComputeDevice::is_shared_by_threads(device) { n_threads.max(1) } else { 0 }
}

/// `work` in a pool, or without one by the caller.
pub(crate) fn in_pool<R: Send>(pool: Option<&rayon::ThreadPool>, work: impl FnOnce() -> R + Send) -> R {
    match pool {
        Some(pool) => pool.install(work),
        None => work(),
    }
}

/// Rayon pools of one thread each.
pub(crate) fn one_thread_pools(n: usize) -> Result<Vec<rayon::ThreadPool>, TrainError> {
    (0..n).map(|_| pool(1)).collect()
}

/// A rayon pool.
pub(crate) fn pool(n_threads: usize) -> Result<rayon::ThreadPool, TrainError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .map_err(|e| TrainError::Worker { reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn results_come_by_job_number_on_any_number_of_threads() {
        for n_threads in [0, 1, 2, 5] {
            let mut ticks = 0;
            let squares = run_jobs(17, n_threads, &3usize, |s, i| Ok(s * i * i), |_| ticks += 1).unwrap();
            assert_eq!(squares, (0..17).map(|i| 3 * i * i).collect::<Vec<_>>());
            assert_eq!(ticks, 17);
        }
    }

    #[test]
    fn the_first_error_is_reported() {
        let fail = |offset: &usize, i: usize| {
            if i + offset == 4 { Err(TrainError::Worker { reason: "four".to_owned() }) } else { Ok(i) }
        };
        let error = run_jobs(9, 2, &0, fail, |_| {}).unwrap_err();
        assert!(error.to_string().contains("four"));
    }
}
