//! What decoding finds: the contents of `decode.json`.

use std::fmt::Write as _;

use neurobrick_metrics::{DecodingMetric, NullDistribution, TestedScore};
use neurobrick_schema::SessionId;
use serde::{Deserialize, Serialize};

use super::EncodingEvaluation;

/// One target decoded from one feature by one decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeRow {
    /// The session.
    pub session: SessionId,
    /// The label or behavior.
    pub target: String,
    /// What it was decoded from.
    pub feature: String,
    /// The decoder.
    pub decoder: String,
    /// What was chosen on training trials, in words.
    pub choice: Option<String>,
    /// The score on test trials; absent where it is undefined, for the reason given.
    pub score: Option<TestedScore>,
    /// The second null: circular shifts of labels, which keep their rhythm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shifted: Option<NullDistribution>,
    /// The third, with several sessions: their labels or behavior in place of one's own, whose slow changes are thereby no code.
    /// Absent where none of them has as many trials, and of models trained before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_sessions: Option<NullDistribution>,
    /// Why there is no score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undefined: Option<String>,
}

/// A score, its second null and what was chosen.
pub(crate) struct Decoded {
    pub(crate) score: TestedScore,
    pub(crate) shifted: Option<NullDistribution>,
    pub(crate) other_sessions: Option<NullDistribution>,
    pub(crate) choice: String,
}

impl DecodeRow {
    /// The row of a target that has no score.
    pub fn undefined(session: &SessionId, names: [&str; 3], reason: impl std::fmt::Display) -> Self {
        Self::new(session, names, Err(reason))
    }

    pub(crate) fn new(
        session: &SessionId,
        [target, feature, decoder]: [&str; 3],
        decoded: Result<Decoded, impl std::fmt::Display>,
    ) -> Self {
        let (found, undefined) = match decoded {
            Ok(found) => (Some(found), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let (score, [shifted, other_sessions], choice) = match found {
            Some(found) => (Some(found.score), [found.shifted, found.other_sessions], Some(found.choice)),
            None => (None, [None, None], None),
        };
        Self {
            session: session.clone(),
            target: target.to_owned(),
            feature: feature.to_owned(),
            decoder: decoder.to_owned(),
            choice,
            score,
            shifted,
            other_sessions,
            undefined,
        }
    }
}

/// Everything decoding finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecodeResult {
    /// Version of this file's format.
    pub format_version: u32,
    /// One row per session, target, feature and decoder.
    pub rows: Vec<DecodeRow>,
    /// The other way round, for models that also predict spikes from behavior (NEDS), one entry a session and model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encoding: Vec<EncodingEvaluation>,
}

impl DecodeResult {
    /// Tables for people, one per session and target.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Decoding\n\nScores on test trials: balanced accuracy of labels, R² of behavior. Penalties are chosen on training \
             and validation trials only. The null refits the decoder to labels shuffled within blocks of trials (behavior: \
             shifted against the trials); `p shifted` shifts labels as well; `p others` takes the targets of so many other sessions for \
             the session's own, and cannot be below one in their number and one. A model that was trained before (`poyo`, `neds`) \
             is not refitted: its null is its own prediction against the behavior of other test trials.\n",
        );
        let mut last = None;
        for row in &self.rows {
            let key = (&row.session, &row.target);
            // Writing to a string cannot fail.
            if last != Some(key) {
                last = Some(key);
                let _ = write!(
                    text,
                    "\n## {} of {}\n\n| from | decoder | score [95 %] | naive | null mean | p | p shifted | p others | test trials | chosen |\n\
                     |---|---|---:|---:|---:|---:|---:|---:|---:|---|\n",
                    row.target, row.session
                );
            }
            let Some(score) = &row.score else {
                let reason = row.undefined.as_deref().unwrap_or("undefined");
                let _ = writeln!(text, "| {} | {} | {reason} | | | | | | | |", row.feature, row.decoder);
                continue;
            };
            let shifted = row.shifted.map_or_else(|| "–".to_owned(), |null| format!("{:.3}", null.p_value));
            let others = row
                .other_sessions
                .map_or_else(|| "–".to_owned(), |null| format!("{:.3} of {}", null.p_value, null.n_draws));
            let _ = writeln!(
                text,
                "| {} | {} | {:.3} [{:.3}, {:.3}] | {:.3} | {:.3} | {:.3} | {shifted} | {others} | {} | {} |",
                row.feature,
                row.decoder,
                score.value(),
                score.interval().lo,
                score.interval().hi,
                score.baseline().value,
                score.null().mean,
                score.null().p_value,
                score.n().trials,
                row.choice.as_deref().unwrap_or("–")
            );
        }
        for encoding in &self.encoding {
            encoding.write_markdown(&mut text);
        }
        text
    }

    /// The best row of a target by its score, and whether it is balanced accuracy or R².
    pub fn best(&self, session: &SessionId, target: &str) -> Option<(&DecodeRow, DecodingMetric, f64)> {
        let rows = self.rows.iter().filter(|row| row.session == *session && row.target == target);
        let scored = rows.filter_map(|row| row.score.as_ref().map(|s| (row, s.metric(), s.value())));
        scored.max_by(|a, b| a.2.total_cmp(&b.2))
    }
}
