//! From a probed machine to the draft of its profile: facts only, nothing measured, no layout.
//!
//! Invariant: what the machine says of its drives is left out where a profile could not hold it, so
//! that a draft can be read back.

use crate::file::{
    Budget, Class, Device, Header, Layout, MachineFacts, Nic, NumaFacts, OsKnobs, Profile,
    ProfileSource, Runtime, SCHEMA, WriteCache,
};
use crate::fingerprint::fingerprint;
use crate::probe::{BlockDevice, Machine};
use crate::validate::{CAPACITY_BYTES_MIN, TEXT_BYTES_MAX, is_block_size};

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

/// A device without a model (LVM, RAID) gets no class: the devices below it do. One that is too
/// small to be a drive gets none either.
fn add(profile: &mut Profile, device: &BlockDevice) {
    let Some(model) = device.model.as_ref().filter(|model| is_text(model)) else { return };
    if device.capacity_bytes.is_some_and(|bytes| bytes < CAPACITY_BYTES_MIN) {
        return;
    }
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
    // Two paths to one drive have one identity.
    let is_listed = |wwid: &str| profile.device.iter().any(|listed| listed.wwid == wwid);
    let identity = device.identity.as_ref().filter(|wwid| is_text(wwid) && !is_listed(wwid));
    if let Some(wwid) = identity {
        profile.device.push(Device { wwid: wwid.clone(), class: name });
    }
}

/// Whether a profile can hold this text of a device.
fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control)
}

fn class(name: String, model: &str, device: &BlockDevice) -> Class {
    let write_cache = match device.queue.text("write_cache") {
        Some("write back") => Some(WriteCache::Back),
        Some("write through") => Some(WriteCache::Through),
        _ => None,
    };
    let block =
        |attribute: &str| device.queue.number(attribute).filter(|size| is_block_size(*size));
    Class {
        name,
        model: model.to_owned(),
        firmware: device.firmware.clone().filter(|firmware| is_text(firmware)),
        capacity_bytes: device.capacity_bytes,
        logical_block_bytes: block("logical_block_size"),
        physical_block_bytes: block("physical_block_size"),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeRoot;
    use std::path::Path;

    /// The draft of a fake machine, as it is read back.
    fn read_back(fake: &FakeRoot) -> Profile {
        let header = DraftHeader {
            name: "lab".to_owned(),
            created: "2026-11-30".to_owned(),
            tool_version: "0.1.0".to_owned(),
        };
        let text = draft(&crate::probe(&fake.root(), &[]), header).to_toml().unwrap();
        Profile::parse(Path::new("lab.toml"), &text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn two_paths_to_one_drive_are_one_device() {
        let fake = FakeRoot::new();
        fake.nvme(0, "eui.00");
        fake.nvme(1, "eui.00");
        fake.nvme(2, "eui.02");
        let profile = read_back(&fake);
        let listed: Vec<&str> = profile.device.iter().map(|device| device.wwid.as_str()).collect();
        assert_eq!(listed, ["eui.00", "eui.02"]);
        assert_eq!(profile.class.len(), 1);
    }

    #[test]
    fn what_is_too_small_to_be_a_drive_is_left_out() {
        let fake = FakeRoot::new();
        fake.nvme(0, "eui.00");
        fake.file("/sys/block/nvme0n1/size", "2047");
        let profile = read_back(&fake);
        assert!(profile.class.is_empty() && profile.device.is_empty(), "{profile:?}");
        fake.file("/sys/block/nvme0n1/size", "2048");
        assert_eq!(read_back(&fake).class[0].capacity_bytes, Some(1 << 20));
    }

    #[test]
    fn facts_that_a_profile_cannot_hold_are_left_out() {
        let fake = FakeRoot::new();
        fake.nvme(0, &format!("eui.{}", "0".repeat(TEXT_BYTES_MAX)));
        fake.file("/sys/class/nvme/nvme0/firmware_rev", "F\u{1b}1");
        fake.file("/sys/block/nvme0n1/queue/physical_block_size", "520");
        let profile = read_back(&fake);
        assert!(profile.device.is_empty(), "{profile:?}");
        let class = &profile.class[0];
        assert_eq!((class.firmware.as_deref(), class.physical_block_bytes), (None, None));
        assert_eq!(class.logical_block_bytes, Some(512));
    }
}
