//! Ranges and conditions of reads, signed as clients sign them, and the heads of the answers.

use crate::common::{Reply, Server, Signer, server};

const BODY: &[u8] = b"hello, basalt";

/// A server with the object `/bkt/k`, and its ETag.
fn with_object() -> (Server, String) {
    let server = server();
    assert_eq!(server.signed("PUT /bkt", &[], b"").status(), 200);
    let put = server.signed("PUT /bkt/k", &[("x-amz-meta-a", "1")], BODY);
    assert_eq!(put.status(), 200);
    let etag = put.header("etag").to_owned();
    (server, etag)
}

fn get(server: &Server, name: &str, value: &str) -> Reply {
    server.signed("GET /bkt/k", &[(name, value)], b"")
}

#[test]
fn ranges_that_are_none_are_ignored() {
    let (server, _) = with_object();
    for range in
        ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes", "bytes=-", "bytes=+1-2"]
    {
        let got = get(&server, "range", range);
        assert_eq!((got.status(), got.body.as_slice()), (200, BODY), "{range}");
        assert_eq!(got.header("content-range"), "");
        let head = server.signed("HEAD /bkt/k", &[("range", range)], b"");
        assert_eq!((head.status(), head.header("content-length")), (200, "13"), "{range}");
    }
}

#[test]
fn ranges_beyond_the_end_are_refused_however_large() {
    let (server, _) = with_object();
    for range in
        ["bytes=13-", "bytes=18446744073709551616-", "bytes=-0", "bytes=9223372036854775808-"]
    {
        let got = get(&server, "range", range);
        assert_eq!((got.status(), got.code()), (416, "InvalidRange"), "{range}");
        assert_eq!(got.header("content-range"), "bytes */13");
        assert!(got.text().contains("<ActualObjectSize>13</ActualObjectSize>"), "{}", got.text());
    }
    let got = get(&server, "range", "bytes=7-18446744073709551616");
    assert_eq!((got.status(), got.text()), (206, "basalt"));
    assert_eq!(got.header("content-range"), "bytes 7-12/13");
    let got = get(&server, "range", "bytes=-18446744073709551616");
    assert_eq!((got.status(), got.body.as_slice()), (206, BODY));
}

#[test]
fn conditions_of_odd_forms_are_judged_or_ignored() {
    let (server, etag) = with_object();
    let bare = etag.trim_matches('"').to_owned();
    let cases = [
        ("if-modified-since", "yesterday".to_owned(), 200),
        ("if-unmodified-since", "2000-01-01T00:00:00Z".to_owned(), 200),
        ("if-unmodified-since", "Saturday, 01-Jan-00 00:00:00 GMT".to_owned(), 412),
        ("if-match", format!("\"other\", {etag}"), 200),
        ("if-match", bare, 200),
        ("if-match", format!("W/{etag}"), 412),
        ("if-match", "\"open".to_owned(), 412),
        ("if-match", String::new(), 200),
        ("if-none-match", format!("\"other\",{etag}"), 304),
        ("if-none-match", format!("W/{etag}"), 304),
        ("if-none-match", "{odd}".to_owned(), 200),
    ];
    for (name, value, status) in cases {
        let got = get(&server, name, &value);
        assert_eq!(got.status(), status, "{name}: {value}");
        match status {
            200 => assert_eq!(got.body, BODY),
            304 => assert!(got.body.is_empty()),
            _ => assert_eq!(got.code(), "PreconditionFailed"),
        }
    }
}

#[test]
fn parts_are_numbers_within_bounds() {
    let (server, _) = with_object();
    for (number, status, code) in [
        ("1", 206, ""),
        ("2", 416, "InvalidPartNumber"),
        ("0", 400, "InvalidArgument"),
        ("abc", 400, "InvalidArgument"),
        ("99999999999999999999", 400, "InvalidArgument"),
    ] {
        let got = server.signed(&format!("GET /bkt/k?partNumber={number}"), &[], b"");
        assert_eq!((got.status(), got.code()), (status, code), "{number}");
    }
    let both = server.signed("GET /bkt/k?partNumber=1", &[("range", "bytes=0-1")], b"");
    assert_eq!((both.status(), both.code()), (400, "InvalidRequest"));
}

#[test]
fn heads_of_gets_and_heads_are_alike() {
    let (server, etag) = with_object();
    let mode = [("x-amz-checksum-mode", "ENABLED")];
    let got = server.signed("GET /bkt/k", &mode, b"");
    let head = server.signed("HEAD /bkt/k", &mode, b"");
    for (name, value) in [
        ("accept-ranges", "bytes"),
        ("content-length", "13"),
        ("content-type", "binary/octet-stream"),
        ("etag", etag.as_str()),
        ("last-modified", "Tue, 14 Nov 2023 22:13:20 GMT"),
        ("x-amz-meta-a", "1"),
        ("x-amz-checksum-type", "FULL_OBJECT"),
    ] {
        assert_eq!((got.header(name), head.header(name)), (value, value), "{name}");
    }
    let sum = got.header("x-amz-checksum-crc64nvme");
    assert_eq!((sum.len(), sum), (12, head.header("x-amz-checksum-crc64nvme")));
    assert_eq!((got.body.as_slice(), head.body.as_slice()), (BODY, &b""[..]));
    assert_eq!(server.signed("PUT /bkt/empty", &[], b"").status(), 200);
    let empty = server.signed("GET /bkt/empty", &[], b"");
    assert_eq!((empty.status(), empty.header("content-length")), (200, "0"));
}

#[test]
fn reads_are_signed_and_the_range_with_them() {
    let (server, _) = with_object();
    let signer = Signer { secret: "other", ..Signer::now() };
    let reply = server.send(signer.request("GET /bkt/k", &[], b""));
    assert_eq!((reply.status(), reply.code()), (403, "SignatureDoesNotMatch"));
    let mut anonymous = Signer::now().request("GET /bkt/k", &[], b"");
    anonymous.headers_mut().remove("authorization");
    let reply = server.send(anonymous);
    assert_eq!((reply.status(), reply.code()), (403, "AccessDenied"));
    let mut changed = Signer::now().request("GET /bkt/k", &[("range", "bytes=0-1")], b"");
    changed.headers_mut().insert("range", "bytes=0-2".parse().unwrap());
    let reply = server.send(changed);
    assert_eq!((reply.status(), reply.code()), (403, "SignatureDoesNotMatch"));
}
