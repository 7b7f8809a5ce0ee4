//! All tokenizers keep the contract.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Tensor, TensorData};
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::{test_device, tokenizer_contract};
use neurobrick_tokenize::{
    LastPatch, SignalPatches, Spectrogram, Spike, SpikeEvents, SpikeWindow, TimeBins, TimeUnitPatches,
};

/// Windows `[B, 11, 5]`.
fn tensors(seeds: &[u64], mut draw: impl FnMut(&mut Stream) -> f64) -> Tensor<3> {
    let mut values = Vec::new();
    for &seed in seeds {
        let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
        values.extend((0..11 * 5).map(|_| draw(&mut draws)));
    }
    Tensor::from_data(TensorData::new(values, [seeds.len(), 11, 5]), &test_device())
}

fn counts(seeds: &[u64]) -> Tensor<3> {
    tensors(seeds, |draws| f64::from(draws.poisson(1.0)))
}

fn signals(seeds: &[u64]) -> Tensor<3> {
    tensors(seeds, Stream::normal)
}

/// Three units, of which the second is not seen, and as many spikes as the seed.
fn spikes(seeds: &[u64]) -> Vec<SpikeWindow> {
    let window = |&seed: &u64| {
        let mut draws = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
        let spikes =
            (0..seed).map(|i| Spike { unit: if i % 2 == 0 { 0 } else { 2 }, time_s: draws.uniform() });
        SpikeWindow { n_units: 3, units: Some(vec![0, 2]), spikes: spikes.collect() }
    };
    seeds.iter().map(window).collect()
}

fn patches(n_samples: usize, hop: usize, last: LastPatch) -> SignalPatches {
    SignalPatches::new(100.0, n_samples, hop, last).unwrap()
}

tokenizer_contract!(time_bins, TimeBins::new(0.02).unwrap(), counts);
tokenizer_contract!(time_unit_patches, TimeUnitPatches::new([1, 2], 0.02).unwrap(), counts);
tokenizer_contract!(patches_of_several_bins, TimeUnitPatches::new([3, 2], 0.02).unwrap(), counts);
tokenizer_contract!(spike_events, SpikeEvents::new(1.0).unwrap(), spikes);
tokenizer_contract!(signal_patches, patches(4, 4, LastPatch::Drop), signals);
tokenizer_contract!(overlapping_signal_patches, patches(4, 3, LastPatch::FillUp), signals);
tokenizer_contract!(spectrogram, Spectrogram::new(patches(4, 2, LastPatch::Drop), 1e-6).unwrap(), signals);
