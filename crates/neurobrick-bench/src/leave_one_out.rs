//! What leave-one-out prediction costs: one forward pass for every unit, against each model's own way.

use std::fmt::Write as _;
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use ndarray::{Axis, Slice};
use neurobrick_core::{Masking, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_models::{LinearStitch, LinearStitchConfig};
use serde::{Deserialize, Serialize};

use crate::flops::{product_flops, work_flops};
use crate::{BenchCase, BenchError, Material, Summary, Work};

/// Units of a turn: every unit costs the same, so that a few tell what all of them would take.
const N_UNITS: usize = 16;
/// Rank of the linear model.
const RANK: usize = 32;

/// Both ways for one model, in turns on the same trials.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaveOneOutTimes {
    /// The case, or the linear model of its size.
    pub name: String,
    /// Units of the session.
    pub n_units: usize,
    /// Trials.
    pub n_trials: usize,
    /// Seconds per unit with a forward pass of the whole model for each.
    pub naive_s: Summary,
    /// Seconds per unit the model's own way.
    pub own_s: Summary,
    /// Largest difference between the two in log rates.
    pub difference: f64,
    /// How many times fewer operations of matrix products the model's own way has: what no implementation of the same
    /// numbers exceeds if products are all that takes time.
    pub bound: f64,
}

/// Measures `case` and a linear model of the same units, on the first `n_trials` of its trials.
///
/// # Errors
/// If a model is invalid or answers are not there.
pub fn leave_one_out(
    case: &BenchCase,
    n_trials: usize,
    n_repeats: usize,
    seed: u64,
) -> Result<[LeaveOneOutTimes; 2], BenchError> {
    let material = Material::draw(case, seed)?;
    let mut counts = material.counts.view();
    counts.slice_axis_inplace(Axis(0), Slice::from(..n_trials.min(case.batch_size)));
    let (b, t, n) = counts.dim();
    let masking = Masking::nothing([b, t, n], Prompt::Neuron);
    let input = ModelInput::new(&material.sessions[0], counts, &masking, &Device::flex());
    let all = work_flops(case, Work::SingleTrial);
    let read = |width| product_flops(t, n, width);
    // The read-in is computed once for all units, and the read-out evaluates one column.
    let own = all - read(case.model.d_stitch) - read(case.model.d_model) * (1.0 - 1.0 / n as f64);
    let spec = SessionSpec { session: material.sessions[0].clone(), n_units: n, log_mean_rates: None };
    let config = LinearStitchConfig { n_bins: t, d_latent: RANK };
    let linear = LinearStitch::new(config, &[spec], seed, &Device::flex())?;
    let times = |name: String, bound: f64| LeaveOneOutTimes {
        name,
        n_units: n,
        n_trials: b,
        naive_s: Summary { n: 0, median: f64::NAN, min: f64::NAN },
        own_s: Summary { n: 0, median: f64::NAN, min: f64::NAN },
        difference: f64::NAN,
        bound,
    };
    Ok([
        measured(&material.model, &input, N_UNITS, n_repeats, times(case.name.clone(), all / own))?,
        // One pass answers for all units, so all of them are asked at once.
        measured(&linear, &input, n, n_repeats, times(format!("linear_stitch, rank {RANK}"), n as f64))?,
    ])
}

/// Takes both ways in turns; `n_asked` units are asked the model's own way, at most [`N_UNITS`] of them one by one.
fn measured<M: PopulationModel>(
    model: &M,
    input: &ModelInput,
    n_asked: usize,
    n_repeats: usize,
    mut times: LeaveOneOutTimes,
) -> Result<LeaveOneOutTimes, BenchError> {
    let asked: Vec<usize> = (0..n_asked.min(times.n_units)).collect();
    let few = &asked[..N_UNITS.min(asked.len())];
    let (mut naive_s, mut own_s) = (Vec::new(), Vec::new());
    for repeat in 0..=n_repeats {
        let started = Instant::now();
        let one_by_one = naive(model, input, few)?;
        let naive = started.elapsed().as_secs_f64() / few.len() as f64;
        let started = Instant::now();
        let at_once = model.forward_leave_one_out(input, &asked)?;
        let own = started.elapsed().as_secs_f64() / asked.len() as f64;
        // The first turn finds cold caches and fresh pages.
        if repeat > 0 {
            naive_s.push(naive);
            own_s.push(own);
        }
        let both = at_once.narrow(0, 0, few.len()) - one_by_one;
        times.difference = f64::from(both.abs().max().into_scalar::<f32>());
    }
    let no_time =
        || BenchError::Config { name: times.name.clone(), reason: "repeats must be positive".to_owned() };
    times.naive_s = Summary::of(&naive_s).ok_or_else(no_time)?;
    times.own_s = Summary::of(&own_s).ok_or_else(no_time)?;
    Ok(times)
}

/// A forward pass of the whole model for every unit, as published with MtM.
fn naive<M: PopulationModel>(
    model: &M,
    input: &ModelInput,
    units: &[usize],
) -> Result<Tensor<3>, BenchError> {
    let [b, t, _] = input.counts.dims();
    let answer = |&unit: &usize| -> Result<Tensor<3>, BenchError> {
        let output = model.forward(&input.without(unit), Mode::Eval)?;
        Ok(output.log_rates.narrow(2, unit, 1).reshape([1, b, t]))
    };
    Ok(Tensor::cat(units.iter().map(answer).collect::<Result<Vec<_>, _>>()?, 0))
}

/// The measurements as a table in Markdown.
pub fn leave_one_out_table(found: &[LeaveOneOutTimes]) -> String {
    let mut text = String::from(
        "| model | units | trials | a pass per unit, ms | own way, ms per unit | times as fast | bound by products | largest difference |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for times in found {
        let LeaveOneOutTimes { name, n_units, n_trials, naive_s, own_s, difference, bound } = times;
        let (by_median, by_min) = own_s.speed_up_over(naive_s);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {name} | {n_units} | {n_trials} | {:.3} ({:.3}) | {:.3} ({:.3}) | {by_median:.1} ({by_min:.1}) | {bound:.2} | {difference:.0e} |",
            1e3 * naive_s.median,
            1e3 * naive_s.min,
            1e3 * own_s.median,
            1e3 * own_s.min,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use neurobrick_models::NdtStitchConfig;

    use super::*;

    #[test]
    fn both_ways_give_the_same_numbers() {
        let small = NdtStitchConfig { d_model: 16, d_stitch: 8, n_layers: 1, ..NdtStitchConfig::small(10) };
        let case =
            BenchCase { name: "x".to_owned(), model: small, n_units: 20, batch_size: 3, n_sessions: 1 };
        for times in leave_one_out(&case, 2, 1, 7).unwrap() {
            assert!(times.difference < 1e-4, "{times:?}");
            assert!(times.bound > 1.0 && times.naive_s.min > 0.0 && times.own_s.min > 0.0);
            assert!(leave_one_out_table(&[times]).contains("| 20 | 2 |"));
        }
    }
}
