//! Multipart uploads: from s3s's types to `gateway-core`'s and back.

use crate::body::BodyIn;
use crate::convert::{
    algorithm, checksum_type, etag, given_checksums, owner, show_checksums, size, timestamp, to_s3,
};
use crate::edge::{Request, Shared};
use crate::fields;
use crate::objects::source;
use gateway_core::objects::Objects;
use gateway_core::{
    ChecksumType, CompleteUpload, CompletedPart, CreateUpload, ErrorCode, ListParts, S3Failure,
    UploadPart, UploadPartCopy, UploadRef,
};
use http::HeaderMap;
use s3s::dto;
use s3s::{S3Response, S3Result};

type Answer<T> = S3Result<S3Response<T>>;

/// `x-amz-checksum-type`.
fn asked_type(headers: &HeaderMap) -> S3Result<Option<ChecksumType>> {
    let Some(text) = fields::text(headers, "x-amz-checksum-type") else { return Ok(None) };
    match ChecksumType::parse(&text) {
        Some(kind) => Ok(Some(kind)),
        None => {
            let message = "Value for x-amz-checksum-type header is invalid.";
            Err(to_s3(S3Failure::with_message(ErrorCode::InvalidRequest, message)))
        }
    }
}

pub(crate) async fn create<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::CreateMultipartUploadInput>,
) -> Answer<dto::CreateMultipartUploadOutput> {
    let Request { input, headers, .. } = request;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let asked = CreateUpload {
        bucket: input.bucket,
        key: input.key,
        attributes: fields::attributes(&headers),
        checksum_algorithm: fields::announced_algorithm(&headers),
        checksum_type: asked_type(&headers)?,
    };
    let created = gateway.create_upload(asked).await.map_err(to_s3)?;
    Ok(S3Response::new(dto::CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(created.upload_id),
        checksum_algorithm: created.checksum.map(|checksum| algorithm(checksum.0)),
        checksum_type: created.checksum.map(|checksum| checksum_type(checksum.1)),
        ..Default::default()
    }))
}

pub(crate) async fn upload_part<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::UploadPartInput>,
) -> Answer<dto::UploadPartOutput> {
    let Request { input, headers, trailing_headers, .. } = request;
    let asked = UploadPart {
        bucket: input.bucket,
        key: input.key,
        upload_id: input.upload_id,
        part_number: i64::from(input.part_number),
        claims: fields::claims(&headers, trailing_headers).map_err(to_s3)?,
    };
    let stored = gateway.upload_part(asked, BodyIn::new(input.body)).await.map_err(to_s3)?;
    let mut output =
        dto::UploadPartOutput { e_tag: Some(etag(&stored.etag)), ..Default::default() };
    show_checksums!(output, &stored.checksums);
    Ok(S3Response::new(output))
}

pub(crate) async fn upload_part_copy<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::UploadPartCopyInput>,
) -> Answer<dto::UploadPartCopyOutput> {
    let Request { input, headers, .. } = request;
    let (source_bucket, source_key) = source(&input.copy_source)?;
    let asked = UploadPartCopy {
        source_bucket,
        source_key,
        source_conditions: fields::source_conditions(&headers),
        source_range: fields::text(&headers, "x-amz-copy-source-range"),
        bucket: input.bucket,
        key: input.key,
        upload_id: input.upload_id,
        part_number: i64::from(input.part_number),
    };
    let stored = gateway.upload_part_copy(asked).await.map_err(to_s3)?;
    let mut result = dto::CopyPartResult {
        e_tag: Some(etag(&stored.etag)),
        last_modified: Some(timestamp(stored.modified_ms)),
        ..Default::default()
    };
    show_checksums!(result, &stored.checksums);
    let output = dto::UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() };
    Ok(S3Response::new(output))
}

pub(crate) async fn complete<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::CompleteMultipartUploadInput>,
) -> Answer<dto::CompleteMultipartUploadOutput> {
    let Request { input, headers, .. } = request;
    let (bucket, key) = (input.bucket.clone(), input.key.clone());
    let named = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
    let parts = named.into_iter().map(|part| CompletedPart {
        number: part.part_number.map_or(0, i64::from),
        etag: part.e_tag.as_ref().map_or_else(String::new, |tag| tag.value().to_owned()),
        checksums: given_checksums!(part),
    });
    let asked = CompleteUpload {
        bucket: input.bucket,
        key: input.key,
        upload_id: input.upload_id,
        parts: parts.collect(),
        checksums: fields::checksums(&headers),
        checksum_type: asked_type(&headers)?,
        object_size_bytes: object_size(&headers)?,
        conditions: fields::write_conditions(&headers),
    };
    let completed = gateway.complete_upload(asked).await.map_err(to_s3)?;
    let mut output = dto::CompleteMultipartUploadOutput {
        location: Some(format!("/{bucket}/{key}")),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(etag(&completed.etag)),
        ..Default::default()
    };
    show_checksums!(output, &completed.checksums);
    let first = completed.checksums.first();
    output.checksum_type = first.map(|sum| checksum_type(sum.checksum_type));
    Ok(S3Response::new(output))
}

fn object_size(headers: &HeaderMap) -> S3Result<Option<u64>> {
    let Some(text) = fields::text(headers, "x-amz-mp-object-size") else { return Ok(None) };
    match text.trim().parse::<u64>() {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) => {
            let message = "Value for x-amz-mp-object-size header is invalid.";
            Err(to_s3(S3Failure::with_message(ErrorCode::InvalidRequest, message)))
        }
    }
}

pub(crate) async fn abort<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::AbortMultipartUploadInput>,
) -> Answer<dto::AbortMultipartUploadOutput> {
    let input = request.input;
    let asked = UploadRef { bucket: input.bucket, key: input.key, upload_id: input.upload_id };
    gateway.abort_upload(asked).await.map_err(to_s3)?;
    Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
}

pub(crate) async fn parts<S: Objects>(
    gateway: Shared<S>,
    request: Request<dto::ListPartsInput>,
) -> Answer<dto::ListPartsOutput> {
    let input = request.input;
    let (bucket, key, id) = (input.bucket.clone(), input.key.clone(), input.upload_id.clone());
    let asked = ListParts {
        bucket: input.bucket,
        key: input.key,
        upload_id: input.upload_id,
        part_number_marker: input.part_number_marker.map(i64::from),
        parts_max: input.max_parts.map(i64::from),
    };
    let page = gateway.list_parts(asked).await.map_err(to_s3)?;
    let everyone = owner(gateway.owner());
    let parts = page.parts.into_iter().map(|listed| {
        let mut part = dto::Part {
            e_tag: Some(etag(&listed.info.etag)),
            last_modified: Some(timestamp(listed.info.modified_ms)),
            part_number: Some(i32::from(listed.info.number.get())),
            size: Some(size(listed.info.size_bytes)),
            ..Default::default()
        };
        show_checksums!(part, listed.checksum.as_slice());
        part
    });
    Ok(S3Response::new(dto::ListPartsOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(id),
        checksum_algorithm: page.checksum.map(|checksum| algorithm(checksum.0)),
        checksum_type: page.checksum.map(|checksum| checksum_type(checksum.1)),
        initiator: Some(dto::Initiator {
            display_name: everyone.display_name.clone(),
            id: everyone.id.clone(),
        }),
        owner: Some(everyone),
        is_truncated: Some(page.truncated),
        max_parts: Some(crate::convert::count(page.parts_max)),
        part_number_marker: Some(i32::from(page.part_number_marker)),
        next_part_number_marker: Some(i32::from(page.next_part_number_marker)),
        parts: Some(parts.collect()),
        storage_class: Some(dto::StorageClass::from(page.storage_class)),
        ..Default::default()
    }))
}
