//! A stream answers as the batch pass does, in every precision, and forecasts as the batch pass with bins hidden.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod batch;

use batch::{Draws, Model, difference};
use neurobrick_stream::{CausalStream, Precision, SessionPlace, StreamSizes};
use proptest::prelude::*;

/// Rounding of single precision through the layers; the batch pass is in double precision.
const TOLERANCE: f64 = 1e-5;

// Narrower tokens may have nearly equal entries, whose layer norm enlarges rounding up to 300 times.
prop_compose! {
    fn sizes()(
        n_units in 1usize..140, n_bins in 1usize..80, d_stitch in 1usize..90, d_embed in 1usize..90,
        n_heads in 1usize..4, d_head in 8usize..40, n_layers in 1usize..4, d_mlp in 1usize..140,
    ) -> StreamSizes {
        StreamSizes { n_units, n_bins, d_stitch, d_embed, d_model: n_heads * d_head, n_layers, n_heads, d_mlp }
    }
}

fn check(stream: &mut CausalStream, model: &Model, seed: u64) {
    let mut draws = Draws(seed);
    let n_bins = model.sizes.n_bins;
    let counts: Vec<Vec<u16>> = (0..n_bins).map(|_| draws.counts(model.sizes.n_units)).collect();
    stream.begin_window();
    for (bin, (log_rates, latents)) in model.batch(&counts).into_iter().enumerate() {
        let answer = stream.predict_bin(&counts[bin]).unwrap();
        assert_eq!(answer.bin, bin);
        let rates: Vec<f64> = answer.log_rates.iter().map(|&r| f64::from(r).exp()).collect();
        for (what, d) in [
            ("log rates", difference(answer.log_rates, &log_rates)),
            ("latents", difference(answer.latents, &latents)),
            ("rates", difference(answer.rates, &rates)),
        ] {
            assert!(d < TOLERANCE, "{what} of bin {bin} differ by {d:e}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_bin_is_that_of_the_batch_pass(
        sizes in sizes(), stitch in 0usize..3, session_row in 0usize..3, prompt in prop::option::of(0usize..4),
        precision in prop::sample::select(Precision::ALL.to_vec()), seed in any::<u64>(),
    ) {
        let place = SessionPlace { stitch, session_row, prompt_row: prompt };
        let model = Model::random(sizes, place, seed);
        let mut stream = CausalStream::new(&model.weights(), precision).unwrap();
        let stored = model.rounded(precision);
        // The second window must not remember the first.
        check(&mut stream, &stored, seed ^ 1);
        check(&mut stream, &stored, seed ^ 2);
    }

    #[test]
    fn a_warm_wait_leaves_no_trace(
        sizes in sizes(), precision in prop::sample::select(Precision::ALL.to_vec()), seed in any::<u64>(),
    ) {
        let place = SessionPlace { stitch: 0, session_row: 0, prompt_row: Some(1) };
        let model = Model::random(sizes, place, seed);
        let mut untouched = CausalStream::new(&model.weights(), precision).unwrap();
        let mut stream = untouched.clone();
        let mut draws = Draws(seed);
        let n_bins = model.sizes.n_bins;
        for i in 0..2 * n_bins {
            // A wait may end at any question, and before and after a window ends.
            let n_wanted = usize::try_from(draws.next() % 40).unwrap();
            let wait = |stream: &mut CausalStream| {
                let mut n_asked = 0;
                stream.keep_warm(|| {
                    n_asked += 1;
                    n_asked > n_wanted
                });
                assert_eq!(n_asked, n_wanted + 1, "a wait ends at the first yes");
            };
            wait(&mut stream);
            prop_assert_eq!(stream.bins_left(), untouched.bins_left());
            if i == n_bins {
                prop_assert!(stream.predict_bin(&vec![0u16; model.sizes.n_units]).is_err());
                stream.begin_window();
                untouched.begin_window();
                wait(&mut stream);
            }
            let counts = draws.counts(model.sizes.n_units);
            let answer = stream.predict_bin(&counts).unwrap();
            let expected = untouched.predict_bin(&counts).unwrap();
            prop_assert_eq!(answer.log_rates, expected.log_rates);
            prop_assert_eq!(answer.latents, expected.latents);
        }
    }

    #[test]
    fn a_forecast_is_the_batch_pass_with_the_future_hidden_and_leaves_no_trace(
        sizes in sizes(), seen in 0usize..80, seed in any::<u64>(),
    ) {
        let (n_units, n_bins) = (sizes.n_units, sizes.n_bins);
        let seen = seen.min(n_bins);
        let model = Model::random(sizes, SessionPlace { stitch: 0, session_row: 0, prompt_row: Some(1) }, seed);
        let mut draws = Draws(seed);
        let mut counts: Vec<Vec<u16>> = (0..n_bins).map(|_| draws.counts(n_units)).collect();
        let shown = counts.clone();
        counts[seen..].iter_mut().for_each(|bin| bin.fill(0));
        let expected = model.batch(&counts);

        let mut stream = CausalStream::new(&model.weights(), Precision::F32).unwrap();
        for bin in &shown[..seen] {
            stream.predict_bin(bin).unwrap();
        }
        let mut untouched = stream.clone();
        let forecast = stream.forecast(n_bins - seen).unwrap();
        prop_assert_eq!(forecast.first_bin, seen);
        for (row, (log_rates, _)) in forecast.log_rates.chunks(n_units).zip(&expected[seen..]) {
            let d = difference(row, log_rates);
            prop_assert!(d < TOLERANCE, "forecast differs by {d:e}");
        }
        if let Some(bin) = shown.get(seen) {
            let after = stream.predict_bin(bin).unwrap().log_rates.to_vec();
            prop_assert_eq!(after, untouched.predict_bin(bin).unwrap().log_rates);
        }
    }
}
