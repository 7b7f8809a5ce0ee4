//! Parity of POYO: outputs, loss, gradients and three optimizer steps.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{Mode, SessionSpec};
use neurobrick_models::{Poyo, PoyoConfig, PoyoRows, PoyoWindow};
use neurobrick_nn::scalar;
use neurobrick_schema::SessionId;
use neurobrick_testkit::{
    Golden, GoldenArray, Parity, golden, golden_path, largest_difference, largest_difference_of, part,
    relative_difference,
};
use neurobrick_tokenize::{Spike, SpikeWindow};
use neurobrick_train::Gradients;
use serde::Deserialize;

use super::{Step, Tolerances, assert_back, check_gradients, check_steps, dict, values};

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

impl Case {
    fn windows(&self) -> Vec<PoyoWindow> {
        let window = |w: &Window| PoyoWindow {
            session: self.sessions[w.session].id.clone(),
            input: SpikeWindow {
                n_units: self.sessions[w.session].n_units,
                units: None,
                spikes: w.spikes.iter().map(|&(unit, time_s)| Spike { unit, time_s }).collect(),
            },
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
    let model = load_state_dict(Poyo::new(case.config.clone(), &specs, 1, device).unwrap(), own).unwrap();
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
    let run = |model: &Poyo| run(&case, &arrays, model, device);
    let model = check_steps(model, run, (&case.steps, case.loss_after), tolerances, parity);
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
