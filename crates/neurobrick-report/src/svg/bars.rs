//! Horizontal bars by region, with interval and the baseline as a marker.

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel, shortened};
use crate::model::RegionScore;
use crate::numbers;

/// Draws the bars of a predictor beside a baseline (`labels` in this order), best region first; undefined scores come last with their reason.
pub(crate) fn draw(title: &str, regions: &[RegionScore], labels: [&str; 2]) -> Option<String> {
    let domain = domain(regions)?;
    let mut sorted: Vec<&RegionScore> = regions.iter().collect();
    // `total_cmp` puts a positive NaN above all numbers; undefined scores belong at the end.
    let key = |region: &RegionScore| {
        if region.score.value.is_finite() { region.score.value } else { f64::NEG_INFINITY }
    };
    sorted.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| a.region.cmp(&b.region)));
    let (width, left, row_height, top) = (520.0, 118.0, 19.0, 26.0);
    let bottom = top + row_height * sorted.len() as f64;
    let mut canvas = Canvas::new(width, bottom + 40.0, title);
    let x = Scale::new(domain, (left, width - 54.0));
    canvas.rect((left, 7.0), (18.0, 9.0), "bar");
    canvas.text(
        (left + 24.0, 15.0),
        Anchor::Start,
        "legend",
        &format!("{}, 95 % interval", shortened(labels[0], 24)),
    );
    marker(&mut canvas, (left + 246.0, 11.5));
    canvas.text((left + 256.0, 15.0), Anchor::Start, "legend", &shortened(labels[1], 24));
    axes::bottom_axis(&mut canvas, &x, top, bottom, "bits/spike");
    for (position, region) in sorted.iter().enumerate() {
        draw_row(&mut canvas, region, &x, top + row_height * (position as f64 + 0.5), width);
    }
    canvas.line((x.at(0.0), top), (x.at(0.0), bottom), "zero");
    Some(canvas.finish())
}

/// Whether a bar or interval ends outside the axis.
pub(crate) fn is_clipped(regions: &[RegionScore]) -> bool {
    domain(regions).is_some_and(|(low, _)| regions.iter().any(|region| reaches_below(region, low)))
}

fn reaches_below(region: &RegionScore, low: f64) -> bool {
    region.score.value < low || region.score.low < low
}

/// The x range of bars, intervals and markers; `None` without regions.
fn domain(regions: &[RegionScore]) -> Option<(f64, f64)> {
    let scores = regions.iter().map(|region| (region.score.value, region.score.low, region.score.high));
    let markers = regions.iter().map(|region| (region.baseline, region.baseline, region.baseline));
    let rows: Vec<_> = scores.chain(markers).collect();
    // Without a number there still is a reason for each region.
    let domain = axes::rows_domain(&rows, 0.0).or(Some((0.0, 1.0))).filter(|_| !regions.is_empty())?;
    Some(axes::padded(domain, 0.04))
}

fn draw_row(canvas: &mut Canvas, region: &RegionScore, x: &Scale, y: f64, width: f64) {
    let (left_edge, right_edge) = x.range();
    let inside = |value: f64| x.at(value).clamp(left_edge, right_edge);
    canvas.text((left_edge - 44.0, y + 4.0), Anchor::End, "label", &shortened(&region.region, 10));
    canvas.text((left_edge - 8.0, y + 4.0), Anchor::End, "tick", &numbers::count(region.n_units));
    canvas.text((width - 4.0, y + 4.0), Anchor::End, "tick", &numbers::decimal(region.score.value, 3));
    let score = &region.score;
    if score.value.is_finite() {
        let (from, to) = (inside(0.0), inside(score.value));
        canvas.rect((from.min(to), y - 6.0), ((to - from).abs(), 12.0), "bar");
        if score.low.is_finite() && score.high.is_finite() {
            canvas.line((inside(score.low), y), (inside(score.high), y), "whisker thin-ink");
        }
        if reaches_below(region, x.domain().0) {
            axes::cut_mark(canvas, left_edge, y, "thin-ink");
        }
    } else {
        let text = score.reason.as_deref().unwrap_or("not defined for these data");
        canvas.text((right_edge, y + 4.0), Anchor::End, "tick halo", &shortened(text, 40));
    }
    if region.baseline.is_finite() {
        marker(canvas, (inside(region.baseline), y));
    }
}

fn marker(canvas: &mut Canvas, (x, y): (f64, f64)) {
    canvas.path(&format!("M{} {}l4.5 5l-4.5 5l-4.5 -5z", pixel(x), pixel(y - 5.0)), "marker");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Estimate;

    #[test]
    fn best_region_comes_first_and_undefined_last() {
        let region = |name: &str, score: Estimate| RegionScore {
            region: name.to_owned(),
            n_units: 3,
            score,
            baseline: 0.01,
        };
        let regions = [
            region("AAA", Estimate::undefined("silent")),
            region("BBB", Estimate::new(0.1, 0.0, 0.2)),
            region("CCC", Estimate::new(0.3, 0.2, 0.4)),
        ];
        let svg = draw("t", &regions, ["model", "PSTH"]).unwrap_or_default();
        let place = |name| svg.find(name).unwrap_or(usize::MAX);
        assert!(place("CCC") < place("BBB") && place("BBB") < place("AAA") && place("AAA") < svg.len());
        assert!(draw("t", &[], ["model", "PSTH"]).is_none());
    }

    #[test]
    fn bars_of_a_small_data_set_keep_their_length() {
        let region = |name: &str, value: f64| RegionScore {
            region: name.to_owned(),
            n_units: 3,
            score: Estimate::new(value, value - 0.002, value + 0.002),
            baseline: value - 0.001,
        };
        let bad = [region("AAA", -0.08), region("BBB", -0.05), region("CCC", -0.03)];
        let svg = draw("t", &bad, ["model", "PSTH"]).unwrap_or_default();
        let widths: Vec<f64> = svg
            .split(r#"class="bar""#)
            .skip(2)
            .filter_map(|bar| bar.split_once("width=\"")?.1.split_once('"')?.0.parse().ok())
            .collect();
        assert!(widths.len() == 3 && widths[0] < widths[1] && widths[1] < widths[2], "{widths:?}");
        let far = [region("AAA", 0.3), region("BBB", 0.2), region("CCC", -9.0)];
        let svg = draw("t", &far, ["model", "PSTH"]).unwrap_or_default();
        assert_eq!(svg.matches("whisker-end").count(), 1, "a bar that is cut says so");
        assert!(is_clipped(&far) && !is_clipped(&bad));
    }
}
