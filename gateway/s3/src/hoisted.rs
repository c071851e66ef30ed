//! Headers in the query of a presigned URL.
//!
//! SDKs move `x-amz-*` headers there when they sign a URL, so that whoever uses it need not send
//! them. They mean what they mean as headers, and all of a query is signed.
//!
//! Invariant: what is here obeys the table of headers, and no header says anything else.
//! Source: S3 user guide, "Uploading objects with presigned URLs".

use crate::headers;
use crate::operation::Operation;
use crate::query::Query;
use crate::refusal::Refusal;
use gateway_core::ErrorCode;
use http::{HeaderMap, HeaderName, HeaderValue};

/// What is no header of the operation: the signature, and how the body is sent. S3 takes no source
/// of a copy from a URL either; it would write an empty object.
const NEVER: &[&str] = &[
    "x-amz-algorithm",
    "x-amz-content-sha256",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-expires",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-trailer",
];

/// The headers in the query of a presigned URL; none in that of any other request.
pub(crate) fn of(query: &Query) -> Result<HeaderMap, Refusal> {
    let mut hoisted = HeaderMap::new();
    if !query.has("X-Amz-Signature") {
        return Ok(hoisted);
    }
    for (parameter, value) in query.iter() {
        let name = parameter.to_ascii_lowercase();
        let is_source = name.starts_with("x-amz-copy-source");
        if !name.starts_with("x-amz-") || is_source || NEVER.contains(&name.as_str()) {
            continue;
        }
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            let message = format!("The query parameter {parameter} can be no header.");
            return Err(Refusal::new(ErrorCode::InvalidArgument, message));
        };
        if hoisted.insert(name, value).is_some() {
            return Err(given_twice(parameter));
        }
    }
    Ok(hoisted)
}

fn given_twice(name: &str) -> Refusal {
    let message = format!("{name} is given more than once.");
    Refusal::new(ErrorCode::InvalidArgument, message)
}

/// Why headers in a query are refused; `None`: they are not.
pub(crate) fn problem(
    operation: Operation,
    hoisted: &HeaderMap,
    sent: &HeaderMap,
    owner: &str,
) -> Option<Refusal> {
    for (name, value) in hoisted {
        let name = name.as_str();
        if !headers::is_known(operation, name) {
            return Some(Refusal::not_implemented(&format!("the query parameter {name}")));
        }
        // Some SDKs sign a header and put it into the URL as well.
        if sent.get(name).is_some_and(|header| header != value) {
            return Some(given_twice(name));
        }
        // Of a body nobody knew.
        if !headers::sums_body(operation, name)
            && let Some(refusal) = headers::value_problem(name, value, owner)
        {
            return Some(refusal);
        }
    }
    None
}

/// Makes them headers of the request, but for checksums of a body: S3 leaves those in a URL alone,
/// and some SDKs put that of an empty body into each, for when it is signed there is none yet.
pub(crate) fn join(operation: Operation, hoisted: HeaderMap, sent: &mut HeaderMap) {
    for (name, value) in hoisted {
        if let Some(name) = name
            && !headers::sums_body(operation, name.as_str())
        {
            sent.insert(name, value);
        }
    }
}
