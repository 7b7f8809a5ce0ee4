//! The generator against its published vectors; factors as a function of place; their probability.

#![expect(clippy::float_cmp, reason = "factors are one of two exact values")]

use neurobrick_kernels::{DropoutStream, philox4x32};
use proptest::prelude::*;

/// `kat_vectors` of Random123 1.14, philox4x32 with 10 rounds.
#[test]
fn philox_gives_the_published_words() {
    let cases = [
        ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
        ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
        (
            [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
            [0xa409_3822, 0x299f_31d0],
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        ),
    ];
    for (counter, key, words) in cases {
        assert_eq!(philox4x32(counter, key), words, "{counter:x?} {key:x?}");
    }
}

fn factors(stream: DropoutStream, p: f64, start: usize, len: usize) -> Vec<f32> {
    let mut out = vec![7.0; len];
    stream.factors_into(p, start, &mut out);
    out
}

proptest! {
    #[test]
    fn a_value_depends_on_its_index_alone(start in 0_usize..3000, len in 0_usize..1500, p in 0.0_f64..0.99) {
        let stream = DropoutStream::new(3, 1 << 40, 5, 6);
        let whole = factors(stream, p, 0, 4500);
        prop_assert_eq!(&whole[start..start + len], &factors(stream, p, start, len)[..]);
    }

    #[test]
    fn products_and_sums_use_the_factors(start in 0_usize..100, len in 0_usize..700) {
        let stream = DropoutStream::new(1, 2, 3, 4);
        let x: Vec<f32> = (0_u16..700).map(|i| f32::from(i) - 350.5).take(len).collect();
        let residual: Vec<f32> = x.iter().map(|v| v * 0.37).collect();
        let (mut products, mut sums) = (x.clone(), x.clone());
        stream.apply(0.4, start, &mut products);
        stream.apply_add(0.4, start, &residual, &mut sums);
        for (i, f) in factors(stream, 0.4, start, len).into_iter().enumerate() {
            prop_assert_eq!(products[i].to_bits(), (x[i] * f).to_bits());
            prop_assert_eq!(sums[i].to_bits(), x[i].mul_add(f, residual[i]).to_bits());
        }
    }
}

/// `SplitMix64`, as in its reference code.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The layout is part of every recorded result: it must never change.
#[test]
fn values_are_the_words_of_their_blocks() {
    let (seed, step, example, site) = (7, 9 | 3 << 32, 8 | 1 << 32, 21);
    let key = mix(mix(mix(seed) ^ site) ^ 1);
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let key = [key as u32, (key >> 32) as u32];
    let drawn = factors(DropoutStream::new(seed, step, example, site), 0.25, 0, 96);
    for (i, factor) in (0_u32..).zip(drawn) {
        let block = i / 32 * 8 + i % 8;
        let word = philox4x32([block, 8, 9, 3], key)[(i % 32 / 8) as usize];
        let expected = if word < 1 << 30 { 0.0 } else { 4.0_f32 / 3.0 };
        assert_eq!(factor.to_bits(), expected.to_bits(), "value {i}");
    }
}

/// Four standard deviations around the expectation; fixed seeds, so it fails always or never.
#[test]
fn the_share_dropped_is_p() {
    let n = 1 << 20;
    for p in [0.01, 0.1, 0.4, 0.9] {
        let out = factors(DropoutStream::new(11, 0, 0, 0), p, 5, n);
        let dropped = out.iter().filter(|&&f| f == 0.0).count() as f64 / n as f64;
        let deviation = (p * (1.0 - p) / n as f64).sqrt();
        assert!((dropped - p).abs() < 4.0 * deviation, "{dropped} dropped with p = {p}");
        let mean = out.iter().map(|&f| f64::from(f)).sum::<f64>() / n as f64;
        assert!((mean - 1.0).abs() < 4.0 * deviation / (1.0 - p), "mean factor {mean} with p = {p}");
    }
    assert!(factors(DropoutStream::new(11, 0, 0, 0), 0.0, 0, 1000).iter().all(|&f| f == 1.0));
}

/// Neighbors in each coordinate agree as often as independent draws of p = 1/2 do.
#[test]
fn streams_of_different_places_are_independent() {
    let n = 1 << 16;
    let base = factors(DropoutStream::new(1, 1, 1, 1), 0.5, 0, n + 4);
    let others = [
        DropoutStream::new(2, 1, 1, 1),
        DropoutStream::new(1, 2, 1, 1),
        DropoutStream::new(1, 1 | 1 << 32, 1, 1),
        DropoutStream::new(1, 1, 2, 1),
        DropoutStream::new(1, 1, 1 | 1 << 32, 1),
        DropoutStream::new(1, 1, 1, 2),
        DropoutStream::new(1, 1, 1, 1 | 1 << 32),
    ];
    let others = others.map(|stream| factors(stream, 0.5, 0, n));
    let shifted = [1, 2, 4].map(|lag| base[lag..lag + n].to_vec());
    for (i, other) in others.iter().chain(&shifted).enumerate() {
        let same = base.iter().zip(other).filter(|(a, b)| a == b).count() as f64 / n as f64;
        assert!((same - 0.5).abs() < 4.0 * 0.5 / (n as f64).sqrt(), "case {i}: {same} equal");
    }
}

#[test]
#[should_panic(expected = "probability must be in [0, 1), was 1")]
fn a_probability_of_one_is_refused() {
    factors(DropoutStream::new(0, 0, 0, 0), 1.0, 0, 1);
}

#[test]
#[should_panic(expected = "reach past index 2^34")]
fn an_index_beyond_the_stream_is_refused() {
    factors(DropoutStream::new(0, 0, 0, 0), 0.5, 1 << 34, 1);
}
