//! Windows that share spikes, and which of them may be resampled as independent draws.

use neurobrick_schema::Interval;

use crate::grid::ticks;

/// Ticks by which windows may overlap and still only touch: a microsecond absorbs the rounding of times in seconds.
pub(crate) const TOUCH: i64 = 1000;
/// Lengths of a window that a piece of a run of overlapping windows spans, at least.
const PIECE: i64 = 10;

/// A cluster for every window, to be resampled as a whole.
///
/// Windows that share spikes are no independent draws, and an interval that resamples them one by one is too narrow: by
/// the root of how many windows see each spike. A window that overlaps no other is a cluster of its own. Windows that
/// overlap, directly or through others, form a run, which is cut into pieces of at least ten lengths of a window (Carlstein
/// 1986). Spikes shared across the cuts take a thirtieth off the variance; a run as one cluster would have none of that,
/// but would leave too few clusters to resample.
///
/// ```
/// use neurobrick_data::resampling_clusters;
/// use neurobrick_schema::Interval;
///
/// // Two windows that overlap, and one that only touches.
/// let windows = [[0.0, 1.0], [0.5, 1.5], [1.5, 2.5]].map(|[start_s, end_s]| Interval { start_s, end_s });
/// assert_eq!(resampling_clusters(&windows), [0, 0, 1]);
/// ```
pub fn resampling_clusters(windows: &[Interval]) -> Vec<usize> {
    let span = |index: usize| (ticks(windows[index].start_s), ticks(windows[index].end_s));
    let mut order: Vec<usize> = (0..windows.len()).collect();
    order.sort_by_key(|&index| span(index));
    let mut clusters = vec![0; windows.len()];
    let (mut next, mut from) = (0, 0);
    while from < order.len() {
        let (first, mut reach) = span(order[from]);
        let mut longest = reach - first;
        let mut to = from + 1;
        while to < order.len() && span(order[to]).0 + TOUCH < reach {
            let (start, end) = span(order[to]);
            (reach, longest, to) = (reach.max(end), longest.max(end - start), to + 1);
        }
        let n_pieces = ((reach - first) / (PIECE * longest).max(1)).max(1);
        let piece = (span(order[to - 1]).0 - first) / n_pieces + 1;
        let mut edge = first + piece;
        for &index in &order[from..to] {
            while span(index).0 >= edge {
                (next, edge) = (next + 1, edge + piece);
            }
            clusters[index] = next;
        }
        (next, from) = (next + 1, to);
    }
    clusters
}
