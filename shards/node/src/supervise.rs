//! The supervisor of a set: changes its view when drives fail, brings back those that return.
//!
//! Invariants: one supervisor per set, on one shard; one change of view at a time, and nothing
//! slow holds it up: drives catch up, and are opened again, one after the other in tasks beside it;
//! each change of a drive's state is one line of the log that says what to do.

use crate::backoff::Backoff;
use crate::config::LogLevel;
use crate::drives::{begin_anew, open_drive};
use crate::peers::NodePeers;
use crate::replace::DriveClaim;
use crate::report::{log_state, start_reporter};
use crate::shard::ShardLocal;
use crate::shared::{Shared, locked};
use crate::start::advice_for_missing;
use crate::status::DriveState;
use engine_env::Env;
use engine_set::{CatchUp, Change, Coordinator, Installed, SetError};
use engine_store::DriveError;
use engine_types::{Position, PositionSet, SetId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const TICK_US: u64 = 100_000;
const REOPEN_US: u64 = 5_000_000;
/// A catch-up that failed is tried again after this.
const CATCH_UP_RETRY_US: u64 = 1_000_000;

/// Makes the set's first view and starts its supervisor.
pub(crate) async fn begin(local: Rc<ShardLocal>, set: SetId) {
    let Ok(config) = local.shared.config(set) else { return };
    let peers = NodePeers { local: Rc::clone(&local), set };
    let supervisor = Rc::new(Supervisor {
        coordinator: Coordinator::new(peers, config),
        local: Rc::clone(&local),
        set,
        behind: Cell::default(),
        last: Cell::default(),
        catching_up: Cell::new(false),
        reopening: Cell::new(false),
        backoff: RefCell::default(),
    });
    supervisor.change().await;
    local.env.spawn(supervisor.run());
    if set == SetId(0) {
        for shard in 0..local.shared.senders.len() {
            start_reporter(&local, shard);
        }
    }
}

struct Supervisor {
    coordinator: Coordinator<NodePeers>,
    local: Rc<ShardLocal>,
    set: SetId,
    /// Positions that answer and must catch up.
    behind: Cell<PositionSet>,
    /// The position that caught up last, or tried to.
    last: Cell<Position>,
    catching_up: Cell<bool>,
    reopening: Cell<bool>,
    backoff: RefCell<Backoff>,
}

fn advice_for_view(installed: &Installed, can_catch_up: bool) -> &'static str {
    match (installed.reads_only, can_catch_up) {
        (false, _) if installed.writable => "",
        (false, _) => "a drive in sync cannot tell what it holds: see basalt status, replace it",
        (true, true) => {
            "too few drives are in sync for writes, reads go on: bring drives back or replace them"
        }
        (true, false) => {
            "too few drives are in sync for writes or to rebuild others, reads go on: bring drives \
             back"
        }
    }
}

/// The position behind another, around the circle.
fn next_of(positions: PositionSet, last: Position) -> Option<Position> {
    positions.iter().find(|position| *position > last).or_else(|| positions.iter().next())
}

impl Supervisor {
    async fn run(self: Rc<Self>) {
        let mut reopen_at = self.local.env.now_us() + REOPEN_US;
        loop {
            self.start_catch_up();
            self.local.env.sleep_us(TICK_US).await;
            if self.stopping() {
                return;
            }
            let serving = self.shared().view(self.set).serving;
            let in_trouble = self.shared().take_trouble(self.set);
            if (in_trouble || !serving || self.coordinator.must_change()) && !self.change().await {
                self.local.env.sleep_us(TICK_US * 5).await;
            }
            if self.local.env.now_us() >= reopen_at && !self.reopening.replace(true) {
                let supervisor = Rc::clone(&self);
                self.local.env.spawn(async move {
                    supervisor.reopen().await;
                    supervisor.reopening.set(false);
                });
                reopen_at = self.local.env.now_us() + REOPEN_US;
            }
        }
    }

    fn shared(&self) -> &Shared {
        &self.local.shared
    }

    fn stopping(&self) -> bool {
        self.shared().stopping.load(Ordering::Relaxed)
    }

    fn log(&self, level: LogLevel, text: &str, fields: &[(&str, String)]) {
        (self.local.config.log)(level, text, fields);
    }

    /// Changes the view to the drives that answer; gives whether it did.
    async fn change(&self) -> bool {
        if self.stopping() {
            return false;
        }
        let outcome = self.coordinator.change_view(PositionSet::EMPTY).await;
        let before = self.shared().view(self.set);
        match outcome {
            Ok(change) => {
                self.publish(&change);
                true
            }
            Err(error) => {
                self.behind.set(PositionSet::EMPTY);
                if self.shared().has_stopped(self.set) != Some(true) {
                    let wanted = match error {
                        SetError::RolledBack => {
                            "bring back drives that are missing; what these lost was acknowledged: \
                             their caches may lie about flushes"
                        }
                        _ => "bring back its missing drives; see basalt status",
                    };
                    self.log(
                        LogLevel::Error,
                        "a set does not serve: too few drives answer",
                        &[
                            ("set", self.set.to_string()),
                            ("error", error.to_string()),
                            ("do", wanted.to_owned()),
                        ],
                    );
                    let mut stopped = (*before).clone();
                    stopped.serving = false;
                    stopped.writable = false;
                    self.shared().publish(self.set, stopped);
                }
                false
            }
        }
    }

    fn publish(&self, change: &Change) {
        let installed = &change.installed;
        self.behind.set(change.behind);
        let before = self.shared().view(self.set);
        self.shared().publish(self.set, installed.clone());
        if before.active != installed.active || before.writable != installed.writable {
            let level = if installed.writable { LogLevel::Info } else { LogLevel::Error };
            self.log(
                level,
                "view in force",
                &[
                    ("set", self.set.to_string()),
                    ("epoch", installed.view.epoch.to_string()),
                    ("in_sync", installed.active.to_string()),
                    ("writable", installed.writable.to_string()),
                    (
                        "do",
                        advice_for_view(installed, self.coordinator.can_catch_up(installed))
                            .to_owned(),
                    ),
                    ("rolled_forward", change.rolled_forward.to_string()),
                    ("aborted", change.aborted.to_string()),
                ],
            );
        }
        for position in change.rolled_back.iter() {
            self.log(
                LogLevel::Error,
                "a drive came back without writes it had said were durable; it is rebuilt",
                &[
                    ("set", self.set.to_string()),
                    ("position", position.to_string()),
                    (
                        "do",
                        "replace it if power was not lost beside it: its cache may lie".to_owned(),
                    ),
                ],
            );
        }
        if change.lost > 0 {
            self.log(
                LogLevel::Error,
                "replaced drives took writes with them that may have been acknowledged",
                &[
                    ("set", self.set.to_string()),
                    ("writes", change.lost.to_string()),
                    ("do", "write the objects again that answer 503, or delete them".to_owned()),
                ],
            );
        }
        self.update_states(change.behind);
    }

    /// Writes each drive's state into the report.
    fn update_states(&self, behind: PositionSet) {
        let view = self.shared().view(self.set);
        let (active, can_catch_up) = (view.active, self.coordinator.can_catch_up(&view));
        for index in 0..self.local.config.drives.len() {
            let mut changed = None;
            self.shared().report(index, |report| {
                if report.set != self.set {
                    return;
                }
                let state = if active.contains(report.position) {
                    DriveState::InSync
                } else if behind.contains(report.position) {
                    DriveState::CatchingUp
                } else if report.uuid.is_empty() || report.state == DriveState::Missing {
                    DriveState::Missing
                } else {
                    DriveState::Failed
                };
                let advice = match state {
                    DriveState::InSync => String::new(),
                    DriveState::CatchingUp if can_catch_up => {
                        "being brought up to date; wait".to_owned()
                    }
                    DriveState::CatchingUp => {
                        "too few drives are in sync to bring it up to date: bring others back"
                            .to_owned()
                    }
                    DriveState::Missing => report.advice.clone(),
                    DriveState::Failed => advice_for_missing("the drive failed while in use"),
                };
                // A failed drive's reason is known better by who looked.
                let is_same_advice = state != DriveState::CatchingUp || advice == report.advice;
                if state == report.state && is_same_advice {
                    return;
                }
                report.state = state;
                report.advice = advice;
                changed = Some(report.clone());
            });
            if let Some(report) = changed {
                log_state(&self.local, &report);
            }
        }
    }

    /// Has one of the drives that are behind catch up, in a task beside changes of view.
    fn start_catch_up(self: &Rc<Self>) {
        let installed = self.shared().view(self.set);
        let next = next_of(self.behind.get(), self.last.get());
        let Some(position) = next.filter(|_| self.coordinator.can_catch_up(&installed)) else {
            return;
        };
        if self.catching_up.replace(true) {
            return;
        }
        self.last.set(position);
        let supervisor = Rc::clone(self);
        self.local.env.spawn(async move {
            supervisor.catch_up(position, &installed).await;
            supervisor.catching_up.set(false);
        });
    }

    async fn catch_up(&self, position: Position, installed: &Installed) {
        let outcome = self.coordinator.catch_up(position, installed).await;
        let place = || [("set", self.set.to_string()), ("position", position.to_string())];
        match outcome {
            Ok((done, change)) => {
                locked(&self.shared().unreadable).insert(self.set, done.unreadable);
                self.log_caught_up(place(), &done);
                self.publish(&change);
            }
            Err(_) if self.stopping() => {}
            Err(_) if !self.coordinator.must_change() => {
                self.log(LogLevel::Info, "a catch-up begins again: the view changed", &place());
            }
            Err(error) => {
                let [set, position] = place();
                let fields = [set, position, ("error", error.to_string())];
                self.log(LogLevel::Warn, "a drive could not catch up; it is tried again", &fields);
                self.local.env.sleep_us(CATCH_UP_RETRY_US).await;
            }
        }
    }

    fn log_caught_up(&self, [set, position]: [(&'static str, String); 2], done: &CatchUp) {
        if done.unreadable > 0 {
            self.log(
                LogLevel::Error,
                "too few drives hold what some objects are made of: these stay unreadable",
                &[
                    set.clone(),
                    position.clone(),
                    ("count", done.unreadable.to_string()),
                    ("first", done.unreadable_first.clone()),
                    ("do", "bring back drives that were lost, or write them again".to_owned()),
                ],
            );
        }
        self.log(
            LogLevel::Info,
            "drive caught up",
            &[
                set,
                position,
                ("compared", done.compared.to_string()),
                ("written", done.written.to_string()),
                ("deleted", done.deleted.to_string()),
                ("fragments_rebuilt", done.rebuilt.to_string()),
            ],
        );
    }

    /// Tries to open drives that are missing or failed.
    async fn reopen(&self) {
        let view = self.shared().view(self.set);
        let mut wanted = Vec::new();
        for index in 0..self.local.config.drives.len() {
            self.shared().report(index, |report| {
                // What a view still counts on leaves it first, and comes back through catch-up.
                let counted = view.serving && view.active.contains(report.position);
                let out = matches!(report.state, DriveState::Missing | DriveState::Failed);
                // Where the set needs it, a drive is tried at once.
                let is_needed = !view.serving || view.reads_only;
                let due = is_needed
                    || self.backoff.borrow().is_due(&report.uuid, self.local.env.now_us());
                if report.set == self.set && out && !counted && due {
                    wanted.push(index);
                }
            });
        }
        for index in wanted {
            // Without the claim the drive is being replaced.
            let Some(claim) = DriveClaim::take(&self.local.shared, index) else { continue };
            let node = crate::node::Node { shared: Arc::clone(&self.local.shared) };
            let shard = self.local.config.shard_of(index);
            let opened = node
                .run(shard, move |local| async move {
                    let _claim = claim;
                    reopen_drive(&local, index).await
                })
                .await;
            match opened {
                Ok(Ok((set, uuid))) => {
                    self.backoff.borrow_mut().opened(&uuid, self.local.env.now_us());
                    self.shared().report(index, |report| report.uuid = uuid);
                    self.shared().trouble(set);
                }
                Ok(Err(error)) => self.still_out(index, &error),
                Err(_) => {}
            }
        }
    }

    /// Tells, once, why a drive that is out cannot be opened: another reason, another thing to do.
    fn still_out(&self, index: usize, error: &str) {
        let advice = advice_for_missing(error);
        let mut changed = None;
        self.shared().report(index, |report| {
            let out = matches!(report.state, DriveState::Missing | DriveState::Failed);
            if out && report.advice != advice {
                advice.clone_into(&mut report.advice);
                changed = Some(report.clone());
            }
        });
        if let Some(report) = changed {
            let path = report.path.display().to_string();
            let fields = [("drive", path), ("uuid", report.uuid), ("do", report.advice)];
            self.log(LogLevel::Warn, "a drive stays out", &fields);
        }
    }
}

async fn reopen_drive(local: &Rc<ShardLocal>, index: usize) -> Result<(SetId, String), String> {
    let mut seat = None;
    local.shared.report(index, |report| {
        let is_out = matches!(report.state, DriveState::Missing | DriveState::Failed);
        seat = is_out.then_some((report.set, report.position));
    });
    let seat = seat.ok_or("the drive was replaced meanwhile")?;
    let (set, position) = seat;
    let failed = local.member(set, position).and_then(|member| member.store().failed());
    let is_rotten =
        local.rotten.borrow_mut().remove(&index) || failed.is_some_and(DriveError::is_rot);
    retire_drive(local, index, seat).await;
    let view = local.shared.view(set);
    let mut opened = open_drive(local, index, None).await;
    let still_rotten = local.rotten.borrow_mut().remove(&index);
    // Only what was found rotten twice is emptied, and only where others could still be lost.
    let data = local.shared.layout.get().and_then(|(_, configs)| configs.get(usize::from(set.0)));
    let spare = data.is_some_and(|config| view.active.len() > usize::from(config.geometry.data));
    let is_safe = view.serving && view.writable && spare && !view.active.contains(position);
    if is_rotten && still_rotten && is_safe {
        begin_anew(local, index, seat).await?;
        opened = open_drive(local, index, None).await;
    }
    if opened.is_err() {
        local.drives.borrow_mut().remove(&index);
    }
    opened.map(|(set, _, uuid)| (set, uuid))
}

/// Lets go of what is left of a drive: its member, and its files with their lock.
pub(crate) async fn retire_drive(
    local: &Rc<ShardLocal>,
    index: usize,
    (set, position): (SetId, Position),
) {
    if let Some(member) = local.leave(set, position) {
        member.retire();
    }
    if let Some(drive) = local.drives.borrow_mut().remove(&index) {
        drive.take_offline();
    }
    // Tasks that still hold the old drive end within a moment; then its lock is free.
    local.env.sleep_us(200_000).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_that_are_behind_take_turns() {
        let behind: PositionSet = [Position(1), Position(4)].into_iter().collect();
        assert_eq!(next_of(behind, Position(0)), Some(Position(1)));
        assert_eq!(next_of(behind, Position(1)), Some(Position(4)));
        assert_eq!(next_of(behind, Position(4)), Some(Position(1)));
        assert_eq!(next_of(PositionSet::EMPTY, Position(4)), None);
    }
}
