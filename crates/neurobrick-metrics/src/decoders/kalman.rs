//! A Kalman filter whose state is the behavior.

use faer::linalg::solvers::Solve;
use faer::{Mat, MatRef};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, concatenate};

use super::standardizer::{check_columns, check_finite, check_rows};
use crate::MetricError;
use crate::linalg::{cholesky, column_means, matrix_of, product, subtract_from_columns};

/// Where filtering starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum KalmanStart<'a> {
    /// The state of the first bin is known exactly, as in Wu et al. 2003 and `Neural_Decoding`; it is returned as it is.
    Known(ArrayView1<'a, f64>),
    /// Nothing is known but the mean and covariance of the training states; the first bin is decoded as any other.
    Prior,
}

/// A linear Gaussian state space fitted by least squares (Wu et al. 2003): states follow themselves, counts follow the
/// state. Both are centered by their training means.
#[derive(Clone, Debug, PartialEq)]
pub struct Kalman {
    state_means: Vec<f64>,
    count_means: Vec<f64>,
    transition: Mat<f64>,
    state_noise: Mat<f64>,
    observation: Mat<f64>,
    count_noise: Mat<f64>,
    /// Covariance of the training states.
    prior: Mat<f64>,
}

impl Kalman {
    /// Fits states (`[T, D]`) and counts (`[T, N]`) of one continuous stretch. `trust` divides the state noise: above
    /// one the filter trusts the movement model more, below one the counts.
    ///
    /// Fails on mismatched rows, fewer than two rows, values that are not finite, a `trust` that is not positive, and
    /// where states or residuals are linearly dependent.
    pub fn fit(counts: &ArrayView2<f64>, states: &ArrayView2<f64>, trust: f64) -> Result<Self, MetricError> {
        Self::fit_trials(&[(counts.view(), states.view())], trust)
    }

    /// As [`Self::fit`] for several stretches (trials) of counts and states: no step leads from one to the next. Fails
    /// as it does, and on stretches of different widths.
    pub fn fit_trials(
        trials: &[(ArrayView2<'_, f64>, ArrayView2<'_, f64>)],
        trust: f64,
    ) -> Result<Self, MetricError> {
        for (counts, states) in trials {
            check_rows(states, counts.nrows(), "states")?;
            check_finite(counts, "counts")?;
            check_finite(states, "states")?;
            check_columns(counts, trials[0].0.ncols(), "counts")?;
            check_columns(states, trials[0].1.ncols(), "states")?;
        }
        if !(trust.is_finite() && trust > 0.0) {
            return Err(MetricError::InvalidSetting { what: "trust", value: trust, must: "above zero" });
        }
        let (mut from, mut to, mut first) = (Vec::new(), Vec::new(), 0);
        for (counts, _) in trials {
            let end = first + counts.nrows();
            from.extend(first..end - 1);
            to.extend(first + 1..end);
            first = end;
        }
        if from.is_empty() {
            return Err(MetricError::Empty { what: "list of steps from row to row" });
        }
        let joined = |views: Vec<ArrayView2<'_, f64>>| {
            concatenate(Axis(0), &views).map_err(|_| MetricError::Empty { what: "list of trials" })
        };
        let states = joined(trials.iter().map(|trial| trial.1.view()).collect())?;
        let counts = joined(trials.iter().map(|trial| trial.0.view()).collect())?;
        let (mut x, mut z) = (matrix_of(&states.view()), matrix_of(&counts.view()));
        let (state_means, count_means) = (column_means(x.as_ref()), column_means(z.as_ref()));
        subtract_from_columns(&mut x, &state_means);
        subtract_from_columns(&mut z, &count_means);
        let rows = |of: &[usize]| Mat::from_fn(of.len(), x.ncols(), |i, j| x[(of[i], j)]);
        let (before, after) = (rows(&from), rows(&to));
        let transition = least_squares(before.as_ref(), after.as_ref())?;
        let step = after - product(before.as_ref(), transition.transpose());
        let observation = least_squares(x.as_ref(), z.as_ref())?;
        let residual = &z - product(x.as_ref(), observation.transpose());
        let moments =
            |m: &Mat<f64>, divisor: f64| faer::Scale(1.0 / divisor) * product(m.transpose(), m.as_ref());
        Ok(Self {
            state_noise: moments(&step, from.len() as f64 * trust),
            count_noise: moments(&residual, x.nrows() as f64),
            prior: moments(&x, x.nrows() as f64),
            state_means,
            count_means,
            transition,
            observation,
        })
    }

    /// Decodes counts (`[T, N]`) into states (`[T, D]`), each from the counts up to its bin.
    ///
    /// Fails on another number of units or states, and on counts that are not finite.
    pub fn predict(&self, counts: &ArrayView2<f64>, start: KalmanStart) -> Result<Array2<f64>, MetricError> {
        check_columns(counts, self.count_means.len(), "counts")?;
        check_finite(counts, "counts")?;
        let n_states = self.state_means.len();
        let mut z = matrix_of(counts);
        subtract_from_columns(&mut z, &self.count_means);
        let mut out = Array2::zeros((counts.nrows(), n_states));
        let (mut state, mut covariance) = (Mat::zeros(n_states, 1), Mat::zeros(n_states, n_states));
        for bin in 0..counts.nrows() {
            match (bin, start) {
                (0, KalmanStart::Known(known)) => {
                    if known.len() != n_states {
                        let (expected, got) = (vec![n_states], vec![known.len()]);
                        return Err(MetricError::ShapeMismatch { what: "first state", expected, got });
                    }
                    state = Mat::from_fn(n_states, 1, |i, _| known[i] - self.state_means[i]);
                }
                (0, KalmanStart::Prior) => {
                    self.update(&mut state, &mut covariance, self.prior.clone(), z.as_ref().row(0))?;
                }
                _ => {
                    state = product(self.transition.as_ref(), state.as_ref());
                    let spread = product(self.transition.as_ref(), covariance.as_ref());
                    let predicted = product(spread.as_ref(), self.transition.transpose()) + &self.state_noise;
                    self.update(&mut state, &mut covariance, predicted, z.as_ref().row(bin))?;
                }
            }
            for i in 0..n_states {
                out[[bin, i]] = state[(i, 0)] + self.state_means[i];
            }
        }
        Ok(out)
    }

    /// Corrects the predicted state by one bin of counts.
    fn update(
        &self,
        state: &mut Mat<f64>,
        covariance: &mut Mat<f64>,
        predicted: Mat<f64>,
        counts: faer::RowRef<f64>,
    ) -> Result<(), MetricError> {
        let h = self.observation.as_ref();
        let spread = product(h, predicted.as_ref());
        let innovation = product(spread.as_ref(), h.transpose()) + &self.count_noise;
        let factor = cholesky(innovation.as_ref(), "innovations of the Kalman filter")?;
        // The gain's transpose: S⁻¹ H P.
        let gain = factor.solve(&spread);
        let expected = product(h, state.as_ref());
        let surprise = Mat::from_fn(h.nrows(), 1, |i, _| counts[i] - expected[(i, 0)]);
        *state += product(gain.transpose(), surprise.as_ref());
        *covariance = &predicted - product(gain.transpose(), spread.as_ref());
        Ok(())
    }

    /// How states follow themselves, `[D, D]`.
    pub fn transition(&self) -> Array2<f64> {
        array_of(&self.transition)
    }

    /// Covariance of what the transition leaves, divided by the trust, `[D, D]`.
    pub fn state_noise(&self) -> Array2<f64> {
        array_of(&self.state_noise)
    }

    /// How counts follow states, `[N, D]`.
    pub fn observation(&self) -> Array2<f64> {
        array_of(&self.observation)
    }

    /// Covariance of what states leave of the counts, `[N, N]`.
    pub fn count_noise(&self) -> Array2<f64> {
        array_of(&self.count_noise)
    }
}

/// `B` of `to ≈ from Bᵀ`.
fn least_squares(from: MatRef<f64>, to: MatRef<f64>) -> Result<Mat<f64>, MetricError> {
    let system = product(from.transpose(), from);
    let factor = cholesky(system.as_ref(), "states of the Kalman filter")?;
    Ok(factor.solve(product(from.transpose(), to)).transpose().to_owned())
}

fn array_of(matrix: &Mat<f64>) -> Array2<f64> {
    Array2::from_shape_fn((matrix.nrows(), matrix.ncols()), |(i, j)| matrix[(i, j)])
}
