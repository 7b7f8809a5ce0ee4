//! How stitches and read-outs of the zoo start.

use burn::tensor::Device;
use neurobrick_core::SessionSpec;
use neurobrick_nn::{InitStreams, ReadOutStart, SessionStitch};

/// Weights of read-outs that start at known mean rates have this part of their usual size, so that a fresh model says these
/// rates.
pub(crate) const READ_OUT_SCALE: f64 = 0.1;

/// A stitch of a session between channels and latents of these widths.
pub(crate) fn fresh_stitch(
    spec: &SessionSpec,
    [d_in, d_latent]: [usize; 2],
    seed: u64,
    device: &Device,
) -> SessionStitch {
    let start = match &spec.log_mean_rates {
        Some(log_mean_rates) => ReadOutStart::LogMeanRates { log_mean_rates, weight_scale: READ_OUT_SCALE },
        None => ReadOutStart::Default,
    };
    let mut init = InitStreams::new(seed, spec.session.as_str());
    SessionStitch::new(spec.n_units, d_in, d_latent, start, &mut init, device)
}
