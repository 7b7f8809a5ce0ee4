//! MATLAB files of versions 5 to 7: variables of numbers, text, cells and structures.
//!
//! After "MAT-File Format" (The `MathWorks`, R2024a). Own code, since a length in a file must not decide how much memory
//! is taken, and since existing crates skip cells or fail on real files.

use std::fs;
use std::io::Read;
use std::path::Path;

use crate::array::{Array, Values, rows_of_text};
use crate::error::IngestError;

const HEADER_BYTES: usize = 128;
/// Bytes of a compressed variable that hold its class, axes and name; those of real files take a hundred.
const HEAD_BYTES: u64 = 64 << 10;
/// Longest compressed variable: MATLAB keeps those of 2 GiB and more in files of version 7.3 only.
const MAX_VARIABLE_BYTES: u64 = 2 << 30;
/// Cells in cells; deeper ones are damage.
const MAX_DEPTH: usize = 32;
const COMPRESSED: u32 = 15;
/// Class of objects of MATLAB's own classes.
const OPAQUE: u32 = 17;
const MATRIX: u32 = 14;

/// The value of a variable or of a part of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MatValue {
    Array(Array),
    /// Lengths of the axes, and the values in column order.
    Cell(Vec<usize>, Vec<MatValue>),
    /// Lengths of the axes, names of the fields, and the structures in column order, each with the values of all fields.
    Struct(Vec<usize>, Vec<String>, Vec<Vec<MatValue>>),
    /// What is not read, in words.
    Other(&'static str),
}

impl MatValue {
    /// What it is, such as `a 1x13 cell`.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Array(array) => format!("a {} array of {}", by(&array.shape), array.values.kind()),
            Self::Cell(shape, _) => format!("a {} cell", by(shape)),
            Self::Struct(shape, names, _) => {
                format!("a {} struct with the fields {}", by(shape), names.join(", "))
            }
            Self::Other(what) => (*what).to_owned(),
        }
    }
}

/// Lengths of axes as MATLAB writes them, `1x13`.
pub(crate) fn by(shape: &[usize]) -> String {
    let lengths: Vec<String> = shape.iter().map(usize::to_string).collect();
    lengths.join("x")
}

/// Reads the variable `name` of a file.
pub(crate) fn read(path: &Path, name: &str) -> Result<MatValue, IngestError> {
    let bytes = fs::read(path).map_err(IngestError::io("read", path))?;
    find(path, &bytes, name)
}

/// Finds the variable `name` in the bytes of a file.
fn find(path: &Path, bytes: &[u8], name: &str) -> Result<MatValue, IngestError> {
    let malformed = |detail: String| IngestError::malformed(path, format!("variable {name:?}"), detail);
    let mut found = Vec::new();
    let big_endian = header(bytes).map_err(malformed)?;
    let mut elements = Bytes { rest: &bytes[HEADER_BYTES..], big_endian };
    while !elements.rest.is_empty() {
        let (kind, data) = elements.element().map_err(malformed)?;
        let inflated;
        let data = match kind {
            COMPRESSED => match inflate(data, big_endian, name).map_err(malformed)? {
                Inflated::Wanted(bytes) => {
                    inflated = bytes;
                    Bytes { rest: &inflated, big_endian }.element().map_err(malformed)?.1
                }
                Inflated::Another(variable) => {
                    found.extend(variable);
                    continue;
                }
            },
            MATRIX => data,
            _ => continue,
        };
        let (variable, value) = Bytes { rest: data, big_endian }.matrix(0, Some(name)).map_err(malformed)?;
        match value {
            Some(value) => return Ok(value),
            None => found.push(variable),
        }
    }
    Err(IngestError::missing_array(path, name, &found))
}

/// Whether the bytes are those of a MATLAB file in its own format, and of which byte order.
fn header(bytes: &[u8]) -> Result<bool, String> {
    match bytes.get(HEADER_BYTES - 4..HEADER_BYTES) {
        Some([_, 1, b'I', b'M']) => Ok(false),
        Some([1, _, b'M', b'I']) => Ok(true),
        _ => Err("the file is no MATLAB file of version 5 to 7; save it with -v7".into()),
    }
}

/// What a compressed element holds.
enum Inflated {
    /// The variable that is looked for, whole.
    Wanted(Vec<u8>),
    /// A variable of another name, or no variable; no more than its head was inflated.
    Another(Option<String>),
}

/// Inflates an element if it is the variable `name`.
fn inflate(data: &[u8], big_endian: bool, name: &str) -> Result<Inflated, String> {
    let mut decoder = flate2::read::ZlibDecoder::new(data);
    let mut bytes = Vec::new();
    decoder.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let mut head = Bytes { rest: &bytes, big_endian };
    let (kind, n_bytes) = (head.u32()?, head.u32()?);
    if kind != MATRIX {
        return Ok(Inflated::Another(None));
    }
    let end = usize::try_from(n_bytes).unwrap_or(usize::MAX).min(head.rest.len());
    let mut head = Bytes { rest: &head.rest[..end], ..head };
    let variable = if head.rest.is_empty() { String::new() } else { head.head()?.name };
    if variable != name {
        return Ok(Inflated::Another(Some(variable)));
    }
    if u64::from(n_bytes) >= MAX_VARIABLE_BYTES {
        return Err(format!(
            "it says to be {n_bytes} bytes long; save variables of 2 GiB and more with -v7.3"
        ));
    }
    // With its tag and padding. What follows is not read, but the end of the stream is, where its checksum lies.
    let rest = (u64::from(n_bytes) + 16).saturating_sub(HEAD_BYTES);
    decoder.take(rest).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(Inflated::Wanted(bytes))
}

/// What stands before the values of a matrix.
struct Head {
    class: u32,
    is_logical: bool,
    is_complex: bool,
    shape: Vec<usize>,
    count: usize,
    name: String,
}

/// Bytes that are still to be read.
struct Bytes<'a> {
    rest: &'a [u8],
    big_endian: bool,
}

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| format!("it is cut off: {} of {n} bytes are there", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, String> {
        let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
        Ok(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    /// The type and the data of the next element.
    fn element(&mut self) -> Result<(u32, &'a [u8]), String> {
        let tag = self.u32()?;
        if tag >> 16 != 0 {
            // A short element has length and type in the first four bytes and its data in the other four.
            let n_bytes = usize::try_from(tag >> 16).unwrap_or(usize::MAX);
            let data = self.take(4)?.get(..n_bytes).ok_or("a short element of more than 4 bytes")?;
            return Ok((tag & 0xffff, data));
        }
        let n_bytes = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        let data = self.take(n_bytes)?;
        if tag != COMPRESSED {
            // The last element of a file may lack its padding.
            let padding = (8 - n_bytes % 8) % 8;
            self.rest = self.rest.get(padding..).unwrap_or_default();
        }
        Ok((tag, data))
    }

    fn head(&mut self) -> Result<Head, String> {
        let (_, flags) = self.element()?;
        let flags = Bytes { rest: flags, big_endian: self.big_endian }.u32()?;
        if flags & 0xff == OPAQUE {
            // Objects of MATLAB's own classes (string, table, datetime) have a name and no axes.
            let (_, name) = self.element()?;
            let name = String::from_utf8_lossy(name).into_owned();
            return Ok(Head {
                class: OPAQUE,
                is_logical: false,
                is_complex: false,
                shape: Vec::new(),
                count: 0,
                name,
            });
        }
        let (kind, lengths) = self.element()?;
        let lengths = self.numbers(kind, lengths)?.into_f64().unwrap_or_default();
        let shape = lengths.iter().map(|&length| whole(length)).collect::<Result<Vec<usize>, String>>()?;
        let count = shape.iter().try_fold(1_usize, |n, &length| n.checked_mul(length));
        let (_, name) = self.element()?;
        Ok(Head {
            class: flags & 0xff,
            is_logical: flags & 0x200 != 0,
            is_complex: flags & 0x800 != 0,
            shape,
            count: count.ok_or("its axes do not fit into memory")?,
            name: String::from_utf8_lossy(name).into_owned(),
        })
    }

    /// Name and value of a matrix; no value when `wanted` is another name.
    fn matrix(&mut self, depth: usize, wanted: Option<&str>) -> Result<(String, Option<MatValue>), String> {
        if depth > MAX_DEPTH {
            return Err("cells in cells without an end".into());
        }
        if self.rest.is_empty() {
            // An empty cell may be written as a matrix of no bytes.
            let empty = Array { shape: vec![0, 0], values: Values::Float(Vec::new()) };
            return Ok((String::new(), Some(MatValue::Array(empty))));
        }
        let Head { class, is_logical, is_complex, shape, count, name } = self.head()?;
        if wanted.is_some_and(|wanted| wanted != name) {
            return Ok((name, None));
        }
        let value = match class {
            1 => {
                let items = (0..self.fits(count)?).map(|_| self.nested(depth)).collect::<Result<_, _>>()?;
                MatValue::Cell(shape, items)
            }
            2 => self.structures(shape, count, depth)?,
            4 => self.text(shape, count)?,
            6..=15 if is_complex => MatValue::Other("complex numbers"),
            6..=15 => {
                let (kind, data) = self.element()?;
                let values = as_class(class, is_logical, self.numbers(kind, data)?);
                check_count(&values, count)?;
                MatValue::Array(Array::from_column_order(shape, values))
            }
            3 | OPAQUE => MatValue::Other("an object"),
            5 => MatValue::Other("a sparse matrix"),
            _ => MatValue::Other("a function or an object"),
        };
        Ok((name, Some(value)))
    }

    /// Every nested value takes 8 bytes at least.
    fn fits(&self, count: usize) -> Result<usize, String> {
        if count > self.rest.len() / 8 {
            return Err(format!("{} bytes cannot hold {count} values", self.rest.len()));
        }
        Ok(count)
    }

    fn nested(&mut self, depth: usize) -> Result<MatValue, String> {
        let (kind, data) = self.element()?;
        if kind != MATRIX {
            return Err(format!("an element of type {kind} where a matrix is due"));
        }
        let (_, value) = Bytes { rest: data, big_endian: self.big_endian }.matrix(depth + 1, None)?;
        value.ok_or_else(|| "a matrix without a value".into())
    }

    fn structures(&mut self, shape: Vec<usize>, count: usize, depth: usize) -> Result<MatValue, String> {
        let (kind, length) = self.element()?;
        let length = self.numbers(kind, length)?.into_f64().and_then(|lengths| lengths.first().copied());
        let length = whole(length.ok_or("a structure without a length of names")?)?.max(1);
        let (_, names) = self.element()?;
        let name = |bytes: &[u8]| {
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        };
        let names: Vec<String> = names.chunks_exact(length).map(name).collect();
        self.fits(count.checked_mul(names.len()).ok_or("a structure longer than memory")?)?;
        if names.is_empty() {
            return Ok(MatValue::Struct(shape, names, Vec::new()));
        }
        let one = |_| names.iter().map(|_| self.nested(depth)).collect::<Result<Vec<_>, String>>();
        let all = (0..count).map(one).collect::<Result<Vec<_>, String>>()?;
        Ok(MatValue::Struct(shape, names, all))
    }

    /// One text per row.
    fn text(&mut self, shape: Vec<usize>, count: usize) -> Result<MatValue, String> {
        let (kind, data) = self.element()?;
        if kind == 16 {
            let text = String::from_utf8_lossy(data).into_owned();
            return Ok(MatValue::Array(Array { shape: vec![1], values: Values::Text(vec![text]) }));
        }
        let codes = self.numbers(kind, data)?;
        check_count(&codes, count)?;
        let Array { shape, values: Values::Int(codes) } = Array::from_column_order(shape, codes) else {
            return Ok(MatValue::Other("text in an unknown form"));
        };
        let rows = rows_of_text(&shape, &codes)?;
        Ok(MatValue::Array(Array { shape: vec![rows.len()], values: Values::Text(rows) }))
    }

    fn numbers(&self, kind: u32, data: &[u8]) -> Result<Values, String> {
        macro_rules! read {
            ($type:ty, $variant:ident, $into:ty) => {{
                let items = data.as_chunks().0.iter().map(|&item| {
                    if self.big_endian { <$type>::from_be_bytes(item) } else { <$type>::from_le_bytes(item) }
                });
                Values::$variant(items.map(<$into>::from).collect())
            }};
        }
        Ok(match kind {
            1 => read!(i8, Int, i64),
            2 => read!(u8, Int, i64),
            3 => read!(i16, Int, i64),
            4 | 17 => read!(u16, Int, i64),
            5 => read!(i32, Int, i64),
            6 => read!(u32, Int, i64),
            7 => read!(f32, Float32, f32),
            9 => read!(f64, Float, f64),
            12 => read!(i64, Int, i64),
            13 => {
                let items = data.as_chunks().0.iter().map(|&item| {
                    if self.big_endian { u64::from_be_bytes(item) } else { u64::from_le_bytes(item) }
                });
                let items = items.map(i64::try_from).collect::<Result<Vec<i64>, _>>();
                Values::Int(items.map_err(|_| "whole numbers beyond 2^63".to_owned())?)
            }
            other => return Err(format!("numbers of type {other}")),
        })
    }
}

/// Numbers are packed into the smallest type that holds them; the class says what they are.
fn as_class(class: u32, is_logical: bool, values: Values) -> Values {
    match (class, values) {
        (_, Values::Int(values)) if is_logical => Values::Bool(values.into_iter().map(|v| v != 0).collect()),
        (6, values) => values.into_f64().map_or(Values::Float(Vec::new()), Values::Float),
        (7, Values::Int(values)) => Values::Float32(values.into_iter().map(|v| v as f32).collect()),
        (_, values) => values,
    }
}

fn check_count(values: &Values, count: usize) -> Result<(), String> {
    let found = match values {
        Values::Float(values) => values.len(),
        Values::Float32(values) => values.len(),
        Values::Int(values) => values.len(),
        Values::Bool(values) => values.len(),
        _ => count,
    };
    if found == count { Ok(()) } else { Err(format!("{found} numbers where its axes make {count}")) }
}

fn whole(length: f64) -> Result<usize, String> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
    if (0.0..9e15).contains(&length) && length.fract() == 0.0 {
        Ok(length as usize)
    } else {
        Err(format!("an axis of length {length}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn any_bytes_are_a_file_or_refused() {
        let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats/mapping");
        let seeds = ["made/v5.mat", "made/v7.mat", "case-studies/08_spikes-1.mat"]
            .map(|name| fs::read(made.join(name)).unwrap());
        let [v5, v7, cells] = &seeds;
        assert!(
            find(Path::new("v5.mat"), v5, "times").is_ok() && find(Path::new("v7.mat"), v7, "times").is_ok()
        );
        // A name that is nowhere has every variable looked at.
        for name in ["times", "position", "nowhere"] {
            crate::fuzz::check(&[v5, v7, cells], |bytes| {
                let found = find(Path::new("x.mat"), bytes, name);
                // That there is none of that name is told after a walk through all of a whole file.
                found.is_ok() || matches!(found, Err(IngestError::MissingArray { .. }))
            });
        }
    }

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), u32::try_from(data.len()).unwrap().to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    /// A matrix of bytes (class 9) or of characters (class 4).
    fn matrix(name: &str, class: u8, shape: [u32; 2], bytes: &[u8]) -> Vec<u8> {
        let shape = shape.map(u32::to_le_bytes).concat();
        let flags = element(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
        let parts = [flags, element(5, &shape), element(1, name.as_bytes()), element(2, bytes)];
        element(MATRIX, &parts.concat())
    }

    /// A compressed element, of which the last `n_lost` bytes are overwritten.
    fn compressed(bytes: &[u8], n_lost: usize) -> Vec<u8> {
        let mut packed = Vec::new();
        let mut encoder = flate2::write::ZlibEncoder::new(&mut packed, flate2::Compression::fast());
        std::io::Write::write_all(&mut encoder, bytes).unwrap();
        encoder.finish().unwrap();
        let n = packed.len();
        packed[n - n_lost..].fill(0xff);
        [&COMPRESSED.to_le_bytes()[..], &u32::try_from(n).unwrap().to_le_bytes(), &packed].concat()
    }

    fn file(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = vec![b' '; HEADER_BYTES];
        bytes[HEADER_BYTES - 4..].copy_from_slice(&[0, 1, b'I', b'M']);
        bytes.extend(elements.concat());
        bytes
    }

    fn found(bytes: &[u8], name: &str) -> Result<MatValue, String> {
        find(Path::new("x.mat"), bytes, name).map_err(|error| error.to_string())
    }

    #[test]
    fn only_the_variable_asked_for_is_inflated() {
        const N_BYTES: u32 = 64 << 20;
        let zeros = matrix("zeros", 9, [N_BYTES, 1], &vec![0; N_BYTES as usize]);
        let wanted = matrix("wanted", 9, [3, 1], &[7, 8, 9]);
        let values = MatValue::Array(Array { shape: vec![3, 1], values: Values::Int(vec![7, 8, 9]) });
        let bytes = file(&[compressed(&zeros, 0), compressed(&wanted, 0)]);
        assert!(bytes.len() < 1 << 20);
        let n_taken = crate::fuzz::least_taken(|| assert_eq!(found(&bytes, "wanted"), Ok(values.clone())));
        assert!(n_taken < 1 << 20, "{n_taken} bytes to pass by a variable of {N_BYTES}");
        // What is asked for is checked to its end; what is passed by is not.
        let broken = file(&[compressed(&zeros, 4), compressed(&wanted, 0)]);
        assert_eq!(found(&broken, "wanted"), Ok(values));
        assert!(found(&broken, "zeros").unwrap_err().contains("corrupt deflate stream"));
        assert!(found(&broken, "neither").unwrap_err().contains("zeros, wanted"));
    }

    #[test]
    fn lengths_alone_take_no_memory() {
        let mut long = matrix("long", 9, [3, 1], &[7, 8, 9]);
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let rows = matrix("rows", 4, [i32::MAX.cast_unsigned(), 0], &[]);
        let none = matrix("none", 4, [2, 0], &[]);
        for pack in [&|bytes: &[u8]| compressed(bytes, 0), &|bytes: &[u8]| bytes.to_vec()]
            as [&dyn Fn(&[u8]) -> Vec<u8>; 2]
        {
            let bytes = file(&[pack(&none), pack(&rows)]);
            let error = found(&bytes, "rows").unwrap_err();
            assert!(error.contains("2147483647 rows of text without a character"), "{error}");
            let texts = Array { shape: vec![2], values: Values::Text(vec![String::new(); 2]) };
            assert_eq!(found(&bytes, "none"), Ok(MatValue::Array(texts)));
        }
        let error = found(&file(&[compressed(&long, 0)]), "long").unwrap_err();
        assert!(error.contains("4294967295 bytes long") && error.contains("-v7.3"), "{error}");
    }
    /// As `scipy.io` reads class 17: name of the variable, type system, class, then data.
    #[test]
    fn objects_of_matlabs_own_classes_are_passed_by() {
        let flags = element(6, &[17, 0, 0, 0, 0, 0, 0, 0]);
        let names = ["a_rather_long_name", "MCOS", "datetime"].map(|name| element(1, name.as_bytes()));
        let data = matrix("", 9, [3, 1], &[1, 2, 3]);
        let object = element(MATRIX, &[flags, names.concat(), data].concat());
        let bytes = file(&[object, matrix("wanted", 9, [3, 1], &[7, 8, 9])]);
        let values = Array { shape: vec![3, 1], values: Values::Int(vec![7, 8, 9]) };
        assert_eq!(found(&bytes, "wanted"), Ok(MatValue::Array(values)));
        assert_eq!(found(&bytes, "a_rather_long_name"), Ok(MatValue::Other("an object")));
    }
}
