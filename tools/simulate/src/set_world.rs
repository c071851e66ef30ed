//! One seed of a whole set: processes that start, serve, lose drives and crash, until the last one
//! deletes everything.
//!
//! Invariants: the run depends on the seed and the options only; within the parity every process
//! comes into service, heals and judges everything within a bounded number of steps; what is
//! answered while too few drives are there for writes is judged too.

use crate::drives::{DriveSnapshot, Drives, Health};
use crate::model::Model;
use crate::options::{INLINE_BYTES_MAX, SetOptions, Swarm};
use crate::process::{Process, Site, Verdict};
use crate::progress::PROGRESS_STEPS_MAX;
use crate::totals::SeedReport;
use engine_env::{Env, Rule};
use engine_set::SetConfig;
use engine_types::{Position, PositionSet};
use shards_sim::{Random, World};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A set that need not come into service gets so many.
const PATIENCE_STEPS: u64 = 20_000;
/// Drives take up to so many times longer than others where they differ in speed.
const SLOWER: [u64; 4] = [1, 1, 3, 10];
/// A process that dies while it writes a view makes at most so many steps more.
const INTERRUPT_STEPS: u64 = 40;
/// Files of the store whose writes are rare, one of which a seed aims at: the rarest more often.
const AIMS: [&str; 8] = [
    "anew.rs",
    "linear.rs",
    "recover.rs",
    "recover.rs",
    "recover.rs",
    "runs.rs",
    "checkpoint.rs",
    "fragments.rs",
];

struct SetWorld {
    site: Site,
    options: SetOptions,
    random: Random,
    /// A view is durable: from now on drives may stay away.
    was_served: bool,
    /// What each drive could take when the set was empty.
    free_bytes: Vec<u64>,
    /// The drives after each process that answered a write, oldest first.
    snapshots: VecDeque<Vec<DriveSnapshot>>,
    /// Writes acknowledged by then.
    acknowledged: u64,
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
    outcome?;
    // Beyond the parity a drive is admitted without what nobody had then, and brings it back later.
    if totals.restored > 0 && !options.rot && options.within_parity {
        return Err(format!("drives in sync lacked records of {} fragments", totals.restored));
    }
    Ok(SeedReport { totals, trace })
}

/// What the members agree on; in the twin of rule 5 metadata lies on P drives.
fn config_of(options: &SetOptions) -> Result<SetConfig, String> {
    let mut config = options.shape.config().map_err(|error| error.to_string())?;
    if options.broken.contains(Rule::MetadataWidth) {
        config.quorums.metadata = usize::from(options.shape.parity).max(1);
        config.quorums.metadata_write = 0;
        config.quorums.metadata_read = 0;
    }
    Ok(config)
}

impl SetWorld {
    fn new(seed: u64, options: &SetOptions) -> Result<Self, String> {
        let shape = options.shape;
        let config = config_of(options)?;
        let swarm = Swarm::draw(seed, options);
        let world = World::new(seed);
        world.set_rare(swarm.rare);
        world.set_broken(options.broken);
        let drives = Drives::new(seed, (shape.drives(), shape.parity), options.within_parity);
        let mut speed = Random::new(seed, "speed");
        for position in drives.all().iter() {
            let slower = if options.slow { *speed.pick(&SLOWER) } else { 1 };
            let media = drives.media(position);
            media.set_delay_us_max(swarm.delay_us_max * slower);
            media.set_unlocked(options.broken.contains(Rule::DriveLock));
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
        if options.aimed {
            let drawn = *Random::new(seed, "aim").pick(&AIMS);
            site.world.aim(Some(options.aimed_at.unwrap_or(drawn)));
        }
        Ok(Self {
            site,
            options: *options,
            random,
            was_served: false,
            free_bytes: Vec::new(),
            snapshots: VecDeque::new(),
            acknowledged: 0,
        })
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
        // Drives hold most while a load runs.
        let outcome = outcome.and_then(|()| process.check_index_memory());
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
        self.roll_back();
        outcome
    }

    /// A drive comes back as it was some starts ago. Only starts count whose process answered a
    /// write: then the others have a durable record of where the drive stood when it started. What
    /// it did since they know with the marks, so that one start back may go unseen.
    fn roll_back(&mut self) {
        let back = usize::from(self.options.rolled_back);
        let acknowledged = self.site.model.borrow().acknowledged;
        if back == 0 || acknowledged == self.acknowledged {
            return;
        }
        self.acknowledged = acknowledged;
        let drives = &self.site.drives;
        let position = Position(self.random.below(u64::from(self.site.config.set_size)) as u8);
        if self.snapshots.len() == back && self.random.one_in(2) && drives.may_lose(position) {
            let old = self.snapshots[0].get(usize::from(position.0));
            if old.is_some_and(|old| drives.roll_back(position, old)) {
                self.site.totals.borrow_mut().rolled_back += 1;
                self.snapshots.clear();
            }
        }
        self.snapshots.push_back(drives.snapshot());
        if self.snapshots.len() > back {
            self.snapshots.pop_front();
        }
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
                    3 if self.options.replaces => {
                        drives.replace(position);
                        totals.replaced += 1;
                    }
                    3 => drives.restore(position),
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
        if self.was_served && self.options.interrupts && self.random.one_in(2) {
            return self.die_while_writing_a_view(process);
        }
        let early = if self.options.aimed { 2 } else { 4 };
        if (self.was_served || self.options.aimed) && self.random.one_in(early) {
            // It dies while it recovers or changes the view.
            let steps = self.random.below(8000);
            return self.site.steps_to_crash(steps, &mut self.random);
        }
        if !self.come_into_service(process)? {
            return Ok(());
        }
        let drives = &self.site.drives;
        // Drives that are behind catch up now, or under the load.
        let waits = drives.are_back() && self.options.must_heal() && !self.random.one_in(3);
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

    /// Some drives have the view that is being written, and others do not.
    fn die_while_writing_a_view(&mut self, process: &Rc<Process>) -> Result<(), String> {
        let count = 1 + self.random.below(u64::from(self.site.config.set_size));
        let is_there = |process: &Process| process.peers.views_written() >= count;
        self.site.wait(process, PATIENCE_STEPS, is_there)?;
        let steps = self.random.below(INTERRUPT_STEPS);
        self.site.steps(steps)
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
        let is_due = self.is_service_due();
        let limit = if is_due { PROGRESS_STEPS_MAX } else { PATIENCE_STEPS };
        self.site.wait(process, limit, |process| process.installed().is_some())?;
        if process.installed().is_some_and(|installed| !installed.writable) {
            // With half of the drives what is decided may still be read, and must be right.
            self.check(process, false)?;
        }
        let is_served = self.site.wait(process, limit, |process| process.status.is_writable())?;
        if is_due && !is_served {
            let (present, out) = (self.site.drives.present(), self.site.drives.out());
            let status = process.status.describe();
            return Err(format!("not in service with {present}, out {out}: {status}"));
        }
        if is_served && !self.was_served {
            self.was_served = true;
            let members = process.positions().filter_map(|at| process.peers.member(at));
            self.free_bytes = members.map(|member| member.store().usage().free_bytes).collect();
            self.begin_rot();
        }
        Ok(is_served)
    }

    /// Whether the drives that are there must come to take writes. Where too few of them are in
    /// sync, those that are back must catch up first.
    fn is_service_due(&self) -> bool {
        let (config, drives) = (&self.site.config, &self.site.drives);
        let suffices = |positions: PositionSet| {
            config.floor_holds(positions) && positions.len() >= config.quorums.view_majority
        };
        let left = config.all().minus(drives.out()).minus(drives.rotten());
        let is_within = self.options.within_parity;
        (is_within && (suffices(left) || suffices(drives.present())))
            || (self.options.must_heal() && drives.are_back())
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
        self.site.steps_to_crash(steps, &mut self.random)
    }

    /// Ends the load, heals every drive, and judges everything. `false`: more was lost than the
    /// parity allows, and the set need not heal.
    fn quiet_check(&mut self, process: &Rc<Process>) -> Result<bool, String> {
        process.quiet.set(true);
        self.site.until(process, "requests end", |process| process.busy.get() == 0)?;
        self.heal_drives();
        process.status.force_change();
        let is_whole = |process: &Process| process.status.is_whole(process.site.config.all());
        if self.options.must_heal() {
            self.site.until(process, "the set heals", is_whole)?;
        } else if !self.site.wait(process, PROGRESS_STEPS_MAX / 20, is_whole)? {
            self.check(process, false)?;
            process.quiet.set(false);
            return Ok(false);
        }
        self.check(process, self.options.must_heal())?;
        let random = Random::new(self.random.next(), "probe");
        self.site.finish(Rc::clone(process).probe_owners(random), "probing owners")?;
        process.quiet.set(false);
        self.begin_rot();
        Ok(self.options.must_heal())
    }

    fn check(&mut self, process: &Rc<Process>, strict: bool) -> Result<(), String> {
        let random = Random::new(self.random.next(), "check");
        self.site.finish(Rc::clone(process).check_all(strict, random), "judging everything")?;
        process.check_index_memory()?;
        if strict {
            self.site.finish(Rc::clone(process).check_replicas(), "comparing drives")?;
            self.site.totals.borrow_mut().whole_checks += 1;
        }
        Ok(())
    }
}
