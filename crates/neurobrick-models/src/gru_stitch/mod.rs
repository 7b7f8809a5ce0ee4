//! A causal recurrent network with stitching, the recurrent baseline of the zoo.

mod model;

pub use model::{GruStitch, GruStitchConfig};
