//! The supervisor of a set: changes its view when drives fail, brings back those that return.
//!
//! Invariants: one supervisor per set, on one shard; one change at a time; each change of a
//! drive's state is one line of the log that says what to do.

use crate::config::LogLevel;
use crate::drives::{open_drive, shard_of};
use crate::node::Shared;
use crate::peers::NodePeers;
use crate::replace::DriveClaim;
use crate::shard::ShardLocal;
use crate::start::advice_for_missing;
use crate::status::DriveState;
use engine_env::Env;
use engine_set::{Change, Coordinator};
use engine_store::DriveError;
use engine_types::{Position, PositionSet, SetId};
use shards_uring::RealDrive;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const TICK_US: u64 = 100_000;
const REPORT_US: u64 = 1_000_000;
const REOPEN_US: u64 = 5_000_000;

/// Makes the set's first view and starts its supervisor.
pub(crate) async fn begin(local: Rc<ShardLocal>, set: SetId) {
    let Ok(config) = local.shared.config(set) else { return };
    let peers = NodePeers { local: Rc::clone(&local), set };
    let supervisor =
        Supervisor { coordinator: Coordinator::new(peers, config), local: Rc::clone(&local), set };
    let first = supervisor.change().await;
    let behind = first.map_or(PositionSet::EMPTY, |change| change.behind);
    local.env.spawn(async move { supervisor.run(behind).await });
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
}

impl Supervisor {
    async fn run(self, mut behind: PositionSet) {
        let mut reopen_at = self.local.env.now_us() + REOPEN_US;
        loop {
            if !behind.is_empty() {
                behind = self.bring_back(behind).await;
            }
            self.local.env.sleep_us(TICK_US).await;
            if self.stopping() {
                return;
            }
            let serving = self.shared().view(self.set).serving;
            if self.shared().take_trouble(self.set) || !serving {
                if let Some(change) = self.change().await {
                    behind = change.behind;
                } else {
                    self.local.env.sleep_us(TICK_US * 5).await;
                }
            }
            if self.local.env.now_us() >= reopen_at {
                self.reopen().await;
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

    /// Changes the view to the drives that answer.
    async fn change(&self) -> Option<Change> {
        if self.stopping() {
            return None;
        }
        let before = self.shared().view(self.set);
        match self.coordinator.change_view(PositionSet::EMPTY).await {
            Ok(change) => {
                self.publish(&change);
                Some(change)
            }
            Err(error) => {
                if before.serving {
                    self.log(
                        LogLevel::Error,
                        "a set does not serve: too few drives answer",
                        &[
                            ("set", self.set.to_string()),
                            ("error", error.to_string()),
                            ("do", "bring back its missing drives; see basalt status".to_owned()),
                        ],
                    );
                    let mut stopped = (*before).clone();
                    stopped.serving = false;
                    stopped.writable = false;
                    self.shared().publish(self.set, stopped);
                }
                None
            }
        }
    }

    fn publish(&self, change: &Change) {
        let installed = &change.installed;
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
                    ("rolled_forward", change.rolled_forward.to_string()),
                    ("aborted", change.aborted.to_string()),
                ],
            );
        }
        self.update_states(change.behind);
    }

    /// Writes each drive's state into the report.
    fn update_states(&self, behind: PositionSet) {
        let active = self.shared().view(self.set).active;
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
                if state == report.state {
                    return;
                }
                report.state = state;
                report.advice = match state {
                    DriveState::InSync => String::new(),
                    DriveState::CatchingUp => "being brought up to date; wait".to_owned(),
                    DriveState::Missing => report.advice.clone(),
                    DriveState::Failed => advice_for_missing("the drive failed while in use"),
                };
                changed = Some(report.clone());
            });
            if let Some(report) = changed {
                let level = match report.state {
                    DriveState::InSync | DriveState::CatchingUp => LogLevel::Info,
                    DriveState::Missing | DriveState::Failed => LogLevel::Error,
                };
                self.log(
                    level,
                    "drive state",
                    &[
                        ("drive", report.path.display().to_string()),
                        ("uuid", report.uuid.clone()),
                        ("state", report.state.word().to_owned()),
                        ("do", report.advice.clone()),
                    ],
                );
            }
        }
    }

    /// Catches drives up, one after the other; gives those that are still behind.
    async fn bring_back(&self, behind: PositionSet) -> PositionSet {
        let mut left = behind;
        for position in behind.iter() {
            let installed = self.shared().view(self.set);
            if !installed.serving {
                return left;
            }
            match self.coordinator.catch_up(position, &installed).await {
                Ok((done, change)) => {
                    self.log(
                        LogLevel::Info,
                        "drive caught up",
                        &[
                            ("set", self.set.to_string()),
                            ("position", position.to_string()),
                            ("compared", done.compared.to_string()),
                            ("written", done.written.to_string()),
                            ("deleted", done.deleted.to_string()),
                            ("fragments_rebuilt", done.rebuilt.to_string()),
                        ],
                    );
                    left.remove(position);
                    self.publish(&change);
                }
                Err(_) if self.stopping() => return left,
                Err(error) => {
                    self.log(
                        LogLevel::Warn,
                        "a drive could not catch up; it is tried again",
                        &[
                            ("set", self.set.to_string()),
                            ("position", position.to_string()),
                            ("error", error.to_string()),
                        ],
                    );
                    // Whatever happened, a clean view comes first.
                    return self.change().await.map_or(left, |change| change.behind);
                }
            }
        }
        left
    }

    /// Tries to open drives that are missing or failed.
    async fn reopen(&self) {
        let mut wanted = Vec::new();
        for index in 0..self.local.config.drives.len() {
            self.shared().report(index, |report| {
                let out = matches!(report.state, DriveState::Missing | DriveState::Failed);
                if report.set == self.set && out {
                    wanted.push((index, report.position));
                }
            });
        }
        for (index, position) in wanted {
            // Without the claim the drive is being replaced.
            let Some(claim) = DriveClaim::take(&self.local.shared, index) else { continue };
            let set = self.set;
            let node = crate::node::Node { shared: Arc::clone(&self.local.shared) };
            let shard = shard_of(self.local.config.shards, index);
            let opened = node
                .run(shard, move |local| async move {
                    let _claim = claim;
                    reopen_drive(&local, index, set, position).await
                })
                .await;
            if let Ok(Ok(uuid)) = opened {
                self.shared().report(index, |report| report.uuid = uuid);
                self.shared().trouble(self.set);
            }
        }
    }
}

async fn reopen_drive(
    local: &Rc<ShardLocal>,
    index: usize,
    set: SetId,
    position: Position,
) -> Result<String, String> {
    let mut is_out = false;
    local.shared.report(index, |report| {
        is_out = matches!(report.state, DriveState::Missing | DriveState::Failed);
    });
    if !is_out {
        return Err("the drive was replaced meanwhile".to_owned());
    }
    retire_drive(local, index, (set, position)).await;
    let opened = open_drive(local, index, Some((set, position))).await;
    if opened.is_err() {
        local.drives.borrow_mut().remove(&index);
    }
    opened.map(|(_, _, uuid)| uuid)
}

/// Lets go of what is left of a drive: its member, and its files with their lock.
pub(crate) async fn retire_drive(
    local: &Rc<ShardLocal>,
    index: usize,
    (set, position): (SetId, Position),
) {
    if let Some(member) = local.leave(set, position) {
        member.store().fail(DriveError::Failed);
        member.store().close();
    }
    if let Some(drive) = local.drives.borrow_mut().remove(&index) {
        drive.take_offline();
    }
    // Tasks that still hold the old drive end within a moment; then its lock is free.
    local.env.sleep_us(200_000).await;
}

/// Keeps the report of the drives of a shard fresh.
fn start_reporter(local: &Rc<ShardLocal>, shard: usize) {
    let node = crate::node::Node { shared: std::sync::Arc::clone(&local.shared) };
    local.env.spawn(async move {
        // A shard that stopped reports nothing.
        _ = node
            .run(shard, |local| async move {
                let reporter = Rc::clone(&local);
                local.env.spawn(async move {
                    loop {
                        report_drives(&reporter);
                        reporter.env.sleep_us(REPORT_US).await;
                    }
                });
            })
            .await;
    });
}

/// A failed drive is reported as such also where too few are left for a view: it is opened again.
fn report_failed(local: &ShardLocal, uuid: &str) {
    for index in 0..local.config.drives.len() {
        local.shared.report(index, |report| {
            if report.uuid == uuid && report.state != DriveState::Failed {
                report.state = DriveState::Failed;
                report.advice = advice_for_missing("the drive failed while in use");
            }
        });
    }
}

fn report_drives(local: &ShardLocal) {
    let drives: Vec<(usize, RealDrive)> =
        local.drives.borrow().iter().map(|(index, drive)| (*index, drive.clone())).collect();
    for (set, member) in local.members() {
        let usage = member.store().usage();
        let uuid = member.store().identity().drive.to_string();
        for (index, drive) in &drives {
            let mut its_own = false;
            local.shared.report(*index, |report| {
                its_own = report.uuid == uuid;
                if its_own {
                    report.usage = usage;
                    report.io = drive.counters().statistics();
                }
            });
            if its_own && member.store().failed().is_none() && !drive.still_linked() {
                fail_unlinked(local, *index, &uuid, drive);
                member.store().fail(DriveError::Failed);
            }
        }
        if member.store().failed().is_some() {
            report_failed(local, &uuid);
            local.shared.trouble(set);
        }
    }
}

/// Takes a drive offline whose files are gone from their paths: they would go on taking writes
/// that nobody finds again (rule 24).
fn fail_unlinked(local: &ShardLocal, index: usize, uuid: &str, drive: &RealDrive) {
    drive.take_offline();
    let error = "the drive's files are gone from their place";
    (local.config.log)(
        LogLevel::Error,
        "a drive was removed while in use",
        &[
            ("drive", local.config.drives[index].path.display().to_string()),
            ("uuid", uuid.to_owned()),
            ("error", error.to_owned()),
            ("do", advice_for_missing(error)),
        ],
    );
}
