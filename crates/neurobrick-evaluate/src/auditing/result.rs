//! What an audit writes.

use std::fmt::Write;

use neurobrick_metrics::audit::{AuditReport, Outcome};
use serde::{Deserialize, Serialize};

/// One audit by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedAudit {
    /// Table or session, and label.
    pub name: String,
    /// What was found.
    pub report: AuditReport,
}

/// All audits of a run: the contents of `audit.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditResult {
    /// Version of this file's format.
    pub format_version: u32,
    /// One per table and session.
    pub audits: Vec<NamedAudit>,
}

impl AuditResult {
    /// Names of the audits with a failed check.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.audits.iter().filter(|audit| audit.report.outcome() == Outcome::Fail);
        failed.map(|audit| audit.name.as_str()).collect()
    }

    /// The report for people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Audit\n");
        for NamedAudit { name, report } in &self.audits {
            let [train, test] = report.n_rows;
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "\n## {name}: {}\n\n{} {:.3} on {test} rows after {train} (chance {:.2}; with shuffled labels {:.3}, 5 % above \
                 {:.3}, p = {:.3}).\n\n| check | outcome | what was found |\n|---|---|---|\n",
                word(report.outcome()),
                report.metric,
                report.score,
                report.chance,
                report.null.mean,
                report.null.upper,
                report.null.p_value
            );
            for finding in &report.findings {
                let message = finding.message.replace('|', "\\|");
                let _ =
                    writeln!(text, "| {} | {} | {message} |", finding.check.name(), word(finding.outcome));
            }
        }
        text
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplicable => "–",
        Outcome::Pass => "pass",
        Outcome::Warning => "warning",
        Outcome::Fail => "FAIL",
    }
}
