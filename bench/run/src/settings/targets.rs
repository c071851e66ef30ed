//! What the load is carried out on, and what that makes of the load.
//!
//! Invariants: a setting that means nothing to the target is refused, not ignored (the target
//! `null` takes those of every other but `raw` and `engine`); nothing is written while settings are
//! checked.

use super::Settings;
use super::values::{address_of, size, wrong};
use crate::clock;
use crate::drive;
use crate::error::RunError;
use crate::plan::{DrivePlan, Load, TargetPlan};
use crate::raw::{BLOCK_BYTES, whole_blocks};
use bench_client::{Credentials, Endpoint};
use bench_model::{Generation, KEYS_MAX, KeySpace, Operation, Sizes};
use std::path::PathBuf;

/// All of them.
const TARGETS: [&str; 5] = ["s3", "engine", "raw", "net", "null"];
/// One transfer of a drive.
const TRANSFER_BYTES_MAX: u64 = 64 << 20;
/// Memory of all transfers under way.
const BUFFERS_BYTES_MAX: u64 = 4 << 30;
/// What a target without a store can do.
const TRANSFERS: [Operation; 3] = [Operation::Put, Operation::Get, Operation::GetRange];

impl Settings {
    /// The target, and the load as it can be carried out there.
    pub(super) fn targeted(&self, mut load: Load) -> Result<(TargetPlan, Load), RunError> {
        let name = self.target.as_deref().unwrap_or("s3");
        if !TARGETS.contains(&name) {
            let problem = format!("{name:?} is none of {}", TARGETS.join(", "));
            return Err(wrong("--target", problem));
        }
        self.refuse_what_is_not_for(name)?;
        let target = match name {
            "s3" => self.s3()?,
            "engine" => TargetPlan::Engine(self.engine(&load)?),
            "raw" => {
                refuse_what_needs_a_store(name, &load)?;
                TargetPlan::Raw(self.raw(&mut load)?)
            }
            "net" => {
                refuse_what_needs_a_store(name, &load)?;
                load.is_prepared = false;
                let url = self.endpoint.as_deref().unwrap_or("tcp://127.0.0.1:9009");
                TargetPlan::Net { address: address_of(url, "tcp://")?.0 }
            }
            _ => TargetPlan::Null,
        };
        Ok((target, load))
    }

    fn refuse_what_is_not_for(&self, target: &str) -> Result<(), RunError> {
        let of_store: &[&str] = &["s3", "null"];
        let of_servers: &[&str] = &["s3", "net", "null"];
        let of_objects: &[&str] = &["s3", "engine", "null"];
        let of_engine: &[&str] = &["engine"];
        let of_drive: &[&str] = &["raw"];
        let of_drives: &[&str] = &["raw", "engine"];
        let of_bytes: &[&str] = &["s3", "engine", "raw", "null"];
        let of_others: &[&str] = &["s3", "raw", "net", "null"];
        for (setting, is_given, targets) in [
            ("--drive", !self.drive.is_empty(), of_drives),
            ("--drive-bytes", self.drive_bytes.is_some(), of_drives),
            ("--drives", self.drives.is_some(), of_engine),
            ("--dir", self.dir.is_some(), of_engine),
            ("--overwrite-drive", self.overwrite_drive, of_drive),
            ("--endpoint", self.endpoint.is_some(), of_servers),
            ("--ca-file", self.ca_file.is_some(), of_store),
            ("--insecure", self.insecure, of_store),
            ("--access-key", self.access_key.is_some(), of_store),
            ("--secret-key-file", self.secret_key_file.is_some(), of_store),
            ("--bucket", self.bucket.is_some(), of_store),
            ("--prefix", self.prefix.is_some(), of_objects),
            ("--signing", self.signing.is_some(), of_store),
            ("--into-existing", self.into_existing, of_objects),
            ("--prepared", self.prepared, of_store),
            ("--keep", self.keep, of_objects),
            ("--sweep", self.sweep, of_bytes),
            ("--server-pid", self.server_pid.is_some(), of_others),
        ] {
            if is_given && !targets.contains(&target) {
                let problem = format!("it is for --target {}, not {target}", targets.join(" or "));
                return Err(wrong(setting, problem));
            }
        }
        Ok(())
    }

    fn s3(&self) -> Result<TargetPlan, RunError> {
        let url = self.endpoint.as_deref().unwrap_or("http://127.0.0.1:9000");
        let bucket = self.bucket.clone().unwrap_or_else(|| "basalt-bench".to_owned());
        let is_name = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if !is_name {
            return Err(wrong("--bucket", format!("{bucket:?} is no name of a bucket")));
        }
        let endpoint = Endpoint { credentials: self.credentials()?, ..self.endpoint_of(url)? };
        Ok(TargetPlan::S3 { endpoint, bucket })
    }

    /// A drive, and the keys that it has places for.
    fn raw(&self, load: &mut Load) -> Result<DrivePlan, RunError> {
        let path = match self.drive.as_slice() {
            [path] if !path.is_empty() => path,
            _ => return Err(wrong("--drive", "the target raw needs one")),
        };
        let path = PathBuf::from(path);
        let slot_bytes = slot_bytes_of(&load.sizes)?;
        let given = match self.drive_bytes.as_deref() {
            Some(text) => Some(size("--drive-bytes", Some(text), 0)?),
            None => None,
        };
        let given = given.map(|bytes| bytes - bytes % BLOCK_BYTES);
        drive::refuse_missing_device(&path)?;
        let found = drive::bytes_at(&path)?;
        let drive_bytes = match (found, given) {
            (None, None) => {
                let problem = format!("{} is not there; --drive-bytes makes it", path.display());
                return Err(wrong("--drive", problem));
            }
            (Some(found), Some(given)) if found != given => {
                let problem = format!("{} is there, and has {found} bytes", path.display());
                return Err(wrong("--drive-bytes", problem));
            }
            (found, given) => found.or(given).unwrap_or(0),
        };
        let is_written = load.mix.share(Operation::Put) > 0.0;
        if is_written && !self.overwrite_drive {
            let problem = "puts overwrite what is on the drive; give --overwrite-drive to say so";
            return Err(wrong("--mix", problem));
        }
        let slots = drive_bytes / slot_bytes;
        if slots == 0 {
            let problem = format!("{slot_bytes} bytes are more than the drive's {drive_bytes}");
            return Err(wrong("--size", problem));
        }
        if self.keys.is_none() {
            load.keys = KeySpace::new("", slots.min(KEYS_MAX), 0, load.seed)?;
        }
        if load.keys.count() > slots {
            let problem = format!("the drive has {slots} places of {slot_bytes} bytes");
            return Err(wrong("--keys", problem));
        }
        load.is_prepared = false;
        // What an earlier run of the same seed left there is not taken for this one's.
        load.wrote_before = Some(Generation(clock::unix_ms() << 10));
        Ok(DrivePlan { path, drive_bytes, slot_bytes, is_missing: found.is_none(), is_written })
    }

    fn credentials(&self) -> Result<Option<Credentials>, RunError> {
        if self.anonymous {
            return Ok(None);
        }
        let environment = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let access_key = self.access_key.clone().or_else(|| environment("AWS_ACCESS_KEY_ID"));
        let secret_key = match &self.secret_key_file {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                let text = read.map_err(|error| RunError::File { path: path.into(), error })?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
            None => environment("AWS_SECRET_ACCESS_KEY"),
        };
        let region = self.region.clone().or_else(|| environment("AWS_REGION"));
        let region = region.or_else(|| environment("AWS_DEFAULT_REGION"));
        // It belongs to the keys of the environment.
        let is_of_environment = self.access_key.is_none() && self.secret_key_file.is_none();
        let session_token = environment("AWS_SESSION_TOKEN").filter(|_| is_of_environment);
        match (access_key, secret_key) {
            (Some(access_key), Some(secret_key)) => Ok(Some(Credentials {
                access_key,
                secret_key,
                session_token,
                region: region.unwrap_or_else(|| "us-east-1".to_owned()),
            })),
            _ => Err(wrong(
                "--access-key",
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, give \
                 --access-key and --secret-key-file, or --anonymous",
            )),
        }
    }
}

/// Whether the buffers of all transfers fit into memory.
pub(super) fn check_buffers(target: &TargetPlan, lanes: u32) -> Result<(), RunError> {
    let TargetPlan::Raw(drive) = target else { return Ok(()) };
    let bytes = drive.slot_bytes.saturating_mul(u64::from(lanes));
    if bytes <= BUFFERS_BYTES_MAX {
        return Ok(());
    }
    let problem = format!("{lanes} transfers of {} bytes need more than 4 GiB", drive.slot_bytes);
    Err(wrong("--inflight", problem))
}

fn refuse_what_needs_a_store(target: &str, load: &Load) -> Result<(), RunError> {
    let mut streams = load.mix.streams().iter();
    match streams.find(|stream| !TRANSFERS.contains(&stream.operation)) {
        Some(stream) => {
            let problem = format!(
                "{} needs a store; the target {target} does put, get and get-range",
                stream.operation
            );
            Err(wrong("--mix", problem))
        }
        None => Ok(()),
    }
}

/// The place of a key: as long as the largest object.
fn slot_bytes_of(sizes: &Sizes) -> Result<u64, RunError> {
    if let Sizes::Fixed(bytes) = sizes
        && (*bytes == 0 || !bytes.is_multiple_of(BLOCK_BYTES))
    {
        return Err(wrong("--size", "the target raw moves whole blocks of 4 KiB"));
    }
    let slot_bytes = whole_blocks(sizes.max_bytes());
    if slot_bytes > TRANSFER_BYTES_MAX {
        return Err(wrong("--size", "the target raw moves 64 MiB at once at most"));
    }
    Ok(slot_bytes)
}
