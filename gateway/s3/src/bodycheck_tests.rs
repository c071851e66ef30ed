//! Bodies of XML operations that are too long, cut off, or not what they claim to be.

use super::*;
use std::collections::VecDeque;
use std::task::Waker;

/// A body of unknown length, in pieces; `None` is where it breaks.
struct Pieces(VecDeque<Option<Bytes>>);

impl Stream for Pieces {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.get_mut().0.pop_front().map(|piece| match piece {
            Some(bytes) => Ok(bytes),
            None => Err(StdError::from("broken")),
        }))
    }
}

impl ByteStream for Pieces {}

fn pieces(pieces: impl IntoIterator<Item = Option<Bytes>>) -> Body {
    let stream: DynByteStream = Box::pin(Pieces(pieces.into_iter().collect()));
    Body::from(stream)
}

/// How many bytes come through before the body ends or fails, and the verdict's code.
fn read(headers: &[(&'static str, &str)], body: Body) -> (usize, Option<&'static str>) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    let (mut body, verdict) = checked(Operation::DeleteObjects, &map, body);
    let mut context = Context::from_waker(Waker::noop());
    let (mut bytes, mut failed) = (0, verdict.get().is_some());
    while let Poll::Ready(Some(piece)) = Pin::new(&mut body).poll_next(&mut context) {
        match piece {
            Ok(piece) => bytes += piece.len(),
            Err(_) => {
                failed = true;
                break;
            }
        }
    }
    let code = verdict.get().map(|refusal| refusal.code);
    assert_eq!(failed, code.is_some());
    (bytes, code)
}

const MEBIBYTE: usize = 1024 * 1024;

#[test]
fn a_body_above_the_limit_is_refused_before_it_is_held() {
    let blank = Bytes::from(vec![b' '; MEBIBYTE]);
    let most = vec![Some(blank); 8];
    assert_eq!(read(&[], pieces(most.clone())), (8 * MEBIBYTE, None));
    let above = most.into_iter().chain([Some(Bytes::from_static(b" "))]);
    assert_eq!(read(&[], pieces(above)), (8 * MEBIBYTE, Some("MaxMessageLengthExceeded")));
    let whole = Body::from(vec![b' '; 8 * MEBIBYTE + 1]);
    assert_eq!(read(&[], whole), (0, Some("MaxMessageLengthExceeded")));
}

#[test]
fn a_body_that_breaks_is_incomplete() {
    let body = pieces([Some(Bytes::from_static(b"abc")), None]);
    assert_eq!(read(&[], body), (3, Some("IncompleteBody")));
}

#[test]
fn sums_are_verified_whether_the_length_is_known_or_not() {
    let hash = encoding::hex(&Sha256::checksum(b"abc"));
    let md5 = encoding::base64(&Md5::checksum(b"abc"));
    let crc = encoding::base64(&s3s::crypto::Crc32::checksum(b"abc"));
    let cases = [
        ("x-amz-content-sha256", hash.as_str(), "XAmzContentSHA256Mismatch"),
        ("content-md5", md5.as_str(), "BadDigest"),
        ("x-amz-checksum-crc32", crc.as_str(), "BadDigest"),
    ];
    for (name, claim, code) in cases {
        let two = || pieces([Some(Bytes::from_static(b"a")), Some(Bytes::from_static(b"bc"))]);
        assert_eq!(read(&[(name, claim)], two()), (3, None), "{name}");
        assert_eq!(read(&[(name, claim)], Body::from(b"abc".to_vec())), (3, None), "{name}");
        let other = pieces([Some(Bytes::from_static(b"abd"))]);
        assert_eq!(read(&[(name, claim)], other), (3, Some(code)), "{name}");
        let other = Body::from(b"abd".to_vec());
        assert_eq!(read(&[(name, claim)], other), (0, Some(code)), "{name}");
        assert_eq!(read(&[(name, claim)], Body::empty()), (0, Some(code)), "{name}");
    }
    let unsigned = [("x-amz-content-sha256", "UNSIGNED-PAYLOAD")];
    assert_eq!(read(&unsigned, Body::from(b"abc".to_vec())), (3, None));
}
