//! Ladders of cost as Markdown and as a figure.

use std::fmt::Write as _;

use neurobrick_report::{LogCurve, LogPanel, log_panels};

use crate::{OffsetPower, ScaleAxis, ScalePoint, Scaling, Work, base_case, needed_bytes, upper_exponent};

/// A curve that grows by less than this over its ladder has no exponent worth naming.
const FLAT: f64 = 1.25;

/// Tables of costs and exponents, with what is needed to read them.
pub fn scaling_markdown(found: &Scaling) -> String {
    let manifest = &found.manifest;
    let mut page = format!(
        "Command `{}`, commit {}, {} ({}), {} threads, {} processes per point; load before: {}; product peak {:.0} \
         GFLOP/s.\n\n{}.\n",
        manifest.command,
        manifest.commit.as_deref().unwrap_or("unknown"),
        found.processor.as_deref().unwrap_or("unknown processor"),
        manifest.cpu_features.join(", "),
        manifest.n_threads,
        found.n_rounds,
        found.load_before.map_or("unknown".to_owned(), |load| format!("{load:.1}")),
        found.product_peak(),
        base_case().describe(),
    );
    for axis in ScaleAxis::ALL {
        let points = found.along(axis);
        if !points.is_empty() {
            let _ = write!(page, "\n{}", costs(found, axis, &points));
        }
    }
    let _ = write!(page, "\n{}{LEGEND}", exponents(found));
    page
}

const LEGEND: &str = "
Times are medians over all processes of a point; every process is fresh and runs only its point. Products are the
operations of the matrix products of a train step on paper, and their share of the product peak over its median time.
Kept is what training holds between steps: weights, a copy of the best ones, and AdamW's two moments, 16 bytes per
parameter; needed adds, on paper, gradients and what the backward pass reads of the forward pass. Peak is the largest
resident memory of a process during its train steps. The exponent is the slope of log cost on log size over the upper
half of the ladder, beside it that of the operations, or of the needed memory, on paper. The curve is fitted to the
whole ladder, x being the size; in brackets, how far it misses a point at most. A cost that grows by less than a
quarter over the ladder is called flat.
";

fn costs(found: &Scaling, axis: ScaleAxis, points: &[&ScalePoint]) -> String {
    let mut table = format!(
        "| {} | train step, ms | forward, ms | products, GFLOP | of peak | parameters | kept, MB | needed, MB | peak, MB | page faults per step |\n\
         |{}\n",
        axis.label(),
        "---:|".repeat(10)
    );
    for point in points {
        let train = point.median_s(Work::Train);
        let share = point.flops(Work::Train) / train / (found.product_peak() * 1e9);
        let faults = point
            .page_faults
            .map_or("-".to_owned(), |all| format!("{:.0}", all as f64 / point.train_s.len().max(1) as f64));
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {:.0} % | {} | {} | {} | {} | {faults} |",
            point.size,
            three_digits(1e3 * train),
            three_digits(1e3 * point.median_s(Work::Forward)),
            three_digits(1e-9 * point.flops(Work::Train)),
            100.0 * share,
            grouped(point.n_parameters),
            three_digits(1e-6 * point.kept_bytes as f64),
            three_digits(1e-6 * needed_bytes(&point.case) as f64),
            three_digits(1e-6 * point.peak_memory()),
        );
    }
    table
}

/// A cost that is fitted: its name, unit, how it is measured and what is expected on paper.
struct Cost {
    name: &'static str,
    unit: &'static str,
    measured: fn(&ScalePoint) -> f64,
    on_paper: fn(&ScalePoint) -> f64,
}

const COSTS: [Cost; 3] = [
    Cost {
        name: "train step",
        unit: "ms",
        measured: |p| 1e3 * p.median_s(Work::Train),
        on_paper: |p| p.flops(Work::Train),
    },
    Cost {
        name: "forward",
        unit: "ms",
        measured: |p| 1e3 * p.median_s(Work::Forward),
        on_paper: |p| p.flops(Work::Forward),
    },
    Cost {
        name: "peak memory",
        unit: "MB",
        measured: |p| 1e-6 * p.peak_memory(),
        on_paper: |p| needed_bytes(&p.case) as f64,
    },
];

fn exponents(found: &Scaling) -> String {
    let mut table = String::from(
        "| size | cost | exponent | on paper | curve over the whole ladder |\n|---|---|---:|---:|---|\n",
    );
    for axis in ScaleAxis::ALL {
        let points = found.along(axis);
        for cost in &COSTS {
            let of = |value: fn(&ScalePoint) -> f64| -> Vec<(f64, f64)> {
                points.iter().map(|p| (p.size as f64, value(p))).collect()
            };
            let (measured, on_paper) = (of(cost.measured), of(cost.on_paper));
            let slope = |points: &[(f64, f64)]| {
                upper_exponent(points).map_or("-".to_owned(), |slope| format!("{slope:.2}"))
            };
            if !measured.is_empty() {
                let _ = writeln!(
                    table,
                    "| {} | {} | {} | {} | {} |",
                    axis.label(),
                    cost.name,
                    slope(&measured),
                    slope(&on_paper),
                    curve(&measured, cost.unit)
                );
            }
        }
    }
    table
}

fn curve(points: &[(f64, f64)], unit: &str) -> String {
    let low = points.iter().fold(f64::INFINITY, |low, p| low.min(p.1));
    let high = points.iter().fold(0.0f64, |high, p| high.max(p.1));
    if high < FLAT * low {
        return format!("flat: {} to {} {unit}", three_digits(low), three_digits(high));
    }
    OffsetPower::fit(points).map_or("-".to_owned(), |fit| {
        format!(
            "{} + {} x^{:.2} {unit} ({:.0} %)",
            three_digits(fit.offset),
            three_digits(fit.factor),
            fit.exponent,
            100.0 * fit.worst
        )
    })
}

/// Cost over that at the smallest size, axis by axis, as an SVG file; `None` if nothing was measured.
pub fn scaling_figure(found: &Scaling) -> Option<String> {
    let panels: Vec<LogPanel> = ScaleAxis::ALL
        .into_iter()
        .filter(|&axis| !found.along(axis).is_empty())
        .map(|axis| {
            let points = found.along(axis);
            let curve = |name: &str, is_expected: bool, value: fn(&ScalePoint) -> f64| {
                let start = points.first().map_or(f64::NAN, |p| value(p));
                let points = points.iter().map(|p| (p.size as f64, value(p) / start)).collect();
                LogCurve { name: name.to_owned(), points, is_expected }
            };
            let [train, forward, memory] = COSTS;
            LogPanel {
                x_label: axis.label().to_owned(),
                curves: vec![
                    curve("train step, time", false, train.measured),
                    curve("forward, time", false, forward.measured),
                    curve("train step, peak memory", false, memory.measured),
                    curve("operations on paper", true, train.on_paper),
                    curve("needed memory on paper", true, memory.on_paper),
                ],
            }
        })
        .collect();
    log_panels("Cost against size", "cost over that of the smallest", &panels)
}

fn three_digits(value: f64) -> String {
    let size = value.abs();
    if size >= 99.95 || size == 0.0 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 1.0 {
        format!("{value:.2}")
    } else if size >= 0.01 {
        format!("{value:.3}")
    } else {
        format!("{value:.1e}")
    }
}

/// A count in thousands or millions, as sizes of models are given.
fn grouped(n: usize) -> String {
    if n >= 1_000_000 { format!("{:.2} M", n as f64 / 1e6) } else { format!("{:.0} k", n as f64 / 1e3) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;
    use neurobrick_evaluate::{Compute, RunManifest};

    /// Time of 10 ms and one per layer, memory that stays.
    fn found() -> Scaling {
        let point = |&size: &usize| ScalePoint {
            n_parameters: 1_234_567,
            kept_bytes: 19_753_072,
            train_s: vec![0.5, 1e-3 * (10.0 + size as f64), 0.001],
            forward_s: vec![1e-3 * size as f64],
            page_faults: Some(30),
            peak_bytes: vec![2_000_000, 1_000_000 * (100 + size as u64), 500_000_000],
            product_gflops: vec![1.0, size as f64],
            ..ScalePoint::new(ScaleAxis::Layers, size)
        };
        Scaling {
            manifest: RunManifest::new("cargo xtask bench --scaling", 1, Compute::threads(2), Vec::new()),
            processor: None,
            load_before: None,
            n_rounds: 3,
            points: ScaleAxis::Layers.ladder(false).iter().map(point).collect(),
        }
    }

    #[test]
    fn costs_and_exponents_stand_in_the_tables() {
        let mut found = found();
        let page = scaling_markdown(&found);
        let flops = found.points[4].flops(Work::Train);
        let share = 100.0 * flops / 0.026 / 16e9;
        let row = format!(
            "| 16 | 26.0 | 16.0 | {} | {share:.0} % | 1.23 M | 19.8 | {} | 116 | 10 |",
            three_digits(1e-9 * flops),
            three_digits(1e-6 * needed_bytes(&found.points[4].case) as f64)
        );
        assert!(page.contains(&row), "{row}\n{page}");
        assert!(page.contains("| layers | forward | 1.00 | "), "{page}");
        assert!(page.contains("| 0 + 1.00 x^1.00 ms (0 %) |"), "{page}");
        assert!(page.contains("| 10.0 + 1.00 x^1.00 ms (0 %) |"), "{page}");
        assert!(page.contains("flat: 101 to 116 MB"), "{page}");
        assert!(!page.contains("| units |"), "what was not measured is not in the tables");
        found.points.truncate(1);
        assert!(scaling_markdown(&found).contains("| layers | train step | - | - | flat: 11.0 to 11.0 ms |"));
    }

    #[test]
    fn the_figure_has_a_panel_per_axis_that_was_measured() {
        let mut found = found();
        let figure = scaling_figure(&found).unwrap();
        assert_eq!(figure.matches(">layers</text>").count(), 1, "{figure}");
        assert_eq!(figure.matches("<circle").count(), 15);
        assert!(figure.contains("forward, time: 16.000 at 16"), "{figure}");
        found.points.clear();
        assert_eq!(scaling_figure(&found), None);
    }
}
