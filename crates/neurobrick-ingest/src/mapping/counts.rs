//! Counts per bin out of arrays whose axes the mapping names.

use neurobrick_schema::{BinnedCounts, Unit};

use super::config::{CountAxis, CountsArrayMap, CountsMap, called, in_words};
use super::{Files, MappingFile, arrays};
use crate::array::{Array, Values};
use crate::error::IngestError;

/// Counts of all units, with the rows of the source as trials.
pub(super) struct Counted {
    pub(super) units: Vec<Unit>,
    /// Number of rows, 1 where there is no axis of trials.
    pub(super) n_rows: usize,
    n_bins: usize,
    bin_size_s: f64,
    /// `[row, unit, bin]`.
    values: Vec<u16>,
}

/// Counts of an array as `[row, unit, bin]`.
struct Block {
    n_rows: usize,
    n_units: usize,
    n_bins: usize,
    values: Vec<u16>,
}

impl Counted {
    /// Length of a trial in seconds.
    pub(super) fn trial_s(&self) -> f64 {
        self.n_bins as f64 * self.bin_size_s
    }

    /// The counts of these rows.
    pub(super) fn of_rows(
        self,
        rows: &[usize],
        files: &Files<'_>,
    ) -> Result<(Vec<Unit>, BinnedCounts), IngestError> {
        let width = self.units.len() * self.n_bins;
        let values = if rows.len() == self.n_rows {
            self.values
        } else {
            rows.iter().flat_map(|row| &self.values[row * width..(row + 1) * width]).copied().collect()
        };
        let counts = BinnedCounts::new(self.bin_size_s, rows.len(), self.units.len(), self.n_bins, values);
        Ok((self.units, counts.map_err(IngestError::invalid(&files.path(MappingFile::NAME)))?))
    }
}

impl Files<'_> {
    /// Reads all arrays and joins them along the units, in the order of the mapping.
    pub(super) fn counts(&self, map: &CountsMap) -> Result<Counted, IngestError> {
        let (mut units, mut blocks): (Vec<Unit>, Vec<Block>) = Default::default();
        for one in &map.arrays {
            for (stars, array) in arrays::load(self.root, &one.file, one.array.as_ref())? {
                let block = self.block(map, one, array)?;
                if let Some(first) = blocks.first()
                    && (first.n_rows, first.n_bins) != (block.n_rows, block.n_bins)
                {
                    let in_words = |block: &Block| format!("{} x {}", block.n_rows, block.n_bins);
                    return Err(IngestError::Disagreement {
                        path: self.path(&one.file),
                        what: format!("number of trials x bins of {}", part(one)),
                        found: in_words(&block),
                        expected: in_words(first),
                    });
                }
                let id = stars.iter().fold(one.id.clone(), |id, star| format!("{id}.{star}"));
                let region = one.region.clone().unwrap_or_else(|| Unit::UNKNOWN_REGION.into());
                let unit = |id: String| Unit { id, region: region.clone(), depth_um: None, quality: None };
                if map.has(CountAxis::Unit) {
                    units.extend((0..block.n_units).map(|index| unit(format!("{id}.{index}"))));
                } else {
                    units.push(unit(id));
                }
                blocks.push(block);
            }
        }
        let (n_rows, n_bins) = blocks.first().map_or((0, 0), |block| (block.n_rows, block.n_bins));
        let of_row = |row: usize| {
            blocks.iter().flat_map(move |block| {
                let width = block.n_units * n_bins;
                &block.values[row * width..(row + 1) * width]
            })
        };
        let values = (0..n_rows).flat_map(of_row).copied().collect();
        Ok(Counted { units, n_rows, n_bins, bin_size_s: map.bin_size_s, values })
    }

    fn block(&self, map: &CountsMap, one: &CountsArrayMap, array: Array) -> Result<Block, IngestError> {
        let path = self.path(&one.file);
        let names: Vec<String> = map.axes.iter().map(in_words).collect();
        let (mut shape, kind) = (array.shape.clone(), array.values.kind());
        if map.axes.len() == 1 {
            shape = vec![shape.iter().product()];
        }
        let arranged = array.arranged(&map.axes, [CountAxis::Trial, CountAxis::Unit, CountAxis::Bin]);
        let ([n_rows, n_units, n_bins], values) = arranged.map_err(|found| IngestError::WrongShape {
            path: path.clone(),
            part: part(one),
            found,
            expected: format!("an axis for each of {}, as axes of mapping.toml has them", names.join(", ")),
        })?;
        if let Some(empty) = shape.iter().position(|length| *length == 0) {
            return Err(IngestError::Empty { path, what: format!("axis {} of {}", names[empty], part(one)) });
        }
        let wrong_type = || IngestError::WrongType {
            path: path.clone(),
            part: part(one),
            found: kind.to_owned(),
            expected: "counts",
        };
        let values = match values {
            Values::Bool(values) => {
                return Ok(Block {
                    n_rows,
                    n_units,
                    n_bins,
                    values: values.into_iter().map(u16::from).collect(),
                });
            }
            values => values.into_f64().ok_or_else(wrong_type)?,
        };
        let n_in = [n_rows, n_units, n_bins];
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a count")]
        let count = |(index, value): (usize, f64)| {
            if value.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&value) {
                return Ok(value as u16);
            }
            let place = [index / (n_units * n_bins), index / n_bins % n_units, index % n_bins];
            let named = [CountAxis::Trial, CountAxis::Unit, CountAxis::Bin].into_iter().zip(place).zip(n_in);
            let named = named.filter(|((axis, _), _)| map.has(*axis));
            let named: Vec<String> =
                named.map(|((axis, place), n)| format!("{} {place} of {n}", in_words(&axis))).collect();
            let detail = format!(
                "{value} at {}, counted from zero, is no count; counts are whole numbers from 0 to 65535, and a store has no \
                 place for missing, smoothed or scaled ones: leave the trial or the unit out, or make it a signal",
                named.join(", ")
            );
            Err(IngestError::bad_value(&path, &part(one), index, detail))
        };
        let values = values.into_iter().enumerate().map(count).collect::<Result<_, _>>()?;
        Ok(Block { n_rows, n_units, n_bins, values })
    }
}

fn part(one: &CountsArrayMap) -> String {
    format!("counts {} {}", one.id, called(one.array.as_ref()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs;

    use crate::mapping::Mapping;
    use crate::reader::Reader;

    #[test]
    fn any_mapping_of_counts_is_read_or_refused() {
        let folder = crate::fuzz::scratch();
        let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        let card = "dataset = \"made-up\"\nsource = \"a test\"\ncitation = \"\"\nlicense = \"CC0-1.0\"\n\
                    consent = \"non_human\"\n";
        file("dataset.toml", card.as_bytes());
        let npy = |kind: &str, data: &[u8]| {
            let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': (2, 3, 4), }}\n");
            let length = u16::try_from(header.len()).unwrap().to_le_bytes();
            [&b"\x93NUMPY\x01\x00"[..], &length, header.as_bytes(), data].concat()
        };
        let bytes = npy("|u1", &(0..24).collect::<Vec<u8>>());
        let reals =
            npy("<f8", &(0..24).flat_map(|count| f64::from(count).to_le_bytes()).collect::<Vec<u8>>());
        file("c.npy", &bytes);
        let mapping = b"[[session]]\nname = \"s\"\nsubject = \"a\"\n[session.counts]\nbin_size_s = 0.02\n\
            axes = [\"trial\", \"bin\", \"unit\"]\narrays = [{ id = \"ca1\", region = \"CA1\", file = \"c.npy\" }]\n";
        let read = || {
            let sources = Mapping.sessions(folder.path());
            sources.is_ok_and(|sources| sources.iter().any(|source| Mapping.read(source).is_ok()))
        };
        for (name, seeds) in [("c.npy", &[&bytes[..], &reals][..]), ("mapping.toml", &[&mapping[..]])] {
            file("c.npy", &bytes);
            file("mapping.toml", mapping);
            crate::fuzz::check(seeds, |bytes| {
                file(name, bytes);
                read()
            });
        }
    }
}
