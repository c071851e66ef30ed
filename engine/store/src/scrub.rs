//! The part of a scrub that one drive does alone: everything that only opening it would read is
//! written anew or read from the drive.
//!
//! Invariants: what is read is what lies on the drive, never a cache; a scrub waits between its
//! reads, longer while clients keep the log busy, and they are background work of the drive.

use crate::error::DriveError;
use crate::runs::{Run, read_tail};
use crate::store::Store;
use engine_env::{Env, IoClass};
use engine_index::RunIndex;
use std::rc::Rc;

/// Rounds a scrub waits for a busy log before it goes on a little.
const BUSY_ROUNDS_MAX: u32 = 100;
const BUSY_WAIT_US: u64 = 10_000;

/// How fast a scrub reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrubPace {
    /// Bytes of a drive a second, at most.
    pub bytes_per_second: u64,
}

impl<E: Env> Store<E> {
    /// Takes a checkpoint, so that nothing before it is needed any more (superblocks, checkpoint,
    /// log), and reads the whole index. A rotten tail of a run is written anew; a rotten block
    /// fails the drive.
    ///
    /// # Errors
    /// `IndexRot`, or a device error.
    pub async fn scrub_index(&self, pace: ScrubPace) -> Result<(), DriveError> {
        self.checkpoint_if_room().await?;
        let run_ids: Vec<u64> =
            self.shared.runs.borrow().list.iter().map(|run| run.summary.run_id).collect();
        let mut is_rotten = false;
        'runs: for run_id in run_ids {
            // One that was merged meanwhile was read for that, and is not to be held on to.
            let Some(run) = self.run(run_id) else { continue };
            for index in 0..run.index.block_count() {
                let Some(location) = run.index.block(index) else { break };
                self.shared.read_run_block(IoClass::Background, &run, &location).await?;
                self.rest(pace, location.length_bytes.into()).await;
                if self.run(run_id).is_none() {
                    continue 'runs;
                }
            }
            is_rotten |= self.scrub_tail(&run).await?;
            self.rest(pace, run.summary.tail_bytes).await;
        }
        if is_rotten { self.checkpoint_if_room().await } else { Ok(()) }
    }

    fn run(&self, run_id: u64) -> Option<Rc<Run>> {
        let runs = self.shared.runs.borrow();
        runs.list.iter().find(|run| run.summary.run_id == run_id).cloned()
    }

    async fn checkpoint_if_room(&self) -> Result<(), DriveError> {
        match self.checkpoint().await {
            Ok(()) | Err(DriveError::Full) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn scrub_tail(&self, run: &Run) -> Result<bool, DriveError> {
        let shared = &self.shared;
        let segment_bytes = shared.space.borrow().segment_bytes();
        let drive = shared.drive_of(IoClass::Background);
        let tail = read_tail(drive, &run.summary, &run.segments, segment_bytes).await?;
        let is_rotten = RunIndex::parse(&tail, &run.summary).is_err();
        if is_rotten {
            shared.count_corrupt();
            run.tail_is_rotten.set(true);
        }
        Ok(is_rotten)
    }

    /// Waits after a scrub has read so many bytes.
    pub async fn rest(&self, pace: ScrubPace, bytes: u64) {
        let env = &self.shared.env;
        let mut pause_us = bytes.saturating_mul(1_000_000) / pace.bytes_per_second.max(1);
        // In short naps: a drive that fails is let go of at once.
        while pause_us > 0 && self.failed().is_none() {
            let nap_us = pause_us.min(BUSY_WAIT_US);
            env.sleep_us(nap_us).await;
            pause_us -= nap_us;
        }
        for _ in 0..BUSY_ROUNDS_MAX {
            if self.shared.log.borrow().is_idle() || self.failed().is_some() {
                return;
            }
            env.sleep_us(BUSY_WAIT_US).await;
        }
    }
}
