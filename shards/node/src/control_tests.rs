//! Deleting buckets beside writes, on a whole node (rule 15).

use super::*;
use crate::rig::Rig;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::Shared;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How long a deletion is watched that must not come to its end.
const WATCHED_US: u64 = 200_000;

/// Where a task leaves what it came to.
type Outcome<T> = Rc<RefCell<Option<T>>>;

/// Holds up a write that has begun.
#[derive(Clone)]
struct Hold {
    has_begun: Arc<AtomicBool>,
    gate: Shared<oneshot::Receiver<()>>,
}

impl Hold {
    fn new() -> (oneshot::Sender<()>, Self) {
        let (open, gate) = oneshot::channel();
        (open, Self { has_begun: Arc::default(), gate: gate.shared() })
    }
}

fn spawn<T: 'static>(handle: &Handle, task: impl Future<Output = T> + 'static) -> Outcome<T> {
    let outcome: Outcome<T> = Rc::default();
    let told = Rc::clone(&outcome);
    handle.spawn(async move {
        let came_to = task.await;
        *told.borrow_mut() = Some(came_to);
    });
    outcome
}

async fn until(handle: &Handle, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..30_000 {
        if is_so() {
            return;
        }
        handle.sleep_us(1000).await;
    }
    panic!("still not so: {what}");
}

fn finish() -> PutFinish {
    PutFinish {
        md5: [7; 16],
        checksums: Vec::new(),
        attributes: Vec::new(),
        condition: Condition::None,
    }
}

/// A key whose owner is on the shard.
fn key_on(node: &Node, bucket: BucketId, shard: usize) -> Key {
    let is_there = |key: &Key| {
        let (set, position) = node.reader_of(bucket, key).unwrap();
        node.shared.shard_of(set, position) == Some(shard)
    };
    let mut keys = (0..1000).map(|number| Key::new(&format!("key-{number}")).unwrap());
    keys.find(is_there).unwrap()
}

async fn put(node: &Node, bucket: BucketId, key: &Key) -> Result<(), SetError> {
    let pieces = vec![Bytes::from_static(b"abc")];
    node.put_whole((bucket, key), PutTarget::Object, pieces, finish()).await.map(drop)
}

/// A write that is held up after its bucket was judged and before it commits.
async fn held_put(node: Node, place: (BucketId, Key), hold: Hold) -> Result<(), SetError> {
    let (bucket, key) = place;
    let name = key.clone();
    let written = node.at_owner((bucket, &key), WorkKind::Change, move |member| {
        let (name, hold) = (name.clone(), hold.clone());
        async move {
            hold.has_begun.store(true, Ordering::Relaxed);
            // Where its other end is gone, so is the test.
            _ = hold.gate.await;
            let mut put = member.begin_put(bucket, &name, PutTarget::Object, 3).await?;
            put.write(Bytes::from_static(b"abc")).await?;
            put.finish(finish()).await
        }
    });
    written.await.map(drop)
}

async fn find(node: &Node, bucket: BucketId, key: &Key) -> Result<(), SetError> {
    let name = key.clone();
    let found = node.at_owner((bucket, key), WorkKind::Read, move |member| {
        let name = name.clone();
        async move { member.find(bucket, &name).await }
    });
    found.await.map(drop)
}

#[test]
fn a_write_under_way_holds_up_the_deletion_of_its_bucket_and_undoes_it() {
    let mut rig = Rig::start();
    let (node, control, handle) = (rig.node.clone(), rig.control.clone(), rig.handle());
    rig.run(async move {
        // One on each shard in turn: all of them are waited for.
        for shard in 0..2 {
            let name = format!("bucket-{shard}");
            let bucket = control.create(&name, 1).await.unwrap().id;
            let key = key_on(&node, bucket, shard);
            let (open, hold) = Hold::new();
            let write = spawn(&handle, held_put(node.clone(), (bucket, key.clone()), hold.clone()));
            let has_begun = || hold.has_begun.load(Ordering::Relaxed);
            until(&handle, "the write has begun", has_begun).await;
            let (deleting, deleted) = (control.clone(), name.clone());
            let deletion = spawn(&handle, async move { deleting.delete(&deleted).await });
            let is_marked = || node.buckets().is_some_and(|table| !table.is_open(bucket));
            until(&handle, "the bucket takes nothing new", is_marked).await;
            assert_eq!(put(&node, bucket, &key).await, Err(SetError::NoSuchBucket));
            handle.sleep_us(WATCHED_US).await;
            assert_eq!(*deletion.borrow(), None, "shard {shard}: a write is under way");
            open.send(()).unwrap();
            let have_ended = || write.borrow().is_some() && deletion.borrow().is_some();
            until(&handle, "write and deletion have ended", have_ended).await;
            assert_eq!(*write.borrow(), Some(Ok(())));
            assert_eq!(*deletion.borrow(), Some(Err(ControlError::NotEmpty)));
            // The bucket is there as before, with what was acknowledged.
            assert_eq!(find(&node, bucket, &key).await, Ok(()));
            assert_eq!(put(&node, bucket, &key).await, Ok(()));
        }
    });
}

#[test]
fn a_deleted_bucket_takes_nothing_under_the_snapshot_before() {
    let mut rig = Rig::start();
    let (node, control) = (rig.node.clone(), rig.control.clone());
    rig.run(async move {
        let bucket = control.create("bucket", 1).await.unwrap().id;
        let key = Key::new("key").unwrap();
        // A body on its way in changes nothing yet, and holds up no deletion.
        let body = node.begin_put(bucket, &key, PutTarget::Object, 3).await.unwrap();
        node.write_put(body, vec![Bytes::from_static(b"abc")]).await.unwrap();
        assert_eq!(control.delete("bucket").await, Ok(()));
        let finished = node.finish_put(bucket, body, finish()).await;
        assert_eq!(finished.err(), Some(SetError::NoSuchBucket));
        // A gateway that looked the name up before goes on with the id.
        let begun = node.begin_put(bucket, &key, PutTarget::Object, 3).await;
        assert_eq!(begun, Err(SetError::NoSuchBucket));
        assert_eq!(put(&node, bucket, &key).await, Err(SetError::NoSuchBucket));
        let query = SetListQuery { entries_max: 10, ..SetListQuery::default() };
        assert!(node.list(bucket, &query).await.unwrap().entries.is_empty());
    });
}

#[test]
fn an_upload_alone_keeps_its_bucket() {
    let mut rig = Rig::start();
    let (node, control) = (rig.node.clone(), rig.control.clone());
    rig.run(async move {
        let bucket = control.create("bucket", 1).await.unwrap().id;
        let key = Key::new("key").unwrap();
        let name = key.clone();
        let created = node.at_owner((bucket, &key), WorkKind::Change, move |member| {
            let name = name.clone();
            async move { member.create_upload(bucket, &name, Vec::new(), None).await }
        });
        let upload = created.await.unwrap();
        assert_eq!(control.delete("bucket").await, Err(ControlError::NotEmpty));
        let name = key.clone();
        let aborted = node.at_owner((bucket, &key), WorkKind::Change, move |member| {
            let name = name.clone();
            async move { member.abort_upload(bucket, &name, upload).await }
        });
        aborted.await.unwrap();
        assert_eq!(control.delete("bucket").await, Ok(()));
    });
}
