//! Which keys a generator thread owns.
//!
//! Invariant: every key belongs to exactly one thread, and a thread's keys are numbered 0 to
//! `own_count - 1` without gaps; the numbering is what pickers and bitmaps work with.

use crate::{KEYS_MAX, ModelError};

/// One of the generator threads of a run, counted over all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thread {
    /// From 0 to `count - 1`.
    pub index: u32,
    /// Threads of the whole run, at least 1.
    pub count: u32,
}

/// The keys of one thread: those of `key_count` keys with `id % threads == thread`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThreadKeys {
    thread: u64,
    threads: u64,
    key_count: u64,
    own_count: u64,
}

impl ThreadKeys {
    /// The keys of `thread` when the run has `key_count` keys.
    ///
    /// # Errors
    /// `ModelError::Keys` if a thread would own no key, the index is not below the count, or there
    /// are more than `KEYS_MAX` keys.
    pub fn new(key_count: u64, thread: Thread) -> Result<Self, ModelError> {
        let Thread { index, count } = thread;
        if index >= count {
            let problem = format!("thread {index} of {count}; threads are numbered from 0");
            return Err(ModelError::Keys { problem });
        }
        let threads = u64::from(count);
        if !(threads..=KEYS_MAX).contains(&key_count) {
            let problem =
                format!("{key_count} keys for {count} threads; valid are {count} to {KEYS_MAX}");
            return Err(ModelError::Keys { problem });
        }
        let thread = u64::from(index);
        let own_count = (key_count - thread).div_ceil(threads);
        Ok(Self { thread, threads, key_count, own_count })
    }

    /// Keys of the whole run.
    #[must_use]
    pub fn key_count(&self) -> u64 {
        self.key_count
    }

    /// Keys of this thread, at least 1.
    #[must_use]
    pub fn own_count(&self) -> u64 {
        self.own_count
    }

    /// Threads of the run.
    pub(crate) fn threads(&self) -> u64 {
        self.threads
    }

    /// Number of the thread, for salting its random streams.
    pub(crate) fn thread(&self) -> u64 {
        self.thread
    }

    /// The id of this thread's key number `index`, which is below `own_count`.
    #[must_use]
    pub fn id_at(&self, index: u64) -> u64 {
        index * self.threads + self.thread
    }

    /// The number of a key among this thread's, or nothing if it is another thread's or no key.
    #[must_use]
    pub fn index_of(&self, id: u64) -> Option<u64> {
        let own = id < self.key_count && id % self.threads == self.thread;
        if own { Some(id / self.threads) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_partition_the_keys() {
        for (key_count, count) in [(1, 1), (10, 3), (12, 4), (13, 13), (1_000, 7)] {
            let mut owners = vec![0_u32; key_count as usize];
            for index in 0..count {
                let keys = ThreadKeys::new(key_count, Thread { index, count }).unwrap();
                for number in 0..keys.own_count() {
                    let id = keys.id_at(number);
                    assert_eq!(id % u64::from(count), u64::from(index));
                    assert_eq!(keys.index_of(id), Some(number));
                    owners[id as usize] += 1;
                }
                assert_eq!(keys.index_of(key_count + u64::from(index)), None);
            }
            assert!(owners.iter().all(|owners| *owners == 1), "{key_count} of {count}");
        }
    }

    #[test]
    fn foreign_keys_have_no_number() {
        let keys = ThreadKeys::new(10, Thread { index: 1, count: 3 }).unwrap();
        assert_eq!(keys.own_count(), 3);
        assert_eq!(keys.index_of(4), Some(1));
        assert_eq!(keys.index_of(5), None);
        assert_eq!(keys.index_of(13), None);
    }

    #[test]
    fn a_thread_without_keys_is_refused() {
        let refused = |key_count, index, count| {
            ThreadKeys::new(key_count, Thread { index, count }).unwrap_err().to_string()
        };
        assert!(refused(2, 0, 3).contains("2 keys for 3 threads"));
        assert!(refused(KEYS_MAX + 1, 0, 1).contains(&KEYS_MAX.to_string()));
        assert!(refused(9, 3, 3).contains("thread 3 of 3"));
        assert!(refused(9, 0, 0).contains("thread 0 of 0"));
        assert!(ThreadKeys::new(KEYS_MAX, Thread { index: 0, count: 1 }).is_ok());
    }
}
