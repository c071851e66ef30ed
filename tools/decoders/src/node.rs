//! What a server reads at its start: the configuration file and the drive arguments.
//!
//! Rules: a configuration that was accepted is accepted again, with the same values, as `config
//! show` prints it; drives are distinct, within the limit of a pool, stand for themselves when
//! they are expanded again, and make equal sets.

use crate::Decoder;
use basalt_cli::config::settings::Value;
use basalt_cli::config::{Config, Sources, resolve};
use engine_placement::{DRIVES_MAX, expand, expand_all, pool_layout, set_size};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

pub(crate) const CONFIG: Decoder = Decoder {
    name: "config",
    check: config,
    samples: config_samples,
    words: &[
        "address",
        "domain",
        "drives",
        "parity",
        "memory",
        "[log]",
        "[timeouts]",
        "[limits]",
        "[storage]",
        "auto",
        "512MiB",
        "30s",
        "true",
        " = ",
        "[\"",
        "\"\"\"",
    ],
    rounds: 4_000,
};

pub(crate) const DRIVE_ARGUMENTS: Decoder = Decoder {
    name: "drive_arguments",
    check: drive_arguments,
    samples: drive_samples,
    words: &["{1...6}", "{01...12}", "...", "{", "}", "4096"],
    rounds: 4_000,
};

/// One argument may stand for 4,096 drives, each with a name as long as its own.
const ARGUMENTS_BYTES_MAX: usize = 256;
/// Drives that are expanded again.
const AGAIN_MAX: usize = 32;

fn from_file(text: &str) -> Sources {
    Sources { file: Some((PathBuf::from("basalt.toml"), text.to_owned())), ..Sources::default() }
}

fn values(config: &Config) -> Vec<&Value> {
    config.entries().map(|entry| &entry.value).collect()
}

fn config(input: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let config = match resolve(&from_file(text)) {
        Ok(config) => config,
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            assert!(problems.iter().all(|problem| !problem.to_string().is_empty()));
            return false;
        }
    };
    let mut shown = String::new();
    for entry in config.entries() {
        let _ = writeln!(shown, "{} = {}", entry.setting.name, entry.value);
    }
    match resolve(&from_file(&shown)) {
        Ok(again) => assert_eq!(values(&again), values(&config)),
        Err(problems) => panic!("what is shown is refused: {problems:?}\n{shown}"),
    }
    true
}

fn drive_arguments(input: &[u8]) -> bool {
    if input.len() > ARGUMENTS_BYTES_MAX {
        return false;
    }
    let Ok(text) = std::str::from_utf8(input) else { return false };
    let arguments: Vec<&str> = text.lines().collect();
    let Ok(drives) = expand_all(&arguments) else { return false };
    assert!(drives.len() <= DRIVES_MAX);
    let distinct: BTreeSet<&String> = drives.iter().collect();
    assert_eq!(distinct.len(), drives.len(), "a drive stands twice");
    for drive in drives.iter().take(AGAIN_MAX) {
        assert_eq!(expand(drive), Ok(vec![drive.clone()]));
    }
    let counts = arguments.iter().filter_map(|argument| expand(argument).ok());
    let counts: Vec<usize> = counts.map(|drives| drives.len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), drives.len());
    if let Ok(size) = set_size(&counts, None) {
        assert!(drives.len().is_multiple_of(size), "drives in no set");
    }
    if let Ok(layout) = pool_layout(drives.len(), None) {
        assert_eq!(layout.set_size * usize::from(layout.set_count), drives.len());
    }
    true
}

fn config_samples() -> Vec<Vec<u8>> {
    let samples = [
        "address = [\"127.0.0.1:9000\", \"[::1]:9000\"]\nregion = \"eu-1\"\n\
         domain = [\"s3.example.com\"]\ndrives = \"/mnt/{1...6}\"\nparity = 2\nset_size = 6\n\
         memory = \"512MiB\"\ndrive_size = 1073741824\n",
        "driver = \"threads\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n[metrics]\n\
         public = true\n[timeouts]\nheader = \"500ms\"\ndrain = \"2m\"\n[limits]\n\
         requests = \"auto\"\nconnections = 100\n[storage]\ncell_bytes = \"64KiB\"\n\
         segment_bytes = \"4MiB\"\n",
    ];
    samples.iter().map(|sample| sample.as_bytes().to_vec()).collect()
}

fn drive_samples() -> Vec<Vec<u8>> {
    let samples = [
        "/mnt/drive{1...6}",
        "/mnt/{01...12}\n/srv/rack{1...2}/drive{1...6}",
        "/dev/sda\n/dev/sdb\n/dev/sdc",
    ];
    samples.iter().map(|sample| sample.as_bytes().to_vec()).collect()
}
