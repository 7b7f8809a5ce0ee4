//! Annotations of EDF+ and BDF+: when each record started, and labels with times.

use neurobrick_schema::{Column, ColumnValues, Interval};

use super::Body;

/// Byte between onset and duration.
const DURATION: u8 = 0x15;
/// Byte behind times and behind every text.
const TEXT: u8 = 0x14;

/// What the annotation channels of a file say.
pub(super) struct Annotations {
    /// Start of every record, where there are annotation channels.
    pub(super) starts_s: Option<Vec<f64>>,
    pub(super) rows: Vec<Interval>,
    pub(super) labels: Column,
}

pub(super) fn read(records: &Body<'_>) -> Result<Annotations, String> {
    let channels: Vec<_> = records.header.channels.iter().filter(|channel| channel.is_annotation).collect();
    let (mut starts_s, mut rows, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for record in 0..records.n_records {
        for (position, channel) in channels.iter().enumerate() {
            let bytes = records.of(channel, record);
            let lists = bytes.split(|&byte| byte == 0).filter(|list| !list.is_empty());
            for (index, list) in lists.enumerate() {
                let (onset_s, duration_s, labels) = parse(list)
                    .map_err(|detail| format!("annotation {} of record {record}: {detail}", index + 1))?;
                // The first list of the first channel says when the record started; its first text is empty.
                if position == 0 && index == 0 {
                    starts_s.push(onset_s);
                }
                for label in labels.into_iter().filter(|label| !label.is_empty()) {
                    rows.push(Interval { start_s: onset_s, end_s: onset_s + duration_s });
                    texts.push(Some(label));
                }
            }
        }
    }
    let has_all = starts_s.len() == records.n_records;
    if !channels.is_empty() && !has_all {
        return Err(format!("{} of {} records say when they started", starts_s.len(), records.n_records));
    }
    let labels =
        Column { name: "label".into(), unit: None, description: None, values: ColumnValues::Text(texts) };
    Ok(Annotations { starts_s: Some(starts_s).filter(|_| !channels.is_empty()), rows, labels })
}

/// Onset, duration and texts of one list.
fn parse(list: &[u8]) -> Result<(f64, f64, Vec<String>), String> {
    let mut parts = list.split(|&byte| byte == TEXT);
    let times = parts.next().unwrap_or_default();
    let mut times = times.split(|&byte| byte == DURATION);
    let onset_s = number(times.next().unwrap_or_default())?;
    let duration_s = times.next().filter(|text| !text.is_empty()).map(number).transpose()?.unwrap_or(0.0);
    if duration_s < 0.0 {
        return Err(format!("a duration of {duration_s} s"));
    }
    let texts = parts.map(|text| {
        let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
        Ok(text.trim().to_owned())
    });
    Ok((onset_s, duration_s, texts.collect::<Result<_, String>>()?))
}

fn number(bytes: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(bytes);
    let number = text.trim().parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("{text:?} is not a time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_list_is_read_or_refused() {
        let seeds = [&b"+0.5\x15 1.25\x14one\x14two\x14"[..], b"-1\x14\x14", b"+1e3\x14\xc3\xa9\x14"];
        for seed in seeds {
            assert!(parse(seed).is_ok(), "{seed:?}");
        }
        crate::fuzz::check(&seeds, |bytes| parse(bytes).is_ok());
    }
}
