//! The file both sides read: weights, counts and masks of one case.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use ndarray::Array3;
use neurobrick_core::weights::{StateDict, from_safetensors, load_state_dict, state_dict, to_safetensors};
use neurobrick_core::{MaskScheme, Masking, SessionSpec};
use neurobrick_data::RegionTable;
use neurobrick_models::NdtStitch;
use neurobrick_random::{Domain, Stream};
use neurobrick_schema::SessionId;
use neurobrick_schema::atomic::write_file;

use crate::{BenchCase, BenchError};

/// Begin of the ids of sessions.
const SESSION: &str = "bench";
/// Mean spikes per bin over all units: sparse, as counts in bins of 10 to 20 ms are.
const MEAN_RATE: f64 = 0.15;
/// Share of units hidden in a trial.
const SCHEME: MaskScheme = MaskScheme::Neuron { ratio: 0.3 };
/// Before the names of weights in the file.
const WEIGHTS: &str = "weights.";

/// A model and a batch.
#[derive(Debug)]
pub struct Material {
    /// The model, without autodiff.
    pub model: NdtStitch,
    /// Spikes per bin `[B, T, N]`.
    pub counts: Array3<u16>,
    /// What is hidden and counted.
    pub masking: Masking,
    /// The sessions the model knows; the counts stand for every one of them.
    pub sessions: Vec<SessionId>,
}

impl Material {
    /// Draws weights, Poisson counts and masks by `seed`. Mean rates of units are log-normal and rise and fall once
    /// over a window.
    ///
    /// # Errors
    /// If the case's model is invalid.
    pub fn draw(case: &BenchCase, seed: u64) -> Result<Self, BenchError> {
        let shape = (case.batch_size, case.model.n_bins, case.n_units);
        let mut draws = Stream::new(seed, Domain::Synthetic, [0; 3]);
        let rates: Vec<f64> = (0..case.n_units).map(|_| MEAN_RATE * (draws.normal() - 0.5).exp()).collect();
        let phases: Vec<f64> = rates.iter().map(|_| draws.uniform()).collect();
        let counts = Array3::from_shape_fn(shape, |(_, bin, unit)| {
            let turn = phases[unit] + bin as f64 / case.model.n_bins as f64;
            let drive = 1.0 + 0.5 * (std::f64::consts::TAU * turn).sin();
            u16::try_from(draws.poisson(rates[unit] * drive)).unwrap_or(u16::MAX)
        });
        let sessions = sessions(case.n_sessions)?;
        let n_samples = case.batch_size * case.model.n_bins;
        let spec = |id: &SessionId| SessionSpec::with_mean_rates(id.clone(), &rates, n_samples);
        let specs: Vec<SessionSpec> = sessions.iter().map(spec).collect();
        let model = NdtStitch::new(case.model.clone(), &specs, seed, &Device::flex())?;
        let regions = RegionTable::new(&vec!["all"; case.n_units]);
        let masking = SCHEME.draw(case.batch_size, case.model.n_bins, &regions, seed, [0, 0]);
        Ok(Self { model, counts, masking, sessions })
    }

    /// Writes the file. Masks are stored as 0 and 1.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), BenchError> {
        let mut tensors: StateDict = state_dict(&self.model)
            .into_iter()
            .map(|(name, data)| (format!("{WEIGHTS}{name}"), data))
            .collect();
        let as_f32 = |mask: &Array3<bool>| mask.mapv(|m| f32::from(u8::from(m)));
        for (name, array) in [
            ("counts", self.counts.mapv(f32::from)),
            ("hidden", as_f32(self.masking.hidden())),
            ("counted", as_f32(self.masking.counted())),
        ] {
            let (b, t, n) = array.dim();
            tensors
                .insert(name.to_owned(), TensorData::new(array.into_iter().collect::<Vec<f32>>(), [b, t, n]));
        }
        write_file(path, &to_safetensors(&tensors, BTreeMap::new())?)?;
        Ok(())
    }

    /// Reads the file of `case`.
    ///
    /// # Errors
    /// If it cannot be read or is not of this case.
    pub fn read(path: &Path, case: &BenchCase) -> Result<Self, BenchError> {
        let bytes = fs::read(path)
            .map_err(|source| BenchError::Io { action: format!("read {}", path.display()), source })?;
        let mut tensors = from_safetensors(&bytes)?;
        drop(bytes);
        let shape = (case.batch_size, case.model.n_bins, case.n_units);
        let mut array = |name: &str| -> Result<Array3<f32>, BenchError> {
            let bad = |reason: String| BenchError::Material { path: path.to_owned(), reason };
            let data = tensors.remove(name).ok_or_else(|| bad(format!("has no tensor `{name}`")))?;
            let values = data.try_into_vec::<f32>().map_err(|e| bad(format!("`{name}`: {e:?}")))?;
            Array3::from_shape_vec(shape, values).map_err(|e| bad(format!("`{name}`: {e}")))
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts were u16 when written"
        )]
        let counts = array("counts")?.mapv(|c| c as u16);
        let hidden = array("hidden")?.mapv(|m| m > 0.5);
        let counted = array("counted")?.mapv(|m| m > 0.5);
        let weights =
            tensors.into_iter().filter_map(|(n, d)| Some((n.strip_prefix(WEIGHTS)?.to_owned(), d))).collect();
        let sessions = sessions(case.n_sessions)?;
        let spec =
            |id: &SessionId| SessionSpec { session: id.clone(), n_units: case.n_units, log_mean_rates: None };
        let specs: Vec<SessionSpec> = sessions.iter().map(spec).collect();
        let blank = NdtStitch::new(case.model.clone(), &specs, 0, &Device::flex())?;
        Ok(Self {
            model: load_state_dict(blank, weights)?,
            counts,
            masking: Masking::new(hidden, counted, SCHEME.context(), SCHEME.prompt()),
            sessions,
        })
    }
}

fn sessions(n_sessions: usize) -> Result<Vec<SessionId>, BenchError> {
    (0..n_sessions).map(|idx| Ok(SessionId::new(format!("{SESSION}-{idx}"))?)).collect()
}
