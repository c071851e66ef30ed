//! What happens to drives while they are in use.
//!
//! Invariants: `Drives::may_lose` is asked before a drive is lost; what is lost may come back as it
//! was, or be replaced by an empty drive.

use crate::drives::Health;
use crate::process::Process;
use engine_env::Env;
use engine_types::Position;
use shards_sim::Random;
use std::rc::Rc;

impl Process {
    /// Makes faults until the process is quiet or dies.
    pub async fn make_faults(self: Rc<Self>, mut random: Random) {
        let mean_us = self.site.swarm.fault_us;
        if mean_us == 0 {
            return;
        }
        loop {
            self.env.sleep_us(1 + random.below(2 * mean_us)).await;
            if self.quiet.get() {
                return;
            }
            self.one_fault(&mut random);
        }
    }

    fn one_fault(&self, random: &mut Random) {
        let drives = &self.site.drives;
        let position = Position(random.below(u64::from(self.site.config.set_size)) as u8);
        match (drives.health(position), random.below(6)) {
            (Health::Fine, kind @ 0..4) if drives.may_lose(position) => {
                let health = if kind == 0 { Health::Stalled } else { Health::Failed };
                drives.lose(position, health);
                self.count(|totals| totals.faults += 1);
            }
            (Health::Fine, _) => {}
            (_, 0..4) => drives.restore(position),
            (_, 4) if self.site.swarm.replaces => {
                drives.replace(position);
                self.count(|totals| totals.replaced += 1);
            }
            _ => {}
        }
    }

    /// Flips bits of drives that rot until the process is quiet or dies.
    pub async fn make_rot(self: Rc<Self>, mut random: Random) {
        loop {
            self.env.sleep_us(1 + random.below(20_000)).await;
            if self.quiet.get() {
                return;
            }
            for position in self.site.drives.rotten().iter() {
                if self.site.drives.flip_bit(position, &mut random) {
                    self.count(|totals| totals.flipped += 1);
                }
            }
        }
    }
}
