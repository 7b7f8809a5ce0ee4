//! Whether the right item is found among many: top-k retrieval and two-way identification, with chance.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::{Bootstrap, ConfidenceInterval, MetricError};

/// One share with its interval and what guessing reaches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Share of queries answered right.
    pub value: f64,
    /// Bootstrap interval over queries.
    pub interval: ConfidenceInterval,
    /// What guessing reaches.
    pub chance: f64,
}

/// How well queries find their own item among all; ties count as guesses.
///
/// ```
/// use ndarray::array;
/// use neurobrick_metrics::{Bootstrap, Retrieval};
///
/// // Three responses against three images: the last is taken for the second.
/// let similarity = array![[0.9, 0.1, 0.2], [0.3, 0.8, 0.1], [0.2, 0.7, 0.6]];
/// let found = Retrieval::new(&similarity.view(), &[0, 1, 2], &[1, 2], &Bootstrap::with_seed(1))?;
/// let (k, first) = found.top[0];
/// assert_eq!((k, first.chance), (1, 1.0 / 3.0));
/// assert!((first.value - 2.0 / 3.0).abs() < 1e-12 && (found.two_way.value - 5.0 / 6.0).abs() < 1e-12);
/// # Ok::<(), neurobrick_metrics::MetricError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retrieval {
    /// `k`, and the share of queries whose own item is among the `k` most similar.
    pub top: Vec<(usize, Share)>,
    /// Share of wrong items that are less similar than the own item; chance is one half.
    pub two_way: Share,
    /// Items.
    pub n_items: usize,
}

impl Retrieval {
    /// From similarities `[queries, items]`; query `i` belongs to item `item_of_query[i]`.
    ///
    /// Fails on another number of queries, fewer than two items, an index or a `k` beyond them, and similarities that are
    /// NaN.
    pub fn new(
        similarity: &ArrayView2<f64>,
        item_of_query: &[usize],
        ks: &[usize],
        bootstrap: &Bootstrap,
    ) -> Result<Self, MetricError> {
        let (n_queries, n_items) = similarity.dim();
        if item_of_query.len() != n_queries {
            let (expected, got) = (vec![n_queries], vec![item_of_query.len()]);
            return Err(MetricError::ShapeMismatch { what: "items of queries", expected, got });
        }
        if n_queries == 0 {
            return Err(MetricError::Empty { what: "list of queries" });
        }
        if n_items < 2 {
            let (what, must) = ("number of items", "at least 2");
            return Err(MetricError::InvalidSetting { what, value: n_items as f64, must });
        }
        if let Some(&index) = item_of_query.iter().find(|&&item| item >= n_items) {
            return Err(MetricError::OutOfRange { what: "item", index, limit: n_items });
        }
        if let Some(&k) = ks.iter().find(|&&k| k == 0 || k > n_items) {
            let must = "between 1 and the number of items";
            return Err(MetricError::InvalidSetting { what: "k", value: k as f64, must });
        }
        if let Some(((row, column), &value)) = similarity.indexed_iter().find(|(_, v)| v.is_nan()) {
            return Err(MetricError::NotFinite { what: "similarities", value, index: vec![row, column] });
        }
        // Items ahead of the own one, and others level with it.
        let places: Vec<(f64, f64)> = similarity
            .rows()
            .into_iter()
            .zip(item_of_query)
            .map(|(row, &own)| {
                let ahead = row.iter().filter(|&&s| s > row[own]).count();
                let level = row.iter().filter(|&&s| s >= row[own]).count() - ahead - 1;
                (ahead as f64, level as f64)
            })
            .collect();
        let clusters: Vec<usize> = (0..n_queries).collect();
        let share = |of: &(dyn Fn(&(f64, f64)) -> f64 + Sync), chance: f64| {
            let right: Vec<f64> = places.iter().map(of).collect();
            let mean = |rows: &[usize]| rows.iter().map(|&i| right[i]).sum::<f64>() / rows.len() as f64;
            let interval = bootstrap.clustered(&clusters, |rows| Some(mean(rows)));
            Share { value: mean(&clusters), interval, chance }
        };
        let top = ks.iter().map(|&k| {
            let within =
                move |&(ahead, level): &(f64, f64)| ((k as f64 - ahead) / (level + 1.0)).clamp(0.0, 1.0);
            (k, share(&within, k as f64 / n_items as f64))
        });
        let others = (n_items - 1) as f64;
        let beaten = move |&(ahead, level): &(f64, f64)| (others - ahead - 0.5 * level) / others;
        Ok(Self { top: top.collect(), two_way: share(&beaten, 0.5), n_items })
    }
}
