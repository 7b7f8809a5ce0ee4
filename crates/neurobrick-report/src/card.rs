//! The model card of a run in Markdown: intended use, data and licenses, scores with intervals, limits.

use std::fmt::Write as _;

use crate::model::{Estimate, RunReport, SessionRole, TaskResult};
use crate::numbers;
use crate::verdict::verdicts;

/// The card, ready to be written as `card.md`.
pub fn card(report: &RunReport) -> String {
    let mut text = String::new();
    let model = &report.model;
    paragraph(&mut text, &format!("# {}", inline(&model.name)));
    paragraph(&mut text, &inline(&report.summary));
    let facts = [("License of the weights".to_owned(), model.license.clone())]
        .into_iter()
        .chain([(
            "Parameters".to_owned(),
            model.n_parameters.map_or_else(|| "not stated".to_owned(), numbers::count),
        )])
        .chain(model.architecture.iter().map(|fact| (fact.name.clone(), fact.value.clone())));
    table(&mut text, &["Fact", "Value"], facts.map(|(name, value)| vec![name, value]));
    section(&mut text, "Intended use", &model.intended_use, "No intended use was stated.");
    section(&mut text, "Not for", &model.not_for, "No excluded use was stated.");
    data(&mut text, report);
    scores(&mut text, report);
    over_sessions(&mut text, report);
    choices(&mut text, report);
    decoding(&mut text, report);
    section(&mut text, "Limits", &report.notes, "No limits were stated; read that as unknown, not as none.");
    reproduce(&mut text, report);
    text
}

fn data(text: &mut String, report: &RunReport) {
    paragraph(text, "## Data");
    let n_with =
        |role: SessionRole| report.sessions.iter().filter(|session| session.role == role).count() as u64;
    let session = |role| numbers::counted(n_with(role), "session");
    let sentence = if n_with(SessionRole::Pretrain) > 0 {
        format!(
            "Pretrained on {}; fine-tuned and evaluated on {} that pretraining never saw.",
            session(SessionRole::Pretrain),
            session(SessionRole::FineTune)
        )
    } else {
        format!("Evaluated on {}.", session(SessionRole::Evaluated))
    };
    paragraph(text, &sentence);
    let sources = report.data.iter();
    table(
        text,
        &["Data set", "License", "Citation"],
        sources.map(|source| {
            let citation = source.citation.trim();
            let citation = if citation.is_empty() { numbers::UNDEFINED } else { citation };
            vec![source.name.clone(), source.license.clone(), citation.to_owned()]
        }),
    );
    table(
        text,
        &["Session", "Subject", "Role", "Units", "Train", "Valid", "Test"],
        report.sessions.iter().map(|session| {
            let [train, valid, test] = session.split_in_words();
            vec![
                session.id.clone(),
                session.subject.clone(),
                session.role.label().to_owned(),
                numbers::count(session.n_units),
                train,
                valid,
                test,
            ]
        }),
    );
}

fn scores(text: &mut String, report: &RunReport) {
    paragraph(text, "## Scores");
    if report.tasks.is_empty() {
        paragraph(text, "No task was evaluated.");
        return;
    }
    let sentence = format!(
        "Pooled bits/spike on test trials against each unit's mean over the evaluated bins and over the training \
         trials; in brackets 95 % intervals ({}).",
        inline(&report.interval_method)
    );
    paragraph(text, &sentence);
    for verdict in verdicts(report) {
        let sentences: Vec<String> = verdict.answers().into_iter().map(|answer| answer.sentence).collect();
        let _ = writeln!(text, "- **{}.** {}", verdict.task.label(), inline(&sentences.join(" ")));
    }
    text.push('\n');
    table(
        text,
        &[
            "Task",
            "Session",
            "Predictor",
            "Against evaluated mean",
            "Against train mean",
            "Trials",
            "Units",
            "Spikes",
        ],
        report.tasks.iter().flat_map(score_rows),
    );
}

fn score_rows(result: &TaskResult) -> impl Iterator<Item = Vec<String>> {
    result.predictors.iter().map(|row| {
        let pooled = [&row.evaluated_mean.pooled, &row.train_mean.pooled].map(|estimate| {
            format!(
                "{} {}",
                numbers::decimal(estimate.value, 3),
                numbers::interval(estimate.low, estimate.high)
            )
        });
        let [evaluated, train] = pooled;
        vec![
            result.task.label().to_owned(),
            result.session.clone(),
            row.predictor.label().to_owned(),
            evaluated.trim_end().to_owned(),
            train.trim_end().to_owned(),
            numbers::count(result.n_trials),
            numbers::count(result.n_units),
            numbers::count(result.n_spikes),
        ]
    })
}

fn over_sessions(text: &mut String, report: &RunReport) {
    let Some(summary) = &report.over_sessions else { return };
    let number = |estimate: &Estimate| {
        let (value, interval) =
            (numbers::decimal(estimate.value, 3), numbers::interval(estimate.low, estimate.high));
        format!("{value} {interval}").trim_end().to_owned()
    };
    if !summary.scores.is_empty() {
        paragraph(text, "## Over sessions");
        paragraph(
            text,
            "Mean over sessions of pooled bits/spike; in brackets 95 % intervals over sessions and trials.",
        );
        let rows = summary.scores.iter().map(|score| {
            vec![
                score.task.label().to_owned(),
                score.predictor.label().to_owned(),
                number(&score.mean),
                numbers::count(score.n_sessions),
                format!("{} ({})", numbers::decimal(score.worst, 3), score.worst_session),
            ]
        });
        table(text, &["Task", "Predictor", "Mean", "Sessions", "Worst session"], rows);
    }
    let several = || summary.regions.iter().filter(|found| found.regions.len() > 1);
    if several().next().is_some() {
        paragraph(text, "## Worst regions");
        let rows = several().flat_map(|found| {
            found.regions.iter().filter(|row| row.is_worst).map(move |row| {
                vec![
                    found.task.label().to_owned(),
                    found.predictor.label().to_owned(),
                    row.region.clone(),
                    number(&row.score),
                    numbers::count(row.n_sessions),
                    numbers::count(row.n_units),
                    number(&found.mean),
                ]
            })
        });
        let header = ["Task", "Predictor", "Region", "Mean", "Sessions", "Units", "Mean over regions"];
        table(text, &header, rows);
    }
}

fn choices(text: &mut String, report: &RunReport) {
    if report.choices.is_empty() {
        return;
    }
    paragraph(text, "## Real spikes or altered ones");
    paragraph(
        text,
        "Share of pairs in which the real spikes of what is hidden are found likelier than altered ones; chance is 0.5.",
    );
    let rows = report.choices.iter().flat_map(|result| {
        result.rows.iter().map(move |row| {
            let accuracy = &row.accuracy;
            vec![
                result.session.clone(),
                result.task.label().to_owned(),
                result.alteration.clone(),
                row.predictor.label().to_owned(),
                format!(
                    "{} {}",
                    numbers::decimal(accuracy.value, 3),
                    numbers::interval(accuracy.low, accuracy.high)
                ),
                numbers::decimal(row.calibration_error, 3),
                numbers::count(result.n_items),
            ]
        })
    });
    let header = ["Session", "Task", "Altered", "Predictor", "Accuracy", "Calibration error", "Pairs"];
    table(text, &header, rows);
}

fn decoding(text: &mut String, report: &RunReport) {
    if report.decoding.is_empty() {
        return;
    }
    paragraph(text, "## Decoding");
    table(
        text,
        &[
            "Session",
            "Target",
            "Feature",
            "Balanced accuracy",
            "Test trials",
            "Majority",
            "Shuffled labels",
            "p",
        ],
        report.decoding.iter().map(|result| {
            let accuracy = &result.balanced_accuracy;
            let [null_mean, p_value] = result.null_in_words();
            vec![
                result.session.clone(),
                result.target.label().to_owned(),
                result.feature.label().to_owned(),
                format!(
                    "{} {}",
                    numbers::decimal(accuracy.value, 3),
                    numbers::interval(accuracy.low, accuracy.high)
                ),
                numbers::count(result.n_trials),
                numbers::decimal(result.majority_baseline, 3),
                null_mean,
                p_value,
            ]
        }),
    );
}

fn reproduce(text: &mut String, report: &RunReport) {
    paragraph(text, "## Reproduce");
    let reproduction = &report.reproduce;
    // A fence longer than any run of backticks inside cannot be closed by the command.
    let longest = reproduction.command.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    paragraph(text, &format!("{fence}\n{}\n{fence}", reproduction.command));
    let sentence = format!(
        "Seed {}, {} on {}.",
        reproduction.seed,
        numbers::counted(reproduction.n_threads, "thread"),
        inline(&reproduction.device)
    );
    paragraph(text, &sentence);
}

fn section(text: &mut String, heading: &str, items: &[String], empty: &str) {
    paragraph(text, &format!("## {heading}"));
    if items.is_empty() {
        paragraph(text, empty);
        return;
    }
    for item in items {
        let _ = writeln!(text, "- {}", inline(item));
    }
    text.push('\n');
}

fn table(text: &mut String, header: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<String> =
        rows.map(|row| row.iter().map(|cell| inline(cell)).collect::<Vec<_>>().join(" | ")).collect();
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "| {} |", header.join(" | "));
    let _ = writeln!(text, "|{}", "---|".repeat(header.len()));
    for row in rows {
        let _ = writeln!(text, "| {row} |");
    }
    text.push('\n');
}

fn paragraph(text: &mut String, content: &str) {
    text.push_str(content);
    text.push_str("\n\n");
}

/// Text on one line in which nothing acts as Markdown or HTML.
fn inline(content: &str) -> String {
    let mut safe = String::with_capacity(content.len());
    for character in content.chars() {
        match character {
            '\n' | '\r' => safe.push(' '),
            '\\' | '|' | '*' | '_' | '`' => {
                safe.push('\\');
                safe.push(character);
            }
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            other => safe.push(other),
        }
    }
    safe
}
