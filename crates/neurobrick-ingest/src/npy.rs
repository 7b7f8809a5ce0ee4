//! NumPy arrays: `.npy` files and the members of `.npz` archives.
//!
//! Own code, because a header must not decide how much memory is taken: the size it promises is compared with the
//! bytes that are there before anything is allocated, and a member of an archive may not promise more than Deflate can
//! deliver. Layout after NEP 1 (`numpy/lib/format.py`, versions 1.0 to 3.0); little-endian. Arrays in Fortran order are brought into C order.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use crate::array::{Array, Values, column_places};
use crate::error::IngestError;
use crate::guard::{announce, guarded};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Deflate cannot make more than 1032 bytes out of one.
const MAX_INFLATION: u64 = 1032;

/// An array as it lies in a file.
#[derive(Debug)]
pub(crate) struct NpyArray<'a> {
    path: &'a Path,
    name: String,
    descr: String,
    /// Length of each axis.
    pub(crate) shape: Vec<usize>,
    bytes: Vec<u8>,
    start: usize,
}

/// Reads a `.npy` file.
pub(crate) fn read_npy(path: &Path) -> Result<NpyArray<'_>, IngestError> {
    let bytes = fs::read(path).map_err(IngestError::io("read", path))?;
    NpyArray::parse(path, "the array".into(), bytes)
}

/// Opens a `.npz` archive and reads the arrays `names` from it, in that order.
pub(crate) fn read_npz<'a, const N: usize>(
    path: &'a Path,
    names: [&str; N],
) -> Result<[NpyArray<'a>; N], IngestError> {
    let file = File::open(path).map_err(IngestError::io("open", path))?;
    let members = guarded(path, || {
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| IngestError::malformed(path, "the archive", error))?;
        let mut members = Vec::new();
        for name in names {
            members.push((name, read_member(path, &mut archive, name)?));
        }
        Ok(members)
    })?;
    let arrays = members
        .into_iter()
        .map(|(name, bytes)| NpyArray::parse(path, format!("array {name:?}"), bytes))
        .collect::<Result<Vec<_>, _>>()?;
    arrays.try_into().map_err(|_| IngestError::malformed(path, "the archive", "not all arrays were read"))
}

fn read_member(
    path: &Path,
    archive: &mut ZipArchive<BufReader<File>>,
    name: &str,
) -> Result<Vec<u8>, IngestError> {
    let part = format!("array {name:?}");
    announce(&part);
    let found: Vec<String> = archive.file_names().map(|n| n.trim_end_matches(".npy").to_owned()).collect();
    let member = match archive.by_name(&format!("{name}.npy")) {
        Ok(member) => member,
        Err(ZipError::FileNotFound) => {
            return Err(IngestError::missing_array(path, name, &found));
        }
        Err(error) => return Err(IngestError::malformed(path, part, error)),
    };
    let promised = member.size();
    if promised > member.compressed_size().saturating_mul(MAX_INFLATION) {
        let detail = format!("{} packed bytes cannot hold {promised}", member.compressed_size());
        return Err(IngestError::malformed(path, part, detail));
    }
    let mut bytes = Vec::new();
    // Reading to the end makes the archive check its CRC-32.
    member
        .take(promised.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| IngestError::malformed(path, part.as_str(), error))?;
    if bytes.len() as u64 != promised {
        return Err(IngestError::malformed(
            path,
            part,
            format!("{} bytes long, the archive says {promised}", bytes.len()),
        ));
    }
    Ok(bytes)
}

struct Header {
    descr: String,
    shape: Vec<usize>,
    is_fortran: bool,
    start: usize,
}

impl<'a> NpyArray<'a> {
    fn parse(path: &'a Path, name: String, bytes: Vec<u8>) -> Result<Self, IngestError> {
        let header =
            parse_header(&bytes).map_err(|detail| IngestError::malformed(path, name.as_str(), detail))?;
        let Header { descr, shape, is_fortran, start } = header;
        let mut array = Self { path, name, descr, shape, bytes, start };
        let promised =
            array.shape.iter().try_fold(array.item_bytes()?, |bytes, &length| bytes.checked_mul(length));
        let present = array.bytes.len() - start;
        if promised != Some(present) {
            let detail = format!(
                "{present} bytes of data, but {} values of shape {:?} promised",
                array.descr, array.shape
            );
            return Err(IngestError::malformed(path, array.name.as_str(), detail));
        }
        if is_fortran {
            let width = array.item_bytes()?;
            let values = &array.bytes[start..];
            let places = column_places(&array.shape).into_iter();
            let bytes = places.flat_map(|place| &values[place * width..(place + 1) * width]);
            (array.bytes, array.start) = (bytes.copied().collect(), 0);
        }
        Ok(array)
    }

    /// Bytes of one value, from the type description `<f8`, `|u1` and the like.
    fn item_bytes(&self) -> Result<usize, IngestError> {
        match self.descr.as_str() {
            "|u1" | "|i1" | "|b1" => Ok(1),
            "<u2" | "<i2" => Ok(2),
            "<u4" | "<i4" | "<f4" => Ok(4),
            "<u8" | "<i8" | "<f8" => Ok(8),
            _ => Err(self.wrong_type("little-endian numbers")),
        }
    }

    fn wrong_type(&self, expected: &'static str) -> IngestError {
        IngestError::WrongType {
            path: self.path.to_path_buf(),
            part: self.name.clone(),
            found: format!("values of type {:?}", self.descr),
            expected,
        }
    }

    /// Refuses an array with another number of axes.
    pub(crate) fn axes<const N: usize>(&self, expected: &str) -> Result<[usize; N], IngestError> {
        self.shape.clone().try_into().map_err(|found| IngestError::WrongShape {
            path: self.path.to_path_buf(),
            part: self.name.clone(),
            found,
            expected: expected.to_owned(),
        })
    }

    fn chunks<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        self.bytes[self.start..].as_chunks::<N>().0.iter().copied()
    }

    /// The values as they are.
    pub(crate) fn to_array(&self) -> Result<Array, IngestError> {
        let values = match self.descr.as_str() {
            "<f8" => Values::Float(self.chunks().map(f64::from_le_bytes).collect()),
            "<f4" => Values::Float32(self.chunks().map(f32::from_le_bytes).collect()),
            "|b1" => Values::Bool(self.chunks().map(|[byte]| byte != 0).collect()),
            "|u1" => Values::Int(self.chunks().map(u8::from_le_bytes).map(i64::from).collect()),
            "<u2" => Values::Int(self.chunks().map(u16::from_le_bytes).map(i64::from).collect()),
            "<u4" => Values::Int(self.chunks().map(u32::from_le_bytes).map(i64::from).collect()),
            "|i1" => Values::Int(self.chunks().map(i8::from_le_bytes).map(i64::from).collect()),
            "<i2" => Values::Int(self.chunks().map(i16::from_le_bytes).map(i64::from).collect()),
            "<i4" => Values::Int(self.chunks().map(i32::from_le_bytes).map(i64::from).collect()),
            "<i8" => Values::Int(self.chunks().map(i64::from_le_bytes).collect()),
            "<u8" => Values::Int(self.narrow_to_i64()?),
            _ => return Err(self.wrong_type("little-endian numbers")),
        };
        Ok(Array { shape: self.shape.clone(), values })
    }

    fn narrow_to_i64(&self) -> Result<Vec<i64>, IngestError> {
        let narrow = |(index, bytes): (usize, [u8; 8])| {
            let value = u64::from_le_bytes(bytes);
            let too_large =
                |_| IngestError::bad_value(self.path, &self.name, index, format!("{value} is too large"));
            i64::try_from(value).map_err(too_large)
        };
        self.chunks().enumerate().map(narrow).collect()
    }

    /// The values as finite `f64`.
    pub(crate) fn to_f64(&self) -> Result<Vec<f64>, IngestError> {
        let values: Vec<f64> = match self.descr.as_str() {
            "<f8" => self.chunks().map(f64::from_le_bytes).collect(),
            "<f4" => self.chunks().map(|bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
            _ => return Err(self.wrong_type("floating-point numbers (<f8 or <f4)")),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(IngestError::bad_value(
                self.path,
                &self.name,
                index,
                format!(
                    "{} is not a finite number; remove or repair that entry at the source",
                    values[index]
                ),
            )),
            None => Ok(values),
        }
    }

    /// The values as unsigned integers of type `T`; a value that does not fit is refused.
    pub(crate) fn to_unsigned<T: TryFrom<u64>>(&self) -> Result<Vec<T>, IngestError> {
        match self.descr.as_str() {
            "|u1" => self.narrow(self.chunks().map(u8::from_le_bytes)),
            "<u2" => self.narrow(self.chunks().map(u16::from_le_bytes)),
            "<u4" => self.narrow(self.chunks().map(u32::from_le_bytes)),
            "<u8" => self.narrow(self.chunks().map(u64::from_le_bytes)),
            "|i1" => self.narrow(self.chunks().map(i8::from_le_bytes)),
            "<i2" => self.narrow(self.chunks().map(i16::from_le_bytes)),
            "<i4" => self.narrow(self.chunks().map(i32::from_le_bytes)),
            "<i8" => self.narrow(self.chunks().map(i64::from_le_bytes)),
            _ => Err(self.wrong_type("integers (such as |u1, <u2, <u4 or <i8)")),
        }
    }

    fn narrow<S, T>(&self, values: impl Iterator<Item = S>) -> Result<Vec<T>, IngestError>
    where
        S: Copy + std::fmt::Display + TryInto<u64>,
        T: TryFrom<u64>,
    {
        values
            .enumerate()
            .map(|(index, value)| {
                value.try_into().ok().and_then(|wide| T::try_from(wide).ok()).ok_or_else(|| {
                    let detail =
                        format!("{value} is negative or too large; check that the file is the right one");
                    IngestError::bad_value(self.path, &self.name, index, detail)
                })
            })
            .collect()
    }
}

fn parse_header(bytes: &[u8]) -> Result<Header, String> {
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not start as a NumPy array")?;
    let (length, prefix) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        [2 | 3, _, a, b, c, d, ..] => {
            (usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).map_err(|error| error.to_string())?, 12)
        }
        [version, _, ..] => return Err(format!("version {version} of the format is not known")),
        _ => return Err("it is cut off in the header".into()),
    };
    let header =
        bytes.get(prefix..).and_then(|rest| rest.get(..length)).ok_or("it is cut off in the header")?;
    let text = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let header = parse_dict(text).ok_or_else(|| format!("its header is {:?}", text.trim_end()))??;
    Ok(Header { start: prefix + length, ..header })
}

/// Reads `{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }`; `None` when it is none. Where the values start is not
/// in it.
fn parse_dict(text: &str) -> Option<Result<Header, String>> {
    let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    let (mut descr, mut order, mut shape) = (None, None, None);
    while !rest.is_empty() {
        let (key, value) = rest.strip_prefix('\'')?.split_once('\'')?;
        let value = value.trim_start().strip_prefix(':')?.trim_start();
        let after = match key {
            "descr" if value.starts_with('\'') => {
                let (text, after) = value.strip_prefix('\'')?.split_once('\'')?;
                descr = Some(text.to_owned());
                after
            }
            "descr" => {
                return Some(Err("it holds records with named fields; save each field as an array".into()));
            }
            "fortran_order" => {
                let (is_fortran, after) = match value.strip_prefix("True") {
                    Some(after) => (true, after),
                    None => (false, value.strip_prefix("False")?),
                };
                order = Some(is_fortran);
                after
            }
            "shape" => {
                let (inside, after) = value.strip_prefix('(')?.split_once(')')?;
                let lengths = inside.split(',').map(str::trim).filter(|length| !length.is_empty());
                shape = Some(lengths.map(str::parse).collect::<Result<Vec<usize>, _>>().ok()?);
                after
            }
            _ => return None,
        };
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    let (descr, is_fortran, shape) = (descr?, order?, shape?);
    // One axis has one order.
    let is_fortran = is_fortran && shape.len() > 1;
    Some(Ok(Header { descr, shape, is_fortran, start: 0 }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let length = u16::try_from(header.len()).unwrap();
        [MAGIC, &[1, 0], &length.to_le_bytes(), header.as_bytes(), data].concat()
    }

    fn parse(header: &str, data: &[u8]) -> Result<NpyArray<'static>, IngestError> {
        NpyArray::parse(Path::new("x.npy"), "the array".into(), npy(header, data))
    }

    #[test]
    fn numbers_are_read_as_they_are() {
        let array =
            parse("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 1), }  \n", &[1, 0, 255, 127])
                .unwrap();
        assert_eq!(array.axes::<2>("2 axes").unwrap(), [2, 1]);
        assert_eq!(array.to_unsigned::<u16>().unwrap(), [1, 32767]);
        let array =
            parse("{'shape': (1,), 'fortran_order': True, 'descr': '<f4'}", &1.5_f32.to_le_bytes()).unwrap();
        assert_eq!(array.to_f64().unwrap().iter().sum::<f64>().to_bits(), 1.5_f64.to_bits());
        let columns = parse(
            "{'descr': '<u2', 'fortran_order': True, 'shape': (2, 3)}",
            &[1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0],
        );
        assert_eq!(columns.unwrap().to_unsigned::<u32>().unwrap(), [1, 2, 3, 4, 5, 6]);
        let empty =
            parse("{'descr': '<f8', 'fortran_order': True, 'shape': (99999999999, 0, 99999999999)}", &[]);
        assert!(empty.unwrap().to_f64().unwrap().is_empty());
        let scalar = parse("{'descr': '|u1', 'fortran_order': False, 'shape': (), }", &[7]).unwrap();
        assert_eq!(scalar.to_unsigned::<u32>().unwrap(), [7]);
    }

    #[test]
    fn any_bytes_are_an_array_or_refused() {
        let seeds = [
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1), }", &[1; 16]),
            npy("{'descr': '|u1', 'fortran_order': True, 'shape': (3,), }", &[1; 3]),
            npy("{'descr': '<i4', 'fortran_order': False, 'shape': (), }", &[0; 4]),
        ];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        crate::fuzz::check(&seeds, |bytes| {
            let array = NpyArray::parse(Path::new("x.npy"), "the array".into(), bytes.to_vec());
            array.is_ok_and(|array| {
                drop((array.to_array(), array.to_unsigned::<u32>()));
                array.to_f64().is_ok()
            })
        });
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let cases: [(&str, &[u8], &str); 8] = [
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", &[0; 8], "8 bytes of data"),
            (
                "{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, 9999999999999), }",
                &[],
                "0 bytes of data",
            ),
            ("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }", &[0; 2], "2 bytes of data"),
            ("{'descr': '>f8', 'fortran_order': False, 'shape': (1,), }", &[0; 8], "\">f8\""),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", &[0; 8], "\"|O\""),
            ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", &[0; 8], "named fields"),
            ("{'descr': '<f8', 'shape': (1,), }", &[0; 8], "its header is"),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", &[0; 8], "its header is"),
        ];
        for (header, data, says) in cases {
            let message = parse(header, data).unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("x.npy"), "{header}: {message}");
        }
        let whole = npy("{'descr': '<u2', 'fortran_order': False, 'shape': (1,), }", &[1, 0]);
        for length in 0..whole.len() {
            NpyArray::parse(Path::new("x.npy"), "the array".into(), whole[..length].to_vec()).unwrap_err();
        }
        let negative = parse("{'descr': '|i1', 'fortran_order': False, 'shape': (1,), }", &[255]).unwrap();
        assert!(
            negative.to_unsigned::<u32>().unwrap_err().to_string().contains("-1 is negative or too large")
        );
    }
}
