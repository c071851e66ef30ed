//! `basalt config`: check, show, reference.

use super::{CommandLine, load, settings};
use crate::cli::ConfigCommand;
use crate::{exit, output};
use std::path::PathBuf;

/// Runs it and returns the exit code.
pub fn command(command: &ConfigCommand) -> u8 {
    match command {
        ConfigCommand::Check { config } => check(config.clone()),
        ConfigCommand::Show { config, origin } => show(config.clone(), *origin),
        ConfigCommand::Reference => {
            output::out("| key | environment | flag | default | accepts | meaning |\n");
            output::out("|---|---|---|---|---|---|\n");
            output::out(&(settings::reference_rows().join("\n") + "\n"));
            exit::OK
        }
    }
}

fn check(file: Option<PathBuf>) -> u8 {
    match load(CommandLine { file, ..CommandLine::default() }) {
        Ok(_) => {
            output::out("the configuration is valid\n");
            exit::OK
        }
        Err(problems) => {
            for problem in problems {
                output::complain(&problem.to_string());
            }
            exit::CHECK_FAILED
        }
    }
}

fn show(file: Option<PathBuf>, with_origin: bool) -> u8 {
    let config = match load(CommandLine { file, ..CommandLine::default() }) {
        Ok(config) => config,
        Err(problems) => {
            for problem in problems {
                output::complain(&problem.to_string());
            }
            return exit::USAGE;
        }
    };
    let rows: Vec<Vec<String>> = config
        .entries()
        .map(|entry| {
            let mut row = vec![format!("{} = {}", entry.setting.name, entry.value)];
            if with_origin {
                row.push(format!("# {}", entry.origin));
            }
            row
        })
        .collect();
    output::out(&output::table(&rows));
    exit::OK
}
