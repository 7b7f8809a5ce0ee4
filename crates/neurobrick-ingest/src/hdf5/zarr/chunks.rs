//! Chunks of a Zarr array: their files, their places in the array, and how they are packed.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use serde_json::Value;

use super::{ArrayFile, malformed, unsupported};
use crate::error::IngestError;
use crate::hdf5::blosc::{self, BloscError};
use crate::hdf5::decode::DecodeError;
use crate::hdf5::filters::zstd;

/// What a packed chunk may be longer than an unpacked one, besides an eighth of it.
const PACKING_BYTES: usize = 4096;

/// Length of the chunks of an array, and of those in `depth` levels of folders called by a number, as a `/` separator
/// makes them.
pub(super) fn chunk_bytes(folder: &Path, depth: usize) -> Result<u64, IngestError> {
    let mut n_bytes = 0_u64;
    for entry in fs::read_dir(folder).map_err(IngestError::io("list", folder))? {
        let entry = entry.map_err(IngestError::io("list", folder))?;
        let path = entry.path();
        let is_folder = entry.file_type().map_err(IngestError::io("list", folder))?.is_dir();
        let found = match is_folder {
            true if depth > 0 && is_number(&entry.file_name()) => chunk_bytes(&path, depth - 1)?,
            true => 0,
            // Through a link, which is how data managers keep large files.
            false => match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                // A link that leads nowhere is refused if it is to be read.
                Err(error) if error.kind() == ErrorKind::NotFound => 0,
                Err(error) => return Err(IngestError::io("measure", &path)(error)),
            },
        };
        n_bytes = n_bytes.saturating_add(found);
    }
    Ok(n_bytes)
}

fn is_number(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The bytes of a file, or one more than `max_bytes` of them; `None` where there is none.
pub(super) fn read_at_most(path: &Path, max_bytes: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        // A link that leads nowhere is a file that was not fetched.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return if fs::symlink_metadata(path).is_ok() { Err(error) } else { Ok(None) };
        }
        Err(error) => return Err(error),
    };
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The most bytes that so many may have been packed into: what does not shrink grows by a header and a little for every
/// block.
pub(super) fn max_packed_bytes(unpacked: usize) -> usize {
    unpacked.saturating_add(unpacked / 8).saturating_add(PACKING_BYTES)
}

/// Indices of all chunks, the last axis fastest, one after the other: an array of nothing but missing chunks has more of
/// them than fit into memory.
pub(super) fn places(shape: &[usize], chunks: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let ends: Vec<usize> = shape.iter().zip(chunks).map(|(length, chunk)| length.div_ceil(*chunk)).collect();
    let first = (!ends.contains(&0)).then(|| vec![0; ends.len()]);
    std::iter::successors(first, move |place| {
        let axis = (0..ends.len()).rev().find(|&axis| place[axis] + 1 < ends[axis])?;
        let mut next = place.clone();
        next[axis] += 1;
        next[axis + 1..].fill(0);
        Some(next)
    })
}

/// Copies the part of a chunk that lies inside the array, row by row of the last axis.
pub(super) fn copy_chunk(array: &ArrayFile, place: &[usize], item: usize, chunk: &[u8], bytes: &mut [u8]) {
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
pub(super) fn unpack(
    compressor: Option<&Value>,
    packed: Vec<u8>,
    max_bytes: usize,
) -> Result<Vec<u8>, DecodeError> {
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

    #[test]
    fn places_are_counted_without_being_kept() {
        let found: Vec<_> = places(&[3, 5], &[2, 2]).collect();
        assert_eq!(found, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(places(&[], &[]).collect::<Vec<_>>(), [Vec::<usize>::new()]);
        assert_eq!(places(&[7, 0], &[2, 2]).count(), 0);
        assert_eq!(places(&[usize::MAX, 9], &[1, 9]).nth(5), Some(vec![5, 0]));
    }

    #[test]
    fn chunks_in_folders_of_their_own_count() {
        let folder = tempfile::tempdir().unwrap();
        for (place, n_bytes) in [("0/0", 5), ("0/1", 7), ("12/3", 11), ("notes/0", 100), ("1/2/3/4", 13)] {
            let path = folder.path().join(place);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; n_bytes]).unwrap();
        }
        for (depth, n_bytes) in [(0, 0), (1, 23), (3, 36)] {
            assert_eq!(chunk_bytes(folder.path(), depth).unwrap(), n_bytes, "{depth}");
        }
    }
}
