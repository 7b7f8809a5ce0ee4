//! Parity of `Lfads` with `lfads-torch` in double precision: every layout of the reference, and gradients.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use ndarray::{Array3, s};
use neurobrick_core::weights::load_state_dict;
use neurobrick_core::{Context, Masking, ModelInput, ModulePath, SessionSpec};
use neurobrick_models::{Lfads, LfadsConfig};
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
    let model = load_state_dict(model, state_dict(&weights(&part(&golden, "weights/"), &config))).unwrap();

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
    let expected = weights(&grads, &config);
    for (path, expected) in expected {
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
    // The prior's mean is a parameter of its own in the reference.
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

/// Parameters (or gradients, from which frozen ones are absent) of the reference under our names and layouts.
fn weights(torch: &Golden, config: &LfadsConfig) -> Golden {
    let mut found = Golden::new();
    let mut put = |name: &str, array: Option<GoldenArray>| {
        if let Some(array) = array {
            found.insert(name.to_owned(), array);
        }
    };
    let get = |name: &str| torch.get(name).cloned();
    let turned = |name: &str| get(name).map(|a| a.transposed());
    let flat = |name: &str, shape: &[usize]| get(name).map(|a| GoldenArray { shape: shape.to_vec(), ..a });
    for (encoder, ours, h) in [("ic_enc", "ic", config.d_ic_encoder), ("ci_enc", "ci", config.d_ci_encoder)] {
        if h == 0 {
            continue;
        }
        let side = |side: &str, leaf: &str| format!("enc.{encoder}.{side}_gru.cell.{leaf}");
        put(&format!("encoder.{ours}.start"), flat(&format!("enc.{encoder}_h0"), &[2, h]));
        for (torch_side, our_side) in [("fwd", "ahead"), ("bwd", "back")] {
            put(&format!("encoder.{ours}.{our_side}.recurrent"), turned(&side(torch_side, "weight_hh")));
        }
        let both = ["fwd", "bwd"].map(|s| turned(&side(s, "weight_ih")).unwrap());
        put(&format!("stitches.0.drive.{ours}.weight"), Some(unread_unit(&beside(&both))));
        let both = ["fwd", "bwd"].map(|s| get(&side(s, "bias_ih")).unwrap());
        let values: Vec<f64> = both.iter().flat_map(|a| a.values.clone()).collect();
        put(
            &format!("stitches.0.drive.{ours}.bias"),
            Some(GoldenArray { shape: vec![values.len()], values }),
        );
    }
    put("encoder.to_initial.weight", turned("enc.ic_linear.weight"));
    put("encoder.to_initial.bias", get("enc.ic_linear.bias"));
    put("generator.from_initial.weight", turned("dec.ic_to_g0.weight"));
    put("generator.from_initial.bias", get("dec.ic_to_g0.bias"));
    put("generator.bias", get("dec.rnn.cell.gen_cell.bias_ih"));
    put("generator.cell.recurrent", turned("dec.rnn.cell.gen_cell.weight_hh"));
    put("generator.to_factors.weight", turned("dec.rnn.cell.fac_linear.weight"));
    put("stitches.0.read_out.weight", turned("readout.weight"));
    put("stitches.0.read_out.bias", get("readout.bias"));
    if config.has_controller() {
        let inputs = turned("dec.rnn.cell.gen_cell.weight_ih").unwrap();
        put("generator.controller.into_generator", Some(rows(&inputs, 0, config.d_inputs)));
        if config.d_external > 0 {
            put("generator.from_external", Some(rows(&inputs, config.d_inputs, config.d_external)));
        }
        let drive = turned("dec.rnn.cell.con_cell.weight_ih").unwrap();
        let encoded = 2 * config.d_ci_encoder;
        put("generator.controller.from_encoder.weight", Some(rows(&drive, 0, encoded)));
        put("generator.controller.from_factors", Some(rows(&drive, encoded, config.n_factors)));
        put("generator.controller.from_encoder.bias", get("dec.rnn.cell.con_cell.bias_ih"));
        put("generator.controller.cell.recurrent", turned("dec.rnn.cell.con_cell.weight_hh"));
        put("generator.controller.start", get("dec.con_h0"));
        put("generator.controller.to_inputs.weight", turned("dec.rnn.cell.co_linear.weight"));
        put("generator.controller.to_inputs.bias", get("dec.rnn.cell.co_linear.bias"));
    }
    if torch.contains_key("enc.ic_enc.fwd_gru.cell.bias_hh") {
        // Priors start as the configuration says, and recurrent biases are frozen at zero.
        let constant = |value: f64, n: usize| GoldenArray { shape: vec![n], values: vec![value; n] };
        put("initial_prior.mean", Some(constant(0.0, config.d_initial)));
        if config.has_controller() {
            put("input_prior.log_tau", Some(constant(10f64.ln(), config.d_inputs)));
            put("input_prior.log_noise_var", Some(constant(0.1f64.ln(), config.d_inputs)));
        }
        let is_zero = |(name, a): (&String, &GoldenArray)| {
            !name.ends_with("bias_hh") || a.values.iter().all(|&b| b.abs() < 1e-300)
        };
        if !torch.iter().all(is_zero) {
            add_recurrent_biases(torch, config, &mut found);
        }
    }
    found
}

/// The reference's recurrent biases, which the golden set moved off zero, join the only bias of ours.
fn add_recurrent_biases(torch: &Golden, config: &LfadsConfig, found: &mut Golden) {
    let mut add = |name: &str, from: usize, torch_name: &str| {
        let more = &torch[torch_name].values;
        let bias = found.get_mut(name).unwrap();
        for (b, m) in bias.values[from..from + more.len()].iter_mut().zip(more) {
            *b += m;
        }
    };
    for (encoder, ours, h) in [("ic_enc", "ic", config.d_ic_encoder), ("ci_enc", "ci", config.d_ci_encoder)] {
        for (side, from) in [("fwd", 0), ("bwd", 3 * h)] {
            if h > 0 {
                let torch_name = format!("enc.{encoder}.{side}_gru.cell.bias_hh");
                add(&format!("stitches.0.drive.{ours}.bias"), from, &torch_name);
            }
        }
    }
    add("generator.bias", 0, "dec.rnn.cell.gen_cell.bias_hh");
    if config.has_controller() {
        add("generator.controller.from_encoder.bias", 0, "dec.rnn.cell.con_cell.bias_hh");
    }
}

/// Two matrices of equal height side by side.
fn beside([a, b]: &[GoldenArray; 2]) -> GoldenArray {
    let (n_rows, width) = (a.shape[0], a.shape[1]);
    let row = |m: &GoldenArray, r: usize| m.values[r * width..(r + 1) * width].to_vec();
    let values = (0..n_rows).flat_map(|r| [row(a, r), row(b, r)].concat()).collect();
    GoldenArray { shape: vec![n_rows, 2 * width], values }
}

/// Rows `from .. from + n` of a matrix.
fn rows(m: &GoldenArray, from: usize, n: usize) -> GoldenArray {
    let width = m.shape[1];
    GoldenArray { shape: vec![n, width], values: m.values[from * width..(from + n) * width].to_vec() }
}

/// A row of zeros for the unit that is reconstructed but not read.
fn unread_unit(m: &GoldenArray) -> GoldenArray {
    let mut values = m.values.clone();
    values.resize(N_UNITS * m.shape[1], 0.0);
    GoldenArray { shape: vec![N_UNITS, m.shape[1]], values }
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
