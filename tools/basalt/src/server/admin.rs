//! `/-/admin/`: what an operator changes on a running server.
//!
//! Invariants: only requests from this machine with the root credentials are heard, and comparing
//! these tells nothing by its duration; no S3 operation is ever taken for one of these, because a
//! POST to a key has a query.

use super::ServerOptions;
use crate::logging;
use crate::storage::REPLACE_PATH;
use gateway_core::encoding::base64;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::{Bytes, Incoming};
use s3s::Body;
use serde::Deserialize;
use shards_node::{Node, ReplaceError};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;

const PREFIX: &str = "/-/admin/";
/// A path has at most 4096 bytes; escaped it may take six times as many.
const BODY_BYTES_MAX: usize = 32 << 10;

/// What `REPLACE_PATH` is sent.
#[derive(Debug, Deserialize)]
struct Replace {
    path: PathBuf,
}

/// Whether a request is for `answer` and not for S3.
pub fn is_admin<B>(request: &Request<B>) -> bool {
    let uri = request.uri();
    request.method() == Method::POST && uri.path().starts_with(PREFIX) && uri.query().is_none()
}

/// Answers a request that `is_admin`, in JSON.
pub async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    node: &Node,
    options: &ServerOptions,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Some(refusal) = refusal(&parts.headers, peer, options) {
        logging::warn("an administration request was refused", &[("peer", &peer)]);
        return refusal;
    }
    match parts.uri.path() {
        REPLACE_PATH => replace(node, body).await,
        _ => error(StatusCode::NOT_FOUND, "no such administration call"),
    }
}

async fn replace(node: &Node, body: Incoming) -> Response<Body> {
    let Some(bytes) = read(body).await else {
        return error(StatusCode::BAD_REQUEST, "the body is cut off or too long");
    };
    let wanted: Replace = match serde_json::from_slice(&bytes) {
        Ok(wanted) => wanted,
        Err(fault) => {
            let text = format!("the body is not {{\"path\": \"...\"}}: {fault}");
            return error(StatusCode::BAD_REQUEST, &text);
        }
    };
    match node.replace_drive(wanted.path).await {
        Ok(uuid) => said(StatusCode::OK, "uuid", &uuid),
        Err(fault) => error(status_of(&fault), &fault.to_string()),
    }
}

fn status_of(fault: &ReplaceError) -> StatusCode {
    match fault {
        ReplaceError::Unknown(_) => StatusCode::NOT_FOUND,
        ReplaceError::Refused(_) => StatusCode::CONFLICT,
        ReplaceError::Busy(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Why a request is not heard, if it is not.
fn refusal(
    headers: &HeaderMap,
    peer: SocketAddr,
    options: &ServerOptions,
) -> Option<Response<Body>> {
    // As a dual-stack socket shows it, an IPv4 peer is `::ffff:127.0.0.1`.
    if !peer.ip().to_canonical().is_loopback() {
        return Some(error(StatusCode::FORBIDDEN, "only for requests from this machine"));
    }
    if !is_root(headers, &options.access_key, options.secret_key.expose()) {
        let mut response = error(StatusCode::UNAUTHORIZED, "the root user and password are needed");
        let challenge = HeaderValue::from_static("Basic realm=\"basalt\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return Some(response);
    }
    None
}

fn is_root(headers: &HeaderMap, user: &str, password: &str) -> bool {
    let given = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or("");
    let Some((scheme, token)) = given.split_once(' ') else { return false };
    let expected = base64(format!("{user}:{password}").as_bytes());
    scheme.eq_ignore_ascii_case("basic") && is_same(token.trim().as_bytes(), expected.as_bytes())
}

/// Compares in a time that depends on the length of the expected bytes only.
fn is_same(given: &[u8], expected: &[u8]) -> bool {
    let mut difference = u8::from(given.len() != expected.len());
    for (index, byte) in expected.iter().enumerate() {
        difference |= byte ^ given.get(index).copied().unwrap_or(0);
    }
    std::hint::black_box(difference) == 0
}

/// A small body; `None` where it is cut off or too long.
async fn read<B: hyper::body::Body<Data = Bytes>>(body: B) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let Ok(data) = frame.ok()?.into_data() else { continue };
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return None;
        }
        bytes.extend_from_slice(&data);
    }
    Some(bytes)
}

fn error(status: StatusCode, text: &str) -> Response<Body> {
    said(status, "error", text)
}

fn said(status: StatusCode, name: &str, text: &str) -> Response<Body> {
    let mut object = serde_json::Map::new();
    object.insert(name.to_owned(), text.into());
    let mut response = Response::new(Body::from(serde_json::Value::Object(object).to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, resolve};
    use crate::secret::Secret;
    use crate::server::credentials::Credentials;
    use std::task::{Context, Poll, Waker};

    fn options() -> ServerOptions {
        let keys = Credentials {
            access_key: "admin".to_owned(),
            secret_key: Secret::new("hunter2-hunter2".to_owned()),
        };
        ServerOptions::new(&resolve(&Sources::default()).unwrap(), Vec::new(), keys)
    }

    fn status(authorization: Option<&str>, peer: &str) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        let refused = refusal(&headers, peer.parse().unwrap(), &options());
        refused.map(|response| response.status())
    }

    #[test]
    fn only_root_on_this_machine_is_heard() {
        let right = format!("Basic {}", base64(b"admin:hunter2-hunter2"));
        for peer in ["127.0.0.1:5", "[::1]:5", "[::ffff:127.0.0.1]:5"] {
            assert_eq!(status(Some(&right), peer), None, "{peer}");
        }
        for peer in ["10.0.0.1:5", "[::ffff:10.0.0.1]:5", "[2001:db8::1]:5"] {
            assert_eq!(status(Some(&right), peer), Some(StatusCode::FORBIDDEN), "{peer}");
        }
        assert_eq!(status(Some(&right.replace("Basic", "basic")), "127.0.0.1:5"), None);
        let token = |text: &str| format!("Basic {}", base64(text.as_bytes()));
        let wrong = [
            token("admin:hunter2-hunter3"),
            token("admin:hunter2-hunter"),
            token("admin:hunter2-hunter22"),
            token("Admin:hunter2-hunter2"),
            token(""),
            right.replace("Basic", "Bearer"),
            "Basic".to_owned(),
            "Basic ".to_owned(),
        ];
        for wrong in wrong {
            let found = status(Some(&wrong), "127.0.0.1:5");
            assert_eq!(found, Some(StatusCode::UNAUTHORIZED), "{wrong}");
        }
        assert_eq!(status(None, "127.0.0.1:5"), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn no_request_of_s3_is_taken() {
        let is_taken = |method: Method, uri: &str| {
            is_admin(&Request::builder().method(method).uri(uri).body(()).unwrap())
        };
        assert!(is_taken(Method::POST, REPLACE_PATH));
        assert!(!is_taken(Method::GET, REPLACE_PATH));
        assert!(!is_taken(Method::PUT, REPLACE_PATH));
        assert!(!is_taken(Method::POST, "/-/admin/drives/replace?uploads"));
        assert!(!is_taken(Method::POST, "/-/administer"));
    }

    #[test]
    fn bodies_have_a_limit() {
        let read_now = |text: String| {
            let mut reading = Box::pin(read(Body::from(text)));
            match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(read) => read,
                Poll::Pending => panic!("a body that is here whole"),
            }
        };
        assert_eq!(read_now("{}".to_owned()), Some(b"{}".to_vec()));
        assert_eq!(read_now(String::new()), Some(Vec::new()));
        assert_eq!(read_now("x".repeat(BODY_BYTES_MAX)).map(|b| b.len()), Some(BODY_BYTES_MAX));
        assert_eq!(read_now("x".repeat(BODY_BYTES_MAX + 1)), None);
    }

    #[test]
    fn failures_have_their_status() {
        let text = String::new;
        assert_eq!(status_of(&ReplaceError::Unknown(text())), StatusCode::NOT_FOUND);
        assert_eq!(status_of(&ReplaceError::Refused(text())), StatusCode::CONFLICT);
        assert_eq!(status_of(&ReplaceError::Busy(text())), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(status_of(&ReplaceError::Failed(text())), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
