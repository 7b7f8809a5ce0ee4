//! Memory stays flat while the data grow tenfold: ranges of a long session, and a run over many sessions.
//!
//! Peaks are measured in processes of their own, since memory that was once taken counts for good; `cargo test --release -p
//! neurobrick-ingest --test memory -- --nocapture` prints them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;
use std::process::Command;

use neurobrick_ingest::{IngestOptions, ingest};
use neurobrick_schema::{
    Activity, Card, Consent, DatasetId, Recording, SessionId, SessionInfo, Spikes, Store, SubjectId, Trials,
    Unit,
};

/// Says what a process of its own does, and where.
const TASK: &str = "NEUROBRICK_MEMORY_TASK";
/// What ten times as much data may take beyond; the tenfold file alone has nine times 18 MB more.
const MAX_GROWTH_KIB: u64 = 12 << 10;

/// Highest memory of a process that does `task`, in KiB.
fn peak_kib(task: &str, folder: &Path) -> u64 {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_task_of_its_own", "--nocapture", "--test-threads=1"])
        .env(TASK, format!("{task} {}", folder.display()))
        // Else memory depends on how many processors there are.
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{task}: {said}");
    let peak = said.lines().find_map(|line| line.strip_prefix("peak "));
    peak.unwrap_or_else(|| unreachable!("{task}: {said}")).parse().unwrap()
}

#[test]
fn a_task_of_its_own() {
    let Ok(task) = std::env::var(TASK) else { return };
    let (task, folder) = task.split_once(' ').unwrap();
    let folder = Path::new(folder);
    match task {
        "windows" => windows(folder),
        "whole" => drop(Store::open(folder).unwrap().read(&SessionId::new("long").unwrap()).unwrap()),
        "ingest" => {
            let store = Store::create(folder.join("store")).unwrap();
            let summary =
                ingest(&[folder.join("in")], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
            assert!(summary.is_complete() && !summary.written.is_empty(), "{summary:?}");
        }
        _ => unreachable!("{task}"),
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    say(&format!("peak {}", peak.trim().trim_end_matches(" kB")));
}

fn say(line: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes()).unwrap();
}

/// A hundred windows of a second from all over the session, and then all of it batch by batch.
fn windows(folder: &Path) {
    let file = Store::open(folder).unwrap().spike_file(&SessionId::new("long").unwrap()).unwrap();
    let last_s = f64::from(u32::try_from(file.n_spikes()).unwrap()) * 1e-3;
    let mut n_spikes = 0;
    for window in 0..100 {
        let start_s = last_s * f64::from(window) / 100.0;
        n_spikes += file.read_between(start_s, start_s + 1.0, None).unwrap().len();
    }
    assert!((99_000..=100_100).contains(&n_spikes), "{n_spikes}");
    let batches = file.between(f64::NEG_INFINITY, f64::INFINITY, None).unwrap();
    let n_spikes: usize = batches.map(|batch| batch.unwrap().len()).sum();
    assert_eq!(n_spikes as u64, file.n_spikes());
}

/// A spike of some unit every millisecond.
fn long_session(folder: &Path, n_spikes: u32) {
    let card = Card {
        source: "made for a test".into(),
        citation: String::new(),
        license: "CC0-1.0".into(),
        species: None,
        consent: Consent::NonHuman,
        ethics: None,
        changes: Vec::new(),
        source_files: Vec::new(),
        notes: None,
    };
    let info = SessionInfo {
        session: SessionId::new("long").unwrap(),
        subject: SubjectId::new("nobody").unwrap(),
        dataset: DatasetId::new("made").unwrap(),
        card,
    };
    let unit = |unit: u32| Unit { id: unit.to_string(), region: "CA1".into(), depth_um: None, quality: None };
    let times_s = (0..n_spikes).map(|spike| f64::from(spike) * 1e-3).collect();
    let spikes = Spikes::new(times_s, (0..n_spikes).map(|spike| spike % 7).collect()).unwrap();
    let units = (0..7).map(unit).collect();
    let recording = Recording::new(info, units, Activity::Spikes(spikes), Trials::default()).unwrap();
    Store::create(folder).unwrap().write(&recording).unwrap();
}

#[test]
fn windows_of_a_session_ten_times_as_long_take_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (short, long) = (folder.path().join("short"), folder.path().join("long"));
    long_session(&short, 1_500_000);
    long_session(&long, 15_000_000);
    let (one, ten) = (peak_kib("windows", &short), peak_kib("windows", &long));
    say(&format!("windows: {one} KiB, of a session ten times as long {ten} KiB"));
    assert!(ten <= one + MAX_GROWTH_KIB, "{one} KiB, and {ten} KiB for ten times as many spikes");
    // Reading all of it at once does take more, so that the measure is one.
    let (one, ten) = (peak_kib("whole", &short), peak_kib("whole", &long));
    say(&format!("read whole: {one} KiB, ten times as long {ten} KiB"));
    assert!(ten > one + 10 * MAX_GROWTH_KIB, "{one} KiB, and {ten} KiB for ten times as many spikes");
}

#[test]
fn a_run_over_ten_times_as_many_sessions_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let times_s: Vec<f64> = (0..200_000).map(|spike| f64::from(spike) * 1e-3).collect();
    let peaks = [2, 20].map(|n_sessions| {
        let folder = folder.path().join(n_sessions.to_string());
        let top = foreign::alf_folder(&folder.join("in"));
        let day = top.join("Ada/2024-05-06");
        foreign::write_probe(&day.join("001/alf/probe00"), &times_s);
        for session in 2..=n_sessions {
            let alf = day.join(format!("{session:03}/alf"));
            foreign::write_probe(&alf.join("probe00"), &times_s);
            foreign::parquet(&alf.join("_ibl_trials.table.pqt"), foreign::trials_columns());
        }
        peak_kib("ingest", &folder)
    });
    say(&format!("ingest: {} KiB, of ten times as many sessions {} KiB", peaks[0], peaks[1]));
    assert!(peaks[1] <= peaks[0] + MAX_GROWTH_KIB, "{peaks:?} KiB for 2 sessions and for 20");
}
