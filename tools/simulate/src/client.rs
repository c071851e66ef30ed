//! What a client does with one key: write, delete, read back.
//!
//! Invariants: what the set answers decides what the model is told: acknowledged, refused with
//! nothing done, or unknown; bytes read are compared with those of the generation the object's
//! ETag names.

use crate::model::{Value, generation_of, tag_of};
use crate::peers::SimPeers;
use crate::process::{BUCKET, Process, SimMember, judged_epoch, key_of};
use bytes::Bytes;
use engine_env::Env;
use engine_format::Storage;
use engine_set::{Found, Put, PutFinish, PutTarget, SetError, Source};
use engine_types::Condition;
use futures_util::future::{Either, select};
use shards_sim::{Random, SimEnv};
use std::pin::pin;

/// A body on its way in.
pub type SimPut = Put<SimEnv, SimPeers>;

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// Acknowledged.
    Done,
    /// Refused with nothing done.
    Refused(SetError),
    /// Nobody knows.
    Unknown,
}

/// What a HEAD says of a key.
pub struct Head {
    pub value: Value,
    /// The epoch of the view that decided it; 0 where that is open.
    pub epoch: u32,
    found: Option<(SimMember, Found)>,
}

/// The end of a body of this generation.
pub fn finish_of(generation: u64, condition: Condition) -> PutFinish {
    let (checksums, attributes) = (Vec::new(), Vec::new());
    PutFinish { md5: tag_of(generation), checksums, attributes, condition }
}

impl Process {
    /// Tells the model how a write ended that began under the view of `epoch` at the latest.
    pub fn note_write(
        &self,
        key: u64,
        value: Value,
        epoch: u32,
        outcome: Result<(), SetError>,
    ) -> Wrote {
        let mut model = self.site.model.borrow_mut();
        match outcome {
            Ok(()) => {
                model.acknowledge(key, value);
                Wrote::Done
            }
            Err(SetError::Unavailable) => {
                model.unknown(key, value, epoch);
                Wrote::Unknown
            }
            Err(error) => {
                model.refused(key, value);
                Wrote::Refused(error)
            }
        }
    }

    /// Sends bytes in pieces of any size.
    pub async fn send(
        &self,
        put: &mut SimPut,
        content: &[u8],
        random: &mut Random,
    ) -> Result<(), SetError> {
        let piece_max = *random.pick(&[977, 16 << 10, 100_000, 1 << 20]);
        let mut at = 0;
        while at < content.len() {
            let len = (1 + random.below(piece_max) as usize).min(content.len() - at);
            put.write(Bytes::copy_from_slice(&content[at..at + len])).await?;
            at += len;
        }
        Ok(())
    }

    /// Writes a new generation to a key.
    pub async fn put(
        &self,
        key: u64,
        generation: u64,
        condition: Condition,
        random: &mut Random,
    ) -> Wrote {
        let name = key_of(key);
        let content = self.site.model.borrow().content(generation);
        let Some(owner) = self.owner(&name) else { return Wrote::Refused(SetError::Unavailable) };
        let size_bytes = content.len() as u64;
        let begun = owner.begin_put(BUCKET, &name, PutTarget::Object, size_bytes).await;
        let mut put = match begun {
            Ok(put) => put,
            Err(error) => return Wrote::Refused(error),
        };
        let epoch = owner.installed().view.epoch.0;
        if let Err(error) = self.send(&mut put, &content, random).await {
            return Wrote::Refused(error);
        }
        let value = Value::Object(generation);
        self.site.model.borrow_mut().attempt(key, value);
        let outcome = put.finish(finish_of(generation, condition)).await;
        self.note_write(key, value, epoch, outcome.map(|_| ()))
    }

    /// Begins a write and goes away before its end.
    pub async fn abandon(&self, key: u64, generation: u64, random: &mut Random) {
        let name = key_of(key);
        let content = self.site.model.borrow().content(generation);
        let Some(owner) = self.owner(&name) else { return };
        let size_bytes = content.len() as u64 + 1;
        let begun = owner.begin_put(BUCKET, &name, PutTarget::Object, size_bytes).await;
        let Ok(mut put) = begun else { return };
        let wait_us = 1 + random.below(5000);
        let sending = pin!(self.send(&mut put, &content, random));
        match select(sending, pin!(self.env.sleep_us(wait_us))).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }

    /// Deletes a key.
    pub async fn delete(&self, key: u64) -> Wrote {
        let name = key_of(key);
        let Some(owner) = self.owner(&name) else { return Wrote::Refused(SetError::Unavailable) };
        self.site.model.borrow_mut().attempt(key, Value::Absent);
        let before = judged_epoch(&owner.installed());
        let outcome = owner.delete(BUCKET, &name, Condition::None).await;
        let epoch = owner.installed().view.epoch.0;
        if let Ok(false) = outcome {
            // Nothing was written; it is a read of an absent key, under this view or a later one.
            let mut model = self.site.model.borrow_mut();
            model.refused(key, Value::Absent);
            let judged = model.judge(key, Value::Absent, before);
            self.site.verdict.note(judged.map_err(|what| format!("delete: {what}")));
            return Wrote::Refused(SetError::NoSuchKey);
        }
        self.note_write(key, Value::Absent, epoch, outcome.map(|_| ()))
    }

    /// Reads a key that nobody writes and judges what is found. `false`: it cannot be read now.
    pub async fn read(&self, key: u64, random: &mut Random) -> bool {
        match self.look(key, random).await {
            Ok(Some((value, epoch))) => {
                let judged = self.site.model.borrow_mut().judge(key, value, epoch);
                self.site.verdict.note(judged);
                true
            }
            Ok(None) => false,
            Err(what) => {
                self.site.verdict.wrong(what);
                true
            }
        }
    }

    /// What a key holds without its bytes; `None` where it cannot be read now.
    ///
    /// # Errors
    /// A record that is none of ours.
    pub async fn head(&self, key: u64) -> Result<Option<Head>, String> {
        let name = key_of(key);
        let Some(owner) = self.owner(&name) else { return Ok(None) };
        let outcome = owner.find(BUCKET, &name).await;
        // No change of view lies between: `find` sees to that.
        let epoch = judged_epoch(&owner.installed());
        let found = match outcome {
            Ok(found) => found,
            Err(SetError::NoSuchKey) => {
                return Ok(Some(Head { value: Value::Absent, epoch, found: None }));
            }
            Err(_) => return Ok(None),
        };
        let etag = found.record.etag;
        let generation =
            generation_of(etag.md5).ok_or_else(|| format!("key {key}: no ETag of ours"))?;
        let (content, parts) = {
            let model = self.site.model.borrow();
            (model.content(generation), model.parts_of(generation))
        };
        let right = found.record.size_bytes == content.len() as u64
            && usize::from(etag.part_count) == parts.len();
        if !right {
            return Err(format!("key {key}, generation {generation}: wrong record {found:?}"));
        }
        let (value, found) = (Value::Object(generation), Some((owner, found)));
        Ok(Some(Head { value, epoch, found }))
    }

    /// What a key holds, and the epoch of the view that decided it; `None` where it cannot be
    /// read now.
    ///
    /// # Errors
    /// Bytes that are not those of the object.
    pub async fn look(
        &self,
        key: u64,
        random: &mut Random,
    ) -> Result<Option<(Value, u32)>, String> {
        let Some(head) = self.head(key).await? else { return Ok(None) };
        let seen = Some((head.value, head.epoch));
        let (Value::Object(generation), Some((owner, found))) = (head.value, head.found) else {
            return Ok(seen);
        };
        let content = self.site.model.borrow().content(generation);
        let is_whole = self.site.swarm.whole_reads;
        let (from, to) =
            if is_whole { (0, content.len()) } else { range_of(content.len(), random) };
        let Some(bytes) = self.read_range(&owner, &found, (from, to)).await else {
            return Ok(None);
        };
        if bytes[..] != content[from..to] {
            return Err(format!("key {key}, generation {generation}: wrong bytes in {from}..{to}"));
        }
        Ok(seen)
    }

    async fn read_range(
        &self,
        owner: &SimMember,
        found: &Found,
        (from, to): (usize, usize),
    ) -> Option<Vec<u8>> {
        match found.record.storage {
            Storage::Empty => Some(Vec::new()),
            Storage::Inline => Some(found.inline.as_ref()?.get(from..to)?.to_vec()),
            Storage::Fragments(..) | Storage::Parts => {
                let mut bytes = Vec::new();
                let mut start = 0;
                for source in found.sources() {
                    let end = start + source.run_bytes;
                    let (first, last) = ((from as u64).max(start), (to as u64).min(end));
                    if first < last {
                        let range = (first - start, last - start);
                        bytes.extend(read_run(owner, &source, range).await?);
                    }
                    start = end;
                }
                Some(bytes)
            }
        }
    }
}

/// Reads a range of a run, stripe by stripe; `None` where it cannot be read now.
async fn read_run(owner: &SimMember, source: &Source, (from, to): (u64, u64)) -> Option<Vec<u8>> {
    let stripe_bytes = source.geometry.stripe_bytes();
    let mut bytes = Vec::new();
    let mut at = from;
    while at < to {
        let end = ((at / stripe_bytes + 1) * stripe_bytes).min(to);
        for piece in owner.read_stripe(source, at, (end - at) as usize).await.ok()? {
            bytes.extend_from_slice(&piece);
        }
        at = end;
    }
    Some(bytes)
}

/// All bytes, or any range of them.
fn range_of(len: usize, random: &mut Random) -> (usize, usize) {
    if random.one_in(2) {
        return (0, len);
    }
    let from = random.below(len as u64 + 1) as usize;
    let to = from + random.below((len - from) as u64 + 1) as usize;
    (from, to)
}
