//! One seed of rot: a set is written to; then bits flip in every structure of at most P drives, under
//! the running process or while there is none; then every object and listing is judged, everything
//! is read once, and other drives are taken away: every byte must still be there. Again and again.
//!
//! Invariants: the run depends on the seed and the options only; never more drives are rotten, or
//! away, than the parity and the majority of a view allow, and what was rotten is healed before
//! others go.

mod crashes;

use crate::drives::{Drives, Health};
use crate::model::{Model, Value};
use crate::options::{INLINE_BYTES_MAX, SetOptions, Shape, Swarm};
use crate::process::{BUCKET, Process, Site, Verdict, key_of};
use crate::totals::SeedReport;
use bytes::Bytes;
use engine_env::Env;
use engine_format::{Commit, CommitData, Order};
use engine_store::{Placed, ScrubPace, Structure};
use engine_types::{DataId, Position, PositionSet, Sequence};
use futures_util::future::join_all;
use shards_sim::{Random, World};
use std::cell::RefCell;
use std::rc::Rc;

/// Looking at the drives ends within so many steps.
const LOOK_STEPS_MAX: u64 = 10_000_000;

/// A pass in which drives were found rotten is followed by another, at most so many in all.
const SCRUBS_MAX: u32 = 5;

/// Which structures of a round rot: all, those of clients' bytes, those a drive opens with, the
/// index, the log.
const KINDS: [&[Structure]; 5] = [
    &Structure::ALL,
    &[Structure::AppendedFragment, Structure::ExtentFragment, Structure::Footer],
    &[
        Structure::Superblock,
        Structure::Checkpoint,
        Structure::LogHeader,
        Structure::RunTail,
        Structure::LogBatch,
    ],
    &[Structure::RunBlock, Structure::RunTail],
    &[Structure::LogBatch, Structure::LogHeader],
];

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotOptions {
    /// The shape of the set.
    pub shape: Shape,
    /// Bits flipped in each seed.
    pub flips: u64,
    /// A process dies fewer times than this in a row: in its start, and while a drive begins anew.
    pub in_a_row: u64,
}

impl RotOptions {
    const IN_A_ROW: u64 = 3;

    /// The usual.
    #[must_use]
    pub fn new(shape: Shape, flips: u64) -> Self {
        Self { shape, flips, in_a_row: Self::IN_A_ROW }
    }

    /// The shapes that can lose a drive and go on.
    pub const SHAPES: [Shape; 4] = [
        Shape { data: 4, parity: 2 },
        Shape { data: 2, parity: 1 },
        Shape { data: 2, parity: 2 },
        Shape { data: 8, parity: 4 },
    ];
}

struct RotWorld {
    site: Site,
    random: Random,
    process: Rc<Process>,
    /// Bits to be flipped yet.
    left: u64,
    /// Drives that may be rotten or away at once.
    losses_max: usize,
    in_a_row: u64,
}

/// What was found on a drive.
type Places = Vec<(Position, Vec<Placed>)>;

/// Runs a seed to its end.
///
/// # Errors
/// What is wrong.
pub fn run_seed(seed: u64, options: &RotOptions) -> Result<SeedReport, String> {
    let mut world = RotWorld::new(seed, options)?;
    let outcome = world.run();
    let trace = world.site.world.trace();
    world.stop();
    let mut totals = *world.site.totals.borrow();
    totals.acknowledged = world.site.model.borrow().acknowledged;
    totals.reads = world.site.model.borrow().reads;
    totals.steps = world.site.world.steps();
    totals.seeds = 1;
    outcome.map(|()| SeedReport { totals, trace })
}

fn start(site: &Site) -> Rc<Process> {
    let process = Process::new(site.clone());
    site.world.env().spawn(Rc::clone(&process).supervise());
    process
}

/// A load that leaves every kind of object behind.
fn draw_swarm(seed: u64, shape: Shape) -> Swarm {
    let mut swarm = Swarm::draw(seed, &SetOptions::new(shape, 0));
    swarm.keys = swarm.writers * 12;
    swarm.weights = [6, 1, 2, 1, 3, 1, 1];
    swarm.pause_us = 200;
    swarm.fault_us = 0;
    swarm.whole_reads = true;
    swarm
}

impl RotWorld {
    fn new(seed: u64, options: &RotOptions) -> Result<Self, String> {
        let shape = options.shape;
        let config = shape.config().map_err(|error| error.to_string())?;
        let (parity, count) = (usize::from(shape.parity), usize::from(shape.drives()));
        let losses_max = parity.min(count - config.quorums.view_majority);
        if losses_max == 0 {
            return Err(format!("a set of {shape} cannot lose a drive and go on"));
        }
        let swarm = draw_swarm(seed, shape);
        let world = World::new(seed);
        world.set_rare(swarm.rare);
        let drives = Drives::new(seed, (shape.drives(), shape.parity), true);
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
        let process = start(&site);
        let random = Random::new(seed, "rot world");
        let (left, in_a_row) = (options.flips, options.in_a_row);
        Ok(Self { site, random, process, left, losses_max, in_a_row })
    }

    fn run(&mut self) -> Result<(), String> {
        self.wait_whole("the set comes into service")?;
        let mut round = 0;
        while self.left > 0 {
            round += 1;
            let at = |what: String| format!("round {round}: {what}");
            self.write().map_err(at)?;
            let rotten = self.choose(self.site.config.all());
            self.rot(rotten).map_err(at)?;
            let at = |what: String| format!("round {round}, rot on {rotten}: {what}");
            self.read_all().map_err(at)?;
            self.site.drives.set_rotten(PositionSet::EMPTY);
            self.check_replicas().map_err(at)?;
            let others = self.choose(self.site.config.all().minus(rotten));
            let at =
                |what: String| format!("round {round}, rot on {rotten}, {others} gone: {what}");
            self.take_away(others).map_err(at)?;
        }
        Ok(())
    }

    /// Ends the process.
    fn stop(&mut self) {
        for position in self.process.positions() {
            if let Some(member) = self.process.peers.member(position) {
                self.process.count_store(&member);
            }
        }
        self.site.world.kill();
        self.process.peers.clear();
        self.site.model.borrow_mut().process_died();
        let power_cut = self.random.one_in(2);
        self.site.drives.crash(&mut self.random, power_cut);
        self.site.totals.borrow_mut().crashes += 1;
    }

    fn wait_whole(&self, what: &str) -> Result<(), String> {
        let all = self.site.config.all();
        let is_whole = |process: &Process| {
            let works = |at: Position| {
                let member = process.peers.member(at);
                member.is_some_and(|member| member.store().failed().is_none())
            };
            process.status.is_whole(all) && all.iter().all(works)
        };
        self.site.until(&self.process, what, is_whole)
    }

    /// Some writes, and then quiet.
    fn write(&mut self) -> Result<(), String> {
        let process = Rc::clone(&self.process);
        process.quiet.set(false);
        process.start_load(&mut self.random);
        let steps = 4_000 + self.random.below(30_000);
        self.site.steps(steps)?;
        process.quiet.set(true);
        self.site.until(&process, "requests end", |process| process.busy.get() == 0)?;
        self.wait_whole("the set stays whole")?;
        self.judge()?;
        self.site.finish(async move { process.settle().await }, "settling")
    }

    /// As many drives as may be lost, or fewer.
    fn choose(&mut self, of: PositionSet) -> PositionSet {
        let count = 1 + self.random.below(self.losses_max as u64) as usize;
        let mut left: Vec<Position> = of.iter().collect();
        let mut chosen = PositionSet::EMPTY;
        while chosen.len() < count && !left.is_empty() {
            let index = self.random.below(left.len() as u64) as usize;
            chosen.insert(left.swap_remove(index));
        }
        chosen
    }

    /// Flips bits, under the running process or between two.
    fn rot(&mut self, rotten: PositionSet) -> Result<(), String> {
        let places = self.places(rotten)?;
        self.site.drives.set_rotten(rotten);
        // A drive without a checkpoint begins anew.
        let begins_anew = self.in_a_row > RotOptions::IN_A_ROW;
        let at_rest = self.random.one_in(2) || begins_anew;
        if at_rest {
            self.stop();
        }
        let drawn = (*self.random.pick(&[1, 1, 8, 40, 120]), *self.random.pick(&KINDS));
        let (count, kinds) = if begins_anew { (1, &[Structure::Checkpoint][..]) } else { drawn };
        if !at_rest && self.random.one_in(3) {
            let rotten: Vec<Position> = rotten.iter().collect();
            let position = *self.random.pick(&rotten);
            self.forget(position)?;
        }
        for _ in 0..count.min(self.left) {
            self.flip(&places, kinds);
            self.left -= 1;
        }
        if at_rest {
            self.process = start(&self.site);
            self.crash_in_start()?;
            self.crash_in_anew()?;
        }
        Ok(())
    }

    fn places(&self, of: PositionSet) -> Result<Places, String> {
        let process = Rc::clone(&self.process);
        let look = async move {
            let mut places = Places::new();
            for position in of.iter() {
                let member = process.peers.member(position).ok_or("a drive in sync is not open")?;
                let placed = member.store().structures().await;
                let placed = placed.map_err(|error| format!("looking at {position}: {error}"))?;
                places.push((position, placed));
            }
            Ok::<Places, String>(places)
        };
        let found = self.site.world.run(look, LOOK_STEPS_MAX);
        self.site.verdict.get()?;
        found.ok_or("looking at drives never ends")?
    }

    fn flip(&mut self, places: &Places, kinds: &[Structure]) {
        let random = &mut self.random;
        let (position, placed) = random.pick(places);
        let has = |structure: &Structure| placed.iter().any(|place| place.structure == *structure);
        let wanted: Vec<Structure> = kinds.iter().copied().filter(has).collect();
        // Every drive has superblocks.
        let structure =
            if wanted.is_empty() { Structure::Superblock } else { *random.pick(&wanted) };
        let of_kind: Vec<Placed> =
            placed.iter().filter(|place| place.structure == structure).copied().collect();
        let place = *random.pick(&of_kind);
        let at = place.offset_bytes + random.below(place.bytes);
        let media = self.site.drives.media(*position);
        let bit = 1_u8 << random.below(8);
        let flipped: Vec<u8> = media.contents(at, 1).iter().map(|byte| *byte ^ bit).collect();
        media.overwrite(at, &flipped);
        let mut totals = self.site.totals.borrow_mut();
        totals.flipped += 1;
        totals.flips[structure as usize] += 1;
    }

    /// A drive forgets a fragment of an object, which no rot could bring about.
    fn forget(&mut self, position: Position) -> Result<(), String> {
        let keys = self.site.model.borrow().live_keys();
        if keys.is_empty() {
            return Ok(());
        }
        let name = key_of(*self.random.pick(&keys));
        let process = Rc::clone(&self.process);
        let forget = async move {
            let Some(owner) = process.owner(&name) else { return };
            let Some(member) = process.peers.member(position) else { return };
            let Ok(found) = owner.find(BUCKET, &name).await else { return };
            let Some(run) = found.sources().into_iter().next() else { return };
            if member.store().prepare(release_of(run.data)).await.is_ok() {
                process.count(|totals| totals.forgotten += 1);
            }
            process.settle().await;
        };
        self.site.finish(forget, "forgetting a fragment")
    }

    fn healed(&self) -> u64 {
        let members = self.process.positions().filter_map(|at| self.process.peers.member(at));
        members.map(|member| member.store().usage().healed).sum()
    }

    /// The read pass: clients read everything, then every drive is scrubbed; all of it heals.
    fn read_all(&mut self) -> Result<(), String> {
        let is_served = |process: &Process| process.status.is_writable();
        self.site.until(&self.process, "the set serves", is_served)?;
        self.crash_in_scrub()?;
        self.site.until(&self.process, "the set serves again", is_served)?;
        let before = self.healed();
        self.judge()?;
        let process = Rc::clone(&self.process);
        self.site.finish(async move { process.settle().await }, "settling")?;
        // A drive that was opened again begins to count anew.
        let by_reads = self.healed().saturating_sub(before);
        self.site.totals.borrow_mut().healed_by_reads += by_reads;
        self.wait_whole("rotten drives come back")?;
        self.scrub_whole()?;
        let is_healed = |process: &Process| short_of(process) == 0;
        self.site.until(&self.process, "everything is healed", is_healed)
    }

    /// Scrubs until a pass saw every drive under one view: an owner asks whether the others have
    /// its fragments, and one that goes out in the middle leaves that to nobody in this pass.
    fn scrub_whole(&self) -> Result<(), String> {
        for _ in 0..SCRUBS_MAX {
            let changes = self.site.totals.borrow().view_changes;
            let scrubbed = self.scrub()?;
            self.wait_whole("drives that were found rotten come back")?;
            let under_one_view = self.site.totals.borrow().view_changes == changes;
            if under_one_view && scrubbed == self.site.config.all().len() {
                return Ok(());
            }
        }
        Err(format!("{SCRUBS_MAX} scrubs, and none was whole"))
    }

    /// How many drives were scrubbed to the end.
    fn scrub(&self) -> Result<usize, String> {
        let process = Rc::clone(&self.process);
        let before = self.site.totals.borrow().scrubs;
        let pace = ScrubPace { bytes_per_second: u64::MAX };
        let scrub = async move {
            let members: Vec<_> =
                process.positions().filter_map(|at| process.peers.member(at)).collect();
            let scrubs = members.iter().map(|member| member.scrub(pace));
            let done = join_all(scrubs).await.iter().filter(|outcome| outcome.is_ok()).count();
            process.count(|totals| totals.scrubs += done as u64);
        };
        self.site.finish(scrub, "scrubbing")?;
        Ok((self.site.totals.borrow().scrubs - before) as usize)
    }

    fn judge(&mut self) -> Result<(), String> {
        let random = Random::new(self.random.next(), "check");
        let check = Rc::clone(&self.process).check_all(true, random);
        self.site.finish(check, "judging everything")
    }

    fn check_replicas(&self) -> Result<(), String> {
        let check = Rc::clone(&self.process).check_replicas();
        self.site.finish(check, "comparing drives")?;
        self.site.totals.borrow_mut().whole_checks += 1;
        Ok(())
    }

    /// Drives that were not rotten go, in use or before a start, and come back.
    fn take_away(&mut self, others: PositionSet) -> Result<(), String> {
        let at_rest = self.random.one_in(2);
        if at_rest {
            self.stop();
        }
        let health = if at_rest { Health::Absent } else { Health::Failed };
        others.iter().for_each(|position| self.site.drives.lose(position, health));
        self.site.totals.borrow_mut().faults += others.len() as u64;
        if at_rest {
            self.process = start(&self.site);
        } else {
            self.process.status.force_change();
        }
        let rest = self.site.config.all().minus(others);
        let is_served = |process: &Process| process.status.is_served_by(rest);
        self.site.until(&self.process, "the others serve", is_served)?;
        self.judge()?;
        self.check_short(others)?;
        others.iter().for_each(|position| self.site.drives.restore(position));
        self.wait_whole("what was away catches up")?;
        self.check_short(PositionSet::EMPTY)
    }

    /// The members together count every object that lacks something while drives are out.
    fn check_short(&self, out: PositionSet) -> Result<(), String> {
        let process = Rc::clone(&self.process);
        let count = async move {
            for member in process.positions().filter_map(|at| process.peers.member(at)) {
                member.count_short().await;
            }
        };
        self.site.finish(count, "counting")?;
        let model = self.site.model.borrow();
        let lacks = |key: &&u64| {
            let Some(Value::Object(generation)) = model.certain(**key) else { return false };
            let config = &self.site.config;
            let order = config.order(BUCKET, key_of(**key).as_bytes());
            let in_fragments = !model.parts_of(generation).is_empty()
                || model.content(generation).len() as u64 > INLINE_BYTES_MAX;
            let ranks = if in_fragments { config.geometry.width() } else { 0 };
            !order.first(ranks.max(config.quorums.metadata)).and(out).is_empty()
        };
        let expected = model.live_keys().iter().filter(lacks).count() as u64;
        let counted = short_of(&self.process);
        if counted == expected {
            return Ok(());
        }
        Err(format!("{counted} objects are said to be short of protection, not {expected}"))
    }
}

fn short_of(process: &Process) -> u64 {
    let members = process.positions().filter_map(|at| process.peers.member(at));
    members.map(|member| member.short_of_protection()).sum()
}

/// What makes one drive let go of a fragment.
fn release_of(data: DataId) -> Commit {
    Commit {
        sequence: Sequence::ZERO,
        settled: true,
        order: Order::new(&[]),
        positions: PositionSet::EMPTY,
        missing: PositionSet::EMPTY,
        holders: PositionSet::EMPTY,
        data: CommitData::None,
        mutations: Vec::new(),
        adopts: Vec::new(),
        releases: vec![data],
        payload: Bytes::new(),
    }
}
