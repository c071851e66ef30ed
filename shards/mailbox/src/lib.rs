//! Messages between the threads of one node: a bounded mailbox per receiver and one-shot replies.
//!
//! Invariants: a mailbox never grows; its last quarter is kept for senders that must not be
//! refused; a message is received, given back to its sender, or dropped with the mailbox (which
//! cancels the reply it carries); the receiver is woken at most once for each time it went to
//! sleep, however many messages arrive.

mod mailbox;
mod reply;

pub use mailbox::{Full, Mailbox, Receiver, Sender};
pub use reply::{NoReply, ReplyReceiver, ReplySender, reply};
