//! Where a run computes.

use burn::tensor::Device;
use neurobrick_core::{ComputeDevice, DeviceError};

/// The device of models, and the worker threads of everything.
///
/// ```
/// use neurobrick_evaluate::Compute;
///
/// let compute = Compute::threads(2);
/// assert_eq!(compute.device.to_string(), "flex");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compute {
    /// What models are computed on. Statistics, baselines and closed forms are computed on the processor always.
    pub device: ComputeDevice,
    /// Worker threads. On the processor the bits of a result do not depend on them.
    pub n_threads: usize,
}

impl Compute {
    /// Models on the processor, by Flex.
    pub fn threads(n_threads: usize) -> Self {
        Self { device: ComputeDevice::Flex, n_threads }
    }

    /// The device of models.
    ///
    /// # Errors
    /// If it is not compiled in, or does not answer.
    pub fn open(self) -> Result<Device, DeviceError> {
        self.device.ready()
    }
}
