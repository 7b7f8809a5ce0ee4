//! Nothing is allocated once a stream exists.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batch;

use std::alloc::System;

use batch::{Draws, Model};
use neurobrick_stream::{CausalStream, Decoder, DecoderKind, Precision, SessionPlace, StreamSizes};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[test]
fn answers_forecasts_and_warm_waits_do_not_allocate() {
    let sizes = StreamSizes {
        n_units: 70,
        n_bins: 20,
        d_stitch: 33,
        d_embed: 66,
        d_model: 32,
        n_layers: 2,
        n_heads: 4,
        d_mlp: 40,
    };
    let model = Model::random(sizes, SessionPlace { stitch: 0, session_row: 0, prompt_row: Some(1) }, 5);
    let decoder = |kind, outputs: &[&str], n_columns: usize| Decoder {
        name: "choice".to_owned(),
        kind,
        outputs: outputs.iter().map(|&o| o.to_owned()).collect(),
        weights: vec![vec![0.1; n_columns]; 32],
        bias: vec![0.0; n_columns],
    };
    let decoders = [
        decoder(DecoderKind::Logistic, &["left", "right"], 1),
        decoder(DecoderKind::Softmax, &["left", "none", "right"], 3),
        decoder(DecoderKind::Linear, &["speed [cm/s]"], 1),
    ];
    for precision in Precision::ALL {
        let stream = CausalStream::new(&model.weights(), precision).unwrap();
        let stream = stream.with_decoders(&decoders).unwrap();
        let mut draws = Draws(6);
        let mut bins: Vec<Vec<u16>> = (0..20).map(|_| draws.counts(70)).collect();
        // The list of units that fired must have room for all of them.
        bins[3] = vec![1; 70];
        // The instrument counts every thread, and the harness has one of its own: the least of many runs is ours.
        // Each has a stream of its own, which has grown nothing yet.
        let least = (0..20).map(|_| {
            let mut stream = stream.clone();
            let region = Region::new(ALLOCATOR);
            for _ in 0..2 {
                stream.begin_window();
                for bin in &bins {
                    let n_ahead = stream.bins_left().min(3);
                    assert!(stream.forecast(n_ahead).unwrap().rates.iter().all(|r| r.is_finite()));
                    let mut n_asked = 0;
                    stream.keep_warm(|| {
                        n_asked += 1;
                        n_asked > 20
                    });
                    assert!(stream.predict_bin(bin).unwrap().rates.iter().all(|r| r.is_finite()));
                }
                assert!(stream.predict_bin(&bins[0]).is_err());
            }
            let change = region.change();
            change.allocations + change.reallocations + change.deallocations
        });
        assert_eq!(least.min(), Some(0), "{precision}");
    }
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![1u8; 100]));
    assert!(region.change().allocations > 0, "the instrument counts");
}
