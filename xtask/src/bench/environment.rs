//! The Python environment of the peers: made once under `target/bench`, with pinned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{BenchFailure, create_folder};
use crate::screen::say;

/// The program that speaks for PyTorch, from the root of the repository.
const PROGRAM: &str = "benches/peers/pytorch_side.py";
/// What it needs.
const REQUIREMENTS: &str = "benches/peers/requirements.txt";

/// Interpreter, program and folder for files.
pub(crate) struct PeerEnvironment {
    pub(crate) python: PathBuf,
    pub(super) program: PathBuf,
    /// Where material files go.
    pub(super) folder: PathBuf,
}

impl PeerEnvironment {
    /// The environment, made if it is not there or its requirements have changed. A given `python` is used as it is.
    pub(crate) fn ready(root: &Path, python: Option<&Path>) -> Result<Self, BenchFailure> {
        let folder = root.join("target/bench");
        create_folder(&folder)?;
        let python = match python {
            Some(given) => given.to_owned(),
            None => own_python(&folder.join("venv"), &root.join(REQUIREMENTS))?,
        };
        Ok(Self { python, program: root.join(PROGRAM), folder })
    }
}

/// The interpreter of a virtual environment that has what `requirements` lists.
fn own_python(venv: &Path, requirements: &Path) -> Result<PathBuf, BenchFailure> {
    let python = venv.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    if is_current(venv, requirements)? {
        return Ok(python);
    }
    say(&format!(
        "making the peers' Python environment in {} from {}; once, some minutes, PyTorch is large",
        venv.display(),
        requirements.display()
    ));
    let system = PathBuf::from(if cfg!(windows) { "python" } else { "python3" });
    run("making a virtual environment", Command::new(&system).args(["-m", "venv", "--clear"]).arg(venv))?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    run("installing the peers with pip", install.arg(requirements))?;
    // Last, so that a broken-off installation is made again.
    fs::copy(requirements, marker(venv)).map_err(io_failure("write", &marker(venv)))?;
    Ok(python)
}

/// The requirements an environment was made from.
fn marker(venv: &Path) -> PathBuf {
    venv.join("installed.txt")
}

fn is_current(venv: &Path, requirements: &Path) -> Result<bool, BenchFailure> {
    let wanted = fs::read(requirements).map_err(io_failure("read", requirements))?;
    Ok(fs::read(marker(venv)).is_ok_and(|installed| installed == wanted))
}

fn io_failure(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BenchFailure {
    let path = path.to_owned();
    move |source| BenchFailure::Io { action, path, source }
}

fn run(what: &str, command: &mut Command) -> Result<(), BenchFailure> {
    let status = command
        .status()
        .map_err(|source| BenchFailure::Start { program: command.get_program().into(), source })?;
    if status.success() { Ok(()) } else { Err(BenchFailure::Failed { what: what.to_owned() }) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing set-up should stop the test")]
    use super::*;

    #[test]
    fn an_environment_is_current_while_its_requirements_are() {
        let folder = tempfile::tempdir().unwrap();
        let (venv, requirements) = (folder.path().join("venv"), folder.path().join("requirements.txt"));
        assert!(is_current(&venv, &requirements).is_err(), "requirements must be there");
        fs::write(&requirements, "torch==1\n").unwrap();
        assert!(!is_current(&venv, &requirements).unwrap());
        fs::create_dir(&venv).unwrap();
        fs::copy(&requirements, marker(&venv)).unwrap();
        assert!(is_current(&venv, &requirements).unwrap());
        fs::write(&requirements, "torch==2\n").unwrap();
        assert!(!is_current(&venv, &requirements).unwrap());
    }
}
