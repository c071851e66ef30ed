//! What clients were told about buckets and what is in them, and what may therefore be so.
//!
//! Invariants: a bucket is known by the number of the request that made it, never by its id; what
//! was asked for and not answered may be so or not.

use super::node::Failure;
use engine_types::BucketId;
use shards_control::{BucketEntry, KeeperError, TableError};
use std::collections::{BTreeMap, BTreeSet};

/// What a name was looked up as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub name: usize,
    /// The request that made the bucket.
    pub token: u64,
    pub id: BucketId,
}

/// A request about a name under way.
enum Pending {
    Create(u64),
    Delete,
}

/// What a name may mean.
struct Name {
    /// The buckets that it may mean: one of them, or none.
    may: BTreeSet<u64>,
    may_be_none: bool,
    /// A deletion of unknown outcome may still be finished or undone.
    is_ending: bool,
    pending: Option<Pending>,
    /// Requests so far.
    requests: u64,
}

/// A write under way.
pub(super) struct Attempt {
    handle: Handle,
    thing: u64,
    value: Option<u64>,
    /// What may have been there before.
    before: Vec<Option<u64>>,
    requests: u64,
    was_open: bool,
}

/// What clients were told.
pub(super) struct BucketModel {
    names: Vec<Name>,
    /// Buckets that are gone for good.
    gone: BTreeSet<u64>,
    /// What may be there, by bucket and thing; what was never written is not listed.
    things: BTreeMap<(u64, u64), Vec<Option<u64>>>,
    last: u64,
    pub acknowledged: u64,
    pub reads: u64,
}

impl BucketModel {
    /// So many names that mean nothing yet.
    pub(super) fn new(names: usize) -> Self {
        let name = |_| Name {
            may: BTreeSet::new(),
            may_be_none: true,
            is_ending: false,
            pending: None,
            requests: 0,
        };
        Self {
            names: (0..names).map(name).collect(),
            gone: BTreeSet::new(),
            things: BTreeMap::new(),
            last: 0,
            acknowledged: 0,
            reads: 0,
        }
    }

    /// A number not used before.
    pub(super) fn new_number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Whether a name may mean a bucket.
    pub(super) fn may_exist(&self, name: usize) -> bool {
        !self.names[name].may.is_empty()
    }

    /// Whether something may be in a bucket of the name.
    pub(super) fn may_hold(&self, name: usize) -> bool {
        let may = &self.names[name].may;
        let holds = |values: &Vec<Option<u64>>| values.iter().any(Option::is_some);
        self.things.iter().any(|((token, _), values)| may.contains(token) && holds(values))
    }

    /// Whether a thing may be there.
    pub(super) fn may_be_there(&self, handle: Handle, thing: u64) -> bool {
        let values = self.things.get(&(handle.token, thing));
        values.is_some_and(|values| values.iter().any(Option::is_some))
    }

    pub(super) fn begin_create(&mut self, name: usize, token: u64) {
        let state = &mut self.names[name];
        state.requests += 1;
        state.may.insert(token);
        state.pending = Some(Pending::Create(token));
    }

    pub(super) fn begin_delete(&mut self, name: usize) {
        let state = &mut self.names[name];
        state.requests += 1;
        state.pending = Some(Pending::Delete);
    }

    /// Judges the answer to a creation.
    pub(super) fn created(
        &mut self,
        name: usize,
        token: u64,
        outcome: &Result<BucketEntry, Failure>,
    ) -> Result<(), String> {
        let state = &mut self.names[name];
        state.pending = None;
        match outcome {
            Ok(entry) if entry.created_ms != token || !state.may_be_none => {
                let may = &state.may;
                Err(format!("the table: bucket {name} was made beside one of {may:?}"))
            }
            Ok(_) => {
                state.may.remove(&token);
                let others = std::mem::replace(&mut state.may, BTreeSet::from([token]));
                (state.may_be_none, state.is_ending) = (false, false);
                self.bury(name, others)
            }
            Err(KeeperError::Table(TableError::Exists)) => {
                state.may.remove(&token);
                state.may_be_none = state.is_ending;
                Self::made(name, state)
            }
            Err(_) => {
                if !state.may_be_none {
                    state.may.remove(&token);
                }
                Ok(())
            }
        }
    }

    /// Judges the answer to a deletion.
    pub(super) fn deleted(
        &mut self,
        name: usize,
        outcome: Result<(), Failure>,
    ) -> Result<(), String> {
        let state = &mut self.names[name];
        state.pending = None;
        let was_certain = !state.may_be_none;
        state.may_be_none = true;
        match outcome {
            Ok(()) => {
                Self::made(name, state)?;
                state.is_ending = false;
                let all = std::mem::take(&mut state.may);
                self.bury(name, all)
            }
            Err(KeeperError::Table(TableError::Missing)) => {
                state.is_ending = false;
                let all = std::mem::take(&mut state.may);
                self.bury(name, all)?;
                if was_certain { Err(format!("the table: bucket {name} is gone")) } else { Ok(()) }
            }
            Err(KeeperError::NotEmpty) => {
                (state.may_be_none, state.is_ending) = (false, false);
                Self::made(name, state)
            }
            Err(_) => {
                state.is_ending = true;
                Ok(())
            }
        }
    }

    fn made(name: usize, state: &Name) -> Result<(), String> {
        if state.may.is_empty() {
            return Err(format!("the table: bucket {name} is there, which nobody made"));
        }
        Ok(())
    }

    /// Buckets are gone: nothing that was answered may be in them.
    fn bury(&mut self, name: usize, tokens: BTreeSet<u64>) -> Result<(), String> {
        let lost = self
            .things
            .iter()
            .find(|((token, _), values)| tokens.contains(token) && !values.contains(&None));
        if let Some(((token, thing), _)) = lost {
            return Err(format!(
                "an answered write: bucket {name}, made by request {token}, is gone with thing \
                 {thing}"
            ));
        }
        self.things.retain(|(token, _), _| !tokens.contains(token));
        self.gone.extend(tokens);
        Ok(())
    }

    /// Judges what a name was looked up as.
    pub(super) fn looked_up(&self, name: usize, found: Option<Handle>) -> Result<(), String> {
        let state = &self.names[name];
        match found {
            Some(handle) if !state.may.contains(&handle.token) => {
                let token = handle.token;
                Err(format!("the table: bucket {name} is the one of request {token}"))
            }
            None if state.pending.is_none() && !state.may_be_none => {
                Err(format!("the table: bucket {name} is not found open"))
            }
            _ => Ok(()),
        }
    }

    /// What a name means is known: nothing is under way, and it was looked up afterwards.
    pub(super) fn settled(&mut self, handle: Handle) -> Result<(), String> {
        self.looked_up(handle.name, Some(handle))?;
        let state = &mut self.names[handle.name];
        let mut others = std::mem::replace(&mut state.may, BTreeSet::from([handle.token]));
        others.remove(&handle.token);
        state.may_be_none = false;
        self.bury(handle.name, others)
    }

    /// The table was loaded and nothing is under way: no deletion is.
    pub(super) fn quiet(&mut self) {
        for state in &mut self.names {
            state.is_ending = false;
        }
    }

    /// The process died: what was under way may be so or not.
    pub(super) fn died(&mut self) {
        for state in &mut self.names {
            match state.pending.take() {
                Some(Pending::Create(token)) if !state.may_be_none => {
                    state.may.remove(&token);
                }
                Some(Pending::Delete) => (state.may_be_none, state.is_ending) = (true, true),
                _ => {}
            }
        }
    }

    /// Whether the bucket is there and open, for all that clients were told.
    fn is_open(&self, handle: Handle) -> bool {
        let state = &self.names[handle.name];
        let is_certain = state.pending.is_none() && !state.may_be_none && state.may.len() == 1;
        is_certain && state.may.contains(&handle.token)
    }

    /// A write begins.
    pub(super) fn begin_write(
        &mut self,
        handle: Handle,
        thing: u64,
        value: Option<u64>,
    ) -> Attempt {
        let before = self.things.get(&(handle.token, thing)).cloned();
        let before = before.unwrap_or_else(|| vec![None]);
        if !self.gone.contains(&handle.token) {
            let mut values = before.clone();
            values.push(value);
            self.things.insert((handle.token, thing), values);
        }
        let requests = self.names[handle.name].requests;
        Attempt { handle, thing, value, before, requests, was_open: self.is_open(handle) }
    }

    /// It was answered.
    pub(super) fn answered(&mut self, attempt: &Attempt) -> Result<(), String> {
        let Attempt { handle: Handle { name, token, .. }, thing, value, .. } = *attempt;
        if self.gone.contains(&token) {
            return Err(format!(
                "a deleted bucket: thing {thing} was written through what request {token} made of \
                 bucket {name}"
            ));
        }
        self.things.insert((token, thing), vec![value]);
        self.acknowledged += 1;
        Ok(())
    }

    /// It was refused, as its bucket is not open.
    pub(super) fn refused(&mut self, attempt: Attempt) -> Result<(), String> {
        let Attempt { handle, thing, before, requests, was_open, .. } = attempt;
        if self.gone.contains(&handle.token) {
            return Ok(());
        }
        self.things.insert((handle.token, thing), before);
        let name = handle.name;
        if was_open && self.is_open(handle) && self.names[name].requests == requests {
            return Err(format!("the table: bucket {name} is there and takes nothing"));
        }
        Ok(())
    }

    /// Judges what was found; no write of it is under way.
    pub(super) fn judge(
        &mut self,
        handle: Handle,
        thing: u64,
        found: Option<u64>,
    ) -> Result<(), String> {
        let Handle { name, token, .. } = handle;
        self.reads += 1;
        if self.gone.contains(&token) {
            return match found {
                None => Ok(()),
                Some(value) => Err(format!(
                    "a deleted bucket: thing {thing} of bucket {name}, made by request {token}, is \
                     {value}"
                )),
            };
        }
        match self.things.get_mut(&(token, thing)) {
            None if found.is_some() => Err(format!(
                "a bucket made anew: bucket {name}, made by request {token}, has thing {thing}"
            )),
            None => Ok(()),
            Some(values) if values.contains(&found) => {
                *values = vec![found];
                Ok(())
            }
            Some(values) => Err(format!(
                "an answered write: thing {thing} of bucket {name} is {found:?}, not {values:?}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket_world::node::Lost;

    const ERROR: KeeperError<Lost> = KeeperError::Host(Lost);

    #[test]
    fn a_deletion_of_unknown_outcome_leaves_both() {
        let mut model = BucketModel::new(1);
        let handle = Handle { name: 0, token: 1, id: BucketId(1) };
        model.begin_create(0, 1);
        model.created(0, 1, &Err(ERROR)).unwrap();
        assert_eq!((model.looked_up(0, None), model.looked_up(0, Some(handle))), (Ok(()), Ok(())));
        model.settled(handle).unwrap();
        assert!(model.looked_up(0, None).is_err());
        model.begin_delete(0);
        model.died();
        assert_eq!(model.looked_up(0, None), Ok(()));
        model.begin_create(0, 2);
        // It is there, and may be removed yet.
        model.created(0, 2, &Err(KeeperError::Table(TableError::Exists))).unwrap();
        assert_eq!(model.looked_up(0, None), Ok(()));
    }

    /// A bucket that is there, and its handle.
    fn made() -> (BucketModel, Handle) {
        let mut model = BucketModel::new(1);
        let handle = Handle { name: 0, token: 1, id: BucketId(1) };
        model.begin_create(0, 1);
        assert_eq!(model.created(0, 1, &Err(ERROR)), Ok(()));
        assert_eq!(model.settled(handle), Ok(()));
        (model, handle)
    }

    #[test]
    fn what_was_answered_keeps_its_bucket() {
        let (mut model, handle) = made();
        let attempt = model.begin_write(handle, 4, Some(9));
        model.answered(&attempt).unwrap();
        assert!(model.judge(handle, 4, None).is_err());
        model.begin_delete(0);
        assert!(model.deleted(0, Ok(())).is_err());
    }

    #[test]
    fn a_deleted_bucket_takes_nothing() {
        let (mut model, handle) = made();
        let attempt = model.begin_write(handle, 4, Some(9));
        model.begin_delete(0);
        assert_eq!(model.deleted(0, Ok(())), Ok(()), "the write may not have been");
        assert!(model.answered(&attempt).is_err());
        assert_eq!(model.refused(attempt), Ok(()));
    }
}
