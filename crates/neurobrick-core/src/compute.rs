//! Which backend computes, by name.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use burn::tensor::{Device, Tensor};

/// A backend and device that models can run on: what `--device` and manifests name.
///
/// Flex, on the processor, is always compiled; the others are features of the same names. Models, losses and optimizers are the
/// same expressions everywhere; on Flex fused kernels take the place of some. Results of two backends differ by rounding.
///
/// ```
/// use neurobrick_core::ComputeDevice;
///
/// let device: ComputeDevice = "flex".parse()?;
/// assert!(device.open()? == burn::tensor::Device::flex());
/// assert_eq!("cuda:1".parse::<ComputeDevice>()?, ComputeDevice::Cuda(1));
/// # Ok::<(), neurobrick_core::DeviceError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ComputeDevice {
    /// Burn's Flex on the processor, with the fused kernels of this project.
    #[default]
    Flex,
    /// `LibTorch` on the processor.
    Tch,
    /// A graphics processor through Vulkan, the one that the driver puts first.
    Vulkan,
    /// A graphics processor through whichever interface it has: Vulkan, Metal or DirectX.
    Wgpu,
    /// The CUDA device of this number.
    Cuda(usize),
}

/// Why a device cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No device has this name.
    #[error(
        "there is no device `{name}`; name one of flex, tch, vulkan, wgpu, cuda, or cuda:1 for the second of several"
    )]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The program was built without this backend.
    #[error(
        "this program was built without `{feature}`; build it with `--features {feature}`, or take one of: {compiled}"
    )]
    NotCompiled {
        /// The feature that is missing.
        feature: &'static str,
        /// Devices that can be had.
        compiled: String,
    },
    /// The device does not answer: there is no such processor, or no driver for it.
    #[error(
        "device `{device}` does not answer ({reason}); is there such a processor with its driver? `flex` needs none"
    )]
    Unavailable {
        /// The device.
        device: String,
        /// What happened instead.
        reason: String,
    },
}

impl ComputeDevice {
    /// The devices of this program, the first of each kind.
    pub fn compiled() -> Vec<Self> {
        let all = [Self::Flex, Self::Tch, Self::Vulkan, Self::Wgpu, Self::Cuda(0)];
        all.into_iter().filter(|device| device.is_compiled()).collect()
    }

    /// The feature that compiles its backend.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Flex => "flex",
            Self::Tch => "tch",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::Cuda(_) => "cuda",
        }
    }

    /// Whether it computes all functions of double precision numbers in double precision. Graphics interfaces do not: their
    /// shaders have no such exponentials and logarithms.
    pub fn has_double_precision(self) -> bool {
        match self {
            Self::Flex | Self::Tch | Self::Cuda(_) => true,
            Self::Vulkan | Self::Wgpu => false,
        }
    }

    /// What it is, for people.
    pub fn description(self) -> String {
        match self {
            Self::Flex => "CPU (Flex)".to_owned(),
            Self::Tch => "CPU (LibTorch)".to_owned(),
            Self::Vulkan => "graphics processor (Vulkan)".to_owned(),
            Self::Wgpu => "graphics processor (wgpu)".to_owned(),
            Self::Cuda(index) => format!("graphics processor {index} (CUDA)"),
        }
    }

    /// Whether work on `device` may be dealt to threads, as on a processor's. Graphics devices keep the order of what one thread
    /// asks for only.
    pub fn is_shared_by_threads(device: &Device) -> bool {
        // Devices compare equal with and without autodiff.
        let threaded = Self::compiled().into_iter().filter(|known| matches!(known, Self::Flex | Self::Tch));
        threaded.filter_map(|known| known.open().ok()).any(|known| known == *device)
    }

    fn is_compiled(self) -> bool {
        match self {
            Self::Flex => true,
            Self::Tch => cfg!(feature = "tch"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
        }
    }

    /// [`open`](Self::open), and asks it to add, so that a missing driver is found now and as an error. It computes in the precision
    /// that it has from then on.
    ///
    /// # Errors
    /// If its backend is not compiled in, or it does not answer.
    pub fn ready(self) -> Result<Device, DeviceError> {
        let device = self.open()?;
        if self != Self::Flex {
            let ask = || {
                let ones = Tensor::<1>::from_data([1.0f32], &device);
                (ones.clone() + ones).into_data().iter::<f32>().next()
            };
            answers(ask).map_err(|reason| DeviceError::Unavailable { device: self.to_string(), reason })?;
        }
        Ok(device)
    }

    /// The device, for tensors without gradients.
    ///
    /// # Errors
    /// If its backend is not compiled in. Drivers are asked when the first tensor is made: Burn panics if there is none.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "tch")]
            #[expect(deprecated, reason = "the backend that later versions of Burn drop")]
            Self::Tch => Ok(Device::libtorch()),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => Ok(Device::vulkan(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Ok(Device::cuda(index)),
            #[cfg(not(all(feature = "tch", feature = "vulkan", feature = "wgpu", feature = "cuda")))]
            missing => {
                let compiled: Vec<String> = Self::compiled().iter().map(Self::to_string).collect();
                Err(DeviceError::NotCompiled { feature: missing.feature(), compiled: compiled.join(", ") })
            }
        }
    }
}

/// Whether what was asked for one and one says two; otherwise what it does instead. Burn panics where a driver is missing.
fn answers(ask: impl FnOnce() -> Option<f32>) -> Result<(), String> {
    match catch_unwind(AssertUnwindSafe(ask)) {
        Ok(Some(2.0)) => Ok(()),
        Ok(other) => Err(format!("to one and one it says {other:?}")),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(text.unwrap_or("its backend panicked").to_owned())
        }
    }
}

impl FromStr for ComputeDevice {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown { name: name.to_owned() };
        Ok(match name {
            "flex" => Self::Flex,
            "tch" => Self::Tch,
            "vulkan" => Self::Vulkan,
            "wgpu" => Self::Wgpu,
            "cuda" => Self::Cuda(0),
            _ => Self::Cuda(name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).ok_or_else(unknown)?),
        })
    }
}

impl fmt::Display for ComputeDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            other => f.write_str(other.feature()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [ComputeDevice::Flex, ComputeDevice::Tch, ComputeDevice::Wgpu, ComputeDevice::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        for name in ["", "gpu", "cuda:", "cuda:-1", "flex:0"] {
            let error = name.parse::<ComputeDevice>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")));
        }
    }

    #[test]
    fn a_device_that_does_not_answer_is_an_error() {
        assert_eq!(answers(|| Some(2.0)), Ok(()));
        assert!(answers(|| Some(3.0)).unwrap_err().contains('3'));
        assert_eq!(answers(|| panic!("no driver")), Err("no driver".to_owned()));
        let number = 7;
        assert_eq!(answers(|| panic!("no device {number}")), Err("no device 7".to_owned()));
        assert!(ComputeDevice::Flex.ready().is_ok());
    }

    #[test]
    fn only_compiled_devices_are_opened() {
        for device in [ComputeDevice::Flex, ComputeDevice::Tch, ComputeDevice::Vulkan, ComputeDevice::Cuda(0)]
        {
            assert_eq!(device.open().is_ok(), ComputeDevice::compiled().contains(&device), "{device}");
        }
        #[cfg(not(feature = "cuda"))]
        assert!(ComputeDevice::Cuda(0).open().unwrap_err().to_string().contains("--features cuda"));
    }
}
