//! The names of the published code.

use super::{NedsConfig, NedsModalities};
use crate::torch::{KeyMap, Layout, Rules};

/// Where a state dict of the published code keeps a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NedsPlace {
    /// What the dict calls it.
    pub session: String,
    /// Row in the tables of sessions, of which every modality has one.
    pub row: usize,
}

impl NedsConfig {
    /// The map to the names of `yzhang511/NEDS` at 61d2ef6, for a model of sessions that lie in the dict as `sessions` says.
    /// `names` is what the dict calls the modalities, spikes first (`spike`, `choice`, `block`, `wheel`, `whisker`).
    ///
    /// Published encoders are as wide as the largest session, with units that do not exist at -1: the map is for sessions of
    /// equal size. Names that are too few leave modalities out of the map, which loading then reports as missing.
    pub fn key_map(&self, modalities: &NedsModalities, names: &[&str], sessions: &[NedsPlace]) -> KeyMap {
        let mut rules = Rules::default();
        let n_rows = 1 + sessions.iter().map(|place| place.row).max().unwrap_or(0);
        let row = |row: usize, total: usize| Layout::Rows { rows: vec![row], total };
        rules.rule("mask_token", "mask_token", Layout::AsIs);
        for (m, name) in names.iter().enumerate() {
            let (own, torch) = (format!("embeddings.{m}"), format!("encoder_embeddings.{name}"));
            let embedder = format!("{torch}.embedder");
            rules.rule(format!("{own}.kind"), format!("{embedder}.mod_emb.weight"), row(m, names.len()));
            rules.rule(
                format!("{own}.positions.weight"),
                format!("{embedder}.pos_embed.weight"),
                Layout::AsIs,
            );
            for (i, NedsPlace { session, row: in_table }) in sessions.iter().enumerate() {
                let own = format!("sessions.{i}.parts.{m}");
                let stitch = format!("{embedder}.mod_stitch_encoder");
                rules.linear(&format!("{own}.expand"), &format!("{stitch}.stitcher_dict.{session}"));
                rules.linear(&format!("{own}.project"), &format!("{stitch}.project_dict.{session}"));
                let table = format!("{embedder}.session_emb.weight");
                rules.rule(format!("{own}.token"), table, row(*in_table, n_rows));
                if (1..=modalities.labels.len()).contains(&m) {
                    let weights = format!("{torch}.mod_static_weight_dict.{session}");
                    rules.rule(format!("{own}.combine"), weights, Layout::AsIs);
                }
                let read_out = format!("{torch}.mod_stitcher_proj_dict.stitch_decoder_dict.{session}");
                rules.linear(&format!("{own}.read_out"), &read_out);
            }
        }
        for l in 0..self.n_layers {
            rules.mtm_layer(&format!("layers.{l}"), &format!("encoder.{l}"));
        }
        rules.norm("out_norm", "encoder_norm");
        rules.into_map(Vec::new())
    }
}
