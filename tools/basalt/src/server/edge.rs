//! One gateway thread: S3 over HTTP in front of the node's shards.

pub mod metrics;
#[cfg(feature = "injected-spin")]
mod spin;

use super::ServerOptions;
use super::chosen::Chosen;
use super::view::NodeView;
use crate::logging;
use crate::signals::Shutdown;
use gateway_core::shards::ShardStore;
use gateway_core::shards::budget::MemoryBudget;
use gateway_core::{ErrorCode, Gateway, GatewayConfig, Owner};
use gateway_http::{Handler, HttpConfig, Listening};
use gateway_s3::{AnsweredCode, Domains, EdgeConfig, EdgeService, Peer, Refusal, RootCredential};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use metrics::{Counted, InWork, OperationClass, RequestMetrics};
use shards_node::{Control, Node};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, mpsc};

/// What a gateway thread is made of.
pub struct EdgeParts {
    /// The shards.
    pub node: Node,
    /// The control thread.
    pub control: Control,
    /// The options.
    pub options: ServerOptions,
    /// The memory for bodies, of all gateways.
    pub budget: MemoryBudget,
    /// What is counted, over all gateways.
    pub metrics: Arc<RequestMetrics>,
    /// Who may sign.
    pub credential: RootCredential,
    /// Where to listen.
    pub addresses: Vec<SocketAddr>,
    /// The drive I/O in use.
    pub driver: &'static str,
    /// What was made of the hardware.
    pub chosen: Arc<Chosen>,
    /// Which of them this is.
    pub index: usize,
}

struct S3Handler {
    edge: EdgeService,
    node: Node,
    options: ServerOptions,
    metrics: Arc<RequestMetrics>,
    /// `None` without any: hosts need not be looked at.
    domains: Option<Domains>,
}

impl Handler for S3Handler {
    type Body = Counted<s3s::Body>;

    async fn call(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Self::Body> {
        if super::admin::is_admin(&request) {
            let answer = super::admin::answer(request, peer, &self.node, &self.options).await;
            return answer.map(|body| Counted::sent(body, &self.metrics));
        }
        let started_us = shards_executor::now_us();
        #[cfg(feature = "injected-spin")]
        spin::spin();
        let (parts, body) = request.into_parts();
        // Whoever looks at the node takes no place of those who use it.
        let is_of_users = !metrics::is_about_node(parts.uri.path());
        let in_work = is_of_users.then(|| InWork::begin(&self.metrics));
        let class = OperationClass::of(&parts, self.domains.as_ref());
        let response = if is_of_users && self.is_full() {
            let message = "Too many requests are in work (`limits.requests`).";
            self.edge.refuse(&parts, &Refusal::new(ErrorCode::SlowDown, message))
        } else {
            self.serve(Request::from_parts(parts, body), peer).await
        };
        drop(in_work);
        let time_us = shards_executor::now_us().saturating_sub(started_us);
        let code = response.extensions().get::<AnsweredCode>();
        self.metrics.answered(class, code.map(|code| code.0.as_str()), time_us);
        response.map(|body| Counted::sent(body, &self.metrics))
    }
}

impl S3Handler {
    async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<s3s::Body> {
        let mut request = request.map(|body| {
            if body.is_end_stream() {
                s3s::Body::from(body)
            } else {
                s3s::Body::http_body(Counted::received(body, &self.metrics))
            }
        });
        request.extensions_mut().insert(Peer(peer));
        self.edge.call(request).await
    }

    /// Whether more requests are in work than may be.
    fn is_full(&self) -> bool {
        self.metrics.in_work() > self.options.limits.requests.unwrap_or(usize::MAX)
    }
}

/// Serves on the calling thread; `listening` learns the addresses bound, or why there are none.
/// Gives whether every request was answered before the deadline.
pub fn serve(
    parts: EdgeParts,
    shutdown: Shutdown,
    listening: mpsc::Sender<Result<Vec<SocketAddr>, String>>,
) -> bool {
    let options = &parts.options;
    let gateway = Gateway::new(
        ShardStore::new(
            parts.node.clone(),
            parts.control.clone(),
            parts.budget.clone(),
            shards_executor::wall_ms,
        ),
        GatewayConfig { region: options.region.clone(), owner: owner(&parts.node) },
    );
    let counted = (Arc::clone(&parts.metrics), parts.budget.clone());
    let (driver, chosen) = (parts.driver, Arc::clone(&parts.chosen));
    let view = NodeView::new(parts.node.clone(), counted, (options, driver), chosen);
    let config = EdgeConfig {
        credential: parts.credential.clone(),
        domains: options.domains.clone(),
        request_id_seed: shards_executor::wall_ms() << 8 | parts.index as u64,
    };
    let edge = match gateway_s3::service(Rc::new(gateway), Rc::new(view), &config) {
        Ok(edge) => edge,
        Err(error) => {
            _ = listening.send(Err(error.to_string()));
            return false;
        }
    };
    let handler = S3Handler {
        node: parts.node.clone(),
        options: parts.options.clone(),
        edge,
        metrics: Arc::clone(&parts.metrics),
        // The service has just taken the same names.
        domains: Domains::new(&options.domains).ok().filter(|_| !options.domains.is_empty()),
    };
    let http = http_config(&parts);
    let (stop_sender, stop) = futures_channel::oneshot::channel();
    shutdown.on_begin(move || {
        _ = stop_sender.send(());
    });
    let (failed, is_first) = (listening.clone(), parts.index == 0);
    let told = move |bound: Listening| {
        // Once for all gateways.
        if !bound.io_uring && is_first {
            logging::warn("sockets run on epoll, not on io_uring, which is slower", &[]);
        }
        _ = listening.send(Ok(bound.addresses));
    };
    let served = gateway_http::serve(&http, told, || handler, async move {
        _ = stop.await;
    });
    served.unwrap_or_else(|error| {
        _ = failed.send(Err(error.to_string()));
        false
    })
}

fn http_config(parts: &EdgeParts) -> HttpConfig {
    let options = &parts.options;
    HttpConfig {
        listen: parts.addresses.clone(),
        connections_max: options.limits.connections,
        header_timeout: options.timeouts.header,
        idle_timeout: options.timeouts.idle,
        write_timeout: options.timeouts.idle,
        pressed: parts.budget.pressed(),
        open: parts.metrics.connections(),
        drain_timeout: options.timeouts.drain,
        ..HttpConfig::default()
    }
}

/// The one owner: its id is made of the deployment.
fn owner(node: &Node) -> Owner {
    let deployment = node.deployment().map(|id| id.to_string()).unwrap_or_default();
    Owner { id: format!("{deployment}{deployment}"), display_name: "basalt".to_owned() }
}
