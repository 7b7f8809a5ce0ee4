//! Gated layers, prefix tokens, regions, low-rank changes and count likelihoods against PyTorch in double precision: a test
//! program of its own, for a device's precision is set once per process.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Gradients, Tensor};
use neurobrick_core::{Mode, ModulePath};
use neurobrick_nn::{
    ContextAttention, Gate, GatedConfig, GatedFeedForward, InitStreams, LoraConfig, LoraLinear,
    PrefixVisibility, RegionBlocks, TokenTable, affine, count_cross_entropy, expected_counts, freeze_except,
    linear, prepend, zero_inflated_gamma_nll,
};
use neurobrick_testkit::{Golden, GoldenArray, golden, largest_difference, part, test_device_f64};

/// Rounding differs by less than 1e-14; a wrong formula by far more.
const TOLERANCE: f64 = 1e-12;

fn device() -> Device {
    test_device_f64().autodiff()
}

fn case(name: &str) -> Golden {
    part(&golden("bricks/case.safetensors"), &format!("{name}."))
}

fn assert_close(found: &GoldenArray, expected: &GoldenArray, what: &str) {
    let largest = expected.values.iter().fold(1.0, |m: f64, v| m.max(v.abs()));
    let difference = largest_difference(found, expected);
    assert!(difference <= TOLERANCE * largest, "{what} differs by {difference:e}");
}

/// A leaf of the case.
fn leaf<const D: usize>(golden: &Golden, name: &str) -> Tensor<D> {
    golden[name].tensor::<D>(&device()).require_grad()
}

/// The gradients of the loss that the case has.
fn backward<const D: usize>(golden: &Golden, out: Tensor<D>) -> Gradients {
    assert_close(&GoldenArray::of(out.clone()), &golden["out"], "answer");
    (out * golden["weights"].tensor::<D>(&device())).sum().backward()
}

fn assert_grad<const D: usize>(golden: &Golden, grads: &Gradients, x: &Tensor<D>, name: &str) {
    let found = GoldenArray::of(x.grad(grads).unwrap());
    assert_close(&found, &golden[&format!("grad.{name}")], &format!("gradient of {name}"));
}

/// Puts arrays in place of the parameters of these paths.
struct Fill<'a> {
    path: ModulePath,
    arrays: &'a BTreeMap<String, GoldenArray>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let array = &self.arrays[self.path.dotted()];
        param.map(|own| array.tensor::<D>(&own.device()).require_grad())
    }
}

/// Gradients by path; parameters that ask for none are absent.
struct Found<'a> {
    path: ModulePath,
    grads: &'a Gradients,
    by_path: BTreeMap<String, GoldenArray>,
}

impl ModuleVisitor for Found<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = param.val().grad(self.grads) {
            self.by_path.insert(self.path.dotted().to_owned(), GoldenArray::of(grad));
        }
    }
}

fn found_in<M: Module>(module: &M, grads: &Gradients) -> BTreeMap<String, GoldenArray> {
    let mut found = Found { path: ModulePath::default(), grads, by_path: BTreeMap::new() };
    module.visit(&mut found);
    found.by_path
}

#[test]
fn gated_layers_are_those_of_pytorch() {
    for (name, gate) in [("geglu", Gate::Gelu), ("swiglu", Gate::Silu)] {
        let golden = case(name);
        let config = GatedConfig { d_model: 6, d_hidden: 7, dropout: 0.0, gate };
        let layer = GatedFeedForward::new(&config, 0, &mut InitStreams::new(1, "gated"), &device());
        let arrays = BTreeMap::from([
            ("norm.gamma".to_owned(), golden["norm.weight"].clone()),
            ("norm.beta".to_owned(), golden["norm.bias"].clone()),
            ("up.weight".to_owned(), golden["up.weight"].transposed()),
            ("up.bias".to_owned(), golden["up.bias"].clone()),
            ("down.weight".to_owned(), golden["down.weight"].transposed()),
            ("down.bias".to_owned(), golden["down.bias"].clone()),
        ]);
        let layer = layer.map(&mut Fill { path: ModulePath::default(), arrays: &arrays });
        let x = leaf::<3>(&golden, "x");
        let grads = backward(&golden, layer.forward(x.clone(), Mode::Eval));
        assert_grad(&golden, &grads, &x, "x");
        let found = found_in(&layer, &grads);
        assert_eq!(found.len(), 6, "{name}");
        for (path, theirs) in
            [("norm.gamma", "norm.weight"), ("norm.beta", "norm.bias"), ("up.bias", "up.bias")]
        {
            assert_close(&found[path], &golden[&format!("grad.{theirs}")], path);
        }
        for path in ["up.weight", "down.weight"] {
            assert_close(&found[path], &golden[&format!("grad.{path}")].transposed(), path);
        }
    }
}

#[test]
fn counts_as_classes_are_those_of_pytorch() {
    let golden = case("counts");
    let logits = leaf::<4>(&golden, "logits");
    let counts = golden["counts"].tensor::<3>(&device());
    let found = GoldenArray::of(expected_counts(logits.clone()));
    assert_close(&found, &golden["expected"], "expected counts");
    let grads = backward(&golden, count_cross_entropy(logits.clone(), counts));
    assert_grad(&golden, &grads, &logits, "logits");
}

#[test]
fn the_zero_inflated_gamma_likelihood_is_that_of_pytorchs_distributions() {
    let golden = case("zero_inflated_gamma");
    let [logit, log_shape, log_rate] =
        ["logit", "log_shape", "log_rate"].map(|name| leaf::<3>(&golden, name));
    let targets = golden["targets"].tensor::<3>(&device());
    let out = zero_inflated_gamma_nll(logit.clone(), log_shape.clone(), log_rate.clone(), targets, 0.25);
    let grads = backward(&golden, out);
    for (x, name) in [(&logit, "logit"), (&log_shape, "log_shape"), (&log_rate, "log_rate")] {
        assert_grad(&golden, &grads, x, name);
    }
}

#[test]
fn a_low_rank_change_starts_as_nothing_learns_alone_and_merges() {
    let golden = case("lora");
    let device = device();
    let base = Linear {
        weight: Param::from_tensor(golden["weight"].transposed().tensor(&device)),
        bias: Some(Param::from_tensor(golden["bias"].tensor(&device))),
    };
    let config = LoraConfig { rank: 2, alpha: 8.0, dropout: 0.0 };
    let mut init = InitStreams::new(3, "lora");
    let fresh = LoraLinear::new(base.clone(), &config, 0, &mut init, &device);
    let x = leaf::<3>(&golden, "x");
    let [plain, changed] =
        [affine(x.clone(), &base), fresh.forward(x.clone(), Mode::Eval)].map(GoldenArray::of);
    assert_eq!(plain.values, changed.values, "a fresh change changes something");
    let largest = GoldenArray::of(fresh.down.val()).values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(largest > 0.2 && largest <= 6f64.powf(-0.5), "A starts within 1/sqrt(6), received {largest}");

    let arrays = BTreeMap::from([
        ("down".to_owned(), golden["down"].transposed()),
        ("up".to_owned(), golden["up"].transposed()),
        ("base.weight".to_owned(), golden["weight"].transposed()),
        ("base.bias".to_owned(), golden["bias"].clone()),
    ]);
    let filled = fresh.map(&mut Fill { path: ModulePath::default(), arrays: &arrays });
    let lora = freeze_except(filled, |path| !path.starts_with("base."));
    let grads = backward(&golden, lora.forward(x.clone(), Mode::Eval));
    assert_grad(&golden, &grads, &x, "x");
    let found = found_in(&lora, &grads);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["down", "up"], "what learns");
    for name in ["down", "up"] {
        assert_close(&found[name], &golden[&format!("grad.{name}")].transposed(), name);
    }
    let merged = lora.merged();
    assert_close(&GoldenArray::of(merged.weight.val()), &golden["merged"].transposed(), "merged weight");
    assert_close(&GoldenArray::of(affine(x, &merged)), &golden["out"], "answer of the merged map");
}

/// The paths of `freeze_except` are those of weights in files, and other parameters learn again when they are named.
#[test]
fn what_is_frozen_can_learn_again() {
    let device = device();
    let layer = linear(2, 3, &mut InitStreams::new(1, "layer"), &device);
    let frozen = freeze_except(layer, |path| path == "bias");
    let learns = |layer: &Linear| {
        [layer.weight.val().is_require_grad(), layer.bias.as_ref().unwrap().val().is_require_grad()]
    };
    assert_eq!(learns(&frozen), [false, true]);
    assert_eq!(learns(&freeze_except(frozen, |_| true)), [true, true]);
}

#[test]
fn tokens_attend_within_their_region_and_see_registers() {
    let golden = case("regions");
    let device = device();
    let mut init = InitStreams::new(5, "regions");
    let attention = ContextAttention::new(6, 2, 0.0, 0, &mut init, &device);
    let mut arrays = BTreeMap::new();
    for (part, name) in ["query", "key", "value"].into_iter().enumerate() {
        let slice = |array: &GoldenArray, width: usize| {
            array.values[part * 6 * width..(part + 1) * 6 * width].to_vec()
        };
        let weight = GoldenArray { shape: vec![6, 6], values: slice(&golden["in_weight"], 6) };
        arrays.insert(format!("{name}.weight"), weight.transposed());
        let bias = GoldenArray { shape: vec![6], values: slice(&golden["in_bias"], 1) };
        arrays.insert(format!("{name}.bias"), bias);
    }
    arrays.insert("out_proj.weight".to_owned(), golden["out_weight"].transposed());
    arrays.insert("out_proj.bias".to_owned(), golden["out_bias"].clone());
    let attention = attention.map(&mut Fill { path: ModulePath::default(), arrays: &arrays });
    let registers = TokenTable { weight: Param::from_tensor(leaf(&golden, "registers")) };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers of regions")]
    let regions = golden["regions"].values.iter().map(|&region| region as usize).collect();
    let mask = RegionBlocks { regions }.mask(registers.n_rows(), PrefixVisibility::PrefixOnly);
    let x = leaf::<3>(&golden, "x");
    let answer = |x: Tensor<3>| {
        let (tokens, n_prefix) = prepend(vec![registers.all(2)], x);
        assert_eq!(n_prefix, 2);
        attention.forward(tokens, mask.as_ref(), Mode::Eval).narrow(1, n_prefix, 6)
    };
    let grads = backward(&golden, answer(x.clone()));
    assert_grad(&golden, &grads, &x, "x");
    assert_grad(&golden, &grads, &registers.weight.val(), "registers");

    // What tokens of one region hold, those of the others do not see: token 3 is of region 2, as token 5 is.
    let moved = Tensor::cat(
        vec![x.clone().narrow(1, 0, 3), x.clone().narrow(1, 3, 1) + 1.0, x.clone().narrow(1, 4, 2)],
        1,
    );
    let (before, after) = (GoldenArray::of(answer(x)), GoldenArray::of(answer(moved)));
    for (i, (a, b)) in before.values.iter().zip(&after.values).enumerate() {
        let token = i / 6 % 6;
        assert_eq!(a.to_bits() == b.to_bits(), ![3, 5].contains(&token), "token {token}");
    }
    // One row stands in front as a prompt.
    let row = GoldenArray::of(registers.row(1, 2));
    assert_eq!(row.shape, [2, 1, 6]);
    assert_eq!(row.values, [&golden["registers"].values[6..], &golden["registers"].values[6..]].concat());
}

#[test]
#[should_panic(expected = "index -1 out of bounds")]
fn a_negative_count_has_no_class() {
    let logits = Tensor::<4>::zeros([1, 1, 2, 3], &device());
    let counts = Tensor::<3>::from_data([[[1.0, -1.0]]], &device());
    let _ = count_cross_entropy(logits, counts).into_data();
}
