use super::*;
use crate::api::{DeleteObject, ListBuckets};
use crate::objects::StoreError;

#[test]
fn a_bucket_lives_from_create_to_delete() {
    let fixture = Fixture::new();
    let gateway = &fixture.gateway;
    assert_eq!(code_of(gateway.head_bucket("other")), ErrorCode::NoSuchBucket);
    fixture.clock_ms.set(START_MS + 5);
    let made = block_on(gateway.create_bucket("other", Some("eu-test-1"))).unwrap();
    assert_eq!(made.created_ms, START_MS + 5);
    assert_eq!(block_on(gateway.head_bucket("other")), Ok(made));
    assert_eq!(code_of(gateway.create_bucket("other", None)), ErrorCode::BucketAlreadyOwnedByYou);
    assert_eq!(block_on(gateway.delete_bucket("other")), Ok(()));
    assert_eq!(code_of(gateway.delete_bucket("other")), ErrorCode::NoSuchBucket);
}

#[test]
fn buckets_with_objects_stay() {
    let fixture = Fixture::new();
    fixture.put("key", b"bytes");
    assert_eq!(code_of(fixture.gateway.delete_bucket("bucket")), ErrorCode::BucketNotEmpty);
    assert!(fixture.gateway.owner().id == "id" && fixture.gateway.region() == "eu-test-1");
}

#[test]
fn a_bucket_made_anew_under_an_old_name_is_another_and_empty() {
    let fixture = Fixture::new();
    let gateway = &fixture.gateway;
    let old = block_on(gateway.head_bucket("bucket")).unwrap();
    fixture.put("key", b"bytes");
    let request = DeleteObject {
        bucket: "bucket".to_owned(),
        key: "key".to_owned(),
        ..DeleteObject::default()
    };
    block_on(gateway.delete_object(request)).unwrap();
    block_on(gateway.delete_bucket("bucket")).unwrap();
    let new = block_on(gateway.create_bucket("bucket", None)).unwrap();
    assert!(new.id > old.id, "{} then {}", old.id, new.id);
    assert_eq!(fixture.get(get_request("key")).unwrap_err().code, ErrorCode::NoSuchKey);
    block_on(gateway.delete_bucket("bucket")).unwrap();
}

#[test]
fn names_and_locations_are_checked() {
    let fixture = Fixture::new();
    let gateway = &fixture.gateway;
    assert_eq!(code_of(gateway.create_bucket("No", None)), ErrorCode::InvalidBucketName);
    assert_eq!(
        code_of(gateway.create_bucket("far", Some("ap-east-1"))),
        ErrorCode::InvalidLocationConstraint
    );
    assert!(block_on(gateway.create_bucket("near", Some(""))).is_ok());
    assert!(block_on(gateway.create_bucket("classic", Some("us-east-1"))).is_ok());
    assert_eq!(block_on(gateway.bucket_location("near")), Ok(text("eu-test-1")));
    assert_eq!(code_of(gateway.bucket_location("far")), ErrorCode::NoSuchBucket);
}

#[test]
fn lists_go_on_with_the_token() {
    let fixture = Fixture::new();
    for name in ["a-1", "a-2", "a-3"] {
        block_on(fixture.gateway.create_bucket(name, None)).unwrap();
    }
    let mut request =
        ListBuckets { prefix: text("a-"), buckets_max: Some(2), ..ListBuckets::default() };
    let names = |list: &crate::api::BucketList| -> Vec<String> {
        list.buckets.iter().map(|bucket| bucket.name.clone()).collect()
    };
    let first = block_on(fixture.gateway.list_buckets(request.clone())).unwrap();
    assert_eq!(names(&first), ["a-1", "a-2"]);
    request.continuation_token = first.continuation_token;
    let second = block_on(fixture.gateway.list_buckets(request.clone())).unwrap();
    assert_eq!(names(&second), ["a-3"]);
    assert_eq!(second.continuation_token, None);
    let all = block_on(fixture.gateway.list_buckets(ListBuckets::default())).unwrap();
    assert_eq!(names(&all), ["a-1", "a-2", "a-3", "bucket"]);
    for limit in [0, -1, 10_001] {
        request.buckets_max = Some(limit);
        let code = code_of(fixture.gateway.list_buckets(request.clone()));
        assert_eq!(code, ErrorCode::InvalidArgument);
    }
}

#[test]
fn errors_of_the_store_come_through() {
    let fixture = Fixture::new();
    fixture.gateway.store().fail_next(StoreError::Busy);
    assert_eq!(code_of(fixture.gateway.create_bucket("other", None)), ErrorCode::SlowDown);
    fixture.gateway.store().fail_next(StoreError::Unavailable);
    assert_eq!(
        code_of(fixture.gateway.head_object(get_request("key"))),
        ErrorCode::ServiceUnavailable
    );
}
