//! The basalt binary: command line, configuration, start-up checks, logs, signals.
//!
//! Invariants: nothing is written to a drive before every refusal has been checked; secrets live
//! in `Secret` and are shown by `--dev` only; unsafe code is in `sys` only; every way out of the
//! process is a code of `exit`.

pub mod bench;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod exit;
pub mod http;
pub mod logging;
pub mod notify;
mod output;
pub mod profile;
pub mod secret;
pub mod server;
pub mod signals;
pub mod status;
pub mod storage;
pub mod sys;
#[cfg(test)]
mod testing;
pub mod version;

use clap::Parser;
use cli::{Cli, Command};
use std::process::ExitCode;

/// Parses the command line and runs what it asks for. Usage errors leave with code 2.
pub fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Server(arguments) => server::start::command(&arguments),
        Command::Config { command } => config::command::command(&command),
        Command::Doctor(arguments) => doctor::command(&arguments),
        Command::Status(arguments) => status::command(&arguments),
        Command::Bench(arguments) => bench::command(&arguments),
        Command::Storage { command } => storage::command(&command),
        Command::Profile { command } => profile::command(&command),
    };
    ExitCode::from(code)
}
