//! Golden parity of models under published names in double precision: a test program of its own, for a device's
//! precision is set once per process.

use neurobrick_testkit::test_device_f64;

mod golden_models;

/// Rounding alone differs by 2e-15; a wrong formula by far more than 1e-12.
#[test]
fn models_are_those_of_the_reference() {
    let device = test_device_f64();
    let tolerances = golden_models::Tolerances {
        outputs: 1e-12,
        loss: 1e-12,
        gradients: 1e-12,
        after: 1e-12,
        key_bias: 1e-11,
        key_bias_after: Some(1e-10),
    };
    golden_models::check(&device, &tolerances);
}
