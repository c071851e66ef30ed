//! Drive arguments with ellipses: `/mnt/drive{1...6}`, `http://host{01...12}/drive{1...4}`.
//!
//! Invariants: the first ellipsis varies fastest, so that neighbours in the list, which become
//! one erasure set, lie on different hosts; the work is bounded by `DRIVES_MAX` before any
//! string is made. Anything that looks like a mistyped ellipsis is refused, not taken literally:
//! a wrong guess here would format the wrong drives.

use crate::layout::DRIVES_MAX;
use engine_types::ErrorClass;
use std::collections::BTreeSet;

/// Digits of the longest number; 18 always fit 64 bits.
const DIGITS_MAX: usize = 18;

/// Why a drive argument cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// No characters at all.
    #[error("a drive argument is empty")]
    Empty,
    /// A brace without its partner, or a brace within braces.
    #[error("`{pattern}`: the braces do not pair up; write `{{1...6}}`")]
    Braces {
        /// The whole argument.
        pattern: String,
    },
    /// Three dots outside of braces.
    #[error("`{pattern}`: `...` must stand in braces, as in `{{1...6}}`")]
    BareEllipsis {
        /// The whole argument.
        pattern: String,
    },
    /// Braces that do not hold two decimal numbers with three dots between.
    #[error("`{pattern}`: `{{{range}}}` is not two numbers with three dots, as in `{{1...6}}`")]
    NotARange {
        /// The whole argument.
        pattern: String,
        /// What stands between the braces.
        range: String,
    },
    /// The second number is smaller than the first.
    #[error("`{pattern}`: `{{{range}}}` runs backwards")]
    Backwards {
        /// The whole argument.
        pattern: String,
        /// What stands between the braces.
        range: String,
    },
    /// One number is padded with zeros and the other has another length.
    #[error("`{pattern}`: the padded numbers of `{{{range}}}` must have equally many digits")]
    Padding {
        /// The whole argument.
        pattern: String,
        /// What stands between the braces.
        range: String,
    },
    /// More drives than one pool may have.
    #[error("`{pattern}`: names more than {DRIVES_MAX} drives together with those before it")]
    TooMany {
        /// The argument at which the limit was passed.
        pattern: String,
    },
    /// Two arguments, or two places of one, name the same drive.
    #[error("the drive `{drive}` is named twice")]
    Duplicate {
        /// The drive.
        drive: String,
    },
}

impl ExpandError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// A part of a pattern.
enum Piece<'a> {
    Text(&'a str),
    Numbers { first: u64, count: u64, width: usize },
}

/// All strings a pattern stands for; one without ellipses stands for itself.
///
/// # Errors
/// `ExpandError` names what is wrong with the pattern.
pub fn expand(pattern: &str) -> Result<Vec<String>, ExpandError> {
    if pattern.is_empty() {
        return Err(ExpandError::Empty);
    }
    let pieces = pieces_of(pattern)?;
    let mut total = 1_u64;
    for piece in &pieces {
        if let Piece::Numbers { count, .. } = piece {
            total = total.saturating_mul(*count);
        }
    }
    if total > DRIVES_MAX as u64 {
        return Err(ExpandError::TooMany { pattern: pattern.to_owned() });
    }
    Ok((0..total).map(|index| nth(&pieces, index)).collect())
}

/// The drives of all arguments, in the order of the arguments.
///
/// # Errors
/// As `expand`, and if a drive is named twice or the arguments together name too many.
pub fn expand_all<S: AsRef<str>>(args: &[S]) -> Result<Vec<String>, ExpandError> {
    let mut drives = Vec::new();
    for arg in args {
        let pattern = arg.as_ref();
        drives.extend(expand(pattern)?);
        if drives.len() > DRIVES_MAX {
            return Err(ExpandError::TooMany { pattern: pattern.to_owned() });
        }
    }
    let mut seen = BTreeSet::new();
    for drive in &drives {
        if !seen.insert(drive.as_str()) {
            return Err(ExpandError::Duplicate { drive: drive.clone() });
        }
    }
    Ok(drives)
}

/// The string of one index; the first ellipsis is the lowest digit of the index.
fn nth(pieces: &[Piece<'_>], index: u64) -> String {
    let mut text = String::new();
    let mut rest = index;
    for piece in pieces {
        match piece {
            Piece::Text(part) => text.push_str(part),
            Piece::Numbers { first, count, width } => {
                let number = first + rest % count;
                rest /= count;
                text.push_str(&format!("{number:0width$}", width = *width));
            }
        }
    }
    text
}

/// Cuts a pattern at its braces.
fn pieces_of(pattern: &str) -> Result<Vec<Piece<'_>>, ExpandError> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    while let Some((text, after)) = rest.split_once('{') {
        pieces.push(text_piece(pattern, text)?);
        let Some((range, behind)) = after.split_once('}') else {
            return Err(ExpandError::Braces { pattern: pattern.to_owned() });
        };
        if range.contains('{') {
            return Err(ExpandError::Braces { pattern: pattern.to_owned() });
        }
        pieces.push(numbers_piece(pattern, range)?);
        rest = behind;
    }
    pieces.push(text_piece(pattern, rest)?);
    Ok(pieces)
}

fn text_piece<'a>(pattern: &str, text: &'a str) -> Result<Piece<'a>, ExpandError> {
    if text.contains('}') {
        return Err(ExpandError::Braces { pattern: pattern.to_owned() });
    }
    if text.contains("...") {
        return Err(ExpandError::BareEllipsis { pattern: pattern.to_owned() });
    }
    Ok(Piece::Text(text))
}

fn numbers_piece(pattern: &str, range: &str) -> Result<Piece<'static>, ExpandError> {
    let not_a_range =
        || ExpandError::NotARange { pattern: pattern.to_owned(), range: range.to_owned() };
    let (first_text, last_text) = range.split_once("...").ok_or_else(not_a_range)?;
    let first = number(first_text).ok_or_else(not_a_range)?;
    let last = number(last_text).ok_or_else(not_a_range)?;
    let padded = is_padded(first_text) || is_padded(last_text);
    if padded && first_text.len() != last_text.len() {
        return Err(ExpandError::Padding { pattern: pattern.to_owned(), range: range.to_owned() });
    }
    if last < first {
        return Err(ExpandError::Backwards {
            pattern: pattern.to_owned(),
            range: range.to_owned(),
        });
    }
    let width = if padded { first_text.len() } else { 1 };
    Ok(Piece::Numbers { first, count: last - first + 1, width })
}

fn number(text: &str) -> Option<u64> {
    let decimal = text.bytes().all(|byte| byte.is_ascii_digit());
    if text.is_empty() || text.len() > DIGITS_MAX || !decimal {
        return None;
    }
    text.parse().ok()
}

fn is_padded(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_ellipsis() {
        assert_eq!(expand("/d{1...3}").unwrap(), ["/d1", "/d2", "/d3"]);
        assert_eq!(expand("/d{9...11}/x").unwrap(), ["/d9/x", "/d10/x", "/d11/x"]);
        assert_eq!(expand("/d{4...4}").unwrap(), ["/d4"]);
        assert_eq!(expand("{0...1}").unwrap(), ["0", "1"]);
        assert_eq!(expand("/dev/nvme0n1").unwrap(), ["/dev/nvme0n1"]);
    }

    #[test]
    fn zeros_pad() {
        assert_eq!(expand("/d{08...11}").unwrap(), ["/d08", "/d09", "/d10", "/d11"]);
        assert_eq!(expand("/d{000...001}").unwrap(), ["/d000", "/d001"]);
        let padding = |range: &str| ExpandError::Padding {
            pattern: format!("/d{{{range}}}"),
            range: range.to_owned(),
        };
        assert_eq!(expand("/d{01...100}"), Err(padding("01...100")));
        assert_eq!(expand("/d{1...06}"), Err(padding("1...06")));
    }

    #[test]
    fn the_first_ellipsis_varies_fastest() {
        assert_eq!(
            expand("http://host{1...2}/d{1...3}").unwrap(),
            [
                "http://host1/d1",
                "http://host2/d1",
                "http://host1/d2",
                "http://host2/d2",
                "http://host1/d3",
                "http://host2/d3",
            ]
        );
        assert_eq!(expand("{0...1}{0...1}{0...1}").unwrap()[1], "100");
    }

    #[test]
    fn bad_patterns_are_refused() {
        assert_eq!(expand(""), Err(ExpandError::Empty));
        for pattern in ["/d{1...3", "/d1...3}", "/d{{1...3}}", "/d{1...{2...3}}", "}{"] {
            let error = expand(pattern).unwrap_err();
            assert_eq!(error, ExpandError::Braces { pattern: pattern.to_owned() }, "{pattern}");
        }
        for range in ["", "1", "1..3", "1....3", "...", "1...", "...3", "a...c", "-1...3", "+1...3"]
        {
            let pattern = format!("/d{{{range}}}");
            let error = expand(&pattern).unwrap_err();
            assert!(matches!(error, ExpandError::NotARange { .. }), "{pattern}: {error}");
        }
        assert!(matches!(expand("/d{3...1}"), Err(ExpandError::Backwards { .. })));
        assert!(matches!(expand("/d1...3"), Err(ExpandError::BareEllipsis { .. })));
        let message = expand("/d{1..3}").unwrap_err().to_string();
        assert!(message.contains("{1..3}") && message.contains("{1...6}"), "{message}");
    }

    #[test]
    fn the_cap_holds_before_memory_is_taken() {
        assert_eq!(expand("/d{1...4096}").unwrap().len(), 4096);
        for pattern in ["/d{1...4097}", "/{1...65}/{1...64}", "/d{0...999999999999999999}"] {
            assert!(matches!(expand(pattern), Err(ExpandError::TooMany { .. })), "{pattern}");
        }
        let wide = "{0...999999999999999999}".repeat(9);
        assert!(matches!(expand(&wide), Err(ExpandError::TooMany { .. })));
        assert!(matches!(
            expand_all(&["/a{1...4000}", "/b{1...97}"]),
            Err(ExpandError::TooMany { .. })
        ));
    }

    #[test]
    fn arguments_add_up_and_never_repeat() {
        assert_eq!(expand_all(&["/b{1...2}", "/a"]).unwrap(), ["/b1", "/b2", "/a"]);
        assert_eq!(
            expand_all(&["/a{1...2}", "/a2"]),
            Err(ExpandError::Duplicate { drive: "/a2".to_owned() })
        );
        assert_eq!(expand_all::<&str>(&[]).unwrap(), Vec::<String>::new());
    }
}
