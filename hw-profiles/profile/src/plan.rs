//! What the server is to do with the drives of this machine by a profile: which shard owns which,
//! and what it keeps to on each.
//!
//! Invariants: a pure function of profile and machine; every drive asked about has limits, at worst
//! the defaults, and the plan says where they come from; the order of drives is kept.

use crate::CpuList;
use crate::file::{Class, Profile};
use crate::glob;
use crate::probe::{BlockDevice, DrivePlace, Machine};
use serde::Serialize;
use std::collections::BTreeMap;

/// Differences of capacity up to a fiftieth are rounding of the maker's.
const CAPACITY_TOLERANCE: u64 = 50;

/// What is kept to on one drive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DriveLimits {
    /// Reads at the drive at once.
    pub read_queue_depth_max: u32,
    /// Writes at the drive at once.
    pub write_queue_depth_max: u32,
    /// Larger I/O is split into pieces of this size.
    pub split_bytes: u64,
    /// Share that background work may take.
    pub background_share: f64,
}

impl Default for DriveLimits {
    fn default() -> Self {
        Self {
            read_queue_depth_max: 64,
            write_queue_depth_max: 64,
            split_bytes: 1 << 20,
            background_share: 0.2,
        }
    }
}

/// Where limits come from: the strongest of what they are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitsSource {
    /// Written in the class's budget.
    Budget,
    /// Follow from what was measured.
    Measured,
    /// Neither: the defaults.
    Default,
}

impl LimitsSource {
    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Budget => "budget",
            Self::Measured => "measured",
            Self::Default => "default",
        }
    }
}

/// What to do with one drive.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrivePlan {
    /// As given.
    pub path: String,
    /// Its identity, if it has one.
    pub wwid: Option<String>,
    /// Its class, if the profile has one.
    pub class: Option<String>,
    /// 0-based shard; None: the server decides.
    pub shard: Option<u32>,
    /// What is kept to.
    pub limits: DriveLimits,
    /// Where that comes from.
    pub limits_source: LimitsSource,
}

/// What to do on this machine. Empty lists of CPUs: the server decides.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One shard on each, in this order.
    pub shard_cpus: CpuList,
    /// One gateway on each.
    pub gateway_cpus: CpuList,
    /// For the control thread and helpers.
    pub control_cpus: CpuList,
    /// Entries of a shard's submission queue.
    pub ring_entries: Option<u32>,
    /// In the order of the machine's drives.
    pub drives: Vec<DrivePlan>,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

/// The plan for the drives that the machine was asked about.
#[must_use]
pub fn plan(profile: &Profile, machine: &Machine) -> Plan {
    let layout = &profile.layout;
    let mut notes = Vec::new();
    let drives: Vec<DrivePlan> = machine
        .drives
        .iter()
        .enumerate()
        .map(|(place, drive)| drive_plan(profile, machine, drive, place))
        .collect();
    for drive in drives.iter().filter(|drive| drive.class.is_none()) {
        notes.push(format!(
            "{}: profile {} has no class for it, so the defaults are kept to; measure it",
            drive.path, profile.profile.name
        ));
    }
    notes.extend(shared_disks(&drives, machine));
    for wanted in &layout.drive {
        if !drives.iter().any(|drive| drive.wwid.as_ref() == Some(&wanted.wwid)) {
            notes.push(format!(
                "shard {} is for the drive {}, which is not among those given",
                wanted.shard, wanted.wwid
            ));
        }
    }
    Plan {
        shard_cpus: layout.shard_cpus.clone().unwrap_or_default(),
        gateway_cpus: layout.gateway_cpus.clone().unwrap_or_default(),
        control_cpus: layout.control_cpus.clone().unwrap_or_default(),
        ring_entries: profile.runtime.ring_entries,
        drives,
        notes,
    }
}

/// Limits are those of a whole disk, and each drive keeps to them for itself.
fn shared_disks(drives: &[DrivePlan], machine: &Machine) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, _) in machine.drives.iter().zip(drives).filter(|(_, one)| one.class.is_some()) {
        for disk in &place.disks {
            *counts.entry(disk).or_default() += 1;
        }
    }
    let shared = counts.into_iter().filter(|(_, count)| *count > 1);
    let note = |(disk, count)| {
        format!("{count} drives lie on {disk}: each keeps to the limits of the whole disk")
    };
    shared.map(note).collect()
}

fn drive_plan(profile: &Profile, machine: &Machine, drive: &DrivePlace, place: usize) -> DrivePlan {
    let class = class_of_drive(profile, machine, drive);
    let (limits, limits_source) =
        class.map_or_else(|| (DriveLimits::default(), LimitsSource::Default), limits);
    DrivePlan {
        path: drive.path.clone(),
        wwid: drive.identity.clone(),
        class: class.map(|class| class.name.clone()),
        shard: shard(profile, drive.identity.as_deref(), place),
        limits,
        limits_source,
    }
}

fn shard(profile: &Profile, wwid: Option<&str>, place: usize) -> Option<u32> {
    let layout = &profile.layout;
    let explicit = layout.drive.iter().find(|drive| Some(drive.wwid.as_str()) == wwid);
    if let Some(drive) = explicit {
        return Some(drive.shard);
    }
    let per_shard = layout.drives_per_shard?;
    let turn = u32::try_from(place).ok()?.checked_div(per_shard)?;
    let shards = layout.shard_cpus.as_ref().and_then(|cpus| u32::try_from(cpus.len()).ok());
    Some(shards.and_then(|shards| turn.checked_rem(shards)).unwrap_or(turn))
}

/// The class of a drive: of the first device below it, from the top down, that has one.
#[must_use]
pub fn class_of_drive<'a>(
    profile: &'a Profile,
    machine: &Machine,
    drive: &DrivePlace,
) -> Option<&'a Class> {
    let listed = profile.device.iter().find(|device| Some(&device.wwid) == drive.identity.as_ref());
    let named = listed.and_then(|device| class_named(profile, &device.class));
    let below = || {
        let mut devices = drive.chain.iter().filter_map(|name| machine.device(name));
        devices.find_map(|device| class_of(profile, device))
    };
    named.or_else(below)
}

fn class_named<'a>(profile: &'a Profile, name: &str) -> Option<&'a Class> {
    profile.class.iter().find(|class| class.name == name)
}

/// The class of a device: the one that its own line names, else the one that it agrees with; of
/// several, one that names the firmware, else the first.
#[must_use]
pub fn class_of<'a>(profile: &'a Profile, device: &BlockDevice) -> Option<&'a Class> {
    let listed = profile.device.iter().find(|one| Some(&one.wwid) == device.identity.as_ref());
    if let Some(class) = listed.and_then(|one| class_named(profile, &one.class)) {
        return Some(class);
    }
    let agreeing: Vec<&Class> =
        profile.class.iter().filter(|class| agrees(class, device)).collect();
    let exact = agreeing.iter().find(|class| class.firmware.is_some());
    exact.or(agreeing.first()).copied()
}

fn agrees(class: &Class, device: &BlockDevice) -> bool {
    let model = device.model.as_deref().is_some_and(|model| glob::matches(&class.model, model));
    let firmware = class.firmware.is_none() || class.firmware == device.firmware;
    let capacity = match (class.capacity_bytes, device.capacity_bytes) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wanted), Some(found)) => wanted.abs_diff(found) <= wanted / CAPACITY_TOLERANCE,
    };
    model && firmware && capacity
}

pub(crate) fn limits(class: &Class) -> (DriveLimits, LimitsSource) {
    let default = DriveLimits::default();
    let budget = &class.budget;
    let measured = class.measured.as_ref();
    let reads = measured.and_then(|measured| measured.read_queue_depth_knee);
    let writes = measured.and_then(|measured| measured.write_queue_depth_knee);
    // Larger pieces than both directions need only make others wait.
    let split = measured.and_then(|one| one.read_bytes_knee.max(one.write_bytes_knee));
    let limits = DriveLimits {
        read_queue_depth_max: budget
            .read_queue_depth_max
            .or(reads)
            .unwrap_or(default.read_queue_depth_max),
        write_queue_depth_max: budget
            .write_queue_depth_max
            .or(writes)
            .unwrap_or(default.write_queue_depth_max),
        split_bytes: budget.split_bytes.or(split).unwrap_or(default.split_bytes),
        background_share: budget.background_share.unwrap_or(default.background_share),
    };
    let is_measured = reads.or(writes).is_some() || split.is_some();
    let source = if *budget != crate::Budget::default() {
        LimitsSource::Budget
    } else if is_measured {
        LimitsSource::Measured
    } else {
        LimitsSource::Default
    };
    (limits, source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeRoot, profile};
    use std::path::PathBuf;

    const CLASS: &str = "[[class]]\nname = \"fast\"\nmodel = \"Fast SSD\"\n";

    fn machine(drives: &[&str]) -> Machine {
        let fake = FakeRoot::new();
        fake.nvme(0, "eui.00");
        fake.nvme(1, "eui.01");
        fake.file("/dev/nvme0n1", "");
        fake.file("/dev/nvme1n1", "");
        let drives: Vec<PathBuf> = drives.iter().map(PathBuf::from).collect();
        crate::probe(&fake.root(), &drives)
    }

    #[test]
    fn drives_go_to_shards_in_order_unless_they_are_named() {
        let machine = machine(&["/dev/nvme0n1", "/dev/nvme1n1"]);
        let shards = |layout: &str| {
            let plan = plan(&profile(layout), &machine);
            plan.drives.iter().map(|drive| drive.shard).collect::<Vec<_>>()
        };
        assert_eq!(shards(""), [None::<u32>, None]);
        assert_eq!(shards("[layout]\ndrives_per_shard = 1\n"), [Some(0), Some(1)]);
        assert_eq!(shards("[layout]\ndrives_per_shard = 2\n"), [Some(0), Some(0)]);
        let one = "[layout]\nshard_cpus = \"1\"\ndrives_per_shard = 1\n";
        assert_eq!(shards(one), [Some(0), Some(0)]);
        let named =
            "[layout]\nshard_cpus = \"0-1\"\n[[layout.drive]]\nwwid = \"eui.00\"\nshard = 1\n";
        assert_eq!(shards(named), [Some(1), None]);
    }

    #[test]
    fn limits_come_from_the_budget_then_from_measurement_then_from_the_defaults() {
        let machine = machine(&["/dev/nvme0n1"]);
        let one = |text: &str| plan(&profile(text), &machine).drives[0].clone();
        let bare = one(CLASS);
        assert_eq!(bare.limits, DriveLimits::default());
        assert_eq!(bare.limits_source, LimitsSource::Default);
        let measured = format!(
            "{CLASS}[class.measured]\ndate = \"2026-11-30\"\nmethod = \"full\"\nseconds = 9\n\
             read_queue_depth_knee = 128\nread_bytes_knee = 65536\nwrite_bytes_knee = 131072\n"
        );
        let drive = one(&measured);
        assert_eq!(drive.limits.read_queue_depth_max, 128);
        assert_eq!(drive.limits.write_queue_depth_max, 64);
        assert_eq!(drive.limits.split_bytes, 131_072);
        assert_eq!(drive.limits_source, LimitsSource::Measured);
        let drive = one(&format!("{measured}[class.budget]\nread_queue_depth_max = 7\n"));
        assert_eq!(drive.limits.read_queue_depth_max, 7);
        assert_eq!(drive.limits_source, LimitsSource::Budget);
    }

    #[test]
    fn classes_agree_by_model_firmware_and_capacity() {
        let machine = machine(&["/dev/nvme0n1"]);
        let class = |text: &str| plan(&profile(text), &machine).drives[0].class.clone();
        assert_eq!(class(CLASS).as_deref(), Some("fast"));
        assert_eq!(class(&format!("{CLASS}firmware = \"OTHER\"\n")), None);
        assert_eq!(class(&format!("{CLASS}capacity_bytes = 960_000_000_000\n")), None);
        assert_eq!(
            class(&format!("{CLASS}capacity_bytes = 1_000_000_000_000\n")).as_deref(),
            Some("fast")
        );
        let exact =
            format!("{CLASS}[[class]]\nname = \"new\"\nmodel = \"Fast*\"\nfirmware = \"F1\"\n");
        assert_eq!(class(&exact).as_deref(), Some("new"));
        let plan = plan(&profile(""), &machine);
        assert!(plan.notes[0].contains("/dev/nvme0n1") && plan.notes[0].contains("measure it"));
    }
}
