//! Positions that are not learned.

use burn::tensor::{Device, Tensor, TensorData};

/// The table `[n, D]` of Vaswani et al. (2017): sines in even columns, cosines in odd ones, periods from 2π to
/// 10000·2π in geometric steps. Row `i` is position `first + i`; NDT-1 begins at 1.
///
/// # Panics
/// If `d_model` is odd.
pub fn sinusoid(n: usize, d_model: usize, first: usize, device: &Device) -> Tensor<2> {
    assert_eq!(d_model % 2, 0, "sines and cosines come in pairs; the width is {d_model}");
    let value = |i: usize| {
        let (position, column) = ((first + i / d_model) as f64, i % d_model);
        let angle = position * (-(10_000f64.ln()) * (column - column % 2) as f64 / d_model as f64).exp();
        if column % 2 == 0 { angle.sin() } else { angle.cos() }
    };
    let values: Vec<f64> = (0..n * d_model).map(value).collect();
    Tensor::from_data(TensorData::new(values, [n, d_model]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_columns_turn_fastest() {
        let table: Vec<f64> = sinusoid(2, 4, 1, &Device::flex()).into_data().iter::<f64>().collect();
        let expected = [1f64, 0.01, 2.0, 0.02].map(f64::sin_cos);
        let pairs = expected.iter().flat_map(|&(sin, cos)| [sin, cos]);
        for (found, expected) in table.iter().zip(pairs) {
            assert!((found - expected).abs() < 1e-7, "{table:?}");
        }
        assert_eq!(table.len(), 8);
    }
}
