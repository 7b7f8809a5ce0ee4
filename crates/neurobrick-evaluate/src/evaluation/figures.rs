//! What a report draws: single trials, example units, masks.

use ndarray::{Array3, ArrayView1, Axis};
use neurobrick_core::{Context, MaskScheme};
use neurobrick_metrics::{BitsTable, NullModel};
use neurobrick_report as report;
use neurobrick_train::{TaskPlan, TrainSession};
use serde::{Deserialize, Serialize};

use crate::EvaluateError;

/// Trials drawn per session.
const N_RASTERS: usize = 2;
/// Units drawn per session.
const N_TRACES: usize = 6;
/// Units of a drawn mask.
const N_MASK_UNITS: usize = 90;

/// Pictures of one evaluation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Single trials.
    pub rasters: Vec<report::TrialRaster>,
    /// Example units.
    pub traces: Vec<report::UnitTrace>,
    /// Masks.
    pub masks: Vec<report::MaskPicture>,
}

/// Rasters and traces of leave-one-out predictions `rates` `[trial, bin, scored unit]` on the test trials.
///
/// Trials are the first of the test split. Units are not picked for looks: among the active ones, ordered by their
/// bits per spike, they are taken at equal steps from the best to the worst.
///
/// # Errors
/// If rates and counts do not fit each other.
pub fn session_figures(
    session: &TrainSession,
    plan: &TaskPlan,
    rates: &Array3<f64>,
    start_s: f64,
    active_min_spikes: u32,
) -> Result<Figures, EvaluateError> {
    let data = &session.data;
    let counts = data.counts_of(&session.split.test).select(Axis(2), &plan.units);
    let region_of = |unit: usize| data.regions().names()[data.regions().of_unit()[unit]].clone();
    let rasters = (0..N_RASTERS.min(counts.len_of(Axis(0))))
        .map(|row| report::TrialRaster {
            session: data.session().to_string(),
            trial: format!("test trial {}", session.split.test[row]),
            method: "each unit hidden in turn and predicted from all others".to_owned(),
            bin_size_s: data.bin_size_s(),
            start_s,
            event: "time zero of the window".to_owned(),
            n_bins: data.n_bins(),
            unit_regions: plan.units.iter().map(|&u| region_of(u)).collect(),
            counts: counts.index_axis(Axis(0), row).iter().map(|&c| count(c)).collect(),
            rates: rates.index_axis(Axis(0), row).iter().map(|&r| single(r)).collect(),
        })
        .collect();

    let null = NullModel::EvaluatedMean.rates(&counts.view(), &counts.view())?;
    let table = BitsTable::new(&rates.view(), &counts.view(), &null)?;
    let (bits, spikes) = (table.per_unit(), table.spikes_per_unit());
    let mut active: Vec<usize> = (0..plan.units.len())
        .filter(|&i| spikes[i] >= f64::from(active_min_spikes) && bits[i].is_finite())
        .collect();
    active.sort_by(|&a, &b| bits[b].total_cmp(&bits[a]));
    let n_drawn = N_TRACES.min(active.len());
    let traces = (0..n_drawn)
        .map(|k| active[k * (active.len() - 1) / (n_drawn - 1).max(1)])
        .map(|column| {
            let (observed, predicted) = (mean_and_sem(&counts, column), mean_and_sem(rates, column));
            report::UnitTrace {
                session: data.session().to_string(),
                unit: plan.units[column].to_string(),
                region: region_of(plan.units[column]),
                bin_size_s: data.bin_size_s(),
                start_s,
                n_trials: counts.len_of(Axis(0)) as u64,
                bits_per_spike: bits[column],
                observed_mean: observed.0,
                observed_sem: observed.1,
                predicted_mean: predicted.0,
                predicted_sem: predicted.1,
            }
        })
        .collect();
    Ok(Figures { rasters, traces, masks: Vec::new() })
}

/// Mean over trials and its standard error, per bin, of one column of `[trial, bin, unit]`.
fn mean_and_sem(values: &Array3<f64>, column: usize) -> (Vec<f64>, Vec<f64>) {
    let bins = values.index_axis(Axis(2), column);
    let n = bins.len_of(Axis(0)) as f64;
    let mean = |bin: ArrayView1<f64>| bin.sum() / n;
    let sem = |bin: ArrayView1<f64>| {
        let m = mean(bin);
        (bin.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (n - 1.0).max(1.0) / n).sqrt()
    };
    (bins.columns().into_iter().map(mean).collect(), bins.columns().into_iter().map(sem).collect())
}

/// One drawn example of every scheme, on the units of a session ordered by region and thinned evenly.
pub fn mask_pictures(session: &TrainSession, schemes: &[MaskScheme], seed: u64) -> Vec<report::MaskPicture> {
    let data = &session.data;
    let mut units: Vec<usize> = (0..data.n_units()).collect();
    units.sort_by_key(|&u| data.regions().of_unit()[u]);
    let step = units.len().div_ceil(N_MASK_UNITS).max(1);
    let units: Vec<usize> = units.into_iter().step_by(step).collect();
    schemes
        .iter()
        .map(|scheme| {
            let masking = scheme.draw(1, data.n_bins(), data.regions(), seed, [0, 0]);
            let flat = |mask: &Array3<bool>| {
                mask.index_axis(Axis(0), 0).select(Axis(1), &units).iter().copied().collect()
            };
            report::MaskPicture {
                scheme: report_scheme(scheme),
                n_bins: data.n_bins(),
                n_units: units.len(),
                hidden: flat(masking.hidden()),
                counted: flat(masking.counted()),
                attention: match masking.context() {
                    Context::Full => report::AttentionContext::Full,
                    Context::Causal => report::AttentionContext::Causal,
                },
            }
        })
        .collect()
}

pub(super) fn report_scheme(scheme: &MaskScheme) -> report::MaskScheme {
    match scheme {
        MaskScheme::Temporal { .. } => report::MaskScheme::Temporal,
        MaskScheme::Neuron { .. } => report::MaskScheme::Neuron,
        MaskScheme::Causal { .. } => report::MaskScheme::Causal,
        MaskScheme::InterRegion => report::MaskScheme::InterRegion,
        MaskScheme::IntraRegion { .. } => report::MaskScheme::IntraRegion,
        MaskScheme::Random { .. } | MaskScheme::CoordinatedDropout { .. } => report::MaskScheme::Random,
        MaskScheme::Bert { .. } => report::MaskScheme::Bert,
        MaskScheme::Patch { .. } => report::MaskScheme::Patch,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts come from u16")]
fn count(x: f64) -> u16 {
    x as u16
}

#[expect(clippy::cast_possible_truncation, reason = "drawn, not computed with")]
fn single(x: f64) -> f32 {
    x as f32
}
