//! What models rely on in every [`Tokenizer`], as tests anybody can run on a tokenizer.
//!
//! [`tokenizer_contract!`](crate::tokenizer_contract!) makes a test of each function here. `windows` makes a batch: a window
//! for each of the seeds it is given, of another content for another seed, with different numbers of tokens if the tokenizer has
//! them. Every function panics, with a sentence, if the tokenizer breaks its law.

use std::borrow::Borrow;

use burn::tensor::Tensor;
use neurobrick_core::{TokenPlace, Tokenizer, Tokens};

/// Tests a [`Tokenizer`] against the contract: `tokenizer_contract!(name, tokenizer, windows)` makes a module `name` of tests.
///
/// `tokenizer` is an expression that makes one; `windows` a function or closure `(&[u64]) -> W` that makes a batch of windows, one
/// for each seed, on [`test_device`](crate::test_device) if they are tensors.
///
/// ```
/// use neurobrick_core::Tokenizer;
/// use neurobrick_testkit::tokenizer_contract::windows_do_not_see_each_other;
///
/// // In a test file: neurobrick_testkit::tokenizer_contract!(my_tokenizer, MyTokenizer::new(), windows);
/// fn run_one_law<T: Tokenizer<Windows = [f64]>>(tokenizer: T) {
///     windows_do_not_see_each_other(tokenizer, |seeds| seeds.iter().map(|&seed| seed as f64).collect::<Vec<_>>());
/// }
/// ```
#[macro_export]
macro_rules! tokenizer_contract {
    ($name:ident, $tokenizer:expr, $windows:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the tokenizer may be given by a full path")]
            use super::*;

            $crate::tokenizer_contract!(@law $tokenizer, $windows, tokens_have_places);
            $crate::tokenizer_contract!(@law $tokenizer, $windows, windows_do_not_see_each_other);
            $crate::tokenizer_contract!(@law $tokenizer, $windows, filling_carries_nothing);
            $crate::tokenizer_contract!(@law $tokenizer, $windows, tokens_tell_windows_apart);
        }
    };
    (@law $tokenizer:expr, $windows:expr, $law:ident) => {
        #[test]
        fn $law() {
            $crate::tokenizer_contract::$law($tokenizer, $windows);
        }
    };
}

fn tokens<T: Tokenizer, W: Borrow<T::Windows>>(tokenizer: &T, windows: W) -> Tokens {
    tokenizer.tokenize(windows.borrow()).unwrap_or_else(|e| panic!("windows of the contract: {e}"))
}

/// Places and values of window `window`, without filling.
fn of_window(tokens: &Tokens, window: usize) -> (Vec<TokenPlace>, Vec<f64>) {
    let places = tokens.places.of_window(window).to_vec();
    let values = tokens.values.clone().map_or(Vec::new(), |values: Tensor<3>| {
        let own = values.narrow(0, window, 1).narrow(1, 0, places.len());
        own.into_data().iter::<f64>().collect()
    });
    (places, values)
}

/// Every window has tokens; values are `[B, S, F]` and finite; places are of some source, and end where they begin or later.
///
/// # Panics
/// If the tokenizer breaks this law.
pub fn tokens_have_places<T: Tokenizer, W: Borrow<T::Windows>>(tokenizer: T, windows: impl Fn(&[u64]) -> W) {
    let tokens = tokens(&tokenizer, windows(&[1, 2, 3]));
    assert_eq!(tokens.places.n_windows(), 3, "windows");
    if let Some(values) = &tokens.values {
        assert_eq!(values.dims()[..2], [3, tokens.places.n_tokens()], "windows and tokens of the values");
    }
    for window in 0..3 {
        let (places, values) = of_window(&tokens, window);
        assert!(!places.is_empty(), "window {window} has no token");
        assert!(values.iter().all(|value| value.is_finite()), "a value of window {window} is not finite");
        for place in places {
            let TokenPlace { sources, start_s, end_s, .. } = &place;
            assert!(!sources.is_empty(), "a token of no source: {place:?}");
            assert!(
                start_s.is_finite() && end_s.is_finite() && start_s <= end_s,
                "no time of a token: {place:?}"
            );
        }
    }
}

/// Sums of single-precision products in another order, as a device may choose with the number of windows, differ by less.
const TOLERANCE: f64 = 1e-5;

/// The tokens of a window are the same alone and in a batch, and in the row of the window: places exactly, values to 1e-5, relative
/// to those above one.
///
/// # Panics
/// If the tokenizer breaks this law.
pub fn windows_do_not_see_each_other<T: Tokenizer, W: Borrow<T::Windows>>(
    tokenizer: T,
    windows: impl Fn(&[u64]) -> W,
) {
    let seeds = [3, 1, 2];
    let together = tokens(&tokenizer, windows(&seeds));
    for (window, seed) in seeds.into_iter().enumerate() {
        let alone = tokens(&tokenizer, windows(&[seed]));
        let ((places, values), (own_places, own_values)) =
            (of_window(&together, window), of_window(&alone, 0));
        assert_eq!(places, own_places, "the places of tokens depend on the windows beside theirs");
        assert_eq!(values.len(), own_values.len(), "a window has another number of values beside others");
        for (value, own) in values.into_iter().zip(own_values) {
            let is_same = (value - own).abs() <= TOLERANCE * own.abs().max(1.0);
            assert!(is_same, "the tokens of a window depend on those beside it: {value}, alone {own}");
        }
    }
}

/// Values are zero where there is no token.
///
/// # Panics
/// If the tokenizer breaks this law.
pub fn filling_carries_nothing<T: Tokenizer, W: Borrow<T::Windows>>(
    tokenizer: T,
    windows: impl Fn(&[u64]) -> W,
) {
    let tokens = tokens(&tokenizer, windows(&[1, 2, 3]));
    let (Some(values), Some(padding)) = (&tokens.values, tokens.places.padding()) else { return };
    let width = values.dims()[2];
    let values: Vec<f64> = values.clone().into_data().iter::<f64>().collect();
    for (token, is_filling) in values.chunks(width).zip(padding) {
        assert!(!is_filling || token.iter().all(|value| *value == 0.0), "filling carries {token:?}");
    }
}

/// Windows of another content have other tokens, and the same windows the same.
///
/// # Panics
/// If the tokenizer breaks this law.
pub fn tokens_tell_windows_apart<T: Tokenizer, W: Borrow<T::Windows>>(
    tokenizer: T,
    windows: impl Fn(&[u64]) -> W,
) {
    let of = |seed: u64| of_window(&tokens(&tokenizer, windows(&[seed])), 0);
    assert_eq!(of(1), of(1), "the same window has other tokens the second time");
    assert_ne!(of(1), of(2), "windows of another content have the same tokens");
}
