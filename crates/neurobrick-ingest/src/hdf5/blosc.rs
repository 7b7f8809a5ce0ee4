//! Blosc 1 chunks, after the project's `README_CHUNK_FORMAT.rst`: a header of 16 bytes, the start of every block, and
//! in every block one or more streams, each with its length before it.
//!
//! Codecs LZ4, Zlib and Zstandard; byte shuffle. `BloscLZ`, Snappy and bit shuffle are told by name.

use std::io::Read;

use super::filters::zstd;
use super::shuffle::unshuffle;

const HEADER_BYTES: usize = 16;
const BYTE_SHUFFLE: u8 = 0x1;
const STORED: u8 = 0x2;
const BIT_SHUFFLE: u8 = 0x4;
const NOT_SPLIT: u8 = 0x10;
/// Wider values are never split into streams of their bytes.
const MAX_SPLITS: usize = 16;
/// Shorter blocks are never split.
const MIN_BLOCK_BYTES: usize = 128;

/// Why a chunk was not decoded.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BloscError {
    /// A codec or a filter that is not read.
    Unsupported(&'static str),
    /// Not a Blosc chunk, or a damaged one.
    Malformed(String),
}

fn malformed(what: impl Into<String>) -> BloscError {
    BloscError::Malformed(what.into())
}

fn u32_at(data: &[u8], at: usize) -> Result<usize, BloscError> {
    let bytes = at.checked_add(4).and_then(|end| data.get(at..end)).and_then(|bytes| bytes.first_chunk());
    let bytes = bytes.ok_or_else(|| malformed("Blosc chunk is cut off"))?;
    usize::try_from(u32::from_le_bytes(*bytes)).map_err(|error| malformed(error.to_string()))
}

/// Decodes a chunk of at most `max_bytes`.
pub(super) fn decompress(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, BloscError> {
    let header = data.get(..HEADER_BYTES).ok_or_else(|| malformed("Blosc chunk without a header"))?;
    let (flags, type_size) = (header[2], usize::from(header[3]).max(1));
    let (n_bytes, block_bytes) = (u32_at(data, 4)?, u32_at(data, 8)?);
    if n_bytes > max_bytes {
        return Err(malformed(format!("Blosc chunk of {n_bytes} bytes")));
    }
    if flags & BIT_SHUFFLE != 0 {
        return Err(BloscError::Unsupported("bit shuffle"));
    }
    if flags & STORED != 0 {
        let stored = data.get(HEADER_BYTES..).and_then(|rest| rest.get(..n_bytes));
        return stored.map(<[u8]>::to_vec).ok_or_else(|| malformed("Blosc chunk is cut off"));
    }
    if n_bytes == 0 {
        return Ok(Vec::new());
    }
    if block_bytes == 0 || block_bytes > n_bytes {
        return Err(malformed(format!("Blosc blocks of {block_bytes} bytes in a chunk of {n_bytes}")));
    }
    let mut bytes = Vec::new();
    for block in 0..n_bytes.div_ceil(block_bytes) {
        let start = u32_at(data, HEADER_BYTES + 4 * block)?;
        let is_last = (block + 1) * block_bytes > n_bytes;
        let length = if is_last { n_bytes % block_bytes } else { block_bytes };
        let can_split = flags & NOT_SPLIT == 0 && type_size <= MAX_SPLITS && !is_last;
        let n_streams = if can_split && block_bytes / type_size >= MIN_BLOCK_BYTES { type_size } else { 1 };
        let block = read_block(data, start, length, n_streams, flags >> 5)?;
        if flags & BYTE_SHUFFLE != 0 && type_size > 1 {
            unshuffle(&block, type_size, &mut bytes);
        } else {
            bytes.extend_from_slice(&block);
        }
    }
    Ok(bytes)
}

fn read_block(
    data: &[u8],
    start: usize,
    length: usize,
    n_streams: usize,
    codec: u8,
) -> Result<Vec<u8>, BloscError> {
    if !length.is_multiple_of(n_streams) {
        return Err(malformed(format!("Blosc block of {length} bytes in {n_streams} streams")));
    }
    let stream_bytes = length / n_streams;
    let mut block = Vec::new();
    let mut at = start;
    for _ in 0..n_streams {
        let packed_bytes = u32_at(data, at)?;
        at += 4;
        let packed = at.checked_add(packed_bytes).and_then(|end| data.get(at..end));
        let packed = packed.ok_or_else(|| malformed("Blosc stream is cut off"))?;
        at += packed_bytes;
        if packed_bytes == stream_bytes {
            block.extend_from_slice(packed);
            continue;
        }
        let stream = unpack(packed, stream_bytes, codec)?;
        if stream.len() != stream_bytes {
            return Err(malformed(format!("Blosc stream of {} bytes, not {stream_bytes}", stream.len())));
        }
        block.extend(stream);
    }
    Ok(block)
}

fn unpack(packed: &[u8], n_bytes: usize, codec: u8) -> Result<Vec<u8>, BloscError> {
    match codec {
        0 => Err(BloscError::Unsupported("BloscLZ")),
        1 => {
            // LZ4 cannot make more than 255 bytes out of one.
            if n_bytes / 255 > packed.len() {
                return Err(malformed(format!("{} bytes of LZ4 cannot hold {n_bytes}", packed.len())));
            }
            lz4_flex::block::decompress(packed, n_bytes).map_err(|error| malformed(error.to_string()))
        }
        2 => Err(BloscError::Unsupported("Snappy")),
        3 => {
            let mut bytes = Vec::new();
            let limit = u64::try_from(n_bytes).unwrap_or(u64::MAX).saturating_add(1);
            let mut decoder = flate2::read::ZlibDecoder::new(packed).take(limit);
            decoder.read_to_end(&mut bytes).map_err(|error| malformed(error.to_string()))?;
            Ok(bytes)
        }
        4 => zstd(packed, n_bytes).map_err(malformed),
        _ => Err(BloscError::Unsupported("a codec of unknown number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(flags: u8, type_size: u8, n_bytes: u32, block_bytes: u32, rest: &[u8]) -> Vec<u8> {
        let total = u32::try_from(HEADER_BYTES + rest.len()).unwrap_or(0);
        let sizes = [n_bytes, block_bytes, total].map(u32::to_le_bytes).concat();
        [&[2, 1, flags, type_size], sizes.as_slice(), rest].concat()
    }

    #[test]
    fn stored_and_shuffled_chunks_come_back() {
        assert_eq!(decompress(&chunk(STORED, 1, 3, 3, b"abc"), 9).as_deref(), Ok(&b"abc"[..]));
        // One block that starts after the header and its own start, with one stored stream.
        let rest = [&20_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"acbdx"].concat();
        let shuffled = chunk(BYTE_SHUFFLE | NOT_SPLIT | 1 << 5, 2, 5, 5, &rest);
        assert_eq!(decompress(&shuffled, 9).as_deref(), Ok(&b"abcdx"[..]));
        for length in 0..shuffled.len() {
            assert!(decompress(&shuffled[..length], 9).is_err(), "{length}");
        }
    }

    #[test]
    fn any_bytes_go_through_blosc() {
        let rest = [&20_u32.to_le_bytes()[..], &5_u32.to_le_bytes(), b"acbdx"].concat();
        let stream = |packed: &[u8]| {
            let length = u32::try_from(packed.len()).unwrap_or(0);
            [&20_u32.to_le_bytes()[..], &length.to_le_bytes(), packed].concat()
        };
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        assert!(std::io::Write::write_all(&mut zlib, &[7; 64]).is_ok());
        let seeds = [
            chunk(STORED, 1, 3, 3, b"abc"),
            chunk(BYTE_SHUFFLE | NOT_SPLIT | 1 << 5, 2, 5, 5, &rest),
            chunk(NOT_SPLIT | 1 << 5, 1, 3, 3, &stream(b"\x30abc")),
            chunk(NOT_SPLIT | 3 << 5, 8, 64, 64, &stream(&zlib.finish().unwrap_or_default())),
            chunk(NOT_SPLIT | 4 << 5, 8, 5, 5, &stream(b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello")),
        ];
        for seed in &seeds {
            assert!(decompress(seed, 64).is_ok(), "{seed:?}");
        }
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        crate::fuzz::check(&seeds, |bytes| decompress(bytes, 1 << 20).is_ok());
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let one_block = [&20_u32.to_le_bytes()[..], &2_u32.to_le_bytes(), b"ab"].concat();
        for (bad, says) in [
            (chunk(STORED, 1, 10, 10, b"0123456789"), "Blosc chunk of 10 bytes"),
            (chunk(BIT_SHUFFLE, 1, 3, 3, b""), "bit shuffle"),
            (chunk(0, 1, 3, 0, b""), "blocks of 0 bytes"),
            (chunk(0, 1, 3, 3, &one_block), "BloscLZ"),
            (chunk(2 << 5, 1, 3, 3, &one_block), "Snappy"),
            (chunk(1 << 5, 1, 3, 3, &one_block), "Malformed"),
        ] {
            let error = format!("{:?}", decompress(&bad, 9));
            assert!(error.contains(says) && error.starts_with("Err"), "{says}: {error}");
        }
    }
}
