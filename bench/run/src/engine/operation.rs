//! One operation on the store, as a future on its generator's thread.
//!
//! Invariants: nothing of the front end is in here: no MD5, no checksum of the whole object, no
//! signature; bytes of a body are made piece by piece, as they would come from a socket.

use super::target::Heard;
use crate::clock;
use crate::plan::Load;
use crate::task::Task;
use bench_client::Lane;
use bench_model::{Operation, Payload};
use bytes::Bytes;
use engine_types::{BucketId, Condition, Key};
use gateway_core::objects::{
    Body, BodySize, Finish, ListQuery, Objects, StoreError, Target, Writer,
};
use gateway_core::shards::ShardStore;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of a body that are made at once, at most.
const PIECE_BYTES: u64 = 64 * 1024;

/// What the operations of a thread need.
pub(super) struct Desk {
    pub(super) store: ShardStore,
    pub(super) bucket: BucketId,
    pub(super) load: Arc<Load>,
    pub(super) payload: Payload,
}

/// What the store said in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was carried out.
    Done,
    /// There is no such object.
    NoKey,
    /// It ends before the range begins.
    NoRange,
    /// A code for the refusal.
    Refused(String),
}

/// What is told of an operation while it is under way.
#[derive(Debug)]
pub(super) enum Event {
    /// The object is there; bytes that follow, or, of a HEAD, that it has.
    Found(u64),
    /// The next of them.
    Bytes(Bytes),
    /// It is over.
    Ended { verdict: Verdict, first_byte_ns: Option<u64>, ended_ns: u64 },
}

/// Carries an operation out, and tells of it.
pub(super) async fn carry_out(desk: &Desk, task: &Task, heard: &Heard, lane: Lane) {
    let mut first_byte_ns = None;
    let outcome = match task.operation {
        Operation::Put => put(desk, task).await,
        Operation::Get | Operation::GetRange => {
            get(desk, task, (heard, lane), &mut first_byte_ns).await
        }
        Operation::Head => head(desk, task, heard, lane).await,
        Operation::Delete => delete(desk, task).await,
        Operation::List => list(desk, task).await,
        // Settings refuse them.
        Operation::MultiDelete | Operation::Copy | Operation::MultipartPut => {
            Ok(Verdict::Refused("unsupported".to_owned()))
        }
    };
    let verdict = match outcome {
        Ok(verdict) => verdict,
        Err(StoreError::NoSuchKey) => Verdict::NoKey,
        // The name of the cause is its code.
        Err(error) => Verdict::Refused(format!("{error:?}")),
    };
    heard.tell(lane, Event::Ended { verdict, first_byte_ns, ended_ns: clock::now_ns() });
}

fn name_of(desk: &Desk, key: u64) -> String {
    let mut name = Vec::with_capacity(desk.load.keys.name_bytes());
    desk.load.keys.append_name(key, &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

/// A name that the store takes; settings have judged prefixes already.
fn key_of(desk: &Desk, key: u64) -> Result<Key, StoreError> {
    Key::new(&name_of(desk, key)).map_err(|_| StoreError::NoSuchKey)
}

async fn put(desk: &Desk, task: &Task) -> Result<Verdict, StoreError> {
    let key = key_of(desk, task.key)?;
    let size = BodySize::flowing(task.size_bytes);
    let mut writer = desk.store.begin(desk.bucket, &key, Target::Object, size).await?;
    let mut offset = 0;
    while offset < task.size_bytes {
        let piece_bytes = (task.size_bytes - offset).min(PIECE_BYTES);
        let mut piece = vec![0; piece_bytes as usize];
        desk.payload.fill(task.stamp(), offset, &mut piece);
        offset += piece_bytes;
        writer.write(Bytes::from(piece)).await?;
    }
    // An ETag is sixteen bytes that differ from write to write: what they are of costs the store
    // nothing.
    let etag = format!("{:016x}{:016x}", task.key, task.generation.0);
    writer.finish(Finish { etag, ..Finish::default() }).await?;
    Ok(Verdict::Done)
}

/// The bytes of an object that a read asks for; `None` where there are none of them.
fn range_of(task: &Task, size_bytes: u64) -> Option<Range<u64>> {
    let (offset, length) = task.range;
    // A range of no bytes is asked for as the whole object.
    if task.operation != Operation::GetRange || length == 0 {
        return Some(0..size_bytes);
    }
    (offset < size_bytes).then(|| offset..size_bytes.min(offset.saturating_add(length)))
}

async fn get(
    desk: &Desk,
    task: &Task,
    (heard, lane): (&Heard, Lane),
    first_byte_ns: &mut Option<u64>,
) -> Result<Verdict, StoreError> {
    let key = key_of(desk, task.key)?;
    let object = desk.store.find(desk.bucket, &key).await?;
    let Some(range) = range_of(task, object.info.size_bytes) else { return Ok(Verdict::NoRange) };
    heard.tell(lane, Event::Found(range.end - range.start));
    if range.is_empty() {
        return Ok(Verdict::Done);
    }
    let mut body = desk.store.read(&object, range).await?;
    while let Some(piece) = body.next().await {
        let piece = piece?;
        first_byte_ns.get_or_insert_with(clock::now_ns);
        heard.tell(lane, Event::Bytes(piece));
    }
    Ok(Verdict::Done)
}

async fn head(desk: &Desk, task: &Task, heard: &Heard, lane: Lane) -> Result<Verdict, StoreError> {
    let key = key_of(desk, task.key)?;
    let object = desk.store.find(desk.bucket, &key).await?;
    heard.tell(lane, Event::Found(object.info.size_bytes));
    Ok(Verdict::Done)
}

async fn delete(desk: &Desk, task: &Task) -> Result<Verdict, StoreError> {
    let key = key_of(desk, task.key)?;
    match desk.store.delete(desk.bucket, &key, Condition::None).await {
        // That there is none is as good, as in S3.
        Ok(_) | Err(StoreError::NoSuchKey) => Ok(Verdict::Done),
        Err(error) => Err(error),
    }
}

async fn list(desk: &Desk, task: &Task) -> Result<Verdict, StoreError> {
    let query = ListQuery {
        prefix: desk.load.keys.prefix().to_owned(),
        delimiter: String::new(),
        start_after: name_of(desk, task.key),
        entries_max: desk.load.list_keys as usize,
    };
    desk.store.list(desk.bucket, query).await?;
    Ok(Verdict::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Known;
    use bench_model::Generation;

    #[test]
    fn ranges_end_with_the_object() {
        let task = |operation, range| Task {
            operation,
            key: 3,
            keys: 1,
            generation: Generation(0),
            size_bytes: 100,
            range,
            is_absent: false,
            known: Known::default(),
            planned_ns: 0,
        };
        let ranged = |range| range_of(&task(Operation::GetRange, range), 100);
        assert_eq!(ranged((0, 10)), Some(0..10));
        assert_eq!(ranged((95, 10)), Some(95..100));
        assert_eq!(ranged((99, u64::MAX)), Some(99..100));
        assert_eq!(ranged((100, 1)), None);
        assert_eq!(ranged((0, 0)), Some(0..100));
        assert_eq!(range_of(&task(Operation::Get, (5, 5)), 100), Some(0..100));
        assert_eq!(range_of(&task(Operation::GetRange, (0, 1)), 0), None);
    }
}
