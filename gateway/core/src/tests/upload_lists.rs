use super::*;
use crate::api::{CreateUpload, ListParts, ListUploads, ListedUpload, UploadList, UploadPart};

fn start(fixture: &Fixture, key: &str) -> String {
    let request = CreateUpload {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        attributes: vec![attribute(AttributeKind::StorageClass, "", "GLACIER")],
        ..CreateUpload::default()
    };
    block_on(fixture.gateway.create_upload(request)).unwrap().upload_id
}

fn request() -> ListUploads {
    ListUploads { bucket: "bucket".to_owned(), ..ListUploads::default() }
}

fn list(fixture: &Fixture, request: ListUploads) -> UploadList {
    block_on(fixture.gateway.list_uploads(request)).unwrap()
}

fn keys(uploads: &[ListedUpload]) -> Vec<&str> {
    uploads.iter().map(|upload| upload.key.as_str()).collect()
}

#[test]
fn parts_are_listed_page_by_page() {
    let fixture = Fixture::new();
    let id = start(&fixture, "key");
    for part_number in [1, 3, 5] {
        let request = UploadPart {
            bucket: "bucket".to_owned(),
            key: "key".to_owned(),
            upload_id: id.clone(),
            part_number,
            claims: claims(b"bytes"),
        };
        block_on(fixture.gateway.upload_part(request, Pieces::of(&[b"bytes"]))).unwrap();
    }
    let request = |marker: Option<i64>, parts_max| ListParts {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        upload_id: id.clone(),
        part_number_marker: marker,
        parts_max,
    };
    let page = block_on(fixture.gateway.list_parts(request(None, Some(2)))).unwrap();
    let numbers: Vec<u16> = page.parts.iter().map(|part| part.info.number.get()).collect();
    assert_eq!((numbers, page.truncated, page.next_part_number_marker), (vec![1, 3], true, 3));
    assert_eq!(page.storage_class, "GLACIER");
    assert!(page.parts[0].checksum.is_some());
    let page = block_on(fixture.gateway.list_parts(request(Some(3), None))).unwrap();
    assert_eq!((page.parts.len(), page.truncated, page.part_number_marker), (1, false, 3));
    let page = block_on(fixture.gateway.list_parts(request(Some(1 << 20), None))).unwrap();
    assert!(page.parts.is_empty() && !page.truncated);
    let page = block_on(fixture.gateway.list_parts(request(None, Some(0)))).unwrap();
    assert!(page.parts.is_empty() && !page.truncated);
    for refused in [request(Some(-1), None), request(None, Some(-1))] {
        assert_eq!(code_of(fixture.gateway.list_parts(refused)), ErrorCode::InvalidArgument);
    }
    let unknown = ListParts { upload_id: "none".to_owned(), ..request(None, None) };
    assert_eq!(code_of(fixture.gateway.list_parts(unknown)), ErrorCode::NoSuchUpload);
}

#[test]
fn uploads_are_listed_by_key_then_id() {
    let fixture = Fixture::new();
    fixture.clock_ms.set(START_MS + 3);
    let ids: Vec<String> = ["b", "a", "b"].iter().map(|key| start(&fixture, key)).collect();
    let all = list(&fixture, request());
    assert_eq!(keys(&all.uploads), ["a", "b", "b"]);
    assert_eq!(all.uploads[0].initiated_ms, START_MS + 3);
    assert_eq!(all.uploads[0].storage_class, "GLACIER");
    assert!(!all.truncated && all.next_key_marker.is_none());

    let mut asked = ListUploads { uploads_max: Some(1), ..request() };
    let mut seen = Vec::new();
    loop {
        let page = list(&fixture, asked.clone());
        seen.extend(page.uploads.iter().map(|upload| upload.upload_id.clone()));
        if !page.truncated {
            break;
        }
        asked.key_marker = page.next_key_marker;
        asked.upload_id_marker = page.next_upload_id_marker;
    }
    assert_eq!(seen, [ids[1].clone(), ids[0].clone(), ids[2].clone()]);
    // A key alone goes on after all of its uploads; an id alone is not looked at.
    let after = list(&fixture, ListUploads { key_marker: text("a"), ..request() });
    assert_eq!(keys(&after.uploads), ["b", "b"]);
    let id_only = list(&fixture, ListUploads { upload_id_marker: text("x"), ..request() });
    assert_eq!(id_only.uploads.len(), 3);
    let bad = ListUploads { key_marker: text("a"), upload_id_marker: text("x"), ..request() };
    assert_eq!(code_of(fixture.gateway.list_uploads(bad)), ErrorCode::InvalidArgument);
}

#[test]
fn uploads_roll_up_and_go_on_after_a_common_prefix() {
    let fixture = Fixture::new();
    for key in ["a/1", "a/2", "b", "c d/1", "c d/2", "c d/2"] {
        start(&fixture, key);
    }
    let page = list(&fixture, ListUploads { delimiter: text("/"), ..request() });
    assert_eq!(keys(&page.uploads), ["b"]);
    assert_eq!(page.common_prefixes, ["a/", "c d/"]);
    let page = list(&fixture, ListUploads { prefix: text("a/"), ..request() });
    assert_eq!(keys(&page.uploads), ["a/1", "a/2"]);

    let mut asked = ListUploads { delimiter: text("/"), uploads_max: Some(1), ..request() };
    let mut seen = Vec::new();
    loop {
        let page = list(&fixture, asked.clone());
        seen.extend(page.uploads.iter().map(|upload| upload.key.clone()));
        seen.extend(page.common_prefixes);
        if !page.truncated {
            break;
        }
        asked.key_marker = page.next_key_marker;
        asked.upload_id_marker = page.next_upload_id_marker;
    }
    assert_eq!(seen, ["a/", "b", "c d/"]);
    let request = ListUploads { delimiter: text("/"), encoding_type: text("url"), ..request() };
    assert_eq!(list(&fixture, request).common_prefixes, ["a/", "c%20d/"]);
}

#[test]
fn limits_of_upload_lists_are_kept() {
    let fixture = Fixture::new();
    start(&fixture, "a");
    let page = list(&fixture, ListUploads { uploads_max: Some(0), ..request() });
    assert!(page.uploads.is_empty() && !page.truncated);
    let page = list(&fixture, ListUploads { uploads_max: Some(1), ..request() });
    assert!(page.uploads.len() == 1 && !page.truncated);
    let refused = ListUploads { uploads_max: Some(-1), ..request() };
    assert_eq!(code_of(fixture.gateway.list_uploads(refused)), ErrorCode::InvalidArgument);
}
