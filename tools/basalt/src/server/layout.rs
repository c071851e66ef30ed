//! From options, plan and placement to what the shards are told: drives with their sizes, shards
//! and limits, threads with their CPUs.

use super::placement::Placement;
use super::{DriveArg, DriveKind, DriverChoice, ServerError, ServerOptions, drives};
use crate::{logging, sys};
use engine_store::{IndexMemory, ScrubPace, StoreConfig};
use hw_profile::Plan;
use shards_node::{DriveKind as NodeKind, DriveLimits, LogLevel, NodeConfig, NodeDrive};
use shards_uring::{IoDriverKind, RuntimeConfig, choose_driver};
use std::sync::Arc;

/// The configuration of the node's shards, and why io_uring is not used if it is not.
pub fn node_config(
    options: &ServerOptions,
    plan: &Plan,
    placement: &Placement,
) -> Result<(NodeConfig, Option<String>), ServerError> {
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
    let mut node_drives = Vec::new();
    for (index, drive) in options.drives.iter().enumerate() {
        let limits = plan.drives.get(index).map(|planned| drive_limits(planned.limits));
        let shard = placement.drive_shards.get(index).copied();
        node_drives.push(node_drive(options, drive, (shard, limits.unwrap_or_default()))?);
    }
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
        shards: placement.shards,
        cpus: placement.shard_cpus.clone(),
        control_cpus: placement.control_cpus.clone(),
        ring_entries: plan.ring_entries.unwrap_or(RuntimeConfig::default().ring_entries),
        driver,
        arena_bytes: arena_bytes(options, placement.shards),
        drive_deadline_us: u64::try_from(options.timeouts.drive_io.as_micros()).unwrap_or(u64::MAX),
        scrub_interval_us: u64::try_from(options.scrub.interval.as_micros()).unwrap_or(u64::MAX),
        scrub_pace: ScrubPace { bytes_per_second: options.scrub.bytes_per_second },
        drives: node_drives,
        log,
    };
    Ok((config, reason))
}

/// What a profile wants of a drive. A profile that wants what drives do not take is refused when it
/// is read, and the node looks again.
fn drive_limits(wanted: hw_profile::DriveLimits) -> DriveLimits {
    DriveLimits {
        read_queue_depth_max: wanted.read_queue_depth_max,
        write_queue_depth_max: wanted.write_queue_depth_max,
        split_bytes: usize::try_from(wanted.split_bytes).unwrap_or(usize::MAX),
        background_share: wanted.background_share,
    }
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
    let share = options.memory_bytes / 8 / shards.max(1) as u64;
    usize::try_from(share.min(1 << 30)).unwrap_or(1 << 30)
}

/// Memory of the index: an eighth of the budget for memtables, an eighth for blocks, over all
/// drives of the node (rule 23).
fn store_config(options: &ServerOptions) -> StoreConfig {
    let bytes = usize::try_from(options.memory_bytes / 8).unwrap_or(usize::MAX);
    let memory = IndexMemory { memtable_bytes: bytes, block_cache_bytes: bytes };
    let share = memory.share_of(options.drives.len());
    let sensible = |bytes: usize| bytes.clamp(256 << 10, 64 << 20);
    let asked_for =
        options.storage.memtable_bytes.map(|bytes| usize::try_from(bytes).unwrap_or(16 << 20));
    StoreConfig {
        memtable_bytes: asked_for.unwrap_or(sensible(share.memtable_bytes)),
        block_cache_bytes: sensible(share.block_cache_bytes),
        ..StoreConfig::default()
    }
}

fn node_drive(
    options: &ServerOptions,
    drive: &DriveArg,
    (shard, limits): (Option<usize>, DriveLimits),
) -> Result<NodeDrive, ServerError> {
    let kind = match drive.kind {
        // It is none to be made, and may come back while the server runs.
        DriveKind::Missing if shards_node::is_missing_device(&drive.path) => NodeKind::Device,
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
    Ok(NodeDrive { path: drive.path.clone(), kind, capacity_bytes, limits, shard })
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
    use crate::server::placement::{Wanted, place};
    use hw_profile::{DrivePlan, LimitsSource};
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

    fn configured(options: &ServerOptions, plan: &Plan) -> NodeConfig {
        let wanted = Wanted { drive_count: options.drives.len(), ..Wanted::default() };
        let placement = place(&wanted, plan, &[0, 1, 2]);
        node_config(options, plan, &placement).unwrap().0
    }

    #[test]
    fn shards_are_told_what_the_plan_has_for_them() {
        let wanted = hw_profile::DriveLimits {
            read_queue_depth_max: 7,
            write_queue_depth_max: 3,
            split_bytes: 69_632,
            background_share: 0.5,
        };
        let drive = DrivePlan {
            path: "/srv/d0".to_owned(),
            wwid: None,
            class: None,
            shard: Some(1),
            limits: wanted,
            limits_source: LimitsSource::Budget,
        };
        let plan = Plan {
            shard_cpus: "1-2".parse().unwrap(),
            control_cpus: "0".parse().unwrap(),
            ring_entries: Some(512),
            drives: vec![drive],
            ..Plan::default()
        };
        let config = configured(&options(256 * MIB, 2), &plan);
        assert_eq!((config.shards, config.cpus.as_slice()), (2, &[1, 2][..]));
        assert_eq!((config.control_cpus.as_slice(), config.ring_entries), (&[0][..], 512));
        let kept = config.drives[0].limits;
        assert_eq!((kept.read_queue_depth_max, kept.write_queue_depth_max), (7, 3));
        assert_eq!((kept.split_bytes, kept.background_share), (69_632, 0.5));
        assert_eq!(config.drives[0].shard, Some(1));
        // One that the plan does not know has the defaults, and a shard all the same.
        assert_eq!(config.drives[1].limits, DriveLimits::default());
        assert_eq!(config.drives[1].shard, Some(0));
        let config = configured(&options(256 * MIB, 2), &Plan::default());
        assert_eq!(config.ring_entries, RuntimeConfig::default().ring_entries);
    }

    #[test]
    fn it_makes_no_difference_whose_defaults_are_kept_to() {
        assert_eq!(drive_limits(hw_profile::DriveLimits::default()), DriveLimits::default());
    }

    #[test]
    fn the_memory_of_the_index_is_shared_by_all_drives() {
        for memory_bytes in [64 * MIB, 256 * MIB, 16_384 * MIB] {
            for drive_count in [1, 4, 16, 32] {
                let config = configured(&options(memory_bytes, drive_count), &Plan::default());
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
