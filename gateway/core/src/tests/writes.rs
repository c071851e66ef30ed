use super::*;
use crate::api::{ChecksumType, DeleteObject, DeleteObjects, Trailer, WriteConditions};
use crate::digest::{BodySums, algorithm_name};
use crate::encoding::{base64, hex};
use crate::objects::StoreError;
use engine_types::ChecksumKind;

const BYTES: &[u8] = b"123456789";
const MD5_HEX: &str = "25f9e794323b453885f5181f1b624d0b";
const KINDS: [ChecksumKind; 5] = [
    ChecksumKind::Crc32,
    ChecksumKind::Crc32c,
    ChecksumKind::Crc64Nvme,
    ChecksumKind::Sha1,
    ChecksumKind::Sha256,
];

fn sum_text(kind: ChecksumKind, bytes: &[u8]) -> String {
    let mut sums = BodySums::new(&[kind]);
    sums.update(bytes);
    base64(&sums.finish().sum(kind).sum)
}

/// Puts `BYTES` in two pieces with these claims; a failure leaves nothing behind.
fn put(fixture: &Fixture, claims: BodyClaims) -> Result<Stored, S3Failure> {
    let request = PutObject { claims, ..put_request("key", BYTES) };
    let body = Pieces::of(&[&BYTES[..4], b"", &BYTES[4..]]);
    let result = block_on(fixture.gateway.put_object(request, body));
    let count = usize::from(result.is_ok());
    assert_eq!(fixture.gateway.store().object_count(), count);
    result
}

#[test]
fn what_was_put_comes_back_with_its_md5_and_default_checksum() {
    let fixture = Fixture::new();
    let stored = put(&fixture, claims(BYTES)).unwrap();
    assert_eq!((stored.etag.as_str(), stored.size_bytes), (MD5_HEX, 9));
    assert_eq!(stored.modified_ms, START_MS);
    let [checksum] = stored.checksums.as_slice() else { panic!("one checksum") };
    assert_eq!(checksum.kind, ChecksumKind::Crc64Nvme);
    assert_eq!(checksum.text, sum_text(ChecksumKind::Crc64Nvme, BYTES));
    assert_eq!(checksum.checksum_type, ChecksumType::FullObject);
    assert_eq!(fixture.bytes_of("key"), BYTES);
    fixture.put("empty", b"");
    assert_eq!(fixture.bytes_of("empty"), b"");
}

#[test]
fn bodies_must_be_as_long_as_declared() {
    let fixture = Fixture::new();
    for length in [0, 8, 10] {
        let claims = BodyClaims { content_length: Some(length), ..BodyClaims::default() };
        assert_eq!(put(&fixture, claims).unwrap_err().code, ErrorCode::IncompleteBody);
    }
    let code = put(&fixture, BodyClaims::default()).unwrap_err().code;
    assert_eq!((code, code.status()), (ErrorCode::MissingContentLength, 411));
    let claims = BodyClaims { content_length: Some((5 << 30) + 1), ..BodyClaims::default() };
    assert_eq!(put(&fixture, claims).unwrap_err().code, ErrorCode::EntityTooLarge);
}

#[test]
fn bodies_that_break_off_leave_nothing() {
    let fixture = Fixture::new();
    for (error, code) in [
        (BodyError::Closed, ErrorCode::IncompleteBody),
        (BodyError::TimedOut, ErrorCode::RequestTimeout),
        (BodyError::Refused(ErrorCode::AccessDenied.into()), ErrorCode::AccessDenied),
    ] {
        // Also when all bytes came: what follows them (the last chunk, a trailer) belongs to it.
        for pieces in [b"1234".as_slice(), BYTES] {
            let body = Pieces([Ok(Bytes::from_static(pieces)), Err(error.clone())].into());
            let request = put_request("key", BYTES);
            assert_eq!(code_of(fixture.gateway.put_object(request, body)), code);
            assert_eq!(fixture.gateway.store().object_count(), 0);
        }
    }
}

#[test]
fn content_md5_is_verified() {
    let fixture = Fixture::new();
    let with = |md5: &str| BodyClaims { content_md5: text(md5), ..claims(BYTES) };
    for md5 in ["", "not base64", "AAAA", MD5_HEX] {
        assert_eq!(put(&fixture, with(md5)).unwrap_err().code, ErrorCode::InvalidDigest, "{md5}");
    }
    let other = base64(&[7; 16]);
    assert_eq!(put(&fixture, with(&other)).unwrap_err().code, ErrorCode::BadDigest);
    let right = base64(&crate::encoding::from_hex_16(MD5_HEX).unwrap());
    assert!(put(&fixture, with(&right)).is_ok());
}

#[test]
fn checksums_in_headers_are_verified_and_kept() {
    for kind in KINDS {
        let fixture = Fixture::new();
        let with = |text: String| BodyClaims { checksums: vec![(kind, text)], ..claims(BYTES) };
        let failure = put(&fixture, with(sum_text(kind, b"other"))).unwrap_err();
        assert_eq!(failure.code, ErrorCode::BadDigest);
        assert_eq!(
            failure.message,
            format!(
                "The {} you specified did not match the calculated checksum.",
                algorithm_name(kind)
            )
        );
        let failure = put(&fixture, with("????".to_owned())).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InvalidRequest);
        let stored = put(&fixture, with(sum_text(kind, BYTES))).unwrap();
        assert_eq!(stored.checksums.len(), 1);
        assert_eq!(stored.checksums[0].text, sum_text(kind, BYTES));
        let request = GetObject { checksum_mode: true, ..get_request("key") };
        assert_eq!(fixture.get(request).unwrap().0.checksums, stored.checksums);
    }
}

#[test]
fn checksums_in_trailers_are_read_after_the_body_and_verified() {
    for kind in KINDS {
        let fixture = Fixture::new();
        let with = |sent: Option<String>| BodyClaims {
            trailer: Some(Trailer { kind, read: Box::new(move || sent) }),
            sdk_algorithm: Some(kind),
            ..claims(BYTES)
        };
        let code = |sent| put(&fixture, with(sent)).unwrap_err().code;
        assert_eq!(code(Some(sum_text(kind, b"other"))), ErrorCode::BadDigest);
        assert_eq!(code(text("AA")), ErrorCode::InvalidRequest);
        assert_eq!(code(None), ErrorCode::MalformedTrailerError);
        let stored = put(&fixture, with(Some(sum_text(kind, BYTES)))).unwrap();
        assert_eq!(stored.checksums[0].kind, kind);
    }
}

#[test]
fn only_one_checksum_and_only_the_announced_one() {
    let fixture = Fixture::new();
    let right = |kind| (kind, sum_text(kind, BYTES));
    let two = BodyClaims {
        checksums: vec![right(ChecksumKind::Crc32), right(ChecksumKind::Sha1)],
        ..claims(BYTES)
    };
    let missing = BodyClaims { sdk_algorithm: Some(ChecksumKind::Crc32), ..claims(BYTES) };
    let another = BodyClaims {
        sdk_algorithm: Some(ChecksumKind::Crc32),
        checksums: vec![right(ChecksumKind::Sha1)],
        ..claims(BYTES)
    };
    for claims in [two, missing, another] {
        assert_eq!(put(&fixture, claims).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}

#[test]
fn the_named_kind_of_checksum_is_kept() {
    for kind in KINDS {
        let fixture = Fixture::new();
        let named = || BodyClaims { algorithm: Some(kind), ..claims(BYTES) };
        let stored = put(&fixture, named()).unwrap();
        assert_eq!(stored.checksums[0].text, sum_text(kind, BYTES));
        let request = GetObject { checksum_mode: true, ..get_request("key") };
        assert_eq!(fixture.get(request).unwrap().0.checksums, stored.checksums);
        for given in KINDS {
            let checksums = vec![(given, sum_text(given, BYTES))];
            let outcome = put(&Fixture::new(), BodyClaims { checksums, ..named() });
            let expected = if given == kind { None } else { Some(ErrorCode::InvalidRequest) };
            assert_eq!(outcome.err().map(|failure| failure.code), expected, "{given:?} {kind:?}");
        }
    }
}

#[test]
fn keys_metadata_and_buckets_are_checked() {
    let fixture = Fixture::new();
    let code = |request| code_of(fixture.gateway.put_object(request, Pieces::of(&[b"b"])));
    assert_eq!(code(put_request(&"k".repeat(1025), b"b")), ErrorCode::KeyTooLongError);
    let value = "v".repeat(2047);
    let attributes = vec![attribute(AttributeKind::UserMetadata, "nm", &value)];
    let request = PutObject { attributes, ..put_request("key", b"b") };
    assert_eq!(code(request), ErrorCode::MetadataTooLarge);
    let request = PutObject { bucket: "none".to_owned(), ..put_request("key", b"b") };
    assert_eq!(code(request), ErrorCode::NoSuchBucket);
    fixture.gateway.store().fail_next(StoreError::Full);
    assert_eq!(code(put_request("key", b"b")), ErrorCode::XMinioStorageFull);
}

#[test]
fn writes_are_conditional() {
    let fixture = Fixture::new();
    let put = |if_match: Option<&str>, if_none_match: Option<&str>| {
        let conditions = WriteConditions {
            if_match: if_match.map(str::to_owned),
            if_none_match: if_none_match.map(str::to_owned),
        };
        let request = PutObject { conditions, ..put_request("key", BYTES) };
        let result = block_on(fixture.gateway.put_object(request, Pieces::of(&[BYTES])));
        result.map_or_else(|failure| failure.code.status(), |_| 200)
    };
    assert_eq!(put(Some("\"aa\""), None), 404);
    assert_eq!(put(None, Some("*")), 200);
    assert_eq!(put(None, Some("*")), 412);
    assert_eq!(put(Some(&format!("\"{MD5_HEX}\"")), None), 200);
    assert_eq!(put(Some(&format!("W/\"{MD5_HEX}\"")), None), 412);
    assert_eq!(put(Some("*"), None), 200);
    assert_eq!(put(Some("\"aa\""), None), 412);
    assert_eq!(put(None, Some("\"aa\"")), 501);
    fixture.gateway.store().fail_next(StoreError::ConditionConflict);
    assert_eq!(put(None, Some("*")), 409);
}

#[test]
fn deletes_are_idempotent_and_conditional() {
    let fixture = Fixture::new();
    fixture.put("key", BYTES);
    let delete = |if_match: Option<&str>| {
        let request = DeleteObject {
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
            if_match: if_match.map(str::to_owned),
        };
        block_on(fixture.gateway.delete_object(request)).map_err(|failure| failure.code)
    };
    assert_eq!(delete(Some("\"aa\"")), Err(ErrorCode::PreconditionFailed));
    assert_eq!(fixture.gateway.store().object_count(), 1);
    assert_eq!(delete(Some(MD5_HEX)), Ok(()));
    assert_eq!(fixture.gateway.store().object_count(), 0);
    assert_eq!(delete(None), Ok(()));
    assert_eq!(delete(Some("\"aa\"")), Ok(()));
}

#[test]
fn many_deletes_answer_key_by_key() {
    let fixture = Fixture::new();
    for index in 0..100 {
        fixture.put(&format!("key-{index}"), BYTES);
    }
    let mut keys: Vec<(String, Option<String>)> =
        (0..100).map(|index| (format!("key-{index}"), None)).collect();
    keys[3].1 = text("\"aa\"");
    keys[7].0 = "k".repeat(1025);
    let request = DeleteObjects { bucket: "bucket".to_owned(), keys: keys.clone(), quiet: false };
    let entries = block_on(fixture.gateway.delete_objects(request)).unwrap();
    assert!(entries.iter().map(|entry| &entry.key).eq(keys.iter().map(|(key, _)| key)));
    let failed: Vec<(usize, ErrorCode)> = entries
        .iter()
        .enumerate()
        .filter_map(|(index, entry)| Some((index, entry.failure.as_ref()?.code)))
        .collect();
    assert_eq!(failed, [(3, ErrorCode::PreconditionFailed), (7, ErrorCode::KeyTooLongError)]);
    assert_eq!(fixture.gateway.store().object_count(), 2);

    let keys = vec![("key-7".to_owned(), None), ("key-3".to_owned(), text("aa"))];
    let request = DeleteObjects { bucket: "bucket".to_owned(), keys, quiet: true };
    let entries = block_on(fixture.gateway.delete_objects(request)).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].key, "key-3");
}

#[test]
fn lists_of_deletes_have_bounds() {
    let fixture = Fixture::new();
    for (count, ok) in [(0, false), (1000, true), (1001, false)] {
        let keys = (0..count).map(|index| (format!("{index}"), None)).collect();
        let request = DeleteObjects { bucket: "bucket".to_owned(), keys, quiet: true };
        let result = block_on(fixture.gateway.delete_objects(request));
        assert_eq!(result.map_err(|failure| failure.code).is_ok(), ok);
    }
}

#[test]
fn etags_are_the_md5_whatever_the_pieces() {
    let fixture = Fixture::new();
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let pieces: Vec<&[u8]> = bytes.chunks(7_777).collect();
    let request = put_request("key", &bytes);
    let stored = block_on(fixture.gateway.put_object(request, Pieces::of(&pieces))).unwrap();
    assert_eq!(stored.etag, hex(&crate::digest::md5(&bytes)));
    assert_eq!(fixture.bytes_of("key"), bytes);
}

#[test]
fn the_last_write_wins_when_the_clock_steps_back() {
    let fixture = Fixture::new();
    for (bytes, clock_ms) in [(b"one", START_MS), (b"two", START_MS - 90_000), (b"six", 0)] {
        fixture.clock_ms.set(clock_ms);
        assert_eq!(fixture.put("key", bytes).modified_ms, clock_ms);
        assert_eq!(fixture.bytes_of("key"), bytes);
    }
    // A condition on the ETag is judged against the last write too.
    let put = |etag: String| {
        let conditions = WriteConditions { if_match: Some(etag), if_none_match: None };
        let request = PutObject { conditions, ..put_request("key", BYTES) };
        block_on(fixture.gateway.put_object(request, Pieces::of(&[BYTES])))
    };
    let code = put(hex(&crate::digest::md5(b"one"))).unwrap_err().code;
    assert_eq!(code, ErrorCode::PreconditionFailed);
    assert!(put(hex(&crate::digest::md5(b"six"))).is_ok());
}
