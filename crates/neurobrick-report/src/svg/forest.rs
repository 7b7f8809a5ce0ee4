//! Forest plots: one row per predictor, a dot for the value and a line for its 95 % interval.

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel, shortened};
use crate::model::Estimate;
use crate::numbers;

/// One row.
pub(crate) struct Row<'a> {
    pub(crate) label: &'a str,
    /// Color class, a constant of this crate.
    pub(crate) class: &'static str,
    pub(crate) estimate: &'a Estimate,
    /// Whether it is the model that headlines speak of.
    pub(crate) is_headline: bool,
}

/// The x range for several panels that are to be read side by side, by the rule of [`axes::rows_domain`].
///
/// What lies outside is drawn as an arrow at the edge.
pub(crate) fn shared_domain<'a>(
    estimates: impl Iterator<Item = &'a Estimate>,
    anchor: f64,
) -> Option<(f64, f64)> {
    let rows: Vec<_> = estimates.map(|estimate| (estimate.value, estimate.low, estimate.high)).collect();
    Some(axes::padded(axes::rows_domain(&rows, anchor)?, 0.05))
}

/// Whether a part of a row lies outside `domain`.
pub(crate) fn is_clipped<'a>(mut estimates: impl Iterator<Item = &'a Estimate>, domain: (f64, f64)) -> bool {
    estimates.any(|estimate| estimate.value < domain.0 || estimate.low < domain.0)
}

/// Draws one panel; `anchor` is the value of no information, drawn as a vertical line.
pub(crate) fn draw(title: &str, rows: &[Row<'_>], domain: (f64, f64), anchor: f64, x_label: &str) -> String {
    let (width, left, row_height, top) = (520.0, 172.0, 26.0, 8.0);
    let bottom = top + row_height * rows.len() as f64;
    let mut canvas = Canvas::new(width, bottom + 40.0, title);
    let x = Scale::new(domain, (left, width - 54.0));
    axes::bottom_axis(&mut canvas, &x, top, bottom, x_label);
    if (x.domain().0..=x.domain().1).contains(&anchor) {
        canvas.line((x.at(anchor), top), (x.at(anchor), bottom), "zero");
    }
    for (position, row) in rows.iter().enumerate() {
        let y = top + row_height * (position as f64 + 0.5);
        let class = if row.is_headline { "label strong" } else { "label" };
        canvas.text((left - 10.0, y + 4.0), Anchor::End, class, &shortened(row.label, 23));
        draw_row(&mut canvas, row, &x, y, width);
    }
    canvas.finish()
}

fn draw_row(canvas: &mut Canvas, row: &Row<'_>, x: &Scale, y: f64, width: f64) {
    let Estimate { value, low, high, reason } = row.estimate;
    let value_text = numbers::decimal(*value, 3);
    let class = if row.is_headline { "tick strong" } else { "tick" };
    canvas.text((width - 4.0, y + 4.0), Anchor::End, class, &value_text);
    if !value.is_finite() {
        let text = reason.as_deref().unwrap_or("not defined for these data");
        canvas.text((x.range().0 + 6.0, y + 4.0), Anchor::Start, "tick halo", &shortened(text, 44));
        return;
    }
    let (left_edge, right_edge) = x.range();
    let inside = |value: f64| x.at(value).clamp(left_edge, right_edge);
    let start = x.domain().0;
    if low.is_finite() && high.is_finite() && *high > start {
        canvas.line((inside(*low), y), (inside(*high), y), &format!("whisker {}", row.class));
        if *low < start && *value >= start {
            axes::cut_mark(canvas, left_edge, y, row.class);
        }
    }
    let tooltip = format!("{}: {value_text} {}", row.label, numbers::interval(*low, *high));
    if *value < start {
        let path = format!("M{} {}l9 -5v10z", pixel(left_edge), pixel(y));
        canvas.path_with_tooltip(&path, &format!("dot {}", row.class), &tooltip);
    } else {
        canvas.dot((x.at(*value), y), 4.5, &format!("dot {}", row.class), &tooltip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(estimates: &[Estimate]) -> Vec<Row<'_>> {
        estimates
            .iter()
            .map(|estimate| Row { label: "PSTH", class: "p-base", estimate, is_headline: false })
            .collect()
    }

    fn drawn(estimates: &[Estimate]) -> ((f64, f64), String) {
        let domain = shared_domain(estimates.iter(), 0.0).unwrap_or_default();
        (domain, draw("t", &rows(estimates), domain, 0.0, "bits/spike"))
    }

    /// Left ends of the texts that stand inside the plot, apart from ticks and label below it.
    fn texts_inside(svg: &str) -> usize {
        svg.matches(r#"text-anchor="start""#).count()
    }

    #[test]
    fn all_intervals_are_on_the_axis_unless_one_would_squeeze_the_others() {
        // A small data set on which all are a little worse than the null; forward prediction, where half of the rows
        // are; a good model among bad baselines.
        let cases: [&[(f64, f64, f64)]; 3] = [
            &[
                (-0.007, -0.009, -0.004),
                (-0.007, -0.01, -0.003),
                (-0.006, -0.008, 0.002),
                (-0.001, -0.002, 0.0),
            ],
            &[
                (0.085, 0.049, 0.125),
                (-0.066, -0.128, 0.0),
                (-0.179, -0.227, -0.117),
                (-0.296, -0.341, -0.247),
            ],
            &[(0.3, 0.25, 0.35), (0.02, 0.0, 0.04), (-0.01, -0.03, 0.01), (-0.2, -0.26, -0.14)],
        ];
        for case in cases {
            let estimates: Vec<Estimate> =
                case.iter().map(|&(value, low, high)| Estimate::new(value, low, high)).collect();
            let ((low, high), svg) = drawn(&estimates);
            for estimate in &estimates {
                assert!(low < estimate.low && estimate.high < high, "{estimate:?} is outside {low}..{high}");
            }
            assert!(low < 0.0 && 0.0 < high);
            assert_eq!((svg.matches("<circle").count(), texts_inside(&svg)), (case.len(), 0));
        }
    }

    #[test]
    fn one_bad_predictor_does_not_squeeze_the_scale() {
        let estimates = [Estimate::new(0.2, 0.1, 0.3), Estimate::new(-9.0, -9.5, -8.5)];
        let ((low, high), svg) = drawn(&estimates);
        assert!((-0.05..0.0).contains(&low) && (0.3..0.34).contains(&high), "{low} {high}");
        // An arrow with its interval as a tooltip; the value stands at the right, where all values do.
        assert!(
            svg.contains("<title>PSTH: \u{2212}9.000 [\u{2212}9.500, \u{2212}8.500]</title></path>"),
            "{svg}"
        );
        assert_eq!((svg.matches(">\u{2212}9.000</text>").count(), texts_inside(&svg)), (1, 0));
        assert_eq!(svg.matches("whisker").count(), 1, "an interval that is off the axis is no line");
        assert!(is_clipped(estimates.iter(), (low, high)) && !is_clipped(estimates[..1].iter(), (low, high)));
    }

    #[test]
    fn an_interval_that_is_cut_says_so() {
        let estimates =
            [Estimate::new(0.2, 0.1, 0.3), Estimate::new(0.1, 0.0, 0.2), Estimate::new(0.0, -9.0, 0.1)];
        let ((low, _), svg) = drawn(&estimates);
        assert!((-0.8..-0.5).contains(&low), "{low}");
        assert_eq!((svg.matches("<circle").count(), svg.matches("whisker-end").count()), (3, 1));
        assert!(is_clipped(estimates.iter(), (low, 1.0)));
    }

    #[test]
    fn undefined_values_show_their_reason() {
        let estimate = Estimate::undefined("no spikes in the scored bins");
        let svg = draw("t", &rows(&[estimate]), (0.0, 1.0), 0.0, "bits/spike");
        assert!(svg.contains("no spikes in the scored bins") && !svg.contains("NaN"));
        assert!(svg.contains(r#"class="tick halo""#), "grid lines run through the text");
    }
}
