//! Models whose matrices are rounded as a stream would store them, to score what that costs.

use burn::module::Module;
use burn::tensor::TensorData;
use neurobrick_core::ModelError;
use neurobrick_core::weights::{load_state_dict, state_dict};
use neurobrick_stream::Precision;

/// Tables that are looked up, not multiplied: they stay as they are.
const TABLES: [&str; 3] = ["embed_pos.", "embed_prompt.", "embed_session."];

/// `model` with every matrix of a product rounded to what `precision` stores; biases, norms and tables stay.
///
/// # Errors
/// If a matrix holds a value that is not finite, or is not once rounded.
pub fn rounded<M: Module>(model: M, precision: Precision) -> Result<M, ModelError> {
    let mut state = state_dict(&model);
    for (path, data) in &mut state {
        let shape = data.shape().to_vec();
        if shape.len() != 2 || TABLES.iter().any(|table| path.starts_with(table)) {
            continue;
        }
        let mut weight: Vec<f32> = data.iter::<f32>().collect();
        precision.round_matrix(&mut weight, shape[1]);
        // Rounding would turn a NaN into a number, and a model that is broken would get a score.
        let is_finite = |x: &f32| x.is_finite();
        if !data.iter::<f32>().all(|x| is_finite(&x)) || !weight.iter().all(is_finite) {
            return Err(ModelError::Unsupported {
                what: format!(
                    "store `{path}` as {precision}, since it holds a value that is not finite or too large"
                ),
                hint: "use a model whose training did not diverge".to_owned(),
            });
        }
        *data = TensorData::new(weight, shape);
    }
    load_state_dict(model, state)
}
