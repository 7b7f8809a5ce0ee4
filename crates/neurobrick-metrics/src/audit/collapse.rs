//! Decoders that answer one class, and outputs that span fewer dimensions than they have.

use faer::Par;
use ndarray::Axis;

use super::decoder::{Design, n_classes};
use super::{AuditRows, AuditSplit, Check, Finding, Outcome};
use crate::MetricError;
use crate::linalg::{column_means, gram, matrix_of, subtract_from_columns};

pub(super) fn predicted_classes(
    rows: &AuditRows,
    split: &AuditSplit,
    design: &Design,
) -> Result<Finding, MetricError> {
    let predicted = design.predict(&rows.labels)?;
    let truth: Vec<usize> = split.test.iter().map(|&row| rows.labels[row]).collect();
    let (n_predicted, n_true) = (n_classes(&predicted), n_classes(&truth));
    let numbers = [("classes predicted", n_predicted as f64), ("classes in the test rows", n_true as f64)];
    let (outcome, message) = if n_predicted < 2 && n_true > 1 {
        (
            Outcome::Warning,
            "the decoder answers the same class on every test row; its plain accuracy is that of the majority",
        )
    } else {
        (Outcome::Pass, "the decoder answers more than one class")
    };
    Ok(Finding::new(Check::PredictedClasses, outcome, message.to_owned(), &numbers))
}

/// Effective dimension of the outputs over rows, the participation ratio of the eigenvalues of their covariance.
pub(super) fn collapsed_outputs(rows: &AuditRows) -> Finding {
    let check = Check::CollapsedOutputs;
    let Some(outputs) = &rows.outputs else {
        return Finding::not_applicable(check, "no outputs of a model are given");
    };
    let n_columns = outputs.len_of(Axis(1));
    let mut centered = matrix_of(&outputs.view());
    let means = column_means(centered.as_ref());
    subtract_from_columns(&mut centered, &means);
    let covariance = gram(centered.as_ref(), Par::Seq);
    let trace: f64 = (0..n_columns).map(|i| covariance[(i, i)]).sum();
    // The trace of the square is the sum of squared eigenvalues.
    let squares: f64 = (0..n_columns)
        .flat_map(|j| (0..n_columns).map(move |i| (i, j)))
        .map(|(i, j)| covariance[(i.max(j), i.min(j))].powi(2))
        .sum();
    let constant = (0..n_columns).filter(|&i| covariance[(i, i)] <= 1e-12 * trace).count();
    let dimension = if squares > 0.0 { trace * trace / squares } else { 0.0 };
    let numbers = [
        ("columns", n_columns as f64),
        ("columns that never change", constant as f64),
        ("effective dimension", dimension),
    ];
    let (outcome, message) = if trace <= 0.0 {
        (Outcome::Fail, "the outputs are the same on every row".to_owned())
    } else if 2 * constant > n_columns || (n_columns > 2 && dimension < 1.05) {
        let text = format!(
            "{n_columns} outputs move along {dimension:.2} dimensions, {constant} of them never; the model has collapsed"
        );
        (Outcome::Fail, text)
    } else if n_columns > 8 && dimension < 2.0 {
        (Outcome::Warning, format!("{n_columns} outputs move along {dimension:.2} effective dimensions"))
    } else {
        (Outcome::Pass, format!("{n_columns} outputs move along {dimension:.2} effective dimensions"))
    };
    Finding::new(check, outcome, message, &numbers)
}
