//! Checkpoints of PyTorch: what they hold, what is refused, and files damaged at random.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use burn::tensor::TensorData;
use neurobrick_core::weights::to_safetensors;
use neurobrick_models::torch::Checkpoint;
use neurobrick_random::{Domain, Stream};
use neurobrick_testkit::{golden, golden_path, part};
use torch_zip::CompressionMethod;
use torch_zip::write::{SimpleFileOptions, ZipWriter};

/// Files of `fixtures/checkpoints`.
fn path(name: &str) -> PathBuf {
    golden_path("../checkpoints").join(name)
}

fn read(name: &str) -> Checkpoint {
    Checkpoint::read(&path(name), None).unwrap()
}

fn refused(name: &str, expected: &[&str]) {
    let message = Checkpoint::read(&path(name), None).unwrap_err().to_string();
    for part in expected {
        assert!(message.contains(part), "{name}: `{part}` is not in: {message}");
    }
}

/// Whole modules, dicts in entries and wrapped dicts hold the weights that they were made with.
#[test]
fn weights_are_found_where_code_bases_keep_them() {
    for (file, folder) in [
        ("mtm_module.pt", "ndt_stitch_names/mtm"),
        ("brain_wide_bench.pt", "ndt_stitch_names/brain_wide_bench"),
        ("poyo.ckpt", "poyo/case"),
        ("neds.pt", "neds/case"),
    ] {
        let (found, arrays) = (read(file), golden(&format!("{folder}.safetensors")));
        let expected = part(&arrays, "weights.");
        let names: Vec<&String> = found.weights.keys().collect();
        assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{file}");
        for (name, data) in &found.weights {
            assert_eq!(data.shape().to_vec(), expected[name].shape, "{file}: {name}");
            // Golden weights are representable in single precision; `omega` of POYO is computed.
            let near = |(a, b): (f64, &f64)| {
                a.to_bits() == b.to_bits() || (name.ends_with("omega") && (a - b).abs() < 1e-6 * b.abs())
            };
            let values = &expected[name].values;
            assert!(data.iter::<f64>().zip(values).all(near), "{file}: {name} has other values");
        }
    }
    let poyo = read("poyo.ckpt");
    assert_eq!(poyo.row_of("unit_emb.vocab", "monkey-2/a").unwrap(), Some(5));
    assert_eq!(poyo.row_of("session_emb.vocab", "monkey-1").unwrap(), Some(1));
    assert_eq!(poyo.row_of("task_emb.vocab", "x").unwrap(), None);
    let error = poyo.row_of("session_emb.vocab", "stranger").unwrap_err().to_string();
    assert!(error.contains("no word `stranger`") && error.contains("monkey-1"), "{error}");
    assert!(read("lfads_sessions.ckpt").weights.contains_key("readin.1.weight"));
    assert!(read("lfads_plain.safetensors").weights.contains_key("ic_prior.logvar"));
}

#[test]
fn every_kind_of_number_and_every_view_is_read() {
    #[derive(serde::Deserialize)]
    struct Expected {
        shape: Vec<usize>,
        values: Vec<f64>,
    }
    let text = fs::read_to_string(path("kinds.json")).unwrap();
    let expected: std::collections::BTreeMap<String, Expected> = serde_json::from_str(&text).unwrap();
    let found = read("kinds.pt").weights;
    assert_eq!(found.len(), expected.len());
    for (name, Expected { shape, values }) in expected {
        assert_eq!(found[&name].shape().to_vec(), shape, "{name}");
        assert_eq!(found[&name].iter::<f64>().collect::<Vec<_>>(), values, "{name}");
    }
}

/// What would call a function, claim memory that no file backs, or nest without end.
#[test]
fn what_is_no_checkpoint_is_refused_by_name() {
    refused("called.pt", &["extra", "print", "none is called"]);
    refused("listed.pt", &["extra.1.0 (", "print", "none is called"]);
    refused("rowless.pt", &["session_emb.vocab (`mouse-2`), session_emb.vocab (`mouse-3`)"]);
    refused("expanded.pt", &["more than 4 times the"]);
    refused("deep.pt", &["nesting exceeds"]);
    refused("bomb.pt", &["memo bomb"]);
    refused("kinds.json", &["no checkpoint of PyTorch 1.6 or later, and not a valid safetensors file"]);
    let found = |entry| Checkpoint::read(&path("neds.pt"), Some(entry)).unwrap_err().to_string();
    assert!(found("weights").contains("no entry `weights`; it has epoch, lr_sched, model, optimizer"));
    assert!(found("epoch").contains("`epoch` is no dict of tensors"), "{}", found("epoch"));
    assert!(Checkpoint::read(&path("nothing.pt"), None).is_err());
}

#[test]
fn a_word_of_two_rows_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("twice.safetensors");
    let weights = [("weight".to_owned(), TensorData::new(vec![0f32; 2], [2]))].into();
    let words = r#"["NA","mouse-1","mouse-1"]"#.to_owned();
    let metadata = [("session_emb.vocab".to_owned(), words)].into();
    fs::write(&file, to_safetensors(&weights, metadata).unwrap()).unwrap();
    let message = Checkpoint::read(&file, None).unwrap_err().to_string();
    assert!(message.contains("`session_emb.vocab` has the word `mouse-1` in rows 1 and 2"), "{message}");
}

/// A pickle becomes an object for every byte, so its length as it lies in the file is bounded before it is walked.
#[test]
fn compressed_and_long_pickles_are_refused_by_the_directory() {
    refused("compressed.pt", &["`archive/data.pkl` is compressed", "save the checkpoint again"]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("long.pt");
    let mut archive = ZipWriter::new(fs::File::create(&file).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    archive.start_file("archive/data.pkl", stored).unwrap();
    archive.write_all(&vec![b']'; (16 << 20) + 1]).unwrap();
    archive.finish().unwrap();
    let message = Checkpoint::read(&file, None).unwrap_err().to_string();
    assert!(message.contains("has 16777217 bytes") && message.contains("more than 16777216"), "{message}");
}

/// Every file with bytes changed, cut out or doubled at random is read or refused: it does not panic, and weights that are
/// read take no more than the file can hold.
#[test]
fn damaged_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.pt");
    let files = [
        "mtm_module.pt",
        "brain_wide_bench.pt",
        "poyo.ckpt",
        "kinds.pt",
        "called.pt",
        "expanded.pt",
        "bomb.pt",
        "compressed.pt",
    ];
    let mut n_refused = 0;
    for (file, name) in (0..).zip(files) {
        let whole = fs::read(path(name)).unwrap();
        // Most of a file is numbers, of which any are right: the pickle and the directory are what damage can confuse.
        let pickle = whole.windows(8).position(|w| w == b"data.pkl").unwrap_or(0);
        for turn in 0..300 {
            let mut draws = Stream::new(31, Domain::Synthetic, [file, turn, 0]);
            let mut bytes = whole.clone();
            let at = |draws: &mut Stream, n: usize| match draws.below(3) {
                0 => draws.below(n),
                1 => (pickle + draws.below(1500)).min(n - 1),
                _ => n - 1 - draws.below(n.min(1200)),
            };
            match draws.below(4) {
                0 => bytes.truncate(at(&mut draws, whole.len())),
                1 => {
                    let (from, n) = (at(&mut draws, whole.len()), 1 + draws.below(40));
                    bytes.drain(from..(from + n).min(whole.len()));
                }
                _ => {
                    for _ in 0..=draws.below(8) {
                        let (place, value) = (at(&mut draws, whole.len()), draws.below(256));
                        bytes[place] = u8::try_from(value).unwrap();
                    }
                }
            }
            fs::write(&damaged, &bytes).unwrap();
            match Checkpoint::read(&damaged, None) {
                Ok(found) => {
                    let n: usize = found.weights.values().map(|data| data.as_bytes().len()).sum();
                    // Whole numbers grow by up to eight.
                    assert!(n <= 32 * bytes.len(), "{name}, turn {turn}: {n} bytes of {}", bytes.len());
                }
                Err(_) => n_refused += 1,
            }
        }
    }
    assert!(n_refused > 600, "{n_refused} of 2400 were refused");
}
