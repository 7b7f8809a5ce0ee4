//! NEDS through the verbs: what both topics below start from.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

#[path = "../cursor/mod.rs"]
mod cursor;
mod learning;
mod refusals;

use std::fs;
use std::path::Path;

use neurobrick::config::{DecodeConfig, FinetuneNedsConfig, PretrainNedsConfig, parse_toml};
use neurobrick::pipeline::{self, Silent};
use neurobrick::schema::{ColumnValues, Recording, RecordingParts, Trials};
use neurobrick_testkit::SharedBrain;

use crate::cursor::{compute, cursor};

/// Two conditions that half of the variance of the cursor belongs to.
fn brain() -> SharedBrain {
    SharedBrain { n_conditions: 2, shared: 0.5, ..SharedBrain::cursor(1) }
}

const MODALITIES: &str = r#"
[modalities]
labels = [{ category = { name = "condition", column = "condition", positive = "c1", negative = "c0" } }]
behaviors = [
    { name = "cursor_x", signal = "cursor", column = "x", rule = "nearest" },
    { name = "speed_y", signal = "cursor", column = "y", rule = "nearest", absolute = true },
]
"#;

const DATA: &str = r#"
[data]
store = "STORE"
window = { start_s = 0.0, end_s = 0.5, bin_size_s = 0.02 }
"#;

const MODEL: &str = r#"
kind = "neds"
n_bins = 25
d_model = 32
n_layers = 1
n_heads = 2
d_mlp = 64
dropout_embed = 0.0
dropout = 0.0
"#;

const SCHEDULE: &str =
    "schedule = { max_lr = 1e-2, pct_start = 0.3, div_factor = 10.0, final_div_factor = 1e3 }";

fn pretrain_config(store: &Path, train: &str) -> PretrainNedsConfig {
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text =
        format!("seed = 5\nexclude = [\"shared-1-3\"]\n{data}{MODALITIES}[model]{MODEL}[train]\n{train}");
    parse_toml("pretrain", &text).unwrap()
}

fn finetune_config(store: &Path, start: &Path, train: &str) -> FinetuneNedsConfig {
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text = format!(
        "seed = 5\nsessions = [\"shared-1-3\"]\nstart = {{ pretrained = \"{}\" }}\n{data}{MODALITIES}[train]\n{train}",
        start.display()
    );
    parse_toml("finetune", &text).unwrap()
}

fn decode_config(store: &Path, session: &str, models: &Path) -> DecodeConfig {
    let modalities = MODALITIES.replace("[modalities]", "");
    let data = DATA.replace("STORE", store.to_str().unwrap());
    let text = format!(
        "seed = 5\nsessions = [\"{session}\"]\nmodels = [{{ name = \"tuned\", path = \"{}\" }}]\nfeatures = [\"raw_counts\"]\n\
         n_shuffles = 40\nn_resamples = 300\n{modalities}{data}",
        models.display()
    );
    parse_toml("decode", &text).unwrap()
}

const SMALL: &str = "n_steps = 10\nn_frozen_steps = 3\nbatch_size = 8\nvalid_every = 3\ncheckpoint_every = 4\n\
                     masking = { ratio = 0.3 }\nlabel_weight = 0.5";

/// Two sessions of 40 trials.
fn two_sessions() -> [Recording; 2] {
    [(0, 6), (1, 8)].map(|(session, n_units)| cursor(&brain(), session, 40, n_units))
}

fn small(store: &Path) -> PretrainNedsConfig {
    let mut config = pretrain_config(store, &format!("{SMALL}\n{SCHEDULE}"));
    let neurobrick::config::MultimodalConfig::Neds(sizes) = &mut config.model;
    (sizes.dropout, sizes.dropout_embed, sizes.d_model) = (0.3, 0.2, 16);
    config
}

fn pretrained(config: &PretrainNedsConfig, out: &Path, n_threads: usize) -> [Vec<u8>; 2] {
    pipeline::pretrain_neds(config, out, "test", compute(n_threads), &mut Silent).unwrap();
    ["model/weights.safetensors", "metrics.jsonl"].map(|name| fs::read(out.join(name)).unwrap())
}

/// Labels by the start of a trial and the label it had.
fn with_labels(recording: Recording, new: impl Fn(f64, &str) -> String) -> Recording {
    let parts = recording.into_parts();
    let mut columns = parts.trials.columns().to_vec();
    for column in &mut columns {
        let ColumnValues::Text(values) = &mut column.values else { continue };
        for (value, interval) in values.iter_mut().zip(parts.trials.intervals()) {
            *value = value.as_deref().map(|old| new(interval.start_s, old));
        }
    }
    let trials = Trials::new(parts.trials.intervals().to_vec(), columns).unwrap();
    Recording::from_parts(RecordingParts { trials, ..parts }).unwrap()
}
