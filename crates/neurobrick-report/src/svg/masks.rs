//! Small pictures of masking schemes: what is hidden, what is counted, and what a bin may attend to.

use super::canvas::{Anchor, Canvas, runs};
use crate::model::{AttentionContext, MaskPicture};

const PICTURE: (f64, f64) = (178.0, 132.0);
const SQUARE: f64 = 72.0;

/// Entries by what happens to them, in the order of the picture's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Visible,
    HiddenOnly,
    HiddenCounted,
    VisibleCounted,
}

/// Draws one scheme; `None` when it has no entries.
pub(crate) fn draw(mask: &MaskPicture) -> Option<String> {
    if mask.n_bins == 0 || mask.n_units == 0 {
        return None;
    }
    let (left, top) = (22.0, 4.0);
    let square_left = left + PICTURE.0 + 26.0;
    let title =
        format!("Mask of the {} scheme, {} bins by {} units", mask.scheme.label(), mask.n_bins, mask.n_units);
    let mut canvas = Canvas::new(square_left + SQUARE + 8.0, top + PICTURE.1 + 24.0, &title);
    canvas.rect((left, top), PICTURE, "m-visible");
    let cell = (PICTURE.0 / mask.n_bins as f64, PICTURE.1 / mask.n_units as f64);
    let paths = runs(mask.n_units, mask.n_bins, 4, |unit, bin| match entry(mask, bin, unit) {
        Entry::Visible => None,
        Entry::HiddenOnly => Some(1),
        Entry::HiddenCounted => Some(2),
        Entry::VisibleCounted => Some(3),
    });
    canvas.scaled((left, top), cell, "heat crisp", |canvas| {
        canvas.path(&paths[1], "m-hidden");
        canvas.path(&paths[2], "m-counted");
        canvas.path(&paths[3], "m-shown");
    });
    canvas.rect((left, top), PICTURE, "frame");
    canvas.text((left + PICTURE.0 / 2.0, top + PICTURE.1 + 16.0), Anchor::Middle, "label", "time bins →");
    canvas.upright_text((13.0, top + PICTURE.1 / 2.0), "label", "units");
    attention(&mut canvas, (square_left, top + 30.0), mask.attention);
    Some(canvas.finish())
}

/// Share of entries that are hidden and share that are counted, 0 to 1.
pub(crate) fn shares(mask: &MaskPicture) -> (f64, f64) {
    let share =
        |entries: &[bool]| entries.iter().filter(|entry| **entry).count() as f64 / entries.len() as f64;
    (share(&mask.hidden), share(&mask.counted))
}

fn entry(mask: &MaskPicture, bin: usize, unit: usize) -> Entry {
    let index = bin * mask.n_units + unit;
    match (mask.hidden[index], mask.counted[index]) {
        (false, false) => Entry::Visible,
        (true, false) => Entry::HiddenOnly,
        (true, true) => Entry::HiddenCounted,
        (false, true) => Entry::VisibleCounted,
    }
}

fn attention(canvas: &mut Canvas, (x, y): (f64, f64), context: AttentionContext) {
    let name = match context {
        AttentionContext::Full => "full",
        AttentionContext::Causal => "causal",
    };
    canvas.text((x + SQUARE / 2.0, y - 18.0), Anchor::Middle, "tick", "attention:");
    canvas.text((x + SQUARE / 2.0, y - 5.0), Anchor::Middle, "tick", name);
    canvas.rect((x, y), (SQUARE, SQUARE), "m-visible");
    let n = 8_usize;
    let paths = runs(n, n, 1, |query, key| (context == AttentionContext::Full || key <= query).then_some(0));
    canvas.scaled((x, y), (SQUARE / n as f64, SQUARE / n as f64), "heat crisp", |canvas| {
        canvas.path(&paths[0], "m-attend");
    });
    canvas.rect((x, y), (SQUARE, SQUARE), "frame");
    canvas.text((x + SQUARE / 2.0, y + SQUARE + 14.0), Anchor::Middle, "tick", "sees bin →");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MaskScheme;

    #[test]
    fn entries_keep_their_place_and_polarity() {
        // [T, N] = [2, 2]: unit 1 hidden in both bins, counted in bin 1 only.
        let mask = MaskPicture {
            scheme: MaskScheme::Neuron,
            n_bins: 2,
            n_units: 2,
            hidden: vec![false, true, false, true],
            counted: vec![false, false, false, true],
            attention: AttentionContext::Causal,
        };
        let svg = draw(&mask).unwrap_or_default();
        assert!(
            svg.contains(r#"<path class="m-hidden" d="M0 1.5h1"/><path class="m-counted" d="M1 1.5h1"/>"#),
            "{svg}"
        );
        assert!(svg.contains(r#"class="m-attend" d="M0 0.5h1M0 1.5h2"#), "{svg}");
        assert_eq!(shares(&mask), (0.5, 0.25));
    }
}
