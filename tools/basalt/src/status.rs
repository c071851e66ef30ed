//! `basalt status`: what a running server says of its drives, as a table.
//!
//! Unknown fields of the answer are ignored and absent ones have defaults, so that client and
//! server need not be of one version.

use crate::cli::StatusArguments;
use crate::config::values::show_size;
use crate::http::{self, HttpError};
use crate::{exit, output};
use serde::{Deserialize, Serialize};

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9000";
const PATH: &str = "/-/status";
const IN_SYNC: &str = "in-sync";

/// The answer of `/-/status`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// Version of the server.
    pub version: String,
    /// Commit of the server.
    pub commit: String,
    /// Drive I/O in use: `uring` or `threads`.
    pub driver: String,
    /// Name of the hardware profile that is obeyed; `none` without one.
    pub profile: String,
    /// Every drive of the pool, absent ones too.
    pub drives: Vec<DriveStatus>,
    /// Objects with fewer copies or fragments than they should have. None: not known, for drives
    /// are out, and any object of their sets may be one.
    pub objects_short_of_protection: Option<u64>,
    /// Those of them that were counted last, also while drives are out.
    pub objects_short_counted: u64,
    /// Objects that the drives in sync cannot make whole any more.
    pub objects_unreadable: u64,
}

/// One drive.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DriveStatus {
    /// As given on the command line.
    pub path: String,
    /// Its identity; empty if the drive was never seen.
    pub uuid: String,
    /// Its erasure set.
    pub set: u64,
    /// Its position in the set.
    pub position: u64,
    /// The shard that owns it.
    pub shard: u64,
    /// Its class in the hardware profile; empty if that has none for it.
    pub class: String,
    /// `in-sync`, `catching-up`, `rebuilding`, `missing`, `failed`...
    pub state: String,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Bytes left.
    pub free_bytes: u64,
    /// I/O and checksum errors since the start.
    pub errors: u64,
    /// What to do, if anything.
    pub advice: String,
}

/// Asks, prints, and returns the exit code.
pub fn command(arguments: &StatusArguments) -> u8 {
    let endpoint = endpoint(arguments.endpoint.as_deref(), std::env::var("BASALT_ENDPOINT").ok());
    let answer = match http::get(&endpoint, PATH) {
        Ok(answer) => answer,
        Err(error) => {
            output::complain(&error.to_string());
            return match error {
                HttpError::Endpoint(_) => exit::USAGE,
                HttpError::Unreachable { .. } => exit::UNREACHABLE,
                HttpError::NotHttp(_) => exit::FAILED,
            };
        }
    };
    if answer.status != 200 {
        output::complain(&format!("{endpoint}{PATH} answers {}", answer.status));
        return match answer.status {
            401 | 403 => exit::DENIED,
            404 => exit::NOT_FOUND,
            503 => exit::UNREACHABLE,
            _ => exit::FAILED,
        };
    }
    let status: Status = match serde_json::from_slice(&answer.body) {
        Ok(status) => status,
        Err(error) => {
            output::complain(&format!("{endpoint}{PATH} is not a status of basalt: {error}"));
            return exit::FAILED;
        }
    };
    if arguments.json {
        output::out(String::from_utf8_lossy(&answer.body).trim_end());
        output::out("\n");
    } else {
        output::out(&render(&status));
    }
    exit::OK
}

fn endpoint(flag: Option<&str>, variable: Option<String>) -> String {
    let chosen = flag.map(str::to_owned).or(variable.filter(|text| !text.is_empty()));
    let chosen = chosen.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    chosen.trim_end_matches('/').to_owned()
}

/// To three digits: a table is read by people, `--json` by programs.
fn about(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, shift)| bytes >> shift > 0) {
        Some((unit, shift)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{}{unit}", tenths / 10, tenths % 10)
        }
        None => show_size(bytes),
    }
}

/// What is counted while drives are out, and whose objects may be short of protection beside it.
fn counted(status: &Status) -> String {
    let out = status.drives.iter().filter(|drive| drive.state != IN_SYNC);
    let mut sets: Vec<u64> = out.map(|drive| drive.set).collect();
    sets.sort_unstable();
    sets.dedup();
    let sets: Vec<String> = sets.iter().map(u64::to_string).collect();
    format!(
        "{} counted, and any other of set {} may be until all of its drives are {IN_SYNC}, for \
         they are counted once a minute",
        status.objects_short_counted,
        sets.join(", ")
    )
}

fn render(status: &Status) -> String {
    let heads = ["DRIVE", "STATE", "SET", "POSITION", "USED", "FREE", "ERRORS", "UUID"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for drive in &status.drives {
        rows.push(vec![
            drive.path.clone(),
            drive.state.clone(),
            drive.set.to_string(),
            drive.position.to_string(),
            about(drive.used_bytes),
            about(drive.free_bytes),
            drive.errors.to_string(),
            drive.uuid.clone(),
        ]);
    }
    let mut text = format!("basalt {} (commit {})\n", status.version, status.commit);
    if !status.driver.is_empty() {
        text.push_str(&format!("driver: {}\n", status.driver));
    }
    if !status.profile.is_empty() {
        text.push_str(&format!("profile: {}\n", status.profile));
    }
    match status.objects_short_of_protection {
        Some(short) => text.push_str(&format!("objects short of protection: {short}\n")),
        None => text.push_str(&format!("objects short of protection: {}\n", counted(status))),
    }
    if status.objects_unreadable > 0 {
        text.push_str(&format!("objects unreadable: {}\n", status.objects_unreadable));
    }
    text.push('\n');
    text.push_str(&output::table(&rows));
    for drive in status.drives.iter().filter(|drive| !drive.advice.is_empty()) {
        text.push_str(&format!("{}: {}\n", drive.path, drive.advice));
    }
    // Control characters in a server's answer must not reach the terminal.
    text.retain(|letter| letter == '\n' || !letter.is_control());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_becomes_a_table() {
        let json = r#"{"version":"0.1.0","commit":"abc","objects_short_of_protection":7,
            "objects_unreadable":2,"new":1,
            "drives":[{"path":"/d1","uuid":"u-1","set":0,"position":3,"state":"failed",
            "used_bytes":1610612736,"free_bytes":512,"errors":2,"advice":"replace it\u001b[2J"}]}"#;
        let status: Status = serde_json::from_str(json).unwrap();
        let text = render(&status);
        let expected = "basalt 0.1.0 (commit abc)\nobjects short of protection: 7\n\
            objects unreadable: 2\n\n\
            DRIVE  STATE   SET  POSITION  USED    FREE  ERRORS  UUID\n\
            /d1    failed  0    3         1.5GiB  512   2       u-1\n\
            /d1: replace it[2J\n";
        assert_eq!(text, expected);
        let unknown =
            Status { objects_short_of_protection: None, objects_short_counted: 5, ..status };
        let expected = "objects short of protection: 5 counted, and any other of set 0 may be \
            until all of its drives are in-sync, for they are counted once a minute\n";
        assert!(render(&unknown).contains(expected), "{}", render(&unknown));
    }

    #[test]
    fn the_flag_beats_the_variable() {
        let variable = Some("http://b:1".to_owned());
        assert_eq!(endpoint(Some("http://a:1/"), variable.clone()), "http://a:1");
        assert_eq!(endpoint(None, variable), "http://b:1");
        assert_eq!(endpoint(None, Some(String::new())), DEFAULT_ENDPOINT);
        assert_eq!(endpoint(None, None), DEFAULT_ENDPOINT);
    }
}
