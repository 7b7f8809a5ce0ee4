//! Golden parity in single precision.

use neurobrick_testkit::test_device;

mod golden;

/// Tolerances leave a factor of 8 to 12 over what single precision itself differs by in PyTorch.
#[test]
fn forward_loss_and_gradients_are_those_of_the_reference() {
    let tolerances = golden::Tolerances { outputs: 5e-6, loss: 3e-6, gradients: 1e-5, key_bias: 1e-5 };
    golden::check(&test_device(), &tolerances);
}
