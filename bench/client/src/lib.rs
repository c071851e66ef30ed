//! The load generator's S3 client, and its rings.
//!
//! Invariants: everything of a client runs on one thread; memory is taken at the start, a request
//! that goes as usual allocates nothing; nothing of the server is trusted.

pub mod body;
pub mod client;
pub mod drive;
pub mod request;
pub mod response;
pub mod ring;
pub mod sign;
pub mod tls;
mod uring;

pub use body::Signing;
pub use client::{Client, Endpoint, ExchangeError, Handler};
pub use drive::DriveRing;
pub use request::{Method, Request};
pub use response::Head;
pub use ring::Lane;
pub use sign::Credentials;
pub use tls::{Tls, TlsError, Trust};
