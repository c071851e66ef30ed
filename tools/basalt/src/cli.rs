//! The command line. Values of settings stay texts here: the table in `config` checks them, so
//! that a flag is refused with the words a file is refused with.

use crate::config::FlagValue;
use crate::profile::arguments::ProfileCommand;
use crate::{exit, version};
use bench_run::WORKER_PORT;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// `basalt`.
#[derive(Debug, Parser)]
#[command(
    name = "basalt",
    version = version::LONG,
    about = "A durable, erasure-coded S3 object store",
    after_help = exit::HELP
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve S3 from the drives given
    #[command(after_help = exit::HELP)]
    Server(Box<ServerArguments>),
    /// Check or show the configuration
    Config {
        /// What to do with it.
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Say whether this machine and the drives are fit, and what to do where they are not
    Doctor(DoctorArguments),
    /// Show the drives of a running server
    Status(StatusArguments),
    /// Run a load against an S3 endpoint, and compare runs
    Bench(Box<BenchArguments>),
    /// Change the drives of a running server of this machine
    Storage {
        /// What to do.
        #[command(subcommand)]
        command: StorageCommand,
    },
    /// Show this machine, and hold it against a profile of its hardware
    Profile {
        /// What to do.
        #[command(subcommand)]
        command: ProfileCommand,
    },
}

/// `basalt server`.
#[derive(Debug, Args)]
pub struct ServerArguments {
    /// Address to listen on; may be repeated [default: 127.0.0.1:9000]
    #[arg(long, value_name = "IP:PORT")]
    pub address: Vec<String>,
    /// Parity fragments per stripe [default: by the size of the set]
    #[arg(long, value_name = "P")]
    pub parity: Option<String>,
    /// Drives per erasure set [default: the best that divides the drives]
    #[arg(long, value_name = "N")]
    pub set_size: Option<String>,
    /// Configuration file [default: /etc/basalt/basalt.toml, if it exists]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Try it out: six drives under DIR, keys made once and printed [default DIR: ./basalt-data]
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = "./basalt-data",
        conflicts_with = "drives"
    )]
    pub dev: Option<PathBuf>,
    /// Most that one directory or file drive takes, such as 500GiB
    #[arg(long, value_name = "SIZE")]
    pub drive_size: Option<String>,
    /// Threads that own the drives
    #[arg(long, value_name = "N")]
    pub shards: Option<String>,
    /// Threads that serve S3
    #[arg(long, value_name = "N")]
    pub gateways: Option<String>,
    /// Drive I/O: auto, uring or threads
    #[arg(long, value_name = "DRIVER")]
    pub driver: Option<String>,
    /// Hardware profile to obey: a preset, a file, or none [default: the preset that fits]
    #[arg(long, value_name = "NAME|FILE|none")]
    pub profile: Option<String>,
    /// Domain for virtual-host requests; may be repeated
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Vec<String>,
    /// Region that clients must sign for [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// Memory the server may use, such as 4GiB [default: a quarter of RAM]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Directories, files or block devices; {1...6} is expanded
    #[arg(value_name = "DRIVE")]
    pub drives: Vec<String>,
}

impl ServerArguments {
    /// The settings that were given.
    pub fn flags(&self) -> Vec<FlagValue> {
        let lists: [(&'static str, &Vec<String>); 3] =
            [("address", &self.address), ("domain", &self.domain), ("drives", &self.drives)];
        let singles: [(&'static str, &Option<String>); 11] = [
            ("parity", &self.parity),
            ("set_size", &self.set_size),
            ("drive_size", &self.drive_size),
            ("shards", &self.shards),
            ("gateways", &self.gateways),
            ("driver", &self.driver),
            ("profile", &self.profile),
            ("region", &self.region),
            ("memory", &self.memory),
            ("log.level", &self.log_level),
            ("log.format", &self.log_format),
        ];
        let mut flags = Vec::new();
        for (name, values) in lists {
            if !values.is_empty() {
                flags.push(FlagValue { name, values: values.clone() });
            }
        }
        for (name, value) in singles {
            if let Some(value) = value {
                flags.push(FlagValue { name, values: vec![value.clone()] });
            }
        }
        flags
    }
}

/// `basalt config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check what a server would be told by these arguments, environment and file; every problem
    /// is named
    Check(Box<ServerArguments>),
    /// Print every setting as a server with these arguments would have it, as TOML
    Show(Box<ShowArguments>),
    /// Print the table of all settings, as Markdown
    Reference,
}

/// `basalt config show`.
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Say where each value comes from
    #[arg(long)]
    pub origin: bool,
    /// Those of the server.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// `basalt doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Directories, files or block devices to look at; {1...6} is expanded
    #[arg(value_name = "DRIVE")]
    pub drives: Vec<String>,
}

/// `basalt status`.
#[derive(Debug, Args)]
pub struct StatusArguments {
    /// Server to ask [default: BASALT_ENDPOINT, then http://127.0.0.1:9000]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Print the server's answer as it is
    #[arg(long)]
    pub json: bool,
}

/// `basalt storage`.
#[derive(Debug, Subcommand)]
pub enum StorageCommand {
    /// Change a drive
    Drive {
        /// What to do with it.
        #[command(subcommand)]
        command: DriveCommand,
    },
}

/// `basalt storage drive`.
#[derive(Debug, Subcommand)]
pub enum DriveCommand {
    /// Format an empty drive in the place of one that is gone, and rebuild it from the others
    #[command(after_help = exit::HELP)]
    Replace(ReplaceArguments),
}

/// `basalt storage drive replace`.
#[derive(Debug, Args)]
pub struct ReplaceArguments {
    /// Server to ask; it must be on this machine [default: BASALT_ENDPOINT, then
    /// http://127.0.0.1:9000]
    #[arg(long, value_name = "URL")]
    pub endpoint: Option<String>,
    /// Take the keys of a server that was started with --dev DIR [default: BASALT_ROOT_USER and
    /// BASALT_ROOT_PASSWORD]
    #[arg(long, value_name = "DIR")]
    pub dev: Option<PathBuf>,
    /// The drive, as the server was given it
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
}

/// `basalt bench`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, args_override_self = true, after_help = BENCH_HELP)]
pub struct BenchArguments {
    /// What to do instead of a run.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// The run.
    #[command(flatten)]
    pub run: BenchRun,
}

const BENCH_HELP: &str = "\
Examples:
  basalt bench --mix get=70,put=30 --size 4KiB --keys 100000 --inflight 64
  basalt bench --rate poisson:5k --mix get --duration 60s
  basalt bench --find-knee --slo p99=5ms --mix get
  basalt bench --target raw --drive /srv/raw.data --drive-bytes 4GiB --inflight 32
  basalt bench --workers 10.0.0.1,10.0.0.2 --inflight 256
  basalt bench compare runs/A runs/B --fail-if 'get.p99>+5%'
  basalt bench compare --base runs/A runs/C --new runs/B runs/D

Exit code 8: the run is void, an answer was wrong, or a rule of a comparison is broken.";

/// A run of `basalt bench`.
#[derive(Debug, Args)]
pub struct BenchRun {
    /// File with settings of this list, with underscores in their names; flags go before it
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Where the run's directory is made [default: runs]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What the run is called in reports [default: its id]
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,
    /// The load.
    #[command(flatten)]
    pub settings: bench_run::Settings,
}

/// What `basalt bench` does beside running loads.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Serve HTTP or frames and nothing else, to measure others against
    ServeNull(ServeNullArguments),
    /// Write a page with the figures of one run or several
    Report(ReportArguments),
    /// Say whether runs differ, and by how much
    Compare(CompareArguments),
    /// Make a share of the load of runs that another machine conducts with --workers
    Worker(WorkerArguments),
}

/// `basalt bench serve-null`.
#[derive(Debug, Args)]
pub struct ServeNullArguments {
    /// Address to listen on
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9009")]
    pub address: String,
    /// What it speaks: http, or frames for the target net
    #[arg(long, value_name = "PROTOCOL", default_value = "http")]
    pub protocol: String,
    /// How long every object is, in HTTP
    #[arg(long, value_name = "SIZE", default_value = "4KiB")]
    pub object_size: String,
    /// Answer no more requests in a second, to have a server of a known limit
    #[arg(long, value_name = "N")]
    pub max_rate: Option<u32>,
}

/// `basalt bench worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// Address to listen on; one that other machines reach needs BASALT_BENCH_SECRET
    #[arg(long, value_name = "IP:PORT", default_value_t = format!("127.0.0.1:{WORKER_PORT}"))]
    pub listen: String,
}

/// `basalt bench report`.
#[derive(Debug, Args)]
pub struct ReportArguments {
    /// Directories of runs
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// The page
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
}

/// `basalt bench compare`.
#[derive(Debug, Args)]
pub struct CompareArguments {
    /// Directory of a run of the one build, and of one of the other
    #[arg(num_args = 2, value_names = ["BASE", "NEW"], conflicts_with_all = ["base", "new"])]
    pub pair: Vec<PathBuf>,
    /// Directories of several runs of the one build, in the order they ran
    #[arg(long, required_unless_present = "pair", num_args = 1.., value_name = "RUN")]
    pub base: Vec<PathBuf>,
    /// Directories of several runs of the other
    #[arg(long, required_unless_present = "pair", num_args = 1.., value_name = "RUN")]
    pub new: Vec<PathBuf>,
    /// Exit with code 8 where this holds, as 'get.p99>+5%' or 'all.server_cpu>+3%'; may be repeated
    #[arg(long, value_name = "RULE")]
    pub fail_if: Vec<String>,
    /// text, markdown or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::settings::SETTINGS;
    use clap::CommandFactory;

    fn server(arguments: &[&str]) -> Box<ServerArguments> {
        let line = ["basalt", "server"].iter().chain(arguments);
        match Cli::try_parse_from(line).unwrap().command {
            Command::Server(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_replacement_needs_a_path() {
        let line = ["basalt", "storage", "drive", "replace", "--endpoint", "http://e", "/srv/d3"];
        match Cli::try_parse_from(line).unwrap().command {
            Command::Storage {
                command: StorageCommand::Drive { command: DriveCommand::Replace(arguments) },
            } => {
                assert_eq!(arguments.endpoint.as_deref(), Some("http://e"));
                assert_eq!(arguments.path, PathBuf::from("/srv/d3"));
                assert_eq!(arguments.dev, None);
            }
            other => panic!("{other:?}"),
        }
        assert!(Cli::try_parse_from(&line[..4]).is_err());
    }

    #[test]
    fn every_flag_of_the_table_exists() {
        let command = Cli::command();
        let config = command.find_subcommand("config").unwrap();
        for (parent, name) in [(&command, "server"), (config, "check"), (config, "show")] {
            let flags: Vec<String> = parent
                .find_subcommand(name)
                .unwrap()
                .get_arguments()
                .filter_map(|argument| argument.get_long().map(|name| format!("--{name}")))
                .collect();
            for setting in SETTINGS.iter().filter(|setting| setting.flag.starts_with("--")) {
                assert!(flags.iter().any(|flag| flag == setting.flag), "{name} {}", setting.flag);
            }
        }
    }

    #[test]
    fn dev_takes_an_optional_directory() {
        assert_eq!(server(&["--dev"]).dev, Some(PathBuf::from("./basalt-data")));
        assert_eq!(server(&["--dev", "/x"]).dev, Some(PathBuf::from("/x")));
        assert_eq!(server(&["/d1"]).dev, None);
        assert!(Cli::try_parse_from(["basalt", "server", "--dev", "/x", "/d1"]).is_err());
    }

    #[test]
    fn only_given_flags_are_layers() {
        assert!(server(&[]).flags().is_empty());
        let flags =
            server(&["--address", "[::1]:1", "--address", ":2", "--parity", "2", "/d"]).flags();
        let names: Vec<&str> = flags.iter().map(|flag| flag.name).collect();
        assert_eq!(names, ["address", "drives", "parity"]);
        assert_eq!(flags[0].values, ["[::1]:1", ":2"]);
        let all = [
            "--parity=1",
            "--set-size=2",
            "--drive-size=3",
            "--shards=4",
            "--gateways=5",
            "--driver=6",
            "--region=7",
            "--memory=8",
            "--log-level=9",
            "--log-format=10",
            "--domain=11",
            "--profile=12",
        ];
        let flags = server(&all).flags();
        for argument in all {
            let (flag, value) = argument.split_once('=').unwrap();
            let setting = SETTINGS.iter().find(|setting| setting.flag == flag).unwrap();
            let given = flags.iter().find(|given| given.name == setting.name).unwrap();
            assert_eq!(given.values, [value], "{flag}");
        }
    }
}
