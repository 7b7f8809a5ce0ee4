//! Evaluation tasks: what is hidden, what is scored.

use neurobrick_core::Prompt;
use neurobrick_data::RegionTable;
use neurobrick_random::{Domain, Stream};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TrainError;

/// A task of MtM (Zhang et al. 2024, section 4), or the held-out group of the Neural Latents Benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EvalTask {
    /// Each unit is predicted from all others: leave-one-out.
    CoSmoothing,
    /// A fixed group of units is hidden at once and predicted from the rest.
    CoSmoothingGroup,
    /// The last bins of all units are predicted from the earlier ones.
    ForwardPrediction,
    /// Each region is predicted from all other regions.
    InterRegion,
    /// Each unit is predicted from the other units of its region alone.
    IntraRegion,
}

impl EvalTask {
    /// All tasks, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::CoSmoothing,
        Self::CoSmoothingGroup,
        Self::ForwardPrediction,
        Self::InterRegion,
        Self::IntraRegion,
    ];

    /// Name as in configuration files.
    pub fn name(self) -> &'static str {
        match self {
            Self::CoSmoothing => "co_smoothing",
            Self::CoSmoothingGroup => "co_smoothing_group",
            Self::ForwardPrediction => "forward_prediction",
            Self::InterRegion => "inter_region",
            Self::IntraRegion => "intra_region",
        }
    }

    /// The prompt a prompted model gets.
    pub fn prompt(self) -> Prompt {
        match self {
            Self::CoSmoothing | Self::CoSmoothingGroup => Prompt::Neuron,
            Self::ForwardPrediction => Prompt::Causal,
            Self::InterRegion => Prompt::InterRegion,
            Self::IntraRegion => Prompt::IntraRegion,
        }
    }
}

/// A region by name and units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Acronym.
    pub name: String,
    /// Its units, ascending.
    pub units: Vec<usize>,
}

/// One question of a task: from these visible units, predict these targets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// Units that may be seen. For leave-one-out they contain the targets, of which each is hidden in turn.
    pub visible: Vec<usize>,
    /// Units to predict.
    pub targets: Vec<usize>,
    /// Whether each target is predicted from all visible units but itself.
    pub leave_one_out: bool,
}

/// A task made concrete for one session: its queries, the units it scores and the bins it scores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskPlan {
    /// The task.
    pub task: EvalTask,
    /// Questions; their targets are disjoint.
    pub queries: Vec<TaskQuery>,
    /// Scored units, ascending: all targets of all queries.
    pub units: Vec<usize>,
    /// First scored bin; scoring runs to the end of the window.
    pub first_bin: usize,
    /// Bins of the window.
    pub n_bins: usize,
}

/// Share of the bins that forward prediction hides: the last 10 %.
const FORWARD_SHARE: f64 = 0.1;
/// The held-out group: units whose index is a multiple of this.
const GROUP_STRIDE: usize = 10;

impl TaskPlan {
    /// Plans `task` for a session. Leave-one-out tasks predict at most `max_units` units, drawn by seed, if given.
    ///
    /// Forward prediction hides the last tenth of the bins. The held-out group is every tenth unit. Inter-region
    /// needs two regions, intra-region a region of two units; regions below that are left out.
    ///
    /// # Errors
    /// If the session offers nothing to score.
    pub fn new(
        task: EvalTask,
        session: &str,
        regions: &RegionTable,
        n_bins: usize,
        max_units: Option<usize>,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let all: Vec<usize> = (0..regions.n_units()).collect();
        let chosen = sample(&all, max_units, seed);
        let by_region: Vec<Region> = (0..regions.names().len())
            .map(|r| Region { name: regions.names()[r].clone(), units: regions.units_in(r) })
            .collect();
        let mut first_bin = 0;
        let queries = match task {
            EvalTask::CoSmoothing if all.len() > 1 => {
                vec![TaskQuery { visible: all, targets: chosen, leave_one_out: true }]
            }
            EvalTask::CoSmoothingGroup if all.len() > 1 => {
                let (targets, visible) = all.iter().partition(|&&u| u % GROUP_STRIDE == 0);
                vec![TaskQuery { visible, targets, leave_one_out: false }]
            }
            EvalTask::ForwardPrediction => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of the bins"
                )]
                let n_hidden = ((n_bins as f64 * FORWARD_SHARE).round() as usize).max(1);
                first_bin = n_bins.saturating_sub(n_hidden);
                vec![TaskQuery { visible: all.clone(), targets: all, leave_one_out: false }]
            }
            EvalTask::InterRegion if by_region.len() > 1 => by_region
                .iter()
                .map(|region| TaskQuery {
                    visible: all.iter().copied().filter(|u| !region.units.contains(u)).collect(),
                    targets: region.units.clone(),
                    leave_one_out: false,
                })
                .collect(),
            EvalTask::IntraRegion => by_region
                .iter()
                .filter(|region| region.units.len() > 1)
                .map(|region| TaskQuery {
                    visible: region.units.clone(),
                    targets: region.units.iter().copied().filter(|u| chosen.contains(u)).collect(),
                    leave_one_out: true,
                })
                .filter(|query| !query.targets.is_empty())
                .collect(),
            _ => Vec::new(),
        };
        let mut units: Vec<usize> = queries.iter().flat_map(|q| q.targets.iter().copied()).collect();
        units.sort_unstable();
        if units.is_empty() || first_bin >= n_bins || (task == EvalTask::ForwardPrediction && first_bin == 0)
        {
            return Err(TrainError::NothingToScore {
                session: session.to_owned(),
                task: task.name().to_owned(),
                reason: format!(
                    "{} units in {} regions and {n_bins} bins are too few",
                    regions.n_units(),
                    regions.names().len()
                ),
            });
        }
        Ok(Self { task, queries, units, first_bin, n_bins })
    }
}

/// At most `max` of `items`, drawn by seed, in their order.
fn sample(items: &[usize], max: Option<usize>, seed: u64) -> Vec<usize> {
    let Some(max) = max.filter(|&m| m < items.len()) else { return items.to_vec() };
    let order = Stream::new(seed, Domain::Units, [0, 0, 0]).permutation(items.len());
    let mut chosen: Vec<usize> = order[..max].iter().map(|&i| items[i]).collect();
    chosen.sort_unstable();
    chosen
}
