//! Baselines that a model of population activity must beat, each fitted on training counts.
//!
//! Hyper-parameters are chosen on validation trials by pooled Poisson likelihood over the targets, never on test
//! trials; each baseline keeps a serializable record of its grid and its choice. Parameters are fitted on the
//! training trials alone. Counts and rates are `[B, T, N]` in spikes/bin; counts must be finite; rates come out
//! strictly positive.
//!
//! | Task | Baselines |
//! |---|---|
//! | any | [`UnitMean`], [`Psth`] (knows the condition) |
//! | hidden units: leave-one-out, hidden groups, intra-region | [`Blend`], [`FactorAnalysis`], [`VisibleWiener`], [`VisibleRidge`], [`PcaPoisson`], by [`Query`] |
//! | forward prediction | [`ForwardRidge`], [`LastMean`] |
//!
//! [`RatePool`] makes one predictor of two.

mod blend;
pub(crate) mod counts;
mod factors;
mod forward_ridge;
mod held_at_zero;
pub(crate) mod last_mean;
mod link;
mod pca_poisson;
mod pool;
mod psth;
mod query;
mod ridge;
mod selection;
mod unit_mean;
mod wiener;

pub use blend::{Blend, BlendChoice};
pub use factors::{FactorAnalysis, FactorChoice, FactorDesign, FactorGrid};
pub use forward_ridge::{ForwardRidge, ForwardRidgeChoice, ForwardRidgeGrid};
pub use last_mean::{LastMean, LastMeanChoice, LastMeanGrid};
pub use link::RateLink;
pub use pca_poisson::{PcaPoisson, PcaPoissonChoice, PcaPoissonGrid};
pub use pool::{Pooling, RatePool};
pub use psth::{Psth, PsthChoice, PsthGrid};
pub use query::Query;
pub use ridge::{RidgeChoice, RidgeDesign, RidgeGrid, VisibleRidge};
pub use unit_mean::UnitMean;
pub use wiener::{VisibleWiener, WienerChoice, WienerDesign, WienerGrid};
