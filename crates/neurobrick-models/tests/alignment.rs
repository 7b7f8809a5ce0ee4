//! Layers of sessions that start from a closed form.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use burn::tensor::Device;
use ndarray::{Array2, s};
use neurobrick_core::weights::state_dict;
use neurobrick_core::{Alignment, ModelError, PopulationModel, SessionSpec};
use neurobrick_models::{
    GruStitch, GruStitchConfig, Lfads, LfadsConfig, LinearStitch, LinearStitchConfig, Ndt1, Ndt1Config,
    NdtStitch, NdtStitchConfig,
};
use neurobrick_schema::SessionId;

const N_UNITS: usize = 7;
const N_COMPONENTS: usize = 3;

fn specs() -> Vec<SessionSpec> {
    let spec = |name: &str, n_units: usize| {
        SessionSpec::with_mean_rates(SessionId::new(name).unwrap(), &vec![0.3; n_units], 100)
    };
    vec![spec("one", 5), spec("two", N_UNITS)]
}

fn alignment(n_units: usize, n_components: usize) -> Alignment {
    let numbers = |rows: usize, columns: usize, from: f64| {
        Array2::from_shape_fn((rows, columns), |(i, j)| from + (i * columns + j) as f64)
    };
    Alignment {
        read_in: numbers(n_units, n_components, 0.25),
        read_in_bias: (0..n_components).map(|k| -(k as f64)).collect(),
        read_out: numbers(n_components, n_units, -8.0),
        log_mean_rates: (0..n_units).map(|n| -2.0 - n as f64).collect(),
    }
}

/// Parameters of a model as `[rows, columns]`; biases are columns.
fn parameter<M: PopulationModel>(model: &M, path: &str) -> Array2<f64> {
    let state = state_dict(model);
    let data = &state[path];
    let shape = data.shape().as_slice().to_vec();
    let columns = shape.get(1).copied().unwrap_or(1);
    Array2::from_shape_vec((shape[0], columns), data.iter::<f64>().collect()).unwrap()
}

/// The first channels and latents are the components, times `scale` on their way out; nothing else moves.
fn check<M: PopulationModel>(model: &M, scale: f64) {
    let (wanted, second) = (alignment(N_UNITS, N_COMPONENTS), SessionId::new("two").unwrap());
    let aligned = model.with_alignment(&second, &wanted, &Device::flex()).unwrap();
    let both = |path: &str| (parameter(model, path), parameter(&aligned, path));
    let k = N_COMPONENTS;
    let (before, after) = both("stitches.1.read_in.weight");
    assert_eq!(after.slice(s![.., ..k]), wanted.read_in);
    assert_eq!(after.slice(s![.., k..]), before.slice(s![.., k..]));
    assert!(after.ncols() > k && before.slice(s![.., ..k]) != wanted.read_in);
    let (before, after) = both("stitches.1.read_in.bias");
    assert_eq!(after.slice(s![..k, 0]).to_vec(), wanted.read_in_bias);
    assert_eq!(after.slice(s![k.., ..]), before.slice(s![k.., ..]));
    let (before, after) = both("stitches.1.read_out.weight");
    let scaled = wanted.read_out.mapv(|w| w * scale);
    assert!(after.slice(s![..k, ..]).iter().zip(&scaled).all(|(a, b)| (a - b).abs() < 1e-6));
    assert_eq!(after.slice(s![k.., ..]), before.slice(s![k.., ..]));
    assert_eq!(
        parameter(&aligned, "stitches.1.read_out.bias").into_raw_vec_and_offset().0,
        wanted.log_mean_rates
    );
    let (kept, moved) = (state_dict(model), state_dict(&aligned));
    assert_eq!(kept.keys().collect::<Vec<_>>(), moved.keys().collect::<Vec<_>>());
    for (path, values) in &kept {
        assert!(path.starts_with("stitches.1.read_") || *values == moved[path], "{path} moved");
    }

    let refused = |session: &str, alignment: &Alignment| {
        model.with_alignment(&SessionId::new(session).unwrap(), alignment, &Device::flex()).unwrap_err()
    };
    assert!(matches!(refused("three", &wanted), ModelError::UnknownSession { .. }));
    assert!(matches!(refused("one", &wanted), ModelError::SizeMismatch { expected: 5, received: 7, .. }));
    let many = refused("two", &alignment(N_UNITS, 99));
    assert!(matches!(many, ModelError::BadConfig { field: "n_components", .. }), "{many}");
    let short = Alignment { read_in_bias: vec![0.0], ..wanted };
    assert!(matches!(refused("two", &short), ModelError::SizeMismatch { .. }));
}

#[test]
fn channels_and_latents_start_as_components() {
    let device = Device::flex();
    let config = NdtStitchConfig { d_model: 16, d_stitch: 12, n_layers: 1, ..NdtStitchConfig::small(8) };
    check(&NdtStitch::new(config.clone(), &specs(), 1, &device).unwrap(), config.read_out_scale);
    let config = LinearStitchConfig { n_bins: 8, d_latent: 4 };
    check(&LinearStitch::new(config, &specs(), 1, &device).unwrap(), 0.1);
    let config = GruStitchConfig { n_bins: 8, d_stitch: 6, d_hidden: 10, dropout: 0.1, clip: 5.0 };
    check(&GruStitch::new(config, &specs(), 1, &device).unwrap(), 0.1);
    let config = LfadsConfig::small(8);
    check(&Lfads::new(config.clone(), &specs(), 1, &device).unwrap(), config.read_out_scale);
}

/// As many components as channels leave none at random.
#[test]
fn components_may_be_all_channels() {
    let device = Device::flex();
    let config = LinearStitchConfig { n_bins: 8, d_latent: N_COMPONENTS };
    let model = LinearStitch::new(config, &specs(), 1, &device).unwrap();
    let wanted = alignment(N_UNITS, N_COMPONENTS);
    let aligned = model.with_alignment(&SessionId::new("two").unwrap(), &wanted, &device).unwrap();
    assert_eq!(parameter(&aligned, "stitches.1.read_in.weight"), wanted.read_in);
}

#[test]
fn models_without_shared_channels_refuse() {
    let (device, two) = (Device::flex(), SessionId::new("two").unwrap());
    let wanted = alignment(N_UNITS, N_COMPONENTS);
    let ndt1 = Ndt1::new(Ndt1Config::small(8), &specs(), 1, &device).unwrap();
    let config = LfadsConfig { d_read_in: None, ..LfadsConfig::small(8) };
    let lfads = Lfads::new(config, &specs(), 1, &device).unwrap();
    let config = NdtStitchConfig { faithful: true, d_model: 16, n_layers: 1, ..NdtStitchConfig::small(8) };
    let faithful = NdtStitch::new(config, &specs(), 1, &device).unwrap();
    let refusals = [
        ndt1.with_alignment(&two, &wanted, &device).err(),
        lfads.with_alignment(&two, &wanted, &device).err(),
        faithful.with_alignment(&two, &wanted, &device).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(ModelError::Unsupported { .. })), "{refusal:?}");
    }
}
