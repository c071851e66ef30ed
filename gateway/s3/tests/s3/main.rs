//! Requests as bytes, answers as a client reads them: one program, so that what lies below is linked
//! once.
#![allow(clippy::unwrap_used, reason = "a helper of a test may fail it")]

mod common;
mod node;
mod reads;
mod signed;
