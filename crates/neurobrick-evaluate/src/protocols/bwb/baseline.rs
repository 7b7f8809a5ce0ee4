//! The baselines of all suites, by the names that rows and files carry.

/// What stands for all systems where none could be fitted.
pub const EVERY_SYSTEM: &str = "all";

/// A system that is scored beside the models.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Baseline {
    Mean,
    Wiener,
    PoissonRegression,
    Majority,
    Discriminant,
    MeanRate,
    PopulationCoupling,
    ReducedRank,
    TrailingMean,
    Shrinkage,
    Autoregression,
}

impl Baseline {
    const ALL: [Self; 11] = [
        Self::Mean,
        Self::Wiener,
        Self::PoissonRegression,
        Self::Majority,
        Self::Discriminant,
        Self::MeanRate,
        Self::PopulationCoupling,
        Self::ReducedRank,
        Self::TrailingMean,
        Self::Shrinkage,
        Self::Autoregression,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Wiener => "wiener",
            Self::PoissonRegression => "poisson_regression",
            Self::Majority => "majority",
            Self::Discriminant => "discriminant",
            Self::MeanRate => "mean_rate",
            Self::PopulationCoupling => "population_coupling",
            Self::ReducedRank => "reduced_rank",
            Self::TrailingMean => "trailing_mean",
            Self::Shrinkage => "shrinkage",
            Self::Autoregression => "autoregression",
        }
    }
}

/// Whether rows and files of that name are those of a baseline, or stand for all systems.
pub fn is_reserved(name: &str) -> bool {
    name == EVERY_SYSTEM || Baseline::ALL.iter().any(|baseline| baseline.name() == name)
}
