//! The changes of buckets that are under way on one shard.
//!
//! Invariants: a change begins in an open bucket only; who drains a bucket waits for every change
//! of it that has begun. All of it lives on the shard's thread.

use engine_env::{BrokenRules, Rule};
use engine_types::BucketId;
use futures_channel::oneshot;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// One shard's gate. Clones are handles to the same one.
#[derive(Clone)]
pub struct BucketGate {
    inner: Rc<Inner>,
}

struct Inner {
    broken: BrokenRules,
    /// Changes under way in each bucket, and who waits for them to end.
    changes: RefCell<BTreeMap<BucketId, usize>>,
    drained: RefCell<Vec<oneshot::Sender<()>>>,
}

impl BucketGate {
    /// A gate that nothing has passed.
    #[must_use]
    pub fn new(broken: BrokenRules) -> Self {
        let inner = Inner { broken, changes: RefCell::default(), drained: RefCell::default() };
        Self { inner: Rc::new(inner) }
    }

    /// Begins a change of a bucket, if it is open; the change is under way until what is given is
    /// dropped.
    #[must_use]
    pub fn begin(&self, bucket: BucketId, is_open: bool) -> Option<BucketChange> {
        if !is_open && !self.inner.broken.contains(Rule::BucketOpenAtCommit) {
            return None;
        }
        *self.inner.changes.borrow_mut().entry(bucket).or_default() += 1;
        Some(BucketChange { inner: Rc::clone(&self.inner), bucket })
    }

    /// Waits until no change of the bucket is under way here.
    pub async fn drain(&self, bucket: BucketId) {
        while self.inner.changes.borrow().contains_key(&bucket) {
            let (sender, receiver) = oneshot::channel();
            self.inner.drained.borrow_mut().push(sender);
            _ = receiver.await;
        }
    }
}

/// A change of a bucket under way.
pub struct BucketChange {
    inner: Rc<Inner>,
    bucket: BucketId,
}

impl Drop for BucketChange {
    fn drop(&mut self) {
        let mut changes = self.inner.changes.borrow_mut();
        if let Some(count) = changes.get_mut(&self.bucket) {
            *count -= 1;
            if *count == 0 {
                changes.remove(&self.bucket);
                for sender in self.inner.drained.borrow_mut().drain(..) {
                    _ = sender.send(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn a_drain_waits_for_the_changes_of_its_bucket_alone() {
        let gate = BucketGate::new(BrokenRules::NONE);
        let (one, other) = (BucketId(1), BucketId(2));
        assert!(gate.begin(one, false).is_none(), "it is not open");
        let changes = (gate.begin(one, true), gate.begin(one, true), gate.begin(other, true));
        let mut context = Context::from_waker(Waker::noop());
        let mut drain = pin!(gate.drain(one));
        assert!(drain.as_mut().poll(&mut context).is_pending());
        drop(changes.0);
        assert!(drain.as_mut().poll(&mut context).is_pending());
        drop(changes.1);
        assert!(drain.as_mut().poll(&mut context).is_ready());
        assert!(pin!(gate.drain(other)).poll(&mut context).is_pending());
    }
}
