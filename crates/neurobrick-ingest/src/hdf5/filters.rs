//! Filters of HDF5 chunks that the decoder does not bring along (LZF, Zstandard and Blosc), and byte shuffle and Deflate,
//! which it has, but slower.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::{Decompress, FlushDecompress, Status};
use hdf5_reader::FilterRegistry;
use hdf5_reader::error::Error;

use super::blosc;
use super::shuffle::unshuffle;

/// Numbers under which the HDF Group lists the filters.
const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const LZF: u16 = 32000;
const BLOSC: u16 = 32001;
const ZSTD: u16 = 32015;

/// What a filter may make of a chunk of so many bytes: somewhat more than these, since a filter before it may have made
/// them longer, as checksums and packers do that find nothing to pack.
pub(super) fn max_decoded_bytes(chunk_bytes: usize) -> usize {
    chunk_bytes.saturating_add(chunk_bytes / 16).saturating_add(1024)
}

/// Unpacks bytes into at most so many.
type Unpack = fn(&[u8], usize) -> Result<Vec<u8>, String>;

/// All filters that are known; none gives more than `max_bytes`, which holds for the dataset being read.
pub(super) fn registry(max_bytes: &Arc<AtomicUsize>) -> FilterRegistry {
    let mut registry = FilterRegistry::new();
    registry.register(
        SHUFFLE,
        Box::new(|_, data, type_size| {
            let mut bytes = Vec::with_capacity(data.len());
            unshuffle(data, type_size, &mut bytes);
            Ok(bytes)
        }),
    );
    // The decoder's own would no longer be told how long a chunk is that was shuffled before.
    let unpackers: [(u16, Unpack); 3] = [(DEFLATE, inflate), (LZF, lzf), (ZSTD, zstd)];
    for (id, unpack) in unpackers {
        let max_bytes = Arc::clone(max_bytes);
        let limited = move |data: &[u8]| {
            unpack(data, max_bytes.load(Ordering::Relaxed)).map_err(Error::DecompressionError)
        };
        registry.register(id, Box::new(move |_, data, _| limited(data)));
    }
    let max_bytes = Arc::clone(max_bytes);
    registry.register(
        BLOSC,
        Box::new(move |_, data, _| match blosc::decompress(data, max_bytes.load(Ordering::Relaxed)) {
            Ok(bytes) => Ok(bytes),
            Err(blosc::BloscError::Unsupported(what)) => {
                Err(Error::UnsupportedFilter(format!("Blosc with {what}")))
            }
            Err(blosc::BloscError::Malformed(what)) => Err(Error::DecompressionError(what)),
        }),
    );
    registry
}

/// Decodes a Deflate stream in a zlib wrapper.
fn inflate(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, String> {
    let mut decoder = Decompress::new(true);
    // Spike times come to two thirds of their size.
    let mut bytes = Vec::with_capacity(data.len().saturating_mul(2).max(64).min(max_bytes.saturating_add(1)));
    let mut rest = data;
    loop {
        let before = decoder.total_in();
        let status = decoder
            .decompress_vec(rest, &mut bytes, FlushDecompress::Finish)
            .map_err(|error| format!("Deflate stream: {error}"))?;
        if bytes.len() > max_bytes {
            return Err(format!("Deflate chunk of more than {max_bytes} bytes"));
        }
        if status == Status::StreamEnd {
            return Ok(bytes);
        }
        if bytes.len() < bytes.capacity() {
            return Err("Deflate stream is cut off".to_owned());
        }
        let n_taken = usize::try_from(decoder.total_in() - before).unwrap_or(usize::MAX);
        rest = rest.get(n_taken..).unwrap_or_default();
        // One byte beyond tells what is too long.
        bytes.reserve_exact(bytes.len().max(64).min(max_bytes.saturating_add(1) - bytes.len()));
    }
}

/// Decodes a Zstandard stream.
pub(super) fn zstd(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, String> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(data).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > max_bytes {
        return Err(format!("Zstandard chunk of more than {max_bytes} bytes"));
    }
    Ok(bytes)
}

/// Decodes LZF after Marc Lehmann's description: a control byte below 32 is followed by that many literals and one;
/// any other holds a length of three bits and the high part of a distance, back from the end of the output.
fn lzf(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, String> {
    let cut_off = || "LZF chunk is cut off".to_owned();
    let mut bytes = Vec::new();
    let mut rest = data;
    let next = |rest: &mut &[u8]| {
        let (&first, after) = rest.split_first().ok_or_else(cut_off)?;
        *rest = after;
        Ok::<usize, String>(usize::from(first))
    };
    while !rest.is_empty() {
        let control = next(&mut rest)?;
        if control < 32 {
            let (literals, after) = rest.split_at_checked(control + 1).ok_or_else(cut_off)?;
            bytes.extend_from_slice(literals);
            rest = after;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += next(&mut rest)?;
            }
            let distance = (((control & 31) << 8) | next(&mut rest)?) + 1;
            let start = bytes.len().checked_sub(distance).ok_or("LZF distance leads before the start")?;
            // Byte by byte, since the source may run into what is being written.
            for offset in 0..length + 2 {
                bytes.push(bytes[start + offset]);
            }
        }
        if bytes.len() > max_bytes {
            return Err(format!("LZF chunk of more than {max_bytes} bytes"));
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).and_then(|()| encoder.finish()).unwrap_or_default()
    }

    #[test]
    fn deflate_takes_no_more_than_it_may_give() {
        use stats_alloc::{INSTRUMENTED_SYSTEM, Region};
        let bomb = packed(&vec![0; 64 << 20]);
        // Other tests may ask for memory at the same time.
        let taken = (0..8).map(|_| {
            let region = Region::new(&INSTRUMENTED_SYSTEM);
            assert!(inflate(&bomb, 1 << 20).is_err_and(|error| error.contains("more than 1048576")));
            region.change().bytes_allocated
        });
        let least = taken.min().unwrap_or(usize::MAX);
        assert!(least < 3 << 19, "{least} bytes taken for 1 MiB");
    }

    #[test]
    fn deflate_is_bounded_and_whole() {
        let zeros = vec![0; 100_000];
        for bytes in [&b""[..], b"abc", &zeros] {
            let packed = packed(bytes);
            assert_eq!(inflate(&packed, bytes.len()).as_deref(), Ok(bytes));
            // The last four bytes are the checksum.
            for length in [0, packed.len() / 2, packed.len() - 4, packed.len() - 1] {
                let error = inflate(&packed[..length], bytes.len()).err().unwrap_or_default();
                assert!(error.contains("cut off"), "{length} of {}: {error:?}", packed.len());
            }
        }
        let error = inflate(&packed(&zeros), 99_999).err().unwrap_or_default();
        assert!(error.contains("more than 99999"), "{error:?}");
        let mut bad = packed(b"abc");
        *bad.last_mut().unwrap_or(&mut 0) ^= 1;
        assert!(inflate(&bad, 3).err().unwrap_or_default().contains("Deflate stream: "));
    }

    #[test]
    fn any_bytes_go_through_the_filters() {
        let lzf_seeds = [&[1, b'a', b'b', 5 << 5, 1][..], &[0, b'x', 7 << 5, 1, 0]];
        crate::fuzz::check(&lzf_seeds, |bytes| lzf(bytes, 1 << 20).is_ok());
        let deflated = packed(b"hello hello hello");
        crate::fuzz::check(&[&deflated], |bytes| inflate(bytes, 1 << 20).is_ok());
        let frame = b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello";
        assert_eq!(zstd(frame, 99).as_deref(), Ok(&b"hello"[..]));
        crate::fuzz::check(&[frame], |bytes| zstd(bytes, 1 << 20).is_ok());
    }

    #[test]
    fn lzf_copies_what_it_is_writing() {
        // Two literals, then seven bytes from two back.
        assert_eq!(lzf(&[1, b'a', b'b', 5 << 5, 1], 99).as_deref(), Ok(&b"ababababa"[..]));
        // A long match: 7 + 1 + 2 bytes from one back.
        assert_eq!(lzf(&[0, b'x', 7 << 5, 1, 0], 99).as_deref(), Ok(&b"xxxxxxxxxxx"[..]));
        assert_eq!(lzf(&[], 99).as_deref(), Ok(&b""[..]));
        for (bad, says) in [
            (&[3_u8, b'a'][..], "cut off"),
            (&[0, b'a', 1 << 5], "cut off"),
            (&[0, b'a', 7 << 5], "cut off"),
            (&[0, b'a', 1 << 5, 1], "before the start"),
            (&[0, b'x', 7 << 5, 255, 0], "more than 99"),
        ] {
            let error = lzf(bad, 99).err().unwrap_or_default();
            assert!(error.contains(says), "{bad:?}: {error:?}");
        }
    }
}
