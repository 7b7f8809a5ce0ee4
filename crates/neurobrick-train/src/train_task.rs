//! The seam between the loop and what it learns.

use burn::module::Module;

use crate::{Gradients, TrainError, ValidationReport};

/// What one step of a task found.
#[derive(Debug)]
pub struct TaskStep {
    /// Session of the batch; `mixed` where it holds several.
    pub session: String,
    /// Mask scheme of the batch, or what else it was asked.
    pub scheme: &'static str,
    /// Loss per counted entry.
    pub loss: f64,
    /// What the model's penalties add per window; `None` if it has none.
    pub penalty: Option<f64>,
    /// Entries that the loss counts.
    pub n_counted: u64,
    /// Gradients of what is minimized (a sum or a mean over the batch, as the task has it), by the paths of the whole model.
    pub gradients: Gradients,
}

/// What a run learns: a loss for every step, and a score by which the best step is chosen. Everything it draws is a
/// function of the step and of what it was built with.
///
/// Not object-safe in use: it is generic over the model, which training clones and maps by value. A run knows its task when
/// it is compiled.
pub trait TrainTask<M: Module>: Sync {
    /// Loss and gradients of `model` (on a device without autodiff) at `step`, counted from 0. Shards run on `pools`, of one
    /// thread each, and are added in order, so that the result does not depend on how many there are.
    ///
    /// # Errors
    /// If the model refuses its input.
    fn step(&self, model: &M, step: u64, pools: &[rayon::ThreadPool]) -> Result<TaskStep, TrainError>;

    /// Scores `model` on validation data after `step` steps; `mean` is what the loop maximizes.
    ///
    /// # Errors
    /// If the model refuses its input.
    fn validate(&self, model: &M, step: u64, n_threads: usize) -> Result<ValidationReport, TrainError>;

    /// Adds everything that must be equal for a checkpoint to fit: configuration, seed, data. The weights that the run starts
    /// from are added by the loop.
    ///
    /// # Errors
    /// If something cannot be written as bytes.
    fn identify(&self, add: &mut dyn FnMut(&[u8])) -> Result<(), TrainError>;
}
