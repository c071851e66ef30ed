//! A small SigV4 signer and an edge over the model store.

#![allow(dead_code, reason = "each test file uses a part of it")]

use gateway_core::model::ModelStore;
use gateway_core::{Gateway, GatewayConfig, Owner};
use gateway_s3::{EdgeConfig, EdgeService, Node, RootCredential, service};
use http::{Request, Response};
use s3s::Body;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

pub const ACCESS: &str = "AKIDEXAMPLE";
pub const SECRET: &str = "secret/key+example";

pub struct TestNode {
    pub public: bool,
}

impl Node for TestNode {
    fn ready(&self) -> bool {
        false
    }
    fn readable(&self) -> bool {
        true
    }
    fn metrics(&self) -> String {
        "basalt_up 1\n".to_owned()
    }
    fn status_json(&self) -> String {
        "{}".to_owned()
    }
    fn metrics_public(&self) -> bool {
        self.public
    }
}

pub struct Server {
    pub store: ModelStore,
    pub credential: RootCredential,
    pub edge: EdgeService,
}

pub fn server() -> Server {
    let store = ModelStore::new(Rc::new(|| 1_700_000_000_000_u64));
    let owner = Owner { id: "owner".to_owned(), display_name: "root".to_owned() };
    let config = GatewayConfig { region: "us-east-1".to_owned(), owner };
    let gateway = Rc::new(Gateway::new(store.clone(), config));
    let credential = RootCredential::new(ACCESS, SECRET);
    let config = EdgeConfig {
        credential: credential.clone(),
        domains: vec!["s3.test".to_owned()],
        request_id_seed: 1,
    };
    let edge = service(gateway, Rc::new(TestNode { public: false }), &config).unwrap();
    Server { store, credential, edge }
}

/// Runs a future that never waits for anything outside.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the future waits for something");
}

pub struct Reply {
    pub response: Response<()>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
    pub fn header(&self, name: &str) -> &str {
        self.response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }
    /// The `Code` element.
    pub fn code(&self) -> &str {
        let tail = self.text().split_once("<Code>").map_or("", |pair| pair.1);
        tail.split_once("</Code>").map_or("", |pair| pair.0)
    }
}

impl Server {
    pub fn send(&self, request: Request<Body>) -> Reply {
        block_on(async {
            let (parts, mut body) = self.edge.call(request).await.into_parts();
            let body = body.store_all_limited(1 << 30).await.unwrap().to_vec();
            Reply { response: Response::from_parts(parts, ()), body }
        })
    }

    pub fn signed(&self, line: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send(Signer::now().request(line, headers, body))
    }
}

/// Who signs, for when and where.
pub struct Signer {
    pub access: &'static str,
    pub secret: &'static str,
    pub region: &'static str,
    pub seconds: u64,
}

impl Signer {
    pub fn now() -> Self {
        #[allow(clippy::disallowed_methods, reason = "s3s compares with the real clock")]
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Self { access: ACCESS, secret: SECRET, region: "us-east-1", seconds: now.as_secs() }
    }

    fn scope(&self) -> String {
        format!("{}/{}/s3/aws4_request", &iso(self.seconds)[..8], self.region)
    }

    fn signature(&self, canonical: &str) -> String {
        let hash = hex(&Sha256::digest(canonical.as_bytes()));
        let date = iso(self.seconds);
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{}\n{hash}", self.scope());
        let mut key = hmac(format!("AWS4{}", self.secret).as_bytes(), &date.as_bytes()[..8]);
        for part in [self.region, "s3", "aws4_request"] {
            key = hmac(&key, part.as_bytes());
        }
        hex(&hmac(&key, text.as_bytes()))
    }

    /// `METHOD /path?query` with its query in canonical order and form, signed in a header.
    pub fn request(&self, line: &str, extra: &[(&str, &str)], body: &[u8]) -> Request<Body> {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut headers: Vec<(String, String)> = vec![
            ("host".to_owned(), "localhost:9000".to_owned()),
            ("x-amz-date".to_owned(), iso(self.seconds)),
            ("x-amz-content-sha256".to_owned(), hex(&Sha256::digest(body))),
            ("content-length".to_owned(), body.len().to_string()),
        ];
        for (name, value) in extra {
            headers.retain(|header| header.0 != *name);
            headers.push(((*name).to_owned(), (*value).to_owned()));
        }
        headers.sort();
        let hash = &headers.iter().find(|header| header.0 == "x-amz-content-sha256").unwrap().1;
        let names: Vec<&str> = headers.iter().map(|header| header.0.as_str()).collect();
        let names = names.join(";");
        let listed: String =
            headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let canonical = format!("{method}\n{path}\n{query}\n{listed}\n{names}\n{hash}");
        let signature = self.signature(&canonical);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.access,
            self.scope()
        );
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let request = request.header("authorization", authorization);
        request.body(Body::from(body.to_vec())).unwrap()
    }

    /// A presigned GET.
    pub fn presigned(&self, path: &str, expires_seconds: u64) -> Request<Body> {
        self.presigned_with(&format!("GET {path}"), "", expires_seconds, b"")
    }

    /// A presigned request; further parameters begin with `&` and come behind `X` in ASCII order.
    pub fn presigned_with(
        &self,
        line: &str,
        more: &str,
        expires_seconds: u64,
        body: &[u8],
    ) -> Request<Body> {
        let (method, path) = line.split_once(' ').unwrap();
        let credential = format!("{}/{}", self.access, self.scope()).replace('/', "%2F");
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={}\
             &X-Amz-Expires={expires_seconds}&X-Amz-SignedHeaders=host{more}",
            iso(self.seconds)
        );
        let canonical =
            format!("{method}\n{path}\n{query}\nhost:localhost:9000\n\nhost\nUNSIGNED-PAYLOAD");
        let uri = format!("{path}?{query}&X-Amz-Signature={}", self.signature(&canonical));
        let request = Request::builder().method(method).uri(uri).header("host", "localhost:9000");
        let request = request.header("content-length", body.len());
        request.body(Body::from(body.to_vec())).unwrap()
    }
}

/// `YYYYMMDDTHHMMSSZ`.
pub fn iso(seconds: u64) -> String {
    let (mut days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut year = 1970;
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", days + 1)
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner: Vec<u8> = block.iter().map(|byte| byte ^ 0x36).chain(text.iter().copied()).collect();
    let inner = Sha256::digest(&inner);
    let outer: Vec<u8> =
        block.iter().map(|byte| byte ^ 0x5c).chain(inner.iter().copied()).collect();
    Sha256::digest(&outer).to_vec()
}
