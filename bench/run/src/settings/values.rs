//! Values of settings, read from their texts. An error names the setting and says what is valid.

use crate::error::RunError;
use crate::marks::Mark;
use crate::plan::Verify;
use bench_client::Signing;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An address of several is left for the next one after so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest run, of a phase: a year.
pub(super) const SECONDS_MAX: f64 = 366.0 * 86_400.0;

/// A setting that cannot be.
pub(super) fn wrong(setting: &'static str, problem: impl Into<String>) -> RunError {
    RunError::Setting { setting, problem: problem.into() }
}

/// A number within bounds.
pub(super) fn number(
    setting: &'static str,
    text: Option<&str>,
    usual: u64,
    (lowest, highest): (u64, u64),
) -> Result<u64, RunError> {
    let Some(text) = text else { return Ok(usual) };
    match text.parse() {
        Ok(value) if (lowest..=highest).contains(&value) => Ok(value),
        _ => Err(wrong(setting, format!("{text:?} is no number from {lowest} to {highest}"))),
    }
}

pub(super) fn small(
    setting: &'static str,
    text: Option<&str>,
    usual: u32,
    (lowest, highest): (u32, u32),
) -> Result<u32, RunError> {
    let value = number(setting, text, u64::from(usual), (u64::from(lowest), u64::from(highest)))?;
    Ok(u32::try_from(value).unwrap_or(highest))
}

pub(super) fn time(
    setting: &'static str,
    text: Option<&str>,
    usual: &str,
) -> Result<Duration, RunError> {
    let text = text.unwrap_or(usual);
    let seconds = bench_model::seconds(text).filter(|seconds| *seconds <= SECONDS_MAX);
    let refused = || wrong(setting, format!("{text:?} is no time, as 500ms, 30s, 10m or 2h are"));
    Ok(Duration::from_secs_f64(seconds.ok_or_else(refused)?))
}

pub(super) fn size(setting: &'static str, text: Option<&str>, usual: u64) -> Result<u64, RunError> {
    let Some(text) = text else { return Ok(usual) };
    let refused = || wrong(setting, format!("{text:?} is no size, as 4096, 64KiB or 1MiB are"));
    bench_model::size_bytes(text).filter(|bytes| *bytes > 0).ok_or_else(refused)
}

pub(super) fn percent(setting: &'static str, text: Option<&str>) -> Result<u8, RunError> {
    let value = small(setting, text, 0, (0, 100))?;
    Ok(u8::try_from(value).unwrap_or(100))
}

/// Address, and host as it was written, of a URL of a scheme; the usual port is 80, with TLS 443.
pub(super) fn address_of(url: &str, scheme: &str) -> Result<(SocketAddr, String), RunError> {
    let problem = |problem: &str| wrong("--endpoint", format!("{url:?}: {problem}"));
    let host = url.strip_prefix(scheme);
    let host = host.ok_or_else(|| problem(&format!("it begins with {scheme}")))?;
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(problem("it has a host and a port, and nothing behind them"));
    }
    let with_port = match parted(host) {
        (_, Some(_)) => host.to_owned(),
        (_, None) if scheme == "https://" => format!("{host}:443"),
        (_, None) => format!("{host}:80"),
    };
    let found = with_port.to_socket_addrs().map_err(|error| problem(&error.to_string()))?;
    let addresses: Vec<SocketAddr> = found.collect();
    // A name may have several, and nobody at the first.
    let answers =
        |address: &&SocketAddr| TcpStream::connect_timeout(address, CONNECT_TIMEOUT).is_ok();
    let address = match addresses.as_slice() {
        [] => return Err(problem("it has no address")),
        [only] => *only,
        [first, ..] => *addresses.iter().find(answers).unwrap_or(first),
    };
    Ok((address, host.to_owned()))
}

/// Name or address and port of a host as it stands in a URL.
fn parted(host: &str) -> (&str, Option<u16>) {
    let with_port = host.rsplit_once(':').map(|(name, port)| (name, port.parse().ok()));
    with_port.filter(|(_, port)| port.is_some()).unwrap_or((host, None))
}

/// Name or address of a host, as certificates have it: an address of IPv6 without its brackets.
pub(super) fn name_of(host: &str) -> &str {
    let name = parted(host).0;
    name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)
}

pub(super) fn signing_of(text: &str) -> Result<Signing, RunError> {
    match text {
        "unsigned" => Ok(Signing::Unsigned),
        "signed" => Ok(Signing::Signed),
        "chunked" => Ok(Signing::Chunked),
        "trailer" => Ok(Signing::Trailer),
        _ => Err(wrong(
            "--signing",
            format!("{text:?} is none of unsigned, signed, chunked, trailer"),
        )),
    }
}

pub(super) fn verify_of(text: &str) -> Result<Verify, RunError> {
    match text {
        "all" => return Ok(Verify::All),
        "none" => return Ok(Verify::None),
        _ => {}
    }
    let many = text.strip_prefix("1/").and_then(|many| many.parse().ok());
    match many {
        Some(many) if many > 0 => Ok(Verify::OneIn(many)),
        _ => Err(wrong("--verify", format!("{text:?} is none of all, none, 1/100 and the like"))),
    }
}

/// Marks in the order of time. Each is one text, or two: a command line may part them.
pub(super) fn marks_of(texts: &[String]) -> Result<Vec<Mark>, RunError> {
    let mut marks = Vec::new();
    let mut texts = texts.iter();
    while let Some(text) = texts.next() {
        let is_time = !text.trim().contains(char::is_whitespace);
        marks.push(match texts.as_slice().first().filter(|_| is_time) {
            Some(what) => {
                texts.next();
                mark_of(&format!("{text} {what}"))?
            }
            None => mark_of(text)?,
        });
    }
    marks.sort_by_key(|mark| mark.at);
    Ok(marks)
}

/// `60s mark:text` or `60s exec:command`.
fn mark_of(text: &str) -> Result<Mark, RunError> {
    let refused = || {
        wrong("--at", format!("{text:?} is not like '60s mark:drive 3 pulled' or '60s exec:sync'"))
    };
    let (at, what) = text.trim().split_once(char::is_whitespace).ok_or_else(refused)?;
    let at = time("--at", Some(at), "")?;
    let (kind, what) = what.trim().split_once(':').ok_or_else(refused)?;
    let command = match kind {
        "mark" => None,
        "exec" => Some(what.to_owned()),
        _ => return Err(refused()),
    };
    Ok(Mark { at, text: what.to_owned(), command })
}

/// `0,2` or `4-7`.
pub(super) fn cpu_list(text: Option<&str>) -> Result<Vec<usize>, RunError> {
    let Some(text) = text else { return Ok(Vec::new()) };
    let refused = || wrong("--cpus", format!("{text:?} is no list of CPUs, as 0,2 or 4-7 are"));
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| refused())?;
        let last: usize = last.trim().parse().map_err(|_| refused())?;
        if first > last || last > 4096 {
            return Err(refused());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}
