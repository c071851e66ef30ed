//! Texts to values: sizes, durations, addresses, names. Each refusal says what would be right.

use hw_profile::PRESETS;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("tib", 1 << 40),
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("tb", 1_000_000_000_000),
    ("gb", 1_000_000_000),
    ("mb", 1_000_000),
    ("kb", 1_000),
    ("b", 1),
    ("", 1),
];

const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Splits `512MiB` into 512 and `mib`. No sign, no fraction.
fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start().to_ascii_lowercase()))
}

/// A size such as `512MiB`, `10GB` or `4096`.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; write whole units such as 512MiB or 10GB");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    number.checked_mul(*factor).ok_or_else(|| format!("`{text}` is more than 64 bits hold"))
}

/// A duration such as `30s`, `500ms` or `2m`. A bare number is refused: seconds or not?
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration; write it with a unit, such as 30s or 500ms");
    let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
    let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    let millis =
        number.checked_mul(*factor).ok_or_else(|| format!("`{text}` is too long a time"))?;
    Ok(Duration::from_millis(millis))
}

/// `IP:PORT`, `[IPv6]:PORT`, `localhost:PORT`, or `:PORT` for every IPv4 address.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong = || {
        format!(
            "`{text}` is not an address; write IP:PORT, such as 127.0.0.1:9000 or [::1]:9000 \
             (0.0.0.0 or [::] for every interface)"
        )
    };
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    match host {
        "" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)),
        "localhost" => Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        _ => Err(wrong()),
    }
}

/// A whole number.
pub fn count(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("`{text}` is not a whole number"))
}

/// `true` or `false`, and the words people write for them.
pub fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(format!("`{text}` is neither true nor false")),
    }
}

/// A region: what a SigV4 credential scope can carry.
pub fn region(text: &str) -> Result<(), String> {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(fine) {
        return Ok(());
    }
    Err(format!("`{text}` is not a region; use letters, digits and dashes, such as us-east-1"))
}

/// A DNS name, as the suffix of virtual-host requests.
pub fn domain(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = text.parse::<IpAddr>().is_ok();
    if text.len() <= 253 && !is_address && text.split('.').all(label) {
        return Ok(());
    }
    Err(format!("`{text}` is not a domain name, such as s3.example.com (no port, no wildcard)"))
}

/// A drive argument; `{1...6}` is expanded later.
pub fn drive(text: &str) -> Result<(), String> {
    if text.is_empty() || text.contains('\0') {
        return Err("a drive is a path, and this one is empty or holds a NUL".to_owned());
    }
    if text.contains("://") {
        return Err(format!("`{text}` is a URL; a drive is a path of this machine"));
    }
    Ok(())
}

/// Without any profile the server keeps to its defaults.
pub const NO_PROFILE: &str = "none";

/// A hardware profile: `none`, a preset or a file, whose content is for whoever reads it.
pub fn profile(text: &str) -> Result<(), String> {
    let is_preset = PRESETS.iter().any(|preset| preset.name == text);
    if text == NO_PROFILE || is_preset || is_profile_file(text) {
        return Ok(());
    }
    let known: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
    Err(format!(
        "there is no preset `{text}`; there are {}; a file holds a `/` or ends in .toml, and \
         `none` is no profile at all",
        known.join(", ")
    ))
}

/// Whether a profile is meant as a file: whatever files lie about, a bare word never is one.
pub fn is_profile_file(text: &str) -> bool {
    let is_toml = Path::new(text).extension().is_some_and(|ending| ending == "toml");
    (is_toml || text.contains('/')) && !text.contains('\0')
}

/// The shortest exact text of a size: `16KiB`, `1704MiB`, `1000`.
pub fn show_size(bytes: u64) -> String {
    let unit = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1u64 << *shift));
    match unit {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => bytes.to_string(),
    }
}

/// The shortest exact text of a duration: `30s`, `1500ms`, `2m`.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let unit = [("h", 3_600_000), ("m", 60_000), ("s", 1_000)]
        .into_iter()
        .find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
    match unit {
        Some((name, factor)) => format!("{}{name}", millis / factor),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let right = [("0", 0), ("4096", 4096), ("512MiB", 512 << 20), ("16 kib", 16 << 10)];
        for (text, bytes) in right {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(size("10GB"), Ok(10_000_000_000));
        for wrong in
            ["", "MiB", "1.5GiB", "-1", "512M", "1 2", "99999999999999999999", "20000000TiB"]
        {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["30", "s", "1.5s", "-1s", "18446744073709551615h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shown_values_parse_back() {
        for bytes in [0, 1, 1000, 1024, 16 << 10, 1704 << 20, 3 << 40, u64::MAX] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
        for millis in [0, 1, 999, 1000, 1500, 60_000, 90_000, 7_200_000] {
            let duration_of = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(duration_of)), Ok(duration_of));
        }
        assert_eq!(show_size(1704 << 20), "1704MiB");
    }

    #[test]
    fn addresses() {
        let right = [
            ("127.0.0.1:9000", "127.0.0.1:9000"),
            ("[::1]:9000", "[::1]:9000"),
            (":9000", "0.0.0.0:9000"),
            ("localhost:80", "127.0.0.1:80"),
        ];
        for (text, expected) in right {
            assert_eq!(address(text).unwrap().to_string(), expected);
        }
        for wrong in ["9000", "::1:9000:x", "127.0.0.1", "127.0.0.1:99999", "example.com:9000", ""]
        {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names() {
        assert!(domain("s3.example.com").is_ok() && domain("localhost").is_ok());
        for wrong in ["", "a..b", "-a.b", "s3.example.com:9000", "10.0.0.1", "*.example.com"] {
            assert!(domain(wrong).is_err(), "{wrong}");
        }
        assert!(region("us-east-1").is_ok());
        assert!(region("").is_err() && region("us/east").is_err());
        assert!(drive("/mnt/{1...6}").is_ok() && drive("http://host/mnt").is_err());
        for right in ["none", "generic", "aws-i4i", "./generic", "/etc/basalt/lab", "lab.toml"] {
            assert_eq!(profile(right), Ok(()), "{right}");
        }
        for wrong in ["", "aws-i9", "lab", "/a\0.toml"] {
            assert!(profile(wrong).unwrap_err().contains("aws-i4i"), "{wrong}");
        }
        assert!(is_profile_file("./generic") && !is_profile_file("generic"));
        assert!(switch("Yes") == Ok(true) && switch("off") == Ok(false) && switch("2").is_err());
    }
}
