use super::*;
use crate::api::{ListObjects, ListObjectsV2, ObjectList, ObjectListV2};

fn with_keys(keys: &[&str]) -> Fixture {
    let fixture = Fixture::new();
    for key in keys {
        fixture.put(key, b"bytes");
    }
    fixture
}

fn v1() -> ListObjects {
    ListObjects { bucket: "bucket".to_owned(), ..ListObjects::default() }
}

fn v2() -> ListObjectsV2 {
    ListObjectsV2 { bucket: "bucket".to_owned(), ..ListObjectsV2::default() }
}

fn list(fixture: &Fixture, request: ListObjects) -> ObjectList {
    block_on(fixture.gateway.list_objects(request)).unwrap()
}

fn list_v2(fixture: &Fixture, request: ListObjectsV2) -> ObjectListV2 {
    block_on(fixture.gateway.list_objects_v2(request)).unwrap()
}

fn keys(objects: &[crate::api::ListedObject]) -> Vec<&str> {
    objects.iter().map(|object| object.key.as_str()).collect()
}

#[test]
fn keys_come_in_the_order_of_their_bytes() {
    let fixture = with_keys(&["b", "a/1", "Z", "\u{e4}", "a-1"]);
    let page = list(&fixture, v1());
    assert_eq!(keys(&page.objects), ["Z", "a-1", "a/1", "b", "\u{e4}"]);
    assert!(!page.truncated && page.next_marker.is_none());
    assert_eq!((page.keys_max, page.marker.as_str(), page.prefix.as_str()), (1000, "", ""));
    assert_eq!(page.objects[0].info.size_bytes, 5);
}

#[test]
fn delimiters_roll_keys_up() {
    let fixture = with_keys(&["a/1", "a/2/x", "a/2/y", "a/3", "b/1", "c"]);
    let page = list(&fixture, ListObjects { delimiter: text("/"), ..v1() });
    assert_eq!(keys(&page.objects), ["c"]);
    assert_eq!(page.common_prefixes, ["a/", "b/"]);
    let request = ListObjects { delimiter: text("/"), prefix: text("a/"), ..v1() };
    let page = list(&fixture, request);
    assert_eq!(keys(&page.objects), ["a/1", "a/3"]);
    assert_eq!(page.common_prefixes, ["a/2/"]);
    let page = list(&fixture, ListObjects { delimiter: text(""), ..v1() });
    assert_eq!((page.objects.len(), page.delimiter), (6, None));
}

#[test]
fn version_1_names_a_next_marker_only_with_a_delimiter() {
    let fixture = with_keys(&["a/1", "a/2", "b", "c/1"]);
    let page = list(&fixture, ListObjects { keys_max: Some(2), ..v1() });
    assert!(page.truncated && page.next_marker.is_none());
    let page = list(&fixture, ListObjects { marker: text("a/2"), ..v1() });
    assert_eq!(keys(&page.objects), ["b", "c/1"]);

    let mut request = ListObjects { delimiter: text("/"), keys_max: Some(1), ..v1() };
    let mut seen = Vec::new();
    loop {
        let page = list(&fixture, request.clone());
        seen.extend(page.objects.iter().map(|object| object.key.clone()));
        seen.extend(page.common_prefixes);
        assert_eq!(page.truncated, page.next_marker.is_some());
        request.marker = page.next_marker;
        if request.marker.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["a/", "b", "c/"]);
}

#[test]
fn version_2_goes_on_with_its_token() {
    let fixture = with_keys(&["a", "b", "c", "d", "e"]);
    let mut request = ListObjectsV2 { keys_max: Some(2), start_after: text("a"), ..v2() };
    let mut seen = Vec::new();
    loop {
        let page = list_v2(&fixture, request.clone());
        assert_eq!(page.key_count as usize, page.objects.len());
        assert_eq!(page.start_after, text("a"));
        seen.extend(page.objects.iter().map(|object| object.key.clone()));
        assert_eq!(page.truncated, page.next_continuation_token.is_some());
        assert_eq!(page.continuation_token, request.continuation_token);
        request.continuation_token = page.next_continuation_token;
        if request.continuation_token.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["b", "c", "d", "e"]);
}

#[test]
fn tokens_that_are_none_are_refused() {
    let fixture = with_keys(&["a"]);
    let request = |token: &str| ListObjectsV2 { continuation_token: text(token), ..v2() };
    for token in ["", "a", "YQ==", "AQ=="] {
        let code = code_of(fixture.gateway.list_objects_v2(request(token)));
        assert_eq!(code, ErrorCode::InvalidArgument, "{token}");
    }
}

#[test]
fn limits_are_kept() {
    let fixture = with_keys(&["a", "b"]);
    let page = list_v2(&fixture, ListObjectsV2 { keys_max: Some(0), ..v2() });
    assert!(page.objects.is_empty() && !page.truncated && page.keys_max == 0);
    let page = list_v2(&fixture, ListObjectsV2 { keys_max: Some(5000), ..v2() });
    assert_eq!((page.keys_max, page.key_count), (1000, 2));
    let request = ListObjectsV2 { keys_max: Some(-1), ..v2() };
    assert_eq!(code_of(fixture.gateway.list_objects_v2(request)), ErrorCode::InvalidArgument);
    let request = ListObjects { keys_max: Some(-1), ..v1() };
    assert_eq!(code_of(fixture.gateway.list_objects(request)), ErrorCode::InvalidArgument);
    // Exactly full is not truncated.
    let page = list_v2(&fixture, ListObjectsV2 { keys_max: Some(2), ..v2() });
    assert!(!page.truncated);
}

#[test]
fn owners_come_when_asked_for() {
    let fixture = with_keys(&["a"]);
    assert!(!list_v2(&fixture, v2()).with_owner);
    assert!(list_v2(&fixture, ListObjectsV2 { fetch_owner: true, ..v2() }).with_owner);
}

#[test]
fn everything_of_keys_is_url_encoded_when_asked_for() {
    let fixture = with_keys(&["a b/1", "a b/c d", "x+y"]);
    let url = || text("url");
    let request = ListObjectsV2 {
        prefix: text("a b/"),
        delimiter: text(" "),
        start_after: text("a "),
        encoding_type: url(),
        ..v2()
    };
    let page = list_v2(&fixture, request);
    assert_eq!(keys(&page.objects), ["a%20b/1"]);
    assert_eq!(page.common_prefixes, ["a%20b/c%20"]);
    assert_eq!((page.prefix.as_str(), page.delimiter), ("a%20b/", text("%20")));
    assert_eq!((page.start_after, page.url_encoded), (text("a%20"), true));

    let request = ListObjects {
        delimiter: text("/"),
        marker: text("a "),
        keys_max: Some(1),
        encoding_type: url(),
        ..v1()
    };
    let page = list(&fixture, request);
    assert_eq!((page.marker.as_str(), page.next_marker), ("a%20", text("a%20b/")));
    let request = ListObjects { encoding_type: text("utf-7"), ..v1() };
    assert_eq!(code_of(fixture.gateway.list_objects(request)), ErrorCode::InvalidArgument);
}

#[test]
fn lists_of_no_bucket_and_of_impossible_prefixes() {
    let fixture = with_keys(&["a"]);
    let request = ListObjects { bucket: "none".to_owned(), ..v1() };
    assert_eq!(code_of(fixture.gateway.list_objects(request)), ErrorCode::NoSuchBucket);
    let request = ListObjects { prefix: Some("k".repeat(1025)), ..v1() };
    assert!(list(&fixture, request).objects.is_empty());
}
