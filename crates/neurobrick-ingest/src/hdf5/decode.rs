//! Bytes of a dataset as values, by the type that the file states.

use std::io;
use std::path::PathBuf;

use hdf5_reader::{Dataset, Datatype, ReferenceType, StringSize, VarLenKind};

use neurobrick_schema::SpikeTimes;

use super::MAX_CHUNK_BYTES;
use super::filters;
use crate::array::{Array, Values};

/// Why bytes did not become values.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// The type is valid but not read.
    Unsupported(String),
    /// The bytes contradict the type.
    Malformed(String),
    /// The reader's own error.
    Hdf5(hdf5_reader::error::Error),
    /// A file of an array cannot be read.
    Io { path: PathBuf, source: io::Error },
}

impl From<hdf5_reader::error::Error> for DecodeError {
    fn from(error: hdf5_reader::error::Error) -> Self {
        Self::Hdf5(error)
    }
}

fn unsupported(what: impl Into<String>) -> DecodeError {
    DecodeError::Unsupported(what.into())
}

fn malformed(what: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(what.into())
}

/// What the filters of a dataset may make of one of its chunks.
pub(super) fn max_decoded_bytes(dataset: &Dataset) -> usize {
    let (Some(chunk), Ok(width)) = (dataset.chunks(), dataset.raw_element_size()) else {
        return MAX_CHUNK_BYTES;
    };
    let lengths = chunk.iter().map(|&length| usize::try_from(length).unwrap_or(usize::MAX));
    let n_bytes = lengths.fold(width, usize::saturating_mul);
    filters::max_decoded_bytes(n_bytes).min(MAX_CHUNK_BYTES)
}

/// Whether a dataset has one axis of real numbers of 64 bits.
pub(super) fn is_float_series(dataset: &Dataset) -> bool {
    dataset.shape().len() == 1 && matches!(dataset.dtype(), Datatype::FloatingPoint { size: 8, .. })
}

/// Reads such a dataset; no more than `max_bytes` are ever taken for it.
pub(super) fn read_times(dataset: &Dataset, max_bytes: u64) -> Result<SpikeTimes, DecodeError> {
    let n_values = dataset.num_elements()?;
    let too_many = || malformed(format!("it promises {n_values} numbers, more than the file can hold"));
    let fits = n_values.checked_mul(8).is_some_and(|n_bytes| n_bytes <= max_bytes);
    let length = usize::try_from(n_values).ok().filter(|_| fits).ok_or_else(too_many)?;
    let no_memory =
        || malformed(format!("its {length} numbers do not fit into memory; free some, or cut the recording"));
    let mut times_s = SpikeTimes::zeros(length).ok_or_else(no_memory)?;
    dataset.read_into::<f64>(&mut times_s)?;
    Ok(times_s)
}

/// Reads a dataset whole; no more than `max_bytes` are ever taken for it.
pub(super) fn read(dataset: &Dataset, offset_size: u8, max_bytes: u64) -> Result<Array, DecodeError> {
    let too_long = |_| malformed("an axis is longer than memory");
    let mut shape = dataset
        .shape()
        .iter()
        .map(|&length| usize::try_from(length))
        .collect::<Result<Vec<_>, _>>()
        .map_err(too_long)?;
    let mut count = usize::try_from(dataset.num_elements()?).map_err(too_long)?;
    if let Datatype::String { .. } | Datatype::VarLen { kind: VarLenKind::String, .. } = dataset.dtype() {
        // One pointer and one length each, before the text itself is known.
        if u64::try_from(count).unwrap_or(u64::MAX).saturating_mul(24) > max_bytes {
            return Err(malformed(format!("it promises {count} texts, more than the file can hold")));
        }
        let texts = dataset.read_strings()?;
        return Ok(Array { shape, values: Values::Text(texts) });
    }
    if let Datatype::VarLen { base, kind: VarLenKind::Sequence, .. } = dataset.dtype() {
        let values = lists(dataset, offset_size, base, count, max_bytes)?;
        return Ok(Array { shape, values });
    }
    // A type that is not read is told before its bytes are.
    let mut dtype = dataset.dtype();
    check_supported(dtype)?;
    if let Datatype::Array { base, dims } = dtype {
        for &length in dims {
            let length = usize::try_from(length).map_err(too_long)?;
            shape.push(length);
            count = count.checked_mul(length).ok_or_else(|| malformed("its axes do not fit into memory"))?;
        }
        dtype = base;
    } else if let Datatype::FloatingPoint { size: 8, .. } = dtype {
        // Straight to where they stay.
        let (values, _) = dataset.read_array::<f64>()?.into_raw_vec_and_offset();
        return Ok(Array { shape, values: Values::Float(values) });
    }
    let bytes = dataset.read_native_bytes()?;
    let values = Bytes { dataset, offset_size }.decode(dtype, &bytes, count)?;
    Ok(Array { shape, values })
}

fn check_supported(dtype: &Datatype) -> Result<(), DecodeError> {
    match dtype {
        Datatype::FixedPoint { size: 1 | 2 | 4 | 8, .. }
        | Datatype::FloatingPoint { size: 4 | 8, .. }
        | Datatype::String { .. }
        | Datatype::VarLen { kind: VarLenKind::String, .. }
        | Datatype::Reference { ref_type: ReferenceType::Object, .. } => Ok(()),
        Datatype::Enum { base, .. } => match base.as_ref() {
            Datatype::FixedPoint { size: 1 | 2 | 4 | 8, .. } => Ok(()),
            _ => Err(unsupported("an enumeration of other than whole numbers")),
        },
        Datatype::Array { base, .. } => match base.as_ref() {
            Datatype::Array { .. } | Datatype::Compound { .. } => {
                Err(unsupported("arrays of arrays or records"))
            }
            base => check_supported(base),
        },
        Datatype::Compound { fields, .. } => fields.iter().try_for_each(|field| match &field.datatype {
            Datatype::Array { .. } | Datatype::Compound { .. } => {
                Err(unsupported(format!("records with an array or a record in field {:?}", field.name)))
            }
            dtype => check_supported(dtype),
        }),
        Datatype::FixedPoint { size, .. } => Err(unsupported(format!("whole numbers of {size} bytes"))),
        Datatype::FloatingPoint { size, .. } => Err(unsupported(format!("real numbers of {size} bytes"))),
        Datatype::VarLen { .. } => Err(unsupported("sequences of variable length within other values")),
        Datatype::Reference { .. } => Err(unsupported("references to regions")),
        Datatype::Opaque { .. } => Err(unsupported("opaque bytes")),
        Datatype::Bitfield { .. } => Err(unsupported("bit fields")),
    }
}

/// One list of numbers for every element. Several elements may refer to the same bytes of a file, so that it can promise
/// more than it holds: what all lists take together is counted before the first is read.
fn lists(
    dataset: &Dataset,
    offset_size: u8,
    base: &Datatype,
    count: usize,
    max_bytes: u64,
) -> Result<Values, DecodeError> {
    let (Datatype::FixedPoint { size: 1 | 2 | 4 | 8, byte_order, .. }
    | Datatype::FloatingPoint { size: 4 | 8, byte_order }) = base
    else {
        return Err(unsupported("sequences of variable length of other than numbers"));
    };
    let item_bytes = hdf5_reader::dtype_element_size(base)?;
    // The reader does not turn the bytes of sequences.
    let is_little = matches!(byte_order, hdf5_reader::error::ByteOrder::LittleEndian);
    if item_bytes > 1 && is_little != cfg!(target_endian = "little") {
        return Err(unsupported("sequences of variable length in the byte order of another machine"));
    }
    let reference_bytes = dataset.vlen_reference_size();
    let too_many = || malformed(format!("its {count} lists promise more than the file can hold"));
    let each = u64::try_from(reference_bytes + size_of::<Values>()).map_err(|_| too_many())?;
    let fits = |n_bytes: &u64| *n_bytes <= max_bytes;
    let own = u64::try_from(count).ok().and_then(|count| count.checked_mul(each)).filter(fits);
    let mut n_bytes = own.ok_or_else(too_many)?;
    let references = dataset.read_native_bytes()?;
    let references = || references.chunks_exact(reference_bytes).take(count);
    // A reference starts with the number of values, as four bytes with the least first.
    let length = |reference: &[u8]| {
        let bytes = reference.first_chunk::<4>().ok_or_else(|| malformed("a list without a length"))?;
        Ok::<u32, DecodeError>(u32::from_le_bytes(*bytes))
    };
    for reference in references() {
        // In memory every value takes eight bytes at most.
        n_bytes = n_bytes.saturating_add(u64::from(length(reference)?) * 8);
        if !fits(&n_bytes) {
            return Err(too_many());
        }
    }
    let bytes = Bytes { dataset, offset_size };
    let list = |reference: &[u8]| {
        let length = usize::try_from(length(reference)?).map_err(|_| too_many())?;
        // An empty list may refer to nothing.
        let packed = match length {
            0 => Vec::new(),
            _ => dataset.resolve_vlen_reference_bytes(reference, item_bytes)?,
        };
        bytes.decode(base, &packed, length)
    };
    references().map(list).collect::<Result<Vec<_>, _>>().map(Values::Lists)
}

struct Bytes<'a> {
    dataset: &'a Dataset,
    offset_size: u8,
}

impl Bytes<'_> {
    fn decode(&self, dtype: &Datatype, bytes: &[u8], count: usize) -> Result<Values, DecodeError> {
        match dtype {
            Datatype::FixedPoint { size, signed, .. } => {
                integers(*size, *signed, bytes, count).map(Values::Int)
            }
            Datatype::FloatingPoint { size: 4, .. } => {
                items::<4>(bytes, count).map(|items| Values::Float32(items.map(f32::from_ne_bytes).collect()))
            }
            Datatype::FloatingPoint { size: 8, .. } => {
                items::<8>(bytes, count).map(|items| Values::Float(items.map(f64::from_ne_bytes).collect()))
            }
            Datatype::Reference { ref_type: ReferenceType::Object, size } => {
                if *size != self.offset_size {
                    return Err(unsupported(format!("object references of {size} bytes")));
                }
                hdf5_reader::reference::read_object_references(bytes, self.offset_size)
                    .map(Values::Reference)
                    .map_err(DecodeError::from)
            }
            Datatype::Enum { base, members } => self.enumeration(base, members, bytes, count),
            Datatype::Compound { size, fields } => {
                let record = usize::try_from(*size).map_err(|_| malformed("a record longer than memory"))?;
                if record == 0 || bytes.len() < record.saturating_mul(count) {
                    return Err(malformed(format!("{} bytes for {count} records of {record}", bytes.len())));
                }
                let field = |field: &hdf5_reader::CompoundField| {
                    let start = usize::try_from(field.byte_offset).unwrap_or(usize::MAX);
                    let width = self.width(&field.datatype)?;
                    let within = start.checked_add(width).filter(|&end| end <= record);
                    let end = within
                        .ok_or_else(|| malformed(format!("field {:?} leaves its record", field.name)))?;
                    let parts: Vec<u8> = bytes
                        .chunks_exact(record)
                        .take(count)
                        .flat_map(|record| record[start..end].iter().copied())
                        .collect();
                    Ok((field.name.clone(), self.decode(&field.datatype, &parts, count)?))
                };
                fields.iter().map(field).collect::<Result<Vec<_>, DecodeError>>().map(Values::Compound)
            }
            Datatype::String { size: StringSize::Fixed(length), .. } => {
                let length = usize::try_from(*length).map_err(|_| malformed("a text longer than memory"))?;
                if length == 0 {
                    return Ok(Values::Text(vec![String::new(); count]));
                }
                let texts = bytes.chunks_exact(length).take(count).map(text);
                texts.collect::<Result<Vec<_>, _>>().map(Values::Text)
            }
            Datatype::String { .. } | Datatype::VarLen { kind: VarLenKind::String, .. } => {
                let references = bytes.chunks_exact(self.dataset.vlen_reference_size()).take(count);
                let texts = references
                    .map(|reference| text(&self.dataset.resolve_vlen_reference_bytes(reference, 1)?));
                texts.collect::<Result<Vec<_>, _>>().map(Values::Text)
            }
            other => check_supported(other).and(Err(unsupported("a type of value that is not read"))),
        }
    }

    fn width(&self, dtype: &Datatype) -> Result<usize, DecodeError> {
        match dtype {
            Datatype::String { size: StringSize::Variable, .. } | Datatype::VarLen { .. } => {
                Ok(self.dataset.vlen_reference_size())
            }
            other => Ok(hdf5_reader::dtype_element_size(other)?),
        }
    }

    /// h5py writes truth values as an enumeration of FALSE and TRUE; others become the names of their members.
    fn enumeration(
        &self,
        base: &Datatype,
        members: &[hdf5_reader::EnumMember],
        bytes: &[u8],
        count: usize,
    ) -> Result<Values, DecodeError> {
        let Values::Int(codes) = self.decode(base, bytes, count)? else {
            return Err(unsupported("an enumeration of other than whole numbers"));
        };
        let Datatype::FixedPoint { size, signed, byte_order } = base else {
            return Err(unsupported("an enumeration of other than whole numbers"));
        };
        let mut names = Vec::new();
        for member in members {
            // The codes of the members stay in the byte order of the file.
            let mut value = member.value.clone();
            let is_little = matches!(byte_order, hdf5_reader::error::ByteOrder::LittleEndian);
            if is_little != cfg!(target_endian = "little") {
                value.reverse();
            }
            names.push((integers(*size, *signed, &value, 1)?[0], member.name.as_str()));
        }
        let name_of = |code: i64| {
            let found = names.iter().find(|(value, _)| *value == code).map(|(_, name)| *name);
            found.ok_or_else(|| malformed(format!("{code} is not a member of its enumeration")))
        };
        let is_bool = names.iter().all(|(code, name)| matches!((*code, *name), (0, "FALSE") | (1, "TRUE")));
        if is_bool && !names.is_empty() {
            codes
                .into_iter()
                .map(|code| Ok(name_of(code)? == "TRUE"))
                .collect::<Result<_, _>>()
                .map(Values::Bool)
        } else {
            let texts = codes.into_iter().map(|code| name_of(code).map(str::to_owned));
            texts.collect::<Result<_, _>>().map(Values::Text)
        }
    }
}

fn items<const N: usize>(bytes: &[u8], count: usize) -> Result<impl Iterator<Item = [u8; N]>, DecodeError> {
    let items = bytes.as_chunks::<N>().0;
    match items.get(..count) {
        Some(items) => Ok(items.iter().copied()),
        None => Err(malformed(format!("{} bytes for {count} values of {N}", bytes.len()))),
    }
}

fn integers(size: u8, signed: bool, bytes: &[u8], count: usize) -> Result<Vec<i64>, DecodeError> {
    Ok(match (size, signed) {
        (1, true) => items::<1>(bytes, count)?.map(|b| i64::from(i8::from_ne_bytes(b))).collect(),
        (1, false) => items::<1>(bytes, count)?.map(|b| i64::from(u8::from_ne_bytes(b))).collect(),
        (2, true) => items::<2>(bytes, count)?.map(|b| i64::from(i16::from_ne_bytes(b))).collect(),
        (2, false) => items::<2>(bytes, count)?.map(|b| i64::from(u16::from_ne_bytes(b))).collect(),
        (4, true) => items::<4>(bytes, count)?.map(|b| i64::from(i32::from_ne_bytes(b))).collect(),
        (4, false) => items::<4>(bytes, count)?.map(|b| i64::from(u32::from_ne_bytes(b))).collect(),
        (8, true) => items::<8>(bytes, count)?.map(i64::from_ne_bytes).collect(),
        (8, false) => items::<8>(bytes, count)?
            .map(|b| i64::try_from(u64::from_ne_bytes(b)))
            .collect::<Result<_, _>>()
            .map_err(|_| unsupported("whole numbers beyond 2^63"))?,
        _ => return Err(unsupported(format!("whole numbers of {size} bytes"))),
    })
}

/// Text up to the first zero byte.
fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = std::str::from_utf8(&bytes[..end]).map_err(|error| malformed(error.to_string()))?;
    Ok(text.to_owned())
}
