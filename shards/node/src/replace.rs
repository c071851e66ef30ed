//! Replacing a drive: an empty one takes the seat of one that is gone, and is rebuilt.
//!
//! Invariants: only what is empty is formatted, and only because somebody asked for it; a drive
//! with a superblock, or with data nobody knows, is refused as it is; a seat is given away only
//! where it is known whose it was, and while the drives in sync alone have all that was
//! acknowledged; a drive is opened again or replaced by one at a time.

use crate::config::{DriveKind, LogLevel, NodeDrive};
use crate::drives::{
    Found, identify, open_drive, open_new, random_id, segment_bytes_of, too_small,
};
use crate::look::{Look, look, may_be_made};
use crate::node::Node;
use crate::shard::ShardLocal;
use crate::shared::{Layout, Shared, locked};
use crate::status::{DriveReport, DriveState};
use crate::supervise::retire_drive;
use engine_env::{DmaBuf, Drive, Env};
use engine_format::Superblock;
use engine_set::{Installed, SetConfig, SetError};
use engine_store::{DriveError, FormatOptions, Store};
use engine_types::DriveId;
use shards_control::Seat;
use shards_uring::{OpenError, RealDrive, RealEnv};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// Bytes at either end of a drive that must be zero.
const END_BYTES: u64 = 1 << 20;
/// How long to wait for the supervisor to let go of the drive.
const CLAIM_WAIT_US: u64 = 30_000_000;

/// Why a drive was not replaced. One clear sentence each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplaceError {
    /// The path is none of this server's drives.
    #[error("{0} is not a drive of this server; `basalt status` lists them")]
    Unknown(String),
    /// Refused; nothing was written.
    #[error("{0}")]
    Refused(String),
    /// Not now; nothing was written.
    #[error("{0}")]
    Busy(String),
    /// It was begun and failed.
    #[error("{0}")]
    Failed(String),
}

/// The right to open or replace a drive; given back when dropped.
pub(crate) struct DriveClaim {
    shared: Arc<Shared>,
    index: usize,
}

impl DriveClaim {
    /// `None` while another holds it.
    pub(crate) fn take(shared: &Arc<Shared>, index: usize) -> Option<Self> {
        let taken = locked(&shared.claimed).insert(index);
        taken.then(|| Self { shared: Arc::clone(shared), index })
    }
}

impl Drop for DriveClaim {
    fn drop(&mut self) {
        locked(&self.shared.claimed).remove(&self.index);
    }
}

impl Node {
    /// Formats the empty drive at a path of this node, in the place of the one that is gone, and
    /// has it rebuilt; answers its new id once it has joined its set. It runs to its end, also if
    /// this future is dropped.
    ///
    /// # Errors
    /// `ReplaceError`; the drive is as before unless it is `Failed`.
    pub async fn replace_drive(&self, path: PathBuf) -> Result<String, ReplaceError> {
        let Some(index) = self.shared.find_drive(|report| same_path(&report.path, &path)) else {
            return Err(ReplaceError::Unknown(path.display().to_string()));
        };
        let mut shard = 0;
        self.shared.report(index, |report| shard = report.shard);
        let outcome =
            self.run(shard, move |local| async move { replace(&local, index).await }).await;
        match outcome {
            Ok(outcome) => outcome,
            Err(SetError::Busy) => {
                Err(ReplaceError::Busy("the server is overloaded; try again".to_owned()))
            }
            Err(_) => Err(ReplaceError::Failed("the server stops".to_owned())),
        }
    }
}

/// Whether two paths are one, without looking at drives that may hang.
fn same_path(first: &Path, second: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).ok();
    first == second || absolute(first).is_some_and(|first| absolute(second) == Some(first))
}

async fn replace(local: &Rc<ShardLocal>, index: usize) -> Result<String, ReplaceError> {
    let _claim = claim(local, index).await?;
    let mut report = None;
    local.shared.report(index, |found| report = Some(found.clone()));
    let given = &local.config.drives[index];
    let report = report.ok_or_else(|| ReplaceError::Unknown(given.path.display().to_string()))?;
    let seat = (report.set, report.position);
    let config = local
        .shared
        .config(seat.0)
        .map_err(|error| ReplaceError::Busy(format!("{}: {error}", given.path.display())))?;
    if let Some(text) = not_vacant(&report, &local.shared.view(seat.0), &config)
        .or_else(|| not_seated(&local.shared, index, &report))
    {
        return Err(ReplaceError::Refused(text));
    }
    if let Some(text) = not_usable(given, &look(given)).or_else(|| too_small(&local.config, given))
    {
        return Err(ReplaceError::Refused(text));
    }
    retire_drive(local, index, seat).await;
    let outcome = seat_new_drive(local, index, seat).await;
    match &outcome {
        Ok(uuid) => joined(local, index, seat, uuid),
        Err(_) => {
            // The supervisor looks at it anew.
            local.drives.borrow_mut().remove(&index);
        }
    }
    outcome
}

async fn claim(local: &Rc<ShardLocal>, index: usize) -> Result<DriveClaim, ReplaceError> {
    let until_us = local.env.now_us() + CLAIM_WAIT_US;
    loop {
        if let Some(claim) = DriveClaim::take(&local.shared, index) {
            return Ok(claim);
        }
        if local.env.now_us() >= until_us {
            let path = local.config.drives[index].path.display();
            let text = format!("{path} is being opened or replaced already; try again");
            return Err(ReplaceError::Busy(text));
        }
        local.env.sleep_us(50_000).await;
    }
}

/// Why the seat cannot be given to a new drive now, if so.
fn not_vacant(report: &DriveReport, view: &Installed, config: &SetConfig) -> Option<String> {
    let path = report.path.display();
    // The view knows better than a report that is a moment old.
    let serves = view.active.contains(report.position);
    // All that was acknowledged can be made whole again from so many, whatever the lost drive had.
    let is_enough = view.serving && view.active.len() >= usize::from(config.geometry.data);
    match report.state {
        DriveState::InSync | DriveState::Missing | DriveState::Failed if serves => {
            Some(format!("{path} is in sync: there is nothing to replace"))
        }
        DriveState::InSync => Some(format!("{path} has only now failed: try again")),
        DriveState::CatchingUp => Some(format!("{path} is catching up: wait for it")),
        _ if !is_enough => Some(format!(
            "{path} cannot be replaced while so few drives of set {} are in sync that it may hold \
             what the others lack: bring back its other missing drives first",
            report.set
        )),
        DriveState::Missing | DriveState::Failed => None,
    }
}

/// Why it is not known which seat it is, if so: a new drive in another one's seat would keep that
/// one out.
fn not_seated(shared: &Shared, index: usize, report: &DriveReport) -> Option<String> {
    let path = report.path.display();
    (!shared.is_seated(index)).then(|| {
        format!(
            "several drives are missing, and none was ever seen at {path}: bring one of them back, \
             or start with the paths that they had"
        )
    })
}

/// Why what lies at the path is not to be touched, as far as a look tells.
fn not_usable(drive: &NodeDrive, look: &Look) -> Option<String> {
    match look {
        Look::Absent(_) if may_be_made(drive) => None,
        Look::Absent(text) => Some(format!("no drive is there: {text}")),
        Look::Strange(text) => Some(format!("{text}: empty it first ({})", how_to_empty(drive))),
        Look::Blank | Look::Used => None,
    }
}

fn how_to_empty(drive: &NodeDrive) -> &'static str {
    match drive.kind {
        DriveKind::Directory => "delete the files in it",
        DriveKind::File => "truncate it to 0 bytes",
        DriveKind::Device => "overwrite it with zeros, as by blkdiscard -z",
    }
}

/// Formats the drive for its seat and opens it.
async fn seat_new_drive(
    local: &Rc<ShardLocal>,
    index: usize,
    seat: Seat,
) -> Result<String, ReplaceError> {
    let given = &local.config.drives[index];
    let shown = given.path.display();
    let layout = local.shared.layout.get().map(|(layout, _)| *layout);
    let layout = layout.ok_or_else(|| ReplaceError::Busy("the server starts".to_owned()))?;
    let drive = open_new(local, index).await.map_err(|error| refusal_of(given, &error))?;
    examine(given, &drive, &layout, seat).await?;
    let options = FormatOptions {
        drive: DriveId(random_id(&local.env)),
        deployment: layout.deployment,
        set: seat.0,
        position: seat.1,
        set_size: layout.set_size,
        set_count: layout.set_count,
        parity: layout.parity,
        segment_bytes: segment_bytes_of(&local.config, given, &drive),
        rebuilding: true,
    };
    Store::<RealEnv>::format(&drive, &options).await.map_err(|error| match error {
        DriveError::TooSmall(..) => ReplaceError::Refused(format!("{shown}: {error}")),
        error => ReplaceError::Failed(format!("{shown} cannot be formatted: {error}")),
    })?;
    let opened = open_drive(local, index, Some(seat)).await;
    let (_, _, uuid) = opened.map_err(|error| ReplaceError::Failed(format!("{shown}: {error}")))?;
    Ok(uuid)
}

fn refusal_of(drive: &NodeDrive, error: &OpenError) -> ReplaceError {
    match error {
        OpenError::WrongSize { .. } | OpenError::Missing { .. } => ReplaceError::Refused(format!(
            "{error}: it holds what is left of a drive; empty it first ({})",
            how_to_empty(drive)
        )),
        OpenError::Locked { .. } | OpenError::WrongType { .. } | OpenError::Invalid(_) => {
            ReplaceError::Refused(error.to_string())
        }
        other => ReplaceError::Failed(other.to_string()),
    }
}

/// Refuses a drive that is not empty.
async fn examine(
    given: &NodeDrive,
    drive: &RealDrive,
    layout: &Layout,
    seat: Seat,
) -> Result<(), ReplaceError> {
    let (shown, how) = (given.path.display(), how_to_empty(given));
    let refused = |text: String| Err(ReplaceError::Refused(text));
    match identify(drive).await {
        Found::Ours(found) if found.deployment != layout.deployment => {
            return refused(format!(
                "{shown} belongs to deployment {}: empty it first ({how})",
                found.deployment
            ));
        }
        Found::Ours(found) => {
            return refused(format!(
                "{shown} holds drive {} of this deployment: let it catch up, or empty it first \
                 ({how})",
                found.drive
            ));
        }
        Found::Newer(text) | Found::Locked(text) => return refused(text),
        Found::Broken(text) => {
            return refused(format!("{text}: empty the drive first ({how})"));
        }
        Found::Empty => {}
    }
    let io_failed = |error: engine_env::IoError| ReplaceError::Failed(format!("{shown}: {error}"));
    let prepared_bytes = drive.prepared_bytes();
    let len = END_BYTES.min(prepared_bytes);
    let first = read_range(drive, 0, len).await.map_err(io_failed)?;
    let last = read_range(drive, prepared_bytes - len, len).await.map_err(io_failed)?;
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    if is_zero(&last) && (is_zero(&first) || is_cut_off(&first, layout, seat)) {
        return Ok(());
    }
    refused(format!("{shown} holds data that basalt does not know: empty it first ({how})"))
}

/// Whether a drive begins with the one copy of a superblock that a replacement left when it was
/// cut off.
fn is_cut_off(first: &[u8], layout: &Layout, seat: Seat) -> bool {
    Superblock::decode(first).is_ok_and(|found| {
        found.incarnation == 0
            && found.deployment == layout.deployment
            && (found.set, found.position) == seat
    })
}

async fn read_range(
    drive: &RealDrive,
    start_bytes: u64,
    len_bytes: u64,
) -> Result<Vec<u8>, engine_env::IoError> {
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < len_bytes {
        let left = usize::try_from(len_bytes).unwrap_or(usize::MAX) - bytes.len();
        let piece = left.min(drive.geometry().io_bytes_max);
        let at = start_bytes + bytes.len() as u64;
        bytes.extend_from_slice(&drive.read(at, DmaBuf::zeroed(piece)).await?);
    }
    Ok(bytes)
}

/// Tells the report, the supervisor and the log.
fn joined(local: &ShardLocal, index: usize, seat: Seat, uuid: &str) {
    local.shared.report(index, |report| {
        uuid.clone_into(&mut report.uuid);
        report.state = DriveState::CatchingUp;
        report.advice = "being rebuilt from the other drives; wait".to_owned();
    });
    local.shared.trouble(seat.0);
    (local.config.log)(
        LogLevel::Info,
        "drive replaced; it is being rebuilt",
        &[
            ("drive", local.config.drives[index].path.display().to_string()),
            ("uuid", uuid.to_owned()),
            ("set", seat.0.to_string()),
            ("position", seat.1.to_string()),
        ],
    );
}

#[cfg(test)]
#[path = "replace_tests.rs"]
mod tests;
