//! Evaluation tasks: what they hide, what they score, and that predictions are forward passes with that hidden.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array3, Axis, s};
use neurobrick_core::{Masking, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_data::{RegionTable, SessionData};
use neurobrick_testkit::{synthetic_data, test_device};
use neurobrick_train::{EvalTask, TaskPlan, TrainError, latents, predict};

mod toy;
use toy::{N_BINS, Toy};

/// Forty trials, more than one forward pass holds, of twelve units in three regions.
fn data() -> SessionData {
    synthetic_data(3, 40, N_BINS, 12, 2)
}

fn model(data: &SessionData) -> Toy {
    let spec = SessionSpec { session: data.session().clone(), n_units: 12, log_mean_rates: None };
    Toy::new(&[spec], 1, &test_device())
}

fn plan(task: EvalTask, data: &SessionData, max_units: Option<usize>) -> TaskPlan {
    TaskPlan::new(task, "synthetic", data.regions(), N_BINS, max_units, 4).unwrap()
}

/// Rates `[trial, bin, unit]` of one whole forward pass.
fn rates(model: &Toy, data: &SessionData, trials: &[usize], masking: &Masking) -> Array3<f64> {
    let counts = data.counts().select(Axis(0), trials);
    let input = ModelInput::new(data.session(), counts.view(), masking, &test_device());
    let log_rates = model.forward(&input, Mode::Eval).unwrap().log_rates;
    let dims = log_rates.dims();
    Array3::from_shape_vec(dims, log_rates.into_data().iter::<f64>().map(f64::exp).collect()).unwrap()
}

#[test]
fn predictions_are_passes_with_the_task_hidden() {
    let data = data();
    let model = model(&data);
    let trials: Vec<usize> = (1..40).rev().collect();
    let shape = [trials.len(), N_BINS, 12];
    for task in EvalTask::ALL {
        let plan = plan(task, &data, None);
        let [found, again] =
            [1, 3].map(|n| predict(&model, &data, &trials, &plan, n, |_, _| {}).unwrap().rates);
        assert_eq!(found, again, "{}: bits depend on the number of threads", task.name());
        assert_eq!(found.dim(), (trials.len(), N_BINS - plan.first_bin, plan.units.len()));
        for (column, &unit) in plan.units.iter().enumerate() {
            let region = data.regions().of_unit()[unit];
            let hidden: Vec<usize> = match task {
                EvalTask::CoSmoothing => vec![unit],
                EvalTask::CoSmoothingGroup => vec![0, 10],
                EvalTask::ForwardPrediction => Vec::new(),
                EvalTask::InterRegion => data.regions().units_in(region),
                EvalTask::IntraRegion => {
                    (0..12).filter(|&u| u == unit || data.regions().of_unit()[u] != region).collect()
                }
            };
            let masking = match task {
                EvalTask::ForwardPrediction => Masking::future(shape, 1),
                _ => Masking::units(shape, &hidden, Prompt::Neuron),
            };
            let whole = rates(&model, &data, &trials, &masking);
            let expected = whole.slice(s![.., plan.first_bin.., unit]);
            for (f, e) in found.slice(s![.., .., column]).iter().zip(expected) {
                // Batches of other sizes sum in another order.
                assert!(
                    (f - e).abs() < 1e-5 * (1.0 + e.abs()),
                    "{}: unit {unit}: {f} is not {e}",
                    task.name()
                );
            }
        }
    }
}

#[test]
fn plans_score_what_the_task_says() {
    let data = data();
    let co_smoothing = plan(EvalTask::CoSmoothing, &data, Some(5));
    assert_eq!(co_smoothing.units.len(), 5);
    assert_eq!(co_smoothing.units, plan(EvalTask::CoSmoothing, &data, Some(5)).units);
    assert_eq!(plan(EvalTask::CoSmoothingGroup, &data, Some(5)).units, [0, 10], "every tenth unit");
    let forward = plan(EvalTask::ForwardPrediction, &data, None);
    assert_eq!((forward.first_bin, forward.units.len()), (7, 12), "a tenth of 8 bins is one");
    for task in [EvalTask::InterRegion, EvalTask::IntraRegion] {
        let plan = plan(task, &data, None);
        assert_eq!(plan.queries.len(), 3, "one query per region");
        assert_eq!(plan.units, (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn tasks_without_anything_to_score_are_refused() {
    let refused = |task, regions: &[&str], n_bins| {
        let error = TaskPlan::new(task, "s", &RegionTable::new(regions), n_bins, None, 1).err();
        assert!(matches!(error, Some(TrainError::NothingToScore { .. })), "{task:?}: {error:?}");
    };
    refused(EvalTask::CoSmoothing, &["CA1"], 10);
    refused(EvalTask::CoSmoothingGroup, &["CA1"], 10);
    refused(EvalTask::InterRegion, &["CA1", "CA1"], 10);
    refused(EvalTask::IntraRegion, &["CA1", "LP", "VISp"], 10);
    refused(EvalTask::ForwardPrediction, &["CA1", "CA1"], 1);
}

#[test]
fn latents_are_those_of_the_trials_asked_for() {
    let data = data();
    let model = model(&data);
    let trials: Vec<usize> = (0..40).rev().collect();
    let found = latents(&model, &data, &trials, Prompt::Neuron, 2).unwrap();
    let forward = latents(&model, &data, &(0..40).collect::<Vec<_>>(), Prompt::Neuron, 1).unwrap();
    for (row, trial) in trials.into_iter().enumerate() {
        let pairs = found.index_axis(Axis(0), row).to_owned() - forward.index_axis(Axis(0), trial);
        assert!(pairs.iter().all(|d| d.abs() < 1e-5), "trial {trial}");
    }
}
