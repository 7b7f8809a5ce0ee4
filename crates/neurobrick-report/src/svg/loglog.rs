//! Panels of curves over a logarithmic axis, as a figure that stands alone.

use std::fmt::Write as _;

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel};

/// Panels side by side.
pub(super) const COLUMNS: usize = 3;
/// Size of a panel with its labels, in pixels.
pub(super) const PANEL: (f64, f64) = (270.0, 230.0);
/// Room at the left, right, top and bottom of a panel.
pub(super) const MARGIN: (f64, f64, f64, f64) = (52.0, 14.0, 30.0, 44.0);
/// Colors and strokes of a figure outside of a page, on paper of its own.
pub(super) const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#1d2328}.tick,.legend{font-size:11.5px;fill:#5b656e}\
    .title{font-weight:600}.paper{fill:#fbfbf9}.mesh{stroke:#e2e5e6}.axis{stroke:#8a949c;fill:none}\
    .line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}.dot{fill:currentColor;stroke:#fbfbf9}\
    .dashed{stroke-dasharray:5 4;stroke-width:1.5}.c-0{color:#0072b2}.c-1{color:#e69f00}.c-2{color:#009e73}\
    .c-3{color:#7b858d}.c-4{color:#cc79a7}.c-5{color:#d55e00}";

/// One curve.
#[derive(Clone, Debug)]
pub struct LogCurve {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)`; a point that an axis cannot show, since it has no logarithm or is not finite, is left out.
    pub points: Vec<(f64, f64)>,
    /// Whether it is drawn dashed and without dots, as what is expected rather than measured.
    pub is_expected: bool,
}

/// One panel. Curves at the same position have the same color and name in all panels.
#[derive(Clone, Debug)]
pub struct LogPanel {
    /// What the x axis is.
    pub x_label: String,
    /// The curves.
    pub curves: Vec<LogCurve>,
}

/// The panels, three in a row, with one y scale and one legend, as a whole SVG file. `None` if no point is positive.
pub fn log_panels(title: &str, y_label: &str, panels: &[LogPanel]) -> Option<String> {
    let all = panels.iter().flat_map(|panel| &panel.curves);
    let y_domain = axes::extent(all.flat_map(placed).map(|point| point.y))?;
    // One more cell for the legend.
    let n_rows = (panels.len() + 1).div_ceil(COLUMNS);
    let (width, height) = (PANEL.0 * COLUMNS as f64, PANEL.1 * n_rows as f64);
    let mut canvas = Canvas::new(width, height, title);
    canvas.rect((0.0, 0.0), (width, height), "paper");
    let corner = |cell: usize| ((cell % COLUMNS) as f64 * PANEL.0, (cell / COLUMNS) as f64 * PANEL.1);
    for (cell, panel) in panels.iter().enumerate() {
        draw(&mut canvas, panel, corner(cell), y_domain, y_label);
    }
    if let Some(panel) = panels.first() {
        legend(&mut canvas, panel, corner(panels.len()));
    }
    Some(canvas.finish_file(STYLE))
}

/// A point that can be drawn: its place on both axes, and its values.
struct Placed {
    x: f64,
    y: f64,
    values: (f64, f64),
}

/// Where on a logarithmic axis a value is; NaN where it is nowhere.
fn place(value: f64) -> f64 {
    if value > 0.0 { value.log10() } else { f64::NAN }
}

fn placed(curve: &LogCurve) -> impl Iterator<Item = Placed> {
    let point = |&(x, y): &(f64, f64)| Placed { x: place(x), y: place(y), values: (x, y) };
    curve.points.iter().map(point).filter(|point| point.x.is_finite() && point.y.is_finite())
}

fn draw(canvas: &mut Canvas, panel: &LogPanel, corner: (f64, f64), y_domain: (f64, f64), y_label: &str) {
    let (left, right) = (corner.0 + MARGIN.0, corner.0 + PANEL.0 - MARGIN.1);
    let (top, bottom) = (corner.1 + MARGIN.2, corner.1 + PANEL.1 - MARGIN.3);
    let points = || panel.curves.iter().flat_map(placed);
    let Some(x_domain) = axes::extent(points().map(|point| point.x)) else { return };
    let x = Scale::new(axes::padded(x_domain, 0.05), (left, right));
    let y = Scale::new(axes::padded(y_domain, 0.05), (bottom, top));
    canvas.text((left, corner.1 + 18.0), Anchor::Start, "title", &panel.x_label);
    for value in round_values(y.domain()) {
        let at = y.at(value.log10());
        canvas.line((left, at), (right, at), "mesh");
        canvas.text((left - 6.0, at + 4.0), Anchor::End, "tick", &format!("{value}"));
    }
    canvas.upright_text((corner.0 + 14.0, f64::midpoint(top, bottom)), "label", y_label);
    // The sizes that were measured are the ticks.
    let mut sizes: Vec<f64> = points().map(|point| point.values.0).collect();
    sizes.sort_by(f64::total_cmp);
    sizes.dedup();
    for size in sizes {
        let at = x.at(size.log10());
        canvas.line((at, bottom), (at, bottom + 4.0), "axis");
        canvas.text((at, bottom + 17.0), Anchor::Middle, "tick", &format!("{size}"));
    }
    canvas.line((left, bottom), (right, bottom), "axis");
    for (i, curve) in panel.curves.iter().enumerate() {
        let mut path = String::new();
        for point in placed(curve) {
            let pen = if path.is_empty() { 'M' } else { 'L' };
            let _ = write!(path, "{pen}{} {}", pixel(x.at(point.x)), pixel(y.at(point.y)));
        }
        canvas.path(&path, &class(i, curve));
        if !curve.is_expected {
            for Placed { x: px, y: py, values } in placed(curve) {
                let note = format!("{}: {:.3} at {}", curve.name, values.1, values.0);
                canvas.dot((x.at(px), y.at(py)), 3.5, &format!("dot c-{}", i % 6), &note);
            }
        }
    }
}

fn class(idx: usize, curve: &LogCurve) -> String {
    format!("line c-{}{}", idx % 6, if curve.is_expected { " dashed" } else { "" })
}

fn legend(canvas: &mut Canvas, panel: &LogPanel, corner: (f64, f64)) {
    for (i, curve) in panel.curves.iter().enumerate() {
        let y = corner.1 + 60.0 + 22.0 * i as f64;
        canvas.line((corner.0 + 40.0, y - 4.0), (corner.0 + 64.0, y - 4.0), &class(i, curve));
        canvas.text((corner.0 + 72.0, y), Anchor::Start, "legend", &curve.name);
    }
}

/// Powers of ten within a domain of logs; with fewer than three of them also twice and five times these.
fn round_values(domain: (f64, f64)) -> Vec<f64> {
    let within = |factors: &[f64]| -> Vec<f64> {
        let decades = (-12..=12).map(|power| 10f64.powi(power));
        let all = decades.flat_map(|decade| factors.iter().map(move |factor| factor * decade));
        all.filter(|v| (domain.0..=domain.1).contains(&v.log10())).collect()
    };
    let decades = within(&[1.0]);
    if decades.len() < 3 { within(&[1.0, 2.0, 5.0]) } else { decades }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    fn panel(points: Vec<(f64, f64)>) -> LogPanel {
        let curve = LogCurve { name: "time <ms>".to_owned(), points, is_expected: false };
        LogPanel { x_label: "units".to_owned(), curves: vec![curve] }
    }

    #[test]
    fn equal_factors_are_equal_distances() {
        let figure =
            log_panels("t", "cost", &[panel(vec![(1.0, 1.0), (10.0, 10.0), (100.0, 100.0)])]).unwrap();
        let dots: Vec<[f64; 2]> = figure
            .split("<circle")
            .skip(1)
            .map(|dot| {
                ["cx=\"", "cy=\""]
                    .map(|name| dot.split(name).nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            })
            .collect();
        assert_eq!(dots.len(), 3);
        for axis in 0..2 {
            let step = dots[1][axis] - dots[0][axis];
            assert!((dots[2][axis] - dots[1][axis] - step).abs() < 0.11 && step.abs() > 20.0, "{dots:?}");
        }
        assert!(
            dots[0][0] < dots[2][0] && dots[0][1] > dots[2][1],
            "larger is to the right and up: {dots:?}"
        );
    }

    #[test]
    fn the_file_stands_alone_and_is_escaped() {
        let figure =
            log_panels("a & b", "cost", &[panel(vec![(1.0, 1.0), (2.0, 0.0), (4.0, f64::NAN)])]).unwrap();
        assert!(figure.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{figure}");
        assert!(
            figure.contains("<style>") && figure.contains("a &amp; b") && figure.contains("time &lt;ms&gt;")
        );
        assert_eq!(figure.matches("<circle").count(), 1, "points that have no logarithm are left out");
        assert!(log_panels("t", "cost", &[panel(vec![(1.0, 0.0)])]).is_none());
    }

    #[test]
    fn few_decades_get_more_ticks() {
        assert_eq!(round_values((-1.0, 2.0)), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(round_values((0.0, 1.0)), [1.0, 2.0, 5.0, 10.0]);
    }
}
