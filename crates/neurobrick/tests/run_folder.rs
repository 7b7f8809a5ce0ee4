//! Folders of runs: whose they are, and what a stop in the middle leaves behind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;

use neurobrick::{PipelineError, RunFolder};

#[test]
fn a_foreign_lock_does_not_make_a_folder_a_run() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data.csv"), "1").unwrap();
    for content in ["", "held by somebody else"] {
        fs::write(folder.path().join("lock"), content).unwrap();
        let error = RunFolder::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("holds other files"), "{error}");
        assert_eq!(fs::read_to_string(folder.path().join("lock")).unwrap(), content);
    }
    // A run that was stopped before it wrote anything else is one, even before it marked its lock.
    let own = tempfile::tempdir().unwrap();
    fs::write(own.path().join("lock"), "").unwrap();
    drop(RunFolder::open(own.path()).unwrap());
    drop(RunFolder::open(own.path()).unwrap());
    let held = RunFolder::open(own.path()).unwrap();
    assert!(matches!(RunFolder::open(own.path()), Err(PipelineError::Locked { .. })));
    drop(held);
}

#[test]
fn what_a_stopped_process_left_is_put_right() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    let (model, checkpoints) = (run.model(), run.checkpoints());
    drop(run);
    let names = |path: &std::path::Path| {
        let names = fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    // Between the two renames that put a model in place of an older one; and in the middle of a checkpoint.
    let other = u32::MAX;
    fs::create_dir_all(folder.path().join(format!(".old-model-{other}-0"))).unwrap();
    fs::write(folder.path().join(format!(".old-model-{other}-0/weights")), "w").unwrap();
    fs::create_dir_all(checkpoints.join(format!(".tmp-step-000100-{other}-3"))).unwrap();
    fs::create_dir_all(checkpoints.join("step-000050")).unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    assert_eq!(fs::read_to_string(model.join("weights")).unwrap(), "w");
    assert_eq!(names(run.path()), ["checkpoints", "lock", "model"]);
    assert_eq!(names(&checkpoints), ["step-000050"]);
}

#[test]
fn settings_that_led_to_nothing_are_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::open(folder.path()).unwrap();
    let settings = |max_lr: f64| std::collections::BTreeMap::from([("max_lr", max_lr)]);
    run.settle_config(&settings(1.0)).unwrap();
    fs::write(folder.path().join("data.json"), "[]").unwrap();
    fs::create_dir(run.checkpoints()).unwrap();
    assert_eq!(run.settle_config(&settings(0.1)).unwrap(), "max_lr = 0.1\n");
    assert!(!folder.path().join("data.json").exists());
    fs::create_dir(run.checkpoints().join("step-000010")).unwrap();
    assert!(matches!(run.settle_config(&settings(1.0)), Err(PipelineError::OtherRun { .. })));
    fs::remove_dir(run.checkpoints().join("step-000010")).unwrap();
    fs::write(folder.path().join("metrics.json"), "{}").unwrap();
    assert!(matches!(run.settle_config(&settings(1.0)), Err(PipelineError::OtherRun { .. })));
}
