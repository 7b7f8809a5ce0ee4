//! The transfer protocol on two real sessions and a tiny model: what it finds, that it goes on, what it refuses.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::path::Path;

use neurobrick::PipelineError;
use neurobrick::config::{TransferConfig, parse_toml};
use neurobrick::pipeline::{self, Silent};
use neurobrick_train::EvalTask;

const FIRST: &str = "session14_Lederberg_2017-12-07";
const SECOND: &str = "session01_Cori_2016-12-14";

fn config() -> TransferConfig {
    let recordings = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/recordings/steinmetz2019-binned");
    let train = "n_steps = 10\nvalid_every = 5\ncheckpoint_every = 10\n";
    let text = format!(
        "seeds = [3]\nrecordings = [\"{recordings}\"]\ngroups = [[\"{FIRST}\"], [\"{SECOND}\"]]\ncalibration = [12]\n\
         window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }}\n\
         [model]\nkind = \"ndt_stitch\"\nn_bins = 10\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\n\
         n_heads = 2\nd_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n\
         [pretrain]\n{train}[finetune]\n{train}[from_scratch]\n{train}\
         [scoring]\ntasks = [\"co_smoothing_group\", \"forward_prediction\"]\nn_resamples = 100\n"
    );
    parse_toml("transfer", &text).unwrap()
}

fn run(config: &TransferConfig, out: &Path) -> Result<neurobrick::evaluation::TransferResult, PipelineError> {
    pipeline::transfer(config, out, "test", 2, &mut Silent)
}

#[test]
fn every_session_is_met_once_and_a_finished_run_is_read_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("transfer");
    let found = run(&config(), &out).unwrap();

    for calibration in [Some(12), None] {
        for task in [EvalTask::CoSmoothingGroup, EvalTask::ForwardPrediction] {
            for predictor in
                ["fine_tuned", "from_scratch", "fine_tuned+linear", "from_scratch+linear", "unit_mean"]
            {
                let (mean, n) = found.mean(calibration, task, predictor).unwrap();
                assert!(mean.is_finite() && n == 2, "{calibration:?} {task:?} {predictor}: {mean} of {n}");
            }
        }
        // More is known of hidden units from others than from their means, with all trials at least.
        if calibration.is_none() {
            let score = |name| found.mean(None, EvalTask::CoSmoothingGroup, name).unwrap().0;
            assert!(score("factors_wiener") > score("unit_mean") + 0.1);
            assert!(
                score("fine_tuned+linear") > score("fine_tuned") + 0.1,
                "ten steps teach next to nothing"
            );
        }
    }
    let few = found.mean(Some(12), EvalTask::CoSmoothingGroup, "factors_wiener").unwrap().0;
    let all = found.mean(None, EvalTask::CoSmoothingGroup, "factors_wiener").unwrap().0;
    assert!(few < all, "{few} from 12 trials, {all} from all");

    let gain = found.gains.iter().find(|g| g.left == "fine_tuned+linear" && g.right == "unit_mean").unwrap();
    let difference = |g: &neurobrick::evaluation::TransferGain| {
        found.mean(g.calibration, g.task, &g.left).unwrap().0
            - found.mean(g.calibration, g.task, &g.right).unwrap().0
    };
    assert!((gain.mean - difference(gain)).abs() < 1e-12);
    assert!(gain.n_sessions == 2 && gain.interval.lo <= gain.mean && gain.mean <= gain.interval.hi);
    let text = fs::read_to_string(out.join("transfer.md")).unwrap();
    assert!(
        text.contains("## 12 calibration trials") && text.contains("| fine_tuned+linear − unit_mean |"),
        "{text}"
    );

    // Weights of the first run are gone; scores that are there need none.
    fs::remove_dir_all(out.join("seed-3/without-group-0/pretrain")).unwrap();
    assert_eq!(run(&config(), &out).unwrap(), found);
    assert!(!out.join("seed-3/without-group-0/pretrain").exists());
}

#[test]
fn what_would_not_be_a_transfer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |change: fn(&mut TransferConfig)| {
        let mut changed = config();
        change(&mut changed);
        let error = run(&changed, &folder.path().join("never")).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert!(refusal(|c| c.groups[1] = c.groups[0].clone()).contains("listed twice"));
    assert!(refusal(|c| c.groups.truncate(1)).contains("two groups"));
    assert!(refusal(|c| c.calibration = vec![1]).contains("`calibration`"));
    assert!(refusal(|c| c.seeds.clear()).contains("`seeds`"));
    assert!(refusal(|c| c.split.max_calibration = Some(9)).contains("max_calibration"));
    assert!(!folder.path().join("never").exists());
}
