//! The header of EDF and BDF: fixed fields of ASCII text, 256 bytes and 256 more for every channel.

/// Which of the formats a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Edf,
    EdfPlus,
    Bdf,
    BdfPlus,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Edf => "edf",
            Self::EdfPlus => "edf+",
            Self::Bdf => "bdf",
            Self::BdfPlus => "bdf+",
        }
    }

    pub(super) fn sample_bytes(self) -> usize {
        match self {
            Self::Edf | Self::EdfPlus => 2,
            Self::Bdf | Self::BdfPlus => 3,
        }
    }
}

/// What the header says of a channel.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) label: String,
    transducer: String,
    pub(super) unit: String,
    pub(super) physical: [f64; 2],
    pub(super) digital: [f64; 2],
    filter: String,
    /// Samples in every record.
    pub(super) n_samples: usize,
    /// Position of its first sample in a record.
    pub(super) first_sample: usize,
    pub(super) is_annotation: bool,
}

impl Channel {
    /// Transducer and filter, where the file names them.
    pub(super) fn description(&self) -> Option<String> {
        let parts = [self.transducer.as_str(), self.filter.as_str()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// The header of a file.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Date and time of the start as they stand in the file, day first.
    pub(super) start: String,
    pub(super) n_bytes: usize,
    /// Number of records; `None` when the recording was not closed.
    pub(super) n_records: Option<usize>,
    pub(super) record_s: f64,
    pub(super) channels: Vec<Channel>,
}

/// Fields one after another.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    /// A field of text. Bytes beyond ASCII are taken as Latin-1, as the unit of microvolts often is.
    fn text(&mut self, n: usize) -> Result<String, String> {
        let (field, rest) = self.rest.split_at_checked(n).ok_or("it is cut off in the header")?;
        self.rest = rest;
        let text: String = field.iter().map(|&byte| char::from(byte)).filter(|c| !c.is_control()).collect();
        Ok(text.trim().to_owned())
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, String> {
        let text = self.text(8)?;
        text.parse().map_err(|_| format!("{what} is {text:?}, which is not a number"))
    }

    fn finite(&mut self, what: &str) -> Result<f64, String> {
        let value: f64 = self.number(what)?;
        if value.is_finite() { Ok(value) } else { Err(format!("{what} is {value}")) }
    }

    fn all<T>(
        &mut self,
        n: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        (0..n).map(|_| one(self)).collect()
    }
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let is_bdf = bytes.starts_with(b"\xffBIOSEMI");
        if !is_bdf && !bytes.starts_with(b"0       ") {
            return Err("it starts neither as EDF nor as BDF".into());
        }
        let mut fields = Fields { rest: bytes };
        for n in [8, 80, 80] {
            fields.text(n)?;
        }
        let start = format!("{} {}", fields.text(8)?, fields.text(8)?);
        let n_bytes: usize = fields.number("the length of the header")?;
        let reserved = fields.text(44)?;
        let kind = match (is_bdf, reserved.starts_with("EDF+") || reserved.starts_with("BDF+")) {
            (false, false) => Kind::Edf,
            (false, true) => Kind::EdfPlus,
            (true, false) => Kind::Bdf,
            (true, true) => Kind::BdfPlus,
        };
        let n_records: i64 = fields.number("the number of records")?;
        let record_s = fields.finite("the length of a record")?;
        let n_channels = fields.text(4)?;
        let n = n_channels.parse().map_err(|_| format!("the number of channels is {n_channels:?}"))?;
        if Some(n_bytes) != 256_usize.checked_mul(n).and_then(|n| n.checked_add(256)) || n_bytes > bytes.len()
        {
            return Err(format!("a header of {n_bytes} bytes for {n} channels in {} bytes", bytes.len()));
        }
        let labels = fields.all(n, |f| f.text(16))?;
        let transducers = fields.all(n, |f| f.text(80))?;
        let units = fields.all(n, |f| f.text(8))?;
        let mut limits = Vec::new();
        for what in ["physical minimum", "physical maximum", "digital minimum", "digital maximum"] {
            limits.push(fields.all(n, |f| f.finite(what))?);
        }
        let filters = fields.all(n, |f| f.text(80))?;
        let counts: Vec<usize> = fields.all(n, |f| f.number("samples in a record"))?;
        let mut channels = Vec::new();
        let mut first_sample = 0_usize;
        for index in 0..n {
            let label = labels[index].clone();
            let is_plus = matches!(kind, Kind::EdfPlus | Kind::BdfPlus);
            let is_annotation = is_plus && matches!(label.as_str(), "EDF Annotations" | "BDF Annotations");
            let limit = |which: usize| limits[which][index];
            if !is_annotation && limit(3) <= limit(2) {
                return Err(format!("channel {label:?} goes from {} to {}", limit(2), limit(3)));
            }
            channels.push(Channel {
                label,
                transducer: transducers[index].clone(),
                unit: units[index].clone(),
                physical: [limit(0), limit(1)],
                digital: [limit(2), limit(3)],
                filter: filters[index].clone(),
                n_samples: counts[index],
                first_sample,
                is_annotation,
            });
            first_sample = first_sample.checked_add(counts[index]).ok_or("records longer than memory")?;
        }
        Ok(Self { kind, start, n_bytes, n_records: usize::try_from(n_records).ok(), record_s, channels })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_header_is_read_or_refused() {
        let file = |name: &str| {
            std::fs::read(format!("{}/../../fixtures/formats/eeg/{name}", env!("CARGO_MANIFEST_DIR")))
                .unwrap_or_default()
        };
        let seeds = [file("test_uneven_samp.edf"), file("test_bdf_stim_channel.bdf")];
        for seed in &seeds {
            // All of the header and nothing behind it, so that changes fall where something is read.
            let length = std::str::from_utf8(&seed[184..192]).ok().and_then(|text| text.trim().parse().ok());
            let header: &[u8] = &seed[..length.unwrap_or(0)];
            crate::fuzz::check(&[header], |bytes| Header::parse(bytes).is_ok());
        }
    }
}
