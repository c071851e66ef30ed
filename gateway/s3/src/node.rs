//! Health, metrics and status: the paths that are no S3.
//!
//! Invariant: metrics and status go to this machine only, unless the operator opened them; health
//! tells an outsider nothing but yes or no.

use crate::domains::Place;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use s3s::Body;
use std::net::SocketAddr;

/// The peer of a request; the HTTP server puts it into the request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// What the edge asks of the node it is part of.
///
/// **Runs on** the gateway thread: the answers come from snapshots, without waiting.
pub trait Node {
    /// Whether the node can serve reads and writes.
    fn ready(&self) -> bool;
    /// Whether it can serve reads.
    fn readable(&self) -> bool;
    /// The metrics in Prometheus's text format.
    fn metrics(&self) -> String;
    /// The status as JSON.
    fn status_json(&self) -> String;
    /// Whether metrics and status go to other machines too.
    fn metrics_public(&self) -> bool;
}

const TEXT: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const JSON: &str = "application/json";

/// Answers a path that is no S3; `None`: it is S3's.
///
/// The paths below `/minio/` are those that load balancers made for MinIO ask; a bucket of that
/// name loses the keys `health/live`, `health/ready`, `health/cluster` and `health/cluster/read`.
pub(crate) fn answer(
    parts: &Parts,
    place: Option<&Place>,
    node: &dyn Node,
) -> Option<Response<Body>> {
    // Under a bucket's own host every path is a key.
    if place.is_some_and(|place| place.virtual_host) {
        return None;
    }
    let path = parts.uri.path();
    let known = path.starts_with("/-/") || path.starts_with("/minio/health/");
    let reads = parts.method == Method::GET || parts.method == Method::HEAD;
    if !known || !reads {
        return None;
    }
    let health = |healthy: bool| {
        let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        Some(plain(status, TEXT, String::new()))
    };
    match path {
        "/-/health/live" | "/minio/health/live" => health(true),
        "/-/health/ready" | "/minio/health/ready" | "/minio/health/cluster" => health(node.ready()),
        "/minio/health/cluster/read" => health(node.readable()),
        "/-/metrics" | "/-/status" if !may_see(parts, node) => {
            let text = "Only for requests from this machine.\n".to_owned();
            Some(plain(StatusCode::FORBIDDEN, TEXT, text))
        }
        "/-/metrics" => Some(plain(StatusCode::OK, PROMETHEUS, node.metrics())),
        "/-/status" => Some(plain(StatusCode::OK, JSON, node.status_json())),
        _ if path.starts_with("/-/") => {
            Some(plain(StatusCode::NOT_FOUND, TEXT, "No such page.\n".to_owned()))
        }
        _ => None,
    }
}

fn may_see(parts: &Parts, node: &dyn Node) -> bool {
    let peer = parts.extensions.get::<Peer>();
    node.metrics_public() || peer.is_some_and(|peer| peer.0.ip().to_canonical().is_loopback())
}

fn plain(status: StatusCode, content_type: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
