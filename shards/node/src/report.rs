//! What is known of each drive, for the status and the metrics, kept fresh; and the line of the log
//! that says that a drive's state has changed and what to do.

use crate::config::LogLevel;
use crate::shard::ShardLocal;
use crate::start::advice_for_missing;
use crate::status::{DriveReport, DriveState};
use engine_env::Env;
use engine_store::DriveError;
use shards_uring::RealDrive;
use std::rc::Rc;

const REPORT_US: u64 = 1_000_000;

/// The one line of the log for a change of a drive's state.
pub(crate) fn log_state(local: &ShardLocal, report: &DriveReport) {
    let level = match report.state {
        DriveState::InSync | DriveState::CatchingUp => LogLevel::Info,
        DriveState::Missing | DriveState::Failed => LogLevel::Error,
    };
    let wanted = if report.advice.is_empty() { "nothing" } else { report.advice.as_str() };
    (local.config.log)(
        level,
        "drive state",
        &[
            ("drive", report.path.display().to_string()),
            ("uuid", report.uuid.clone()),
            ("state", report.state.word().to_owned()),
            ("do", wanted.to_owned()),
        ],
    );
}

/// Keeps the report of the drives of a shard fresh.
pub(crate) fn start_reporter(local: &Rc<ShardLocal>, shard: usize) {
    let node = crate::node::Node { shared: std::sync::Arc::clone(&local.shared) };
    local.env.spawn(async move {
        // A shard that stopped reports nothing.
        _ = node
            .run(shard, |local| async move {
                crate::keep::start(&local);
                let reporter = Rc::clone(&local);
                local.env.spawn(async move {
                    loop {
                        report_drives(&reporter);
                        reporter.forget_orphans();
                        reporter.env.sleep_us(REPORT_US).await;
                    }
                });
            })
            .await;
    });
}

/// A failed drive is reported as such also where too few are left for a view: it is opened again.
fn report_failed(local: &ShardLocal, uuid: &str, error: &str) {
    for index in 0..local.config.drives.len() {
        let mut changed = None;
        local.shared.report(index, |report| {
            if report.uuid == uuid && report.state != DriveState::Failed {
                report.state = DriveState::Failed;
                report.advice = advice_for_missing(error);
                changed = Some(report.clone());
            }
        });
        if let Some(report) = changed {
            log_state(local, &report);
        }
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
                    report.limits = drive.limits();
                    report.usage = usage;
                    report.objects_short = member.short_of_protection();
                    report.io = drive.counters().statistics();
                }
            });
            if its_own && member.store().failed().is_none() && !drive.still_linked() {
                // They would go on taking writes that nobody finds again (rule 24).
                drive.take_offline();
                report_failed(local, &uuid, "the drive's files are gone from their place");
                member.store().fail(DriveError::Failed);
            }
        }
        if member.store().failed().is_some() {
            report_failed(local, &uuid, "the drive failed while in use");
            let view = local.shared.view(set);
            if !view.serving || view.active.contains(member.position()) {
                local.shared.trouble(set);
            }
        }
    }
}
