//! Which unit lies in which brain region.

/// The regions of one session, by name, and the region of every unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionTable {
    names: Vec<String>,
    of_unit: Vec<usize>,
}

impl RegionTable {
    /// Builds the table from the region name of every unit; names are sorted, so the table does not depend on
    /// the order of the units.
    pub fn new<S: AsRef<str>>(region_of_unit: &[S]) -> Self {
        let mut names: Vec<String> = region_of_unit.iter().map(|r| r.as_ref().to_owned()).collect();
        names.sort_unstable();
        names.dedup();
        let of_unit =
            region_of_unit.iter().map(|r| names.partition_point(|n| n.as_str() < r.as_ref())).collect();
        Self { names, of_unit }
    }

    /// Region names, sorted.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Index into [`names`](Self::names) for every unit.
    pub fn of_unit(&self) -> &[usize] {
        &self.of_unit
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.of_unit.len()
    }

    /// Units of region `region_idx`, ascending.
    pub fn units_in(&self, region_idx: usize) -> Vec<usize> {
        (0..self.of_unit.len()).filter(|&u| self.of_unit[u] == region_idx).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_units_found_again() {
        let table = RegionTable::new(&["VISp", "CA1", "VISp", "root"]);
        assert_eq!(table.names(), ["CA1", "VISp", "root"]);
        assert_eq!(table.of_unit(), [1, 0, 1, 2]);
        assert_eq!(table.units_in(1), [0, 2]);
    }
}
