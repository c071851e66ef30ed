//! What a run asks.

use crate::knee::Objective;
use bench_client::{Endpoint, Signing};
use bench_model::{Generation, KeySpace, Mix, Operation, PayloadSpec, Popularity, Rate, Sizes};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What operations are carried out on.
#[derive(Debug, Clone)]
pub enum TargetPlan {
    /// Nothing.
    Null,
    /// An S3 endpoint.
    S3 {
        /// The server.
        endpoint: Endpoint,
        /// The bucket.
        bucket: String,
    },
    /// A drive without a store on it.
    Raw(DrivePlan),
    /// Frames over TCP, without HTTP.
    Net {
        /// Where the sink listens.
        address: SocketAddr,
    },
    /// The engine of this process, without a gateway.
    Engine(EnginePlan),
}

/// Drives that an engine is started on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnginePlan {
    /// Directories, one for each drive; empty: they are made.
    pub drives: Vec<PathBuf>,
    /// How many are made where none is given.
    pub drive_count: u32,
    /// In which directory; `None`: in that of the run.
    pub directory: Option<PathBuf>,
    /// Bytes that each may hold.
    pub drive_bytes: u64,
}

impl EnginePlan {
    /// Drives, made or given.
    #[must_use]
    pub fn count(&self) -> usize {
        match self.drives.len() {
            0 => self.drive_count as usize,
            given => given,
        }
    }
}

/// A drive that is read and written in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrivePlan {
    /// A file or a block device.
    pub path: PathBuf,
    /// Bytes that it has, or is made with where it is missing.
    pub drive_bytes: u64,
    /// Bytes of the place that each key has, one behind the other.
    pub slot_bytes: u64,
    /// Whether the file is to be made.
    pub is_missing: bool,
    /// Whether the load writes, and the user allows that.
    pub is_written: bool,
}

impl std::fmt::Display for TargetPlan {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => formatter.write_str("null"),
            Self::S3 { endpoint, .. } => {
                let scheme = if endpoint.tls.is_some() { "https" } else { "http" };
                write!(formatter, "s3 {scheme}://{}", endpoint.host)
            }
            Self::Raw(drive) => write!(formatter, "raw {}", drive.path.display()),
            Self::Net { address } => write!(formatter, "net tcp://{address}"),
            Self::Engine(engine) => write!(formatter, "engine {} drives", engine.count()),
        }
    }
}

/// When operations begin.
#[derive(Debug, Clone, PartialEq)]
pub enum ArrivalPlan {
    /// As soon as others ended.
    Closed,
    /// At planned times.
    Open {
        /// How many in a second, of all threads.
        rate: Rate,
        /// Operations that wait, at most, of all threads.
        backlog_max: usize,
    },
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// What is asked.
    pub load: Arc<Load>,
    /// Of whom.
    pub target: TargetPlan,
    /// When.
    pub arrival: ArrivalPlan,
    /// What objects are made of.
    pub payload: PayloadSpec,
    /// Generator threads.
    pub threads: u32,
    /// CPUs they are pinned to, in turn; empty: they are not.
    pub cpus: Vec<usize>,
    /// Operations under way at once, of all threads.
    pub lanes: u32,
    /// How long the load runs before anything counts.
    pub warmup: Duration,
    /// How long it is measured.
    pub duration: Duration,
    /// How often.
    pub repeats: u32,
    /// An operation is given up after so long.
    pub timeout: Duration,
    /// What latency must keep to, where the highest rate that does is searched for.
    pub objective: Option<Objective>,
}

impl RunPlan {
    /// Operations under way at once of one thread.
    #[must_use]
    pub fn lanes_of(&self, thread: u32) -> u32 {
        let (all, rest) = (self.lanes / self.threads, self.lanes % self.threads);
        (all + u32::from(thread < rest)).max(1)
    }
}

/// The load of one phase.
#[derive(Debug, Clone)]
pub struct Load {
    /// Everything that is drawn follows from it.
    pub seed: u64,
    /// The keys.
    pub keys: KeySpace,
    /// How often each is asked for.
    pub popularity: Popularity,
    /// Which operations.
    pub mix: Mix,
    /// How large objects are.
    pub sizes: Sizes,
    /// Whether every key was written before.
    pub is_prepared: bool,
    /// Whether everything is read at the end.
    pub is_swept: bool,
    /// Where earlier runs wrote these keys: a generation above all of theirs.
    pub wrote_before: Option<Generation>,
    /// Bytes of a range read, at most.
    pub range_bytes: u64,
    /// Bytes of a part of a multipart upload.
    pub part_bytes: u64,
    /// Keys of a multi-delete, at most.
    pub multi_delete_keys: u32,
    /// Keys of a page of a listing, at most.
    pub list_keys: u32,
    /// How payloads are signed.
    pub signing: Signing,
    /// Which answers are checked.
    pub verify: Verify,
}

impl Load {
    /// Whether it must be known which writes and deletes a read may see.
    #[must_use]
    pub fn needs_ledger(&self) -> bool {
        let reads = [Operation::Get, Operation::GetRange, Operation::Head, Operation::Copy];
        let is_read = reads.into_iter().any(|read| self.mix.share(read) > 0.0);
        let is_written = self.mix.share(Operation::Put) + self.mix.share(Operation::MultipartPut);
        self.mix.deletes() || ((is_read || self.is_swept) && is_written > 0.0)
    }

    /// Above all that was written to these keys before.
    #[must_use]
    pub fn first_generation(&self) -> Generation {
        Generation(self.wrote_before.map_or(0, |newest| newest.0) + 1)
    }

    /// Bytes of the parts of an object: S3 takes 10,000 at most.
    #[must_use]
    pub fn part_bytes_of(&self, object_bytes: u64) -> u64 {
        self.part_bytes.max(object_bytes.div_ceil(PARTS_MAX))
    }
}

/// Parts of an upload, at most.
const PARTS_MAX: u64 = 10_000;

/// Which answers of reads are checked, byte for byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verify {
    /// None.
    None,
    /// One in so many, by a hash of the key.
    OneIn(u32),
    /// All.
    #[default]
    All,
}

impl Verify {
    /// Whether the answer of a key is checked.
    #[must_use]
    pub fn takes(self, key: u64, planned_ns: u64) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::OneIn(many) => {
                bench_model::mix64(key, planned_ns).is_multiple_of(u64::from(many.max(1)))
            }
        }
    }
}
