//! Whole, split at every byte, and broken.

use super::*;

#[derive(Default)]
struct Got {
    heads: Vec<Head>,
    body: Vec<u8>,
}

impl Sink for Got {
    fn head(&mut self, head: &Head) {
        self.heads.push(*head);
    }
    fn body(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\nETag: \"abc-2\"\r\n\r\nhello world";
const CHUNKED: &[u8] =
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
    5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";

fn whole(parts: &[&[u8]], is_head_request: bool) -> Result<(Got, bool), ResponseError> {
    let mut parser = ResponseParser::new();
    parser.begin(is_head_request);
    let mut got = Got::default();
    for part in parts {
        parser.advance(part, &mut got)?;
    }
    let is_ended = parser.is_ended();
    Ok((got, is_ended))
}

#[test]
fn a_response_split_anywhere_is_the_same() {
    for text in [SIZED, CHUNKED] {
        for split in 0..=text.len() {
            for second in split..=text.len() {
                let parts = [&text[..split], &text[split..second], &text[second..]];
                let (got, is_ended) = whole(&parts, false).unwrap();
                assert!(is_ended, "split at {split} and {second}");
                assert_eq!(got.body, b"hello world");
                assert_eq!(got.heads.len(), 1, "an interim response is no head");
                assert_eq!(got.heads[0].status, 200);
            }
        }
    }
    let (got, _) = whole(&[SIZED], false).unwrap();
    assert_eq!(got.heads[0].etag.as_bytes(), b"abc-2");
    assert_eq!(got.heads[0].content_length, Some(11));
}

#[test]
fn a_response_without_a_body_ends_with_its_head() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n";
    assert!(whole(&[head], true).unwrap().1);
    assert!(!whole(&[head], false).unwrap().1);
    assert!(whole(&[b"HTTP/1.1 204 No Content\r\n\r\n"], false).unwrap().1);
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    let mut parser = ResponseParser::new();
    parser.begin(false);
    let mut got = Got::default();
    parser.advance(b"HTTP/1.1 200 OK\r\n\r\nall of it", &mut got).unwrap();
    assert!(!parser.is_ended());
    parser.closed().unwrap();
    assert!(parser.is_ended() && !parser.keeps_alive());
    assert_eq!(got.body, b"all of it");
}

#[test]
fn a_cut_response_is_no_response() {
    for text in [SIZED, CHUNKED] {
        for end in 0..text.len() {
            let mut parser = ResponseParser::new();
            parser.begin(false);
            parser.advance(&text[..end], &mut Got::default()).unwrap();
            assert_eq!(parser.closed(), Err(ResponseError::Cut), "at {end}");
        }
    }
}

#[test]
fn what_is_no_response_is_refused() {
    let long = [b"HTTP/1.1 200 OK\r\nX: ".as_slice(), &vec![b'a'; HEAD_BYTES_MAX]].concat();
    for text in [
        b"SSH-2.0-OpenSSH\r\n".as_slice(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        &long,
    ] {
        let outcome = whole(&[text], false);
        assert!(outcome.is_err(), "{:?}", String::from_utf8_lossy(&text[..text.len().min(80)]));
    }
}

#[test]
fn a_split_head_may_be_followed_by_much() {
    let body = vec![b'x'; 200_000];
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
    for split in [1, 20, head.len() - 1] {
        let rest = [&head[split..], &body].concat();
        let (got, is_ended) = whole(&[&head[..split], &rest], false).unwrap();
        assert!(is_ended && got.body == body, "split at {split}");
    }
}

#[test]
fn closing_is_heard_of() {
    for (text, keeps_alive) in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".as_slice(), false),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", false),
    ] {
        let mut parser = ResponseParser::new();
        parser.begin(false);
        assert!(parser.advance(text, &mut Got::default()).unwrap());
        assert_eq!(parser.keeps_alive(), keeps_alive);
    }
}
