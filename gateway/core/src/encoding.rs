//! Text forms: base64 (digests, tokens), hexadecimal (ETags), URL encoding (keys in listings).

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Base64 with padding. Source: RFC 4648, section 4.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4 {
            let digit = (group >> (18 - 6 * index) & 63) as usize;
            text.push(if index > chunk.len() { '=' } else { char::from(ALPHABET[digit]) });
        }
    }
    text
}

/// Reads base64 with padding. Strict: one text for each value, nothing around it.
#[must_use]
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    let digits = &text[..text.len() - padding];
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for chunk in digits.chunks(4) {
        let mut group = 0_u32;
        for digit in chunk {
            group = group << 6 | digit_of(*digit)?;
        }
        group <<= 6 * (4 - chunk.len());
        let [_, first, second, third] = group.to_be_bytes();
        let kept = chunk.len() - 1;
        // Bits behind the last byte must be zero, or two texts would mean the same.
        if [first, second, third][kept..].iter().any(|byte| *byte != 0) {
            return None;
        }
        bytes.extend_from_slice(&[first, second, third][..kept]);
    }
    Some(bytes)
}

fn digit_of(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(digit))
}

/// Hexadecimal digits in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

/// Reads 32 hexadecimal digits of either case: an MD5 or an upload id.
#[must_use]
pub fn from_hex_16(text: &str) -> Option<[u8; 16]> {
    let text = text.as_bytes();
    if text.len() != 32 {
        return None;
    }
    let mut bytes = [0_u8; 16];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// What `encoding-type=url` does to keys and prefixes: everything but unreserved characters and
/// `/` becomes `%XX`. A space becomes `%20` and not `+`: every client reads that back rightly.
#[must_use]
pub fn url(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => {
                encoded.push('%');
                encoded.push(char::from(HEX[usize::from(byte >> 4)]).to_ascii_uppercase());
                encoded.push(char::from(HEX[usize::from(byte & 15)]).to_ascii_uppercase());
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_has_the_vectors_of_its_standard() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
            assert_eq!(from_base64(text).as_deref(), Some(bytes.as_bytes()));
        }
        for byte in 0..=255_u8 {
            assert_eq!(from_base64(&base64(&[byte, !byte])), Some(vec![byte, !byte]));
        }
    }

    #[test]
    fn base64_that_is_none_is_refused() {
        for text in
            ["Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm9v ", "Z_8=", "=Zg=", "Zg==Zg=="]
        {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }

    #[test]
    fn hexadecimal_round_trips_and_takes_no_signs() {
        let bytes = [0x0f; 16];
        assert_eq!(hex(&bytes), "0f".repeat(16));
        assert_eq!(from_hex_16(&hex(&bytes)), Some(bytes));
        assert_eq!(from_hex_16(&"0F".repeat(16)), Some(bytes));
        assert_eq!(from_hex_16(&"+f".repeat(16)), None);
        assert_eq!(from_hex_16("0f"), None);
    }

    #[test]
    fn keys_are_encoded_byte_by_byte() {
        assert_eq!(url("a/b c+d~*\u{e4}"), "a/b%20c%2Bd~%2A%C3%A4");
    }
}
