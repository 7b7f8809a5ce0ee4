//! Tables of configuration files whose `kind` says what else they hold.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde::{Deserialize, de};
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
        let mut fields = Map::deserialize(deserializer)?;
        match fields.remove("kind") {
            Some(Value::String(kind)) => Ok(Self { kind, fields }),
            Some(other) => Err(de::Error::custom(format!("`kind` is a name in quotes, received {other}"))),
            None => Err(de::Error::missing_field("kind")),
        }
    }
}
