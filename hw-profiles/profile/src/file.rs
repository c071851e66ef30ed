//! The schema of a profile file, version 1: what each field means and its unit.
//!
//! Invariants: a field stands here only if the check, the tuner or the server uses it; an unknown
//! field is an error; drives are named by class (model, firmware, capacity) and WWID, never by
//! `/dev` name. Bounds and what must go together are in `validate.rs`, provenance in
//! `provenance.rs`, reading and error messages in `load.rs`.

use crate::CpuList;
use serde::{Deserialize, Serialize};

/// The version of the schema that this build reads and writes.
pub const SCHEMA: u32 = 1;

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// `SCHEMA`.
    pub schema: u32,
    /// Of the file itself.
    pub profile: Header,
    /// The machine the facts were found on, or the type of machine a preset is for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub machine: MachineFacts,
    /// Which CPUs and drives belong to which threads.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layout: Layout,
    /// The rings.
    #[serde(default, skip_serializing_if = "is_default")]
    pub runtime: Runtime,
    /// Settings of the operating system that the drives want.
    #[serde(default, skip_serializing_if = "is_default")]
    pub os: OsKnobs,
    /// NUMA nodes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub numa: Vec<NumaFacts>,
    /// Kinds of drives: one measurement serves all drives of a kind.
    #[serde(default, skip_serializing_if = "is_default")]
    pub class: Vec<Class>,
    /// Drives of this very machine.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: Vec<Device>,
    /// Network interfaces.
    #[serde(default, skip_serializing_if = "is_default")]
    pub nic: Vec<Nic>,
    /// Where figures come from.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Vec<Source>,
}

/// Who wrote the file, when, and how far it can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// Where the facts come from.
    pub source: ProfileSource,
    /// Date, such as `2026-11-30`.
    pub created: String,
    /// Version of the program that wrote it.
    #[serde(default)]
    pub tool_version: Option<String>,
    /// Of the machine it was written on; `fingerprint` says how it is made.
    #[serde(default)]
    pub fingerprint: Option<String>,
    /// For people.
    #[serde(default)]
    pub notes: Option<String>,
}

/// Where the facts of a profile come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProfileSource {
    /// Read from the machine; nothing was measured.
    Probe,
    /// Measured on the machine.
    Measured,
    /// Published figures of a type of machine or drive, each with its source.
    Preset,
    /// Written by hand.
    Manual,
}

impl ProfileSource {
    /// As the file has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Measured => "measured",
            Self::Preset => "preset",
            Self::Manual => "manual",
        }
    }
}

/// The machine as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MachineFacts {
    /// Manufacturer as DMI says it; a pattern in presets.
    pub vendor: Option<String>,
    /// Product as DMI says it (at AWS the instance type); a pattern in presets.
    pub product: Option<String>,
    /// Model name of the CPUs.
    pub cpu_model: Option<String>,
    /// Hardware threads that are online.
    pub cpus: Option<u32>,
    /// Physical cores.
    pub cores: Option<u32>,
    /// CPU packages.
    pub sockets: Option<u32>,
    /// RAM.
    pub memory_bytes: Option<u64>,
    /// Release of the kernel the facts were found under.
    pub kernel: Option<String>,
    /// Hypervisor; `none` on bare metal.
    pub virtualisation: Option<String>,
}

/// One NUMA node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumaFacts {
    /// Number of the node.
    pub id: u32,
    /// Its CPUs.
    pub cpus: CpuList,
    /// Its RAM.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
}

/// Which CPUs run what, and which drives belong to which shard. What is left out, the server
/// decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layout {
    /// One shard on each of these CPUs, in rising order: shard 0 on the first.
    pub shard_cpus: Option<CpuList>,
    /// One gateway on each of these.
    pub gateway_cpus: Option<CpuList>,
    /// For the control thread and the helpers.
    pub control_cpus: Option<CpuList>,
    /// Drives go to shards in the order of the command line, this many to each, from the first
    /// shard on and then again.
    pub drives_per_shard: Option<u32>,
    /// Drives with a shard of their own choice; stronger than `drives_per_shard`.
    #[serde(skip_serializing_if = "is_default")]
    pub drive: Vec<DriveShard>,
}

/// The shard of one drive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriveShard {
    /// Identity of the drive, as `probe` prints it: the WWID of a device, or `serial:...`,
    /// `loop:FILE`, `path:DIRECTORY` where there is none.
    pub wwid: String,
    /// 0-based place in `shard_cpus`.
    pub shard: u32,
}

/// The rings of the shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Runtime {
    /// Entries of a shard's submission queue; a power of two.
    pub ring_entries: Option<u32>,
}

/// Wanted settings of the kernel; `tune` says why each is wanted and what it risks. The first
/// group is per drive, the second per machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OsKnobs {
    /// I/O scheduler.
    pub scheduler: Option<String>,
    /// 2: requests are never merged.
    pub nomerges: Option<u64>,
    /// 2: completions on the CPU that submitted.
    pub rq_affinity: Option<u64>,
    /// Target of write-back throttling in microseconds; 0 turns it off.
    pub wbt_lat_usec: Option<u64>,
    /// 1: the kernel counts I/O.
    pub iostats: Option<u64>,
    /// 1: I/O feeds the entropy pool.
    pub add_random: Option<u64>,
    /// Always refused: it tells the kernel to leave flushes out.
    pub write_cache: Option<String>,
    /// Frequency governor of all CPUs.
    pub governor: Option<String>,
    /// Mode of transparent huge pages.
    pub transparent_hugepage: Option<String>,
    /// Clock source.
    pub clocksource: Option<String>,
    /// Eagerness to swap, 0 to 200.
    pub swappiness: Option<u64>,
    /// Least length of the accept queue.
    pub somaxconn: Option<u64>,
    /// Least number of half-open connections.
    pub tcp_max_syn_backlog: Option<u64>,
}

impl OsKnobs {
    /// The knobs that are set, by field name, as the kernel takes them.
    #[must_use]
    pub fn wanted(&self) -> Vec<(&'static str, String)> {
        let number = |value: Option<u64>| value.map(|value| value.to_string());
        let all = [
            ("scheduler", self.scheduler.clone()),
            ("nomerges", number(self.nomerges)),
            ("rq_affinity", number(self.rq_affinity)),
            ("wbt_lat_usec", number(self.wbt_lat_usec)),
            ("iostats", number(self.iostats)),
            ("add_random", number(self.add_random)),
            ("write_cache", self.write_cache.clone()),
            ("governor", self.governor.clone()),
            ("transparent_hugepage", self.transparent_hugepage.clone()),
            ("clocksource", self.clocksource.clone()),
            ("swappiness", number(self.swappiness)),
            ("somaxconn", number(self.somaxconn)),
            ("tcp_max_syn_backlog", number(self.tcp_max_syn_backlog)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A kind of drive. A drive belongs to it if model, firmware and capacity agree; what is left out
/// agrees with everything, and the capacity may differ by 2 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Lower-case letters, digits, `-` and `_`; devices refer to it.
    pub name: String,
    /// Model as the kernel says it; `*`, `?` and `|` make it a pattern (`glob.rs`).
    pub model: String,
    /// Firmware revision.
    #[serde(default)]
    pub firmware: Option<String>,
    /// Size of the whole drive.
    #[serde(default)]
    pub capacity_bytes: Option<u64>,
    /// Smallest addressable unit.
    #[serde(default)]
    pub logical_block_bytes: Option<u64>,
    /// Smallest unit that is written without reading first.
    #[serde(default)]
    pub physical_block_bytes: Option<u64>,
    /// Largest request that the kernel sends in one piece.
    #[serde(default)]
    pub io_bytes_max: Option<u64>,
    /// What the kernel believes of the drive's cache.
    #[serde(default)]
    pub write_cache: Option<WriteCache>,
    /// Whether the drive keeps what it acknowledged when power fails.
    #[serde(default)]
    pub power_loss_protection: Option<bool>,
    /// What its maker, or somebody who measured it, has published.
    #[serde(default)]
    pub published: Option<Published>,
    /// What was measured on this machine.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// What the server keeps to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub budget: Budget,
}

/// What a drive's cache does with writes, in the words of the kernel less `write `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteCache {
    /// Flushes are needed.
    Back,
    /// Flushes are left out.
    Through,
}

/// Published figures of one drive.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Published {
    /// Random reads of 4 KiB a second.
    pub read_iops: Option<u64>,
    /// Random writes of 4 KiB a second.
    pub write_iops: Option<u64>,
    /// Sequential reads.
    pub read_bytes_per_sec: Option<u64>,
    /// Sequential writes.
    pub write_bytes_per_sec: Option<u64>,
}

/// How long a measurement took care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// About a minute a drive, without preconditioning.
    Quick,
    /// Written twice before, each figure the mean of three repeats.
    Full,
}

/// Measured figures of one drive of a class. What was not measured is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Date, such as `2026-11-30`.
    pub date: String,
    /// How.
    pub method: Method,
    /// Time spent on the drive.
    pub seconds: u64,
    /// Largest deviation between repeats of a figure, of its mean.
    #[serde(default)]
    pub deviation_percent: Option<f64>,
    /// Random reads of 4 KiB a second.
    #[serde(default)]
    pub read_iops: Option<u64>,
    /// Random writes of 4 KiB a second.
    #[serde(default)]
    pub write_iops: Option<u64>,
    /// Random I/O of 4 KiB a second, 70 % of it reads.
    #[serde(default)]
    pub mixed_iops: Option<u64>,
    /// Sequential reads of 1 MiB.
    #[serde(default)]
    pub read_bytes_per_sec: Option<u64>,
    /// Sequential writes of 1 MiB.
    #[serde(default)]
    pub write_bytes_per_sec: Option<u64>,
    /// Sequential reads of this drive while all drives of the machine read.
    #[serde(default)]
    pub all_drives_read_bytes_per_sec: Option<u64>,
    /// Sequential writes of this drive while all drives of the machine write.
    #[serde(default)]
    pub all_drives_write_bytes_per_sec: Option<u64>,
    /// Read of 4 KiB alone, median.
    #[serde(default)]
    pub read_latency_us_p50: Option<f64>,
    /// Read of 4 KiB alone, 99th percentile.
    #[serde(default)]
    pub read_latency_us_p99: Option<f64>,
    /// Write of 4 KiB alone, median.
    #[serde(default)]
    pub write_latency_us_p50: Option<f64>,
    /// Write of 4 KiB alone, 99th percentile.
    #[serde(default)]
    pub write_latency_us_p99: Option<f64>,
    /// Write of 4 KiB and flush, median.
    #[serde(default)]
    pub flush_latency_us_p50: Option<f64>,
    /// Write of 4 KiB and flush, 99th percentile.
    #[serde(default)]
    pub flush_latency_us_p99: Option<f64>,
    /// Read of 4 KiB under full sequential writes, 99th percentile.
    #[serde(default)]
    pub loaded_read_latency_us_p99: Option<f64>,
    /// Depth beyond which reads of 4 KiB gain less than 5 %.
    #[serde(default)]
    pub read_queue_depth_knee: Option<u32>,
    /// Depth beyond which writes of 4 KiB gain less than 5 %.
    #[serde(default)]
    pub write_queue_depth_knee: Option<u32>,
    /// Size beyond which reads gain less than 5 % bandwidth.
    #[serde(default)]
    pub read_bytes_knee: Option<u64>,
    /// Size beyond which writes gain less than 5 % bandwidth.
    #[serde(default)]
    pub write_bytes_knee: Option<u64>,
}

/// What the server keeps to on a drive of the class; stronger than what follows from `measured`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Reads at the drive at once.
    pub read_queue_depth_max: Option<u32>,
    /// Writes at the drive at once.
    pub write_queue_depth_max: Option<u32>,
    /// Larger I/O is split into pieces of this size; times either depth it is up to 1 GiB.
    pub split_bytes: Option<u64>,
    /// Share of those places that background work (scrub, heal, rebuild) may take: 0.01 to
    /// 1. One place it always may.
    pub background_share: Option<f64>,
}

/// One drive of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its identity; see `DriveShard::wwid`.
    pub wwid: String,
    /// Name of its class.
    pub class: String,
}

/// One network interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// Name of the interface.
    pub name: String,
    /// Address on the bus.
    #[serde(default)]
    pub pci: Option<String>,
    /// Speed of the link.
    #[serde(default)]
    pub bytes_per_sec: Option<u64>,
    /// Its NUMA node.
    #[serde(default)]
    pub numa: Option<u32>,
}

/// Where one figure comes from. Presets have one for every figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The field, such as `class.NAME.published.read_iops` or `os.scheduler`.
    pub field: String,
    /// The figure as it was published, with its unit and any arithmetic.
    pub figure: String,
    /// Where.
    pub url: String,
    /// When it was published or, for pages without a date, looked up; such as `2026-11-30`.
    pub date: String,
}
