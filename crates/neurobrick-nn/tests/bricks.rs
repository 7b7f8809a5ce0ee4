//! Each brick against numbers worked out by hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::module::Module;
use burn::tensor::{Bool, Tensor, TensorData};
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_core::{Context, DropoutStreams, Mode};
use neurobrick_nn::{
    ContextAttention, Dropout, InitStreams, LayerNorm, PrefixVisibility, ReadOutStart, SessionStitch,
    context_mask, embedding, normalize, poisson_nll_sum,
};
use neurobrick_testkit::test_device;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn rows(mask: Tensor<3, Bool>) -> Vec<String> {
    let [_, n_rows, _] = mask.dims();
    let hides: Vec<bool> = mask.into_data().iter::<bool>().collect();
    hides
        .chunks(hides.len() / n_rows)
        .map(|row| row.iter().map(|&h| if h { 'x' } else { '.' }).collect())
        .collect()
}

#[test]
fn context_masks_hide_the_future_and_from_prefixes_too() {
    let device = test_device();
    let mask = |context, n_prefix, visibility| {
        context_mask(context, n_prefix, 3, visibility).map(|m| rows(m.tensor(&device)))
    };
    assert_eq!(mask(Context::Full, 2, PrefixVisibility::PrefixOnly), None);
    let safe = mask(Context::Causal, 2, PrefixVisibility::PrefixOnly).unwrap();
    assert_eq!(safe, ["..xxx", "..xxx", "...xx", "....x", "....."]);
    let published = mask(Context::Causal, 2, PrefixVisibility::Everything).unwrap();
    assert_eq!(published, [".....", ".....", "...xx", "....x", "....."]);
    let unprefixed = mask(Context::Causal, 0, PrefixVisibility::PrefixOnly).unwrap();
    assert_eq!(unprefixed, [".xx", "..x", "..."]);
}

/// With queries at zero every visible token weighs the same: attention is the mean of the visible values.
#[test]
fn attention_without_queries_averages_what_is_visible() {
    let device = test_device();
    let attention = ContextAttention::new(4, 2, 0.0, 0, &mut InitStreams::new(1, "attention"), &device);
    let mut state = state_dict(&attention);
    let identity: Vec<f64> = (0..16).map(|i| if i % 5 == 0 { 1.0 } else { 0.0 }).collect();
    for (path, data) in &mut state {
        let kept = path == "value.weight" || path == "out_proj.weight";
        let fresh = if kept { identity.clone() } else { vec![0.0; data.shape().num_elements()] };
        *data = TensorData::new(fresh, data.shape().to_vec());
    }
    let attention = load_state_dict(attention, state).unwrap();
    let x =
        Tensor::<3>::from_data([[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 1.0, 2.0, 3.0]]], &device);
    let mask = context_mask(Context::Causal, 0, 3, PrefixVisibility::PrefixOnly);
    let found = values(attention.forward(x, mask.as_ref(), Mode::Eval));
    let expected = [1.0, 2.0, 3.0, 4.0, 3.0, 4.0, 5.0, 6.0, 5.0, 3.0, 4.0, 5.0];
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() < 1e-6, "{found:?}");
    }
}

#[test]
fn dropout_acts_in_training_only_and_differs_by_site_step_and_trial() {
    let device = test_device();
    let x = Tensor::<2>::ones([4, 500], &device);
    let run = |site: usize, step: u64, first: u64| {
        values(Dropout::new(0.25, site).forward(x.clone(), Mode::Train(&DropoutStreams::new(1, step, first))))
    };
    let base = run(0, 0, 0);
    assert_eq!(base, run(0, 0, 0));
    assert_ne!(base, run(1, 0, 0));
    assert_ne!(base, run(0, 1, 0));
    assert_eq!(base[1000..], run(0, 0, 2)[..1000], "trial 2 is trial 0 of a shard that starts there");
    let n_kept = base.iter().filter(|&&f| f != 0.0).count();
    // Binomial(2000, 0.75): standard deviation 19.4; four of them.
    assert!(n_kept.abs_diff(1500) < 78, "{n_kept}");
    assert!(
        base.iter().all(|&f| f == 0.0 || (f - 4.0 / 3.0).abs() < 1e-6),
        "inverted dropout scales by 1 / 0.75"
    );
    assert_eq!(values(Dropout::new(0.25, 0).forward(x.clone(), Mode::Eval)), vec![1.0; 2000]);
    let none = Dropout::new(0.0, 0).forward(x, Mode::Train(&DropoutStreams::new(1, 0, 0)));
    assert_eq!(values(none), vec![1.0; 2000]);
}

#[test]
fn the_loss_is_the_sum_over_counted_entries() {
    let device = test_device();
    let cube =
        |values: [f64; 4]| Tensor::<3>::from_data(TensorData::new(values.to_vec(), [1, 2, 2]), &device);
    let loss =
        poisson_nll_sum(cube([0.0, 1.0, -1.0, 5.0]), cube([3.0, 2.0, 0.0, 9.0]), cube([1.0, 1.0, 1.0, 0.0]));
    let expected = (1.0 - 0.0) + (1f64.exp() - 2.0) + (-1f64).exp();
    let found = values(loss)[0];
    assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
}

#[test]
fn a_stitch_starts_at_log_mean_rates_if_they_are_known() {
    let device = test_device();
    let stitch =
        |start| state_dict(&SessionStitch::new(3, 8, 5, start, &mut InitStreams::new(1, "s"), &device));
    let plain = stitch(ReadOutStart::Default);
    let log_mean_rates = [-1.0, 0.5, -3.0];
    let informed = stitch(ReadOutStart::LogMeanRates { log_mean_rates: &log_mean_rates, weight_scale: 0.1 });
    assert_eq!(informed["read_out.bias"].iter::<f64>().collect::<Vec<_>>(), log_mean_rates);
    let pairs = informed["read_out.weight"].iter::<f64>().zip(plain["read_out.weight"].iter::<f64>());
    for (i, p) in pairs {
        assert!((i - 0.1 * p).abs() < 1e-8, "{i} is not a tenth of {p}");
    }
    assert_eq!(informed["read_in.weight"], plain["read_in.weight"]);
    assert_eq!(plain["read_in.weight"].shape().to_vec(), [3, 8]);
    assert_eq!(plain["read_out.weight"].shape().to_vec(), [5, 3]);
}

#[test]
fn initial_tables_and_norms_are_those_of_pytorch() {
    let device = test_device();
    let table = values(embedding(200, 100, 1.0, &mut InitStreams::new(1, "t"), &device).weight.val());
    let n = table.len() as f64;
    let mean = table.iter().sum::<f64>() / n;
    let variance = table.iter().map(|v| v * v).sum::<f64>() / n;
    // Four standard errors of mean and variance of 20,000 standard normal values.
    assert!(
        mean.abs() < 4.0 / n.sqrt() && (variance - 1.0).abs() < 4.0 * (2.0 / n).sqrt(),
        "{mean}, {variance}"
    );
    let norm = LayerNorm::new(4, &device);
    let x = Tensor::<2>::from_data([[1.0, 2.0, 3.0, 6.0]], &device);
    // Mean 3, biased variance 3.5, epsilon 1e-5.
    let expected = [-2.0, -1.0, 0.0, 3.0].map(|d: f64| d / (3.5f64 + 1e-5).sqrt());
    for (f, e) in values(normalize(x, &norm)).into_iter().zip(expected) {
        assert!((f - e).abs() < 1e-6, "{f} is not {e}");
    }
    assert_eq!(norm.num_params(), 8);
}
