//! The table of settings. Flags, environment, file, defaults, `config show`, the reference in
//! docs/ and every validation are driven by it: a setting exists by standing here.

use super::values;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// What a setting holds and which values are right.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// List of socket addresses, at least one.
    Addresses,
    /// One text that passes the check.
    Text(fn(&str) -> Result<(), String>),
    /// List of texts that pass the check.
    List(fn(&str) -> Result<(), String>),
    /// Bytes: least, most, and what they must be a multiple of.
    Size(u64, u64, u64),
    /// Time: least and most, in milliseconds.
    Time(u64, u64),
    /// Number: least and most.
    Count(u64, u64),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// true or false.
    Switch,
}

/// A checked value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// The server chooses.
    Auto,
    /// A text or a word.
    Text(String),
    /// Texts.
    List(Vec<String>),
    /// Socket addresses.
    Addresses(Vec<SocketAddr>),
    /// A size.
    Bytes(u64),
    /// A time.
    Time(Duration),
    /// A number.
    Count(u64),
    /// true or false.
    Switch(bool),
}

/// As TOML, so that `config show` prints a file that can be read back.
impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => formatter.write_str("\"auto\""),
            Self::Text(text) => write!(formatter, "{}", toml::Value::from(text.as_str())),
            Self::List(list) => write!(formatter, "{}", toml::Value::from(list.clone())),
            Self::Addresses(list) => {
                let list: Vec<String> = list.iter().map(SocketAddr::to_string).collect();
                write!(formatter, "{}", toml::Value::from(list))
            }
            Self::Bytes(bytes) => write!(formatter, "\"{}\"", values::show_size(*bytes)),
            Self::Time(time) => write!(formatter, "\"{}\"", values::show_duration(*time)),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Switch(switch) => write!(formatter, "{switch}"),
        }
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Setting {
    /// Key in the file, with its section.
    pub name: &'static str,
    /// Flag or argument of `basalt server`; empty if there is none.
    pub flag: &'static str,
    /// Default, as one would write it; `auto` means that `auto` is also a right value.
    pub default: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// One sentence.
    pub help: &'static str,
}

impl Setting {
    /// Its environment variable.
    pub fn variable(&self) -> String {
        format!("BASALT_{}", self.name.replace('.', "__").to_ascii_uppercase())
    }

    /// Whether it takes several values; in the environment they are parted by commas.
    pub fn is_list(&self) -> bool {
        matches!(self.kind, Kind::Addresses | Kind::List(_))
    }

    /// Default as a list of raw texts.
    pub fn default_texts(&self) -> Vec<String> {
        if self.default.is_empty() { Vec::new() } else { vec![self.default.to_owned()] }
    }

    /// Checks raw texts: any number for a list, exactly one otherwise.
    pub fn parse(&self, texts: &[String]) -> Result<Value, String> {
        match self.kind {
            Kind::Addresses => return parse_addresses(texts),
            Kind::List(check) => return parse_list(texts, check),
            _ => {}
        }
        let [text] = texts else { return Err("exactly one value is needed".to_owned()) };
        if self.default == "auto" && text == "auto" && !matches!(self.kind, Kind::Choice(_)) {
            return Ok(Value::Auto);
        }
        self.parse_one(text)
    }

    fn parse_one(&self, text: &str) -> Result<Value, String> {
        match self.kind {
            Kind::Text(check) => check(text).map(|()| Value::Text(text.to_owned())),
            Kind::Size(least, most, multiple) => {
                let bytes = values::size(text)?;
                within(bytes, least, most, values::show_size)?;
                if !bytes.is_multiple_of(multiple) {
                    let multiple = values::show_size(multiple);
                    return Err(format!("`{text}` is not a multiple of {multiple}"));
                }
                Ok(Value::Bytes(bytes))
            }
            Kind::Time(least, most) => {
                let time = values::duration(text)?;
                let show = |millis| values::show_duration(Duration::from_millis(millis));
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                within(millis, least, most, show)?;
                Ok(Value::Time(time))
            }
            Kind::Count(least, most) => {
                let count = values::count(text)?;
                within(count, least, most, |count| count.to_string())?;
                Ok(Value::Count(count))
            }
            Kind::Choice(words) if words.contains(&text) => Ok(Value::Text(text.to_owned())),
            Kind::Choice(words) => Err(format!("`{text}` is not one of {}", words.join(", "))),
            Kind::Switch => values::switch(text).map(Value::Switch),
            Kind::Addresses | Kind::List(_) => unreachable!("lists are parsed before"),
        }
    }

    /// What it accepts, for the reference.
    pub fn accepts(&self) -> String {
        let size = values::show_size;
        let time = |millis| values::show_duration(Duration::from_millis(millis));
        let auto = if self.default == "auto" { "`auto` or " } else { "" };
        match self.kind {
            Kind::Addresses => "addresses".to_owned(),
            Kind::Text(_) => format!("{auto}text"),
            Kind::List(_) => "texts".to_owned(),
            Kind::Size(least, most, 1) => format!("{auto}size, {} to {}", size(least), size(most)),
            Kind::Size(least, most, multiple) => {
                let (least, most, multiple) = (size(least), size(most), size(multiple));
                format!("{auto}size, {least} to {most} in steps of {multiple}")
            }
            Kind::Time(least, most) => format!("{auto}time, {} to {}", time(least), time(most)),
            Kind::Count(least, most) => format!("{auto}number, {least} to {most}"),
            Kind::Choice(words) => words.join(", "),
            Kind::Switch => "true, false".to_owned(),
        }
    }
}

fn within(value: u64, least: u64, most: u64, show: impl Fn(u64) -> String) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("{} is outside {} to {}", show(value), show(least), show(most)))
}

fn parse_addresses(texts: &[String]) -> Result<Value, String> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for text in texts {
        let address = values::address(text)?;
        // Port 0 means any free port, so it may stand twice.
        if address.port() != 0 && addresses.contains(&address) {
            return Err(format!("{address} is given twice"));
        }
        addresses.push(address);
    }
    if addresses.is_empty() {
        return Err("at least one address is needed".to_owned());
    }
    Ok(Value::Addresses(addresses))
}

fn parse_list(texts: &[String], check: fn(&str) -> Result<(), String>) -> Result<Value, String> {
    for text in texts {
        check(text)?;
    }
    Ok(Value::List(texts.to_vec()))
}

/// The setting of that name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Every setting, in the order of the reference.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "address",
        flag: "--address",
        default: "127.0.0.1:9000",
        kind: Kind::Addresses,
        help: "Addresses to listen on, such as `127.0.0.1:9000` or `[::1]:9000`.",
    },
    Setting {
        name: "region",
        flag: "--region",
        default: "us-east-1",
        kind: Kind::Text(values::region),
        help: "Region that clients must sign for.",
    },
    Setting {
        name: "domain",
        flag: "--domain",
        default: "",
        kind: Kind::List(values::domain),
        help: "Domains for virtual-host requests: `BUCKET.DOMAIN` names the bucket.",
    },
    Setting {
        name: "drives",
        flag: "DRIVE",
        default: "",
        kind: Kind::List(values::drive),
        help: "Directories, files or block devices of the pool; `{1...6}` is expanded.",
    },
    Setting {
        name: "parity",
        flag: "--parity",
        default: "auto",
        kind: Kind::Count(0, 32),
        help: "Parity fragments per stripe; `auto` goes by the size of the set.",
    },
    Setting {
        name: "set_size",
        flag: "--set-size",
        default: "auto",
        kind: Kind::Count(1, 128),
        help: "Drives per erasure set; `auto` takes the best size that divides the drives.",
    },
    Setting {
        name: "drive_size",
        flag: "--drive-size",
        default: "auto",
        kind: Kind::Size(64 * MIB, 1024 * TIB, MIB),
        help: "Most that one directory or file drive takes, fixed when it is formatted; \
               `auto` is its share of the file system less 10 %.",
    },
    Setting {
        name: "memory",
        flag: "--memory",
        default: "auto",
        kind: Kind::Size(256 * MIB, 64 * TIB, 1),
        help: "Memory the server may use in all; `auto` is a quarter of RAM (or of the \
               container's limit), at least 256MiB.",
    },
    Setting {
        name: "shards",
        flag: "--shards",
        default: "auto",
        kind: Kind::Count(1, 1024),
        help: "Threads that own the drives; `auto` goes by the profile, else by CPUs and drives.",
    },
    Setting {
        name: "gateways",
        flag: "--gateways",
        default: "auto",
        kind: Kind::Count(1, 1024),
        help: "Threads that serve S3; `auto` goes by the profile, else by CPUs.",
    },
    Setting {
        name: "driver",
        flag: "--driver",
        default: "auto",
        kind: Kind::Choice(&["auto", "uring", "threads"]),
        help: "Drive I/O: io_uring or a pool of threads; `auto` takes io_uring where the \
               kernel permits it.",
    },
    Setting {
        name: "profile",
        flag: "--profile",
        default: "auto",
        kind: Kind::Text(values::profile),
        help: "Hardware profile to obey: a preset's name, a file (it holds a `/` or ends in \
               `.toml`), or `none`; `auto` takes the preset that fits.",
    },
    Setting {
        name: "log.level",
        flag: "--log-level",
        default: "info",
        kind: Kind::Choice(crate::logging::Level::NAMES),
        help: "Least important events that are logged.",
    },
    Setting {
        name: "log.format",
        flag: "--log-format",
        default: "text",
        kind: Kind::Choice(&["text", "json"]),
        help: "Shape of a log line on stderr.",
    },
    Setting {
        name: "metrics.public",
        flag: "",
        default: "false",
        kind: Kind::Switch,
        help: "Serve `/-/metrics` and `/-/status` beyond the loopback too.",
    },
    Setting {
        name: "timeouts.header",
        flag: "",
        default: "10s",
        kind: Kind::Time(100, 600_000),
        help: "Time a client has to send the rest of a request's header.",
    },
    Setting {
        name: "timeouts.idle",
        flag: "",
        default: "60s",
        kind: Kind::Time(100, 3_600_000),
        help: "Time a connection may stay without a request, and a client take no byte of an \
               answer.",
    },
    Setting {
        name: "timeouts.drain",
        flag: "",
        default: "30s",
        kind: Kind::Time(0, 3_600_000),
        help: "Time that requests in work have to end after the first SIGTERM or SIGINT.",
    },
    Setting {
        name: "timeouts.drive_io",
        flag: "",
        default: "5s",
        kind: Kind::Time(10, 600_000),
        help: "Time after which an I/O that has not come back counts as failed.",
    },
    Setting {
        name: "limits.connections",
        flag: "",
        default: "10000",
        kind: Kind::Count(1, 10_000_000),
        help: "Open client connections; further ones get 503 SlowDown.",
    },
    Setting {
        name: "limits.requests",
        flag: "",
        default: "auto",
        kind: Kind::Count(1, 10_000_000),
        help: "Requests in work at once; further ones get 503 SlowDown. `auto` leaves it to the \
               memory budget.",
    },
    Setting {
        name: "storage.inline_bytes",
        flag: "",
        default: "16KiB",
        kind: Kind::Size(0, 256 * KIB, 1),
        help: "Objects up to this size are kept inside their log record.",
    },
    Setting {
        name: "storage.cell_bytes",
        flag: "",
        default: "256KiB",
        kind: Kind::Size(4 * KIB, 4 * MIB, 4 * KIB),
        help: "One drive's piece of a stripe, for objects written from now on.",
    },
    Setting {
        name: "storage.segment_bytes",
        flag: "",
        default: "auto",
        kind: Kind::Size(MIB, GIB, MIB),
        help: "Allocation unit of a drive, fixed when it is formatted; `auto` goes by its size.",
    },
    Setting {
        name: "storage.memtable_bytes",
        flag: "",
        default: "auto",
        kind: Kind::Size(64 * KIB, GIB, 1),
        help: "Index entries of a drive kept in memory before they are written as a run; \
               `auto` goes by memory.",
    },
    Setting {
        name: "scrub.interval",
        flag: "",
        default: "720h",
        kind: Kind::Time(0, 31_536_000_000),
        help: "Every drive is read through for rot this often; `0ms` for never.",
    },
    Setting {
        name: "scrub.bytes_per_second",
        flag: "",
        default: "16MiB",
        kind: Kind::Size(64 * KIB, 16 * GIB, 1),
        help: "How fast a scrub reads one drive; slower while clients keep the drive busy.",
    },
];

/// The table as Markdown. docs/configuration.md holds the same rows, checked by a test.
pub fn reference_rows() -> Vec<String> {
    let row = |setting: &Setting| {
        let quoted = |text: &str| match text {
            "" => "-".to_owned(),
            text => format!("`{text}`"),
        };
        let default = match setting.default {
            "" => "none".to_owned(),
            text => format!("`{text}`"),
        };
        format!(
            "| `{}` | `{}` | {} | {default} | {} | {} |",
            setting.name,
            setting.variable(),
            quoted(setting.flag),
            setting.accepts(),
            setting.help
        )
    };
    SETTINGS.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_default_is_right_and_names_are_unique() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(setting.parse(&setting.default_texts()).is_ok(), "{}", setting.name);
            assert!(names.insert(setting.name), "{} stands twice", setting.name);
            assert!(setting.help.ends_with('.'), "{}", setting.name);
        }
    }

    #[test]
    fn the_reference_in_docs_is_complete() {
        let page = include_str!("../../docs/configuration.md");
        let found: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let expected = reference_rows();
        assert_eq!(found, expected, "write the rows of `basalt config reference` to the page");
    }

    #[test]
    fn limits_and_steps_are_checked() {
        let parse = |name: &str, text: &str| find(name).unwrap().parse(&[text.to_owned()]);
        assert_eq!(parse("parity", "2"), Ok(Value::Count(2)));
        assert_eq!(parse("parity", "auto"), Ok(Value::Auto));
        assert!(parse("parity", "33").is_err());
        assert_eq!(parse("storage.cell_bytes", "64KiB"), Ok(Value::Bytes(64 << 10)));
        assert!(parse("storage.cell_bytes", "5000").is_err());
        assert!(parse("storage.cell_bytes", "auto").is_err());
        assert!(parse("timeouts.drain", "2h").is_err());
        assert_eq!(parse("driver", "auto"), Ok(Value::Text("auto".to_owned())));
        assert!(parse("driver", "spdk").is_err());
        assert_eq!(parse("profile", "auto"), Ok(Value::Auto));
        assert_eq!(parse("profile", "none"), Ok(Value::Text("none".to_owned())));
        let twice = ["[::1]:9000".to_owned(), "[::1]:9000".to_owned()];
        assert!(find("address").unwrap().parse(&twice).is_err());
        assert!(find("address").unwrap().parse(&[]).is_err());
    }

    #[test]
    fn variables_are_nested_by_two_underscores() {
        assert_eq!(find("drive_size").unwrap().variable(), "BASALT_DRIVE_SIZE");
        assert_eq!(find("timeouts.drive_io").unwrap().variable(), "BASALT_TIMEOUTS__DRIVE_IO");
    }
}
