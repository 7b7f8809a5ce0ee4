//! Poisson likelihood and bits per spike against `nlb_tools` and SciPy.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests; exact equality is the claim where it is asserted"
)]

mod golden_file;

use golden_file::{array, assert_close, cube, load, number, numbers};
use ndarray::ArrayView1;
use neurobrick_metrics::{MetricError, bits_per_spike, bits_per_spike_per_unit, evaluated_mean, poisson_nll};

#[test]
fn every_case_of_nlb_tools() {
    let golden = load("reference/bits_per_spike.json");
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 19);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let (rates, counts) = (array(&case["rates"]), array(&case["spikes"]));
        let nll = poisson_nll(rates.view(), counts.view());
        let (rates, counts) = (cube(&case["rates"]), cube(&case["spikes"]));
        let bits = bits_per_spike(&rates.view(), &counts.view());
        if case.get("error").is_some() {
            let expected = |error: &MetricError| match name {
                "nan_rates_where_spikes_finite" => matches!(error, MetricError::NanRate { .. }),
                "negative_rate" => matches!(error, MetricError::NegativeRate { .. }),
                "shape_mismatch" => matches!(error, MetricError::ShapeMismatch { .. }),
                other => panic!("unknown rejected case {other}"),
            };
            assert!(expected(&nll.unwrap_err()), "{name}");
            assert!(expected(&bits.unwrap_err()), "{name}");
            continue;
        }
        assert_close(nll.unwrap(), number(&case["nll_model"]), 1e-10, name);
        assert_close(bits.unwrap(), number(&case["bits_per_spike"]), 1e-10, name);
        let null = evaluated_mean(&counts.view());
        for (got, want) in null.iter().zip(numbers(&case["null_rate_per_neuron"])) {
            assert_close(*got, want, 1e-10, name);
        }
        let per_unit = bits_per_spike_per_unit(&rates.view(), &counts.view()).unwrap();
        let alone = numbers(&case["bits_per_spike_each_neuron_alone"]);
        assert_eq!(per_unit.len(), alone.len(), "{name}");
        for (got, want) in per_unit.iter().zip(&alone) {
            let want = if want.is_infinite() { f64::NAN } else { *want };
            assert_close(*got, want, 1e-10, name);
        }
        let finite: Vec<f64> = per_unit.into_iter().filter(|bits| !bits.is_nan()).collect();
        let mean = finite.iter().sum::<f64>() / finite.len() as f64;
        assert_close(mean, number(&case["mean_over_neurons_inf_to_nan"]), 1e-10, name);
    }
}

#[test]
fn log_probabilities_are_exact() {
    let golden = load("reference/poisson_logpmf.json");
    let (counts, rates) = (numbers(&golden["counts"]), numbers(&golden["rates"]));
    let expected = numbers(&golden["logpmf"]);
    let mut compared = 0;
    for ((count, rate), want) in counts.iter().zip(&rates).zip(expected) {
        if *rate == 0.0 {
            continue; // replaced by the floor, as the benchmark does; covered by its zero-rate cases
        }
        let nll = poisson_nll(ArrayView1::from(&[*rate]), ArrayView1::from(&[*count])).unwrap();
        assert_close(-nll, want, 1e-12, "logpmf");
        compared += 1;
    }
    assert_eq!(compared, 10);
}
