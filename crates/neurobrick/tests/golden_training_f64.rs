//! Golden parity of optimizer steps in double precision: a test program of its own, for a device's precision is
//! set once per process.

use neurobrick_testkit::test_device_f64;

mod golden_training;

/// Rounding alone differs by 6e-16; leaving out clipping, momentum cycling or weight decay by more than 1e-5.
#[test]
fn optimizer_steps_are_those_of_the_reference() {
    let device = test_device_f64();
    golden_training::check(
        &device,
        &golden_training::Tolerances { loss: 1e-12, after: 1e-12, key_bias: Some(1e-10) },
    );
}
