//! Splits Rust source into code and comments, so that a rule about code never reads a string or a comment.

/// Rust source in two layers of the same shape: every character is kept in at most one layer and is a space in
/// the other; line breaks are in both, so offsets give line numbers. String and character literals are in neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Masked {
    /// The code without comments and without the content of literals.
    pub(super) code: String,
    /// The comments with their markers.
    pub(super) comments: String,
}

#[derive(Clone, Copy)]
enum Region {
    Code,
    LineComment,
    BlockComment { depth: usize },
    Text { hashes: Option<usize> },
}

/// Splits `source`.
pub(super) fn mask(source: &str) -> Masked {
    let chars: Vec<char> = source.chars().collect();
    let mut masked =
        Masked { code: String::with_capacity(source.len()), comments: String::with_capacity(source.len()) };
    let mut region = Region::Code;
    let mut at = 0;
    while at < chars.len() {
        let here = region;
        let n_taken = match region {
            Region::Code => {
                let (next, n_taken) = open(&chars, at);
                region = next;
                n_taken
            }
            Region::LineComment => {
                if chars[at] == '\n' {
                    region = Region::Code;
                }
                1
            }
            Region::BlockComment { depth } => match (chars[at], chars.get(at + 1)) {
                ('/', Some('*')) => {
                    region = Region::BlockComment { depth: depth + 1 };
                    2
                }
                ('*', Some('/')) => {
                    region =
                        if depth == 1 { Region::Code } else { Region::BlockComment { depth: depth - 1 } };
                    2
                }
                _ => 1,
            },
            Region::Text { hashes } => {
                let (is_closed, n_taken) = close(&chars, at, hashes);
                if is_closed {
                    region = Region::Code;
                }
                n_taken
            }
        };
        // The marker that opens a comment belongs to the comment, a quotation mark to the literal.
        let layer = if matches!(here, Region::Code) { region } else { here };
        for &c in &chars[at..(at + n_taken).min(chars.len())] {
            let is_literal = matches!(here, Region::Code) && c != '\n' && n_taken > 1;
            let (code, comment) = match layer {
                _ if c == '\n' => ('\n', '\n'),
                Region::Code if !is_literal => (c, ' '),
                Region::LineComment | Region::BlockComment { .. } => (' ', c),
                Region::Code | Region::Text { .. } => (' ', ' '),
            };
            masked.code.push(code);
            masked.comments.push(comment);
        }
        at += n_taken;
    }
    masked
}

/// What begins at `at` in code, and how many characters its opening takes; a whole character literal is taken at
/// once and leaves the region unchanged.
fn open(chars: &[char], at: usize) -> (Region, usize) {
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => (Region::LineComment, 2),
        ('/', Some('*')) => (Region::BlockComment { depth: 1 }, 2),
        ('"', _) => {
            let n_hashes = chars[..at].iter().rev().take_while(|&&c| c == '#').count();
            let is_raw = at > n_hashes && chars[at - n_hashes - 1] == 'r';
            (Region::Text { hashes: is_raw.then_some(n_hashes) }, 1)
        }
        ('\'', Some('\\')) => {
            let n_body = chars[at + 3..].iter().take_while(|&&c| c != '\'').count();
            (Region::Code, n_body + 4)
        }
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (Region::Code, 3),
        _ => (Region::Code, 1),
    }
}

/// Whether the literal ends at `at`, and how many characters to take.
fn close(chars: &[char], at: usize, hashes: Option<usize>) -> (bool, usize) {
    match (chars[at], hashes) {
        ('\\', None) => (false, 2),
        ('"', None) => (true, 1),
        ('"', Some(n)) if chars[at + 1..].iter().take(n).filter(|&&c| c == '#').count() == n => (true, 1 + n),
        _ => (false, 1),
    }
}

/// The words (`[A-Za-z0-9_]+`) of `text` with their byte offsets.
pub(super) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.split(move |c| !is_word(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr().addr() - text.as_ptr().addr(), word))
}

/// The line, from 1, of a byte offset.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, code: &str, comments: &str) {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let masked = mask(source);
        assert_eq!(squeeze(&masked.code), code, "code of {source:?}");
        assert_eq!(squeeze(&masked.comments), comments, "comments of {source:?}");
        assert_eq!(masked.code.matches('\n').count(), source.matches('\n').count());
        assert_eq!(masked.code.chars().count(), source.chars().count());
    }

    #[test]
    fn code_comments_and_literals_are_told_apart() {
        for (source, code, comments) in [
            ("a // b\nc", "a c", "// b"),
            ("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */"),
            (r#"f("unsafe // no", x)"#, "f( , x)", ""),
            (r#"f("a\"b", x)"#, "f( , x)", ""),
            (r##"f(r#"a" // "#, x)"##, "f(r# , x)", ""),
            (r#"f(r"a\", x) // b"#, "f(r , x)", "// b"),
            ("f('\"', 'x', '\\'', '\\u{1F600}') // b", "f( , , , )", "// b"),
            ("fn f<'a>(x: &'a str) -> &'a str // b", "fn f<'a>(x: &'a str) -> &'a str", "// b"),
            ("a / b * c", "a / b * c", ""),
            ("\"open", "", ""),
        ] {
            check(source, code, comments);
        }
    }

    #[test]
    fn words_come_with_their_offsets() {
        let found: Vec<_> = words("let x_1 =\n fn::y;").collect();
        assert_eq!(found, [(0, "let"), (4, "x_1"), (11, "fn"), (15, "y")]);
        assert_eq!(line_of("let x_1 =\n fn::y;", 11), 2);
    }
}
