//! Figures with their captions: curves, single trials, example units, regions, masks.

use crate::model::{
    Curve, MaskPicture, Predictor, PredictorCurve, RegionResult, RunReport, Task, TaskResult, TrialRaster,
    UnitTrace,
};
use crate::numbers;
use crate::svg::lines::{self, Chart, Line};
use crate::svg::{bars, heatmap, masks as mask_svg};

use super::tables::color;

/// One picture with a short heading above it.
pub(super) struct Figure {
    pub(super) heading: String,
    pub(super) svg: String,
    /// A line under the picture, may be empty.
    pub(super) note: String,
}

/// Pictures that are read together, with one caption.
pub(super) struct FigureGroup {
    pub(super) heading: String,
    pub(super) figures: Vec<Figure>,
    pub(super) caption: String,
}

const PANEL: (f64, f64) = (520.0, 270.0);
/// Fewest points of a loss for which a running mean over a twentieth of them is drawn.
const MIN_TREND: usize = 60;

/// Pretraining and fine-tuning curves.
pub(super) fn curves(report: &RunReport) -> Vec<FigureGroup> {
    let mut groups = Vec::new();
    groups.extend(pretraining(report));
    let figures: Vec<Figure> = report
        .fine_tuning
        .iter()
        .filter_map(|session| {
            let chart = Chart {
                title: format!("Validation bits per spike while fine-tuning on {}", session.session),
                x_label: "optimizer step",
                y_label: "bits/spike",
                lines: session.curves.iter().map(predictor_line).collect(),
                secondary: None,
                size: PANEL,
                from_zero: false,
            };
            let svg = lines::draw(&chart)?;
            Some(Figure { heading: session.session.clone(), svg, note: String::new() })
        })
        .collect();
    if !figures.is_empty() {
        groups.push(FigureGroup {
            heading: "Fine-tuning".to_owned(),
            caption: format!(
                "Bits/spike of hidden entries on validation trials over optimizer steps, {}. \
                 The vertical axes differ between panels.",
                numbers::counted(figures.len() as u64, "session")
            ),
            figures,
        });
    }
    groups
}

fn pretraining(report: &RunReport) -> Option<FigureGroup> {
    let curves = report.pretraining.as_ref()?;
    let loss = Chart {
        title: "Training loss and learning rate over steps of pretraining".to_owned(),
        x_label: "optimizer step",
        y_label: "loss (nats per counted entry)",
        lines: loss_lines(&curves.train_loss),
        secondary: curves
            .learning_rate
            .as_ref()
            .map(|rate| ("learning rate", line("learning rate (right axis)", "s-rate", rate))),
        size: PANEL,
        from_zero: false,
    };
    let schemes = ["s-1", "s-2", "s-3", "s-4", "s-5", "s-6", "s-7"];
    let validation = Chart {
        title: "Validation bits per spike by masking scheme over steps of pretraining".to_owned(),
        x_label: "optimizer step",
        y_label: "bits/spike",
        lines: curves
            .validation
            .iter()
            .zip(schemes.into_iter().cycle())
            .map(|(curve, class)| line(curve.scheme.label(), class, &curve.bits_per_spike))
            .collect(),
        secondary: None,
        size: PANEL,
        from_zero: false,
    };
    let named = [("Training loss", loss), ("Validation, by masking scheme", validation)];
    let figures: Vec<Figure> = named
        .into_iter()
        .filter_map(|(heading, chart)| {
            Some(Figure { heading: heading.to_owned(), svg: lines::draw(&chart)?, note: String::new() })
        })
        .collect();
    let mut caption = "Training loss per counted entry".to_owned();
    if curves.learning_rate.is_some() {
        caption.push_str(", with the learning rate as a thin line on its own axis");
    }
    if curves.train_loss.steps.len() > lines::MAX_POINTS {
        caption.push_str("; averaged over neighboring steps for drawing");
    }
    if curves.train_loss.steps.len() >= MIN_TREND {
        caption.push_str("; bold its running mean over a twentieth of all steps");
    }
    caption.push('.');
    if !curves.validation.is_empty() {
        caption.push_str(
            " Validation: bits/spike of hidden entries on validation trials of the pretraining sessions, one curve per \
             masking scheme; zero is a constant rate per unit.",
        );
    }
    (!figures.is_empty()).then(|| FigureGroup { heading: "Pretraining".to_owned(), caption, figures })
}

/// The loss, which scatters with what single batches hold, and from enough points on its trend.
fn loss_lines(curve: &Curve) -> Vec<Line> {
    if curve.steps.len() < MIN_TREND {
        return vec![line("training loss", "s-train", curve)];
    }
    let single = line("training loss", "faint s-train", curve);
    let trend = Line { label: "running mean".to_owned(), class: "s-train", ..line("", "", curve) };
    let points = lines::running_mean(&trend.points);
    vec![single, Line { points, ..trend }]
}

fn line(label: &str, class: &'static str, curve: &Curve) -> Line {
    let points = curve.steps.iter().zip(&curve.values).map(|(&step, &value)| (step as f64, value)).collect();
    Line { label: label.to_owned(), class, points: lines::thinned(points), band: Vec::new() }
}

fn predictor_line(curve: &PredictorCurve) -> Line {
    line(curve.predictor.label(), color(&curve.predictor), &curve.bits_per_spike)
}

/// Observed counts beside predicted rates, one group per trial.
pub(super) fn rasters(report: &RunReport) -> Vec<FigureGroup> {
    report.rasters.iter().filter_map(|drawn| raster(drawn, drawn_predictor(report, &drawn.session))).collect()
}

/// Whose rates single trials and example units are: the first model of the run by itself, named where the table of its
/// scores names it.
fn drawn_predictor<'a>(report: &'a RunReport, session: &str) -> &'a str {
    let is_drawn =
        |result: &&TaskResult| result.task == Task::CoSmoothingLeaveOneOut && result.session == session;
    let scores = report.tasks.iter().find(is_drawn);
    scores.and_then(TaskResult::first_alone).map_or("the first model of the run", Predictor::label)
}

fn raster(raster: &TrialRaster, predictor: &str) -> Option<FigureGroup> {
    let (observed, predicted) = heatmap::draw_pair(raster)?;
    let n_spikes = raster.counts.iter().map(|&count| u64::from(count)).sum();
    Some(FigureGroup {
        heading: format!("{}, {}", raster.session, raster.trial),
        figures: vec![
            Figure { heading: "Observed".to_owned(), svg: observed, note: String::new() },
            Figure { heading: "Predicted".to_owned(), svg: predicted, note: String::new() },
        ],
        caption: format!(
            "One trial, {}, {} bins of {} ms, {}. Predicted rates: {predictor}, by itself; {}. Rows are the same units in both pictures, \
             sorted by region; regions too thin for their name go unlabeled. Shades follow the square root of \
             spikes/bin, each picture up to its own scale.",
            numbers::counted(raster.unit_regions.len() as u64, "unit"),
            raster.n_bins,
            numbers::decimal(raster.bin_size_s * 1e3, 0),
            numbers::counted(n_spikes, "spike"),
            raster.method,
        ),
    })
}

/// Small panels of example units, one group per session.
pub(super) fn traces(report: &RunReport) -> Vec<FigureGroup> {
    let sessions = report.sessions.iter().map(|session| session.id.as_str());
    sessions
        .filter_map(|session| {
            let members: Vec<&UnitTrace> = report.traces.iter().filter(|trace| trace.session == session).collect();
            let figures: Vec<Figure> = members.iter().filter_map(|unit| trace(unit)).collect();
            (!figures.is_empty()).then(|| FigureGroup {
                heading: session.to_owned(),
                figures,
                caption: format!(
                    "Mean over {} test trials in spikes/bin (bins of {} ms): observed, and predicted by {}, by itself, \
                     while the unit was hidden. Under each panel the unit's bits/spike against its mean over these \
                     trials, the evaluated mean. Bands are the standard error of each mean over trials. Time is in seconds from the \
                     aligned event; vertical axes start at zero and differ between units.",
                    trial_range(&members),
                    members.first().map_or_else(String::new, |unit| numbers::decimal(unit.bin_size_s * 1e3, 0)),
                    drawn_predictor(report, session),
                ),
            })
        })
        .collect()
}

fn trial_range(traces: &[&UnitTrace]) -> String {
    let counts = || traces.iter().map(|trace| trace.n_trials);
    match (counts().min(), counts().max()) {
        (Some(low), Some(high)) if low < high => {
            format!("{} to {}", numbers::count(low), numbers::count(high))
        }
        (Some(low), _) => numbers::count(low),
        (None, _) => "no".to_owned(),
    }
}

fn trace(unit: &UnitTrace) -> Option<Figure> {
    let time = |bin: usize| unit.start_s + unit.bin_size_s * (bin as f64 + 0.5);
    let curve = |label: &str, class: &'static str, mean: &[f64], sem: &[f64]| Line {
        label: label.to_owned(),
        class,
        points: mean.iter().enumerate().map(|(bin, &value)| (time(bin), value)).collect(),
        band: mean
            .iter()
            .zip(sem)
            .enumerate()
            .map(|(bin, (value, sem))| (time(bin), value - sem, value + sem))
            .collect(),
    };
    let chart = Chart {
        title: format!("Unit {} in {}: mean observed and mean predicted over time", unit.unit, unit.region),
        x_label: "seconds",
        y_label: "spikes/bin",
        lines: vec![
            curve("observed", "s-seen", &unit.observed_mean, &unit.observed_sem),
            curve("predicted", "p-fine", &unit.predicted_mean, &unit.predicted_sem),
        ],
        secondary: None,
        size: (340.0, 206.0),
        from_zero: true,
    };
    Some(Figure {
        heading: format!("{} · {}", unit.region, unit.unit),
        svg: lines::draw(&chart)?,
        note: format!("{} bits/spike", numbers::decimal(unit.bits_per_spike, 3)),
    })
}

/// Bars by region, one group per task.
pub(super) fn regions(report: &RunReport) -> Vec<FigureGroup> {
    Task::ALL
        .into_iter()
        .filter_map(|task| {
            let members: Vec<&RegionResult> = report.regions.iter().filter(|result| result.task == task).collect();
            let figures: Vec<Figure> = members.iter().filter_map(|result| region(result)).collect();
            (!figures.is_empty()).then(|| FigureGroup {
                heading: task.label().to_owned(),
                caption: format!(
                    "Pooled bits/spike by region against the evaluated-mean null, best first. The small number after \
                     each name is its number of units; the number at the right is the bar's value. A bar whose interval \
                     includes zero cannot be told apart from a constant rate.{}",
                    if members.iter().any(|result| bars::is_clipped(&result.regions)) {
                        " An arrowhead at the left edge stands for what lies beyond it."
                    } else {
                        ""
                    }
                ),
                figures,
            })
        })
        .collect()
}

fn region(result: &RegionResult) -> Option<Figure> {
    let title = format!("{} on {}, bits per spike by region", result.task.label(), result.session);
    Some(Figure {
        heading: result.session.clone(),
        svg: bars::draw(&title, &result.regions, [result.predictor.label(), result.baseline.label()])?,
        note: String::new(),
    })
}

/// One small picture per masking scheme.
pub(super) fn masks(report: &RunReport) -> Vec<Figure> {
    report.masks.iter().filter_map(mask).collect()
}

fn mask(mask: &MaskPicture) -> Option<Figure> {
    let svg = mask_svg::draw(mask)?;
    let (hidden, counted) = mask_svg::shares(mask);
    Some(Figure {
        heading: mask.scheme.label().to_owned(),
        svg,
        note: format!(
            "{} Here {} % of entries are hidden and {} % counted.",
            mask.scheme.explanation(),
            numbers::decimal(hidden * 100.0, 0),
            numbers::decimal(counted * 100.0, 0)
        ),
    })
}
