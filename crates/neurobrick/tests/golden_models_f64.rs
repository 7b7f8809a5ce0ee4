//! Golden parity of models under published names in double precision: a test program of its own, for a device's
//! precision is set once per process.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::{Device, FloatDType, IntDType};

mod golden_models;

/// Rounding alone differs by 2e-15; a wrong formula by far more than 1e-12.
#[test]
fn models_are_those_of_the_reference() {
    let mut device = Device::flex();
    device.configure((FloatDType::F64, IntDType::I32)).unwrap();
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
