use super::*;
use crate::api::{ContentRange, DeleteObject, ReadConditions};
use crate::date;

const BYTES: &[u8] = b"0123456789";

fn ranged(header: &str) -> GetObject {
    GetObject { range: text(header), ..get_request("key") }
}

#[test]
fn ranges_are_answered_with_206_and_their_bytes() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    let (head, bytes) = fixture.get(ranged("bytes=2-4")).unwrap();
    assert_eq!(bytes, b"234");
    assert!(head.partial && head.parts_count.is_none());
    let range = head.content_range.unwrap();
    assert_eq!(range, ContentRange { first: 2, last: 4, size_bytes: 10 });
    assert_eq!(range.to_string(), "bytes 2-4/10");
    assert_eq!(fixture.get(ranged("bytes=-3")).unwrap().1, b"789");
    assert_eq!(fixture.get(ranged("bytes=8-99")).unwrap().1, b"89");
}

#[test]
fn ranges_not_understood_are_answered_with_200() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    for header in ["bytes=0-1,4-5", "bytes=4-2", "lines=1-2"] {
        let (head, bytes) = fixture.get(ranged(header)).unwrap();
        assert_eq!(bytes, BYTES, "{header}");
        assert!(!head.partial && head.content_range.is_none());
    }
}

#[test]
fn ranges_beyond_the_end_are_refused_with_the_size() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    let failure = fixture.get(ranged("bytes=10-")).unwrap_err();
    assert_eq!(failure.code.status(), 416);
    assert_eq!(failure.headers, [("content-range", "bytes */10".to_owned())]);
    fixture.put("key", b"");
    assert_eq!(fixture.get(ranged("bytes=0-")).unwrap_err().code, ErrorCode::InvalidRange);
}

#[test]
fn heads_are_the_heads_of_gets() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    for request in [get_request("key"), ranged("bytes=2-4")] {
        let (of_get, _) = fixture.get(request.clone()).unwrap();
        let of_head = block_on(fixture.gateway.head_object(request)).unwrap();
        assert_eq!(of_head.info, of_get.info);
        assert_eq!(of_head.content_range, of_get.content_range);
        assert_eq!(of_head.content_length, of_get.content_length);
    }
}

#[test]
fn part_1_of_one_put_is_all_of_it() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    let part = |number| GetObject { part_number: Some(number), ..get_request("key") };
    let (head, bytes) = fixture.get(part(1)).unwrap();
    assert_eq!(bytes, BYTES);
    assert!(head.partial && head.parts_count.is_none());
    assert_eq!(fixture.get(part(2)).unwrap_err().code, ErrorCode::InvalidPartNumber);
    for number in [0, -1, 10_001] {
        assert_eq!(fixture.get(part(number)).unwrap_err().code, ErrorCode::InvalidArgument);
    }
    let both = GetObject { range: text("bytes=0-1"), ..part(1) };
    assert_eq!(fixture.get(both).unwrap_err().code, ErrorCode::InvalidRequest);
    fixture.put("key", b"");
    let (head, bytes) = fixture.get(part(1)).unwrap();
    assert!(bytes.is_empty() && !head.partial && head.content_range.is_none());
}

#[test]
fn conditions_go_before_ranges() {
    let fixture = Fixture::new();
    let etag = fixture.put("key", BYTES).etag;
    let status = |conditions: ReadConditions| {
        let request = GetObject { conditions, ..ranged("bytes=99-") };
        fixture.get(request).unwrap_err().code.status()
    };
    let none = ReadConditions::default();
    assert_eq!(status(none.clone()), 416);
    assert_eq!(status(ReadConditions { if_match: text("\"aa\""), ..none.clone() }), 412);
    assert_eq!(status(ReadConditions { if_none_match: Some(etag), ..none.clone() }), 304);
    let now = Some(date::format(START_MS));
    assert_eq!(status(ReadConditions { if_modified_since: now.clone(), ..none.clone() }), 304);
    assert_eq!(status(ReadConditions { if_unmodified_since: now, ..none.clone() }), 416);
    let before = Some(date::format(START_MS - 1000));
    assert_eq!(status(ReadConditions { if_unmodified_since: before, ..none }), 412);
}

#[test]
fn checksums_are_shown_when_asked_for_and_all_is_answered() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    let count = |checksum_mode, range: Option<&str>| {
        let range = range.map(str::to_owned);
        let request = GetObject { checksum_mode, range, ..get_request("key") };
        fixture.get(request).unwrap().0.checksums.len()
    };
    assert_eq!(count(true, None), 1);
    assert_eq!(count(false, None), 0);
    assert_eq!(count(true, Some("bytes=0-1")), 0);
}

#[test]
fn attributes_come_back() {
    let fixture = Fixture::new();
    let attributes = vec![
        attribute(AttributeKind::ContentType, "", "text/plain"),
        attribute(AttributeKind::UserMetadata, "color", "blue"),
    ];
    let request = PutObject { attributes: attributes.clone(), ..put_request("key", BYTES) };
    block_on(fixture.gateway.put_object(request, Pieces::of(&[BYTES]))).unwrap();
    let (head, _) = fixture.get(get_request("key")).unwrap();
    assert_eq!(head.info.attributes, attributes);
}

#[test]
fn what_is_not_there_is_named() {
    let fixture = Fixture::new();
    assert_eq!(fixture.get(get_request("key")).unwrap_err().code, ErrorCode::NoSuchKey);
    let request = GetObject { bucket: "none".to_owned(), ..get_request("key") };
    assert_eq!(fixture.get(request).unwrap_err().code, ErrorCode::NoSuchBucket);
    let long = get_request(&"k".repeat(1025));
    assert_eq!(fixture.get(long).unwrap_err().code, ErrorCode::KeyTooLongError);
}

#[test]
fn a_body_under_way_stays_the_object_it_began_with() {
    let fixture = Fixture::new();
    let (old, new) = (vec![b'o'; 300_000], vec![b'n'; 300_000]);
    fixture.put("key", &old);
    let request = GetObject { range: text("bytes=100-"), ..get_request("key") };
    for replace in [true, false] {
        let answer = block_on(fixture.gateway.get_object(request.clone())).unwrap();
        let mut body = answer.body.unwrap();
        let mut bytes = block_on(body.next()).unwrap().unwrap().to_vec();
        assert!(bytes.len() < old.len() - 100, "the body comes in pieces");
        let expected = fixture.bytes_of("key");
        if replace {
            fixture.put("key", &new);
        } else {
            let (bucket, key) = ("bucket".to_owned(), "key".to_owned());
            let request = DeleteObject { bucket, key, if_match: None };
            block_on(fixture.gateway.delete_object(request)).unwrap();
        }
        while let Some(piece) = block_on(body.next()) {
            bytes.extend_from_slice(&piece.unwrap());
        }
        assert!(bytes == expected[100..], "replaced by another object: {replace}");
    }
    assert_eq!(fixture.get(get_request("key")).unwrap_err().code, ErrorCode::NoSuchKey);
}
