//! Horizontal bars by region, with interval and the baseline as a marker.

use super::axes::{self, Scale};
use super::canvas::{Anchor, Canvas, pixel, shortened};
use crate::model::RegionScore;
use crate::numbers;

/// Draws the bars of a predictor beside a baseline (`labels` in this order), best region first; undefined scores come last with their reason.
pub(crate) fn draw(title: &str, regions: &[RegionScore], labels: [&str; 2]) -> Option<String> {
    let ends = regions
        .iter()
        .flat_map(|region| [region.score.low, region.score.high, region.score.value, region.baseline]);
    let (low, high) = axes::extent(ends.chain([0.0])).filter(|_| !regions.is_empty())?;
    let mut sorted: Vec<&RegionScore> = regions.iter().collect();
    // `total_cmp` puts a positive NaN above all numbers; undefined scores belong at the end.
    let key = |region: &RegionScore| {
        if region.score.value.is_finite() { region.score.value } else { f64::NEG_INFINITY }
    };
    sorted.sort_by(|a, b| key(b).total_cmp(&key(a)).then_with(|| a.region.cmp(&b.region)));
    let low = low.max(-high.max(0.02));
    let (width, left, row_height, top) = (520.0, 118.0, 19.0, 26.0);
    let bottom = top + row_height * sorted.len() as f64;
    let mut canvas = Canvas::new(width, bottom + 40.0, title);
    let x = Scale::new(axes::padded((low, high), 0.04), (left, width - 54.0));
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
}
