//! A fine-tuned model opened for answering bin by bin, and decoders for it.

use std::path::Path;

use ndarray::{Array2, Axis, concatenate, s};
use neurobrick_core::{ComputeDevice, ModelError, Prompt};
use neurobrick_evaluate::evaluation::{LEVEL, labels};
use neurobrick_metrics::{Accuracy, LogisticProbe, MetricError, ProbeGrid, stratified_folds};
use neurobrick_models::AnyModel;
use neurobrick_schema::SessionId;
use neurobrick_stream::{CausalStream, Decoder, DecoderKind, Precision};
use neurobrick_train::latents;
use serde::Serialize;

use super::arrays::session_of;
use super::training::{check_causal, load_model};
use crate::config::{DataConfig, DecodeTarget};
use crate::{PipelineError, load_sessions};

/// Opens the model in a folder for one session, which may be left out if the model knows exactly one.
///
/// # Errors
/// If the folder is damaged, the model does not know the session or cannot be read bin by bin, or a decoder does not
/// fit.
pub fn open_stream(
    model_dir: &Path,
    session: Option<&SessionId>,
    precision: Precision,
    decoders: &[Decoder],
) -> Result<CausalStream, PipelineError> {
    let weights = match load_model(model_dir, ComputeDevice::Flex)?.0 {
        AnyModel::NdtStitch(model) => model.stream_weights(session_of(&model, session)?)?,
        AnyModel::LinearStitch(_) => return Err(not_streamed("it reads each bin by itself")),
        AnyModel::Lfads(_) => return Err(not_streamed("it reads windows from both ends")),
        AnyModel::Ndt1(_) | AnyModel::Ndt2(_) => {
            return Err(not_streamed("streams know no other transformer than NDT-1-stitch"));
        }
        AnyModel::GruStitch(_) => return Err(not_streamed("streams know no recurrent network")),
    };
    Ok(CausalStream::new(&weights, precision)?.with_decoders(decoders)?)
}

fn not_streamed(reason: &str) -> PipelineError {
    PipelineError::Model(ModelError::Unsupported {
        what: format!("answer bin by bin from earlier bins: {reason}"),
        hint: "name the folder of a model of kind `ndt_stitch`".to_owned(),
    })
}

/// Reads a decoder from a JSON file.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn load_decoder(path: &Path) -> Result<Decoder, PipelineError> {
    let bytes = std::fs::read(path).map_err(PipelineError::io("read", path))?;
    serde_json::from_slice(&bytes)
        .map_err(|e| PipelineError::BadFile { path: path.to_owned(), message: e.to_string() })
}

/// What a decoder is to be fitted for.
#[derive(Clone, Copy, Debug)]
pub struct DecoderQuestion<'a> {
    /// Folder of the model.
    pub model: &'a Path,
    /// The session.
    pub session: &'a SessionId,
    /// The label.
    pub target: &'a DecodeTarget,
    /// Bins of every trial that enter the fit, evenly spaced and ending with the last.
    pub bins_per_trial: usize,
}

/// A decoder, and how it did on test trials.
#[derive(Clone, Debug, Serialize)]
pub struct FittedDecoder {
    /// The decoder.
    pub decoder: Decoder,
    /// Inverse penalty, chosen by cross-validation over trials.
    pub c: f64,
    /// Labeled training and validation trials.
    pub n_fit: usize,
    /// Labeled test trials.
    pub n_test: usize,
    /// Accuracy on test trials at the last bin of the window.
    pub last_bin: Accuracy,
    /// Share of all bins of test trials that are decoded right.
    pub all_bins: f64,
}

/// Fits a logistic decoder of a binary label on the causal latents of single bins of training and validation trials.
///
/// Its probabilities take both classes as equally frequent, as the probe weighs them.
///
/// # Errors
/// If model or data are missing or damaged, or the label cannot be decoded (one class, too few trials).
pub fn fit_decoder(
    question: &DecoderQuestion<'_>,
    data: &DataConfig,
    seed: u64,
    n_threads: usize,
) -> Result<FittedDecoder, PipelineError> {
    let (model, record) = load_model(question.model, ComputeDevice::Flex)?;
    let loaded = load_sessions(data, std::slice::from_ref(question.session), seed)?;
    let [session] = &loaded[..] else {
        return Err(MetricError::Empty { what: "list of sessions" }.into());
    };
    record.check_scores(data, seed, &session.hash)?;
    check_causal(&model, &record)?;
    let AnyModel::NdtStitch(model) = model else { return Err(not_streamed("only `ndt_stitch` is read so")) };
    let (session, n_bins) = (&session.train, session.train.data.n_bins());
    let labels = labels(session, question.target)?;
    let n_chosen = question.bins_per_trial;
    if !(1..=n_bins).contains(&n_chosen) {
        let message = format!("must lie in 1..={n_bins}, received {n_chosen}");
        return Err(PipelineError::BadValue { field: "bins_per_trial".to_owned(), message });
    }
    // Evenly spaced from the end, so that the last bin, which knows most, is always one.
    let bins: Vec<usize> = (1..=n_chosen).map(|i| i * n_bins / n_chosen - 1).collect();

    let labeled = |trials: &[usize]| -> (Vec<usize>, Vec<bool>) {
        trials.iter().filter_map(|&t| labels[t].map(|label| (t, label))).unzip()
    };
    let (fit_trials, fit_labels) = labeled(&[&session.split.train[..], &session.split.valid].concat());
    let (test_trials, test_labels) = labeled(&session.split.test);
    if fit_trials.is_empty() || test_trials.is_empty() {
        return Err(MetricError::Empty { what: "list of labeled trials" }.into());
    }
    let fit = latents(&model, &session.data, &fit_trials, Prompt::Causal, n_threads)?;
    let test = latents(&model, &session.data, &test_trials, Prompt::Causal, n_threads)?;

    // All bins of a trial are in one fold: they are not independent.
    let grid = ProbeGrid::with_seed(seed);
    let folds = stratified_folds(&fit_labels, grid.n_folds, seed)?;
    let parts: Vec<_> = bins.iter().map(|&bin| fit.slice(s![.., bin, ..])).collect();
    let x = concatenate(Axis(0), &parts).map_err(|e| PipelineError::BadValue {
        field: "bins_per_trial".to_owned(),
        message: e.to_string(),
    })?;
    let (y, folds) = (fit_labels.repeat(n_chosen), folds.repeat(n_chosen));
    let losses = LogisticProbe::cross_validate(&x.view(), &y, &folds, &grid.cs)?;
    let best = losses.iter().zip(&grid.cs).min_by(|a, b| a.0.total_cmp(b.0)).map_or(1.0, |(_, &c)| c);
    let probe = LogisticProbe::fit(&x.view(), &y, best)?;

    let predicted = |bin: usize| probe.predict(&test.slice(s![.., bin, ..]));
    let last_bin = Accuracy::new(&test_labels, &predicted(n_bins - 1)?, &fit_labels, LEVEL)?;
    let mut n_right = 0;
    for bin in 0..n_bins {
        n_right += predicted(bin)?.iter().zip(&test_labels).filter(|(p, t)| p == t).count();
    }
    Ok(FittedDecoder {
        decoder: decoder_of(&probe, question.target, x.ncols())?,
        c: best,
        n_fit: fit_labels.len(),
        n_test: test_labels.len(),
        last_bin,
        all_bins: n_right as f64 / (n_bins * test_labels.len()) as f64,
    })
}

/// The probe for raw latents: its decision at the origin and along each axis.
fn decoder_of(
    probe: &LogisticProbe,
    target: &DecodeTarget,
    n_latents: usize,
) -> Result<Decoder, PipelineError> {
    let origin = probe.decision(&Array2::zeros((1, n_latents)).view())?[0];
    let axes = probe.decision(&Array2::eye(n_latents).view())?;
    #[expect(clippy::cast_possible_truncation, reason = "decoders run in single precision")]
    let single = |x: f64| x as f32;
    Ok(Decoder {
        name: target.name().to_owned(),
        kind: DecoderKind::Logistic,
        outputs: target.classes().into_iter().map(str::to_owned).collect(),
        weights: axes.iter().map(|&along| vec![single(along - origin)]).collect(),
        bias: vec![single(origin)],
    })
}
