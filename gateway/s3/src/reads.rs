//! GetObject and HeadObject, as a route of our own behind s3s's check of signatures.
//!
//! s3s 0.14.1 refuses ranges and conditions that S3 ignores: several ranges, other units, odd
//! dates, lists of ETags. They cannot be taken away before s3s sees the request, for clients sign
//! them. s3s calls a route after it has verified the signature and before it reads any of them.
//!
//! Invariants: only a request that the filter marked with `ReadObject` comes here, and only if it
//! is signed; what a range or a condition means is `gateway-core`'s to say.

use crate::body::blob;
use crate::convert::{insert, object_headers, to_s3};
use crate::edge::{Request, Shared, here};
use crate::fields;
use crate::query::Query;
use gateway_core::objects::Objects;
use gateway_core::{ErrorCode, Gateway, ObjectHead, S3Failure, date, digest};
use http::{Extensions, HeaderMap, Method, StatusCode, Uri};
use s3s::route::S3Route;
use s3s::{Body, S3Response, S3Result};
use send_wrapper::SendWrapper;
use std::rc::Rc;

/// Marks a request as a read of this object; goes into its extensions.
#[derive(Debug, Clone)]
pub(crate) struct ReadObject {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// Answers reads of objects.
pub(crate) struct ReadRoute<S: Objects> {
    gateway: Shared<S>,
}

impl<S: Objects> ReadRoute<S> {
    /// A route of the thread that calls this.
    pub(crate) fn new(gateway: Rc<Gateway<S>>) -> Self {
        Self { gateway: SendWrapper::new(gateway) }
    }
}

/// The trait's own `check_access` refuses requests without a signature.
#[async_trait::async_trait]
impl<S: Objects> S3Route for ReadRoute<S> {
    fn is_match(
        &self,
        _method: &Method,
        _uri: &Uri,
        _headers: &HeaderMap,
        extensions: &mut Extensions,
    ) -> bool {
        extensions.get::<ReadObject>().is_some()
    }

    async fn call(&self, request: Request<Body>) -> S3Result<S3Response<Body>> {
        here(read(self.gateway.clone(), request)).await
    }
}

async fn read<S: Objects>(
    gateway: Shared<S>,
    request: Request<Body>,
) -> S3Result<S3Response<Body>> {
    let Request { method, uri, headers, mut extensions, .. } = request;
    let Some(ReadObject { bucket, key }) = extensions.remove::<ReadObject>() else {
        return Err(to_s3(S3Failure::new(ErrorCode::InternalError)));
    };
    let asked = fields::read(bucket, key, part_number(&uri)?, &headers);
    if method == Method::HEAD {
        let head = gateway.head_object(asked).await.map_err(to_s3)?;
        return Ok(answer(&head, Body::empty(), &uri));
    }
    let found = gateway.get_object(asked).await.map_err(to_s3)?;
    let length = found.head.content_length;
    let body = found.body.map_or_else(Body::empty, |body| Body::from(blob(body, length)));
    Ok(answer(&found.head, body, &uri))
}

/// `partNumber`; its bounds are judged with the object.
fn part_number(uri: &Uri) -> S3Result<Option<i64>> {
    let query = Query::parse(uri.query());
    let Some(text) = query.get("partNumber") else { return Ok(None) };
    match text.parse::<i64>() {
        Ok(number) => Ok(Some(number)),
        Err(_) => {
            let message = "Part number must be an integer between 1 and 10000, inclusive";
            Err(to_s3(S3Failure::with_message(ErrorCode::InvalidArgument, message)))
        }
    }
}

fn answer(head: &ObjectHead, body: Body, uri: &Uri) -> S3Response<Body> {
    let mut headers = object_headers(&head.info, uri);
    let mut set = |name: &str, value: &str| insert(&mut headers, name, value);
    set("accept-ranges", "bytes");
    set("content-length", &head.content_length.to_string());
    set("etag", &format!("\"{}\"", head.info.etag));
    set("last-modified", &date::format(head.info.modified_ms));
    if let Some(range) = head.content_range {
        set("content-range", &range.to_string());
    }
    if let Some(count) = head.parts_count {
        set("x-amz-mp-parts-count", &count.to_string());
    }
    for checksum in &head.checksums {
        set(digest::header_name(checksum.kind), &checksum.text);
        set("x-amz-checksum-type", checksum.checksum_type.as_str());
    }
    let mut response = S3Response::with_headers(body, headers);
    response.status = head.partial.then_some(StatusCode::PARTIAL_CONTENT);
    response
}
