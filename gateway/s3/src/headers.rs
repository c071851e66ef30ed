//! The table of headers: which each operation may have, and with what values.
//!
//! Invariant: an `x-amz-*` header in none of the lists of its operation is refused, so that
//! encryption, locks, tags, grants and whatever AWS adds next are never silently left out.

use crate::operation::Operation;
use crate::refusal::Refusal;
use gateway_core::{ErrorCode, digest};
use http::HeaderMap;
use http::header::{EXPECT, HeaderValue};

/// Headers that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// User metadata, storage class and ACL of a new object.
    NewObject,
    /// A body's checksum, as a header.
    Checksum,
    /// The kind of checksum to keep with an object or a part, over all of its bytes.
    KeptChecksum,
    /// A body in chunks, perhaps with a checksum behind.
    Chunks,
    /// How a multipart upload will sum its parts.
    UploadChecksum,
    /// The sum of a completed object, and its size.
    CompleteChecksum,
    /// The source of a copy and its conditions.
    CopySource,
    /// What else a copy of an object may say.
    CopyObject,
    /// What else a copy of a part may say.
    CopyPart,
    /// A read that shows checksums.
    Read,
    /// What else a listing shall show.
    Listing,
    /// A new bucket.
    NewBucket,
}

/// Headers any operation may have. They are signed or harmless, and s3s or we judge them.
const ANYWHERE: &[&str] = &[
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-expected-bucket-owner",
    "x-amz-user-agent",
    "x-amz-api-version",
];

/// Checksums of a body, and what they are of an empty one.
const CHECKSUMS: &[(&str, &str)] = &[
    ("x-amz-checksum-crc32", "AAAAAA=="),
    ("x-amz-checksum-crc32c", "AAAAAA=="),
    ("x-amz-checksum-crc64nvme", "AAAAAAAAAAA="),
    ("x-amz-checksum-sha1", "2jmj7l5rSw0yVb/vlWAYkK/YBwk="),
    ("x-amz-checksum-sha256", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="),
];

/// What a checksum is of an empty body; `None`: the header is none.
fn checksum_of_empty(name: &str) -> Option<&'static str> {
    CHECKSUMS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

fn names(group: Group) -> &'static [&'static str] {
    match group {
        Group::NewObject => &["x-amz-storage-class", "x-amz-acl"],
        Group::Checksum => &["x-amz-sdk-checksum-algorithm"],
        Group::Chunks => &["x-amz-decoded-content-length", "x-amz-trailer"],
        Group::KeptChecksum => &["x-amz-checksum-algorithm", "x-amz-checksum-type"],
        Group::UploadChecksum => &["x-amz-checksum-algorithm", "x-amz-checksum-type"],
        Group::CompleteChecksum => &["x-amz-checksum-type", "x-amz-mp-object-size"],
        Group::CopySource => &[
            "x-amz-copy-source",
            "x-amz-copy-source-if-match",
            "x-amz-copy-source-if-none-match",
            "x-amz-copy-source-if-modified-since",
            "x-amz-copy-source-if-unmodified-since",
            "x-amz-source-expected-bucket-owner",
        ],
        Group::CopyObject => {
            &["x-amz-metadata-directive", "x-amz-tagging-directive", "x-amz-checksum-algorithm"]
        }
        Group::CopyPart => &["x-amz-copy-source-range"],
        // `x-amz-te` says what more an answer may have, not what it must.
        Group::Read => &["x-amz-checksum-mode", "x-amz-te"],
        Group::Listing => &["x-amz-optional-object-attributes"],
        Group::NewBucket => {
            &["x-amz-acl", "x-amz-bucket-object-lock-enabled", "x-amz-object-ownership"]
        }
    }
}

fn groups(operation: Operation) -> &'static [Group] {
    match operation {
        Operation::PutObject => {
            &[Group::NewObject, Group::Checksum, Group::KeptChecksum, Group::Chunks]
        }
        Operation::UploadPart => &[Group::Checksum, Group::KeptChecksum, Group::Chunks],
        Operation::CopyObject => &[Group::NewObject, Group::CopySource, Group::CopyObject],
        Operation::UploadPartCopy => &[Group::CopySource, Group::CopyPart],
        Operation::CreateMultipartUpload => &[Group::NewObject, Group::UploadChecksum],
        Operation::CompleteMultipartUpload => &[Group::Checksum, Group::CompleteChecksum],
        Operation::DeleteObjects => &[Group::Checksum],
        Operation::CreateBucket => &[Group::Checksum, Group::NewBucket],
        Operation::GetObject | Operation::HeadObject => &[Group::Read],
        Operation::ListObjects | Operation::ListObjectsV2 => &[Group::Listing],
        _ => &[],
    }
}

/// Whether the operation may have this `x-amz-*` header.
pub(crate) fn is_known(operation: Operation, name: &str) -> bool {
    let groups = groups(operation);
    ANYWHERE.contains(&name)
        || groups.iter().any(|group| names(*group).contains(&name))
        || checksum_of_empty(name).is_some()
        || (groups.contains(&Group::NewObject)
            && name.strip_prefix("x-amz-meta-").is_some_and(|rest| !rest.is_empty()))
}

/// Whether the header tells of a checksum of the body that this operation is sent. A completion's
/// is one of the object.
pub(crate) fn sums_body(operation: Operation, name: &str) -> bool {
    if operation == Operation::CompleteMultipartUpload {
        return false;
    }
    let is_of = |group: Group| names(group).contains(&name);
    let says_kind = is_of(Group::Checksum) || is_of(Group::KeptChecksum);
    checksum_of_empty(name).is_some() || (groups(operation).contains(&Group::Checksum) && says_kind)
}

/// Why a request's headers are refused; `None`: they are not.
pub(crate) fn problem(operation: Operation, headers: &HeaderMap, owner: &str) -> Option<Refusal> {
    for (name, value) in headers {
        let name = name.as_str();
        if !name.starts_with("x-amz-") {
            if is_foreign(operation, name) {
                return Some(Refusal::not_implemented(&format!("the header {name}")));
            }
            continue;
        }
        if !is_known(operation, name) {
            return Some(Refusal::not_implemented(&format!("the header {name}")));
        }
        if headers.get_all(name).iter().count() > 1 {
            let message = format!("The header {name} is given more than once.");
            return Some(Refusal::new(ErrorCode::InvalidArgument, message));
        }
        if let Some(refusal) = value_problem(name, value, owner) {
            return Some(refusal);
        }
        // The Java SDK sends one with reads of parts, too.
        if !groups(operation).contains(&Group::Checksum)
            && checksum_of_empty(name).is_some_and(|empty| value != empty)
        {
            let message = format!("There is no body, of which {name} is another checksum.");
            return Some(Refusal::new(ErrorCode::BadDigest, message));
        }
        let is_whole = groups(operation).contains(&Group::KeptChecksum);
        if is_whole && name == "x-amz-checksum-type" && value != "FULL_OBJECT" {
            let message = "Only FULL_OBJECT is a checksum type of what is sent whole.";
            return Some(Refusal::new(ErrorCode::InvalidRequest, message));
        }
    }
    trailer_problem(headers)
}

/// An expectation other than the one there is. Source: RFC 9110, section 10.1.1.
pub(crate) fn expectation_problem(headers: &HeaderMap) -> Option<Refusal> {
    let unknown =
        |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"100-continue");
    headers.get_all(EXPECT).iter().any(unknown).then(|| Refusal {
        code: "ExpectationFailed",
        status: 417,
        ..Refusal::new(ErrorCode::InvalidRequest, "Only the expectation 100-continue is known.")
    })
}

/// HTTP's own headers that would change the meaning of this operation, if they were heeded.
fn is_foreign(operation: Operation, name: &str) -> bool {
    use Operation as Op;
    let read = matches!(operation, Op::GetObject | Op::HeadObject);
    let write = matches!(operation, Op::PutObject | Op::CompleteMultipartUpload | Op::CopyObject);
    match name {
        "if-match" => !read && !write && operation != Op::DeleteObject,
        "if-none-match" => !read && !write,
        "if-modified-since" | "if-unmodified-since" => !read,
        // On a read, a byte range of a representation is never written.
        "content-range" => true,
        _ => false,
    }
}

/// Why a header cannot have this value; `None`: it can.
pub(crate) fn value_problem(name: &str, value: &HeaderValue, owner: &str) -> Option<Refusal> {
    let Ok(text) = std::str::from_utf8(value.as_bytes()) else {
        let message = format!("The header {name} is not UTF-8.");
        return Some(Refusal::new(ErrorCode::InvalidArgument, message));
    };
    let only = |allowed: &[&str]| {
        let known = allowed.contains(&text);
        (!known).then(|| Refusal::not_implemented(&format!("{name}: {text}")))
    };
    match name {
        "x-amz-acl" => only(&["private"]),
        "x-amz-api-version" => only(&["2006-03-01"]),
        "x-amz-storage-class" => match text {
            "STANDARD" | "REDUCED_REDUNDANCY" => None,
            _ => Some(invalid_storage_class()),
        },
        "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner" => {
            let code = ErrorCode::AccessDenied;
            (text != owner).then(|| Refusal::new(code, code.default_message()))
        }
        "x-amz-metadata-directive" if text != "COPY" && text != "REPLACE" => {
            Some(Refusal::new(ErrorCode::InvalidArgument, "Unknown metadata directive."))
        }
        // There are no tags: COPY copies all of them, and REPLACE leaves the copy without any, as
        // it must when no `x-amz-tagging` comes with it (which is refused). The AWS CLI sends it.
        "x-amz-tagging-directive" if text != "COPY" && text != "REPLACE" => {
            Some(Refusal::new(ErrorCode::InvalidArgument, "Unknown tagging directive."))
        }
        "x-amz-bucket-object-lock-enabled" => only(&["false", "False"]),
        "x-amz-object-ownership" => only(&["BucketOwnerEnforced"]),
        // The SDKs that rest on AWS's C++ code write it small.
        "x-amz-checksum-mode" if text.eq_ignore_ascii_case("ENABLED") => None,
        "x-amz-checksum-mode" => only(&["ENABLED"]),
        "x-amz-te" => only(&["append-md5"]),
        // Only of what is archived would a listing say how it is restored, and nothing is here.
        "x-amz-optional-object-attributes" => only(&["RestoreStatus"]),
        "x-amz-checksum-algorithm" | "x-amz-sdk-checksum-algorithm" => {
            let message = format!("Unknown checksum algorithm {text}.");
            let unknown = digest::kind_of_algorithm(text).is_none();
            unknown.then(|| Refusal::new(ErrorCode::InvalidRequest, message))
        }
        "x-amz-copy-source" if text.contains('?') => {
            Some(Refusal::not_implemented("a version of the source of a copy"))
        }
        "x-amz-copy-source" if text.trim_start_matches('/').starts_with("arn:") => {
            Some(Refusal::not_implemented("an ARN as the source of a copy"))
        }
        _ => None,
    }
}

/// A trailer must be one checksum we know, and the body of the kind that has trailers.
fn trailer_problem(headers: &HeaderMap) -> Option<Refusal> {
    let body = headers.get("x-amz-content-sha256").map_or(&b""[..], HeaderValue::as_bytes);
    let streams = body.starts_with(b"STREAMING-");
    let has_trailer = streams && body.ends_with(b"-TRAILER");
    let trailer = headers.get("x-amz-trailer");
    let known = |value: &HeaderValue| {
        let name = value.to_str().unwrap_or_default().trim().to_ascii_lowercase();
        digest::kind_of_header(&name).is_some()
    };
    let invalid = |message: &str| Some(Refusal::new(ErrorCode::InvalidRequest, message));
    match trailer {
        Some(value) if !known(value) => invalid("Unknown or more than one x-amz-trailer."),
        Some(_) if !has_trailer => {
            invalid("x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER.")
        }
        None if has_trailer => invalid("The x-amz-trailer header is missing."),
        _ if !streams && headers.contains_key("x-amz-decoded-content-length") => {
            invalid("x-amz-decoded-content-length needs a STREAMING-* x-amz-content-sha256.")
        }
        _ => None,
    }
}

fn invalid_storage_class() -> Refusal {
    Refusal {
        code: "InvalidStorageClass",
        ..Refusal::new(
            ErrorCode::InvalidRequest,
            "The storage class that you specified is not valid.",
        )
    }
}
