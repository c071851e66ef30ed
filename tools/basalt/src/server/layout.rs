//! From options to what the shards are told: drives with their sizes, threads, limits.

use super::{DriveArg, DriveKind, DriverChoice, ServerError, ServerOptions, drives};
use crate::{logging, sys};
use engine_store::{ScrubPace, StoreConfig};
use shards_node::{DriveKind as NodeKind, LogLevel, NodeConfig, NodeDrive};
use shards_uring::{IoDriverKind, choose_driver};
use std::sync::Arc;

/// The configuration of the node's shards, and why io_uring is not used if it is not.
pub fn node_config(options: &ServerOptions) -> Result<(NodeConfig, Option<String>), ServerError> {
    let forced = match options.driver {
        DriverChoice::Auto => None,
        DriverChoice::Uring => Some(IoDriverKind::Uring),
        DriverChoice::Threads => Some(IoDriverKind::ThreadPool),
    };
    let (driver, reason) = choose_driver(forced);
    if options.driver == DriverChoice::Uring
        && let (_, Some(reason)) = choose_driver(None)
    {
        return Err(ServerError::Refused(format!(
            "io_uring was asked for, but it cannot be used here: {reason}; with driver `auto` the \
             server runs on threads"
        )));
    }
    let cpus = shards_executor::allowed_cpus().unwrap_or_default();
    let shards = options.shards.unwrap_or_else(|| cpus.len().max(1)).min(options.drives.len());
    let node_drives = options
        .drives
        .iter()
        .map(|drive| node_drive(options, drive))
        .collect::<Result<Vec<_>, ServerError>>()?;
    let log: shards_node::LogSink = Arc::new(|level, text, fields| {
        let fields: Vec<logging::Field<'_>> =
            fields.iter().map(|(name, value)| (*name, value as &dyn std::fmt::Display)).collect();
        match level {
            LogLevel::Error => logging::error(text, &fields),
            LogLevel::Warn => logging::warn(text, &fields),
            LogLevel::Info => logging::info(text, &fields),
            LogLevel::Debug => logging::debug(text, &fields),
        }
    });
    let config = NodeConfig {
        set_size: options.set_size.and_then(|size| u8::try_from(size).ok()),
        parity: options.parity,
        cell_bytes: u32::try_from(options.storage.cell_bytes).unwrap_or(256 << 10),
        inline_bytes_max: options.storage.inline_bytes,
        segment_bytes: options.storage.segment_bytes,
        store: store_config(options),
        shards: shards.max(1),
        cpus: if cpus.len() > 1 {
            cpus.iter().copied().cycle().take(shards).collect()
        } else {
            Vec::new()
        },
        driver,
        arena_bytes: arena_bytes(options, shards.max(1)),
        drive_deadline_us: u64::try_from(options.timeouts.drive_io.as_micros()).unwrap_or(u64::MAX),
        scrub_interval_us: u64::try_from(options.scrub.interval.as_micros()).unwrap_or(u64::MAX),
        scrub_pace: ScrubPace { bytes_per_second: options.scrub.bytes_per_second },
        drives: node_drives,
        log,
    };
    Ok((config, reason))
}

/// The driver, as the setting names it.
pub fn driver_word(driver: IoDriverKind) -> &'static str {
    match driver {
        IoDriverKind::Uring => "uring",
        IoDriverKind::ThreadPool => "threads",
    }
}

/// Memory of I/O buffers: an eighth of the budget over all shards. A ring takes no more than 1 GiB.
fn arena_bytes(options: &ServerOptions, shards: usize) -> usize {
    let share = options.memory_bytes / 8 / shards as u64;
    usize::try_from(share.min(1 << 30)).unwrap_or(1 << 30)
}

/// Memory of the index: an eighth of the budget for memtables, an eighth for blocks, over all
/// drives of the node (rule 23).
fn store_config(options: &ServerOptions) -> StoreConfig {
    let drives = options.drives.len().max(1) as u64;
    let share = (options.memory_bytes / 8 / drives).clamp(256 << 10, 64 << 20);
    let memtable = options.storage.memtable_bytes.unwrap_or(share);
    StoreConfig {
        memtable_bytes: usize::try_from(memtable).unwrap_or(16 << 20),
        block_cache_bytes: usize::try_from(share).unwrap_or(16 << 20),
        ..StoreConfig::default()
    }
}

fn node_drive(options: &ServerOptions, drive: &DriveArg) -> Result<NodeDrive, ServerError> {
    let kind = match drive.kind {
        DriveKind::Directory | DriveKind::Missing => NodeKind::Directory,
        DriveKind::File => NodeKind::File,
        DriveKind::BlockDevice => NodeKind::Device,
    };
    let capacity_bytes = match (kind, options.drive_bytes) {
        // So that one too small is refused before anything is written to the others.
        (NodeKind::Device, _) => drives::device_size(&drive.path).unwrap_or(0),
        (_, Some(bytes)) => bytes,
        (_, None) => share_of_file_system(options, drive)?,
    };
    Ok(NodeDrive { path: drive.path.clone(), kind, capacity_bytes })
}

fn share_of_file_system(options: &ServerOptions, drive: &DriveArg) -> Result<u64, ServerError> {
    // A drive that is yet to be made is judged by the directory it will be in.
    let place = drive.canonical.ancestors().find(|above| above.exists());
    let place = place.unwrap_or(&drive.canonical);
    let room = sys::file_system_room(place)
        .map_err(|error| ServerError::Refused(format!("{}: {error}", drive.path.display())))?;
    let sharing =
        options.drives.iter().filter(|other| other.file_system == drive.file_system).count();
    let share = room.total_bytes / sharing.max(1) as u64 / 10 * 9;
    Ok(share.min(1 << 50))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, resolve};
    use crate::secret::Secret;
    use crate::server::credentials::Credentials;
    use std::path::PathBuf;

    const MIB: u64 = 1 << 20;

    fn options(memory_bytes: u64, drive_count: usize) -> ServerOptions {
        let keys = Credentials {
            access_key: "admin".to_owned(),
            secret_key: Secret::new("hunter2-hunter2".to_owned()),
        };
        let drive = |index: usize| {
            let path = PathBuf::from(format!("/srv/d{index}"));
            let canonical = path.clone();
            let kind = DriveKind::Directory;
            DriveArg { path, kind, canonical, identity: None, file_system: None }
        };
        let drives = (0..drive_count).map(drive).collect();
        let config = resolve(&Sources::default()).unwrap();
        ServerOptions {
            memory_bytes,
            drive_bytes: Some(1 << 30),
            driver: DriverChoice::Threads,
            ..ServerOptions::new(&config, drives, keys)
        }
    }

    #[test]
    fn the_memory_of_the_index_is_shared_by_all_drives() {
        for memory_bytes in [64 * MIB, 256 * MIB, 16_384 * MIB] {
            for drive_count in [1, 4, 16, 32] {
                let (config, _) = node_config(&options(memory_bytes, drive_count)).unwrap();
                assert_eq!(config.drives.len(), drive_count);
                for bytes in [config.store.memtable_bytes, config.store.block_cache_bytes] {
                    let all_bytes = bytes as u64 * drive_count as u64;
                    let context = format!("{drive_count} drives, memory {memory_bytes}: {bytes}");
                    assert!(all_bytes <= memory_bytes / 8, "{context}");
                }
            }
        }
    }
}
