//! The golden set of MtM is read as its provenance describes it.

use neurobrick_core::{Context, Prompt};
use neurobrick_testkit::MtmGolden;

#[test]
fn the_set_is_complete() {
    let golden = MtmGolden::read();
    let names: Vec<&str> = golden.cases.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["temporal", "neuron", "causal", "causal_faithful", "inter_region", "intra_region"]);
    let weights = golden.weights(&golden.sessions, true);
    assert_eq!(weights.len(), 53);
    assert_eq!(weights.values().map(|d| d.shape().num_elements()).sum::<usize>(), 7265);
    assert_eq!(weights["stitches.1.read_in.weight"].shape().to_vec(), [11, 20], "transposed to [in, out]");
    assert_eq!(weights["layers.1.ln2.gamma"].shape().to_vec(), [16]);

    let faithful = &golden.cases[3];
    let own = faithful.sessions(&golden);
    assert_eq!(own.len(), 1, "sessions a and c would share a stitch");
    assert_eq!(golden.weights(&own, true)["embed_session.weight"].shape().to_vec(), [1, 16]);
    assert_eq!(
        (faithful.batch.masking.context(), faithful.batch.masking.prompt()),
        (Context::Causal, Some(Prompt::Causal))
    );

    let n_counted: Vec<usize> =
        golden.cases.iter().map(|c| c.batch.masking.counted().iter().filter(|&&x| x).count()).collect();
    assert_eq!(n_counted, [140, 204, 224, 224, 240, 108], "as `n_counted` of cases.json says");
    // A parameter without a gradient is absent: stitches of two absent sessions, and the prompts if unprompted.
    let n_gradients: Vec<usize> = golden.cases.iter().map(|c| c.gradients(&golden).len()).collect();
    assert_eq!(n_gradients, [44, 45, 45, 45, 45, 45]);
    assert_eq!((golden.steps.len(), golden.steps_after().len()), (4, 53));
}
