//! Rows that occur twice.

use std::collections::HashMap;

use super::{AuditRows, AuditSplit, Check, Finding, Outcome};

/// Test rows whose content is that of a training row, by hash and then bit by bit. Rows that do not vary (silent windows)
/// are equal by nature and left out.
pub(super) fn duplicates(rows: &AuditRows, split: &AuditSplit) -> Finding {
    let content = |row: usize| -> Option<Vec<u64>> {
        let values = rows.features.row(row);
        let varies = values.iter().any(|&v| v - values[0] != 0.0);
        varies.then(|| values.iter().map(|v| v.to_bits()).collect())
    };
    // The map hashes the content and compares it on equal hashes.
    let mut known: HashMap<Vec<u64>, usize> = HashMap::new();
    for &row in &split.train {
        if let Some(content) = content(row) {
            known.insert(content, row);
        }
    }
    let twice: Vec<(usize, usize)> =
        split.test.iter().filter_map(|&row| Some((row, *known.get(&content(row)?)?))).collect();
    let numbers = [("test rows that are training rows", twice.len() as f64)];
    let Some((test, train)) = twice.first() else {
        let message = "no test row has the content of a training row".to_owned();
        return Finding::new(Check::Duplicates, Outcome::Pass, message, &numbers);
    };
    let message = format!(
        "{} of {} test rows are also training rows, bit by bit (row {test} is row {train}); remove the copies before splitting",
        twice.len(),
        split.test.len()
    );
    Finding::new(Check::Duplicates, Outcome::Fail, message, &numbers)
}
