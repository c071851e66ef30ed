//! One seed of the buckets of a node: they are created, written into and deleted side by side, the
//! log fails now and then, and the process crashes; then every bucket must be there that was
//! answered, with what was answered, and none that was deleted.
//!
//! Invariants: the run depends on the seed and the options only; keeper and gates are those of
//! `shards-node`, all else is a stub; what a crash or an error cut short may be so or not.

mod client;
mod model;
mod node;

use crate::process::Verdict;
use crate::totals::{SeedReport, Totals};
use client::BucketClient;
use engine_env::BrokenRules;
use model::{BucketModel, Handle};
use node::{BucketNode, Disk};
use shards_control::BucketState;
use shards_sim::{Random, World};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// The names of all buckets.
const NAME: [&str; NAMES] = ["bucket-0", "bucket-1", "bucket-2"];
const NAMES: usize = 3;
/// Anything that must end does so within so many steps.
const STEPS_MAX: u64 = 100_000;
/// One start in so many is cut short itself.
const START_CRASH_ONE_IN: u64 = 5;

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketOptions {
    /// Crashes of each seed.
    pub crashes: u64,
    /// Rules that the node is without.
    pub broken: BrokenRules,
}

impl BucketOptions {
    /// The usual.
    #[must_use]
    pub fn new(crashes: u64) -> Self {
        Self { crashes, broken: BrokenRules::NONE }
    }
}

/// As typed behind the program's name.
impl fmt::Display for BucketOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "buckets --crashes {}", self.crashes)
    }
}

/// What a seed draws.
#[derive(Debug, Clone, Copy)]
struct BucketSwarm {
    /// Tasks that write.
    writers: u64,
    /// Clients pause up to so long.
    pause_us: u64,
    /// Each part of a write takes up to so long, or much longer.
    write_us: u64,
    /// The log and looks at shards take up to so long.
    log_us: u64,
    /// One call in so many of log or shards fails; 0 for never.
    fails_one_in: u64,
}

impl BucketSwarm {
    fn draw(random: &mut Random) -> Self {
        Self {
            writers: 1 + random.below(4),
            pause_us: *random.pick(&[50, 200, 500]),
            write_us: *random.pick(&[50, 300, 1000]),
            log_us: *random.pick(&[50, 300, 1000]),
            fails_one_in: *random.pick(&[0, 6, 20]),
        }
    }
}

/// What outlives a process.
#[derive(Clone)]
struct BucketSite {
    world: World,
    model: Rc<RefCell<BucketModel>>,
    totals: Rc<RefCell<Totals>>,
    verdict: Verdict,
    /// What clients looked names up as, the newest last.
    handles: Rc<RefCell<Vec<Handle>>>,
}

/// A node over all its lives.
struct BucketWorld {
    site: BucketSite,
    disk: Rc<Disk>,
    swarm: BucketSwarm,
    random: Random,
    crashes: u64,
}

/// Runs a seed to its end.
///
/// # Errors
/// What is wrong.
pub fn run_seed(seed: u64, options: &BucketOptions) -> Result<SeedReport, String> {
    let mut random = Random::new(seed, "bucket world");
    let site = BucketSite {
        world: World::new(seed),
        model: Rc::new(RefCell::new(BucketModel::new(NAMES))),
        totals: Rc::default(),
        verdict: Verdict::default(),
        handles: Rc::default(),
    };
    site.world.set_broken(options.broken);
    let swarm = BucketSwarm::draw(&mut random);
    let crashes = options.crashes;
    let mut buckets = BucketWorld { site, disk: Rc::default(), swarm, random, crashes };
    let outcome = buckets.run();
    let site = buckets.site;
    site.world.kill();
    outcome?;
    let mut totals = *site.totals.borrow();
    totals.acknowledged = site.model.borrow().acknowledged;
    totals.reads = site.model.borrow().reads;
    totals.steps = site.world.steps();
    totals.seeds = 1;
    Ok(SeedReport { totals, trace: site.world.trace() })
}

impl BucketWorld {
    fn run(&mut self) -> Result<(), String> {
        for crash in 0..=self.crashes {
            let is_last = crash == self.crashes;
            let outcome = self.one_life(is_last);
            outcome.map_err(|what| format!("after {crash} crashes: {what}"))?;
            if !is_last {
                self.crash();
            }
        }
        Ok(())
    }

    /// Starts the node and lets clients at it, until the process dies.
    fn one_life(&mut self, is_last: bool) -> Result<(), String> {
        let (env, disk) = (self.site.world.env(), Rc::clone(&self.disk));
        let own = Random::new(self.random.next(), "node");
        let node = BucketNode::start(env, disk, self.swarm, own);
        if !is_last && self.random.one_in(START_CRASH_ONE_IN) {
            let steps = self.random.below(20);
            return self.steps(steps);
        }
        self.until(|| node.is_loaded.get(), "the table is read")?;
        self.check_deletions(&node)?;
        self.load(&node);
        let steps = 100 + self.random.below(1200);
        self.steps(steps)?;
        if is_last || self.random.one_in(3) {
            self.check_whole(&node)?;
        }
        Ok(())
    }

    fn client(&mut self, node: &Rc<BucketNode>) -> BucketClient {
        let random = Random::new(self.random.next(), "client");
        BucketClient { site: self.site.clone(), node: Rc::clone(node), random }
    }

    fn load(&mut self, node: &Rc<BucketNode>) {
        for name in 0..NAMES {
            node.spawn(self.client(node).administer(name));
        }
        for writer in 0..self.swarm.writers {
            node.spawn(self.client(node).write_on(writer));
        }
    }

    /// The table is loaded and no request is under way: no deletion is, either.
    fn check_deletions(&self, node: &BucketNode) -> Result<(), String> {
        let table = node.table();
        let mut buckets = table.buckets.iter();
        if let Some((name, _)) = buckets.find(|(_, entry)| entry.state == BucketState::Deleting) {
            return Err(format!("no progress: {name} is still being deleted"));
        }
        self.site.model.borrow_mut().quiet();
        Ok(())
    }

    /// Ends the load and judges everything.
    fn check_whole(&mut self, node: &Rc<BucketNode>) -> Result<(), String> {
        node.is_quiet.set(true);
        self.until(|| node.busy.get() == 0 && node.is_loaded.get(), "requests end")?;
        self.check_deletions(node)?;
        let check = self.client(node).check_all();
        let done = self.site.world.run(check, STEPS_MAX);
        done.ok_or("no progress: judging everything never ends")??;
        self.site.totals.borrow_mut().whole_checks += 1;
        Ok(())
    }

    /// Runs until something is so.
    fn until(&self, is_so: impl Fn() -> bool, what: &str) -> Result<(), String> {
        for _ in 0..STEPS_MAX {
            self.site.verdict.get()?;
            if is_so() {
                return Ok(());
            }
            if !self.site.world.step() {
                break;
            }
        }
        Err(format!("no progress: {what}"))
    }

    /// Runs some steps.
    fn steps(&self, steps: u64) -> Result<(), String> {
        for _ in 0..steps {
            if self.site.verdict.is_wrong() || !self.site.world.step() {
                break;
            }
        }
        self.site.verdict.get()
    }

    /// The process dies.
    fn crash(&mut self) {
        self.site.world.kill();
        self.site.model.borrow_mut().died();
        self.site.totals.borrow_mut().crashes += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_come_and_go_and_keep_what_was_answered() {
        let mut sum = Totals::default();
        for seed in 1..=40 {
            let report = run_seed(seed, &BucketOptions::new(6));
            sum.add(&report.unwrap_or_else(|what| panic!("seed {seed}: {what}")).totals);
        }
        assert!(sum.buckets_made > sum.seeds && sum.buckets_deleted > sum.seeds, "{sum}");
        assert!(sum.acknowledged > sum.crashes && sum.whole_checks >= sum.seeds, "{sum}");
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        let options = BucketOptions::new(3);
        let (one, two) = (run_seed(3, &options).unwrap(), run_seed(3, &options).unwrap());
        assert_eq!(one, two);
        assert_ne!(one.trace, run_seed(4, &options).unwrap().trace);
    }
}
