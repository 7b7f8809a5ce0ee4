//! What a stream refuses, in what words, and that a refusal changes nothing.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batch;

use batch::Model;
use neurobrick_stream::{CausalStream, Precision, SessionPlace, StreamError, StreamSizes, StreamWeights};

fn sizes() -> StreamSizes {
    StreamSizes {
        n_units: 3,
        n_bins: 2,
        d_stitch: 4,
        d_embed: 5,
        d_model: 6,
        n_layers: 1,
        n_heads: 2,
        d_mlp: 7,
    }
}

const PLACE: SessionPlace = SessionPlace { stitch: 0, session_row: 1, prompt_row: Some(1) };

#[test]
fn bins_that_are_none_are_refused_and_leave_no_trace() {
    let model = Model::random(sizes(), PLACE, 1);
    let mut stream = CausalStream::new(&model.weights(), Precision::F32).unwrap();
    let mut untouched = stream.clone();
    let refused =
        |stream: &mut CausalStream, counts: &[f32]| stream.predict_bin(counts).unwrap_err().to_string();
    for (counts, expected) in [
        (&[1.0, 2.0][..], "a bin of this session has 3 counts, received 2"),
        (&[], "a bin of this session has 3 counts, received 0"),
        (&[1.0, -1.0, 0.0], "counts must be finite and not negative, received -1 for unit 1"),
        (&[1.0, 0.0, f32::NAN], "counts must be finite and not negative, received NaN for unit 2"),
        (&[f32::INFINITY, 0.0, 0.0], "counts must be finite and not negative, received inf for unit 0"),
    ] {
        assert_eq!(refused(&mut stream, counts), expected);
    }
    let counts = [0.0f32, 2.0, 1.0];
    for _ in 0..2 {
        let expected = untouched.predict_bin(&counts).unwrap().log_rates.to_vec();
        assert_eq!(stream.predict_bin(&counts).unwrap().log_rates, expected);
    }
    assert_eq!(
        refused(&mut stream, &counts),
        "the window of 2 bins is full; call `begin_window()` before the next bin"
    );
    assert!(matches!(stream.forecast(1), Err(StreamError::ForecastTooLong { asked: 1, left: 0 })));
    assert!(stream.forecast(0).unwrap().rates.is_empty());
    stream.begin_window();
    assert_eq!(stream.predict_bin(&counts).unwrap().bin, 0);
    assert!(matches!(stream.forecast(2), Err(StreamError::ForecastTooLong { asked: 2, left: 1 })));
}

#[test]
fn weights_are_checked_by_name() {
    let check = |change: &dyn Fn(&mut Model), expected: &str| {
        let mut model = Model::random(sizes(), PLACE, 1);
        change(&mut model);
        let lookup = |name: &str| model.parameters.get(name).cloned();
        let error = StreamWeights::from_lookup(&sizes(), PLACE, &lookup).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        &|m| m.parameters.retain(|name, _| !name.contains("out_proj")),
        "the weights lack: layers.0.attn.out_proj.weight, layers.0.attn.out_proj.bias",
    );
    check(
        &|m| m.parameters.get_mut("projection.weight").unwrap().0 = vec![6, 5],
        "`projection.weight` must have shape [5, 6], received [6, 5] with 30 values",
    );
    check(
        &|m| m.parameters.get_mut("out_norm.beta").unwrap().1.truncate(5),
        "`out_norm.beta` must have shape [6], received [6] with 5 values",
    );
    // Row 1 is asked for, the table has row 0 only.
    check(
        &|m| *m.parameters.get_mut("embed_session.weight").unwrap() = (vec![1, 6], vec![0.0; 6]),
        "`embed_session.weight` must have shape [2, 6], received [1, 6] with 6 values",
    );
    check(
        &|m| m.parameters.get_mut("embed_spikes.bias").unwrap().1[4] = f32::NAN,
        "`embed_spikes.bias` holds NaN at position 4",
    );
}

#[test]
fn sizes_are_checked() {
    for (sizes, place, expected) in [
        (StreamSizes { n_bins: 0, ..sizes() }, PLACE, "`n_bins` must be positive, received 0"),
        (
            StreamSizes { n_heads: 4, ..sizes() },
            PLACE,
            "`n_heads` must be a divisor of d_model = 6, received 4",
        ),
        (sizes(), SessionPlace { prompt_row: Some(4), ..PLACE }, "`prompt_row` must be below 4, received 4"),
    ] {
        let error = StreamWeights::from_lookup(&sizes, place, &|_| None).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
