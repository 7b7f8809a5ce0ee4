//! Penalized least squares in which the coefficients of hidden features are held at zero, for many sets of hidden features
//! at the price of one inverse.
//!
//! With `G` the Gram matrix of all features, `C` their products with the targets and `P = (G + αI)⁻¹`, the free solution is
//! `β = P C`. Asking that the coefficients `o` be zero gives, by Lagrange multipliers, `β − P[:, o] P[o, o]⁻¹ β_o`, which
//! is the solution without these features. So a hidden group, every region in turn and every unit in turn cost a
//! solve of their own size each. A set of which little is visible is cheaper solved by itself; which way is taken
//! follows from the number of operations and changes nothing but rounding.
//!
//! With few trials there are fewer samples than features. Then the same solution is found between samples, with
//! `P = (I − Xᵀ (X Xᵀ + αI)⁻¹ X) / α`, of which only the columns of units left out are ever made.

use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Mat, MatRef, Par};

use crate::MetricError;
use crate::linalg::{cholesky, gram, penalized, product};

/// What one query asks of the system.
pub(super) struct Ask {
    /// Features that may have a coefficient, each once.
    pub(super) keep: Vec<usize>,
    /// Columns of the targets.
    pub(super) targets: Vec<usize>,
    /// Positions in `keep` of the features of each target itself, which it may not use; none for a hidden target.
    pub(super) own: Vec<Vec<usize>>,
}

/// Penalized normal equations between features.
pub(super) struct FeatureSystem<'a> {
    /// Features with each other.
    pub(super) gram: MatRef<'a, f64>,
    /// Features with targets, `[features, targets]`.
    pub(super) cross: MatRef<'a, f64>,
    /// Penalty on squared coefficients, above zero.
    pub(super) alpha: f64,
    /// What is fitted, for errors.
    pub(super) what: &'static str,
}

/// The same problem between samples.
pub(super) struct SampleSystem<'a> {
    /// `[samples, features]`.
    pub(super) features: MatRef<'a, f64>,
    /// `features · featuresᵀ`.
    pub(super) kernel: MatRef<'a, f64>,
    /// `[samples, targets]`.
    pub(super) counts: MatRef<'a, f64>,
    /// Penalty on squared coefficients, above zero.
    pub(super) alpha: f64,
    /// What is fitted, for errors.
    pub(super) what: &'static str,
}

impl Ask {
    fn n_own(&self) -> usize {
        self.own.iter().map(Vec::len).sum()
    }

    fn hidden(&self, n_features: usize) -> Vec<usize> {
        let mut is_visible = vec![false; n_features];
        self.keep.iter().for_each(|&feature| is_visible[feature] = true);
        (0..n_features).filter(|&feature| !is_visible[feature]).collect()
    }

    /// Operations to solve it by itself.
    fn alone(&self) -> f64 {
        let (kept, targets) = (self.keep.len() as f64, self.targets.len() as f64);
        let factor = if self.n_own() > 0 { 1.0 } else { 1.0 / 3.0 };
        factor * kept.powi(3) + 2.0 * kept.powi(2) * targets
    }

    /// Operations once the inverse of the whole system is there.
    fn given_whole(&self, n_features: usize) -> f64 {
        let (kept, hidden) = (self.keep.len() as f64, (n_features - self.keep.len()) as f64);
        let columns = (self.targets.len() + self.n_own()) as f64;
        hidden.powi(3) / 3.0 + 2.0 * hidden * (hidden + kept) * columns
    }
}

impl FeatureSystem<'_> {
    /// Coefficients `[keep, targets]` of every query.
    pub(super) fn solve(&self, asks: &[Ask]) -> Result<Vec<Mat<f64>>, MetricError> {
        let n = self.gram.nrows();
        let together: Vec<bool> = asks.iter().map(|ask| ask.given_whole(n) < ask.alone()).collect();
        let shared = || asks.iter().zip(&together).filter(|(_, together)| **together).map(|(ask, _)| ask);
        let mut targets: Vec<usize> = shared().flat_map(|ask| ask.targets.iter().copied()).collect();
        targets.sort_unstable();
        targets.dedup();
        let saved: f64 = shared().map(|ask| ask.alone() - ask.given_whole(n)).sum();
        let whole_costs = (n as f64).powi(3) + 2.0 * (n as f64).powi(2) * targets.len() as f64;
        let whole = if saved > whole_costs {
            let all: Vec<usize> = (0..n).collect();
            Some(Inverse::new(self, &all, &targets)?)
        } else {
            None
        };
        asks.iter()
            .zip(together)
            .map(|(ask, together)| match &whole {
                Some(whole) if together => {
                    // All targets are among them by construction.
                    let columns: Vec<usize> =
                        ask.targets.iter().map(|target| targets.partition_point(|t| t < target)).collect();
                    whole.solve(ask, &ask.keep, &ask.hidden(n), &columns)
                }
                _ => self.alone(ask),
            })
            .collect()
    }

    fn alone(&self, ask: &Ask) -> Result<Mat<f64>, MetricError> {
        if ask.n_own() > 0 {
            let positions: Vec<usize> = (0..ask.keep.len()).collect();
            let columns: Vec<usize> = (0..ask.targets.len()).collect();
            return Inverse::new(self, &ask.keep, &ask.targets)?.solve(ask, &positions, &[], &columns);
        }
        let factor = cholesky(penalized(self.gram, &ask.keep, self.alpha).as_ref(), self.what)?;
        Ok(factor.solve(block(self.cross, &ask.keep, &ask.targets)))
    }
}

/// `P` and `β` of some features.
struct Inverse {
    inverse: Mat<f64>,
    /// `[features, targets]`.
    beta: Mat<f64>,
}

impl Inverse {
    fn new(system: &FeatureSystem, features: &[usize], targets: &[usize]) -> Result<Self, MetricError> {
        let factor = cholesky(penalized(system.gram, features, system.alpha).as_ref(), system.what)?;
        let inverse = factor.inverse();
        let beta = product(inverse.as_ref(), block(system.cross, features, targets).as_ref());
        Ok(Self { inverse, beta })
    }

    /// The solution of `ask` by positions of features in this inverse and of targets among its columns.
    fn solve(
        &self,
        ask: &Ask,
        keep: &[usize],
        hidden: &[usize],
        targets: &[usize],
    ) -> Result<Mat<f64>, MetricError> {
        let own: Vec<usize> = ask.own.iter().flatten().map(|&position| keep[position]).collect();
        let mut beta = block(self.beta.as_ref(), keep, targets);
        let mut columns = block(self.inverse.as_ref(), keep, &own);
        if !hidden.is_empty() {
            let factor = cholesky(block(self.inverse.as_ref(), hidden, hidden).as_ref(), "hidden features")?;
            let across = block(self.inverse.as_ref(), keep, hidden);
            let excess = factor.solve(block(self.beta.as_ref(), hidden, targets));
            beta -= product(across.as_ref(), excess.as_ref());
            if !own.is_empty() {
                let excess = factor.solve(block(self.inverse.as_ref(), hidden, &own));
                columns -= product(across.as_ref(), excess.as_ref());
            }
        }
        leave_out(&mut beta, &columns, &ask.own)?;
        Ok(beta)
    }
}

impl SampleSystem<'_> {
    /// Coefficients `[keep, targets]` of every query.
    pub(super) fn solve(&self, asks: &[Ask]) -> Result<Vec<Mat<f64>>, MetricError> {
        asks.iter().map(|ask| self.solve_one(ask)).collect()
    }

    fn solve_one(&self, ask: &Ask) -> Result<Mat<f64>, MetricError> {
        let samples: Vec<usize> = (0..self.features.nrows()).collect();
        let hidden = ask.hidden(self.features.ncols());
        let x = block(self.features, &samples, &ask.keep);
        let mut system = if hidden.len() < ask.keep.len() {
            let mut system = self.kernel.to_owned();
            if !hidden.is_empty() {
                let hidden = block(self.features, &samples, &hidden);
                system -= gram(hidden.transpose(), Par::rayon(0));
            }
            system
        } else {
            gram(x.transpose(), Par::rayon(0))
        };
        (0..system.nrows()).for_each(|i| system[(i, i)] += self.alpha);
        let factor = cholesky(system.as_ref(), self.what)?;
        let y = block(self.counts, &samples, &ask.targets);
        let mut beta = product(x.transpose(), factor.solve(y).as_ref());
        let out: Vec<usize> = ask.own.iter().flatten().copied().collect();
        if out.is_empty() {
            return Ok(beta);
        }
        let own = block(x.as_ref(), &samples, &out);
        let mut columns = product(x.transpose(), factor.solve(own).as_ref());
        for (j, &feature) in out.iter().enumerate() {
            columns.col_mut(j).iter_mut().for_each(|value| *value /= -self.alpha);
            columns[(feature, j)] += 1.0 / self.alpha;
        }
        leave_out(&mut beta, &columns, &ask.own)?;
        Ok(beta)
    }
}

/// Holds each target's own features at zero; `columns` are those of `P`, target by target.
fn leave_out(beta: &mut Mat<f64>, columns: &Mat<f64>, own: &[Vec<usize>]) -> Result<(), MetricError> {
    let mut first = 0;
    for (target, features) in own.iter().enumerate().filter(|(_, features)| !features.is_empty()) {
        let size = features.len();
        let share = Mat::from_fn(size, size, |i, j| columns[(features[i], first + j)]);
        let excess = Mat::from_fn(size, 1, |i, _| beta[(features[i], target)]);
        let multipliers = cholesky(share.as_ref(), "left-out unit")?.solve(excess);
        for m in 0..size {
            for (value, column) in beta.col_mut(target).iter_mut().zip(columns.col(first + m).iter()) {
                *value -= multipliers[(m, 0)] * column;
            }
        }
        first += size;
        for &feature in features {
            beta[(feature, target)] = 0.0;
        }
    }
    Ok(())
}

/// Some rows and columns of a matrix, copied.
pub(super) fn block(matrix: MatRef<f64>, rows: &[usize], columns: &[usize]) -> Mat<f64> {
    Mat::from_fn(rows.len(), columns.len(), |i, j| matrix[(rows[i], columns[j])])
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use neurobrick_random::{Domain, Stream};

    use super::*;

    const ALPHA: f64 = 0.7;
    const WHAT: &str = "test";

    /// Every target by a system of its own without the features it may not use.
    fn one_by_one(x: &Mat<f64>, y: &Mat<f64>, ask: &Ask) -> Mat<f64> {
        let rows: Vec<usize> = (0..x.nrows()).collect();
        let mut beta = Mat::zeros(ask.keep.len(), ask.targets.len());
        for (target, own) in ask.own.iter().enumerate() {
            let positions: Vec<usize> = (0..ask.keep.len()).filter(|p| !own.contains(p)).collect();
            let features: Vec<usize> = positions.iter().map(|&p| ask.keep[p]).collect();
            let x = block(x.as_ref(), &rows, &features);
            let mut system = gram(x.as_ref(), Par::Seq);
            (0..features.len()).for_each(|i| system[(i, i)] += ALPHA);
            let cross = product(x.transpose(), block(y.as_ref(), &rows, &[ask.targets[target]]).as_ref());
            let solved = cholesky(system.as_ref(), WHAT).unwrap().solve(cross);
            positions.iter().enumerate().for_each(|(i, &p)| beta[(p, target)] = solved[(i, 0)]);
        }
        beta
    }

    #[test]
    fn between_features_and_between_samples_every_query_is_its_own_fit() {
        let (n_samples, n_features) = (25, 30);
        let mut stream = Stream::new(1, Domain::Synthetic, [0; 3]);
        let x = Mat::from_fn(n_samples, n_features, |_, _| stream.normal());
        let y = Mat::from_fn(n_samples, 8, |i, j| stream.normal() + x[(i, j)]);
        let ask = |keep: Vec<usize>, targets: Vec<usize>, own: Vec<Vec<usize>>| Ask { keep, targets, own };
        let all: Vec<usize> = (0..n_features).collect();
        let hidden_targets = |n: usize| vec![Vec::new(); n];
        let mut asks = vec![
            // Every target in turn, by two features each.
            ask(all.clone(), (0..8).collect(), (0..8).map(|t| vec![t, t + 10]).collect()),
            // Most visible, in no order, with and without features of the targets.
            ask(all.iter().rev().copied().filter(|f| f % 7 != 0).collect(), vec![5, 0], hidden_targets(2)),
            ask(
                all.iter().copied().filter(|f| f % 5 != 0).collect(),
                vec![1, 5, 7],
                vec![vec![0], vec![], vec![3, 4]],
            ),
            // Little visible.
            ask(vec![3, 4, 9], vec![2, 6], vec![vec![], vec![1]]),
        ];
        asks.extend(all.iter().map(|&hidden| {
            ask(all.iter().copied().filter(|&f| f != hidden).collect(), vec![4], hidden_targets(1))
        }));
        let (gram_of, cross) = (gram(x.as_ref(), Par::Seq), product(x.transpose(), y.as_ref()));
        let kernel = gram(x.transpose(), Par::Seq);
        let features =
            FeatureSystem { gram: gram_of.as_ref(), cross: cross.as_ref(), alpha: ALPHA, what: WHAT };
        let samples = SampleSystem {
            features: x.as_ref(),
            kernel: kernel.as_ref(),
            counts: y.as_ref(),
            alpha: ALPHA,
            what: WHAT,
        };
        let solved = [features.solve(&asks).unwrap(), samples.solve(&asks).unwrap()];
        for (number, ask) in asks.iter().enumerate() {
            let want = one_by_one(&x, &y, ask);
            for (way, solved) in solved.iter().enumerate() {
                for (i, j) in (0..want.nrows()).flat_map(|i| (0..want.ncols()).map(move |j| (i, j))) {
                    let got = solved[number][(i, j)];
                    assert!((got - want[(i, j)]).abs() < 1e-10, "{number} {way} ({i}, {j}): {got}");
                }
            }
        }
    }
}
