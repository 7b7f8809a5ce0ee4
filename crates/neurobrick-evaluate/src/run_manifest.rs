//! The record behind every number of a run: code, seed, machine, data, times.

use std::fs;

use neurobrick_core::ComputeDevice;
use neurobrick_schema::SessionId;
use serde::{Deserialize, Serialize};

use crate::Compute;

/// Hash of a session's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionHash {
    /// The session.
    pub session: SessionId,
    /// BLAKE3 of its manifest in the store.
    pub blake3: String,
}

/// The code that computed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodeVersion {
    /// Version of neurobrick.
    pub version: String,
    /// Commit of the working copy that it was built in, as that is when a run begins, with `+` if it has changes; none
    /// outside of one.
    pub commit: Option<String>,
    /// The device that models were computed on; none for the processor by Flex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

impl CodeVersion {
    /// Of this program, by the working copy as it is now, on a device.
    pub fn current(device: ComputeDevice) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: git_commit(),
            device: (device != ComputeDevice::Flex).then(|| device.description()),
        }
    }
}

/// What a run was made from and on: the record behind every number quoted from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunManifest {
    /// Version of this file's format.
    pub format_version: u32,
    /// The command, as typed.
    pub command: String,
    /// Version of neurobrick.
    pub version: String,
    /// Commit of the working copy that neurobrick was built in, as that is when a run begins; none outside of one.
    pub commit: Option<String>,
    /// Other code that computed results in this folder, which this run went on from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_code: Vec<CodeVersion>,
    /// Seed of every random choice.
    pub seed: u64,
    /// Device.
    pub device: String,
    /// Processor features that change last bits.
    pub cpu_features: Vec<String>,
    /// Threads used.
    pub n_threads: usize,
    /// Data the run read.
    pub data: Vec<SessionHash>,
    /// Wall time of every stage, in seconds.
    pub stages: Vec<(String, f64)>,
    /// Largest resident memory of the process in bytes, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

impl RunManifest {
    /// A manifest of this process and machine.
    pub fn new(command: &str, seed: u64, compute: Compute, data: Vec<SessionHash>) -> Self {
        let CodeVersion { version, commit, .. } = CodeVersion::current(compute.device);
        Self {
            format_version: 1,
            command: command.to_owned(),
            version,
            commit,
            earlier_code: Vec::new(),
            seed,
            device: compute.device.description(),
            cpu_features: cpu_features(),
            n_threads: compute.n_threads,
            data,
            stages: Vec::new(),
            peak_memory_bytes: peak_memory_bytes(),
        }
    }

    /// What to tell of results that other code computed, if there are any.
    pub fn note_on_code(&self) -> Option<String> {
        let names = self.earlier_code.iter().map(|code| {
            let commit = code.commit.as_ref().map_or_else(String::new, |commit| format!(" ({commit})"));
            let device = code.device.as_ref().map_or_else(String::new, |device| format!(" on {device}"));
            format!("{}{commit}{device}", code.version)
        });
        let names: Vec<String> = names.collect();
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            format!(
                "results of other code or devices are kept: {names}; a new folder computes all with this one"
            )
        })
    }
}

/// Largest resident memory of this process in bytes; `None` where `/proc` does not tell.
pub fn peak_memory_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The commit of the working copy that this crate was built from, with `+` if it has changes. The folder that a program is
/// started in may be another repository.
fn git_commit() -> Option<String> {
    let git = |args: &[&str]| {
        let mut command = std::process::Command::new("git");
        let output = command.arg("-C").arg(env!("CARGO_MANIFEST_DIR")).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // A crate that a package manager unpacked may lie inside some repository, which does not know it.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    let commit = git(&["rev-parse", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|s| !s.is_empty());
    Some(if changed { format!("{commit}+") } else { commit })
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<String> {
    let known = [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
    ];
    known.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<String> {
    vec![std::env::consts::ARCH.to_owned()]
}
