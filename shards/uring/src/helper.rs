//! Blocking work off the shard: opening and growing drives.

use futures_channel::oneshot;
use shards_executor::start_thread_on;
use std::io;

/// Runs `body` on a thread of its own and waits for it. Dropping the future lets it go on. The
/// thread runs on these CPUs, or with none given where its starter does.
pub(crate) async fn on_thread<T, F>(name: &str, cpus: &[usize], body: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    start_thread_on(name, cpus, move || {
        // Nobody waits any more: the result ends here.
        let _ = sender.send(body());
    })?;
    receiver.await.map_err(|_| io::Error::other("a helper thread died"))
}
