//! What the sums of the NWB files do not tell: regions, names, the card, what is named as not read, and the store.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestError, IngestOptions, Nwb, READERS, Reader, Source, ingest, recognize};
use neurobrick_schema::{
    Activity, ColumnValues, Consent, Interval, ListValues, Recording, Samples, Store, Unit,
};

fn nwb(name: &str) -> PathBuf {
    foreign::fixtures().join("../formats/nwb").join(name)
}

fn read(path: &Path) -> Result<Recording, IngestError> {
    Nwb.read(&Nwb.sessions(path)?[0])
}

fn made() -> Recording {
    read(&nwb("made")).unwrap()
}

fn texts(values: &[&str]) -> ColumnValues {
    ColumnValues::Text(values.iter().map(|text| Some((*text).to_owned())).collect())
}

fn floats(values: &[f64]) -> ColumnValues {
    ColumnValues::Float(values.iter().map(|&value| Some(value).filter(|v| !v.is_nan())).collect())
}

fn list(ends: &[usize], items: ColumnValues) -> ColumnValues {
    ColumnValues::List(ListValues::new(ends.to_vec(), items).unwrap())
}

#[test]
fn units_have_names_regions_and_all_their_columns() {
    let made = made();
    let unit = |id: &str, region: &str, depth_um| Unit {
        id: id.into(),
        region: region.into(),
        depth_um,
        quality: None,
    };
    // Row names repeat, so units are called by position. Unit 2 has electrodes in CA1 and DG, and its group is in DG.
    let units = [
        unit("0", "CA1", Some(10.0)),
        unit("1", "DG", None),
        unit("2", "DG", Some(30.5)),
        unit("3", "DG", Some(40.0)),
    ];
    assert_eq!(made.units(), units);
    let Activity::Spikes(spikes) = made.activity() else { unreachable!("spike times") };
    assert_eq!(spikes.times_s(), [0.5, 0.75, 1.25, 2.0, 3.0, 9.5]);
    assert_eq!(spikes.units(), [0, 2, 0, 2, 0, 3]);
    let column = |name: &str| made.unit_column(name).unwrap().values.clone();
    assert_eq!(column("nwb.id"), ColumnValues::Int([3, 7, 3, 9].map(Some).to_vec()));
    assert_eq!(column("nwb.quality"), texts(&["good", "mua", "", "good"]));
    assert_eq!(column("is_fast"), ColumnValues::Bool([true, false, true, false].map(Some).to_vec()));
    assert_eq!(column("tags"), list(&[0, 1, 3, 3], texts(&["a", "a", "bc"])));
    let curves = list(&[2, 3, 5, 6, 8, 9], floats(&[1.0, 2.0, 1.0, 2.0, 4.0, 1.0, 2.0, 1.0, 2.0]));
    // One list for units 0 and 2, two for units 1 and 3.
    let ColumnValues::List(found) = column("curve") else { unreachable!("lists") };
    assert_eq!((found.ends(), found.items().len()), (&[1, 3, 4, 6][..], curves.len()));
    assert_eq!(
        made.unit_column("curve").unwrap().description.as_deref(),
        Some("tuning, one list per context")
    );
    let ColumnValues::List(means) = column("waveform_mean") else { unreachable!("lists") };
    let ColumnValues::List(rows) = means.items() else { unreachable!("lists of lists") };
    assert_eq!((means.ends(), rows.ends().len(), rows.items().len()), (&[3, 6, 9, 12][..], 12, 24));
    assert_eq!(column("electrode_group"), {
        let shank = |n| format!("/general/extracellular_ephys/shank{n}");
        texts(&[&shank(0), &shank(0), &shank(1), &shank(1)])
    });
    let electrodes = made.electrodes();
    assert_eq!(electrodes.column("gain").unwrap().values, floats(&[1.5, f64::NAN, 2.5, -0.0]));
    assert_eq!(electrodes.column("location").unwrap().values, texts(&["CA1", "CA1", "DG", "unknown"]));
}

#[test]
fn trials_intervals_and_labels_keep_their_columns() {
    let made = made();
    let bounds: Vec<Interval> =
        [0.0, 2.0, 4.0].map(|start_s| Interval { start_s, end_s: start_s + 1.5 }).to_vec();
    assert_eq!(made.trials().intervals(), bounds);
    let column = |name: &str| made.trials().column(name).unwrap().values.clone();
    assert_eq!(column("side"), texts(&["left", "right", ""]));
    assert_eq!(column("speed"), floats(&[0.5, f64::NAN, 1.5]));
    assert_eq!(column("count"), ColumnValues::Int([0, 10, 20].map(Some).to_vec()));
    assert_eq!(column("lick_times"), list(&[0, 1, 3], floats(&[0.0, 0.0, 0.25])));
    let whole = |n| ColumnValues::Int([n; 3].map(Some).to_vec());
    assert_eq!(column("timeseries.count"), list(&[1, 2, 3], whole(90)));
    let xy = "/processing/behavior/Position/xy";
    assert_eq!(column("timeseries.timeseries"), list(&[1, 2, 3], texts(&[xy, xy, xy])));
    let states = made.interval_table("processing.behavior.states").unwrap();
    assert_eq!(states.rows.column("state").unwrap().values, texts(&["wake", "sleep"]));
    assert_eq!(states.description.as_deref(), Some("sleep and wake"));
    let notes = made.interval_table("acquisition.notes").unwrap();
    assert_eq!(notes.rows.column("label").unwrap().values, texts(&["begin", "", "end ß"]));
    assert_eq!(notes.rows.intervals()[2], Interval { start_s: 2.0, end_s: 2.0 });
}

#[test]
fn signals_are_in_their_unit_of_measure() {
    let made = made();
    let signal = |name: &str| made.signal(name).unwrap_or_else(|| unreachable!("{name}"));
    let samples = |name: &str, column: &str| signal(name).column(column).unwrap().samples.clone();
    let scaled = (-5..5).map(|i| f64::from(i) * 1e-6 + 0.25).collect();
    assert_eq!(samples("acquisition.int16", "value"), Samples::Float(scaled));
    assert_eq!(signal("acquisition.int16").time_s(9).to_bits(), (1.5_f64 + 9.0 / 1000.0).to_bits());
    let raw: Vec<f64> = (0..10).map(|i| f64::from(2 * i - 7) * 0.25).collect();
    assert_eq!(samples("acquisition.raw", "electrode_2"), Samples::Float(raw));
    let raw: Vec<f64> = (0..10).map(|i| f64::from(2 * i - 6) * 0.0625).collect();
    assert_eq!(samples("acquisition.raw", "electrode_0"), Samples::Float(raw));
    assert_eq!(samples("acquisition.float32", "value"), Samples::Float32(vec![0.1, f32::NAN, -0.0]));
    assert_eq!(samples("acquisition.flags", "value"), Samples::Int(vec![1, 0, 1]));
    assert_eq!(samples("acquisition.going_back", "value"), Samples::Float(vec![2.0, 4.0, 1.0, 3.0]));
    assert_eq!(samples("processing.behavior.Position.xy", "y"), Samples::Float(vec![1.0, f64::NAN]));
    assert_eq!(signal("acquisition.linked").clock(), signal("acquisition.float32").clock());
    let unit = |name: &str| signal(name).columns()[0].unit.clone();
    assert_eq!(unit("processing.behavior.CompassDirection.heading").as_deref(), Some("radians"));
    assert_eq!(signal("processing.behavior.BehavioralEvents.licks").time_s(1).to_bits(), 0.2_f64.to_bits());
}

#[test]
fn what_was_not_read_and_what_was_changed_is_said() {
    let step = made().info().card.changes.last().unwrap().clone();
    for says in [
        "read by neurobrick from nwb 2.",
        "spikes of 1 units did not ascend",
        "names of units repeat",
        "regions of units from electrodes, then electrode groups",
        "unit column quality called nwb.quality",
        "/acquisition/going back go back 2 times",
        "times count from timestamps_reference_time 2024-05-06T07:00:00+00:00",
        "not read: /intervals/open_end (row 1 runs from 2 s to NaN s",
        "/acquisition/infinite (column \"value\" of signal acquisition.infinite: entry 1 is inf",
        "/acquisition/uneven (2 samples but 3 timestamps)",
    ] {
        assert!(step.contains(says), "{step:?} does not say {says:?}");
    }
}

/// Links to devices and electrodes lead out of the series that have them, and are no parts of it.
#[test]
fn links_are_not_read_as_parts() {
    for name in ["test_CurrentClampSeries", "test_OptogeneticSeries", "test_timestamps_linking"] {
        let recording = read(&nwb(&format!("versions/nwb-explorer-2018/{name}.nwb"))).unwrap();
        let step = recording.info().card.changes.last().unwrap();
        assert!(!step.contains("not read"), "{name}: {step}");
    }
}

/// Suite2p writes its traces with the regions of interest first, against the format.
#[test]
fn traces_that_lie_region_by_region_are_turned() {
    let plane = read(&nwb("suite2p")).unwrap();
    let traces = plane.signal("processing.ophys.Fluorescence.Fluorescence").unwrap();
    assert_eq!((traces.columns().len(), traces.len()), (20, 500));
    let step = plane.info().card.changes.last().unwrap();
    for says in [
        "data of /processing/ophys/Fluorescence/Fluorescence lie column by column",
        "/processing/ophys/ImageSegmentation/PlaneSegmentation (PlaneSegmentation is not a table of units",
        "/acquisition/TwoPhotonSeries (images in other files)",
    ] {
        assert!(step.contains(says), "{step:?} does not say {says:?}");
    }
}

/// What nothing was recorded in is refused, and each reason is said.
#[test]
fn files_of_old_versions_say_why_nothing_is_read() {
    for (name, says) in [
        ("1.0.2_str_pub", "it has no units, trials, intervals or signals"),
        ("1.5.1_imageseries_no_unit", "/acquisition/test_imageseries (data of 3 axes)"),
        ("2.1.0_imageseries_non_external_format", "/acquisition/"),
        ("2.1.0_imageseries_nonmatch_starting_frame", "/acquisition/"),
        ("3.0.0_device_model_str_special_chars", "it has no units, trials, intervals or signals"),
    ] {
        let message = read(&nwb(&format!("versions/pynwb-back-compat/{name}.nwb"))).unwrap_err().to_string();
        assert!(message.contains(says) && message.contains("leave the file out"), "{message}");
    }
}

#[test]
fn the_card_says_what_the_file_says() {
    let made = made();
    let info = made.info();
    assert_eq!((info.session.as_str(), info.subject.as_str()), ("made", "rat_7"));
    let card = &info.card;
    assert_eq!(card.source, "NWB file made.nwb, identifier made-1, lab no lab, institution nowhere");
    assert_eq!((card.license.as_str(), card.citation.as_str()), ("unknown", "doi:10.0/none"));
    assert_eq!((card.species.as_deref(), card.consent), (Some("Rattus norvegicus"), Consent::NonHuman));
    assert_eq!((card.source_files.len(), card.source_files[0].name.as_str()), (1, "made.nwb"));
    let metadata = made.metadata();
    assert_eq!(metadata["general/subject/weight"], "0.3 kg");
    assert_eq!(metadata["general/experimenter"], "A. Person; B. Person");

    let human = read(&nwb("human-mtl")).unwrap();
    let card = &human.info().card;
    assert_eq!((card.species.as_deref(), card.consent), (Some("Homo sapiens"), Consent::Unknown));
    assert_eq!((human.n_units(), human.n_spikes(), human.intervals().len()), (35, 214_278, 3));
    assert_eq!(human.signal("acquisition.events").unwrap().len(), 1717);
}

#[test]
fn every_layout_gives_the_same_recording() {
    let sources = Nwb.sessions(&nwb("variants")).unwrap();
    assert_eq!(sources.len(), 7);
    let parts = |source: &Source| {
        let mut parts = Nwb.read(source).unwrap().into_parts();
        parts.metadata.remove("file_create_date");
        parts
    };
    let first = parts(&sources[0]);
    let Activity::Spikes(spikes) = &first.activity else { unreachable!("spike times") };
    assert!((spikes.times_s().iter().sum::<f64>() - 11_520_763.722_708_121).abs() < 1e-6);
    for source in &sources[1..] {
        let mut other = parts(source);
        other.info = first.info.clone();
        assert_eq!(other, first, "{}", source.main.display());
    }
}

#[test]
fn a_dataset_file_gives_the_card_and_chooses_the_trials() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("sub-4");
    fs::create_dir(&below).unwrap();
    let file = "sub-4_ses-4_ecephys+image.nwb";
    fs::copy(nwb("human-mtl").join(file), below.join(file)).unwrap();
    let text = "dataset = \"DANDI-000207\"\nsource = \"DANDI\"\ncitation = \"Zheng et al.\"\nlicense = \"CC-BY-4.0\"\n\
                consent = \"research_only\"\ntrials = \"recognition_table\"\n[columns.RT]\nunit = \"s\"\n";
    fs::write(folder.path().join("dataset.toml"), text).unwrap();
    let recording = read(folder.path()).unwrap();
    assert_eq!((recording.trials().len(), recording.intervals().len()), (180, 2));
    let rt = recording.trials().column("RT").unwrap();
    assert_eq!((rt.unit.as_deref(), rt.description.as_deref()), (Some("s"), Some("Reaction time")));
    let card = &recording.info().card;
    assert_eq!((recording.info().dataset.as_str(), card.license.as_str()), ("DANDI-000207", "CC-BY-4.0"));
    assert_eq!((card.species.as_deref(), card.consent), (Some("Homo sapiens"), Consent::ResearchOnly));
    let names: Vec<&str> = card.source_files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, [&format!("sub-4/{file}"), "dataset.toml"]);
    fs::write(folder.path().join("dataset.toml"), text.replace("recognition", "recall")).unwrap();
    let message = read(folder.path()).unwrap_err().to_string();
    for says in [
        file,
        "dataset.toml is not usable: it asks for trials = \"recall_table\"",
        "that file has encoding_table, recognition_table, timediscrimination_table",
    ] {
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn files_go_into_a_store_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::create(folder.path()).unwrap();
    let first = ingest(&[nwb("")], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((first.written.len(), first.refused.len()), (31, 22));
    for refusal in &first.refused {
        assert!(matches!(refusal.error, IngestError::NothingRead { .. }), "{}", refusal.error);
    }
    for source in Nwb.sessions(&nwb("")).unwrap() {
        if let Ok(recording) = Nwb.read(&source) {
            assert_eq!(store.read(&source.session).unwrap(), recording);
        }
    }
    let renamed: Vec<_> = first.written.iter().filter_map(|written| written.renamed_from.clone()).collect();
    assert_eq!(renamed, ["sub-4_ses-4_ecephys+image"]);
    let second =
        ingest(&[nwb("made"), nwb("pynapple")], &store, &IngestOptions::default(), &mut |_| {}).unwrap();
    assert_eq!((second.written.len(), second.unchanged.len()), (0, 3));
}

#[test]
fn a_single_file_is_recognized() {
    let file = nwb("made/made.nwb");
    assert_eq!(recognize(&file, &READERS).unwrap().format(), "nwb");
    assert_eq!(read(&file).unwrap(), made());
    assert!(recognize(&nwb("made/make.py"), &READERS).is_err());
}

#[test]
fn a_file_that_is_cut_off_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.nwb");
    for name in ["made/made.nwb", "variants/excerpt_latest_gzip.nwb"] {
        let whole = fs::read(nwb(name)).unwrap();
        fs::write(&path, &whole[..whole.len() - 1000]).unwrap();
        let told = read(&path).unwrap_err().to_string();
        let says = format!("it is cut off: {} of {} bytes are there", whole.len() - 1000, whole.len());
        assert!(told.contains(&says) && told.contains("fetch the file again"), "{told}");
    }
}
