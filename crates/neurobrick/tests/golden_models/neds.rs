//! Parity of NEDS: answers of all modalities, loss, gradients and three optimizer steps.

use burn::module::Module;
use burn::tensor::Device;
use ndarray::{Array2, Array3};
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{Mode, SessionSpec};
use neurobrick_models::{
    Neds, NedsConfig, NedsCounted, NedsInput, NedsMask, NedsModalities, NedsOutput, NedsPlace, NedsTargets,
    NedsWindows,
};
use neurobrick_nn::scalar;
use neurobrick_schema::SessionId;
use neurobrick_testkit::{
    Golden, GoldenArray, Parity, golden, golden_path, largest_difference, largest_difference_of, part,
    relative_difference,
};
use neurobrick_train::Gradients;
use serde::Deserialize;

use super::{Step, Tolerances, assert_back, check_gradients, check_steps, dict, values, with_others};

#[derive(Deserialize)]
struct Case {
    config: NedsConfig,
    modalities: NedsModalities,
    names: Vec<String>,
    n_units: usize,
    label_weight: f64,
    sessions: Vec<Session>,
    /// The session of the batch.
    session: usize,
    loss: f64,
    steps: Vec<Step>,
    loss_after: f64,
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    row: usize,
}

/// What was recorded in the batch, and what is hidden of it.
struct Batch {
    counts: Array3<u16>,
    labels: Array2<Option<usize>>,
    behaviors: Array3<f64>,
    mask: NedsMask,
}

impl Batch {
    fn new(arrays: &Golden, modalities: &NedsModalities) -> Self {
        let labels = &arrays["labels"];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small classes")]
        let classes = labels.values.iter().map(|&class| (class >= 0.0).then_some(class as usize)).collect();
        let behaviors = &arrays["behaviors"];
        let [b, t, k] = behaviors.shape[..] else { unreachable!("three axes") };
        Self {
            counts: arrays["counts"].counts(),
            labels: Array2::from_shape_vec((labels.shape[0], labels.shape[1]), classes).unwrap(),
            behaviors: Array3::from_shape_vec((b, t, k), behaviors.values.clone()).unwrap(),
            mask: NedsMask::new(arrays["hidden"].mask(), modalities).unwrap(),
        }
    }

    fn windows<'a>(&'a self, session: &'a SessionId) -> NedsWindows<'a> {
        NedsWindows {
            session,
            counts: self.counts.view(),
            labels: self.labels.view(),
            behaviors: self.behaviors.view(),
        }
    }
}

pub(super) fn check(device: &Device, tolerances: &Tolerances, parity: &mut Parity) {
    let text = std::fs::read_to_string(golden_path("neds/case.json")).unwrap();
    let case: Case = serde_json::from_str(&text).unwrap();
    let arrays = golden("neds/case.safetensors");
    let batch = Batch::new(&arrays, &case.modalities);
    let places: Vec<NedsPlace> =
        case.sessions.iter().map(|s| NedsPlace { session: s.id.to_string(), row: s.row }).collect();
    let names: Vec<&str> = case.names.iter().map(String::as_str).collect();
    let (map, torch) = (case.config.key_map(&case.modalities, &names, &places), part(&arrays, "weights."));
    let own = map.to_own(&dict(&torch)).unwrap();
    assert_back(&map, &own, &torch, "case");
    let spec =
        |s: &Session| SessionSpec { session: s.id.clone(), n_units: case.n_units, log_mean_rates: None };
    let specs: Vec<SessionSpec> = case.sessions.iter().map(spec).collect();
    let model = Neds::new(case.config.clone(), case.modalities.clone(), &specs, 1, device).unwrap();
    let model = load_state_dict(model, own).unwrap();

    let found = answer(&case, &batch, &model, device);
    let mut outputs = vec![GoldenArray::of(found.log_rates)];
    outputs.extend(found.logits.into_iter().map(GoldenArray::of));
    let n_behaviors = case.modalities.behaviors.len();
    outputs.extend((0..n_behaviors).map(|k| GoldenArray::of(found.behaviors.clone().narrow(2, k, 1))));
    assert_eq!(outputs.len(), names.len());
    for (name, found) in names.iter().zip(&outputs) {
        let difference = largest_difference(found, &arrays[&format!("outputs.{name}")]);
        parity.see("outputs", difference, tolerances.outputs, name);
    }

    let run = |model: &Neds| run(&case, &batch, model, device);
    let (loss, gradients) = run(&model);
    parity.see("loss", relative_difference(loss, case.loss), tolerances.loss, "case");
    let expected = map.to_own(&with_others(&part(&arrays, "grad."), &torch, true)).unwrap();
    check_gradients(&gradients, expected, tolerances, parity, "case");

    let start = state_dict(&model);
    let trained = check_steps(model, run, (&case.steps, case.loss_after), tolerances, parity);
    let after = map.to_own(&with_others(&part(&arrays, "after."), &torch, false)).unwrap();
    let in_batch = format!("sessions.{}.", case.session);
    for (path, found) in state_dict(&trained) {
        if path.starts_with("sessions.") && !path.starts_with(&in_batch) {
            // PyTorch's weight decay reaches all rows of a table of which one has a gradient.
            assert_eq!(found, start[&path], "{path} is of a session that is not in the batch");
            continue;
        }
        let difference = largest_difference_of(&values(&found), &values(&after[&path]));
        match (path.ends_with("key.bias"), tolerances.key_bias_after) {
            (false, _) => parity.see("parameters after", difference, tolerances.after, &path),
            (true, Some(tolerance)) => parity.see("key biases after", difference, tolerance, &path),
            (true, None) => {}
        }
    }
}

fn answer(case: &Case, batch: &Batch, model: &Neds, device: &Device) -> NedsOutput {
    let windows = batch.windows(&case.sessions[case.session].id);
    let input = NedsInput::new(&windows, &case.modalities, &batch.mask, device).unwrap();
    model.forward(&input, Mode::Eval).unwrap()
}

/// The loss and its gradients.
fn run(case: &Case, batch: &Batch, model: &Neds, device: &Device) -> (f64, Gradients) {
    let model = model.clone().train();
    let output = answer(case, batch, &model, &device.clone().autodiff());
    let windows = batch.windows(&case.sessions[case.session].id);
    let counted = NedsCounted::of(&windows, &case.modalities, &batch.mask);
    let targets =
        NedsTargets { windows, mask: &batch.mask, counted: &counted, label_weight: case.label_weight };
    let loss = targets.loss(&output, &case.modalities).unwrap();
    let value = scalar(loss.clone().inner());
    (value, Gradients::collect(&model, loss.backward()))
}
