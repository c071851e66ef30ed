//! The edge as one function from request to answer.

use crate::answer::{RequestIds, finish};
use crate::auth::RootCredential;
use crate::bodycheck::{Verdict, XML_BYTES_MAX, checked};
use crate::chunks::{Chunks, guarded};
use crate::domains::{DomainError, Domains, Place};
use crate::edge::Edge;
use crate::hoisted;
use crate::node::{self, Node};
use crate::operation::Operation;
use crate::reads::{ReadObject, ReadRoute};
use crate::refusal::Refusal;
use crate::refuse::{Rules, judge};
use gateway_core::objects::Objects;
use gateway_core::{ErrorCode, Gateway};
use http::request::Parts;
use http::{Request, Response};
use s3s::Body;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use std::rc::Rc;
use std::sync::Arc;

/// How one gateway thread's edge is set up. Region and owner are the gateway's.
#[derive(Debug, Clone)]
pub struct EdgeConfig {
    /// Who may sign requests; shared by all threads.
    pub credential: RootCredential,
    /// Domains below which a label names a bucket; none for path-style only.
    pub domains: Vec<String>,
    /// Any number that differs between threads and between starts of the server.
    pub request_id_seed: u64,
}

/// The edge of one gateway thread.
pub struct EdgeService {
    s3: S3Service,
    rules: Rules,
    node: Rc<dyn Node>,
    ids: RequestIds,
}

/// Sets up the edge of the calling thread.
///
/// # Errors
/// `DomainError` names the first configured domain that is none.
pub fn service<S: Objects>(
    gateway: Rc<Gateway<S>>,
    node: Rc<dyn Node>,
    config: &EdgeConfig,
) -> Result<EdgeService, DomainError> {
    let rules = Rules {
        region: gateway.region().to_owned(),
        owner_id: gateway.owner().id.clone(),
        domains: Domains::new(&config.domains)?,
    };
    let mut limits = S3Config::default();
    limits.xml_max_body_size = XML_BYTES_MAX;
    let mut builder = S3ServiceBuilder::new(Edge::new(Rc::clone(&gateway)));
    builder.set_route(ReadRoute::new(gateway));
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(limits))));
    builder.set_auth(config.credential.clone());
    builder.set_host(rules.domains.clone());
    let ids = RequestIds::new(config.request_id_seed);
    Ok(EdgeService { s3: builder.build(), rules, node, ids })
}

impl EdgeService {
    /// Answers one request; a failure is an answer too. The request's extensions hold its `Peer`.
    pub async fn call(&self, request: Request<Body>) -> Response<Body> {
        let request_id = self.ids.next();
        let method = request.method().clone();
        let resource = request.uri().path().to_owned();
        let response = self.answer(request, &resource, &request_id).await;
        finish(response, &method, &resource, &request_id)
    }

    /// Refuses a request for a reason of the server's own.
    pub fn refuse(&self, parts: &Parts, refusal: &Refusal) -> Response<Body> {
        let request_id = self.ids.next();
        let resource = parts.uri.path();
        finish(refusal.response(resource, &request_id), &parts.method, resource, &request_id)
    }

    async fn answer(
        &self,
        request: Request<Body>,
        resource: &str,
        request_id: &str,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        let place = Place::of(&parts, &self.rules.domains);
        if let Some(response) = node::answer(&parts, place.as_ref(), &*self.node) {
            return response;
        }
        let operation = match judge(&parts, &self.rules) {
            Ok((operation, hoisted)) => {
                hoisted::join(operation, hoisted, &mut parts.headers);
                operation
            }
            Err(refusal) => return refusal.response(resource, request_id),
        };
        if let Some(place) = place
            && operation.reads_object()
        {
            parts.extensions.insert(ReadObject { bucket: place.bucket, key: place.key });
        }
        let (body, verdict) = prepared(operation, &parts, body);
        if let Some(refusal) = verdict.get() {
            return refusal.response(resource, request_id);
        }
        let outcome = self.s3.call(Request::from_parts(parts, body)).await;
        if let Some(refusal) = verdict.get() {
            return refusal.response(resource, request_id);
        }
        outcome.unwrap_or_else(|_error| {
            let code = ErrorCode::InternalError;
            Refusal::new(code, code.default_message()).response(resource, request_id)
        })
    }
}

/// The body with the checks around it that s3s leaves out.
fn prepared(operation: Operation, parts: &Parts, body: Body) -> (Body, Verdict) {
    if operation.has_xml_body() {
        return checked(operation, &parts.headers, body);
    }
    let body = match Chunks::of(&parts.headers) {
        Chunks::None => body,
        Chunks::Signed => guarded(body, true),
        Chunks::Unsigned => guarded(body, false),
    };
    (body, Verdict::default())
}
