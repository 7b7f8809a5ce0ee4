//! Values of a Zarr array: their type, and how bytes become numbers and texts.

use serde_json::Value;

use super::{malformed, unsupported};
use crate::array::Values;
use crate::hdf5::decode::DecodeError;

/// What the values of an array are.
pub(super) enum Kind {
    Number(Code),
    Text(Coding),
}

/// A little-endian number.
#[derive(Clone, Copy)]
pub(super) enum Code {
    Bool,
    Float(usize),
    Signed(usize),
    Unsigned(usize),
}

/// How texts are laid end to end.
#[derive(Clone, Copy)]
pub(super) enum Coding {
    Lengths,
    Json,
}

impl Kind {
    /// Errors: [`DecodeError::Unsupported`] for any other type.
    pub(super) fn of(dtype: &Value, filters: Option<&[Value]>) -> Result<Self, DecodeError> {
        let Some(dtype) = dtype.as_str() else {
            return Err(unsupported("records with named fields"));
        };
        let filters: Vec<&str> =
            filters.unwrap_or_default().iter().filter_map(|f| f.get("id")?.as_str()).collect();
        match (dtype, &filters[..]) {
            ("|O", ["vlen-utf8" | "vlen-bytes"]) => Ok(Self::Text(Coding::Lengths)),
            ("|O", ["json2"]) => Ok(Self::Text(Coding::Json)),
            ("|O", ["pickle"]) => {
                Err(unsupported("references to objects are pickled here, and a pickle is a program"))
            }
            (_, []) => {
                let (kind, size) = dtype.split_at_checked(2).unwrap_or_default();
                let size: usize =
                    size.parse().map_err(|_| unsupported(format!("values of type {dtype:?}")))?;
                match (kind, size) {
                    ("|b", 1) => Ok(Self::Number(Code::Bool)),
                    ("<f", 4 | 8) => Ok(Self::Number(Code::Float(size))),
                    ("|i", 1) | ("<i", 2 | 4 | 8) => Ok(Self::Number(Code::Signed(size))),
                    ("|u", 1) | ("<u", 2 | 4 | 8) => Ok(Self::Number(Code::Unsigned(size))),
                    _ => Err(unsupported(format!("values of type {dtype:?}"))),
                }
            }
            _ => Err(unsupported(format!("values of type {dtype:?} with filters {filters:?}"))),
        }
    }

    /// Bytes of one value; of a text at least as many as a pointer and a length.
    pub(super) fn item_bytes(&self) -> usize {
        match self {
            Self::Number(Code::Bool) => 1,
            Self::Number(Code::Float(size) | Code::Signed(size) | Code::Unsigned(size)) => *size,
            Self::Text(_) => 24,
        }
    }
}

impl Code {
    /// Bytes of the value where there is no chunk.
    pub(super) fn fill(self, value: &Value) -> Result<Vec<u8>, DecodeError> {
        let real = match value {
            Value::Null => Some(0.0),
            Value::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            value => value.as_f64(),
        };
        let whole = value.as_i64().or((*value == Value::Null).then_some(0));
        let truth = value.as_bool().or((*value == Value::Null).then_some(false));
        let bytes = match self {
            Self::Bool => truth.map(|truth| vec![u8::from(truth)]),
            #[expect(clippy::cast_possible_truncation, reason = "a value of that type, written as JSON")]
            Self::Float(4) => real.map(|real| (real as f32).to_le_bytes().to_vec()),
            Self::Float(_) => real.map(|real| real.to_le_bytes().to_vec()),
            Self::Signed(size) | Self::Unsigned(size) => {
                whole.map(|whole| whole.to_le_bytes()[..size].to_vec())
            }
        };
        bytes.ok_or_else(|| malformed(format!("fill value {value}")))
    }
}

pub(super) fn numbers(code: Code, bytes: &[u8]) -> Result<Values, DecodeError> {
    fn all<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| f(chunk)).collect()
    }
    Ok(match code {
        Code::Bool => Values::Bool(bytes.iter().map(|&byte| byte != 0).collect()),
        Code::Float(4) => Values::Float32(all(bytes, f32::from_le_bytes)),
        Code::Float(_) => Values::Float(all(bytes, f64::from_le_bytes)),
        Code::Signed(1) => Values::Int(all(bytes, |b| i8::from_le_bytes(b).into())),
        Code::Signed(2) => Values::Int(all(bytes, |b| i16::from_le_bytes(b).into())),
        Code::Signed(4) => Values::Int(all(bytes, |b| i32::from_le_bytes(b).into())),
        Code::Signed(_) => Values::Int(all(bytes, i64::from_le_bytes)),
        Code::Unsigned(1) => Values::Int(all(bytes, |b| u8::from_le_bytes(b).into())),
        Code::Unsigned(2) => Values::Int(all(bytes, |b| u16::from_le_bytes(b).into())),
        Code::Unsigned(4) => Values::Int(all(bytes, |b| u32::from_le_bytes(b).into())),
        Code::Unsigned(_) => {
            let wide = all(bytes, u64::from_le_bytes);
            let narrow = wide.into_iter().map(i64::try_from).collect::<Result<_, _>>();
            Values::Int(narrow.map_err(|_| malformed("a whole number beyond 2^63"))?)
        }
    })
}

impl Coding {
    pub(super) fn decode(self, chunk: &[u8]) -> Result<Vec<String>, DecodeError> {
        match self {
            Self::Lengths => lengths(chunk).ok_or_else(|| malformed("texts that are cut off or not UTF-8")),
            Self::Json => {
                let json: Vec<Value> =
                    serde_json::from_slice(chunk).map_err(|error| malformed(error.to_string()))?;
                // The values are followed by their type and their shape.
                let n_values = json.len().checked_sub(2).ok_or_else(|| malformed("JSON without values"))?;
                let text = |value: &Value| match value {
                    Value::String(text) => Ok(text.clone()),
                    Value::Number(number) => Ok(number.to_string()),
                    Value::Bool(truth) => Ok(truth.to_string()),
                    _ => Err(unsupported("lists and objects in JSON")),
                };
                json[..n_values].iter().map(text).collect()
            }
        }
    }
}

/// The number of texts, then each with its length before it.
fn lengths(chunk: &[u8]) -> Option<Vec<String>> {
    fn number(rest: &mut &[u8]) -> Option<usize> {
        let (bytes, after) = rest.split_first_chunk::<4>()?;
        *rest = after;
        usize::try_from(u32::from_le_bytes(*bytes)).ok()
    }
    let mut rest = chunk;
    let n_texts = number(&mut rest)?;
    let mut texts = Vec::new();
    for _ in 0..n_texts {
        let length = number(&mut rest)?;
        let (text, after) = rest.split_at_checked(length)?;
        texts.push(std::str::from_utf8(text).ok()?.to_owned());
        rest = after;
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn any_bytes_are_texts_or_refused() {
        let lengths = [2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0];
        let json = br#"["a", 2, true, "|O", [3]]"#;
        crate::fuzz::check(&[&lengths, json], |bytes| {
            let (lengths, json) = (Coding::Lengths.decode(bytes), Coding::Json.decode(bytes));
            lengths.is_ok() || json.is_ok()
        });
    }

    #[test]
    fn texts_are_read_and_pickles_are_not() {
        let bytes = [2, 0, 0, 0, 1, 0, 0, 0, b'a', 0, 0, 0, 0];
        assert_eq!(lengths(&bytes), Some(vec!["a".to_owned(), String::new()]));
        for n in 0..bytes.len() {
            assert_eq!(lengths(&bytes[..n]), None, "{n}");
        }
        assert_eq!(lengths(&[255; 12]), None);
        assert_eq!(Coding::Json.decode(br#"["a", 2, true, "|O", [3]]"#).unwrap(), ["a", "2", "true"]);
        assert!(Coding::Json.decode(b"[1]").is_err() && Coding::Json.decode(b"{").is_err());
        let pickled = [serde_json::json!({"id": "pickle", "protocol": 5})];
        let kind = Kind::of(&Value::from("|O"), Some(&pickled));
        assert!(matches!(kind, Err(DecodeError::Unsupported(why)) if why.contains("program")));
    }
}
