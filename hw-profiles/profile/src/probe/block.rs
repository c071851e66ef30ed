//! Block devices and the limits of their queues.
//!
//! Invariants: kernel names (`nvme0n1`) are for finding files now, the identity is what survives a
//! restart; partitions are no devices of their own here, they add to their disk's mount points.

use super::mounts::Mounts;
use super::root::Root;
use crate::CpuList;
use serde::Serialize;
use std::collections::BTreeMap;

const SECTOR_BYTES: u64 = 512;

/// Attributes of a queue that are kept, in the words of the kernel.
const QUEUE_ATTRIBUTES: &[&str] = &[
    "add_random",
    "atomic_write_boundary_bytes",
    "atomic_write_max_bytes",
    "atomic_write_unit_max_bytes",
    "atomic_write_unit_min_bytes",
    "chunk_sectors",
    "discard_granularity",
    "discard_max_bytes",
    "dma_alignment",
    "fua",
    "io_poll",
    "iostats",
    "logical_block_size",
    "max_hw_sectors_kb",
    "max_sectors_kb",
    "max_segments",
    "max_write_streams",
    "minimum_io_size",
    "nomerges",
    "nr_requests",
    "optimal_io_size",
    "physical_block_size",
    "read_ahead_kb",
    "rotational",
    "rq_affinity",
    "scheduler",
    "stable_writes",
    "virt_boundary_mask",
    "wbt_lat_usec",
    "write_cache",
    "write_stream_granularity",
    "write_zeroes_max_bytes",
    "zoned",
];

/// What a device is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockKind {
    /// A namespace of an NVMe controller.
    Nvme,
    /// SCSI, SAS, SATA.
    Scsi,
    /// A disk of a virtual machine.
    Virtual,
    /// A file.
    Loop,
    /// LVM, encryption, multipath.
    DeviceMapper,
    /// Software RAID.
    Raid,
    /// Anything else.
    Other,
}

impl BlockKind {
    fn of(name: &str) -> Self {
        let prefixes = [
            ("nvme", Self::Nvme),
            ("sd", Self::Scsi),
            ("vd", Self::Virtual),
            ("xvd", Self::Virtual),
            ("loop", Self::Loop),
            ("dm-", Self::DeviceMapper),
            ("md", Self::Raid),
        ];
        let found = prefixes.into_iter().find(|(prefix, _)| name.starts_with(*prefix));
        found.map_or(Self::Other, |(_, kind)| kind)
    }

    /// Whether no other block device or file lies below it.
    #[must_use]
    pub fn is_physical(self) -> bool {
        matches!(self, Self::Nvme | Self::Scsi | Self::Virtual)
    }
}

/// A whole device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockDevice {
    /// Name that the kernel gave it at this start.
    pub name: String,
    /// What it is made of.
    pub kind: BlockKind,
    /// What names it whatever its kernel name is: the WWID, else `serial:...`, `loop:FILE`,
    /// `dm:UUID`, `md:UUID`.
    pub identity: Option<String>,
    /// Model.
    pub model: Option<String>,
    /// Firmware revision.
    pub firmware: Option<String>,
    /// Size.
    pub capacity_bytes: Option<u64>,
    /// Its NUMA node.
    pub numa_node: Option<u64>,
    /// Names of the NVMe controllers it is reached through.
    pub controllers: Vec<String>,
    /// Limits of the queue.
    pub queue: Queue,
    /// CPUs of each hardware queue.
    pub hardware_queues: Vec<CpuList>,
    /// Devices that this one is made of.
    pub slaves: Vec<String>,
    /// Devices that are made of this one or of its partitions.
    pub holders: Vec<String>,
    /// Its partitions.
    pub partitions: Vec<String>,
    /// Where it and its partitions are mounted.
    pub mount_points: Vec<String>,
    /// Whether it can only be read.
    pub read_only: Option<bool>,
}

impl BlockDevice {
    pub(super) fn read_all(root: &Root, mounts: &Mounts) -> Vec<Self> {
        let names = root.names("/sys/block");
        names.iter().filter_map(|name| Self::read(root, mounts, name)).collect()
    }

    fn read(root: &Root, mounts: &Mounts, name: &str) -> Option<Self> {
        let base = format!("/sys/block/{name}");
        let kind = BlockKind::of(name);
        let is_ram = name.starts_with("ram") || name.starts_with("zram");
        let is_path = root.number(&format!("{base}/hidden")) == Some(1);
        let is_empty = root.number(&format!("{base}/size")) == Some(0);
        let no_file = kind == BlockKind::Loop && backing_file(root, name).is_none();
        if is_ram || is_path || is_empty || no_file {
            return None;
        }
        let partitions: Vec<String> = root
            .names(&base)
            .into_iter()
            .filter(|entry| root.exists(&format!("{base}/{entry}/partition")))
            .collect();
        let places: Vec<String> = std::iter::once(base.clone())
            .chain(partitions.iter().map(|partition| format!("{base}/{partition}")))
            .collect();
        let numbers = places.iter().filter_map(|place| root.word(&format!("{place}/dev")));
        let sectors = root.number(&format!("{base}/size"));
        let numa = ["device/numa_node", "device/device/numa_node"];
        Some(Self {
            name: name.to_owned(),
            kind,
            identity: identity(root, name),
            model: model(root, kind, &base),
            firmware: firmware(root, &base),
            capacity_bytes: sectors.and_then(|count| count.checked_mul(SECTOR_BYTES)),
            numa_node: numa.iter().find_map(|path| root.number(&format!("{base}/{path}"))),
            controllers: controllers(root, kind, &base),
            queue: Queue::read(root, &base),
            hardware_queues: hardware_queues(root, &base),
            slaves: root.names(&format!("{base}/slaves")),
            holders: places.iter().flat_map(|at| root.names(&format!("{at}/holders"))).collect(),
            partitions,
            mount_points: numbers.flat_map(|number| mounts.points_of(&number)).collect(),
            read_only: root.number(&format!("{base}/ro")).map(|value| value != 0),
        })
    }
}

/// File behind a loop device; a file that was deleted keeps its name.
pub(super) fn backing_file(root: &Root, name: &str) -> Option<String> {
    let file = root.text(&format!("/sys/class/block/{name}/loop/backing_file"))?;
    let file = file.strip_suffix(" (deleted)").unwrap_or(&file);
    (!file.is_empty()).then(|| file.to_owned())
}

/// What names a device or partition whatever its kernel name is.
pub(crate) fn identity(root: &Root, name: &str) -> Option<String> {
    let base = format!("/sys/class/block/{name}");
    if let Some(number) = root.number(&format!("{base}/partition")) {
        let disk = root.resolved_parent_name(&base)?;
        return Some(format!("{}/part{number}", whole_identity(root, &disk)?));
    }
    whole_identity(root, name)
}

fn whole_identity(root: &Root, name: &str) -> Option<String> {
    let word = |path: &str| root.word(&format!("/sys/class/block/{name}/{path}"));
    let tagged = |tag: &str, path: &str| Some(format!("{tag}:{}", word(path)?));
    word("wwid")
        .or_else(|| word("device/wwid"))
        .or_else(|| Some(format!("loop:{}", backing_file(root, name)?)))
        .or_else(|| tagged("dm", "dm/uuid"))
        .or_else(|| tagged("dm", "dm/name"))
        .or_else(|| tagged("md", "md/uuid"))
        .or_else(|| tagged("serial", "serial"))
        .or_else(|| tagged("serial", "device/serial"))
}

fn model(root: &Root, kind: BlockKind, base: &str) -> Option<String> {
    let without_one = match kind {
        BlockKind::Virtual => Some("virtio-blk"),
        BlockKind::Loop => Some("loop"),
        _ => None,
    };
    let model = root.word(&format!("{base}/device/model"));
    model.or_else(|| without_one.map(str::to_owned))
}

fn firmware(root: &Root, base: &str) -> Option<String> {
    let paths = ["device/firmware_rev", "device/rev"];
    paths.iter().find_map(|path| root.word(&format!("{base}/{path}")))
}

/// `device` is the controller itself, or the subsystem that lists its controllers.
fn controllers(root: &Root, kind: BlockKind, base: &str) -> Vec<String> {
    if kind != BlockKind::Nvme {
        return Vec::new();
    }
    let device = format!("{base}/device");
    let is_controller = |name: &str| {
        name.strip_prefix("nvme")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
    };
    match root.resolved_name(&device) {
        Some(name) if is_controller(&name) => vec![name],
        _ => root.names(&device).into_iter().filter(|name| is_controller(name)).collect(),
    }
}

fn hardware_queues(root: &Root, base: &str) -> Vec<CpuList> {
    let queues = root.numbered(&format!("{base}/mq"), "");
    let cpus =
        |name: &str| root.text(&format!("{base}/mq/{name}/cpu_list"))?.parse::<CpuList>().ok();
    queues.iter().filter_map(|(_, name)| cpus(name)).collect()
}

/// Limits and settings of a queue, by the kernel's names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Queue(BTreeMap<String, String>);

impl Queue {
    fn read(root: &Root, base: &str) -> Self {
        let value = |name: &&str| {
            let value = root.word(&format!("{base}/queue/{name}"))?;
            Some(((*name).to_owned(), value))
        };
        Self(QUEUE_ATTRIBUTES.iter().filter_map(value).collect())
    }

    /// One attribute.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// One attribute that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// Largest request that the kernel sends in one piece.
    #[must_use]
    pub fn io_bytes_max(&self) -> Option<u64> {
        self.number("max_sectors_kb")?.checked_mul(1024)
    }
}

/// The value that is in use: the one in brackets of `[none] mq-deadline`, or the whole text.
pub(crate) fn chosen(text: &str) -> &str {
    let inner = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inner.map_or(text.trim(), |(chosen, _)| chosen)
}

/// The values that the kernel offers in such a text.
pub(crate) fn choices(text: &str) -> Vec<&str> {
    text.split_whitespace().map(|word| word.trim_matches(['[', ']'])).collect()
}
