//! Bricks against reference numbers in double precision: a test program of its own, for a device's precision is set once
//! per process.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use neurobrick_nn::ops::composed;
use neurobrick_nn::{
    AutoregressivePrior, CountTerm, DiagonalGaussian, GaussianPrior, InitStreams, UnitLinear, gamma_nll,
    gaussian_nll, log_gamma, poisson_nll, poisson_nll_sum,
};
use neurobrick_testkit::{Golden, GoldenArray, golden_json, part, test_device_f64};

/// Rounding differs by less; a wrong formula by far more.
const TOLERANCE: f64 = 1e-10;
/// The same for likelihoods, single sums of few terms.
const TOLERANCE_OF_LIKELIHOODS: f64 = 1e-12;

fn device() -> Device {
    test_device_f64().autodiff()
}

fn assert_close<const D: usize>(found: Tensor<D>, expected: &GoldenArray, what: &str) {
    assert_within(TOLERANCE, found, expected, what);
}

fn assert_within<const D: usize>(tolerance: f64, found: Tensor<D>, expected: &GoldenArray, what: &str) {
    let found = GoldenArray::of(found);
    assert_eq!(found.values.len(), expected.values.len(), "{what}");
    for (f, e) in found.values.iter().zip(&expected.values) {
        assert!((f - e).abs() <= tolerance * e.abs().max(1.0), "{what}: {f} is not {e}");
    }
}

fn assert_likelihood<const D: usize>(found: Tensor<D>, expected: &GoldenArray, what: &str) {
    assert_within(TOLERANCE_OF_LIKELIHOODS, found, expected, what);
}

/// A matrix of the file as Burn keeps it.
fn weight(golden: &Golden, name: &str) -> Tensor<2> {
    golden[name].transposed().tensor(&device()).require_grad()
}

/// The sum of both biases of a reference cell, which are redundant.
fn bias(golden: &Golden) -> Tensor<1> {
    let both = ["bias_ih", "bias_hh"].map(|name| golden[name].tensor::<1>(&device()));
    let [input, recurrent] = both;
    (input + recurrent).require_grad()
}

#[test]
fn the_clipped_cell_is_that_of_lfads_torch_and_not_pytorchs() {
    let device = device();
    let golden = golden_json("lfads/gru.json");
    let cell = part(&golden, "clipped_cell/");
    let (x, h) =
        (cell["x"].tensor::<2>(&device).require_grad(), cell["h"].tensor::<2>(&device).require_grad());
    let (input, recurrent, bias) = (weight(&cell, "weight_ih"), weight(&cell, "weight_hh"), bias(&cell));
    let step = |clip: f64| {
        let drive = (x.clone().matmul(input.clone()) + bias.clone().unsqueeze()).reshape([3, 1, 12]);
        composed::gru(drive, h.clone(), recurrent.clone(), clip, false).reshape([3, 4])
    };
    assert_close(step(f64::INFINITY), &cell["out_without_clip"], "state without a bound");
    let out = step(cell["clip"].scalar());
    assert_close(out.clone(), &cell["out"], "state");
    let pytorchs = &golden["torch_grucell_same_numbers/out"];
    let differ =
        GoldenArray::of(out.clone()).values.iter().zip(&pytorchs.values).any(|(a, b)| (a - b).abs() > 0.01);
    assert!(differ, "the cell is PyTorch's");

    let grads = (out * cell["grad_output"].tensor::<2>(&device)).sum().backward();
    assert_close(x.grad(&grads).unwrap(), &cell["grad_x"], "gradient by the input");
    assert_close(h.grad(&grads).unwrap(), &cell["grad_h"], "gradient by the state");
    let turned = |grad: Tensor<2>| grad.swap_dims(0, 1);
    assert_close(turned(input.grad(&grads).unwrap()), &cell["grad_weight_ih"], "gradient by input weights");
    assert_close(
        turned(recurrent.grad(&grads).unwrap()),
        &cell["grad_weight_hh"],
        "gradient by recurrent weights",
    );
    assert_close(bias.grad(&grads).unwrap(), &cell["grad_bias_ih"], "gradient by the bias");
}

#[test]
fn a_bidirectional_recurrence_reads_from_both_ends() {
    let device = device();
    let golden = part(&golden_json("lfads/gru.json"), "bidirectional/");
    let (x, h0) = (golden["x"].tensor::<3>(&device), golden["h0"].tensor::<3>(&device));
    let [b, _, _] = x.dims();
    let run = |side: &str, row: usize| {
        let cell = part(&golden, side);
        let drive = x.clone().matmul(weight(&cell, "weight_ih").unsqueeze()) + bias(&cell).reshape([1, 1, 9]);
        let start = h0.clone().narrow(0, row, 1).reshape([b, 3]);
        composed::gru(drive, start, weight(&cell, "weight_hh"), golden["clip"].scalar(), row == 1)
    };
    let (ahead, back) = (run("fwd/", 0), run("bwd/", 1));
    assert_close(Tensor::cat(vec![ahead.clone(), back.clone()], 2), &golden["out"], "states");
    let ends = [ahead.narrow(1, 5, 1), back.narrow(1, 0, 1)].map(|x| x.reshape([1, b, 3]));
    assert_close(Tensor::cat(ends.to_vec(), 0), &golden["h_n"], "last states");
}

#[test]
fn factors_are_read_by_columns_of_unit_length() {
    let device = device();
    let golden = part(&golden_json("lfads/gru.json"), "kernel_normalised_linear/");
    let mut layer = UnitLinear::new(4, 3, &mut InitStreams::new(1, "factors"), &device);
    layer.weight = Param::from_tensor(weight(&golden, "weight"));
    assert_close(golden["x"].tensor::<2>(&device).matmul(layer.unit_weight()), &golden["out"], "factors");
}

#[test]
fn divergence_of_initial_conditions_is_the_references() {
    let device = device();
    let golden = golden_json("lfads/kl_priors.json");
    for case in ["ic_fixed_zero_mean/", "ic_shifted_mean/"] {
        let case = part(&golden, case);
        let mut prior = GaussianPrior::new(4, case["prior_var"].scalar(), &device);
        prior.mean = Param::from_tensor(case["prior_mean"].tensor::<1>(&device));
        let log_var = case["post_std"].tensor::<2>(&device).log() * 2.0;
        let posterior = DiagonalGaussian { mean: case["post_mean"].tensor::<2>(&device), log_var };
        let each = prior.divergence(&posterior);
        if let Some(expected) = case.get("kl_each_trial") {
            assert_close(each.clone(), expected, "divergence of each trial");
        }
        assert_close(each.mean(), &case["kl"], "mean divergence");
    }
}

#[test]
fn the_autoregressive_prior_has_the_references_density_and_a_divergence_in_closed_form() {
    let device = device();
    let golden = part(&golden_json("lfads/kl_priors.json"), "ar1/");
    let mut prior = AutoregressivePrior::new(2, 1.0, 1.0, &device);
    prior.log_tau = Param::from_tensor(golden["tau"].tensor::<1>(&device).log());
    prior.log_noise_var = Param::from_tensor(golden["nvar"].tensor::<1>(&device).log());
    let sample = golden["sample"].tensor::<3>(&device);
    let log_p = prior.log_density(sample.clone());
    assert_close(log_p.clone(), &golden["log_p_each_trial"], "log density");

    let log_var = golden["post_std"].tensor::<3>(&device).log() * 2.0;
    let posterior = DiagonalGaussian { mean: golden["post_mean"].tensor::<3>(&device), log_var };
    assert_close(posterior.sample(golden["noise"].tensor::<3>(&device)), &golden["sample"], "sample");
    let closed = prior.divergence(&posterior);
    assert_close(closed.clone(), &golden["closed_form_kl_each_trial"], "closed form");
    let monte_carlo = &golden["monte_carlo_kl_each_trial_40000"].values;
    for (found, expected) in GoldenArray::of(closed).values.iter().zip(monte_carlo) {
        assert!((found / expected - 1.0).abs() < 0.01, "{found} against {expected} by sampling");
    }
    // The gradients of one-sample estimates are those of −ln p alone, since the posterior does not depend on the prior.
    let grads = log_p.mean().neg().backward();
    let of = |param: &Param<Tensor<1>>| param.val().grad(&grads).unwrap();
    assert_close(of(&prior.log_tau), &golden["grad_kl_wrt_log_tau"], "gradient by log tau");
    assert_close(of(&prior.log_noise_var), &golden["grad_kl_wrt_log_nvar"], "gradient by the log variance");
}

#[test]
fn likelihoods_are_those_of_pytorch() {
    let device = device();
    let golden = golden_json("lfads/poisson_nll.json");
    let (log_rates, counts) =
        (golden["log_rate"].tensor::<3>(&device), golden["target"].tensor::<3>(&device));
    for (case, term) in [("cases/0/", CountTerm::Stirling), ("cases/1/", CountTerm::Omitted)] {
        let case = part(&golden, case);
        let log_rates = log_rates.clone().require_grad();
        let each = poisson_nll(log_rates.clone(), counts.clone(), term);
        assert_likelihood(each.clone(), &case["each"], "Poisson");
        let grads = each.mean().backward();
        assert_likelihood(log_rates.grad(&grads).unwrap(), &case["grad_of_mean"], "Poisson, gradient");
    }
    let of_counts = part(&golden, "stirling/");
    let counts = of_counts["counts"].tensor::<1>(&device);
    let zero = Tensor::zeros_like(&counts);
    let constant = |term| poisson_nll(zero.clone(), counts.clone(), term) - 1.0;
    assert_likelihood(constant(CountTerm::Stirling), &of_counts["torch_term"], "Stirling's term");
    assert_likelihood(constant(CountTerm::Exact), &of_counts["exact_lgamma"], "logarithms of factorials");

    let gaussian = part(&golden, "gaussian/");
    let [mean, log_var, target] =
        ["mean", "logvar", "target"].map(|name| gaussian[name].tensor::<2>(&device));
    assert_likelihood(gaussian_nll(mean, log_var, target), &gaussian["full_false"], "Gaussian");

    let gamma = part(&golden, "gamma_loss/");
    let (params, data) = (gamma["output_params"].tensor::<3>(&device), gamma["data"].tensor::<3>(&device));
    let found = gamma_nll(params.clone().narrow(2, 0, 2), params.narrow(2, 2, 2), data);
    assert_likelihood(found, &gamma["loss"], "gamma");
}

/// Γ(1/2) = √π and Γ(10.5) by the recurrence from it; the gradient at 1 is minus Euler's constant.
#[test]
fn the_logarithm_of_the_gamma_function_and_its_slope_are_known_at_points() {
    let device = device();
    let half = (1..=10).map(|k| f64::from(k) - 0.5).product::<f64>() * std::f64::consts::PI.sqrt();
    let x = Tensor::<1>::from_data([0.5f64, 10.5, 1.0, 2.0, 1e-3], &device).require_grad();
    let y = log_gamma(x.clone());
    let expected = [std::f64::consts::PI.sqrt().ln(), half.ln(), 0.0, 0.0, 6.907_178_885_383_853];
    let expected = GoldenArray { shape: vec![5], values: expected.to_vec() };
    assert_close(y.clone(), &expected, "ln Γ");
    let slope = GoldenArray::of(x.grad(&y.backward()).unwrap()).values[2];
    assert!((slope + 0.577_215_664_901_532_9).abs() < 1e-10, "{slope}");
}

/// Entries hidden by LFADS's coordinated dropout are zero in the input, the others are scaled up, and only the hidden ones
/// have a gradient; bins and units without input always have one.
#[test]
fn coordinated_dropout_is_the_references() {
    use ndarray::{Array3, s};
    use neurobrick_core::{Context, Masking};

    let device = device();
    let golden = golden_json("lfads/coordinated_dropout.json");
    // The others let gradients pass where the input is seen, which a `Masking` refuses.
    for (case, n_skipped) in [("cases/0/", 0), ("cases/3/", 2)] {
        let case = part(&golden, case);
        let counts = case["encod"].counts();
        let (b, t, n) = counts.dim();
        let (n_bins, n_units) = (case["target"].shape[1], case["target"].shape[2]);
        let mut hidden = Array3::from_elem((b, n_bins, n_units), true);
        hidden.slice_mut(s![.., n_skipped..t, ..n]).assign(&case["grad_mask"].mask());
        let visible_part = hidden.slice(s![.., n_skipped..t, ..n]).to_owned();
        let scale = 1.0 / (1.0 - case["cd_rate"].scalar());
        let of_input = Masking::new(visible_part.clone(), visible_part, Context::Full, None);
        let found = of_input.with_visible_scale(scale).visible(counts.slice(s![.., n_skipped.., ..]));
        let expected = &case["encod_after"];
        let kept = expected.values.iter().enumerate().filter(|(i, _)| i / n % t >= n_skipped);
        for (f, (_, e)) in found.iter().zip(kept) {
            assert!((f64::from(*f) - e).abs() < 1e-6 * e.max(1.0), "input {f} is not {e}");
        }

        let log_rates = case["log_rates"].tensor::<3>(&device).require_grad();
        let counted = hidden.mapv(|h| f64::from(u8::from(h)));
        let counted =
            GoldenArray { shape: vec![b, n_bins, n_units], values: counted.iter().copied().collect() };
        let part_of = |x: Tensor<3>| x.narrow(1, n_skipped, n_bins - n_skipped);
        let loss = poisson_nll_sum(
            part_of(log_rates.clone()),
            part_of(case["target"].tensor(&device)),
            part_of(counted.tensor(&device)),
        );
        // The reference takes the mean. The expectation is scaled, since Burn rounds scalars to single precision.
        let n_entries = (b * (n_bins - n_skipped) * n_units) as f64;
        let mut expected = case["grad_of_mean"].clone();
        expected.values.iter_mut().for_each(|g| *g *= n_entries);
        assert_close(log_rates.grad(&loss.backward()).unwrap(), &expected, "gradient");
    }
}
