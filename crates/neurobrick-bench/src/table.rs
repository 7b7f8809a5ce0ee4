//! A comparison as Markdown.

use std::fmt::Write as _;

use crate::{CaseResult, Comparison, SideResult, SideUse, Summary, Work, WorkResult};

/// Tables of times, ratios and memory, with what is needed to read them.
pub fn markdown(found: &Comparison) -> String {
    let manifest = &found.manifest;
    let mut page = format!(
        "Command `{}`, commit {}, {} ({}), {} threads, {} turns of every side; load before: {}.\n",
        manifest.command,
        manifest.commit.as_deref().unwrap_or("unknown"),
        found.processor.as_deref().unwrap_or("unknown processor"),
        manifest.cpu_features.join(", "),
        manifest.n_threads,
        found.n_repeats,
        found.load_before.map_or("unknown".to_owned(), |load| format!("{load:.1}")),
    );
    if found.cases.len() > 1 {
        let _ = write!(page, "\n{}", overview(&found.cases));
    }
    for case in &found.cases {
        let _ = write!(page, "\n### {}\n\n{}", case.title, times(case));
        let _ = write!(page, "\n{}", memory(case));
    }
    for reason in &found.missing {
        let _ = writeln!(page, "\nNot measured: {reason}");
    }
    page.push_str(LEGEND);
    page
}

const LEGEND: &str = "
Times are medians (minima) in ms; ratios are the peer's time over ours, by medians (by minima), above 1 where ours is
faster. Sides take turns, each in a process of its own. The peak is the best of all turns of 1600 x 512 x 512 products
in f32, one per thread at once, by our own matrix product; the percentage counts only the operations of the work's
matrix products, over its median time. Memory is the largest resident memory during the timed train steps, in
brackets by how much that is more than before model and batch were built. Page faults (minor) per step stand for
fresh allocations; memory that is reused causes none.
";

/// Every case and work in one table.
fn overview(cases: &[CaseResult]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    for side in cases.iter().flat_map(|case| case.sides.iter().skip(1)) {
        if !peers.contains(&side.side.as_str()) {
            peers.push(&side.side);
        }
    }
    let mut table = format!("| case | work |{}\n|---|---|", heads(&peers));
    table.push_str(&"---:|".repeat(1 + 2 * peers.len()));
    table.push('\n');
    for case in cases {
        for work in &case.works {
            let _ = writeln!(table, "| {} | {} |{}", case.name, work.work.label(), cells(case, work, &peers));
        }
    }
    table
}

/// Columns of all sides and of the ratios.
fn heads(peers: &[&str]) -> String {
    let times = peers.iter().map(|peer| format!(" {peer} |"));
    let ratios = peers.iter().map(|peer| format!(" {peer} / ours |"));
    std::iter::once(" neurobrick |".to_owned()).chain(times).chain(ratios).collect()
}

fn times(case: &CaseResult) -> String {
    let peers: Vec<&str> = case.sides.iter().skip(1).map(|s| s.side.as_str()).collect();
    let mut table = format!("| work |{} of peak |\n|---|", heads(&peers));
    table.push_str(&"---:|".repeat(2 + 2 * peers.len()));
    table.push('\n');
    for work in &case.works {
        let _ = writeln!(table, "{}", row(case, work, &peers));
    }
    table
}

fn row(case: &CaseResult, work: &WorkResult, peers: &[&str]) -> String {
    let ours = case.sides.first().and_then(|own| summary_of(work, &own.side));
    let peak = case.sides.first().and_then(SideUse::best_product);
    let share =
        ours.zip(peak).zip(work.flops).map(|((ours, peak), flops)| flops / ours.median / (peak * 1e9));
    let share = share.map_or("-".to_owned(), |s| format!("{:.0} %", 100.0 * s));
    format!("| {} |{} {share} |", work.work.label(), cells(case, work, peers))
}

fn summary_of(work: &WorkResult, side: &str) -> Option<Summary> {
    work.sides.iter().find(|s| s.side == side).and_then(SideResult::summary)
}

/// Times of all sides and ratios.
fn cells(case: &CaseResult, work: &WorkResult, peers: &[&str]) -> String {
    let ours = case.sides.first().and_then(|own| summary_of(work, &own.side));
    let time = |s: Option<Summary>| {
        s.map_or("-".to_owned(), |s| format!("{} ({})", milliseconds(s.median), milliseconds(s.min)))
    };
    let mut cells = format!(" {} |", time(ours));
    for peer in peers {
        let _ = write!(cells, " {} |", time(summary_of(work, peer)));
    }
    for peer in peers {
        let ratio = ours.zip(summary_of(work, peer)).map_or("-".to_owned(), |(ours, peer)| {
            let (median, min) = ours.speed_up_over(&peer);
            format!("{median:.2} ({min:.2})")
        });
        let _ = write!(cells, " {ratio} |");
    }
    cells
}

fn milliseconds(seconds: f64) -> String {
    let ms = 1e3 * seconds;
    if ms < 10.0 {
        format!("{ms:.2}")
    } else if ms < 100.0 {
        format!("{ms:.1}")
    } else {
        format!("{ms:.0}")
    }
}

fn memory(case: &CaseResult) -> String {
    let mut table = String::from(
        "| side | peak memory, MB | page faults per train step | product peak, GFLOP/s | loss, nats | ran |\n\
         |---|---:|---:|---:|---:|---|\n",
    );
    let train = case.works.iter().find(|w| w.work == Work::Train);
    for side in &case.sides {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let peak = side.peak_bytes.zip(side.start_bytes).map_or("-".to_owned(), |(peak, start)| {
            format!("{:.0} (+{:.0})", megabytes(peak), megabytes(peak) - megabytes(start))
        });
        let faults = train
            .and_then(|w| w.sides.iter().find(|s| s.side == side.side))
            .and_then(SideResult::page_faults_each)
            .map_or("-".to_owned(), |f| format!("{f:.0}"));
        let product = side.best_product().map_or("-".to_owned(), |g| format!("{g:.0}"));
        let ran = [side.version.as_str(), side.note.as_str()];
        let ran = ran.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            table,
            "| {} | {peak} | {faults} | {product} | {:.2} | {ran} |",
            side.side, side.eval_loss
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BenchCase;
    use neurobrick_evaluate::{Compute, RunManifest};

    #[test]
    fn ratios_are_peer_over_ours_and_a_missing_side_is_a_dash() {
        let case = BenchCase::all().remove(0);
        let mut train = WorkResult::new(Work::Train, Some(8e9));
        train.side_mut("neurobrick").push(&[0.2, 0.1, 0.3], Some(30));
        train.side_mut("eager").push(&[0.5, 0.4, 0.6], Some(600));
        let side = |name: &str, gflops: Vec<f64>| SideUse {
            side: name.to_owned(),
            version: "v 1".to_owned(),
            note: String::new(),
            eval_loss: 12.5,
            product_gflops: gflops,
            start_bytes: Some(1_000_000),
            peak_bytes: Some(5_000_000),
        };
        let peak = 2.0 * 8e9 / 0.2 / 1e9;
        let sides =
            vec![side("neurobrick", vec![peak, peak / 2.0]), side("eager", vec![]), side("compiled", vec![])];
        let one = CaseResult {
            name: case.name.clone(),
            title: case.describe(),
            sides: sides.clone(),
            works: vec![train.clone()],
        };
        let other = CaseResult { name: "other".to_owned(), title: String::new(), sides, works: vec![train] };
        let cases = vec![one, other];
        let found = Comparison {
            manifest: RunManifest::new("cargo xtask bench --peers", 1, Compute::threads(2), Vec::new()),
            processor: None,
            load_before: Some(0.25),
            n_repeats: 1,
            cases,
            missing: vec!["something".to_owned()],
        };
        let page = markdown(&found);
        let row = "| train step | 200 (100) | 500 (400) | - | 2.50 (4.00) | - | 50 % |";
        assert!(page.contains(row), "{page}");
        assert!(page.contains("2 threads, 1 turns of every side; load before: 0.2."), "{page}");
        assert!(page.contains("| eager | 5 (+4) | 200 | - | 12.50 | v 1 |"), "{page}");
        assert!(page.contains("Not measured: something"), "{page}");
        let row = "| other | train step | 200 (100) | 500 (400) | - | 2.50 (4.00) | - |\n";
        assert!(page.contains(row), "{page}");
    }
}
