//! Tables of configuration files whose `kind` says what else they hold.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A table with a `kind`, for the `Deserialize` of an enum whose variants are such tables.
///
/// `#[serde(tag = "kind")]` reads the same tables, but forgets where it is: an error then points at the whole table and, for a
/// value of the wrong type, does not even name its key.
///
/// ```
/// use neurobrick_core::KindTable;
/// use serde::{Deserialize, Deserializer};
///
/// #[derive(Debug, Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Sizes {
///     width: usize,
/// }
///
/// #[derive(Debug)]
/// enum Model {
///     Mine(Sizes),
/// }
///
/// impl<'de> Deserialize<'de> for Model {
///     fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
///         let table = KindTable::deserialize(deserializer)?;
///         match table.kind() {
///             "mine" => table.fields().map(Self::Mine),
///             _ => Err(table.unknown(&["mine"])),
///         }
///     }
/// }
///
/// let error = toml::from_str::<Model>("kind = 'mine'\nwidth = 'wide'").unwrap_err();
/// assert!(error.to_string().contains("`width`: invalid type: string \"wide\", expected usize"), "{error}");
/// ```
#[derive(Debug)]
pub struct KindTable {
    kind: String,
    fields: Map<String, Value>,
}

impl KindTable {
    /// What the table says it holds.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// All but the kind as a `T`.
    ///
    /// # Errors
    /// If they are none; the message names the key of a value that does not fit.
    pub fn fields<T: DeserializeOwned, E: Error>(self) -> Result<T, E> {
        serde_path_to_error::deserialize(Value::Object(self.fields)).map_err(|error| {
            let path = error.path().to_string();
            let message = error.into_inner().to_string();
            // An unknown or a missing key is named by the message itself.
            if path == "." || message.contains(&format!("`{path}`")) {
                E::custom(message)
            } else {
                E::custom(format!("`{path}`: {message}"))
            }
        })
    }

    /// The error on a kind that none of the `known` ones is.
    pub fn unknown<E: Error>(&self, known: &'static [&'static str]) -> E {
        E::unknown_variant(&self.kind, known)
    }
}

impl<'de> Deserialize<'de> for KindTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Plain(Value::Object(mut fields)) = Plain::deserialize(deserializer)? else {
            return Err(Error::custom("expected a table with a `kind`"));
        };
        match fields.remove("kind") {
            Some(Value::String(kind)) => Ok(Self { kind, fields }),
            Some(other) => Err(Error::custom(format!("`kind` is a name in quotes, received {other}"))),
            None => Err(Error::missing_field("kind")),
        }
    }
}

/// Any value whose numbers are finite: JSON has no others and would take them for nothing at all.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlainVisitor).map(Self)
    }
}

struct PlainVisitor;

impl<'de> Visitor<'de> for PlainVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table, list, text, truth value or finite number")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = serde_json::Number::from_f64(value);
        number
            .map(Value::Number)
            .ok_or_else(|| E::custom(format!("expected a finite number, received {value}")))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Plain(value))) = map.next_entry()? {
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Fields {
        scale: Option<f64>,
        sizes: Vec<i64>,
        names: std::collections::BTreeMap<String, bool>,
    }

    #[test]
    fn values_come_through_as_they_were() {
        let text = "kind = 'any'\nscale = -0.1\nsizes = [-3, 9007199254740993]\nnames = { a = true }";
        let table: KindTable = toml::from_str(text).unwrap();
        assert_eq!(table.kind(), "any");
        let fields: Fields = table.fields::<_, toml::de::Error>().unwrap();
        let names = [("a".to_owned(), true)].into();
        assert_eq!(fields, Fields { scale: Some(-0.1), sizes: vec![-3, 9_007_199_254_740_993], names });
    }

    #[test]
    fn what_json_cannot_hold_is_refused_and_not_left_out() {
        for word in ["nan", "inf", "-inf"] {
            let text = format!("kind = 'any'\nscale = {word}\nsizes = []\nnames = {{}}");
            let error = toml::from_str::<KindTable>(&text).unwrap_err().to_string();
            assert!(error.contains("finite") && error.contains("scale = "), "{error}");
        }
    }
}
