//! Zarr version 2 as HDMF writes it: folders with `.zattrs`, `.zarray` and chunks, as the same tree of objects.
//!
//! After the Zarr storage specification, version 2. Chunks in C order, packed with Blosc, Zstandard, Zlib, Gzip or not at
//! all; numbers, truth values, and text (`vlen-utf8`, `vlen-bytes`, `json2`). References to objects are pickled, and a
//! pickle is a program: they are never read.

mod values;

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use self::values::{Code, Coding, Kind, numbers};
use super::blosc::{self, BloscError};
use super::decode::DecodeError;
use super::filters::zstd;
use super::{H5File, MAX_CHUNK_BYTES, MAX_INFLATION, MAX_OBJECTS, MIN_READ_BYTES, Node, Object, SCHEMAS};
use crate::array::{Array, Values};
use crate::error::IngestError;

/// Longest `.zattrs` or `.zarray`: lists of thousands of columns fit.
const MAX_JSON_BYTES: u64 = 16 << 20;
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
                n_bytes = n_bytes.saturating_add(chunk_bytes(&entry)?);
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
    })
}

/// Length of the chunks of an array; nested ones, as of a `/` separator, are not counted.
fn chunk_bytes(folder: &Path) -> Result<u64, IngestError> {
    let mut n_bytes = 0_u64;
    for entry in fs::read_dir(folder).map_err(IngestError::io("list", folder))? {
        let entry = entry.map_err(IngestError::io("list", folder))?;
        n_bytes = n_bytes.saturating_add(entry.metadata().map_or(0, |metadata| metadata.len()));
    }
    Ok(n_bytes)
}

impl ZarrObject {
    /// The object of a folder of the store at `path`; `None` where it is none.
    fn read(path: &Path, folder: &Path) -> Result<Option<Self>, IngestError> {
        let array: Option<ArrayFile> = read_json(path, &folder.join(".zarray"))?;
        if array.is_none() && !folder.join(".zgroup").is_file() {
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

    /// Reads a whole array; no more than `max_bytes` are ever taken for it.
    pub(super) fn read_array(&self, max_bytes: u64) -> Result<Array, DecodeError> {
        let array = self.array.as_ref().ok_or_else(|| malformed("a group where an array is due"))?;
        array.check()?;
        let kind = Kind::of(&array.dtype, array.filters.as_deref())?;
        let count = array.shape.iter().try_fold(1_usize, |n, &length| n.checked_mul(length));
        let item_bytes = kind.item_bytes();
        let total = count.and_then(|count| count.checked_mul(item_bytes));
        let fits = |total: usize| u64::try_from(total).is_ok_and(|total| total <= max_bytes);
        let (Some(count), Some(total)) = (count, total.filter(|&total| fits(total))) else {
            return Err(malformed(format!("shape {:?} is more than the chunks can hold", array.shape)));
        };
        let values = match &kind {
            Kind::Text(coding) => Values::Text(self.texts(array, *coding, count)?),
            Kind::Number(code) => {
                let mut bytes = vec![0; total];
                self.fill(array, *code, item_bytes, &mut bytes)?;
                numbers(*code, &bytes)?
            }
        };
        Ok(Array { shape: self.shape(), values })
    }

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
        if !path.is_file() {
            return Ok(None);
        }
        let packed = fs::read(&path).map_err(|error| malformed(format!("chunk {name}: {error}")))?;
        let bytes = unpack(array.compressor.as_ref(), packed, expected)?;
        Ok(Some(bytes))
    }

    /// Copies all chunks to their places; what has no chunk gets the fill value.
    fn fill(&self, array: &ArrayFile, code: Code, item: usize, bytes: &mut [u8]) -> Result<(), DecodeError> {
        let fill = code.fill(&array.fill_value)?;
        for place in bytes.chunks_exact_mut(item) {
            place.copy_from_slice(&fill);
        }
        let chunk_bytes = array.chunks.iter().product::<usize>() * item;
        for place in places(&array.shape, &array.chunks) {
            let Some(chunk) = self.chunk(array, &place, chunk_bytes)? else { continue };
            if chunk.len() != chunk_bytes {
                let detail = format!("chunk {place:?} has {} bytes, expected {chunk_bytes}", chunk.len());
                return Err(malformed(detail));
            }
            copy_chunk(array, &place, item, &chunk, bytes);
        }
        Ok(())
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
    if !file.is_file() {
        return Ok(None);
    }
    let part = file.strip_prefix(path).unwrap_or(file).display().to_string();
    let mut bytes = Vec::new();
    let opened = fs::File::open(file).map_err(IngestError::io("open", file))?;
    opened.take(MAX_JSON_BYTES + 1).read_to_end(&mut bytes).map_err(IngestError::io("read", file))?;
    if bytes.len() as u64 > MAX_JSON_BYTES {
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

/// Indices of all chunks, the last axis fastest.
fn places(shape: &[usize], chunks: &[usize]) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new()];
    for (&length, &chunk) in shape.iter().zip(chunks) {
        let next = |place: Vec<usize>| {
            (0..length.div_ceil(chunk)).map(move |index| place.iter().copied().chain([index]).collect())
        };
        places = places.into_iter().flat_map(next).collect();
    }
    places
}

/// Copies the part of a chunk that lies inside the array, row by row of the last axis.
fn copy_chunk(array: &ArrayFile, place: &[usize], item: usize, chunk: &[u8], bytes: &mut [u8]) {
    let (Some((&length, outer_shape)), Some((&width, outer_chunks))) =
        (array.shape.split_last(), array.chunks.split_last())
    else {
        bytes.copy_from_slice(chunk);
        return;
    };
    let (outer_place, last) = (&place[..outer_shape.len()], place[outer_shape.len()]);
    let first = last * width;
    let n_bytes = width.min(length - first) * item;
    let n_rows: usize = outer_chunks.iter().product();
    for row in 0..n_rows {
        // Where the row lies in the chunk, and by that in the array.
        let (mut rest, mut target, mut stride, mut is_inside) = (row, 0, 1, true);
        for axis in (0..outer_shape.len()).rev() {
            let at = outer_place[axis] * outer_chunks[axis] + rest % outer_chunks[axis];
            rest /= outer_chunks[axis];
            is_inside &= at < outer_shape[axis];
            target += at * stride;
            stride *= outer_shape[axis];
        }
        if is_inside {
            let (from, to) = (row * width * item, (target * length + first) * item);
            bytes[to..to + n_bytes].copy_from_slice(&chunk[from..from + n_bytes]);
        }
    }
}

/// Unpacks a chunk of at most `max_bytes`.
fn unpack(compressor: Option<&Value>, packed: Vec<u8>, max_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    let Some(compressor) = compressor else { return Ok(packed) };
    let id = compressor.get("id").and_then(Value::as_str).unwrap_or_default();
    let inflate = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
        reader.take(limit).read_to_end(&mut bytes).map_err(|error| malformed(error.to_string()))?;
        Ok(bytes)
    };
    match id {
        "blosc" => blosc::decompress(&packed, max_bytes).map_err(|error| match error {
            BloscError::Unsupported(what) => unsupported(format!("Blosc with {what}")),
            BloscError::Malformed(what) => malformed(what),
        }),
        "zstd" => zstd(&packed, max_bytes).map_err(malformed),
        "zlib" => inflate(&mut flate2::read::ZlibDecoder::new(&packed[..])),
        "gzip" => inflate(&mut flate2::read::GzDecoder::new(&packed[..])),
        _ => Err(unsupported(format!("chunks packed with {id:?}"))),
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
        let read = object(array(&[3, 3], &[2, 2])).read_array(1 << 20).unwrap();
        assert_eq!(read.values, Values::Int(vec![0, 1, 2, 10, 11, 12, 9, 9, 22]));
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
}
