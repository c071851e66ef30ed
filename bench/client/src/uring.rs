//! The ring as the kernel gives it: made with the best flags it takes, and waited on.
//!
//! Invariants: a ring is used by the thread that made it; what ends a wait without being an error
//! (time, a signal, completions that must be taken first) is none here either.

use io_uring::IoUring;
use io_uring::types::{SubmitArgs, Timespec};
use std::io;
use std::time::Duration;

/// Numbers of Linux.
const EINTR: i32 = 4;
const EBUSY: i32 = 16;
const ETIME: i32 = 62;

/// A ring with the best flags this kernel takes.
pub(crate) fn build(entries: u32) -> io::Result<IoUring> {
    let ring = with_best_flags(entries)?;
    let parameters = ring.params();
    if !parameters.is_feature_ext_arg() || !parameters.is_feature_nodrop() {
        return Err(io::Error::other("the kernel's io_uring is too old (5.11 is needed)"));
    }
    Ok(ring)
}

fn with_best_flags(entries: u32) -> io::Result<IoUring> {
    let mut best: io_uring::Builder = IoUring::builder();
    best.dontfork().setup_clamp().setup_single_issuer().setup_defer_taskrun();
    if let Ok(ring) = best.build(entries) {
        return Ok(ring);
    }
    let mut plain: io_uring::Builder = IoUring::builder();
    plain.dontfork().setup_clamp();
    plain.build(entries)
}

/// Submits what was pushed and waits for a completion, at most so long; `None`: without end.
pub(crate) fn wait(ring: &IoUring, timeout: Option<Duration>) -> io::Result<()> {
    let outcome = match timeout {
        None => ring.submitter().submit_and_wait(1),
        Some(timeout) => {
            // One is wanted also where there is no time: else the kernel would not look.
            let span = Timespec::from(timeout);
            let args = SubmitArgs::new().timespec(&span);
            ring.submitter().submit_with_args(1, &args)
        }
    };
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            // Time is up, a signal came, or completions must be taken first.
            Some(ETIME | EINTR | EBUSY) => Ok(()),
            _ => Err(error),
        },
    }
}
