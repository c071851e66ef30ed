//! Background work of one drive, told to whoever watches: for debugging, and for tests that end
//! the process in the middle of it.
//!
//! Invariant: a beginning is told before the first write of the work, its end after the last; what
//! begins inside of other work ends inside of it.

use std::cell::RefCell;

/// What a drive does in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// The memtable becomes a run, and the log's past is let go.
    Flush,
    /// Runs are merged, within a flush.
    Compaction,
    /// What is live in a segment is moved away.
    Cleaning,
    /// More segments are prepared.
    Growth,
}

impl Work {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Flush => "flush",
            Self::Compaction => "compaction",
            Self::Cleaning => "cleaning",
            Self::Growth => "growth",
        }
    }
}

/// Is told of background work, `true` where it begins.
pub type WorkWatcher = Box<dyn Fn(Work, bool)>;

/// The work of a drive, and who watches it.
#[derive(Default)]
pub(crate) struct Works(RefCell<Option<WorkWatcher>>);

impl Works {
    pub(crate) fn watch(&self, watcher: WorkWatcher) {
        *self.0.borrow_mut() = Some(watcher);
    }

    /// Work begins; it ends when the answer is dropped.
    pub(crate) fn begin(&self, work: Work) -> Working<'_> {
        self.tell(work, true);
        Working { works: self, work }
    }

    fn tell(&self, work: Work, begins: bool) {
        if let Some(watcher) = &*self.0.borrow() {
            watcher(work, begins);
        }
    }
}

/// Work under way.
pub(crate) struct Working<'a> {
    works: &'a Works,
    work: Work,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.works.tell(self.work, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn what_begins_inside_of_other_work_ends_inside_of_it() {
        let works = Works::default();
        drop(works.begin(Work::Growth));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&seen);
        works.watch(Box::new(move |work, begins| told.borrow_mut().push((work.word(), begins))));
        {
            let _flush = works.begin(Work::Flush);
            let _compaction = works.begin(Work::Compaction);
        }
        assert_eq!(
            *seen.borrow(),
            [("flush", true), ("compaction", true), ("compaction", false), ("flush", false)]
        );
    }
}
