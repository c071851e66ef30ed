//! How soon a drive that failed is tried again: one that works for a moment, again and again, must
//! not change the view every few seconds.
//!
//! Invariants: only a drive that could be opened and failed again soon waits longer; one that cannot
//! be opened is looked for at every round, so that it is found soon after it was plugged in.

use std::collections::BTreeMap;

/// The wait after the first failure; each one soon after doubles it.
const FIRST_US: u64 = 5_000_000;
/// The longest wait.
const LONGEST_US: u64 = 320_000_000;
/// A drive that worked so long begins anew.
const LONG_ENOUGH_US: u64 = 600_000_000;

/// When each drive may be opened again, by its UUID: another drive in its place does not wait.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    drives: BTreeMap<String, Wait>,
}

#[derive(Debug)]
struct Wait {
    opened_us: u64,
    next_us: u64,
}

impl Backoff {
    /// Whether the drive may be opened now.
    pub(crate) fn is_due(&self, uuid: &str, now_us: u64) -> bool {
        self.drives.get(uuid).is_none_or(|wait| now_us >= wait.next_us)
    }

    /// The drive was opened again after a failure.
    pub(crate) fn opened(&mut self, uuid: &str, now_us: u64) {
        let wait_us = match self.drives.get(uuid) {
            Some(before) if now_us < before.opened_us + LONG_ENOUGH_US => {
                (2 * (before.next_us - before.opened_us)).min(LONGEST_US)
            }
            _ => FIRST_US,
        };
        self.drives.insert(uuid.to_owned(), Wait { opened_us: now_us, next_us: now_us + wait_us });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_that_fails_again_soon_waits_twice_as_long() {
        let mut backoff = Backoff::default();
        assert!(backoff.is_due("three", 0), "the first failure");
        let mut now_us = 0;
        for wait_us in [5, 10, 20, 40, 80, 160, 320, 320].map(|seconds| seconds * 1_000_000) {
            backoff.opened("three", now_us);
            assert!(!backoff.is_due("three", now_us + wait_us - 1));
            assert!(backoff.is_due("four", now_us), "another drive does not wait");
            now_us += wait_us;
            assert!(backoff.is_due("three", now_us));
        }
        backoff.opened("three", now_us);
        now_us += LONG_ENOUGH_US;
        backoff.opened("three", now_us);
        assert!(backoff.is_due("three", now_us + FIRST_US), "it worked for long");
    }
}
