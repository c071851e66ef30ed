//! What the machine says of itself, from /sys and /proc: read-only, as any user, in well under two
//! seconds.
//!
//! Invariants: every path goes through the `Root`; nothing is written, no device is opened; a fact
//! that cannot be read is None or empty, never an error; what is read is bounded in size and
//! number. Not here, because sysfs does not have it: LBA formats, volatile write cache and atomic
//! write units of NVMe (they need an admin command and its rights).

mod block;
mod cgroup;
mod cpu;
mod memory;
mod mounts;
mod network;
mod nvme;
mod place;
mod root;
mod system;

pub use block::{BlockDevice, BlockKind, Queue};
pub(crate) use block::{choices, chosen, identity};
pub use cpu::{Cpus, NumaNode};
pub use memory::Memory;
pub use mounts::{Mount, Mounts};
pub use network::NetworkInterface;
pub use nvme::{Link, NvmeController};
pub use place::{DrivePlace, PlaceKind};
pub use root::Root;
pub use system::System;

use serde::Serialize;
use std::path::PathBuf;

/// A machine as it is now.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Machine {
    /// Kernel, product, hypervisor.
    pub system: System,
    /// CPUs and NUMA nodes.
    pub cpus: Cpus,
    /// RAM.
    pub memory: Memory,
    /// Block devices that hold data: no empty loop devices, no RAM disks, no partitions.
    pub devices: Vec<BlockDevice>,
    /// NVMe controllers.
    pub controllers: Vec<NvmeController>,
    /// Network interfaces with a device below them.
    pub nics: Vec<NetworkInterface>,
    /// What was asked about, in that order.
    pub drives: Vec<DrivePlace>,
}

impl Machine {
    /// The device of that kernel name.
    #[must_use]
    pub fn device(&self, name: &str) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The device with that identity, whatever it is called now.
    #[must_use]
    pub fn device_with_identity(&self, wwid: &str) -> Option<&BlockDevice> {
        self.devices.iter().find(|device| device.identity.as_deref() == Some(wwid))
    }

    /// Names of the devices below the drives asked about, each once; of every physical device
    /// where none was asked about.
    #[must_use]
    pub fn devices_in_use(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        let chains = self.drives.iter().flat_map(|drive| drive.chain.iter().map(String::as_str));
        let physical = self.devices.iter().filter(|device| device.kind.is_physical());
        if self.drives.is_empty() {
            names.extend(physical.map(|device| device.name.as_str()));
        } else {
            names.extend(chains.filter(|name| self.device(name).is_some()));
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Looks at the machine, and at what each of these drives (directories, files, block devices)
/// lies on. A drive that does not exist yet is judged by the directory it will be in.
#[must_use]
pub fn probe(root: &Root, drives: &[PathBuf]) -> Machine {
    let mounts = Mounts::read(root);
    Machine {
        system: System::read(root),
        cpus: Cpus::read(root),
        memory: Memory::read(root),
        devices: BlockDevice::read_all(root, &mounts),
        controllers: NvmeController::read_all(root),
        nics: NetworkInterface::read_all(root),
        drives: drives.iter().map(|path| DrivePlace::find(root, &mounts, path)).collect(),
    }
}
