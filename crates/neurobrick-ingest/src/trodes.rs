//! Records of a fixed length after a header of text, as Trodes (`SpikeGadgets`) exports tracking, spikes and signals.
//!
//! ```text
//! <Start settings>
//! clockrate: 30000
//! Fields: <time uint32><xloc uint16><yloc uint16>
//! <End settings>
//! ```
//!
//! The records follow, little-endian and without gaps. A field of several numbers (`<points 40*int16>`) is an array of two
//! axes.

use std::fs;
use std::path::Path;

use crate::array::{Array, Values};
use crate::error::IngestError;

const START: &[u8] = b"<Start settings>";
const END: &[u8] = b"<End settings>\n";
/// Where the header must end: those of real files take a few hundred bytes.
const MAX_HEADER_BYTES: usize = 1 << 20;

/// A field of a record.
struct Field {
    name: String,
    /// First byte in a record.
    start: usize,
    n_numbers: usize,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F32,
    F64,
}

/// Whether the bytes are the start of such a file.
pub(crate) fn is_one(head: &[u8]) -> bool {
    head.starts_with(START)
}

/// Reads a field of all records.
pub(crate) fn field(path: &Path, name: &str) -> Result<Array, IngestError> {
    let bytes = fs::read(path).map_err(IngestError::io("read", path))?;
    find(path, &bytes, name)
}

fn find(path: &Path, bytes: &[u8], name: &str) -> Result<Array, IngestError> {
    let malformed = |detail: String| IngestError::malformed(path, "the header", detail);
    let (fields, records) = header(bytes).map_err(malformed)?;
    let Some(field) = fields.iter().find(|field| field.name == name) else {
        let names: Vec<String> = fields.into_iter().map(|field| field.name).collect();
        return Err(IngestError::missing_array(path, name, &names));
    };
    let length = fields.last().map_or(0, |last| last.start + last.n_numbers * last.kind.bytes());
    let left =
        records.len().checked_rem(length).ok_or_else(|| malformed("its records have no length".into()))?;
    if left != 0 {
        let detail = format!(
            "it is cut off: {left} bytes are left after {} records of {length} bytes",
            records.len() / length
        );
        return Err(IngestError::malformed(path, "the last record", detail));
    }
    let width = field.n_numbers * field.kind.bytes();
    let values = records.chunks_exact(length).flat_map(|record| &record[field.start..field.start + width]);
    let values = field.kind.values(&values.copied().collect::<Vec<u8>>());
    let values = values.ok_or_else(|| malformed(format!("field {name} has numbers over 2^63")))?;
    let n_records = records.len() / length;
    let shape = if field.n_numbers == 1 { vec![n_records] } else { vec![n_records, field.n_numbers] };
    Ok(Array { shape, values })
}

/// The fields, and the bytes after the header.
fn header(bytes: &[u8]) -> Result<(Vec<Field>, &[u8]), String> {
    if !is_one(bytes) {
        return Err("it does not start with <Start settings>".into());
    }
    let end = bytes.windows(END.len()).take(MAX_HEADER_BYTES).position(|window| window == END);
    let end = end.ok_or("it has no line <End settings>")?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| "it is not text")?;
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Fields:"));
    let line = line.ok_or("it has no line Fields:")?.trim();
    let mut fields: Vec<Field> = Vec::new();
    let mut start = 0_usize;
    let mut rest = line;
    while !rest.is_empty() {
        let wrong = || format!("{rest:?} is not <name type>");
        let (inside, after) =
            rest.strip_prefix('<').and_then(|rest| rest.split_once('>')).ok_or_else(wrong)?;
        let (name, kind) = inside.trim().split_once(' ').ok_or_else(wrong)?;
        let (n_numbers, kind) = match kind.trim().split_once('*') {
            Some((n, kind)) => (n.trim().parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?, kind.trim()),
            None => (1, kind.trim()),
        };
        let kind = Kind::of(kind).ok_or_else(|| format!("the type {kind:?} of field {name} is not known"))?;
        fields.push(Field { name: name.to_owned(), start, n_numbers, kind });
        let length = kind.bytes().checked_mul(n_numbers).and_then(|length| length.checked_add(start));
        start = length.filter(|length| *length <= MAX_HEADER_BYTES).ok_or("its records are too long")?;
        rest = after.trim_start();
    }
    Ok((fields, &bytes[end + END.len()..]))
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "uint16" => Self::U16,
            "int16" => Self::I16,
            "uint32" => Self::U32,
            "int32" | "int" => Self::I32,
            "uint64" => Self::U64,
            "int64" => Self::I64,
            "single" | "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The numbers that lie in the bytes; `None` for one that does not fit.
    fn values(self, bytes: &[u8]) -> Option<Values> {
        fn each<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
            bytes.as_chunks::<N>().0.iter().map(|&bytes| number(bytes)).collect()
        }
        Some(match self {
            Self::U8 => Values::Int(each(bytes, |b| i64::from(u8::from_le_bytes(b)))),
            Self::I8 => Values::Int(each(bytes, |b| i64::from(i8::from_le_bytes(b)))),
            Self::U16 => Values::Int(each(bytes, |b| i64::from(u16::from_le_bytes(b)))),
            Self::I16 => Values::Int(each(bytes, |b| i64::from(i16::from_le_bytes(b)))),
            Self::U32 => Values::Int(each(bytes, |b| i64::from(u32::from_le_bytes(b)))),
            Self::I32 => Values::Int(each(bytes, |b| i64::from(i32::from_le_bytes(b)))),
            Self::U64 => {
                let numbers = each(bytes, |b| i64::try_from(u64::from_le_bytes(b)).ok());
                Values::Int(numbers.into_iter().collect::<Option<_>>()?)
            }
            Self::I64 => Values::Int(each(bytes, i64::from_le_bytes)),
            Self::F32 => Values::Float32(each(bytes, f32::from_le_bytes)),
            Self::F64 => Values::Float(each(bytes, f64::from_le_bytes)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn file(fields: &str, records: &[u8]) -> Vec<u8> {
        [b"<Start settings>\nclockrate: 30000\nFields: ", fields.as_bytes(), b"\n<End settings>\n", records]
            .concat()
    }

    fn read(bytes: &[u8], name: &str) -> Result<Array, String> {
        find(Path::new("x.dat"), bytes, name).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_read_by_name() {
        let records = [1, 0, 0, 0, 2, 0, 3, 0, 4, 0, 0, 0, 5, 0, 255, 255];
        let bytes = file("<time uint32><xy 2*int16>", &records);
        assert_eq!(read(&bytes, "time"), Ok(Array { shape: vec![2], values: Values::Int(vec![1, 4]) }));
        let xy = Array { shape: vec![2, 2], values: Values::Int(vec![2, 3, 5, -1]) };
        assert_eq!(read(&bytes, "xy"), Ok(xy));
        for (bytes, name, says) in [
            (bytes.clone(), "tim", "no array \"tim\" (did you mean `time`?)"),
            (bytes[..bytes.len() - 3].to_vec(), "time", "5 bytes are left after 1 records of 8 bytes"),
            (file("<time uint32><x string>", &[]), "time", "\"string\" of field x is not known"),
            (file("<time>", &[]), "time", "is not <name type>"),
            (file("<time 0*int8>", &[]), "time", "is not <name type>"),
            (file("<time 99999999999999999999*int8>", &[]), "time", "is not <name type>"),
            (file("<time 9999999999*int64>", &[]), "time", "too long"),
            (file("<time uint64>", &[255; 8]), "time", "over 2^63"),
            (b"<Start settings>\n".to_vec(), "time", "no line <End settings>"),
        ] {
            let message = read(&bytes, name).unwrap_err();
            assert!(message.contains(says) && message.contains("x.dat"), "{message}");
        }
    }

    #[test]
    fn any_bytes_are_a_file_or_refused() {
        let seeds = [file("<time uint32><x double>", &[1; 24]), file("<t uint8><w 3*int16>", &[1; 14])];
        let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
        crate::fuzz::check(&seeds, |bytes| read(bytes, "time").or_else(|_| read(bytes, "w")).is_ok());
    }
}
