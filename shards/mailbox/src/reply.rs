//! The answer to one message.

use futures_channel::oneshot;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The other side dropped its end without an answer: it ended, or dropped the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other thread dropped the request without an answer")]
pub struct NoReply;

/// A fresh pair. Needs no capacity anywhere, so that an answer is never refused.
#[must_use]
pub fn reply<T>() -> (ReplySender<T>, ReplyReceiver<T>) {
    let (sender, receiver) = oneshot::channel();
    (ReplySender(sender), ReplyReceiver(receiver))
}

/// Where the answer goes. **Runs on** any thread.
#[derive(Debug)]
pub struct ReplySender<T>(oneshot::Sender<T>);

impl<T> ReplySender<T> {
    /// Answers.
    ///
    /// # Errors
    /// Gives the answer back if nobody waits for it any more.
    pub fn send(self, answer: T) -> Result<(), T> {
        self.0.send(answer)
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.is_canceled()
    }
}

/// Waits for the answer, on whatever executor polls it. Dropping it abandons the answer.
#[derive(Debug)]
pub struct ReplyReceiver<T>(oneshot::Receiver<T>);

impl<T> Future for ReplyReceiver<T> {
    type Output = Result<T, NoReply>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.map_err(|_| NoReply))
    }
}
