//! Waiting for a drive that a killed process still holds.
//!
//! The kernel takes a ring apart behind the end of its process: until then its files stay locked and
//! its devices taken, also where nobody is left to be asked.

use crate::clock::now_ns;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A drive that is taken for longer is somebody's.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(50);

/// Tries again, for ten seconds or until `stop` is set, while a lock is held or a device is busy.
/// Blocks the thread.
///
/// # Errors
/// The last one of `attempt`; any other at once.
pub fn patiently<T>(stop: &AtomicBool, attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    within(PATIENCE, stop, attempt)
}

fn within<T>(
    patience: Duration,
    stop: &AtomicBool,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let until_ns = now_ns().saturating_add(patience.as_nanos() as u64);
    loop {
        let outcome = attempt();
        let is_taken = outcome.as_ref().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::ResourceBusy)
        });
        if !is_taken || now_ns() >= until_ns || stop.load(Ordering::Relaxed) {
            return outcome;
        }
        std::thread::sleep(RETRY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries(
        patience: Duration,
        is_stopped: bool,
        answers: &[Option<ErrorKind>],
    ) -> (io::Result<()>, usize) {
        let mut rest = answers.iter();
        let outcome =
            within(patience, &AtomicBool::new(is_stopped), || match rest.next().unwrap() {
                Some(kind) => Err(io::Error::from(*kind)),
                None => Ok(()),
            });
        (outcome, answers.len() - rest.len())
    }

    #[test]
    fn only_what_is_taken_is_tried_again() {
        let busy = Some(ErrorKind::ResourceBusy);
        let (outcome, count) = tries(PATIENCE, false, &[busy, Some(ErrorKind::WouldBlock), None]);
        assert!(outcome.is_ok() && count == 3);
        let (outcome, count) = tries(PATIENCE, false, &[busy, Some(ErrorKind::NotFound), None]);
        assert_eq!((outcome.unwrap_err().kind(), count), (ErrorKind::NotFound, 2));
        for (patience, is_stopped) in [(Duration::ZERO, false), (PATIENCE, true)] {
            let (outcome, count) = tries(patience, is_stopped, &[busy, None]);
            assert_eq!((outcome.unwrap_err().kind(), count), (ErrorKind::ResourceBusy, 1));
        }
    }
}
