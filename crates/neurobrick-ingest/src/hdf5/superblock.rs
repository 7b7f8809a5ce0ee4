//! How long an HDF5 file says it is, so that a download that broke off is told from other damage.
//!
//! After "HDF5 File Format Specification Version 3.0", II.A.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

const MAGIC: &[u8; 8] = b"\x89HDF\r\n\x1a\n";
/// Where a superblock may start; after that the positions double.
const FIRST_USER_BLOCK: u64 = 512;
const MAX_USER_BLOCK: u64 = 1 << 20;
/// Bytes from the magic to the end of the address that is looked for, in the longest of all versions.
const HEAD_BYTES: usize = 64;

/// Address of the end of the file; `None` where there is no superblock, or one of an unknown version.
pub(super) fn end_of_file(file: &File) -> io::Result<Option<u64>> {
    let mut file = file;
    let mut start = 0;
    let found = loop {
        file.seek(SeekFrom::Start(start))?;
        let mut head = Vec::new();
        file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        if head.starts_with(MAGIC) {
            break parse(&head);
        }
        if head.is_empty() || start >= MAX_USER_BLOCK {
            break None;
        }
        start = (start * 2).max(FIRST_USER_BLOCK);
    };
    file.seek(SeekFrom::Start(0))?;
    Ok(found)
}

fn parse(head: &[u8]) -> Option<u64> {
    // Base address, another address and the end of the file follow one another.
    let (offset_bytes, first) = match *head.get(8)? {
        0 => (*head.get(13)?, 24),
        1 => (*head.get(13)?, 28),
        2 | 3 => (*head.get(9)?, 12),
        _ => return None,
    };
    let n = usize::from(offset_bytes);
    let bytes = head.get(first + 2 * n..first + 3 * n).filter(|_| (1..=8).contains(&n))?;
    Some(bytes.iter().rev().fold(0, |address, &byte| address << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_file_is_found_in_every_version() {
        let head = |version: u8, first: usize, at: usize, offset_bytes: u8| {
            let mut head = vec![0_u8; HEAD_BYTES];
            head[..8].copy_from_slice(MAGIC);
            head[8] = version;
            head[at] = offset_bytes;
            let n = usize::from(offset_bytes);
            head[first + 2 * n..first + 3 * n].copy_from_slice(&0x0102_0304_u64.to_le_bytes()[..n]);
            head
        };
        for (version, first, at) in [(0, 24, 13), (1, 28, 13), (2, 12, 9), (3, 12, 9)] {
            for offset_bytes in [4, 8] {
                assert_eq!(parse(&head(version, first, at, offset_bytes)), Some(0x0102_0304), "{version}");
            }
            assert_eq!(parse(&head(version, first, at, 8)[..20]), None);
        }
        assert_eq!(parse(&head(9, 12, 9, 8)), None);
        assert_eq!(parse(&head(2, 12, 9, 0)), None);
    }
}
