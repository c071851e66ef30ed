//! How conductor and worker find that they fit together, before anything else is said.
//!
//! Shape: the worker's `Hello`, the conductor's `Greeting`, the worker's `Welcome` or `Refused`.
//! A proof is the HMAC-SHA-256 under the shared secret of who proves it and both sides' random
//! bytes, so that it is of no use a second time or to the other side.
//!
//! Invariants: builds that differ do not work together, for what a thread does follows from its
//! code; both sides have the same secret or none; the secret itself never travels.

use crate::remote::link::{Incoming, Outgoing};
use crate::remote::message::Message;
use bench_client::sign::hmac_sha256;
use std::fmt;
use std::io::{self, ErrorKind, Read as _};
use std::time::Duration;

/// Each message of the other side must come within so long.
const PATIENCE: Duration = Duration::from_secs(5);
/// The environment variable that the secret is read from, for messages.
const SECRET: &str = "BASALT_BENCH_SECRET";

/// One side, as far as the other must know it.
#[derive(Clone)]
pub struct Party {
    /// Commit of the build.
    pub commit: String,
    /// What both sides share.
    pub secret: Option<String>,
    /// The other side is lost once nothing came of it for so long; it sends something each second.
    pub silence_max: Duration,
}

impl Party {
    /// A side of a build; empty secrets are none.
    #[must_use]
    pub fn new(commit: &str, secret: Option<String>) -> Self {
        let secret = secret.filter(|secret| !secret.is_empty());
        Self { commit: commit.to_owned(), secret, silence_max: Duration::from_secs(10) }
    }

    fn proof(&self, role: &str, nonces: [&[u8; 32]; 2]) -> [u8; 32] {
        let secret = self.secret.as_deref().unwrap_or_default();
        hmac_sha256(secret.as_bytes(), &[role.as_bytes(), nonces[0], nonces[1]])
    }
}

impl fmt::Debug for Party {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Party of {:?}", self.commit)
    }
}

/// The conductor's side; gives the CPUs of the worker, or what is wrong.
pub(super) fn greet_worker(
    incoming: &mut Incoming,
    outgoing: &Outgoing,
    party: &Party,
) -> Result<u32, String> {
    let hello = incoming.expect(PATIENCE).map_err(|error| unheard(&error))?;
    let Message::Hello { cpus, has_secret, nonce: theirs, commit } = hello else {
        return Err("it is no worker of `basalt bench`".to_owned());
    };
    check_commit("it", &commit, "this", &party.commit)?;
    match (has_secret, party.secret.is_some()) {
        (true, false) => return Err(format!("it asks for its secret: set {SECRET} here too")),
        (false, true) => return Err(format!("it has no secret: set {SECRET} there too")),
        _ => {}
    }
    let ours = random_bytes().map_err(|error| error.to_string())?;
    let proof = party.proof("conductor", [&theirs, &ours]);
    let greeting = Message::Greeting { nonce: ours, proof, commit: party.commit.clone() };
    outgoing.send(&greeting).map_err(|error| error.to_string())?;
    match incoming.expect(PATIENCE).map_err(|error| unheard(&error))? {
        Message::Welcome { proof } if is_same(&proof, &party.proof("worker", [&ours, &theirs])) => {
            incoming.trust();
            Ok(cpus)
        }
        Message::Welcome { .. } => Err("it does not know the secret".to_owned()),
        Message::Refused { problem } => Err(problem),
        other => Err(format!("it said {} before welcome", other.name())),
    }
}

/// The worker's side; gives its welcome, which is not sent yet, or what is wrong.
pub(super) fn greet_conductor(
    incoming: &mut Incoming,
    outgoing: &Outgoing,
    party: &Party,
) -> Result<Message, String> {
    let ours = random_bytes().map_err(|error| error.to_string())?;
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let hello = Message::Hello {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        has_secret: party.secret.is_some(),
        nonce: ours,
        commit: party.commit.clone(),
    };
    outgoing.send(&hello).map_err(|error| error.to_string())?;
    let greeting = incoming.expect(PATIENCE).map_err(|error| unheard(&error))?;
    let Message::Greeting { nonce: theirs, proof, commit } = greeting else {
        return Err("it is no `basalt bench`".to_owned());
    };
    if !is_same(&proof, &party.proof("conductor", [&ours, &theirs])) {
        return Err(format!("the secrets differ: set the same {SECRET} on both sides"));
    }
    check_commit("the worker", &party.commit, "the conductor", &commit)?;
    incoming.trust();
    Ok(Message::Welcome { proof: party.proof("worker", [&theirs, &ours]) })
}

fn check_commit(who: &str, commit: &str, other: &str, other_commit: &str) -> Result<(), String> {
    if commit == other_commit {
        return Ok(());
    }
    Err(format!(
        "{who} is of commit {commit:?}, {other} of {other_commit:?}: take the same build for both"
    ))
}

/// Why there was no message, as a sentence about the other side.
pub(super) fn unheard(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "it has ended the connection".to_owned()
        }
        ErrorKind::TimedOut => "it does not answer".to_owned(),
        _ => format!("it cannot be understood: {error}"),
    }
}

/// Whether two proofs are the same; takes as long wherever they differ.
fn is_same(one: &[u8; 32], other: &[u8; 32]) -> bool {
    one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

/// Bytes that nobody can guess.
fn random_bytes() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_side_and_one_meeting() {
        let party = |secret: &str| Party::new("c", Some(secret.to_owned()));
        let (one, two) = ([1; 32], [2; 32]);
        let proof = party("s").proof("worker", [&one, &two]);
        assert!(is_same(&proof, &party("s").proof("worker", [&one, &two])));
        for other in [
            party("t").proof("worker", [&one, &two]),
            party("s").proof("conductor", [&one, &two]),
            party("s").proof("worker", [&two, &one]),
        ] {
            assert!(!is_same(&proof, &other));
        }
        assert!(!format!("{:?}", party("hunter2")).contains("hunter2"));
        assert_eq!(Party::new("c", Some(String::new())).secret, None);
    }
}
