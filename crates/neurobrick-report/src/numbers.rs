//! Numbers as people read them: fixed decimals, a true minus sign, grouped thousands, "–" for what is undefined.

use std::fmt::Write as _;

/// Shown in place of a number that does not exist.
pub(crate) const UNDEFINED: &str = "–";

/// `value` with `decimals` decimals.
pub(crate) fn decimal(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return UNDEFINED.to_owned();
    }
    let text = format!("{:.decimals$}", value.abs());
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !is_zero { format!("\u{2212}{text}") } else { text }
}

/// `value` with three decimals, or as many more as it takes to show that it is not zero, since the side of zero on which
/// an end of an interval lies decides; below a millionth with an exponent.
fn beside_zero(value: f64) -> String {
    const MOST: usize = 6;
    if value == 0.0 || !value.is_finite() {
        return decimal(value, 3);
    }
    let is_seen = |text: &String| text.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let text = (3..=MOST).map(|decimals| decimal(value, decimals)).find(is_seen);
    text.unwrap_or_else(|| format!("{value:.0e}").replace('-', "\u{2212}"))
}

/// `value` with a sign in front, three decimals or as many as tell it from zero; zero has no sign.
pub(crate) fn signed(value: f64) -> String {
    let text = beside_zero(value);
    if value > 0.0 && value.is_finite() { format!("+{text}") } else { text }
}

/// `[low, high]` with three decimals, or as many as tell an end from zero; empty when an end is undefined.
pub(crate) fn interval(low: f64, high: f64) -> String {
    if low.is_finite() && high.is_finite() {
        format!("[{}, {}]", beside_zero(low), beside_zero(high))
    } else {
        String::new()
    }
}

/// Thousands grouped by commas.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: "1 unit", "2 units", "12,000 spikes".
pub fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// A duration: "0.42 s", "12.3 s", "3 min 20 s", "1 h 02 min".
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return UNDEFINED.to_owned();
    }
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    if whole < 3600.0 {
        return format!("{:.0} min {:02.0} s", (whole / 60.0).floor(), whole % 60.0);
    }
    let minutes = (seconds / 60.0).round();
    format!("{:.0} h {:02.0} min", (minutes / 60.0).floor(), minutes % 60.0)
}

/// Bytes in decimal units, as documentation and disks have them: 1 GB is 10^9 bytes.
pub(crate) fn bytes(value: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if value < 1000 {
        return format!("{value} B");
    }
    let mut scaled = value as f64 / 1e3;
    let mut unit = UNITS[0];
    for next in &UNITS[1..] {
        // From here on the text would round to 1000.0.
        if scaled < 999.95 {
            break;
        }
        scaled /= 1e3;
        unit = next;
    }
    format!("{scaled:.1} {unit}")
}

/// `a, b and c`.
pub(crate) fn listed<T: AsRef<str>>(parts: &[T]) -> String {
    let mut text = String::new();
    for (position, part) in parts.iter().enumerate() {
        let separator = match position {
            0 => "",
            _ if position + 1 == parts.len() => " and ",
            _ => ", ",
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{}", part.as_ref());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_expected() {
        for (value, decimals, expected) in [
            (0.1234, 3, "0.123"),
            (-0.5, 1, "\u{2212}0.5"),
            (-0.0004, 3, "0.000"),
            (f64::NAN, 3, "–"),
            (f64::NEG_INFINITY, 3, "–"),
        ] {
            assert_eq!(decimal(value, decimals), expected, "{value}");
        }
        assert_eq!(
            (signed(0.02).as_str(), signed(-0.02).as_str(), signed(f64::NAN).as_str()),
            ("+0.020", "\u{2212}0.020", "–")
        );
        assert_eq!(interval(-1.0, 2.0), "[\u{2212}1.000, 2.000]");
        assert_eq!(interval(f64::NAN, 2.0), "");
        assert_eq!((signed(0.0).as_str(), signed(0.000_4).as_str()), ("0.000", "+0.0004"));
        for (low, high, expected) in [
            (-0.012, -0.000_4, "[\u{2212}0.012, \u{2212}0.0004]"),
            (-0.000_04, 0.008, "[\u{2212}0.00004, 0.008]"),
            (0.000_49, 0.008, "[0.0005, 0.008]"),
            (0.0, 0.008, "[0.000, 0.008]"),
            (-0.0, 0.000_5, "[0.000, 0.001]"),
            (-3.2e-9, 4e-12, "[\u{2212}3e\u{2212}9, 4e\u{2212}12]"),
        ] {
            assert_eq!(interval(low, high), expected);
        }
        for (value, expected) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), expected);
        }
        for (seconds, expected) in [
            (0.421, "0.42 s"),
            (12.34, "12.3 s"),
            (59.97, "1 min 00 s"),
            (200.0, "3 min 20 s"),
            (3_725.0, "1 h 02 min"),
            (7_199.0, "2 h 00 min"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
        for (value, expected) in [
            (512, "512 B"),
            (2_048, "2.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_804_820_480, "1.8 GB"),
            (2_500_000_000_000, "2.5 TB"),
        ] {
            assert_eq!(bytes(value), expected);
        }
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
        assert_eq!(listed::<&str>(&[]), "");
    }
}
