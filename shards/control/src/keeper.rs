//! The keeper of the bucket table: it alone changes it, one change after the other.
//!
//! Invariants: a table is durable before it is installed, and installed on all threads before the
//! change is answered; a bucket is removed only after every shard has drained it and it was found
//! empty; a deletion cut short is finished or undone as soon as the table can be read (rule 15).

use crate::{BucketEntry, BucketState, BucketTable, ControlLog, TableError};
use engine_env::Rule;
use engine_types::BucketId;
use std::cell::Cell;
use std::sync::Arc;

/// The document's name.
const TABLE: &str = "control/buckets";

/// Others may come first so often before a change is given up.
const TRIES: usize = 3;

/// What the keeper asks of its node, beside the log. All of it fails as the log does.
pub trait BucketHost: ControlLog {
    /// Whether a document could be read now, without waiting for drives.
    fn serves(&self, name: &str) -> bool;

    /// The table in force; `None` before the first was installed.
    fn installed(&self) -> Option<Arc<BucketTable>>;

    /// Installs a table on all threads: from here on no shard begins a change under the one before.
    fn install(&self, table: BucketTable);

    /// Waits until every shard has ended the changes of a bucket that were under way.
    ///
    /// # Errors
    /// Where a shard could not be asked: it may still change the bucket.
    fn drain(&self, bucket: BucketId) -> impl Future<Output = Result<(), Self::Error>>;

    /// Whether neither objects nor uploads are in a bucket.
    ///
    /// # Errors
    /// Where that cannot be told now.
    fn is_empty(&self, bucket: BucketId) -> impl Future<Output = Result<bool, Self::Error>>;

    /// Whether this host is a must-fail twin without a rule: always false outside the simulator.
    fn breaks(&self, _rule: Rule) -> bool {
        false
    }
}

/// Why a change of the table failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeeperError<E> {
    /// The table refused it.
    Table(TableError),
    /// Objects or uploads are in the bucket.
    NotEmpty,
    /// The table cannot be read now.
    Unavailable,
    /// Others came first again and again.
    Busy,
    /// The host said so; the outcome may be unknown.
    Host(E),
}

impl<E> From<TableError> for KeeperError<E> {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

/// The keeper of the bucket table of a node.
pub struct BucketKeeper<H> {
    host: H,
    is_loaded: Cell<bool>,
}

impl<H: BucketHost> BucketKeeper<H> {
    /// A keeper that has read nothing yet.
    pub fn new(host: H) -> Self {
        Self { host, is_loaded: Cell::new(false) }
    }

    /// Whether the table was read and no deletion was cut short since: otherwise it is to be
    /// loaded, again and again until that succeeds.
    pub fn is_loaded(&self) -> bool {
        self.is_loaded.get()
    }

    /// Reads the table and ends deletions that were cut short.
    ///
    /// # Errors
    /// Where that cannot be done now.
    pub async fn load(&self) -> Result<(), KeeperError<H::Error>> {
        let outcome = self.read_and_end().await;
        self.is_loaded.set(outcome.is_ok());
        outcome
    }

    /// Creates a bucket.
    ///
    /// # Errors
    /// `Table(Exists)`, or that it could not be committed.
    pub async fn create(
        &self,
        name: &str,
        created_ms: u64,
    ) -> Result<BucketEntry, KeeperError<H::Error>> {
        let table = self.change(|table| self.with_bucket(table, name, created_ms)).await?;
        Ok(table.buckets.get(name).cloned().ok_or(TableError::Missing)?)
    }

    /// Deletes an empty bucket.
    ///
    /// # Errors
    /// `Table(Missing)`, `NotEmpty`, or that it could not be committed.
    pub async fn delete(&self, name: &str) -> Result<(), KeeperError<H::Error>> {
        let outcome = self.mark_and_remove(name).await;
        // The bucket may have been left half deleted: loading ends that.
        let is_whole =
            matches!(outcome, Ok(()) | Err(KeeperError::Table(_) | KeeperError::NotEmpty));
        self.is_loaded.set(self.is_loaded.get() && is_whole);
        outcome
    }

    async fn read_and_end(&self) -> Result<(), KeeperError<H::Error>> {
        // A read would wait for drives that may not come for long; nobody waits for the start.
        if !self.host.serves(TABLE) {
            return Err(KeeperError::Unavailable);
        }
        let (table, _) = self.read().await?;
        self.host.install(table.clone());
        let ends = !self.host.breaks(Rule::DeletionEnded);
        let cut_short: Vec<String> = table
            .buckets
            .iter()
            .filter(|(_, bucket)| ends && bucket.state == BucketState::Deleting)
            .map(|(name, _)| name.clone())
            .collect();
        for name in cut_short {
            self.remove_or_revert(&name).await.or_else(|error| match error {
                KeeperError::NotEmpty => Ok(()),
                other => Err(other),
            })?;
        }
        Ok(())
    }

    async fn read(&self) -> Result<(BucketTable, Option<String>), KeeperError<H::Error>> {
        match self.host.read(TABLE).await.map_err(KeeperError::Host)? {
            None => Ok((BucketTable::default(), None)),
            Some((bytes, token)) => {
                let table = BucketTable::decode(&bytes).map_err(|_| KeeperError::Unavailable)?;
                Ok((table, Some(token)))
            }
        }
    }

    /// Changes the table: durable first, then installed.
    async fn change(
        &self,
        change: impl Fn(&BucketTable) -> Result<BucketTable, TableError>,
    ) -> Result<BucketTable, KeeperError<H::Error>> {
        for _ in 0..TRIES {
            let (table, token) = self.read().await?;
            // A change whose answer was lost may be durable: what is read is what holds.
            self.host.install(table.clone());
            let next = change(&table)?;
            if self.host.breaks(Rule::TableDurable) {
                self.host.install(next.clone());
            }
            let proposed = self.host.propose(TABLE, token, next.encode()).await;
            if proposed.map_err(KeeperError::Host)? {
                if !self.host.breaks(Rule::TableInstalled) {
                    self.host.install(next.clone());
                }
                return Ok(next);
            }
        }
        Err(KeeperError::Busy)
    }

    fn with_bucket(
        &self,
        table: &BucketTable,
        name: &str,
        created_ms: u64,
    ) -> Result<BucketTable, TableError> {
        if self.host.breaks(Rule::BucketIdsFresh) {
            let mut forgetful = table.clone();
            let ids = table.buckets.values().map(|bucket| bucket.id.0);
            forgetful.last_id = ids.max().unwrap_or_default();
            return forgetful.with_bucket(name, created_ms);
        }
        table.with_bucket(name, created_ms)
    }

    async fn mark_and_remove(&self, name: &str) -> Result<(), KeeperError<H::Error>> {
        if !self.host.breaks(Rule::DeletionMarked) {
            self.change(|table| table.with_state(name, BucketState::Deleting)).await?;
        }
        self.remove_or_revert(name).await
    }

    async fn remove_or_revert(&self, name: &str) -> Result<(), KeeperError<H::Error>> {
        let table = self.host.installed().unwrap_or_default();
        let id = table.buckets.get(name).map(|bucket| bucket.id).ok_or(TableError::Missing)?;
        match self.drained_and_empty(id).await {
            Ok(true) => {
                self.change(|table| table.without(name)).await?;
                Ok(())
            }
            outcome => {
                self.change(|table| table.with_state(name, BucketState::Open)).await?;
                outcome.map_err(KeeperError::Host)?;
                Err(KeeperError::NotEmpty)
            }
        }
    }

    async fn drained_and_empty(&self, bucket: BucketId) -> Result<bool, H::Error> {
        if !self.host.breaks(Rule::BucketDrained) {
            self.host.drain(bucket).await?;
        }
        if self.host.breaks(Rule::BucketFoundEmpty) {
            return Ok(true);
        }
        self.host.is_empty(bucket).await
    }
}
