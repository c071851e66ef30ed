//! Reads and listings over a node's sets.
//!
//! Invariants: pages of two views never go together; a listing is whole or there is none; a stripe
//! is asked for when the call is made, not when its future is polled.

use crate::node::{Node, NodeMember, WorkKind, serving_member};
use crate::shard::{Job, Message};
use bytes::Bytes;
use engine_set::{SetConfig, SetError, SetListEntry, SetListPage, SetListQuery, SetUpload, Source};
use engine_types::{BucketId, Key, Position, SetId, UploadId};
use futures_util::future::join_all;
use std::future::Future;

/// Tries of a listing, each under one view.
const LIST_TRIES: usize = 4;

impl Node {
    /// Reads bytes of one stripe of a run, at a member of its set; asked for at once.
    pub fn read_stripe(
        &self,
        (set, position): (SetId, Position),
        source: Source,
        offset: u64,
        len: usize,
    ) -> impl Future<Output = Result<Vec<Bytes>, SetError>> + 'static + use<> {
        let (reply, answer) = shards_mailbox::reply();
        let job: Job = Box::new(move |local| {
            Box::pin(async move {
                let outcome = match serving_member(&local, set, position, WorkKind::Read).await {
                    Ok(member) => member.read_stripe(&source, offset, len).await,
                    Err(_) => Err(SetError::NotOwner),
                };
                _ = reply.send(outcome);
            })
        });
        let sent = match self.shared.shard_of(set, position) {
            Some(shard) => self.shared.senders[shard].try_send(Message::Job(job)).is_ok(),
            None => false,
        };
        async move {
            if !sent {
                return Err(SetError::Busy);
            }
            answer.await.unwrap_or(Err(SetError::Unavailable))
        }
    }

    /// An active member of a key's set, the owner first.
    #[must_use]
    pub fn reader_of(&self, bucket: BucketId, key: &Key) -> Option<(SetId, Position)> {
        let set = self.set_of(bucket, key).ok()?;
        let order = self.shared.config(set).ok()?.order(bucket, key.as_bytes());
        Some((set, SetConfig::owner(&order, self.shared.view(set).active)?))
    }

    /// Object bytes of a full stripe.
    #[must_use]
    pub fn stripe_bytes(&self) -> usize {
        let config = self.shared.config(SetId(0)).ok();
        config.map_or(1 << 20, |config| config.geometry.stripe_bytes() as usize)
    }

    /// Lists objects of a bucket over all sets.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
    ) -> Result<SetListPage, SetError> {
        let mut outcome = Err(SetError::Unavailable);
        for _ in 0..LIST_TRIES {
            outcome = self.list_once(bucket, query).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    async fn list_once(
        &self,
        bucket: BucketId,
        query: &SetListQuery,
    ) -> Result<SetListPage, SetError> {
        let pages = self.at_all_leaders(|| {
            let query = query.clone();
            move |member: NodeMember| async move { member.list(bucket, &query).await }
        });
        let mut merged = SetListPage::default();
        let mut cut: Option<Vec<u8>> = None;
        for page in pages.await? {
            if page.truncated
                && let Some(last) = page.entries.last()
            {
                let last = last.sort_key().to_vec();
                cut = Some(cut.map_or(last.clone(), |cut| cut.min(last)));
            }
            merged.entries.extend(page.entries);
        }
        merged.entries.sort_by(|a, b| a.sort_key().cmp(b.sort_key()));
        merged.entries.dedup_by(|a, b| a.sort_key() == b.sort_key());
        // Behind the end of a cut page others may know more than it does.
        if let Some(cut) = cut {
            merged.truncated = true;
            merged.entries.retain(|entry: &SetListEntry| entry.sort_key() <= cut.as_slice());
        }
        if merged.entries.len() > query.entries_max {
            merged.entries.truncate(query.entries_max);
            merged.truncated = true;
        }
        Ok(merged)
    }

    /// Lists uploads of a bucket over all sets, from a key (and an upload of it) on.
    ///
    /// # Errors
    /// `Unavailable` rather than a page with holes.
    pub async fn list_uploads(
        &self,
        bucket: BucketId,
        prefix: &str,
        start: &str,
        start_upload: Option<UploadId>,
        uploads_max: usize,
    ) -> Result<(Vec<SetUpload>, bool), SetError> {
        let mut pages = Err(SetError::Unavailable);
        for _ in 0..LIST_TRIES {
            let asked = self.at_all_leaders(|| {
                let (prefix, start) = (prefix.as_bytes().to_vec(), start.as_bytes().to_vec());
                move |member: NodeMember| async move {
                    member.list_uploads(bucket, &prefix, uploads_max, (&start, start_upload)).await
                }
            });
            pages = asked.await;
            if pages.is_ok() {
                break;
            }
        }
        let mut uploads: Vec<SetUpload> = Vec::new();
        let mut truncated = false;
        for (page, more) in pages? {
            uploads.extend(page);
            truncated |= more;
        }
        uploads.sort_by(|a, b| (a.key.as_bytes(), a.upload).cmp(&(b.key.as_bytes(), b.upload)));
        truncated |= uploads.len() > uploads_max;
        uploads.truncate(uploads_max);
        Ok((uploads, truncated))
    }

    /// Runs the same work at every active member of every set.
    async fn at_all_leaders<R, F, Fut>(
        &self,
        mut work: impl FnMut() -> F,
    ) -> Result<Vec<R>, SetError>
    where
        R: Send + 'static,
        F: FnOnce(NodeMember) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, SetError>> + 'static,
    {
        let (layout, _) = self.shared.layout.get().ok_or(SetError::Unavailable)?;
        let mut calls = Vec::new();
        for set in (0..layout.set_count).map(SetId) {
            let view = self.shared.view(set);
            if !view.serving {
                return Err(SetError::Unavailable);
            }
            for position in view.active.iter() {
                let shard = self.shared.shard_of(set, position).ok_or(SetError::Unavailable)?;
                let (work, number) = (work(), view.number);
                calls.push(self.run(shard, move |local| async move {
                    let member = serving_member(&local, set, position, WorkKind::Read).await?;
                    let outcome = work(member.clone()).await;
                    // Under another view others lead: pages of two views leave holes (rule 18).
                    let now = member.installed();
                    if now.number != number || !now.serving {
                        return Err(SetError::Unavailable);
                    }
                    outcome
                }));
            }
        }
        join_all(calls).await.into_iter().map(|outcome| outcome?).collect()
    }
}

#[cfg(test)]
#[path = "reads_tests.rs"]
mod tests;
