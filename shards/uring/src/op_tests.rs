//! What follows the completions of a write and the flush linked to it, in every order and outcome.

use crate::config::DriveLimits;
use crate::files::{DriveFile, OpenFile, RetiredSlots};
use crate::op::{DriveState, Half, Op, Pair, Piece, Step, Work};
use crate::queue::{Direction, Place};
use engine_env::IoClass;
use std::fs::File;
use std::path::PathBuf;
use std::rc::Rc;

const LEN: usize = 8192;
const DONE: Step = Step::Done(Ok(()));
const CANCELED: i32 = -libc::ECANCELED;

fn pair() -> Op {
    let path = PathBuf::from("/dev/null");
    let file = OpenFile::new(path.clone(), File::open(&path).unwrap());
    let file = Rc::new(DriveFile::new(file, None, RetiredSlots::default()));
    Op {
        drive: Rc::new(DriveState::new(&DriveLimits::default(), 1, None)),
        place: Place { direction: Direction::Write, class: IoClass::Foreground },
        work: Work::WriteSync,
        first: Piece { file, offset_bytes: 0, len_bytes: LEN },
        second: None,
        buffer: None,
        done_bytes: 0,
        retries: 0,
        started_us: 0,
        deadline_us: 0,
        flush_mark: 0,
        pair: Pair::default(),
        reply: None,
    }
}

fn both(op: &mut Op, first: i32, sync: i32) -> Step {
    assert_eq!(op.advance(Half::Sync, sync), Step::Wait);
    op.advance(Half::First, first)
}

#[test]
fn both_halves_are_waited_for_in_any_order() {
    let mut op = pair();
    assert_eq!(op.advance(Half::First, LEN as i32), Step::Wait);
    assert_eq!(op.advance(Half::Sync, 0), DONE);
    assert_eq!(both(&mut pair(), LEN as i32, 0), DONE);
}

#[test]
fn a_short_or_interrupted_write_takes_both_halves_again() {
    let mut op = pair();
    assert_eq!(both(&mut op, 4096, CANCELED), Step::Again);
    assert_eq!((op.done_bytes, op.pair.is_written), (4096, false));
    assert_eq!(both(&mut op, -libc::EINTR, CANCELED), Step::Again);
    assert_eq!(both(&mut op, 4096, 0), DONE);
}

#[test]
fn a_failed_write_is_no_failed_flush() {
    let mut op = pair();
    assert_eq!(both(&mut op, -libc::EIO, CANCELED), Step::Done(Err(libc::EIO)));
    assert!(!op.pair.flush_failed);
}

#[test]
fn a_failed_flush_is_never_overlooked() {
    for first in [LEN as i32, 4096, -libc::EAGAIN, -libc::EBADF] {
        let mut op = pair();
        assert_eq!(both(&mut op, first, -libc::EIO), Step::Done(Err(libc::EIO)));
        assert!(op.pair.flush_failed, "beside {first}");
    }
}

#[test]
fn a_flush_that_was_torn_off_is_made_again_alone() {
    let mut op = pair();
    op.pair.is_torn = true;
    assert_eq!(both(&mut op, LEN as i32, 0), Step::Again);
    assert!(op.pair.is_written);
    assert_eq!(op.advance(Half::First, -libc::EINTR), Step::Again);
    assert_eq!(op.advance(Half::First, 0), DONE);
    let mut op = pair();
    assert_eq!(both(&mut op, LEN as i32, CANCELED), Step::Again);
    assert_eq!(op.advance(Half::First, -libc::EIO), Step::Done(Err(libc::EIO)));
    assert!(op.pair.flush_failed);
}
