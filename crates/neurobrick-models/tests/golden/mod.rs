//! Parity of `NdtStitch` with PyTorch: forward, loss and gradients of every golden case.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor, TensorData};
use neurobrick_core::weights::load_state_dict;
use neurobrick_core::{Mode, ModelInput, PopulationModel};
use neurobrick_models::{NdtStitch, NdtStitchConfig};
use neurobrick_nn::{poisson_nll_sum, scalar};
use neurobrick_testkit::{GoldenArray, MtmCase, MtmGolden, Parity, largest_difference, relative_difference};

/// Largest allowed differences; from `fixtures/golden/ndt_stitch/PROVENANCE.md`, where they are derived.
pub(crate) struct Tolerances {
    /// Log rates and latents, absolute.
    pub(crate) outputs: f64,
    /// Loss, relative.
    pub(crate) loss: f64,
    /// Gradients, relative to the largest entry of the tensor.
    pub(crate) gradients: f64,
    /// Gradients of key biases, absolute: zero in mathematics, for softmax does not see them.
    pub(crate) key_bias: f64,
}

/// Checks every case on `device` and reports the largest differences.
pub(crate) fn check(device: &Device, tolerances: &Tolerances) {
    let golden = MtmGolden::read();
    assert_eq!(golden.cases.len(), 6, "the golden set has six single batches");
    let mut parity = Parity::new("ndt_stitch", device);
    for case in &golden.cases {
        check_case(case, &golden, device, tolerances, &mut parity);
    }
    parity.report();
}

fn check_case(
    case: &MtmCase,
    golden: &MtmGolden,
    device: &Device,
    tolerances: &Tolerances,
    parity: &mut Parity,
) {
    let (name, batch) = (&case.name, &case.batch);
    let model = model(case, golden, device).train();
    let device = device.clone().autodiff();
    let input = ModelInput::new(&batch.session, batch.counts.view(), &batch.masking, &device);
    let output = model.forward(&input, Mode::Eval).unwrap();
    let cube =
        |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, input.counts.dims()), &device);
    let counts = cube(batch.counts.iter().map(|&c| f32::from(c)).collect());
    let counted = cube(batch.masking.counted().iter().map(|&c| f32::from(u8::from(c))).collect());
    let loss = poisson_nll_sum(output.log_rates.clone(), counts, counted);

    for (what, found, expected) in
        [("log rates", output.log_rates, &case.log_rates), ("latents", output.latents, &case.latents)]
    {
        let found = GoldenArray::of(found);
        parity.see(what, largest_difference(&found, expected), tolerances.outputs, name);
    }
    let value = scalar(loss.clone().inner());
    parity.see("loss", relative_difference(value, case.loss), tolerances.loss, name);

    let mut found = Gradients { path: Vec::new(), backward: loss.backward(), found: BTreeMap::new() };
    model.visit(&mut found);
    let expected = case.gradients(golden);
    assert_eq!(
        found.found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>(),
        "{name}: parameters that have a gradient"
    );
    for (path, found) in &found.found {
        let difference = largest_difference(found, &expected[path]);
        if path.ends_with("attn.key.bias") {
            parity.see(
                "gradients of key biases",
                difference,
                tolerances.key_bias,
                &format!("{name}: {path}"),
            );
        } else {
            let largest = expected[path].values.iter().fold(0.0, |m: f64, g| m.max(g.abs()));
            parity.see("gradients", difference / largest, tolerances.gradients, &format!("{name}: {path}"));
        }
    }
}

fn model(case: &MtmCase, golden: &MtmGolden, device: &Device) -> NdtStitch {
    let is_prompted = case.batch.masking.prompt().is_some();
    let config = NdtStitchConfig {
        n_bins: golden.sizes.n_bins,
        d_stitch: golden.sizes.stitch_width,
        d_embed: golden.sizes.embed_hidden,
        d_model: golden.sizes.width,
        n_layers: golden.sizes.n_layers,
        n_heads: golden.sizes.n_heads,
        d_mlp: golden.sizes.mlp_width,
        dropout_embed: 0.0,
        dropout: 0.0,
        prompt: is_prompted,
        faithful: case.is_faithful,
        ..NdtStitchConfig::published()
    };
    let sessions = case.sessions(golden);
    let model = NdtStitch::new(config, &sessions, 1, device).unwrap();
    load_state_dict(model, golden.weights(&sessions, is_prompted)).unwrap()
}

struct Gradients {
    path: Vec<String>,
    backward: burn::tensor::Gradients,
    found: BTreeMap<String, GoldenArray>,
}

impl ModuleVisitor for Gradients {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(&self.backward) {
            self.found.insert(self.path.join("."), GoldenArray::of(grad));
        }
    }
}
