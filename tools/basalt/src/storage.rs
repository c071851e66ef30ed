//! `basalt storage`: asks a running server of this machine to change its drives.
//!
//! Invariant: credentials go to a loopback address only, and never into a message.

use crate::cli::{DriveCommand, ReplaceArguments, StorageCommand};
use crate::http::{self, Answer, HttpError, Post};
use crate::server::credentials::{self, Credentials};
use crate::server::dev;
use crate::{exit, output};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the server takes the path of a drive to replace, as JSON.
pub const REPLACE_PATH: &str = "/-/admin/drives/replace";

const DEFAULT_ENDPOINT: &str = "http://127.0.0.1:9000";
/// A drive's first files are written with zeros before the answer comes.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Runs a command and returns the exit code.
pub fn command(command: &StorageCommand) -> u8 {
    let StorageCommand::Drive { command: DriveCommand::Replace(arguments) } = command;
    match replace(arguments) {
        Ok(uuid) => {
            output::out(&format!(
                "drive {uuid} is being rebuilt; watch `basalt status` until it is in-sync\n"
            ));
            exit::OK
        }
        Err((code, complaint)) => {
            output::complain(&complaint);
            code
        }
    }
}

type Refused = (u8, String);

fn replace(arguments: &ReplaceArguments) -> Result<String, Refused> {
    let usage = |text: String| (exit::USAGE, text);
    let path = std::path::absolute(&arguments.path).map_err(|error| usage(error.to_string()))?;
    let Some(path) = path.to_str() else {
        return Err(usage(format!("{} is not in UTF-8", path.display())));
    };
    let credentials = credentials_of(arguments.dev.as_deref()).map_err(usage)?;
    let variable = std::env::var("BASALT_ENDPOINT").ok();
    let endpoint = endpoint(arguments.endpoint.as_deref(), variable);
    let body = serde_json::json!({ "path": path }).to_string();
    let post = Post {
        path: REPLACE_PATH,
        user: &credentials.access_key,
        password: &credentials.secret_key,
        body: &body,
        timeout: TIMEOUT,
    };
    let answer =
        http::post(&endpoint, &post).map_err(|error| (code_of(&error), error.to_string()))?;
    verdict(&endpoint, &answer)
}

fn endpoint(flag: Option<&str>, variable: Option<String>) -> String {
    let chosen = flag.map(str::to_owned).or(variable.filter(|text| !text.is_empty()));
    let chosen = chosen.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
    chosen.trim_end_matches('/').to_owned()
}

/// Those of a `--dev` directory if one is named, else those of the environment.
fn credentials_of(dev_directory: Option<&Path>) -> Result<Credentials, String> {
    let Some(directory) = dev_directory else {
        let found = credentials::from_environment().map_err(|error| error.to_string())?;
        return found.ok_or_else(|| {
            "no credentials: set BASALT_ROOT_USER and BASALT_ROOT_PASSWORD (or their _FILE \
             variants), or name the directory of a server with --dev DIR"
                .to_owned()
        });
    };
    // `dev::keys` would make them where there are none.
    let file: PathBuf = directory.join("credentials");
    if !file.is_file() {
        return Err(format!("{} is not there: is this a --dev directory?", file.display()));
    }
    dev::keys(directory).map_err(|error| error.to_string())
}

fn code_of(error: &HttpError) -> u8 {
    match error {
        HttpError::Endpoint(_) => exit::USAGE,
        HttpError::Unreachable { .. } => exit::UNREACHABLE,
        HttpError::NotHttp(_) => exit::FAILED,
    }
}

/// The new drive's id, or why there is none.
fn verdict(endpoint: &str, answer: &Answer) -> Result<String, Refused> {
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = |name: &str| {
        let found = json.get(name).and_then(serde_json::Value::as_str);
        // Control characters in a server's answer must not reach the terminal.
        found.map(|text| text.replace(char::is_control, ""))
    };
    if answer.status == 200 {
        let odd = || (exit::FAILED, format!("{endpoint} gives no answer of basalt"));
        return text("uuid").ok_or_else(odd);
    }
    let code = match answer.status {
        400 => exit::USAGE,
        401 | 403 => exit::DENIED,
        404 => exit::NOT_FOUND,
        409 => exit::CONFLICT,
        503 => exit::UNREACHABLE,
        _ => exit::FAILED,
    };
    let complaint =
        text("error").unwrap_or_else(|| format!("{endpoint} answers {}", answer.status));
    Err((code, complaint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn judged(status: u16, body: &str) -> Result<String, Refused> {
        verdict("http://e", &Answer { status, body: body.as_bytes().to_vec() })
    }

    #[test]
    fn answers_become_exit_codes() {
        assert_eq!(judged(200, r#"{"uuid":"0a"}"#), Ok("0a".to_owned()));
        let expected = [
            (400, exit::USAGE),
            (401, exit::DENIED),
            (403, exit::DENIED),
            (404, exit::NOT_FOUND),
            (409, exit::CONFLICT),
            (500, exit::FAILED),
            (503, exit::UNREACHABLE),
        ];
        for (status, code) in expected {
            let found = judged(status, r#"{"error":"it is\u001b[2J in sync"}"#);
            assert_eq!(found, Err((code, "it is[2J in sync".to_owned())), "{status}");
        }
        let odd = judged(404, "<Error/>").unwrap_err();
        assert_eq!(odd, (exit::NOT_FOUND, "http://e answers 404".to_owned()));
        assert_eq!(judged(200, "[]").unwrap_err().0, exit::FAILED);
    }

    #[test]
    fn keys_of_a_dev_directory_are_read_and_never_made() {
        let directory = TempDir::new();
        let complaint = credentials_of(Some(directory.path())).unwrap_err();
        assert!(complaint.contains("is not there"), "{complaint}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        let made = dev::keys(directory.path()).unwrap();
        assert_eq!(credentials_of(Some(directory.path())), Ok(made));
    }

    #[test]
    fn the_flag_beats_the_variable() {
        let variable = Some("http://b:1".to_owned());
        assert_eq!(endpoint(Some("http://a:1/"), variable.clone()), "http://a:1");
        assert_eq!(endpoint(None, variable), "http://b:1");
        assert_eq!(endpoint(None, Some(String::new())), DEFAULT_ENDPOINT);
    }
}
