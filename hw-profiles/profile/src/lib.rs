//! Facts about machines: the profile file, what a machine says of itself, and the difference.
//!
//! Invariants: probing only reads, and a fact that cannot be read is unknown, never an error;
//! every path of the machine goes through a `Root`, so that tests use a tree of their own; drives
//! are known by model, firmware and WWID, by `/dev` name only where they have nothing else; nothing
//! here flips a write cache, formats or writes to a drive; no clock is read (callers pass dates); a
//! text from a file is bounded and checked before anyone prints it or writes it to the machine.
//! Absent: measuring (it needs the ring), printing, and policy of the server.

mod check;
mod cpu_list;
mod diff;
mod draft;
mod error;
mod file;
mod fingerprint;
mod glob;
mod load;
mod plan;
mod preset;
mod probe;
mod provenance;
mod show;
mod tune;
mod validate;
mod whole_file;

#[cfg(test)]
mod check_tests;
#[cfg(test)]
mod probe_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tune_tests;
#[cfg(test)]
mod validate_tests;

pub use check::{CheckRow, CheckVerdict, check};
pub use cpu_list::{CPUS_MAX, CpuList};
pub use diff::{Difference, diff};
pub use draft::{DraftHeader, draft};
pub use error::ProfileError;
pub use file::{
    Budget, Class, Device, DriveShard, Header, Layout, MachineFacts, Measured, Method, Nic,
    NumaFacts, OsKnobs, Profile, ProfileSource, Published, Runtime, SCHEMA, Source, WriteCache,
};
pub use fingerprint::fingerprint;
pub use glob::matches;
pub use load::PROFILE_BYTES_MAX;
pub use plan::{DriveLimits, DrivePlan, LimitsSource, Plan, class_of, class_of_drive, plan};
pub use preset::{PRESETS, Preset, PresetChoice, choose_preset, preset};
pub use probe::{
    BlockDevice, BlockKind, Cpus, DrivePlace, Link, Machine, Memory, Mount, Mounts,
    NetworkInterface, NumaNode, NvmeController, PlaceKind, Queue, Root, System, probe,
};
pub use tune::{
    Knob, KnobFile, KnobState, Outcome, TuneChange, TuneLog, apply, knobs, revert, script,
};
pub use whole_file::write_whole;
