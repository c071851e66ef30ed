use super::*;
use crate::api::{CopyObject, CreateUpload, ReadConditions, UploadPartCopy, WriteConditions};
use crate::digest::md5;
use crate::encoding::hex;
use engine_types::ChecksumKind;

const BYTES: &[u8] = b"0123456789";

fn copy_request(source: &str, key: &str) -> CopyObject {
    CopyObject {
        source_bucket: "bucket".to_owned(),
        source_key: source.to_owned(),
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        ..CopyObject::default()
    }
}

/// A source with a type, a website redirect and user metadata.
fn with_source() -> Fixture {
    let fixture = Fixture::new();
    let attributes = vec![
        attribute(AttributeKind::ContentType, "", "text/plain"),
        attribute(AttributeKind::WebsiteRedirect, "", "/old"),
        attribute(AttributeKind::UserMetadata, "color", "blue"),
    ];
    let request = PutObject { attributes, ..put_request("source", BYTES) };
    block_on(fixture.gateway.put_object(request, Pieces::of(&[BYTES]))).unwrap();
    fixture
}

fn values_of(fixture: &Fixture, key: &str) -> Vec<String> {
    let (head, _) = fixture.get(get_request(key)).unwrap();
    head.info.attributes.iter().map(|attribute| attribute.value.clone()).collect()
}

#[test]
fn copies_have_the_bytes_the_md5_and_the_attributes() {
    let fixture = with_source();
    fixture.clock_ms.set(START_MS + 9);
    let stored = block_on(fixture.gateway.copy_object(copy_request("source", "copy"))).unwrap();
    assert_eq!((stored.etag, stored.modified_ms), (hex(&md5(BYTES)), START_MS + 9));
    assert_eq!(fixture.bytes_of("copy"), BYTES);
    assert_eq!(values_of(&fixture, "copy"), ["text/plain", "blue"]);
    fixture.put("empty", b"");
    block_on(fixture.gateway.copy_object(copy_request("empty", "copy"))).unwrap();
    assert_eq!(fixture.bytes_of("copy"), b"");
}

#[test]
fn large_copies_come_in_pieces() {
    let fixture = Fixture::new();
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 241) as u8).collect();
    let etag = fixture.put("source", &bytes).etag;
    let stored = block_on(fixture.gateway.copy_object(copy_request("source", "copy"))).unwrap();
    assert_eq!(stored.etag, etag);
    assert_eq!(fixture.bytes_of("copy"), bytes);
}

#[test]
fn replace_takes_the_attributes_of_the_request() {
    let fixture = with_source();
    let request = CopyObject {
        replace_attributes: true,
        attributes: vec![attribute(AttributeKind::UserMetadata, "color", "red")],
        ..copy_request("source", "copy")
    };
    block_on(fixture.gateway.copy_object(request)).unwrap();
    assert_eq!(values_of(&fixture, "copy"), ["red"]);
}

#[test]
fn copies_onto_themselves_must_change_something() {
    let fixture = with_source();
    let onto_itself = || copy_request("source", "source");
    assert_eq!(code_of(fixture.gateway.copy_object(onto_itself())), ErrorCode::InvalidRequest);
    let mut request = onto_itself();
    request.attributes.push(attribute(AttributeKind::UserMetadata, "color", "red"));
    assert_eq!(code_of(fixture.gateway.copy_object(request)), ErrorCode::InvalidRequest);

    let mut request = onto_itself();
    request.attributes.push(attribute(AttributeKind::WebsiteRedirect, "", "/new"));
    block_on(fixture.gateway.copy_object(request)).unwrap();
    assert_eq!(values_of(&fixture, "source"), ["text/plain", "blue", "/new"]);
    let request = CopyObject { names_storage_class: true, ..onto_itself() };
    block_on(fixture.gateway.copy_object(request)).unwrap();
    let request = CopyObject { replace_attributes: true, ..onto_itself() };
    block_on(fixture.gateway.copy_object(request)).unwrap();
    assert!(values_of(&fixture, "source").is_empty());
    assert_eq!(fixture.bytes_of("source"), BYTES);
}

#[test]
fn conditions_hold_of_the_source_and_of_the_destination() {
    let fixture = with_source();
    let etag = hex(&md5(BYTES));
    let of_source =
        |source_conditions| CopyObject { source_conditions, ..copy_request("source", "copy") };
    let none = ReadConditions::default();
    let matched = ReadConditions { if_none_match: text(&etag), ..none.clone() };
    let code = code_of(fixture.gateway.copy_object(of_source(matched)));
    assert_eq!(code, ErrorCode::PreconditionFailed);
    let held = ReadConditions { if_match: text(&etag), ..none };
    assert!(block_on(fixture.gateway.copy_object(of_source(held))).is_ok());

    let absent = WriteConditions { if_none_match: text("*"), if_match: None };
    let request = CopyObject { conditions: absent, ..copy_request("source", "copy") };
    let code = code_of(fixture.gateway.copy_object(request));
    assert_eq!(code, ErrorCode::PreconditionFailed);
}

#[test]
fn sources_that_are_not_there_are_named() {
    let fixture = Fixture::new();
    let code = |request| code_of(fixture.gateway.copy_object(request));
    assert_eq!(code(copy_request("none", "copy")), ErrorCode::NoSuchKey);
    let request = CopyObject { source_bucket: "none".to_owned(), ..copy_request("source", "copy") };
    assert_eq!(code(request), ErrorCode::NoSuchBucket);
}

#[test]
fn the_checksum_is_the_one_asked_for_or_the_sources() {
    let fixture = with_source();
    let kind_of = |checksum_algorithm, source: &str, key: &str| {
        let request = CopyObject { checksum_algorithm, ..copy_request(source, key) };
        block_on(fixture.gateway.copy_object(request)).unwrap().checksums[0].kind
    };
    assert_eq!(kind_of(None, "source", "one"), ChecksumKind::Crc64Nvme);
    assert_eq!(kind_of(Some(ChecksumKind::Sha1), "source", "two"), ChecksumKind::Sha1);
    assert_eq!(kind_of(None, "two", "three"), ChecksumKind::Sha1);
}

#[test]
fn parts_are_copied_from_strict_ranges() {
    let fixture = with_source();
    let created = block_on(fixture.gateway.create_upload(CreateUpload {
        bucket: "bucket".to_owned(),
        key: "whole".to_owned(),
        ..CreateUpload::default()
    }));
    let upload_id = created.unwrap().upload_id;
    let copy = |range: Option<&str>, part_number| {
        block_on(fixture.gateway.upload_part_copy(UploadPartCopy {
            source_bucket: "bucket".to_owned(),
            source_key: "source".to_owned(),
            source_range: range.map(str::to_owned),
            bucket: "bucket".to_owned(),
            key: "whole".to_owned(),
            upload_id: upload_id.clone(),
            part_number,
            ..UploadPartCopy::default()
        }))
    };
    let stored = copy(Some("bytes=2-4"), 1).unwrap();
    assert_eq!((stored.etag, stored.size_bytes), (hex(&md5(b"234")), 3));
    assert_eq!(copy(None, 2).unwrap().etag, hex(&md5(BYTES)));
    assert_eq!(copy(Some("bytes=0-10"), 1).unwrap_err().code, ErrorCode::InvalidRange);
    assert_eq!(copy(Some("bytes=5-"), 1).unwrap_err().code, ErrorCode::InvalidArgument);
    assert_eq!(copy(None, 0).unwrap_err().code, ErrorCode::InvalidArgument);
}
