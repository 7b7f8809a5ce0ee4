//! Golden parity of models under published names in single precision.

use neurobrick_testkit::test_device;

mod golden_models;

/// Single precision itself differs by a few 1e-7 in PyTorch; a factor of 10 is left for another order of summation.
#[test]
fn models_are_those_of_the_reference() {
    let tolerances = golden_models::Tolerances {
        outputs: 5e-6,
        loss: 3e-6,
        gradients: 1e-5,
        after: 3e-6,
        key_bias: 1e-5,
        key_bias_after: None,
    };
    golden_models::check(&test_device(), &tolerances);
}
