//! Each kind of damage to a foreign file is refused with an error that names the file and says what is wrong.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod foreign;

use std::fs;
use std::path::Path;

use foreign::{
    counts_members, floats, ints, metrics_columns, npy, npy_f64, npz, parquet, read, texts, trials_columns,
};
use neurobrick_ingest::{Alf, CountsNpz, IngestError, Reader};

fn variant(error: &IngestError) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '(', '{']).next().unwrap_or("").to_owned()
}

/// What is broken, how, the variant of the error, and what its message says.
type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str, &'a [&'a str]);

/// Writes a good recording, breaks it, and compares the error.
#[track_caller]
fn check(reader: &dyn Reader, write: fn(&Path) -> std::path::PathBuf, cases: &[Case<'_>]) {
    for (name, break_it, expected, says) in cases {
        let folder = tempfile::tempdir().unwrap();
        let root = write(folder.path());
        assert!(read(reader, &root).is_ok(), "{name}: good before");
        break_it(&root);
        let error = read(reader, &root).map(|_| format!("{name} was not noticed")).unwrap_err();
        let message = error.to_string();
        assert_eq!(variant(&error), *expected, "{name}: {message}");
        for part in *says {
            assert!(message.contains(part), "{name}: {message:?} does not say {part:?}");
        }
    }
}

fn replace(name: &'static str, from: &'static str, to: &'static str) -> impl Fn(&Path) {
    move |root| {
        let path = root.join(name);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} in {text:?}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
    }
}

fn remove(name: &'static str) -> impl Fn(&Path) {
    move |root| fs::remove_file(root.join(name)).unwrap()
}

fn with_member(name: &'static str, bytes: Vec<u8>) -> impl Fn(&Path) {
    move |root| {
        let mut members = counts_members();
        members.iter_mut().find(|member| member.0 == name).unwrap().1.clone_from(&bytes);
        fs::write(root.join("s1.npz"), npz(&members)).unwrap();
    }
}

fn with_archive(members: Vec<(&'static str, Vec<u8>)>) -> impl Fn(&Path) {
    move |root| fs::write(root.join("s1.npz"), npz(&members)).unwrap()
}

fn cut(name: &'static str, keep: f64) -> impl Fn(&Path) {
    move |root| {
        let bytes = fs::read(root.join(name)).unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a small file")]
        let length = (bytes.len() as f64 * keep) as usize;
        fs::write(root.join(name), &bytes[..length]).unwrap();
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn damaged_counts_are_refused() {
    let uneven = npy_f64("(2, 4)", &[1.0, 1.02, 1.04, 1.06, 3.0, 3.02, 3.05, 3.06]);
    let nan = npy_f64("(2, 4)", &[1.0, 1.02, f64::NAN, 1.06, 3.0, 3.02, 3.04, 3.06]);
    let backward = npy_f64("(2, 4)", &[1.06, 1.04, 1.02, 1.0, 3.06, 3.04, 3.02, 3.0]);
    check(
        &CountsNpz,
        foreign::counts_folder,
        &[
            (
                "no card",
                &remove("dataset.toml"),
                "MissingDatasetFile",
                &["dataset.toml", "write it", "consent = "],
            ),
            (
                "typing error in the card",
                &replace("dataset.toml", "license", "permit"),
                "DatasetFile",
                &["dataset.toml", "permit"],
            ),
            (
                "bad name in the card",
                &replace("dataset.toml", "made-up", "../up"),
                "DatasetFile",
                &["dataset id \"../up\" is invalid"],
            ),
            (
                "a session named twice",
                &replace("dataset.toml", "dataset", "session = \"x\"\ndataset"),
                "DatasetFile",
                &["must not be set"],
            ),
            (
                "note on no column",
                &replace(
                    "dataset.toml",
                    "\"non_human\"\n",
                    "\"non_human\"\n[columns.contras]\nunit = \"1\"\n",
                ),
                "DatasetFile",
                &["contras", "contrast"],
            ),
            ("no archive", &remove("s1.npz"), "MissingFile", &["s1.npz", "sessions.csv lists it"]),
            ("no trials", &remove("s1_trials.csv"), "MissingFile", &["s1_trials.csv"]),
            ("no units", &remove("s1_units.csv"), "MissingFile", &["s1_units.csv"]),
            ("no sessions", &remove("sessions.csv"), "MissingFile", &["sessions.csv"]),
            (
                "not listed",
                &replace("sessions.csv", "s1,", "s2,"),
                "Disagreement",
                &["sessions.csv", "without s1"],
            ),
            (
                "bad subject",
                &replace("sessions.csv", "Ada", "A/da"),
                "Invalid",
                &["sessions.csv", "subject id"],
            ),
            ("cut archive", &cut("s1.npz", 0.5), "Malformed", &["s1.npz", "fetch the file again"]),
            ("empty archive", &cut("s1.npz", 0.0), "Malformed", &["s1.npz"]),
            (
                "no archive at all",
                &|root| fs::write(root.join("s1.npz"), "text").unwrap(),
                "Malformed",
                &["s1.npz"],
            ),
            (
                "array missing",
                &|root| fs::write(root.join("s1.npz"), npz(&counts_members()[..1])).unwrap(),
                "MissingArray",
                &["s1.npz", "bin_time", "it has counts"],
            ),
            (
                "floats for counts",
                &with_member("counts", npy("<f4", "(2, 3, 4)", &[0; 96])),
                "WrongType",
                &["s1.npz", "\"counts\"", "<f4", "integers"],
            ),
            (
                "negative count",
                &with_member("counts", npy("|i1", "(2, 3, 4)", &[255; 24])),
                "BadValue",
                &["s1.npz", "-1 is negative"],
            ),
            (
                "integers for times",
                &with_member("bin_time", npy("<i8", "(2, 4)", &[0; 64])),
                "WrongType",
                &["s1.npz", "bin_time", "<i8"],
            ),
            (
                "flat counts",
                &with_member("counts", npy("|u1", "(6, 4)", &[0; 24])),
                "WrongShape",
                &["s1.npz", "[6, 4]", "[trials, units, bins]"],
            ),
            (
                "times of other trials",
                &with_member("bin_time", npy_f64("(1, 4)", &[1.0, 1.02, 1.04, 1.06])),
                "WrongShape",
                &["s1.npz", "[1, 4]", "[2, 4]"],
            ),
            (
                "promises more than there is",
                &with_member("counts", npy("|u1", "(2, 3, 400000000000)", &[0; 24])),
                "Malformed",
                &["s1.npz", "24 bytes of data"],
            ),
            (
                "one bin",
                &with_archive(vec![
                    ("counts", npy("|u1", "(2, 3, 1)", &[0; 6])),
                    ("bin_time", npy_f64("(2, 1)", &[1.0, 3.0])),
                ]),
                "WrongShape",
                &["at least two bins"],
            ),
            (
                "no trials in the archive",
                &with_archive(vec![
                    ("counts", npy("|u1", "(0, 3, 4)", &[])),
                    ("bin_time", npy_f64("(0, 4)", &[])),
                ]),
                "Empty",
                &["s1.npz", "axis trials"],
            ),
            (
                "NaN time",
                &with_member("bin_time", nan),
                "BadValue",
                &["s1.npz", "bin_time", "entry 2", "NaN"],
            ),
            (
                "uneven bins",
                &with_member("bin_time", uneven),
                "BadValue",
                &["s1.npz", "bin_time", "entry 6", "3.05 s is not on the grid of 0.02 s from 3 s"],
            ),
            ("bins backward", &with_member("bin_time", backward), "BadValue", &["s1.npz", "not on the grid"]),
            (
                "a trial too few",
                &replace("s1_trials.csv", "1,,-1,,false\n", ""),
                "Disagreement",
                &["s1_trials.csv", "number of trials is 1, but 2"],
            ),
            (
                "trials out of order",
                &replace("s1_trials.csv", "\n1,", "\n2,"),
                "BadValue",
                &["s1_trials.csv", "2 where 1 is due"],
            ),
            ("cell missing", &replace("s1_trials.csv", ",false", ""), "Malformed", &["s1_trials.csv"]),
            (
                "NaN in a cell",
                &replace("s1_trials.csv", "1,,-1", "1,nan,-1"),
                "BadValue",
                &["s1_trials.csv", "contrast", "line 3", "entry 1", "\"nan\" is not a finite number"],
            ),
            (
                "column twice",
                &replace("s1_trials.csv", "side", "outcome"),
                "Malformed",
                &["s1_trials.csv", "occurs twice"],
            ),
            (
                "reserved column",
                &replace("s1_trials.csv", "side", "start_s"),
                "Invalid",
                &["s1_trials.csv", "start_s"],
            ),
            (
                "column missing",
                &replace("s1_units.csv", "brain_area", "area"),
                "MissingColumn",
                &["s1_units.csv", "\"brain_area\"", "unit, area"],
            ),
            (
                "a unit too few",
                &replace("s1_units.csv", "7,VISp\n", ""),
                "Disagreement",
                &["s1_units.csv", "number of units is 2, but 3"],
            ),
            (
                "unit without area",
                &replace("s1_units.csv", "root", ""),
                "BadValue",
                &["s1_units.csv", "line 3", "entry 1", "root where"],
            ),
            ("unit twice", &replace("s1_units.csv", "7", "0"), "Invalid", &["\"0\" occurs twice"]),
            (
                "other spikes",
                &replace("sessions.csv", "276", "277"),
                "Disagreement",
                &["sessions.csv", "total_spikes of session s1 is 277, but 276"],
            ),
            (
                "not a number",
                &replace("sessions.csv", "276", "many"),
                "BadValue",
                &["sessions.csv", "\"many\" is not a number"],
            ),
        ],
    );
}

const PROBE: &str = "Ada/2024-05-06/001/alf/probe00";

fn put(name: &'static str, bytes: Vec<u8>) -> impl Fn(&Path) {
    move |root| fs::write(root.join(PROBE).join(name), &bytes).unwrap()
}

fn metrics(change: impl Fn(&mut Vec<(&'static str, arrow_array::ArrayRef)>)) -> impl Fn(&Path) {
    move |root| {
        let mut columns = metrics_columns();
        change(&mut columns);
        parquet(&root.join(PROBE).join("clusters.metrics.pqt"), columns);
    }
}

fn trials(change: impl Fn(&mut Vec<(&'static str, arrow_array::ArrayRef)>)) -> impl Fn(&Path) {
    move |root| {
        let mut columns = trials_columns();
        change(&mut columns);
        parquet(&root.join("Ada/2024-05-06/001/alf/_ibl_trials.table.pqt"), columns);
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn damaged_alf_is_refused() {
    const TIMES: &str = "Ada/2024-05-06/001/alf/probe00/spikes.times.npy";
    const CLUSTERS: &str = "Ada/2024-05-06/001/alf/probe00/spikes.clusters.npy";
    const METRICS: &str = "Ada/2024-05-06/001/alf/probe00/clusters.metrics.pqt";
    const TRIALS: &str = "Ada/2024-05-06/001/alf/_ibl_trials.table.pqt";
    check(
        &Alf,
        foreign::alf_folder,
        &[
            ("no card", &remove("dataset.toml"), "MissingDatasetFile", &["dataset.toml"]),
            ("no clusters", &remove(CLUSTERS), "MissingFile", &["spikes.clusters.npy", "fetch it"]),
            (
                "one of two probes without spikes",
                &remove("Ada/2024-05-06/001/alf/probe01/sorter/spikes.times.npy"),
                "MissingFile",
                &["probe01", "spikes.times.npy", "needs their spikes"],
            ),
            ("no metrics", &remove(METRICS), "MissingFile", &["clusters.metrics.pqt", "fetch it"]),
            ("no trials", &remove(TRIALS), "MissingFile", &["_ibl_trials.table.pqt"]),
            (
                "no spikes",
                &|root| {
                    for probe in ["probe00", "probe01/sorter"] {
                        let alf = root.join("Ada/2024-05-06/001/alf");
                        fs::remove_file(alf.join(probe).join("spikes.times.npy")).unwrap();
                    }
                },
                "MissingFile",
                &["spikes.times.npy", "needs their spikes"],
            ),
            ("cut times", &cut(TIMES, 0.9), "Malformed", &["spikes.times.npy", "bytes of data"]),
            ("empty times", &cut(TIMES, 0.0), "Malformed", &["spikes.times.npy", "NumPy"]),
            ("cut clusters", &cut(CLUSTERS, 0.5), "Malformed", &["spikes.clusters.npy"]),
            ("cut metrics", &cut(METRICS, 0.5), "Malformed", &["clusters.metrics.pqt"]),
            ("cut trials", &cut(TRIALS, 0.9), "Malformed", &["_ibl_trials.table.pqt"]),
            (
                "NaN time",
                &put("spikes.times.npy", npy_f64("(4,)", &[0.1, f64::NAN, 0.3, 2.0])),
                "BadValue",
                &["spikes.times.npy", "entry 1", "NaN"],
            ),
            (
                "unsorted times",
                &put("spikes.times.npy", npy_f64("(4,)", &[0.1, 0.3, 0.2, 2.0])),
                "BadValue",
                &["spikes.times.npy", "entry 2", "0.2 s comes after 0.3 s"],
            ),
            (
                "whole seconds",
                &put("spikes.times.npy", npy("<i8", "(4,)", &[0; 32])),
                "WrongType",
                &["spikes.times.npy", "<i8", "floating-point"],
            ),
            (
                "two axes",
                &put("spikes.times.npy", npy_f64("(2, 2)", &[0.1, 0.2, 0.3, 2.0])),
                "WrongShape",
                &["spikes.times.npy", "[2, 2]"],
            ),
            (
                "a label too few",
                &put("spikes.clusters.npy", npy("<u4", "(3,)", &[0; 12])),
                "Disagreement",
                &["spikes.clusters.npy", "number of spikes is 3, but 4"],
            ),
            (
                "unknown cluster",
                &put("spikes.clusters.npy", npy("<u2", "(4,)", &[0, 0, 3, 0, 0, 0, 0, 0])),
                "BadValue",
                &["spikes.clusters.npy", "entry 1", "cluster 3 is not among the 3"],
            ),
            (
                "no spike at all",
                &|root| foreign::write_probe(&root.join(PROBE), &[]),
                "Empty",
                &["spikes.times.npy"],
            ),
            (
                "no acronym",
                &metrics(|c| {
                    c.remove(1);
                }),
                "MissingColumn",
                &["clusters.metrics.pqt", "\"acronym\"", "cluster_id, depths, label"],
            ),
            (
                "numbers for acronyms",
                &metrics(|c| c[1].1 = ints(&[1, 2, 3])),
                "WrongType",
                &["clusters.metrics.pqt", "\"acronym\" holds int, expected text"],
            ),
            (
                "fractions for ids",
                &metrics(|c| c[0].1 = floats(&[0.0, 2.0, 5.0])),
                "WrongType",
                &["clusters.metrics.pqt", "cluster_id", "float"],
            ),
            (
                "cluster twice",
                &metrics(|c| c[0].1 = ints(&[0, 5, 5])),
                "BadValue",
                &["clusters.metrics.pqt", "entry 2", "5 occurs twice"],
            ),
            (
                "negative cluster",
                &metrics(|c| c[0].1 = ints(&[-1, 0, 5])),
                "BadValue",
                &["clusters.metrics.pqt", "-1 is negative"],
            ),
            (
                "no region",
                &metrics(|c| c[1].1 = texts(&["CA1", "", "DG"])),
                "Invalid",
                &["region of unit 1 is empty"],
            ),
            (
                "no bounds",
                &trials(|c| {
                    c.remove(0);
                }),
                "MissingColumn",
                &["_ibl_trials.table.pqt", "intervals_0", "choice"],
            ),
            (
                "bound missing",
                &trials(|c| c[1].1 = floats(&[1.5, f64::NAN])),
                "BadValue",
                &["_ibl_trials.table.pqt", "intervals_1", "entry 1"],
            ),
            (
                "ends before it starts",
                &trials(|c| c[1].1 = floats(&[1.5, 0.5])),
                "Invalid",
                &["_ibl_trials.table.pqt", "interval 1 runs from 1 s to 0.5 s"],
            ),
            (
                "infinite label",
                &trials(|c| c[3].1 = floats(&[f64::INFINITY, 0.0])),
                "Invalid",
                &["_ibl_trials.table.pqt", "contrastLeft", "inf"],
            ),
            (
                "no trial",
                &trials(|c| *c = vec![("intervals_0", floats(&[])), ("intervals_1", floats(&[]))]),
                "Empty",
                &["_ibl_trials.table.pqt"],
            ),
        ],
    );
}
