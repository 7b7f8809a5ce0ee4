//! Linear decoders of behavior and labels from population activity.
//!
//! | Target | Decoders |
//! |---|---|
//! | continuous, each row alone | [`RidgeRegression`](crate::RidgeRegression), [`ReducedRank`], [`PartialLeastSquares`] |
//! | continuous, from a history of counts | [`lagged`] with any of these (a Wiener filter), [`WienerCascade`] |
//! | continuous, as a trajectory | [`Kalman`] |
//! | classes | [`DiscriminantAnalysis`], [`LogisticProbe`](crate::LogisticProbe) |
//!
//! [`choose`] picks among settings of any of them by cross-validated R². Rows of `x` are bins or trials, columns
//! features; nothing is standardized unless said, see [`Standardizer`].

mod choice;
mod discriminant;
mod kalman;
mod lags;
mod partial_least_squares;
mod reduced_rank;
mod standardizer;
mod wiener_cascade;

pub use choice::{CrossValidation, choose};
pub use discriminant::{DiscriminantAnalysis, Shrinkage};
pub use kalman::{Kalman, KalmanStart};
pub use lags::lagged;
pub use partial_least_squares::PartialLeastSquares;
pub use reduced_rank::ReducedRank;
pub use standardizer::Standardizer;
pub use wiener_cascade::WienerCascade;
