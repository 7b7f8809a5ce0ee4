//! Labels and behavior decoded from counts and latents, every score with its null, interval and naive baseline.

mod behavior;
mod encoding;
mod feature;
mod labels;
mod network;
mod result;
mod target;

pub use behavior::{Behavior, Predicted, decode_behavior, judge_prediction, rows};
pub use encoding::{Encoded, EncodingEvaluation, EncodingScores, judge_encoding};
pub use feature::{Feature, Judging, N_BLOCKS};
pub use labels::{LabelTarget, PredictedClasses, decode_labels, judge_classes};
pub(crate) use labels::{Probed, SHRINKAGES, decode_by_logistic};
pub use network::{NetworkConfig, NetworkDecoder, NetworkKind, NetworkRows, NetworkTargets};
pub use result::{DecodeResult, DecodeRow};
pub use target::{BehaviorTarget, OfAngle};
