//! A made-up run of realistic size: eleven sessions, two of them evaluated (734 and 1,070 units, 40 bins).
//!
//! All numbers are drawn from a small generator; none is a result.

mod summaries;

use neurobrick_report::*;
use summaries::{choices, summary};

const REGIONS: [&str; 12] =
    ["ACA", "CA1", "CA3", "DG", "LP", "LS", "MOs", "PL", "SUB", "VISam", "VISp", "root"];

/// A linear congruential generator with the multiplier of Knuth's MMIX; good enough to draw with.
struct Dice(u64);

impl Dice {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(self.0 >> 33).unwrap()) / f64::from(1_u32 << 31)
    }

    fn poisson(&mut self, rate: f64) -> u16 {
        let limit = (-rate).exp();
        let (mut n, mut product) = (0, self.unit());
        while product > limit {
            n += 1;
            product *= self.unit();
        }
        n
    }
}

fn sessions() -> Vec<SessionFacts> {
    let ids = [
        "Cori_2016-12-14",
        "Cori_2016-12-17",
        "Cori_2016-12-18",
        "Forssmann_2017-11-01",
        "Forssmann_2017-11-02",
        "Forssmann_2017-11-04",
        "Forssmann_2017-11-05",
        "Hench_2017-06-15",
        "Hench_2017-06-16",
        "Hench_2017-06-17",
        "Hench_2017-06-18",
    ];
    let mut dice = Dice(3);
    ids.iter()
        .enumerate()
        .map(|(index, id)| {
            let n_units = match index {
                0 => 734,
                1 => 1_070,
                other => 600 + 61 * u64::try_from(other).unwrap(),
            };
            let n_trials = 214 + 17 * u64::try_from(index).unwrap();
            SessionFacts {
                id: (*id).to_owned(),
                subject: id.split('_').next().unwrap().to_owned(),
                n_units,
                n_trials,
                n_spikes: n_units * n_trials * 2,
                mean_rate_hz: 3.0 + 3.0 * dice.unit(),
                n_regions: 8 + u64::try_from(index).unwrap() % 5,
                role: match index {
                    0 | 1 => SessionRole::FineTune,
                    10 => SessionRole::IngestedOnly,
                    _ => SessionRole::Pretrain,
                },
                n_train: n_trials * 7 / 10,
                n_valid: n_trials / 10,
                n_test: n_trials - n_trials * 7 / 10 - n_trials / 10,
            }
        })
        .collect()
}

fn null_scores(value: f64, half: f64) -> NullScores {
    NullScores {
        pooled: Estimate::new(value, value - half, value + half),
        unit_mean: value * 0.55 - 0.01,
        unit_median: value * 0.31,
        active_unit_mean: value * 0.9,
    }
}

fn tasks(sessions: &[SessionFacts]) -> Vec<TaskResult> {
    use Predictor::{FineTuned, FromScratch, NewStitch, PcaPoissonGlm, Psth, Ridge, UnitMean};
    let mut dice = Dice(11);
    let mut results = Vec::new();
    for (task_index, task) in Task::ALL.into_iter().enumerate() {
        for (session_index, session) in sessions.iter().take(2).enumerate() {
            let top = [0.182, 0.171, 0.093, 0.121, 0.064][task_index]
                - 0.02 * f64::from(u32::try_from(session_index).unwrap());
            let gaps = [
                (FineTuned, 0.0),
                (NewStitch, 0.021),
                (FromScratch, 0.034),
                (UnitMean, 0.0),
                (Psth, 0.07),
                (Ridge, 0.05),
                (PcaPoissonGlm, 0.028),
            ];
            let values: Vec<(Predictor, f64)> = gaps
                .into_iter()
                .map(|(predictor, gap)| {
                    let value = if predictor == UnitMean { -0.012 } else { top - gap * (0.4 + dice.unit()) };
                    (predictor, value)
                })
                .collect();
            let predictors = values
                .iter()
                .map(|(predictor, value)| PredictorScores {
                    predictor: predictor.clone(),
                    evaluated_mean: null_scores(*value, 0.012),
                    train_mean: null_scores(value + 0.012, 0.013),
                })
                .collect();
            let differences = values[1..]
                .iter()
                .map(|(predictor, value)| PairedDifference {
                    left: FineTuned,
                    right: predictor.clone(),
                    difference: Estimate::new(
                        values[0].1 - value,
                        values[0].1 - value - 0.011,
                        values[0].1 - value + 0.011,
                    ),
                })
                .collect();
            results.push(TaskResult {
                session: session.id.clone(),
                task,
                n_trials: session.n_test,
                n_units: session.n_units,
                n_active_units: session.n_units * 2 / 3,
                n_spikes: session.n_units * session.n_test * 2,
                predictors,
                differences,
            });
        }
    }
    // One baseline that failed, one that is far off.
    results[2].predictors[5].evaluated_mean.pooled =
        Estimate::undefined("ridge predicted a rate of zero where a spike fell");
    results[4].predictors[4].evaluated_mean.pooled = Estimate::new(-1.84, -2.01, -1.7);
    // One task that decides nothing on one session, and one where pretraining hurt.
    results[9].differences[5].difference = Estimate::new(0.004, -0.006, 0.013);
    results[5].differences[1].difference = Estimate::new(-0.02, -0.031, -0.011);
    results
}

fn decoding(sessions: &[SessionFacts]) -> Vec<DecodingResult> {
    let mut results = Vec::new();
    for session in &sessions[..2] {
        for target in [DecodingTarget::StimulusSide, DecodingTarget::Choice] {
            for (feature, value) in
                [(DecodingFeature::ModelLatents, 0.81), (DecodingFeature::RawCounts, 0.78)]
            {
                results.push(DecodingResult {
                    session: session.id.clone(),
                    target: target.clone(),
                    feature,
                    balanced_accuracy: Estimate::new(value, value - 0.11, value + 0.09),
                    n_trials: session.n_test,
                    majority_baseline: 0.5,
                    null: Some(DecodingNull { mean: 0.497, upper: 0.61, p_value: 0.0099, n_draws: 100 }),
                });
            }
        }
    }
    results
}

fn curve(n: u64, stride: u64, value: impl Fn(f64) -> f64) -> Curve {
    let steps: Vec<u64> = (1..=n).map(|index| index * stride).collect();
    let values = (1..=n)
        .map(|index| value(f64::from(u32::try_from(index).unwrap()) / f64::from(u32::try_from(n).unwrap())));
    Curve { values: values.collect(), steps }
}

fn pretraining() -> PretrainingCurves {
    let noise = |share: f64| ((share * 977.0).sin() + (share * 3_391.0).cos()) * 0.5;
    let schemes = [MaskScheme::Neuron, MaskScheme::Causal, MaskScheme::InterRegion, MaskScheme::IntraRegion];
    PretrainingCurves {
        train_loss: curve(4_000, 1, |share| 0.16 + 0.22 * (-7.0 * share).exp() + 0.012 * noise(share)),
        validation: schemes
            .into_iter()
            .zip([0.19, 0.11, 0.14, 0.08])
            .map(|(scheme, top)| SchemeCurve {
                scheme,
                bits_per_spike: curve(40, 100, |share| {
                    top - (top + 0.2) * (-6.0 * share).exp() + 0.004 * noise(share)
                }),
            })
            .collect(),
        learning_rate: Some(curve(400, 10, |share| {
            if share < 0.15 {
                5e-4 * (0.1 + 0.9 * (1.0 - (std::f64::consts::PI * share / 0.15).cos()) / 2.0)
            } else {
                5e-4 * f64::midpoint(1.0, (std::f64::consts::PI * (share - 0.15) / 0.85).cos())
            }
        })),
    }
}

fn fine_tuning(sessions: &[SessionFacts]) -> Vec<FineTuningCurves> {
    let line = |predictor, top: f64, speed: f64| PredictorCurve {
        predictor,
        bits_per_spike: curve(25, 20, |share| top - (top + 0.1) * (-speed * share).exp()),
    };
    sessions[..2]
        .iter()
        .map(|session| FineTuningCurves {
            session: session.id.clone(),
            curves: vec![line(Predictor::FineTuned, 0.18, 9.0), line(Predictor::FromScratch, 0.15, 4.0)],
        })
        .collect()
}

fn rate(unit: usize, bin: usize, gain: f64) -> f64 {
    let (unit, time) = (unit as f64, bin as f64 / 40.0);
    let base = 0.02 + 0.3 * ((unit * 0.618).fract()).powi(4);
    let peak = 0.1 + 0.8 * (unit * 0.371).fract();
    base * gain * (1.0 + 5.0 * (-((time - peak) / 0.12).powi(2)).exp())
}

fn raster(session: &SessionFacts, trial: usize) -> TrialRaster {
    let n_units = usize::try_from(session.n_units).unwrap();
    let mut dice = Dice(trial as u64 + session.n_units);
    let mut counts = Vec::new();
    let mut rates = Vec::new();
    for bin in 0..40 {
        for unit in 0..n_units {
            let rate = rate(unit, bin, 0.8 + 0.2 * trial as f64);
            counts.push(dice.poisson(rate));
            #[expect(clippy::cast_possible_truncation, reason = "rates are stored in single precision")]
            rates.push((rate * (0.8 + 0.4 * dice.unit())) as f32);
        }
    }
    TrialRaster {
        session: session.id.clone(),
        trial: format!(
            "trial {}, stimulus {}",
            trial * 13,
            if trial.is_multiple_of(2) { "left" } else { "right" }
        ),
        method: "each unit hidden in turn (co-smoothing, leave one out)".to_owned(),
        bin_size_s: 0.01,
        start_s: 0.0,
        event: "stimulus onset".to_owned(),
        n_bins: 40,
        unit_regions: (0..n_units).map(|unit| REGIONS[(unit * unit / 7 + unit) % 12].to_owned()).collect(),
        counts,
        rates,
    }
}

fn trace(session: &SessionFacts, unit: usize) -> UnitTrace {
    let mut dice = Dice(unit as u64 * 7 + 1);
    let predicted: Vec<f64> = (0..40).map(|bin| rate(unit, bin, 2.0)).collect();
    let observed: Vec<f64> = predicted.iter().map(|rate| rate * (0.6 + 0.8 * dice.unit())).collect();
    UnitTrace {
        session: session.id.clone(),
        unit: format!("unit {unit}"),
        region: REGIONS[unit % 12].to_owned(),
        bin_size_s: 0.01,
        start_s: 0.0,
        n_trials: session.n_test,
        bits_per_spike: 0.4 * dice.unit(),
        observed_sem: observed.iter().map(|value| (value / session.n_test as f64).sqrt()).collect(),
        predicted_sem: predicted.iter().map(|value| (value / session.n_test as f64).sqrt() * 0.3).collect(),
        observed_mean: observed,
        predicted_mean: predicted,
    }
}

fn regions(sessions: &[SessionFacts]) -> Vec<RegionResult> {
    let mut dice = Dice(77);
    let mut results = Vec::new();
    for task in [Task::CoSmoothingLeaveOneOut, Task::InterRegion] {
        for session in &sessions[..2] {
            let scores = REGIONS.iter().map(|region| {
                let value = 0.25 * dice.unit() - 0.02;
                RegionScore {
                    region: (*region).to_owned(),
                    n_units: 5 + u64::from(dice.poisson(4.0)) * 17,
                    score: if *region == "root" {
                        Estimate::undefined("no spikes on test trials")
                    } else {
                        Estimate::new(
                            value,
                            value - 0.02 - 0.03 * dice.unit(),
                            value + 0.02 + 0.03 * dice.unit(),
                        )
                    },
                    baseline: value * 0.7 - 0.01,
                }
            });
            results.push(RegionResult {
                predictor: Predictor::FineTuned,
                session: session.id.clone(),
                task,
                baseline: Predictor::PcaPoissonGlm,
                regions: scores.collect(),
            });
        }
    }
    results
}

fn masks() -> Vec<MaskPicture> {
    let (n_bins, n_units) = (40, 32);
    let mut dice = Dice(5);
    let picks: Vec<bool> = (0..64).map(|_| dice.unit() < 0.35).collect();
    let region = |unit: usize| unit / 8;
    let schemes = [
        MaskScheme::Neuron,
        MaskScheme::Causal,
        MaskScheme::InterRegion,
        MaskScheme::IntraRegion,
        MaskScheme::ForwardPrediction,
    ];
    schemes
        .into_iter()
        .map(|scheme| {
            let cells = || (0..n_bins).flat_map(|bin| (0..n_units).map(move |unit| (bin, unit)));
            let counted = |(bin, unit): (usize, usize)| match scheme {
                MaskScheme::Neuron => picks[unit],
                MaskScheme::Causal => picks[bin] || picks[bin + 9],
                MaskScheme::InterRegion => region(unit) == 2,
                MaskScheme::IntraRegion => region(unit) == 1 && picks[unit * 2],
                _ => bin >= 32,
            };
            let hidden = |cell: (usize, usize)| {
                counted(cell) || (scheme == MaskScheme::IntraRegion && region(cell.1) != 1)
            };
            MaskPicture {
                scheme,
                n_bins,
                n_units,
                hidden: cells().map(hidden).collect(),
                counted: cells().map(counted).collect(),
                attention: if scheme == MaskScheme::Causal || scheme == MaskScheme::ForwardPrediction {
                    AttentionContext::Causal
                } else {
                    AttentionContext::Full
                },
            }
        })
        .collect()
}

fn fact(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: value.to_owned() }
}

fn reproduce(sessions: &[SessionFacts]) -> Reproduction {
    let stages =
        [("ingest", 4.2), ("pretrain", 612.0), ("fine-tune", 95.3), ("evaluate", 48.0), ("report", 0.4)];
    Reproduction {
        command: "cargo xtask demo --seed 42 --out runs/demo".to_owned(),
        seed: 42,
        config_toml: "[model]\nname = \"ndt1-stitch\"\nwidth = 128\ndepth = 5\n\n[train]\nsteps = 4000\nmax_lr = 5e-4\n".to_owned(),
        versions: vec![fact("neurobrick", "0.1.0"), fact("burn", "0.22.1"), fact("rustc", "1.95.0")],
        data_hashes: sessions
            .iter()
            .map(|session| DataHash { name: session.id.clone(), blake3: "9f".repeat(32) })
            .collect(),
        device: "CPU (Flex)".to_owned(),
        n_threads: 2,
        stages: stages.into_iter().map(|(name, wall_time_s)| Stage { name: name.to_owned(), wall_time_s }).collect(),
        peak_memory_bytes: Some(1_812_333_000),
    }
}

/// The whole made-up run.
pub(crate) fn full() -> RunReport {
    let sessions = sessions();
    let rasters =
        sessions[..2].iter().flat_map(|session| (1..4).map(move |trial| raster(session, trial))).collect();
    let traces = sessions[..2]
        .iter()
        .flat_map(|session| (0..6).map(move |unit| trace(session, unit * 29 + 3)))
        .collect();
    RunReport {
        title: "A universal translator for eight mouse sessions".to_owned(),
        summary:
            "NDT-1 with per-session stitching, pretrained by multi-task masking on 8 sessions of Neuropixels \
                  recordings, then fine-tuned and scored on 2 sessions that it had never seen."
                .to_owned(),
        finished_at: Some("2026-11-23 18:40 UTC".to_owned()),
        interval_method: "bootstrap over test trials, 2,000 resamples".to_owned(),
        model: ModelFacts {
            name: "NDT1-stitch-MtM".to_owned(),
            license: "MIT OR Apache-2.0".to_owned(),
            n_parameters: Some(3_412_800),
            architecture: vec![fact("width", "128"), fact("depth", "5"), fact("heads", "8")],
            intended_use: vec![
                "Predict hidden units and regions in mouse Neuropixels recordings.".to_owned(),
            ],
            not_for: vec!["Clinical decisions.".to_owned()],
        },
        data: vec![DataSource {
            name: "Steinmetz 2019 (DANDI 000017)".to_owned(),
            license: "CC-BY-4.0".to_owned(),
            citation: "Steinmetz, Zatka-Haas, Carandini & Harris (2019), doi 10.1038/s41586-019-1787-x"
                .to_owned(),
        }],
        rows: vec![fact("ridge", "Linear regression from the visible units.")],
        tasks: tasks(&sessions),
        over_sessions: Some(summary(&sessions)),
        choices: choices(&sessions),
        decoding: decoding(&sessions),
        pretraining: Some(pretraining()),
        fine_tuning: fine_tuning(&sessions),
        rasters,
        traces,
        regions: regions(&sessions),
        masks: masks(),
        reproduce: reproduce(&sessions),
        notes: vec![
            "All sessions come from one laboratory and one task; nothing here speaks about other species."
                .to_owned(),
            "Counts cover 0.4 s from stimulus onset in 10 ms bins.".to_owned(),
        ],
        sessions,
    }
}

/// The same run without any optional part.
pub(crate) fn bare() -> RunReport {
    RunReport {
        finished_at: None,
        data: Vec::new(),
        sessions: Vec::new(),
        rows: Vec::new(),
        tasks: Vec::new(),
        over_sessions: None,
        choices: Vec::new(),
        decoding: Vec::new(),
        pretraining: None,
        fine_tuning: Vec::new(),
        rasters: Vec::new(),
        traces: Vec::new(),
        regions: Vec::new(),
        masks: Vec::new(),
        notes: Vec::new(),
        ..full()
    }
}
