//! Labels of trials.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::EvaluateError;

/// A label of trials, from behavior columns of the trial table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum DecodeTarget {
    /// Which of two numeric columns is larger; trials where they are equal or missing are left out.
    Larger {
        /// Name in tables.
        name: String,
        /// Label `true` if this column is larger.
        first: String,
        /// Label `false` if this column is larger.
        second: String,
    },
    /// Which of two values a column holds, as text (`"1"` and `"-1"` for numbers); other trials are left out.
    Category {
        /// Name in tables.
        name: String,
        /// The column.
        column: String,
        /// Text of label `true`.
        positive: String,
        /// Text of label `false`.
        negative: String,
    },
    /// Which of several values a column holds, as text; other trials are left out. For models that answer labels themselves
    /// (NEDS): the decoders fitted here tell two classes apart.
    Classes {
        /// Name in tables.
        name: String,
        /// The column.
        column: String,
        /// Texts of the classes.
        classes: Vec<String>,
    },
}

impl DecodeTarget {
    /// Name in tables.
    pub fn name(&self) -> &str {
        match self {
            Self::Larger { name, .. } | Self::Category { name, .. } | Self::Classes { name, .. } => name,
        }
    }

    /// Trial columns that it is read from.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Larger { first, second, .. } => vec![first, second],
            Self::Category { column, .. } | Self::Classes { column, .. } => vec![column],
        }
    }

    /// Checks the classes.
    ///
    /// # Errors
    /// Under the key `field`, if a class is named twice, is empty, which is what missing values are, or is alone.
    pub fn validate(&self, field: &str) -> Result<(), EvaluateError> {
        let (name, classes) = (self.name(), self.classes());
        let refuse = |message: String| Err(EvaluateError::BadValue { field: field.to_owned(), message });
        if let Some(twice) = (1..classes.len()).find(|&i| classes[..i].contains(&classes[i])) {
            return refuse(format!("`{name}` names the class `{}` twice", classes[twice]));
        }
        if classes.contains(&"") {
            return refuse(format!(
                "`{name}` has an empty class, which would be all trials whose value is missing; name its text"
            ));
        }
        if classes.len() < 2 {
            return refuse(format!("`{name}` has {} classes; name two or more", classes.len()));
        }
        Ok(())
    }

    /// Checks the classes, and that there are two.
    ///
    /// # Errors
    /// Under the key `field`, as [`Self::validate`], and for a label of several classes.
    pub fn validate_binary(&self, field: &str) -> Result<(), EvaluateError> {
        if let Self::Classes { name, .. } = self {
            return Err(EvaluateError::BadValue {
                field: field.to_owned(),
                message: format!(
                    "`{name}` has `classes`; decoders here tell two apart, named with `category`"
                ),
            });
        }
        self.validate(field)
    }

    /// The classes in their order, label `false` before label `true`.
    pub fn classes(&self) -> Vec<&str> {
        match self {
            Self::Larger { first, second, .. } => vec![second, first],
            Self::Category { positive, negative, .. } => vec![negative, positive],
            Self::Classes { classes, .. } => classes.iter().map(String::as_str).collect(),
        }
    }
}
