//! Weights and batch of a [`ModelCase`]: drawn by seed on our side, written for peers under published names.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use ndarray::{Array2, Array3};
use neurobrick_core::weights::{StateDict, state_dict, to_safetensors};
use neurobrick_core::{MaskScheme, Masking, SessionSpec};
use neurobrick_data::RegionTable;
use neurobrick_models::torch::{KeyMap, TorchNames, TorchSession};
use neurobrick_models::{
    AnyModel, ModelConfig, Neds, NedsConfig, NedsMask, NedsMasking, NedsModalities, NedsPlace, Poyo,
    PoyoConfig, PoyoRows, PoyoWindow,
};
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;
use neurobrick_tokenize::{Spike, SpikeWindow};

use crate::{BenchError, ModelCase, Network};

/// The session.
const SESSION: &str = "bench";
/// Mean spikes per bin over all units.
const MEAN_RATE: f64 = 0.15;
/// Before the names of weights in the file.
const WEIGHTS: &str = "weights.";
/// Of NEDS's tables of sessions, whose first row stands for none.
const NEDS_ROW: usize = 0;

/// Name, values and shape of a tensor of the file.
type Entry = (&'static str, Vec<f32>, Vec<usize>);

/// A model and its batch.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one exists at a time")]
pub enum ModelMaterial {
    /// A model of counts.
    Counts {
        /// Without autodiff.
        model: AnyModel,
        /// Spikes per bin `[B, T, N]`.
        counts: Array3<u16>,
        /// What is hidden and counted.
        masking: Masking,
    },
    /// NEDS.
    Modalities {
        /// Without autodiff.
        model: Neds,
        /// Spikes per bin `[B, T, N]`.
        counts: Array3<u16>,
        /// Classes `[B, L]`.
        labels: Array2<Option<usize>>,
        /// What is hidden.
        mask: NedsMask,
    },
    /// POYO.
    Spikes {
        /// Without autodiff.
        model: Poyo,
        /// Spikes and times of outputs.
        windows: Vec<PoyoWindow>,
        /// What is to be decoded `[B, Q, K]`.
        targets: Array3<f32>,
    },
}

/// The id of the session.
///
/// # Errors
/// Never: the id is one.
pub(crate) fn session() -> Result<SessionId, BenchError> {
    Ok(SessionId::new(SESSION)?)
}

impl ModelMaterial {
    /// Draws weights and batch by `seed`.
    ///
    /// # Errors
    /// If the case's model is invalid.
    pub fn draw(case: &ModelCase, seed: u64) -> Result<Self, BenchError> {
        match &case.network {
            Network::Counts { model, scheme } => draw_counts(case, model, *scheme, seed),
            Network::Modalities { model, modalities } => draw_modalities(case, model, modalities, seed),
            Network::Spikes { model, n_spikes, n_outputs } => {
                draw_spikes(case, model, [*n_spikes, *n_outputs], seed)
            }
        }
    }

    /// Writes the file that peers read: weights under the published names where the model has some, and the batch. Masks are
    /// stored as 0 and 1.
    ///
    /// # Errors
    /// If it cannot be written, or weights have no place under published names.
    pub fn write(&self, case: &ModelCase, path: &Path) -> Result<(), BenchError> {
        let weights = self.published_weights(case)?;
        let mut tensors: StateDict =
            weights.into_iter().map(|(name, data)| (format!("{WEIGHTS}{name}"), data)).collect();
        for (name, values, shape) in self.batch(case) {
            tensors.insert(name.to_owned(), TensorData::new(values, shape));
        }
        write_file(path, &to_safetensors(&tensors, BTreeMap::new())?)?;
        Ok(())
    }

    fn published_weights(&self, case: &ModelCase) -> Result<StateDict, BenchError> {
        match (self, &case.network) {
            (Self::Counts { model, .. }, Network::Counts { model: config, .. }) => {
                let mut own = state_dict(model);
                let mut config = config.clone();
                // The published model has no biases of units: they travel under our name.
                let biases = own.remove("unit_biases.0");
                if let ModelConfig::Ndt2(config) = &mut config {
                    config.faithful = true;
                }
                // The twin of LFADS has our names, like those of models without published code.
                let names = TorchNames::of(&config).filter(|&names| names != TorchNames::Lfads);
                let mut theirs = match names {
                    Some(names) => {
                        KeyMap::new(names, &config, &TorchSession::of(model, names))?.to_torch(&own)?
                    }
                    None => own,
                };
                theirs.extend(biases.map(|biases| ("unit_biases.0".to_owned(), biases)));
                Ok(theirs)
            }
            (Self::Modalities { model, .. }, Network::Modalities { model: config, modalities }) => {
                let place = NedsPlace { session: SESSION.to_owned(), row: NEDS_ROW };
                let names: Vec<&str> =
                    modalities.names().map(|name| if name == "spikes" { "spike" } else { name }).collect();
                Ok(config.key_map(modalities, &names, &[place]).to_torch(&state_dict(model))?)
            }
            (Self::Spikes { model, .. }, Network::Spikes { model: config, .. }) => {
                let rows = PoyoRows { units: (1..=case.n_units).collect(), session: 1 };
                Ok(config.key_map(&[rows]).to_torch(&state_dict(model))?)
            }
            _ => Err(BenchError::Config {
                name: case.name.clone(),
                reason: "the material is of another model".to_owned(),
            }),
        }
    }

    /// Names, values and shapes of what peers read.
    fn batch(&self, case: &ModelCase) -> Vec<Entry> {
        let flag = |&is: &bool| f32::from(u8::from(is));
        match self {
            Self::Counts { counts, masking, .. } => {
                let (b, t, n) = counts.dim();
                let (visible, _) = masking
                    .visible(counts.view())
                    .as_standard_layout()
                    .into_owned()
                    .into_raw_vec_and_offset();
                vec![
                    ("counts", counts.iter().map(|&c| f32::from(c)).collect(), vec![b, t, n]),
                    ("visible", visible, vec![b, t, n]),
                    ("hidden", masking.hidden().iter().map(flag).collect(), vec![b, t, n]),
                    ("counted", masking.counted().iter().map(flag).collect(), vec![b, t, n]),
                ]
            }
            Self::Modalities { counts, labels, mask, .. } => {
                let (b, t, n) = counts.dim();
                let class =
                    |class: &Option<usize>| class.and_then(|c| u8::try_from(c).ok()).map_or(-1.0, f32::from);
                vec![
                    ("counts", counts.iter().map(|&c| f32::from(c)).collect(), vec![b, t, n]),
                    ("labels", labels.iter().map(class).collect(), vec![b, labels.ncols()]),
                    ("hidden", mask.hidden().iter().map(flag).collect(), mask.hidden().shape().to_vec()),
                ]
            }
            Self::Spikes { windows, targets, .. } => spike_batch(case, windows, targets),
        }
    }
}

fn rates(n_units: usize, draws: &mut Stream) -> Vec<f64> {
    (0..n_units).map(|_| MEAN_RATE * (draws.normal() - 0.5).exp()).collect()
}

fn draw_array(shape: (usize, usize, usize), rates: &[f64], draws: &mut Stream) -> Array3<u16> {
    Array3::from_shape_fn(shape, |(_, _, unit)| u16::try_from(draws.poisson(rates[unit])).unwrap_or(u16::MAX))
}

fn stream(seed: u64) -> Stream {
    Stream::new(seed, Domain::Synthetic, [0; 3])
}

fn draw_counts(
    case: &ModelCase,
    config: &ModelConfig,
    scheme: MaskScheme,
    seed: u64,
) -> Result<ModelMaterial, BenchError> {
    let shape = (case.batch_size, config.n_bins(), case.n_units);
    let mut draws = stream(seed);
    let rates = rates(case.n_units, &mut draws);
    let counts = draw_array(shape, &rates, &mut draws);
    let spec = SessionSpec::with_mean_rates(session()?, &rates, shape.0 * shape.1);
    let model = config.build(&[spec], seed, &Device::flex())?;
    let regions = RegionTable::new(&vec!["all"; case.n_units]);
    Ok(ModelMaterial::Counts {
        model,
        counts,
        masking: scheme.draw(shape.0, shape.1, &regions, seed, [0, 0]),
    })
}

fn draw_modalities(
    case: &ModelCase,
    config: &NedsConfig,
    modalities: &NedsModalities,
    seed: u64,
) -> Result<ModelMaterial, BenchError> {
    let shape = (case.batch_size, config.n_bins, case.n_units);
    let mut draws = stream(seed);
    let rates = rates(case.n_units, &mut draws);
    let counts = draw_array(shape, &rates, &mut draws);
    let spec = SessionSpec::with_mean_rates(session()?, &rates, shape.0 * shape.1);
    let model = Neds::new(config.clone(), modalities.clone(), &[spec], seed, &Device::flex())?;
    let labels = Array2::from_shape_fn((shape.0, modalities.labels.len()), |(_, label)| {
        Some(draws.below(modalities.labels[label].n_classes))
    });
    let mask = NedsMasking::default().draw(modalities, [shape.0, shape.1], seed, 0);
    Ok(ModelMaterial::Modalities { model, counts, labels, mask })
}

fn draw_spikes(
    case: &ModelCase,
    config: &PoyoConfig,
    [n_spikes, n_outputs]: [usize; 2],
    seed: u64,
) -> Result<ModelMaterial, BenchError> {
    let mut draws = stream(seed);
    let spec = SessionSpec { session: session()?, n_units: case.n_units, log_mean_rates: None };
    let model = Poyo::new(config.clone(), &[spec], seed, &Device::flex())?;
    let output_times_s: Vec<f64> =
        (0..n_outputs).map(|i| (i as f64 + 0.5) * config.window_s / n_outputs as f64).collect();
    let window = |draws: &mut Stream| -> Result<PoyoWindow, BenchError> {
        let n = draws.poisson(n_spikes as f64);
        let spike = |draws: &mut Stream| Spike {
            unit: draws.below(case.n_units),
            // Representable in single precision, so that both sides turn by the same angles.
            time_s: (draws.uniform() * 4096.0).floor() / 4096.0 * config.window_s,
        };
        let spikes = (0..n).map(|_| spike(draws)).collect();
        let input = SpikeWindow { n_units: case.n_units, units: None, spikes };
        Ok(PoyoWindow { session: session()?, input, output_times_s: output_times_s.clone() })
    };
    let windows = (0..case.batch_size).map(|_| window(&mut draws)).collect::<Result<_, _>>()?;
    let shape = (case.batch_size, n_outputs, config.n_outputs);
    #[expect(clippy::cast_possible_truncation, reason = "models compute in single precision")]
    let targets = Array3::from_shape_fn(shape, |_| draws.normal() as f32);
    Ok(ModelMaterial::Spikes { model, windows, targets })
}

/// Tokens as the published code makes them: start and end of every unit, then spikes, filled up to the longest window.
fn spike_batch(case: &ModelCase, windows: &[PoyoWindow], targets: &Array3<f32>) -> Vec<Entry> {
    let b = windows.len();
    let n_spikes = windows.iter().map(|w| w.input.spikes.len()).max().unwrap_or(0);
    let width = 2 * case.n_units + n_spikes;
    let window_s = match &case.network {
        Network::Spikes { model, .. } => model.window_s,
        _ => 0.0,
    };
    let [mut units, mut kinds, mut times, mut valid] = [(); 4].map(|()| Vec::with_capacity(b * width));
    let mut push = |token: Option<(usize, f32, f64)>| {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "numbers of units and times of a window are small"
        )]
        let (unit, kind, time) =
            token.map_or((0.0, 0.0, 0.0), |(unit, kind, s)| ((1 + unit) as f32, kind, s as f32));
        units.push(unit);
        kinds.push(kind);
        times.push(time);
        valid.push(f32::from(u8::from(token.is_some())));
    };
    for window in windows {
        for unit in 0..case.n_units {
            push(Some((unit, 1.0, 0.0)));
            push(Some((unit, 2.0, window_s)));
        }
        let spikes = &window.input.spikes;
        for spike in spikes {
            push(Some((spike.unit, 0.0, spike.time_s)));
        }
        for _ in spikes.len()..n_spikes {
            push(None);
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "times of a window are small")]
    let output_times = windows.iter().flat_map(|w| w.output_times_s.iter().map(|&s| s as f32)).collect();
    let (_, q, k) = targets.dim();
    vec![
        ("units", units, vec![b, width]),
        ("kinds", kinds, vec![b, width]),
        ("times", times, vec![b, width]),
        ("valid", valid, vec![b, width]),
        ("output_times", output_times, vec![b, q]),
        ("targets", targets.iter().copied().collect(), vec![b, q, k]),
    ]
}
