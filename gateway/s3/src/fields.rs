//! What `gateway-core` wants of a request's headers, as sent.

use crate::chunks::{Chunks, SIGNED_BYTES_MAX};
use engine_types::{Attribute, AttributeKind, ChecksumKind};
use gateway_core::{BodyClaims, ReadConditions, S3Failure, Trailer, WriteConditions, digest};
use gateway_core::{ErrorCode, GetObject};
use http::HeaderMap;
use s3s::TrailingHeaders;

/// A header's text.
pub(crate) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

const KEPT: [(AttributeKind, &str); 7] = [
    (AttributeKind::ContentType, "content-type"),
    (AttributeKind::CacheControl, "cache-control"),
    (AttributeKind::ContentDisposition, "content-disposition"),
    (AttributeKind::ContentEncoding, "content-encoding"),
    (AttributeKind::ContentLanguage, "content-language"),
    (AttributeKind::Expires, "expires"),
    (AttributeKind::StorageClass, "x-amz-storage-class"),
];

/// The header that an attribute came from and goes back to.
pub(crate) fn header_of(attribute: &Attribute) -> String {
    match attribute.kind {
        AttributeKind::UserMetadata => format!("x-amz-meta-{}", attribute.name),
        AttributeKind::WebsiteRedirect => "x-amz-website-redirect-location".to_owned(),
        kind => {
            let kept = KEPT.iter().find(|pair| pair.0 == kind);
            kept.map_or_else(String::new, |pair| pair.1.to_owned())
        }
    }
}

/// The headers and user metadata to keep with an object.
pub(crate) fn attributes(headers: &HeaderMap) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    for (kind, name) in KEPT {
        let Some(mut value) = text(headers, name) else { continue };
        if kind == AttributeKind::ContentEncoding {
            value = without_aws_chunked(&value);
        }
        let usual = kind == AttributeKind::StorageClass && value == "STANDARD";
        if !value.is_empty() && !usual {
            attributes.push(Attribute { kind, name: String::new(), value });
        }
    }
    for (name, value) in headers {
        if let Some(name) = name.as_str().strip_prefix("x-amz-meta-") {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            let kind = AttributeKind::UserMetadata;
            attributes.push(Attribute { kind, name: name.to_owned(), value });
        }
    }
    attributes
}

/// `aws-chunked` tells how the body is sent, not what the object is.
fn without_aws_chunked(value: &str) -> String {
    let codings = value.split(',').map(str::trim);
    let kept: Vec<&str> =
        codings.filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked")).collect();
    kept.join(", ")
}

/// The checksums given as headers.
pub(crate) fn checksums(headers: &HeaderMap) -> Vec<(ChecksumKind, String)> {
    let mut checksums = Vec::new();
    for (name, value) in headers {
        if let Some(kind) = digest::kind_of_header(name.as_str()) {
            checksums.push((kind, String::from_utf8_lossy(value.as_bytes()).into_owned()));
        }
    }
    checksums
}

/// What the client says the body is.
pub(crate) fn claims(
    headers: &HeaderMap,
    trailing: Option<TrailingHeaders>,
) -> Result<BodyClaims, S3Failure> {
    let chunks = Chunks::of(headers);
    let name = match chunks {
        Chunks::None => "content-length",
        Chunks::Signed | Chunks::Unsigned => "x-amz-decoded-content-length",
    };
    let content_length = match text(headers, name) {
        Some(length) => Some(length.trim().parse::<u64>().map_err(|_| {
            S3Failure::with_message(ErrorCode::InvalidArgument, format!("{name} is no number."))
        })?),
        None => None,
    };
    let announced = text(headers, "x-amz-trailer");
    let kind = announced.and_then(|name| digest::kind_of_header(name.trim()));
    let trailer = kind.map(|kind| Trailer {
        kind,
        read: Box::new(move || trailing.and_then(|trailing| trailer_text(&trailing, kind))),
    });
    let sdk = text(headers, "x-amz-sdk-checksum-algorithm");
    Ok(BodyClaims {
        content_length,
        content_md5: text(headers, "content-md5"),
        checksums: checksums(headers),
        trailer,
        sdk_algorithm: sdk.and_then(|name| digest::kind_of_algorithm(&name)),
        algorithm: announced_algorithm(headers),
        held_back_bytes: if chunks == Chunks::Signed { SIGNED_BYTES_MAX } else { 0 },
    })
}

/// `x-amz-checksum-algorithm`; the filter refused names nobody knows.
pub(crate) fn announced_algorithm(headers: &HeaderMap) -> Option<ChecksumKind> {
    let name = text(headers, "x-amz-checksum-algorithm")?;
    digest::kind_of_algorithm(&name)
}

fn trailer_text(trailing: &TrailingHeaders, kind: ChecksumKind) -> Option<String> {
    trailing.read(|headers| text(headers, digest::header_name(kind))).flatten()
}

/// A header of a read. Several lines are one list (RFC 9110, section 5.3); an empty one is none.
fn listed(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let list = lines.collect::<Vec<_>>().join(", ");
    (!list.trim().is_empty()).then_some(list)
}

/// Conditions of a read.
fn read_conditions(headers: &HeaderMap) -> ReadConditions {
    ReadConditions {
        if_match: listed(headers, "if-match"),
        if_none_match: listed(headers, "if-none-match"),
        if_modified_since: listed(headers, "if-modified-since"),
        if_unmodified_since: listed(headers, "if-unmodified-since"),
    }
}

/// Conditions on the source of a copy.
pub(crate) fn source_conditions(headers: &HeaderMap) -> ReadConditions {
    ReadConditions {
        if_match: text(headers, "x-amz-copy-source-if-match"),
        if_none_match: text(headers, "x-amz-copy-source-if-none-match"),
        if_modified_since: text(headers, "x-amz-copy-source-if-modified-since"),
        if_unmodified_since: text(headers, "x-amz-copy-source-if-unmodified-since"),
    }
}

/// Conditions of a write.
pub(crate) fn write_conditions(headers: &HeaderMap) -> WriteConditions {
    WriteConditions {
        if_match: text(headers, "if-match"),
        if_none_match: text(headers, "if-none-match"),
    }
}

/// A read of an object.
pub(crate) fn read(
    bucket: String,
    key: String,
    part_number: Option<i64>,
    headers: &HeaderMap,
) -> GetObject {
    // Without a judgement of `If-Range`, all of the object is the answer that is always right.
    let ranged = !headers.contains_key("if-range");
    GetObject {
        bucket,
        key,
        range: listed(headers, "range").filter(|_| ranged),
        part_number,
        conditions: read_conditions(headers),
        checksum_mode: headers.contains_key("x-amz-checksum-mode"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn attributes_are_kept_without_transfer_codings() {
        let sent = headers(&[
            ("content-type", "text/plain"),
            ("content-encoding", "gzip,aws-chunked"),
            ("x-amz-storage-class", "STANDARD"),
            ("x-amz-meta-a", "1"),
            ("content-length", "3"),
        ]);
        let kept: Vec<(String, String)> =
            attributes(&sent).iter().map(|kept| (header_of(kept), kept.value.clone())).collect();
        let expected =
            [("content-type", "text/plain"), ("content-encoding", "gzip"), ("x-amz-meta-a", "1")];
        assert_eq!(kept, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(attributes(&headers(&[("content-encoding", "aws-chunked")])).is_empty());
    }

    #[test]
    fn the_length_is_the_decoded_one_only_of_chunked_bodies() {
        let mut sent = headers(&[("content-length", "90"), ("x-amz-decoded-content-length", "7")]);
        assert_eq!(claims(&sent, None).unwrap().content_length, Some(90));
        let hash = "STREAMING-UNSIGNED-PAYLOAD-TRAILER".parse().unwrap();
        sent.insert("x-amz-content-sha256", hash);
        sent.insert("x-amz-trailer", "x-amz-checksum-crc32".parse().unwrap());
        let claims = claims(&sent, None).unwrap();
        assert_eq!(claims.content_length, Some(7));
        let trailer = claims.trailer.unwrap();
        assert_eq!(trailer.kind, ChecksumKind::Crc32);
        assert_eq!((trailer.read)(), None);
    }

    #[test]
    fn a_range_under_if_range_is_not_cut() {
        let plain = headers(&[("range", "bytes=0-1")]);
        let read_plain = read(String::new(), String::new(), None, &plain);
        assert_eq!(read_plain.range.as_deref(), Some("bytes=0-1"));
        let conditional = headers(&[("range", "bytes=0-1"), ("if-range", "\"x\"")]);
        assert_eq!(read(String::new(), String::new(), None, &conditional).range, None);
    }

    #[test]
    fn lines_of_a_read_are_one_list_and_empty_ones_are_none() {
        let lines = headers(&[("if-match", "\"a\""), ("if-match", "b"), ("range", " ")]);
        let asked = read(String::new(), String::new(), None, &lines);
        assert_eq!(asked.conditions.if_match.as_deref(), Some("\"a\", b"));
        assert_eq!((asked.conditions.if_none_match, asked.range), (None, None));
    }
}
