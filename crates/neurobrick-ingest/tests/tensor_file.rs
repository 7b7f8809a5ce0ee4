//! Benchmark files: every tensor and list as h5py reads it, and what is no tensor.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::{Path, PathBuf};

use neurobrick_ingest::{IngestError, Tensor, TensorFile};
use serde_json::Value;

fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

fn open(name: &str) -> TensorFile {
    TensorFile::open(fixture("golden/nlb").join(name)).unwrap()
}

#[track_caller]
fn check(tensor: &Tensor, expected: &Value, what: &str) {
    let shape: Vec<usize> = serde_json::from_value(expected["shape"].clone()).unwrap();
    assert_eq!(tensor.shape, shape, "{what}");
    let expected = expected["data"].as_array().unwrap();
    assert_eq!(tensor.values.len(), expected.len(), "{what}");
    for (value, expected) in tensor.values.iter().zip(expected) {
        let expected = match expected {
            Value::Bool(truth) => f64::from(u8::from(*truth)),
            Value::String(_) => f64::NAN,
            number => number.as_f64().unwrap(),
        };
        let is_equal = value.to_bits() == expected.to_bits() || value.is_nan() && expected.is_nan();
        assert!(is_equal, "{what}: {value}, not {expected}");
    }
}

#[test]
fn every_value_is_as_h5py_reads_it() {
    let text = std::fs::read_to_string(fixture("golden/reference/nlb_evaluate.json")).unwrap();
    let golden: Value = serde_json::from_str(&text).unwrap();
    let (mut n_tensors, mut n_lists) = (0, 0);
    for part in ["target", "submission"] {
        let file = open(&format!("evaluate_{part}.h5"));
        let groups = golden[part].as_object().unwrap();
        assert_eq!(file.groups(), groups.keys().cloned().collect::<Vec<_>>());
        for (group, members) in groups {
            let members = members.as_object().unwrap();
            assert_eq!(file.names(group), members.keys().cloned().collect::<Vec<_>>());
            for (name, expected) in members {
                if expected.is_array() {
                    let lists: Vec<Vec<i64>> = serde_json::from_value(expected.clone()).unwrap();
                    assert_eq!(file.lists(group, name).unwrap().unwrap(), lists, "{group}/{name}");
                    n_lists += 1;
                } else {
                    let tensor = file.tensor(group, name).unwrap().unwrap();
                    check(&tensor, expected, &format!("{group}/{name}"));
                    n_tensors += 1;
                }
            }
        }
    }
    assert_eq!((n_tensors, n_lists), (74, 5));
}

#[test]
fn lists_masks_and_missing_values_of_the_targets() {
    let file = open("evaluate_target.h5");
    let lists = file.lists("mc_maze", "eval_cond_idx").unwrap().unwrap();
    assert_eq!(lists, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
    let mask = file.tensor("area2_bump", "eval_decode_mask").unwrap().unwrap();
    assert_eq!((&mask.shape[..], &mask.values[..4]), (&[10, 2][..], &[1.0, 0.0, 0.0, 1.0][..]));
    let spikes = file.tensor("dmfc_rsg", "eval_spikes_heldout").unwrap().unwrap();
    assert_eq!(spikes.shape, [12, 10, 2]);
    assert_eq!(spikes.values.iter().filter(|value| value.is_nan()).count(), 72);
    assert!((spikes.values.iter().filter(|value| !value.is_nan()).sum::<f64>() - 40.0).abs() < 1e-12);
    let rates = open("evaluate_submission.h5").tensor("mc_maze", "eval_rates_heldout").unwrap().unwrap();
    assert!((rates.values.iter().sum::<f64>() - 21.374_325_368_553_4).abs() < 1e-9);
}

#[test]
fn what_is_missing_is_none_and_what_is_no_tensor_is_refused() {
    let file = open("evaluate_target.h5");
    for (group, name) in
        [("mc_maze", "nothing"), ("nothing", "psth"), ("", "psth"), ("mc_maze/psth", "psth"), ("", "mc_maze")]
    {
        assert_eq!(file.tensor(group, name).unwrap(), None, "{group}/{name}");
        assert_eq!(file.lists(group, name).unwrap(), None, "{group}/{name}");
    }
    assert!(file.names("nothing").is_empty() && file.names("").is_empty());
    let jitter = file.lists("dmfc_rsg", "eval_jitter").unwrap_err();
    for (error, part, found) in [
        (file.tensor("mc_maze", "eval_cond_idx").unwrap_err(), "/mc_maze/eval_cond_idx", "lists"),
        (file.lists("mc_maze", "psth").unwrap_err(), "/mc_maze/psth", "real numbers"),
        (jitter, "/dmfc_rsg/eval_jitter", "whole numbers"),
    ] {
        let message = error.to_string();
        assert!(matches!(error, IngestError::WrongType { .. }), "{message}");
        assert!(message.contains(part) && message.contains(found), "{message}");
    }
    let not_hdf5 = fixture("golden/nlb/evaluate_result.json");
    assert!(matches!(TensorFile::open(not_hdf5), Err(IngestError::Malformed { .. })));
    assert!(matches!(TensorFile::open("nowhere.h5"), Err(IngestError::Io { .. })));
}

#[test]
fn lists_of_every_whole_number_and_no_others() {
    let file = open("lists.h5");
    for name in ["i1", "u2", "i4", "u8"] {
        assert_eq!(file.lists("lists", name).unwrap().unwrap(), [vec![1, 2, 3], vec![], vec![100]], "{name}");
    }
    assert_eq!(file.lists("lists", "unwritten").unwrap().unwrap(), [vec![], vec![]] as [Vec<i64>; 2]);
    assert_eq!(file.lists("lists", "table").unwrap().unwrap(), [[1, 2], [3, 4]]);
    assert_eq!(file.lists("lists", "empty_table").unwrap().unwrap(), [vec![], vec![]] as [Vec<i64>; 2]);
    for (name, says) in [
        ("f4", "real numbers"),
        ("big", "byte order of another machine"),
        ("two_axes", "[2, 2], expected lists along one axis"),
        ("text", "text"),
    ] {
        let message = file.lists("lists", name).unwrap_err().to_string();
        assert!(message.contains(says), "{name}: {message}");
    }
}

#[test]
fn lists_longer_than_their_file_are_refused_before_they_are_read() {
    let good = std::fs::read(fixture("golden/nlb/evaluate_target.h5")).unwrap();
    // References of mc_maze's lists of 3, 3 and 2 numbers: the length, an address of 8 bytes, the index.
    let at = good.windows(36).position(|b| {
        b[..4] == [3, 0, 0, 0] && b[12..16] == [1, 0, 0, 0] && b[16..20] == [3, 0, 0, 0] && b[32] == 2
    });
    let at = at.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.h5");
    for (length, says) in
        [(u32::MAX, "promise more than the file can hold"), (1000, "shorter than its reference")]
    {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&length.to_le_bytes());
        std::fs::write(&path, bad).unwrap();
        let error = TensorFile::open(&path).unwrap().lists("mc_maze", "eval_cond_idx").unwrap_err();
        let message = error.to_string();
        assert!(message.contains(says) && message.contains("bad.h5"), "{message}");
    }
}
