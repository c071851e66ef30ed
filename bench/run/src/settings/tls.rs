//! The endpoint of a URL, and whose certificates are believed there.
//!
//! Invariants: what says something about TLS is refused where none is spoken; a file of authorities
//! is read on the machine it is named on: workers get its text.

use super::Settings;
use super::values::{address_of, name_of, wrong};
use crate::error::RunError;
use crate::remote::AUTHORITIES_BYTES_MAX;
use bench_client::{Endpoint, Tls, TlsError, Trust};
use std::fs::File;
use std::io::Read as _;

const PLAIN: &str = "http://";
const SEALED: &str = "https://";

impl Settings {
    /// An endpoint, without credentials.
    pub(super) fn endpoint_of(&self, url: &str) -> Result<Endpoint, RunError> {
        if !url.starts_with(SEALED) {
            self.refuse_what_needs_tls(url)?;
            if !url.starts_with(PLAIN) {
                let problem = format!("{url:?}: it begins with {PLAIN} or {SEALED}");
                return Err(wrong("--endpoint", problem));
            }
            let (address, host) = address_of(url, PLAIN)?;
            return Ok(Endpoint { address, host, tls: None, credentials: None });
        }
        if self.insecure && (self.ca_file.is_some() || self.authorities.is_some()) {
            return Err(wrong("--ca-file", "with --insecure no certificate is checked"));
        }
        let authorities = self.authorities_pem()?;
        let trust = match self.insecure {
            true => Trust::Anybody,
            false => Trust::Authorities(authorities.as_deref()),
        };
        let (address, host) = address_of(url, SEALED)?;
        let tls = Tls::new(name_of(&host), trust).map_err(|error| self.refusal(&error))?;
        Ok(Endpoint { address, host, tls: Some(tls), credentials: None })
    }

    fn refusal(&self, error: &TlsError) -> RunError {
        match (error, &self.ca_file) {
            (TlsError::Authorities(_), Some(path)) => {
                wrong("--ca-file", format!("{path}: {error}"))
            }
            (TlsError::Authorities(_) | TlsError::Nobody(_), _) => {
                wrong("--ca-file", error.to_string())
            }
            (TlsError::Name(_) | TlsError::Refused(_), _) => wrong("--endpoint", error.to_string()),
        }
    }

    fn refuse_what_needs_tls(&self, url: &str) -> Result<(), RunError> {
        for (setting, is_given) in
            [("--ca-file", self.ca_file.is_some()), ("--insecure", self.insecure)]
        {
            if is_given {
                let problem = format!("it is for an endpoint with {SEALED}, not for {url}");
                return Err(wrong(setting, problem));
            }
        }
        Ok(())
    }

    /// The text of further authorities: of the file, or what a conductor has sent of its own.
    pub(super) fn authorities_pem(&self) -> Result<Option<String>, RunError> {
        let Some(path) = &self.ca_file else { return Ok(self.authorities.clone()) };
        let mut bytes = Vec::new();
        let bound = AUTHORITIES_BYTES_MAX as u64;
        let read = File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes));
        read.map_err(|error| wrong("--ca-file", format!("{path}: {error}")))?;
        if bytes.len() >= AUTHORITIES_BYTES_MAX {
            return Err(wrong("--ca-file", format!("{path} is too long: it has 1 MiB or more")));
        }
        Ok(Some(certificates_of(&String::from_utf8_lossy(&bytes))))
    }
}

/// The certificates of a text in PEM, and nothing else: a server's own file may hold its key as well,
/// which must not travel to workers.
fn certificates_of(text: &str) -> String {
    let (mut certificates, mut is_inside) = (String::new(), false);
    for line in text.lines() {
        is_inside |= line.starts_with("-----BEGIN CERTIFICATE-----");
        if is_inside {
            certificates.push_str(line);
            certificates.push('\n');
        }
        is_inside &= !line.starts_with("-----END CERTIFICATE-----");
    }
    certificates
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
