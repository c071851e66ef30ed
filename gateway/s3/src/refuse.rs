//! The filter in front of s3s: refuses whatever would be silently ignored, or judged too mildly.

use crate::auth;
use crate::domains::{Domains, Place, Scope};
use crate::headers;
use crate::hoisted;
use crate::operation::{Operation, operation_of};
use crate::query::Query;
use crate::refusal::Refusal;
use gateway_core::ErrorCode;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::request::Parts;

/// What the filter knows of this server.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The region that signatures must name.
    pub region: String,
    /// The owner of all buckets, for `x-amz-expected-bucket-owner`.
    pub owner_id: String,
    /// Domains whose labels name buckets.
    pub domains: Domains,
}

/// Judges a request by its head. `None`: s3s may have it.
#[must_use]
pub fn refuse(parts: &Parts, rules: &Rules) -> Option<Refusal> {
    judge(parts, rules).err()
}

/// The operation of a request that s3s may have, and what headers its URL has.
pub(crate) fn judge(parts: &Parts, rules: &Rules) -> Result<(Operation, HeaderMap), Refusal> {
    let code = ErrorCode::InvalidURI;
    let Some(place) = Place::of(parts, &rules.domains) else {
        return Err(Refusal::new(code, code.default_message()));
    };
    if let Some(refusal) = headers::expectation_problem(&parts.headers) {
        return Err(refusal);
    }
    let query = Query::parse(parts.uri.query());
    if let Some(refusal) = auth::problem(&parts.headers, &query, &rules.region) {
        return Err(refusal);
    }
    if is_form(parts) {
        return Err(Refusal::not_implemented("an upload by an HTML form"));
    }
    let hoisted = hoisted::of(&query)?;
    let copies = parts.headers.contains_key("x-amz-copy-source");
    let operation = operation_of(&parts.method, place.scope, &query, &hoisted, copies)?;
    debug_assert!(place.scope != Scope::Root || operation == Operation::ListBuckets);
    let (sent, owner) = (&parts.headers, &rules.owner_id);
    let problem = headers::problem(operation, sent, owner)
        .or_else(|| hoisted::problem(operation, &hoisted, sent, owner));
    match problem {
        Some(refusal) => Err(refusal),
        None => Ok((operation, hoisted)),
    }
}

/// s3s reads any POST of this type as a form, whatever the query says.
fn is_form(parts: &Parts) -> bool {
    const FORM: &[u8] = b"multipart/form-data";
    // By its bytes: s3s takes parameters that are no ASCII, too.
    let mut types = parts.headers.get_all(CONTENT_TYPE).iter();
    let is_form = |value: &HeaderValue| {
        let start = value.as_bytes().trim_ascii_start().get(..FORM.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(FORM))
    };
    parts.method == http::Method::POST && types.any(is_form)
}

#[cfg(test)]
#[path = "refuse_tests.rs"]
mod tests;
