use super::*;
use crate::api::{
    ChecksumType, CompleteUpload, Completed, CompletedPart, CreateUpload, UploadPart, UploadRef,
    WriteConditions,
};
use crate::digest::{BodySums, md5};
use crate::encoding::{base64, hex};
use engine_types::ChecksumKind;

const PART_BYTES: usize = 5 << 20;

fn create(
    fixture: &Fixture,
    algorithm: Option<ChecksumKind>,
    of: Option<ChecksumType>,
) -> Result<crate::api::UploadCreated, S3Failure> {
    block_on(fixture.gateway.create_upload(CreateUpload {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        attributes: vec![attribute(AttributeKind::ContentType, "", "text/plain")],
        checksum_algorithm: algorithm,
        checksum_type: of,
    }))
}

/// An upload without an announced checksum.
fn plain(fixture: &Fixture) -> String {
    create(fixture, None, None).unwrap().upload_id
}

fn part_request(upload_id: &str, part_number: i64, claims: BodyClaims) -> UploadPart {
    UploadPart {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        upload_id: upload_id.to_owned(),
        part_number,
        claims,
    }
}

fn upload(fixture: &Fixture, upload_id: &str, number: i64, bytes: &[u8]) -> CompletedPart {
    let request = part_request(upload_id, number, claims(bytes));
    let stored = block_on(fixture.gateway.upload_part(request, Pieces::of(&[bytes]))).unwrap();
    CompletedPart { number, etag: format!("\"{}\"", stored.etag), checksums: Vec::new() }
}

fn complete_request(upload_id: &str, parts: &[CompletedPart]) -> CompleteUpload {
    CompleteUpload {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        upload_id: upload_id.to_owned(),
        parts: parts.to_vec(),
        ..CompleteUpload::default()
    }
}

fn complete(fixture: &Fixture, request: CompleteUpload) -> Result<Completed, ErrorCode> {
    block_on(fixture.gateway.complete_upload(request)).map_err(|failure| failure.code)
}

/// Bytes of two parts and how they sum up.
fn two_parts() -> (Vec<u8>, Vec<u8>) {
    let first = (0..PART_BYTES).map(|n| (n % 253) as u8).collect();
    (first, b"the last part is short".to_vec())
}

fn sum(kind: ChecksumKind, bytes: &[u8]) -> Vec<u8> {
    let mut sums = BodySums::new(&[kind]);
    sums.update(bytes);
    sums.finish().sum(kind).sum
}

#[test]
fn parts_become_one_object() {
    let fixture = Fixture::new();
    let (first, last) = two_parts();
    let id = plain(&fixture);
    let parts = [upload(&fixture, &id, 2, &first), upload(&fixture, &id, 7, &last)];
    let completed = complete(&fixture, complete_request(&id, &parts)).unwrap();
    let md5s = [md5(&first), md5(&last)].concat();
    assert_eq!(completed.etag, format!("{}-2", hex(&md5(&md5s))));
    let whole = [first.as_slice(), last.as_slice()].concat();
    assert_eq!(completed.checksums.len(), 1);
    assert_eq!(completed.checksums[0].text, base64(&sum(ChecksumKind::Crc64Nvme, &whole)));
    let (head, bytes) = fixture.get(get_request("key")).unwrap();
    assert_eq!(bytes, whole);
    assert_eq!(head.info.attributes[0].value, "text/plain");

    let part = |number| GetObject { part_number: Some(number), ..get_request("key") };
    let (head, bytes) = fixture.get(part(7)).unwrap();
    assert_eq!((bytes, head.parts_count), (last, Some(2)));
    assert_eq!(head.content_range.unwrap().first, PART_BYTES as u64);
    assert_eq!(fixture.get(part(1)).unwrap_err().code, ErrorCode::InvalidPartNumber);
}

#[test]
fn the_same_completion_again_answers_the_same() {
    let fixture = Fixture::new();
    let id = plain(&fixture);
    let parts = [upload(&fixture, &id, 1, b"bytes")];
    let first = complete(&fixture, complete_request(&id, &parts)).unwrap();
    let again = complete(&fixture, complete_request(&id, &parts)).unwrap();
    assert_eq!((again.etag, again.checksums), (first.etag, first.checksums));
    let mut other = parts.to_vec();
    other[0].etag = hex(&[7; 16]);
    assert_eq!(
        complete(&fixture, complete_request(&id, &other)).err(),
        Some(ErrorCode::NoSuchUpload)
    );
}

#[test]
fn lists_of_parts_are_checked() {
    let fixture = Fixture::new();
    let id = plain(&fixture);
    let small = upload(&fixture, &id, 1, b"small");
    let last = upload(&fixture, &id, 2, b"last");
    let code = |parts: &[CompletedPart]| complete(&fixture, complete_request(&id, parts)).err();
    assert_eq!(code(&[]), Some(ErrorCode::MalformedXML));
    assert_eq!(code(&[last.clone(), small.clone()]), Some(ErrorCode::InvalidPartOrder));
    assert_eq!(code(&[small.clone(), small.clone()]), Some(ErrorCode::InvalidPartOrder));
    assert_eq!(code(&[small.clone(), last.clone()]), Some(ErrorCode::EntityTooSmall));
    let renumbered = CompletedPart { number: 3, ..last.clone() };
    assert_eq!(code(&[renumbered]), Some(ErrorCode::InvalidPart));
    let outside = CompletedPart { number: 10_001, ..last.clone() };
    assert_eq!(code(&[outside]), Some(ErrorCode::InvalidArgument));
    for etag in ["", "abc", small.etag.as_str()] {
        let other = CompletedPart { etag: etag.to_owned(), ..last.clone() };
        assert_eq!(code(&[other]), Some(ErrorCode::InvalidPart), "{etag}");
    }
    // One part may be as small as it likes, and its ETag in any case and without quotes.
    let bare = last.etag.trim_matches('"').to_ascii_uppercase();
    assert_eq!(code(&[CompletedPart { etag: bare, ..last }]), None);
    assert_eq!(fixture.bytes_of("key"), b"last");
}

#[test]
fn a_part_uploaded_again_replaces_the_first() {
    let fixture = Fixture::new();
    let id = plain(&fixture);
    let first = upload(&fixture, &id, 1, b"first");
    let second = upload(&fixture, &id, 1, b"second");
    let code = complete(&fixture, complete_request(&id, &[first])).err();
    assert_eq!(code, Some(ErrorCode::InvalidPart));
    complete(&fixture, complete_request(&id, &[second])).unwrap();
    assert_eq!(fixture.bytes_of("key"), b"second");
}

#[test]
fn uploads_and_part_numbers_are_checked() {
    let fixture = Fixture::new();
    let id = plain(&fixture);
    let code = |id: &str, number| {
        let request = part_request(id, number, claims(b"b"));
        code_of(fixture.gateway.upload_part(request, Pieces::of(&[b"b"])))
    };
    for number in [0, -1, 10_001] {
        assert_eq!(code(&id, number), ErrorCode::InvalidArgument);
    }
    for other in ["", "abc", &hex(&[7; 16])] {
        assert_eq!(code(other, 1), ErrorCode::NoSuchUpload);
    }
    let upload = UploadRef { bucket: "bucket".to_owned(), key: "key".to_owned(), upload_id: id };
    assert_eq!(block_on(fixture.gateway.abort_upload(upload.clone())), Ok(()));
    assert_eq!(code(&upload.upload_id, 1), ErrorCode::NoSuchUpload);
    assert_eq!(code_of(fixture.gateway.abort_upload(upload)), ErrorCode::NoSuchUpload);
    assert_eq!(fixture.gateway.store().object_count(), 0);
}

#[test]
fn algorithms_have_only_some_checksum_types() {
    use ChecksumKind::{Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
    use ChecksumType::{Composite, FullObject};
    let fixture = Fixture::new();
    for (kind, of, agreed) in [
        (Some(Crc32), None, Some(Composite)),
        (Some(Crc32c), Some(FullObject), Some(FullObject)),
        (Some(Crc32), Some(Composite), Some(Composite)),
        (Some(Crc64Nvme), None, Some(FullObject)),
        (Some(Crc64Nvme), Some(Composite), None),
        (Some(Sha1), None, Some(Composite)),
        (Some(Sha256), Some(FullObject), None),
        (None, Some(FullObject), None),
    ] {
        let created = create(&fixture, kind, of);
        match agreed {
            Some(agreed) => assert_eq!(created.unwrap().checksum, kind.map(|kind| (kind, agreed))),
            None => assert_eq!(created.unwrap_err().code, ErrorCode::InvalidRequest),
        }
    }
    assert_eq!(create(&fixture, None, None).unwrap().checksum, None);
}

#[test]
fn checksums_of_the_whole_are_made_of_the_parts() {
    use ChecksumType::{Composite, FullObject};
    let (first, last) = two_parts();
    let whole = [first.as_slice(), last.as_slice()].concat();
    for (kind, of) in [
        (ChecksumKind::Crc32, FullObject),
        (ChecksumKind::Crc32c, FullObject),
        (ChecksumKind::Crc64Nvme, FullObject),
        (ChecksumKind::Crc32, Composite),
        (ChecksumKind::Sha256, Composite),
    ] {
        let fixture = Fixture::new();
        let id = create(&fixture, Some(kind), Some(of)).unwrap().upload_id;
        let mut parts = [upload(&fixture, &id, 1, &first), upload(&fixture, &id, 2, &last)];
        let sums = [sum(kind, &first), sum(kind, &last)];
        parts[0].checksums = vec![(kind, base64(&sums[0]))];
        let expected = match of {
            FullObject => base64(&sum(kind, &whole)),
            Composite => format!("{}-2", base64(&sum(kind, &sums.concat()))),
        };
        let with = |text: &str| CompleteUpload {
            checksums: vec![(kind, text.to_owned())],
            checksum_type: Some(of),
            ..complete_request(&id, &parts)
        };
        let wrong = base64(&vec![7; kind.bytes()]);
        assert_eq!(complete(&fixture, with(&wrong)).err(), Some(ErrorCode::BadDigest));
        let completed = complete(&fixture, with(&expected)).unwrap();
        assert_eq!(completed.checksums.len(), 1);
        assert_eq!(completed.checksums[0].text, expected);
        assert_eq!(completed.checksums[0].checksum_type, of);
        let request = GetObject { checksum_mode: true, ..get_request("key") };
        assert_eq!(fixture.get(request).unwrap().0.checksums, completed.checksums);
    }
}

#[test]
fn checksums_of_parts_must_be_the_agreed_ones() {
    let fixture = Fixture::new();
    let kind = ChecksumKind::Crc32;
    let id = create(&fixture, Some(kind), None).unwrap().upload_id;
    let with = |kind: ChecksumKind| BodyClaims {
        checksums: vec![(kind, base64(&sum(kind, b"bytes")))],
        ..claims(b"bytes")
    };
    let request = part_request(&id, 1, with(ChecksumKind::Sha1));
    let code = code_of(fixture.gateway.upload_part(request, Pieces::of(&[b"bytes"])));
    assert_eq!(code, ErrorCode::InvalidRequest);
    let named = BodyClaims { algorithm: Some(ChecksumKind::Sha1), ..claims(b"bytes") };
    let request = part_request(&id, 1, named);
    let code = code_of(fixture.gateway.upload_part(request, Pieces::of(&[b"bytes"])));
    assert_eq!(code, ErrorCode::InvalidRequest);
    let request = part_request(&id, 1, BodyClaims { algorithm: Some(kind), ..with(kind) });
    let body = Pieces::of(&[b"bytes"]);
    let stored = block_on(fixture.gateway.upload_part(request, body)).unwrap();
    assert_eq!(stored.checksums[0].kind, kind);

    let part = |checksums| CompletedPart { number: 1, etag: stored.etag.clone(), checksums };
    for checksums in [
        vec![(kind, base64(&[7; 4]))],
        vec![(ChecksumKind::Sha1, base64(&sum(ChecksumKind::Sha1, b"bytes")))],
    ] {
        let code = complete(&fixture, complete_request(&id, &[part(checksums)])).err();
        assert_eq!(code, Some(ErrorCode::InvalidPart));
    }
    let request = complete_request(&id, &[part(Vec::new())]);
    let full = CompleteUpload { checksum_type: Some(ChecksumType::FullObject), ..request.clone() };
    assert_eq!(complete(&fixture, full).err(), Some(ErrorCode::InvalidRequest));
    let other = CompleteUpload {
        checksums: vec![(ChecksumKind::Sha1, base64(&[7; 20]))],
        ..request.clone()
    };
    assert_eq!(complete(&fixture, other).err(), Some(ErrorCode::InvalidRequest));
    assert!(complete(&fixture, request).is_ok());
}

#[test]
fn parts_of_a_plain_upload_may_have_any_checksum() {
    let fixture = Fixture::new();
    let id = plain(&fixture);
    let kind = ChecksumKind::Sha256;
    let right = base64(&sum(kind, b"bytes"));
    let with =
        |text: &str| BodyClaims { checksums: vec![(kind, text.to_owned())], ..claims(b"bytes") };
    let wrong = base64(&[7; 32]);
    let request = part_request(&id, 1, with(&wrong));
    let code = code_of(fixture.gateway.upload_part(request, Pieces::of(&[b"bytes"])));
    assert_eq!(code, ErrorCode::BadDigest);
    let request = part_request(&id, 1, with(&right));
    let body = Pieces::of(&[b"bytes"]);
    let stored = block_on(fixture.gateway.upload_part(request, body)).unwrap();
    assert_eq!(stored.checksums[0].text, right);
    let named = BodyClaims { algorithm: Some(kind), ..claims(b"bytes") };
    let body = Pieces::of(&[b"bytes"]);
    let again = block_on(fixture.gateway.upload_part(part_request(&id, 1, named), body)).unwrap();
    assert_eq!(again.checksums[0].text, right);
    let part = CompletedPart { number: 1, etag: stored.etag, checksums: vec![(kind, right)] };
    let completed = complete(&fixture, complete_request(&id, &[part])).unwrap();
    assert_eq!(completed.checksums[0].kind, ChecksumKind::Crc64Nvme);
    assert_eq!(completed.checksums[0].text, base64(&sum(ChecksumKind::Crc64Nvme, b"bytes")));
}

#[test]
fn sizes_and_conditions_are_checked_at_the_end() {
    let fixture = Fixture::new();
    fixture.put("key", b"old");
    let id = plain(&fixture);
    let parts = [upload(&fixture, &id, 1, b"bytes")];
    let request = complete_request(&id, &parts);
    let short = CompleteUpload { object_size_bytes: Some(4), ..request.clone() };
    assert_eq!(complete(&fixture, short).err(), Some(ErrorCode::InvalidRequest));
    let conditions = WriteConditions { if_none_match: text("*"), if_match: None };
    let absent = CompleteUpload { conditions, ..request.clone() };
    assert_eq!(complete(&fixture, absent).err(), Some(ErrorCode::PreconditionFailed));
    assert_eq!(fixture.bytes_of("key"), b"old");
    let conditions = WriteConditions { if_match: text(&hex(&md5(b"old"))), if_none_match: None };
    let same = CompleteUpload { conditions, object_size_bytes: Some(5), ..request };
    assert!(complete(&fixture, same).is_ok());
    assert_eq!(fixture.bytes_of("key"), b"bytes");
}
