//! From a probed machine to the draft of its profile: facts only, nothing measured, no layout.

use crate::file::{
    Budget, Class, Device, Header, Layout, MachineFacts, Nic, NumaFacts, OsKnobs, Profile,
    ProfileSource, Runtime, SCHEMA, WriteCache,
};
use crate::fingerprint::fingerprint;
use crate::probe::{BlockDevice, Machine};

/// What the machine does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftHeader {
    /// Name of the profile.
    pub name: String,
    /// Today, such as `2026-11-30`.
    pub created: String,
    /// Version of the program.
    pub tool_version: String,
}

/// A profile with the facts of the machine, and a class and device for each drive asked about
/// (for each physical drive where none was).
#[must_use]
pub fn draft(machine: &Machine, header: DraftHeader) -> Profile {
    let mut profile = Profile {
        schema: SCHEMA,
        profile: Header {
            name: header.name,
            source: ProfileSource::Probe,
            created: header.created,
            tool_version: Some(header.tool_version),
            fingerprint: Some(fingerprint(machine)),
            notes: None,
        },
        machine: facts(machine),
        layout: Layout::default(),
        runtime: Runtime::default(),
        os: OsKnobs::default(),
        numa: machine
            .cpus
            .nodes
            .iter()
            .map(|node| NumaFacts {
                id: node.id,
                cpus: node.cpus.clone(),
                memory_bytes: node.memory_bytes,
            })
            .collect(),
        class: Vec::new(),
        device: Vec::new(),
        nic: machine.nics.iter().map(nic).collect(),
        source: Vec::new(),
    };
    for name in machine.devices_in_use() {
        if let Some(device) = machine.device(name) {
            add(&mut profile, device);
        }
    }
    profile
}

fn facts(machine: &Machine) -> MachineFacts {
    let count = |count: usize| u32::try_from(count).ok().filter(|count| *count > 0);
    MachineFacts {
        vendor: machine.system.vendor.clone(),
        product: machine.system.product.clone(),
        cpu_model: machine.cpus.model.clone(),
        cpus: count(machine.cpus.online.len()),
        cores: count(machine.cpus.cores.len()),
        sockets: machine.cpus.sockets,
        memory_bytes: machine.memory.total_bytes,
        kernel: machine.system.kernel.clone(),
        virtualisation: machine.system.virtualisation.clone(),
    }
}

fn nic(nic: &crate::probe::NetworkInterface) -> Nic {
    Nic {
        name: nic.name.clone(),
        pci: nic.bus_address.clone(),
        bytes_per_sec: nic.bytes_per_sec,
        numa: nic.numa_node.and_then(|node| u32::try_from(node).ok()),
    }
}

/// A device without a model (LVM, RAID) gets no class: the devices below it do.
fn add(profile: &mut Profile, device: &BlockDevice) {
    let Some(model) = &device.model else { return };
    let same = |class: &&Class| {
        class.model == *model
            && class.firmware == device.firmware
            && class.capacity_bytes == device.capacity_bytes
    };
    let known = profile.class.iter().find(same).map(|class| class.name.clone());
    let name = match known {
        Some(name) => name,
        None => {
            let name = class_name(profile, model, device.capacity_bytes);
            profile.class.push(class(name.clone(), model, device));
            name
        }
    };
    if let Some(wwid) = &device.identity {
        profile.device.push(Device { wwid: wwid.clone(), class: name });
    }
}

fn class(name: String, model: &str, device: &BlockDevice) -> Class {
    let write_cache = match device.queue.text("write_cache") {
        Some("write back") => Some(WriteCache::Back),
        Some("write through") => Some(WriteCache::Through),
        _ => None,
    };
    Class {
        name,
        model: model.to_owned(),
        firmware: device.firmware.clone(),
        capacity_bytes: device.capacity_bytes,
        logical_block_bytes: device.queue.number("logical_block_size"),
        physical_block_bytes: device.queue.number("physical_block_size"),
        io_bytes_max: device.queue.io_bytes_max(),
        write_cache,
        power_loss_protection: None,
        published: None,
        measured: None,
        budget: Budget::default(),
    }
}

/// Model and size in words, such as `samsung-mzql23t8hcls-00a07-3840gb`; numbered if it is taken.
fn class_name(profile: &Profile, model: &str, capacity_bytes: Option<u64>) -> String {
    const MODEL_BYTES_MAX: usize = 40;
    let mut name = String::new();
    for letter in model.chars().map(|letter| letter.to_ascii_lowercase()) {
        if letter.is_ascii_alphanumeric() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(MODEL_BYTES_MAX);
    let mut name = name.trim_end_matches('-').to_owned();
    if name.is_empty() {
        name.push_str("drive");
    }
    if let Some(bytes) = capacity_bytes {
        name.push_str(&format!("-{}gb", bytes / 1_000_000_000));
    }
    let taken = |name: &str| profile.class.iter().any(|class| class.name == name);
    let mut numbered = name.clone();
    let mut number = 2;
    while taken(&numbered) {
        numbered = format!("{name}-{number}");
        number += 1;
    }
    numbered
}
