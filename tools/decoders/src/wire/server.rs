//! The edge over a store in memory with a bucket, an object, and an upload with one part; and what
//! must hold of every answer.

use super::signer::{ACCESS, SECRET};
use super::{BUCKET, CONTENT, DOMAIN, KEY, OWNER, REGION, UPLOAD_ID, UPLOAD_KEY};
use bytes::Bytes;
use futures_util::Stream;
use gateway_core::model::{ModelBody, ModelStore};
use gateway_core::objects::Body as _;
use gateway_core::{
    BodyClaims, BodyError, BodySource, CreateUpload, Gateway, GatewayConfig, GetObject, Owner,
    PutObject, S3Failure, UploadPart,
};
use gateway_s3::{EdgeConfig, EdgeService, Node, RootCredential, service};
use http::request::Parts;
use http::{HeaderMap, Method, Request};
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Far above what a body in pieces of one byte needs.
const POLLS_MAX: u32 = 1 << 20;
const ANSWER_BYTES_MAX: usize = 1 << 24;
/// The wall clock of the store.
pub(crate) const NOW_MS: u64 = 1_700_000_000_000;

/// Runs a future that waits for nothing outside.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("the answer waits for something");
}

/// `CONTENT` as a body on its way in.
struct Whole(Option<Bytes>);

impl BodySource for Whole {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.0.take().map(Ok)
    }
}

fn content() -> (BodyClaims, Whole) {
    let content_length = Some(CONTENT.len() as u64);
    let claims = BodyClaims { content_length, ..BodyClaims::default() };
    (claims, Whole(Some(Bytes::from_static(CONTENT))))
}

/// The store and the semantics over it.
pub(crate) struct Store {
    pub(crate) model: ModelStore,
    pub(crate) gateway: Rc<Gateway<ModelStore>>,
    /// The ETag of the upload's part 1.
    pub(crate) part_etag: String,
}

impl Store {
    pub(crate) fn new() -> Self {
        let model = ModelStore::new(Rc::new(|| NOW_MS));
        let owner = Owner { id: OWNER.to_owned(), display_name: "root".to_owned() };
        let config = GatewayConfig { region: REGION.to_owned(), owner };
        let gateway = Rc::new(Gateway::new(model.clone(), config));
        let part_etag = block_on(fill(&gateway)).expect("the store takes what tests need");
        Self { model, gateway, part_etag }
    }

    /// The bytes of an object; `None` where there is none.
    pub(crate) fn get(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        let asked = GetObject { bucket, key, ..GetObject::default() };
        let found = block_on(self.gateway.get_object(asked)).ok()?;
        Some(found.body.map(whole).unwrap_or_default())
    }
}

/// Puts the object and the upload into their bucket. Gives the part's ETag.
async fn fill(gateway: &Gateway<ModelStore>) -> Result<String, S3Failure> {
    gateway.create_bucket(BUCKET, None).await?;
    let (claims, body) = content();
    let (bucket, key) = (BUCKET.to_owned(), KEY.to_owned());
    gateway.put_object(PutObject { bucket, key, claims, ..PutObject::default() }, body).await?;
    let (bucket, key) = (BUCKET.to_owned(), UPLOAD_KEY.to_owned());
    let create = CreateUpload { bucket, key, ..CreateUpload::default() };
    let upload_id = gateway.create_upload(create).await?.upload_id;
    assert_eq!(upload_id, UPLOAD_ID, "the first upload of the store in memory");
    let (claims, body) = content();
    let (bucket, key) = (BUCKET.to_owned(), UPLOAD_KEY.to_owned());
    let part = UploadPart { bucket, key, upload_id, part_number: 1, claims };
    Ok(gateway.upload_part(part, body).await?.etag)
}

/// All bytes of an object's body.
pub(crate) fn whole(mut body: ModelBody) -> Vec<u8> {
    block_on(async {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece.expect("the store in memory reads what it has"));
        }
        bytes
    })
}

struct Quiet;

impl Node for Quiet {
    fn ready(&self) -> bool {
        true
    }

    fn readable(&self) -> bool {
        true
    }

    fn metrics(&self) -> String {
        String::new()
    }

    fn status_json(&self) -> String {
        "{}".to_owned()
    }

    fn metrics_public(&self) -> bool {
        false
    }
}

/// The edge over a store.
pub(crate) struct Server {
    pub(crate) store: Store,
    edge: EdgeService,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Whether the path is one of health, metrics or status, and not S3's.
pub(crate) fn is_page(path: &str) -> bool {
    path.starts_with("/-/") || path.starts_with("/minio/health/")
}

impl Server {
    pub(crate) fn new() -> Self {
        let store = Store::new();
        let config = EdgeConfig {
            credential: RootCredential::new(ACCESS, SECRET),
            domains: vec![DOMAIN.to_owned()],
            request_id_seed: 1,
        };
        let edge = service(Rc::clone(&store.gateway), Rc::new(Quiet), &config);
        Self { store, edge: edge.expect("a domain") }
    }

    /// Sends a request; its body comes in pieces of so many bytes, 0 for all at once.
    pub(crate) fn send(&self, parts: Parts, body: &[u8], piece_bytes: u8) -> Reply {
        let (method, page) = (parts.method.clone(), is_page(parts.uri.path()));
        let request = Request::from_parts(parts, pieces(body, piece_bytes));
        let reply = block_on(async {
            let (head, mut body) = self.edge.call(request).await.into_parts();
            match body.store_all_limited(ANSWER_BYTES_MAX).await {
                Ok(bytes) => Reply {
                    status: head.status.as_u16(),
                    headers: head.headers,
                    body: bytes.to_vec(),
                },
                Err(error) => panic!("the answer breaks off: {error}"),
            }
        });
        if !page {
            reply.check(&method);
        }
        reply
    }
}

impl Reply {
    /// What holds of every answer of S3.
    fn check(&self, method: &Method) {
        let text = String::from_utf8_lossy(&self.body);
        assert!((200..600).contains(&self.status), "status {}", self.status);
        assert_ne!(self.status, 500, "an error that nobody foresaw: {text}");
        assert!(self.headers.contains_key("x-amz-request-id"), "no request id");
        if *method == Method::HEAD || self.status == 304 {
            assert!(self.body.is_empty(), "a body where there is none: {text}");
            return;
        }
        if let Some(length) = self.headers.get("content-length") {
            assert_eq!(length.as_bytes(), self.body.len().to_string().as_bytes());
        }
        if self.status >= 400 {
            let whole = text.contains("<Code>") && text.ends_with("</RequestId></Error>");
            assert!(whole, "an error without its document: {text}");
        }
    }
}

fn pieces(body: &[u8], piece_bytes: u8) -> Body {
    if piece_bytes == 0 {
        return Body::from(body.to_vec());
    }
    let rest = Bytes::copy_from_slice(body);
    let stream: DynByteStream = Box::pin(Pieces { rest, piece_bytes: piece_bytes.into() });
    Body::from(stream)
}

/// A body of known length, in pieces.
struct Pieces {
    rest: Bytes,
    piece_bytes: usize,
}

impl Stream for Pieces {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let bytes = this.piece_bytes.min(this.rest.len());
        Poll::Ready(Some(Ok(this.rest.split_to(bytes))))
    }
}

impl ByteStream for Pieces {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(self.rest.len())
    }
}
