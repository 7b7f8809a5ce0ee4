//! Scores with intervals over a logarithmic axis of sizes, one panel per task, as a figure that stands alone.

use std::fmt::Write as _;

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel};
use super::loglog::{COLUMNS, MARGIN, PANEL, STYLE};

/// A score at a size, with its interval where there is one.
#[derive(Clone, Copy, Debug)]
pub struct LadderPoint {
    /// The size, above zero.
    pub size: f64,
    /// The score.
    pub score: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
}

/// One curve.
#[derive(Clone, Debug)]
pub struct LadderCurve {
    /// Name in the legend.
    pub name: String,
    /// Points by ascending size.
    pub points: Vec<LadderPoint>,
    /// Whether it is drawn dashed and without dots, as a fit or a level rather than measured.
    pub is_expected: bool,
}

/// One panel; curves at the same position have the same color and name in all panels.
#[derive(Clone, Debug)]
pub struct LadderPanel {
    /// What is scored.
    pub title: String,
    /// The curves.
    pub curves: Vec<LadderCurve>,
}

/// The panels, three in a row, each with a y scale of its own, and one legend, as a whole SVG file. `None` without a point.
pub fn ladders(title: &str, x_label: &str, y_label: &str, panels: &[LadderPanel]) -> Option<String> {
    let drawn: Vec<&LadderPanel> = panels.iter().filter(|panel| points(panel).next().is_some()).collect();
    let first = drawn.first()?;
    // One more cell for the legend.
    let n_rows = (drawn.len() + 1).div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * n_rows as f64);
    let mut canvas = Canvas::new(width, height, title);
    canvas.rect((0.0, 0.0), (width, height), "paper");
    let corner = |cell: usize| ((cell % COLUMNS) as f64 * PANEL.0, (cell / COLUMNS) as f64 * PANEL.1);
    for (cell, panel) in drawn.iter().enumerate() {
        draw(&mut canvas, panel, corner(cell), (x_label, y_label));
    }
    let (x, y) = corner(drawn.len());
    for (i, curve) in first.curves.iter().enumerate() {
        let y = y + 60.0 + 22.0 * i as f64;
        canvas.line((x + 40.0, y - 4.0), (x + 64.0, y - 4.0), &class(i, curve));
        canvas.text((x + 72.0, y), Anchor::Start, "legend", &curve.name);
    }
    Some(canvas.finish_file(STYLE))
}

fn points(panel: &LadderPanel) -> impl Iterator<Item = &LadderPoint> {
    panel.curves.iter().flat_map(drawable)
}

fn drawable(curve: &LadderCurve) -> impl Iterator<Item = &LadderPoint> {
    curve.points.iter().filter(|p| p.size > 0.0 && p.size.is_finite() && p.score.is_finite())
}

fn draw(canvas: &mut Canvas, panel: &LadderPanel, corner: (f64, f64), (x_label, y_label): (&str, &str)) {
    let (left, right) = (corner.0 + MARGIN.0, corner.0 + PANEL.0 - MARGIN.1);
    let (top, bottom) = (corner.1 + MARGIN.2, corner.1 + PANEL.1 - MARGIN.3);
    let bounds = points(panel).flat_map(|p| {
        let (lo, hi) = p.interval.unwrap_or((p.score, p.score));
        [p.score, lo, hi]
    });
    let domains = (axes::extent(points(panel).map(|p| p.size.ln())), axes::extent(bounds));
    let (Some(x_domain), Some(y_domain)) = domains else { return };
    let x = Scale::new(axes::padded(x_domain, 0.06), (left, right));
    let y = Scale::new(axes::padded(y_domain, 0.08), (bottom, top));
    canvas.text((left, corner.1 + 18.0), Anchor::Start, "title", &panel.title);
    axes::left_axis(canvas, &y, left, right, "");
    canvas.upright_text((corner.0 + 12.0, f64::midpoint(top, bottom)), "label", y_label);
    // The sizes that were measured are the ticks.
    let measured = panel.curves.iter().filter(|curve| !curve.is_expected).flat_map(drawable);
    let mut sizes: Vec<f64> = measured.map(|p| p.size).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        let at = x.at(size.ln());
        canvas.line((at, bottom), (at, bottom + 4.0), "axis");
        canvas.text((at, bottom + 17.0), Anchor::Middle, "tick", &format!("{size}"));
    }
    canvas.line((left, bottom), (right, bottom), "axis");
    canvas.text((f64::midpoint(left, right), bottom + 33.0), Anchor::Middle, "tick", x_label);
    for (i, curve) in panel.curves.iter().enumerate() {
        let mut path = String::new();
        for p in drawable(curve) {
            let at = (x.at(p.size.ln()), y.at(p.score));
            let pen = if path.is_empty() { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{pen}{} {}", pixel(at.0), pixel(at.1));
            if let Some((lo, hi)) = p.interval.filter(|(lo, hi)| lo.is_finite() && hi.is_finite()) {
                canvas.line((at.0, y.at(lo)), (at.0, y.at(hi)), &format!("line c-{}", i % 6));
            }
            if !curve.is_expected {
                let note = format!("{}: {:.4} at {}", curve.name, p.score, p.size);
                canvas.dot(at, 3.5, &format!("dot c-{}", i % 6), &note);
            }
        }
        canvas.path(&path, &class(i, curve));
    }
}

fn class(idx: usize, curve: &LadderCurve) -> String {
    format!("line c-{}{}", idx % 6, if curve.is_expected { " dashed" } else { "" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn doublings_are_equal_distances_and_intervals_are_drawn() {
        let point =
            |size: f64, score: f64| LadderPoint { size, score, interval: Some((score - 0.1, score + 0.1)) };
        let curve = |is_expected| LadderCurve {
            name: "a & b".to_owned(),
            points: vec![point(1.0, -0.2), point(2.0, 0.1), point(4.0, 0.3), point(0.0, 9.0)],
            is_expected,
        };
        let panel = LadderPanel { title: "co-smoothing".to_owned(), curves: vec![curve(false), curve(true)] };
        let figure = ladders("t", "sessions", "bits/spike", &[panel]).unwrap();
        let x: Vec<f64> = figure
            .split("<circle")
            .skip(1)
            .map(|dot| dot.split("cx=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(x.len(), 3, "a size of zero has no place");
        assert!((x[2] - x[1] - (x[1] - x[0])).abs() < 0.11 && x[1] - x[0] > 20.0, "{x:?}");
        assert!(figure.contains("a &amp; b") && figure.contains("dashed") && !figure.contains("NaN"));
        let heights: Vec<f64> = figure
            .split("cy=\"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().parse().unwrap())
            .collect();
        // Scores may be negative: −0.2, 0.1 and 0.3 on a linear axis.
        let (low, high) = (heights[0] - heights[1], heights[1] - heights[2]);
        assert!(high > 10.0 && (low - 1.5 * high).abs() < 0.31, "{heights:?}");
        let nothing = LadderPanel { title: String::new(), curves: Vec::new() };
        assert!(ladders("t", "x", "y", &[nothing]).is_none());
    }
}
