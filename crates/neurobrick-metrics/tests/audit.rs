//! Audits of real recordings with a planted leak and without one, and of leaks planted one by one.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use ndarray::{Array2, Axis, concatenate, s};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::audit::{
    AuditReport, AuditRows, AuditSettings, AuditSplit, Check, Nuisance, Outcome, audit,
};
use neurobrick_random::{Domain, Stream};

/// Number of the run, class and features of each row of a table of the fixtures.
fn table(name: &str) -> Array2<f64> {
    let path = format!("{}/../../fixtures/audit/muse_eeg/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<f64>> =
        text.lines().skip(1).map(|line| line.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn whole(x: f64) -> usize {
    x.to_string().parse().unwrap()
}

fn rows_of(table: &Array2<f64>) -> AuditRows {
    let column = |j: usize| -> Vec<usize> { table.column(j).iter().map(|v| whole(*v)).collect() };
    let runs = column(0);
    let one_hot = Array2::from_shape_fn((runs.len(), 14), |(i, j)| f64::from(u8::from(runs[i] == j)));
    AuditRows {
        features: table.slice(s![.., 4..]).to_owned(),
        labels: column(1),
        trials: (0..runs.len()).collect(),
        groups: runs,
        has_times: true,
        spans_s: table.rows().into_iter().map(|row| [row[2], row[3]]).collect(),
        stimuli: None,
        nuisances: vec![
            Nuisance { name: "time in the run".to_owned(), values: table.slice(s![.., 2..3]).to_owned() },
            Nuisance { name: "run".to_owned(), values: one_hot },
        ],
        outputs: None,
    }
}

/// 70 % of the rows train, drawn at random: how such windows are often split.
fn random_split(n: usize, seed: u64) -> AuditSplit {
    let order = Stream::new(seed, Domain::Split, [0, 0, 0]).permutation(n);
    let (train, test) = order.split_at(n * 7 / 10);
    AuditSplit { train: train.to_vec(), test: test.to_vec() }
}

fn run(rows: &AuditRows, split: &AuditSplit) -> AuditReport {
    audit(rows, split, &AuditSettings::with_seed(1)).unwrap()
}

fn outcome(report: &AuditReport, check: Check) -> Outcome {
    report.finding(check).unwrap().outcome
}

/// A label of runs that means nothing scores 0.7 under random windows and nothing with runs held out.
#[test]
fn the_planted_leak_is_found_from_every_side() {
    let rows = rows_of(&table("p300_windows.csv"));
    let report = run(&rows, &random_split(rows.labels.len(), 1));
    assert!((0.66..0.76).contains(&report.score), "{}", report.score);
    assert_eq!(report.outcome(), Outcome::Fail);
    for check in
        [Check::OverlappingWindows, Check::GroupsHeldOut, Check::LabelsOfGroups, Check::NuisanceAlone]
    {
        assert_eq!(outcome(&report, check), Outcome::Fail, "{:?}", report.finding(check));
    }
    assert_eq!(outcome(&report, Check::CorrelatedNeighbors), Outcome::Warning);
    let held_out = report.finding(Check::GroupsHeldOut).unwrap();
    let number = |name: &str| held_out.numbers.iter().find(|(n, _)| n == name).unwrap().1;
    assert!((number("folds") - 4.0).abs() < 0.5, "pairs of runs");
    assert!((number("score with groups held out") - 0.49).abs() < 0.03, "{held_out:?}");
    // Labels dealt to runs at random score as high: the shuffle of windows would have called it significant.
    assert!(report.null.p_value > 0.05 && report.null.mean > 0.6, "{:?}", report.null);
    // Time in the run says nothing, the run everything.
    let messages: Vec<&str> = report.findings.iter().map(|f| f.message.as_str()).collect();
    assert!(messages.iter().any(|m| m.starts_with("run alone decodes the label at 1.000")), "{messages:?}");
}

#[test]
fn a_code_that_holds_across_runs_passes() {
    let rows = rows_of(&table("ssvep_trials.csv"));
    let report = run(&rows, &random_split(rows.labels.len(), 1));
    assert!(report.score > 0.95, "{}", report.score);
    for finding in &report.findings {
        assert!(finding.outcome <= Outcome::Pass, "{finding:?}");
    }
    assert!(report.null.p_value < 0.01 && (report.null.mean - 0.5).abs() < 0.05, "{:?}", report.null);
}

/// Each leak planted into clean rows raises its own check, and no other fails.
#[test]
fn each_leak_fails_its_own_check() {
    let clean = rows_of(&table("ssvep_trials.csv"));
    let n = clean.labels.len();
    let split = random_split(n, 2);
    let check = |rows: &AuditRows, split: &AuditSplit, check: Check| {
        let report = run(rows, split);
        assert_eq!(outcome(&report, check), Outcome::Fail, "{check:?}: {:?}", report.finding(check));
        for finding in report.findings.iter().filter(|f| f.check != check) {
            assert!(finding.outcome < Outcome::Fail, "{check:?} raised {finding:?}");
        }
    };

    let mut shared = clean.clone();
    shared.trials[split.test[0]] = split.train[0];
    check(&shared, &split, Check::SharedTrials);

    let mut overlapping = clean.clone();
    overlapping.groups[split.test[3]] = overlapping.groups[split.train[5]];
    overlapping.spans_s[split.test[3]] = overlapping.spans_s[split.train[5]].map(|t| t + 1.9);
    check(&overlapping, &split, Check::OverlappingWindows);

    let timeless = AuditRows { has_times: false, ..overlapping };
    let report = run(&timeless, &split);
    assert_eq!(
        outcome(&report, Check::OverlappingWindows),
        Outcome::Warning,
        "cannot be seen, nor ruled out"
    );
    assert_eq!(outcome(&report, Check::CorrelatedNeighbors), Outcome::NotApplicable);

    let mut copied = clean.clone();
    let copy = copied.features.row(split.train[7]).to_owned();
    copied.features.row_mut(split.test[4]).assign(&copy);
    check(&copied, &split, Check::Duplicates);

    let mut standardized = clean.clone();
    for mut column in standardized.features.columns_mut() {
        let mean = column.mean().unwrap();
        let sd = (column.mapv(|v| (v - mean).powi(2)).mean().unwrap()).sqrt();
        column.mapv_inplace(|v| (v - mean) / sd);
    }
    check(&standardized, &split, Check::StatisticsBeforeSplit);

    let mut moved = clean.clone();
    let movement = Array2::from_shape_fn((n, 1), |(i, _)| 0.1 * (i % 3) as f64 + clean.labels[i] as f64);
    moved.nuisances.push(Nuisance { name: "movement".to_owned(), values: movement });
    check(&moved, &split, Check::NuisanceAlone);

    let mut collapsed = clean.clone();
    collapsed.outputs = Some(Array2::from_shape_fn((n, 6), |(i, j)| (i * (j + 1)) as f64));
    check(&collapsed, &split, Check::CollapsedOutputs);
    let mut spread = clean.clone();
    spread.outputs = Some(clean.features.clone());
    assert_eq!(outcome(&run(&spread, &split), Check::CollapsedOutputs), Outcome::Pass);
}

/// Rows of noise in trials of their own, five groups of equal length.
fn noise_rows(n: usize, columns: usize, mut value: impl FnMut(usize) -> f64) -> AuditRows {
    AuditRows {
        features: Array2::from_shape_fn((n, columns), |(row, _)| value(row)),
        labels: (0..n).map(|row| row % 2).collect(),
        trials: (0..n).collect(),
        groups: (0..n).map(|row| row * 5 / n).collect(),
        has_times: true,
        spans_s: (0..n).map(|row| [row as f64, row as f64 + 0.9]).collect(),
        stimuli: None,
        nuisances: Vec::new(),
        outputs: None,
    }
}

fn number_of(report: &AuditReport, check: Check, name: &str) -> f64 {
    report.finding(check).unwrap().numbers.iter().find(|(n, _)| n == name).unwrap().1
}

/// Windows of few spikes are equal by chance; copies are not, whether they were made before the split or from training rows.
#[test]
fn copies_are_told_from_rows_that_meet_by_chance() {
    let settings = AuditSettings { n_shuffles: 20, ..AuditSettings::with_seed(1) };
    let duplicates = |rows: &AuditRows, split: &AuditSplit| audit(rows, split, &settings).unwrap();
    // Six units, and forty that are silent or active together.
    for (columns, rates) in [(6, [0.15, 0.15]), (40, [0.01, 0.2])] {
        for seed in 0..10 {
            let mut stream = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
            let rows = noise_rows(300, columns, |row| f64::from(stream.poisson(rates[row / 2 % 2])).sqrt());
            let report = duplicates(&rows, &random_split(300, seed));
            let twins = number_of(&report, Check::Duplicates, "test rows that are training rows");
            assert!(twins > 0.0, "{columns} units: rows meet");
            assert_eq!(
                outcome(&report, Check::Duplicates),
                Outcome::Warning,
                "{columns} units, {seed}: {report:?}"
            );
        }
    }
    // Every row twice, as another trial: training rows repeat each other as often as test rows repeat them.
    let clean = rows_of(&table("ssvep_trials.csv"));
    let n = clean.labels.len();
    let mut twice = noise_rows(2 * n, 1, |_| 0.0);
    twice.features = concatenate(Axis(0), &[clean.features.view(), clean.features.view()]).unwrap();
    twice.labels = clean.labels.repeat(2);
    let report = duplicates(&twice, &random_split(2 * n, 1));
    assert_eq!(outcome(&report, Check::Duplicates), Outcome::Fail, "{report:?}");
    // One feature: a few numbers meet, copies of training rows are more than that.
    let split = random_split(200, 3);
    let mut stream = Stream::new(5, Domain::Synthetic, [0, 0, 0]);
    let mut one = noise_rows(200, 1, |_| stream.normal());
    assert_eq!(outcome(&duplicates(&one, &split), Check::Duplicates), Outcome::Pass);
    for i in 0..8 {
        one.features[[split.test[i], 0]] = one.features[[split.train[i], 0]];
    }
    let report = duplicates(&one, &split);
    assert_eq!(outcome(&report, Check::Duplicates), Outcome::Fail, "{report:?}");
}

/// Neighbors among rows of noise resemble each other by chance, more than the threshold in a quarter of the splits; the
/// test against sampling error calls few of them. A drift is called.
#[test]
fn neighbors_are_called_beyond_sampling_error_only() {
    let settings = AuditSettings { n_shuffles: 1, ..AuditSettings::with_seed(1) };
    let (mut called, mut large) = (0, 0);
    for seed in 0..40 {
        let mut stream = Stream::new(seed, Domain::Synthetic, [0, 0, 0]);
        let rows = noise_rows(100, 2, |_| stream.normal());
        let report = audit(&rows, &random_split(100, seed), &settings).unwrap();
        let number = |name: &str| number_of(&report, Check::CorrelatedNeighbors, name);
        large += usize::from(number("correlation with the nearest") - number("elsewhere") > 0.1);
        called += usize::from(outcome(&report, Check::CorrelatedNeighbors) == Outcome::Warning);
    }
    // One in twenty is two of forty; six has a chance of 1 %.
    assert!(large >= 8 && called < 6, "{large} {called}");
    let mut stream = Stream::new(1, Domain::Synthetic, [0, 0, 0]);
    let drifting = noise_rows(100, 2, |row| (row as f64 / 4.0).sin() + 0.5 * stream.normal());
    let report = audit(&drifting, &random_split(100, 1), &settings).unwrap();
    assert_eq!(outcome(&report, Check::CorrelatedNeighbors), Outcome::Warning, "{report:?}");
    // Neighbors among the flickers correlate at 0.04 over splits, with an error of 0.05: one in twenty is called.
    let rows = rows_of(&table("ssvep_trials.csv"));
    let is_called = |seed: &u64| {
        let report = audit(&rows, &random_split(rows.labels.len(), *seed), &settings).unwrap();
        outcome(&report, Check::CorrelatedNeighbors) == Outcome::Warning
    };
    let called = (0..20).filter(is_called).count();
    assert!(called <= 2, "{called}");
}

/// A stimulus that tells the label is named, one that does not passes.
#[test]
fn stimuli_that_tell_the_label_are_named() {
    let mut rows = rows_of(&table("ssvep_trials.csv"));
    let split = random_split(rows.labels.len(), 3);
    rows.stimuli = Some(rows.labels.iter().map(|label| 10 + label).collect());
    assert_eq!(outcome(&run(&rows, &split), Check::RepeatedStimuli), Outcome::Warning);
    rows.stimuli = Some((0..rows.labels.len()).map(|row| row / 7 % 3).collect());
    assert_eq!(outcome(&run(&rows, &split), Check::RepeatedStimuli), Outcome::Pass);
}

/// More features than the audit's decoder takes at once: a code in one of them is found all the same, noise is not.
#[test]
fn many_features_are_projected_by_the_training_rows() {
    let clean = rows_of(&table("ssvep_trials.csv"));
    let n = clean.labels.len();
    let mut stream = Stream::new(4, Domain::Synthetic, [0, 0, 0]);
    let noise = Array2::from_shape_fn((n, 90), |_| 0.3 * stream.normal());
    let split = random_split(n, 4);
    let mut rows = clean.clone();
    rows.features = concatenate(Axis(1), &[clean.features.view(), noise.view()]).unwrap();
    assert!(run(&rows, &split).score > 0.85);
    rows.features = noise;
    let report = run(&rows, &split);
    assert!((report.score - 0.5).abs() < 0.2 && report.null.p_value > 0.05, "{report:?}");
    assert_eq!(outcome(&report, Check::GroupsHeldOut), Outcome::Pass);
}

#[test]
fn unusable_rows_and_splits_are_refused() {
    let rows = rows_of(&table("ssvep_trials.csv"));
    let settings = AuditSettings::with_seed(1);
    let split = random_split(rows.labels.len(), 1);
    let refused = |rows: &AuditRows, split: &AuditSplit| audit(rows, split, &settings).unwrap_err();
    let both = AuditSplit { train: vec![0, 1, 2], test: vec![2, 3] };
    assert_eq!(refused(&rows, &both), MetricError::Duplicate { what: "row", index: 2 });
    let beyond = AuditSplit { train: vec![0, 1], test: vec![192] };
    assert!(matches!(refused(&rows, &beyond), MetricError::OutOfRange { index: 192, .. }));
    let empty = AuditSplit { train: vec![0, 1], test: Vec::new() };
    assert_eq!(refused(&rows, &empty), MetricError::Empty { what: "test rows" });
    let mut one_class = rows.clone();
    one_class.labels.fill(1);
    assert!(matches!(refused(&one_class, &split), MetricError::InvalidSetting { .. }));
    let mut short = rows.clone();
    short.groups.pop();
    assert!(matches!(refused(&short, &split), MetricError::ShapeMismatch { .. }));
    let mut broken = rows;
    broken.features[[3, 1]] = f64::NAN;
    assert!(matches!(refused(&broken, &split), MetricError::NotFinite { .. }));
}
