//! A run that is killed and resumed ends with the bits of one that was never stopped, on any number of threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn xtask(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(args).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn succeed(args: &[&str]) {
    let output = xtask(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder with the smallest real session, ingested, and a configuration of a short run on it.
fn prepare(folder: &Path) -> PathBuf {
    let recordings =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recordings/steinmetz2019-binned");
    let source = folder.join("recordings");
    fs::create_dir_all(&source).unwrap();
    for entry in fs::read_dir(&recordings).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("session16") || name.starts_with("dataset") {
            fs::copy(&path, source.join(&name)).unwrap();
        }
    }
    let listed = fs::read_to_string(recordings.join("sessions.csv")).unwrap();
    let kept: Vec<&str> =
        listed.lines().filter(|l| l.starts_with("file") || l.starts_with("session16")).collect();
    fs::write(source.join("sessions.csv"), kept.join("\n") + "\n").unwrap();
    let store = folder.join("store");
    succeed(&["ingest", source.to_str().unwrap(), "--store", store.to_str().unwrap()]);
    let config = folder.join("pretrain.toml");
    let store = store.display();
    let text = format!(
        r#"
seed = 7
[data]
store = "{store}"
window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.02 }}
[model]
kind = "ndt_stitch"
n_bins = 20
d_stitch = 16
d_embed = 32
d_model = 16
n_layers = 2
n_heads = 2
d_mlp = 32
dropout_embed = 0.2
dropout = 0.3
[train]
n_steps = 60
valid_every = 20
checkpoint_every = 4
clip_norm = 1.0
schedule = {{ max_lr = 1e-3 }}
"#
    );
    fs::write(&config, text).unwrap();
    config
}

fn pretrain(config: &Path, out: &Path, threads: &str) -> Command {
    xtask(&["pretrain", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--threads", threads])
}

/// Waits for the run in `out` to reach a checkpoint beyond `step`, then kills it with SIGKILL.
fn kill_after(mut child: std::process::Child, out: &Path, step: u64) {
    let started = Instant::now();
    loop {
        let newest = fs::read_dir(out.join("checkpoints"))
            .map(|entries| {
                entries
                    .filter_map(|e| e.ok()?.file_name().to_str()?.strip_prefix("step-")?.parse::<u64>().ok())
                    .max()
            })
            .ok()
            .flatten();
        if newest.is_some_and(|n| n > step) {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be killed");
        assert!(started.elapsed() < Duration::from_mins(2), "no checkpoint within two minutes");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn killed_and_resumed_equals_never_stopped_on_one_thread_and_two() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    let result = |out: &Path| {
        let read = |name: &str| fs::read(out.join(name)).unwrap();
        (read("model/weights.safetensors"), read("metrics.jsonl"))
    };

    let whole = folder.path().join("whole");
    assert!(pretrain(&config, &whole, "1").status().unwrap().success());
    let two_threads = folder.path().join("two_threads");
    assert!(pretrain(&config, &two_threads, "2").status().unwrap().success());
    assert!(result(&whole) == result(&two_threads), "two threads gave other bits than one");

    let killed = folder.path().join("killed");
    kill_after(pretrain(&config, &killed, "2").spawn().unwrap(), &killed, 7);
    assert!(!killed.join("model").exists(), "the run was to be killed in the middle");
    kill_after(pretrain(&config, &killed, "1").spawn().unwrap(), &killed, 31);
    assert!(pretrain(&config, &killed, "2").status().unwrap().success());
    assert!(result(&whole) == result(&killed), "the resumed run ended with other bits");
}

#[test]
fn a_folder_in_use_or_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = prepare(folder.path());
    let out = folder.path().join("run");
    let mut first = pretrain(&config, &out, "1").spawn().unwrap();
    while !out.join("run.toml").exists() {
        assert!(first.try_wait().unwrap().is_none(), "the first run ended early");
        std::thread::sleep(Duration::from_millis(1));
    }
    let second = pretrain(&config, &out, "1").output().unwrap();
    assert_eq!(second.status.code(), Some(75), "{}", String::from_utf8_lossy(&second.stderr));
    // Settings that led to nothing may be written over; a checkpoint is something.
    let is_checkpoint = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("step-");
    let has_checkpoint = || {
        fs::read_dir(out.join("checkpoints"))
            .is_ok_and(|entries| entries.filter_map(Result::ok).any(is_checkpoint))
    };
    while !has_checkpoint() && first.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = first.kill();
    first.wait().unwrap();

    let other = folder.path().join("other.toml");
    fs::write(&other, fs::read_to_string(&config).unwrap().replace("seed = 7", "seed = 8")).unwrap();
    let third = pretrain(&other, &out, "1").output().unwrap();
    assert_eq!(third.status.code(), Some(2), "{}", String::from_utf8_lossy(&third.stderr));

    let misspelled = folder.path().join("misspelled.toml");
    fs::write(&misspelled, fs::read_to_string(&config).unwrap().replace("n_steps", "nsteps")).unwrap();
    let fourth = pretrain(&misspelled, &folder.path().join("never"), "1").output().unwrap();
    let message = String::from_utf8_lossy(&fourth.stderr).into_owned();
    assert_eq!(fourth.status.code(), Some(2), "{message}");
    assert!(message.contains("did you mean `n_steps`?"), "{message}");
    assert!(!folder.path().join("never").exists(), "a refused run must leave nothing behind");
}
