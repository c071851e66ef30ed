//! Crashes while a set deals with rot: in a start that reads it, while a drive begins anew, while
//! what was found is written anew.
//!
//! Invariant: clients write nothing meanwhile, so that whatever is lost was lost by the healing.

use super::{RotWorld, start};
use crate::process::Process;
use engine_env::Env;
use engine_store::ScrubPace;
use std::rc::Rc;

/// A start opens every drive within about so many steps.
const START_STEPS: u64 = 600;

/// A drive that is rotten begins anew within so many steps of a start.
const ANEW_STEPS_MAX: u64 = 20_000;

/// Writing a drive's first blocks takes about so many steps: where little else runs, and where
/// much does.
const ANEW_STEPS: [u64; 2] = [60, 2_000];

/// A scrub has found and written something anew within about so many steps.
const SCRUB_STEPS: u64 = 6_000;

impl RotWorld {
    /// Dies within so many steps, rather when a write from this file is on its way.
    fn crash_within(&mut self, steps: u64, file: &'static str) -> Result<(), String> {
        self.site.world.aim(Some(file));
        self.site.steps_to_crash(steps, &mut self.random)?;
        self.site.world.aim(None);
        self.stop();
        self.process = start(&self.site);
        Ok(())
    }

    /// Sometimes the process dies early in its start, again and again.
    pub(super) fn crash_in_start(&mut self) -> Result<(), String> {
        for _ in 0..self.random.below(self.in_a_row) {
            let steps = 1 + self.random.below(START_STEPS);
            self.crash_within(steps, "recover.rs")?;
        }
        Ok(())
    }

    /// Sometimes the process dies while a drive begins anew.
    pub(super) fn crash_in_anew(&mut self) -> Result<(), String> {
        let all = self.site.config.all();
        for _ in 0..self.random.below(self.in_a_row) {
            let begins = |process: &Process| {
                process.status.begins_anew.get() || process.status.is_whole(all)
            };
            self.site.wait(&self.process, ANEW_STEPS_MAX, begins)?;
            if !self.process.status.begins_anew.get() {
                return Ok(());
            }
            let most = *self.random.pick(&ANEW_STEPS);
            let steps = self.random.below(most);
            self.crash_within(steps, "anew.rs")?;
        }
        Ok(())
    }

    /// Sometimes the process dies while every drive is scrubbed.
    pub(super) fn crash_in_scrub(&mut self) -> Result<(), String> {
        if self.random.one_in(2) {
            return Ok(());
        }
        let pace = ScrubPace { bytes_per_second: u64::MAX };
        for member in self.process.positions().filter_map(|at| self.process.peers.member(at)) {
            let process = Rc::clone(&self.process);
            self.process.env.spawn(async move {
                if member.scrub(pace).await.is_ok() {
                    process.count(|totals| totals.scrubs += 1);
                }
            });
        }
        let steps = 1 + self.random.below(SCRUB_STEPS);
        self.crash_within(steps, "linear.rs")
    }
}
