//! A refusal as S3 words it: code, HTTP status, message, and headers that go with it.
//!
//! Invariant: every front end answers errors from this one table, so both say the same.
//! Source: S3 API reference, "List of error codes".

use std::fmt;

macro_rules! error_codes {
    ($($name:ident = $status:literal $message:literal,)+) => {
        /// The S3 error codes this server answers with; the name is the code on the wire.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $(#[doc = $message] $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as the `Code` element has it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// The HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }

            /// The message when nothing more is known.
            #[must_use]
            pub fn default_message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)+
                }
            }
        }
    };
}

error_codes! {
    NotModified = 304 "The object was not modified.",
    AuthorizationHeaderMalformed = 400 "The authorization header that you provided is not valid.",
    AuthorizationQueryParametersError = 400 "The authorization query parameters are not valid.",
    BadDigest = 400 "The Content-MD5 or checksum value that you specified did not match what the server received.",
    EntityTooLarge = 400 "Your proposed upload exceeds the maximum allowed object size.",
    EntityTooSmall = 400 "Your proposed upload is smaller than the minimum allowed object size.",
    IncompleteBody = 400 "You did not provide the number of bytes specified by the Content-Length HTTP header.",
    InvalidArgument = 400 "The specified argument was not valid.",
    InvalidBucketName = 400 "The specified bucket is not valid.",
    InvalidDigest = 400 "The Content-MD5 or checksum value that you specified is not valid.",
    InvalidLocationConstraint = 400 "The specified location (Region) constraint is not valid.",
    InvalidPart = 400 "One or more of the specified parts could not be found. The part might not have been uploaded, or the specified entity tag might not have matched the part's entity tag.",
    InvalidPartOrder = 400 "The list of parts was not in ascending order. The parts list must be specified in order by part number.",
    InvalidRequest = 400 "The request is not valid.",
    InvalidURI = 400 "The specified URI could not be parsed.",
    KeyTooLongError = 400 "Your key is too long.",
    MalformedTrailerError = 400 "The request contained trailing data that was not well-formed or did not conform to our published schema.",
    MalformedXML = 400 "The XML that you provided was not well formed or did not validate against our published schema.",
    MaxMessageLengthExceeded = 400 "Your request was too large.",
    MetadataTooLarge = 400 "Your metadata headers exceed the maximum allowed metadata size.",
    RequestTimeout = 400 "Your socket connection to the server was not read from or written to within the timeout period.",
    XAmzContentSHA256Mismatch = 400 "The provided 'x-amz-content-sha256' header does not match what was computed.",
    AccessDenied = 403 "Access Denied",
    ExpiredToken = 400 "The provided token has expired.",
    InvalidAccessKeyId = 403 "The AWS access key ID that you provided does not exist in our records.",
    RequestTimeTooSkewed = 403 "The difference between the request time and the server's time is too large.",
    SignatureDoesNotMatch = 403 "The request signature that the server calculated does not match the signature that you provided.",
    NoSuchBucket = 404 "The specified bucket does not exist.",
    NoSuchKey = 404 "The specified key does not exist.",
    NoSuchUpload = 404 "The specified multipart upload does not exist. The upload ID might not be valid, or the multipart upload might have been aborted or completed.",
    MethodNotAllowed = 405 "The specified method is not allowed against this resource.",
    BucketAlreadyOwnedByYou = 409 "The bucket that you tried to create already exists, and you own it.",
    BucketNotEmpty = 409 "The bucket that you tried to delete is not empty.",
    ConditionalRequestConflict = 409 "A conflicting operation occurred during the request. Try again.",
    MissingContentLength = 411 "You must provide the Content-Length HTTP header.",
    PreconditionFailed = 412 "At least one of the preconditions that you specified did not hold.",
    InvalidRange = 416 "The requested range is not satisfiable.",
    InvalidPartNumber = 416 "The requested partnumber is not satisfiable.",
    InternalError = 500 "An internal error occurred. Try again.",
    NotImplemented = 501 "A header that you provided implies functionality that is not implemented.",
    ServiceUnavailable = 503 "Service is unable to handle request.",
    SlowDown = 503 "Please reduce your request rate.",
    XMinioStorageFull = 507 "Storage backend has reached its minimum free drive threshold. Please delete a few objects to proceed.",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why a request was refused, ready to be written as an S3 error answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct S3Failure {
    /// The code; the HTTP status is `code.status()`.
    pub code: ErrorCode,
    /// A sentence for the person who reads it.
    pub message: String,
    /// Headers that go with the answer (`ETag` of a 304, `Content-Range` of a 416).
    pub headers: Vec<(&'static str, String)>,
}

impl S3Failure {
    /// The code with its own message.
    #[must_use]
    pub fn new(code: ErrorCode) -> Self {
        Self::with_message(code, code.default_message())
    }

    /// The code with a message of this case.
    #[must_use]
    pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), headers: Vec::new() }
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<ErrorCode> for S3Failure {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_their_status_is_an_answer_other_than_success() {
        for (index, code) in ErrorCode::ALL.iter().enumerate() {
            assert!((304..=507).contains(&code.status()), "{code}");
            assert!(
                !ErrorCode::ALL[index + 1..].iter().any(|other| other.as_str() == code.as_str())
            );
        }
        assert_eq!(ErrorCode::KeyTooLongError.as_str(), "KeyTooLongError");
        assert_eq!(ErrorCode::SlowDown.status(), 503);
    }
}
