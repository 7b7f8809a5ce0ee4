//! Attention contexts of a band: so many bins ahead, so many bins back.

use crate::AttentionMask;

/// How far a bin sees: the context of NDT-1 (Ye and Pandarinath 2021; published defaults 4 ahead and 8 back).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Bins ahead; `None` for all.
    pub forward: Option<usize>,
    /// Bins back; `None` for all.
    pub backward: Option<usize>,
}

impl Band {
    /// The mask `[S, S]` (query, key; `true` = hide) over `n_bins` bins, or `None` if nothing is hidden. A bin always
    /// sees itself.
    pub fn mask(self, n_bins: usize) -> Option<AttentionMask> {
        let hides = |query: usize, key: usize| {
            self.forward.is_some_and(|ahead| key > query + ahead)
                || self.backward.is_some_and(|back| key + back < query)
        };
        let hide: Vec<bool> =
            (0..n_bins * n_bins).map(|i| hides(i / n_bins.max(1), i % n_bins.max(1))).collect();
        hide.contains(&true).then(|| AttentionMask::new(hide, n_bins))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(forward: Option<usize>, backward: Option<usize>) -> Option<Vec<String>> {
        let mask = Band { forward, backward }.mask(4)?;
        let row = |row: &[bool]| row.iter().map(|&h| if h { 'x' } else { '.' }).collect();
        Some(mask.hide().chunks(4).map(row).collect())
    }

    #[test]
    fn bands_hide_what_lies_outside() {
        assert_eq!(rows(None, None), None);
        assert_eq!(rows(Some(3), Some(3)), None);
        let found = rows(Some(0), None).unwrap_or_default();
        assert_eq!(found, [".xxx", "..xx", "...x", "...."]);
        let found = rows(Some(1), Some(1)).unwrap_or_default();
        assert_eq!(found, ["..xx", "...x", "x...", "xx.."]);
        let found = rows(Some(2), Some(0)).unwrap_or_default();
        assert_eq!(found, ["...x", "x...", "xx..", "xxx."]);
    }
}
