//! What the gateways count of requests, all threads in one place, and its Prometheus text.
//!
//! Invariants: counting never waits; a counter only rises. A request is counted when its head is
//! answered: for a GET the time is that to its first byte.

use gateway_core::ErrorCode;
use gateway_s3::{Domains, Place, Scope};
use http::Method;
use http::request::Parts;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use std::array;
use std::fmt::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What kind of operation a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationClass {
    /// GET of an object.
    Get,
    /// HEAD of anything.
    Head,
    /// PUT of an object, copies too.
    Put,
    /// DELETE of an object, or of many.
    Delete,
    /// Listing of buckets or objects.
    List,
    /// Anything of a multipart upload.
    Multipart,
    /// The rest: buckets, their settings, health, metrics.
    Other,
}

const CLASSES: [(OperationClass, &str); 7] = [
    (OperationClass::Get, "get"),
    (OperationClass::Head, "head"),
    (OperationClass::Put, "put"),
    (OperationClass::Delete, "delete"),
    (OperationClass::List, "list"),
    (OperationClass::Multipart, "multipart"),
    (OperationClass::Other, "other"),
];

/// Query keys that make a GET of a bucket or an object something else.
const SETTINGS: [&str; 11] = [
    "acl",
    "cors",
    "encryption",
    "lifecycle",
    "location",
    "object-lock",
    "policy",
    "replication",
    "tagging",
    "versioning",
    "website",
];

impl OperationClass {
    /// The class of a request; `domains` if any are configured.
    pub fn of(parts: &Parts, domains: Option<&Domains>) -> Self {
        let path = parts.uri.path();
        if is_about_node(path) {
            return Self::Other;
        }
        let query = parts.uri.query().unwrap_or_default();
        let has = |name: &str| {
            query.split('&').any(|pair| pair.split('=').next().is_some_and(|key| key == name))
        };
        if has("uploadId") || has("uploads") {
            return Self::Multipart;
        }
        let names_object = match domains {
            Some(domains) => {
                Place::of(parts, domains).is_some_and(|place| place.scope == Scope::Object)
            }
            None => path
                .strip_prefix('/')
                .and_then(|rest| rest.split_once('/'))
                .is_some_and(|(_, key)| !key.is_empty()),
        };
        let is_setting = !query.is_empty() && SETTINGS.iter().any(|name| has(name));
        match parts.method {
            _ if is_setting => Self::Other,
            Method::HEAD => Self::Head,
            Method::GET if names_object => Self::Get,
            Method::GET => Self::List,
            Method::PUT if names_object => Self::Put,
            Method::DELETE if names_object => Self::Delete,
            Method::POST if has("delete") => Self::Delete,
            _ => Self::Other,
        }
    }
}

/// Whether a path is one of health, metrics and status (or a key under a bucket's own host).
pub fn is_about_node(path: &str) -> bool {
    path.starts_with("/-/") || path.starts_with("/minio/health/")
}

/// The first bucket of a histogram ends at 2^4 us.
const FIRST_EXPONENT: u32 = 4;
/// The last one ends at 2^26 us, 67 s; one more has no end.
const LAST_EXPONENT: u32 = 26;
const BUCKETS: usize = (LAST_EXPONENT - FIRST_EXPONENT + 2) as usize;

/// The bucket of a time: the first whose end it does not pass.
fn bucket_of(time_us: u64) -> usize {
    let exponent = u64::BITS - time_us.saturating_sub(1).leading_zeros();
    (exponent.clamp(FIRST_EXPONENT, LAST_EXPONENT + 1) - FIRST_EXPONENT) as usize
}

struct ClassMetrics {
    answered: AtomicU64,
    time_us: AtomicU64,
    buckets: [AtomicU64; BUCKETS],
}

/// The counters.
pub struct RequestMetrics {
    classes: [ClassMetrics; CLASSES.len()],
    /// By code, in the order of `ErrorCode::ALL`; the last is of all other codes.
    errors: Vec<AtomicU64>,
    in_work: AtomicUsize,
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    connections: Arc<AtomicUsize>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            classes: array::from_fn(|_| ClassMetrics {
                answered: AtomicU64::new(0),
                time_us: AtomicU64::new(0),
                buckets: array::from_fn(|_| AtomicU64::new(0)),
            }),
            errors: (0..=ErrorCode::ALL.len()).map(|_| AtomicU64::new(0)).collect(),
            in_work: AtomicUsize::new(0),
            received_bytes: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            connections: Arc::default(),
        }
    }
}

impl RequestMetrics {
    /// Where the HTTP servers count open connections.
    pub fn connections(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.connections)
    }

    /// Requests in work now.
    pub fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// A request was answered, with this S3 error code if it failed.
    pub fn answered(&self, class: OperationClass, code: Option<&str>, time_us: u64) {
        let counters = &self.classes[class as usize];
        counters.answered.fetch_add(1, Ordering::Relaxed);
        counters.time_us.fetch_add(time_us, Ordering::Relaxed);
        counters.buckets[bucket_of(time_us)].fetch_add(1, Ordering::Relaxed);
        if let Some(code) = code {
            let known = ErrorCode::ALL.iter().position(|known| known.as_str() == code);
            self.errors[known.unwrap_or(ErrorCode::ALL.len())].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The text.
    pub fn render(&self, out: &mut String) {
        // Writing to a string does not fail.
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        head(out, "s3_requests_total", "counter", "Requests answered.");
        for ((_, word), counters) in CLASSES.iter().zip(&self.classes) {
            let answered = get(&counters.answered);
            _ = writeln!(out, "basalt_s3_requests_total{{operation=\"{word}\"}} {answered}");
        }
        head(out, "s3_errors_total", "counter", "Requests answered with an S3 error.");
        let codes = ErrorCode::ALL.iter().map(|code| code.as_str()).chain(["other"]);
        for (code, count) in codes.zip(&self.errors) {
            let count = get(count);
            _ = writeln!(out, "basalt_s3_errors_total{{code=\"{code}\"}} {count}");
        }
        self.render_times(out);
        let in_work = self.in_work() as u64;
        let connections = self.connections.load(Ordering::Relaxed) as u64;
        for (name, kind, help, value) in [
            (
                "s3_received_bytes_total",
                "counter",
                "Bytes of bodies in.",
                get(&self.received_bytes),
            ),
            ("s3_sent_bytes_total", "counter", "Bytes of bodies out.", get(&self.sent_bytes)),
            ("s3_requests_in_work", "gauge", "Requests without an answer yet.", in_work),
            ("s3_connections", "gauge", "Connections open.", connections),
        ] {
            head(out, name, kind, help);
            _ = writeln!(out, "basalt_{name} {value}");
        }
    }

    fn render_times(&self, out: &mut String) {
        let name = "s3_request_seconds";
        head(out, name, "histogram", "Time from a request's head to its answer's.");
        for ((_, word), counters) in CLASSES.iter().zip(&self.classes) {
            let mut count = 0;
            for (exponent, bucket) in (FIRST_EXPONENT..).zip(&counters.buckets) {
                count += bucket.load(Ordering::Relaxed);
                let end = if exponent > LAST_EXPONENT {
                    "+Inf".to_owned()
                } else {
                    format!("{}", (1_u64 << exponent) as f64 / 1e6)
                };
                let labels = format!("operation=\"{word}\",le=\"{end}\"");
                _ = writeln!(out, "basalt_{name}_bucket{{{labels}}} {count}");
            }
            let sum = counters.time_us.load(Ordering::Relaxed) as f64 / 1e6;
            _ = writeln!(out, "basalt_{name}_sum{{operation=\"{word}\"}} {sum}");
            _ = writeln!(out, "basalt_{name}_count{{operation=\"{word}\"}} {count}");
        }
    }
}

/// The two lines above a metric.
pub fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string does not fail.
    _ = write!(out, "# HELP basalt_{name} {help}\n# TYPE basalt_{name} {kind}\n");
}

/// A request in work.
pub struct InWork(Arc<RequestMetrics>);

impl InWork {
    /// One more.
    pub fn begin(metrics: &Arc<RequestMetrics>) -> Self {
        metrics.in_work.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(metrics))
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.in_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body whose bytes are counted as they pass.
pub struct Counted<B> {
    inner: B,
    metrics: Arc<RequestMetrics>,
    counter: fn(&RequestMetrics) -> &AtomicU64,
}

fn received_bytes(metrics: &RequestMetrics) -> &AtomicU64 {
    &metrics.received_bytes
}

fn sent_bytes(metrics: &RequestMetrics) -> &AtomicU64 {
    &metrics.sent_bytes
}

impl<B> Counted<B> {
    /// A request's.
    pub fn received(inner: B, metrics: &Arc<RequestMetrics>) -> Self {
        Self { inner, metrics: Arc::clone(metrics), counter: received_bytes }
    }

    /// An answer's.
    pub fn sent(inner: B, metrics: &Arc<RequestMetrics>) -> Self {
        Self { inner, metrics: Arc::clone(metrics), counter: sent_bytes }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(bytes) = frame.data_ref()
        {
            (self.counter)(&self.metrics).fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn class(method: &str, uri: &str, domains: Option<&Domains>) -> OperationClass {
        let request = Request::builder().method(method).uri(uri).header("host", "b.example.com");
        OperationClass::of(&request.body(()).unwrap().into_parts().0, domains)
    }

    #[test]
    fn requests_have_their_class() {
        use OperationClass as Class;
        for (method, uri, expected) in [
            ("GET", "/", Class::List),
            ("GET", "/b", Class::List),
            ("GET", "/b/?list-type=2&prefix=acl", Class::List),
            ("GET", "/b/k", Class::Get),
            ("GET", "/b/k?acl", Class::Other),
            ("GET", "/b?location", Class::Other),
            ("HEAD", "/b/k", Class::Head),
            ("PUT", "/b/a/c?x-id=PutObject", Class::Put),
            ("PUT", "/b", Class::Other),
            ("PUT", "/b/k?partNumber=1&uploadId=x", Class::Multipart),
            ("GET", "/b?uploads", Class::Multipart),
            ("DELETE", "/b/k", Class::Delete),
            ("DELETE", "/b", Class::Other),
            ("POST", "/b?delete", Class::Delete),
            ("GET", "/-/metrics", Class::Other),
            ("GET", "/minio/health/ready", Class::Other),
        ] {
            assert_eq!(class(method, uri, None), expected, "{method} {uri}");
        }
        let domains = Domains::new(&["example.com".to_owned()]).unwrap();
        assert_eq!(class("GET", "/k", Some(&domains)), Class::Get);
        assert_eq!(class("GET", "/", Some(&domains)), Class::List);
    }

    #[test]
    fn times_fall_into_the_bucket_that_ends_at_or_after_them() {
        for (time_us, bucket) in [(0, 0), (16, 0), (17, 1), (32, 1), (33, 2), (1 << 26, 22)] {
            assert_eq!(bucket_of(time_us), bucket, "{time_us}");
        }
        assert_eq!(bucket_of((1 << 26) + 1), BUCKETS - 1);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn what_was_counted_is_shown() {
        let metrics = RequestMetrics::default();
        metrics.answered(OperationClass::Put, None, 20);
        metrics.answered(OperationClass::Put, Some("SlowDown"), 40);
        metrics.answered(OperationClass::Get, Some("NoSuchTagSet"), 1);
        metrics.connections().fetch_add(3, Ordering::Relaxed);
        let mut text = String::new();
        metrics.render(&mut text);
        for line in [
            "basalt_s3_requests_total{operation=\"put\"} 2",
            "basalt_s3_requests_total{operation=\"list\"} 0",
            "basalt_s3_errors_total{code=\"SlowDown\"} 1",
            "basalt_s3_errors_total{code=\"NoSuchKey\"} 0",
            "basalt_s3_errors_total{code=\"other\"} 1",
            "basalt_s3_request_seconds_bucket{operation=\"put\",le=\"0.000016\"} 0",
            "basalt_s3_request_seconds_bucket{operation=\"put\",le=\"0.000032\"} 1",
            "basalt_s3_request_seconds_bucket{operation=\"put\",le=\"+Inf\"} 2",
            "basalt_s3_request_seconds_sum{operation=\"put\"} 0.00006",
            "basalt_s3_request_seconds_count{operation=\"get\"} 1",
            "basalt_s3_connections 3",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
    }
}
