//! What `mapping.toml` says of units, missing samples, and times in another unit of measure; `trials` of `dataset.toml`.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;

use neurobrick_ingest::{Boris, IngestError, Mapping, Reader};
use neurobrick_schema::{ColumnValues, Recording, Samples};

const DATASET: &str = "dataset = \"made\"\nsource = \"a test\"\ncitation = \"\"\nlicense = \"CC0-1.0\"\nconsent = \"unknown\"\n";

/// Three units with spikes; of a fourth the table knows only.
const SPIKES: &str = "t,unit\n0.5,10\n1.0,2\n1.5,10\n2.0,7\n";
const UNITS: &str =
    "cluster,area,depth,snr,good\n7,CA3,120,2.5,true\n2,CA1,,3.5,false\n9,DG,300,1.5,true\n10,,80,4.5,true\n";

fn read(mapping: &str, files: &[(&str, &str)]) -> Result<Recording, IngestError> {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[[session]]\nname = \"s\"\nsubject = \"a\"\n{mapping}");
    for (name, text) in [("dataset.toml", DATASET), ("mapping.toml", text.as_str()), ("spikes.csv", SPIKES)] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    foreign::read(&Mapping, dir.path())
}

fn csv(file: &str, array: &str) -> String {
    format!("{{ file = \"{file}\", array = \"{array}\" }}")
}

fn spikes() -> String {
    format!(
        "spikes.times = {{ file = \"spikes.csv\", array = \"t\", unit = \"s\" }}\nspikes.units = {}\n",
        csv("spikes.csv", "unit")
    )
}

fn table(columns: &[(&str, &str)]) -> String {
    let column = |(name, array): &(&str, &str)| {
        format!("{{ name = \"{name}\", file = \"units.csv\", array = \"{array}\", unit = \"x\" }}")
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    format!(
        "[session.unit_table]\nids = {}\ncolumns = [{}]\n",
        csv("units.csv", "cluster"),
        columns.join(", ")
    )
}

#[test]
fn units_get_their_regions_and_columns_by_their_ids() {
    let columns =
        [("region", "area"), ("depth_um", "depth"), ("snr", "snr"), ("good", "good"), ("id2", "cluster")];
    let units = UNITS.replace("10,,", "10,unknown,");
    let recording = read(&format!("{}{}", spikes(), table(&columns)), &[("units.csv", &units)]).unwrap();
    let found: Vec<_> = recording
        .units()
        .iter()
        .map(|unit| (unit.id.as_str(), unit.region.as_str(), unit.depth_um))
        .collect();
    assert_eq!(found, [("2", "CA1", None), ("7", "CA3", Some(120.0)), ("10", "unknown", Some(80.0))]);
    let column = |name: &str| recording.unit_columns().iter().find(|column| column.name == name).unwrap();
    assert_eq!(column("snr").values, ColumnValues::Float(vec![Some(3.5), Some(2.5), Some(4.5)]));
    assert_eq!(column("snr").unit.as_deref(), Some("x"));
    assert_eq!(column("good").values, ColumnValues::Bool(vec![Some(false), Some(true), Some(true)]));
    assert_eq!(column("id2").values, ColumnValues::Int(vec![Some(2), Some(7), Some(10)]));
    let step = recording.info().card.changes.last().unwrap();
    assert!(step.contains("1 rows of units.csv are of units without spikes"), "{step}");
}

#[test]
fn unit_tables_that_do_not_fit_are_refused() {
    let all = spikes();
    let region = [("region", "area")];
    let units = UNITS.replace("10,,", "10,DG,");
    for (mapping, units, says) in [
        (
            format!("{all}{}", table(&region)),
            units.replace("\n2,", "\n3,"),
            "unit \"2\" has spikes and no row",
        ),
        (format!("{all}{}", table(&region)), units.replace("\n9,", "\n7,"), "has row 0 already"),
        (format!("{all}{}", table(&region)), UNITS.to_owned(), "missing"),
        (format!("{all}{}", table(&[("region", "snr")])), units.clone(), "expected text"),
        (format!("{all}{}", table(&[("quality", "area")])), units.clone(), "expected numbers"),
        (format!("{all}{}", table(&[("id", "area")])), units.clone(), "another name"),
        (format!("{all}{}", table(&[("snr", "sn")])), units.clone(), "snr"),
        (
            format!("{all}{}", table(&[("region", "area"), ("region", "area")])),
            units.clone(),
            "two columns of units are called \"region\"",
        ),
        (
            format!("{all}spikes.region = \"CA1\"\n{}", table(&region)),
            units.clone(),
            "either as text or as a column",
        ),
        (
            format!("{all}{}", table(&region).replace("ids =", "# ids =")),
            units.clone(),
            "unit_table.ids must say",
        ),
        (table(&region), units.clone(), "there are none"),
        (
            format!(
                "units = [{{ id = \"u\", times = {{ file = \"spikes.csv\", array = \"t\", unit = \"s\" }} }}]\n{}",
                table(&region).replace("ids =", "# ids =")
            ),
            units.clone(),
            "one for each unit",
        ),
    ] {
        let error = read(&mapping, &[("units.csv", &units)]).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| unreachable!("not refused: {mapping}"));
        assert!(error.contains(says), "{says}: {error}");
    }
}

#[test]
fn missing_samples_of_text_tables_stay_missing() {
    let mapping = "[[session.signals]]\nname = \"pose\"\nstart_s = 0.0\nrate_hz = 10.0\n\
                   columns = [{ name = \"x\", file = \"pose.csv\", array = \"x\" }, { name = \"n\", file = \"pose.csv\", array = \"n\" }, \
                   { name = \"whole\", file = \"pose.csv\", array = \"whole\" }]\n";
    let text = "x,n,whole\n0.5,1,1\nNaN,,2\n,nan,3\n2,4,4\n";
    let recording = read(mapping, &[("pose.csv", text)]).unwrap();
    let samples = |name: &str| recording.signal("pose").unwrap().column(name).unwrap().samples.clone();
    assert_eq!(samples("x"), Samples::Float(vec![0.5, f64::NAN, f64::NAN, 2.0]));
    assert_eq!(samples("n"), Samples::Float(vec![1.0, f64::NAN, f64::NAN, 4.0]));
    assert_eq!(samples("whole"), Samples::Int(vec![1, 2, 3, 4]));
    for bad in ["inf", "N/A", "left"] {
        let error = read(mapping, &[("pose.csv", &text.replace("NaN", bad))]).unwrap_err().to_string();
        assert!(error.contains(bad) && error.contains("line 3") && error.contains("\"x\""), "{error}");
    }
    // A time that is missing is no time.
    let times = mapping.replace(
        "start_s = 0.0\nrate_hz = 10.0",
        "times = { file = \"pose.csv\", array = \"x\", unit = \"s\" }",
    );
    let error = read(&times, &[("pose.csv", &text.replace("NaN", ""))]).unwrap_err().to_string();
    assert!(error.contains("is not a time"), "{error}");
}

#[test]
fn trials_in_another_unit_of_measure_are_refused() {
    let mapping = |unit: &str| {
        format!(
            "{}[session.trials]\nstart = {{ file = \"trials.csv\", array = \"on\", unit = \"{unit}\" }}\n\
             end = {{ file = \"trials.csv\", array = \"off\", unit = \"{unit}\" }}\n",
            spikes()
        )
    };
    let trials = [("trials.csv", "on,off\n500,900\n1000,1800\n")];
    assert_eq!(read(&mapping("ms"), &trials).unwrap().trials().len(), 2);
    let error = read(&mapping("s"), &trials).unwrap_err().to_string();
    for part in [
        "mapping.toml",
        "none of the 2 trials",
        "from 500 s to 1800 s",
        "from 0.5 s to 2 s",
        "correct the unit",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // Before the data too; one trial that touches them is enough.
    assert!(read(&mapping("us"), &trials).unwrap_err().to_string().contains("none of the 2 trials"));
    assert_eq!(
        read(&mapping("s"), &[("trials.csv", "on,off\n2,900\n1000,1800\n")]).unwrap().trials().len(),
        2
    );
}

fn with_trials(reader: &dyn Reader, folder: &Path, name: &str) -> Result<Recording, IngestError> {
    let card = folder.join("dataset.toml");
    let text = fs::read_to_string(&card).unwrap();
    fs::write(&card, format!("trials = \"{name}\"\n{text}")).unwrap();
    let found = foreign::read(reader, folder);
    fs::write(&card, text).unwrap();
    found
}

#[test]
fn trials_of_dataset_toml_are_taken_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let boris = foreign::fixtures().join("../formats/poses");
    fs::copy(boris.join("two_mouse_boris.csv"), dir.path().join("two_mouse_boris.csv")).unwrap();
    fs::write(dir.path().join("dataset.toml"), DATASET).unwrap();
    let plain = foreign::read(&Boris, dir.path()).unwrap();
    let table = plain.interval_table("behavior").unwrap();
    assert!(plain.trials().is_empty() && !table.rows.is_empty());
    let taken = with_trials(&Boris, dir.path(), "behavior").unwrap();
    assert_eq!(taken.trials(), &table.rows);
    assert!(taken.interval_table("behavior").is_none());
    assert!(taken.info().card.changes.last().unwrap().ends_with("behavior taken as the trials"));
    let error = with_trials(&Boris, dir.path(), "behaviors").unwrap_err().to_string();
    assert!(error.contains("dataset.toml") && error.contains("did you mean `behavior`"), "{error}");

    let folder = tempfile::tempdir().unwrap();
    let alf = foreign::alf_folder(folder.path());
    let counts = foreign::counts_folder(folder.path());
    for (reader, folder) in
        [(&neurobrick_ingest::Alf as &dyn Reader, &alf), (&neurobrick_ingest::CountsNpz, &counts)]
    {
        foreign::read(reader, folder).unwrap();
        let error = with_trials(reader, folder, "trials").unwrap_err().to_string();
        assert!(error.contains("trials = \"trials\" must not be set"), "{error}");
    }
}
