//! Files of the Neural Latents Benchmark: a submission and its targets, both in the benchmark's HDF5 layout.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::{Array2, Array3};
use neurobrick_evaluate::protocols::{NlbScore, NlbScores};
use neurobrick_ingest::{IngestError, Tensor, TensorFile};
use neurobrick_metrics::nlb::{Submission, Targets};

use crate::PipelineError;

/// Scores a submission as `nlb_tools.evaluation.evaluate` does (commit 1ddc15f).
///
/// `targets` is the file the benchmark published, or one made by `nlb_tools.make_tensors.make_eval_target_tensors`. As in
/// the reference, rates of exactly zero count as 1e-9, and behavior is decoded with a ridge whose penalty is chosen by
/// five folds. A metric whose targets or rates are not there is left out.
///
/// # Errors
/// If a file is damaged or lacks a tensor, tensors do not fit together, rates are negative or NaN where a spike was
/// counted, or the files have no data set in common.
pub fn score_nlb(submission: &Path, targets: &Path) -> Result<NlbScores, PipelineError> {
    let (rates, truth) = (TensorFile::open(submission)?, TensorFile::open(targets)?);
    let known = truth.groups();
    let (mut datasets, mut not_scored) = (Vec::new(), Vec::new());
    for group in rates.groups() {
        if !known.contains(&group) {
            not_scored.push(group);
            continue;
        }
        let targets_of = Group { file: &truth, path: targets, name: &group }.targets()?;
        let submitted = Group { file: &rates, path: submission, name: &group }.submission()?;
        let score = NlbScore::new(group.clone(), &submitted, &targets_of);
        datasets.push(score.map_err(|error| PipelineError::BadFile {
            path: submission.to_owned(),
            message: format!("{group}: {error}"),
        })?);
    }
    if datasets.is_empty() {
        let message = format!(
            "it has no data set in common with the targets; they hold {}, the submission {}",
            list(&known),
            list(&not_scored)
        );
        return Err(PipelineError::BadFile { path: submission.to_owned(), message });
    }
    Ok(NlbScores { datasets, not_scored })
}

/// The rates of every data set in a submission, by the name of its group.
///
/// # Errors
/// If the file is damaged, or a group lacks a tensor that a submission needs.
pub fn read_nlb(submission: &Path) -> Result<BTreeMap<String, Submission>, PipelineError> {
    let file = TensorFile::open(submission)?;
    let of = |name: &str| Group { file: &file, path: submission, name }.submission();
    file.groups().into_iter().map(|name| of(&name).map(|found| (name, found))).collect()
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The tensors of one data set in one file.
struct Group<'a> {
    file: &'a TensorFile,
    path: &'a Path,
    name: &'a str,
}

impl Group<'_> {
    fn bad(&self, tensor: &str, message: &str) -> PipelineError {
        PipelineError::BadFile {
            path: self.path.to_owned(),
            message: format!("{}/{tensor}: {message}", self.name),
        }
    }

    fn tensor(&self, name: &str) -> Result<Option<Tensor>, IngestError> {
        self.file.tensor(self.name, name)
    }

    fn cube(&self, name: &str) -> Result<Option<Array3<f64>>, PipelineError> {
        let Some(Tensor { shape, values }) = self.tensor(name)? else { return Ok(None) };
        let [trials, bins, units] = shape[..] else {
            return Err(self.bad(name, &format!("shape {shape:?} instead of trials x bins x units")));
        };
        let cube = Array3::from_shape_vec((trials, bins, units), values);
        cube.map(Some).map_err(|error| self.bad(name, &error.to_string()))
    }

    fn required(&self, name: &str) -> Result<Array3<f64>, PipelineError> {
        self.cube(name)?.ok_or_else(|| self.bad(name, "it is missing"))
    }

    /// Both tensors, or neither.
    fn pair(&self, names: [&str; 2]) -> Result<Option<[Array3<f64>; 2]>, PipelineError> {
        match (self.cube(names[0])?, self.cube(names[1])?) {
            (Some(first), Some(second)) => Ok(Some([first, second])),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(self.bad(names[0], &format!("it is missing, and {} is there", names[1]))),
            (Some(_), None) => Err(self.bad(names[1], &format!("it is missing, and {} is there", names[0]))),
        }
    }

    fn mask(&self, name: &str) -> Result<Option<Array2<bool>>, PipelineError> {
        let Some(Tensor { shape, values }) = self.tensor(name)? else { return Ok(None) };
        let [trials, masks] = shape[..] else {
            return Err(self.bad(name, &format!("shape {shape:?} instead of trials x masks")));
        };
        let values = values.into_iter().map(|value| value != 0.0).collect();
        let mask = Array2::from_shape_vec((trials, masks), values);
        mask.map(Some).map_err(|error| self.bad(name, &error.to_string()))
    }

    fn submission(&self) -> Result<Submission, PipelineError> {
        Ok(Submission {
            eval_heldin: self.required("eval_rates_heldin")?,
            eval_heldout: self.required("eval_rates_heldout")?,
            train: self.pair(["train_rates_heldin", "train_rates_heldout"])?,
            forward: self.pair(["eval_rates_heldin_forward", "eval_rates_heldout_forward"])?,
        })
    }

    fn targets(&self) -> Result<Targets, PipelineError> {
        let eval_spikes_heldout = self.required("eval_spikes_heldout")?;
        let n_trials = eval_spikes_heldout.dim().0;
        let names = ["train_behavior", "eval_behavior"];
        // Behavior of one value a trial are the intervals of a timing task.
        let by_trial = self.tensor(names[1])?.filter(|behavior| behavior.shape.len() == 2);
        let (behavior, intervals) = match by_trial {
            Some(Tensor { shape, values }) => {
                let intervals = Array2::from_shape_vec((shape[0], shape[1]), values);
                (None, Some(intervals.map_err(|error| self.bad(names[1], &error.to_string()))?))
            }
            None => (self.pair(names)?, None),
        };
        let masks = (self.mask("train_decode_mask")?, self.mask("eval_decode_mask")?);
        let decode_masks = match masks {
            (Some(train), Some(eval)) => Some([train, eval]),
            (None, None) => None,
            _ => return Err(self.bad("eval_decode_mask", "only one of the two masks is there")),
        };
        let jitter = self.tensor("eval_jitter")?.map(|tensor| {
            #[expect(clippy::cast_possible_truncation, reason = "whole numbers of bins")]
            tensor.values.into_iter().map(|bins| bins as i64).collect()
        });
        Ok(Targets {
            eval_spikes_heldout,
            forward_spikes: self.pair(["eval_spikes_heldin_forward", "eval_spikes_heldout_forward"])?,
            behavior,
            decode_masks,
            intervals,
            psth: self.cube("psth")?,
            trials_of_condition: self.conditions(n_trials)?,
            jitter,
        })
    }

    fn conditions(&self, n_trials: usize) -> Result<Vec<Vec<usize>>, PipelineError> {
        let name = "eval_cond_idx";
        let lists = self.file.lists(self.name, name)?.unwrap_or_default();
        let trial = |&trial: &i64| {
            usize::try_from(trial).ok().filter(|&trial| trial < n_trials).ok_or_else(|| {
                self.bad(name, &format!("trial {trial}, of {n_trials} that the held-out spikes have"))
            })
        };
        lists.iter().map(|trials| trials.iter().map(trial).collect()).collect()
    }
}
