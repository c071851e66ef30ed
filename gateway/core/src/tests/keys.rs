use super::*;
use crate::api::{DeleteObject, ListObjects, ListObjectsV2};
use engine_types::Key;

/// Keys that a file system, a URL or a normalisation would change or take for one another, in
/// the order of their bytes.
const ODD_KEYS: [&str; 22] = [
    " ", ".", "..", "../a", "./a", "/", "//", "/a", "A", "a", "a\0b", "a\nb", "a ", "a%2Fb", "a/",
    "a/../b", "a//b", "a/b", "a/b/", "a\\b", "a\u{308}", "\u{e4}",
];

fn with_odd_keys() -> Fixture {
    let fixture = Fixture::new();
    for key in ODD_KEYS {
        fixture.put(key, key.as_bytes());
    }
    fixture
}

fn listed(fixture: &Fixture) -> Vec<String> {
    let request = ListObjects { bucket: "bucket".to_owned(), ..ListObjects::default() };
    let page = block_on(fixture.gateway.list_objects(request)).unwrap();
    page.objects.into_iter().map(|object| object.key).collect()
}

#[test]
fn every_odd_key_is_a_key_of_its_own() {
    let fixture = with_odd_keys();
    for key in ODD_KEYS {
        assert_eq!(fixture.bytes_of(key), key.as_bytes(), "{key:?}");
    }
    let longest = "\u{e4}".repeat(Key::BYTES_MAX / 2);
    fixture.put(&longest, b"longest");
    assert_eq!(fixture.bytes_of(&longest), b"longest");
    let longer = get_request(&format!("{longest}k"));
    assert_eq!(fixture.get(longer).unwrap_err().code, ErrorCode::KeyTooLongError);
}

#[test]
fn a_deleted_key_takes_no_other_with_it() {
    let fixture = with_odd_keys();
    for (count, key) in ODD_KEYS.iter().enumerate() {
        let (bucket, key) = ("bucket".to_owned(), (*key).to_owned());
        let request = DeleteObject { bucket, key, if_match: None };
        block_on(fixture.gateway.delete_object(request)).unwrap();
        assert_eq!(listed(&fixture), ODD_KEYS[count + 1..]);
    }
}

#[test]
fn odd_keys_are_listed_in_the_order_of_their_bytes_page_by_page() {
    let fixture = with_odd_keys();
    assert_eq!(listed(&fixture), ODD_KEYS);
    for keys_max in 1..5 {
        let mut request = ListObjectsV2 {
            bucket: "bucket".to_owned(),
            keys_max: Some(keys_max),
            ..ListObjectsV2::default()
        };
        let mut seen = Vec::new();
        loop {
            let page = block_on(fixture.gateway.list_objects_v2(request.clone())).unwrap();
            seen.extend(page.objects.into_iter().map(|object| object.key));
            request.continuation_token = page.next_continuation_token;
            if request.continuation_token.is_none() {
                break;
            }
        }
        assert_eq!(seen, ODD_KEYS, "{keys_max} a page");
    }
}

#[test]
fn only_the_delimiter_asked_for_rolls_odd_keys_up() {
    let fixture = with_odd_keys();
    let request = ListObjects {
        bucket: "bucket".to_owned(),
        prefix: text("a/"),
        delimiter: text("/"),
        ..ListObjects::default()
    };
    let page = block_on(fixture.gateway.list_objects(request)).unwrap();
    let keys: Vec<&str> = page.objects.iter().map(|object| object.key.as_str()).collect();
    assert_eq!(keys, ["a/", "a/b"]);
    assert_eq!(page.common_prefixes, ["a/../", "a//", "a/b/"]);
}
