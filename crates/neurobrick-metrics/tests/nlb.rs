//! The benchmark's metrics against `nlb_tools`.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{array, assert_close, cube, load, matrix, number, numbers};
use ndarray::{Array2, Array3, Axis, s};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::nlb::{
    DecodeMasks, DecoderPenalty, Submission, Targets, chop, evaluate, merge, psth_r2, smooth_segments,
    speed_correlation, velocity_r2,
};
use serde_json::Value;

fn lists(value: &Value) -> Vec<Vec<usize>> {
    let row = |row: &Value| numbers(row).into_iter().map(|n| n.to_string().parse().unwrap()).collect();
    value.as_array().unwrap().iter().map(row).collect()
}

fn integers(value: &Value) -> Vec<i64> {
    numbers(value).into_iter().map(|n| n.to_string().parse().unwrap()).collect()
}

fn mask(value: &Value) -> Array2<bool> {
    let shape: Vec<usize> = lists(&serde_json::json!([value["shape"]])).remove(0);
    let data = value["data"].as_array().unwrap().iter().map(|b| b.as_bool().unwrap_or(*b == 1)).collect();
    Array2::from_shape_vec((shape[0], shape[1]), data).unwrap()
}

#[test]
fn psth_r2_matches() {
    let golden = load("reference/psth_r2.json");
    let (psth, rates) = (cube(&golden["psth"]), cube(&golden["eval_rates"]));
    let conditions = lists(&golden["eval_cond_idx"]);
    let score =
        |psth: &Array3<f64>, jitter| psth_r2(&psth.view(), &rates.view(), &conditions, jitter).unwrap();
    assert_close(score(&psth, None), number(&golden["r2"]), 1e-10, "plain");
    let mut flat = psth.clone();
    flat.index_axis_mut(Axis(2), 1).fill(0.25);
    assert_close(score(&flat, None), number(&golden["constant_neuron_1_is_0p25"]["r2"]), 1e-10, "constant");
    for case in ["nan_padded_back", "nan_padded_front"] {
        let got = score(&cube(&golden[case]["psth"]), None);
        assert_close(got, number(&golden[case]["r2"]), 1e-10, case);
    }
    let jittered = &golden["jittered"];
    let jitter = integers(&jittered["jitter"]);
    let got = score(&cube(&jittered["psth"]), Some(&jitter));
    assert_close(got, number(&jittered["r2"]), 1e-10, "jitter");
    // Without the NaN that the PSTH has where jitter leaves no rates, the gap is an error, not a score.
    let gap = psth_r2(&psth.view(), &rates.view(), &conditions, Some(&jitter));
    assert!(matches!(gap, Err(MetricError::NotFinite { .. })));
    let none = vec![Vec::new(); 4];
    assert!(matches!(psth_r2(&psth.view(), &rates.view(), &none, None), Err(MetricError::Empty { .. })));
}

#[test]
fn velocity_matches() {
    let golden = load("reference/velocity_decoding.json");
    let [x, y, x_eval, y_eval] =
        ["train_rates", "train_behavior", "eval_rates", "eval_behavior"].map(|key| cube(&golden[key]));
    let score = |y: &Array3<f64>, y_eval: &Array3<f64>, masks: Option<DecodeMasks<'_>>, penalty| {
        velocity_r2((&x.view(), &y.view()), (&x_eval.view(), &y_eval.view()), masks, penalty).unwrap()
    };
    assert_close(score(&y, &y_eval, None, DecoderPenalty::Search), number(&golden["r2_all"]), 1e-8, "all");
    let fixed = score(&y, &y_eval, None, DecoderPenalty::Fixed(0.01));
    assert_close(fixed, number(&golden["r2_no_grid_alpha_0p01"]), 1e-8, "fixed");
    for (name, key) in [("two", "r2_two_masks"), ("overlapping", "r2_overlapping_masks")] {
        let of = |part| mask(&golden["masks"][format!("{name}_{part}")]);
        let (train, eval) = (of("train"), of("eval"));
        let masks = Some(DecodeMasks { train: train.view(), eval: eval.view() });
        assert_close(score(&y, &y_eval, masks, DecoderPenalty::Search), number(&golden[key]), 1e-8, key);
    }
    let (mut y_nan, mut y_eval_nan) = (y.clone(), y_eval.clone());
    y_nan.slice_mut(s![3, 10.., ..]).fill(f64::NAN);
    y_eval_nan.slice_mut(s![0, ..4, ..]).fill(f64::NAN);
    let got = score(&y_nan, &y_eval_nan, None, DecoderPenalty::Search);
    assert_close(got, number(&golden["r2_nan_behaviour"]), 1e-8, "NaN behavior");
}

#[test]
fn speed_correlation_matches() {
    let golden = load("reference/speed_tp_correlation.json");
    let (spikes, rates) = (cube(&golden["eval_spikes_heldout"]), cube(&golden["eval_rates"]));
    let mut behavior = matrix(&golden["eval_behavior"]);
    let score = |behavior: &Array2<f64>| speed_correlation(&spikes.view(), &rates.view(), &behavior.view());
    assert_close(score(&behavior).unwrap(), number(&golden["tp_corr"]), 1e-10, "all trials");
    for trial in lists(&serde_json::json!([golden["with_nan_trials"]["nan_trials"]])).remove(0) {
        behavior.row_mut(trial).fill(f64::NAN);
    }
    let want = number(&golden["with_nan_trials"]["tp_corr"]);
    assert_close(score(&behavior).unwrap(), want, 1e-10, "NaN trials");
    behavior.column_mut(4).fill(600.0);
    assert!(matches!(score(&behavior), Err(MetricError::NoVariation { .. })));
}

/// The whole of `evaluate()` on a submission in the official layout.
#[test]
fn evaluate_matches() {
    let golden = load("reference/nlb_evaluate.json");
    let mut scored = 0;
    for result in golden["result"].as_array().unwrap() {
        for (split, values) in result.as_object().unwrap() {
            let (dataset, prefix) = match split.as_str() {
                "mc_maze_scaling_split" => ("mc_maze_large", "[500] "),
                "mc_maze_scaling_20_split" => ("mc_maze_small_20", "[100] "),
                name => (name.strip_suffix("_split").unwrap(), ""),
            };
            let (target, rates) = (&golden["target"][dataset], &golden["submission"][dataset]);
            let got = evaluate(&submission(rates), &targets(target)).unwrap();
            let optional = |key: &str, got: Option<f64>| {
                let want = values.get(format!("{prefix}{key}")).map(number);
                assert_eq!(want.is_some(), got.is_some(), "{dataset} {key}");
                if let (Some(got), Some(want)) = (got, want) {
                    // The files hold f32, which the reference partly adds up as f32.
                    assert_close(got, want, 1e-6, &format!("{dataset} {key}"));
                }
                usize::from(got.is_some())
            };
            scored += optional("co-bps", Some(got.co_smoothing));
            scored += optional("vel R2", got.velocity_r2);
            scored += optional("tp corr", got.speed_correlation);
            scored += optional("psth R2", got.psth_r2);
            scored += optional("fp-bps", got.forward_prediction);
        }
    }
    assert_eq!(scored, 23);
}

fn submission(rates: &Value) -> Submission {
    let of = |key: &str| cube(&rates[key]);
    Submission {
        eval_heldin: of("eval_rates_heldin"),
        eval_heldout: of("eval_rates_heldout"),
        train: Some([of("train_rates_heldin"), of("train_rates_heldout")]),
        forward: Some([of("eval_rates_heldin_forward"), of("eval_rates_heldout_forward")]),
    }
}

fn targets(target: &Value) -> Targets {
    let of = |key: &str| cube(&target[key]);
    let by_bin = array(&target["eval_behavior"]).ndim() == 3;
    let given = |key: &str| target.get(key).is_some();
    Targets {
        eval_spikes_heldout: of("eval_spikes_heldout"),
        forward_spikes: Some([of("eval_spikes_heldin_forward"), of("eval_spikes_heldout_forward")]),
        behavior: by_bin.then(|| [of("train_behavior"), of("eval_behavior")]),
        decode_masks: given("train_decode_mask")
            .then(|| [mask(&target["train_decode_mask"]), mask(&target["eval_decode_mask"])]),
        intervals: (!by_bin).then(|| matrix(&target["eval_behavior"])),
        psth: given("psth").then(|| of("psth")),
        trials_of_condition: target.get("eval_cond_idx").map(lists).unwrap_or_default(),
        jitter: given("eval_jitter").then(|| integers(&target["eval_jitter"])),
    }
}

#[test]
fn chops_and_merges_match() {
    let golden = load("reference/chop_merge.json");
    let x = matrix(&golden["x"]);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let at = |key: &str| lists(&serde_json::json!([[case[key]]])).remove(0)[0];
        let (window, overlap, offset) = (at("window"), at("overlap"), at("offset"));
        let chops = chop(&x.slice(s![offset.., ..]), window, overlap).unwrap();
        let want = cube(&case["chops"]);
        assert_eq!(chops.dim(), want.dim());
        for (got, want) in chops.iter().zip(&want) {
            assert_close(*got, *want, 1e-6, "chop");
        }
        for (power, key) in [(1.0, "1"), (2.0, "2"), (f64::INFINITY, "inf")] {
            let got = merge(&cube(&case["merge_input"]).view(), overlap, 47 - offset, power).unwrap();
            let want = matrix(&case["merged"][format!("smooth_pwr_{key}")]);
            assert_eq!(got.dim(), want.dim());
            // The reference fades out the end of a single window as if another followed; ours leaves it alone.
            let compared = if chops.len_of(Axis(0)) == 1 { window - overlap } else { want.nrows() };
            for (got, want) in got.iter().zip(&want).take(compared * 2) {
                assert_close(*got, *want, 1e-6, &format!("merge {window} {overlap} {power}"));
            }
        }
    }
    assert!(chop(&x.view(), 48, 0).is_err() && chop(&x.view(), 5, 5).is_err());
}

#[test]
fn smoothing_of_segments_matches() {
    let golden = load("reference/smoothing.json");
    let x = matrix(&golden["x"]);
    let check = |x: &Array2<f64>, sigma: f64, want: &Value| {
        let got = smooth_segments(&x.view(), sigma).unwrap();
        for (got, want) in got.iter().zip(&matrix(want)) {
            assert_close(*got, *want, 1e-10, &format!("sigma {sigma}"));
        }
    };
    for case in golden["nlb"].as_array().unwrap() {
        check(&x, number(&case["std_bins"]), &case["smoothed"]);
    }
    for case in ["nan_segments", "shorter_than_kernel"] {
        let case = &golden[case];
        check(&matrix(&case["x"]), number(&case["std_bins"]), &case["y"]);
    }
    assert!(smooth_segments(&x.view(), 0.1).is_err());
}
