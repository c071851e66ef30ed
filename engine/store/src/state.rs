//! The state of a drive: a fold of its log.
//!
//! Invariants: `apply` is the only way the state changes, in the order of the log, and never
//! looks at a clock or the drive, so that replay gives the same state; the memtable holds settled
//! writes only; a prepared write waits in `pending` until a mark that covers it is durable here
//! (rule 1), and until then the entry, payload and extents it replaces stay; of two writes of a
//! replicated key the higher sequence stays, but `Sequence::ZERO` (made equal to the drives in
//! sync, while writes stand still) always wins.

use crate::log::MOVE_BYTES;
use crate::space::Space;
use engine_env::{BrokenRules, Rule};
use engine_format::{
    Commit, Entry, IndexKey, Keyspace, Move, PayloadLocation, PeerKnown, Record, Relocate, View,
};
use engine_types::{Epoch, Position, Sequence};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Settled entries, newest state of each key.
pub(crate) type Memtable = BTreeMap<Vec<u8>, Entry>;

/// A prepared write.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    pub commit: Rc<Commit>,
    pub payload: Option<PayloadLocation>,
    /// Known settled in memory: visible, though no mark is durable here yet.
    pub settled: bool,
}

/// Whether an entry stays in spite of a later record of this sequence.
fn outranks(old: &Entry, sequence: Sequence) -> bool {
    sequence != Sequence::ZERO && old.sequence > sequence
}

/// Where an entry's payload lies, and what keeping it takes of the log: the record by which
/// cleaning would move it.
pub(crate) fn log_share(key: &[u8], entry: &Entry) -> Option<(PayloadLocation, u64)> {
    let location = entry.payload?;
    let value_bytes = entry.value.as_ref().map_or(0, Vec::len);
    let bytes = MOVE_BYTES + key.len() + value_bytes;
    Some((location, bytes as u64 + u64::from(location.bytes)))
}

fn entry_bytes(key: &[u8], entry: &Entry) -> usize {
    key.len() + entry.value.as_ref().map_or(0, Vec::len) + 96
}

/// Whether a key of the index is of a replicated keyspace.
pub(crate) fn is_replicated(key: &[u8]) -> bool {
    key.first().and_then(|space| Keyspace::from_u8(*space)).is_some_and(Keyspace::is_replicated)
}

/// The fold.
pub(crate) struct State {
    /// This drive's place in its set.
    pub position: Position,
    pub memtable: Memtable,
    pub memtable_bytes: usize,
    /// The memtable being flushed; settled entries older than the memtable's.
    pub frozen: Option<Rc<Memtable>>,
    pub frozen_bytes: usize,
    pub pending: BTreeMap<Sequence, Pending>,
    /// Index keys of pending writes known settled: they win over the memtable.
    pub visible: BTreeMap<Vec<u8>, Sequence>,
    /// Newest durable settled-through mark of each owner.
    pub marks: BTreeMap<Position, Sequence>,
    pub view: View,
    pub promised: Epoch,
    pub peers: BTreeMap<Position, PeerKnown>,
    /// Data ids whose release is in the index and not yet carried out; a hint for housekeeping.
    pub releases_waiting: usize,
    /// What is applied was logged by an earlier opening.
    pub replays: bool,
    broken: BrokenRules,
}

impl State {
    /// The state before the log is replayed.
    pub(crate) fn new(position: Position, broken: BrokenRules) -> Self {
        Self {
            position,
            memtable: Memtable::new(),
            memtable_bytes: 0,
            frozen: None,
            frozen_bytes: 0,
            pending: BTreeMap::new(),
            visible: BTreeMap::new(),
            marks: BTreeMap::new(),
            view: View::default(),
            promised: Epoch(0),
            peers: BTreeMap::new(),
            releases_waiting: 0,
            replays: true,
            broken,
        }
    }

    /// Applies a durable record. `payload` is where its payload lies.
    pub(crate) fn apply(
        &mut self,
        space: &mut Space,
        record: &Record,
        payload: Option<PayloadLocation>,
    ) {
        match record {
            Record::Commit(commit) => {
                self.apply_commit(space, Rc::new((**commit).clone()), payload)
            }
            Record::Marks(marks) => {
                for mark in marks {
                    self.apply_mark(space, mark.through);
                }
            }
            Record::Aborts(sequences) => {
                for sequence in sequences {
                    self.apply_abort(space, *sequence);
                }
            }
            Record::View(view) => {
                if view.epoch >= self.view.epoch && view.epoch >= self.promised {
                    self.forget_joined(view);
                    self.view = view.clone();
                    self.promised = view.epoch;
                }
            }
            Record::Promise(epoch) => self.promised = self.promised.max(*epoch),
            Record::Peers(peers) => {
                for peer in peers {
                    self.peers.insert(peer.position, *peer);
                }
            }
            Record::Move(moved) => self.apply_move(space, moved, payload),
            Record::Drop(dropped) => {
                if let Some(fragment) = &dropped.fragment {
                    space.release(fragment);
                    let key = IndexKey::local(Keyspace::Fragments, dropped.data);
                    self.put_local(space, key, fragment.sequence, None);
                }
                let key = IndexKey::local(Keyspace::Releases, dropped.data);
                self.put_local(space, key, Sequence::ZERO, None);
            }
            Record::Relocate(relocate) => self.apply_relocate(space, relocate),
        }
    }

    /// A drive that joins was made equal to the others: what it had before tells nothing of it.
    fn forget_joined(&mut self, view: &View) {
        let before = self.view.epoch;
        self.peers.retain(|position, _| {
            let member = view.members.get(usize::from(position.0));
            let joins = member.is_some_and(|member| member.joined > before);
            !(joins && view.in_sync.contains(*position))
        });
    }

    fn apply_commit(
        &mut self,
        space: &mut Space,
        commit: Rc<Commit>,
        payload: Option<PayloadLocation>,
    ) {
        if commit.settled {
            self.settle_into_memtable(space, &commit, payload);
            return;
        }
        let through = self.marks.get(&commit.sequence.owner).copied().unwrap_or(Sequence::ZERO);
        if commit.sequence > through {
            for fragment in commit.adopts.iter().filter(|_| self.knows_fragments()) {
                space.hold(fragment);
            }
            if self.broken.contains(Rule::KeepPredecessor) {
                self.put_releases(space, &commit);
            }
            self.pending.insert(commit.sequence, Pending { commit, payload, settled: false });
        } else {
            for fragment in &commit.adopts {
                space.give_back(fragment.data);
            }
        }
    }

    fn apply_mark(&mut self, space: &mut Space, through: Sequence) {
        let owner = through.owner;
        let mark = self.marks.entry(owner).or_insert(Sequence::ZERO);
        *mark = (*mark).max(through);
        let covered: Vec<Sequence> = self
            .pending
            .range(..=through)
            .map(|(sequence, _)| *sequence)
            .filter(|sequence| sequence.owner == owner)
            .collect();
        for sequence in covered {
            if let Some(pending) = self.pending.remove(&sequence) {
                self.settle_into_memtable(space, &pending.commit, pending.payload);
            }
        }
    }

    /// The entry points to the copy from now on, unless the key was written again meanwhile.
    fn apply_move(&mut self, space: &mut Space, moved: &Move, payload: Option<PayloadLocation>) {
        let is_other = |old: &Entry| {
            old.sequence != moved.sequence || old.value.as_ref() != Some(&moved.value)
        };
        let compares = !self.broken.contains(Rule::MovesCompare);
        if compares && self.memtable.get(&moved.key).is_some_and(is_other) {
            return;
        }
        let entry = Entry { sequence: moved.sequence, payload, value: Some(moved.value.clone()) };
        self.put(space, moved.key.clone(), entry);
    }

    /// The fragment lies elsewhere from now on, unless it was freed or replaced meanwhile.
    fn apply_relocate(&mut self, space: &mut Space, relocate: &Relocate) {
        let key = IndexKey::local(Keyspace::Fragments, relocate.new.data);
        if let Some(old) = &relocate.old {
            let expected = Some(old.to_value());
            if self.memtable.get(&key.0).is_some_and(|entry| entry.value != expected) {
                space.give_back(relocate.new.data);
                return;
            }
            space.release(old);
        }
        space.settle(&relocate.new);
        let value = relocate.new.to_value();
        self.put_local(space, key, relocate.new.sequence, Some(value));
    }

    fn apply_abort(&mut self, space: &mut Space, sequence: Sequence) {
        if let Some(pending) = self.pending.remove(&sequence) {
            for fragment in &pending.commit.adopts {
                space.give_back(fragment.data);
            }
            self.visible.retain(|_, by| *by != sequence);
        }
    }

    fn settle_into_memtable(
        &mut self,
        space: &mut Space,
        commit: &Commit,
        payload: Option<PayloadLocation>,
    ) {
        for (key, mutation) in self.keys_of(commit) {
            if self.visible.get(&key) == Some(&commit.sequence) {
                self.visible.remove(&key);
            }
            if self.memtable.get(&key).is_some_and(|old| outranks(old, commit.sequence)) {
                continue;
            }
            let payload = payload.filter(|_| mutation.has_payload);
            let value = mutation.value.clone();
            space.unmerged = true;
            self.put(space, key, Entry { sequence: commit.sequence, payload, value });
        }
        for fragment in &commit.adopts {
            if self.knows_fragments() {
                space.settle(fragment);
            }
            let key = IndexKey::local(Keyspace::Fragments, fragment.data);
            self.put_local(space, key, commit.sequence, Some(fragment.to_value()));
        }
        self.put_releases(space, commit);
    }

    fn put_releases(&mut self, space: &mut Space, commit: &Commit) {
        for data in &commit.releases {
            let key = IndexKey::local(Keyspace::Releases, *data);
            self.put_local(space, key, commit.sequence, Some(Vec::new()));
            self.releases_waiting += 1;
        }
    }

    /// Whether records say what space is in use (rule 10).
    fn knows_fragments(&self) -> bool {
        !(self.replays && self.broken.contains(Rule::FragmentRecords))
    }

    /// The index keys a commit changes here.
    pub(crate) fn keys_of<'a>(
        &self,
        commit: &'a Commit,
    ) -> Vec<(Vec<u8>, &'a engine_format::Mutation)> {
        let Some(rank) = commit.order.rank(self.position) else { return Vec::new() };
        commit
            .mutations
            .iter()
            .map(|mutation| (IndexKey::ranked(mutation.space, rank, &mutation.suffix).0, mutation))
            .collect()
    }

    fn put_local(
        &mut self,
        space: &mut Space,
        key: IndexKey,
        sequence: Sequence,
        value: Option<Vec<u8>>,
    ) {
        self.put(space, key.0, Entry { sequence, payload: None, value });
    }

    fn put(&mut self, space: &mut Space, key: Vec<u8>, entry: Entry) {
        self.memtable_bytes += entry_bytes(&key, &entry);
        if let Some((location, bytes)) = log_share(&key, &entry) {
            space.add_live(location.segment, location.generation, bytes);
        }
        let old = self.memtable.get(&key).and_then(|old| log_share(&key, old));
        if let Some((location, bytes)) = old {
            space.sub_live(location.segment, location.generation, bytes);
        }
        self.memtable.insert(key, entry);
    }

    /// Takes a frozen memtable back, as if it had never been frozen.
    pub(crate) fn thaw(&mut self, space: &mut Space, table: &Memtable) {
        (self.frozen, self.frozen_bytes) = (None, 0);
        let newer = std::mem::replace(&mut self.memtable, table.clone());
        self.memtable_bytes = self.memtable.iter().map(|(key, e)| entry_bytes(key, e)).sum();
        for (key, entry) in newer {
            let is_older = is_replicated(&key)
                && self.memtable.get(&key).is_some_and(|old| outranks(old, entry.sequence));
            if let Some((location, bytes)) = log_share(&key, &entry) {
                // Counted when it was put.
                space.sub_live(location.segment, location.generation, bytes);
            }
            if !is_older {
                self.put(space, key, entry);
            }
        }
    }

    /// A write is settled on every in-sync position: its entries are visible from now on.
    /// Gives false where the write is not pending here (its mark was applied already).
    pub(crate) fn settle_in_memory(&mut self, sequence: Sequence) -> bool {
        let Some(pending) = self.pending.get_mut(&sequence) else { return false };
        pending.settled = true;
        let commit = Rc::clone(&pending.commit);
        for (key, _) in self.keys_of(&commit) {
            self.visible.insert(key, sequence);
        }
        true
    }

    /// The entry a visible pending write gives a key.
    pub(crate) fn visible_entry(&self, key: &[u8]) -> Option<Entry> {
        let sequence = self.visible.get(key)?;
        let pending = self.pending.get(sequence)?;
        let (_, mutation) =
            self.keys_of(&pending.commit).into_iter().find(|(other, _)| other == key)?;
        Some(Entry {
            sequence: *sequence,
            payload: pending.payload.filter(|_| mutation.has_payload),
            value: mutation.value.clone(),
        })
    }

    /// What memory knows of a key: visible pending writes, the memtable, the frozen memtable.
    pub(crate) fn entry_in_memory(&self, key: &[u8]) -> Option<Entry> {
        self.visible_entry(key).or_else(|| self.settled_in_memory(key))
    }

    /// What the fold has of a key in memory, without what is only visible.
    pub(crate) fn settled_in_memory(&self, key: &[u8]) -> Option<Entry> {
        let frozen = || self.frozen.as_ref()?.get(key).cloned();
        self.memtable.get(key).cloned().or_else(frozen)
    }
}
