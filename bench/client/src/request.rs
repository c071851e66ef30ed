//! What is asked, and the head that asks it.

use crate::body::Signing;
use crate::sign::{EMPTY_SHA256, Hex, Signed, Signer};

/// Methods of S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// HEAD
    Head,
    /// PUT
    Put,
    /// POST
    Post,
    /// DELETE
    Delete,
}

impl Method {
    /// As it stands in the request line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// Name, lower-case, and value.
pub type Header<'a> = (&'a str, &'a [u8]);

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The path, percent-encoded, with its bucket.
    pub path: &'a [u8],
    /// The query, encoded and sorted by name, without the question mark.
    pub query: &'a [u8],
    /// Headers beside those the client writes itself, at most seven. All are signed.
    pub headers: &'a [Header<'a>],
    /// Bytes of the payload. `None`: the request has no body.
    pub payload_bytes: Option<u64>,
    /// How the payload is signed.
    pub signing: Signing,
    /// The payload's SHA-256, where `signing` is `Signed`.
    pub payload_sha256: Option<&'a Hex>,
}

impl Request<'_> {
    /// Bytes of the body as it is sent.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.payload_bytes.map_or(0, |bytes| self.signing.encoded_bytes(bytes))
    }

    fn payload_marker(&self) -> &[u8] {
        match (self.payload_bytes, self.payload_sha256) {
            (None, _) => EMPTY_SHA256.as_bytes(),
            (Some(_), Some(hash)) if self.signing == Signing::Signed => hash,
            (Some(_), _) => self.signing.marker().as_bytes(),
        }
    }
}

/// Headers that are signed, at most.
const HEADERS_MAX: usize = 12;

/// A number in decimal, on the stack.
struct Decimal {
    digits: [u8; 20],
    begin: usize,
}

impl Decimal {
    fn new(mut value: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut begin = digits.len() - 1;
        loop {
            digits[begin] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return Self { digits, begin };
            }
            begin -= 1;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.digits[self.begin..]
    }
}

/// Appends the head of a request; gives its signature. Without a signer it is not signed.
///
/// # Panics
/// With more headers than a request may have: a programmer's error.
pub fn write_head(
    request: &Request<'_>,
    host: &str,
    signer: Option<&mut Signer>,
    head: &mut Vec<u8>,
) -> Hex {
    let token = signer.as_ref().and_then(|signer| signer.session_token());
    let decoded = Decimal::new(request.payload_bytes.unwrap_or(0));
    let length = Decimal::new(request.body_bytes());
    let mut headers: [Header<'_>; HEADERS_MAX] = [("", b""); HEADERS_MAX];
    headers[0] = ("x-amz-content-sha256", request.payload_marker());
    let mut count = 1;
    if request.payload_bytes.is_some() && request.signing.is_framed() {
        headers[1] = ("content-encoding", b"aws-chunked");
        headers[2] = ("x-amz-decoded-content-length", decoded.as_bytes());
        count = 3;
        if let Some(name) = request.signing.trailer() {
            headers[3] = ("x-amz-trailer", name.as_bytes());
            count = 4;
        }
    }
    if let Some(token) = &token {
        headers[count] = ("x-amz-security-token", token);
        count += 1;
    }
    assert!(count + request.headers.len() <= HEADERS_MAX, "too many headers for one request");
    headers[count..count + request.headers.len()].copy_from_slice(request.headers);
    count += request.headers.len();
    let headers = &mut headers[..count];
    headers.sort_unstable_by_key(|(name, _)| *name);

    head.extend_from_slice(request.method.name().as_bytes());
    head.push(b' ');
    head.extend_from_slice(request.path);
    if !request.query.is_empty() {
        head.push(b'?');
        head.extend_from_slice(request.query);
    }
    head.extend_from_slice(b" HTTP/1.1\r\n");
    write_header(("host", host.as_bytes()), head);
    for header in &*headers {
        write_header(*header, head);
    }
    // Some servers ask for a length also where there is no body.
    if request.payload_bytes.is_some() || matches!(request.method, Method::Put | Method::Post) {
        write_header(("content-length", length.as_bytes()), head);
    }
    let mut signature = [b'0'; 64];
    if let Some(signer) = signer {
        write_header(("x-amz-date", signer.date().as_bytes()), head);
        head.extend_from_slice(b"authorization: ");
        let signed = Signed {
            method: request.method.name(),
            path: request.path,
            query: request.query,
            headers,
            payload: request.payload_marker(),
        };
        signature = signer.authorize(&signed, head);
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    signature
}

fn write_header((name, value): Header<'_>, head: &mut Vec<u8>) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(part);
    }
}

/// Appends a key percent-encoded as paths of S3 are signed: unreserved characters and slashes
/// stay as they are.
pub fn encode_path(key: &[u8], out: &mut Vec<u8>) {
    encode(key, b"/", out);
}

/// Appends the value of a query parameter, percent-encoded.
pub fn encode_query(value: &[u8], out: &mut Vec<u8>) {
    encode(value, b"", out);
}

/// Appends bytes in base64 (RFC 4648), padded.
pub fn encode_base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let mut bits = 0_u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() { ALPHABET[index as usize] } else { b'=' });
        }
    }
}

fn encode(text: &[u8], kept: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || kept.contains(byte) {
            out.push(*byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::Credentials;

    #[test]
    fn decimals_are_those_of_the_library() {
        for value in [0, 9, 10, 65_536, u64::MAX] {
            assert_eq!(Decimal::new(value).as_bytes(), value.to_string().as_bytes());
        }
    }

    #[test]
    fn keys_are_encoded_as_they_are_signed() {
        let mut path = Vec::new();
        encode_path("a b/\u{fc}+~._-%2F".as_bytes(), &mut path);
        assert_eq!(path, b"a%20b/%C3%BC%2B~._-%252F");
        let mut value = Vec::new();
        encode_query(b"a/b=c&d", &mut value);
        assert_eq!(value, b"a%2Fb%3Dc%26d");
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        // The test vectors of RFC 4648.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode_base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
        let mut out = Vec::new();
        encode_base64(&[0xff; 4], &mut out);
        assert_eq!(out, b"/////w==");
    }

    #[test]
    fn a_head_names_what_it_signs() {
        let credentials = Credentials {
            access_key: "key".to_owned(),
            secret_key: "secret".to_owned(),
            session_token: None,
            region: "us-east-1".to_owned(),
        };
        let mut signer = Signer::new(credentials, "localhost:9000", 1_369_353_600);
        let request = Request {
            method: Method::Put,
            path: b"/bucket/key",
            query: b"",
            headers: &[("x-amz-copy-source", b"/a/b"), ("if-match", b"x")],
            payload_bytes: Some(100_000),
            signing: Signing::Trailer,
            payload_sha256: None,
        };
        let mut head = Vec::new();
        write_head(&request, "localhost:9000", Some(&mut signer), &mut head);
        let text = String::from_utf8(head).unwrap();
        let names = "SignedHeaders=content-encoding;host;if-match;x-amz-content-sha256;\
             x-amz-copy-source;x-amz-date;x-amz-decoded-content-length;x-amz-trailer,";
        assert!(text.contains(names), "{text}");
        assert!(text.contains("\r\nx-amz-decoded-content-length: 100000\r\n"), "{text}");
        let length = Signing::Trailer.encoded_bytes(100_000);
        assert!(text.contains(&format!("\r\ncontent-length: {length}\r\n")), "{text}");
        assert!(text.ends_with("\r\n\r\n"));

        let mut plain = Vec::new();
        write_head(&request, "localhost:9000", None, &mut plain);
        assert!(!String::from_utf8(plain).unwrap().contains("authorization"));
    }
}
