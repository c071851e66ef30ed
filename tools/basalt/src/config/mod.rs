//! Configuration: one table of settings, four layers, an origin for every value.
//!
//! Invariants: a flag beats the environment, which beats the file, which beats `--dev`, which
//! beats the default; a name that is not in the table is an error wherever it stands; secrets
//! are not settings and never pass through here.

pub mod command;
mod layers;
pub mod settings;
mod suggest;
pub mod values;

pub use layers::{Config, ConfigError, Entry, FlagValue, Origin, Sources, resolve};

use std::path::{Path, PathBuf};

/// File that is read when no other is named, if it exists.
pub const SYSTEM_FILE: &str = "/etc/basalt/basalt.toml";

/// Variables of our prefix that are not settings.
pub const OTHER_VARIABLES: &[&str] = &[
    "BASALT_BENCH_SECRET",
    "BASALT_CONFIG",
    "BASALT_ENDPOINT",
    "BASALT_ROOT_USER",
    "BASALT_ROOT_USER_FILE",
    "BASALT_ROOT_PASSWORD",
    "BASALT_ROOT_PASSWORD_FILE",
];

/// What the command line adds to the layers.
#[derive(Debug, Default)]
pub struct CommandLine {
    /// `--config`.
    pub file: Option<PathBuf>,
    /// Settings given as flags or arguments.
    pub flags: Vec<FlagValue>,
    /// Values of `--dev`; with them the system's file is not read.
    pub dev: Option<Vec<(&'static str, String)>>,
}

/// Reads environment and file, and resolves every setting. On failure, every problem found.
pub fn load(line: CommandLine) -> Result<Config, Vec<ConfigError>> {
    let mut sources = Sources { flags: line.flags, ..Sources::default() };
    let mut problems = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("BASALT_")) else { continue };
        match value.into_string() {
            Ok(value) => sources.environment.push((name.to_owned(), value)),
            Err(_) => problems.push(ConfigError::NotText { name: name.to_owned() }),
        }
    }
    sources.environment.sort();
    match read_file(line.file, line.dev.is_some(), &sources.environment) {
        Ok(file) => sources.file = file,
        Err(problem) => problems.push(problem),
    }
    sources.dev = line.dev.unwrap_or_default();
    match resolve(&sources) {
        Ok(config) if problems.is_empty() => Ok(config),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            Err(problems)
        }
    }
}

fn read_file(
    flag: Option<PathBuf>,
    dev: bool,
    environment: &[(String, String)],
) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let variable = environment
        .iter()
        .find(|(name, value)| name == "BASALT_CONFIG" && !value.is_empty())
        .map(|(_, value)| PathBuf::from(value));
    let named = flag.or(variable);
    let path = match named {
        Some(path) => path,
        // A trial run must not pick up addresses and drives of the installed server.
        None if dev || !Path::new(SYSTEM_FILE).exists() => return Ok(None),
        None => PathBuf::from(SYSTEM_FILE),
    };
    match std::fs::read_to_string(&path) {
        Ok(content) => Ok(Some((path, content))),
        Err(source) => Err(ConfigError::Unreadable { file: path, source }),
    }
}
