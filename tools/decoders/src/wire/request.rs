//! Requests as text, and percent-encoding as the signature's rules have it.

use http::Request;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;

/// hyper reads no more.
const HEADERS_MAX: usize = 100;

/// Reads `METHOD target`, lines of headers, an empty line and the body. `None`: hyper would refuse
/// such a head.
pub(crate) fn read(input: &[u8]) -> Option<(Parts, &[u8])> {
    let (head, body) = match input.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, &input[input.len()..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let request = Request::builder().method(method).uri(target).body(()).ok()?;
    let mut parts = request.into_parts().0;
    for line in lines.take(HEADERS_MAX) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        parts.headers.append(name, value);
    }
    Some((parts, body))
}

/// Decodes. A percent sign without two hexadecimal digits behind stands for itself.
pub(crate) fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, behind)) = rest.split_first() {
        let digits = behind.split_first_chunk::<2>().filter(|_| *byte == b'%');
        match digits.and_then(|(pair, after)| Some((hex_pair(*pair)?, after))) {
            Some((value, after)) => {
                decoded.push(value);
                rest = after;
            }
            None => {
                decoded.push(*byte);
                rest = behind;
            }
        }
    }
    decoded
}

fn hex_pair([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
}

/// The names and values of a query, in the order sent.
pub(crate) fn query_pairs(query: &str) -> Vec<(String, String)> {
    let pieces = query.split('&').filter(|piece| !piece.is_empty());
    let pairs = pieces.map(|piece| piece.split_once('=').unwrap_or((piece, "")));
    pairs.map(|(name, value)| (form_decoded(name), form_decoded(value))).collect()
}

fn form_decoded(text: &str) -> String {
    let spaced = text.replace('+', " ");
    String::from_utf8_lossy(&percent_decoded(spaced.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_its_headers_and_body() {
        let (parts, body) = read(b"PUT /a?b\nHost:  x \nx-y: 1\nx-y: 2\n\nbody\n\n").unwrap();
        assert_eq!((parts.method.as_str(), parts.uri.path()), ("PUT", "/a"));
        assert_eq!(parts.headers["host"], "x");
        assert_eq!(parts.headers.get_all("x-y").iter().count(), 2);
        assert_eq!(body, b"body\n\n");
        assert_eq!(read(b"GET /\n").unwrap().1, b"");
        for none in [&b""[..], b"GET", b"G T /", b"GET /\nno colon", b"GET \xff"] {
            assert!(read(none).is_none(), "{none:?}");
        }
    }

    #[test]
    fn percent_signs_are_read_where_two_digits_follow() {
        assert_eq!(percent_decoded(b"a%2Fb%4%zz%%41"), b"a/b%4%zz%A");
        let pairs = query_pairs("b=1+2&&a%3D&c=d=e");
        let expected = [("b", "1 2"), ("a=", ""), ("c", "d=e")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
