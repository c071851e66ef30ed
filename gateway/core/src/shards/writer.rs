//! A body on its way in: from the client into the budget, stripe by stripe to the owner's shard.
//!
//! Invariants: a stream keeps at most 64 KiB until it has the slot of a stripe, and gives the
//! slot back when the drives took the stripe; what the client gave lies in the holding, so that a
//! slow client that loses it costs nothing more.

use super::budget::{Holding, Lane};
use super::{ShardStore, md5_of, store_error};
use crate::objects::{BodySize, Finish, StoreError, Writer};
use bytes::Bytes;
use engine_set::{PutFinish, PutTarget};
use engine_types::{BucketId, Key, ObjectInfo};
use shards_node::{Node, PutId};

/// Bodies up to this have no slot; longer ones keep at most so much before they have one.
pub(super) const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// Bodies up to this do not queue behind longer ones.
const SHORT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a body costs beside its slot: its first bytes, and as much in the connection's buffer.
const ENTRY_BYTES: u64 = 2 * SMALL_BYTES_MAX;

/// With so much at hand a stream asks for its slot before it takes more from the client: what a
/// stalled client would leave in the connection's buffers stays unread.
const SLOT_BYTES_MIN: usize = 32 * 1024;

/// A body on its way in.
pub struct ShardWriter {
    node: Node,
    bucket: BucketId,
    key: Key,
    target: PutTarget,
    size_bytes: u64,
    received_bytes: u64,
    sent_bytes: u64,
    holding: Holding,
    has_slot: bool,
    put: Option<PutId>,
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if let Some(put) = self.put {
            self.node.drop_put(put);
        }
    }
}

/// The bytes of a stripe on its way: as received, and as cells with their parity.
fn slot_bytes(node: &Node, stripe_bytes: u64) -> u64 {
    let (_, width, parity) = node.geometry().unwrap_or((1, 1, 0));
    let data = u64::from(width.saturating_sub(parity)).max(1);
    stripe_bytes + stripe_bytes * u64::from(width) / data
}

impl ShardWriter {
    pub(super) async fn begin(
        store: &ShardStore,
        (bucket, key): (BucketId, &Key),
        target: PutTarget,
        size: BodySize,
    ) -> Result<Self, StoreError> {
        let size_bytes = size.bytes;
        let (lane, bytes) = if size_bytes <= SMALL_BYTES_MAX {
            (Lane::Small, size_bytes)
        } else if size_bytes <= SHORT_BYTES_MAX {
            (Lane::ShortEntry, ENTRY_BYTES)
        } else {
            (Lane::LongEntry, ENTRY_BYTES)
        };
        // In one go: whoever had the first and waited for the second would be in the way of all.
        let holding = store.budget.enter(lane, bytes + size.held_back_bytes).await?;
        Ok(Self {
            node: store.node.clone(),
            bucket,
            key: key.clone(),
            target,
            size_bytes,
            received_bytes: 0,
            sent_bytes: 0,
            holding,
            has_slot: false,
            put: None,
        })
    }

    /// The lane of this body's slot.
    fn slot_lane(&self) -> Lane {
        if self.size_bytes <= SHORT_BYTES_MAX { Lane::Short } else { Lane::Long }
    }

    async fn take_slot(&mut self) -> Result<(), StoreError> {
        if self.has_slot || self.size_bytes <= SMALL_BYTES_MAX {
            return Ok(());
        }
        let left = self.size_bytes - self.sent_bytes;
        let stripe_bytes = left.min(self.node.stripe_bytes() as u64);
        let slot = slot_bytes(&self.node, stripe_bytes);
        self.holding.more(self.slot_lane(), slot).await?;
        self.has_slot = true;
        Ok(())
    }

    /// Sends the first bytes at hand, or all if there are fewer, and gives the slot back.
    async fn send(&mut self, wanted: usize) -> Result<(), StoreError> {
        let pieces = self.holding.take(wanted)?;
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        let put = match self.put {
            Some(put) => put,
            None => {
                let begun =
                    self.node.begin_put(self.bucket, &self.key, self.target, self.size_bytes);
                let put = begun.await.map_err(store_error)?;
                self.put = Some(put);
                put
            }
        };
        self.node.write_put(put, pieces).await.map_err(store_error)?;
        self.sent_bytes += bytes as u64;
        self.has_slot = false;
        self.holding.give_back(self.slot_lane());
        Ok(())
    }
}

impl Writer for ShardWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.received_bytes += bytes.len() as u64;
        if self.received_bytes > self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        if self.received_bytes - self.sent_bytes > SMALL_BYTES_MAX {
            self.take_slot().await?;
        }
        let is_last = self.received_bytes == self.size_bytes;
        let mut kept = self.holding.push(bytes, is_last)?;
        let stripe_bytes = self.node.stripe_bytes();
        while kept >= stripe_bytes && self.size_bytes > stripe_bytes as u64 {
            self.send(stripe_bytes).await?;
            kept -= stripe_bytes;
        }
        if kept >= SLOT_BYTES_MIN && !is_last {
            self.take_slot().await?;
        }
        Ok(())
    }

    async fn lost(&self) -> StoreError {
        self.holding.lost().await;
        StoreError::TooSlow
    }

    async fn finish(mut self, finish: Finish) -> Result<ObjectInfo, StoreError> {
        if self.received_bytes != self.size_bytes {
            return Err(StoreError::WrongLength);
        }
        let finish = PutFinish {
            md5: md5_of(&finish.etag)?,
            checksums: finish.checksums,
            attributes: finish.attributes,
            condition: finish.condition,
        };
        if self.put.is_none() {
            let pieces = self.holding.take(usize::MAX)?;
            let place = (self.bucket, &self.key);
            return self
                .node
                .put_whole(place, self.target, pieces, finish)
                .await
                .map_err(store_error);
        }
        if self.sent_bytes < self.size_bytes {
            self.send(usize::MAX).await?;
        }
        // From here on only the server is waited for.
        self.holding.take(0)?;
        let put = self.put.take().ok_or(StoreError::Unavailable)?;
        self.node.finish_put(self.bucket, put, finish).await.map_err(store_error)
    }
}
