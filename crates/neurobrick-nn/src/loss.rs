//! The loss of masked Poisson prediction.

use burn::tensor::Tensor;

/// Sum over counted entries of `exp(o) − y·o`, the Poisson negative log-likelihood of counts `y` under log rates
/// `o` up to a constant, in nats: `torch.nn.PoissonNLLLoss(log_input=True, full=False)` times the loss mask, summed
/// as in MtM (Zhang et al. 2024; not divided by the number of entries).
///
/// All arguments are `[B, T, N]`; `counted` is 1 where an entry counts and 0 elsewhere.
pub fn poisson_nll_sum(log_rates: Tensor<3>, counts: Tensor<3>, counted: Tensor<3>) -> Tensor<1> {
    ((log_rates.clone().exp() - counts * log_rates) * counted).sum()
}
