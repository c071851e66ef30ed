//! Requests and results of multipart uploads.

use super::{ChecksumText, ChecksumType, ListedPart, WriteConditions};
use engine_types::{Attribute, ChecksumKind};

/// `CreateMultipartUpload`.
#[derive(Debug, Clone, Default)]
pub struct CreateUpload {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// Headers and user metadata the object will have.
    pub attributes: Vec<Attribute>,
    /// `x-amz-checksum-algorithm`.
    pub checksum_algorithm: Option<ChecksumKind>,
    /// `x-amz-checksum-type`.
    pub checksum_type: Option<ChecksumType>,
}

/// A started upload.
#[derive(Debug, Clone)]
pub struct UploadCreated {
    /// Its id as text.
    pub upload_id: String,
    /// The checksum its parts shall have, if one was announced.
    pub checksum: Option<(ChecksumKind, ChecksumType)>,
}

/// Names an upload: `AbortMultipartUpload`.
#[derive(Debug, Clone, Default)]
pub struct UploadRef {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `uploadId` as sent.
    pub upload_id: String,
}

/// A part named by `CompleteMultipartUpload`.
#[derive(Debug, Clone, Default)]
pub struct CompletedPart {
    /// `PartNumber`.
    pub number: i64,
    /// `ETag` as sent, with or without quotes.
    pub etag: String,
    /// `Checksum*` elements as sent (base64).
    pub checksums: Vec<(ChecksumKind, String)>,
}

/// `CompleteMultipartUpload`.
#[derive(Debug, Clone, Default)]
pub struct CompleteUpload {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `uploadId` as sent.
    pub upload_id: String,
    /// The parts in the order sent.
    pub parts: Vec<CompletedPart>,
    /// `x-amz-checksum-*` of the whole object as sent (base64, a composite one may have `-N`).
    pub checksums: Vec<(ChecksumKind, String)>,
    /// `x-amz-checksum-type`.
    pub checksum_type: Option<ChecksumType>,
    /// `x-amz-mp-object-size`.
    pub object_size_bytes: Option<u64>,
    /// Conditions.
    pub conditions: WriteConditions,
}

/// A completed upload.
#[derive(Debug, Clone)]
pub struct Completed {
    /// The ETag without quotes, `-N` behind.
    pub etag: String,
    /// Checksums to show.
    pub checksums: Vec<ChecksumText>,
}

/// `ListParts`.
#[derive(Debug, Clone, Default)]
pub struct ListParts {
    /// The bucket's name.
    pub bucket: String,
    /// The key, URL-decoded.
    pub key: String,
    /// `uploadId` as sent.
    pub upload_id: String,
    /// `part-number-marker`.
    pub part_number_marker: Option<i64>,
    /// `max-parts`.
    pub parts_max: Option<i64>,
}

/// A page of `ListParts`.
#[derive(Debug, Clone)]
pub struct PartList {
    /// `PartNumberMarker`.
    pub part_number_marker: u16,
    /// `NextPartNumberMarker`: the last part of this page; 0 for none.
    pub next_part_number_marker: u16,
    /// `MaxParts`, at most 1,000.
    pub parts_max: u32,
    /// `IsTruncated`.
    pub truncated: bool,
    /// The checksum announced for the parts.
    pub checksum: Option<(ChecksumKind, ChecksumType)>,
    /// `x-amz-storage-class` the object will have; `STANDARD` if none was given.
    pub storage_class: String,
    /// The parts.
    pub parts: Vec<ListedPart>,
}

/// `ListMultipartUploads`.
#[derive(Debug, Clone, Default)]
pub struct ListUploads {
    /// The bucket's name.
    pub bucket: String,
    /// `prefix`.
    pub prefix: Option<String>,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// `key-marker`.
    pub key_marker: Option<String>,
    /// `upload-id-marker`; ignored without a key marker.
    pub upload_id_marker: Option<String>,
    /// `max-uploads`.
    pub uploads_max: Option<i64>,
    /// `encoding-type`: only `url`.
    pub encoding_type: Option<String>,
}

/// One upload of a listing.
#[derive(Debug, Clone)]
pub struct ListedUpload {
    /// The key, encoded if asked for.
    pub key: String,
    /// Its id as text.
    pub upload_id: String,
    /// Wall clock of its creation, milliseconds since 1970.
    pub initiated_ms: u64,
    /// The checksum announced for its parts.
    pub checksum: Option<(ChecksumKind, ChecksumType)>,
    /// `x-amz-storage-class` the object will have; `STANDARD` if none was given.
    pub storage_class: String,
}

/// A page of `ListMultipartUploads`.
#[derive(Debug, Clone, Default)]
pub struct UploadList {
    /// `Prefix`, encoded if asked for; empty for none.
    pub prefix: String,
    /// `Delimiter`, encoded if asked for.
    pub delimiter: Option<String>,
    /// `KeyMarker`, encoded if asked for; empty for none.
    pub key_marker: String,
    /// `UploadIdMarker` as sent; empty for none.
    pub upload_id_marker: String,
    /// `NextKeyMarker`, encoded if asked for: set when truncated.
    pub next_key_marker: Option<String>,
    /// `NextUploadIdMarker`: set when truncated after an upload (not after a common prefix).
    pub next_upload_id_marker: Option<String>,
    /// `MaxUploads`, at most 1,000.
    pub uploads_max: u32,
    /// `EncodingType` is `url`.
    pub url_encoded: bool,
    /// `IsTruncated`.
    pub truncated: bool,
    /// The uploads.
    pub uploads: Vec<ListedUpload>,
    /// `CommonPrefixes`, encoded if asked for.
    pub common_prefixes: Vec<String>,
}
