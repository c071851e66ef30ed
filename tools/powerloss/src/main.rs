//! Mounts a file system that loses unflushed writes on command. See README.md.

mod cache;
mod disk;
mod filesystem;
mod names;
mod random;
#[cfg(test)]
mod tests;

use clap::Parser;
use disk::{Disk, Options};
use filesystem::Mounted;
use fuser::MountOption;
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(about = "A file system that loses unflushed writes on command")]
struct Arguments {
    /// Where the durable bytes live.
    #[arg(long)]
    backing: PathBuf,
    /// Draws what survives.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What the file system holds.
    #[arg(long, default_value_t = 16_384)]
    capacity_mib: u64,
    /// Unflushed bytes a file keeps before its oldest become durable by themselves.
    #[arg(long, default_value_t = 64)]
    cache_mib: u16,
    /// An empty directory.
    mount_point: PathBuf,
}

fn main() -> Result<(), String> {
    let arguments = Arguments::parse();
    let options = Options {
        backing: arguments.backing,
        seed: arguments.seed,
        capacity_bytes: arguments.capacity_mib.saturating_mul(1 << 20),
        cache_bytes_max: usize::from(arguments.cache_mib) << 20,
    };
    let disk = Disk::open(options).map_err(|error| format!("backing directory: {error}"))?;
    let name = MountOption::FSName("powerloss".to_owned());
    fuser::mount2(Mounted::new(disk), &arguments.mount_point, &[name])
        .map_err(|error| format!("mount: {error}"))
}
