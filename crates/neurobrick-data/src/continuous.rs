//! A whole session on one grid, of which windows are views: for sliding windows that overlap, without copies of spikes.

use ndarray::{Array2, ArrayView2, s};
use neurobrick_schema::{Activity, Recording};

use crate::DataError;
use crate::grid::Grid;
use crate::room::Room;

/// Counts of a whole session, `[bin, unit]`.
#[derive(Clone, Debug)]
pub struct ContinuousCounts {
    grid: Grid,
    counts: Array2<u16>,
}

impl ContinuousCounts {
    /// Bins a session of spike times from `start_s` to the last whole bin before `end_s`.
    ///
    /// # Errors
    /// [`DataError::BadGrid`]; [`DataError::NeedsSpikeTimes`] for a recording that exists as counts only;
    /// [`DataError::CountOverflow`]; [`DataError::TooLarge`].
    pub fn new(recording: &Recording, start_s: f64, end_s: f64, bin_size_s: f64) -> Result<Self, DataError> {
        let session = &recording.info().session;
        let Activity::Spikes(spikes) = recording.activity() else {
            return Err(DataError::NeedsSpikeTimes { session: session.clone(), rule: "sliding windows" });
        };
        // A millionth of a bin absorbs the rounding of lengths that are whole in decimals.
        let n_bins = ((end_s - start_s) / bin_size_s + 1e-6).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "Grid refuses what is not a count"
        )]
        let n_bins = if n_bins < f64::from(u32::MAX) { n_bins.max(0.0) as usize } else { usize::MAX };
        let grid = Grid::new(start_s, bin_size_s, n_bins)?;
        let n_units = recording.n_units();
        let mut counts = Room { n_windows: 1, n_bins, n_units }.zeros(session)?;
        grid.count(spikes.times_s(), spikes.units(), n_units, &mut counts)
            .map_err(|unit| DataError::CountOverflow { session: session.clone(), unit, trial: 0 })?;
        let counts = Array2::from_shape_vec((n_bins, n_units), counts);
        let counts = counts.map_err(|_| DataError::BadGrid { start_s, bin_size_s, n_bins })?;
        Ok(Self { grid, counts })
    }

    /// The grid of all bins.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// All counts, `[bin, unit]`.
    pub fn counts(&self) -> ArrayView2<'_, u16> {
        self.counts.view()
    }

    /// First bins of all windows of `n_bins` bins at a stride; only whole windows.
    ///
    /// # Panics
    /// If the stride is zero.
    pub fn window_starts(
        &self,
        n_bins: usize,
        stride: usize,
    ) -> impl ExactSizeIterator<Item = usize> + use<> {
        let n_windows = (self.grid.n_bins() + 1).saturating_sub(n_bins);
        (0..n_windows).step_by(stride)
    }

    /// The counts of a window, `[bin, unit]`, without a copy.
    ///
    /// # Panics
    /// If the window reaches beyond the last bin.
    pub fn window(&self, first_bin: usize, n_bins: usize) -> ArrayView2<'_, u16> {
        self.counts.slice(s![first_bin..first_bin + n_bins, ..])
    }
}
