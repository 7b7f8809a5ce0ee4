//! Population heat maps of one trial: units down, time across, darker = more spikes per bin.

use super::axes::Scale;
use super::canvas::{Anchor, Canvas, runs};
use crate::model::TrialRaster;
use crate::numbers;

/// Number of shades above empty; the style sheet has one class for each.
const SHADES: usize = 10;

const WIDTH: f64 = 520.0;
const LEFT: f64 = 76.0;
const TOP: f64 = 8.0;

/// Observed counts and predicted rates of one trial, as two pictures with the same order of units.
pub(crate) fn draw_pair(raster: &TrialRaster) -> Option<(String, String)> {
    let n_units = raster.unit_regions.len();
    if n_units == 0 || raster.n_bins == 0 {
        return None;
    }
    let mut order: Vec<usize> = (0..n_units).collect();
    order.sort_by(|&a, &b| raster.unit_regions[a].cmp(&raster.unit_regions[b]).then(a.cmp(&b)));
    let counts: Vec<f64> = raster.counts.iter().map(|&count| f64::from(count)).collect();
    let rates: Vec<f64> = raster.rates.iter().map(|&rate| f64::from(rate)).collect();
    let title = |what: &str| format!("{what}, {} units by {} bins, {}", n_units, raster.n_bins, raster.trial);
    Some((
        draw(&title("Observed counts"), raster, &order, &counts, "spikes per bin, observed"),
        draw(&title("Predicted rates"), raster, &order, &rates, "spikes per bin, predicted"),
    ))
}

fn draw(title: &str, raster: &TrialRaster, order: &[usize], values: &[f64], unit: &str) -> String {
    let height = (order.len() as f64 * 0.62).clamp(150.0, 520.0);
    let (right, bottom) = (WIDTH - 14.0, TOP + height);
    let mut canvas = Canvas::new(WIDTH, bottom + 74.0, title);
    let peak = upper_quantile(values, 0.998);
    let n_units = order.len();
    let shade_at = |row: usize, bin: usize| shade(values[bin * n_units + order[row]], peak);
    let paths = runs(n_units, raster.n_bins, SHADES, shade_at);
    canvas.rect((LEFT, TOP), (right - LEFT, height), "panel");
    let cell = ((right - LEFT) / raster.n_bins as f64, height / n_units as f64);
    let sharpness = if cell.1 >= 1.0 { "heat crisp" } else { "heat" };
    canvas.scaled((LEFT, TOP), cell, sharpness, |canvas| {
        for (index, path) in paths.iter().enumerate() {
            canvas.path(path, &format!("q{}", index + 1));
        }
    });
    region_labels(&mut canvas, raster, order, height);
    time_axis(&mut canvas, raster, right, bottom);
    color_key(&mut canvas, peak, bottom + 50.0, unit);
    canvas.finish()
}

/// Square-root shading, so that rare spikes and low rates stay visible; `None` is empty or undefined.
fn shade(value: f64, peak: f64) -> Option<usize> {
    if !value.is_finite() || value <= 0.0 || peak <= 0.0 {
        return None;
    }
    let share = (value / peak).sqrt();
    let step = (0..SHADES).rev().find(|&step| share * SHADES as f64 >= step as f64 + 0.5)?;
    Some(step)
}

/// The value below which `share` of the positive values lie.
fn upper_quantile(values: &[f64], share: f64) -> f64 {
    let mut positive: Vec<f64> =
        values.iter().copied().filter(|value| value.is_finite() && *value > 0.0).collect();
    positive.sort_by(f64::total_cmp);
    let target = share * positive.len() as f64;
    let index = (0..positive.len()).take_while(|&index| (index as f64) < target).count();
    positive.get(index.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn region_labels(canvas: &mut Canvas, raster: &TrialRaster, order: &[usize], height: f64) {
    let row = height / order.len() as f64;
    let mut first = 0;
    let mut free_from = TOP - 4.0;
    let mut n_regions = 0_usize;
    for end in 1..=order.len() {
        let region = &raster.unit_regions[order[first]];
        if end < order.len() && raster.unit_regions[order[end]] == *region {
            continue;
        }
        let (from, to) = (TOP + row * first as f64, TOP + row * end as f64);
        let strip = if n_regions.is_multiple_of(2) { "strip-0" } else { "strip-1" };
        canvas.rect((LEFT - 6.0, from), (4.0, to - from), strip);
        n_regions += 1;
        let middle = f64::midpoint(from, to);
        if middle - 5.0 >= free_from {
            canvas.text((LEFT - 10.0, middle + 4.0), Anchor::End, "tick", region);
            free_from = middle + 5.5;
        }
        first = end;
    }
    canvas.upright_text((11.0, TOP + height / 2.0), "label", "units by region");
}

fn time_axis(canvas: &mut Canvas, raster: &TrialRaster, right: f64, bottom: f64) {
    let end = raster.start_s + raster.bin_size_s * raster.n_bins as f64;
    let time = Scale::new((raster.start_s, end), (LEFT, right));
    for (value, label) in time.ticks(5) {
        let x = time.at(value);
        canvas.line((x, bottom), (x, bottom + 4.0), "axis");
        canvas.text((x, bottom + 16.0), Anchor::Middle, "tick", &label);
    }
    let label = format!("seconds from {}", raster.event);
    canvas.text((f64::midpoint(LEFT, right), bottom + 32.0), Anchor::Middle, "label", &label);
}

fn color_key(canvas: &mut Canvas, peak: f64, y: f64, unit: &str) {
    let step = 14.0;
    canvas.text((LEFT - 6.0, y + 9.0), Anchor::End, "tick", "0");
    canvas.rect((LEFT, y), (step * (SHADES as f64 + 1.0), 11.0), "panel");
    for index in 0..SHADES {
        canvas.rect((LEFT + step * (index as f64 + 1.0), y), (step, 11.0), &format!("k{}", index + 1));
    }
    let end = LEFT + step * (SHADES as f64 + 1.0) + 6.0;
    let decimals = if peak >= 10.0 || peak.fract() == 0.0 { 0 } else { 2 };
    let text = format!("{} {unit}", numbers::decimal(peak, decimals));
    canvas.text((end, y + 9.0), Anchor::Start, "tick", &text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shading_is_monotone_and_skips_empty_cells() {
        assert_eq!(shade(0.0, 2.0), None);
        assert_eq!(shade(f64::NAN, 2.0), None);
        assert_eq!(shade(2.0, 2.0), Some(SHADES - 1));
        assert_eq!(shade(50.0, 2.0), Some(SHADES - 1));
        let shades: Vec<_> = (1..40).map(|step| shade(f64::from(step) * 0.05, 2.0)).collect();
        assert!(shades.is_sorted());
    }

    #[test]
    fn units_are_sorted_by_region_in_both_pictures() {
        let raster = TrialRaster {
            session: "s".to_owned(),
            trial: "trial 1".to_owned(),
            method: "m".to_owned(),
            bin_size_s: 0.01,
            start_s: 0.0,
            event: "stimulus".to_owned(),
            n_bins: 2,
            unit_regions: vec!["V1".to_owned(), "CA1".to_owned()],
            counts: vec![0, 1, 0, 1],
            rates: vec![0.0, 0.5, 0.0, 0.5],
        };
        let (observed, predicted) = draw_pair(&raster).unwrap_or_default();
        for picture in [observed, predicted] {
            // The only active unit is CA1, the first row after sorting, active in both bins.
            assert!(picture.contains(r#"d="M0 0.5h2""#), "{picture}");
            assert!(picture.find("CA1") < picture.find("V1"));
        }
    }
}
