//! LFADS over many sessions.
//!
//! Pandarinath C., O'Shea D. J., Collins J. et al. (2018), "Inferring single-trial neural population dynamics using
//! sequential auto-encoders", Nature Methods 15:805-815, doi:10.1038/s41592-018-0109-9. Reference code:
//! `arsedler9/lfads-torch` at 007a555 (Apache-2.0). Deviations are listed in this folder's README.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use neurobrick_core::sessions::{check_input, check_size, check_unique, check_units, kept_or_fresh};
use neurobrick_core::{
    Alignment, DropoutStreams, Mode, ModelError, ModelInput, Output, Penalty, PopulationModel, SessionSpec,
};
use neurobrick_nn::{
    AutoregressivePrior, DiagonalGaussian, Dropout, GaussianPrior, InitStreams, affine, affine_counts,
    normal_noise,
};
use neurobrick_schema::SessionId;

use super::LfadsConfig;
use super::encoder::Encoder;
use super::generator::{Generator, Seeds};
use super::stitch::{EncoderDrive, LfadsStitch};

/// Seed of the posterior samples that evaluation averages; every trial gets the same noise.
const EVALUATION_SEED: u64 = 0x1FAD5;
/// Trials of one pass of leave-one-out prediction.
const LEAVE_ONE_OUT_TRIALS: usize = 128;

/// Places where dropout or noise is drawn.
#[derive(Clone, Copy)]
pub(super) enum Site {
    Data,
    Code,
    Encoded,
    Factors,
    States,
    External,
    InitialNoise,
    InputNoise,
}

impl Site {
    pub(super) fn number(self) -> usize {
        self as usize
    }
}

/// Latent factor analysis via dynamical systems.
#[derive(Module, Debug)]
pub struct Lfads {
    stitches: Vec<LfadsStitch>,
    /// What drives the encoders from the shared channels, if there are some.
    drive: Option<EncoderDrive>,
    encoder: Encoder,
    initial_prior: GaussianPrior,
    input_prior: Option<AutoregressivePrior>,
    generator: Generator,
    data_dropout: Dropout,
    #[module(skip)]
    config: LfadsConfig,
    #[module(skip)]
    table: Vec<SessionSpec>,
}

/// Everything that LFADS infers about a batch of windows.
#[derive(Clone, Debug)]
pub struct LfadsStates {
    /// Posterior of the initial condition `[B, Z]`.
    pub initial: DiagonalGaussian<2>,
    /// States of the encoder of inputs as the controller reads them, delayed and advanced, `[B, T, 2 H]`.
    pub encoded: Option<Tensor<3>>,
    /// First state of the generator `[B, G]`.
    pub generator_start: Tensor<2>,
    /// States of the generator `[B, T, G]`.
    pub generator: Tensor<3>,
    /// States of the controller `[B, T, C]`.
    pub controller: Option<Tensor<3>>,
    /// Posterior of the inferred inputs `[B, T, U]`.
    pub inputs: Option<DiagonalGaussian<3>>,
    /// Factors `[B, T, F]`.
    pub factors: Tensor<3>,
    /// Natural log of expected spikes per bin `[B, T, N]`.
    pub log_rates: Tensor<3>,
}

impl Lfads {
    /// A fresh model for `sessions`.
    ///
    /// # Errors
    /// If the configuration is out of range or a session is listed twice.
    pub fn new(
        config: LfadsConfig,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        config.validate()?;
        check_unique(sessions)?;
        let mut init = InitStreams::new(seed, "core");
        // Where units drive the encoders directly, recurrent weights start as for the first session's units.
        let first = sessions.first().map_or(config.n_factors, |s| s.n_units);
        let d_input = config.d_read_in.unwrap_or(first);
        let drive = config.d_read_in.map(|width| EncoderDrive::new(&config, width, &mut init, device));
        let LfadsConfig { input_prior_tau, input_prior_noise_var, d_inputs, .. } = config;
        let input_prior = config
            .has_controller()
            .then(|| AutoregressivePrior::new(d_inputs, input_prior_tau, input_prior_noise_var, device));
        Ok(Self {
            stitches: sessions.iter().map(|spec| LfadsStitch::new(&config, spec, seed, device)).collect(),
            drive,
            encoder: Encoder::new(&config, d_input, &mut init, device),
            initial_prior: GaussianPrior::new(config.d_initial, config.initial_prior_var, device),
            input_prior,
            generator: Generator::new(&config, &mut init, device),
            data_dropout: Dropout::new(config.dropout, Site::Data.number()),
            config,
            table: sessions.to_vec(),
        })
    }

    /// The configuration the model was built from.
    pub fn config(&self) -> &LfadsConfig {
        &self.config
    }

    /// All that the model infers, with posteriors at their means. `external` `[B, T_enc, E]` holds the external inputs of
    /// the encoded bins, for a model that was built for some.
    ///
    /// # Errors
    /// If the session is unknown, sizes do not fit, or external inputs are given without being expected or missing.
    pub fn states(&self, input: &ModelInput, external: Option<Tensor<3>>) -> Result<LfadsStates, ModelError> {
        self.infer(input, external, Mode::Eval, None)
    }

    /// Samples posteriors from `noise` if given, and drops as `mode` says.
    fn infer(
        &self,
        input: &ModelInput,
        external: Option<Tensor<3>>,
        mode: Mode<'_>,
        noise: Option<&Noise>,
    ) -> Result<LfadsStates, ModelError> {
        let idx = self.session_idx(&input.session)?;
        check_input(&self.table[idx], self.config.n_bins, input)?;
        let external = self.padded_external(&self.table[idx], external, input)?;
        let stitch = &self.stitches[idx];
        let n_encoded = self.config.n_encoded_bins();
        let counts = input.counts.clone().narrow(1, 0, n_encoded);
        let (ic_drive, ci_drive) = self.drives(stitch, counts, mode)?;
        let encoded = self.encoder.forward(&self.config, ic_drive, ci_drive, mode);
        let seeds = Seeds {
            initial: match noise {
                Some(noise) => encoded.initial.sample(noise.initial.clone()),
                None => encoded.initial.mean.clone(),
            },
            encoded: encoded.inputs.clone(),
            external,
            noise: noise.and_then(|noise| noise.inputs.clone()),
        };
        let made = self.generator.forward(self.config.n_bins, seeds, mode);
        Ok(LfadsStates {
            initial: encoded.initial,
            encoded: encoded.inputs,
            generator_start: made.start,
            generator: made.states,
            controller: made.controller_states,
            inputs: made.inputs,
            log_rates: affine(made.factors.clone(), &stitch.read_out),
            factors: made.factors,
        })
    }

    /// What drives both encoders, over the bins each of them reads.
    fn drives(
        &self,
        stitch: &LfadsStitch,
        counts: Tensor<3>,
        mode: Mode<'_>,
    ) -> Result<(Tensor<3>, Option<Tensor<3>>), ModelError> {
        let read = match &stitch.read_in {
            Some(layer) => affine_counts(counts, layer),
            None => counts,
        };
        let read = self.data_dropout.forward(read, mode);
        let n_bins = read.dims()[1];
        let n_ic = self.config.n_ic_bins;
        let part = |from: usize, to: usize| read.clone().narrow(1, from, to - from);
        let ic_bins = if n_ic > 0 { part(0, n_ic) } else { read.clone() };
        let ci_bins = if n_ic > 0 { part(n_ic, n_bins) } else { read.clone() };
        let drive = stitch.drive.as_ref().or(self.drive.as_ref());
        let drive = drive.ok_or_else(|| ModelError::Unsupported {
            what: "run without weights that drive its encoders".to_owned(),
            hint: "build it with `Lfads::new`".to_owned(),
        })?;
        let ci = drive.ci.as_ref().map(|layer| affine_counts(ci_bins, layer));
        Ok((affine_counts(ic_bins, &drive.ic), ci))
    }

    /// External inputs over the whole window, zero where nothing is encoded.
    fn padded_external(
        &self,
        spec: &SessionSpec,
        external: Option<Tensor<3>>,
        input: &ModelInput,
    ) -> Result<Option<Tensor<3>>, ModelError> {
        let (width, n_encoded) = (self.config.d_external, self.config.n_encoded_bins());
        let Some(external) = external else {
            if width > 0 {
                return Err(ModelError::Unsupported {
                    what: format!("run without its {width} external inputs"),
                    hint: "pass them to `Lfads::states`, or build the model with `d_external = 0`".to_owned(),
                });
            }
            return Ok(None);
        };
        let [b, bins, given] = external.dims();
        check_size(spec, "trials of external inputs", input.counts.dims()[0], b)?;
        check_size(spec, "bins of external inputs", n_encoded, bins)?;
        check_size(spec, "external inputs", width, given)?;
        let missing = self.config.n_bins - n_encoded;
        if missing == 0 {
            return Ok(Some(external));
        }
        let rest = Tensor::zeros([b, missing, width], (&external.device(), external.dtype()));
        Ok(Some(Tensor::cat(vec![external, rest], 1)))
    }

    /// Noise for `n_trials` trials from streams of (seed, step, example).
    fn noise(&self, n_trials: usize, streams: &DropoutStreams, device: &Device) -> Noise {
        let (t, u) = (self.config.n_bins, self.config.d_inputs);
        Noise {
            initial: normal_noise(
                [n_trials, self.config.d_initial],
                Site::InitialNoise.number(),
                streams,
                device,
            ),
            inputs: (u > 0)
                .then(|| normal_noise([n_trials, t, u], Site::InputNoise.number(), streams, device)),
        }
    }

    /// Rates and factors averaged over `n_samples` posterior samples.
    fn averaged(&self, input: &ModelInput) -> Result<Output, ModelError> {
        let device = input.counts.device();
        let [b, t, _] = input.counts.dims();
        let mut sums: Option<(Tensor<3>, Tensor<3>)> = None;
        for sample in 0..self.config.n_samples {
            let streams = DropoutStreams::new(EVALUATION_SEED, sample as u64, 0);
            // The same noise for every trial, so that an answer does not depend on the trial's place in the batch.
            let noise = self.noise(1, &streams, &device);
            let noise = Noise {
                initial: noise.initial.expand([b, self.config.d_initial]),
                inputs: noise.inputs.map(|x| x.expand([b, t, self.config.d_inputs])),
            };
            let one = self.infer(input, None, Mode::Eval, Some(&noise))?;
            let rates = one.log_rates.exp();
            sums = Some(match sums {
                None => (rates, one.factors),
                Some((sum, factors)) => (sum + rates, factors + one.factors),
            });
        }
        if let Some((rates, factors)) = sums {
            let n = self.config.n_samples as f64;
            return Ok(Output { log_rates: (rates / n).log(), latents: factors / n });
        }
        let states = self.states(input, None)?;
        Ok(Output { log_rates: states.log_rates, latents: states.factors })
    }

    /// What training adds to the loss of these answers.
    fn penalty(&self, states: &LfadsStates) -> Penalty {
        let [b, t, n] = states.log_rates.dims();
        // Weights stand beside a likelihood averaged over bins and units; ours is summed.
        let entries = (t * n) as f64;
        let config = &self.config;
        let mut divergence = self.initial_prior.divergence(&states.initial).sum() * config.kl_initial;
        if let (Some(prior), Some(inputs)) = (&self.input_prior, &states.inputs) {
            divergence = divergence + prior.divergence(inputs).sum() * config.kl_inputs;
        }
        Penalty { divergence: divergence * entries, weights: self.weight_penalty() * (b as f64 * entries) }
    }

    /// Half the weighted squares of recurrent weights over the number of those that are penalized: the reference's L2.
    pub fn weight_penalty(&self) -> Tensor<1> {
        let config = &self.config;
        let both = |encoder: &neurobrick_nn::BidirectionalGru, scale| {
            [(encoder.ahead.clone(), scale), (encoder.back.clone(), scale)]
        };
        let mut cells = both(&self.encoder.ic, config.l2_ic_encoder).to_vec();
        if let Some(encoder) = &self.encoder.ci {
            cells.extend(both(encoder, config.l2_ci_encoder));
        }
        cells.push((self.generator.cell.clone(), config.l2_generator));
        if let Some(controller) = &self.generator.controller {
            cells.push((controller.cell.clone(), config.l2_controller));
        }
        cells.retain(|(_, scale)| *scale > 0.0);
        let n: usize = cells.iter().map(|(cell, _)| cell.n_weights()).sum();
        let squares = cells.iter().map(|(cell, scale)| cell.sum_squares() * (0.5 * scale));
        let initial_device = self.generator.cell.recurrent.val().device();
        match squares.reduce(|sum, more| sum + more) {
            // A factor, for the gradient of a quotient by a number is in single precision in Burn.
            Some(sum) => sum * (n as f64 + 1e-8).recip(),
            None => Tensor::zeros([1], &initial_device),
        }
    }

    /// Divergences `[B]` of the posteriors of initial conditions and of inputs from their priors, in nats per trial.
    pub fn divergences(&self, states: &LfadsStates) -> (Tensor<1>, Option<Tensor<1>>) {
        let initial = self.initial_prior.divergence(&states.initial);
        let inputs = match (&self.input_prior, &states.inputs) {
            (Some(prior), Some(inputs)) => Some(prior.divergence(inputs)),
            _ => None,
        };
        (initial, inputs)
    }
}

/// Standard normal values that make samples of posteriors.
struct Noise {
    initial: Tensor<2>,
    inputs: Option<Tensor<3>>,
}

impl PopulationModel for Lfads {
    fn sessions(&self) -> &[SessionSpec] {
        &self.table
    }

    fn forward(&self, input: &ModelInput, mode: Mode<'_>) -> Result<Output, ModelError> {
        match mode {
            Mode::Eval => self.averaged(input),
            Mode::Train(_) => Ok(self.forward_penalized(input, mode)?.0),
        }
    }

    fn forward_penalized(
        &self,
        input: &ModelInput,
        mode: Mode<'_>,
    ) -> Result<(Output, Option<Penalty>), ModelError> {
        let noise = match mode {
            Mode::Train(streams) => Some(self.noise(input.counts.dims()[0], streams, &input.counts.device())),
            Mode::Eval => None,
        };
        // The penalty of an evaluation is that of posteriors at their means.
        let states = self.infer(input, None, mode, noise.as_ref())?;
        let penalty = self.penalty(&states);
        let output = match mode {
            Mode::Eval if self.config.n_samples > 0 => self.averaged(input)?,
            _ => Output { log_rates: states.log_rates, latents: states.factors },
        };
        Ok((output, Some(penalty)))
    }

    fn reads_whole_windows(&self) -> bool {
        true
    }

    fn with_sessions(
        &self,
        sessions: &[SessionSpec],
        seed: u64,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let fresh = |spec: &SessionSpec| Ok(LfadsStitch::new(&self.config, spec, seed, device));
        let stitches = kept_or_fresh(sessions, (&self.table, &self.stitches), fresh)?;
        Ok(Self { stitches, table: sessions.to_vec(), ..self.clone() })
    }

    fn with_alignment(
        &self,
        session: &SessionId,
        alignment: &Alignment,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        let mut model = self.clone();
        model.stitches[idx] =
            self.stitches[idx].aligned(&self.config, &self.table[idx], alignment, device)?;
        Ok(model)
    }

    fn for_session(&self, session: &SessionId) -> Result<Self, ModelError> {
        let idx = self.session_idx(session)?;
        // Field by field: `..self.clone()` would clone every stitch first.
        Ok(Self {
            stitches: vec![self.stitches[idx].clone()],
            drive: self.drive.clone(),
            encoder: self.encoder.clone(),
            initial_prior: self.initial_prior.clone(),
            input_prior: self.input_prior.clone(),
            generator: self.generator.clone(),
            data_dropout: self.data_dropout.clone(),
            config: self.config.clone(),
            table: vec![self.table[idx].clone()],
        })
    }

    fn is_session_parameter(path: &str) -> bool {
        path.starts_with("stitches.")
    }

    /// Several units to a pass, side by side along the trials.
    fn forward_leave_one_out(&self, input: &ModelInput, units: &[usize]) -> Result<Tensor<3>, ModelError> {
        let spec = &self.table[self.session_idx(&input.session)?];
        check_input(spec, self.config.n_bins, input)?;
        check_units(spec, units)?;
        let [b, t, n] = input.counts.dims();
        let mut answers = Vec::new();
        for units in units.chunks((LEAVE_ONE_OUT_TRIALS / b.max(1)).max(1)) {
            let one = |&unit: &usize| {
                let hidden = Tensor::zeros_like(&input.counts.clone().narrow(2, unit, 1));
                input.counts.clone().slice_assign([0..b, 0..t, unit..unit + 1], hidden)
            };
            let counts = Tensor::cat(units.iter().map(one).collect(), 0);
            let log_rates = self.forward(&ModelInput { counts, ..input.clone() }, Mode::Eval)?.log_rates;
            let log_rates = log_rates.reshape([units.len(), b, t, n]);
            answers.extend(units.iter().enumerate().map(|(k, &unit)| {
                let own = log_rates.clone().slice([k..k + 1, 0..b, 0..t, unit..unit + 1]);
                own.reshape([1, b, t])
            }));
        }
        Ok(Tensor::cat(answers, 0))
    }
}
