//! Weights out of files: safetensors, and checkpoints of PyTorch, of which nothing is executed.
//!
//! A checkpoint is a pickle, a program that calls what it names. [`pytorch_reader`] walks it and knows the calls that
//! build tensors, dicts and `torch.nn.Module` trees; whatever else a file names is never called and stays an opaque
//! object with the name of its class (`docs/decisions/0031-checkpoints-without-pickle.md`).

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{BufReader, Read};
use std::path::Path;

use burn::tensor::TensorData;
use neurobrick_core::ModelError;
use neurobrick_core::weights::{StateDict, from_safetensors, metadata};
use pytorch_reader::{DType, PickleValue, PytorchReader, Tensor};
use torch_zip::{CompressionMethod, ZipArchive};

/// Entries that checkpoints keep weights under, in the order in which they are looked for.
const ENTRIES: [&str; 3] = ["state_dict", "model_state_dict", "model"];
/// What wrappers put before every name: Lightning modules of one `model`, and data parallel ones.
const WRAPPERS: [&str; 2] = ["model.", "module."];
/// Weights may be this many times as large as their file: tensors may share memory there, and do not here.
const LARGEST_RATIO: u64 = 4;
/// Bytes of a pickle, which holds names, shapes and settings, since weights lie beside it. An object of one byte there takes
/// about ninety in memory.
const LARGEST_PICKLE: u64 = 16 << 20;

/// Rows of a table by word.
pub type Vocabulary = BTreeMap<String, usize>;

/// Weights under the names that a file has them under.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Tensors by name; whole numbers are taken as double precision.
    pub weights: StateDict,
    /// Vocabularies by name (`unit_emb.vocab` of `torch_brain`).
    pub vocabularies: BTreeMap<String, Vocabulary>,
}

impl Checkpoint {
    /// Reads a safetensors file, or what `torch.save` wrote (PyTorch 1.6 or later): a state dict, a whole module, or a
    /// checkpoint that keeps one of them under `entry` (by default the first there is of `state_dict`, `model_state_dict` and
    /// `model`). A beginning that all names have in common, `model.` or `module.`, is dropped.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged or neither of both, its pickle is compressed or larger than 16 MiB, tensors are
    /// larger than the file can hold, a vocabulary has a word without a row or with two, or there are objects among the weights
    /// that are no tensors, which are named with their classes.
    pub fn read(path: &Path, entry: Option<&str>) -> Result<Self, ModelError> {
        let mut start = Vec::new();
        let mut file = fs::File::open(path).map_err(|e| bad(e.to_string()))?;
        (&mut file).take(4).read_to_end(&mut start).map_err(|e| bad(e.to_string()))?;
        let n_bytes = file.metadata().map_err(|e| bad(e.to_string()))?.len();
        if start == b"PK\x03\x04" {
            check_pickle(path)?;
            return from_pickle(path, entry, n_bytes);
        }
        let bytes = fs::read(path).map_err(|e| bad(e.to_string()))?;
        let weights = from_safetensors(&bytes).map_err(|e| {
            let reason = if let ModelError::BadWeights { reason } = e { reason } else { e.to_string() };
            bad(format!("no checkpoint of PyTorch 1.6 or later, and {reason}"))
        })?;
        let texts = metadata(&bytes)?;
        let is_vocabulary = |(name, _): &(&String, &String)| name.ends_with("vocab");
        let vocabulary = |(name, text): (&String, &String)| {
            let words = serde_json::from_str::<Vec<String>>(text);
            let words = words.map_err(|e| bad(format!("the metadata `{name}` is no list of words: {e}")))?;
            let mut vocabulary = Vocabulary::new();
            for (row, word) in words.into_iter().enumerate() {
                if let Some(first) = vocabulary.insert(word.clone(), row) {
                    return Err(bad(format!("`{name}` has the word `{word}` in rows {first} and {row}")));
                }
            }
            Ok((name.clone(), vocabulary))
        };
        let vocabularies =
            texts.iter().filter(is_vocabulary).map(vocabulary).collect::<Result<_, ModelError>>()?;
        Ok(Self { weights, vocabularies })
    }

    /// The row of `word` in the vocabulary `name`; `None` if the file has no such vocabulary.
    ///
    /// # Errors
    /// If the vocabulary lacks the word.
    pub fn row_of(&self, name: &str, word: &str) -> Result<Option<usize>, ModelError> {
        let Some(vocabulary) = self.vocabularies.get(name) else { return Ok(None) };
        if let Some(&row) = vocabulary.get(word) {
            return Ok(Some(row));
        }
        let some: Vec<&str> = vocabulary.keys().take(4).map(String::as_str).collect();
        Err(bad(format!(
            "`{name}` has no word `{word}`; its {} words begin with {}",
            vocabulary.len(),
            some.join(", ")
        )))
    }
}

/// Refuses an archive by its directory, before its pickle is walked: every byte of it becomes an object, so what is compressed
/// or long takes memory that no file backs.
fn check_pickle(path: &Path) -> Result<(), ModelError> {
    let damaged =
        |e: torch_zip::result::ZipError| bad(format!("the archive of the checkpoint is damaged: {e}"));
    let file = fs::File::open(path).map_err(|e| bad(e.to_string()))?;
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        if !name.ends_with("data.pkl") {
            continue;
        }
        if entry.compression() != CompressionMethod::Stored || entry.compressed_size() != entry.size() {
            let reason = "is compressed, as `torch.save` writes none; save the checkpoint again with it";
            return Err(bad(format!("`{name}` {reason}")));
        }
        if entry.size() > LARGEST_PICKLE {
            return Err(bad(format!(
                "`{name}` has {} bytes of names and settings, more than {LARGEST_PICKLE}; save the state dict alone",
                entry.size()
            )));
        }
    }
    Ok(())
}

fn from_pickle(path: &Path, entry: Option<&str>, n_bytes: u64) -> Result<Checkpoint, ModelError> {
    let faulty = |e: pytorch_reader::PytorchError| bad(e.to_string());
    let root = PytorchReader::read_pickle_data(path, None).map_err(faulty)?;
    let PickleValue::Dict(entries) = root else {
        return Err(bad(format!("holds no dict of tensors and no module, but {}", kind(&root))));
    };
    let known = ENTRIES.iter().copied().find(|known| entries.contains_key(*known));
    let (tree, tensors) = match entry.or(known) {
        Some(name) => {
            let mut entries = entries;
            let Some(tree) = entries.remove(name) else {
                let mut names: Vec<&str> = entries.keys().map(String::as_str).collect();
                names.sort_unstable();
                return Err(bad(format!("has no entry `{name}`; it has {}", names.join(", "))));
            };
            if !matches!(tree, PickleValue::Dict(_)) {
                return Err(bad(format!(
                    "`{name}` is no dict of tensors and no module, but {}",
                    kind(&tree)
                )));
            }
            (tree, PytorchReader::with_top_level_key(path, name).map_err(faulty)?)
        }
        None => (PickleValue::Dict(entries), PytorchReader::new(path).map_err(faulty)?),
    };
    let tensors = tensors.into_tensors();
    let mut found = Checkpoint::default();
    let (mut opaque, mut rowless) = (Vec::new(), Vec::new());
    walk(&tree, "", &mut |name, value| match value {
        PickleValue::Unsupported(class) if !tensors.contains_key(name) => {
            opaque.push(format!("{name} ({class})"));
        }
        PickleValue::Dict(words) if name.ends_with("vocab") => {
            let is_part = |value| matches!(value, &PickleValue::Unsupported(_) | &PickleValue::Dict(_));
            // A module may be called so as well.
            if words.is_empty() || !words.values().all(is_part) {
                let (vocabulary, without) = vocabulary(words);
                rowless.extend(without.into_iter().map(|word| format!("{name} (`{word}`)")));
                found.vocabularies.insert(name.to_owned(), vocabulary);
            }
        }
        _ => {}
    });
    if !rowless.is_empty() {
        rowless.sort_unstable();
        return Err(bad(format!("words of vocabularies have no row from 0: {}", rowless.join(", "))));
    }
    if !opaque.is_empty() {
        opaque.sort_unstable();
        return Err(bad(format!(
            "objects that are no tensors lie among the weights, and none is called: {}",
            opaque.join(", ")
        )));
    }
    if tensors.is_empty() {
        return Err(bad("holds no tensor where weights are kept".to_owned()));
    }
    let total = tensors.values().try_fold(0_u64, |sum, t| sum.checked_add(u64::try_from(t.byte_len()).ok()?));
    if total.is_none_or(|total| total > n_bytes.saturating_mul(LARGEST_RATIO)) {
        return Err(bad(format!(
            "its tensors claim more than {LARGEST_RATIO} times the {n_bytes} bytes of the file"
        )));
    }
    for (name, tensor) in tensors {
        found.weights.insert(name, read_tensor(&tensor)?);
    }
    Ok(unwrapped(found))
}

/// Drops what all names begin with, if a wrapper put it there.
fn unwrapped(found: Checkpoint) -> Checkpoint {
    let names = || found.weights.keys().chain(found.vocabularies.keys());
    let wrapper = WRAPPERS.iter().find(|wrapper| names().all(|name| name.starts_with(**wrapper)));
    let (Some(wrapper), false) = (wrapper, found.weights.is_empty()) else { return found };
    let short = |name: String| name.strip_prefix(wrapper).map_or(name.clone(), str::to_owned);
    Checkpoint {
        weights: found.weights.into_iter().map(|(name, data)| (short(name), data)).collect(),
        vocabularies: found.vocabularies.into_iter().map(|(name, words)| (short(name), words)).collect(),
    }
}

/// Calls `see` with every value of a tree of dicts, lists and tuples and its dotted name, in which items have their numbers.
fn walk(tree: &PickleValue, prefix: &str, see: &mut impl FnMut(&str, &PickleValue)) {
    let mut enter = |name: &dyn std::fmt::Display, value: &PickleValue| {
        let name = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        see(&name, value);
        walk(value, &name, see);
    };
    match tree {
        PickleValue::Dict(entries) => entries.iter().for_each(|(name, value)| enter(name, value)),
        PickleValue::List(items) => items.iter().enumerate().for_each(|(i, value)| enter(&i, value)),
        _ => {}
    }
}

/// Words with their rows, and words without one.
fn vocabulary(words: &HashMap<String, PickleValue>) -> (Vocabulary, Vec<&str>) {
    let (mut vocabulary, mut without) = (Vocabulary::new(), Vec::new());
    for (word, value) in words {
        let row = if let PickleValue::Int(row) = value { usize::try_from(*row).ok() } else { None };
        match row {
            Some(row) => _ = vocabulary.insert(word.clone(), row),
            None => without.push(word.as_str()),
        }
    }
    (vocabulary, without)
}

/// What a value is, in words.
fn kind(value: &PickleValue) -> String {
    match value {
        PickleValue::Unsupported(class) => format!("an object of the class {class}"),
        PickleValue::List(_) => "a list".to_owned(),
        PickleValue::Dict(_) => "a dict".to_owned(),
        PickleValue::None => "None".to_owned(),
        _ => "a plain value".to_owned(),
    }
}

/// Numbers of `W` bytes each.
fn each<const W: usize, T>(bytes: &[u8], number: impl Fn([u8; W]) -> T) -> Vec<T> {
    bytes.as_chunks::<W>().0.iter().map(|chunk| number(*chunk)).collect()
}

fn read_tensor(tensor: &Tensor) -> Result<TensorData, ModelError> {
    let bytes = tensor.read().map_err(|e| bad(e.to_string()))?;
    let shape = tensor.shape().to_vec();
    Ok(match tensor.dtype() {
        DType::F32 => TensorData::new(each(&bytes, f32::from_ne_bytes), shape),
        DType::F64 => TensorData::new(each(&bytes, f64::from_ne_bytes), shape),
        DType::F16 => TensorData::new(each(&bytes, |b| half(u16::from_ne_bytes(b))), shape),
        DType::BF16 => {
            let wide = |b| f32::from_bits(u32::from(u16::from_ne_bytes(b)) << 16);
            TensorData::new(each(&bytes, wide), shape)
        }
        DType::I64 => {
            #[expect(clippy::cast_precision_loss, reason = "buffers of counters and positions")]
            let number = |b| i64::from_ne_bytes(b) as f64;
            TensorData::new(each(&bytes, number), shape)
        }
        DType::I32 => TensorData::new(each(&bytes, |b| f64::from(i32::from_ne_bytes(b))), shape),
        DType::I16 => TensorData::new(each(&bytes, |b| f64::from(i16::from_ne_bytes(b))), shape),
        DType::I8 => TensorData::new(each(&bytes, |b: [u8; 1]| f64::from(i8::from_ne_bytes(b))), shape),
        DType::U8 | DType::Bool => TensorData::new(each(&bytes, |b: [u8; 1]| f64::from(b[0])), shape),
        other => return Err(bad(format!("tensor {} has unsupported type {other:?}", tensor.name))),
    })
}

/// A number of half precision (IEEE 754 binary16), exactly.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = ((bits >> 10) & 0x1f, f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2f32.powi(i32::from(exponent) - 25),
    }
}

fn bad(reason: String) -> ModelError {
    ModelError::BadWeights { reason }
}
