//! One drive of this node: how it is opened, whose it is, and its way into its set.
//!
//! Invariants: a drive that is blank or absent is never made by opening it as a member; a drive of
//! another deployment never joins.

use crate::config::{DriveKind, LogLevel, NodeConfig, NodeDrive};
use crate::look::{FIRST_FILE, Look, look};
use crate::peers::NodePeers;
use crate::shard::ShardLocal;
use engine_env::{DmaBuf, Drive, Env};
use engine_format::{SUPERBLOCK_BYTES, Superblock};
use engine_set::Member;
use engine_store::{DriveError, SEGMENTS_MIN, Store};
use engine_types::{DriveId, Position, SetId};
use shards_control::Seat;
use shards_uring::{DriveSpec, RealDrive, RealEnv};
use std::os::unix::fs::DirBuilderExt;
use std::rc::Rc;
use std::sync::Arc;

/// Segments of a file of a directory drive.
const FILE_SEGMENTS: u64 = 4;

/// Why a blank drive in a member's place is not opened.
pub(crate) const EMPTY: &str = "the drive is empty";

/// What was found on a drive.
#[derive(Debug)]
pub(crate) enum Found {
    /// No superblock.
    Empty,
    /// A superblock of ours.
    Ours(Box<Superblock>),
    /// Of a later build.
    Newer(String),
    /// Another process has it.
    Locked(String),
    /// It cannot be read.
    Broken(String),
}

pub(crate) fn drive_spec(config: &NodeConfig, drive: &NodeDrive) -> DriveSpec {
    let segment_bytes = segment_bytes_for(config, drive.capacity_bytes);
    let mut spec = match drive.kind {
        DriveKind::Directory => {
            let file_bytes = existing_file_bytes(drive).unwrap_or(segment_bytes * FILE_SEGMENTS);
            DriveSpec::directory(&drive.path, file_bytes, drive.capacity_bytes)
        }
        DriveKind::File => DriveSpec::file(&drive.path, drive.capacity_bytes),
        DriveKind::Device => DriveSpec::device(&drive.path),
    };
    spec.limits = drive.limits;
    spec.deadline_us = config.drive_deadline_us;
    spec
}

/// The length all data files of a directory drive have: that of the first.
fn existing_file_bytes(drive: &NodeDrive) -> Option<u64> {
    let first = drive.path.join(FIRST_FILE);
    Some(std::fs::metadata(first).ok()?.len()).filter(|bytes| *bytes > 0)
}

/// Bytes of a segment of a new drive.
pub(crate) fn segment_bytes_for(config: &NodeConfig, capacity_bytes: u64) -> u64 {
    const GIB: u64 = 1 << 30;
    config.segment_bytes.unwrap_or(match capacity_bytes {
        0..4_294_967_296 => 4 << 20,
        capacity if capacity < 64 * GIB => 16 << 20,
        capacity if capacity < 1024 * GIB => 64 << 20,
        _ => 256 << 20,
    })
}

/// The same for a drive that is open: a device's size is known only then.
pub(crate) fn segment_bytes_of(config: &NodeConfig, drive: &NodeDrive, opened: &RealDrive) -> u64 {
    let capacity_bytes = match drive.capacity_bytes {
        0 => opened.geometry().capacity_bytes,
        given => given,
    };
    segment_bytes_for(config, capacity_bytes)
}

/// Why a drive cannot be formatted for its size, as far as that is known without opening it.
pub(crate) fn too_small(config: &NodeConfig, drive: &NodeDrive) -> Option<String> {
    let segment_bytes = segment_bytes_for(config, drive.capacity_bytes);
    let segments = drive.capacity_bytes / segment_bytes;
    (drive.capacity_bytes > 0 && segments < u64::from(SEGMENTS_MIN)).then(|| {
        format!(
            "{} is too small: {} bytes hold fewer than {SEGMENTS_MIN} segments of {segment_bytes} \
             bytes",
            drive.path.display(),
            drive.capacity_bytes
        )
    })
}

/// A random id.
pub(crate) fn random_id(env: &RealEnv) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&env.random_u64().to_le_bytes());
    id[8..].copy_from_slice(&env.random_u64().to_le_bytes());
    id
}

/// Finds the superblock, whatever the drive's segment size.
pub(crate) async fn identify(drive: &RealDrive) -> Found {
    let mut sizes: Vec<u64> = (16..=30).map(|shift| 1 << shift).collect();
    if let Ok(bytes) = drive.read(0, DmaBuf::zeroed(SUPERBLOCK_BYTES)).await
        && let Ok(superblock) = Superblock::decode(&bytes)
    {
        sizes.insert(0, superblock.segment_bytes);
    }
    let mut broken = None;
    for size in sizes {
        if size > drive.prepared_bytes() {
            continue;
        }
        match Store::<RealEnv>::read_superblock(drive, size).await {
            Ok(superblock) => return Found::Ours(Box::new(superblock)),
            Err(DriveError::NotFormatted) => {}
            Err(DriveError::Format(error @ engine_format::FormatError::Version { .. })) => {
                return Found::Newer(format!("{}: {error}", drive.path().display()));
            }
            Err(error) => broken = Some(error),
        }
    }
    match broken {
        Some(error) => Found::Broken(format!("{}: {error}", drive.path().display())),
        None => Found::Empty,
    }
}

/// Opens a drive that is to be formatted: a directory is made, and gets its first file.
pub(crate) async fn open_new(
    local: &ShardLocal,
    index: usize,
) -> Result<RealDrive, shards_uring::OpenError> {
    let known = local.drives.borrow().get(&index).cloned();
    if let Some(drive) = known {
        return Ok(drive);
    }
    let drive = &local.config.drives[index];
    if crate::look::may_be_made(drive) {
        // Whatever fails here fails again, with the better words, when the drive is opened.
        _ = std::fs::DirBuilder::new().mode(0o700).create(&drive.path);
    }
    let opened = RealDrive::open(&local.env, drive_spec(&local.config, drive)).await?;
    local.drives.borrow_mut().insert(index, opened.clone());
    Ok(opened)
}

async fn open_member(local: &ShardLocal, index: usize) -> Result<RealDrive, String> {
    let known = local.drives.borrow().get(&index).cloned();
    if let Some(drive) = known {
        return Ok(drive);
    }
    let drive = &local.config.drives[index];
    match look(drive) {
        Look::Used => {}
        Look::Blank => return Err(EMPTY.to_owned()),
        Look::Absent(text) | Look::Strange(text) => return Err(text),
    }
    let spec = drive_spec(&local.config, drive);
    let opened = RealDrive::open(&local.env, spec).await.map_err(|error| error.to_string())?;
    local.drives.borrow_mut().insert(index, opened.clone());
    Ok(opened)
}

/// Opens a drive of the deployment on this shard and makes its member. With a seat given, a
/// drive of another seat is refused.
pub(crate) async fn open_drive(
    local: &Rc<ShardLocal>,
    index: usize,
    seat: Option<Seat>,
) -> Result<(SetId, Position, String), String> {
    let drive = open_member(local, index).await?;
    let found = match identify(&drive).await {
        Found::Ours(superblock) => *superblock,
        Found::Empty => return Err(EMPTY.to_owned()),
        Found::Newer(text) | Found::Locked(text) | Found::Broken(text) => return Err(text),
    };
    let deployment = local.shared.layout.get().map(|(layout, _)| layout.deployment);
    if deployment.is_some_and(|known| known != found.deployment) {
        return Err(format!("the drive belongs to deployment {}", found.deployment));
    }
    if seat.is_some_and(|seat| seat != (found.set, found.position)) {
        return Err(format!("the drive is position {} of set {}", found.position, found.set));
    }
    tell_io(&local.config, index, &drive);
    local.shared.seat(index, (found.set, found.position))?;
    let opened =
        Store::open(local.env.clone(), drive, found.segment_bytes, local.config.store).await;
    let (store, recovery) = opened.map_err(|error| {
        if error.is_rot() {
            local.rotten.borrow_mut().insert(index);
        }
        error.to_string()
    })?;
    let config = local.shared.config(found.set).map_err(|error| error.to_string())?;
    let peers = NodePeers { local: Rc::clone(local), set: found.set };
    let path = local.config.drives[index].path.display().to_string();
    watch_work(&local.config, &store, path.clone());
    (local.config.log)(
        LogLevel::Info,
        "drive recovered",
        &[
            ("drive", path),
            ("uuid", found.drive.to_string()),
            ("batches", recovery.batches.to_string()),
            ("records", recovery.records.to_string()),
        ],
    );
    local.join(found.set, Member::new(local.env.clone(), store, peers, config));
    local.shared.route(found.set, found.position, local.shard);
    Ok((found.set, found.position, found.drive.to_string()))
}

/// Has logged where a drive is used otherwise than it was meant to be.
fn tell_io(config: &NodeConfig, index: usize, drive: &RealDrive) {
    let path = drive.path().display().to_string();
    if let Err(reason) = drive.direct() {
        (config.log)(
            LogLevel::Warn,
            "a drive is used through the page cache, which is slower and takes memory",
            &[
                ("drive", path.clone()),
                ("reason", reason.to_owned()),
                ("do", "put it on ext4, XFS or a block device".to_owned()),
            ],
        );
    }
    let (told, kept) = (config.drives[index].limits, drive.limits());
    if kept.split_bytes < told.split_bytes {
        (config.log)(
            LogLevel::Info,
            "a drive takes less in one piece than it was told to",
            &[
                ("drive", path),
                ("split_bytes", kept.split_bytes.to_string()),
                ("told", told.split_bytes.to_string()),
            ],
        );
    }
}

/// Empties a drive whose log, index or checkpoint is rotten, to be rebuilt in its seat under a new
/// id. The caller has seen that its set writes without it.
pub(crate) async fn begin_anew(
    local: &Rc<ShardLocal>,
    index: usize,
    seat: Seat,
) -> Result<(), String> {
    let drive = open_member(local, index).await?;
    let Found::Ours(found) = identify(&drive).await else {
        return Err("nobody can tell whose drive it is".to_owned());
    };
    let deployment = local.shared.layout.get().map(|(layout, _)| layout.deployment);
    if deployment != Some(found.deployment) || seat != (found.set, found.position) {
        return Err("the drive belongs to another seat".to_owned());
    }
    let id = DriveId(random_id(&local.env));
    let begun = Store::<RealEnv>::begin_anew(&drive, found.segment_bytes, id).await;
    begun.map_err(|error| error.to_string())?;
    (local.config.log)(
        LogLevel::Error,
        "a drive was rotten beyond repair; it is emptied and rebuilt from the others",
        &[
            ("drive", local.config.drives[index].path.display().to_string()),
            ("uuid", found.drive.to_string()),
            ("new_uuid", id.to_string()),
            ("do", "replace it if this happens again".to_owned()),
        ],
    );
    Ok(())
}

/// Has the drive's background work logged: where the process was killed, the log says in what.
fn watch_work(config: &NodeConfig, store: &Store<RealEnv>, path: String) {
    let log = Arc::clone(&config.log);
    store.watch(Box::new(move |work, begins| {
        let text = if begins { "background work begins" } else { "background work ends" };
        log(LogLevel::Debug, text, &[("work", work.word().to_owned()), ("drive", path.clone())]);
    }));
}
