//! One seed of a whole set: processes that start, serve, lose drives and crash, until the last one
//! deletes everything.
//!
//! Invariants: the run depends on the seed and the options only; within the parity every process
//! comes into service, heals and judges everything within a bounded number of steps.

use crate::drives::{Drives, Health};
use crate::model::Model;
use crate::options::{INLINE_BYTES_MAX, SetOptions, Swarm};
use crate::process::{Process, Site, Verdict};
use crate::progress::PROGRESS_STEPS_MAX;
use crate::totals::SeedReport;
use engine_env::Env;
use engine_types::Position;
use shards_sim::{Random, World};
use std::cell::RefCell;
use std::rc::Rc;

/// A set that need not come into service gets so many.
const PATIENCE_STEPS: u64 = 20_000;

struct SetWorld {
    site: Site,
    options: SetOptions,
    random: Random,
    /// A view is durable: from now on drives may stay away.
    was_served: bool,
    /// What each drive could take when the set was empty.
    free_bytes: Vec<u64>,
}

/// Runs a seed to its end.
///
/// # Errors
/// What is wrong.
pub fn run_seed(seed: u64, options: &SetOptions) -> Result<SeedReport, String> {
    let mut world = SetWorld::new(seed, options)?;
    let outcome = world.run();
    let trace = world.site.world.trace();
    let mut totals = *world.site.totals.borrow();
    totals.acknowledged = world.site.model.borrow().acknowledged;
    totals.reads = world.site.model.borrow().reads;
    totals.steps = world.site.world.steps();
    totals.seeds = 1;
    world.site.world.kill();
    outcome.map(|()| SeedReport { totals, trace })
}

impl SetWorld {
    fn new(seed: u64, options: &SetOptions) -> Result<Self, String> {
        let shape = options.shape;
        let config = shape.config().map_err(|error| error.to_string())?;
        let swarm = Swarm::draw(seed, options);
        let world = World::new(seed);
        world.set_rare(swarm.rare);
        let drives = Drives::new(seed, (shape.drives(), shape.parity), options.within_parity);
        for position in drives.all().iter() {
            drives.media(position).set_delay_us_max(swarm.delay_us_max);
        }
        let stripe_bytes = config.geometry.stripe_bytes() as usize;
        let model = Model::new(INLINE_BYTES_MAX as usize, stripe_bytes);
        let site = Site {
            world,
            config,
            swarm: Rc::new(swarm),
            drives,
            model: Rc::new(RefCell::new(model)),
            totals: Rc::default(),
            verdict: Verdict::default(),
        };
        let random = Random::new(seed, "set world");
        let free_bytes = Vec::new();
        Ok(Self { site, options: *options, random, was_served: false, free_bytes })
    }

    fn run(&mut self) -> Result<(), String> {
        for crash in 0..self.options.crashes {
            self.choose_absent();
            self.one_process(false).map_err(|what| format!("after {crash} crashes: {what}"))?;
        }
        self.heal_drives();
        self.one_process(true).map_err(|what| format!("at the end: {what}"))
    }

    fn one_process(&mut self, is_last: bool) -> Result<(), String> {
        let process = Process::new(self.site.clone());
        self.site.world.env().spawn(Rc::clone(&process).supervise());
        let outcome = if is_last { self.last_life(&process) } else { self.life(&process) };
        for position in process.positions() {
            if let Some(member) = process.peers.member(position) {
                process.count_store(&member);
            }
        }
        self.site.world.kill();
        process.peers.clear();
        self.site.model.borrow_mut().process_died();
        let power_cut = self.random.below(8) < self.site.swarm.power_cuts;
        self.site.drives.crash(&mut self.random, power_cut);
        self.site.totals.borrow_mut().crashes += 1;
        outcome
    }

    /// Some drives stay away from the next process, some come back, some are replaced.
    fn choose_absent(&mut self) {
        if !self.was_served || !self.options.faults {
            return;
        }
        let (drives, random) = (&self.site.drives, &mut self.random);
        if random.one_in(3) {
            drives.restore_all();
            return;
        }
        let mut totals = self.site.totals.borrow_mut();
        for position in drives.all().iter() {
            if drives.health(position) != Health::Fine {
                match random.below(8) {
                    0..3 => drives.restore(position),
                    3 => {
                        drives.replace(position);
                        totals.replaced += 1;
                    }
                    _ => {}
                }
            } else if random.one_in(4) && drives.may_lose(position) {
                drives.lose(position, Health::Absent);
                totals.faults += 1;
            }
        }
    }

    /// Every drive works from now on.
    fn heal_drives(&self) {
        let drives = &self.site.drives;
        drives.restore_all();
        self.site.totals.borrow_mut().replaced += drives.end_rot();
    }

    fn life(&mut self, process: &Rc<Process>) -> Result<(), String> {
        if self.was_served && self.random.one_in(4) {
            // It dies while it recovers or changes the view.
            let steps = self.random.below(8000);
            return self.site.steps(steps);
        }
        if !self.come_into_service(process)? {
            // With half of the drives what is decided may still be read, and must be right.
            let is_read = process.installed().is_some();
            return if is_read { self.check(process, false) } else { Ok(()) };
        }
        let drives = &self.site.drives;
        // Drives that are behind catch up now, or under the load.
        let waits = drives.are_back() && self.options.within_parity && !self.random.one_in(3);
        if waits {
            self.site.until(process, "the set is whole", |process| {
                process.status.is_whole(process.site.config.all())
            })?;
        }
        self.check(process, waits)?;
        self.load(process)?;
        if self.random.one_in(3) {
            self.quiet_check(process)?;
            self.load(process)?;
        }
        Ok(())
    }

    fn last_life(&mut self, process: &Rc<Process>) -> Result<(), String> {
        if !self.come_into_service(process)? {
            return Ok(());
        }
        // With a load and faults in this process too: what they leave behind must go.
        self.load(process)?;
        if !self.quiet_check(process)? {
            return Ok(());
        }
        self.site.finish(Rc::clone(process).delete_all(), "deleting everything")?;
        self.check(process, true)?;
        let free_bytes = self.free_bytes.clone();
        self.site.finish(Rc::clone(process).check_empty(free_bytes), "looking for leftovers")
    }

    /// Waits until writes are served. `false`: they need not be, with so many drives lost.
    fn come_into_service(&mut self, process: &Rc<Process>) -> Result<bool, String> {
        let (config, drives) = (&self.site.config, &self.site.drives);
        let left = config.all().minus(drives.out()).minus(drives.rotten());
        let is_enough = config.floor_holds(left) && left.len() >= config.quorums.view_majority;
        // Where too few are in sync, those that are back must catch up first.
        let is_due = self.options.within_parity && (is_enough || drives.are_back());
        let limit = if is_due { PROGRESS_STEPS_MAX } else { PATIENCE_STEPS };
        let is_served = self.site.wait(process, limit, |process| process.status.is_writable())?;
        if is_due && !is_served {
            return Err(format!("not in service with {left}: {}", process.status.describe()));
        }
        if is_served && !self.was_served {
            self.was_served = true;
            let members = process.positions().filter_map(|at| process.peers.member(at));
            self.free_bytes = members.map(|member| member.store().usage().free_bytes).collect();
            self.begin_rot();
        }
        Ok(is_served)
    }

    fn begin_rot(&mut self) {
        let parity = u64::from(self.options.shape.parity);
        if !self.options.rot || parity == 0 {
            return;
        }
        for _ in 0..=self.random.below(parity) {
            let position = Position(self.random.below(self.options.shape.drives().into()) as u8);
            if self.site.drives.may_lose(position) {
                self.site.drives.begin_rot(position);
            }
        }
    }

    /// Writers, readers and faults for a while.
    fn load(&mut self, process: &Rc<Process>) -> Result<(), String> {
        process.start_load(&mut self.random);
        let faults = Random::new(self.random.next(), "faults");
        process.spawn_load(Rc::clone(process).make_faults(faults));
        if self.options.rot {
            let rot = Random::new(self.random.next(), "rot");
            process.spawn_load(Rc::clone(process).make_rot(rot));
        }
        let most = if self.random.one_in(4) { 60_000 } else { 10_000 };
        let steps = self.random.below(most);
        self.site.steps(steps)
    }

    /// Ends the load, heals every drive, and judges everything. `false`: more was lost than the
    /// parity allows, and the set need not heal.
    fn quiet_check(&mut self, process: &Rc<Process>) -> Result<bool, String> {
        process.quiet.set(true);
        self.site.until(process, "requests end", |process| process.busy.get() == 0)?;
        self.heal_drives();
        process.status.force_change();
        let is_whole = |process: &Process| process.status.is_whole(process.site.config.all());
        if self.options.within_parity {
            self.site.until(process, "the set heals", is_whole)?;
        } else if !self.site.wait(process, PROGRESS_STEPS_MAX / 20, is_whole)? {
            self.check(process, false)?;
            process.quiet.set(false);
            return Ok(false);
        }
        self.check(process, self.options.within_parity)?;
        let random = Random::new(self.random.next(), "probe");
        self.site.finish(Rc::clone(process).probe_owners(random), "probing owners")?;
        process.quiet.set(false);
        self.begin_rot();
        Ok(self.options.within_parity)
    }

    fn check(&mut self, process: &Rc<Process>, strict: bool) -> Result<(), String> {
        let random = Random::new(self.random.next(), "check");
        self.site.finish(Rc::clone(process).check_all(strict, random), "judging everything")?;
        if strict {
            self.site.finish(Rc::clone(process).check_replicas(), "comparing drives")?;
            self.site.totals.borrow_mut().whole_checks += 1;
        }
        Ok(())
    }
}
