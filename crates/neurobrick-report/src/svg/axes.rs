//! Linear scales, round ticks and the axis lines shared by the figures.

use super::canvas::{Anchor, Canvas, pixel};
use crate::numbers;

/// Maps a domain of values to a range of pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    domain: (f64, f64),
    range: (f64, f64),
}

impl Scale {
    /// A domain of zero width is widened to one around its value, so that its point is drawn in the middle.
    pub(crate) fn new(domain: (f64, f64), range: (f64, f64)) -> Self {
        let domain = if domain.1 > domain.0 { domain } else { (domain.0 - 0.5, domain.0 + 0.5) };
        Self { domain, range }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.domain.0) / (self.domain.1 - self.domain.0);
        self.range.0 + share * (self.range.1 - self.range.0)
    }

    pub(crate) fn domain(&self) -> (f64, f64) {
        self.domain
    }

    pub(crate) fn range(&self) -> (f64, f64) {
        self.range
    }

    /// About `wanted` round values inside the domain with their labels.
    pub(crate) fn ticks(&self, wanted: u32) -> Vec<(f64, String)> {
        let (low, high) = self.domain;
        let step = round_step((high - low) / f64::from(wanted.max(1)));
        let decimals = (0..9).find(|&decimals| {
            let scaled = step * 10_f64.powi(decimals);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        });
        let mut ticks = Vec::new();
        let mut index = (low / step - 1e-9).ceil();
        while index * step <= high + step * 1e-9 {
            let value = index * step;
            let label = match decimals {
                Some(0) if step >= 1e5 => format!("{}k", numbers::decimal(value / 1e3, 0)),
                Some(decimals) => numbers::decimal(value, usize::try_from(decimals).unwrap_or(0)),
                None => format!("{value:.1e}"),
            };
            ticks.push((value, label));
            index += 1.0;
        }
        ticks
    }
}

/// The next 1, 2 or 5 times a power of ten at or above `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|&step| step >= raw * 0.999)
        .unwrap_or(raw)
}

/// Smallest and largest finite value, `None` if there is none.
pub(crate) fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().filter(|value| value.is_finite()).fold(None, |extent, value| {
        let (low, high) = extent.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// Rows within so many bits/spike are the same in a figure.
const ALIKE: f64 = 1e-3;
/// The part of an axis that counts is at least so long, in bits/spike.
const LEAST_PART: f64 = 0.02;

/// The range that shows rows `(value, low, high)` and `anchor`, the value of no information.
///
/// Rule: it holds all intervals, unless a row would squeeze the others. The part that counts reaches from the highest end
/// down to the anchor or the median value, whichever is lower (of two medians the better one); what lies below it by more
/// than twice its length is an outlier. So all that is not one has at least a third of the axis, and at most half of the
/// rows can be outliers. At the top, where the best rows are, nothing is ever cut. Intervals of other rows that reach
/// below the same limit are cut there.
pub(crate) fn rows_domain(rows: &[(f64, f64, f64)], anchor: f64) -> Option<(f64, f64)> {
    let mut values: Vec<f64> = rows.iter().map(|row| row.0).filter(|value| value.is_finite()).collect();
    values.sort_by(|a, b| b.total_cmp(a));
    let median = *values.get(values.len().checked_sub(1)? / 2)?;
    let (_, top) = extent(rows.iter().flat_map(|&(value, low, high)| [value, low, high]).chain([anchor]))?;
    let bottom = median.min(anchor);
    // Rows that are all alike are no measure of what is far from them.
    let part = top - bottom;
    let limit = if part > ALIKE { bottom - 2.0 * part.max(LEAST_PART) } else { f64::NEG_INFINITY };
    let shown = rows.iter().filter(|row| row.0 >= limit);
    // `max` would take the limit for an end that is undefined.
    let cut = |end: f64| if end < limit { limit } else { end };
    extent(shown.flat_map(|&(value, low, high)| [value, cut(low), cut(high)]).chain([anchor]))
}

/// `domain` widened by `share` of its width at both ends.
pub(crate) fn padded(domain: (f64, f64), share: f64) -> (f64, f64) {
    let pad = (domain.1 - domain.0) * share;
    (domain.0 - pad, domain.1 + pad)
}

/// Horizontal axis with vertical grid lines from `top` to `bottom`.
pub(crate) fn bottom_axis(canvas: &mut Canvas, scale: &Scale, top: f64, bottom: f64, label: &str) {
    for (value, text) in scale.ticks(5) {
        let x = scale.at(value);
        canvas.line((x, top), (x, bottom), "mesh");
        canvas.text((x, bottom + 15.0), Anchor::Middle, "tick", &text);
    }
    let (left, right) = scale.range();
    canvas.line((left, bottom), (right, bottom), "axis");
    canvas.text((f64::midpoint(left, right), bottom + 32.0), Anchor::Middle, "label", label);
}

/// Vertical axis with horizontal grid lines from `left` to `right`.
pub(crate) fn left_axis(canvas: &mut Canvas, scale: &Scale, left: f64, right: f64, label: &str) {
    for (value, text) in scale.ticks(4) {
        let y = scale.at(value);
        canvas.line((left, y), (right, y), "mesh");
        canvas.text((left - 6.0, y + 4.0), Anchor::End, "tick", &text);
    }
    let (bottom, top) = scale.range();
    canvas.upright_text((12.0, f64::midpoint(bottom, top)), "label", label);
}

/// Vertical axis at the right without grid.
pub(crate) fn right_axis(canvas: &mut Canvas, scale: &Scale, x: f64, edge: f64, label: &str) {
    for (value, text) in scale.ticks(3) {
        canvas.text((x + 6.0, scale.at(value) + 4.0), Anchor::Start, "tick", &text);
    }
    let (bottom, top) = scale.range();
    canvas.upright_text((edge - 3.0, f64::midpoint(bottom, top)), "label", label);
}

/// An open arrowhead at the left edge: the line that ends here goes on.
pub(crate) fn cut_mark(canvas: &mut Canvas, edge: f64, y: f64, class: &str) {
    let path = format!("M{} {}l-5 5l5 5", pixel(edge + 5.0), pixel(y - 5.0));
    canvas.path(&path, &format!("whisker-end {class}"));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ticks_are_round() {
        let labels = |low, high| -> Vec<String> {
            Scale::new((low, high), (0.0, 100.0)).ticks(5).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(labels(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(-0.03, 0.11), ["0.00", "0.05", "0.10"]);
        assert_eq!(labels(0.0, 4_000.0), ["0", "1000", "2000", "3000", "4000"]);
    }

    #[test]
    fn rows_that_would_squeeze_the_others_are_left_out() {
        let row = |value: f64| (value, value - 0.1, value + 0.1);
        let domain = |values: &[f64]| rows_domain(&values.iter().map(|&v| row(v)).collect::<Vec<_>>(), 0.0);
        let close = |got: Option<(f64, f64)>, low: f64, high: f64| {
            got.is_some_and(|got| (got.0 - low).abs() < 1e-9 && (got.1 - high).abs() < 1e-9)
        };
        // The part that counts is [0, 1.1]; the limit lies at -2.2.
        assert!(close(domain(&[1.0, 0.5, -2.1]), -2.2, 1.1));
        assert!(close(domain(&[1.0, 0.5, -2.3]), 0.0, 1.1));
        // More than half of the rows are no outliers, and the anchor is always shown.
        assert!(close(domain(&[1.0, -50.0, -50.0]), -50.1, 1.1));
        assert!(close(domain(&[-7.0, -7.5]), -7.6, 0.0));
        assert!(close(rows_domain(&[(0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (-3.0, -4.0, -2.0)], 0.0), -4.0, 0.0));
        assert!(close(
            rows_domain(&[(0.0, 0.0, 0.0), (1e-6, 0.0, 1e-6), (-3.0, -4.0, -2.0)], 0.0),
            -4.0,
            1e-6
        ));
        // A part of a hundredth of a bit is taken for two.
        assert!(close(rows_domain(&[(0.01, 0.01, 0.01), (-0.03, -0.03, -0.03)], 0.0), -0.03, 0.01));
        assert!(close(rows_domain(&[(1.0, f64::NAN, f64::NAN)], 0.0), 0.0, 1.0));
        assert_eq!(rows_domain(&[(f64::NAN, f64::NAN, f64::NAN)], 0.0), None);
    }

    proptest! {
        #[test]
        fn ticks_stay_inside_and_are_few(low in -1e3_f64..1e3, width in 1e-3_f64..1e4) {
            let scale = Scale::new((low, low + width), (0.0, 1.0));
            let ticks = scale.ticks(5);
            prop_assert!((1..=8).contains(&ticks.len()), "{} ticks", ticks.len());
            for (value, _) in ticks {
                prop_assert!((-1e-6..=1.0 + 1e-6).contains(&scale.at(value)));
            }
        }
    }
}
