//! Writes, deletes and copies of objects: from s3s's types to `gateway-core`'s and back.

use crate::body::BodyIn;
use crate::convert::{etag, show_checksums, timestamp, to_s3};
use crate::edge::{Request, Shared};
use crate::fields;
use gateway_core::objects::Objects;
use gateway_core::{CopyObject, DeleteObject, DeleteObjects, ErrorCode, PutObject, S3Failure};
use s3s::dto::{self, CopySource};
use s3s::{S3Response, S3Result};

type Answer<T> = S3Result<S3Response<T>>;

pub(crate) async fn put<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::PutObjectInput>,
) -> Answer<dto::PutObjectOutput> {
    let Request { input, headers, trailing_headers, .. } = request;
    let asked = PutObject {
        bucket: input.bucket,
        key: input.key,
        attributes: fields::attributes(&headers),
        claims: fields::claims(&headers, trailing_headers).map_err(to_s3)?,
        conditions: fields::write_conditions(&headers),
    };
    let stored = gateway.put_object(asked, BodyIn::new(input.body)).await.map_err(to_s3)?;
    let mut output = dto::PutObjectOutput { e_tag: Some(etag(&stored.etag)), ..Default::default() };
    show_checksums!(output, &stored.checksums);
    let first = stored.checksums.first();
    output.checksum_type = first.map(|sum| crate::convert::checksum_type(sum.checksum_type));
    Ok(S3Response::new(output))
}

pub(crate) async fn delete<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::DeleteObjectInput>,
) -> Answer<dto::DeleteObjectOutput> {
    let Request { input, headers, .. } = request;
    let if_match = fields::text(&headers, "if-match");
    let asked = DeleteObject { bucket: input.bucket, key: input.key, if_match };
    gateway.delete_object(asked).await.map_err(to_s3)?;
    Ok(S3Response::new(dto::DeleteObjectOutput::default()))
}

pub(crate) async fn delete_many<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::DeleteObjectsInput>,
) -> Answer<dto::DeleteObjectsOutput> {
    let input = request.input;
    let quiet = input.delete.quiet.unwrap_or_default();
    let mut keys = Vec::with_capacity(input.delete.objects.len());
    let mut errors = Vec::new();
    for object in input.delete.objects {
        // A version, a time or a size narrows what may be deleted: never widen it.
        let narrowed = object.version_id.is_some()
            || object.last_modified_time.is_some()
            || object.size.is_some();
        if narrowed {
            let message = "VersionId, LastModifiedTime and Size are not implemented here.";
            let failure = S3Failure::with_message(ErrorCode::NotImplemented, message);
            errors.push(delete_error(object.key, object.version_id, &failure));
        } else {
            keys.push((object.key, object.e_tag.map(|tag| tag.value().to_owned())));
        }
    }
    let mut deleted = Vec::new();
    if !keys.is_empty() || errors.is_empty() {
        let asked = DeleteObjects { bucket: input.bucket, keys, quiet };
        for entry in gateway.delete_objects(asked).await.map_err(to_s3)? {
            match entry.failure {
                Some(failure) => errors.push(delete_error(entry.key, None, &failure)),
                None => {
                    deleted.push(dto::DeletedObject { key: Some(entry.key), ..Default::default() });
                }
            }
        }
    }
    Ok(S3Response::new(dto::DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    }))
}

fn delete_error(key: String, version: Option<String>, failure: &S3Failure) -> dto::Error {
    dto::Error {
        code: Some(failure.code.as_str().to_owned()),
        key: Some(key),
        message: Some(failure.message.clone()),
        version_id: version,
    }
}

/// The bucket and key of a copy's source.
pub(crate) fn source(source: &CopySource) -> S3Result<(String, String)> {
    match source {
        CopySource::Bucket { bucket, key, version_id: None } => {
            Ok((bucket.to_string(), key.to_string()))
        }
        _ => {
            let message = "The source of a copy must be a bucket and a key, without a version.";
            Err(to_s3(S3Failure::with_message(ErrorCode::NotImplemented, message)))
        }
    }
}

pub(crate) async fn copy<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::CopyObjectInput>,
) -> Answer<dto::CopyObjectOutput> {
    let Request { input, headers, .. } = request;
    let (source_bucket, source_key) = source(&input.copy_source)?;
    let directive = fields::text(&headers, "x-amz-metadata-directive");
    let asked = CopyObject {
        source_bucket,
        source_key,
        source_conditions: fields::source_conditions(&headers),
        bucket: input.bucket,
        key: input.key,
        replace_attributes: directive.as_deref() == Some("REPLACE"),
        attributes: fields::attributes(&headers),
        names_storage_class: headers.contains_key("x-amz-storage-class"),
        checksum_algorithm: fields::announced_algorithm(&headers),
        conditions: fields::write_conditions(&headers),
    };
    let stored = gateway.copy_object(asked).await.map_err(to_s3)?;
    let mut result = dto::CopyObjectResult {
        e_tag: Some(etag(&stored.etag)),
        last_modified: Some(timestamp(stored.modified_ms)),
        ..Default::default()
    };
    show_checksums!(result, &stored.checksums);
    let first = stored.checksums.first();
    result.checksum_type = first.map(|sum| crate::convert::checksum_type(sum.checksum_type));
    let output = dto::CopyObjectOutput { copy_object_result: Some(result), ..Default::default() };
    Ok(S3Response::new(output))
}
