//! The seam of population models.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array3, ArrayView3, s};
use neurobrick_schema::SessionId;
use serde::{Deserialize, Serialize};

use crate::sessions::{check_size, check_units};
use crate::{Alignment, Context, Masking, Mode, ModelError, Prompt};

/// What a model must know of a session to read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionSpec {
    /// The session's id.
    pub session: SessionId,
    /// Number of units.
    pub n_units: usize,
    /// Log of the mean spikes per bin of every unit over training trials, from which read-outs start; `None`
    /// leaves the start to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_mean_rates: Option<Vec<f64>>,
}

impl SessionSpec {
    /// A session with read-outs that start at its mean rates (spikes per bin over `n_samples` bins of training
    /// trials). Half a spike is added to every unit, so that a silent unit starts at a small finite rate.
    pub fn with_mean_rates(session: SessionId, mean_rates: &[f64], n_samples: usize) -> Self {
        let log_mean_rates = Some(Self::log_mean_rates(mean_rates, n_samples));
        Self { session, n_units: mean_rates.len(), log_mean_rates }
    }

    /// Log of mean rates with half a spike added, as [`with_mean_rates`](Self::with_mean_rates) uses them.
    pub fn log_mean_rates(mean_rates: &[f64], n_samples: usize) -> Vec<f64> {
        let n = n_samples as f64;
        mean_rates.iter().map(|r| ((r * n + 0.5) / (n + 0.5)).ln()).collect()
    }
}

/// What a model sees of a batch: windows of one session.
#[derive(Clone, Debug)]
pub struct ModelInput {
    /// The session, which chooses the stitch.
    pub session: SessionId,
    /// Spikes per bin `[B, T, N]` as the model may see them: hidden entries are zero, but for those of which
    /// [`MaskScheme::Bert`](crate::MaskScheme::Bert) shows the count itself or another one; coordinated dropout scales
    /// the visible ones up.
    pub counts: Tensor<3>,
    /// Which entries are hidden, `[B, T, N]`, for models that treat them otherwise than bins without spikes; `None`
    /// hides nothing.
    pub hidden: Option<Arc<Array3<bool>>>,
    /// How bins attend.
    pub context: Context,
    /// The task, for prompted models.
    pub prompt: Option<Prompt>,
}

impl ModelInput {
    /// Applies `masking` to `counts` `[B, T, N]` and moves what is visible to `device`.
    ///
    /// # Panics
    /// If the shapes of counts and masks differ.
    pub fn new(session: &SessionId, counts: ArrayView3<u16>, masking: &Masking, device: &Device) -> Self {
        let (b, t, n) = counts.dim();
        // Counts and masks are both in standard order, and so is what is made of them.
        let (visible, _) =
            masking.visible(counts).as_standard_layout().into_owned().into_raw_vec_and_offset();
        Self {
            session: session.clone(),
            counts: Tensor::from_data(TensorData::new(visible, [b, t, n]), device),
            hidden: Some(Arc::new(masking.hidden().clone())),
            context: masking.context(),
            prompt: masking.prompt(),
        }
    }

    /// The same input with `unit` hidden in every bin.
    #[must_use]
    pub fn without(&self, unit: usize) -> Self {
        let [b, t, n] = self.counts.dims();
        let zeros = Tensor::zeros_like(&self.counts.clone().narrow(2, unit, 1));
        let counts = self.counts.clone().slice_assign([0..b, 0..t, unit..unit + 1], zeros);
        let mut hidden = match &self.hidden {
            Some(hidden) => Array3::clone(hidden),
            None => Array3::from_elem((b, t, n), false),
        };
        hidden.slice_mut(s![.., .., unit]).fill(true);
        Self { counts, hidden: Some(Arc::new(hidden)), ..self.clone() }
    }
}

/// What a model answers.
#[derive(Clone, Debug)]
pub struct Output {
    /// Natural log of expected spikes per bin, `[B, T, N]`.
    pub log_rates: Tensor<3>,
    /// State used for decoding, `[B, T, L]`.
    pub latents: Tensor<3>,
}

/// What a model adds to the loss of its answers, each `[1]`, in nats, summed over trials and already weighted. Training
/// multiplies each by a ramp over steps.
#[derive(Clone, Debug)]
pub struct Penalty {
    /// Divergence of posteriors from their priors.
    pub divergence: Tensor<1>,
    /// Size of weights.
    pub weights: Tensor<1>,
}

/// A model of neural population activity that reads many sessions.
///
/// Not object-safe: [`Module`] is not, and training clones and maps models by value. Code that chooses among
/// models at run time does so by an enum (as the facade does) and stays generic below it.
///
/// A test of one's own model is one line: `neurobrick_testkit::model_contract!(...)`.
pub trait PopulationModel: Module {
    /// The sessions the model can read, in the order of its tables.
    fn sessions(&self) -> &[SessionSpec];

    /// Log rates and latents for windows of one session.
    ///
    /// # Errors
    /// If the session is unknown, or the number of units or bins is not what the model was built for.
    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError>;

    /// [`forward`](Self::forward) and what regularizes the model, for training; must add up over the shards of a batch.
    ///
    /// The default is no penalty.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    fn forward_penalized(
        &self,
        input: &ModelInput,
        mode: Mode<'_>,
    ) -> Result<(Output, Option<Penalty>), ModelError> {
        Ok((self.forward(input, mode)?, None))
    }

    /// Whether the model answers every bin from all that is visible in the window, whatever the context. Such a model
    /// predicts the future only where the future is hidden, as in [`Masking::future`]; it cannot be read bin by bin.
    fn reads_whole_windows(&self) -> bool {
        false
    }

    /// Whether, under a causal context, a bin is answered from its own and earlier bins alone. Latents of a model that
    /// cannot must not be called causal.
    ///
    /// The default is that of a model that heeds the context: all but those that
    /// [read whole windows](Self::reads_whole_windows).
    fn can_be_causal(&self) -> bool {
        !self.reads_whole_windows()
    }

    /// The model for exactly these sessions: tables of sessions it knows are kept, new ones are made from
    /// `seed`, others are dropped; shared weights stay. A session is known if its id is.
    ///
    /// # Errors
    /// If a session is listed twice, or a known session has another number of units.
    fn with_sessions(&self, sessions: &[SessionSpec], seed: u64, device: &Device)
    -> Result<Self, ModelError>;

    /// The model with the layers of `session` started from a closed form, which training may then move. All sessions that
    /// are aligned to the same components, now or later, then start with the same meaning of shared channels.
    ///
    /// The default refuses: not every model has layers that a closed form could set.
    ///
    /// # Errors
    /// If the session is unknown, sizes do not fit, or the model has no such layers.
    fn with_alignment(
        &self,
        session: &SessionId,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let _ = (alignment, device);
        self.session_idx(session)?;
        Err(ModelError::Unsupported {
            what: "start its layers of sessions from a closed form".to_owned(),
            hint: "leave `alignment` out, or choose a model that maps units to shared channels, such as `ndt_stitch` or `lfads` with \
                   `d_read_in`"
                .to_owned(),
        })
    }

    /// What windows of one session need of the model: it answers for them as the whole model does, and its parameters
    /// are parameters of the whole, with their ids and shapes. Other sessions may be unknown to it.
    ///
    /// Training computes with this part, so that a step takes as long with many sessions as with one. The default is
    /// the whole model; models whose parameters grow with the number of sessions override it.
    ///
    /// # Errors
    /// If the session is unknown.
    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        self.session_idx(session)?;
        Ok(self.clone())
    }

    /// Whether the parameter at this path belongs to sessions (stitches, session tokens) rather than to the
    /// shared core.
    fn is_session_parameter(path: &str) -> bool;

    /// Log rates `[U, B, T]` of each of `units` when that unit alone is hidden in addition to what `input`
    /// already hides: leave-one-out prediction of many units.
    ///
    /// The default runs one whole forward pass per unit. Models override it where zeroing a unit has a cheap form.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and [`ModelError::UnknownUnit`] for units that the session does not have.
    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        let spec = &self.sessions()[self.session_idx(&input.session)?];
        check_size(spec, "units", spec.n_units, input.counts.dims()[2])?;
        check_units(spec, units)?;
        let mut answers = Vec::with_capacity(units.len());
        for &unit in units {
            let [b, t, _] = input.counts.dims();
            let log_rates = self.forward(&input.without(unit), Mode::Eval)?.log_rates.narrow(2, unit, 1);
            answers.push(log_rates.reshape([1, b, t]));
        }
        Ok(Tensor::cat(answers, 0))
    }

    /// Position of a session in the model's tables.
    ///
    /// # Errors
    /// If the session is unknown.
    fn session_idx(&self, session: &SessionId) -> Result<usize, ModelError> {
        let sessions = self.sessions();
        sessions.iter().position(|s| &s.session == session).ok_or_else(|| ModelError::UnknownSession {
            session: session.clone(),
            known: sessions.iter().map(|s| s.session.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}
