//! Rows that occur twice.

use std::collections::HashMap;

use super::{AuditRows, AuditSettings, AuditSplit, Check, Finding, Outcome};

/// Expected pairs with a content, were the features independent, below which a pair was copied rather than met by chance.
const COINCIDENCE: f64 = 1e-3;

/// Test rows whose content is that of a training row, by hash and then bit by bit. Rows of several features that do not
/// vary (silent windows) are equal by nature and left out.
///
/// Rows of few small numbers, as counts of few units, coincide by chance. So the check fails only if a content is too
/// particular to meet twice, or if more test rows have a twin among training rows than training rows have one of another
/// trial, beyond sampling error (Fisher's exact test).
pub(super) fn duplicates(rows: &AuditRows, split: &AuditSplit, settings: &AuditSettings) -> Finding {
    let content = |row: usize| -> Option<Vec<u64>> {
        let values = rows.features.row(row);
        let counts = values.len() == 1 || values.iter().any(|&v| v - values[0] != 0.0);
        counts.then(|| values.iter().map(|v| v.to_bits()).collect())
    };
    let contents = |side: &[usize]| -> Vec<(usize, Vec<u64>)> {
        side.iter().filter_map(|&row| Some((row, content(row)?))).collect()
    };
    let (train, test) = (contents(&split.train), contents(&split.test));
    // The map hashes the content and compares it on equal hashes.
    let mut known: HashMap<&[u64], Vec<usize>> = HashMap::new();
    for (row, content) in &train {
        known.entry(content).or_default().push(*row);
    }
    let twins: Vec<(usize, usize)> =
        test.iter().filter_map(|(row, content)| Some((*row, known.get(&content[..])?[0]))).collect();
    let is_met = |(row, content): &&(usize, Vec<u64>)| {
        known[&content[..]].iter().any(|other| rows.trials[*other] != rows.trials[*row])
    };
    let n_met = train.iter().filter(is_met).count();
    let mut numbers = vec![
        ("test rows that are training rows", twins.len() as f64),
        ("training rows that are rows of another trial", n_met as f64),
    ];
    let Some((first, of)) = twins.first() else {
        let message = "no test row has the content of a training row".to_owned();
        return Finding::new(Check::Duplicates, Outcome::Pass, message, &numbers);
    };
    let p_value = as_many(twins.len(), test.len(), n_met, train.len());
    let pairs = train.len() as f64 * test.len() as f64;
    let rarest = rarest(rows, &twins) * pairs;
    numbers.extend([("chance of so many", p_value), ("expected pairs with the rarest content", rarest)]);
    let told = format!(
        "{} of {} test rows are also training rows, bit by bit (row {first} is row {of})",
        twins.len(),
        test.len()
    );
    let met = format!("{n_met} of {} training rows are also rows of another trial", train.len());
    let (outcome, message) = if rarest < COINCIDENCE {
        (
            Outcome::Fail,
            format!("{told}, too particular to meet by chance; remove the copies before splitting"),
        )
    } else if p_value < settings.alpha {
        (Outcome::Fail, format!("{told}, and only {met}; remove the copies before splitting"))
    } else {
        (Outcome::Warning, format!("{told}, and {met}: with so few values rows may be equal by chance"))
    };
    Finding::new(Check::Duplicates, outcome, message, &numbers)
}

/// The least product, over these rows, of the shares of rows that have their values.
fn rarest(rows: &AuditRows, twins: &[(usize, usize)]) -> f64 {
    let mut log_shares = vec![0.0; twins.len()];
    for column in rows.features.columns() {
        let mut counts: HashMap<u64, f64> = HashMap::new();
        for value in column {
            *counts.entry(value.to_bits()).or_default() += 1.0;
        }
        for (log_share, (row, _)) in log_shares.iter_mut().zip(twins) {
            *log_share += (counts[&column[*row].to_bits()] / column.len() as f64).ln();
        }
    }
    log_shares.into_iter().fold(f64::INFINITY, f64::min).exp()
}

/// Chance that at least `test` of the rows with a mark fall among `n_test` rows if the marks are dealt to all rows.
fn as_many(test: usize, n_test: usize, train: usize, n_train: usize) -> f64 {
    let ways = |n: usize, k: usize| {
        let log_factorial = |n: usize| libm::lgamma(n as f64 + 1.0);
        log_factorial(n) - log_factorial(k) - log_factorial(n - k)
    };
    let marked = test + train;
    let all = ways(n_test + n_train, marked);
    (test..=marked.min(n_test))
        .filter(|k| marked - k <= n_train)
        .map(|k| (ways(n_test, k) + ways(n_train, marked - k) - all).exp())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_dealt_to_all_rows() {
        // C(58, 1) / C(192, 1), C(58, 2) / C(192, 2), and certainty.
        assert!((as_many(1, 58, 0, 134) - 58.0 / 192.0).abs() < 1e-12);
        assert!((as_many(2, 58, 0, 134) - 58.0 * 57.0 / (192.0 * 191.0)).abs() < 1e-12);
        assert!((as_many(0, 58, 7, 134) - 1.0).abs() < 1e-10);
    }
}
