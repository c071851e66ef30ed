//! What a user may say about a run: flags, and scenario files of the same names.
//!
//! Invariants: every setting is a text or a switch until it is checked here, so that a file is
//! refused with the words that a flag is refused with; flags go before the file.

mod engine;
mod targets;
mod tls;
mod values;
mod workers;

pub use workers::WORKER_PORT;

use crate::clock;
use crate::error::RunError;
use crate::knee::Objective;
use crate::plan::{ArrivalPlan, Load, RunPlan};
use crate::run::RunOptions;
use bench_model::{Generation, KeySpace, Mix, Operation, PayloadSpec, Popularity, Rate, Sizes};
use clap::Args;
use serde::{Deserialize, Deserializer, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use targets::check_buffers;
use values::{
    SECONDS_MAX, cpu_list, marks_of, number, percent, signing_of, size, small, time, verify_of,
    wrong,
};

/// Where the search for the knee begins, per second.
const KNEE_FIRST_RATE: f64 = 100.0;
/// The first second of a step is the one in which the rate changes.
const KNEE_STEP_MIN: Duration = Duration::from_secs(2);
/// Operations under way at once.
const INFLIGHT_MAX: u32 = 65_536;
/// Threads, of all workers.
pub(crate) const THREADS_MAX: u32 = 1024;
/// The smallest part that S3 takes, but for the last.
const PART_BYTES_MIN: u64 = 5 << 20;

/// Settings of a run. Every one may stand in a scenario file under the same name, with
/// underscores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What operations are carried out on: s3, engine (in this process, without a gateway), raw (a
    /// drive without a store), net (frames over TCP), or null (nothing, the generator's own cost)
    /// [default: s3]
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Of the target raw: a file or a block device; of the target engine: a directory, may be
    /// repeated, and {1...6} stands for several
    #[arg(long, value_name = "PATH")]
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub drive: Vec<String>,
    /// Of the target raw: make the file of --drive where it is missing, and fill it; of the target
    /// engine: what each drive may hold [default there: 1GiB]
    #[arg(long, value_name = "SIZE")]
    pub drive_bytes: Option<String>,
    /// Of the target engine: so many drives are made, and taken away at the end [default: 6]
    #[arg(long, value_name = "N")]
    pub drives: Option<String>,
    /// In this directory, which is made too or is empty [default: in that of the run]
    #[arg(long, value_name = "DIRECTORY")]
    pub dir: Option<String>,
    /// Let puts overwrite what is on the drive
    #[arg(long)]
    pub overwrite_drive: bool,
    /// The server, http or https [default: http://127.0.0.1:9000; of the target net
    /// tcp://127.0.0.1:9009]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// File of certificates (PEM): authorities that are trusted beside those this machine knows
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<String>,
    /// Check no certificate: whoever answers is believed
    #[arg(long)]
    pub insecure: bool,
    /// Access key [default: AWS_ACCESS_KEY_ID]
    #[arg(long, value_name = "KEY")]
    pub access_key: Option<String>,
    /// File with the secret key [default: AWS_SECRET_ACCESS_KEY]
    #[arg(long, value_name = "FILE")]
    pub secret_key_file: Option<String>,
    /// Ask without credentials
    #[arg(long)]
    pub anonymous: bool,
    /// Region that is signed [default: AWS_REGION, us-east-1]
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// Bucket; made where it is missing, and deleted again then [default: basalt-bench]
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// What all names begin with [default: the run's id and a slash]
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// Operations and their weights, or rates: get=70,put=30 or get@5k,put@1k; of put, get,
    /// get-range, head, delete, multi-delete, list, copy, multipart-put [default: get]
    #[arg(long, value_name = "MIX")]
    pub mix: Option<String>,
    /// Sizes of objects: 4KiB, uniform(4KiB,1MiB), lognormal(median=128KiB,sigma=1.2,max=1GiB),
    /// buckets(4KiB:60,16MiB:10), log2(100MiB), warp's 4096:10740,8192:1685, file:cdf.csv
    /// [default: 4KiB]
    #[arg(long, value_name = "SIZES")]
    pub size: Option<String>,
    /// How many keys [default: 10000; of the target raw as many as the drive has places for]
    #[arg(long, value_name = "N")]
    pub keys: Option<String>,
    /// Folders that keys are spread over [default: 256]
    #[arg(long, value_name = "N")]
    pub directories: Option<String>,
    /// Which keys are asked for: uniform, zipf(0.99), hotset(10%:90%), sequential, epoch
    /// [default: uniform]
    #[arg(long, value_name = "LAW")]
    pub popularity: Option<String>,
    /// Closed loop: so many operations are under way all the time [default: 16]
    #[arg(long, value_name = "N", conflicts_with = "rate")]
    pub inflight: Option<String>,
    /// Open loop: operations begin at planned times, so many in a second: 20k, poisson:20k,
    /// ramp:1k..20k/60s, steps:1k@10s,2k@10s
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Connections of an open loop [default: 256]
    #[arg(long, value_name = "N")]
    pub connections: Option<String>,
    /// Operations of an open loop that wait at most; more are given up, and void the run
    /// [default: 10000]
    #[arg(long, value_name = "N")]
    pub max_backlog: Option<String>,
    /// Search for the highest rate that keeps to --slo; --rate is the first one tried
    /// [default: poisson:100], --duration is that of a step [default: 5s]
    #[arg(long)]
    pub find_knee: bool,
    /// What latency must keep to: p99=5ms, p99.9=20ms
    #[arg(long, value_name = "OBJECTIVE")]
    pub slo: Option<String>,
    /// How long is measured [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// How long the load runs before anything counts [default: 5s]
    #[arg(long, value_name = "TIME")]
    pub warmup: Option<String>,
    /// How often is measured [default: 1]
    #[arg(long, value_name = "N")]
    pub repeats: Option<String>,
    /// An operation is given up after so long [default: 60s]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Generator threads, with --workers of each [default: one for each CPU, no more than
    /// operations under way]
    #[arg(long, value_name = "N")]
    pub threads: Option<String>,
    /// Machines that make the load, each with a `basalt bench worker` [default: this process]
    #[arg(long, value_name = "HOST:PORT,...")]
    pub workers: Option<String>,
    /// CPUs the threads are pinned to, in turn: 0,2 or 4-7 [default: none]
    #[arg(long, value_name = "LIST")]
    pub cpus: Option<String>,
    /// How payloads are signed: unsigned, signed, chunked, trailer [default: unsigned]
    #[arg(long, value_name = "HOW")]
    pub signing: Option<String>,
    /// Which answers are checked byte for byte: all, none, 1/100 [default: all]
    #[arg(long, value_name = "WHICH")]
    pub verify: Option<String>,
    /// Read everything once at the end, and check it
    #[arg(long)]
    pub sweep: bool,
    /// Bytes of a range read [default: 4KiB]
    #[arg(long, value_name = "SIZE")]
    pub range_size: Option<String>,
    /// Bytes of a part of a multipart upload [default: 8MiB]
    #[arg(long, value_name = "SIZE")]
    pub part_size: Option<String>,
    /// Keys of a page of a listing [default: 1000]
    #[arg(long, value_name = "N")]
    pub list_keys: Option<String>,
    /// Keys of a multi-delete [default: 100]
    #[arg(long, value_name = "N")]
    pub delete_keys: Option<String>,
    /// Percent of every block that compresses to nothing [default: 0]
    #[arg(long, value_name = "PERCENT")]
    pub compressible: Option<String>,
    /// Percent of the blocks that are all the same [default: 0]
    #[arg(long, value_name = "PERCENT")]
    pub duplicate: Option<String>,
    /// Everything that is drawn follows from it [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Work in a bucket that is not empty, or on drives of the target engine that hold data
    #[arg(long)]
    pub into_existing: bool,
    /// The objects are there: an earlier run with the same seed, keys and prefix kept them
    #[arg(long)]
    pub prepared: bool,
    /// Leave the objects there at the end
    #[arg(long)]
    pub keep: bool,
    /// Do something during the measurement: --at 60s 'mark:drive 3 pulled', --at 60s exec:sync;
    /// may be repeated
    #[arg(long, num_args = 1..=2, value_names = ["TIME", "WHAT"])]
    pub at: Vec<String>,
    /// Server process on this machine whose CPU time is taken [default: basalt's own metrics]
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<String>,
    /// The text of `ca_file`, where it is a conductor's.
    #[arg(skip)]
    #[serde(skip)]
    pub authorities: Option<String>,
}

/// A text alone, as a file may have it, or a list of them.
fn one_or_several<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrSeveral {
        One(String),
        Several(Vec<String>),
    }
    Ok(match OneOrSeveral::deserialize(from)? {
        OneOrSeveral::One(text) => vec![text],
        OneOrSeveral::Several(texts) => texts,
    })
}

impl Settings {
    /// A scenario file's settings, with those given as flags before them.
    ///
    /// # Errors
    /// Where the file cannot be read, or says what no setting says.
    pub fn over_file(&self, path: &Path) -> Result<Self, RunError> {
        let in_file = |error: std::io::Error| RunError::File { path: path.to_owned(), error };
        let text = std::fs::read_to_string(path).map_err(in_file)?;
        let wrong_file = |problem: String| in_file(std::io::Error::other(problem));
        let mut all: toml::Table =
            toml::from_str(&text).map_err(|error| wrong_file(error.to_string()))?;
        // Numbers may be written as numbers.
        for (_, value) in &mut all {
            if value.is_integer() || value.is_float() {
                *value = toml::Value::String(value.to_string());
            }
        }
        let given = toml::Table::try_from(self).map_err(|error| wrong_file(error.to_string()))?;
        for (name, value) in given {
            let is_unset =
                value == toml::Value::Boolean(false) || value.as_array().is_some_and(Vec::is_empty);
            if !is_unset {
                all.insert(name, value);
            }
        }
        // One way of arriving excludes the other, also from different places.
        if self.rate.is_some() {
            all.remove("inflight");
        }
        if self.inflight.is_some() {
            all.remove("rate");
        }
        all.try_into().map_err(|error: toml::de::Error| wrong_file(error.to_string()))
    }

    /// The plan these settings make, and what is done beside it.
    ///
    /// # Errors
    /// The first setting that cannot be, by name.
    pub fn check(&self, run_id: &str) -> Result<(RunPlan, RunOptions), RunError> {
        self.check_at(run_id, clock::unix_ms())
    }

    /// The same at a time of day: all workers of a run go by that of its conductor.
    pub(crate) fn check_at(
        &self,
        run_id: &str,
        unix_ms: u64,
    ) -> Result<(RunPlan, RunOptions), RunError> {
        let (target, load) = self.targeted(self.load(run_id, unix_ms)?)?;
        let arrival = self.arrival(&load.mix)?;
        let lanes = match arrival {
            ArrivalPlan::Closed => {
                small("--inflight", self.inflight.as_deref(), 16, (1, INFLIGHT_MAX))?
            }
            ArrivalPlan::Open { .. } => {
                small("--connections", self.connections.as_deref(), 256, (1, INFLIGHT_MAX))?
            }
        };
        check_buffers(&target, lanes)?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let keys = u32::try_from(load.keys.count()).unwrap_or(u32::MAX);
        let usual = u32::try_from(cpus).unwrap_or(1).min(lanes).min(keys).max(1);
        let threads = small("--threads", self.threads.as_deref(), usual, (1, THREADS_MAX))?;
        if threads > lanes {
            let problem = format!("{threads} threads for {lanes} operations under way");
            return Err(wrong("--threads", problem));
        }
        if u64::from(threads) > load.keys.count() {
            return Err(wrong("--keys", format!("fewer keys than the {threads} threads")));
        }
        let plan = RunPlan {
            payload: PayloadSpec {
                seed: load.seed,
                compressible_percent: percent("--compressible", self.compressible.as_deref())?,
                duplicate_percent: percent("--duplicate", self.duplicate.as_deref())?,
            },
            load: Arc::new(load),
            target,
            threads,
            cpus: cpu_list(self.cpus.as_deref())?,
            lanes,
            warmup: time("--warmup", self.warmup.as_deref(), "5s")?,
            duration: self.duration_of(&arrival)?,
            repeats: small("--repeats", self.repeats.as_deref(), 1, (1, 1000))?,
            timeout: time("--timeout", self.timeout.as_deref(), "60s")?,
            objective: self.objective(&arrival)?,
            arrival,
        };
        for (setting, length) in [("--duration", plan.duration), ("--timeout", plan.timeout)] {
            if length.is_zero() {
                return Err(wrong(setting, "no time at all is too little"));
            }
        }
        let options = self.options(run_id)?;
        if let Some(mark) = options.marks.iter().find(|mark| mark.at >= plan.duration) {
            let problem = format!("{:?} would come after the end of --duration", mark.text);
            return Err(wrong("--at", problem));
        }
        Ok((plan, options))
    }

    fn objective(&self, arrival: &ArrivalPlan) -> Result<Option<Objective>, RunError> {
        let Some(text) = self.slo.as_deref() else {
            return match self.find_knee {
                true => Err(wrong("--find-knee", "it needs an objective, as --slo p99=5ms is")),
                false => Ok(None),
            };
        };
        let objective = Objective::parse(text)?;
        match arrival {
            _ if !self.find_knee => Err(wrong("--slo", "it is for --find-knee")),
            ArrivalPlan::Open { rate: Rate::Constant(_) | Rate::Poisson(_), .. } => {
                Ok(Some(objective))
            }
            _ => Err(wrong("--find-knee", "it begins at one rate, constant or Poisson")),
        }
    }

    /// A plan of rates that has an end is measured to its end.
    fn duration_of(&self, arrival: &ArrivalPlan) -> Result<Duration, RunError> {
        let given = self.duration.as_deref();
        let planned_s = match arrival {
            ArrivalPlan::Open { rate, .. } => rate.duration_s(),
            ArrivalPlan::Closed => None,
        };
        let usual = if self.find_knee { "5s" } else { "30s" };
        let Some(planned_s) = planned_s else {
            let duration = time("--duration", given, usual)?;
            if self.find_knee && duration < KNEE_STEP_MIN {
                let problem =
                    "the first second of each step of --find-knee does not count: 2s or more";
                return Err(wrong("--duration", problem));
            }
            return Ok(duration);
        };
        let planned = Duration::from_secs_f64(planned_s.min(SECONDS_MAX));
        match given {
            Some(given) if time("--duration", Some(given), "")? != planned => {
                let problem = format!("{given}, but the plan of --rate takes {planned_s} s");
                Err(wrong("--duration", problem))
            }
            _ => Ok(planned),
        }
    }

    fn options(&self, run_id: &str) -> Result<RunOptions, RunError> {
        let marks = marks_of(&self.at)?;
        let pid = self.server_pid.as_deref();
        let pid_of = |text: &str| match text.parse() {
            Ok(pid) if Path::new(&format!("/proc/{pid}/stat")).exists() => Ok(pid),
            _ => Err(wrong("--server-pid", format!("{text:?} is no process of this machine"))),
        };
        Ok(RunOptions {
            run_id: run_id.to_owned(),
            into_existing: self.into_existing || self.prepared,
            is_prepared: self.prepared,
            keep: self.keep || self.prepared,
            sweep: self.sweep,
            server_pid: pid.map(pid_of).transpose()?,
            marks,
            workers: None,
            directory: PathBuf::new(),
        })
    }

    fn load(&self, run_id: &str, unix_ms: u64) -> Result<Load, RunError> {
        let mix = Mix::parse(self.mix.as_deref().unwrap_or("get"))?;
        let seed = number("--seed", self.seed.as_deref(), 1, (0, u64::MAX))?;
        let count = number("--keys", self.keys.as_deref(), 10_000, (1, bench_model::KEYS_MAX))?;
        let directories = small("--directories", self.directories.as_deref(), 256, (0, 1 << 20))?;
        let own_prefix = format!("{run_id}/");
        let prefix = self.prefix.as_deref().unwrap_or(&own_prefix);
        let needs = [
            Operation::Get,
            Operation::GetRange,
            Operation::Head,
            Operation::Delete,
            Operation::MultiDelete,
            Operation::Copy,
            Operation::List,
        ];
        let part_bytes = size("--part-size", self.part_size.as_deref(), 8 << 20)?;
        if part_bytes < PART_BYTES_MIN {
            return Err(wrong("--part-size", "parts have 5 MiB at least, but for the last"));
        }
        Ok(Load {
            seed,
            keys: KeySpace::new(prefix, count, directories, seed)?,
            popularity: Popularity::parse(self.popularity.as_deref().unwrap_or("uniform"))?,
            is_prepared: needs.into_iter().any(|operation| mix.share(operation) > 0.0),
            is_swept: self.sweep,
            // Every millisecond has room for more writes than a thread can do.
            wrote_before: self.prepared.then_some(Generation(unix_ms << 10)),
            mix,
            sizes: self.sizes()?,
            range_bytes: size("--range-size", self.range_size.as_deref(), 4096)?,
            part_bytes,
            multi_delete_keys: small("--delete-keys", self.delete_keys.as_deref(), 100, (1, 1000))?,
            list_keys: small("--list-keys", self.list_keys.as_deref(), 1000, (1, 1000))?,
            signing: signing_of(self.signing.as_deref().unwrap_or("unsigned"))?,
            verify: verify_of(self.verify.as_deref().unwrap_or("all"))?,
        })
    }

    fn sizes(&self) -> Result<Sizes, RunError> {
        let text = self.size.as_deref().unwrap_or("4KiB");
        let Some(path) = Sizes::cdf_path(text) else { return Ok(Sizes::parse(text)?) };
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|error| RunError::File { path: path.into(), error })?;
        Ok(Sizes::from_cdf(&text)?)
    }

    fn arrival(&self, mix: &Mix) -> Result<ArrivalPlan, RunError> {
        let rate = match (self.rate.as_deref(), mix.per_second()) {
            (Some(_), Some(_)) => {
                return Err(wrong("--rate", "the rates of --mix say already how many in a second"));
            }
            (Some(text), None) => Rate::parse(text)?,
            (None, Some(per_second)) => Rate::Poisson(per_second),
            (None, None) if self.find_knee => Rate::Poisson(KNEE_FIRST_RATE),
            (None, None) => return Ok(ArrivalPlan::Closed),
        };
        if self.inflight.is_some() {
            let problem = "an open loop has --connections, its rate decides what is under way";
            return Err(wrong("--inflight", problem));
        }
        let backlog = number("--max-backlog", self.max_backlog.as_deref(), 10_000, (1, 1 << 30))?;
        Ok(ArrivalPlan::Open { rate, backlog_max: usize::try_from(backlog).unwrap_or(usize::MAX) })
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
