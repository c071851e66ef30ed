//! One gateway thread: S3 over HTTP in front of the node's shards.

use super::ServerOptions;
use super::view::NodeView;
use crate::logging;
use crate::signals::Shutdown;
use gateway_core::shards::ShardStore;
use gateway_core::{Gateway, GatewayConfig, Owner};
use gateway_http::{Handler, HttpConfig, Listening};
use gateway_s3::{EdgeConfig, EdgeService, Peer, RootCredential};
use http::{Request, Response};
use hyper::body::Incoming;
use shards_node::{Control, Node};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc;

/// What a gateway thread is made of.
pub struct EdgeParts {
    /// The shards.
    pub node: Node,
    /// The control thread.
    pub control: Control,
    /// The options.
    pub options: ServerOptions,
    /// Who may sign.
    pub credential: RootCredential,
    /// Where to listen.
    pub addresses: Vec<SocketAddr>,
    /// How many gateways share the limits.
    pub gateways: usize,
    /// Which of them this is.
    pub index: usize,
}

struct S3Handler {
    edge: EdgeService,
}

impl Handler for S3Handler {
    type Body = s3s::Body;

    async fn call(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<s3s::Body> {
        let mut request = request.map(s3s::Body::from);
        request.extensions_mut().insert(Peer(peer));
        self.edge.call(request).await
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
        ShardStore::new(parts.node.clone(), parts.control.clone(), shards_executor::wall_ms),
        GatewayConfig { region: options.region.clone(), owner: owner(&parts.node) },
    );
    let view = NodeView::new(parts.node.clone(), options);
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
    let http = HttpConfig {
        listen: parts.addresses.clone(),
        connections_max: (options.limits.connections / parts.gateways).max(1),
        header_timeout: options.timeouts.header,
        drain_timeout: options.timeouts.drain,
        ..HttpConfig::default()
    };
    let (stop_sender, stop) = futures_channel::oneshot::channel();
    shutdown.on_begin(move || {
        _ = stop_sender.send(());
    });
    let failed = listening.clone();
    let told = move |bound: Listening| {
        if !bound.io_uring {
            logging::warn("sockets run on epoll, not on io_uring: slower", &[]);
        }
        _ = listening.send(Ok(bound.addresses));
    };
    let served = gateway_http::serve(&http, told, || S3Handler { edge }, async move {
        _ = stop.await;
    });
    served.unwrap_or_else(|error| {
        _ = failed.send(Err(error.to_string()));
        false
    })
}

/// The one owner: its id is made of the deployment.
fn owner(node: &Node) -> Owner {
    let deployment = node.deployment().map(|id| id.to_string()).unwrap_or_default();
    Owner { id: format!("{deployment}{deployment}"), display_name: "basalt".to_owned() }
}
