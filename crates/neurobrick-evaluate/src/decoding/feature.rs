//! What is decoded from, and how what is found is judged.

use ndarray::{Array2, Array3, Axis};

use super::NetworkConfig;

/// What is decoded from: a name and values `[trial, bin, P]` of all usable trials.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Name in tables.
    pub name: String,
    /// `[trial, bin, P]`.
    pub values: Array3<f64>,
    /// What linear decoders of labels see of a whole window, `[trial, P]`.
    pub of_window: Array2<f64>,
}

impl Feature {
    /// Square roots of counts `[trial, bin, unit]`: of each bin, and of a window's sum.
    pub fn raw_counts(counts: &Array3<f64>) -> Self {
        let of_window = counts.sum_axis(Axis(1)).mapv(f64::sqrt);
        Self { name: "raw_counts".to_owned(), values: counts.mapv(f64::sqrt), of_window }
    }

    /// Latents, and their means over a window.
    pub fn latents(name: &str, values: Array3<f64>) -> Self {
        let of_window = values.sum_axis(Axis(1)) / values.len_of(Axis(1)).max(1) as f64;
        Self { name: name.to_owned(), values, of_window }
    }
}

/// Blocks of consecutive trials within which labels are shuffled, unless a configuration says otherwise.
pub const N_BLOCKS: usize = 5;

/// How scores get their nulls and intervals.
#[derive(Clone, Debug)]
pub struct Judging {
    /// Seed of folds, draws of nulls, resamples and networks.
    pub seed: u64,
    /// Blocks of consecutive trials within which labels are shuffled for the null.
    pub n_blocks: usize,
    /// Draws of every null.
    pub n_shuffles: usize,
    /// Resamples of the bootstrap over test trials.
    pub n_resamples: usize,
    /// Networks that are asked for.
    pub networks: Option<NetworkConfig>,
}
