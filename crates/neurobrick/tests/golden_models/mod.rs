//! Parity with PyTorch of models that load published names: forward pass, loss, gradients and three optimizer steps.
//!
//! A golden folder holds cases with a configuration, a state dict under published names, and PyTorch's answers; a
//! `KeyMap` brings weights and gradients to our names, so that the maps are tested with everything else.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod neds;
mod poyo;

use burn::module::Module;
use burn::tensor::{Device, TensorData};
use neurobrick_core::weights::{StateDict, load_state_dict, state_dict};
use neurobrick_core::{Context, Masking, Mode, ModelInput, PopulationModel, Prompt, SessionSpec};
use neurobrick_models::torch::{KeyMap, TorchNames, TorchSession};
use neurobrick_models::{AnyModel, ModelConfig};
use neurobrick_schema::SessionId;
use neurobrick_testkit::{
    Golden, GoldenArray, Parity, golden, golden_path, largest_difference, largest_difference_of, part,
    relative_difference,
};
use neurobrick_train::{AdamW, AdamWConfig, Gradients, OneCycle, loss_and_gradients};
use serde::Deserialize;

/// Folders of golden cases.
const FOLDERS: [&str; 3] = ["ndt1", "ndt2", "ndt_stitch_names"];

/// Largest allowed differences; derived in `fixtures/golden/ndt_stitch/PROVENANCE.md` for a model of this size.
pub(crate) struct Tolerances {
    /// Log rates and latents, absolute.
    pub(crate) outputs: f64,
    /// Losses and gradient norms, relative.
    pub(crate) loss: f64,
    /// Gradients, relative to the largest entry of the tensor.
    pub(crate) gradients: f64,
    /// Parameters after three steps, absolute.
    pub(crate) after: f64,
    /// Gradients of key biases, absolute: zero in mathematics, for softmax does not see them.
    pub(crate) key_bias: f64,
    /// Key biases after the steps, absolute. Their gradients are rounding residues, which `AdamW` blows up to the size of
    /// the learning rate in single precision: `None` leaves them out.
    pub(crate) key_bias_after: Option<f64>,
}

#[derive(Deserialize)]
struct CasesFile {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: ModelConfig,
    names: TorchNames,
    sessions: Vec<Session>,
    session: SessionId,
    context: Context,
    prompt: Option<usize>,
    loss: f64,
    lrs: Vec<f64>,
    beta1s: Vec<f64>,
    losses: Vec<f64>,
    grad_norms: Vec<f64>,
    loss_after: f64,
}

#[derive(Deserialize)]
struct Session {
    id: SessionId,
    n_units: usize,
    stitch: String,
    row: usize,
    #[serde(default)]
    subject_row: usize,
}

impl Case {
    fn specs(&self) -> Vec<SessionSpec> {
        let spec =
            |s: &Session| SessionSpec { session: s.id.clone(), n_units: s.n_units, log_mean_rates: None };
        self.sessions.iter().map(spec).collect()
    }

    fn key_map(&self) -> KeyMap {
        let place = |s: &Session| TorchSession {
            stitch: s.stitch.clone(),
            row: s.row,
            subject_row: s.subject_row,
            n_units: s.n_units,
            n_read: None,
        };
        let places: Vec<TorchSession> = self.sessions.iter().map(place).collect();
        KeyMap::new(self.names, &self.config, &places).unwrap()
    }

    fn masking(&self, arrays: &Golden) -> Masking {
        let prompt = self.prompt.map(|row| Prompt::ALL[row]);
        Masking::new(arrays["hidden"].mask(), arrays["counted"].mask(), self.context, prompt)
    }
}

/// Checks every case on `device` and reports the largest differences of each folder.
pub(crate) fn check(device: &Device, tolerances: &Tolerances) {
    for folder in FOLDERS {
        let text = std::fs::read_to_string(golden_path(&format!("{folder}/cases.json"))).unwrap();
        let file: CasesFile = serde_json::from_str(&text).unwrap();
        assert!(file.cases.len() >= 2, "{folder} has cases");
        let mut parity = Parity::new(folder, device);
        for case in &file.cases {
            check_case(folder, case, device, tolerances, &mut parity);
        }
        parity.report();
    }
    let mut parity = Parity::new("poyo", device);
    poyo::check(device, tolerances, &mut parity);
    parity.report();
    let mut parity = Parity::new("neds", device);
    neds::check(device, tolerances, &mut parity);
    parity.report();
}

fn check_case(folder: &str, case: &Case, device: &Device, tolerances: &Tolerances, parity: &mut Parity) {
    let arrays = golden(&format!("{folder}/{}.safetensors", case.name));
    let place = case.name.clone();
    let (map, torch) = (case.key_map(), part(&arrays, "weights."));
    let own = map.to_own(&dict(&torch)).unwrap();
    assert_back(&map, &own, &torch, &place);
    let model = load_state_dict(case.config.build(&case.specs(), 1, device).unwrap(), own).unwrap();
    let (counts, masking) = (arrays["counts"].counts(), case.masking(&arrays));

    let input = ModelInput::new(&case.session, counts.view(), &masking, device);
    let output = model.forward(&input, Mode::Eval).unwrap();
    for (name, found) in [("log_rates", output.log_rates), ("latents", output.latents)] {
        let difference = largest_difference(&GoldenArray::of(found), &arrays[name]);
        parity.see(&name.replace('_', " "), difference, tolerances.outputs, &place);
    }

    let run = |model: &AnyModel| {
        loss_and_gradients(model, &case.session, counts.view(), &masking, None, 1, &[]).unwrap()
    };
    let (loss, gradients) = run(&model);
    parity.see("loss", relative_difference(loss, case.loss), tolerances.loss, &place);
    let expected = map.to_own(&with_others(&part(&arrays, "grad."), &torch, true)).unwrap();
    check_gradients(&gradients, expected, tolerances, parity, &place);

    let trained = train(case, model, &run, tolerances, parity, &place);
    parity.see("loss after", relative_difference(run(&trained).0, case.loss_after), tolerances.loss, &place);
    let after = map.to_own(&with_others(&part(&arrays, "after."), &torch, false)).unwrap();
    for (path, found) in state_dict(&trained) {
        let difference = largest_difference_of(&values(&found), &values(&after[&path]));
        let place = format!("{place}: {path}");
        match (path.ends_with("key.bias"), tolerances.key_bias_after) {
            (false, _) => parity.see("parameters after", difference, tolerances.after, &place),
            (true, Some(tolerance)) => parity.see("key biases after", difference, tolerance, &place),
            (true, None) => {}
        }
    }
}

fn check_gradients(
    gradients: &Gradients,
    mut expected: StateDict,
    tolerances: &Tolerances,
    parity: &mut Parity,
    place: &str,
) {
    for (path, found) in gradients.entries() {
        let found = values(&found.to_data());
        let expected = values(&expected.remove(path).unwrap());
        let difference = largest_difference_of(&found, &expected);
        let place = format!("{place}: {path}");
        if path.ends_with("key.bias") {
            parity.see("gradients of key biases", difference, tolerances.key_bias, &place);
        } else {
            let largest = expected.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
            parity.see("gradients", difference / largest, tolerances.gradients, &place);
        }
    }
    // What has no gradient here has none there.
    for (path, data) in expected {
        assert!(values(&data).iter().all(|&g| g == 0.0), "{place}: {path} has no gradient");
    }
}

/// Three optimizer steps, with losses, norms and rates checked on the way.
fn train(
    case: &Case,
    mut model: AnyModel,
    run: &impl Fn(&AnyModel) -> (f64, Gradients),
    tolerances: &Tolerances,
    parity: &mut Parity,
    place: &str,
) -> AnyModel {
    let schedule = OneCycle { max_lr: 1e-3, pct_start: 0.3, ..OneCycle::default() };
    let mut optimizer = AdamW::new(AdamWConfig::default());
    assert_eq!(case.losses.len(), 3, "{place}: recorded steps");
    for step in 0..3 {
        let (loss, mut gradients) = run(&model);
        parity.see("loss", relative_difference(loss, case.losses[step]), tolerances.loss, place);
        let norm = gradients.clip(1.0);
        parity.see("gradient norm", relative_difference(norm, case.grad_norms[step]), tolerances.loss, place);
        let rates = schedule.at(step as u64, 10);
        // Cosines of two mathematics libraries.
        parity.see("learning rates and momenta", relative_difference(rates.lr, case.lrs[step]), 1e-10, place);
        parity.see(
            "learning rates and momenta",
            relative_difference(rates.beta1, case.beta1s[step]),
            1e-10,
            place,
        );
        model = optimizer.step(model, gradients, rates);
    }
    model
}

/// One recorded step of an optimizer.
#[derive(Deserialize)]
struct Step {
    lr: f64,
    beta1: f64,
    loss: f64,
    grad_norm: f64,
}

/// Three optimizer steps of a model with a loss of its own, and the loss after them.
fn check_steps<M: Module>(
    mut model: M,
    run: impl Fn(&M) -> (f64, Gradients),
    (steps, loss_after): (&[Step], f64),
    tolerances: &Tolerances,
    parity: &mut Parity,
) -> M {
    let schedule = OneCycle { max_lr: 1e-3, pct_start: 0.3, ..OneCycle::default() };
    let mut optimizer = AdamW::new(AdamWConfig::default());
    assert_eq!(steps.len(), 3);
    for (step, record) in (0..).zip(steps) {
        let (loss, mut gradients) = run(&model);
        parity.see("loss", relative_difference(loss, record.loss), tolerances.loss, "case");
        let norm = relative_difference(gradients.clip(1.0), record.grad_norm);
        parity.see("gradient norm", norm, tolerances.loss, "case");
        let rates = schedule.at(step, 10);
        for (found, expected) in [(rates.lr, record.lr), (rates.beta1, record.beta1)] {
            let difference = relative_difference(found, expected);
            parity.see("learning rates and momenta", difference, 1e-10, "case");
        }
        model = optimizer.step(model, gradients, rates);
    }
    parity.see("loss after", relative_difference(run(&model).0, loss_after), tolerances.loss, "case");
    model
}

/// The way back gives the dict again: all that is ours of it, packed as it was.
fn assert_back(map: &KeyMap, own: &StateDict, torch: &Golden, place: &str) {
    let back = map.to_torch(own).unwrap();
    assert!(!back.is_empty());
    for (key, data) in back {
        let (found, expected) = (values(&data), &torch[&key].values);
        // Rows of tables that no session of ours has come back as zeros, or not at all if they are the last.
        let width = torch[&key].shape.last().copied().unwrap_or(1);
        assert_eq!(data.shape().to_vec().last().copied().unwrap_or(1), width, "{place}: {key}");
        let rows = found.chunks(width).zip(expected.chunks(width));
        let is_table = data.shape().to_vec() != torch[&key].shape || key.contains("emb");
        for (row, expected) in rows {
            let is_unused = is_table && row.iter().all(|&v| v == 0.0);
            assert!(is_unused || row == expected, "{place}: {key} comes back otherwise");
        }
    }
}

fn values(data: &TensorData) -> Vec<f64> {
    data.iter::<f64>().collect()
}

fn dict(golden: &Golden) -> StateDict {
    let entries = golden.iter();
    entries.map(|(key, a)| (key.clone(), TensorData::new(a.values.clone(), a.shape.clone()))).collect()
}

/// `found`, with what the state dict has beyond it: as it is there, or as zeros.
fn with_others(found: &Golden, all: &Golden, zeros: bool) -> StateDict {
    let mut dict = dict(found);
    for (key, array) in all {
        let values = if zeros { vec![0.0; array.values.len()] } else { array.values.clone() };
        dict.entry(key.clone()).or_insert_with(|| TensorData::new(values, array.shape.clone()));
    }
    dict
}
