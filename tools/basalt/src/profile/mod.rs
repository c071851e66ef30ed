//! `basalt profile`: what this machine is, what a profile says of it, and the settings it wants.
//!
//! Invariants: only `tune --apply` and `tune --revert` change the machine, and only what
//! `hw_profile` allows; only `measure` writes to drives, and only what `bench_measure` allows; a
//! file that is there is overwritten with `--force` only; what was asked for
//! goes to standard output, what a person must know beside it to standard error; no control
//! character of a device or log reaches a terminal.

pub mod arguments;
mod check;
mod choice;
mod files;
mod lists;
mod measure;
mod probe;
mod show;
mod tune;

use crate::{exit, output};
use arguments::ProfileCommand;
use hw_profile::ProfileError;
use serde::Serialize;
use std::io::ErrorKind;

/// An exit code and what is said.
type Refused = (u8, String);

/// Runs a command and returns the exit code.
pub fn command(command: &ProfileCommand) -> u8 {
    let outcome = match command {
        ProfileCommand::Probe(arguments) => probe::command(arguments),
        ProfileCommand::Measure(arguments) => measure::command(arguments),
        ProfileCommand::Show(arguments) => show::command(arguments),
        ProfileCommand::Presets => lists::presets(),
        ProfileCommand::Diff(arguments) => lists::diff(arguments),
        ProfileCommand::Check(arguments) => check::command(arguments),
        ProfileCommand::Tune(arguments) => tune::command(arguments),
    };
    outcome.unwrap_or_else(|(code, complaint)| {
        output::complain(&plain(&complaint));
        code
    })
}

fn refused(error: &ProfileError) -> Refused {
    let code = match error {
        ProfileError::UnknownPreset { .. } => exit::NOT_FOUND,
        ProfileError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => {
            exit::NOT_FOUND
        }
        ProfileError::Unreadable { .. }
        | ProfileError::Unwritable { .. }
        | ProfileError::NotRendered(_) => exit::FAILED,
        // What stands in the file.
        _ => exit::USAGE,
    };
    (code, error.to_string())
}

/// Without control characters but line ends: models, products and logs are texts of others.
pub(crate) fn plain(text: &str) -> String {
    text.replace(|letter: char| letter.is_control() && letter != '\n', "")
}

fn json<T: Serialize>(value: &T) -> Result<String, Refused> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| (exit::FAILED, format!("no JSON can be made: {error}")))?;
    Ok(text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn what_is_not_there_and_what_is_wrong_have_codes_of_their_own() {
        let unreadable = |kind: ErrorKind| {
            let file = PathBuf::from("p.toml");
            refused(&ProfileError::Unreadable { file, source: kind.into() }).0
        };
        assert_eq!(unreadable(ErrorKind::NotFound), exit::NOT_FOUND);
        assert_eq!(unreadable(ErrorKind::PermissionDenied), exit::FAILED);
        let unknown = hw_profile::preset("no-such").unwrap_err();
        assert_eq!(refused(&unknown).0, exit::NOT_FOUND);
        let file = PathBuf::from("p.toml");
        let schema = ProfileError::Schema { file, found: "2".to_owned(), expected: 1 };
        assert_eq!(refused(&schema).0, exit::USAGE);
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("model \u{1b}[2Jx\nnext\r\n"), "model [2Jx\nnext\n");
    }
}
