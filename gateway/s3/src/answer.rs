//! What every answer has, whoever made it: request id, server name, and whole error documents.
//!
//! Invariant: an answer to HEAD, and a 304, has no body.

use crate::refusal::{error_tail, escaped};
use gateway_core::ErrorCode;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue, SERVER};
use http::{Method, Response, StatusCode};
use s3s::Body;
use std::cell::Cell;

/// Makes request ids: unique on this thread, and scattered so that ids of threads do not meet.
#[derive(Debug)]
pub(crate) struct RequestIds {
    next: Cell<u64>,
}

impl RequestIds {
    pub(crate) fn new(seed: u64) -> Self {
        Self { next: Cell::new(seed) }
    }

    /// The next id: 16 hexadecimal digits.
    pub(crate) fn next(&self) -> String {
        let count = self.next.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.next.set(count);
        // A bijection (the finisher of splitmix64), so that no id comes twice.
        let mixed = (count ^ (count >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{:016X}", mixed ^ (mixed >> 31))
    }
}

/// The S3 error code of an answer, in its extensions: for whoever counts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredCode(pub String);

/// The code of an error document.
fn code_in(body: &Body) -> Option<String> {
    let bytes = body.bytes()?;
    let (_, behind) = std::str::from_utf8(&bytes).ok()?.split_once("<Code>")?;
    Some(behind.split_once("</Code>")?.0.to_owned())
}

/// Completes an answer.
pub(crate) fn finish(
    mut response: Response<Body>,
    method: &Method,
    resource: &str,
    request_id: &str,
) -> Response<Body> {
    let failed = response.status().as_u16() >= 300;
    if response.status().as_u16() >= 400
        && let Some(code) = code_in(response.body())
    {
        response.extensions_mut().insert(AnsweredCode(code));
    }
    if response.status() == StatusCode::NOT_MODIFIED {
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    } else if failed && *method == Method::HEAD {
        *response.body_mut() = Body::empty();
    } else if failed && let Some(xml) = completed(&response, resource, request_id) {
        *response.body_mut() = Body::from(xml);
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert("x-amz-request-id", value);
    }
    headers.insert(SERVER, HeaderValue::from_static("basalt"));
    response
}

/// s3s's error document with the elements it leaves out; `None`: it is none, or is complete.
fn completed(response: &Response<Body>, resource: &str, request_id: &str) -> Option<String> {
    let bytes = response.body().bytes()?;
    let xml = std::str::from_utf8(&bytes).ok()?;
    let head = xml.strip_suffix("</Error>")?;
    if head.ends_with("</RequestId>") {
        return None;
    }
    let mut whole = head.to_owned();
    if !head.contains("<Message>") {
        let (_, code) = head.split_once("<Code>")?;
        let (code, _) = code.split_once("</Code>")?;
        let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
        let message = known.map_or("The request failed.", |known| known.default_message());
        whole.push_str("<Message>");
        whole.push_str(&escaped(message));
        whole.push_str("</Message>");
    }
    if let Some(size) = size_behind(response) {
        whole.push_str("<ActualObjectSize>");
        whole.push_str(size);
        whole.push_str("</ActualObjectSize>");
    }
    whole.push_str(&error_tail(resource, request_id));
    Some(whole)
}

/// The size of an object that a range lies behind: clients that ask for a range of all they read
/// tell an empty object by it. Source: S3 API reference, "GetObject", the error `InvalidRange`.
fn size_behind(response: &Response<Body>) -> Option<&str> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range
        .strip_prefix("bytes */")
        .filter(|_| response.status() == StatusCode::RANGE_NOT_SATISFIABLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(xml: &str) -> Response<Body> {
        let mut response = Response::new(Body::from(xml.to_owned()));
        *response.status_mut() = StatusCode::FORBIDDEN;
        response
    }

    fn text(response: &Response<Body>) -> String {
        String::from_utf8(response.body().bytes().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn error_documents_get_message_resource_and_id() {
        let response = failed("<Error><Code>SignatureDoesNotMatch</Code></Error>");
        let response = finish(response, &Method::GET, "/b/k&", "ID");
        let text = text(&response);
        assert!(text.contains("<Message>The request signature"), "{text}");
        let tail = "<Resource>/b/k&amp;</Resource><RequestId>ID</RequestId></Error>";
        assert!(text.ends_with(tail), "{text}");
        assert_eq!(response.headers()["x-amz-request-id"], "ID");
        assert_eq!(response.headers()["server"], "basalt");
        let code = AnsweredCode("SignatureDoesNotMatch".to_owned());
        assert_eq!(response.extensions().get(), Some(&code));
    }

    #[test]
    fn head_and_not_modified_have_no_body() {
        let response = failed("<Error><Code>NoSuchKey</Code></Error>");
        let response = finish(response, &Method::HEAD, "/", "ID");
        assert_eq!(text(&response), "");
        let code = AnsweredCode("NoSuchKey".to_owned());
        assert_eq!(response.extensions().get(), Some(&code));
        let mut response = failed("<Error></Error>");
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        assert_eq!(text(&finish(response, &Method::GET, "/", "ID")), "");
    }

    #[test]
    fn ids_differ() {
        let ids = RequestIds::new(7);
        let (first, second) = (ids.next(), ids.next());
        assert_ne!(first, second);
        assert_eq!(first.len(), 16);
        assert_ne!(RequestIds::new(8).next(), first);
    }
}
