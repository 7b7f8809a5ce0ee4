//! Decodes the columns of the spikes straight to where they stay: pages of plain numbers, and pages of places in a
//! dictionary.
//!
//! Numbers are little-endian side by side. Places are packed as
//! [Parquet describes](https://parquet.apache.org/docs/file-format/data-pages/encodings/): a byte with their width in
//! bits, then runs, each with a header that says whether one place is repeated or many follow, bit by bit.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageReader};
use parquet::errors::ParquetError;

/// Bytes that are looked at together.
const WORD_BYTES: usize = size_of::<u64>();

/// A number as a plain page has it.
pub(crate) trait Plain: Copy + Default {
    /// Copies numbers out of bytes; `false` when there are too few.
    fn copy(bytes: &[u8], numbers: &mut [Self]) -> bool;
}

impl Plain for f64 {
    fn copy(bytes: &[u8], numbers: &mut [Self]) -> bool {
        let found = bytes.as_chunks::<8>().0;
        for (number, bytes) in numbers.iter_mut().zip(found) {
            *number = Self::from_le_bytes(*bytes);
        }
        found.len() >= numbers.len()
    }
}

impl Plain for u32 {
    fn copy(bytes: &[u8], numbers: &mut [Self]) -> bool {
        let found = bytes.as_chunks::<4>().0;
        for (number, bytes) in numbers.iter_mut().zip(found) {
            *number = Self::from_le_bytes(*bytes);
        }
        found.len() >= numbers.len()
    }
}

/// Values of a dictionary up to which they are found by [`Dictionary::table`].
const TABLE: usize = 1 << 12;

/// The values that places stand for.
struct Dictionary<T> {
    values: Vec<T>,
    /// The first of them, filled up so that every place of 12 bits is in it.
    table: Box<[T; TABLE]>,
}

impl<T: Plain> Dictionary<T> {
    fn new(values: Vec<T>) -> Self {
        let mut table = Box::new([T::default(); TABLE]);
        let n_known = values.len().min(TABLE);
        table[..n_known].copy_from_slice(&values[..n_known]);
        Self { values, table }
    }
}

fn malformed(what: impl Into<String>) -> ParquetError {
    ParquetError::General(what.into())
}

/// Fills `numbers` with the values of a column chunk that has no missing ones, and shows `seen` those of every page, in
/// order, while they are in the cache.
pub(crate) fn read<T: Plain>(
    pages: &mut dyn PageReader,
    numbers: &mut [T],
    mut seen: impl FnMut(&[T]),
) -> Result<(), ParquetError> {
    let mut dictionary = Dictionary::new(Vec::new());
    let mut n_read = 0;
    while let Some(page) = pages.get_next_page()? {
        let (bytes, n_values, encoding) = match page {
            Page::DictionaryPage { buf, num_values, encoding, .. } => {
                let length = usize::try_from(num_values).unwrap_or(usize::MAX);
                if !matches!(encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY)
                    || length > buf.len() / size_of::<T>()
                {
                    return Err(malformed(format!("{length} {encoding} values in {} bytes", buf.len())));
                }
                let mut values = vec![T::default(); length];
                T::copy(&buf, &mut values);
                dictionary = Dictionary::new(values);
                continue;
            }
            Page::DataPage { buf, num_values, encoding, .. }
            | Page::DataPageV2 { buf, num_values, encoding, num_nulls: 0, .. } => (buf, num_values, encoding),
            Page::DataPageV2 { .. } => return Err(malformed("values are missing")),
        };
        let n_values = usize::try_from(n_values).unwrap_or(usize::MAX);
        let n_left = numbers.len() - n_read;
        let out = numbers[n_read..].get_mut(..n_values);
        let out = out.ok_or_else(|| malformed(format!("a page of {n_values} values, {n_left} are left")))?;
        let is_whole = match encoding {
            Encoding::PLAIN => T::copy(&bytes, out),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => look_up(&bytes, &dictionary, out),
            other => return Err(malformed(format!("values encoded as {other}"))),
        };
        if !is_whole {
            return Err(malformed(format!("no {n_values} values in a page of {} bytes", bytes.len())));
        }
        seen(out);
        n_read += n_values;
    }
    if n_read < numbers.len() {
        return Err(malformed(format!("{n_read} of {} values", numbers.len())));
    }
    Ok(())
}

/// Values whose places in the dictionary are packed in `bytes`; `false` when there are too few, or a place is behind the
/// end.
fn look_up<T: Plain>(bytes: &[u8], dictionary: &Dictionary<T>, mut out: &mut [T]) -> bool {
    let Some((&width, mut rest)) = bytes.split_first() else { return out.is_empty() };
    if width > 32 {
        return false;
    }
    let width = usize::from(width);
    while !out.is_empty() {
        let Some(header) = varint(&mut rest) else { return false };
        let length = header >> 1;
        if header & 1 == 0 {
            let Some((place, after)) = rest.split_at_checked(width.div_ceil(8)) else { return false };
            let place = place.iter().rev().fold(0, |place, &byte| place << 8 | usize::from(byte));
            let Some(&value) = dictionary.values.get(place) else { return false };
            let length = length.min(out.len());
            let (now, later) = out.split_at_mut(length);
            now.fill(value);
            (out, rest) = (later, after);
            if length == 0 {
                return false;
            }
        } else {
            // Groups of eight; the last may stop early, with the page.
            let n_values = length.saturating_mul(8).min(out.len());
            let n_bytes = length.saturating_mul(width).min(rest.len());
            if n_values == 0 || n_bytes < (n_values * width).div_ceil(8) {
                return false;
            }
            let (packed, after) = rest.split_at(n_bytes);
            let (now, later) = out.split_at_mut(n_values);
            if !unpack(packed, width, dictionary, now) {
                return false;
            }
            (out, rest) = (later, after);
        }
    }
    true
}

/// A number in groups of seven bits, the lowest first; each but the last has its highest bit set.
fn varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Values whose places of `width` bits lie side by side; `false` when a place is behind the end of the dictionary. Of
/// `packed` there is enough.
fn unpack<T: Plain>(packed: &[u8], width: usize, dictionary: &Dictionary<T>, out: &mut [T]) -> bool {
    match width {
        0 => match dictionary.values.first() {
            Some(&value) => {
                out.fill(value);
                true
            }
            None => false,
        },
        // Known to the compiler, so that no shift is computed.
        1 => groups::<1, T>(packed, dictionary, out),
        2 => groups::<2, T>(packed, dictionary, out),
        3 => groups::<3, T>(packed, dictionary, out),
        4 => groups::<4, T>(packed, dictionary, out),
        5 => groups::<5, T>(packed, dictionary, out),
        6 => groups::<6, T>(packed, dictionary, out),
        7 => groups::<7, T>(packed, dictionary, out),
        8 => groups::<8, T>(packed, dictionary, out),
        9 => groups::<9, T>(packed, dictionary, out),
        10 => groups::<10, T>(packed, dictionary, out),
        11 => groups::<11, T>(packed, dictionary, out),
        12 => groups::<12, T>(packed, dictionary, out),
        _ => one_by_one(packed, width, &dictionary.values, out),
    }
}

fn groups<const WIDTH: usize, T: Plain>(packed: &[u8], dictionary: &Dictionary<T>, out: &mut [T]) -> bool {
    let mask = (1_u64 << WIDTH) - 1;
    let table = &*dictionary.table;
    // A place behind the end finds a zero, and is told by the greatest place.
    let mut greatest = 0;
    let n_fast = packed.len().saturating_sub(WORD_BYTES) / WIDTH;
    let (fast, slow) = {
        let n_fast = n_fast.min(out.len() / 8);
        out.split_at_mut(n_fast * 8)
    };
    for (index, group) in fast.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let packed = &packed[index * WIDTH..][..WIDTH + WORD_BYTES];
        for (at, value) in group.iter_mut().enumerate() {
            let bit = at * WIDTH;
            let word: [u8; WORD_BYTES] = std::array::from_fn(|byte| packed[bit / 8 + byte]);
            let place = (u64::from_le_bytes(word) >> (bit % 8)) & mask;
            greatest = greatest.max(place);
            #[expect(clippy::cast_possible_truncation, reason = "12 bits at most")]
            let place = place as usize % TABLE;
            *value = table[place];
        }
    }
    let is_known = usize::try_from(greatest).is_ok_and(|greatest| greatest < dictionary.values.len());
    (fast.is_empty() || is_known)
        && one_by_one(&packed[fast.len() / 8 * WIDTH..], WIDTH, &dictionary.values, slow)
}

fn one_by_one<T: Plain>(packed: &[u8], width: usize, dictionary: &[T], out: &mut [T]) -> bool {
    let mask = (1_u64 << width) - 1;
    for (at, value) in out.iter_mut().enumerate() {
        let bit = at * width;
        let mut word = [0; WORD_BYTES];
        let bytes = &packed[bit / 8..packed.len().min(bit / 8 + WORD_BYTES)];
        word[..bytes.len()].copy_from_slice(bytes);
        let place = (u64::from_le_bytes(word) >> (bit % 8)) & mask;
        match usize::try_from(place).ok().and_then(|place| dictionary.get(place)) {
            Some(found) => *value = *found,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    /// A page of places: runs of one place, and packed ones.
    fn page(width: usize, runs: &[(bool, Vec<u64>)]) -> Vec<u8> {
        let mut bytes = vec![u8::try_from(width).unwrap()];
        for (is_repeated, places) in runs {
            let n_groups = places.len().div_ceil(8);
            let mut header = if *is_repeated { places.len() << 1 } else { n_groups << 1 | 1 };
            while header > 0x7f {
                bytes.push(u8::try_from(header & 0x7f).unwrap() | 0x80);
                header >>= 7;
            }
            bytes.push(u8::try_from(header).unwrap());
            if *is_repeated {
                bytes.extend_from_slice(&places[0].to_le_bytes()[..width.div_ceil(8)]);
                continue;
            }
            let mut packed = vec![0_u8; n_groups * width];
            for (at, place) in places.iter().enumerate() {
                for bit in (0..width).filter(|bit| place >> bit & 1 == 1) {
                    let at = at * width + bit;
                    packed[at / 8] |= 1 << (at % 8);
                }
            }
            bytes.extend_from_slice(&packed);
        }
        bytes
    }

    #[test]
    fn places_of_any_width_are_found_and_those_behind_the_end_refused() {
        for width in 0..20 {
            let n_known = 1_u64 << width;
            let dictionary: Vec<u32> =
                (0..n_known).map(|at| u32::try_from(at).unwrap() ^ 0x5555_5555).collect();
            let places: Vec<u64> = (0..203).map(|at: u64| at.wrapping_mul(2_654_435_761) % n_known).collect();
            // Only the last run may fill no whole group.
            let runs =
                [(true, vec![n_known - 1; 300]), (false, places[..104].to_vec()), (false, places.clone())];
            let bytes = page(width, &runs);
            let expected: Vec<u32> = runs
                .iter()
                .flat_map(|(_, places)| {
                    places.iter().map(|&place| dictionary[usize::try_from(place).unwrap()])
                })
                .collect();
            let mut found = vec![0; expected.len()];
            let known = |n_known: usize| Dictionary::new(dictionary[..n_known].to_vec());
            let all = known(dictionary.len());
            assert!(look_up(&bytes, &all, &mut found), "{width} bits");
            assert_eq!(found, expected, "{width} bits");
            if width > 0 {
                assert!(!look_up(&bytes, &known(dictionary.len() - 1), &mut found), "{width} bits");
            }
            assert!(!look_up(&bytes, &known(0), &mut found));
            // What is cut off is told. Padding of the last group may lack.
            for length in 0..bytes.len() - 2 * width - 1 {
                assert!(!look_up(&bytes[..length], &all, &mut found), "{length} bytes of {width} bits");
            }
        }
        assert!(!look_up(&[33, 3, 0, 0, 0, 0, 0], &Dictionary::new(vec![1_u32]), &mut [0; 8]));
        assert!(!look_up(&[1, 0, 0], &Dictionary::new(vec![1_u32]), &mut [0; 8]), "a run of nothing");
    }

    /// Pages of a column chunk out of any bytes: kind, encoding, number of values, number of missing ones, length and
    /// contents, one page after the other.
    struct Pages<'a>(&'a [u8]);

    /// Bytes before the contents of a page.
    const PAGE_HEADER: usize = 9;

    fn paged(kind: u8, encoding: u8, n_values: u32, contents: &[u8]) -> Vec<u8> {
        let length = u16::try_from(contents.len()).unwrap().to_le_bytes();
        [&[kind, encoding][..], &n_values.to_le_bytes(), &[0], &length, contents].concat()
    }

    impl Iterator for Pages<'_> {
        type Item = Result<Page, ParquetError>;

        fn next(&mut self) -> Option<Self::Item> {
            let (&[kind, encoding, a, b, c, d, num_nulls, low, high], rest) =
                self.0.split_first_chunk::<PAGE_HEADER>()?;
            let length = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
            let (contents, after) = rest.split_at(length);
            self.0 = after;
            let encoding = match encoding {
                0 => Encoding::PLAIN,
                2 => Encoding::PLAIN_DICTIONARY,
                8 => Encoding::RLE_DICTIONARY,
                _ => Encoding::BYTE_STREAM_SPLIT,
            };
            let (buf, num_values) = (contents.to_vec().into(), u32::from_le_bytes([a, b, c, d]));
            Some(Ok(match kind {
                2 => Page::DictionaryPage { buf, num_values, encoding, is_sorted: false },
                3 => Page::DataPageV2 {
                    buf,
                    num_values,
                    encoding,
                    num_nulls: num_nulls.into(),
                    num_rows: num_values,
                    def_levels_byte_len: 0,
                    rep_levels_byte_len: 0,
                    is_compressed: false,
                    statistics: None,
                },
                _ => Page::DataPage {
                    buf,
                    num_values,
                    encoding,
                    def_level_encoding: Encoding::RLE,
                    rep_level_encoding: Encoding::RLE,
                    statistics: None,
                },
            }))
        }
    }

    impl PageReader for Pages<'_> {
        fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
            self.next().transpose()
        }

        fn peek_next_page(&mut self) -> Result<Option<parquet::column::page::PageMetadata>, ParquetError> {
            Ok(None)
        }

        fn skip_next_page(&mut self) -> Result<(), ParquetError> {
            Ok(())
        }
    }

    /// The same as [`look_up`], bit by bit.
    fn plainly(bytes: &[u8], dictionary: &[u32], n_values: usize) -> Option<Vec<u32>> {
        let (&width, bytes) = bytes.split_first()?;
        let width = usize::from(width);
        let (mut out, mut at) = (Vec::new(), 0);
        while out.len() < n_values {
            let (mut header, mut shift) = (0_usize, 0);
            loop {
                let byte = *bytes.get(at)?;
                at += 1;
                header |= usize::from(byte & 0x7f) << shift;
                shift += 7;
                match byte & 0x80 {
                    0 => break,
                    _ if shift == 35 => return None,
                    _ => {}
                }
            }
            let (is_packed, length) = (header & 1 == 1, header >> 1);
            let n_left = n_values - out.len();
            if width > 32 || length == 0 {
                return None;
            }
            let place_at = |bit: usize, n_bits: usize| {
                let bits = (bit..bit + n_bits).map(|bit| Some(bytes.get(bit / 8)? >> (bit % 8) & 1));
                bits.rev().try_fold(0_usize, |place, bit| Some(place << 1 | usize::from(bit?)))
            };
            if is_packed {
                for index in 0..n_left.min(length * 8) {
                    out.push(*dictionary.get(place_at(at * 8 + index * width, width)?)?);
                }
                at = bytes.len().min(at + length * width);
            } else {
                let value = *dictionary.get(place_at(at * 8, width.div_ceil(8) * 8)?)?;
                out.extend(std::iter::repeat_n(value, n_left.min(length)));
                at += width.div_ceil(8);
            }
        }
        Some(out)
    }

    #[test]
    fn any_places_are_found_as_bit_by_bit_or_refused() {
        for width in [0, 1, 3, 8, 12, 13, 17] {
            let n_known = 1_u32 << width;
            let places = (0..203).map(|at: u64| at.wrapping_mul(2_654_435_761) % u64::from(n_known));
            let places: Vec<u64> = places.collect();
            let runs = [(true, vec![0; 300]), (false, places[..104].to_vec()), (false, places.clone())];
            let n_values = runs.iter().map(|(_, places)| places.len()).sum();
            let dictionary = Dictionary::new((0..n_known).map(|at| !at).collect());
            crate::fuzz::check(&[&page(width, &runs)], |bytes| {
                let mut found = vec![0; n_values];
                let is_whole = look_up(bytes, &dictionary, &mut found);
                assert_eq!(is_whole.then_some(found), plainly(bytes, &dictionary.values, n_values));
                is_whole
            });
        }
    }

    #[test]
    fn any_pages_are_read_or_refused() {
        let places = page(2, &[(true, vec![2; 20]), (false, vec![0, 1, 2, 3, 3, 2, 1, 0])]);
        let dictionary: Vec<u8> = [1.0, 2.5, -3.0, 7.0].iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
        let plain: Vec<u8> = (0..4).flat_map(|x| f64::from(x).to_le_bytes()).collect();
        let chunk = [
            paged(2, 0, 4, &dictionary),
            paged(0, 8, 28, &places),
            paged(0, 0, 4, &plain),
            paged(3, 2, 28, &places),
        ];
        crate::fuzz::check(&[&chunk.concat()], |bytes| {
            let (mut times, mut units) = ([0.0_f64; 60], [0_u32; 60]);
            let mut n_seen = 0;
            let is_read = read(&mut Pages(bytes), &mut times, |seen| n_seen += seen.len()).is_ok();
            assert!(!is_read || n_seen == times.len(), "{n_seen} of {}", times.len());
            drop(read(&mut Pages(bytes), &mut units, |_| {}));
            is_read
        });
    }
}
