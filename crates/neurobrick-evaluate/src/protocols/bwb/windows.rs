//! Windows that slide over the usable interval of trials.

use ndarray::{Array3, Axis, s};
use neurobrick_data::SessionData;

/// Windows of one length, by trial and first bin, in the order of time within each trial.
#[derive(Clone, Debug)]
pub struct Windows {
    n_bins: usize,
    /// Trial and first bin of each.
    places: Vec<(usize, usize)>,
}

impl Windows {
    /// Every window of `n_bins` bins within the trials whose start is a multiple of `stride` bins from the trial's.
    pub fn sliding(trials: &[usize], trial_bins: usize, n_bins: usize, stride: usize) -> Self {
        let firsts = (0..=trial_bins.saturating_sub(n_bins)).step_by(stride.max(1));
        let places = trials.iter().flat_map(|&trial| firsts.clone().map(move |first| (trial, first)));
        Self { n_bins, places: places.collect() }
    }

    /// Number of windows.
    pub fn n_windows(&self) -> usize {
        self.places.len()
    }

    /// Windows cut from values `[trial, bin, P]` of all usable trials: `[window, bin, P]`.
    pub fn cut(&self, values: &Array3<f64>) -> Array3<f64> {
        let mut out = Array3::zeros((self.n_windows(), self.n_bins, values.len_of(Axis(2))));
        for (mut window, &(trial, first)) in out.outer_iter_mut().zip(&self.places) {
            window.assign(&values.slice(s![trial, first..first + self.n_bins, ..]));
        }
        out
    }

    /// Start of each window on the clock of the session, in seconds.
    pub fn starts_s(&self, data: &SessionData) -> Vec<f64> {
        let start = |&(trial, first): &(usize, usize)| {
            data.windows()[trial].start_s + first as f64 * data.bin_size_s()
        };
        self.places.iter().map(start).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_cover_every_start_within_a_trial_and_none_beyond() {
        let values = Array3::from_shape_fn((3, 6, 1), |(trial, bin, _)| (10 * trial + bin) as f64);
        let windows = Windows::sliding(&[0, 2], 6, 4, 1);
        let cut = windows.cut(&values);
        let first: Vec<f64> = cut.slice(s![.., 0, 0]).to_vec();
        let last: Vec<f64> = cut.slice(s![.., 3, 0]).to_vec();
        assert_eq!(first, [0.0, 1.0, 2.0, 20.0, 21.0, 22.0]);
        assert_eq!(last, [3.0, 4.0, 5.0, 23.0, 24.0, 25.0]);
        assert_eq!(Windows::sliding(&[0, 2], 6, 4, 4).n_windows(), 2);
        assert_eq!(Windows::sliding(&[1], 6, 6, 1).n_windows(), 1);
    }
}
