//! What the server is started with.

use super::DriveArg;
use super::credentials::Credentials;
use super::hardware::ProfileChoice;
use crate::config::Config;
use crate::secret::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Which drive I/O is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverChoice {
    /// io_uring where it works, else threads, with one sentence in the log.
    Auto,
    /// io_uring or nothing.
    Uring,
    /// The pool of threads.
    Threads,
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Header of a request.
    pub header: Duration,
    /// A connection without traffic or request.
    pub idle: Duration,
    /// Requests in work after the first signal.
    pub drain: Duration,
    /// One drive I/O.
    pub drive_io: Duration,
}

/// How much at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Open client connections.
    pub connections: usize,
    /// Requests in work; None: by memory.
    pub requests: Option<usize>,
}

/// Sizes of the engine.
#[derive(Debug, Clone)]
pub struct StorageOptions {
    /// Largest inline object.
    pub inline_bytes: u64,
    /// One drive's piece of a stripe.
    pub cell_bytes: u64,
    /// Allocation unit of drives that are formatted now; None: by the size of the drive.
    pub segment_bytes: Option<u64>,
    /// Memtable of a drive; None: by memory.
    pub memtable_bytes: Option<u64>,
}

/// Reading drives through for rot.
#[derive(Debug, Clone)]
pub struct ScrubOptions {
    /// From one time to the next; zero for never.
    pub interval: Duration,
    /// Bytes of a drive a second.
    pub bytes_per_second: u64,
}

/// Everything `run` needs. Values are checked one by one and against each other; what needs the
/// content of superblocks (set sizes, deployment, format version) is not.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// At least one; port 0 means any free port.
    pub addresses: Vec<SocketAddr>,
    /// Suffixes of virtual-host requests, in lower case.
    pub domains: Vec<String>,
    /// Region of signatures.
    pub region: String,
    /// At least one, in the order given, no two the same.
    pub drives: Vec<DriveArg>,
    /// Limit of directory and file drives that are formatted now; None: their share of the file
    /// system less 10 %. A formatted drive keeps the size of its superblock.
    pub drive_bytes: Option<u64>,
    /// Parity fragments; None: by the size of the set.
    pub parity: Option<u8>,
    /// Drives per set; None: the best that divides the drives.
    pub set_size: Option<usize>,
    /// The one memory budget.
    pub memory_bytes: u64,
    /// Threads that own drives; None: by the profile, else by CPUs and drives.
    pub shards: Option<usize>,
    /// Threads that serve S3; None: by the profile, else by CPUs.
    pub gateways: Option<usize>,
    /// Drive I/O.
    pub driver: DriverChoice,
    /// The hardware profile, read and valid.
    pub profile: ProfileChoice,
    /// Access key of the root user.
    pub access_key: String,
    /// Secret key of the root user.
    pub secret_key: Secret,
    /// Metrics without credentials beyond the loopback.
    pub metrics_public: bool,
    /// Times.
    pub timeouts: Timeouts,
    /// Amounts.
    pub limits: Limits,
    /// Sizes.
    pub storage: StorageOptions,
    /// Rot.
    pub scrub: ScrubOptions,
    /// Directory of `--dev`.
    pub dev: Option<PathBuf>,
}

impl ServerOptions {
    /// Puts configuration, drives and credentials together. The profile, which is a file, is for
    /// the caller to read.
    pub fn new(config: &Config, drives: Vec<DriveArg>, credentials: Credentials) -> Self {
        // The table bounds every number far below what the narrower types hold.
        let count = |name: &str| config.count(name).map(|count| count as usize);
        let time = |name: &str| config.time(name);
        Self {
            addresses: config.addresses().to_vec(),
            domains: config.list("domain").iter().map(|name| name.to_ascii_lowercase()).collect(),
            region: config.text("region").to_owned(),
            drives,
            drive_bytes: config.bytes("drive_size"),
            parity: config.count("parity").and_then(|parity| u8::try_from(parity).ok()),
            set_size: count("set_size"),
            memory_bytes: config.bytes("memory").unwrap_or_else(default_memory_bytes),
            shards: count("shards"),
            gateways: count("gateways"),
            driver: match config.text("driver") {
                "uring" => DriverChoice::Uring,
                "threads" => DriverChoice::Threads,
                _ => DriverChoice::Auto,
            },
            profile: ProfileChoice::Auto,
            access_key: credentials.access_key,
            secret_key: credentials.secret_key,
            metrics_public: config.switch("metrics.public"),
            timeouts: Timeouts {
                header: time("timeouts.header"),
                idle: time("timeouts.idle"),
                drain: time("timeouts.drain"),
                drive_io: time("timeouts.drive_io"),
            },
            limits: Limits {
                connections: count("limits.connections").unwrap_or(usize::MAX),
                requests: count("limits.requests"),
            },
            storage: StorageOptions {
                inline_bytes: config.bytes("storage.inline_bytes").unwrap_or(0),
                cell_bytes: config.bytes("storage.cell_bytes").unwrap_or(0),
                segment_bytes: config.bytes("storage.segment_bytes"),
                memtable_bytes: config.bytes("storage.memtable_bytes"),
            },
            scrub: ScrubOptions {
                interval: time("scrub.interval"),
                bytes_per_second: config.bytes("scrub.bytes_per_second").unwrap_or(1),
            },
            dev: None,
        }
    }
}

/// A quarter of what this process may have, at least 256 MiB.
fn default_memory_bytes() -> u64 {
    let ram = std::fs::read_to_string("/proc/meminfo").ok();
    let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    memory_budget(ram.as_deref().unwrap_or(""), container.as_deref().unwrap_or(""))
}

fn memory_budget(meminfo: &str, container_limit: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    let ram = kib.map_or(u64::MAX, |kib| kib.saturating_mul(1024));
    // Without a limit the file says "max", which is no number.
    let limit = container_limit.trim().parse::<u64>().unwrap_or(u64::MAX);
    match ram.min(limit) {
        u64::MAX => 256 * MIB,
        bytes => (bytes / 4).max(256 * MIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    #[test]
    fn memory_is_a_quarter_of_the_smaller_limit() {
        let meminfo = "MemTotal:        8388608 kB\nMemFree:  1 kB\n";
        assert_eq!(memory_budget(meminfo, ""), 2048 * MIB);
        assert_eq!(memory_budget(meminfo, "max\n"), 2048 * MIB);
        assert_eq!(memory_budget(meminfo, "4294967296\n"), 1024 * MIB);
        assert_eq!(memory_budget(meminfo, "104857600\n"), 256 * MIB);
        assert_eq!(memory_budget("", ""), 256 * MIB);
    }

    #[test]
    fn defaults_become_options() {
        let config = crate::config::resolve(&Sources::default()).unwrap();
        let credentials = Credentials {
            access_key: "user".to_owned(),
            secret_key: Secret::new("hunter2-hunter2".to_owned()),
        };
        let options = ServerOptions::new(&config, Vec::new(), credentials);
        assert_eq!(options.addresses[0].to_string(), "127.0.0.1:9000");
        assert_eq!((options.parity, options.set_size, options.drive_bytes), (None, None, None));
        assert_eq!(options.storage.inline_bytes, 16 << 10);
        assert_eq!(options.storage.cell_bytes, 256 << 10);
        assert_eq!(options.limits.connections, 10_000);
        assert_eq!(options.timeouts.drain, Duration::from_secs(30));
        assert_eq!(options.timeouts.drive_io, Duration::from_secs(5));
        assert_eq!(options.scrub.interval, Duration::from_secs(30 * 86_400));
        assert_eq!(options.scrub.bytes_per_second, 16 << 20);
        assert!(!format!("{options:?}").contains("hunter2"), "Debug shows the secret");
    }
}
