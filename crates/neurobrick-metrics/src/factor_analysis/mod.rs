//! Factor analysis of population counts whose latents can be inferred from any subset of units.
//!
//! - [`StaticFactors`]: maximum-likelihood factor analysis of `[samples, units]`, rank by held-out likelihood.
//! - [`TemporalFactors`]: factors with a power spectrum over the bins of a trial, fitted by variational Bayes to raw
//!   counts `[B, T, N]`; surplus factors are pruned, so the rank is only a ceiling.
//! - [`Gpfa`]: Gaussian-process factor analysis with a time scale per factor, for trials of any lengths.
//!
//! All are linear Gaussian models `y_i = μ_i + l_i · x + noise_i`. Given the visible units `V` the posterior mean of
//! the latents is `(P + Σ_V l_i l_iᵀ / ψ_i)⁻¹ Σ_V l_i (y_i − μ_i) / ψ_i` with `P` the prior precision: a `K x K` solve
//! for any hidden set, no refit (Woodbury's identity). Leaving out one unit is a rank-one change of that solve.

mod expectation;
mod gpfa;
mod mirrored;
mod smoothness;
mod spectral;
mod static_factors;
mod stationary;
mod temporal;

pub use gpfa::{Gpfa, GpfaConfig, GpfaPosterior};
pub use static_factors::StaticFactors;
pub(crate) use temporal::InFrequencies;
pub use temporal::{TemporalFactors, TemporalFactorsConfig};
