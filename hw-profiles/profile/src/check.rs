//! The live machine against a profile: has anything drifted, and can the layout be kept to?
//!
//! Invariants: FAIL is only what makes the layout impossible (a CPU or drive that is not there);
//! what makes the figures doubtful is a WARN; what cannot be compared is UNSUPPORTED with the
//! reason, never silence and never an error.

use crate::CpuList;
use crate::file::{Class, Profile};
use crate::fingerprint::fingerprint;
use crate::plan::{class_of, class_of_drive, plan};
use crate::probe::{Machine, Root, identity};
use crate::tune::{self, KnobState};
use serde::Serialize;

/// How a comparison went; the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum CheckVerdict {
    /// Equal.
    Ok,
    /// It cannot be told, or cannot be had, here.
    Unsupported,
    /// It works, but not as the profile has it.
    Warn,
    /// The profile cannot be kept to.
    Fail,
}

impl CheckVerdict {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Unsupported => "UNSUPPORTED",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
        }
    }
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckRow {
    /// How it went.
    pub verdict: CheckVerdict,
    /// What was compared.
    pub check: String,
    /// What the machine has.
    pub found: String,
    /// What the profile has; empty where there is nothing to compare with.
    pub wanted: String,
    /// Why the verdict is not OK, and what to do; empty if it is.
    pub reason: String,
}

/// Everything that can be compared. Pass a machine that was probed with the drives in question.
#[must_use]
pub fn check(profile: &Profile, machine: &Machine, root: &Root) -> Vec<CheckRow> {
    let mut rows = Rows(Vec::new());
    machine_rows(&mut rows, profile, machine);
    numa_rows(&mut rows, profile, machine);
    cpu_rows(&mut rows, profile, machine);
    device_rows(&mut rows, profile, machine, root);
    drive_rows(&mut rows, profile, machine);
    link_rows(&mut rows, machine);
    nic_rows(&mut rows, profile, machine);
    knob_rows(&mut rows, profile, machine, root);
    rows.0
}

struct Rows(Vec<CheckRow>);

impl Rows {
    fn add(
        &mut self,
        verdict: CheckVerdict,
        check: impl Into<String>,
        found: impl Into<String>,
        wanted: impl Into<String>,
        reason: impl Into<String>,
    ) {
        let (check, found) = (check.into(), found.into());
        let (wanted, reason) = (wanted.into(), reason.into());
        self.0.push(CheckRow { verdict, check, found, wanted, reason });
    }

    /// Equal is OK, different a WARN for that reason, unknown UNSUPPORTED; nothing wanted, no row.
    fn compare<T: PartialEq + ToString>(
        &mut self,
        check: &str,
        found: Option<T>,
        wanted: Option<T>,
        reason: &str,
    ) {
        let Some(wanted) = wanted else { return };
        let Some(found) = found else {
            let unreadable = "this machine does not say";
            self.add(CheckVerdict::Unsupported, check, "unknown", wanted.to_string(), unreadable);
            return;
        };
        let equal = found == wanted;
        let verdict = if equal { CheckVerdict::Ok } else { CheckVerdict::Warn };
        let reason = if equal { "" } else { reason };
        self.add(verdict, check, found.to_string(), wanted.to_string(), reason);
    }
}

fn machine_rows(rows: &mut Rows, profile: &Profile, machine: &Machine) {
    let facts = &profile.machine;
    if let Some(wanted) = &profile.profile.fingerprint {
        let other = "the profile is of another kind of machine, or drives or their firmware were \
                     changed; measure again";
        rows.compare("fingerprint", Some(fingerprint(machine)), Some(wanted.clone()), other);
    }
    let model = machine.cpus.model.clone();
    rows.compare("CPU model", model, facts.cpu_model.clone(), "figures were taken on another CPU");
    let count = |count: usize| u32::try_from(count).ok().filter(|count| *count > 0);
    let online = count(machine.cpus.online.len());
    rows.compare("CPUs online", online, facts.cpus, "the layout was made for another number");
    let memory = machine.memory.total_bytes.map(gib);
    let wanted = facts.memory_bytes.map(gib);
    rows.compare("memory, GiB", memory, wanted, "memory was added or removed");
    let kernel = machine.system.kernel.as_deref().map(series);
    let wanted = facts.kernel.as_deref().map(series);
    rows.compare("kernel", kernel, wanted, "figures were taken under another kernel");
    let virtualisation = machine.system.virtualisation.clone();
    let wanted = facts.virtualisation.clone();
    rows.compare("hypervisor", virtualisation, wanted, "figures were taken on another one");
    if let Some(quota) = machine.cpus.quota_cpus {
        let reason = "the control group stops threads that spend more; raise or remove cpu.max";
        rows.add(CheckVerdict::Warn, "CPU quota", format!("{quota:.2} CPUs"), "", reason);
    }
}

fn gib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 30)
}

/// `6.18` of `6.18.44-generic`.
fn series(release: &str) -> String {
    release.split('.').take(2).collect::<Vec<_>>().join(".")
}

fn numa_rows(rows: &mut Rows, profile: &Profile, machine: &Machine) {
    for node in &profile.numa {
        let live = machine.cpus.nodes.iter().find(|live| live.id == node.id);
        let found = live.map(|live| live.cpus.to_string());
        let check = format!("CPUs of NUMA node {}", node.id);
        let reason = "drives may be far from their shards now";
        rows.compare(&check, found, Some(node.cpus.to_string()), reason);
    }
}

fn cpu_rows(rows: &mut Rows, profile: &Profile, machine: &Machine) {
    let layout = &profile.layout;
    for (check, cpus) in [
        ("layout.shard_cpus", &layout.shard_cpus),
        ("layout.gateway_cpus", &layout.gateway_cpus),
        ("layout.control_cpus", &layout.control_cpus),
    ] {
        let Some(cpus) = cpus else { continue };
        let allowed = &machine.cpus.allowed;
        let missing = cpus.without(allowed);
        if allowed.is_empty() {
            let reason = "this machine does not say which CPUs there are";
            rows.add(CheckVerdict::Unsupported, check, "unknown", cpus.to_string(), reason);
        } else if missing.is_empty() {
            rows.add(CheckVerdict::Ok, check, allowed.to_string(), cpus.to_string(), "");
        } else {
            let absent = missing.without(&machine.cpus.online);
            let why = if absent.is_empty() {
                "this process may not use them (cpuset or affinity)".to_owned()
            } else {
                format!("{absent} are not online")
            };
            let reason = format!("no thread can be pinned to {missing}: {why}");
            rows.add(CheckVerdict::Fail, check, allowed.to_string(), cpus.to_string(), reason);
        }
    }
    let Some(shards) = &layout.shard_cpus else { return };
    let crowded = crowded(machine, shards);
    if !crowded.is_empty() {
        let reason = "two shards on the threads of one core share its caches and pipelines";
        let check = "shards per core";
        rows.add(CheckVerdict::Warn, check, format!("two on {crowded}"), "one", reason);
    }
    let both = layout.gateway_cpus.as_ref().map(|gateways| gateways.common(shards));
    if let Some(both) = both.filter(|both| !both.is_empty()) {
        let reason = "a gateway and a shard take turns there, so neither spins";
        let check = "shards and gateways";
        rows.add(CheckVerdict::Warn, check, format!("both on {both}"), "apart", reason);
    }
}

/// CPUs of the list that share their core with another one of it.
fn crowded(machine: &Machine, cpus: &CpuList) -> CpuList {
    cpus.iter().filter(|cpu| machine.cpus.siblings(*cpu).common(cpus).len() > 1).collect()
}

/// Directories, files and partitions are no devices of their own. A machine may be looked at without
/// its drives: then they are where they say they are, or nowhere.
fn is_place(machine: &Machine, root: &Root, wwid: &str) -> bool {
    if machine.drives.iter().any(|drive| drive.identity.as_deref() == Some(wwid)) {
        return true;
    }
    if let Some(path) = wwid.strip_prefix("path:") {
        return root.exists(path);
    }
    let mut partitions = machine.devices.iter().flat_map(|device| &device.partitions);
    partitions.any(|name| identity(root, name).as_deref() == Some(wwid))
}

fn device_rows(rows: &mut Rows, profile: &Profile, machine: &Machine, root: &Root) {
    for listed in &profile.device {
        let check = format!("drive {}", listed.wwid);
        let Some(device) = machine.device_with_identity(&listed.wwid) else {
            if !is_place(machine, root, &listed.wwid) {
                let reason = "the drive is not there: replace it, or take it out of the profile; \
                              name it if it is yet to be made";
                rows.add(CheckVerdict::Fail, check, "missing", listed.class.as_str(), reason);
            }
            continue;
        };
        let Some(class) = profile.class.iter().find(|class| class.name == listed.class) else {
            continue;
        };
        let model = device.model.clone().unwrap_or_else(|| "unknown".to_owned());
        // Arrays and some virtual drives have no model: their identity is all there is.
        if device.model.is_some() && !crate::glob::matches(&class.model, &model) {
            let reason = "another drive has this identity now; measure it";
            rows.add(CheckVerdict::Warn, check, model, class.model.as_str(), reason);
        } else if class.firmware.is_some() && class.firmware != device.firmware {
            let found = device.firmware.clone().unwrap_or_else(|| "unknown".to_owned());
            let wanted = class.firmware.clone().unwrap_or_default();
            let reason = "its firmware was changed since the figures were taken; measure again";
            rows.add(CheckVerdict::Warn, format!("{check}, firmware"), found, wanted, reason);
        } else {
            rows.add(CheckVerdict::Ok, check, model, class.name.as_str(), "");
        }
    }
}

fn drive_rows(rows: &mut Rows, profile: &Profile, machine: &Machine) {
    for drive in &machine.drives {
        let Some(class) = class_of_drive(profile, machine, drive) else { continue };
        let devices = drive.chain.iter().filter_map(|name| machine.device(name));
        for device in devices {
            let is_own = class_of(profile, device).is_some_and(|own| own.name == class.name);
            if is_own {
                limit_rows(rows, class, device);
            }
        }
    }
    for note in plan(profile, machine).notes {
        rows.add(CheckVerdict::Warn, "drives", "", "", note);
    }
}

fn limit_rows(rows: &mut Rows, class: &Class, device: &crate::BlockDevice) {
    let name = &device.name;
    let queue = &device.queue;
    let formatted = "the drive was formatted with other blocks since the profile was written";
    let check = format!("{name} logical block");
    rows.compare(&check, queue.number("logical_block_size"), class.logical_block_bytes, formatted);
    let check = format!("{name} physical block");
    let found = queue.number("physical_block_size");
    rows.compare(&check, found, class.physical_block_bytes, formatted);
    let (Some(split), Some(largest)) = (class.budget.split_bytes, queue.io_bytes_max()) else {
        return;
    };
    let check = format!("{name} split size");
    if split > largest {
        let reason = "the kernel splits such requests again; lower split_bytes or raise \
                      max_sectors_kb";
        let found = format!("{largest} at most");
        rows.add(CheckVerdict::Warn, check, found, split.to_string(), reason);
    } else {
        rows.add(CheckVerdict::Ok, check, format!("{largest} at most"), split.to_string(), "");
    }
}

/// Needs no profile: what the device can is known.
fn link_rows(rows: &mut Rows, machine: &Machine) {
    let in_use = machine.devices_in_use();
    let devices = in_use.iter().filter_map(|name| machine.device(name));
    let names: Vec<&String> = devices.flat_map(|device| &device.controllers).collect();
    for controller in machine.controllers.iter().filter(|one| names.contains(&&one.name)) {
        let Some(link) = controller.link else { continue };
        let check = format!("{} link", controller.name);
        let wanted = format!("{} GT/s x{}", link.gigatransfers_max, link.lanes_max);
        if link.is_degraded() {
            let reason = "the link runs below what the drive can: reseat the drive, check slot, \
                          riser and cable";
            rows.add(CheckVerdict::Warn, check, link.to_string(), wanted, reason);
        } else {
            rows.add(CheckVerdict::Ok, check, link.to_string(), wanted, "");
        }
    }
}

fn nic_rows(rows: &mut Rows, profile: &Profile, machine: &Machine) {
    for nic in &profile.nic {
        let same_address = |address: &Option<String>| address.is_some() && *address == nic.pci;
        let live = machine
            .nics
            .iter()
            .find(|live| same_address(&live.bus_address))
            .or_else(|| machine.nics.iter().find(|live| live.name == nic.name));
        let check = format!("network {}", nic.name);
        let Some(live) = live else {
            let reason = "the interface is not there";
            rows.add(CheckVerdict::Warn, check, "missing", nic.name.as_str(), reason);
            continue;
        };
        let reason = "the link runs at another speed than it did";
        rows.compare(&check, live.bytes_per_sec, nic.bytes_per_sec, reason);
    }
}

fn knob_rows(rows: &mut Rows, profile: &Profile, machine: &Machine, root: &Root) {
    for knob in tune::knobs(profile, machine, root) {
        let found = knob.now.unwrap_or_else(|| "unknown".to_owned());
        let (verdict, reason) = match knob.state {
            KnobState::Set => (CheckVerdict::Ok, String::new()),
            KnobState::Differs { .. } => (CheckVerdict::Warn, knob.why.to_owned()),
            KnobState::CannotSet { reason } | KnobState::Refused { reason } => {
                (CheckVerdict::Unsupported, reason)
            }
        };
        rows.add(verdict, knob.name, found, knob.wanted, reason);
    }
}
