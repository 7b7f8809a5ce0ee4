//! The transfer protocol on two real sessions and a tiny model: what it finds, that it goes on, what it refuses.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use neurobrick::config::{EvaluateConfig, RivalConfig, StackConfig, TransferConfig, parse_toml};
use neurobrick::core::ComputeDevice;
use neurobrick::data::{BlockConfig, SplitOrder};
use neurobrick::evaluation::{AblationScore, SharedStack, TransferScore};
use neurobrick::pipeline::{self, Silent};
use neurobrick::{Compute, PipelineError};
use neurobrick_train::{EvalTask, TrainConfig};

const FIRST: &str = "session14_Lederberg_2017-12-07";
const SECOND: &str = "session01_Cori_2016-12-14";

/// With all trials; with few, there are those without a network.
const PREDICTORS: [&str; 7] = [
    "fine_tuned+stack",
    "stack",
    "fine_tuned",
    "from_scratch",
    "fine_tuned+linear",
    "from_scratch+linear",
    "unit_mean",
];

fn config() -> TransferConfig {
    let recordings = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/recordings/steinmetz2019-binned");
    let train = "n_steps = 10\nvalid_every = 5\ncheckpoint_every = 10\n";
    let text = format!(
        "seeds = [3]\nrecordings = [\"{recordings}\"]\ngroups = [[\"{FIRST}\"], [\"{SECOND}\"]]\ncalibration = [12]\npretraining_sessions = [1]\n\
         window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }}\n\
         [stack]\ncalibration = [9, 24]\nmax_trials = 16\nmax_units = 40\n\
         [[ablations]]\nname = \"whole\"\n[[ablations]]\nname = \"plain\"\nwithout = [\"products\"]\npenalty = 100.0\n\
         [network]\ncalibration = []\n[network.model]\nkind = \"ndt_stitch\"\nn_bins = 10\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\n\
         n_heads = 2\nd_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n\
         [network.pretrain]\n{train}[network.finetune]\n{train}[network.from_scratch]\n{train}\
         [scoring]\ntasks = [\"co_smoothing_group\", \"forward_prediction\"]\nn_resamples = 100\n"
    );
    parse_toml("transfer", &text).unwrap()
}

fn run(config: &TransferConfig, out: &Path) -> Result<neurobrick::evaluation::TransferResult, PipelineError> {
    pipeline::transfer(config, out, "test", Compute::threads(2), &mut Silent)
}

#[test]
fn every_session_is_met_once_and_a_finished_run_is_read_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("transfer");
    let found = run(&config(), &out).unwrap();

    for calibration in [Some(12), None] {
        for task in [EvalTask::CoSmoothingGroup, EvalTask::ForwardPrediction] {
            for predictor in PREDICTORS
                .iter()
                .filter(|p| calibration.is_none() || !p.contains("_tuned") && !p.contains("_scratch"))
            {
                let (mean, n) = found.mean(calibration, task, predictor).unwrap();
                assert!(mean.is_finite() && n == 2, "{calibration:?} {task:?} {predictor}: {mean} of {n}");
            }
        }
        // More is known of hidden units from others than from their means, with all trials at least.
        if calibration.is_none() {
            let score = |name| found.mean(None, EvalTask::CoSmoothingGroup, name).unwrap().0;
            assert!(score("factors_wiener") > score("unit_mean") + 0.1);
            assert!(score("stack") > score("unit_mean") + 0.1);
            assert!(found.mean(None, EvalTask::CoSmoothingGroup, "factors_wiener_refit").is_some());
            assert!(found.mean(None, EvalTask::ForwardPrediction, "forward_pool_refit").is_some());
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
    // With one other session, the curve's only point is the stack itself.
    let point = found.curve.iter().find(|p| p.task == EvalTask::CoSmoothingGroup).unwrap();
    let stack = found.mean(point.calibration, point.task, "stack").unwrap().0;
    assert!((point.bits_per_spike - stack).abs() < 1e-12 && point.n_pretraining == 1, "{point:?} {stack}");
    assert!(found.laws.is_empty(), "no line through one point");
    assert!(fs::read_to_string(out.join("transfer-curve.svg")).unwrap().contains("12 trials"));
    for (name, calibration) in [("whole", 9), ("plain", 24)] {
        let of = |s: &&AblationScore| s.name == name && s.calibration == calibration;
        let sessions: BTreeSet<_> = found.ablations.iter().filter(of).map(|s| &s.session).collect();
        assert_eq!(sessions.len(), 2, "{name}");
    }

    let text = fs::read_to_string(out.join("transfer.md")).unwrap();
    assert!(
        text.contains("## 12 calibration trials") && text.contains("| fine_tuned+linear − unit_mean |"),
        "{text}"
    );

    // Weights of the first run are gone; scores that are there need none.
    fs::remove_dir_all(out.join("seed-3/without-group-0/pretrain")).unwrap();
    assert_eq!(run(&config(), &out).unwrap(), found);
    assert!(!out.join("seed-3/without-group-0/pretrain").exists());

    // Nor are they read if they were made on other data.
    let path = out.join("data.json");
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("\"blake3\": \"", "\"blake3\": \"0", 1))
        .unwrap();
    let error = run(&config(), &out).unwrap_err();
    assert!(matches!(error, PipelineError::OtherRun { .. }), "{error}");
}

/// Networks beside the first: in every table under their names, without a control; names that cannot be told apart are
/// refused before the work.
#[test]
fn rivals_stand_in_the_same_tables() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = TransferConfig { calibration: Vec::new(), stack: StackConfig::none(), ..config() };
    (config.pretraining_sessions, config.ablations) = (Vec::new(), Vec::new());
    config.scoring.tasks = vec![EvalTask::ForwardPrediction];
    let network = config.network.take().unwrap();
    let rival = |name: &str| RivalConfig {
        name: name.to_owned(),
        alignment: None,
        calibration: Vec::new(),
        model: network.model.clone(),
        pretrain: network.pretrain.clone(),
        finetune: network.finetune.clone(),
    };
    let short =
        RivalConfig { finetune: TrainConfig { n_steps: 5, ..network.finetune.clone() }, ..rival("short") };
    config.rivals = vec![rival("long"), short];
    let found = run(&config, &folder.path().join("transfer")).unwrap();
    let mean = |name| found.mean(None, EvalTask::ForwardPrediction, name);
    let (long, short) = (mean("long").unwrap(), mean("short").unwrap());
    assert!(long.1 == 2 && long != short, "{long:?}, {short:?}");
    assert!(mean("long+linear").is_some() && mean("fine_tuned").is_none() && mean("from_scratch").is_none());
    let text = fs::read_to_string(folder.path().join("transfer/transfer.md")).unwrap();
    for training in ["without-group-0/long/pretrain: pretrain", "without-group-1/all-trials/short/"] {
        assert!(text.contains(training), "{training} in the table of times:\n{text}");
    }
    // A session that is never left out teaches the same, and is not scored.
    let mut one_way = config.clone();
    one_way.pretrain_only = one_way.groups.remove(0);
    one_way.rivals.truncate(1);
    let one = run(&one_way, &folder.path().join("one-way")).unwrap();
    let of_long = |scores: &[TransferScore]| -> Vec<TransferScore> {
        let is_it = |s: &&TransferScore| s.predictor == "long" && s.session.as_str() == SECOND;
        scores.iter().filter(is_it).cloned().collect()
    };
    assert_eq!(of_long(&one.scores), of_long(&found.scores));
    assert!(!of_long(&one.scores).is_empty() && one.scores.iter().all(|s| s.session.as_str() == SECOND));
    one_way.pretrain_only = one_way.groups[0].clone();
    assert!(one_way.validate().unwrap_err().to_string().contains("listed twice"));

    for (names, what) in [
        (["long", "long"], "taken"),
        (["long", "fine_tuned"], "taken"),
        (["long", "ridge"], "taken"),
        (["long", "stack_of_3"], "taken"),
        (["long", "../x"], "folders"),
    ] {
        config.rivals = names.iter().map(|name| rival(name)).collect();
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(what) && message.contains(names[1]), "{message}");
    }
    config.rivals = vec![RivalConfig { calibration: vec![99], ..rival("long") }];
    let message = config.validate().unwrap_err().to_string();
    assert!(message.contains("99") && message.contains("rivals.calibration"), "{message}");
}

#[test]
fn a_stack_is_scored_on_sessions_it_never_saw_only() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("transfer");
    let mut closed = TransferConfig { network: None, calibration: Vec::new(), ..config() };
    closed.scoring.tasks = vec![EvalTask::ForwardPrediction];
    let found = run(&closed, &out).unwrap();
    assert!(found.mean(None, EvalTask::ForwardPrediction, "stack").is_some());
    assert!(found.mean(None, EvalTask::ForwardPrediction, "fine_tuned").is_none());

    let evaluation = |path: &str| {
        let evaluated = folder.path().join(format!("evaluated-{}", path.replace('/', "-")));
        let (store, path) = (out.join("store"), out.join(path));
        let text = format!(
            "seed = 3\nsessions = [\"{SECOND}\"]\nmodels = []\nstacks = [{{ name = \"stack\", path = \"{}\" }}]\n\
             [data]\nstore = \"{}\"\nwindow = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }}\n\
             [scoring]\ntasks = [\"forward_prediction\"]\nbaselines = false\nn_resamples = 100\n",
            path.display(),
            store.display()
        );
        let config: EvaluateConfig = parse_toml("evaluate", &text).unwrap();
        pipeline::evaluate(&config, &evaluated, "test", Compute::threads(2), &mut Silent)
    };
    let page = evaluation("seed-3/without-group-1").unwrap();
    assert_eq!(page.tasks[0].predictors.len(), 1);
    let message = evaluation("seed-3/without-group-0/stack.json").unwrap_err().to_string();
    assert!(message.contains("learned from") && message.contains(SECOND), "{message}");
    assert!(evaluation("seed-3").unwrap_err().to_string().contains("no stack"));

    // What it learned of some units says nothing of others.
    let path = out.join("seed-3/without-group-1/stack.json");
    let mut stack = SharedStack::load(&path).unwrap();
    stack.units.min_rate_hz = Some(1.0);
    stack.save(&path).unwrap();
    let message = evaluation("seed-3/without-group-1").unwrap_err().to_string();
    assert!(message.contains("`data.units`"), "{message}");
}

#[test]
fn a_device_that_cannot_be_had_is_told_of_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("never");
    let all = [ComputeDevice::Tch, ComputeDevice::Vulkan, ComputeDevice::Wgpu, ComputeDevice::Cuda(0)];
    let missing = all.into_iter().find(|device| !ComputeDevice::compiled().contains(device)).unwrap();
    let compute = Compute { device: missing, n_threads: 1 };
    let error = pipeline::transfer(&config(), &out, "test", compute, &mut Silent).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{error}");
    assert!(error.to_string().contains(&format!("--features {}", missing.feature())), "{error}");
    assert!(!out.exists(), "a run folder was left behind");
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
    assert!(refusal(|c| c.stack.calibration = vec![16, 8]).contains("ascending"));
    assert!(refusal(|c| c.stack.penalty = 0.0).contains("above zero"));
    assert!(refusal(|c| c.ablations[1].penalty = Some(0.0)).contains("`plain` must be above zero"));
    let no_stack = |c: &mut TransferConfig| {
        c.stack = StackConfig::none();
        c.pretraining_sessions.clear();
    };
    assert!(refusal(no_stack).contains("`ablations`"));
    let blocks = |c: &mut TransferConfig| c.split.order = SplitOrder::Blocks(BlockConfig::brain_wide_bench());
    assert!(refusal(blocks).contains("`split.order`"));
    assert!(refusal(|c| c.pretraining_sessions = vec![2]).contains("1 to 1"));
    assert!(refusal(|c| c.stack = StackConfig::none()).contains("curve is of the stack"));
    assert!(
        refusal(|c| {
            c.network = None;
            c.stack = StackConfig::none();
            c.ablations.clear();
        })
        .contains("nothing to transfer")
    );
    let elsewhere = |c: &mut TransferConfig| {
        if let Some(network) = &mut c.network {
            network.calibration = vec![13];
        }
    };
    assert!(refusal(elsewhere).contains("not in `calibration`"));
    assert!(!folder.path().join("never").exists());
}
