//! Regions of the Allen mouse brain atlas, and the coarser groups that the International Brain Laboratory compares by.
//!
//! The table (`regions/allen.csv`: acronym, region it is a part of, Beryl and Cosmos group) is made by
//! `fixtures/regions/make.py` from iblatlas 1.3.0 of the International Brain Laboratory (MIT). The regions are those of the
//! Allen Mouse Brain Common Coordinate Framework, version 3 ([doi:10.1016/j.cell.2020.04.007](https://doi.org/10.1016/j.cell.2020.04.007)).

use std::collections::HashMap;
use std::sync::LazyLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const TABLE: &str = include_str!("regions/allen.csv");

static REGIONS: LazyLock<HashMap<&'static str, AllenRegion>> = LazyLock::new(|| {
    let row = |line: &'static str| {
        let mut cells = line.split(',');
        let acronym = cells.next()?;
        let parent = cells.next().filter(|parent| !parent.is_empty());
        Some((acronym, AllenRegion { acronym, parent, beryl: cells.next()?, cosmos: cells.next()? }))
    };
    TABLE.lines().skip(1).filter_map(row).collect()
});

/// How finely regions are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegionLevel {
    /// As the source names them.
    #[default]
    Source,
    /// Some 300 regions without layers and subdivisions: `VISp5` is `VISp`.
    Beryl,
    /// Ten large divisions: `VISp5` is `Isocortex`, `CA1` is `HPF`.
    Cosmos,
}

/// A region of the Allen mouse brain atlas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllenRegion {
    /// Its acronym.
    pub acronym: &'static str,
    /// The region that it is a part of; `None` for the whole brain and for what lies outside.
    pub parent: Option<&'static str>,
    /// Its group in the Beryl parcellation; `root` where it has none.
    pub beryl: &'static str,
    /// Its group in the Cosmos parcellation; `root` where it has none.
    pub cosmos: &'static str,
}

impl AllenRegion {
    /// The region with that acronym, in the spelling of the atlas.
    pub fn of(acronym: &str) -> Option<Self> {
        REGIONS.get(acronym).copied()
    }

    /// The regions that it is a part of, from the nearest to the whole brain.
    pub fn ancestors(&self) -> Vec<&'static str> {
        let mut found = Vec::new();
        let mut next = self.parent;
        // A circle in the table would come back to what was found before.
        while let Some(parent) = next.filter(|parent| !found.contains(parent)) {
            found.push(parent);
            next = REGIONS.get(parent).and_then(|region| region.parent);
        }
        found
    }
}

impl RegionLevel {
    /// The name of a region at this level. A region that the atlas does not have keeps its name.
    pub fn name(self, region: &str) -> &str {
        match (self, REGIONS.get(region)) {
            (Self::Beryl, Some(known)) => known.beryl,
            (Self::Cosmos, Some(known)) => known.cosmos,
            _ => region,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn fine_regions_have_coarse_groups() {
        for (region, beryl, cosmos) in [
            ("VISp5", "VISp", "Isocortex"),
            ("DG-sg", "DG", "HPF"),
            ("SPFp", "SPF", "TH"),
            ("void", "void", "void"),
            ("not a region", "not a region", "not a region"),
        ] {
            let levels = [RegionLevel::Source, RegionLevel::Beryl, RegionLevel::Cosmos];
            assert_eq!(levels.map(|level| level.name(region)), [region, beryl, cosmos]);
        }
    }

    #[test]
    fn every_region_is_a_part_of_the_brain_and_groups_are_regions() {
        assert_eq!(REGIONS.len(), TABLE.lines().count() - 1);
        for region in REGIONS.values() {
            let last = *region.ancestors().last().unwrap_or(&region.acronym);
            assert!(["root", "void"].contains(&last), "{region:?}");
            assert!(REGIONS.contains_key(region.beryl) && REGIONS.contains_key(region.cosmos), "{region:?}");
        }
        let ancestors = AllenRegion::of("VISp5").unwrap().ancestors();
        assert_eq!(ancestors, ["VISp", "VIS", "Isocortex", "CTXpl", "CTX", "CH", "grey", "root"]);
    }
}
