//! Behavior decoded from latents.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batch;

use batch::{Model, difference};
use neurobrick_stream::{CausalStream, Decoder, DecoderKind, Precision, SessionPlace, StreamSizes};

const FILE: &str = r#"{
    "name": "choice", "kind": "logistic", "outputs": ["left", "right"],
    "weights": [[0.5], [-1.0], [2.0]], "bias": [0.25]
}"#;

fn stream() -> CausalStream {
    let sizes = StreamSizes {
        n_units: 4,
        n_bins: 3,
        d_stitch: 4,
        d_embed: 5,
        d_model: 3,
        n_layers: 1,
        n_heads: 1,
        d_mlp: 4,
    };
    let model = Model::random(sizes, SessionPlace { stitch: 0, session_row: 0, prompt_row: None }, 3);
    CausalStream::new(&model.weights(), Precision::F32).unwrap()
}

#[test]
fn every_kind_answers_in_the_order_given() {
    let logistic: Decoder = serde_json::from_str(FILE).unwrap();
    let columns: [[f32; 2]; 3] = [[0.5, -0.25], [-1.0, 0.0], [2.0, 3.0]];
    let two = |kind| Decoder {
        name: "two columns".to_owned(),
        kind,
        outputs: vec!["a".to_owned(), "b".to_owned()],
        weights: columns.iter().map(|row| row.to_vec()).collect(),
        bias: vec![0.25, -1.0],
    };
    let decoders = [logistic, two(DecoderKind::Softmax), two(DecoderKind::Linear)];
    let mut stream = stream().with_decoders(&decoders).unwrap();
    for counts in [[0u16, 1, 0, 2], [1, 0, 0, 0]] {
        let answer = stream.predict_bin(&counts).unwrap();
        let score = |column: usize, bias: f64| -> f64 {
            bias + answer
                .latents
                .iter()
                .zip(columns)
                .map(|(l, w)| f64::from(*l) * f64::from(w[column]))
                .sum::<f64>()
        };
        let (first, second) = (score(0, 0.25), score(1, -1.0));
        let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
        let expected = [
            ("choice", vec![logistic(-first), logistic(first)]),
            ("two columns", vec![logistic(first - second), logistic(second - first)]),
            ("two columns", vec![first, second]),
        ];
        assert_eq!(answer.behavior.len(), 3);
        for (decoded, (name, values)) in answer.behavior.iter().zip(expected) {
            assert_eq!(decoded.name(), name);
            assert!(
                difference(decoded.values(), &values) < 1e-6,
                "{:?}: {:?}",
                decoded.kind(),
                decoded.values()
            );
        }
        assert_eq!(answer.behavior[0].outputs(), ["left", "right"]);
    }
}

#[test]
fn decoders_that_do_not_fit_are_refused() {
    let check = |change: &dyn Fn(&mut Decoder), expected: &str| {
        let mut decoder: Decoder = serde_json::from_str(FILE).unwrap();
        change(&mut decoder);
        let error = stream().with_decoders(&[decoder]).unwrap_err();
        assert_eq!(error.to_string(), format!("decoder `choice`: {expected}"));
    };
    check(&|d| d.outputs.truncate(1), "a logistic decoder has 2 outputs, not 1");
    check(
        &|d| {
            d.kind = DecoderKind::Softmax;
            d.outputs.truncate(1);
        },
        "a softmax decoder has at least 2 outputs, not 1",
    );
    check(
        &|d| {
            d.kind = DecoderKind::Linear;
            d.outputs.clear();
        },
        "names no output",
    );
    check(&|d| d.weights.truncate(2), "has weights for 2 latents, the model has 3");
    check(&|d| d.weights[1].push(0.0), "rows of weights and the bias must have 1 numbers, not 2");
    check(&|d| d.bias.clear(), "rows of weights and the bias must have 1 numbers, not 0");
    check(&|d| d.weights[2][0] = f32::NAN, "holds NaN");
}

#[test]
fn files_with_unknown_fields_are_refused() {
    let text = FILE.replace("\"bias\"", "\"intercept\"");
    assert!(serde_json::from_str::<Decoder>(&text).unwrap_err().to_string().contains("intercept"));
}
