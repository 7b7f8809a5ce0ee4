//! The page as a whole: well formed, self-contained, escaped, complete, the same every time.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use neurobrick_report::{Estimate, Predictor, ReportError, RunReport, card, render, verdicts, write};

mod example_run;

/// Elements that have no end tag.
const VOID: [&str; 3] = ["meta", "br", "!DOCTYPE"];

/// Fails when a tag is not closed in order, or an attribute is not quoted.
fn assert_balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        // Attribute values are escaped, so that the next '>' ends the tag.
        let end =
            rest.find('>').unwrap_or_else(|| panic!("tag without end: {}", &rest[..rest.len().min(80)]));
        let tag = &rest[..end];
        rest = &rest[end + 1..];
        assert_eq!(tag.matches('"').count() % 2, 0, "unquoted attribute in <{tag}>");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes nothing, {} bytes from the end", rest.len());
        } else {
            let name = tag.split([' ', '\n', '/']).next().unwrap_or_default();
            if !tag.ends_with('/') && !VOID.contains(&name) {
                open.push(name);
            }
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn full_page_is_well_formed_and_complete() {
    let html = render(&example_run::full()).unwrap();
    assert_balanced(&html);
    for section in [
        "headline",
        "done",
        "results",
        "summary",
        "choices",
        "decoding",
        "curves",
        "rasters",
        "regions",
        "masks",
        "reproduce",
        "limits",
    ] {
        assert_eq!(html.matches(&format!("<section id=\"{section}\">")).count(), 1, "{section}");
        assert_eq!(html.matches(&format!("href=\"#{section}\"")).count(), 1, "{section} in the navigation");
    }
    assert!(!html.contains("class=\"empty\""), "a part of the full run came out empty");
    // 1 pipeline, 10 forests, 4 charts, 12 heat maps, 12 traces, 4 region charts, 5 masks.
    assert_eq!(html.matches("<svg ").count(), 48);
    assert_eq!(html.matches("<svg role=\"img\" aria-label=").count(), 48);
    assert!(!html.contains("NaN") && !html.contains("inf<"));
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
}

#[test]
fn page_needs_nothing_from_outside() {
    let html = render(&example_run::full()).unwrap();
    for forbidden in ["<script", "<link", "<img", "@import", "url(", "http://", "https://", "src="] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("href=\"").count(), html.matches("href=\"#").count());
}

#[test]
fn same_report_gives_the_same_bytes() {
    assert_eq!(render(&example_run::full()).unwrap(), render(&example_run::full()).unwrap());
}

#[test]
fn missing_parts_become_a_sentence_or_leave_the_page() {
    let html = render(&example_run::bare()).unwrap();
    assert_balanced(&html);
    for sentence in [
        "No task was evaluated, so there is no verdict.",
        "No session is listed.",
        "No limits were stated; read that as unknown, not as none.",
    ] {
        assert!(html.contains(sentence), "{sentence}");
    }
    for section in ["summary", "choices", "decoding", "curves", "rasters", "regions", "masks"] {
        assert!(!html.contains(&format!("#{section}\"")), "{section} in the navigation");
        assert!(!html.contains(&format!("id=\"{section}\"")), "{section}");
    }
}

/// Every string of the report, made hostile.
fn poisoned(value: &serde_json::Value, key: &str, poison: &str) -> serde_json::Value {
    use serde_json::Value;
    match value {
        // Enum variants and their names must stay readable.
        Value::String(text)
            if ["role", "task", "scheme", "attention", "predictor", "left", "right", "target", "feature"]
                .contains(&key) =>
        {
            Value::String(text.clone())
        }
        Value::String(text) if key == "baseline" => Value::String(text.clone()),
        Value::String(text) => Value::String(format!("{text}{poison}")),
        Value::Array(items) => items.iter().map(|item| poisoned(item, key, poison)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, field)| (name.clone(), poisoned(field, name, poison))).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn hostile_text_stays_text() {
    let poison = "</title><script>alert('1')</script>\" onload=\"x";
    let mut report = example_run::full();
    report.tasks[0].predictors[3].predictor =
        Predictor::Other { name: format!("ridge{poison}"), baseline: true };
    let value = poisoned(&serde_json::to_value(&report).unwrap(), "", poison);
    let report: RunReport = serde_json::from_value(value).unwrap();
    assert!(report.sessions[0].id.contains("<script>"));
    let html = render(&report).unwrap();
    assert!(!html.contains("<script") && !html.contains("\" onload"));
    assert_balanced(&html);
    let card = card(&report);
    // The command stands in a code fence, where markup is shown as typed.
    let outside: Vec<&str> = card.split("```").step_by(2).collect();
    assert!(outside.iter().all(|part| !part.contains("<script")));
}

#[test]
fn report_survives_json_with_undefined_numbers() {
    let mut report = example_run::full();
    report.sessions[0].mean_rate_hz = f64::NAN;
    report.rasters[0].rates[5] = f32::NAN;
    let text = serde_json::to_string(&report).unwrap();
    let back: RunReport = serde_json::from_str(&text).unwrap();
    assert!(back.sessions[0].mean_rate_hz.is_nan() && back.rasters[0].rates[5].is_nan());
    assert_eq!(serde_json::to_string(&back).unwrap(), text);
    assert_eq!(render(&back).unwrap(), render(&report).unwrap());
}

#[test]
fn undefined_scores_show_their_reason() {
    let html = render(&example_run::full()).unwrap();
    assert!(html.contains("title=\"ridge predicted a rate of zero where a spike fell\">–</td>"));
    assert!(
        html.contains(
            "pooled, evaluated-mean null (ridge): ridge predicted a rate of zero where a spike fell."
        )
    );
}

#[test]
fn verdicts_name_the_best_baseline_and_read_the_paired_interval() {
    let mut report = example_run::full();
    report.tasks.truncate(1);
    let result = &mut report.tasks[0];
    let baselines = [(3, 0.02), (4, 0.05), (5, 0.09), (6, 0.07)];
    for (row, value) in baselines {
        result.predictors[row].evaluated_mean.pooled = Estimate::new(value, value - 0.01, value + 0.01);
    }
    for pair in &mut result.differences {
        // Given the other way round: ridge minus fine-tuned.
        (pair.left, pair.right) = (pair.right.clone(), pair.left.clone());
        pair.difference = match pair.left {
            Predictor::Ridge => Estimate::new(-0.03, -0.04, -0.02),
            Predictor::FromScratch => Estimate::new(-0.001, -0.01, 0.008),
            _ => Estimate::new(0.5, 0.4, 0.6),
        };
    }
    // Another baseline that is as good, further down, does not take its place.
    let result = &mut report.tasks[0];
    let mut twin = result.predictors[5].clone();
    twin.predictor = Predictor::Other { name: "twin".to_owned(), baseline: true };
    result.predictors.push(twin);
    let verdict = &verdicts(&report)[0];
    assert_eq!(verdict.baseline[0].opponent, Some(Predictor::Ridge));
    assert_eq!(
        verdict.baseline_sentence(),
        "Fine-tuned end to end beats the best baseline on Cori_2016-12-14."
    );
    assert_eq!(verdict.baseline[0].evidence(true), "+0.030 [0.020, 0.040] vs ridge");
    assert!(verdict.network_sentence().contains("interval includes zero"));
    assert!(render(&report).unwrap().contains("+0.030 [0.020, 0.040] vs ridge"));
}

#[test]
fn a_model_is_judged_with_its_pool_whatever_it_is_called() {
    let mut report = example_run::full();
    let result = &mut report.tasks[0];
    result.predictors.truncate(3);
    for (row, name) in ["mine", "mine+linear", "other"].into_iter().enumerate() {
        result.predictors[row].predictor = Predictor::Other { name: name.to_owned(), baseline: false };
    }
    let pool = Predictor::Other { name: "mine+linear".to_owned(), baseline: false };
    assert_eq!(result.headline(), Some(&pool));
}

#[test]
fn best_of_each_column_is_bold_once() {
    let mut report = example_run::full();
    report.tasks.truncate(1);
    let html = render(&report).unwrap();
    // Four columns for each of two nulls.
    assert_eq!(html.matches("<td class=\"best").count(), 8);
}

#[test]
fn contradictions_are_errors_that_say_where() {
    type Damage = fn(&mut RunReport);
    let cases: [(Damage, &str); 6] = [
        (|report| assert!(report.rasters[0].counts.pop().is_some()), "29359 values, its axes give 29360"),
        (
            |report| report.choices[0].session = "Nobody".to_owned(),
            "a result of choices names session \"Nobody\"",
        ),
        (
            |report| report.decoding[0].session = "Nobody".to_owned(),
            "a decoding result names session \"Nobody\"",
        ),
        (|report| report.regions[0].regions[0].score = Estimate::new(0.0, 1.0, -1.0), "runs from 1 to -1"),
        (|report| report.traces[0].bin_size_s = 0.0, "is 0 s"),
        (|report| assert!(report.masks[0].hidden.pop().is_some()), "the hidden entries of the neuron mask"),
    ];
    for (damage, expected) in cases {
        let mut report = example_run::full();
        damage(&mut report);
        let message = render(&report).unwrap_err().to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

#[test]
fn page_is_written_whole_or_not_at_all() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join("report.html");
    let report = example_run::full();
    write(&report, &path).unwrap();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), render(&report).unwrap());
    let missing = folder.join("no-such-folder").join("report.html");
    assert!(matches!(write(&report, &missing), Err(ReportError::Write { path, .. }) if path == missing));
}

#[test]
fn card_has_use_data_scores_and_limits() {
    let card = card(&example_run::full());
    for part in [
        "# NDT1-stitch-MtM",
        "## Intended use\n\n- Predict hidden units",
        "## Not for\n\n- Clinical decisions.",
        "| Steinmetz 2019 (DANDI 000017) | CC-BY-4.0 |",
        "Pretrained on 8 sessions; fine-tuned and evaluated on 2 sessions that pretraining never saw.",
        "bootstrap over test trials, 2,000 resamples",
        "## Limits\n\n- All sessions come from one laboratory",
        "| Co-smoothing, leave one out | Cori\\_2016-12-14 | fine-tuned end to end | 0.182 [0.170, 0.194] | 0.194 [0.181, 0.207] |",
    ] {
        assert!(card.contains(part), "{part}\n---\n{card}");
    }
    // Every table row has as many cells as its header.
    for table in card.split("\n\n").filter(|block| block.starts_with('|')) {
        let cells: Vec<usize> =
            table.lines().map(|line| line.replace("\\|", "").matches('|').count()).collect();
        assert!(cells.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}

#[test]
fn peak_memory_is_in_the_units_of_the_documentation() {
    let html = render(&example_run::full()).unwrap();
    assert!(html.contains("peak memory 1.8 GB"));
}

/// The part of a page from the heading of a task to the next one.
fn task_section<'a>(html: &'a str, anchor: &str) -> &'a str {
    let from = html.find(&format!("<h3 id=\"{anchor}\">")).unwrap();
    let rest = &html[from + 4..];
    &rest[..rest.find("<h3 id=").or_else(|| rest.find("</section>")).unwrap()]
}

#[test]
fn forward_prediction_is_drawn_against_the_training_mean() {
    let mut report = example_run::full();
    for result in &mut report.tasks {
        result.predictors[0].evaluated_mean.pooled = Estimate::new(-0.066, -0.128, 0.000_1);
        result.predictors[0].train_mean.pooled = Estimate::new(0.23, 0.169, 0.298);
    }
    let html = render(&report).unwrap();
    let tooltip = "fine-tuned end to end: 0.230 [0.169, 0.298]";
    let (forward, other) = (task_section(&html, "forward-prediction"), task_section(&html, "inter-region"));
    assert!(forward.contains("pooled bits/spike (train-mean null)") && forward.contains(tooltip));
    assert!(!forward.contains("(evaluated-mean null)</text>"));
    assert!(forward.contains("mean over the training trials (the mean of the evaluated bins"), "{forward}");
    assert!(forward.contains("knows the future of the test trials"));
    assert!(other.contains("pooled bits/spike (evaluated-mean null)") && !other.contains(tooltip));
    assert!(other.contains("mean over the evaluated bins; lines"));
}

#[test]
fn sums_of_the_pipeline_are_of_the_windows_that_models_use() {
    let mut report = example_run::full();
    for session in &mut report.sessions {
        (session.n_units, session.n_trials, session.n_spikes) = (10, 20, 1_000);
    }
    report.rasters.clear();
    report.traces.clear();
    let html = render(&report).unwrap();
    // Ten of eleven sessions are used; what is stored of the eleventh is no window of this run.
    for line in ["11 sessions", "cut into windows:", "100 units", "200 trials", "10,000 spikes"] {
        assert!(html.contains(&format!(">{line}</text>")), "{line}");
    }
    assert!(html.contains("of those that are only ingested they are all that is stored"));
    assert!(!html.contains("Spikes are all that are stored"));
    report.sessions.retain(|session| session.role != neurobrick_report::SessionRole::IngestedOnly);
    assert!(!render(&report).unwrap().contains("only ingested"));
}

#[test]
fn a_source_without_a_citation_ends_with_its_license() {
    let mut report = example_run::full();
    report.data[0].citation = " ".to_owned();
    let html = render(&report).unwrap();
    assert!(html.contains("<li>Steinmetz 2019 (DANDI 000017) (CC-BY-4.0)</li>"));
    assert!(card(&report).contains("| Steinmetz 2019 (DANDI 000017) | CC-BY-4.0 | – |"));
}

#[test]
fn names_of_sessions_stay_inside_their_boxes() {
    let mut report = example_run::full();
    report.rasters.clear();
    report.traces.clear();
    report.tasks.clear();
    report.over_sessions = None;
    report.choices.clear();
    report.decoding.clear();
    report.fine_tuning.clear();
    report.regions.clear();
    for (index, session) in report.sessions.iter_mut().enumerate() {
        session.id = format!("session{index:02}_Forssmann_2017-11-01_probe_with_a_long_name");
    }
    let html = render(&report).unwrap();
    let (from, to) = (html.find("<svg").unwrap(), html.find("</svg>").unwrap());
    let number = |text: &str, name: &str| -> f64 {
        let (_, rest) = text.split_once(&format!(" {name}=\"")).unwrap();
        rest.split_once('"').unwrap().0.parse().unwrap()
    };
    for drawn in html[from..to].split("<rect").skip(1) {
        let right = number(drawn, "x") + number(drawn, "width");
        for text in drawn.split("<text class=\"box-line\"").skip(1) {
            let words = text.split_once('>').unwrap().1.split_once('<').unwrap().0;
            // The widest common font, DejaVu Sans, takes about 7 pixels for a character of such names.
            let end = number(text, "x") + 7.0 * words.chars().count() as f64;
            assert!(end <= right - 6.0, "{words:?} ends at {end}, its box at {right}");
        }
    }
    // Both ends of a name tell sessions apart.
    assert!(html[from..to].contains(">session00_") && html[from..to].contains("long_name</text>"));
}

#[test]
fn a_page_claims_no_more_of_test_trials_than_holds_of_its_run() {
    let html = render(&example_run::full()).unwrap();
    assert!(!html.contains("used once"));
    assert!(html.contains("No setting of this run is chosen on test trials"));
    assert_eq!(html.matches("What was settled before this run").count(), 1);
}

#[test]
fn predicted_activity_names_its_predictor() {
    let report = example_run::full();
    let html = render(&report).unwrap();
    assert!(html.contains("Predicted rates: fine-tuned end to end, by itself"), "single trials");
    assert!(html.contains("predicted by fine-tuned end to end, by itself,"), "example units");
    // Without its scores only that it is no pool is known.
    let html = render(&RunReport { tasks: Vec::new(), ..report }).unwrap();
    assert!(html.contains("Predicted rates: the first model of the run, by itself"));
}

/// A decoded label stands beside what the decoder reaches on labels without meaning; without a null the places are empty.
#[test]
fn decoded_labels_stand_beside_their_null() {
    let mut report = example_run::full();
    let html = render(&report).unwrap();
    assert!(html.contains("<td>0.500</td><td>0.497</td><td>0.010</td>"), "mean and p of the null");
    assert!(card(&report).contains(" | 0.500 | 0.497 | 0.010 |"), "{}", card(&report));
    report.decoding.iter_mut().for_each(|result| result.null = None);
    assert!(render(&report).unwrap().contains("<td>0.500</td><td>–</td><td>–</td>"));
}

#[test]
fn choices_stand_with_chance_and_size() {
    let report = example_run::full();
    let html = render(&report).unwrap();
    assert!(html.contains("Chance is 0.5") && html.contains("3.9 units altered on average"));
    assert!(
        html.contains("<td>0.842<small>[0.802, 0.872]</small></td><td>0.061</td><td><small></small></td>")
    );
    assert!(html.contains("<td>+0.055<small>[0.035, 0.075]</small></td>"));
    let card = card(&report);
    assert!(card.contains("| unit swap | ridge | 0.787 [0.747, 0.817] | 0.061 |"), "{card}");
}

/// Over sessions stand means with the worst session, over regions the worst one is marked; a single region is no table.
#[test]
fn the_worst_session_and_region_are_named() {
    let mut report = example_run::full();
    let html = render(&report).unwrap();
    assert!(
        html.contains(
            "<td>0.133<small>[0.083, 0.183]</small></td><td>+0.028<small>[0.018, 0.038]</small></td>"
        )
    );
    assert!(html.contains("<td>0.123</td><td class=\"left\">Cori_2016-12-17</td>"));
    assert_eq!(html.matches("<td>worst</td>").count(), 1);
    let text = card(&report);
    assert!(text.contains("| 0.151 (Cori\\_2016-12-17) |"), "{text}");
    assert!(text.contains("| Inter-region | ") && text.contains(" | root | "), "{text}");
    report.over_sessions.as_mut().unwrap().scores.clear();
    report.over_sessions.as_mut().unwrap().regions[0].regions.truncate(1);
    assert!(!render(&report).unwrap().contains("id=\"summary\"") && !card(&report).contains("Worst regions"));
}
