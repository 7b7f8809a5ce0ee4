//! T-Fixup factors against the golden set.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::Linear;
use neurobrick_core::weights::state_dict;
use neurobrick_nn::{Activation, InitStreams, TransformerConfig, TransformerLayer, linear};
use neurobrick_testkit::{golden_path, test_device};

const WIDTH: usize = 16;

/// The maps of a layer as they are drawn, before any rescaling, in the order in which a layer draws them.
#[derive(Module, Debug)]
struct Unscaled {
    query: Linear,
    key: Linear,
    value: Linear,
    out_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

#[test]
fn a_layer_starts_at_pytorchs_default_times_the_reference_factors() {
    let text = std::fs::read_to_string(golden_path("ndt_stitch/tfixup.json")).unwrap();
    let factors: BTreeMap<usize, BTreeMap<String, f64>> = serde_json::from_str(&text).unwrap();
    let device = test_device();
    let mut init = InitStreams::new(3, "layer");
    let mut draw = |d_in, d_out| linear(d_in, d_out, &mut init, &device);
    let unscaled = state_dict(&Unscaled {
        query: draw(WIDTH, WIDTH),
        key: draw(WIDTH, WIDTH),
        value: draw(WIDTH, WIDTH),
        out_proj: draw(WIDTH, WIDTH),
        up_proj: draw(WIDTH, 32),
        down_proj: draw(32, WIDTH),
    });
    assert_eq!(factors.keys().collect::<Vec<_>>(), [&2, &5]);
    for (&n_layers, factors) in &factors {
        let config = TransformerConfig {
            d_model: WIDTH,
            n_heads: 2,
            d_mlp: 32,
            dropout: 0.0,
            n_layers,
            activation: Activation::Gelu,
        };
        let layer = TransformerLayer::new(&config, 0, &mut InitStreams::new(3, "layer"), &device);
        let mut n_checked = 0;
        for (path, found) in state_dict(&layer) {
            let Some((_, leaf)) = path.split_once('.').filter(|(part, _)| ["attn", "mlp"].contains(part))
            else {
                continue;
            };
            let factor = factors[&format!("layers.0.{path}")];
            for (f, e) in found.iter::<f64>().zip(unscaled[leaf].iter::<f64>()) {
                // One rounding of an f32 product.
                assert!((f - factor * e).abs() <= 1e-7 * e.abs(), "{n_layers} layers, {path}: {f} from {e}");
            }
            n_checked += 1;
        }
        assert_eq!(n_checked, 12, "weight and bias of six maps");
    }
}
