//! Floating-point operations of the model's matrix products.

use neurobrick_models::NdtStitchConfig;

use crate::{BenchCase, Work};

/// Rows, inner size and columns of the product that measures the peak: the token rows of an MtM batch through a
/// square layer.
pub const PRODUCT_SHAPE: [usize; 3] = [1600, 512, 512];

/// Numbers that training keeps of a parameter.
const KEPT_NUMBERS: usize = 4;
/// Rows of the table of prompts.
const N_PROMPTS: usize = 4;

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

/// Numbers the model of `case` is. A session adds `N·(stitch + D) + stitch + N` for its stitch and `D` for its token;
/// a layer has `4D² + 2D·MLP` weights, `9D + MLP` biases and norms.
pub fn n_parameters(case: &BenchCase) -> usize {
    let NdtStitchConfig { n_bins, d_stitch, d_embed, d_model, n_layers, d_mlp, prompt, .. } = case.model;
    let linear = |n_in: usize, n_out: usize| n_in * n_out + n_out;
    let session = linear(case.n_units, d_stitch) + linear(d_model, case.n_units) + d_model;
    let layer = 4 * linear(d_model, d_model) + linear(d_model, d_mlp) + linear(d_mlp, d_model) + 4 * d_model;
    let tables = (n_bins + if prompt { N_PROMPTS } else { 0 }) * d_model;
    // Stitches as wide as tokens have no shared embedding.
    let embedding = if d_embed > 0 { linear(d_stitch, d_embed) + linear(d_embed, d_model) } else { 0 };
    case.n_sessions * session + tables + embedding + n_layers * layer + 2 * d_model
}

/// Bytes that a train step cannot do without as it is computed: what training keeps of every parameter (weight, the
/// best weight, two moments), a gradient for every parameter of one session's part, and what the backward pass reads of
/// the forward pass: inputs of all products, queries, keys, values, attention weights, and rates, targets and counted
/// entries. Program, threads and temporaries come on top.
pub fn needed_bytes(case: &BenchCase) -> usize {
    let NdtStitchConfig { n_bins, d_stitch, d_embed, d_model, n_layers, n_heads, d_mlp, prompt, .. } =
        case.model;
    let n_tokens = n_bins + 1 + usize::from(prompt);
    let (rows, token_rows) = (case.batch_size * n_bins, case.batch_size * n_tokens);
    let one_session = BenchCase { n_sessions: 1, ..case.clone() };
    let kept = KEPT_NUMBERS * n_parameters(case) + n_parameters(&one_session);
    let bins = rows * (4 * case.n_units + d_stitch + 2 * d_embed + d_model);
    // Normed input, query, key, value, mixed values, normed input of the MLP; its hidden layer before and after GELU.
    let layer = token_rows * (6 * d_model + 2 * d_mlp) + case.batch_size * n_heads * n_tokens * n_tokens;
    size_of::<f32>() * (kept + bins + n_layers * layer)
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
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use burn::module::Module;

    use super::*;
    use crate::{Material, ScaleAxis};

    #[test]
    fn needed_bytes_grow_as_counted_by_hand() {
        let case = ScaleAxis::Tokens.case(100);
        let grown = |change: fn(&mut BenchCase)| {
            let mut case = case.clone();
            change(&mut case);
            needed_bytes(&case) - needed_bytes(&ScaleAxis::Tokens.case(100))
        };
        // A session: 300 (128 + 128) + 128 + 300 + 128 parameters of 16 bytes.
        assert_eq!(grown(|case| case.n_sessions += 1), 16 * (300 * 256 + 128 + 300 + 128));
        // A unit: 257 parameters of 20 bytes; 1600 bins of 4 numbers.
        assert_eq!(grown(|case| case.n_units += 1), 20 * 257 + 4 * 1600 * 4);
        // A trial: 100 bins of 1200 + 128 + 512 + 128, 102 tokens of 4 (768 + 512), 4 heads of 102² in 4 layers.
        assert_eq!(grown(|case| case.batch_size += 1), 4 * (100 * 1968 + 102 * 4 * 1280 + 16 * 102 * 102));
    }

    #[test]
    fn parameters_on_paper_are_those_of_the_model() {
        for axis in ScaleAxis::ALL {
            let ladder = axis.ladder(false);
            for case in [axis.case(ladder[0]), axis.case(ladder[2])] {
                let model = Material::draw(&case, 1).unwrap().model;
                assert_eq!(n_parameters(&case), model.num_params(), "{}", case.describe());
                let prompt = false;
                let config = NdtStitchConfig { prompt, ..case.model.clone() };
                let case = BenchCase { model: config, ..case };
                assert_eq!(n_parameters(&case) + 4 * case.model.d_model, model.num_params());
                let d_model = case.model.d_model;
                let config = NdtStitchConfig { d_stitch: d_model, d_embed: 0, ..case.model.clone() };
                let case = BenchCase { model: config, ..case };
                let model = Material::draw(&case, 1).unwrap().model;
                assert_eq!(n_parameters(&case), model.num_params(), "without an embedding");
            }
        }
    }

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
