//! Running a world until something holds.
//!
//! Invariants: everything ends within a bounded number of steps, or that is the error; the first
//! thing found wrong ends the run.

use crate::process::{Process, Site};
use shards_sim::Random;

/// A set comes into service, heals and ends its requests within so many steps.
pub const PROGRESS_STEPS_MAX: u64 = 6_000_000;
/// A check ends within so many.
const CHECK_STEPS_MAX: u64 = 60_000_000;
/// A write is on its way for about so many steps: where little else runs, and where much does.
const AIM_STEPS: [u64; 3] = [2, 6, 24];
/// One in so many of those writes is taken, so that the later ones of a start have their turn.
const AIM_ONE_IN: [u64; 3] = [1, 4, 16];

impl Site {
    /// Runs a task to its end.
    pub fn finish(
        &self,
        task: impl Future<Output = ()> + 'static,
        what: &str,
    ) -> Result<(), String> {
        let done = self.world.run(task, CHECK_STEPS_MAX);
        self.verdict.get()?;
        done.ok_or_else(|| format!("{what} never ends"))
    }

    /// Runs some steps.
    pub fn steps(&self, steps: u64) -> Result<(), String> {
        for _ in 0..steps {
            if !self.world.step() {
                return Err("nothing can go on".to_owned());
            }
            if self.verdict.is_wrong() {
                break;
            }
        }
        self.verdict.get()
    }

    /// Runs some steps, or fewer where the world aims at a write and one is on its way: only a few
    /// more may follow then.
    pub fn steps_to_crash(&self, steps: u64, random: &mut Random) -> Result<(), String> {
        if !self.world.is_aimed() {
            return self.steps(steps);
        }
        self.world.take_hit();
        let one_in = *random.pick(&AIM_ONE_IN);
        for _ in 0..steps {
            self.steps(1)?;
            if self.world.take_hit() && random.one_in(one_in) {
                let most = *random.pick(&AIM_STEPS);
                return self.steps(random.below(most));
            }
        }
        Ok(())
    }

    /// Runs until something holds; it must in time.
    pub fn until(
        &self,
        process: &Process,
        what: &str,
        holds: impl Fn(&Process) -> bool,
    ) -> Result<(), String> {
        if self.wait(process, PROGRESS_STEPS_MAX, holds)? {
            return Ok(());
        }
        let (out, status) = (self.drives.out(), process.status.describe());
        Err(format!("no progress: {what}; out {out}, {status}"))
    }

    /// Runs until something holds, at most so many steps; gives whether it holds.
    pub fn wait(
        &self,
        process: &Process,
        steps_max: u64,
        holds: impl Fn(&Process) -> bool,
    ) -> Result<bool, String> {
        for _ in 0..steps_max {
            if holds(process) {
                return Ok(true);
            }
            self.steps(1)?;
        }
        Ok(holds(process))
    }
}
