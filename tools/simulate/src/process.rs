//! One process of a simulated set, from its start to its crash.
//!
//! Invariants: everything here dies with the process; the drives, the model, the totals and the
//! verdict outlive it.

use crate::drives::Drives;
use crate::model::Model;
use crate::options::Swarm;
use crate::peers::SimPeers;
use crate::supervisor::Status;
use crate::totals::Totals;
use engine_env::Env;
use engine_set::{Installed, Member, SetConfig};
use engine_types::{BucketId, Key, Position};
use shards_sim::{SimEnv, World};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The bucket of all keys.
pub const BUCKET: BucketId = BucketId(1);

/// A member of a simulated set.
pub type SimMember = Member<SimEnv, SimPeers>;

/// The first thing found wrong, if any.
#[derive(Clone, Default)]
pub struct Verdict(Rc<RefCell<Option<String>>>);

impl Verdict {
    /// Something is wrong.
    pub fn wrong(&self, what: String) {
        let mut first = self.0.borrow_mut();
        if first.is_none() {
            *first = Some(what);
        }
    }

    /// Notes what is wrong, if anything.
    pub fn note(&self, outcome: Result<(), String>) {
        if let Err(what) = outcome {
            self.wrong(what);
        }
    }

    /// Whether something is wrong.
    pub fn is_wrong(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// The first thing found wrong.
    pub fn get(&self) -> Result<(), String> {
        self.0.borrow().clone().map_or(Ok(()), Err)
    }
}

/// What outlives a process.
#[derive(Clone)]
pub struct Site {
    pub world: World,
    pub config: SetConfig,
    pub swarm: Rc<Swarm>,
    pub drives: Drives,
    pub model: Rc<RefCell<Model>>,
    pub totals: Rc<RefCell<Totals>>,
    pub verdict: Verdict,
}

/// A process.
pub struct Process {
    pub site: Site,
    pub env: SimEnv,
    pub peers: SimPeers,
    pub status: Status,
    /// Writers and fault makers end when they see it.
    pub quiet: Cell<bool>,
    /// Tasks of the load under way.
    pub busy: Cell<u64>,
}

impl Process {
    /// A process in which nothing is open yet.
    pub fn new(site: Site) -> Rc<Self> {
        let env = site.world.env();
        let peers = SimPeers::new(env.clone(), usize::from(site.config.set_size));
        Rc::new(Self {
            site,
            env,
            peers,
            status: Status::default(),
            quiet: Cell::new(false),
            busy: Cell::new(0),
        })
    }

    /// All positions.
    pub fn positions(&self) -> impl Iterator<Item = Position> + Clone + use<> {
        self.site.config.all().iter()
    }

    /// The newest view that is served.
    pub fn installed(&self) -> Option<Rc<Installed>> {
        self.peers.installed()
    }

    /// Who owns a key now, if anybody does.
    pub fn owner(&self, key: &Key) -> Option<SimMember> {
        let installed = self.installed()?;
        let order = self.site.config.order(BUCKET, key.as_bytes());
        self.peers.member(SetConfig::owner(&order, installed.active)?)
    }

    /// The newest epoch that any member knows.
    pub fn epoch(&self) -> u32 {
        let members = self.positions().filter_map(|position| self.peers.member(position));
        members.map(|member| member.installed().view.epoch.0).max().unwrap_or_default()
    }

    /// Starts a task of the load.
    pub fn spawn_load(self: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let process = Rc::clone(self);
        self.busy.set(self.busy.get() + 1);
        self.env.spawn(async move {
            task.await;
            process.busy.set(process.busy.get() - 1);
        });
    }

    /// Counts something.
    pub fn count(&self, count: impl FnOnce(&mut Totals)) {
        count(&mut self.site.totals.borrow_mut());
    }
}

/// The epoch by which a read under a view is judged: while a drive of the view is away, what it
/// holds undecided may come true later, whatever is read meanwhile.
pub fn judged_epoch(installed: &Installed) -> u32 {
    if installed.active == installed.view.in_sync { installed.view.epoch.0 } else { 0 }
}

/// The name of a key: some lie in directories, so that listings roll up.
pub fn key_of(number: u64) -> Key {
    let directory = ["", "dir/", "dir/sub/", "other/"][(number % 4) as usize];
    match Key::new(&format!("{directory}k-{number:05}")) {
        Ok(key) => key,
        Err(_) => unreachable!("the name of a key is short and not empty"),
    }
}

/// The number of a key's name.
pub fn number_of(key: &Key) -> Option<u64> {
    key.as_str().rsplit_once("k-")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_of_keys_go_together() {
        for number in 0..20 {
            assert_eq!(number_of(&key_of(number)), Some(number));
        }
    }
}
