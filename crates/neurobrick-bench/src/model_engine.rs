//! Our side of the measurement for every model: the public calls of training and inference, timed.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, Array3, Axis, Slice, s};
use neurobrick_core::{DropoutStreams, Masking, Mode, ModelInput, PopulationModel};
use neurobrick_models::{
    AnyModel, Neds, NedsCounted, NedsInput, NedsMask, NedsModalities, NedsTargets, NedsWindows, Poyo,
    PoyoWindow,
};
use neurobrick_nn::scalar;
use neurobrick_schema::SessionId;
use neurobrick_train::{
    AdamW, AdamWConfig, BatchLoss, Gradients, Rates, ShardResult, TrainError, device_of, loss_and_gradients,
    run_jobs, sharded_gradients,
};

use crate::engine::{BETA1, MIN_SHARDS, SEED, pool};
use crate::model_material::session;
use crate::{BenchError, ModelMaterial, Work};

/// Model, batch, optimizer and threads.
pub struct ModelEngine {
    network: Bound,
    session: SessionId,
    optimizer: AdamW,
    rates: Rates,
    max_grad_norm: f64,
    step: u64,
    /// One per thread, of one thread each, as the trainer has them.
    pools: Vec<rayon::ThreadPool>,
    /// Of all threads, for work that is not cut into shards.
    wide: Arc<rayon::ThreadPool>,
}

/// A model with its batch and with the inputs of its forward pass, one part per thread.
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
enum Bound {
    Counts { model: Owned<AnyModel>, counts: Array3<u16>, masking: Masking, parts: Vec<ModelInput> },
    Modalities { model: Owned<Neds>, batch: Labeled, parts: Vec<NedsInput> },
    Spikes { model: Owned<Poyo>, windows: Vec<PoyoWindow>, targets: Array3<f32>, parts: Vec<Vec<PoyoWindow>> },
}

/// A model, and the same as it began, which holds the place of one that a step owns.
struct Owned<M> {
    now: M,
    start: M,
}

impl<M: Module> Owned<M> {
    fn new(model: M) -> Self {
        Self { start: model.clone(), now: model }
    }

    /// As in the trainer, the optimizer owns the weights and writes over them.
    fn step(&mut self, optimizer: &mut AdamW, gradients: Gradients, rates: Rates) {
        let model = std::mem::replace(&mut self.now, self.start.clone());
        self.now = optimizer.step(model, gradients, rates);
    }
}

/// A batch of NEDS.
struct Labeled {
    counts: Array3<u16>,
    labels: Array2<Option<usize>>,
    mask: NedsMask,
    /// Without any.
    behaviors: Array3<f64>,
    modalities: NedsModalities,
    counted: NedsCounted,
}

impl ModelEngine {
    /// An engine of `n_threads` threads.
    ///
    /// # Errors
    /// If threads cannot be started or the model refuses its input.
    pub fn new(
        material: ModelMaterial,
        n_threads: usize,
        learning_rate: f64,
        max_grad_norm: f64,
    ) -> Result<Self, BenchError> {
        let n_threads = n_threads.max(1);
        let session = session()?;
        Ok(Self {
            network: Bound::new(material, &session, n_threads)?,
            session,
            optimizer: AdamW::new(AdamWConfig::default()),
            rates: Rates { lr: learning_rate, beta1: BETA1 },
            max_grad_norm,
            step: 0,
            pools: (0..n_threads).map(|_| pool(1)).collect::<Result<_, _>>()?,
            wide: Arc::new(pool(n_threads)?),
        })
    }

    /// Shards a batch is cut into.
    pub fn n_shards(&self) -> usize {
        self.pools.len().max(MIN_SHARDS)
    }

    /// What training minimizes, without dropout and with posteriors at their means.
    ///
    /// # Errors
    /// If the model refuses its input.
    pub fn eval_loss(&mut self) -> Result<f64, BenchError> {
        Ok(self.loss_and_gradients(None)?.0)
    }

    /// Runs the work `n` times and returns the seconds of every repeat.
    ///
    /// # Errors
    /// If the model refuses its input or the loss diverges.
    pub fn run(&mut self, work: Work, n: usize) -> Result<Vec<f64>, BenchError> {
        let wide = Arc::clone(&self.wide);
        wide.install(|| {
            (0..n)
                .map(|_| {
                    let start = Instant::now();
                    match work {
                        Work::Train => self.train_step()?,
                        Work::Forward | Work::SingleTrial => self.forward_batch()?,
                    }
                    Ok(start.elapsed().as_secs_f64())
                })
                .collect()
        })
    }

    /// What the trainer does in a step once batch and masks are drawn.
    fn train_step(&mut self) -> Result<(), BenchError> {
        let (loss, mut gradients) = self.loss_and_gradients(Some((SEED, self.step)))?;
        if !loss.is_finite() {
            let reason = format!("the loss of step {} is {loss}", self.step + 1);
            return Err(TrainError::Worker { reason }.into());
        }
        gradients.clip(self.max_grad_norm);
        let (optimizer, rates) = (&mut self.optimizer, self.rates);
        match &mut self.network {
            Bound::Counts { model, .. } => model.step(optimizer, gradients, rates),
            Bound::Modalities { model, .. } => model.step(optimizer, gradients, rates),
            Bound::Spikes { model, .. } => model.step(optimizer, gradients, rates),
        }
        self.step += 1;
        Ok(())
    }

    fn loss_and_gradients(&self, dropout: Option<(u64, u64)>) -> Result<(f64, Gradients), BenchError> {
        let (n_shards, pools, session) = (self.n_shards(), &self.pools[..], &self.session);
        let streams =
            |first: usize| dropout.map(|(seed, step)| DropoutStreams::new(seed, step, first as u64));
        let (loss, gradients) = match &self.network {
            Bound::Counts { model, counts, masking, .. } => {
                let counts = counts.view();
                return Ok(loss_and_gradients(
                    &model.now, session, counts, masking, dropout, n_shards, pools,
                )?);
            }
            Bound::Modalities { model, batch, .. } => {
                let part = model.now.for_session(session)?;
                let n = batch.counts.len_of(Axis(0));
                sharded_gradients((&part, &model.now), n, n_shards, pools, |own, range| {
                    batch.shard(own, session, streams(range.start).as_ref(), range)
                })?
            }
            Bound::Spikes { model, windows, targets, .. } => {
                let specs = model.now.sessions();
                let part = model.now.with_sessions(specs, SEED, &Device::flex())?;
                let n = windows.len();
                sharded_gradients((&part, &model.now), n, n_shards, pools, |own, range| {
                    let targets = targets.slice_axis(Axis(0), Slice::from(range.clone())).to_owned();
                    let n_values = n * targets.len() / range.len().max(1);
                    decode(own, &windows[range.clone()], targets, streams(range.start).as_ref(), n_values)
                })?
            }
        };
        Ok((loss.total(), gradients))
    }

    /// The batch in one part per thread, as predictions are made.
    fn forward_batch(&self) -> Result<(), BenchError> {
        let n = self.pools.len();
        match &self.network {
            Bound::Counts { model, parts, .. } => on_threads(&model.now, parts, n, |model, part| {
                model.forward(part, Mode::Eval)?;
                Ok(())
            }),
            Bound::Modalities { model, parts, .. } => on_threads(&model.now, parts, n, |model, part| {
                model.forward(part, Mode::Eval)?;
                Ok(())
            }),
            Bound::Spikes { model, parts, .. } => on_threads(&model.now, parts, n, |model, part| {
                model.forward(part, Mode::Eval)?;
                Ok(())
            }),
        }
    }
}

/// Does `one` with every part, on as many threads.
fn on_threads<M: Module, P: Clone + Send>(
    model: &M,
    parts: &[P],
    n_threads: usize,
    one: impl Fn(&M, &P) -> Result<(), TrainError> + Sync,
) -> Result<(), BenchError> {
    if let [whole] = parts {
        return Ok(one(model, whole)?);
    }
    let shared = (model.clone(), parts.to_vec());
    run_jobs(parts.len(), n_threads, &shared, |own: &(M, Vec<P>), i| one(&own.0, &own.1[i]), |_| {})?;
    Ok(())
}

impl Bound {
    fn new(material: ModelMaterial, session: &SessionId, n_threads: usize) -> Result<Self, BenchError> {
        let ranges = |n: usize| -> Vec<Range<usize>> {
            let size = n.div_ceil(n_threads).max(1);
            (0..n).step_by(size).map(|from| from..(from + size).min(n)).collect()
        };
        Ok(match material {
            ModelMaterial::Counts { model, counts, masking } => {
                let part = |range: Range<usize>| {
                    let own = counts.slice_axis(Axis(0), Slice::from(range.clone()));
                    ModelInput::new(session, own, &masking.trials(range), &Device::flex())
                };
                let parts = ranges(counts.len_of(Axis(0))).into_iter().map(part).collect();
                Self::Counts { model: Owned::new(model), counts, masking, parts }
            }
            ModelMaterial::Modalities { model, counts, labels, mask } => {
                let (b, t, _) = counts.dim();
                let modalities = model.modalities().clone();
                let behaviors = Array3::zeros((b, t, 0));
                let windows = NedsWindows {
                    session,
                    counts: counts.view(),
                    labels: labels.view(),
                    behaviors: behaviors.view(),
                };
                let counted = NedsCounted::of(&windows, &modalities, &mask);
                let batch = Labeled { counts, labels, mask, behaviors, modalities, counted };
                let parts = ranges(b).into_iter().map(|range| batch.input(session, range, &Device::flex()));
                let parts = parts.collect::<Result<_, _>>()?;
                Self::Modalities { model: Owned::new(model), batch, parts }
            }
            ModelMaterial::Spikes { model, windows, targets } => {
                let parts = ranges(windows.len()).into_iter().map(|range| windows[range].to_vec()).collect();
                Self::Spikes { model: Owned::new(model), windows, targets, parts }
            }
        })
    }
}

impl Labeled {
    fn windows<'a>(&'a self, session: &'a SessionId, range: Range<usize>) -> NedsWindows<'a> {
        NedsWindows {
            session,
            counts: self.counts.slice(s![range.clone(), .., ..]),
            labels: self.labels.slice(s![range.clone(), ..]),
            behaviors: self.behaviors.slice(s![range, .., ..]),
        }
    }

    fn input(
        &self,
        session: &SessionId,
        range: Range<usize>,
        device: &Device,
    ) -> Result<NedsInput, TrainError> {
        let windows = self.windows(session, range.clone());
        Ok(NedsInput::new(&windows, &self.modalities, &self.mask.windows(range), device)?)
    }

    /// As training does a shard of NEDS.
    fn shard(
        &self,
        model: Neds,
        session: &SessionId,
        streams: Option<&DropoutStreams>,
        range: Range<usize>,
    ) -> ShardResult {
        let model = model.valid().train();
        let device = device_of(&model)?.autodiff();
        let input = self.input(session, range.clone(), &device)?;
        let output = model.forward(&input, streams.map_or(Mode::Eval, Mode::Train))?;
        let label_weight = (self.counts.len_of(Axis(1)) as f64).recip();
        let (windows, mask) = (self.windows(session, range.clone()), self.mask.windows(range));
        let targets = NedsTargets { windows, mask: &mask, counted: &self.counted, label_weight };
        let loss = targets
            .loss(&output, &self.modalities)
            .ok_or_else(|| TrainError::Worker { reason: "nothing of the batch is hidden".to_owned() })?;
        let value = scalar(loss.clone().inner());
        Ok((BatchLoss { likelihood: value, penalty: 0.0 }, Gradients::collect(&model, loss.backward())))
    }
}

/// As training does a shard of POYO: squared errors over `n_values`, the values of the whole batch.
fn decode(
    model: Poyo,
    windows: &[PoyoWindow],
    targets: Array3<f32>,
    streams: Option<&DropoutStreams>,
    n_values: usize,
) -> ShardResult {
    let model = model.valid().train();
    let outputs = model.forward(windows, streams.map_or(Mode::Eval, Mode::Train))?;
    let values = targets.into_iter().collect::<Vec<f32>>();
    let targets = Tensor::<3>::from_data(TensorData::new(values, outputs.dims()), &outputs.device());
    let counted = Tensor::ones_like(&targets);
    let errors = (outputs - targets) * counted;
    let loss = (errors.clone() * errors).sum() * (n_values.max(1) as f64).recip();
    let value = scalar(loss.clone().inner());
    Ok((BatchLoss { likelihood: value, penalty: 0.0 }, Gradients::collect(&model, loss.backward())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use crate::ModelCase;

    /// Steps lower the loss, the number of threads changes no bit, and peers get weights and batch.
    #[test]
    fn every_model_learns_its_batch_and_is_written_for_peers() {
        let folder = tempfile::tempdir().unwrap();
        for case in ModelCase::all().unwrap() {
            let case = ModelCase { batch_size: 4, n_units: 30, ..case };
            let path = folder.path().join(&case.name);
            ModelMaterial::draw(&case, 3).unwrap().write(&case, &path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            let tensors = neurobrick_core::weights::from_safetensors(&bytes).unwrap();
            let n_weights = tensors.keys().filter(|name| name.starts_with("weights.")).count();
            assert!(n_weights > 5 && tensors.len() > n_weights + 2, "{}", case.name);
            let losses = [1, 2].map(|n_threads| {
                let material = ModelMaterial::draw(&case, 3).unwrap();
                let mut engine = ModelEngine::new(material, n_threads, 1e-3, 1.0).unwrap();
                let before = engine.eval_loss().unwrap();
                assert_eq!(engine.run(Work::Train, 5).unwrap().len(), 5);
                assert_eq!(engine.run(Work::Forward, 2).unwrap().len(), 2);
                let after = engine.eval_loss().unwrap();
                assert!(after < before, "{}: {before} to {after}", case.name);
                [before.to_bits(), after.to_bits()]
            });
            assert_eq!(losses[0], losses[1], "{}", case.name);
        }
    }
}
