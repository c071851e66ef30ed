//! Text into markup.
//!
//! Invariants: what comes out holds no character that begins or ends a tag, an attribute or an
//! entity, no control character, and none that turns the direction of the text around it. It may
//! stand between tags and in attributes in double quotes, nowhere else.

/// Text as it may stand in markup.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(' '),
            _ if is_unfit(character) => out.push('\u{fffd}'),
            _ => out.push(character),
        }
    }
    out
}

/// Characters that HTML forbids, and marks that reorder what stands beside them.
fn is_unfit(character: char) -> bool {
    let reorders = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let noncharacter = matches!(character, '\u{fdd0}'..='\u{fdef}' | '\u{fffe}' | '\u{ffff}');
    character.is_control() || reorders || noncharacter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(
            escaped(r#"<b a="1" c='2'>&amp;</b>"#),
            "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;&lt;/b&gt;"
        );
        assert_eq!(escaped(""), "");
        assert_eq!(escaped("5 \u{b5}s, caf\u{e9}"), "5 \u{b5}s, caf\u{e9}");
    }

    #[test]
    fn what_html_forbids_is_replaced() {
        assert_eq!(escaped("a\0b\u{1b}c\u{9f}"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(escaped("a\tb\r\nc"), "a b  c");
        assert_eq!(escaped("\u{202e}txt\u{2069}\u{ffff}"), "\u{fffd}txt\u{fffd}\u{fffd}");
    }
}
