//! How runs are told apart: a colour and a line style of its own for each.
//!
//! Invariants: the classes named here are those of `page.css`; the first 36 runs differ, the first
//! six in the colour and in the line style, so that neither colour vision nor a colour printer is
//! needed. Percentiles of one run differ in the width of the line alone.

use crate::data::RunData;
use crate::escape::escaped;

/// Colours in `page.css`.
const COLOURS: usize = 6;
/// Line styles in `page.css`.
const DASHES: usize = 6;
/// Characters of a name that a legend shows.
const NAME_CHARACTERS_MAX: usize = 60;

/// What a run is called.
pub(crate) fn run_name(run: &RunData, index: usize) -> String {
    let label = run.label.trim();
    if label.is_empty() {
        return format!("run {}", index + 1);
    }
    if label.chars().count() <= NAME_CHARACTERS_MAX {
        return label.to_owned();
    }
    let mut name: String = label.chars().take(NAME_CHARACTERS_MAX).collect();
    name.push('\u{2026}');
    name
}

/// The classes of a run's lines.
pub(crate) fn run_class(index: usize) -> String {
    let dash = (index % COLOURS + index / COLOURS) % DASHES;
    format!("colour{} dash{dash}", index % COLOURS)
}

/// A short piece of a line of these classes.
pub(crate) fn sample(classes: &str) -> String {
    format!(
        r#"<svg class="sample" viewBox="0 0 40 10" aria-hidden="true"><path class="line {classes}" d="M1 5H39"/></svg>"#
    )
}

/// Which line is which: classes and names.
pub(crate) fn legend(entries: &[(String, String)]) -> String {
    let mut out = String::from(r#"<p class="legend">"#);
    for (classes, name) in entries {
        out.push_str("<span>");
        out.push_str(&sample(classes));
        out.push_str(&escaped(name));
        out.push_str("</span> ");
    }
    out.push_str("</p>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_differ_in_colour_and_line() {
        let classes: Vec<String> = (0..COLOURS * DASHES).map(run_class).collect();
        assert_eq!(classes.iter().collect::<BTreeSet<_>>().len(), COLOURS * DASHES);
        let dashes: BTreeSet<&str> =
            classes[..COLOURS].iter().filter_map(|class| class.split(' ').nth(1)).collect();
        assert_eq!(dashes.len(), COLOURS);
    }

    #[test]
    fn the_style_sheet_knows_every_class() {
        let sheet = include_str!("page.css");
        for index in 0..COLOURS * DASHES {
            for class in run_class(index).split(' ') {
                assert!(sheet.contains(&format!(".{class} {{")), "{class}");
            }
        }
        for class in ["p50", "p99", "p999", "neutral", "sample", "legend"] {
            assert!(sheet.contains(&format!(".{class} {{")), "{class}");
        }
    }

    #[test]
    fn names_are_never_empty_nor_endless() {
        let named = |label: &str| RunData { label: label.to_owned(), ..RunData::default() };
        assert_eq!(run_name(&named(" base "), 0), "base");
        assert_eq!(run_name(&named("  "), 1), "run 2");
        assert_eq!(run_name(&named(&"x".repeat(1000)), 0).chars().count(), 61);
        assert!(legend(&[(run_class(0), "<a>".to_owned())]).contains("&lt;a&gt;"));
    }
}
