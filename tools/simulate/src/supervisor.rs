//! Who keeps a set in service: opens its drives, changes the view where a drive fails or comes
//! back, lets drives catch up. What a server does, in the simulator.
//!
//! Invariants: one change of view at a time, and beside it one catch-up; a drive that came back is
//! taken out of service and fenced before it is opened again; what is known here of views decides
//! which positions may lack something (`Drives::out`).

use crate::drives::Health;
use crate::peers::SimPeers;
use crate::process::{Process, SimMember};
use engine_env::Env;
use engine_set::{Change, Coordinator, Installed, SetError};
use engine_store::DriveError;
use engine_types::{Position, PositionSet};
use futures_util::future::join_all;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const TICK_US: u64 = 1000;
const RETRY_US: u64 = 5000;

/// What the supervisor knows.
#[derive(Default)]
pub struct Status {
    /// The view in force; `None` while there is none.
    installed: RefCell<Option<Installed>>,
    /// It is being changed.
    changing: Cell<bool>,
    /// Positions that answer and must catch up.
    behind: Cell<PositionSet>,
    /// A drive catches up.
    catching_up: Cell<bool>,
    /// A member found a drive failing.
    trouble: Cell<bool>,
    /// The view must change whatever members say.
    forced: Cell<bool>,
    changed_us: Cell<u64>,
    /// Drives that did not open because of rot.
    rotten: Cell<PositionSet>,
    /// A rotten drive is being emptied.
    pub begins_anew: Cell<bool>,
    /// For messages.
    last_error: Cell<Option<SetError>>,
}

impl Status {
    /// Whether a view is in force under which everything is served.
    pub fn is_writable(&self) -> bool {
        let installed = self.installed.borrow();
        installed.as_ref().is_some_and(|installed| installed.writable) && !self.changing.get()
    }

    /// Whether writes are served and every position is in sync and answers.
    pub fn is_whole(&self, all: PositionSet) -> bool {
        self.installed.borrow().as_ref().is_some_and(|installed| {
            installed.writable && installed.active == all && installed.view.in_sync == all
        }) && !self.forced.get()
            && !self.changing.get()
    }

    /// Whether writes are served by exactly these positions.
    pub fn is_served_by(&self, positions: PositionSet) -> bool {
        self.installed
            .borrow()
            .as_ref()
            .is_some_and(|installed| installed.writable && installed.active == positions)
            && !self.forced.get()
            && !self.changing.get()
    }

    /// Has the view changed once more, so that everything in doubt is decided.
    pub fn force_change(&self) {
        self.forced.set(true);
    }

    fn note_rotten(&self, position: Position) {
        let mut rotten = self.rotten.get();
        rotten.insert(position);
        self.rotten.set(rotten);
    }

    fn note_sound(&self, position: Position) {
        let mut rotten = self.rotten.get();
        rotten.remove(position);
        self.rotten.set(rotten);
    }

    fn is_active(&self, position: Position) -> bool {
        let installed = self.installed.borrow();
        installed.as_ref().is_some_and(|installed| installed.active.contains(position))
    }

    /// For messages.
    pub fn describe(&self) -> String {
        format!("{:?}, last error {:?}", self.installed.borrow(), self.last_error.get())
    }
}

impl Process {
    /// Keeps the set in service until the process dies.
    pub async fn supervise(self: Rc<Self>) {
        let present: Vec<Position> = self
            .positions()
            .filter(|position| self.site.drives.health(*position) != Health::Absent)
            .collect();
        join_all(present.iter().map(|position| self.open(*position))).await;
        let coordinator = Rc::new(Coordinator::new(self.peers.clone(), self.site.config));
        let mut turn = 0;
        loop {
            if self.is_change_due() || coordinator.must_change() {
                self.retire_returned();
                self.change(&coordinator).await;
                self.open_returned().await;
            } else if let Some(position) = self.rotten_drive() {
                self.begin_anew(position).await;
            } else if !self.status.catching_up.get() {
                turn += 1;
                self.start_catch_up(&coordinator, turn);
            }
            let is_served = self.status.installed.borrow().is_some();
            self.env.sleep_us(if is_served { TICK_US } else { RETRY_US }).await;
        }
    }

    fn is_change_due(&self) -> bool {
        let status = &self.status;
        let installed = status.installed.borrow();
        let Some(installed) = installed.as_ref() else { return true };
        let has_failed = |position: Position| {
            self.peers.member(position).is_none_or(|member| member.store().failed().is_some())
        };
        let recheck_us = status.changed_us.get() + self.site.swarm.recheck_us;
        status.forced.get()
            || installed.active.iter().any(has_failed)
            || !self.site.drives.returned().is_empty()
            || (status.trouble.get() && self.env.now_us() >= recheck_us)
    }

    /// Opens a drive and puts its member in place.
    async fn open(self: &Rc<Self>, position: Position) {
        let drives = &self.site.drives;
        let disturbed = drives.disturbed(position);
        let opened = drives.open(&self.site.world, position, self.site.swarm.store).await;
        match opened {
            Ok(store) => {
                let peers = self.peers.clone();
                let member = SimMember::new(self.env.clone(), store, peers, self.site.config);
                self.peers.join(member.clone());
                let process = Rc::clone(self);
                self.env.spawn(async move {
                    loop {
                        member.trouble().await;
                        process.status.trouble.set(true);
                    }
                });
            }
            Err(error) => {
                if error.is_rot() {
                    self.status.note_rotten(position);
                }
                let is_sound = drives.health(position) == Health::Fine
                    && drives.disturbed(position) == disturbed
                    && !drives.rotten().contains(position);
                if is_sound {
                    let what = format!("a healthy drive does not open: {position}: {error}");
                    self.site.verdict.wrong(what);
                }
            }
        }
    }

    /// A drive that serves nobody and whose log, index or checkpoint is rotten. It begins anew only
    /// while the set writes without it.
    fn rotten_drive(&self) -> Option<Position> {
        let is_rotten = |position: &Position| {
            let failed = self.peers.member(*position).and_then(|member| member.store().failed());
            let is_fine = self.site.drives.health(*position) == Health::Fine;
            let has_rot = self.status.rotten.get().contains(*position)
                || failed.is_some_and(DriveError::is_rot);
            is_fine && has_rot && !self.status.is_active(*position)
        };
        self.positions().find(is_rotten).filter(|_| self.status.is_writable())
    }

    async fn begin_anew(self: &Rc<Self>, position: Position) {
        if let Some(member) = self.peers.member(position) {
            self.count_store(&member);
        }
        self.status.note_sound(position);
        self.status.begins_anew.set(true);
        let outcome = self.site.drives.begin_anew(&self.site.world, position).await;
        self.status.begins_anew.set(false);
        match outcome {
            Ok(()) => {
                self.count(|totals| totals.begun_anew += 1);
                self.open(position).await;
            }
            // Nobody can tell whose drive it is: its operator replaces it.
            Err(error) if error.is_rot() => {
                self.count(|totals| totals.replaced += 1);
                self.site.drives.replace(position);
            }
            Err(_) => self.status.note_rotten(position),
        }
        self.status.forced.set(true);
    }

    /// Drives that came back are out of service until they are opened again.
    fn retire_returned(&self) {
        for position in self.site.drives.returned().iter() {
            if let Some(member) = self.peers.member(position) {
                member.store().fail(DriveError::Failed);
            }
        }
    }

    /// Opens drives that came back and whose member is fenced by now.
    async fn open_returned(self: &Rc<Self>) {
        for position in self.site.drives.returned().iter() {
            let old = self.peers.member(position);
            let is_fenced = old.as_ref().is_none_or(|member| member.store().failed().is_some());
            // Whatever is in force still counts on it, or it came back just now: the next change
            // takes it out.
            if self.status.is_active(position) || !is_fenced {
                continue;
            }
            let disturbed = self.site.drives.disturbed(position);
            if let Some(member) = old {
                self.count_store(&member);
            }
            self.open(position).await;
            if self.site.drives.disturbed(position) == disturbed {
                self.site.drives.opened(position);
            }
            self.status.forced.set(true);
        }
    }

    async fn change(&self, coordinator: &Coordinator<SimPeers>) {
        let status = &self.status;
        status.forced.set(false);
        status.trouble.set(false);
        *status.installed.borrow_mut() = None;
        status.changing.set(true);
        let outcome = coordinator.change_view(PositionSet::EMPTY).await;
        status.changing.set(false);
        match outcome {
            Ok(change) => self.note_change(change),
            Err(error) => {
                status.last_error.set(Some(error));
                status.behind.set(PositionSet::EMPTY);
                *status.installed.borrow_mut() = None;
            }
        }
    }

    /// Takes note of a change of view.
    fn note_change(&self, change: Change) {
        let status = &self.status;
        self.count(|totals| {
            totals.view_changes += 1;
            totals.rolled_forward += change.rolled_forward;
            totals.aborted += change.aborted;
            totals.lost += change.lost;
        });
        let in_sync = change.installed.view.in_sync.and(change.installed.active);
        for position in self.positions() {
            if in_sync.contains(position) {
                self.site.drives.put_in(position);
            } else {
                self.site.drives.put_out(position);
            }
        }
        status.changed_us.set(self.env.now_us());
        status.behind.set(change.behind);
        *status.installed.borrow_mut() = Some(change.installed);
    }

    /// Has one of the drives that are behind catch up, in turn, beside changes of view.
    fn start_catch_up(self: &Rc<Self>, coordinator: &Rc<Coordinator<SimPeers>>, turn: usize) {
        let behind = self.status.behind.get();
        let installed = self.status.installed.borrow().clone();
        let position = behind.iter().nth(turn % behind.len().max(1));
        let (Some(installed), Some(position)) = (installed, position) else { return };
        if !coordinator.can_catch_up(&installed) {
            return;
        }
        self.status.catching_up.set(true);
        let (process, coordinator) = (Rc::clone(self), Rc::clone(coordinator));
        self.env.spawn(async move {
            process.catch_up(&coordinator, position, &installed).await;
            process.status.catching_up.set(false);
        });
    }

    async fn catch_up(
        &self,
        coordinator: &Coordinator<SimPeers>,
        position: Position,
        installed: &Installed,
    ) {
        match coordinator.catch_up(position, installed).await {
            Ok((done, change)) => {
                self.count(|totals| {
                    totals.catch_ups += 1;
                    totals.rebuilt += done.rebuilt;
                });
                self.note_change(change);
            }
            Err(error) => {
                self.status.last_error.set(Some(error));
                self.count(|totals| totals.catch_ups_failed += 1);
                self.env.sleep_us(RETRY_US).await;
            }
        }
    }

    /// Counts what a store did before it goes.
    pub fn count_store(&self, member: &SimMember) {
        let usage = member.store().usage();
        self.count(|totals| {
            totals.checkpoints += usage.checkpoints;
            totals.cleaned += usage.cleaned_segments;
            totals.healed += usage.healed;
            totals.restored += member.restored_fragments();
        });
    }
}
