//! What `--help` shows: the verbs by what they are for.

/// The text; a test compares it with the verbs there are.
pub(super) const TEXT: &str = "\
Foundation models of neural data: recordings in, models, scores and reports out.

Usage: cargo xtask <VERB>

The main job
  demo      Everything on the recordings of this repository: ingest, pretrain, fine-tune, evaluate, report

Step by step
  ingest    Foreign recordings into a store
  inspect   A look at a store: sessions, units per region, rates, trials
  fetch     Sessions of a store behind a URL into one of this machine
  pretrain  One model on many sessions
  finetune  A model of each session: fine-tuned, or from scratch as the control
  evaluate  Scores on test trials beside all baselines, with a report
  questions What an evaluation asks, in files, for models of other programs
  compare   Finished evaluations side by side
  report    report.html and card.md of a finished run again

What a model is worth
  decode    What can be read out of it: labels and behavior, by every decoder, with nulls
  transfer  Sessions that pretraining never saw, with few and with many trials
  scale     Scores against the size of pretraining, with laws and intervals
  audit     Leaks and shortcuts behind a score

A model at work
  embed     Latents of a session into a file
  predict   Predicted rates of a session into a file
  stream    Answers bin by bin, for closed loops
  decoder   Fits a decoder for `stream`
  import    Published PyTorch weights into a model folder
  export    A model as a state dict for PyTorch

For developers
  test      All tests, or those of a device
  ci        All checks, as CI runs them
  tidy      House rules that no compiler checks
  bench     Speed and memory: against PyTorch, part by part, or against size
  counts    Instructions of hot kernels against those kept
  parity    How far every model is from its reference
  schema    JSON Schemas of all files

`cargo xtask help VERB` says more, with examples. Files are TOML or YAML: fixtures/configs has one for each verb, docs/schema
describes every key, and docs/guide walks through the steps.

Options:
  -h, --help     Print help
  -V, --version  Print version
";

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use crate::cli::Cli;

    #[test]
    fn the_overview_names_every_verb_once() {
        let listed: Vec<&str> = super::TEXT
            .lines()
            .filter_map(|line| line.strip_prefix("  "))
            .filter(|line| !line.starts_with(['-', ' ']))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let command = Cli::command();
        let verbs: BTreeSet<&str> = command
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .map(clap::Command::get_name)
            .collect();
        assert_eq!(listed.len(), verbs.len(), "a verb is missing or listed twice");
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), verbs);
    }
}
