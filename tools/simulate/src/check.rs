//! What must hold when nobody writes: every key is judged, listings and uploads agree with the
//! model, writes go on; and at the end nothing is left.
//!
//! Invariant: `strict` checks want an answer to everything; the others accept 503.

use crate::client::Wrote;
use crate::model::{Upload, tag_of};
use crate::process::{BUCKET, Process, key_of};
use engine_env::Env;
use engine_format::Keyspace;
use engine_set::{SetConfig, SetError};
use engine_store::IndexMemory;
use engine_types::{Condition, Position, UploadId};
use shards_sim::Random;
use std::rc::Rc;

/// Tries of a strict check before it gives up.
const TRIES_MAX: u64 = 60;
const RETRY_US: u64 = 10_000;
/// Keys that are written to see that their owner takes writes.
const PROBE_KEYS: u64 = 20_000;
/// Marks and releases have reached every drive after so long.
const SETTLE_US: u64 = 150_000;
/// A drive may keep so many segments of log and index when all objects are gone.
const SLACK_SEGMENTS: u64 = 32;
/// Room is asked for in pieces of so many bytes.
const PROMISE_BYTES: u64 = 64 << 10;

impl Process {
    /// Tries something until it is done; in strict checks it must be.
    async fn insist(&self, strict: bool, what: &str, mut attempt: impl AsyncFnMut() -> bool) {
        let tries = if strict { TRIES_MAX } else { 2 };
        for _ in 0..tries {
            if attempt().await {
                return;
            }
            self.env.sleep_us(RETRY_US).await;
        }
        if strict {
            self.site.verdict.wrong(format!("never served: {what}: {}", self.status.describe()));
        }
    }

    /// Judges everything. Nobody writes meanwhile.
    pub async fn check_all(self: Rc<Self>, strict: bool, mut random: Random) {
        let random = &mut random;
        let tried = self.site.model.borrow().tried();
        for key in tried {
            let what = format!("key {key}");
            self.insist(strict, &what, async || self.read(key, random).await).await;
        }
        self.insist(strict, "a listing", async || self.compare_strictly(strict, random).await)
            .await;
        let uploads = self.site.model.borrow().uploads.clone();
        for (upload, known) in uploads {
            let what = format!("upload {upload} of key {}", known.key);
            let attempt = async || self.judge_upload(upload, &known).await;
            self.insist(strict, &what, attempt).await;
        }
    }

    /// Listings can be compared only once every key was judged.
    async fn compare_strictly(&self, strict: bool, random: &mut Random) -> bool {
        let tried = self.site.model.borrow().tried();
        let judged = self.judge_listing(&tried, random).await;
        judged && (!strict || self.compare_listings(random).await)
    }

    async fn judge_upload(&self, upload: UploadId, known: &Upload) -> bool {
        let key = key_of(known.key);
        let Some(owner) = self.owner(&key) else { return false };
        let parts = owner.parts((BUCKET, &key), upload, 0, 100).await;
        let wrong = match parts {
            Err(SetError::NoSuchUpload) => !known.ended,
            Err(_) => return false,
            Ok(_) if known.ended => true,
            Ok((parts, more)) => {
                let listed = |number: &u16, generation: &u64| {
                    parts.iter().any(|part| {
                        part.entry.number.get() == *number && part.entry.md5 == tag_of(*generation)
                    })
                };
                let expected = |number: u16| {
                    known.parts.contains_key(&number) || known.doubtful.contains(&number)
                };
                more || !known.parts.iter().all(|(number, generation)| listed(number, generation))
                    || !parts.iter().all(|part| expected(part.entry.number.get()))
            }
        };
        if wrong {
            let what = format!("upload {upload} of key {key} is not as known: {known:?}");
            self.site.verdict.wrong(what);
        }
        true
    }

    /// Every position takes a write of a key it owns.
    pub async fn probe_owners(self: Rc<Self>, mut random: Random) {
        let random = &mut random;
        for position in self.positions() {
            let owns = |key: &u64| {
                let order = self.site.config.order(BUCKET, key_of(*key).as_bytes());
                SetConfig::owner(&order, self.site.config.all()) == Some(position)
            };
            let Some(key) = (PROBE_KEYS..).find(owns) else { continue };
            let what = format!("a write to the drive at {position}");
            self.insist(true, &what, async || {
                let generation = self.site.model.borrow_mut().next_generation();
                self.put(key, generation, Condition::None, random).await == Wrote::Done
            })
            .await;
            let what = format!("a delete on the drive at {position}");
            self.insist(true, &what, async || self.delete_for_good(key).await).await;
        }
    }

    async fn delete_for_good(&self, key: u64) -> bool {
        matches!(self.delete(key).await, Wrote::Done | Wrote::Refused(SetError::NoSuchKey))
    }

    /// Deletes every object and aborts every upload, known or not.
    pub async fn delete_all(self: Rc<Self>) {
        let tried = self.site.model.borrow().tried();
        for key in tried {
            let what = format!("a delete of key {key}");
            self.insist(true, &what, async || self.delete_for_good(key).await).await;
        }
        self.insist(true, "the end of all uploads", async || self.abort_all().await).await;
    }

    async fn abort_all(&self) -> bool {
        for position in self.positions() {
            let Some(member) = self.peers.member(position) else { return false };
            let listed = member.list_uploads(BUCKET, b"", 1000, (b"", None)).await;
            let Ok((uploads, _)) = listed else { return false };
            for listed in uploads {
                self.site.model.borrow_mut().uploads.remove(&listed.upload);
                if member.abort_upload(BUCKET, &listed.key, listed.upload).await.is_err() {
                    return false;
                }
            }
        }
        let open = |upload: &&Upload| !upload.ended;
        let left = self.site.model.borrow().uploads.values().find(open).cloned();
        if let Some(left) = left {
            self.site.verdict.wrong(format!("an open upload is not listed: {left:?}"));
        }
        true
    }

    /// The drives' memtables and block caches hold no more than there is for all of them. Nothing
    /// holds writes up for a flush, so that there is no bound to what a memtable takes beyond its
    /// limit until the flush has ended: a drive that flushes counts with its share at most. Any
    /// other holds what its limits allow, without any slack.
    pub fn check_index_memory(&self) -> Result<(), String> {
        let memory = self.site.swarm.memory;
        let share = memory.share_of(usize::from(self.site.config.set_size));
        let (mut memtable_bytes, mut block_cache_bytes) = (0, 0);
        for member in self.positions().filter_map(|position| self.peers.member(position)) {
            let store = member.store();
            let held = store.index_memory();
            let counted_max = if store.is_flushing() { share.memtable_bytes } else { usize::MAX };
            memtable_bytes += held.memtable_bytes.min(counted_max);
            block_cache_bytes += held.block_cache_bytes;
        }
        let held = IndexMemory { memtable_bytes, block_cache_bytes };
        let is_within = held.memtable_bytes <= memory.memtable_bytes
            && held.block_cache_bytes <= memory.block_cache_bytes;
        if is_within {
            return Ok(());
        }
        Err(format!("the memory of the index: all drives have {memory:?} and take {held:?}"))
    }

    /// Waits until what was written and released has reached every drive.
    pub async fn settle(&self) {
        self.env.sleep_us(SETTLE_US + self.site.swarm.store.release_delay_us).await;
    }

    /// After everything was deleted: no entry and no fragment is left, and what is garbage makes
    /// room for new data.
    pub async fn check_empty(self: Rc<Self>, free_bytes: Vec<u64>) {
        let mut left = String::new();
        for _ in 0..TRIES_MAX {
            self.settle().await;
            left = String::new();
            for (position, free_bytes) in self.positions().zip(&free_bytes) {
                if let Err(what) = self.check_drive_empty(position, *free_bytes).await {
                    left = format!("the drive at {position}: {what}");
                    break;
                }
            }
            if left.is_empty() {
                return;
            }
        }
        self.site.verdict.wrong(format!("all is deleted, but {left}"));
    }

    async fn check_drive_empty(&self, position: Position, free_bytes: u64) -> Result<(), String> {
        let member = self.peers.member(position).ok_or("it is gone")?;
        let store = member.store();
        let spaces = [
            Keyspace::Current,
            Keyspace::Uploads,
            Keyspace::Parts,
            Keyspace::Fragments,
            Keyspace::Releases,
        ];
        for space in spaces {
            let (start, end) = ([space as u8], [space as u8 + 1]);
            let page = store.scan(&start, &end, 100).await.map_err(|error| error.to_string())?;
            if let Some((key, entry)) = page.entries.first() {
                let count = page.entries.len();
                return Err(format!("holds {count} of {space:?}, the first {key:x?}: {entry:?}"));
            }
        }
        if store.reserved_fragments() > 0 {
            return Err(format!("{} fragments stay reserved", store.reserved_fragments()));
        }
        let slack = SLACK_SEGMENTS * crate::options::SEGMENT_BYTES;
        // A promise of log space keeps twice as much free.
        let wanted_bytes = free_bytes.saturating_sub(slack) / 2;
        let mut promised_bytes = 0;
        let mut outcome = Ok(());
        while promised_bytes < wanted_bytes && outcome.is_ok() {
            outcome = store.promise_payload(PROMISE_BYTES).await;
            promised_bytes += PROMISE_BYTES;
        }
        store.return_payload_promise(promised_bytes);
        outcome.map_err(|error| {
            let census = store.census();
            format!("room for {promised_bytes} of {wanted_bytes} bytes: {error}, {census:?}")
        })
    }
}
