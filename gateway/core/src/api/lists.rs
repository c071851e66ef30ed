//! Requests and results of the listings of objects.

use engine_types::ObjectInfo;

/// `ListObjects` (version 1).
#[derive(Debug, Clone, Default)]
pub struct ListObjects {
    /// The bucket's name.
    pub bucket: String,
    /// `prefix`.
    pub prefix: Option<String>,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// `marker`.
    pub marker: Option<String>,
    /// `max-keys`.
    pub keys_max: Option<i64>,
    /// `encoding-type`: only `url`.
    pub encoding_type: Option<String>,
}

/// `ListObjectsV2`.
#[derive(Debug, Clone, Default)]
pub struct ListObjectsV2 {
    /// The bucket's name.
    pub bucket: String,
    /// `prefix`.
    pub prefix: Option<String>,
    /// `delimiter`.
    pub delimiter: Option<String>,
    /// `start-after`.
    pub start_after: Option<String>,
    /// `continuation-token`.
    pub continuation_token: Option<String>,
    /// `max-keys`.
    pub keys_max: Option<i64>,
    /// `encoding-type`: only `url`.
    pub encoding_type: Option<String>,
    /// `fetch-owner`.
    pub fetch_owner: bool,
}

/// One object of a listing.
#[derive(Debug, Clone)]
pub struct ListedObject {
    /// The key, encoded if asked for.
    pub key: String,
    /// Size, time, ETag, checksums.
    pub info: ObjectInfo,
}

/// A page of `ListObjects`. Every object has the gateway's owner.
#[derive(Debug, Clone, Default)]
pub struct ObjectList {
    /// `Prefix`, encoded if asked for; empty for none.
    pub prefix: String,
    /// `Delimiter`, encoded if asked for.
    pub delimiter: Option<String>,
    /// `Marker`, encoded if asked for; empty for none.
    pub marker: String,
    /// `NextMarker`, encoded if asked for: only when truncated and a delimiter was given.
    pub next_marker: Option<String>,
    /// `MaxKeys`, at most 1,000.
    pub keys_max: u32,
    /// `EncodingType` is `url`.
    pub url_encoded: bool,
    /// `IsTruncated`.
    pub truncated: bool,
    /// `Contents`.
    pub objects: Vec<ListedObject>,
    /// `CommonPrefixes`, encoded if asked for.
    pub common_prefixes: Vec<String>,
}

/// A page of `ListObjectsV2`.
#[derive(Debug, Clone, Default)]
pub struct ObjectListV2 {
    /// `Prefix`, encoded if asked for; empty for none.
    pub prefix: String,
    /// `Delimiter`, encoded if asked for.
    pub delimiter: Option<String>,
    /// `StartAfter`, encoded if asked for.
    pub start_after: Option<String>,
    /// `ContinuationToken` as sent.
    pub continuation_token: Option<String>,
    /// `NextContinuationToken`: set when truncated.
    pub next_continuation_token: Option<String>,
    /// `KeyCount`: objects and common prefixes.
    pub key_count: u32,
    /// `MaxKeys`, at most 1,000.
    pub keys_max: u32,
    /// `EncodingType` is `url`.
    pub url_encoded: bool,
    /// `IsTruncated`.
    pub truncated: bool,
    /// Whether each object shows the gateway's owner.
    pub with_owner: bool,
    /// `Contents`.
    pub objects: Vec<ListedObject>,
    /// `CommonPrefixes`, encoded if asked for.
    pub common_prefixes: Vec<String>,
}
