//! The names of `torch_brain`.

use super::PoyoConfig;
use crate::torch::{KeyMap, Layout, Rules};

/// Where a state dict of `torch_brain` keeps a session: row 0 of both tables stands for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoyoRows {
    /// Rows of its units in `unit_emb.weight`, in the order of our units.
    pub units: Vec<usize>,
    /// Row in `session_emb.weight`.
    pub session: usize,
}

impl PoyoConfig {
    /// The map to the names of `neuro-galaxy/torch_brain` at 0512ee0, for a model of sessions that lie in the dict as
    /// `sessions` says. Vocabularies (`unit_emb.vocab`, `session_emb.vocab`) are no tensors and must be left out of it.
    pub fn key_map(&self, sessions: &[PoyoRows]) -> KeyMap {
        let mut rules = Rules::default();
        let n_units = 1 + sessions.iter().flat_map(|s| s.units.iter().copied()).max().unwrap_or(0);
        let n_sessions = 1 + sessions.iter().map(|s| s.session).max().unwrap_or(0);
        for (i, session) in sessions.iter().enumerate() {
            let rows = |rows: &[usize], total| Layout::Rows { rows: rows.to_vec(), total };
            rules.rule(format!("sessions.{i}.units"), "unit_emb.weight", rows(&session.units, n_units));
            let row = rows(&[session.session], n_sessions);
            rules.rule(format!("sessions.{i}.token"), "session_emb.weight", row);
        }
        rules.rule("embed_kind.weight", "token_type_emb.weight", Layout::AsIs);
        rules.rule("embed_latent.weight", "latent_emb.weight", Layout::AsIs);
        for (own, torch) in [("encoder", "enc"), ("decoder", "dec")] {
            rules.norm(&format!("{own}.norm"), &format!("{torch}_atn.norm"));
            rules.norm(&format!("{own}.norm_context"), &format!("{torch}_atn.norm_context"));
            rules.rule(format!("{own}.query.weight"), format!("{torch}_atn.to_q.weight"), Layout::Transposed);
            for (part, name) in ["key", "value"].into_iter().enumerate() {
                let packed = Layout::Packed { part, of: 2 };
                rules.rule(format!("{own}.{name}.weight"), format!("{torch}_atn.to_kv.weight"), packed);
            }
            rules.linear(&format!("{own}.out"), &format!("{torch}_atn.to_out"));
            feed_forward(&mut rules, &format!("{own}_ffn"), &format!("{torch}_ffn"));
        }
        for l in 0..self.n_layers {
            let (own, torch) = (format!("layers.{l}"), format!("proc_layers.{l}"));
            rules.norm(&format!("{own}.attention.norm"), &format!("{torch}.0.norm"));
            for (part, name) in ["query", "key", "value"].into_iter().enumerate() {
                let packed = Layout::Packed { part, of: 3 };
                rules.rule(
                    format!("{own}.attention.{name}.weight"),
                    format!("{torch}.0.to_qkv.weight"),
                    packed,
                );
            }
            rules.linear(&format!("{own}.attention.out"), &format!("{torch}.0.to_out"));
            feed_forward(&mut rules, &format!("{own}.ffn"), &format!("{torch}.1"));
        }
        rules.linear("read_out", "readout");
        // The buffer of frequencies.
        rules.into_map(vec!["rotary_emb.omega"])
    }
}

fn feed_forward(rules: &mut Rules, own: &str, torch: &str) {
    rules.norm(&format!("{own}.norm"), &format!("{torch}.0"));
    rules.linear(&format!("{own}.up"), &format!("{torch}.1.net.0"));
    rules.linear(&format!("{own}.down"), &format!("{torch}.1.net.3"));
}
