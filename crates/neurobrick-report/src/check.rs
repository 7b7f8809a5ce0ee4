//! Checks a report before it is drawn: array lengths, interval ends, session names.

use crate::error::{ReportError, Result};
use crate::model::{Curve, Estimate, NullScores, RunReport};

/// Fails on the first contradiction.
pub(crate) fn check(report: &RunReport) -> Result<()> {
    check_sessions(report)?;
    check_scores(report)?;
    check_curves(report)?;
    check_arrays(report)
}

fn check_sessions(report: &RunReport) -> Result<()> {
    let named = (report.tasks.iter().map(|part| ("a task result", &part.session)))
        .chain(report.choices.iter().map(|part| ("a result of choices", &part.session)))
        .chain(report.decoding.iter().map(|part| ("a decoding result", &part.session)))
        .chain(report.fine_tuning.iter().map(|part| ("a fine-tuning curve", &part.session)))
        .chain(report.rasters.iter().map(|part| ("a trial raster", &part.session)))
        .chain(report.traces.iter().map(|part| ("a unit trace", &part.session)))
        .chain(report.regions.iter().map(|part| ("a region result", &part.session)));
    for (part, session) in named {
        if !report.sessions.iter().any(|known| known.id == *session) {
            let known: Vec<&str> = report.sessions.iter().map(|known| known.id.as_str()).collect();
            return Err(ReportError::UnknownSession {
                part,
                session: session.clone(),
                known: known.join(", "),
            });
        }
    }
    Ok(())
}

fn check_scores(report: &RunReport) -> Result<()> {
    for result in &report.tasks {
        let place = |what: &str| format!("{what} in {} of {}", result.task.label(), result.session);
        for row in &result.predictors {
            let null_scores = |null: &NullScores| interval(&null.pooled, || place(row.predictor.label()));
            null_scores(&row.evaluated_mean)?;
            null_scores(&row.train_mean)?;
        }
        for pair in &result.differences {
            interval(&pair.difference, || {
                place(&format!("{} minus {}", pair.left.label(), pair.right.label()))
            })?;
        }
    }
    if let Some(summary) = &report.over_sessions {
        for score in &summary.scores {
            let place = || format!("{} in {} over sessions", score.predictor.label(), score.task.label());
            interval(&score.mean, place)?;
            score.difference.as_ref().map_or(Ok(()), |difference| interval(difference, place))?;
        }
        for found in &summary.regions {
            let place = || format!("regions in {} over sessions", found.task.label());
            interval(&found.mean, place)?;
            found.regions.iter().try_for_each(|row| interval(&row.score, place))?;
        }
    }
    for result in &report.choices {
        for row in &result.rows {
            let place = || format!("{}, {} of {}", row.predictor.label(), result.alteration, result.session);
            interval(&row.accuracy, place)?;
            row.difference.as_ref().map_or(Ok(()), |difference| interval(difference, place))?;
        }
    }
    for result in &report.decoding {
        interval(&result.balanced_accuracy, || format!("{} of {}", result.target.label(), result.session))?;
    }
    for result in &report.regions {
        for region in &result.regions {
            interval(&region.score, || format!("region {} of {}", region.region, result.session))?;
        }
    }
    Ok(())
}

fn check_curves(report: &RunReport) -> Result<()> {
    if let Some(curves) = &report.pretraining {
        curve(&curves.train_loss, "the training loss")?;
        for scheme in &curves.validation {
            curve(&scheme.bits_per_spike, "a validation curve")?;
        }
        if let Some(rate) = &curves.learning_rate {
            curve(rate, "the learning rate")?;
        }
    }
    for session in &report.fine_tuning {
        for line in &session.curves {
            curve(&line.bits_per_spike, "a fine-tuning curve")?;
        }
    }
    Ok(())
}

fn check_arrays(report: &RunReport) -> Result<()> {
    for raster in &report.rasters {
        let expected = raster.n_bins * raster.unit_regions.len();
        let place = |what: &str| format!("the {what} of {:?} in {}", raster.trial, raster.session);
        length(expected, raster.counts.len(), || place("counts"))?;
        length(expected, raster.rates.len(), || place("rates"))?;
        seconds(raster.bin_size_s, || place("bin width"))?;
    }
    for trace in &report.traces {
        let expected = trace.observed_mean.len();
        for other in [&trace.observed_sem, &trace.predicted_mean, &trace.predicted_sem] {
            length(expected, other.len(), || {
                format!("the trace of unit {} in {}", trace.unit, trace.session)
            })?;
        }
        seconds(trace.bin_size_s, || format!("the bin width of unit {} in {}", trace.unit, trace.session))?;
    }
    for mask in &report.masks {
        let expected = mask.n_bins * mask.n_units;
        length(expected, mask.hidden.len(), || {
            format!("the hidden entries of the {} mask", mask.scheme.label())
        })?;
        length(expected, mask.counted.len(), || {
            format!("the counted entries of the {} mask", mask.scheme.label())
        })?;
    }
    Ok(())
}

fn interval(estimate: &Estimate, what: impl FnOnce() -> String) -> Result<()> {
    // A NaN end compares false and is no contradiction.
    if estimate.low > estimate.high {
        return Err(ReportError::Interval { what: what(), low: estimate.low, high: estimate.high });
    }
    Ok(())
}

fn curve(curve: &Curve, what: &str) -> Result<()> {
    length(curve.steps.len(), curve.values.len(), || what.to_owned())
}

fn length(expected: usize, got: usize, what: impl FnOnce() -> String) -> Result<()> {
    if expected == got { Ok(()) } else { Err(ReportError::Shape { what: what(), expected, got }) }
}

fn seconds(value: f64, what: impl FnOnce() -> String) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        Ok(())
    } else {
        Err(ReportError::Seconds { what: what(), got: value })
    }
}
