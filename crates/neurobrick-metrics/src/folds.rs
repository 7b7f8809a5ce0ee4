//! Assignment of rows or trials to the folds of a cross-validation.

use neurobrick_random::{Domain, Stream};

use crate::MetricError;

/// Fold of each row for contiguous, unshuffled folds (scikit-learn's `KFold`): the first `n_rows % n_folds` folds
/// are one row longer. Fails with fewer than two folds or fewer rows than folds.
pub fn contiguous_folds(n_rows: usize, n_folds: usize) -> Result<Vec<usize>, MetricError> {
    if n_folds < 2 || n_rows < n_folds {
        let value = n_folds as f64;
        return Err(MetricError::InvalidSetting {
            what: "n_folds",
            value,
            must: "between 2 and the number of rows",
        });
    }
    let longer = n_rows % n_folds;
    let fold_len = |fold: usize| n_rows / n_folds + usize::from(fold < longer);
    Ok((0..n_folds).flat_map(|fold| std::iter::repeat_n(fold, fold_len(fold))).collect())
}

/// Fold of each trial such that both classes spread evenly: trials of a class are shuffled by `seed` and dealt out
/// in turn. Fails with fewer than two folds, a single class, or a class with fewer trials than folds.
pub fn stratified_folds(labels: &[bool], n_folds: usize, seed: u64) -> Result<Vec<usize>, MetricError> {
    if n_folds < 2 {
        let value = n_folds as f64;
        return Err(MetricError::InvalidSetting { what: "n_folds", value, must: "at least 2" });
    }
    let mut folds = vec![0; labels.len()];
    let mut next = 0;
    for class in [false, true] {
        let mut members: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] == class).collect();
        if members.is_empty() {
            return Err(MetricError::SingleClass { trials: labels.len(), class: !class });
        }
        if members.len() < n_folds {
            return Err(MetricError::TooFewForFolds { class, trials: members.len(), folds: n_folds });
        }
        Stream::new(seed, Domain::Fold, [u64::from(class), n_folds as u64, 0]).shuffle(&mut members);
        for trial in members {
            folds[trial] = next;
            next = (next + 1) % n_folds;
        }
    }
    Ok(folds)
}
