//! What a model predicts on the tasks, and its latents for probes.

use burn::tensor::{Device, TensorData};
use ndarray::{Array3, Axis, s};
use neurobrick_core::{Context, Masking, Mode, ModelInput, PopulationModel, Prompt};
use neurobrick_data::SessionData;

use crate::validation::to_array;
use crate::workers::{device_of, threads_on};
use crate::{EvalTask, TaskPlan, TaskQuery, TrainError, run_jobs};

/// Trials per forward pass.
const TRIAL_CHUNK: usize = 32;
/// Windows per leave-one-out pass: bounds memory at some tens of MB for a width of 128.
const LOO_WINDOWS: usize = 128;

/// Rates predicted for the scored slice of a task.
#[derive(Clone, Debug)]
pub struct Predictions {
    /// Expected spikes per bin `[trial, scored bin, scored unit]`.
    pub rates: Array3<f64>,
}

/// One forward pass: trials `[from, to)` of one query, and for leave-one-out a run of its targets.
struct Job<'a> {
    query: &'a TaskQuery,
    trials: std::ops::Range<usize>,
    targets: std::ops::Range<usize>,
}

/// Predicts the scored slice of `plan` on `trials` of a session, with a model in evaluation mode.
///
/// # Errors
/// If the model refuses its input.
pub fn predict<M: PopulationModel>(
    model: &M,
    data: &SessionData,
    trials: &[usize],
    plan: &TaskPlan,
    n_threads: usize,
    progress: impl FnMut(usize, usize),
) -> Result<Predictions, TrainError> {
    let mut progress = progress;
    let jobs = split_into_jobs(plan, trials.len());
    let device = device_of(model)?;
    let n_threads = threads_on(&device, n_threads);
    let run = |own: &M, i: usize| run_job(own, data, trials, plan, &jobs[i], &device);
    let answers = run_jobs(jobs.len(), n_threads, &model.valid(), run, |done| progress(done, jobs.len()))?;

    let n_scored = plan.n_bins - plan.first_bin;
    let mut rates = Array3::zeros((trials.len(), n_scored, plan.units.len()));
    for (job, answer) in jobs.iter().zip(answers) {
        for (k, target) in job.query.targets[job.targets.clone()].iter().enumerate() {
            // Targets are among the scored units by construction.
            let column = plan.units.partition_point(|u| u < target);
            rates.slice_mut(s![job.trials.clone(), .., column]).assign(&answer.index_axis(Axis(2), k));
        }
    }
    Ok(Predictions { rates })
}

fn split_into_jobs(plan: &TaskPlan, n_trials: usize) -> Vec<Job<'_>> {
    let mut jobs = Vec::new();
    for query in &plan.queries {
        for from in (0..n_trials).step_by(TRIAL_CHUNK) {
            let trials = from..(from + TRIAL_CHUNK).min(n_trials);
            let per_job =
                if query.leave_one_out { (LOO_WINDOWS / trials.len()).max(1) } else { query.targets.len() };
            for first in (0..query.targets.len()).step_by(per_job) {
                let targets = first..(first + per_job).min(query.targets.len());
                jobs.push(Job { query, trials: trials.clone(), targets });
            }
        }
    }
    jobs
}

/// Rates `[trial, scored bin, target]` of one job.
fn run_job<M: PopulationModel>(
    model: &M,
    data: &SessionData,
    trials: &[usize],
    plan: &TaskPlan,
    job: &Job<'_>,
    device: &Device,
) -> Result<Array3<f64>, TrainError> {
    let counts = data.counts().select(Axis(0), &trials[job.trials.clone()]);
    let (b, t, n) = counts.dim();
    let masking = if plan.task == EvalTask::ForwardPrediction {
        Masking::future([b, t, n], plan.n_bins - plan.first_bin)
    } else {
        let hidden: Vec<usize> = (0..n).filter(|u| job.query.visible.binary_search(u).is_err()).collect();
        Masking::units([b, t, n], &hidden, plan.task.prompt())
    };
    let input = ModelInput::new(data.session(), counts.view(), &masking, device);
    let targets = &job.query.targets[job.targets.clone()];
    if job.query.leave_one_out {
        // [target, trial, bin] -> [trial, bin, target]
        let log_rates = to_array(model.forward_leave_one_out(&input, targets)?)?;
        return Ok(log_rates.permuted_axes([1, 2, 0]).slice(s![.., plan.first_bin.., ..]).mapv(f64::exp));
    }
    let log_rates = to_array(model.forward(&input, Mode::Eval)?.log_rates)?;
    Ok(log_rates.select(Axis(2), targets).slice(s![.., plan.first_bin.., ..]).mapv(f64::exp))
}

/// Latents `[trial, bin, L]` of whole windows with nothing hidden.
///
/// # Errors
/// If the model refuses its input.
pub fn latents<M: PopulationModel>(
    model: &M,
    data: &SessionData,
    trials: &[usize],
    prompt: Prompt,
    n_threads: usize,
) -> Result<Array3<f64>, TrainError> {
    let device = device_of(model)?;
    let n_threads = threads_on(&device, n_threads);
    let chunks: Vec<&[usize]> = trials.chunks(TRIAL_CHUNK).collect();
    let run = |own: &M, i: usize| {
        let counts = data.counts().select(Axis(0), chunks[i]);
        let (b, t, n) = counts.dim();
        let values: Vec<f32> = counts.iter().map(|&c| f32::from(c)).collect();
        let input = ModelInput {
            session: data.session().clone(),
            counts: burn::tensor::Tensor::from_data(TensorData::new(values, [b, t, n]), &device),
            hidden: None,
            context: if prompt == Prompt::Causal { Context::Causal } else { Context::Full },
            prompt: Some(prompt),
        };
        to_array(own.forward(&input, Mode::Eval)?.latents)
    };
    let parts = run_jobs(chunks.len(), n_threads, &model.valid(), run, |_| {})?;
    let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
    ndarray::concatenate(Axis(0), &views).map_err(|e| TrainError::Worker { reason: e.to_string() })
}
