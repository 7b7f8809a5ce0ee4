//! A table as a message shows it: in the words of the file that the reader wrote.

use serde::Serialize;

/// A value as TOML in one line, `{ start_s = 0.0, end_s = 0.4 }`.
pub fn in_line<T: Serialize>(value: &T) -> String {
    toml::Value::try_from(value).map_or_else(|error| error.to_string(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use neurobrick_data::{SplitConfig, UnitFilter};

    use super::*;

    #[test]
    fn tables_are_shown_as_a_file_has_them() {
        let filter = UnitFilter { min_rate_hz: Some(0.5), ..UnitFilter::default() };
        assert_eq!(in_line(&filter), "{ min_rate_hz = 0.5 }");
        assert!(in_line(&SplitConfig::default()).contains("order = \"random\""));
    }
}
