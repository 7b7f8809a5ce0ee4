//! JSON has no NaN: undefined numbers are written as `null` and read back as NaN.

/// For one `f64`.
pub(crate) mod scalar {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// For a `Vec` of `f32` or `f64`.
pub(crate) mod list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S, T>(values: &[T], serializer: S) -> Result<S::Ok, S::Error>
    where
        S: Serializer,
        T: Copy + Into<f64> + Serialize,
    {
        serializer
            .collect_seq(values.iter().map(|&value| Into::<f64>::into(value).is_finite().then_some(value)))
    }

    pub(crate) fn deserialize<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        D: Deserializer<'de>,
        T: Deserialize<'de> + From<f32>,
    {
        let values = Vec::<Option<T>>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|value| value.unwrap_or_else(|| T::from(f32::NAN))).collect())
    }
}
