//! What one thread does next.
//!
//! Invariants: everything follows from the plan's seed and the thread's number, so that a run can
//! be repeated; a key that is being changed is neither changed nor deleted a second time; a read
//! asks for a key that should be there.

use crate::ledger::{Allowed, Fate, Initial, Ledger};
use crate::plan::Load;
use crate::task::Task;
use bench_model::{
    Generation, KeyPicker, Membership, ModelError, Operation, Random, Thread, ThreadKeys,
    object_draw,
};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Draws before a key that is being changed is given up for its neighbours.
const DRAWS: u32 = 8;

/// Tries of an object in the preparation.
const PREPARE_TRIES: u32 = 5;

/// The generation of what the preparation writes.
pub(crate) const PREPARED: Generation = Generation(0);

/// Salt of the numbers that choose operations, keys and ranges.
const CHOICES_SALT: u64 = 0xc401_ce00_0000_0001;

/// What a thread's operations are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Every key is written once, in order.
    Prepare,
    /// The mix, for as long as it is asked for.
    Load,
    /// Every key that should be there is read once, in order.
    Sweep,
}

/// Plans the operations of one thread.
pub struct Planner {
    load: Arc<Load>,
    stage: Stage,
    /// Where a stage that goes through the keys in order has come to.
    next_index: u64,
    /// Keys that could not be prepared yet, and how often they were tried.
    refused: VecDeque<u64>,
    refusals: HashMap<u64, u32>,
    is_given_up: bool,
    keys: ThreadKeys,
    picker: KeyPicker,
    random: Random,
    /// Where the mix deletes: which keys are there.
    membership: Option<Membership>,
    ledger: Ledger,
}

impl Planner {
    /// The planner of a thread.
    ///
    /// # Errors
    /// Where there are fewer keys than threads.
    pub fn new(load: &Arc<Load>, thread: Thread) -> Result<Self, ModelError> {
        let keys = ThreadKeys::new(load.keys.count(), thread)?;
        let picker = KeyPicker::new(&load.popularity, keys, load.seed)?;
        let random = Random::new(load.seed ^ CHOICES_SALT, u64::from(thread.index));
        let membership = load.mix.deletes().then(|| Membership::new(keys, load.is_prepared));
        let initial = match load.wrote_before {
            Some(newest) => Initial::UpTo(newest),
            None => Initial::Exactly(PREPARED),
        };
        let ledger =
            Ledger::new(initial, load.first_generation(), load.needs_ledger(), thread.count);
        Ok(Self {
            load: Arc::clone(load),
            stage: Stage::Load,
            next_index: 0,
            refused: VecDeque::new(),
            refusals: HashMap::new(),
            is_given_up: false,
            keys,
            picker,
            random,
            membership,
            ledger,
        })
    }

    /// Begins a stage.
    pub fn begin(&mut self, stage: Stage) {
        (self.stage, self.next_index) = (stage, 0);
        self.is_given_up = false;
    }

    /// Whether the stage has gone through all keys, or is given up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let is_through = self.next_index >= self.keys.own_count() && self.refused.is_empty();
        self.stage != Stage::Load && (is_through || self.is_given_up)
    }

    /// The next operation. `None`: it has no key to work on now, as where all are deleted.
    pub fn next(&mut self, planned_ns: u64) -> Option<Task> {
        match self.stage {
            Stage::Load => {
                let operation = self.load.mix.pick(&mut self.random);
                let key = self.key_for(operation)?;
                Some(self.task(operation, key, planned_ns))
            }
            Stage::Prepare => {
                let key = match self.refused.pop_front() {
                    Some(key) => key,
                    None => self.next_in_order()?,
                };
                let mut task = self.blank(Operation::Put, key, planned_ns);
                task.size_bytes = self.size_of(key, PREPARED);
                Some(task)
            }
            Stage::Sweep => loop {
                let key = self.next_in_order()?;
                let is_absent = match self.ledger.fate(key) {
                    Fate::Written | Fate::Maybe => false,
                    Fate::Untouched if self.load.is_prepared => false,
                    Fate::Deleted => true,
                    Fate::Untouched | Fate::Unknown => continue,
                };
                let task = self.task(Operation::Get, key, planned_ns);
                break Some(Task { is_absent, ..task });
            },
        }
    }

    /// The next key of the thread.
    fn next_in_order(&mut self) -> Option<u64> {
        if self.next_index >= self.keys.own_count() {
            return None;
        }
        self.next_index += 1;
        Some(self.keys.id_at(self.next_index - 1))
    }

    fn blank(&self, operation: Operation, key: u64, planned_ns: u64) -> Task {
        Task {
            operation,
            key,
            keys: 1,
            generation: PREPARED,
            size_bytes: 0,
            range: (0, 0),
            is_absent: false,
            known: self.ledger.begin_read(key),
            planned_ns,
        }
    }

    /// The task of an operation on a key.
    fn task(&mut self, operation: Operation, key: u64, planned_ns: u64) -> Task {
        let mut task = self.blank(operation, key, planned_ns);
        match operation {
            Operation::Put | Operation::MultipartPut => {
                task.generation = self.ledger.begin_write(key);
                task.size_bytes = self.size_of(key, task.generation);
            }
            Operation::Delete | Operation::MultiDelete => {
                self.begin_delete(key);
                if operation == Operation::MultiDelete {
                    task.keys = self.also_delete(key);
                }
            }
            Operation::Get | Operation::GetRange | Operation::Head | Operation::Copy => {
                task.size_bytes = self.size_of(key, task.known.oldest.unwrap_or(PREPARED));
                task.range = self.range_in(task.size_bytes);
            }
            Operation::List => {}
        }
        task
    }

    /// How large a generation of a key is.
    pub(crate) fn size_of(&self, key: u64, generation: Generation) -> u64 {
        self.load.sizes.size_of(object_draw(self.load.seed, key, generation.0))
    }

    fn range_in(&mut self, size_bytes: u64) -> (u64, u64) {
        let length = self.load.range_bytes.min(size_bytes);
        let offset =
            if size_bytes > length { self.random.below(size_bytes - length + 1) } else { 0 };
        (offset, length)
    }

    fn key_for(&mut self, operation: Operation) -> Option<u64> {
        let drawn = self.picker.next(&mut self.random);
        let is_change = matches!(
            operation,
            Operation::Put | Operation::MultipartPut | Operation::Delete | Operation::MultiDelete
        );
        let needs_object =
            !matches!(operation, Operation::Put | Operation::MultipartPut | Operation::List);
        let mut key = self.there(drawn, needs_object)?;
        for _ in 0..DRAWS {
            if !is_change || !self.ledger.is_changing(key) {
                return Some(key);
            }
            let drawn = self.picker.next(&mut self.random);
            key = self.there(drawn, needs_object)?;
        }
        // A few hot keys are all being written: their neighbours are not.
        let count = self.keys.own_count();
        let first = self.keys.index_of(key)?;
        let near = (1..count.min(4096)).map(|step| self.keys.id_at((first + step) % count));
        let mut near = near.filter(|key| !self.ledger.is_changing(*key));
        match &self.membership {
            Some(membership) if needs_object => near.find(|key| membership.contains(*key)),
            _ => near.next(),
        }
    }

    /// The key drawn, or the next one that is there.
    fn there(&self, key: u64, needs_object: bool) -> Option<u64> {
        match &self.membership {
            Some(membership) if needs_object => membership.present_near(key),
            _ => Some(key),
        }
    }

    fn begin_delete(&mut self, key: u64) {
        self.ledger.begin_delete(key);
        if let Some(membership) = &mut self.membership {
            membership.remove(key);
        }
    }

    /// Begins to delete the keys behind one too; gives how many keys that are in all.
    fn also_delete(&mut self, first: u64) -> u32 {
        let mut count = 1;
        while count < self.load.multi_delete_keys {
            let key = self.key_behind(first, count);
            let is_there = self.membership.as_ref().is_none_or(|keys| keys.contains(key));
            if !is_there || self.ledger.is_changing(key) || key == first {
                break;
            }
            self.begin_delete(key);
            count += 1;
        }
        count
    }

    /// The key so many of the thread's keys behind another.
    pub(crate) fn key_behind(&self, first: u64, steps: u32) -> u64 {
        let index = self.keys.index_of(first).unwrap_or(0);
        self.keys.id_at((index + u64::from(steps)) % self.keys.own_count())
    }

    /// Notes how a task ended.
    pub fn end(&mut self, task: &Task, is_done: bool) {
        if self.stage == Stage::Prepare {
            if !is_done {
                self.prepare_again(task.key);
            }
            return;
        }
        match task.operation {
            Operation::Put | Operation::MultipartPut => {
                self.ledger.end_write(task.key, task.generation, is_done);
                // One that failed may be there or not: it is not asked for.
                if let Some(membership) = self.membership.as_mut().filter(|_| is_done) {
                    membership.insert(task.key);
                }
            }
            Operation::Delete | Operation::MultiDelete => {
                for step in 0..task.keys {
                    self.ledger.end_delete(self.key_behind(task.key, step), is_done);
                }
            }
            _ => {}
        }
    }

    /// An object could not be prepared: it is tried a few times more, then all is given up.
    fn prepare_again(&mut self, key: u64) {
        let tries = self.refusals.entry(key).or_insert(0);
        *tries += 1;
        self.is_given_up |= *tries >= PREPARE_TRIES;
        self.refused.push_back(key);
    }

    /// What a read that ends now may have found.
    pub(crate) fn allowed(&self, task: &Task) -> Allowed {
        self.ledger.allowed(task.key, task.known)
    }

    /// The one write that a read which ends now has found, where no other may have come between:
    /// `None` where this run did not write the key before, or wrote it beside the read.
    pub(crate) fn only_write(&self, task: &Task) -> Option<Generation> {
        let known = task.known.oldest?;
        match self.allowed(task).candidates?.as_slice() {
            [only] if *only == known => Some(known),
            _ => None,
        }
    }

    /// Whether a read that ends now may rightly find nothing.
    pub(crate) fn may_be_absent(&self, task: &Task) -> bool {
        match self.stage {
            Stage::Sweep => task.is_absent || self.ledger.fate(task.key) == Fate::Maybe,
            _ => self.load.mix.deletes() && self.ledger.may_be_absent(task.key, task.known),
        }
    }

    /// Whether an answer is checked byte for byte; at the end all are.
    pub(crate) fn is_checked(&self, task: &Task) -> bool {
        self.stage == Stage::Sweep || self.load.verify.takes(task.key, task.planned_ns)
    }
}
