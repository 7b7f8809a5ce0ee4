//! The maps themselves.

use neurobrick_core::ModelError;

use super::{Constant, KeyMap, KeyRule, Layout, TorchNames, TorchSession};
use crate::{ModelConfig, Ndt1Config, Ndt1Embedding, Ndt2Config, NdtStitchConfig};

pub(super) fn key_map(
    names: TorchNames,
    config: &ModelConfig,
    sessions: &[TorchSession],
) -> Result<KeyMap, ModelError> {
    match (names, config) {
        (TorchNames::Mtm, ModelConfig::NdtStitch(config)) => Ok(mtm(config, sessions)),
        (TorchNames::BrainWideBench, ModelConfig::NdtStitch(config)) => {
            Ok(brain_wide_bench(config, sessions))
        }
        (TorchNames::Ndt1, ModelConfig::Ndt1(config)) => ndt1(config, sessions),
        (TorchNames::Ndt2, ModelConfig::Ndt2(config)) => ndt2(config, sessions),
        (TorchNames::Lfads, ModelConfig::Lfads(config)) => config.key_map(sessions),
        (names, config) => Err(ModelError::Unsupported {
            what: format!("lie under the names of {}: it is of kind `{}`", names.label(), config.kind()),
            hint: "choose the names that its kind was published under".to_owned(),
        }),
    }
}

/// Rules in the making.
#[derive(Default)]
pub(crate) struct Rules {
    rules: Vec<KeyRule>,
    constants: Vec<Constant>,
}

impl Rules {
    /// A map of these rules; keys that begin so hold nothing of ours.
    pub(crate) fn into_map(self, unused: Vec<&'static str>) -> KeyMap {
        KeyMap { rules: self.rules, constants: self.constants, unused }
    }

    /// One parameter.
    pub(crate) fn rule(&mut self, own: impl Into<String>, torch: impl Into<String>, layout: Layout) {
        self.rules.push(KeyRule { own: own.into(), torch: torch.into(), layout });
    }

    /// A tensor of theirs that is `value` everywhere in any model that ours can be; `why` is what ours has instead.
    pub(crate) fn constant(
        &mut self,
        torch: impl Into<String>,
        shape: Vec<usize>,
        value: f64,
        why: &'static str,
    ) {
        self.constants.push(Constant { torch: torch.into(), shape, value, why });
    }

    /// `torch.nn.Linear`.
    pub(crate) fn linear(&mut self, own: &str, torch: &str) {
        self.rule(format!("{own}.weight"), format!("{torch}.weight"), Layout::Transposed);
        self.rule(format!("{own}.bias"), format!("{torch}.bias"), Layout::AsIs);
    }

    /// `torch.nn.LayerNorm`.
    pub(crate) fn norm(&mut self, own: &str, torch: &str) {
        self.rule(format!("{own}.gamma"), format!("{torch}.weight"), Layout::AsIs);
        self.rule(format!("{own}.beta"), format!("{torch}.bias"), Layout::AsIs);
    }

    /// The layer of MtM and NEDS, whose names are ours.
    pub(crate) fn mtm_layer(&mut self, own: &str, torch: &str) {
        for part in ["attn.query", "attn.key", "attn.value", "attn.out_proj", "mlp.up_proj", "mlp.down_proj"]
        {
            self.linear(&format!("{own}.{part}"), &format!("{torch}.{part}"));
        }
        for part in ["ln1", "ln2"] {
            self.norm(&format!("{own}.{part}"), &format!("{torch}.{part}"));
        }
    }

    /// `torch.nn.MultiheadAttention`.
    fn attention(&mut self, own: &str, torch: &str) {
        for (part, name) in ["query", "key", "value"].into_iter().enumerate() {
            let packed = Layout::Packed { part, of: 3 };
            self.rule(format!("{own}.{name}.weight"), format!("{torch}.in_proj_weight"), packed.clone());
            self.rule(format!("{own}.{name}.bias"), format!("{torch}.in_proj_bias"), packed);
        }
        self.linear(&format!("{own}.out_proj"), &format!("{torch}.out_proj"));
    }

    /// `torch.nn.TransformerEncoderLayer` in a layer of ours whose parts are called `[attention, up, down, norm, norm]`.
    fn torch_layer(&mut self, own: &str, torch: &str, parts: [&str; 5]) {
        let [attention, up, down, norm1, norm2] = parts.map(|part| format!("{own}.{part}"));
        self.attention(&attention, &format!("{torch}.self_attn"));
        self.linear(&up, &format!("{torch}.linear1"));
        self.linear(&down, &format!("{torch}.linear2"));
        self.norm(&norm1, &format!("{torch}.norm1"));
        self.norm(&norm2, &format!("{torch}.norm2"));
    }
}

/// Our encoder layer has PyTorch's names.
const ENCODER_LAYER: [&str; 5] = ["self_attn", "linear1", "linear2", "norm1", "norm2"];
/// Those of MtM's layer.
const MTM_LAYER: [&str; 5] = ["attn", "mlp.up_proj", "mlp.down_proj", "ln1", "ln2"];

/// The rows of a table that holds a session in each.
fn session_rows(sessions: &[TorchSession], row: impl Fn(&TorchSession) -> usize) -> Layout {
    let rows: Vec<usize> = sessions.iter().map(row).collect();
    let total = rows.iter().max().map_or(0, |last| last + 1);
    Layout::Rows { rows, total }
}

fn mtm(config: &NdtStitchConfig, sessions: &[TorchSession]) -> KeyMap {
    let mut rules = Rules::default();
    // As published, sessions of one number of units have one stitch between them.
    let mut stitches: Vec<&str> = Vec::new();
    for session in sessions {
        if !(config.faithful && stitches.contains(&session.stitch.as_str())) {
            stitches.push(&session.stitch);
        }
    }
    for (i, name) in stitches.into_iter().enumerate() {
        rules.linear(&format!("stitches.{i}.read_in"), &format!("encoder.stitcher.stitcher_dict.{name}"));
        rules
            .linear(&format!("stitches.{i}.read_out"), &format!("stitch_decoder.stitch_decoder_dict.{name}"));
    }
    if config.d_embed > 0 {
        rules.linear("embed_spikes", "encoder.embedder.embed_spikes");
        rules.linear("projection", "encoder.embedder.projection");
    }
    rules.rule("embed_pos.weight", "encoder.embedder.embed_pos.weight", Layout::AsIs);
    if config.prompt {
        rules.rule("embed_prompt.weight", "encoder.embedder.embed_prompt.weight", Layout::AsIs);
    }
    let rows = session_rows(sessions, |session| session.row);
    rules.rule("embed_session.weight", "encoder.embedder.embed_session.weight", rows);
    for l in 0..config.n_layers {
        rules.mtm_layer(&format!("layers.{l}"), &format!("encoder.layers.{l}"));
    }
    rules.norm("out_norm", "encoder.out_norm");
    // A read-out that stitching never uses.
    rules.into_map(vec!["decoder.0."])
}

fn brain_wide_bench(config: &NdtStitchConfig, sessions: &[TorchSession]) -> KeyMap {
    let mut rules = Rules::default();
    for (i, session) in sessions.iter().enumerate() {
        let name = &session.stitch;
        rules.linear(&format!("stitches.{i}.read_in"), &format!("in_stitcher.{name}"));
        rules.linear(&format!("stitches.{i}.read_out"), &format!("out_stitcher.{name}"));
    }
    if config.d_embed > 0 {
        rules.linear("embed_spikes", "shared_proj.0");
        rules.linear("projection", "shared_proj.2");
    }
    rules.rule("embed_pos.weight", "position_emb.weight", Layout::AsIs);
    if config.prompt {
        rules.rule("embed_prompt.weight", "mask_emb.weight", Layout::AsIs);
    }
    rules.rule("embed_session.weight", "session_emb.weight", session_rows(sessions, |session| session.row));
    for l in 0..config.n_layers {
        rules.torch_layer(&format!("layers.{l}"), &format!("encoder.layers.{l}"), MTM_LAYER);
    }
    rules.norm("out_norm", "encoder.norm");
    // The decoder of behavior.
    rules.into_map(vec!["readout."])
}

fn ndt1(config: &Ndt1Config, sessions: &[TorchSession]) -> Result<KeyMap, ModelError> {
    if sessions.len() != 1 {
        return Err(ModelError::Unsupported {
            what: format!("lie in a state dict of NDT-1 with {} sessions", sessions.len()),
            hint: "name one session: the published model has no names for more".to_owned(),
        });
    }
    let mut rules = Rules::default();
    match config.embedding {
        Ndt1Embedding::Linear => rules.linear("sessions.0.read_in", "embedder"),
        Ndt1Embedding::Identity => {}
        Ndt1Embedding::Table { max_count, .. } => {
            // The last row stands for masked entries, which are zeroed instead.
            let rows = Layout::Rows { rows: (0..=max_count).collect(), total: max_count + 2 };
            rules.rule("embed_counts.weight", "embedder.0.weight", rows);
        }
    }
    if config.learned_positions {
        rules.rule("embed_pos.weight", "pos_encoder.pos_embedding.weight", Layout::AsIs);
    }
    for l in 0..config.n_layers {
        let torch = format!("transformer_encoder.layers.{l}");
        rules.torch_layer(&format!("layers.{l}"), &torch, ENCODER_LAYER);
    }
    if config.scale_norm {
        rules.rule("out_scale_norm.scale", "transformer_encoder.norm.scale", Layout::Scalar);
    } else {
        rules.norm("out_norm", "transformer_encoder.norm");
    }
    rules.linear("sessions.0.read_out", "decoder.0");
    // A buffer: positions, or sines and cosines.
    Ok(rules.into_map(vec!["pos_encoder.pe"]))
}

fn ndt2(config: &Ndt2Config, sessions: &[TorchSession]) -> Result<KeyMap, ModelError> {
    if !config.faithful {
        return Err(ModelError::Unsupported {
            what: "lie in a state dict of NDT-2 with a bias for each unit".to_owned(),
            hint: "set `faithful = true`: the published model has no such biases".to_owned(),
        });
    }
    let mut rules = Rules::default();
    rules.rule("embed_counts.weight", "readin.weight", Layout::AsIs);
    rules.rule("embed_session.weight", "session_embed.weight", session_rows(sessions, |s| s.row));
    rules.rule("session_flag", "session_flag", Layout::AsIs);
    // Sessions of one subject have one row between them, in the order in which subjects appear.
    let mut rows: Vec<usize> = Vec::new();
    for session in sessions {
        if !rows.contains(&session.subject_row) {
            rows.push(session.subject_row);
        }
    }
    let total = rows.iter().max().map_or(0, |last| last + 1);
    rules.rule("embed_subject.weight", "subject_embed.weight", Layout::Rows { rows, total });
    rules.rule("subject_flag", "subject_flag", Layout::AsIs);
    rules.rule("mask_token", "task_pipelines.shuffle_infill.mask_token", Layout::AsIs);
    let stacks = [
        ("encoder", "backbone", config.n_layers),
        ("decoder", "task_pipelines.shuffle_infill.decoder", config.n_decoder_layers),
    ];
    for (own, torch, n_layers) in stacks {
        for (ours, theirs) in [("embed_time", "time_encoder"), ("embed_space", "space_encoder")] {
            rules.rule(format!("{own}.{ours}.weight"), format!("{torch}.{theirs}.weight"), Layout::AsIs);
        }
        for l in 0..n_layers {
            let torch = format!("{torch}.transformer_encoder.layers.{l}");
            rules.torch_layer(&format!("{own}.layers.{l}"), &torch, ENCODER_LAYER);
        }
    }
    rules.linear("read_out", "task_pipelines.shuffle_infill.out.0");
    // Other heads of a multi-task model.
    Ok(rules.into_map(vec!["task_pipelines.kinematic_decoding."]))
}
