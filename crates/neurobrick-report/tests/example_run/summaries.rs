//! Its scores over sessions and regions, and its choices between real and altered spikes.

use neurobrick_report::*;

use super::REGIONS;

pub(super) fn summary(sessions: &[SessionFacts]) -> Summary {
    let around = |value: f64, half: f64| Estimate::new(value, value - half, value + half);
    let score = |predictor, value: f64, difference: Option<f64>| SummaryScore {
        task: Task::CoSmoothingGroup,
        predictor,
        n_sessions: 2,
        mean: around(value, 0.05),
        difference: difference.map(|d| around(d, 0.01)),
        worst_session: sessions[1].id.clone(),
        worst: value - 0.01,
    };
    let row = |(k, region): (usize, &&str)| RegionRow {
        region: (*region).to_owned(),
        n_sessions: 2,
        n_units: 31,
        score: around(0.12 - 0.011 * k as f64, 0.02),
        is_worst: k + 1 == REGIONS.len(),
    };
    Summary {
        scores: vec![
            score(Predictor::FineTuned, 0.161, None),
            score(Predictor::PcaPoissonGlm, 0.133, Some(0.028)),
        ],
        regions: vec![RegionSummary {
            task: Task::InterRegion,
            predictor: Predictor::FineTuned,
            mean: around(0.0595, 0.02),
            regions: REGIONS.iter().enumerate().map(row).collect(),
        }],
    }
}

pub(super) fn choices(sessions: &[SessionFacts]) -> Vec<ChoiceResult> {
    let row = |predictor, value: f64, difference: Option<f64>| ChoiceRow {
        predictor,
        accuracy: Estimate::new(value, value - 0.04, value + 0.03),
        calibration_error: 0.061,
        difference: difference.map(|d| Estimate::new(d, d - 0.02, d + 0.02)),
    };
    ["time shift", "unit swap"]
        .into_iter()
        .map(|alteration| ChoiceResult {
            session: sessions[0].id.clone(),
            task: Task::CoSmoothingGroup,
            alteration: alteration.to_owned(),
            n_trials: sessions[0].n_test,
            n_items: 10 * sessions[0].n_test,
            mean_altered_units: 3.9,
            rows: vec![
                row(Predictor::FineTuned, 0.842, None),
                row(Predictor::UnitMean, 0.5, Some(0.342)),
                row(Predictor::Ridge, 0.787, Some(0.055)),
            ],
        })
        .collect()
}
