//! Similarity of representations and ceilings: invariances, closed forms and SciPy's numbers.
#![allow(
    clippy::float_cmp,
    clippy::unwrap_used,
    reason = "tests; exact equality is the claim where asserted"
)]

use ndarray::{Array2, Axis, array};
use neurobrick_metrics::MetricError;
use neurobrick_metrics::similarity::{
    Correlation, Dissimilarity, DissimilarityKind, Procrustes, RdmCeiling, Reliability, fraction_explainable,
    linear_cka, linear_cka_unbiased,
};
use neurobrick_random::{Domain, Stream};

fn normal(seed: u64, rows: usize, columns: usize) -> Array2<f64> {
    let mut stream = Stream::new(seed, Domain::Synthetic, [3, 0, 0]);
    Array2::from_shape_simple_fn((rows, columns), || stream.normal())
}

/// A rotation of three dimensions, a scale and a shift.
fn moved(x: &Array2<f64>) -> Array2<f64> {
    let (s, c) = 0.7f64.sin_cos();
    let turn = array![[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, -1.0]];
    x.dot(&turn) * 2.5 + 4.0
}

#[test]
fn alignment_ignores_rotation_scale_and_shift() {
    let (x, y) = (normal(1, 12, 3), normal(2, 12, 3));
    let turned = moved(&x);
    for cka in [linear_cka, linear_cka_unbiased] {
        assert!((cka(&x.view(), &turned.view()).unwrap() - 1.0).abs() < 1e-12);
        let (forth, back) = (cka(&x.view(), &y.view()).unwrap(), cka(&y.view(), &turned.view()).unwrap());
        assert!((forth - back).abs() < 1e-12 && forth < 0.9);
    }
    let fit = Procrustes::new(&x.view(), &turned.view()).unwrap();
    assert!(fit.disparity < 1e-12 && (fit.scale - 2.5).abs() < 1e-12, "{fit:?}");
    let centered = |m: &Array2<f64>| m - &(m.sum_axis(Axis(0)) / 12.0);
    let carried = centered(&x).dot(&fit.rotation) * fit.scale;
    assert!((carried - centered(&turned)).iter().all(|gap| gap.abs() < 1e-10));
    // Between unrelated wide matrices the plain number is high, the unbiased one is not.
    let (wide, other) = (normal(5, 20, 2000), normal(6, 20, 2000));
    assert!(linear_cka(&wide.view(), &other.view()).unwrap() > 0.9);
    assert!(linear_cka_unbiased(&wide.view(), &other.view()).unwrap().abs() < 0.2);
    let still = Array2::from_elem((12, 3), 1.0);
    assert!(matches!(linear_cka(&x.view(), &still.view()), Err(MetricError::NoVariation { .. })));
    assert!(matches!(Procrustes::new(&x.view(), &still.view()), Err(MetricError::NoVariation { .. })));
}

#[test]
fn procrustes_matches_scipy() {
    // scipy.spatial.procrustes([[1, 3], [1, 2], [1, 1], [2, 1]], [[4, -2], [4, -4], [4, -6], [2, -6]])[2] is 0 to
    // rounding; with the last row of the second (3, -5) it is 0.09022556390977451.
    let x = array![[1.0, 3.0], [1.0, 2.0], [1.0, 1.0], [2.0, 1.0]];
    let y = array![[4.0, -2.0], [4.0, -4.0], [4.0, -6.0], [2.0, -6.0]];
    assert!(Procrustes::new(&x.view(), &y.view()).unwrap().disparity < 1e-12);
    let mut y = y;
    (y[[3, 0]], y[[3, 1]]) = (3.0, -5.0);
    let disparity = Procrustes::new(&x.view(), &y.view()).unwrap().disparity;
    assert!((disparity - SCIPY_DISPARITY).abs() < 1e-12, "{disparity}");
}

const SCIPY_DISPARITY: f64 = 0.090_225_563_909_774_51;

#[test]
fn dissimilarities_are_what_they_say() {
    let patterns = array![[1.0, 2.0, 4.0], [2.0, 4.0, 8.0], [3.0, 1.0, 2.0]];
    let of = |kind| Dissimilarity::new(&patterns.view(), kind).unwrap();
    let euclidean = of(DissimilarityKind::Euclidean);
    assert_eq!(euclidean.pairs(), [7.0, 3.0, 46.0 / 3.0]);
    assert_eq!(euclidean.matrix()[[2, 0]], 3.0);
    assert!(of(DissimilarityKind::Correlation).pairs()[0].abs() < 1e-15);
    let ln2 = 2f64.ln();
    assert!((of(DissimilarityKind::Poisson).pairs()[0] - 7.0 * ln2 / 3.0).abs() < 1e-14);
    // scipy.stats.spearmanr of the pairs with a fourth condition, whose distances tie: 0.9276336570439174.
    let four = ndarray::concatenate![Axis(0), patterns, array![[5.0, 5.0, 1.0]]];
    let [by_square, by_rate] = [DissimilarityKind::Euclidean, DissimilarityKind::Poisson]
        .map(|kind| Dissimilarity::new(&four.view(), kind).unwrap());
    let ranked = by_square.spearman(&by_rate).unwrap();
    assert!((ranked - 0.927_633_657_043_917_4).abs() < 1e-12, "{ranked}");
    let zero = array![[0.0, 1.0], [1.0, 1.0]];
    assert!(Dissimilarity::new(&zero.view(), DissimilarityKind::Poisson).is_err());
    // Equal conditions: the crossnobis distance of noise scatters about zero, the Euclidean one does not.
    let (first, second) = (normal(8, 30, 200), normal(9, 30, 200));
    let mean = |d: &Dissimilarity| d.pairs().iter().sum::<f64>() / d.pairs().len() as f64;
    let crossed = Dissimilarity::crossnobis(&first.view(), &second.view()).unwrap();
    assert!(mean(&crossed).abs() < 0.05, "{}", mean(&crossed));
    assert!(mean(&Dissimilarity::new(&first.view(), DissimilarityKind::Euclidean).unwrap()) > 1.8);
}

#[test]
fn ranks_share_ties() {
    // scipy.stats.spearmanr([1, 1, 4], [3, 5, 2]).statistic is -0.8660254037844387.
    let a = Dissimilarity::new(&array![[0.0], [1.0], [-1.0]].view(), DissimilarityKind::Euclidean).unwrap();
    assert_eq!(a.pairs(), [1.0, 1.0, 4.0]);
    let b = Dissimilarity::new(
        &array![[0.0, 0.0], [6f64.sqrt(), 0.0], [10f64.sqrt() * 0.6f64.sqrt(), 2.0]].view(),
        DissimilarityKind::Euclidean,
    )
    .unwrap();
    assert!(b.pairs().iter().zip([3.0, 5.0, 2.0]).all(|(got, want)| (got - want).abs() < 1e-12));
    assert!((a.spearman(&b).unwrap() + 0.866_025_403_784_438_7).abs() < 1e-14);
}

#[test]
fn ceilings_follow_spearman_and_brown() {
    let mut stream = Stream::new(4, Domain::Synthetic, [7, 0, 0]);
    let signal: Vec<f64> = (0..20_000).map(|_| stream.normal()).collect();
    // Two repetitions per half, noise of variance 4 in each: reliability of a half is 1 / (1 + 2).
    let mut half = || signal.iter().map(|s| s + 2f64.sqrt() * stream.normal()).collect::<Vec<f64>>();
    let (first, second) = (half(), half());
    let halves = Reliability::of_halves(&first, &second, 2).unwrap();
    assert!((halves.value() - 1.0 / 3.0).abs() < 0.02, "{halves:?}");
    let all = halves.at(4.0).unwrap();
    assert!((all.value() - 0.5).abs() < 0.02 && all.n_repeats() == 4.0, "{all:?}");
    assert!((all.at(2.0).unwrap().value() - halves.value()).abs() < 1e-12);
    // The signal itself is the perfect model of the mean of both halves.
    let mean: Vec<f64> = first.iter().zip(&second).map(|(a, b)| f64::midpoint(*a, *b)).collect();
    let score = all.normalize(Correlation::pearson(&signal, &mean).unwrap()).unwrap();
    assert!((score.normalized - 1.0).abs() < 0.02 && score.raw < 0.75, "{score:?}");
    let opposed = Reliability::of_halves(&[1.0, 2.0], &[2.0, 1.0], 1).unwrap();
    assert!(opposed.ceiling().is_err() && opposed.at(3.0).is_err());
    assert!(Reliability::of_halves(&first, &second, 0).is_err());
}

#[test]
fn explainable_variance_is_one_for_the_truth() {
    let mut stream = Stream::new(5, Domain::Synthetic, [7, 0, 0]);
    let truth: Vec<f64> = (0..4000).map(|_| stream.normal()).collect();
    let responses =
        Array2::from_shape_fn((4000, 6), |(condition, _)| truth[condition] + 1.5 * stream.normal());
    let parts = |predicted: &[f64]| fraction_explainable(predicted, &responses.view()).unwrap();
    let score = |predicted: &[f64]| parts(predicted).normalized;
    // Of a variance of 1 + 1.5², the noise is the second part.
    let whole = parts(&truth);
    assert!((whole.ceiling - 1.0 / 3.25).abs() < 0.01, "{whole:?}");
    assert!((whole.raw / whole.ceiling - whole.normalized).abs() < 1e-12, "{whole:?}");
    assert!((score(&truth) - 1.0).abs() < 0.03, "{}", score(&truth));
    let half: Vec<f64> = truth.iter().map(|t| 0.5 * t).collect();
    assert!((score(&half) - 0.75).abs() < 0.03, "{}", score(&half));
    let mean = vec![responses.sum() / 24_000.0; 4000];
    assert!(score(&mean).abs() < 0.01, "{}", score(&mean));
    let noise = Array2::from_shape_fn((4, 2), |(i, j)| if (i + j) % 2 == 0 { 1.0 } else { -1.0 });
    assert!(fraction_explainable(&[0.0; 4], &noise.view()).is_err());
}

/// Rows of a NumPy file of single precision in C order.
fn rows_of(name: &str) -> Vec<Vec<f64>> {
    let path = format!("{}/../../fixtures/golden/rdm92/{name}_rdm_upper_f32.npy", env!("CARGO_MANIFEST_DIR"));
    let bytes = std::fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = String::from_utf8_lossy(&bytes[..start]).into_owned();
    assert!(header.contains("'<f4'") && header.contains("(8, 4186)"), "{header}");
    let values: Vec<f64> = bytes[start..]
        .chunks_exact(4)
        .map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap())))
        .collect();
    values.chunks(4186).map(<[f64]>::to_vec).collect()
}

/// Human IT, four people twice, against eight models: SciPy's correlations, and the ceiling of Nili et al. (2014).
#[test]
fn the_ceiling_of_92_images_is_that_of_numpy() {
    let path = format!("{}/../../fixtures/golden/rdm92/reference.json", env!("CARGO_MANIFEST_DIR"));
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let number = |key: &str| golden[key].as_f64().unwrap();
    let matrices = |name: &str| -> Vec<Dissimilarity> {
        rows_of(name).into_iter().map(|pairs| Dissimilarity::from_pairs(pairs).unwrap()).collect()
    };
    let (brain, models) = (matrices("brain"), matrices("model"));
    assert_eq!(brain[0].matrix().dim(), (92, 92));
    let each: Vec<usize> = (0..8).collect();
    let people: Vec<usize> = (0..8).map(|matrix| matrix / 2).collect();
    let ceiling = RdmCeiling::new(&brain, &each).unwrap();
    assert!((ceiling.lower() - number("lower_without_the_matrix")).abs() < 1e-12, "{}", ceiling.lower());
    assert!((ceiling.upper() - number("upper")).abs() < 1e-12, "{}", ceiling.upper());
    let of_people = RdmCeiling::new(&brain, &people).unwrap();
    assert!((of_people.lower() - number("lower_without_the_person")).abs() < 1e-12);
    assert!(of_people.lower() < ceiling.lower(), "a person's other session is of the same person");
    let found: Vec<_> = models.iter().map(|model| ceiling.place(model).unwrap()).collect();
    let names = std::fs::read_to_string(format!(
        "{}/../../fixtures/golden/rdm92/model_names.txt",
        env!("CARGO_MANIFEST_DIR")
    ));
    for (name, found) in names.unwrap().lines().zip(&found) {
        let want = golden["spearman"][name].as_array().unwrap();
        assert_eq!(want.len(), found.of_matrices.len(), "{name}");
        for (got, want) in found.of_matrices.iter().zip(want) {
            assert!((got - want.as_f64().unwrap()).abs() < 1e-12, "{name}");
        }
    }
    // As the data's provenance rounds them; no model reaches the ceiling.
    let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
    assert_eq!(
        [found[0].mean, ceiling.lower(), ceiling.upper()].map(rounded),
        [0.311, 0.334, 0.532],
        "{found:?}"
    );
    assert!(found.iter().all(|model| model.mean < ceiling.lower()));
}

#[test]
fn a_ceiling_needs_subjects_with_the_same_conditions() {
    let of = |pairs: &[f64]| Dissimilarity::from_pairs(pairs.to_vec()).unwrap();
    let (a, b, other) = (of(&[1.0, 2.0, 3.0]), of(&[1.0, 3.0, 2.0]), of(&[1.0]));
    let both = [a.clone(), b.clone()];
    assert!(matches!(RdmCeiling::new(&both, &[0, 0]), Err(MetricError::Empty { .. })));
    assert!(matches!(RdmCeiling::new(&both, &[0]), Err(MetricError::ShapeMismatch { .. })));
    assert!(matches!(RdmCeiling::new(&[a, other.clone()], &[0, 1]), Err(MetricError::ShapeMismatch { .. })));
    assert!(RdmCeiling::new(&both, &[0, 1]).unwrap().place(&other).is_err());
    assert!(matches!(Dissimilarity::from_pairs(vec![1.0, 2.0]), Err(MetricError::ShapeMismatch { .. })));
    assert!(matches!(Dissimilarity::from_pairs(Vec::new()), Err(MetricError::Empty { .. })));
    assert!(Dissimilarity::from_pairs(vec![f64::NAN]).is_err());
}
