//! Settings of a run that several machines drive: what workers are told of them.
//!
//! Invariants: credentials, commands, files and processes are of one machine and stay there: the
//! conductor does not send them, and a worker takes none. Of the file of authorities its text is
//! sent, beside the settings.

use super::Settings;
use super::values::wrong;
use crate::error::RunError;
use crate::remote::{Party, WorkersPlan};
use bench_model::Sizes;

/// Where a worker listens that is told no other port.
pub const WORKER_PORT: u16 = 9010;

/// Workers of a run, at most.
const WORKERS_MAX: usize = 256;

/// A worker's address, with the port of those that were told none.
fn with_port(address: &str) -> String {
    let address = address.trim();
    // What ends in a bracket is an IPv6 address without a port.
    match address.is_empty() || (address.contains(':') && !address.ends_with(']')) {
        true => address.to_owned(),
        false => format!("{address}:{WORKER_PORT}"),
    }
}

impl Settings {
    /// Which workers drive the run; `None`: this process does.
    ///
    /// # Errors
    /// What cannot be, by name.
    pub fn workers_plan(
        &self,
        run_id: &str,
        party: Party,
    ) -> Result<Option<WorkersPlan>, RunError> {
        let Some(text) = self.workers.as_deref() else { return Ok(None) };
        let addresses: Vec<String> = text.split(',').map(with_port).collect();
        for (place, address) in addresses.iter().enumerate() {
            let has_port = address.rsplit_once(':').is_some_and(|(host, port)| {
                !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !has_port {
                return Err(wrong("--workers", format!("{address:?} is no HOST or HOST:PORT")));
            }
            if addresses[..place].contains(address) {
                return Err(wrong("--workers", format!("{address} stands there twice")));
            }
        }
        if addresses.len() > WORKERS_MAX {
            return Err(wrong("--workers", format!("more than {WORKERS_MAX}")));
        }
        match self.target.as_deref() {
            Some("raw") => return Err(wrong("--workers", "a drive is of one machine")),
            Some("engine") => {
                return Err(wrong(
                    "--workers",
                    "the engine is in this process, and so is its load",
                ));
            }
            _ => {}
        }
        let settings = self.without_what_is_local()?;
        let run_id = run_id.to_owned();
        Ok(Some(WorkersPlan { addresses, settings, run_id, party }))
    }

    /// What a worker gets, as the text of a scenario file: a run of so many threads in all.
    pub(crate) fn text_for_threads(&self, threads: u32) -> Result<String, RunError> {
        let settings = Self { threads: Some(threads.to_string()), ..self.clone() };
        toml::to_string(&settings).map_err(|error| RunError::Message { problem: error.to_string() })
    }

    /// What a worker takes of that text, and of that of the authorities.
    pub(crate) fn of_conductor(text: &str, authorities: &str) -> Result<Self, RunError> {
        let wrong = |error: toml::de::Error| RunError::Message { problem: error.to_string() };
        let authorities = Some(authorities.to_owned()).filter(|text| !text.is_empty());
        let settings = toml::from_str::<Self>(text).map_err(wrong)?;
        Self { ca_file: None, authorities, ..settings }.without_what_is_local()
    }

    fn without_what_is_local(&self) -> Result<Self, RunError> {
        if self.size.as_deref().and_then(Sizes::cdf_path).is_some() {
            let problem = "with --workers no file, for it would have to be on each of them; write \
                           its lines as buckets(...)";
            return Err(wrong("--size", problem));
        }
        Ok(Self {
            workers: None,
            access_key: None,
            secret_key_file: None,
            ca_file: None,
            authorities: self.authorities_pem()?,
            at: Vec::new(),
            server_pid: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_workers(workers: &str) -> Settings {
        Settings { workers: Some(workers.to_owned()), ..Settings::default() }
    }

    fn plan(settings: &Settings) -> Result<Option<WorkersPlan>, RunError> {
        settings.workers_plan("run-1", Party::new("c", None))
    }

    #[test]
    fn what_belongs_to_this_machine_stays_here() {
        let mut settings = of_workers("a:1, [::1]:2");
        settings.access_key = Some("key".to_owned());
        settings.secret_key_file = Some("/root/secret".to_owned());
        settings.server_pid = Some("1".to_owned());
        settings.at = vec!["1s exec:rm".to_owned()];
        settings.keys = Some("500".to_owned());
        let plan = plan(&settings).unwrap().unwrap();
        assert_eq!(plan.addresses, ["a:1", "[::1]:2"]);
        let text = plan.settings.text_for_threads(8).unwrap();
        let told = Settings::of_conductor(&text, "").unwrap();
        let expected = Settings {
            keys: Some("500".to_owned()),
            threads: Some("8".to_owned()),
            ..Settings::default()
        };
        assert_eq!(told, expected);
        assert!(Settings::of_conductor("at = [\"1s exec:rm\"]", "").unwrap().at.is_empty());
    }

    #[test]
    fn of_the_file_of_authorities_the_text_is_sent() {
        let path = std::env::temp_dir().join(format!("bench-authorities-{}", std::process::id()));
        let authority = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----";
        std::fs::write(&path, format!("{authority}a note\n{key}\n{authority}{key}")).unwrap();
        let mut settings = of_workers("a:1");
        settings.ca_file = Some(path.display().to_string());
        let away = plan(&settings).unwrap().unwrap().settings;
        std::fs::remove_file(&path).unwrap();
        // A key stays where it is.
        assert_eq!(away.authorities, Some(authority.repeat(2)));
        let text = away.text_for_threads(1).unwrap();
        assert!(!text.contains("authorities") && !text.contains("ca_file"), "{text}");
        // A file of the worker's machine is not read, whatever the conductor says.
        let told = Settings::of_conductor("ca_file = \"/etc/passwd\"", "sent").unwrap();
        assert_eq!((told.ca_file, told.authorities.as_deref()), (None, Some("sent")));
        settings.ca_file = Some("/does/not/exist".to_owned());
        assert!(plan(&settings).unwrap_err().to_string().contains("/does/not/exist"));
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (workers, said) in [
            ("", "HOST:PORT"),
            (":1", "HOST:PORT"),
            ("a:1,", "HOST:PORT"),
            ("a,a:9010", "twice"),
            ("a:0", "HOST:PORT"),
            ("a:1,b:1,a:1", "twice"),
        ] {
            let message = plan(&of_workers(workers)).unwrap_err().to_string();
            assert!(message.contains("--workers") && message.contains(said), "{message}");
        }
        let raw = Settings { target: Some("raw".to_owned()), ..of_workers("a:1") };
        assert!(plan(&raw).unwrap_err().to_string().contains("--workers"));
        let engine = Settings { target: Some("engine".to_owned()), ..of_workers("a:1") };
        assert!(plan(&engine).unwrap_err().to_string().contains("this process"));
        let mut settings = of_workers("a:1");
        settings.size = Some("file:cdf.csv".to_owned());
        assert!(plan(&settings).unwrap_err().to_string().contains("--size"));
        assert!(Settings::of_conductor("size = \"file:/etc/passwd\"", "").is_err());
        assert!(Settings::of_conductor("kyes = \"1\"", "").is_err());
        assert!(plan(&Settings::default()).unwrap().is_none());
    }
}
