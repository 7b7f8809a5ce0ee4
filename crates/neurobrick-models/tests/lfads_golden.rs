//! Parity of `Lfads` with `lfads-torch` in double precision: every layout of the reference, and gradients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, s};
use neurobrick_core::weights::{StateDict, load_state_dict};
use neurobrick_core::{Context, Masking, ModelInput, ModulePath, SessionSpec};
use neurobrick_models::torch::{KeyMap, TorchNames, TorchSession};
use neurobrick_models::{Lfads, LfadsConfig, ModelConfig};
use neurobrick_nn::{CountTerm, poisson_nll};
use neurobrick_schema::SessionId;
use neurobrick_testkit::{
    Golden, GoldenArray, Parity, golden_json, largest_difference, part, state_dict, test_device_f64,
};

/// Rounding in double precision alone differs by less than 1e-14.
const TOLERANCE: f64 = 1e-12;
/// Units that are reconstructed; the first five of them are read.
const N_UNITS: usize = 6;

const LAYOUTS: [&str; 8] = [
    "basic",
    "lag0",
    "lag3",
    "forward_steps",
    "external_inputs",
    "separate_ic_segment",
    "no_controller",
    "tight_clip",
];

#[test]
fn every_layout_and_its_gradients_are_those_of_the_reference() {
    let device = test_device_f64().autodiff();
    let mut parity = Parity::new("lfads", &device);
    for layout in LAYOUTS {
        check(layout, &device, &mut parity);
    }
    parity.report();
}

fn check(layout: &str, device: &Device, parity: &mut Parity) {
    let golden = golden_json(&format!("lfads/{layout}.json"));
    let config = config(&golden);
    let session = SessionId::new("golden").unwrap();
    let spec = SessionSpec { session: session.clone(), n_units: N_UNITS, log_mean_rates: None };
    let model = Lfads::new(config.clone(), &[spec], 1, device).unwrap();
    let (torch, map) = (dict(&part(&golden, "weights/"), &config), map(&config));
    let own = map.to_own(&torch).unwrap();
    assert_eq!(map.to_torch(&own).unwrap(), torch, "{layout}: the way back");
    let model = load_state_dict(model, own).unwrap();

    let read = golden["x"].counts();
    let (b, n_read, n) = read.dim();
    // What is not read is hidden: the last unit, and bins after those encoded.
    let mut counts = Array3::from_elem((b, config.n_bins, N_UNITS), 9);
    counts.slice_mut(s![.., ..n_read, ..n]).assign(&read);
    let mut hidden = Array3::from_elem(counts.dim(), true);
    hidden.slice_mut(s![.., ..n_read, ..n]).fill(false);
    let masking = Masking::new(hidden.clone(), hidden, Context::Full, None);
    let input = ModelInput::new(&session, counts.view(), &masking, device);
    let external = (config.d_external > 0).then(|| golden["ext_input"].tensor::<3>(device));
    let states = model.states(&input, external).unwrap();

    let mut see = |what: &str, found: GoldenArray, expected: &GoldenArray| {
        let quantity = match what {
            "l2" | "ic_kl" | "recon_mean" | "loss" => "loss and its terms",
            "log_rates" => "log rates",
            what if what.contains('.') => "gradients",
            _ => "states",
        };
        parity.see(quantity, largest_difference(&found, expected), TOLERANCE, &format!("{layout}: {what}"));
    };
    see("ic_mean", GoldenArray::of(states.initial.mean.clone()), &golden["ic_mean"]);
    see("ic_std", GoldenArray::of(states.initial.std()), &golden["ic_std"]);
    see("gen_init", GoldenArray::of(states.generator_start.clone()), &golden["gen_init"]);
    see("gen_states", GoldenArray::of(states.generator.clone()), &golden["gen_states"]);
    see("factors", GoldenArray::of(states.factors.clone()), &golden["factors"]);
    see("log_rates", GoldenArray::of(states.log_rates.clone()), &golden["log_rates"]);
    if let (Some(encoded), Some(controller), Some(inputs)) =
        (&states.encoded, &states.controller, &states.inputs)
    {
        see("ci", GoldenArray::of(encoded.clone()), &golden["ci"]);
        see("con_states", GoldenArray::of(controller.clone()), &golden["con_states"]);
        see("co_means", GoldenArray::of(inputs.mean.clone()), &golden["co_means"]);
        see("co_stds", GoldenArray::of(inputs.std()), &golden["co_stds"]);
    } else {
        assert_eq!(layout, "no_controller");
    }
    let weight_penalty = model.weight_penalty();
    see("l2", scalar(weight_penalty.clone()), &golden["l2"]);
    let divergence = model.divergences(&states).0.mean();
    see("ic_kl", scalar(divergence.clone()), &golden["ic_kl"]);
    let nll = poisson_nll(states.log_rates, golden["y"].tensor::<3>(device), CountTerm::Stirling).mean();
    see("recon_mean", scalar(nll.clone()), &golden["recon_mean"]);
    let loss = nll + weight_penalty + divergence * 0.01;
    see("loss", scalar(loss.clone()), &golden["loss_recon_plus_l2_plus_0p01_ic_kl"]);

    let grads = part(&golden, "grads/");
    if grads.is_empty() {
        return;
    }
    let mut found =
        Collect { path: ModulePath::default(), backward: loss.backward(), found: BTreeMap::new() };
    model.visit(&mut found);
    for (path, expected) in gradients(&grads, &torch, &config) {
        if path.contains("_prior.") {
            // Not in the golden set; the mean is a parameter of its own in the reference.
            continue;
        }
        let mut found =
            found.found.remove(&path).unwrap_or_else(|| panic!("{layout}: {path} has no gradient"));
        if path.starts_with("stitches.0.drive.") && path.ends_with("weight") {
            // The unit that is not read has no part in the reference.
            let width = found.shape[1];
            assert!(found.values[n * width..].iter().all(|&g| g == 0.0), "{layout}: {path}");
            found.values.truncate(n * width);
            let mut expected = expected;
            expected.values.truncate(n * width);
            (found.shape[0], expected.shape[0]) = (n, n);
            see(&path, found, &expected);
        } else {
            see(&path, found, &expected);
        }
    }
    found.found.retain(|path, _| path != "initial_prior.mean");
    assert!(found.found.is_empty(), "{layout}: unexpected gradients {:?}", found.found.keys());
}

fn scalar(x: Tensor<1>) -> GoldenArray {
    GoldenArray { shape: Vec::new(), values: GoldenArray::of(x).values }
}

fn config(golden: &Golden) -> LfadsConfig {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes")]
    let size = |name: &str| golden[&format!("hparams/{name}")].scalar() as usize;
    let number = |name: &str| golden[&format!("hparams/{name}")].scalar();
    LfadsConfig {
        n_bins: size("recon_seq_len"),
        n_forward_bins: size("recon_seq_len") - size("encod_seq_len"),
        n_ic_bins: size("ic_enc_seq_len"),
        d_read_in: None,
        d_ic_encoder: size("ic_enc_dim"),
        d_ci_encoder: size("ci_enc_dim"),
        ci_lag: size("ci_lag"),
        d_controller: size("con_dim"),
        d_inputs: size("co_dim"),
        d_initial: size("ic_dim"),
        d_generator: size("gen_dim"),
        n_factors: size("fac_dim"),
        d_external: size("ext_input_dim"),
        dropout: number("dropout_rate"),
        clip: number("cell_clip"),
        initial_min_var: number("ic_post_var_min"),
        l2_ic_encoder: number("l2_ic_enc_scale"),
        l2_ci_encoder: number("l2_ci_enc_scale"),
        l2_generator: number("l2_gen_scale"),
        l2_controller: number("l2_con_scale"),
        ..LfadsConfig::small(1)
    }
}

/// What the reference's modules are called in a whole model.
fn full_name(name: &str) -> String {
    let parts = [("enc.", "encoder."), ("dec.", "decoder."), ("readout.", "readout.0.")];
    let part = parts.iter().find_map(|(short, full)| Some(format!("{full}{}", name.strip_prefix(short)?)));
    part.unwrap_or_else(|| name.to_owned())
}

/// The state dict of a whole model: priors, which the golden set leaves out, as the configuration has them, and recurrent
/// biases, which it moved off zero, in the only bias of ours.
fn dict(torch: &Golden, config: &LfadsConfig) -> StateDict {
    let mut all: Golden = torch.iter().map(|(name, array)| (full_name(name), array.clone())).collect();
    let recurrent: Vec<String> = all.keys().filter(|name| name.ends_with("bias_hh")).cloned().collect();
    for name in recurrent {
        let more = std::mem::take(&mut all.get_mut(&name).unwrap().values);
        all.get_mut(&name).unwrap().values = vec![0.0; more.len()];
        let bias = all.get_mut(&name.replace("bias_hh", "bias_ih")).unwrap();
        for (b, m) in bias.values.iter_mut().zip(more) {
            *b += m;
        }
    }
    let mut put = |name: &str, value: f64, n: usize| {
        all.insert(name.to_owned(), GoldenArray { shape: vec![n], values: vec![value; n] });
    };
    put("ic_prior.mean", 0.0, config.d_initial);
    put("ic_prior.logvar", config.initial_prior_var.ln(), config.d_initial);
    put("co_prior.logtaus", config.input_prior_tau.ln(), config.d_inputs);
    put("co_prior.lognvars", config.input_prior_noise_var.ln(), config.d_inputs);
    state_dict(&all)
}

/// The golden session: the last unit is reconstructed and not read.
fn map(config: &LfadsConfig) -> KeyMap {
    let place = TorchSession { n_units: N_UNITS, n_read: Some(N_UNITS - 1), ..TorchSession::default() };
    KeyMap::new(TorchNames::Lfads, &ModelConfig::Lfads(config.clone()), &[place]).unwrap()
}

#[test]
fn a_session_reads_some_of_its_units() {
    let config = config(&golden_json("lfads/basic.json"));
    for d_read_in in [None, Some(4)] {
        let model = ModelConfig::Lfads(LfadsConfig { d_read_in, ..config.clone() });
        for n_read in [0, N_UNITS + 1] {
            let place = TorchSession { n_units: N_UNITS, n_read: Some(n_read), ..TorchSession::default() };
            let message = KeyMap::new(TorchNames::Lfads, &model, &[place]).unwrap_err().to_string();
            let parts = ["`n_read` must be from 1 to the 6 units", &format!("received {n_read}")];
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        }
    }
}

/// Gradients of the reference under our names; what is frozen there or left out of the golden set is zero.
fn gradients(grads: &Golden, all: &StateDict, config: &LfadsConfig) -> Golden {
    let grads: Golden = grads.iter().map(|(name, array)| (full_name(name), array.clone())).collect();
    let mut dict = state_dict(&grads);
    for (name, data) in all {
        let n = data.shape().num_elements();
        let constant = ["bias_hh", "ic_prior.logvar"].iter().any(|end| name.ends_with(end));
        let values = if constant { data.iter::<f64>().collect() } else { vec![0.0; n] };
        dict.entry(name.clone()).or_insert_with(|| TensorData::new(values, data.shape()));
    }
    let own = map(config).to_own(&dict).unwrap();
    let array =
        |data: TensorData| GoldenArray { shape: data.shape().to_vec(), values: data.iter::<f64>().collect() };
    own.into_iter().map(|(path, data)| (path, array(data))).collect()
}

struct Collect {
    path: ModulePath,
    backward: burn::tensor::Gradients,
    found: BTreeMap<String, GoldenArray>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(&self.backward) {
            self.found.insert(self.path.dotted().to_owned(), GoldenArray::of(grad));
        }
    }
}
