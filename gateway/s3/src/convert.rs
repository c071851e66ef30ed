//! From `gateway-core`'s results to what s3s writes.

use crate::fields::header_of;
use crate::query::Query;
use engine_types::{ChecksumKind, ObjectInfo};
use gateway_core::{Owner, S3Failure, digest};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use s3s::dto::{self, ETag, Timestamp};
use s3s::{S3Error, S3ErrorCode};
use std::time::{Duration, SystemTime};

/// The content type of an object that was stored without one.
const DEFAULT_CONTENT_TYPE: &str = "binary/octet-stream";

/// Query keys that override headers of an answer.
const OVERRIDES: [(&str, &str); 6] = [
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];

/// A refusal as s3s writes it.
pub(crate) fn to_s3(failure: S3Failure) -> S3Error {
    let name = failure.code.as_str().as_bytes();
    let code = S3ErrorCode::from_bytes(name).unwrap_or(S3ErrorCode::InternalError);
    let mut error = S3Error::with_message(code, failure.message);
    let status = StatusCode::from_u16(failure.code.status());
    error.set_status_code(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    if !failure.headers.is_empty() {
        // s3s takes these in place of its own, the type of the body included.
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        for (name, value) in failure.headers {
            insert(&mut headers, name, &value);
        }
        error.set_headers(headers);
    }
    error
}

/// Sets a header; a value that is none is left out.
pub(crate) fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    let name = HeaderName::from_bytes(name.as_bytes());
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
        headers.insert(name, value);
    }
}

/// The headers kept with an object, as overridden by the request.
pub(crate) fn object_headers(info: &ObjectInfo, uri: &Uri) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(DEFAULT_CONTENT_TYPE));
    for attribute in &info.attributes {
        insert(&mut headers, &header_of(attribute), &attribute.value);
    }
    let query = Query::parse(uri.query());
    for (key, name) in OVERRIDES {
        if let Some(value) = query.get(key) {
            insert(&mut headers, name, value);
        }
    }
    headers
}

/// A time.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
}

/// An ETag.
pub(crate) fn etag(text: &str) -> ETag {
    ETag::Strong(text.to_owned())
}

/// Bytes as S3's model has them.
pub(crate) fn size(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A count as S3's model has it.
pub(crate) fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The owner of everything.
pub(crate) fn owner(owner: &Owner) -> dto::Owner {
    dto::Owner { display_name: Some(owner.display_name.clone()), id: Some(owner.id.clone()) }
}

/// An algorithm's name.
pub(crate) fn algorithm(kind: ChecksumKind) -> dto::ChecksumAlgorithm {
    dto::ChecksumAlgorithm::from_static(digest::algorithm_name(kind))
}

/// COMPOSITE or FULL_OBJECT.
pub(crate) fn checksum_type(kind: gateway_core::ChecksumType) -> dto::ChecksumType {
    dto::ChecksumType::from_static(kind.as_str())
}

/// Sets the field of each checksum.
macro_rules! show_checksums {
    ($output:expr, $checksums:expr) => {
        for checksum in $checksums {
            let text = Some(checksum.text.clone());
            match checksum.kind {
                engine_types::ChecksumKind::Crc32 => $output.checksum_crc32 = text,
                engine_types::ChecksumKind::Crc32c => $output.checksum_crc32c = text,
                engine_types::ChecksumKind::Crc64Nvme => $output.checksum_crc64nvme = text,
                engine_types::ChecksumKind::Sha1 => $output.checksum_sha1 = text,
                engine_types::ChecksumKind::Sha256 => $output.checksum_sha256 = text,
            }
        }
    };
}

/// Collects the checksum fields that are set.
macro_rules! given_checksums {
    ($input:expr) => {
        [
            (engine_types::ChecksumKind::Crc32, &$input.checksum_crc32),
            (engine_types::ChecksumKind::Crc32c, &$input.checksum_crc32c),
            (engine_types::ChecksumKind::Crc64Nvme, &$input.checksum_crc64nvme),
            (engine_types::ChecksumKind::Sha1, &$input.checksum_sha1),
            (engine_types::ChecksumKind::Sha256, &$input.checksum_sha256),
        ]
        .into_iter()
        .filter_map(|(kind, text)| text.clone().map(|text| (kind, text)))
        .collect::<Vec<_>>()
    };
}

pub(crate) use {given_checksums, show_checksums};
