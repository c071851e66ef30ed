//! The control thread: it alone changes the bucket table, one change after the other.
//!
//! Invariants: a table is durable before it is installed, and installed on all threads before the
//! change is answered; a bucket is removed only after every shard has drained it and it was found
//! empty; a deletion cut short is finished or undone as soon as the table can be read (rule 15).

use crate::node::{Node, WorkKind};
use bytes::Bytes;
use engine_set::{PutFinish, PutTarget, SetError, SetListQuery};
use engine_types::{BucketId, Condition, Key};
use futures_util::future::{Either, select};
use shards_control::{BucketEntry, BucketState, BucketTable, ControlLog, TableError};
use shards_executor::{Executor, Handle, ParkDriver};
use shards_mailbox::{Mailbox, Receiver, ReplySender, Sender};
use std::pin::pin;

const TABLE: &str = "control/buckets";

/// How long the table stays unread before it is tried again.
const RELOAD_US: u64 = 500_000;

/// Why a change of the control documents failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The table refused it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Objects or uploads are in the bucket.
    #[error("the bucket is not empty")]
    NotEmpty,
    /// It could not be committed now.
    #[error(transparent)]
    Set(#[from] SetError),
}

enum Request {
    Create(String, u64, ReplySender<Result<BucketEntry, ControlError>>),
    Delete(String, ReplySender<Result<(), ControlError>>),
    Stop,
}

/// The way to the control thread.
#[derive(Clone)]
pub struct Control {
    sender: Sender<Request>,
}

impl Control {
    /// Starts the control thread, on the node's `control_cpus`. `told` hears how the first reading
    /// of the table went; where it failed, reading is tried again and again, and `told` hears once
    /// more when it succeeded.
    ///
    /// # Errors
    /// Where the host refuses the thread.
    pub fn start(
        node: Node,
        told: impl FnMut(Result<(), ControlError>) + Send + 'static,
    ) -> std::io::Result<(Self, shards_executor::PinnedThread<()>)> {
        let (sender, mailbox) = Mailbox::<Request>::new(1024);
        let cpus = node.shared.control_cpus.clone();
        let thread = shards_executor::start_thread_on("basalt-control", &cpus, move || {
            let mut executor = Executor::new(ParkDriver::new());
            let handle = executor.handle();
            let tables = Tables { log: SystemLog { node: node.clone() }, node };
            executor.run(tables.serve(mailbox, &handle, told));
        })?;
        Ok((Self { sender }, thread))
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// `Table(Exists)`, or that it could not be committed.
    pub async fn create(&self, name: &str, created_ms: u64) -> Result<BucketEntry, ControlError> {
        let (reply, answer) = shards_mailbox::reply();
        let request = Request::Create(name.to_owned(), created_ms, reply);
        self.sender.try_send(request).map_err(|_| SetError::Busy)?;
        answer.await.map_err(|_| SetError::Unavailable)?
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// `Table(Missing)`, `NotEmpty`, or that it could not be committed.
    pub async fn delete(&self, name: &str) -> Result<(), ControlError> {
        let (reply, answer) = shards_mailbox::reply();
        let request = Request::Delete(name.to_owned(), reply);
        self.sender.try_send(request).map_err(|_| SetError::Busy)?;
        answer.await.map_err(|_| SetError::Unavailable)?
    }

    /// Ends the control thread.
    pub fn stop(&self) {
        _ = self.sender.try_send_reserved(Request::Stop);
    }
}

/// Documents as objects of the system bucket.
pub(crate) struct SystemLog {
    pub node: Node,
}

impl SystemLog {
    fn key(name: &str) -> Result<Key, SetError> {
        Key::new(name).map_err(|_| SetError::Unavailable)
    }
}

impl ControlLog for SystemLog {
    type Error = SetError;

    async fn read(&self, name: &str) -> Result<Option<(Vec<u8>, String)>, SetError> {
        let key = Self::key(name)?;
        let wanted = key.clone();
        let found = self
            .node
            .at_owner((BucketId::SYSTEM, &key), WorkKind::Read, move |member| {
                let wanted = wanted.clone();
                async move { member.find(BucketId::SYSTEM, &wanted).await }
            })
            .await;
        let found = match found {
            Err(SetError::NoSuchKey) => return Ok(None),
            other => other?,
        };
        let etag = found.record.etag.text();
        if let Some(inline) = found.inline {
            return Ok(Some((inline.to_vec(), etag)));
        }
        let source = found.source().ok_or(SetError::Unavailable)?;
        let reader = self.node.reader_of(BucketId::SYSTEM, &key).ok_or(SetError::Unavailable)?;
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < source.run_bytes {
            let stripe = source.geometry.stripe_bytes();
            let offset = bytes.len() as u64;
            let len = stripe.min(source.run_bytes - offset) as usize;
            for piece in self.node.read_stripe(reader, source.clone(), offset, len).await? {
                bytes.extend_from_slice(&piece);
            }
        }
        Ok(Some((bytes, etag)))
    }

    async fn propose(
        &self,
        name: &str,
        from: Option<String>,
        document: Vec<u8>,
    ) -> Result<bool, SetError> {
        let key = Self::key(name)?;
        // The version token is an ETag; a sum of the document is as good as an MD5 of it.
        let mut md5 = [0; 16];
        md5[..8].copy_from_slice(&engine_format::crc64(&document).to_le_bytes());
        md5[8..].copy_from_slice(&(document.len() as u64).to_le_bytes());
        let finish = PutFinish {
            md5,
            checksums: Vec::new(),
            attributes: Vec::new(),
            condition: from.map_or(Condition::Absent, Condition::Matches),
        };
        let target = PutTarget::Object;
        let pieces = vec![Bytes::from(document)];
        let place = (BucketId::SYSTEM, &key);
        match self.node.put_whole(place, target, pieces, finish).await {
            Ok(_) => Ok(true),
            Err(SetError::ConditionFailed | SetError::NoSuchKey) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

struct Tables {
    log: SystemLog,
    node: Node,
}

impl Tables {
    /// Answers requests until told to stop, and reads the table until that succeeds.
    async fn serve(
        self,
        mut mailbox: Receiver<Request>,
        handle: &Handle,
        mut told: impl FnMut(Result<(), ControlError>),
    ) {
        let first = self.load().await;
        let mut is_loaded = first.is_ok();
        told(first);
        loop {
            let request = if is_loaded {
                mailbox.recv().await
            } else {
                let pause = handle.sleep_us(RELOAD_US);
                match select(pin!(mailbox.recv()), pause).await {
                    Either::Left((request, _)) => request,
                    Either::Right(_) => {
                        is_loaded = self.load().await.is_ok();
                        if is_loaded {
                            told(Ok(()));
                        }
                        continue;
                    }
                }
            };
            match request {
                Some(Request::Create(name, created_ms, reply)) => {
                    _ = reply.send(self.create(&name, created_ms).await);
                }
                Some(Request::Delete(name, reply)) => {
                    let outcome = self.delete(&name).await;
                    // The bucket may have been left half deleted: loading ends that.
                    is_loaded &= !matches!(outcome, Err(ControlError::Set(_)));
                    _ = reply.send(outcome);
                }
                Some(Request::Stop) | None => break,
            }
        }
    }

    /// Reads the table and ends deletions that were cut short.
    async fn load(&self) -> Result<(), ControlError> {
        let key = SystemLog::key(TABLE)?;
        // A read would wait for drives that may not come for long; nobody waits for the start.
        if !self.node.serves(BucketId::SYSTEM, &key) {
            return Err(SetError::Unavailable.into());
        }
        let (table, _) = self.read().await?;
        self.node.install_buckets(table.clone());
        let cut_short: Vec<String> = table
            .buckets
            .iter()
            .filter(|(_, bucket)| bucket.state == BucketState::Deleting)
            .map(|(name, _)| name.clone())
            .collect();
        for name in cut_short {
            self.remove_or_revert(&name).await.or_else(|error| match error {
                ControlError::NotEmpty => Ok(()),
                other => Err(other),
            })?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<(BucketTable, Option<String>), ControlError> {
        match self.log.read(TABLE).await? {
            None => Ok((BucketTable::default(), None)),
            Some((bytes, etag)) => {
                let table = BucketTable::decode(&bytes).map_err(|_| SetError::Unavailable)?;
                Ok((table, Some(etag)))
            }
        }
    }

    /// Changes the table: durable first, then installed.
    async fn change(
        &self,
        change: impl Fn(&BucketTable) -> Result<BucketTable, TableError>,
    ) -> Result<BucketTable, ControlError> {
        for _ in 0..3 {
            let (table, etag) = self.read().await?;
            // A change whose answer was lost may be durable: what is read is what holds.
            self.node.install_buckets(table.clone());
            let next = change(&table)?;
            if self.log.propose(TABLE, etag, next.encode()).await? {
                self.node.install_buckets(next.clone());
                return Ok(next);
            }
        }
        Err(SetError::Busy.into())
    }

    async fn create(&self, name: &str, created_ms: u64) -> Result<BucketEntry, ControlError> {
        let table = self.change(|table| table.with_bucket(name, created_ms)).await?;
        Ok(table.buckets.get(name).cloned().ok_or(TableError::Missing)?)
    }

    async fn delete(&self, name: &str) -> Result<(), ControlError> {
        self.change(|table| table.with_state(name, BucketState::Deleting)).await?;
        self.remove_or_revert(name).await
    }

    async fn remove_or_revert(&self, name: &str) -> Result<(), ControlError> {
        let table = self.node.buckets().unwrap_or_default();
        let id = table.buckets.get(name).map(|bucket| bucket.id).ok_or(TableError::Missing)?;
        let found = match self.node.drain_bucket(id).await {
            Ok(()) => self.is_empty(id).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(true) => {
                self.change(|table| table.without(name)).await?;
                Ok(())
            }
            outcome => {
                self.change(|table| table.with_state(name, BucketState::Open)).await?;
                outcome.map_err(ControlError::from)?;
                Err(ControlError::NotEmpty)
            }
        }
    }

    async fn is_empty(&self, bucket: BucketId) -> Result<bool, SetError> {
        let query = SetListQuery { entries_max: 1, ..SetListQuery::default() };
        let page = self.node.list(bucket, &query).await?;
        let (uploads, _) = self.node.list_uploads(bucket, "", "", None, 1).await?;
        Ok(page.entries.is_empty() && uploads.is_empty())
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
