//! The S3 protocol edge of one gateway thread: s3s in front of `gateway_core::Gateway`.
//!
//! s3s parses requests, verifies signatures and writes XML; `gateway-core` decides what S3 means.
//! Between the two lies what s3s leaves open: everything it would silently ignore is refused
//! before it sees the request (`refuse`), by allow-lists of query keys and headers.
//!
//! Invariants: a request is either implemented in all of its parts or refused; every answer has
//! an `x-amz-request-id`; all state lives on one thread (`SendWrapper` checks it at run time).

mod answer;
mod auth;
mod body;
mod bodycheck;
mod buckets;
mod chunks;
mod convert;
mod domains;
mod edge;
mod fields;
mod headers;
mod hoisted;
mod listings;
mod node;
mod objects;
mod operation;
mod query;
mod reads;
mod refusal;
mod refuse;
mod service;
mod uploads;

pub use answer::AnsweredCode;
pub use auth::RootCredential;
pub use domains::{DomainError, Domains, Place, Scope};
pub use edge::Edge;
pub use node::{Node, Peer};
pub use operation::Operation;
pub use refusal::Refusal;
pub use refuse::{Rules, refuse};
pub use service::{EdgeConfig, EdgeService, service};
