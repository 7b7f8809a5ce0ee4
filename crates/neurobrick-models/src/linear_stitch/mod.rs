//! Reduced-rank Poisson regression with stitching, the linear member of the zoo.

mod model;

pub use model::{LinearStitch, LinearStitchConfig};
