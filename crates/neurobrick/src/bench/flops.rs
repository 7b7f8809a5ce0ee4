//! Floating-point operations of the model's matrix products.

use neurobrick_models::NdtStitchConfig;

use crate::bench::{BenchCase, Work};

/// Rows, inner size and columns of the product that measures the peak: the token rows of an MtM batch through a
/// square layer.
pub const PRODUCT_SHAPE: [usize; 3] = [1600, 512, 512];

/// Operations of a product `[m, k] · [k, n]`: one multiplication and one addition for every triple.
pub fn product_flops(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

/// Operations of the matrix products of one piece of work; element-wise passes (norms, softmax, dropout, optimizer)
/// are not counted, so time spent on them lowers the percentage of the peak.
///
/// With `R = B·T` rows of bins, `S = T + prefix` tokens of a trial and `Q = B·S` rows of tokens, one forward pass
/// has, in this order: read-in, embedding, projection; in every layer query, key, value and output projection
/// (`4 · 2QD²`), scores and mixing (`2 · 2BS²D`) and the MLP (`2 · 2Q·D·MLP`); read-out. Backward, every product has
/// two of its size, one for each factor, except the read-in, whose input needs no gradient.
pub fn work_flops(case: &BenchCase, work: Work) -> f64 {
    match work {
        Work::Train => 3.0 * forward(case, case.batch_size) - read_in(case, case.batch_size),
        Work::Forward => forward(case, case.batch_size),
        Work::SingleTrial => forward(case, 1),
    }
}

fn read_in(case: &BenchCase, n_trials: usize) -> f64 {
    product_flops(n_trials * case.model.n_bins, case.n_units, case.model.d_stitch)
}

fn forward(case: &BenchCase, n_trials: usize) -> f64 {
    let NdtStitchConfig { n_bins, d_stitch, d_embed, d_model, n_layers, d_mlp, prompt, .. } = case.model;
    let rows = n_trials * n_bins;
    let n_tokens = n_bins + 1 + usize::from(prompt);
    let token_rows = n_trials * n_tokens;
    let projections = 4.0 * product_flops(token_rows, d_model, d_model);
    let attention = 2.0 * n_trials as f64 * product_flops(n_tokens, d_model, n_tokens);
    let mlp = 2.0 * product_flops(token_rows, d_model, d_mlp);
    read_in(case, n_trials)
        + product_flops(rows, d_stitch, d_embed)
        + product_flops(rows, d_embed, d_model)
        + n_layers as f64 * (projections + attention + mlp)
        + product_flops(rows, d_model, case.n_units)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the operations of every product one by one, by loops over sizes.
    #[test]
    fn the_formula_agrees_with_a_hand_count() {
        // 2 trials of 3 bins and 5 units; stitch 7, embed 11, width 4 in 2 heads of 2, MLP 6, one layer, prompted.
        let model = NdtStitchConfig {
            n_bins: 3,
            d_stitch: 7,
            d_embed: 11,
            d_model: 4,
            n_layers: 1,
            n_heads: 2,
            d_mlp: 6,
            ..NdtStitchConfig::small(3)
        };
        let case = BenchCase { name: "tiny".to_owned(), model, n_units: 5, batch_size: 2, n_sessions: 1 };
        // Multiply-adds: read-in 6·5·7 = 210, embedding 6·7·11 = 462, projection 6·11·4 = 264,
        // layer on 2·5 = 10 token rows: 4·(10·4·4) = 640, scores and mixing 2·(2 trials · 2 heads · 5·5·2) = 400,
        // MLP 10·4·6 + 10·6·4 = 480; read-out 6·4·5 = 120. Sum 2576.
        assert!((work_flops(&case, Work::Forward) - 2.0 * 2576.0).abs() < 1e-9);
        assert!((work_flops(&case, Work::Train) - 2.0 * (3.0 * 2576.0 - 210.0)).abs() < 1e-9);
        assert!((work_flops(&case, Work::SingleTrial) - 2576.0).abs() < 1e-9);
        let unprompted = NdtStitchConfig { prompt: false, ..case.model.clone() };
        let case = BenchCase { model: unprompted, ..case };
        // 8 token rows: 512 + 2·(2·2·4·4·2) = 256 + 384; the rest 1056.
        assert!((work_flops(&case, Work::Forward) - 2.0 * (1056.0 + 512.0 + 256.0 + 384.0)).abs() < 1e-9);
    }
}
