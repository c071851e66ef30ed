//! An answer that refuses a request, and the XML of all error answers.
//!
//! Invariant: text that a client sent is escaped wherever it is echoed.

use gateway_core::{ErrorCode, S3Failure};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use s3s::Body;
use std::fmt::Write as _;

/// Why a request is refused before s3s sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The S3 error code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// A sentence for the person who reads it.
    pub message: String,
    /// `Region`, for clients that follow it.
    pub region: Option<String>,
    /// Headers that go with it.
    pub headers: Vec<(&'static str, String)>,
}

impl Refusal {
    /// A code of the common table with a message of this case.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code: code.as_str(),
            status: code.status(),
            message: message.into(),
            region: None,
            headers: Vec::new(),
        }
    }

    /// `NotImplemented`, naming what it is.
    #[must_use]
    pub fn not_implemented(what: &str) -> Self {
        Self::new(ErrorCode::NotImplemented, format!("Not implemented here: {what}."))
    }

    /// The answer. `resource` is the path as sent.
    #[must_use]
    pub fn response(&self, resource: &str, request_id: &str) -> Response<Body> {
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{}</Code><Message>{}</Message>",
            self.code,
            escaped(&self.message)
        );
        if let Some(region) = &self.region {
            let _ = write!(xml, "<Region>{}</Region>", escaped(region));
        }
        xml.push_str(&error_tail(resource, request_id));
        let mut response = Response::new(Body::from(xml));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl From<S3Failure> for Refusal {
    fn from(failure: S3Failure) -> Self {
        let mut refusal = Self::new(failure.code, failure.message);
        refusal.headers = failure.headers;
        refusal
    }
}

/// The elements that end every error answer.
pub(crate) fn error_tail(resource: &str, request_id: &str) -> String {
    format!("<Resource>{}</Resource><RequestId>{request_id}</RequestId></Error>", escaped(resource))
}

/// Text for an XML element.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // XML 1.0 has no way to write most control characters.
            _ if letter.is_control() => escaped.push('?'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_escapes_and_names_resource_region_and_request() {
        let mut refusal = Refusal::new(ErrorCode::AuthorizationHeaderMalformed, "a<b & \"c\"\u{1}");
        refusal.region = Some("eu-1".to_owned());
        refusal.headers.push(("X-Amz-Bucket-Region", "eu-1".to_owned()));
        let response = refusal.response("/b/<k>", "0123");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-amz-bucket-region"], "eu-1");
        let body = response.body().bytes().unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>\
            <Code>AuthorizationHeaderMalformed</Code>\
            <Message>a&lt;b &amp; &quot;c&quot;?</Message><Region>eu-1</Region>\
            <Resource>/b/&lt;k&gt;</Resource><RequestId>0123</RequestId></Error>";
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }
}
