//! Query strings and percent-encoding, read the way s3s reads them.
//!
//! Invariant: what is judged here is what s3s will act on, so the two must decode alike.

/// A decoded query string, in the order sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pieces = text.unwrap_or_default().split('&').filter(|piece| !piece.is_empty());
        let pairs = pieces.map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            (form_decode(name), form_decode(value))
        });
        Self { pairs: pairs.collect() }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|pair| (pair.0.as_str(), pair.1.as_str()))
    }

    /// A name that occurs more than once.
    pub(crate) fn repeated(&self) -> Option<&str> {
        let mut pairs = self.pairs.iter().enumerate();
        let repeats =
            |index: usize, name: &str| self.pairs[..index].iter().any(|pair| pair.0 == name);
        let found = pairs.find(|(index, pair)| repeats(*index, &pair.0));
        found.map(|(_, pair)| pair.0.as_str())
    }
}

fn form_decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    String::from_utf8_lossy(&percent_bytes(&spaced)).into_owned()
}

/// Decodes a path. `None`: not UTF-8.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    String::from_utf8(percent_bytes(text)).ok()
}

/// A percent sign without two hexadecimal digits behind stands for itself.
fn percent_bytes(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let high = bytes.get(index + 1).and_then(|digit| hex_digit(*digit));
        let low = bytes.get(index + 2).and_then(|digit| hex_digit(*digit));
        if let (b'%', Some(high), Some(low)) = (byte, high, low) {
            decoded.push(high << 4 | low);
            index += 3;
        } else {
            decoded.push(byte);
            index += 1;
        }
    }
    decoded
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_names_values_plus_and_bare_names() {
        let query = Query::parse(Some("tagging&prefix=a%2Fb+c&%61cl=&&x=%zz%4"));
        let pairs: Vec<_> = query.iter().collect();
        let expected = [("tagging", ""), ("prefix", "a/b c"), ("acl", ""), ("x", "%zz%4")];
        assert_eq!(pairs, expected);
        assert_eq!(query.repeated(), None);
        assert_eq!(Query::parse(Some("a=1&b&a")).repeated(), Some("a"));
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn paths_keep_plus_and_must_be_utf8() {
        assert_eq!(percent_decode("/a+b%20%C3%A9").as_deref(), Some("/a+b \u{e9}"));
        assert_eq!(percent_decode("/%FF"), None);
        assert_eq!(percent_decode("/%").as_deref(), Some("/%"));
    }
}
