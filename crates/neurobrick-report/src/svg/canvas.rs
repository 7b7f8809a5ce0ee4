//! A growing SVG document: escaped text, short coordinates, a title for screen readers.

use std::fmt::Write as _;

/// A point in pixels, y downward.
pub(crate) type Point = (f64, f64);

/// Where a text is anchored.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One figure under construction.
pub(crate) struct Canvas {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), body: String::new() }
    }

    pub(crate) fn line(&mut self, from: Point, to: Point, class: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.push(format_args!(
            r#"<path class="{class}" d="M{} {}L{} {}"/>"#,
            pixel(x1),
            pixel(y1),
            pixel(x2),
            pixel(y2)
        ));
    }

    pub(crate) fn rect(&mut self, corner: Point, size: Point, class: &str) {
        self.push(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}"/>"#,
            pixel(corner.0),
            pixel(corner.1),
            pixel(size.0),
            pixel(size.1)
        ));
    }

    pub(crate) fn rounded(&mut self, corner: Point, size: Point, class: &str) {
        self.push(format_args!(
            r#"<rect class="{class}" x="{}" y="{}" width="{}" height="{}" rx="8"/>"#,
            pixel(corner.0),
            pixel(corner.1),
            pixel(size.0),
            pixel(size.1)
        ));
    }

    /// A dot with a tooltip.
    pub(crate) fn dot(&mut self, center: Point, radius: f64, class: &str, tooltip: &str) {
        self.push(format_args!(
            r#"<circle class="{class}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>"#,
            pixel(center.0),
            pixel(center.1),
            pixel(radius),
            escape(tooltip)
        ));
    }

    pub(crate) fn text(&mut self, at: Point, anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        self.push(format_args!(
            r#"<text class="{class}" x="{}" y="{}" text-anchor="{anchor}">{}</text>"#,
            pixel(at.0),
            pixel(at.1),
            escape(text)
        ));
    }

    /// A text turned to read upward.
    pub(crate) fn upright_text(&mut self, at: Point, class: &str, text: &str) {
        self.push(format_args!(
            r#"<text class="{class}" transform="translate({} {}) rotate(-90)" text-anchor="middle">{}</text>"#,
            pixel(at.0),
            pixel(at.1),
            escape(text)
        ));
    }

    /// A path from ready-made commands, which must not come from outside.
    pub(crate) fn path(&mut self, commands: &str, class: &str) {
        if !commands.is_empty() {
            self.push(format_args!(r#"<path class="{class}" d="{commands}"/>"#));
        }
    }

    /// The same with a tooltip.
    pub(crate) fn path_with_tooltip(&mut self, commands: &str, class: &str, tooltip: &str) {
        self.push(format_args!(
            r#"<path class="{class}" d="{commands}"><title>{}</title></path>"#,
            escape(tooltip)
        ));
    }

    /// Draws in cells of `cell` pixels with the origin at `at`.
    pub(crate) fn scaled(&mut self, at: Point, cell: Point, class: &str, draw: impl FnOnce(&mut Self)) {
        self.push(format_args!(
            r#"<g class="{class}" transform="translate({} {}) scale({:.4} {:.4})">"#,
            pixel(at.0),
            pixel(at.1),
            cell.0,
            cell.1
        ));
        draw(self);
        self.push(format_args!("</g>"));
    }

    /// The finished element.
    pub(crate) fn finish(self) -> String {
        let (width, height) = (pixel(self.width), pixel(self.height));
        let title = escape(&self.title);
        format!(
            r#"<svg role="img" aria-label="{title}" viewBox="0 0 {width} {height}" style="max-width:{width}px"><title>{title}</title>{}</svg>"#,
            self.body
        )
    }

    /// The finished element as a file of its own, with the rules its classes need.
    pub(crate) fn finish_file(mut self, style: &'static str) -> String {
        self.body = format!("<style>{style}</style>{}", self.body);
        let xmlns = r#"<svg xmlns="http://www.w3.org/2000/svg""#;
        let mut file = self.finish().replacen("<svg", xmlns, 1);
        file.push('\n');
        file
    }

    fn push(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.body.write_fmt(arguments);
    }
}

/// A coordinate with at most one decimal.
pub(crate) fn pixel(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Text made safe between tags and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

/// `text` cut to `limit` characters, with an ellipsis where something is lost.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// `text` cut to `limit` characters in its middle: names of sessions differ at both ends.
pub(crate) fn shortened_inside(text: &str, limit: usize) -> String {
    let length = text.chars().count();
    if length <= limit {
        return text.to_owned();
    }
    let kept = limit.saturating_sub(1);
    let head = kept.div_ceil(2);
    let tail = text.chars().skip(length - (kept - head));
    text.chars().take(head).chain(['…']).chain(tail).collect()
}

/// Approximate width in pixels of `text` at the figures' 12 px font.
pub(crate) fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 6.4
}

/// Horizontal runs of equal cells as stroke commands, one string per class `0..n_classes`.
///
/// `class_of(row, column)` gives the class of a cell, `None` leaves it empty. Each run `M x y h length` is stroked one
/// cell wide, which takes far fewer bytes than a rectangle.
pub(crate) fn runs(
    n_rows: usize,
    n_columns: usize,
    n_classes: usize,
    class_of: impl Fn(usize, usize) -> Option<usize>,
) -> Vec<String> {
    let mut paths = vec![String::new(); n_classes];
    for row in 0..n_rows {
        let mut column = 0;
        while column < n_columns {
            let class = class_of(row, column);
            let start = column;
            while column < n_columns && class_of(row, column) == class {
                column += 1;
            }
            if let Some(path) = class.and_then(|class| paths.get_mut(class)) {
                let _ = write!(path, "M{start} {row}.5h{}", column - start);
            }
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn coordinates_are_short() {
        for (value, expected) in [(1.0, "1"), (1.25, "1.2"), (-0.01, "0"), (-3.5, "-3.5")] {
            assert_eq!(pixel(value), expected);
        }
    }

    #[test]
    fn names_keep_both_ends() {
        assert_eq!(shortened_inside("abcdefgh", 8), "abcdefgh");
        assert_eq!(shortened_inside("abcdefghi", 8), "abcd…ghi");
        assert_eq!(shortened_inside("abcdefghi", 1), "…");
    }

    #[test]
    fn equal_neighbors_form_one_run() {
        let cells = [[Some(0), Some(0), None], [Some(1), Some(0), Some(0)]];
        let paths = runs(2, 3, 2, |row, column| cells[row][column]);
        assert_eq!(paths, ["M0 0.5h2M1 1.5h2", "M0 1.5h1"]);
    }

    proptest! {
        #[test]
        fn runs_cover_every_cell_once(cells in proptest::collection::vec(0_usize..4, 24)) {
            let paths = runs(4, 6, 3, |row, column| (cells[row * 6 + column] < 3).then_some(cells[row * 6 + column]));
            let mut seen = vec![3_usize; 24];
            for (class, path) in paths.iter().enumerate() {
                for run in path.split('M').skip(1) {
                    let (x, rest) = run.split_once(' ').unwrap_or_default();
                    let (y, length) = rest.split_once(".5h").unwrap_or_default();
                    let number = |text: &str| text.parse::<usize>().unwrap_or(usize::MAX);
                    for column in number(x)..number(x) + number(length) {
                        let cell = &mut seen[number(y) * 6 + column];
                        prop_assert_eq!(*cell, 3);
                        *cell = class;
                    }
                }
            }
            prop_assert_eq!(seen, cells);
        }

        #[test]
        fn escaped_text_holds_no_markup(text in ".*") {
            let safe = escape(&text);
            prop_assert!(!safe.contains(['<', '>', '"', '\'']));
            let back = safe.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&");
            prop_assert_eq!(back, text);
        }
    }
}
