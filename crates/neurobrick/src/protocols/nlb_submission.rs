//! Submissions of the Neural Latents Benchmark, written in its HDF5 layout.

use std::collections::BTreeMap;
use std::path::Path;

use ndarray::Array3;
use neurobrick_evaluate::protocols::nlb_datasets;
use neurobrick_ingest::{Tensor, TensorWriter};
use neurobrick_metrics::nlb::Submission;

use crate::PipelineError;

/// Writes rates in spikes per bin, by the name of their data set (`mc_maze`, `mc_maze_20`), as one file that `nlb_tools`
/// and [`score_nlb`](super::score_nlb) score.
///
/// What would be refused or score nothing is refused before anything is written. NaN stands where the targets have no
/// spikes to score.
///
/// # Errors
/// If there is no data set, one has a name the benchmark does not know, rates are negative or infinite or all NaN, tensors of one
/// side differ in trials or bins, or parts of a data set in their units; if the file cannot be written.
pub fn write_nlb(path: &Path, submissions: &BTreeMap<String, Submission>) -> Result<(), PipelineError> {
    let bad = |message: String| PipelineError::BadFile { path: path.to_owned(), message };
    if submissions.is_empty() {
        return Err(bad("there is no data set to submit".to_owned()));
    }
    let mut writer = TensorWriter::new(path);
    for (name, submission) in submissions {
        check_name(name).map_err(bad)?;
        check(submission).map_err(|message| bad(format!("{name}: {message}")))?;
        for (tensor, rates) in tensors(submission) {
            let shape = rates.shape().to_vec();
            writer = writer.put(name, tensor, &Tensor { shape, values: rates.iter().copied().collect() })?;
        }
    }
    Ok(writer.write()?)
}

fn check_name(name: &str) -> Result<(), String> {
    let known: Vec<String> = nlb_datasets().collect();
    if known.iter().any(|known| known == name) {
        return Ok(());
    }
    Err(format!("the benchmark has no data set `{name}`; it has: {}", known.join(", ")))
}

/// Tensors by the names of the layout, those that are there.
fn tensors(submission: &Submission) -> Vec<(&'static str, &Array3<f64>)> {
    let Submission { eval_heldin, eval_heldout, train, forward } = submission;
    let mut found = vec![("eval_rates_heldin", eval_heldin), ("eval_rates_heldout", eval_heldout)];
    if let Some([held_in, held_out]) = train {
        found.extend([("train_rates_heldin", held_in), ("train_rates_heldout", held_out)]);
    }
    if let Some([held_in, held_out]) = forward {
        found.extend([("eval_rates_heldin_forward", held_in), ("eval_rates_heldout_forward", held_out)]);
    }
    found
}

fn check(submission: &Submission) -> Result<(), String> {
    for (name, rates) in tensors(submission) {
        if let Some((place, rate)) = rates.indexed_iter().find(|(_, r)| r.is_infinite() || **r < 0.0) {
            return Err(format!("{name} is {rate} at {place:?}; rates are spikes per bin, at least zero"));
        }
        if rates.iter().all(|rate| rate.is_nan()) {
            return Err(format!("{name} has no rate that is a number among {:?}", rates.shape()));
        }
    }
    let Submission { eval_heldin, eval_heldout, train, forward } = submission;
    let evaluated = [eval_heldin, eval_heldout];
    let sides = [
        ("evaluated", Some(evaluated)),
        ("training", train.as_ref().map(|[held_in, held_out]| [held_in, held_out])),
        ("forward", forward.as_ref().map(|[held_in, held_out]| [held_in, held_out])),
    ];
    for (side, pair) in sides {
        let Some([held_in, held_out]) = pair else { continue };
        let (a, b) = (held_in.dim(), held_out.dim());
        if (a.0, a.1) != (b.0, b.1) {
            return Err(format!("held-in and held-out {side} rates are {a:?} and {b:?}"));
        }
        for (units, (part, whole)) in
            [("held-in", (held_in, eval_heldin)), ("held-out", (held_out, eval_heldout))]
        {
            if part.dim().2 != whole.dim().2 {
                let (got, expected) = (part.dim().2, whole.dim().2);
                return Err(format!("{side} rates have {got} {units} units, the evaluated ones {expected}"));
            }
        }
        if side == "forward" && a.0 != eval_heldin.dim().0 {
            return Err(format!("forward rates are of {} trials, not of {}", a.0, eval_heldin.dim().0));
        }
    }
    Ok(())
}
