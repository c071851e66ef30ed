//! Tests of the gateway over the store in memory, by topic, and what they share.

use crate::api::{
    BodyClaims, BodyError, BodySource, Gateway, GatewayConfig, GetObject, ObjectHead, Owner,
    PutObject, Stored,
};
use crate::failure::{ErrorCode, S3Failure};
use crate::model::ModelStore;
use crate::objects::Body;
use bytes::Bytes;
use engine_types::{Attribute, AttributeKind};
use std::cell::Cell;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

mod buckets;
mod copies;
mod keys;
mod lists;
mod parts;
mod reads;
mod upload_lists;
mod writes;

/// The clock of a new fixture: Sun, 06 Nov 1994 08:49:37 GMT.
const START_MS: u64 = 784_111_777_000;

/// Polls until the future ends. Nothing here waits for anything outside.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// A body in these pieces.
struct Pieces(VecDeque<Result<Bytes, BodyError>>);

impl Pieces {
    fn of(pieces: &[&[u8]]) -> Self {
        Self(pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect())
    }
}

impl BodySource for Pieces {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        self.0.pop_front()
    }
}

/// A gateway with one bucket, named `bucket`.
struct Fixture {
    gateway: Gateway<ModelStore>,
    clock_ms: Rc<Cell<u64>>,
}

impl Fixture {
    fn new() -> Self {
        let clock_ms = Rc::new(Cell::new(START_MS));
        let read = Rc::clone(&clock_ms);
        let store = ModelStore::new(Rc::new(move || read.get()));
        let owner = Owner { id: "id".to_owned(), display_name: "name".to_owned() };
        let config = GatewayConfig { region: "eu-test-1".to_owned(), owner };
        let gateway = Gateway::new(store, config);
        block_on(gateway.create_bucket("bucket", None)).unwrap();
        Self { gateway, clock_ms }
    }

    fn put(&self, key: &str, bytes: &[u8]) -> Stored {
        block_on(self.gateway.put_object(put_request(key, bytes), Pieces::of(&[bytes]))).unwrap()
    }

    fn get(&self, request: GetObject) -> Result<(ObjectHead, Vec<u8>), S3Failure> {
        block_on(async {
            let answer = self.gateway.get_object(request).await?;
            let mut bytes = Vec::new();
            if let Some(mut body) = answer.body {
                while let Some(piece) = body.next().await {
                    bytes.extend_from_slice(&piece?);
                }
            }
            assert_eq!(bytes.len() as u64, answer.head.content_length);
            Ok::<_, S3Failure>((answer.head, bytes))
        })
    }

    fn bytes_of(&self, key: &str) -> Vec<u8> {
        self.get(get_request(key)).unwrap().1
    }
}

fn put_request(key: &str, bytes: &[u8]) -> PutObject {
    PutObject {
        bucket: "bucket".to_owned(),
        key: key.to_owned(),
        claims: claims(bytes),
        ..PutObject::default()
    }
}

fn get_request(key: &str) -> GetObject {
    GetObject { bucket: "bucket".to_owned(), key: key.to_owned(), ..GetObject::default() }
}

/// Claims only the length.
fn claims(bytes: &[u8]) -> BodyClaims {
    BodyClaims { content_length: Some(bytes.len() as u64), ..BodyClaims::default() }
}

fn attribute(kind: AttributeKind, name: &str, value: &str) -> Attribute {
    Attribute { kind, name: name.to_owned(), value: value.to_owned() }
}

fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// The code a future fails with.
fn code_of<T: Debug>(future: impl Future<Output = Result<T, S3Failure>>) -> ErrorCode {
    block_on(future).unwrap_err().code
}
