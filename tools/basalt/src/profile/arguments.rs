//! The command line of `basalt profile`.
//!
//! Invariant: where a command takes a profile and drives, the profile comes first and may be left
//! out; `choice.rs` says which of the two the first argument is.

use crate::config::values;
use crate::exit;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Where `tune --apply` notes what it changes, unless it is told otherwise. Only root writes to
/// that directory, and it is emptied by a restart, as the settings themselves are.
const LOG_FILE: &str = "/run/basalt-tune.toml";

/// `basalt profile`.
#[derive(Debug, Subcommand)]
pub enum ProfileCommand {
    /// Show this machine and draft a profile of it; needs no rights and changes nothing
    #[command(after_help = exit::HELP)]
    Probe(ProbeArguments),
    /// Measure drives and write a profile with their figures
    #[command(after_help = exit::HELP)]
    Measure(MeasureArguments),
    /// Show what a profile says
    #[command(after_help = exit::HELP)]
    Show(ShowArguments),
    /// List the presets, and which of them this machine would get
    Presets,
    /// Say what two profiles say differently; exit code 8 if anything
    #[command(after_help = exit::HELP)]
    Diff(DiffArguments),
    /// Hold this machine against a profile; exit code 8 if it cannot be kept to
    #[command(after_help = exit::HELP)]
    Check(CheckArguments),
    /// Show the settings of the kernel that a profile wants; set them with --apply
    #[command(after_help = exit::HELP)]
    Tune(TuneArguments),
}

/// `basalt profile probe`.
#[derive(Debug, Args)]
pub struct ProbeArguments {
    /// Write the draft of a profile to this file, too
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite that file
    #[arg(long, requires = "out")]
    pub force: bool,
    /// What is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = ProbeFormat::Text)]
    pub format: ProbeFormat,
    /// Directories, files or block devices to look below; {1...6} is expanded [default: every
    /// drive of the machine]
    #[arg(value_name = "DRIVE")]
    pub drives: Vec<String>,
}

/// What `basalt profile probe` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProbeFormat {
    /// The machine, for people
    Text,
    /// The draft of its profile
    Toml,
    /// Every fact that was found
    Json,
}

/// `basalt profile measure`.
#[derive(Debug, Args)]
pub struct MeasureArguments {
    /// About a minute a drive; the default
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Write everything twice first, measure longer and three times
    #[arg(long)]
    pub full: bool,
    /// Write the profile to this file; what was found so far is kept in FILE.partial
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite that file
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Allow block devices: what they hold is lost
    #[arg(long)]
    pub destroy: bool,
    /// Bytes to use on each drive, at most half of what is free [default: 1GiB; with --full 8GiB,
    /// or the whole device]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub bytes: Option<u64>,
    /// Time for each depth, size and figure [default: 1.5, with --full 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub seconds_per_step: Option<f64>,
    /// Directories, in which a file is made for the time; files that are not there yet; block
    /// devices; {1...6} is expanded
    #[arg(value_name = "DRIVE", required = true)]
    pub drives: Vec<String>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    // Also false for what is no number.
    if (0.01..=3600.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("0.01 to 3600 is valid".to_owned())
    }
}

/// `basalt profile show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// List where each figure comes from, too
    #[arg(long)]
    pub sources: bool,
    /// A file, or the name of a preset
    #[arg(value_name = "FILE|PRESET")]
    pub profile: String,
}

/// `basalt profile diff`.
#[derive(Debug, Args)]
pub struct DiffArguments {
    /// A file, or the name of a preset
    #[arg(value_name = "FILE|PRESET")]
    pub left: String,
    /// Another
    #[arg(value_name = "FILE|PRESET")]
    pub right: String,
}

/// `basalt profile check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    /// What is printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = CheckFormat::Text)]
    pub format: CheckFormat,
    /// A file that ends in .toml, or the name of a preset [default: the preset that fits]; then
    /// directories, files or block devices [default: every drive of the machine]
    #[arg(value_name = "FILE|PRESET|DRIVE")]
    pub given: Vec<String>,
}

/// What `basalt profile check` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CheckFormat {
    /// Rows, for people
    Text,
    /// The same rows, for programs
    Json,
}

/// `basalt profile tune`.
#[derive(Debug, Args)]
pub struct TuneArguments {
    /// Set what differs, until the next start of the machine; as root
    #[arg(long, conflicts_with = "script")]
    pub apply: bool,
    /// Only settings of these groups, parted by commas
    #[arg(long, value_enum, value_name = "GROUP", value_delimiter = ',')]
    pub only: Vec<KnobGroup>,
    /// Write what --apply would set as a shell script, for review
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// Overwrite the script
    #[arg(long, requires = "script")]
    pub force: bool,
    /// Take back what --apply has set; as root
    #[arg(long, conflicts_with_all = ["apply", "only", "script", "given"])]
    pub revert: bool,
    /// Where --apply notes what it sets, and --revert finds it
    #[arg(long, value_name = "FILE", default_value = LOG_FILE)]
    pub log: PathBuf,
    /// A file that ends in .toml, or the name of a preset [default: the preset that fits]; then
    /// directories, files or block devices [default: every drive of the machine]
    #[arg(value_name = "FILE|PRESET|DRIVE")]
    pub given: Vec<String>,
}

/// A group of settings of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KnobGroup {
    /// Of drives
    Disk,
    /// Of the network
    Net,
    /// Of CPUs and memory
    Cpu,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn parsed(arguments: &[&str]) -> Result<ProfileCommand, clap::Error> {
        let line = ["basalt", "profile"].iter().chain(arguments);
        match Cli::try_parse_from(line)?.command {
            Command::Profile { command } => Ok(command),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn groups_are_parted_by_commas() {
        let tune = match parsed(&["tune", "--only", "disk,net", "a.toml", "/d1"]).unwrap() {
            ProfileCommand::Tune(tune) => tune,
            other => panic!("{other:?}"),
        };
        assert_eq!(tune.only, [KnobGroup::Disk, KnobGroup::Net]);
        assert_eq!(tune.given, ["a.toml", "/d1"]);
        assert!(!tune.apply && !tune.revert);
        assert_eq!(tune.log, PathBuf::from(LOG_FILE));
        assert!(parsed(&["tune", "--only", "drives"]).is_err());
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for wrong in [
            &["tune", "--apply", "--script", "s.sh"][..],
            &["tune", "--revert", "--apply"],
            &["tune", "--revert", "a.toml"],
            &["tune", "--force"],
            &["probe", "--force"],
            &["diff", "generic"],
            &["measure"],
            &["measure", "--force", "/d1"],
            &["measure", "--quick", "--full", "/d1"],
            &["measure", "--bytes", "many", "/d1"],
            &["measure", "--seconds-per-step", "NaN", "/d1"],
            &["show"],
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
        assert!(parsed(&["tune", "--revert", "--log", "l.toml"]).is_ok());
    }
}
