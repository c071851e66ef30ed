//! Probing a machine made of files.

use crate::testing::FakeRoot;
use crate::{BlockKind, DrivePlace, Machine, PlaceKind, probe};
use std::path::PathBuf;

fn look(fake: &FakeRoot, drives: &[&str]) -> Machine {
    let drives: Vec<PathBuf> = drives.iter().map(PathBuf::from).collect();
    probe(&fake.root(), &drives)
}

fn place(fake: &FakeRoot, drive: &str) -> DrivePlace {
    look(fake, &[drive]).drives.remove(0)
}

#[test]
fn an_empty_tree_is_unknown_and_no_error() {
    let fake = FakeRoot::new();
    let machine = look(&fake, &["/srv/d1"]);
    assert_eq!(machine.system.kernel, None);
    assert!(machine.cpus.online.is_empty() && machine.devices.is_empty());
    assert_eq!(machine.memory.usable_bytes(), None);
    let drive = &machine.drives[0];
    assert_eq!((drive.kind, drive.chain.len()), (PlaceKind::Missing, 0));
    assert_eq!(drive.identity.as_deref(), Some("path:/srv/d1"));
    assert_eq!(drive.notes.len(), 1);
    let shown = machine.to_string();
    assert!(shown.contains("kernel unknown") && shown.contains("devices unknown"), "{shown}");
}

#[test]
fn cpus_nodes_and_limits() {
    let fake = FakeRoot::new();
    fake.cpus(4);
    fake.file("/proc/self/status", "Cpus_allowed_list:\t1-3,64-127\n");
    fake.file("/proc/cpuinfo", "model name\t: Test CPU\nflags\t\t: fpu sse2 hypervisor\n");
    fake.file("/proc/meminfo", "MemTotal:        8388608 kB\n");
    fake.file("/proc/self/cgroup", "0::/box\n");
    fake.file("/sys/fs/cgroup/box/memory.max", "1073741824\n");
    fake.file("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "powersave\n");
    fake.file("/sys/devices/system/cpu/cpufreq/policy2/scaling_governor", "performance\n");
    let machine = look(&fake, &[]);
    let cpus = &machine.cpus;
    assert_eq!(cpus.model.as_deref(), Some("Test CPU"));
    assert_eq!(cpus.online.to_string(), "0-3");
    assert_eq!(cpus.allowed.to_string(), "1-3");
    assert_eq!(cpus.cores.len(), 2);
    assert_eq!(cpus.siblings(3).to_string(), "2-3");
    assert_eq!(cpus.sockets, Some(1));
    assert_eq!(cpus.governor.as_deref(), Some("performance+powersave"));
    assert_eq!(cpus.nodes[0].memory_bytes, Some(1 << 20));
    assert_eq!(machine.memory.usable_bytes(), Some(1 << 30));
    assert_eq!(machine.system.virtualisation.as_deref(), Some("unknown hypervisor"));
}

#[test]
fn an_nvme_drive_with_its_controller_and_queue() {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00\n");
    let machine = look(&fake, &[]);
    let device = machine.device("nvme0n1").unwrap();
    assert_eq!(device.kind, BlockKind::Nvme);
    assert_eq!(device.identity.as_deref(), Some("eui.00"));
    assert_eq!(device.model.as_deref(), Some("Fast SSD"));
    assert_eq!(device.firmware.as_deref(), Some("F1"));
    assert_eq!(device.capacity_bytes, Some(1_000_000_000_000));
    assert_eq!(device.controllers, ["nvme0"]);
    assert_eq!(device.queue.io_bytes_max(), Some(128 << 10));
    let queues: Vec<String> = device.hardware_queues.iter().map(ToString::to_string).collect();
    assert_eq!(queues, ["0-1", "2", "3"]);
    assert!(device.partitions.is_empty() && device.holders.is_empty());
    let controller = &machine.controllers[0];
    let link = controller.link.unwrap();
    assert!(!link.is_degraded());
    assert_eq!(controller.temperature_millidegrees, Some(41_850));
    fake.file("/sys/class/nvme/nvme0/device/current_link_width", "2");
    assert!(look(&fake, &[]).controllers[0].link.unwrap().is_degraded());
}

#[test]
fn devices_that_hold_nothing_are_left_out() {
    let fake = FakeRoot::new();
    fake.virtual_block("loop0", "7:0");
    fake.virtual_block("ram0", "1:0");
    fake.virtual_block("sda", "8:0");
    fake.file("/sys/block/sda/size", "0");
    fake.nvme(0, "eui.00");
    fake.file("/sys/block/nvme0n1/hidden", "1");
    let devices = look(&fake, &[]).devices;
    assert!(devices.is_empty(), "{devices:#?}");
}

#[test]
fn a_partition_leads_to_its_disk() {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00");
    fake.partition(0, 2);
    let drive = place(&fake, "/dev/nvme0n1p2");
    assert_eq!(drive.kind, PlaceKind::BlockDevice);
    assert_eq!(drive.chain, ["nvme0n1p2", "nvme0n1"]);
    assert_eq!(drive.disks, ["nvme0n1"]);
    assert_eq!(drive.identity.as_deref(), Some("eui.00/part2"));
    let machine = look(&fake, &["/dev/nvme0n1p2"]);
    assert_eq!(machine.device("nvme0n1").unwrap().partitions, ["nvme0n1p2"]);
    assert_eq!(machine.devices_in_use(), ["nvme0n1"]);
}

#[test]
fn a_device_without_an_identity_is_known_by_its_node() {
    let fake = FakeRoot::new();
    fake.virtual_block("nbd0", "43:0");
    fake.file("/dev/nbd0", "");
    fake.link("/dev/disk/data", "/dev/nbd0");
    let drive = place(&fake, "/dev/disk/data");
    assert_eq!((drive.kind, drive.chain.len()), (PlaceKind::BlockDevice, 1));
    assert_eq!(drive.identity.as_deref(), Some("path:/dev/nbd0"));
    assert_eq!(look(&fake, &[]).device("nbd0").unwrap().identity, None);
}

#[test]
fn a_directory_leads_to_the_disk_of_its_file_system() {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00");
    fake.partition(0, 1);
    fake.file(
        "/proc/self/mountinfo",
        "1 0 0:9 / / rw - tmpfs tmpfs rw\n2 1 259:1 / /srv rw - xfs /dev/nvme0n1p1 rw\n",
    );
    fake.directory("/srv/d1");
    let drive = place(&fake, "/srv/d1");
    assert_eq!(drive.kind, PlaceKind::Directory);
    assert_eq!(drive.chain, ["nvme0n1p1", "nvme0n1"]);
    assert_eq!(drive.file_system.as_deref(), Some("xfs"));
    assert_eq!(drive.identity.as_deref(), Some("path:/srv/d1"));
    // One that is yet to be made lies where its parent lies, and has its identity already.
    fake.link("/data", "/srv");
    let drive = place(&fake, "/data/d2/new");
    assert_eq!((drive.kind, drive.disks.len()), (PlaceKind::Missing, 1));
    assert_eq!(drive.identity.as_deref(), Some("path:/srv/d2/new"));
    let drive = place(&fake, "/other");
    assert!(drive.notes[0].contains("tmpfs has no device"), "{:?}", drive.notes);
    assert_eq!(look(&fake, &[]).devices[0].mount_points, ["/srv"]);
}

#[test]
fn a_loop_device_leads_through_its_file_to_the_disk() {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00");
    fake.virtual_block("loop3", "7:3");
    fake.file("/sys/block/loop3/loop/backing_file", "/srv/image\n");
    fake.file("/dev/loop3", "");
    fake.file("/srv/image", "");
    fake.file("/proc/self/mountinfo", "1 0 259:0 / / rw - ext4 /dev/nvme0n1 rw\n");
    let drive = place(&fake, "/dev/loop3");
    assert_eq!(drive.chain, ["loop3", "nvme0n1"]);
    assert_eq!(drive.disks, ["nvme0n1"]);
    assert_eq!(drive.identity.as_deref(), Some("loop:/srv/image"));
    assert_eq!(look(&fake, &[]).device("loop3").unwrap().model.as_deref(), Some("loop"));
}

#[test]
fn mapped_devices_lead_to_all_their_members_and_links_to_the_device() {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00");
    fake.nvme(1, "eui.01");
    fake.partition(1, 1);
    fake.virtual_block("md0", "9:0");
    fake.link("/sys/devices/virtual/block/md0/slaves/nvme0n1", "/sys/class/block/nvme0n1");
    fake.link("/sys/devices/virtual/block/md0/slaves/nvme1n1p1", "/sys/class/block/nvme1n1p1");
    fake.virtual_block("dm-0", "253:0");
    fake.file("/sys/devices/virtual/block/dm-0/dm/uuid", "LVM-abc");
    fake.link("/sys/devices/virtual/block/dm-0/slaves/md0", "/sys/class/block/md0");
    fake.file("/dev/dm-0", "");
    fake.link("/dev/mapper/data", "/dev/dm-0");
    let drive = place(&fake, "/dev/mapper/data");
    assert_eq!(drive.chain, ["dm-0", "md0", "nvme0n1", "nvme1n1p1", "nvme1n1"]);
    assert_eq!(drive.disks, ["nvme0n1", "nvme1n1"]);
    assert_eq!(drive.identity.as_deref(), Some("dm:LVM-abc"));
}

#[test]
fn a_walk_in_a_circle_ends() {
    let fake = FakeRoot::new();
    for (one, other, number) in [("dm-0", "dm-1", "253:0"), ("dm-1", "dm-0", "253:1")] {
        fake.virtual_block(one, number);
        let slave = format!("/sys/devices/virtual/block/{one}/slaves/{other}");
        fake.file(&slave, "");
    }
    fake.file("/dev/dm-0", "");
    assert_eq!(place(&fake, "/dev/dm-0").chain, ["dm-0", "dm-1"]);
}

#[test]
fn network_interfaces_have_a_device() {
    let fake = FakeRoot::new();
    fake.directory("/sys/devices/pci0000:00/0000:05:00.0/net/ens1/queues/rx-0");
    fake.directory("/sys/devices/pci0000:00/0000:05:00.0/net/ens1/queues/tx-0");
    let interface = "/sys/devices/pci0000:00/0000:05:00.0/net/ens1";
    fake.file(&format!("{interface}/speed"), "25000\n");
    fake.file(&format!("{interface}/operstate"), "up\n");
    fake.link(&format!("{interface}/device"), "/sys/devices/pci0000:00/0000:05:00.0");
    fake.link("/sys/class/net/ens1", interface);
    fake.file("/sys/devices/virtual/net/lo/speed", "-1\n");
    fake.link("/sys/class/net/lo", "/sys/devices/virtual/net/lo");
    let nics = look(&fake, &[]).nics;
    assert_eq!(nics.len(), 1);
    assert_eq!(nics[0].bytes_per_sec, Some(3_125_000_000));
    assert_eq!(nics[0].bus_address.as_deref(), Some("0000:05:00.0"));
    assert_eq!((nics[0].receive_queues, nics[0].driver.as_deref()), (1, None));
}

#[test]
fn this_machine_is_probed_without_rights() {
    let temporary = std::env::temp_dir();
    let machine = probe(&crate::Root::real(), std::slice::from_ref(&temporary));
    assert_eq!(machine.drives[0].kind, PlaceKind::Directory);
    assert!(machine.system.kernel.is_some() && !machine.cpus.allowed.is_empty());
    assert!(machine.memory.total_bytes.is_some_and(|bytes| bytes > 1 << 20));
    assert!(machine.to_string().contains("memory"));
}
