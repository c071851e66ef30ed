//! The control thread: it runs the keeper of the bucket table, one request after the other.
//!
//! Invariant: what the keeper promises (rule 15, `shards-control`) holds for the whole node, as no
//! other thread changes the table.

use crate::node::{Node, WorkKind};
use bytes::Bytes;
use engine_set::{PutFinish, PutTarget, SetError, SetListQuery};
use engine_types::{BucketId, Condition, Key};
use futures_util::future::{Either, select};
use shards_control::{
    BucketEntry, BucketHost, BucketKeeper, BucketTable, ControlLog, KeeperError, TableError,
};
use shards_executor::{Executor, Handle, ParkDriver};
use shards_mailbox::{Mailbox, Receiver, ReplySender, Sender};
use std::pin::pin;
use std::sync::Arc;

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

impl From<KeeperError<SetError>> for ControlError {
    fn from(error: KeeperError<SetError>) -> Self {
        match error {
            KeeperError::Table(error) => Self::Table(error),
            KeeperError::NotEmpty => Self::NotEmpty,
            KeeperError::Unavailable => Self::Set(SetError::Unavailable),
            KeeperError::Busy => Self::Set(SetError::Busy),
            KeeperError::Host(error) => Self::Set(error),
        }
    }
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
            let keeper = BucketKeeper::new(SystemLog { node });
            executor.run(serve(keeper, mailbox, &handle, told));
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

impl BucketHost for SystemLog {
    fn serves(&self, name: &str) -> bool {
        Self::key(name).is_ok_and(|key| self.node.serves(BucketId::SYSTEM, &key))
    }

    fn installed(&self) -> Option<Arc<BucketTable>> {
        self.node.buckets()
    }

    fn install(&self, table: BucketTable) {
        self.node.install_buckets(table);
    }

    async fn drain(&self, bucket: BucketId) -> Result<(), SetError> {
        self.node.drain_bucket(bucket).await
    }

    async fn is_empty(&self, bucket: BucketId) -> Result<bool, SetError> {
        let query = SetListQuery { entries_max: 1, ..SetListQuery::default() };
        let page = self.node.list(bucket, &query).await?;
        let (uploads, _) = self.node.list_uploads(bucket, "", "", None, 1).await?;
        Ok(page.entries.is_empty() && uploads.is_empty())
    }
}

/// Answers requests until told to stop, and reads the table until that succeeds.
async fn serve(
    keeper: BucketKeeper<SystemLog>,
    mut mailbox: Receiver<Request>,
    handle: &Handle,
    mut told: impl FnMut(Result<(), ControlError>),
) {
    told(keeper.load().await.map_err(ControlError::from));
    loop {
        let request = if keeper.is_loaded() {
            mailbox.recv().await
        } else {
            let pause = handle.sleep_us(RELOAD_US);
            match select(pin!(mailbox.recv()), pause).await {
                Either::Left((request, _)) => request,
                Either::Right(_) => {
                    if keeper.load().await.is_ok() {
                        told(Ok(()));
                    }
                    continue;
                }
            }
        };
        match request {
            Some(Request::Create(name, created_ms, reply)) => {
                _ = reply.send(keeper.create(&name, created_ms).await.map_err(ControlError::from));
            }
            Some(Request::Delete(name, reply)) => {
                _ = reply.send(keeper.delete(&name).await.map_err(ControlError::from));
            }
            Some(Request::Stop) | None => break,
        }
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
