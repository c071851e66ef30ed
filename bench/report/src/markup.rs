//! A checker of markup for the tests: stricter than a browser, which repairs what it is given.
//!
//! Invariants: accepted text has every element closed in order, attributes in double quotes and
//! each once, only the five entities that `escaped` writes, and no bare `<`, `>` or `&`. Scripts
//! and styles are skipped.

use std::collections::BTreeSet;

/// What `escaped` writes, behind the ampersand.
const ENTITIES: [&str; 5] = ["amp;", "lt;", "gt;", "quot;", "#39;"];

/// Checks a page or a piece of one; the error says what stands where.
pub(crate) fn check(markup: &str) -> Result<(), String> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = markup.strip_prefix("<!DOCTYPE html>").unwrap_or(markup);
    while let Some((text, behind)) = rest.split_once('<') {
        check_text(text)?;
        let end = tag_end(behind).ok_or_else(|| format!("no end: <{}", start(behind)))?;
        let tag = &behind[..end];
        rest = &behind[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing before {}", start(rest)));
            }
            continue;
        }
        let name = check_tag(tag.strip_suffix('/').unwrap_or(tag))?;
        if tag.ends_with('/') {
            continue;
        }
        open.push(name);
        if name == "script" || name == "style" {
            let end = rest.find(&format!("</{name}>")).ok_or("a script or style without an end")?;
            rest = &rest[end..];
        }
    }
    check_text(rest)?;
    if open.is_empty() { Ok(()) } else { Err(format!("never closed: {open:?}")) }
}

/// Whether no number in it was printed as "NaN" or "inf", also where a letter of a path follows.
pub(crate) fn has_only_numbers(markup: &str) -> bool {
    let mut words = markup.split(|character: char| !character.is_ascii_lowercase());
    !markup.contains("NaN") && words.all(|word| word != "inf")
}

/// Where the tag ends: at the first `>` outside of quotes.
fn tag_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.char_indices()
        .find(|(_, character)| {
            quoted ^= *character == '"';
            *character == '>' && !quoted
        })
        .map(|(index, _)| index)
}

/// The name of the element.
fn check_tag(tag: &str) -> Result<&str, String> {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(format!("no name of an element: <{tag}>"));
    }
    let mut names = BTreeSet::new();
    while !rest.trim().is_empty() {
        let (attribute, behind) =
            rest.split_once("=\"").ok_or_else(|| format!("no value: <{tag}>"))?;
        let (value, behind) = behind.split_once('"').ok_or_else(|| format!("no end: <{tag}>"))?;
        check_text(value)?;
        if !names.insert(attribute.trim()) || attribute.trim().contains(' ') {
            return Err(format!("attribute {attribute}: <{tag}>"));
        }
        rest = behind;
    }
    Ok(name)
}

fn check_text(text: &str) -> Result<(), String> {
    if text.contains(['<', '>']) {
        return Err(format!("not escaped: {}", start(text)));
    }
    for behind in text.split('&').skip(1) {
        if !ENTITIES.iter().any(|entity| behind.starts_with(entity)) {
            return Err(format!("not an entity: &{}", start(behind)));
        }
    }
    Ok(())
}

fn start(text: &str) -> String {
    text.chars().take(60).collect()
}

#[test]
fn the_checker_finds_what_is_wrong() {
    for good in ["", "a &amp; b", "<p>a<br/>b</p>", r#"<!DOCTYPE html><a b="1 &gt; 0" c=""/>"#] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    assert_eq!(check("<style>a > b { c: d }</style><p>x</p>"), Ok(()));
    for bad in [
        "<p>",
        "</p>",
        "<p><b></p></b>",
        "a > b",
        "a & b",
        "&nbsp;",
        "<p a=1></p>",
        "<p a=\"1></p>",
        "<p a=\"1\" a=\"2\"></p>",
        "<p a=\"x<y\"></p>",
        "<script>",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
    for good in ["information 1.5", "M1 2L3 4", ""] {
        assert!(has_only_numbers(good), "{good}");
    }
    for bad in ["M1 NaNL2 3", "y=\"-inf\"", "M1 infL2 3", "Minf 2"] {
        assert!(!has_only_numbers(bad), "{bad}");
    }
}
