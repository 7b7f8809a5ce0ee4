//! Weights of a model in single precision, as they come from a file or another library, checked.

use std::collections::BTreeMap;

use crate::{SessionPlace, StreamError, StreamSizes};

/// Shape and row-major values of a parameter by its name, or `None` if the source does not have it.
pub type Lookup<'a> = dyn Fn(&str) -> Option<(Vec<usize>, Vec<f32>)> + 'a;

/// Checked weights from which streams of any precision are made.
#[derive(Clone, Debug)]
pub struct StreamWeights {
    pub(crate) sizes: StreamSizes,
    pub(crate) place: SessionPlace,
    values: BTreeMap<String, Vec<f32>>,
}

impl StreamWeights {
    /// Takes what a stream needs from `lookup`; see [`StreamSizes::parameters`] for names and shapes.
    ///
    /// # Errors
    /// If sizes are out of range, parameters are missing (all are named), or one has another shape or a value that
    /// is not finite.
    pub fn from_lookup(
        sizes: &StreamSizes,
        place: SessionPlace,
        lookup: &Lookup<'_>,
    ) -> Result<Self, StreamError> {
        sizes.check(&place)?;
        let mut values = BTreeMap::new();
        let mut missing = Vec::new();
        for (name, expected) in sizes.parameters(&place) {
            match lookup(&name) {
                Some((shape, given)) => {
                    check(&name, &expected, &shape, &given)?;
                    values.insert(name, given);
                }
                None => missing.push(name),
            }
        }
        if !missing.is_empty() {
            return Err(StreamError::MissingWeights { missing: missing.join(", ") });
        }
        Ok(Self { sizes: sizes.clone(), place, values })
    }

    /// Sizes of the model.
    pub fn sizes(&self) -> &StreamSizes {
        &self.sizes
    }

    pub(crate) fn take(&self, name: &str) -> Result<&[f32], StreamError> {
        let found = self.values.get(name).map(Vec::as_slice);
        found.ok_or_else(|| StreamError::MissingWeights { missing: name.to_owned() })
    }
}

fn check(name: &str, expected: &[usize], shape: &[usize], values: &[f32]) -> Result<(), StreamError> {
    let fits = if name == "embed_session.weight" {
        shape.len() == 2 && shape[0] >= expected[0] && shape[1] == expected[1]
    } else {
        shape == expected
    };
    if !fits || values.len() != shape.iter().product::<usize>() {
        return Err(StreamError::Misshapen {
            name: name.to_owned(),
            expected: expected.to_vec(),
            received: shape.to_vec(),
            n_values: values.len(),
        });
    }
    match values.iter().position(|v| !v.is_finite()) {
        Some(position) => {
            Err(StreamError::BadWeight { name: name.to_owned(), position, value: values[position] })
        }
        None => Ok(()),
    }
}
