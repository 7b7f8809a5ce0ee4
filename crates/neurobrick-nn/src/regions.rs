//! Attention contexts of blocks: tokens of one region see each other.

use crate::{AttentionMask, PrefixVisibility};

/// Which region each token is of, for models whose tokens are units or patches of units: attention block by block.
///
/// A model of it answers what a region says of itself, as intra-region prediction asks, for all regions in one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionBlocks {
    /// Number of the region of every token, in the order of the sequence.
    pub regions: Vec<usize>,
}

impl RegionBlocks {
    /// The mask `[S, S]` (query, key; `true` = hide) for `n_prefix` prefix tokens followed by these tokens, or `None` if nothing
    /// is hidden. A token sees its region and the prefix; what the prefix sees is `prefix`, and with
    /// [`PrefixVisibility::Everything`] regions reach each other through it in two hops.
    pub fn mask(&self, n_prefix: usize, prefix: PrefixVisibility) -> Option<AttentionMask> {
        let size = n_prefix + self.regions.len();
        let region = |token: usize| token.checked_sub(n_prefix).map(|token| self.regions[token]);
        let hides = |query: usize, key: usize| match (region(query), region(key)) {
            (Some(query), Some(key)) => query != key,
            (None, Some(_)) => prefix == PrefixVisibility::PrefixOnly,
            (_, None) => false,
        };
        let hide: Vec<bool> = (0..size * size).map(|i| hides(i / size, i % size)).collect();
        hide.contains(&true).then(|| AttentionMask::new(hide, size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(regions: &[usize], n_prefix: usize, prefix: PrefixVisibility) -> Option<Vec<String>> {
        let mask = RegionBlocks { regions: regions.to_vec() }.mask(n_prefix, prefix)?;
        let row = |row: &[bool]| row.iter().map(|&h| if h { 'x' } else { '.' }).collect();
        Some(mask.hide().chunks(n_prefix + regions.len()).map(row).collect())
    }

    #[test]
    fn tokens_see_their_region_and_the_prefix() {
        let only = PrefixVisibility::PrefixOnly;
        let found = rows(&[7, 2, 7], 0, only).unwrap_or_default();
        assert_eq!(found, [".x.", "x.x", ".x."]);
        let found = rows(&[0, 1], 1, only).unwrap_or_default();
        assert_eq!(found, [".xx", "..x", ".x."]);
        let found = rows(&[0, 1], 1, PrefixVisibility::Everything).unwrap_or_default();
        assert_eq!(found, ["...", "..x", ".x."]);
        assert_eq!(rows(&[3, 3], 1, PrefixVisibility::Everything), None);
        assert_eq!(rows(&[], 0, only), None);
    }
}
