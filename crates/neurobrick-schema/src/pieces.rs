//! Hashes of the pieces of a file, so that a part of it can be checked without the rest.
//!
//! BLAKE3 hashes a tree. The chaining values of subtrees of [`PIECE_BYTES`] each, put together, give the hash of the
//! file (O'Connor et al., *BLAKE3*, section 2.1, 2020). A list of them thus needs no trust of its own: it belongs to a
//! hash, or it does not.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::{Hash, Hasher};

use crate::error::SchemaError;

/// Length of all pieces but the last, a power of two: what is hashed is still in the cache of one core when it is
/// decoded.
pub(crate) const PIECE_BYTES: usize = 1 << 20;
/// Files up to this length are read and checked whole, and have no list of pieces.
pub(crate) const WHOLE_BYTES: u64 = 4 << 20;
/// What is read and hashed at once.
const STEP_BYTES: usize = 1 << 17;

/// Number of pieces of a file of that length.
pub(crate) fn n_pieces(n_bytes: u64) -> usize {
    usize::try_from(n_bytes.div_ceil(PIECE_BYTES as u64)).unwrap_or(usize::MAX)
}

/// Reads the piece `index` of the file to the end of `bytes` from where the file stands, and hashes it.
pub(crate) fn read_piece(
    source: &mut impl Read,
    index: usize,
    bytes: &mut Vec<u8>,
) -> std::io::Result<ChainingValue> {
    let mut hasher = Hasher::new();
    hasher.set_input_offset((index * PIECE_BYTES) as u64);
    let mut hashed = bytes.len();
    let end = hashed + PIECE_BYTES;
    while bytes.len() < end {
        let step = STEP_BYTES.min(end - bytes.len());
        let n_read = source.take(step as u64).read_to_end(bytes)?;
        // Right away, while it is in the cache.
        hasher.update(&bytes[hashed..]);
        hashed = bytes.len();
        if n_read < step {
            break;
        }
    }
    Ok(if hasher.count() == 0 { [0; 32] } else { hasher.finalize_non_root() })
}

/// Hash of a piece that is in memory.
#[cfg(feature = "remote")]
pub(crate) fn hash_piece(bytes: &[u8], index: usize) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset((index * PIECE_BYTES) as u64);
    hasher.update(bytes);
    if bytes.is_empty() { [0; 32] } else { hasher.finalize_non_root() }
}

/// Length of a file, its hash, and the hashes of its pieces where it has more than [`WHOLE_BYTES`].
pub(crate) fn of_file(path: &Path) -> Result<(u64, Hash, Vec<ChainingValue>), SchemaError> {
    let failed = |error| SchemaError::io("read", path)(error);
    let mut file = File::open(path).map_err(SchemaError::io("open", path))?;
    let n_bytes = file.metadata().map_err(failed)?.len();
    if n_bytes <= WHOLE_BYTES {
        let mut hasher = Hasher::new();
        hasher.update_reader(&mut file).map_err(failed)?;
        return Ok((hasher.count(), hasher.finalize(), Vec::new()));
    }
    let (mut pieces, mut found) = (Vec::new(), 0);
    let mut bytes = Vec::with_capacity(PIECE_BYTES);
    loop {
        bytes.clear();
        let piece = read_piece(&mut file, pieces.len(), &mut bytes).map_err(failed)?;
        if bytes.is_empty() {
            break;
        }
        found += bytes.len() as u64;
        pieces.push(piece);
        if bytes.len() < PIECE_BYTES {
            break;
        }
    }
    match root(&pieces) {
        Some(hash) if found == n_bytes => Ok((found, hash, pieces)),
        _ => Err(SchemaError::damaged(path, "changes while it is hashed")),
    }
}

/// The hash of a file by its pieces, of which there must be two at least.
pub(crate) fn root(pieces: &[ChainingValue]) -> Option<Hash> {
    let (left, right) = split(pieces)?;
    Some(merge_subtrees_root(&node(left)?, &node(right)?, Mode::Hash))
}

fn node(pieces: &[ChainingValue]) -> Option<ChainingValue> {
    match pieces {
        [piece] => Some(*piece),
        pieces => {
            let (left, right) = split(pieces)?;
            Some(merge_subtrees_non_root(&node(left)?, &node(right)?, Mode::Hash))
        }
    }
}

/// The left subtree has the greatest power of two of pieces that leaves some to the right.
fn split(pieces: &[ChainingValue]) -> Option<(&[ChainingValue], &[ChainingValue])> {
    (pieces.len() > 1).then(|| pieces.split_at(pieces.len().next_power_of_two() / 2))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn pieces_give_the_hash_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let bytes: Vec<u8> = (0..9 * PIECE_BYTES).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let whole = usize::try_from(WHOLE_BYTES).unwrap();
        for length in
            [0, 1, whole, whole + 1, 5 * PIECE_BYTES, 7 * PIECE_BYTES + 3, 8 * PIECE_BYTES, bytes.len()]
        {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let (n_bytes, hash, pieces) = of_file(&path).unwrap();
            assert_eq!((n_bytes, hash), (length as u64, blake3::hash(&bytes[..length])), "{length} bytes");
            let expected = if length > whole { n_pieces(n_bytes) } else { 0 };
            assert_eq!(pieces.len(), expected, "{length} bytes");
        }
    }
}
