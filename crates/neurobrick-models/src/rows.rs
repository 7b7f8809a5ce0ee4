//! Rows of tables, by number.

use burn::tensor::{Device, Int, Tensor, TensorData};

/// Numbers of rows as a tensor.
pub(crate) fn indices(rows: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    #[expect(clippy::cast_possible_wrap, clippy::cast_possible_truncation, reason = "rows of a table")]
    let rows: Vec<i32> = rows.map(|row| row as i32).collect();
    let n = rows.len();
    Tensor::from_data(TensorData::new(rows, [n]), device)
}

/// Rows `[R, D]` of a table `[N, D]`.
pub(crate) fn select(table: Tensor<2>, rows: impl Iterator<Item = usize>) -> Tensor<2> {
    let rows = indices(rows, &table.device());
    table.select(0, rows)
}
