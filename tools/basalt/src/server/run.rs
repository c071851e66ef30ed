//! Starts shards and gateways, serves until the drain is over.

use super::{ServerError, ServerOptions};
use crate::signals::Shutdown;

/// Serves until `shutdown` begins, then drains for at most `options.timeouts.drain`.
///
/// Once it listens it calls `dev::announce`, and `Notify::ready`.
pub fn run(options: ServerOptions, shutdown: Shutdown) -> Result<(), ServerError> {
    let _ = (options, shutdown);
    Err(ServerError::Failed("the server is being wired".to_owned()))
}
