//! Listings of objects and of uploads.

use crate::convert::{algorithm, checksum_type, count, etag, owner, size, timestamp, to_s3};
use crate::edge::{Request, Shared};
use engine_types::AttributeKind;
use gateway_core::objects::Objects;
use gateway_core::{ListObjects, ListObjectsV2, ListUploads, ListedObject, ListedUpload};
use s3s::dto;
use s3s::{S3Response, S3Result};

type Answer<T> = S3Result<S3Response<T>>;

fn encoding(url_encoded: bool) -> Option<dto::EncodingType> {
    url_encoded.then(|| dto::EncodingType::from_static(dto::EncodingType::URL))
}

fn common_prefixes(prefixes: Vec<String>) -> Option<Vec<dto::CommonPrefix>> {
    let prefixes = prefixes.into_iter();
    Some(prefixes.map(|prefix| dto::CommonPrefix { prefix: Some(prefix) }).collect())
}

fn object(listed: ListedObject, owner: Option<dto::Owner>) -> dto::Object {
    let info = listed.info;
    let mut attributes = info.attributes.iter();
    let class = attributes.find(|attribute| attribute.kind == AttributeKind::StorageClass);
    let class = class.map_or("STANDARD", |attribute| attribute.value.as_str());
    let kinds = info.checksums.iter().map(|checksum| algorithm(checksum.kind));
    let kind_of_sum = info.checksums.first().map(|checksum| {
        let composite = gateway_core::ChecksumType::Composite;
        let full = gateway_core::ChecksumType::FullObject;
        checksum_type(if checksum.composite { composite } else { full })
    });
    dto::Object {
        checksum_algorithm: (!info.checksums.is_empty()).then(|| kinds.collect()),
        checksum_type: kind_of_sum,
        e_tag: Some(etag(&info.etag)),
        key: Some(listed.key),
        last_modified: Some(timestamp(info.modified_ms)),
        owner,
        restore_status: None,
        size: Some(size(info.size_bytes)),
        storage_class: Some(dto::ObjectStorageClass::from(class.to_owned())),
    }
}

pub(crate) async fn objects<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::ListObjectsInput>,
) -> Answer<dto::ListObjectsOutput> {
    let input = request.input;
    let name = input.bucket.clone();
    let asked = ListObjects {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        marker: input.marker,
        keys_max: input.max_keys.map(i64::from),
        encoding_type: input.encoding_type.map(|encoding| encoding.as_str().to_owned()),
    };
    let page = gateway.list_objects(asked).await.map_err(to_s3)?;
    let everyone = owner(gateway.owner());
    let contents = page.objects.into_iter().map(|listed| object(listed, Some(everyone.clone())));
    Ok(S3Response::new(dto::ListObjectsOutput {
        name: Some(name),
        prefix: Some(page.prefix),
        marker: Some(page.marker),
        max_keys: Some(count(page.keys_max)),
        is_truncated: Some(page.truncated),
        contents: Some(contents.collect()),
        common_prefixes: common_prefixes(page.common_prefixes),
        delimiter: page.delimiter,
        next_marker: page.next_marker,
        encoding_type: encoding(page.url_encoded),
        request_charged: None,
    }))
}

pub(crate) async fn objects_v2<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::ListObjectsV2Input>,
) -> Answer<dto::ListObjectsV2Output> {
    let input = request.input;
    let name = input.bucket.clone();
    let asked = ListObjectsV2 {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        start_after: input.start_after,
        continuation_token: input.continuation_token,
        keys_max: input.max_keys.map(i64::from),
        encoding_type: input.encoding_type.map(|encoding| encoding.as_str().to_owned()),
        fetch_owner: input.fetch_owner.unwrap_or_default(),
    };
    let page = gateway.list_objects_v2(asked).await.map_err(to_s3)?;
    let shown = page.with_owner.then(|| owner(gateway.owner()));
    let contents = page.objects.into_iter().map(|listed| object(listed, shown.clone()));
    Ok(S3Response::new(dto::ListObjectsV2Output {
        name: Some(name),
        prefix: Some(page.prefix),
        max_keys: Some(count(page.keys_max)),
        key_count: Some(count(page.key_count)),
        continuation_token: page.continuation_token,
        is_truncated: Some(page.truncated),
        next_continuation_token: page.next_continuation_token,
        contents: Some(contents.collect()),
        common_prefixes: common_prefixes(page.common_prefixes),
        delimiter: page.delimiter,
        encoding_type: encoding(page.url_encoded),
        start_after: page.start_after,
        request_charged: None,
    }))
}

fn upload(listed: ListedUpload, owner: &dto::Owner) -> dto::MultipartUpload {
    dto::MultipartUpload {
        checksum_algorithm: listed.checksum.map(|checksum| algorithm(checksum.0)),
        checksum_type: listed.checksum.map(|checksum| checksum_type(checksum.1)),
        initiated: Some(timestamp(listed.initiated_ms)),
        initiator: Some(dto::Initiator {
            display_name: owner.display_name.clone(),
            id: owner.id.clone(),
        }),
        key: Some(listed.key),
        owner: Some(owner.clone()),
        storage_class: Some(dto::StorageClass::from(listed.storage_class)),
        upload_id: Some(listed.upload_id),
    }
}

pub(crate) async fn uploads<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::ListMultipartUploadsInput>,
) -> Answer<dto::ListMultipartUploadsOutput> {
    let input = request.input;
    let name = input.bucket.clone();
    let asked = ListUploads {
        bucket: input.bucket,
        prefix: input.prefix,
        delimiter: input.delimiter,
        key_marker: input.key_marker,
        upload_id_marker: input.upload_id_marker,
        uploads_max: input.max_uploads.map(i64::from),
        encoding_type: input.encoding_type.map(|encoding| encoding.as_str().to_owned()),
    };
    let page = gateway.list_uploads(asked).await.map_err(to_s3)?;
    let everyone = owner(gateway.owner());
    let uploads = page.uploads.into_iter().map(|listed| upload(listed, &everyone));
    Ok(S3Response::new(dto::ListMultipartUploadsOutput {
        bucket: Some(name),
        common_prefixes: common_prefixes(page.common_prefixes),
        delimiter: page.delimiter,
        encoding_type: encoding(page.url_encoded),
        is_truncated: Some(page.truncated),
        key_marker: Some(page.key_marker),
        max_uploads: Some(count(page.uploads_max)),
        next_key_marker: page.next_key_marker,
        next_upload_id_marker: page.next_upload_id_marker,
        prefix: Some(page.prefix),
        request_charged: None,
        upload_id_marker: Some(page.upload_id_marker),
        uploads: Some(uploads.collect()),
    }))
}
