//! Runs a load.
//!
//! Invariants: threads share nothing but the plan, wherever they run; what is recorded is never
//! averaged; a run says itself where it is void.

mod admin;
mod check;
mod clock;
mod cpu;
mod crew;
mod directory;
mod drive;
mod engine;
mod error;
mod generator;
mod house;
mod knee;
mod ledger;
mod marks;
mod net;
mod null;
mod pages;
mod patience;
mod plan;
mod planner;
mod raw;
mod remote;
mod rows;
mod run;
mod s3;
mod server;
mod settings;
mod target;
mod task;
mod threads;

pub use clock::{now_ns, unix_ms};
pub use directory::{Manifest, StoredRepeat, StoredRun, make_directory, read_run, write_run};
pub use drive::{refuse_data, refuse_missing_device};
pub use error::{ErrorClass, RunError};
pub use generator::{Arrival, Generator, Part, Phase};
pub use knee::{Objective, Step, StepVerdict};
pub use marks::Mark;
pub use net::NetTarget;
pub use null::NullTarget;
pub use pages::{runs_to_compare, runs_to_report};
pub use patience::patiently;
pub use plan::{ArrivalPlan, DrivePlan, EnginePlan, Load, RunPlan, TargetPlan, Verify};
pub use planner::{Planner, Stage};
pub use raw::RawTarget;
pub use remote::{
    Arrivals, Message, Note, Offset, Party, StartMessage, TimedMessage, Worker, WorkerClock,
    WorkersPlan,
};
pub use run::{Knee, Repeat, RunOptions, RunOutcome, Screen, Swept, run};
pub use s3::S3Target;
pub use settings::{Settings, WORKER_PORT};
pub use target::{Done, Outcome, Target};
pub use task::Task;
