//! The real recordings give exactly the numbers that their publishers state.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::collections::BTreeSet;

use neurobrick_ingest::{Alf, CountsNpz, IngestOptions, Reader, ingest};
use neurobrick_schema::{Activity, ColumnValues, Consent, Recording, Store, summary};

fn floats<'a>(recording: &'a Recording, name: &str) -> &'a [Option<f64>] {
    match &recording.trials().column(name).unwrap().values {
        ColumnValues::Float(values) => values,
        other => unreachable!("{name} is {}", other.type_name()),
    }
}

#[test]
fn steinmetz_2019_has_the_published_totals() {
    let root = foreign::fixtures().join("steinmetz2019-binned");
    let table = std::fs::read_to_string(root.join("sessions.csv")).unwrap();
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let sources = CountsNpz.sessions(&root).unwrap();
    assert_eq!(sources.len(), 11);
    let (mut n_units, mut n_trials, mut subjects) = (0, 0, BTreeSet::new());
    for (source, row) in sources.iter().zip(&rows) {
        let recording = CountsNpz.read(source).unwrap();
        assert_eq!((recording.info().session.as_str(), recording.info().subject.as_str()), (row[0], row[1]));
        let Activity::Counts(counts) = recording.activity() else { unreachable!("the source has counts") };
        let found = [counts.n_trials(), counts.n_units(), counts.n_bins()].map(|n| n.to_string());
        assert_eq!(found, [row[3], row[4], row[5]]);
        assert_eq!(recording.n_spikes().to_string(), row[6]);
        let areas: BTreeSet<&str> = recording.units().iter().map(|unit| unit.region.as_str()).collect();
        assert_eq!(areas.len().to_string(), row[7]);
        assert_eq!(counts.bin_size_s().to_bits(), 0.01_f64.to_bits());
        let interval = recording.trials().intervals()[0];
        assert!((interval.duration_s() - 0.4).abs() < 1e-9);
        assert_eq!(floats(&recording, "stim_on_s")[0], Some(interval.start_s));
        n_units += recording.n_units();
        n_trials += recording.trials().len();
        subjects.insert(recording.info().subject.clone());
    }
    assert_eq!((n_units, n_trials, subjects.len()), (10_563, 2_966, 3));
}

#[test]
fn steinmetz_2019_keeps_trial_columns_and_card() {
    let root = foreign::fixtures().join("steinmetz2019-binned");
    let recording = CountsNpz.read(&CountsNpz.sessions(&root).unwrap()[0]).unwrap();
    assert_eq!(recording.trials().intervals()[0].start_s.to_bits(), 71.207_702_922_173_21_f64.to_bits());
    assert_eq!(floats(&recording, "contrast_right")[..3], [Some(0.5), Some(0.0), Some(1.0)]);
    let column = |name: &str| recording.trials().column(name).unwrap().values.clone();
    let ColumnValues::Int(feedback) = column("feedback_type") else { unreachable!("whole numbers") };
    assert_eq!(feedback[..3], [Some(1), Some(1), Some(-1)]);
    // The success rate of session 1 as sessions.csv states it.
    let rewarded = feedback.iter().filter(|value| **value == Some(1)).count();
    assert!((rewarded as f64 / feedback.len() as f64 - 0.6053).abs() < 5e-5);
    let ColumnValues::Text(choice) = column("implied_choice") else { unreachable!("text") };
    assert_eq!(choice[..3], [Some("right".to_owned()), Some("nogo".to_owned()), None]);
    let names: Vec<&str> = recording.trials().columns().iter().map(|column| column.name.as_str()).collect();
    let all =
        ["stim_on_s", "contrast_left", "contrast_right", "feedback_type", "correct_side", "implied_choice"];
    assert_eq!(names, all);
    assert_eq!(recording.trials().column("stim_on_s").unwrap().unit.as_deref(), Some("s"));
    assert_eq!((recording.units()[1].id.as_str(), recording.units()[1].region.as_str()), ("1", "MOs"));

    let card = &recording.info().card;
    assert_eq!((card.license.as_str(), card.consent), ("CC-BY-4.0", Consent::NonHuman));
    let file = card.source_files.iter().find(|file| file.name == "session01_Cori_2016-12-14.npz").unwrap();
    assert_eq!((file.bytes, file.blake3.len()), (179_848, 64));
}

#[test]
fn the_ibl_excerpt_has_the_published_totals() {
    let root = foreign::fixtures().join("ibl-session-excerpt");
    let sources = Alf.sessions(&root).unwrap();
    assert_eq!(sources.len(), 1);
    let recording = Alf.read(&sources[0]).unwrap();
    assert_eq!((recording.n_spikes(), recording.n_units(), recording.trials().len()), (126_437, 262, 30));
    let good = recording.units().iter().filter(|unit| unit.quality == Some(1.0)).count();
    assert_eq!(good, 46);
    assert_eq!(summary(&recording).n_silent_units, 262 - 251);
    let first = &recording.units()[0];
    assert_eq!((first.id.as_str(), first.region.as_str(), first.depth_um), ("probe/0", "SPFp", Some(40.0)));
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!("the source has spikes") };
    let inside = |&time: &f64| recording.trials().intervals().iter().any(|trial| trial.contains(time));
    let share = spikes.times_s().iter().filter(|time| inside(time)).count() as f64 / 126_437.0;
    assert!((share - 0.21).abs() < 0.005, "21 % of the spikes fall inside the trials, found {share}");
    let interval = recording.trials().intervals()[0];
    assert_eq!(interval.start_s.to_bits(), 60.962_413_581_016_6_f64.to_bits());
    assert!((interval.duration_s() - 1.2).abs() < 1e-9);
    assert_eq!(floats(&recording, "contrastLeft")[..3], [Some(1.0), Some(1.0), None]);
    assert_eq!(recording.trials().columns().len(), 10);
    let step = recording.info().card.changes.last().unwrap();
    assert!(step.contains("clusters.presence_ratio"), "{step}");
}

/// Every value of spikes, units and trials; see `fixtures/formats/alf/golden.py`.
#[test]
fn the_ibl_excerpt_is_read_as_numpy_reads_it() {
    let text = std::fs::read_to_string(foreign::fixtures().join("../formats/alf/golden.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_str(&text).unwrap();
    let recording = foreign::read(&Alf, &foreign::fixtures().join("ibl-session-excerpt")).unwrap();
    let Activity::Spikes(spikes) = recording.activity() else { unreachable!("the source has spikes") };
    let present = |values: &mut dyn Iterator<Item = u64>| summed(values.map(Some));
    assert_eq!(present(&mut spikes.times_s().iter().map(|time| time.to_bits())), golden["times"]);
    assert_eq!(present(&mut spikes.units().iter().map(|&unit| u64::from(unit))), golden["unit_of"]);
    let units = recording.units();
    assert_eq!(serde_json::json!(units.iter().map(|unit| &unit.id).collect::<Vec<_>>()), golden["ids"]);
    assert_eq!(present(&mut units.iter().map(|unit| fnv(&unit.region))), golden["units"]["acronym"]);
    let bits = |value: Option<f64>| value.map(f64::to_bits);
    assert_eq!(summed(units.iter().map(|unit| bits(unit.depth_um))), golden["units"]["depths"]);
    assert_eq!(summed(units.iter().map(|unit| bits(unit.quality))), golden["units"]["label"]);
    let trials = recording.trials();
    for (name, golden) in golden["trials"].as_object().unwrap() {
        let found = match trials.column(name).map(|column| &column.values) {
            Some(ColumnValues::Float(values)) => summed(values.iter().map(|&value| bits(value))),
            Some(ColumnValues::Int(values)) => {
                summed(values.iter().map(|value| value.map(i64::cast_unsigned)))
            }
            Some(other) => unreachable!("{name} is {}", other.type_name()),
            None if name == "trial_start" => {
                present(&mut trials.intervals().iter().map(|one| one.start_s.to_bits()))
            }
            None => present(&mut trials.intervals().iter().map(|one| one.end_s.to_bits())),
        };
        assert_eq!(&found, golden, "{name}");
    }
}

fn fnv(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Sums of codes, as the script makes them.
fn summed(codes: impl Iterator<Item = Option<u64>>) -> serde_json::Value {
    let (mut n, mut missing, mut sum, mut placed) = (0_u64, 0_u64, 0_u64, 0_u64);
    for code in codes {
        n += 1;
        match code {
            Some(code) => (sum, placed) = (sum.wrapping_add(code), placed.wrapping_add(n.wrapping_mul(code))),
            None => missing += 1,
        }
    }
    serde_json::json!({ "n": n, "missing": missing, "sum": sum, "placed": placed })
}

#[test]
fn everything_goes_into_a_store_once_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let roots = ["steinmetz2019-binned", "ibl-session-excerpt"].map(|name| foreign::fixtures().join(name));
    let mut n_events = 0;
    let first = ingest(&roots, &store, &IngestOptions::default(), &mut |_| n_events += 1).unwrap();
    assert!(first.is_complete(), "{:?}", first.refused);
    assert_eq!((first.written.len(), first.unchanged.len(), n_events), (12, 0, 24));
    let second = ingest(&roots, &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((second.written.len(), second.unchanged.len()), (0, 12));
    let n_spikes: u64 = store.sessions().unwrap().iter().map(|id| store.read(id).unwrap().n_spikes()).sum();
    let table = std::fs::read_to_string(roots[0].join("sessions.csv")).unwrap();
    let published: u64 =
        table.lines().skip(1).map(|line| line.split(',').nth(6).unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(n_spikes, published + 126_437);
}

#[test]
fn a_folder_of_several_recordings_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let summary = ingest(&[foreign::fixtures()], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert!(summary.is_complete(), "{:?}", summary.refused);
    assert_eq!(summary.written.len(), 13, "eleven sessions of counts and two of spikes");
}
