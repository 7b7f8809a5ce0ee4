//! Line charts: curves over steps or time, with bands, a legend and an optional thin second axis.

use std::fmt::Write as _;

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel, text_width};

/// More points than this are averaged in buckets before they are drawn.
pub(crate) const MAX_POINTS: usize = 320;

/// One curve.
pub(crate) struct Line {
    pub(crate) label: String,
    /// Color class, a constant of this crate.
    pub(crate) class: &'static str,
    /// `(x, y)`; a non-finite `y` leaves a gap.
    pub(crate) points: Vec<(f64, f64)>,
    /// `(x, low, high)` drawn behind the curve.
    pub(crate) band: Vec<(f64, f64, f64)>,
}

/// One chart.
pub(crate) struct Chart<'a> {
    pub(crate) title: String,
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) lines: Vec<Line>,
    /// A thin curve with its own axis at the right.
    pub(crate) secondary: Option<(&'a str, Line)>,
    /// Size in pixels.
    pub(crate) size: (f64, f64),
    /// Whether zero must be on the y axis.
    pub(crate) from_zero: bool,
}

/// Draws the chart; `None` when no point is finite.
pub(crate) fn draw(chart: &Chart<'_>) -> Option<String> {
    let points = || chart.lines.iter().flat_map(|line| line.points.iter());
    let bands = chart.lines.iter().flat_map(|line| line.band.iter()).flat_map(|band| [band.1, band.2]);
    let (low, high) = axes::extent(points().map(|point| point.1).chain(bands))?;
    let x_domain = axes::extent(points().filter(|point| point.1.is_finite()).map(|point| point.0))?;
    let (width, height) = chart.size;
    let mut canvas = Canvas::new(width, height, &chart.title);
    let (left, right) = (54.0, width - if chart.secondary.is_some() { 66.0 } else { 20.0 });
    let named = chart.lines.iter().chain(chart.secondary.iter().map(|(_, line)| line));
    let top = legend(&mut canvas, named, left, right) + 10.0;
    let bottom = height - 40.0;
    let y_domain = if chart.from_zero {
        let (low, high) = (low.min(0.0), high.max(0.0));
        (low, high + (high - low) * 0.06)
    } else {
        axes::padded((low, high), 0.06)
    };
    let x = Scale::new(x_domain, (left, right));
    let y = Scale::new(y_domain, (bottom, top));
    axes::bottom_axis(&mut canvas, &x, bottom, bottom, chart.x_label);
    axes::left_axis(&mut canvas, &y, left, right, chart.y_label);
    if (y.domain().0..=y.domain().1).contains(&0.0) {
        canvas.line((left, y.at(0.0)), (right, y.at(0.0)), "zero");
    }
    if let Some((label, line)) = &chart.secondary
        && let Some((_, peak)) = axes::extent(line.points.iter().map(|point| point.1))
    {
        let scale = Scale::new((0.0, peak * 1.06), (bottom, top));
        canvas.path(&polyline(line, &x, &scale), &format!("line thin {}", line.class));
        axes::right_axis(&mut canvas, &scale, right, width, label);
    }
    for line in &chart.lines {
        canvas.path(&band(line, &x, &y), &format!("band {}", line.class));
    }
    for line in &chart.lines {
        canvas.path(&polyline(line, &x, &y), &format!("line {}", line.class));
    }
    Some(canvas.finish())
}

/// Averages `(x, y)` over equal buckets until at most [`MAX_POINTS`] remain.
pub(crate) fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let bucket = points.len().div_ceil(MAX_POINTS);
    points
        .chunks(bucket)
        .map(|chunk| {
            let n = chunk.len() as f64;
            (
                chunk.iter().map(|point| point.0).sum::<f64>() / n,
                chunk.iter().map(|point| point.1).sum::<f64>() / n,
            )
        })
        .collect()
}

/// The mean over each point and its neighbors, a twentieth of the curve in all; fewer neighbors at the ends.
pub(crate) fn running_mean(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let reach = points.len() / 40;
    (0..points.len())
        .map(|at| {
            let near = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
            let finite: Vec<f64> =
                near.iter().map(|point| point.1).filter(|value| value.is_finite()).collect();
            (points[at].0, finite.iter().sum::<f64>() / finite.len() as f64)
        })
        .collect()
}

/// Writes the names of the curves, wrapping at the right edge; returns the y where the plot may begin.
fn legend<'a>(canvas: &mut Canvas, lines: impl Iterator<Item = &'a Line>, left: f64, right: f64) -> f64 {
    let (mut x, mut y) = (left, 14.0);
    for line in lines {
        let needed = 30.0 + text_width(&line.label);
        if x > left && x + needed > right {
            x = left;
            y += 18.0;
        }
        let weight = if line.class == "s-rate" { "line thin" } else { "line" };
        canvas.line((x, y - 4.0), (x + 18.0, y - 4.0), &format!("{weight} {}", line.class));
        canvas.text((x + 23.0, y), Anchor::Start, "legend", &line.label);
        x += needed + 12.0;
    }
    y
}

fn polyline(line: &Line, x: &Scale, y: &Scale) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for &(step, value) in &line.points {
        if value.is_finite() {
            let _ = write!(path, "{pen}{} {}", pixel(x.at(step)), pixel(y.at(value)));
            pen = 'L';
        } else {
            pen = 'M';
        }
    }
    path
}

fn band(line: &Line, x: &Scale, y: &Scale) -> String {
    let finite: Vec<_> = line.band.iter().filter(|band| band.1.is_finite() && band.2.is_finite()).collect();
    let mut path = String::new();
    let edge =
        finite.iter().map(|band| (band.0, band.2)).chain(finite.iter().rev().map(|band| (band.0, band.1)));
    for (position, (step, value)) in edge.enumerate() {
        let pen = if position == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{pen}{} {}", pixel(x.at(step)), pixel(y.at(value)));
    }
    if !path.is_empty() {
        path.push('Z');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<(f64, f64)>) -> Line {
        Line { label: "loss".to_owned(), class: "s-train", points, band: Vec::new() }
    }

    #[test]
    fn thinning_keeps_the_mean() {
        let points: Vec<(f64, f64)> = (0..1_280).map(|step| (f64::from(step), f64::from(step % 7))).collect();
        let mean =
            |points: &[(f64, f64)]| points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64;
        let few = thinned(points.clone());
        assert_eq!(few.len(), MAX_POINTS);
        assert!((mean(&few) - mean(&points)).abs() < 1e-12);
    }

    #[test]
    fn running_means_follow_the_trend_and_not_the_scatter() {
        let scatter = |step: i32| if step % 2 == 0 { 5.0 } else { -5.0 };
        let points: Vec<(f64, f64)> =
            (0..200).map(|step| (f64::from(step), f64::from(step) + scatter(step))).collect();
        for (step, value) in running_mean(&points) {
            assert!((value - step).abs() < 5.0, "{value} at {step}");
        }
        let gap = [(0.0, 1.0), (1.0, f64::NAN)];
        assert!(running_mean(&gap)[1].1.is_nan());
    }

    #[test]
    fn undefined_values_break_the_line() {
        let scale = Scale::new((0.0, 3.0), (0.0, 3.0));
        let path = polyline(&line(vec![(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 3.0)]), &scale, &scale);
        assert_eq!(path, "M0 1M2 2L3 3");
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        let chart = Chart {
            title: String::new(),
            x_label: "",
            y_label: "",
            lines: vec![line(vec![(0.0, f64::NAN)])],
            secondary: None,
            size: (100.0, 100.0),
            from_zero: false,
        };
        assert!(draw(&chart).is_none());
    }
}
