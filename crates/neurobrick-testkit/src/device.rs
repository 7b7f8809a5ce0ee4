//! The device that tests run on.

use std::sync::OnceLock;

use burn::tensor::{Device, FloatDType, IntDType};
use neurobrick_core::ComputeDevice;

/// Names the device of all tests; `cargo xtask test --device` sets it.
pub const DEVICE_VARIABLE: &str = "NEUROBRICK_DEVICE";

/// The device that the environment names in [`DEVICE_VARIABLE`], or Flex: a suite that asks here for its device runs on every
/// backend.
///
/// # Panics
/// If there is no such device.
pub fn test_compute_device() -> ComputeDevice {
    std::env::var(DEVICE_VARIABLE).map_or(ComputeDevice::Flex, |name| name.parse().unwrap())
}

/// [`test_compute_device`], opened.
///
/// # Panics
/// If there is no such device, or it is not compiled in.
pub fn test_device() -> Device {
    test_compute_device().open().unwrap()
}

/// [`test_device`] computing in double precision, or Flex where it has none. A device's precision is set once per process, so
/// that a test program that calls this must not compute in single precision before.
///
/// # Panics
/// As [`test_device`], or if the device's precision is settled.
pub fn test_device_f64() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let settle = || {
        let asked = test_compute_device();
        let asked = if asked.has_double_precision() { asked } else { ComputeDevice::Flex };
        let mut device = asked.open().unwrap();
        let int = if device.supports_dtype(IntDType::I32) { IntDType::I32 } else { IntDType::I64 };
        device.configure((FloatDType::F64, int)).unwrap();
        device
    };
    DEVICE.get_or_init(settle).clone()
}
