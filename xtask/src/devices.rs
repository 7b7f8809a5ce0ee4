//! The verb `test --device`: bricks, models and training on another backend, by the references and laws they are held to
//! everywhere.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use neurobrick::core::ComputeDevice;

use crate::bench::{BenchFailure, PeerEnvironment};

/// Crates whose tests ask for their device.
const CRATES: [&str; 6] = [
    "neurobrick-core",
    "neurobrick-tokenize",
    "neurobrick-nn",
    "neurobrick-models",
    "neurobrick-train",
    "neurobrick-testkit",
];
/// Those tests of the facade that do.
const FACADE: [&str; 9] = [
    "golden_models_f32",
    "golden_models_f64",
    "golden_training_f32",
    "golden_training_f64",
    "learning",
    "neds",
    "pipeline",
    "poyo",
    "weights",
];
/// Names the device to the tests; `neurobrick_testkit::DEVICE_VARIABLE`.
const VARIABLE: &str = "NEUROBRICK_DEVICE";

/// The two runs of cargo, with an environment in which the backend can be built and found.
pub(crate) fn commands(
    root: &Path,
    cargo: &Path,
    device: ComputeDevice,
) -> Result<[Command; 2], BenchFailure> {
    let mut environment: Vec<(&str, OsString)> = vec![(VARIABLE, device.to_string().into())];
    if device == ComputeDevice::Tch {
        environment.extend(libtorch(&PeerEnvironment::ready(root, None)?.python)?);
    }
    let run = || {
        let mut command = Command::new(cargo);
        command.args(["test", "--locked", "--release", "--no-fail-fast", "--features", device.feature()]);
        command.current_dir(root).envs(environment.iter().cloned());
        command
    };
    let (mut crates, mut facade) = (run(), run());
    crates.args(CRATES.iter().flat_map(|name| ["-p", name]));
    facade.args(["-p", "neurobrick"]).args(FACADE.iter().flat_map(|name| ["--test", name]));
    Ok([crates, facade])
}

/// What makes `torch-sys` build against, and programs find, the libtorch inside PyTorch's wheel, which is the same in a patch
/// release.
fn libtorch(python: &Path) -> Result<Vec<(&'static str, OsString)>, BenchFailure> {
    let bin = python.parent().unwrap_or(Path::new("."));
    let program = "import os, torch; print(os.path.join(os.path.dirname(torch.__file__), 'lib'))";
    let answer = Command::new(python).args(["-c", program]).output();
    let answer = answer.map_err(|source| BenchFailure::Start { program: python.to_owned(), source })?;
    let lib = PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim());
    if !answer.status.success() || !lib.is_dir() {
        let complaint = String::from_utf8_lossy(&answer.stderr);
        let what = format!("finding libtorch by {} ({})", python.display(), complaint.trim());
        return Err(BenchFailure::Failed { what });
    }
    let library_path = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    Ok(vec![
        ("VIRTUAL_ENV", bin.parent().unwrap_or(bin).into()),
        ("PATH", in_front(bin, "PATH")),
        ("LIBTORCH_USE_PYTORCH", "1".into()),
        ("LIBTORCH_BYPASS_VERSION_CHECK", "1".into()),
        (library_path, in_front(&lib, library_path)),
    ])
}

/// The paths of an environment variable with one more before them.
fn in_front(folder: &Path, variable: &str) -> OsString {
    let earlier = env::var_os(variable).unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(env::split_paths(&earlier));
    // A path with a separator in it cannot be listed; without it the build says what it misses.
    env::join_paths(all).unwrap_or(earlier)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn tests_are_told_their_device_and_built_with_its_backend() {
        let commands = commands(Path::new("."), Path::new("cargo"), ComputeDevice::Cuda(1)).unwrap();
        for command in &commands {
            let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
            assert!(args.windows(2).any(|pair| pair == ["--features", "cuda"]), "{args:?}");
            let told = command.get_envs().find(|(name, _)| *name == VARIABLE).unwrap().1.unwrap();
            assert_eq!(told, "cuda:1");
        }
    }

    #[test]
    fn a_folder_is_searched_first() {
        let joined = in_front(Path::new("first"), "PATH");
        assert_eq!(env::split_paths(&joined).next().unwrap(), Path::new("first"));
        assert!(env::split_paths(&joined).count() > 1);
    }
}
