//! Parity of POYO: outputs, loss, gradients and three optimizer steps.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{Mode, SessionSpec};
use neurobrick_models::{Poyo, PoyoConfig, PoyoRows, PoyoWindow, Spike};
use neurobrick_nn::scalar;
use neurobrick_schema::SessionId;
use neurobrick_testkit::{
    Golden, GoldenArray, Parity, golden, golden_path, largest_difference, largest_difference_of, part,
    relative_difference,
};
use neurobrick_train::{AdamW, AdamWConfig, Gradients, OneCycle};
use serde::Deserialize;

use super::{Tolerances, assert_back, check_gradients, dict, values};

#[derive(Deserialize)]
struct Case {
    config: PoyoConfig,
    sessions: Vec<Session>,
    windows: Vec<Window>,
    loss: f64,
    steps: Vec<Step>,
    loss_after: f64,
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    n_units: usize,
    units: Vec<usize>,
    /// Row of the table of sessions.
    #[serde(rename = "session")]
    row: usize,
}

#[derive(Deserialize)]
struct Window {
    session: usize,
    spikes: Vec<(usize, f64)>,
    output_times: Vec<f64>,
}

#[derive(Deserialize)]
struct Step {
    lr: f64,
    beta1: f64,
    loss: f64,
    grad_norm: f64,
}

impl Case {
    fn windows(&self) -> Vec<PoyoWindow> {
        let window = |w: &Window| PoyoWindow {
            session: self.sessions[w.session].id.clone(),
            units: None,
            spikes: w.spikes.iter().map(|&(unit, time_s)| Spike { unit, time_s }).collect(),
            output_times_s: w.output_times.clone(),
        };
        self.windows.iter().map(window).collect()
    }
}

pub(super) fn check(device: &Device, tolerances: &Tolerances, parity: &mut Parity) {
    let text = std::fs::read_to_string(golden_path("poyo/case.json")).unwrap();
    let case: Case = serde_json::from_str(&text).unwrap();
    let arrays = golden("poyo/case.safetensors");
    let rows: Vec<PoyoRows> =
        case.sessions.iter().map(|s| PoyoRows { units: s.units.clone(), session: s.row }).collect();
    let (map, torch) = (case.config.key_map(&rows), part(&arrays, "weights."));
    let own = map.to_own(&dict(&torch)).unwrap();
    assert_back(&map, &own, &torch, "case");
    let spec = |s: &Session| SessionSpec { session: s.id.clone(), n_units: s.n_units, log_mean_rates: None };
    let specs: Vec<SessionSpec> = case.sessions.iter().map(spec).collect();
    let mut model = load_state_dict(Poyo::new(case.config.clone(), &specs, 1, device).unwrap(), own).unwrap();
    let outputs = model.forward(&case.windows(), Mode::Eval).unwrap();
    let difference = largest_difference(&GoldenArray::of(outputs), &arrays["outputs"]);
    parity.see("outputs", difference, tolerances.outputs, "case");

    let (loss, gradients) = run(&case, &arrays, &model, device);
    parity.see("loss", relative_difference(loss, case.loss), tolerances.loss, "case");
    check_gradients(
        &gradients,
        map.to_own(&dict_of(&arrays, "grad.", &torch)).unwrap(),
        tolerances,
        parity,
        "case",
    );
    let schedule = OneCycle { max_lr: 1e-3, pct_start: 0.3, ..OneCycle::default() };
    let mut optimizer = AdamW::new(AdamWConfig::default());
    assert_eq!(case.steps.len(), 3);
    for (step, record) in case.steps.iter().enumerate() {
        let (loss, mut gradients) = run(&case, &arrays, &model, device);
        parity.see("loss", relative_difference(loss, record.loss), tolerances.loss, "case");
        parity.see(
            "gradient norm",
            relative_difference(gradients.clip(1.0), record.grad_norm),
            tolerances.loss,
            "case",
        );
        let rates = schedule.at(step as u64, 10);
        parity.see("learning rates and momenta", relative_difference(rates.lr, record.lr), 1e-10, "case");
        parity.see(
            "learning rates and momenta",
            relative_difference(rates.beta1, record.beta1),
            1e-10,
            "case",
        );
        model = optimizer.step(model, gradients, rates);
    }
    let loss_after = run(&case, &arrays, &model, device).0;
    parity.see("loss after", relative_difference(loss_after, case.loss_after), tolerances.loss, "case");
    let after = map.to_own(&dict_of(&arrays, "after.", &torch)).unwrap();
    for (path, found) in state_dict(&model) {
        let difference = largest_difference_of(&values(&found), &values(&after[&path]));
        parity.see("parameters after", difference, tolerances.after, &path);
    }
}

fn dict_of(arrays: &Golden, prefix: &str, torch: &Golden) -> neurobrick_core::weights::StateDict {
    super::with_others(&part(arrays, prefix), torch, true)
}

/// Mean squared error and its gradients.
fn run(case: &Case, arrays: &Golden, model: &Poyo, device: &Device) -> (f64, Gradients) {
    let model = model.clone().train();
    let device = device.clone().autodiff();
    let outputs = model.forward(&case.windows(), Mode::Eval).unwrap();
    let targets = &arrays["targets"];
    let shape = [targets.shape[0], targets.shape[1], targets.shape[2]];
    let data = TensorData::new(targets.values.clone(), shape);
    let targets = Tensor::<3>::from_data(data, (&device, outputs.dtype()));
    let loss = (outputs - targets).powi_scalar(2).mean();
    let value = scalar(loss.clone().inner());
    (value, Gradients::collect(&model, loss.backward()))
}
