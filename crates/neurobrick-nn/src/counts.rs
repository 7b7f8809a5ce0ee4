//! Spike counts as words: a vector for every count.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::InitStreams;

/// A table of one vector per count, looked up entry by entry (NDT-1, NDT-2); counts above the last row take the last.
#[derive(Module, Debug)]
pub struct CountEmbedding {
    /// `[counts, width]`.
    pub weight: Param<Tensor<2>>,
}

impl CountEmbedding {
    /// A table for counts `0..n_counts`, normal with standard deviation `std`; PyTorch's default is 1.
    pub fn normal(n_counts: usize, width: usize, std: f64, init: &mut InitStreams, device: &Device) -> Self {
        Self { weight: init.normal([n_counts, width], std, device) }
    }

    /// A table for counts `0..n_counts`, uniform in `[-bound, bound)`, as in NDT-1 (0.1).
    pub fn uniform(
        n_counts: usize,
        width: usize,
        bound: f64,
        init: &mut InitStreams,
        device: &Device,
    ) -> Self {
        Self { weight: init.uniform([n_counts, width], bound, device) }
    }

    /// The same with nothing for a count of zero at the start: where most counts are zero, spikes alone then say something.
    #[must_use]
    pub fn starting_at_nothing(self) -> Self {
        let [n_counts, width] = self.weight.dims();
        let device = self.weight.device();
        let zero = Tensor::zeros([1, width], (&device, self.weight.val().dtype()));
        let rest = self.weight.val().narrow(0, 1, n_counts - 1);
        Self { weight: Param::from_tensor(Tensor::cat(vec![zero, rest], 0).detach()) }
    }

    /// Vectors of counts `[B, S, C]`, those of a token side by side: `[B, S, C width]`.
    pub fn forward(&self, counts: Tensor<3>) -> Tensor<3> {
        let [b, s, c] = counts.dims();
        let [n_counts, width] = self.weight.dims();
        let rows: Tensor<1, Int> = counts.reshape([b * s * c]).clamp(0.0, (n_counts - 1) as f64).int();
        self.weight.val().select(0, rows).reshape([b, s, c * width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_of_zero_can_start_at_nothing() {
        let mut init = InitStreams::new(3, "test");
        let table = CountEmbedding::normal(4, 2, 1.0, &mut init, &Device::flex());
        let values =
            |table: &CountEmbedding| table.weight.val().into_data().iter::<f32>().collect::<Vec<_>>();
        let (before, after) = (values(&table), values(&table.starting_at_nothing()));
        assert_eq!(after[..2], [0.0, 0.0]);
        assert_eq!(after[2..], before[2..]);
    }

    #[test]
    fn counts_are_looked_up_side_by_side() {
        let device = Device::flex();
        let table = Tensor::from_data([[0.0, 10.0], [1.0, 11.0], [2.0, 12.0]], &device);
        let embedding = CountEmbedding { weight: Param::from_tensor(table) };
        let counts = Tensor::<3>::from_data([[[1.0, 0.0], [2.0, 9.0]]], &device);
        let found: Vec<f64> = embedding.forward(counts).into_data().iter::<f64>().collect();
        assert_eq!(found, [1.0, 11.0, 0.0, 10.0, 2.0, 12.0, 2.0, 12.0]);
    }
}
