//! Forest plots: one row per predictor, a dot for the value and a line for its 95 % interval.

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, shortened};
use crate::model::Estimate;
use crate::numbers;

/// One row.
pub(crate) struct Row<'a> {
    pub(crate) label: &'a str,
    /// Color class, a constant of this crate.
    pub(crate) class: &'static str,
    pub(crate) estimate: &'a Estimate,
}

/// The x range for several panels that are to be read side by side.
///
/// Starts no further below `anchor` than the best value lies above it, so that one very bad predictor does not
/// squeeze the others; what lies outside is drawn as an arrow with its value.
pub(crate) fn shared_domain<'a>(
    estimates: impl Iterator<Item = &'a Estimate>,
    anchor: f64,
) -> Option<(f64, f64)> {
    let ends = estimates.flat_map(|estimate| [estimate.value, estimate.low, estimate.high]);
    let (low, high) = axes::extent(ends.chain([anchor]))?;
    let reach = high - anchor;
    let low = if reach > 0.0 { low.max(anchor - reach) } else { low };
    Some(axes::padded((low, high), 0.05))
}

/// Draws one panel; `anchor` is the value of no information, drawn as a vertical line.
pub(crate) fn draw(title: &str, rows: &[Row<'_>], domain: (f64, f64), anchor: f64, x_label: &str) -> String {
    let (width, left, row_height, top) = (520.0, 158.0, 26.0, 8.0);
    let bottom = top + row_height * rows.len() as f64;
    let mut canvas = Canvas::new(width, bottom + 40.0, title);
    let x = Scale::new(domain, (left, width - 54.0));
    axes::bottom_axis(&mut canvas, &x, top, bottom, x_label);
    if (x.domain().0..=x.domain().1).contains(&anchor) {
        canvas.line((x.at(anchor), top), (x.at(anchor), bottom), "zero");
    }
    for (position, row) in rows.iter().enumerate() {
        let y = top + row_height * (position as f64 + 0.5);
        canvas.text((left - 10.0, y + 4.0), Anchor::End, "label", &shortened(row.label, 23));
        draw_row(&mut canvas, row, &x, y, width);
    }
    canvas.finish()
}

fn draw_row(canvas: &mut Canvas, row: &Row<'_>, x: &Scale, y: f64, width: f64) {
    let Estimate { value, low, high, reason } = row.estimate;
    let value_text = numbers::decimal(*value, 3);
    canvas.text((width - 4.0, y + 4.0), Anchor::End, "tick", &value_text);
    if !value.is_finite() {
        let text = reason.as_deref().unwrap_or("not defined for these data");
        canvas.text((x.range().0 + 6.0, y + 4.0), Anchor::Start, "tick", &shortened(text, 44));
        return;
    }
    let (left_edge, right_edge) = x.range();
    let inside = |value: f64| x.at(value).clamp(left_edge, right_edge);
    if low.is_finite() && high.is_finite() {
        canvas.line((inside(*low), y), (inside(*high), y), &format!("whisker {}", row.class));
    }
    let tooltip = format!("{}: {value_text} {}", row.label, numbers::interval(*low, *high));
    if *value < x.domain().0 {
        let path = format!("M{left_edge} {y}l9 -5v10z");
        canvas.path(&path, &format!("dot {}", row.class));
        canvas.text((left_edge + 14.0, y + 4.0), Anchor::Start, "tick", &format!("off scale: {value_text}"));
    } else {
        canvas.dot((x.at(*value), y), 4.5, &format!("dot {}", row.class), &tooltip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_predictor_does_not_squeeze_the_scale() {
        let estimates = [Estimate::new(0.2, 0.1, 0.3), Estimate::new(-9.0, -9.5, -8.5)];
        let (low, high) = shared_domain(estimates.iter(), 0.0).unwrap_or_default();
        assert!((-0.34..-0.29).contains(&low) && (0.3..0.34).contains(&high), "{low} {high}");
        let rows: Vec<Row<'_>> =
            estimates.iter().map(|estimate| Row { label: "PSTH", class: "p-base", estimate }).collect();
        let svg = draw("t", &rows, (low, high), 0.0, "bits/spike");
        assert!(svg.contains("off scale: \u{2212}9.000"));
    }

    #[test]
    fn undefined_values_show_their_reason() {
        let estimate = Estimate::undefined("no spikes in the scored bins");
        let rows = [Row { label: "ridge", class: "p-base", estimate: &estimate }];
        let svg = draw("t", &rows, (0.0, 1.0), 0.0, "bits/spike");
        assert!(svg.contains("no spikes in the scored bins") && !svg.contains("NaN"));
    }
}
