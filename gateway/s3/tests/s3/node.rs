//! Paths that are no S3.

use crate::common::{Reply, Server, server};
use gateway_s3::Peer;
use http::Request;
use s3s::Body;

fn get(server: &Server, path: &str, host: &str, peer: Option<&str>) -> Reply {
    let mut request =
        Request::builder().uri(path).header("host", host).body(Body::empty()).unwrap();
    if let Some(peer) = peer {
        request.extensions_mut().insert(Peer(peer.parse().unwrap()));
    }
    server.send(request)
}

#[test]
fn health_needs_no_signature_and_tells_yes_or_no() {
    let server = server();
    for (path, status) in [
        ("/-/health/live", 200),
        ("/minio/health/live", 200),
        ("/-/health/ready", 503),
        ("/minio/health/ready", 503),
        ("/minio/health/cluster", 503),
        ("/minio/health/cluster/read", 200),
        ("/-/nothing", 404),
        ("/minio/health/other", 403),
    ] {
        let reply = get(&server, path, "localhost", Some("192.0.2.1:1"));
        assert_eq!(reply.status(), status, "{path}");
        assert_eq!(reply.header("x-amz-request-id").len(), 16);
    }
    // Under a bucket's host the same path is a key.
    let reply = get(&server, "/-/health/live", "bkt.s3.test", None);
    assert_eq!((reply.status(), reply.code()), (403, "AccessDenied"));
}

#[test]
fn metrics_and_status_stay_on_this_machine() {
    let server = server();
    for peer in [None, Some("192.0.2.1:1"), Some("[2001:db8::1]:1")] {
        for path in ["/-/metrics", "/-/status"] {
            assert_eq!(get(&server, path, "localhost", peer).status(), 403, "{path} {peer:?}");
        }
    }
    for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        let reply = get(&server, "/-/metrics", "localhost", Some(peer));
        assert_eq!((reply.status(), reply.text()), (200, "basalt_up 1\n"));
        assert_eq!(get(&server, "/-/status", "localhost", Some(peer)).text(), "{}");
    }
}
