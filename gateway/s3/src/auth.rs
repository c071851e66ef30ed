//! Who signs, and what of a signature s3s 0.14.1 leaves unchecked.
//!
//! s3s verifies the signature itself, the clock (15 minutes), the expiry of a presigned URL and
//! the payload's hash. It does not check the region, the algorithm's name, that `host` and all
//! `x-amz-*` headers are signed, nor the bounds of `X-Amz-Expires`; it accepts version 2
//! signatures and the service `sts`; and it answers dates of no form with a code of its own. All
//! of that is refused here. Source: S3 API reference, "Authenticating Requests (AWS Signature
//! Version 4)".

use crate::query::Query;
use crate::refusal::Refusal;
use gateway_core::{ErrorCode, date};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The longest life of a presigned URL: a week.
const EXPIRES_SECONDS_MAX: u64 = 604_800;

/// The one key pair of the server; clones share it, on every thread.
#[derive(Clone)]
pub struct RootCredential {
    pair: Arc<RwLock<(String, SecretKey)>>,
}

impl RootCredential {
    /// A key pair.
    #[must_use]
    pub fn new(access_key: &str, secret_key: &str) -> Self {
        let pair = (access_key.to_owned(), SecretKey::from(secret_key));
        Self { pair: Arc::new(RwLock::new(pair)) }
    }

    /// Puts another key pair in its place: requests that begin later are judged by it.
    pub fn replace(&self, access_key: &str, secret_key: &str) {
        let mut pair = self.pair.write().unwrap_or_else(PoisonError::into_inner);
        *pair = (access_key.to_owned(), SecretKey::from(secret_key));
    }

    fn secret_of(&self, access_key: &str) -> Option<SecretKey> {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        (pair.0 == access_key).then(|| pair.1.clone())
    }
}

impl fmt::Debug for RootCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("RootCredential(..)")
    }
}

#[async_trait::async_trait]
impl S3Auth for RootCredential {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.secret_of(access_key).ok_or_else(|| {
            s3_error!(
                InvalidAccessKeyId,
                "The AWS access key ID that you provided does not exist in our records."
            )
        })
    }
}

/// Why a request's signature is refused, before it is verified.
pub(crate) fn problem(headers: &HeaderMap, query: &Query, region: &str) -> Option<Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let header = given.next();
    let presigned = query.iter().any(|(name, _)| is_presign_key(name));
    if given.next().is_some() || (header.is_some() && presigned) {
        let message = "Only one auth mechanism allowed.";
        return Some(Refusal::new(ErrorCode::InvalidArgument, message));
    }
    if query.has("Signature") || query.has("AWSAccessKeyId") {
        return Some(unsupported());
    }
    if presigned {
        return presigned_problem(headers, query, region);
    }
    header.and_then(|value| header_problem(headers, value.to_str().unwrap_or_default(), region))
}

fn is_presign_key(name: &str) -> bool {
    matches!(
        name,
        "X-Amz-Algorithm"
            | "X-Amz-Credential"
            | "X-Amz-Date"
            | "X-Amz-Expires"
            | "X-Amz-SignedHeaders"
            | "X-Amz-Signature"
    )
}

fn unsupported() -> Refusal {
    let message = "The authorization mechanism you have provided is not supported. \
                   Please use AWS4-HMAC-SHA256.";
    Refusal::new(ErrorCode::InvalidRequest, message)
}

fn header_problem(headers: &HeaderMap, value: &str, region: &str) -> Option<Refusal> {
    let fields = match value.split_once(char::is_whitespace) {
        Some((ALGORITHM, fields)) => fields,
        _ => return Some(unsupported()),
    };
    let field = |wanted: &str| {
        let mut pairs = fields.split(',').filter_map(|field| field.trim().split_once('='));
        pairs.find(|(name, _)| *name == wanted).map(|(_, value)| value)
    };
    let code = ErrorCode::AuthorizationHeaderMalformed;
    let (Some(credential), Some(signed), Some(_)) =
        (field("Credential"), field("SignedHeaders"), field("Signature"))
    else {
        let message = "The authorization header requires Credential, SignedHeaders and Signature.";
        return Some(Refusal::new(code, message));
    };
    credential_problem(code, credential, region)
        .or_else(|| date_problem(headers, credential))
        .or_else(|| unsigned(headers, signed, false))
}

/// Judges when a request was signed. s3s must not see other bytes than digits in a date: where
/// arithmetic is checked, it panics on them.
fn date_problem(headers: &HeaderMap, credential: &str) -> Option<Refusal> {
    let time = headers.get("x-amz-date").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if date::parse_signed(time).is_none() {
        let message = "AWS authentication requires a valid x-amz-date header.";
        return Some(Refusal::new(ErrorCode::AccessDenied, message));
    }
    if credential.split('/').nth(1) != time.get(..8) {
        let message = "The date of the credential is not that of x-amz-date.";
        return Some(Refusal::new(ErrorCode::AuthorizationHeaderMalformed, message));
    }
    None
}

fn presigned_problem(headers: &HeaderMap, query: &Query, region: &str) -> Option<Refusal> {
    let code = ErrorCode::AuthorizationQueryParametersError;
    let refuse = |message: &str| Some(Refusal::new(code, message));
    let (Some(algorithm), Some(credential), Some(time), Some(expires), Some(signed), Some(_)) = (
        query.get("X-Amz-Algorithm"),
        query.get("X-Amz-Credential"),
        query.get("X-Amz-Date"),
        query.get("X-Amz-Expires"),
        query.get("X-Amz-SignedHeaders"),
        query.get("X-Amz-Signature"),
    ) else {
        return refuse(
            "Query-string authentication version 4 requires the X-Amz-Algorithm, \
             X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and \
             X-Amz-Expires parameters.",
        );
    };
    if algorithm != ALGORITHM {
        return refuse("X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\".");
    }
    if date::parse_signed(time).is_none() {
        return refuse("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"");
    }
    if let Some(message) = expires_problem(expires) {
        return refuse(message);
    }
    if let Some(refusal) = credential_problem(code, credential, region) {
        return Some(refusal);
    }
    if credential.split('/').nth(1) != time.get(..8) {
        return refuse("The date of X-Amz-Credential is not that of X-Amz-Date.");
    }
    unsigned(headers, signed, true)
}

fn expires_problem(expires: &str) -> Option<&'static str> {
    if expires.is_empty() || !expires.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some("X-Amz-Expires should be a number of seconds.");
    }
    match expires.parse::<u64>() {
        Ok(1..=EXPIRES_SECONDS_MAX) => None,
        Ok(0) => Some("X-Amz-Expires must be at least 1 second."),
        // Or more than any integer holds.
        _ => Some("X-Amz-Expires must be at most a week (604800 seconds)."),
    }
}

/// Judges `key/date/region/service/aws4_request`.
fn credential_problem(code: ErrorCode, credential: &str, region: &str) -> Option<Refusal> {
    let fields: Vec<&str> = credential.split('/').collect();
    let [_key, _date, given, service, "aws4_request"] = fields[..] else {
        let message = "The credential is malformed; it must be \
                       key/yyyymmdd/region/s3/aws4_request.";
        return Some(Refusal::new(code, message));
    };
    if given != region {
        let message = format!(
            "The authorization header is malformed; the region '{given}' is wrong; expecting '{region}'"
        );
        let mut refusal = Refusal::new(code, message);
        refusal.region = Some(region.to_owned());
        refusal.headers.push(("x-amz-bucket-region", region.to_owned()));
        return Some(refusal);
    }
    if service != "s3" {
        let message = format!("The credential's service '{service}' is wrong; expecting 's3'.");
        return Some(Refusal::new(code, message));
    }
    None
}

/// Every header that changes what a request means must be signed.
fn unsigned(headers: &HeaderMap, signed: &str, presigned: bool) -> Option<Refusal> {
    let is_signed = |name: &str| signed.split(';').any(|other| other == name);
    let optional = |name: &str| {
        // The hash of a presigned URL's body is not known when the URL is signed.
        name == "x-amz-user-agent" || (presigned && name == "x-amz-content-sha256")
    };
    let unsigned = |name: &str| name.starts_with("x-amz-") && !optional(name) && !is_signed(name);
    let found = headers.keys().map(http::HeaderName::as_str).find(|name| unsigned(name));
    let name = if is_signed("host") { found? } else { "host" };
    let message =
        format!("There were headers present in the request which were not signed: {name}");
    Some(Refusal::new(ErrorCode::AccessDenied, message))
}
