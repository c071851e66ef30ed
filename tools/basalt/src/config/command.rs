//! `basalt config`: check, show, reference.

use super::{Config, ConfigError, load, settings};
use crate::cli::{ConfigCommand, ServerArguments};
use crate::server::start::command_line;
use crate::{exit, output};

/// Runs it and returns the exit code.
pub fn command(command: &ConfigCommand) -> u8 {
    match command {
        ConfigCommand::Check(server) => check(server),
        ConfigCommand::Show(arguments) => show(&arguments.server, arguments.origin),
        ConfigCommand::Reference => {
            output::out("| key | environment | flag | default | accepts | meaning |\n");
            output::out("|---|---|---|---|---|---|\n");
            output::out(&(settings::reference_rows().join("\n") + "\n"));
            exit::OK
        }
    }
}

fn check(arguments: &ServerArguments) -> u8 {
    match load(command_line(arguments)) {
        Ok(_) => {
            output::out("the configuration is valid\n");
            exit::OK
        }
        Err(problems) => {
            complain(&problems);
            exit::CHECK_FAILED
        }
    }
}

fn show(arguments: &ServerArguments, with_origin: bool) -> u8 {
    match load(command_line(arguments)) {
        Ok(config) => {
            output::out(&shown(&config, with_origin));
            exit::OK
        }
        Err(problems) => {
            complain(&problems);
            exit::USAGE
        }
    }
}

fn complain(problems: &[ConfigError]) {
    for problem in problems {
        output::complain(&problem.to_string());
    }
}

fn shown(config: &Config, with_origin: bool) -> String {
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
    output::table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::{Sources, resolve};
    use clap::Parser;
    use std::path::PathBuf;

    /// Of a command line and a file.
    fn sources(arguments: &[&str], content: &str) -> Sources {
        let line = ["basalt", "config", "check"].iter().chain(arguments);
        let flags = match Cli::try_parse_from(line).unwrap().command {
            Command::Config { command: ConfigCommand::Check(server) } => server.flags(),
            other => panic!("{other:?}"),
        };
        let file = Some((PathBuf::from("/etc/b.toml"), content.to_owned()));
        Sources { flags, file, ..Sources::default() }
    }

    #[test]
    fn flags_are_shown_with_their_origin() {
        let arguments = ["--address", "127.0.0.1:9001", "--region", "eu"];
        let config = resolve(&sources(&arguments, "region = \"us\"\nparity = 2\n")).unwrap();
        let text = shown(&config, true);
        for (start, end) in [
            ("address = [\"127.0.0.1:9001\"] ", " # flag --address"),
            ("region = \"eu\" ", " # flag --region"),
            ("parity = 2 ", " # file /etc/b.toml"),
            ("memory = \"auto\" ", " # default"),
        ] {
            let found = text.lines().any(|line| line.starts_with(start) && line.ends_with(end));
            assert!(found, "{start}: {text}");
        }
        assert!(!shown(&config, false).contains('#'));
    }
}
