//! The steps of `basalt server` before `run`.

use super::{ServerOptions, credentials, dev, drives, hardware, run};
use crate::cli::ServerArguments;
use crate::config::{self, CommandLine, Config};
use crate::logging::{self, Format, Level};
use crate::profile::plain;
use crate::{exit, output, signals, sys};
use std::path::{Path, PathBuf};

/// Runs the server and returns the exit code.
pub fn command(arguments: &ServerArguments) -> u8 {
    // First of all, because only threads started later inherit the mask.
    let shutdown = match signals::listen() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            output::complain(&format!("signals cannot be received: {error}"));
            return exit::FAILED;
        }
    };
    let options = match prepare(arguments) {
        Ok(options) => options,
        Err(complaints) => {
            for complaint in complaints {
                output::complain(&complaint);
            }
            return exit::USAGE;
        }
    };
    if let Err(error) = sys::raise_open_files() {
        logging::warn("the limit of open files stays as it is", &[("error", &error)]);
    }
    match run(options, shutdown) {
        Ok(()) => exit::OK,
        Err(error) => {
            output::complain(&error.to_string());
            error.exit_code()
        }
    }
}

/// What the command line says of settings.
pub fn command_line(arguments: &ServerArguments) -> CommandLine {
    CommandLine {
        file: arguments.config.clone(),
        flags: arguments.flags(),
        dev: arguments.dev.as_ref().map(|_| dev::settings()),
    }
}

/// Checks everything; the complaints are whole sentences. Only `--dev` creates anything.
fn prepare(arguments: &ServerArguments) -> Result<ServerOptions, Vec<String>> {
    let config = config::load(command_line(arguments))
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<String>>())?;
    configure_logging(&config);
    // Before anything is made, be it the directories of --dev.
    let profile = hardware::choose(config.text_unless_auto("profile")).map_err(|error| {
        vec![plain(&format!("`profile` ({}): {error}", config.entry("profile").origin))]
    })?;
    let mut options = match &arguments.dev {
        Some(directory) => prepare_dev(&config, directory),
        None => prepare_pool(&config),
    }
    .map_err(|complaint| vec![complaint])?;
    options.dev.clone_from(&arguments.dev);
    options.profile = profile;
    for address in options.addresses.iter().filter(|address| !address.ip().is_loopback()) {
        logging::warn(
            "requests and answers are not encrypted (no TLS yet): use this address in trusted \
             networks only, or behind a proxy with TLS",
            &[("address", address)],
        );
    }
    Ok(options)
}

fn configure_logging(config: &Config) {
    let level = Level::parse(config.text("log.level")).unwrap_or(Level::Info);
    let json = config.text("log.format") == "json";
    logging::configure(level, if json { Format::Json } else { Format::Text });
}

fn prepare_pool(config: &Config) -> Result<ServerOptions, String> {
    let paths = drives::expand(config.list("drives")).map_err(|error| error.to_string())?;
    let inspected = drives::inspect(&paths, drives::PATIENCE).map_err(|error| error.to_string())?;
    let credentials = match credentials::from_environment() {
        Ok(Some(credentials)) => credentials,
        Ok(None) => return Err(credentials::CredentialsError::Missing.to_string()),
        Err(error) => return Err(error.to_string()),
    };
    for warning in &inspected.warnings {
        logging::warn(warning, &[]);
    }
    Ok(ServerOptions::new(config, inspected.drives, credentials))
}

fn prepare_dev(config: &Config, directory: &Path) -> Result<ServerOptions, String> {
    if !config.list("drives").is_empty() {
        let origin = &config.entry("drives").origin;
        return Err(format!("--dev brings its own drives, but `drives` is set ({origin})"));
    }
    let given = credentials::from_environment().map_err(|error| error.to_string())?;
    let refused =
        |error: std::io::Error| format!("--dev cannot use {}: {error}", directory.display());
    dev::prepare(directory).map_err(refused)?;
    let paths: Vec<PathBuf> = dev::drives(directory);
    let inspected = drives::inspect(&paths, drives::PATIENCE).map_err(|error| error.to_string())?;
    let credentials = match given {
        Some(credentials) => credentials,
        None => dev::keys(directory).map_err(refused)?,
    };
    // The warnings are about one file system, which is what --dev is for.
    Ok(ServerOptions::new(config, inspected.drives, credentials))
}
