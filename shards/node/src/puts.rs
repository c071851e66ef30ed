//! Bodies on their way in: begun at the owner's shard, kept there between two pieces.
//!
//! Invariants: pieces go in order; a commit is handed over once and runs to its end; a body whose
//! client is gone, before or after it heard of it, is given up.

use crate::node::{Node, WorkKind};
use crate::shard::{Job, Message};
use crate::shared::Shared;
use bytes::Bytes;
use engine_set::{PutFinish, PutTarget, SetError};
use engine_types::{BucketId, Key, ObjectInfo};
use std::sync::Arc;

/// A body on its way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PutId {
    pub(crate) shard: usize,
    pub(crate) id: u64,
}

/// A body kept on its shard for a client that may be gone: given up unless the client takes it.
struct KeptPut {
    node: Node,
    id: PutId,
    is_taken: bool,
}

impl KeptPut {
    fn new(shared: &Arc<Shared>, id: PutId) -> Self {
        Self { node: Node { shared: Arc::clone(shared) }, id, is_taken: false }
    }

    fn take(mut self) -> PutId {
        self.is_taken = true;
        self.id
    }
}

impl Drop for KeptPut {
    fn drop(&mut self) {
        if !self.is_taken {
            self.node.drop_put(self.id);
        }
    }
}

impl Node {
    /// Starts a body.
    ///
    /// # Errors
    /// As `Member::begin_put`, and `NoSuchBucket`.
    pub async fn begin_put(
        &self,
        bucket: BucketId,
        key: &Key,
        target: PutTarget,
        size_bytes: u64,
    ) -> Result<PutId, SetError> {
        let name = key.clone();
        let kept = self.at_owner_local((bucket, key), WorkKind::Change, move |local, member| {
            let name = name.clone();
            async move {
                let put = member.begin_put(bucket, &name, target, size_bytes).await?;
                // Where the client is gone by now, the answer is dropped, and the body with it.
                Ok(KeptPut::new(&local.shared, local.keep_put(put)))
            }
        });
        Ok(kept.await?.take())
    }

    /// Gives the next bytes of a body.
    ///
    /// # Errors
    /// As `Put::write`; the put is over then.
    pub async fn write_put(&self, id: PutId, pieces: Vec<Bytes>) -> Result<(), SetError> {
        self.run(id.shard, move |local| async move {
            let mut put = local.take_put(id).ok_or(SetError::Unavailable)?;
            for piece in pieces {
                if let Err(error) = put.write(piece).await {
                    local.forget_put(id);
                    return Err(error);
                }
            }
            local.give_put(id, put);
            Ok(())
        })
        .await?
    }

    /// Commits a body.
    ///
    /// # Errors
    /// As `Put::finish`, and `NoSuchBucket`.
    pub async fn finish_put(
        &self,
        bucket: BucketId,
        id: PutId,
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        self.run(id.shard, move |local| async move {
            let put = local.forget_put(id).ok_or(SetError::Unavailable)?;
            let _change = local.begin_change(bucket).ok_or(SetError::NoSuchBucket)?;
            put.finish(finish).await
        })
        .await?
    }

    /// Writes a body that is here whole, in one go.
    ///
    /// # Errors
    /// As `begin_put`, `write_put` and `finish_put`.
    pub async fn put_whole(
        &self,
        (bucket, key): (BucketId, &Key),
        target: PutTarget,
        pieces: Vec<Bytes>,
        finish: PutFinish,
    ) -> Result<ObjectInfo, SetError> {
        let name = key.clone();
        self.at_owner((bucket, key), WorkKind::Change, move |member| {
            let (name, pieces, finish) = (name.clone(), pieces.clone(), finish.clone());
            async move {
                let size_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
                let mut put = member.begin_put(bucket, &name, target, size_bytes).await?;
                for piece in pieces {
                    put.write(piece).await?;
                }
                put.finish(finish).await
            }
        })
        .await
    }

    /// Gives up a body; nobody waits.
    pub fn drop_put(&self, id: PutId) {
        let job: Job = Box::new(move |local| {
            local.forget_put(id);
            Box::pin(std::future::ready(()))
        });
        let Some(sender) = self.shared.senders.get(id.shard) else { return };
        if sender.try_send_reserved(Message::Job(job)).is_err() {
            self.shared.add_orphan(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shards_mailbox::Mailbox;

    const PUT: PutId = PutId { shard: 0, id: 7 };

    #[test]
    fn a_body_that_nobody_takes_is_given_up() {
        let (sender, mut mailbox) = Mailbox::<Message>::new(4);
        let shared = Arc::new(Shared::new(vec![sender]));
        // The client is gone: the answer is dropped where it was to be sent.
        let (reply, answer) = shards_mailbox::reply();
        drop(answer);
        drop(reply.send(KeptPut::new(&shared, PUT)));
        assert!(matches!(mailbox.try_recv(), Some(Message::Job(_))));
        // It is there, and takes it.
        let (reply, answer) = shards_mailbox::reply();
        assert!(reply.send(KeptPut::new(&shared, PUT)).is_ok());
        let kept = futures_util::FutureExt::now_or_never(answer).unwrap().unwrap();
        assert_eq!(kept.take(), PUT);
        assert!(mailbox.try_recv().is_none());
    }

    #[test]
    fn a_body_whose_shard_has_no_room_to_be_told_is_given_up_later() {
        let (sender, mut mailbox) = Mailbox::<Message>::new(2);
        let shared = Arc::new(Shared::new(vec![sender]));
        let node = Node { shared: Arc::clone(&shared) };
        for _ in 0..3 {
            node.drop_put(PUT);
        }
        assert!(shared.take_orphans(1).is_empty());
        assert_eq!(shared.take_orphans(0), [PUT]);
        assert!(shared.take_orphans(0).is_empty());
        assert!(mailbox.try_recv().is_some());
    }
}
