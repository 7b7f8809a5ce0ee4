//! How well hand velocity can be read from predicted rates by ridge regression.

use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use crate::{MetricError, RidgeRegression, r2};

/// Penalties of the benchmark's search, `logspace(-4, 0, 9)`.
fn grid() -> Vec<f64> {
    (0..9).map(|i| 10f64.powf(-4.0 + 0.5 * f64::from(i))).collect()
}

/// Folds of the search, contiguous.
const FOLDS: usize = 5;

/// How the decoder's penalty is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DecoderPenalty {
    /// The best of nine by five-fold cross-validation (the benchmark's rule).
    Search,
    /// This one; the benchmark's own short cut is 0.01.
    Fixed(f64),
}

/// Which trials each decoder is fitted to and scored on, `[B, masks]`, `true` = used.
#[derive(Clone, Copy, Debug)]
pub struct DecodeMasks<'a> {
    /// Of the training trials.
    pub train: ArrayView2<'a, bool>,
    /// Of the evaluated trials.
    pub eval: ArrayView2<'a, bool>,
}

/// R² of behavior `[B, T, K]` from rates `[B, T, N]` by ridge regression fitted on the training trials, averaged over
/// behaviors; with masks, one decoder per mask, averaged.
///
/// Rows in which the first behavior is NaN are dropped. Fails on mismatched shapes, if fewer rows than folds remain,
/// and on remaining values that are not finite.
pub fn velocity_r2(
    train: (&ArrayView3<f64>, &ArrayView3<f64>),
    eval: (&ArrayView3<f64>, &ArrayView3<f64>),
    masks: Option<DecodeMasks<'_>>,
    penalty: DecoderPenalty,
) -> Result<f64, MetricError> {
    if let Some(masks) = masks {
        return masked(train, eval, masks, penalty);
    }
    let all = |trials: usize| Array2::from_elem((trials, 1), true);
    let (every_train, every_eval) = (all(train.0.len_of(Axis(0))), all(eval.0.len_of(Axis(0))));
    masked(train, eval, DecodeMasks { train: every_train.view(), eval: every_eval.view() }, penalty)
}

/// Mean score over the columns of the masks.
fn masked(
    train: (&ArrayView3<f64>, &ArrayView3<f64>),
    eval: (&ArrayView3<f64>, &ArrayView3<f64>),
    masks: DecodeMasks<'_>,
    penalty: DecoderPenalty,
) -> Result<f64, MetricError> {
    for (what, mask, trials) in [
        ("training decode mask", masks.train, train.0.len_of(Axis(0))),
        ("evaluation decode mask", masks.eval, eval.0.len_of(Axis(0))),
    ] {
        if mask.dim() != (trials, masks.train.ncols()) {
            let (expected, got) = (vec![trials, masks.train.ncols()], mask.shape().to_vec());
            return Err(MetricError::ShapeMismatch { what, expected, got });
        }
    }
    if masks.train.ncols() == 0 {
        return Err(MetricError::Empty { what: "list of decode masks" });
    }
    let mut total = 0.0;
    for (train_mask, eval_mask) in masks.train.columns().into_iter().zip(masks.eval.columns()) {
        let (x, y) = rows(train, &train_mask.to_vec())?;
        let (x_eval, y_eval) = rows(eval, &eval_mask.to_vec())?;
        let fit = match penalty {
            DecoderPenalty::Search => RidgeRegression::fit_search(&x.view(), &y.view(), &grid(), FOLDS)?.0,
            DecoderPenalty::Fixed(alpha) => RidgeRegression::fit(&x.view(), &y.view(), alpha)?,
        };
        total += r2::uniform(&y_eval.view(), &fit.predict(&x_eval.view())?.view())?;
    }
    Ok(total / masks.train.ncols() as f64)
}

/// Rates and behavior of the masked trials, one row per bin with a behavior.
fn rows(
    (rates, behavior): (&ArrayView3<f64>, &ArrayView3<f64>),
    mask: &[bool],
) -> Result<(Array2<f64>, Array2<f64>), MetricError> {
    let (n_trials, n_bins, n_units) = rates.dim();
    let n_behaviors = behavior.len_of(Axis(2));
    if behavior.dim() != (n_trials, n_bins, n_behaviors) || n_behaviors == 0 {
        let (expected, got) = (vec![n_trials, n_bins, n_behaviors.max(1)], behavior.shape().to_vec());
        return Err(MetricError::ShapeMismatch { what: "behavior", expected, got });
    }
    let kept: Vec<(usize, usize)> = (0..n_trials)
        .filter(|&trial| mask[trial])
        .flat_map(|trial| (0..n_bins).map(move |bin| (trial, bin)))
        .filter(|&(trial, bin)| !behavior[[trial, bin, 0]].is_nan())
        .collect();
    let at = |from: &ArrayView3<f64>, width| {
        Array2::from_shape_fn((kept.len(), width), |(row, k)| from[[kept[row].0, kept[row].1, k]])
    };
    Ok((at(rates, n_units), at(behavior, n_behaviors)))
}
