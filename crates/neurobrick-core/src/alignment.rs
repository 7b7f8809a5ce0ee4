//! What a closed form says of the units of a session, for layers to start from.

use ndarray::Array2;

/// How the units of one session relate to components that sessions share, such as the principal components of their
/// condition averages (Pandarinath et al. 2018, doi:10.1038/s41592-018-0109-9).
///
/// Components have a variance of about one in what they were fitted to, so that models can scale them.
#[derive(Clone, Debug, PartialEq)]
pub struct Alignment {
    /// Spikes per bin → components, `[N, K]`.
    pub read_in: Array2<f64>,
    /// Added after that, `[K]`.
    pub read_in_bias: Vec<f64>,
    /// Components → deviations of log rates (natural) from their means, `[K, N]`.
    pub read_out: Array2<f64>,
    /// Log of the mean spikes per bin of every unit, `[N]`.
    pub log_mean_rates: Vec<f64>,
}

impl Alignment {
    /// Number of components.
    pub fn n_components(&self) -> usize {
        self.read_in.ncols()
    }

    /// Number of units.
    pub fn n_units(&self) -> usize {
        self.read_in.nrows()
    }
}
