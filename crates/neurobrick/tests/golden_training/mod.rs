//! Parity of optimizer steps on `NdtStitch` with PyTorch: loss, gradient norm, clipping, schedule and update.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use neurobrick_core::SessionSpec;
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_models::{NdtStitch, NdtStitchConfig};
use neurobrick_testkit::{
    Golden, MtmBatch, MtmGolden, MtmRecords, Parity, largest_difference_of, relative_difference,
};
use neurobrick_train::{AdamW, AdamWConfig, OneCycle, loss_and_gradients};

/// Largest allowed differences; from `fixtures/golden/ndt_stitch/PROVENANCE.md`, where they are derived.
pub(crate) struct Tolerances {
    /// Losses and gradient norms, relative.
    pub(crate) loss: f64,
    /// Parameters after the steps, absolute.
    pub(crate) after: f64,
    /// Key biases after the steps, absolute. Their gradients are rounding residues, which `AdamW` blows up to the
    /// size of the learning rate in single precision: `None` leaves them out.
    pub(crate) key_bias: Option<f64>,
}

/// Checks all single batches and the run over several sessions, and reports the largest differences.
pub(crate) fn check(device: &Device, tolerances: &Tolerances) {
    let golden = MtmGolden::read();
    let mut parity = Parity::new("ndt_stitch", device);
    for case in &golden.cases {
        let sessions = case.sessions(&golden);
        let start =
            model(&golden, &sessions, case.batch.masking.prompt().is_some(), case.is_faithful, device);
        let batches = vec![case.batch.clone(); 3];
        let (trained, optimizer) =
            train(start.clone(), &batches, &case.records, tolerances, &case.name, &mut parity);
        let after = case.after(&golden);
        check_after(&start, &trained, &after, tolerances, &case.name, &mut parity);
        assert!(optimizer.states().values().all(|s| s.n_updates == 3), "{}: updates", case.name);
        let loss = loss_of(&trained, &case.batch);
        parity.see("loss after", relative_difference(loss, case.loss_after), tolerances.loss, &case.name);
    }
    let start = model(&golden, &golden.sessions, true, false, device);
    let name = "several sessions";
    let (trained, optimizer) =
        train(start.clone(), &golden.steps, &golden.step_records, tolerances, name, &mut parity);
    check_after(&start, &trained, &golden.steps_after(), tolerances, name, &mut parity);
    // Sessions a, b, c, a: a parameter counts the steps in which it had a gradient.
    let updates = ["stitches.0", "stitches.1", "stitches.2", "embed_session"].map(|stem| {
        let mut states = optimizer.states().iter().filter(|(path, _)| path.starts_with(stem));
        states.next().unwrap().1.n_updates
    });
    assert_eq!(updates, [2, 1, 1, 4]);
    parity.report();
}

fn model(
    golden: &MtmGolden,
    sessions: &[SessionSpec],
    prompt: bool,
    faithful: bool,
    device: &Device,
) -> NdtStitch {
    let sizes = &golden.sizes;
    let config = NdtStitchConfig {
        n_bins: sizes.n_bins,
        d_stitch: sizes.stitch_width,
        d_embed: sizes.embed_hidden,
        d_model: sizes.width,
        n_layers: sizes.n_layers,
        n_heads: sizes.n_heads,
        d_mlp: sizes.mlp_width,
        dropout_embed: 0.0,
        dropout: 0.0,
        prompt,
        faithful,
        ..NdtStitchConfig::published()
    };
    let model = NdtStitch::new(config, sessions, 1, device).unwrap();
    load_state_dict(model, golden.weights(sessions, prompt)).unwrap()
}

/// One optimizer step for each batch, with the recorded losses, norms and rates checked on the way.
fn train(
    mut model: NdtStitch,
    batches: &[MtmBatch],
    records: &MtmRecords,
    tolerances: &Tolerances,
    name: &str,
    parity: &mut Parity,
) -> (NdtStitch, AdamW) {
    let schedule = OneCycle { max_lr: 1e-3, pct_start: 0.3, ..OneCycle::default() };
    let mut optimizer = AdamW::new(AdamWConfig::default());
    assert_eq!(batches.len(), records.losses.len(), "{name}: recorded steps");
    for (step, batch) in batches.iter().enumerate() {
        let place = format!("{name}, step {step}");
        let (counts, masking) = (batch.counts.view(), &batch.masking);
        let (loss, mut gradients) =
            loss_and_gradients(&model, &batch.session, counts, masking, None, 1, &[]).unwrap();
        parity.see("loss", relative_difference(loss, records.losses[step]), tolerances.loss, &place);
        let norm = gradients.clip(1.0);
        parity.see(
            "gradient norm",
            relative_difference(norm, records.grad_norms[step]),
            tolerances.loss,
            &place,
        );
        let clipped = gradients.norm();
        assert!((clipped - 1.0).abs() < 1e-5, "{place}: norm {clipped} after clipping to 1");
        let rates = schedule.at(step as u64, 10);
        // Cosines of two mathematics libraries.
        parity.see(
            "learning rates and momenta",
            relative_difference(rates.lr, records.lrs[step]),
            1e-10,
            &place,
        );
        parity.see(
            "learning rates and momenta",
            relative_difference(rates.beta1, records.beta1s[step]),
            1e-10,
            &place,
        );
        model = optimizer.step(model, gradients, rates);
    }
    (model, optimizer)
}

fn loss_of(model: &NdtStitch, batch: &MtmBatch) -> f64 {
    loss_and_gradients(model, &batch.session, batch.counts.view(), &batch.masking, None, 1, &[]).unwrap().0
}

/// Parameters with a gradient are where PyTorch's are; those without have not moved.
fn check_after(
    start: &NdtStitch,
    trained: &NdtStitch,
    after: &Golden,
    tolerances: &Tolerances,
    name: &str,
    parity: &mut Parity,
) {
    let start = state_dict(start);
    for (path, found) in state_dict(trained) {
        let place = format!("{name}: {path}");
        let Some(expected) = after.get(&path) else {
            assert_eq!(found, start[&path], "{place} moved without a gradient");
            continue;
        };
        assert_ne!(found, start[&path], "{place} did not move");
        let (what, tolerance) = match (path.ends_with("attn.key.bias"), tolerances.key_bias) {
            (false, _) => ("parameters after", tolerances.after),
            (true, Some(tolerance)) => ("key biases after", tolerance),
            (true, None) => continue,
        };
        let found: Vec<f64> = found.iter::<f64>().collect();
        let difference = largest_difference_of(&found, &expected.values);
        parity.see(what, difference, tolerance, &place);
    }
}
