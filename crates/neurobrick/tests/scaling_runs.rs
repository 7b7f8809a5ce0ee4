//! Scaling curves of tiny models on real sessions: their controls, what they refuse, how they go on.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use neurobrick::config::{ScaleConfig, ScaleSteps, parse_toml};
use neurobrick::core::ComputeDevice;
use neurobrick::pipeline::{self, Silent};
use neurobrick::scaling::ScalePoint;
use neurobrick::{Compute, PipelineError};
use neurobrick_data::{BlockConfig, SplitOrder};
use neurobrick_train::EvalTask;

const FIRST: &str = "session14_Lederberg_2017-12-07";
const SECOND: &str = "session01_Cori_2016-12-14";

fn recordings() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/recordings/steinmetz2019-binned")
}

/// A ladder of tiny models along `axis`, evaluated on one session.
fn ladder(axis: &str) -> String {
    let train = "n_steps = 10\nvalid_every = 5\ncheckpoint_every = 10\n";
    format!(
        "seed = 3\nrecordings = [\"{}\"]\npool = [\"{FIRST}\", \"session16_Lederberg_2017-12-09\"]\nevaluate = [\"{SECOND}\"]\n\
         axis = {{ {axis} }}\nrepeats = 2\n\
         targets = [{{ task = \"co_smoothing_group\", bits_per_spike = 9.0 }}]\n\
         window = {{ start_s = 0.0, end_s = 0.4, bin_size_s = 0.04 }}\n\
         [model]\nkind = \"ndt_stitch\"\nn_bins = 10\nd_stitch = 8\nd_embed = 16\nd_model = 8\nn_layers = 1\nn_heads = 2\n\
         d_mlp = 16\ndropout_embed = 0.1\ndropout = 0.1\n[pretrain]\n{train}[finetune]\n{train}[from_scratch]\n{train}\
         [scoring]\ntasks = [\"co_smoothing_group\"]\nn_resamples = 100\n",
        recordings().display()
    )
}

#[test]
fn a_ladder_is_climbed_paired_with_its_control_and_drawn() {
    let text = ladder("sessions = [1, 2]");
    let config: ScaleConfig = parse_toml("scale", &text).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("scale");
    let found = pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap();
    assert_eq!(found.points.len(), 5, "a control, and two sizes twice");
    let laws = &found.laws[0];
    assert_eq!(laws.task, EvalTask::CoSmoothingGroup);
    assert_eq!(
        laws.steps.iter().map(|step| (step.size, step.n_better[0])).collect::<Vec<_>>(),
        [(1, 2), (2, 2)]
    );
    for step in &laws.steps {
        assert!(
            (step.mean - step.control - step.gain).abs() < 1e-12,
            "one session: the mean gain is the gain"
        );
    }
    let (name, best) = laws.baseline.as_ref().unwrap();
    assert!(*best > laws.steps[0].control, "ten steps do not beat {name}");
    assert!(laws.steps.iter().all(|step| step.interval.is_none()), "one session gives no interval");
    assert!(found.points.iter().all(|point| point.saturated > point.bits_per_spike + 1.0));
    assert!(laws.line.is_some() && laws.power.is_none() && !laws.left_out.is_empty());
    assert_eq!(laws.answers.len(), 1);
    let figure = std::fs::read_to_string(out.join("scale.svg")).unwrap();
    assert!(figure.contains("co smoothing group") && figure.matches("<circle").count() == 2);
    // A finished run is read, not repeated.
    let before = std::fs::metadata(out.join("repeat-1/size-2/scores.json")).unwrap().modified().unwrap();
    assert_eq!(pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap(), found);
    let after = std::fs::metadata(out.join("repeat-1/size-2/scores.json")).unwrap().modified().unwrap();
    assert_eq!(before, after);

    let seen =
        text.replace("evaluate = [\"session01_Cori_2016-12-14\"]", &format!("evaluate = [\"{FIRST}\"]"));
    let config: ScaleConfig = parse_toml("scale", &seen).unwrap();
    let error = pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap_err();
    assert!(matches!(&error, PipelineError::BadValue { field, .. } if field == "evaluate"), "{error}");
}

/// Sizes of the model in a run folder.
fn model_of(path: &Path) -> neurobrick::models::NdtStitchConfig {
    let (_, record) = pipeline::load_model(path, ComputeDevice::Flex).unwrap();
    let neurobrick::models::ModelConfig::NdtStitch(config) = record.config else { panic!("{record:?}") };
    config
}

#[test]
fn a_width_is_paired_with_a_control_of_its_own() {
    let config: ScaleConfig = parse_toml("scale", &ladder("width = [4, 8]")).unwrap();
    let config = ScaleConfig { repeats: 1, ..config };
    let folder = tempfile::tempdir().unwrap();
    let found = pipeline::scale(&config, folder.path(), "test", Compute::threads(2), &mut Silent).unwrap();
    for size in [4, 8] {
        let widths = ["from-scratch", "repeat-0"].map(|root| {
            let tuned = format!("{root}/size-{size}/fine_tuned/{SECOND}");
            let model = model_of(&folder.path().join(tuned));
            (model.d_model, model.d_mlp)
        });
        assert_eq!(widths, [(size, 2 * size); 2], "a control has the width of what it is paired with");
        let of = |is_control| {
            let is_it = |p: &&ScalePoint| p.size == size && p.is_control == is_control;
            found.points.iter().find(is_it).unwrap().bits_per_spike
        };
        let step = found.laws[0].steps.iter().find(|step| step.size == size).unwrap();
        assert!((step.gain - (of(false) - of(true))).abs() < 1e-12, "{step:?}");
    }
    assert!(found.laws[0].steps[0].control.to_bits() != found.laws[0].steps[1].control.to_bits());
}

#[test]
fn trials_of_pretraining_are_what_the_axis_says() {
    let config: ScaleConfig = parse_toml("scale", &ladder("trials = [8, 16]")).unwrap();
    let config = ScaleConfig { repeats: 1, steps: ScaleSteps::Proportional, ..config };
    let folder = tempfile::tempdir().unwrap();
    let found = pipeline::scale(&config, folder.path(), "test", Compute::threads(2), &mut Silent).unwrap();
    assert_eq!(found.points.len(), 3, "one control serves both sizes");
    for size in [8, 16] {
        let path = folder.path().join(format!("repeat-0/size-{size}/pretrain"));
        let settled = std::fs::read_to_string(path.join("run.toml")).unwrap();
        let n_steps = format!("n_steps = {}\n", 10 * size / 8);
        assert!(
            settled.contains(&n_steps),
            "twice the trials are seen as often in twice the steps: {settled}"
        );
        let (_, record) = pipeline::load_model(&path, ComputeDevice::Flex).unwrap();
        assert_eq!(record.trained_on.len(), 2);
        for trained in &record.trained_on {
            let part = trained.part.as_ref().unwrap();
            assert_eq!(part.split.max_calibration, Some(size), "{}", trained.session);
        }
        let tuned = folder.path().join(format!("repeat-0/size-{size}/fine_tuned/{SECOND}"));
        let (_, record) = pipeline::load_model(&tuned, ComputeDevice::Flex).unwrap();
        let own = record.trained_on.iter().find(|trained| trained.session.as_str() == SECOND).unwrap();
        assert_eq!(
            own.part.as_ref().unwrap().split.max_calibration,
            None,
            "it is fine-tuned on all of its trials"
        );
    }
}

#[test]
fn a_ladder_that_cannot_be_climbed_is_refused_before_the_first_step() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("never");
    let refusal = |axis: &str, change: fn(&mut ScaleConfig)| {
        let mut config: ScaleConfig = parse_toml("scale", &ladder(axis)).unwrap();
        change(&mut config);
        let error = pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    let odd = refusal("width = [4, 9]", |_| {});
    assert!(odd.contains("size 9 makes no model") && odd.contains("n_heads"), "{odd}");
    let more_steps = refusal("width = [4, 8]", |config| config.steps = ScaleSteps::Proportional);
    assert!(more_steps.contains("`steps`") && more_steps.contains("sessions and trials"), "{more_steps}");
    let blocks =
        |config: &mut ScaleConfig| config.split.order = SplitOrder::Blocks(BlockConfig::brain_wide_bench());
    assert!(refusal("trials = [8, 16]", blocks).contains("`split.order`"));
    let pooled =
        ladder("sessions = [1, 2]").replace("n_resamples = 100", "n_resamples = 100\nwith_linear = true");
    let error = parse_toml::<ScaleConfig>("scale", &pooled).unwrap_err();
    assert!(error.to_string().contains("unknown field `with_linear`"), "{error}");
    assert!(!out.exists());
}

#[test]
fn scores_on_other_data_are_not_read_as_if_on_these() {
    let folder = tempfile::tempdir().unwrap();
    let config: ScaleConfig = parse_toml("scale", &ladder("sessions = [1, 2]")).unwrap();
    let config = ScaleConfig { repeats: 1, ..config };
    let out = folder.path().join("scale");
    pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap();
    let path = out.join("data.json");
    let written = std::fs::read_to_string(&path).unwrap();
    let hashes: Vec<neurobrick::SessionHash> = serde_json::from_str(&written).unwrap();
    let own = hashes.iter().find(|hash| hash.session.as_str() == SECOND).unwrap();
    // As if the recording had been another one when the scores were made.
    std::fs::write(&path, written.replace(&own.blake3, &"0".repeat(own.blake3.len()))).unwrap();
    let error = pipeline::scale(&config, &out, "test", Compute::threads(2), &mut Silent).unwrap_err();
    assert!(matches!(&error, PipelineError::OtherRun { .. }), "{error}");
    assert!(error.to_string().contains(&format!("on other data of {SECOND}")), "{error}");
}
