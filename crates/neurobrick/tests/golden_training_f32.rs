//! Golden parity of optimizer steps in single precision.

use neurobrick_testkit::test_device;

mod golden_training;

/// Tolerances leave a factor of 10 over what single precision itself differs by in PyTorch.
#[test]
fn optimizer_steps_are_those_of_the_reference() {
    golden_training::check(
        &test_device(),
        &golden_training::Tolerances { loss: 3e-6, after: 3e-6, key_bias: None },
    );
}
