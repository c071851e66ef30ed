//! Clients of buckets: some create and delete them, each a name of its own; the others change and
//! read what is in them, each things of its own, through what they looked up some time ago.

use super::model::{BucketModel, Handle};
use super::node::{BucketNode, Failure};
use super::{BucketSite, NAME, NAMES};
use shards_control::KeeperError;
use shards_sim::Random;
use std::cell::{Cell, RefMut};
use std::rc::Rc;

/// Things of a writer: an object and an upload.
const THINGS: u64 = 2;
/// What names were looked up as that is remembered.
const HANDLES_MAX: usize = 8;
/// An emptying client waits so often for the others.
const EMPTYING_PAUSES: u64 = 40;
/// Who creates and deletes buckets pauses so much longer than who writes into them.
const ADMIN_PAUSES: u64 = 6;

/// A client.
pub(super) struct BucketClient {
    pub site: BucketSite,
    pub node: Rc<BucketNode>,
    pub random: Random,
}

impl BucketClient {
    fn is_over(&self) -> bool {
        self.node.is_quiet.get() || self.site.verdict.is_wrong()
    }

    fn model(&self) -> RefMut<'_, BucketModel> {
        self.site.model.borrow_mut()
    }

    /// Creates and deletes the buckets of a name.
    pub(super) async fn administer(mut self, name: usize) {
        while !self.is_over() {
            self.node.pause(ADMIN_PAUSES * self.node.swarm.pause_us).await;
            let exists = self.model().may_exist(name);
            let outcome = if !exists || self.random.one_in(8) {
                self.create(name).await.map(drop)
            } else {
                if !self.random.one_in(3) {
                    self.empty(name).await;
                }
                let outcome = self.delete(name).await.map(drop);
                self.node.emptied[name].set(false);
                outcome
            };
            self.site.verdict.note(outcome);
        }
    }

    /// Waits until the others have emptied a bucket, or for some time.
    async fn empty(&self, name: usize) {
        self.node.emptied[name].set(true);
        for _ in 0..EMPTYING_PAUSES {
            let holds = self.model().may_hold(name);
            if !holds || self.is_over() {
                return;
            }
            self.node.pause(self.node.swarm.pause_us).await;
        }
    }

    /// Creates a bucket; what came of it if that is as it should be.
    async fn create(&self, name: usize) -> Result<Result<(), Failure>, String> {
        let token = self.model().new_number();
        self.model().begin_create(name, token);
        let outcome = self.node.create(NAME[name], token).await;
        self.model().created(name, token, &outcome)?;
        // Whoever was told of the bucket finds it.
        let found = self.node.look_up(name);
        self.model().looked_up(name, found)?;
        if outcome.is_ok() {
            self.site.totals.borrow_mut().buckets_made += 1;
        }
        Ok(outcome.map(drop))
    }

    /// Deletes one.
    async fn delete(&self, name: usize) -> Result<Result<(), Failure>, String> {
        self.model().begin_delete(name);
        let outcome = self.node.delete(NAME[name]).await;
        self.model().deleted(name, outcome)?;
        if outcome.is_ok() {
            self.site.totals.borrow_mut().buckets_deleted += 1;
        }
        Ok(outcome)
    }

    /// Changes and reads the things of a writer.
    pub(super) async fn write_on(mut self, writer: u64) {
        while !self.is_over() {
            self.node.pause(self.node.swarm.pause_us).await;
            let outcome = self.one_operation(writer).await;
            self.site.verdict.note(outcome);
        }
    }

    async fn one_operation(&mut self, writer: u64) -> Result<(), String> {
        let Some(handle) = self.handle()? else { return Ok(()) };
        let thing = writer * THINGS + self.random.below(THINGS);
        if self.random.one_in(5) {
            return self.read(handle, thing).await;
        }
        let is_there = self.model().may_be_there(handle, thing);
        let empties = self.node.emptied[handle.name].get() && !self.random.one_in(8);
        if empties && !is_there {
            return Ok(());
        }
        let deletes = is_there && (empties || self.random.one_in(2));
        self.change(handle, thing, deletes).await.map(drop)
    }

    /// What a name was looked up as, now or some time ago.
    fn handle(&mut self) -> Result<Option<Handle>, String> {
        let known = self.site.handles.borrow().clone();
        if !known.is_empty() && self.random.one_in(3) {
            return Ok(Some(*self.random.pick(&known)));
        }
        let mut name = self.random.below(NAMES as u64) as usize;
        if self.random.one_in(2) {
            let emptied = self.node.emptied.iter().position(Cell::get);
            name = emptied.unwrap_or(name);
        }
        let found = self.node.look_up(name);
        self.model().looked_up(name, found)?;
        if let Some(handle) = found.filter(|handle| !known.contains(handle)) {
            let mut handles = self.site.handles.borrow_mut();
            handles.push(handle);
            if handles.len() > HANDLES_MAX {
                handles.remove(0);
            }
        }
        Ok(found)
    }

    async fn read(&self, handle: Handle, thing: u64) -> Result<(), String> {
        self.node.pause(self.node.swarm.write_us).await;
        let found = self.node.disk.get(handle.id, thing);
        self.site.world.note(found.unwrap_or_default());
        self.model().judge(handle, thing, found)
    }

    /// Writes or deletes a thing; whether that was answered and not refused.
    async fn change(&self, handle: Handle, thing: u64, deletes: bool) -> Result<bool, String> {
        let generation = self.model().new_number();
        let value = (!deletes).then_some(generation);
        let attempt = self.model().begin_write(handle, thing, value);
        let is_answered = self.node.write(handle.id, thing, value).await;
        self.site.world.note(2 * generation + u64::from(is_answered));
        if is_answered {
            self.model().answered(&attempt)?;
        } else {
            self.model().refused(attempt)?;
        }
        Ok(is_answered)
    }

    /// Judges everything, once nothing else is under way and nothing fails: each name can be given
    /// a bucket, which has what was answered, takes writes, and can be deleted when it is empty.
    pub(super) async fn check_all(mut self) -> Result<(), String> {
        for name in 0..NAMES {
            let handle = self.settle(name).await?;
            // One more than all writers have: it is the check's own.
            let things = THINGS * self.node.swarm.writers + 1;
            for thing in 0..things {
                self.read(handle, thing).await?;
            }
            if !self.change(handle, things - 1, false).await? {
                return Err(format!("no progress: bucket {name} takes nothing"));
            }
            let deletes = self.random.one_in(2);
            let first = if deletes { 0 } else { things - 1 };
            for thing in first..things {
                if !self.change(handle, thing, true).await? {
                    return Err(format!("no progress: nothing in bucket {name} can be deleted"));
                }
            }
            if deletes {
                let outcome = self.delete(name).await?;
                outcome
                    .map_err(|error| format!("no progress: deleting bucket {name}: {error:?}"))?;
                self.change(handle, 0, false).await?;
            }
        }
        Ok(())
    }

    /// Gives a name a bucket, or finds the one it has.
    async fn settle(&self, name: usize) -> Result<Handle, String> {
        match self.create(name).await? {
            Ok(()) | Err(KeeperError::Table(_)) => {}
            Err(error) => return Err(format!("no progress: making bucket {name}: {error:?}")),
        }
        let handle = self.node.look_up(name);
        let handle = handle.ok_or_else(|| format!("no progress: bucket {name} is not open"))?;
        self.model().settled(handle)?;
        Ok(handle)
    }
}
