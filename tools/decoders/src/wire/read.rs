//! Ranges and conditions of reads, and of the source of a copy, as `gateway-core` judges them.
//!
//! Rules: what is answered lies within the object and is the bytes that the head says; a refusal
//! is the client's doing, never the server's.

use super::server::{Store, block_on, whole};
use super::{BUCKET, CONTENT, KEY, UPLOAD_ID, UPLOAD_KEY};
use crate::Decoder;
use gateway_core::model::ModelBody;
use gateway_core::{GetObject, ObjectBody, ReadConditions, UploadPartCopy};

pub(crate) const S3_READ: Decoder = Decoder {
    name: "s3_read",
    check: read,
    samples,
    words: &[
        "bytes=",
        "-",
        "18446744073709551615",
        "*",
        "W/",
        "\"",
        ", ",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Thu, 01 Jan 2099 00:00:00 GMT",
    ],
    rounds: 4_000,
};

/// Lines: `Range`, `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`,
/// `partNumber`, `x-amz-copy-source-range`. An empty one is not sent.
fn read(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let mut lines = text.split('\n').map(|line| (!line.is_empty()).then(|| line.to_owned()));
    let mut line = || lines.next().flatten();
    let range = line();
    let conditions = ReadConditions {
        if_match: line(),
        if_none_match: line(),
        if_modified_since: line(),
        if_unmodified_since: line(),
    };
    let part_number = line().and_then(|number| number.parse().ok());
    let source_range = line();

    let store = Store::new();
    let copy = UploadPartCopy {
        source_bucket: BUCKET.to_owned(),
        source_key: KEY.to_owned(),
        source_conditions: conditions.clone(),
        source_range,
        bucket: BUCKET.to_owned(),
        key: UPLOAD_KEY.to_owned(),
        upload_id: UPLOAD_ID.to_owned(),
        part_number: 2,
    };
    match block_on(store.gateway.upload_part_copy(copy)) {
        Ok(stored) => assert!(stored.size_bytes <= CONTENT.len() as u64),
        Err(failure) => assert!(failure.code.status() < 500, "{failure:?}"),
    }
    let asked = GetObject {
        bucket: BUCKET.to_owned(),
        key: KEY.to_owned(),
        range,
        part_number,
        conditions,
        checksum_mode: true,
    };
    match block_on(store.gateway.get_object(asked)) {
        Ok(found) => {
            answered(found);
            true
        }
        Err(failure) => {
            assert!(failure.code.status() < 500, "{failure:?}");
            false
        }
    }
}

fn answered(found: ObjectBody<ModelBody>) {
    let ObjectBody { head, body } = found;
    let size_bytes = CONTENT.len() as u64;
    assert_eq!((head.info.size_bytes, head.partial), (size_bytes, head.content_range.is_some()));
    let (start, end) = match head.content_range {
        Some(range) => {
            assert!(range.first <= range.last && range.last < size_bytes, "{range}");
            assert_eq!(range.size_bytes, size_bytes);
            (range.first, range.last + 1)
        }
        None => (0, size_bytes),
    };
    assert_eq!(head.content_length, end - start);
    let bytes = body.map(whole).unwrap_or_default();
    assert_eq!(bytes, &CONTENT[start as usize..end as usize]);
}

fn samples() -> Vec<Vec<u8>> {
    let etag = "\"e9b1713db620f1e3a14b6812de523f4b\"";
    let date = "Thu, 01 Jan 2099 00:00:00 GMT";
    let samples = [
        "bytes=2-5\n\n\n\n\n\nbytes=0-3".to_owned(),
        "bytes=-3".to_owned(),
        "bytes=7-".to_owned(),
        "\n\n\n\n\n1\nbytes=0-35".to_owned(),
        "\n*".to_owned(),
        format!("bytes=0-0\n\"other\", {etag}\nW/\"other\""),
        format!("\n\n\nSun, 06 Nov 1994 08:49:37 GMT\n{date}"),
    ];
    samples.into_iter().map(String::into_bytes).collect()
}
