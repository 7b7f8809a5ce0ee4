//! The golden numbers of the MtM model (`fixtures/golden/ndt_stitch`), ready for a model under test.

use ndarray::Array3;
use neurobrick_core::weights::StateDict;
use neurobrick_core::{Context, Masking, Prompt, SessionSpec};
use neurobrick_schema::SessionId;
use serde::Deserialize;

use crate::{Golden, GoldenArray, burn_layout, golden, golden_path, part, state_dict};

/// Sizes of the golden model.
#[derive(Clone, Debug, Deserialize)]
pub struct MtmSizes {
    /// Width of a token.
    pub width: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Layers.
    pub n_layers: usize,
    /// Width of the hidden layer of the MLP.
    pub mlp_width: usize,
    /// Width of the stitch.
    pub stitch_width: usize,
    /// Width of the hidden layer of the embedding.
    pub embed_hidden: usize,
    /// Bins.
    pub n_bins: usize,
}

/// One batch: counts and masks `[B, T, N]` of one session.
#[derive(Clone, Debug)]
pub struct MtmBatch {
    /// The session.
    pub session: SessionId,
    /// Spikes per bin.
    pub counts: Array3<u16>,
    /// What is hidden, what is counted, context and prompt.
    pub masking: Masking,
}

/// What PyTorch recorded before each optimizer step.
#[derive(Clone, Debug, Deserialize)]
pub struct MtmRecords {
    /// Learning rates.
    pub lrs: Vec<f64>,
    /// Beta1 of the optimizer.
    pub beta1s: Vec<f64>,
    /// Loss, summed over counted entries.
    pub losses: Vec<f64>,
    /// Global norm of the gradient before clipping.
    pub grad_norms: Vec<f64>,
}

/// One batch with its reference answers.
#[derive(Clone, Debug)]
pub struct MtmCase {
    /// Name, such as `intra_region`.
    pub name: String,
    /// The batch.
    pub batch: MtmBatch,
    /// Whether prefix tokens see the future, as published.
    pub is_faithful: bool,
    /// Log rates `[B, T, N]`.
    pub log_rates: GoldenArray,
    /// Latents `[B, T, L]`.
    pub latents: GoldenArray,
    /// Loss, summed over counted entries.
    pub loss: f64,
    /// The three optimizer steps on this batch.
    pub records: MtmRecords,
    /// Loss after them.
    pub loss_after: f64,
    gradients: Golden,
    after: Golden,
}

impl MtmCase {
    /// The sessions a model under test should be built for: all three, or only the case's own when the model
    /// lets sessions of equal size share a stitch, as published.
    ///
    /// # Panics
    /// If the case names a session that the set does not hold.
    pub fn sessions(&self, golden: &MtmGolden) -> Vec<SessionSpec> {
        let own = |s: &&SessionSpec| !self.is_faithful || s.session == self.batch.session;
        let sessions: Vec<SessionSpec> = golden.sessions.iter().filter(own).cloned().collect();
        assert!(!sessions.is_empty(), "{}: unknown session {}", self.name, self.batch.session);
        sessions
    }

    /// Gradients of the loss under Burn's names, for parameters that have one.
    pub fn gradients(&self, golden: &MtmGolden) -> Golden {
        golden.rename(&self.gradients, &self.sessions(golden))
    }

    /// Parameters after three optimizer steps under Burn's names, for parameters that have a gradient.
    pub fn after(&self, golden: &MtmGolden) -> Golden {
        golden.rename(&self.after, &self.sessions(golden))
    }
}

/// The golden set.
#[derive(Clone, Debug)]
pub struct MtmGolden {
    /// Sizes of the model.
    pub sizes: MtmSizes,
    /// Three sessions, the first and last of equal size.
    pub sessions: Vec<SessionSpec>,
    /// Single batches.
    pub cases: Vec<MtmCase>,
    /// Batches of four optimizer steps over several sessions.
    pub steps: Vec<MtmBatch>,
    /// What was recorded in those steps.
    pub step_records: MtmRecords,
    steps_after: Golden,
    weights: Golden,
}

impl MtmGolden {
    /// Reads the set.
    ///
    /// # Panics
    /// If a file is missing or not as its provenance describes it.
    pub fn read() -> Self {
        let text = std::fs::read_to_string(golden_path("ndt_stitch/cases.json")).unwrap();
        let file: CasesFile = serde_json::from_str(&text).unwrap();
        let sessions: Vec<SessionSpec> = file.sessions.iter().map(SessionEntry::spec).collect();
        let cases = file.cases.into_iter().map(CaseEntry::read).collect();
        let arrays = golden("ndt_stitch/multi_session.safetensors");
        let steps = file.multi_session.steps.iter().enumerate();
        Self {
            sizes: file.model,
            sessions,
            cases,
            steps: steps.map(|(i, entry)| entry.read(&part(&arrays, &format!("step{i}.")))).collect(),
            step_records: file.multi_session.records,
            steps_after: part(&arrays, "after."),
            weights: golden("ndt_stitch/weights.safetensors"),
        }
    }

    /// Initial weights under Burn's names, for a model of `sessions`.
    ///
    /// # Panics
    /// If a session is unknown.
    pub fn weights(&self, sessions: &[SessionSpec], is_prompted: bool) -> StateDict {
        let mut weights = state_dict(&self.rename(&self.weights, sessions));
        if !is_prompted {
            weights.remove("embed_prompt.weight");
        }
        weights
    }

    /// All parameters after the steps over several sessions, under Burn's names.
    pub fn steps_after(&self) -> Golden {
        self.rename(&self.steps_after, &self.sessions)
    }

    /// Burn's names and layouts, with sessions by their position in `sessions` and others left out.
    fn rename(&self, torch: &Golden, sessions: &[SessionSpec]) -> Golden {
        let position = |id: &str| sessions.iter().position(|s| s.session.as_str() == id);
        let mut renamed = Golden::new();
        for (name, array) in burn_layout(torch, is_table) {
            match name.strip_prefix("stitches.").and_then(|rest| rest.split_once('.')) {
                Some((id, rest)) => {
                    if let Some(idx) = position(id) {
                        renamed.insert(format!("stitches.{idx}.{rest}"), array);
                    }
                }
                None if name == "embed_session.weight" => {
                    renamed.insert(name, self.rows_of(&array, sessions));
                }
                None => {
                    renamed.insert(name, array);
                }
            }
        }
        renamed
    }

    /// The rows of a session table that belong to `sessions`, in their order.
    fn rows_of(&self, table: &GoldenArray, sessions: &[SessionSpec]) -> GoldenArray {
        let width = table.shape[1];
        let row = |spec: &SessionSpec| {
            let idx = self.sessions.iter().position(|s| s.session == spec.session).expect("a golden session");
            table.values[idx * width..(idx + 1) * width].to_vec()
        };
        GoldenArray { shape: vec![sessions.len(), width], values: sessions.iter().flat_map(row).collect() }
    }
}

fn is_table(name: &str) -> bool {
    ["embed_pos.", "embed_prompt.", "embed_session."].iter().any(|table| name.starts_with(table))
}

#[derive(Deserialize)]
struct CasesFile {
    model: MtmSizes,
    sessions: Vec<SessionEntry>,
    cases: Vec<CaseEntry>,
    multi_session: MultiSessionEntry,
}

#[derive(Deserialize)]
struct SessionEntry {
    id: String,
    n_units: usize,
}

impl SessionEntry {
    fn spec(&self) -> SessionSpec {
        let session = SessionId::new(&self.id).unwrap();
        SessionSpec { session, n_units: self.n_units, log_mean_rates: None }
    }
}

#[derive(Deserialize)]
struct BatchEntry {
    context: String,
    prompt: Option<usize>,
    session: String,
}

impl BatchEntry {
    fn read(&self, arrays: &Golden) -> MtmBatch {
        let context = if self.context == "full" { Context::Full } else { Context::Causal };
        let prompt = self.prompt.map(|row| Prompt::ALL[row]);
        MtmBatch {
            session: SessionId::new(&self.session).unwrap(),
            counts: arrays["counts"].counts(),
            masking: Masking::new(arrays["hidden"].mask(), arrays["counted"].mask(), context, prompt),
        }
    }
}

#[derive(Deserialize)]
struct CaseEntry {
    name: String,
    #[serde(flatten)]
    batch: BatchEntry,
    loss: f64,
    loss_after: f64,
    #[serde(flatten)]
    records: MtmRecords,
}

impl CaseEntry {
    fn read(self) -> MtmCase {
        let arrays = golden(&format!("ndt_stitch/{}.safetensors", self.name));
        MtmCase {
            batch: self.batch.read(&arrays),
            is_faithful: self.batch.context == "causal_faithful",
            log_rates: arrays["log_rates"].clone(),
            latents: arrays["latents"].clone(),
            loss: self.loss,
            records: self.records,
            loss_after: self.loss_after,
            gradients: part(&arrays, "grad."),
            after: part(&arrays, "after."),
            name: self.name,
        }
    }
}

#[derive(Deserialize)]
struct MultiSessionEntry {
    steps: Vec<BatchEntry>,
    #[serde(flatten)]
    records: MtmRecords,
}
