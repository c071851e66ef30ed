//! The way from any shard to the drives of a set: a call on the same shard, a mailbox otherwise.

use crate::shard::{Message, ShardLocal};
use engine_set::{DriveOutcome, DriveRequest, Peers};
use engine_store::DriveError;
use engine_types::{Position, SetId};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

/// The way to the drives of one set.
#[derive(Clone)]
pub struct NodePeers {
    pub(crate) local: Rc<ShardLocal>,
    pub(crate) set: SetId,
}

type Answer = Pin<Box<dyn Future<Output = DriveOutcome>>>;

impl Peers for NodePeers {
    fn call(
        &self,
        position: Position,
        request: DriveRequest,
    ) -> impl Future<Output = DriveOutcome> + 'static + use<> {
        self.dispatch(position, request)
    }
}

impl NodePeers {
    fn dispatch(&self, position: Position, request: DriveRequest) -> Answer {
        let refused = || -> Answer { Box::pin(std::future::ready(Err(DriveError::Failed))) };
        let Some(shard) = self.local.shared.shard_of(self.set, position) else { return refused() };
        if shard == self.local.shard {
            return match self.local.member(self.set, position) {
                Some(member) => member.serve(request),
                None => refused(),
            };
        }
        let (reply, answer) = shards_mailbox::reply();
        let message = Message::Drive { set: self.set, position, request, reply };
        // Inside a fan-out a full mailbox would wedge the set: the reserve is for these.
        if self.local.shared.senders[shard].try_send_reserved(message).is_err() {
            return refused();
        }
        Box::pin(async move { answer.await.unwrap_or(Err(DriveError::Failed)) })
    }
}
