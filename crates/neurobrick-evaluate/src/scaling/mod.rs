//! Scaling curves: points of the ladder, the laws through them, and what they cost further up.

mod result;
mod target;
mod unexplained;

pub use result::{Answer, ScaleLaws, ScalePoint, ScaleResult, Step};
pub use target::ScaleTarget;
pub use unexplained::saturated_bits;
