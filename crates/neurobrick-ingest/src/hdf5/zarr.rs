//! Zarr version 2 as HDMF writes it: folders with `.zattrs`, `.zarray` and chunks, as the same tree of objects.
//!
//! After the Zarr storage specification, version 2. Chunks in C order, packed with Blosc, Zstandard, Zlib, Gzip or not at
//! all; numbers, truth values, and text (`vlen-utf8`, `vlen-bytes`, `json2`). References to objects are pickled, and a
//! pickle is a program: they are never read.

mod chunks;
mod values;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use self::chunks::{chunk_bytes, copy_chunk, max_packed_bytes, places, read_at_most, unpack};
use self::values::{Code, Coding, Kind, numbers};
use super::decode::DecodeError;
use super::{H5File, MAX_CHUNK_BYTES, MAX_INFLATION, MAX_OBJECTS, MIN_READ_BYTES, Node, Object, SCHEMAS};
use crate::array::{Array, Values};
use crate::error::IngestError;

/// Longest `.zattrs` or `.zarray`: lists of thousands of columns fit.
const MAX_JSON_BYTES: usize = 16 << 20;
/// Deepest nesting of groups.
const MAX_DEPTH: usize = 32;
/// Most axes of an array.
const MAX_AXES: usize = 16;

/// A group or an array: where it lies and what is written beside it.
pub(crate) struct ZarrObject {
    folder: PathBuf,
    pub(super) attributes: Map<String, Value>,
    /// `None` for a group.
    array: Option<ArrayFile>,
}

/// `.zarray`.
#[derive(Deserialize)]
struct ArrayFile {
    shape: Vec<usize>,
    chunks: Vec<usize>,
    dtype: Value,
    compressor: Option<Value>,
    filters: Option<Vec<Value>>,
    fill_value: Value,
    order: String,
    zarr_format: u32,
    #[serde(default)]
    dimension_separator: Option<String>,
}

fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(what.into())
}

fn unsupported(what: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported(what.into())
}

/// Opens a folder and lists its objects.
///
/// Errors: [`IngestError::Io`]; [`IngestError::Malformed`] for anything that is not a whole Zarr group.
pub(super) fn open(path: &Path) -> Result<H5File, IngestError> {
    let root = ZarrObject::read(path, path)?;
    let root = root.ok_or_else(|| IngestError::malformed(path, "the folder", "it holds no Zarr group"))?;
    let mut nodes =
        vec![Node { path: "/".into(), object: Object::Zarr(Box::new(root)), children: Vec::new() }];
    let mut groups = VecDeque::from([(0, path.to_path_buf(), 0)]);
    let mut links = Vec::new();
    let mut n_bytes = 0_u64;
    while let Some((parent, folder, depth)) = groups.pop_front() {
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&folder).map_err(IngestError::io("list", &folder))? {
            let entry = entry.map_err(IngestError::io("list", &folder))?;
            let metadata = entry.metadata().map_err(IngestError::io("measure", &entry.path()))?;
            n_bytes = n_bytes.saturating_add(metadata.len());
            // A link to a folder could lead in a circle.
            if metadata.is_dir() && !entry.file_name().to_string_lossy().starts_with('.') {
                entries.push(entry.path());
            }
        }
        entries.sort();
        for entry in entries {
            let Some(object) = ZarrObject::read(path, &entry)? else { continue };
            let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let node_path = format!("{}/{name}", nodes[parent].path.trim_end_matches('/'));
            let node = nodes.len();
            if node == MAX_OBJECTS || depth == MAX_DEPTH {
                return Err(IngestError::malformed(path, node_path, "too many objects"));
            }
            links.extend(object.links().into_iter().map(|(name, target)| (node, name, target)));
            if object.array.is_some() {
                n_bytes = n_bytes.saturating_add(chunk_bytes(&entry, MAX_AXES)?);
            } else if node_path != SCHEMAS {
                groups.push_back((node, entry, depth + 1));
            }
            nodes.push(Node {
                path: node_path,
                object: Object::Zarr(Box::new(object)),
                children: Vec::new(),
            });
            nodes[parent].children.push((name, node));
        }
    }
    for (node, name, target) in links {
        if let Some(target) = nodes.iter().position(|node| node.path == target) {
            nodes[node].children.push((name, target));
        }
    }
    for node in &mut nodes {
        node.children.sort();
    }
    let max_read_bytes = n_bytes.saturating_mul(MAX_INFLATION).max(MIN_READ_BYTES);
    Ok(H5File {
        path: path.to_path_buf(),
        nodes,
        by_address: super::HashMap::new(),
        offset_size: 8,
        max_read_bytes,
        max_decoded_bytes: super::Mutex::default(),
        filled: super::Mutex::default(),
    })
}

impl ZarrObject {
    /// The object of a folder of the store at `path`; `None` where it is none.
    fn read(path: &Path, folder: &Path) -> Result<Option<Self>, IngestError> {
        let array: Option<ArrayFile> = read_json(path, &folder.join(".zarray"))?;
        let group = folder.join(".zgroup");
        let is_group = || read_at_most(&group, 0).map_err(IngestError::io("read", &group));
        if array.is_none() && is_group()?.is_none() {
            return Ok(None);
        }
        let attributes = read_json(path, &folder.join(".zattrs"))?.unwrap_or_default();
        Ok(Some(Self { folder: folder.to_path_buf(), attributes, array }))
    }

    pub(super) fn is_group(&self) -> bool {
        self.array.is_none()
    }

    /// Length of each axis; none for a group and for a single value.
    pub(super) fn shape(&self) -> Vec<usize> {
        match &self.array {
            Some(_) if self.attributes.get("zarr_dtype").and_then(Value::as_str) == Some("scalar") => {
                Vec::new()
            }
            Some(array) => array.shape.clone(),
            None => Vec::new(),
        }
    }

    /// Names and targets of links to objects of the same store.
    fn links(&self) -> Vec<(String, String)> {
        let links = self.attributes.get("zarr_link").and_then(Value::as_array).map(Vec::as_slice);
        let link = |link: &Value| {
            let text = |key: &str| link.get(key).and_then(Value::as_str).map(str::to_owned);
            (text("source").as_deref() == Some(".")).then(|| Some((text("name")?, text("path")?))).flatten()
        };
        links.unwrap_or_default().iter().filter_map(link).collect()
    }

    /// Reads a whole array; no more than `max_bytes` are ever taken for it. Also the number of chunks that are missing, so
    /// that the fill value stands in their places.
    pub(super) fn read_array(&self, max_bytes: u64) -> Result<(Array, usize), DecodeError> {
        let array = self.array.as_ref().ok_or_else(|| malformed("a group where an array is due"))?;
        array.check()?;
        let kind = Kind::of(&array.dtype, array.filters.as_deref())?;
        let count = array.shape.iter().try_fold(1_usize, |n, &length| n.checked_mul(length));
        let item_bytes = kind.item_bytes();
        if array.shape.contains(&0) {
            let values = match kind {
                Kind::Text(_) => Values::Text(Vec::new()),
                Kind::Number(code) => numbers(code, &[])?,
            };
            return Ok((Array { shape: self.shape(), values }, 0));
        }
        let total = count.and_then(|count| count.checked_mul(item_bytes));
        let fits = |total: usize| u64::try_from(total).is_ok_and(|total| total <= max_bytes);
        let (Some(count), Some(total)) = (count, total.filter(|&total| fits(total))) else {
            return Err(malformed(format!("shape {:?} is more than the chunks can hold", array.shape)));
        };
        let (values, n_missing) = match &kind {
            Kind::Text(coding) => (Values::Text(self.texts(array, *coding, count)?), 0),
            Kind::Number(code) => {
                let mut bytes = vec![0; total];
                let n_missing = self.fill(array, *code, item_bytes, &mut bytes)?;
                (numbers(*code, &bytes)?, n_missing)
            }
        };
        Ok((Array { shape: self.shape(), values }, n_missing))
    }

    /// A chunk, unpacked; `None` where there is no file of it.
    fn chunk(
        &self,
        array: &ArrayFile,
        place: &[usize],
        expected: usize,
    ) -> Result<Option<Vec<u8>>, DecodeError> {
        let separator = array.dimension_separator.as_deref().unwrap_or(".");
        let place: Vec<String> = place.iter().map(usize::to_string).collect();
        let name = if place.is_empty() { "0".to_owned() } else { place.join(separator) };
        let path = self.folder.join(&name);
        let max_packed = max_packed_bytes(expected);
        let unreadable = |source| DecodeError::Io { path: path.clone(), source };
        let Some(packed) = read_at_most(&path, max_packed).map_err(unreadable)? else { return Ok(None) };
        if packed.len() > max_packed {
            return Err(malformed(format!(
                "chunk {name} has over {max_packed} bytes, for {expected} unpacked"
            )));
        }
        let bytes = unpack(array.compressor.as_ref(), packed, expected)?;
        Ok(Some(bytes))
    }

    /// Copies all chunks to their places; what has no chunk gets the fill value. Returns how many have none.
    fn fill(
        &self,
        array: &ArrayFile,
        code: Code,
        item: usize,
        bytes: &mut [u8],
    ) -> Result<usize, DecodeError> {
        let fill = code.fill(&array.fill_value)?;
        for place in bytes.chunks_exact_mut(item) {
            place.copy_from_slice(&fill);
        }
        let mut n_missing = 0;
        let chunk_bytes = array.chunks.iter().product::<usize>() * item;
        for place in places(&array.shape, &array.chunks) {
            let Some(chunk) = self.chunk(array, &place, chunk_bytes)? else {
                if array.fill_value.is_null() {
                    return Err(malformed(format!("chunk {place:?} is missing, and there is no fill value")));
                }
                n_missing += 1;
                continue;
            };
            if chunk.len() != chunk_bytes {
                let detail = format!("chunk {place:?} has {} bytes, expected {chunk_bytes}", chunk.len());
                return Err(malformed(detail));
            }
            copy_chunk(array, &place, item, &chunk, bytes);
        }
        Ok(n_missing)
    }

    fn texts(&self, array: &ArrayFile, coding: Coding, count: usize) -> Result<Vec<String>, DecodeError> {
        let [length] = array.chunks[..] else {
            return Err(unsupported("text with more than one axis"));
        };
        let mut texts = Vec::new();
        for place in 0..count.div_ceil(length) {
            let wanted = length.min(count - place * length);
            let Some(chunk) = self.chunk(array, &[place], MAX_CHUNK_BYTES)? else {
                return Err(malformed(format!("chunk {place} of the text is missing")));
            };
            let mut found = coding.decode(&chunk)?;
            if found.len() < wanted {
                return Err(malformed(format!(
                    "chunk {place} holds {} texts, expected {wanted}",
                    found.len()
                )));
            }
            found.truncate(wanted);
            texts.append(&mut found);
        }
        Ok(texts)
    }
}

fn read_json<T: for<'a> Deserialize<'a>>(path: &Path, file: &Path) -> Result<Option<T>, IngestError> {
    let found = read_at_most(file, MAX_JSON_BYTES).map_err(IngestError::io("read", file))?;
    let Some(bytes) = found else { return Ok(None) };
    let part = file.strip_prefix(path).unwrap_or(file).display().to_string();
    if bytes.len() > MAX_JSON_BYTES {
        return Err(IngestError::malformed(path, part, format!("longer than {MAX_JSON_BYTES} bytes")));
    }
    serde_json::from_slice(&bytes).map(Some).map_err(|error| IngestError::malformed(path, part, error))
}

impl ArrayFile {
    fn check(&self) -> Result<(), DecodeError> {
        if self.zarr_format != 2 {
            return Err(unsupported(format!("Zarr version {}", self.zarr_format)));
        }
        if self.order != "C" && self.shape.len() > 1 {
            return Err(unsupported(format!("chunks in {} order", self.order)));
        }
        let chunk = self.chunks.iter().try_fold(8_usize, |n, &length| n.checked_mul(length));
        let is_sound = self.chunks.len() == self.shape.len()
            && self.shape.len() <= MAX_AXES
            && chunk.is_some_and(|bytes| (1..=MAX_CHUNK_BYTES).contains(&bytes));
        if is_sound {
            return Ok(());
        }
        Err(malformed(format!("chunks of shape {:?} in an array of shape {:?}", self.chunks, self.shape)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn array(shape: &[usize], chunks: &[usize]) -> ArrayFile {
        ArrayFile {
            shape: shape.to_vec(),
            chunks: chunks.to_vec(),
            dtype: Value::from("|u1"),
            compressor: None,
            filters: None,
            fill_value: Value::from(9),
            order: "C".into(),
            zarr_format: 2,
            dimension_separator: None,
        }
    }

    #[test]
    fn chunks_at_the_border_are_cut_and_missing_ones_filled() {
        let folder = tempfile::tempdir().unwrap();
        let object = |array| ZarrObject {
            folder: folder.path().to_path_buf(),
            attributes: Map::new(),
            array: Some(array),
        };
        for (name, bytes) in [("0.0", [0, 1, 10, 11]), ("0.1", [2, 77, 12, 77]), ("1.1", [22, 77, 77, 77])] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let (read, n_missing) = object(array(&[3, 3], &[2, 2])).read_array(1 << 20).unwrap();
        assert_eq!(read.values, Values::Int(vec![0, 1, 2, 10, 11, 12, 9, 9, 22]));
        assert_eq!(n_missing, 1);
        let mut without_fill = array(&[3, 3], &[2, 2]);
        without_fill.fill_value = Value::Null;
        let error = object(without_fill).read_array(1 << 20);
        assert!(matches!(&error, Err(DecodeError::Malformed(why)) if why.contains("[1, 0] is missing")));
        fs::write(folder.path().join("0.0"), [0; 3]).unwrap();
        assert!(matches!(
            object(array(&[3, 3], &[2, 2])).read_array(1 << 20),
            Err(DecodeError::Malformed(_))
        ));
        for (shape, chunks) in [
            (&[3, 3][..], &[2][..]),
            (&[3], &[0]),
            (&[usize::MAX, 2], &[1, 1]),
            (&[1 << 40], &[8]),
            (&[3], &[1 << 40]),
        ] {
            let result = object(array(shape, chunks)).read_array(1 << 20);
            assert!(matches!(result, Err(DecodeError::Malformed(_))), "{shape:?} {chunks:?}");
        }
    }

    #[test]
    fn an_empty_array_takes_no_memory_however_long_its_axes() {
        let folder = tempfile::tempdir().unwrap();
        for shape in [[1_000_000_000_000, 0], [0, usize::MAX]] {
            let (folder, array) = (folder.path().to_path_buf(), Some(array(&shape, &[1, 1])));
            let object = ZarrObject { folder, attributes: Map::new(), array };
            let (read, n_missing) = object.read_array(1 << 20).unwrap();
            assert_eq!((read, n_missing), (Array { shape: shape.to_vec(), values: Values::Int(vec![]) }, 0));
        }
    }

    #[test]
    fn a_chunk_that_is_there_is_read_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let chunk = folder.path().join("0");
        let read = || {
            let (folder, array) = (folder.path().to_path_buf(), Some(array(&[2], &[2])));
            ZarrObject { folder, attributes: Map::new(), array }.read_array(1 << 20)
        };
        assert_eq!(read().unwrap().1, 1);
        fs::create_dir(&chunk).unwrap();
        assert!(matches!(read(), Err(DecodeError::Io { path, .. }) if path == chunk));
        fs::remove_dir(&chunk).unwrap();
        fs::write(&chunk, vec![0; 10 << 20]).unwrap();
        assert!(matches!(read(), Err(DecodeError::Malformed(why)) if why.contains("over 4098 bytes")));
        fs::remove_file(&chunk).unwrap();
        #[cfg(unix)]
        {
            // What a data manager has not fetched.
            std::os::unix::fs::symlink("nowhere", &chunk).unwrap();
            assert!(matches!(read(), Err(DecodeError::Io { path, .. }) if path == chunk));
        }
    }

    #[test]
    fn any_description_of_an_array_is_read_or_refused() {
        let folder = crate::fuzz::scratch();
        let chunk = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        chunk("0.0", &[0, 1, 10, 11]);
        chunk("0.1", &[2, 77, 12, 77]);
        chunk("0", &[2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0]);
        let numbers = br#"{"shape": [3, 3], "chunks": [2, 2], "dtype": "|u1", "compressor": null,
            "filters": null, "fill_value": 9, "order": "C", "zarr_format": 2, "dimension_separator": "."}"#;
        let texts = br#"{"shape": [2], "chunks": [2], "dtype": "|O", "compressor": null,
            "filters": [{"id": "vlen-utf8"}], "fill_value": "", "order": "C", "zarr_format": 2}"#;
        for seed in [&numbers[..], texts] {
            crate::fuzz::check(&[seed], |bytes| {
                let Ok(array) = serde_json::from_slice(bytes) else { return false };
                let folder = folder.path().to_path_buf();
                // Files of so few chunks that a long run ends.
                ZarrObject { folder, attributes: Map::new(), array: Some(array) }.read_array(64).is_ok()
            });
        }
    }

    #[test]
    fn any_attributes_of_a_group_are_read_or_refused() {
        let folder = crate::fuzz::scratch();
        let store = folder.path().join("store");
        fs::create_dir_all(store.join("a")).unwrap();
        for group in [&store, &store.join("a")] {
            fs::write(group.join(".zgroup"), r#"{"zarr_format": 2}"#).unwrap();
        }
        let seed = br#"{"zarr_link": [{"name": "b", "path": "/a", "source": "."}], "n": [1, 2.5], "t": "x"}"#;
        crate::fuzz::check(&[seed], |bytes| {
            fs::write(store.join("a/.zattrs"), bytes).unwrap();
            open(&store).is_ok()
        });
    }
}
