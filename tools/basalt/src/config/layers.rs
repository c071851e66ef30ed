//! Layering: which source a value comes from, and every complaint about names and values.

use super::settings::{SETTINGS, Setting, Value, find};
use super::{OTHER_VARIABLES, suggest};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line; the flag as it is written.
    Flag(&'static str),
    /// The environment; the name of the variable.
    Environment(String),
    /// The configuration file.
    File(PathBuf),
    /// `--dev`.
    Dev,
    /// Nobody said otherwise.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) if flag.starts_with("--") => write!(formatter, "flag {flag}"),
            Self::Flag(argument) => write!(formatter, "argument {argument}"),
            Self::Environment(name) => write!(formatter, "environment {name}"),
            Self::File(path) => write!(formatter, "file {}", path.display()),
            Self::Dev => formatter.write_str("--dev"),
            Self::Default => formatter.write_str("default"),
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key of the file that no setting has.
    #[error("unknown key `{key}` in {}{hint}", .file.display())]
    UnknownKey {
        /// With its section.
        key: String,
        /// The file.
        file: PathBuf,
        /// Empty, or the nearest name.
        hint: String,
    },
    /// A variable of our prefix that means nothing.
    #[error("unknown environment variable {name}{hint}")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// Empty, or the nearest name.
        hint: String,
    },
    /// A secret where everybody reads it.
    #[error(
        "`{key}` in {} looks like a secret, and secrets do not stand in the file: use \
         BASALT_ROOT_USER and BASALT_ROOT_PASSWORD, or their _FILE variants",
        .file.display()
    )]
    SecretInFile {
        /// With its section.
        key: String,
        /// The file.
        file: PathBuf,
    },
    /// A value that the setting does not take.
    #[error("`{key}` ({origin}): {reason}")]
    BadValue {
        /// The setting.
        key: &'static str,
        /// Where it stands.
        origin: Origin,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}, line {line}: {reason}", .file.display())]
    NotToml {
        /// The file.
        file: PathBuf,
        /// 1-based.
        line: usize,
        /// From the parser; never the line itself, which may hold anything.
        reason: String,
    },
    /// The file cannot be read.
    #[error("the configuration file {} cannot be read: {source}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A variable is not UTF-8.
    #[error("the value of the environment variable {name} is not UTF-8")]
    NotText {
        /// The variable.
        name: String,
    },
    /// Two settings that do not go together.
    #[error("{0}")]
    Conflict(String),
}

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct FlagValue {
    /// Name of the setting.
    pub name: &'static str,
    /// Its values, as typed.
    pub values: Vec<String>,
}

/// Everything that is not a default.
#[derive(Debug, Default)]
pub struct Sources {
    /// From the command line.
    pub flags: Vec<FlagValue>,
    /// Variables whose name starts with `BASALT_`.
    pub environment: Vec<(String, String)>,
    /// Path and content of the file.
    pub file: Option<(PathBuf, String)>,
    /// Defaults of `--dev`.
    pub dev: Vec<(&'static str, String)>,
}

/// A resolved setting.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its row.
    pub setting: &'static Setting,
    /// Its value.
    pub value: Value,
    /// Where the value comes from.
    pub origin: Origin,
}

/// Every setting, resolved and checked. The getters panic on a name or type that the table does
/// not have: that is a mistake in this program, never in its input.
#[derive(Debug)]
pub struct Config {
    entries: BTreeMap<&'static str, Entry>,
}

impl Config {
    /// Entries in the order of the table.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        SETTINGS.iter().map(|setting| self.entry(setting.name))
    }

    /// The entry of that name.
    pub fn entry(&self, name: &str) -> &Entry {
        self.entries.get(name).unwrap_or_else(|| panic!("no setting `{name}`"))
    }

    /// A size; None is `auto`.
    pub fn bytes(&self, name: &str) -> Option<u64> {
        match self.entry(name).value {
            Value::Auto => None,
            Value::Bytes(bytes) => Some(bytes),
            ref other => panic!("`{name}` is no size but {other}"),
        }
    }

    /// A number; None is `auto`.
    pub fn count(&self, name: &str) -> Option<u64> {
        match self.entry(name).value {
            Value::Auto => None,
            Value::Count(count) => Some(count),
            ref other => panic!("`{name}` is no number but {other}"),
        }
    }

    /// A time.
    pub fn time(&self, name: &str) -> Duration {
        match self.entry(name).value {
            Value::Time(time) => time,
            ref other => panic!("`{name}` is no time but {other}"),
        }
    }

    /// A text or word.
    pub fn text(&self, name: &str) -> &str {
        match &self.entry(name).value {
            Value::Text(text) => text,
            other => panic!("`{name}` is no text but {other}"),
        }
    }

    /// A text or word that may be left to the server; None is `auto`.
    pub fn text_unless_auto(&self, name: &str) -> Option<&str> {
        match &self.entry(name).value {
            Value::Auto => None,
            Value::Text(text) => Some(text),
            other => panic!("`{name}` is no text but {other}"),
        }
    }

    /// Texts.
    pub fn list(&self, name: &str) -> &[String] {
        match &self.entry(name).value {
            Value::List(list) => list,
            other => panic!("`{name}` is no list but {other}"),
        }
    }

    /// true or false.
    pub fn switch(&self, name: &str) -> bool {
        match self.entry(name).value {
            Value::Switch(switch) => switch,
            ref other => panic!("`{name}` is no switch but {other}"),
        }
    }

    /// The addresses to listen on.
    pub fn addresses(&self) -> &[SocketAddr] {
        match &self.entry("address").value {
            Value::Addresses(list) => list,
            other => panic!("`address` is no list of addresses but {other}"),
        }
    }
}

/// Resolves every setting, and finds every problem before it gives up.
pub fn resolve(sources: &Sources) -> Result<Config, Vec<ConfigError>> {
    let mut problems = Vec::new();
    let from_file = match &sources.file {
        Some((path, content)) => read_toml(path, content, &mut problems),
        None => BTreeMap::new(),
    };
    for (name, _) in &sources.environment {
        check_variable(name, &mut problems);
    }
    let mut entries = BTreeMap::new();
    for setting in SETTINGS {
        let (origin, texts) = pick(setting, sources, &from_file);
        match setting.parse(&texts) {
            Ok(value) => {
                entries.insert(setting.name, Entry { setting, value, origin });
            }
            Err(reason) => {
                problems.push(ConfigError::BadValue { key: setting.name, origin, reason });
            }
        }
    }
    if problems.is_empty() {
        let config = Config { entries };
        check_together(&config, &mut problems);
        if problems.is_empty() {
            return Ok(config);
        }
    }
    Err(problems)
}

/// The texts of the strongest layer that has the setting. An empty variable counts as unset,
/// because that is how service files leave one out.
fn pick(
    setting: &'static Setting,
    sources: &Sources,
    from_file: &BTreeMap<&'static str, Vec<String>>,
) -> (Origin, Vec<String>) {
    if let Some(flag) = sources.flags.iter().find(|flag| flag.name == setting.name) {
        return (Origin::Flag(setting.flag), flag.values.clone());
    }
    let variable = setting.variable();
    let environment = sources.environment.iter().find(|(name, _)| *name == variable);
    if let Some((_, value)) = environment.filter(|(_, value)| !value.is_empty()) {
        return (Origin::Environment(variable), split(setting, value));
    }
    if let (Some(texts), Some((path, _))) = (from_file.get(setting.name), &sources.file) {
        return (Origin::File(path.clone()), texts.clone());
    }
    if let Some((_, value)) = sources.dev.iter().find(|(name, _)| *name == setting.name) {
        return (Origin::Dev, split(setting, value));
    }
    (Origin::Default, setting.default_texts())
}

fn split(setting: &Setting, value: &str) -> Vec<String> {
    if setting.is_list() {
        value.split(',').map(|part| part.trim().to_owned()).collect()
    } else {
        vec![value.to_owned()]
    }
}

fn check_variable(name: &str, problems: &mut Vec<ConfigError>) {
    let mut known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    known.extend(OTHER_VARIABLES.iter().map(|variable| (*variable).to_owned()));
    if !known.iter().any(|variable| variable == name) {
        let hint = hint(suggest::nearest(name, known.iter().map(String::as_str)));
        problems.push(ConfigError::UnknownVariable { name: name.to_owned(), hint });
    }
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!("; did you mean `{name}`?"))
}

fn read_toml(
    path: &Path,
    content: &str,
    problems: &mut Vec<ConfigError>,
) -> BTreeMap<&'static str, Vec<String>> {
    let mut found = BTreeMap::new();
    match toml::from_str::<toml::Table>(content) {
        Ok(table) => {
            let mut reader = FileReader { path, found: &mut found, problems };
            reader.table("", &table);
        }
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let before = content.get(..start).unwrap_or("");
            problems.push(ConfigError::NotToml {
                file: path.to_owned(),
                line: before.matches('\n').count() + 1,
                reason: error.message().to_owned(),
            });
        }
    }
    found
}

struct FileReader<'a> {
    path: &'a Path,
    found: &'a mut BTreeMap<&'static str, Vec<String>>,
    problems: &'a mut Vec<ConfigError>,
}

impl FileReader<'_> {
    fn table(&mut self, prefix: &str, table: &toml::Table) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            match (find(&key), value) {
                (Some(setting), value) => self.setting(setting, value),
                (None, toml::Value::Table(inner)) if !inner.is_empty() || is_section(&key) => {
                    self.table(&format!("{key}."), inner);
                }
                (None, _) => self.unknown(key),
            }
        }
    }

    fn setting(&mut self, setting: &'static Setting, value: &toml::Value) {
        let texts: Option<Vec<String>> = match value {
            toml::Value::Array(values) => values.iter().map(scalar).collect(),
            value => scalar(value).map(|text| vec![text]),
        };
        match texts {
            Some(texts) => {
                self.found.insert(setting.name, texts);
            }
            None => self.problems.push(ConfigError::BadValue {
                key: setting.name,
                origin: Origin::File(self.path.to_owned()),
                reason: "a text, a number, true or false is needed, or a list of them".to_owned(),
            }),
        }
    }

    fn unknown(&mut self, key: String) {
        let file = self.path.to_owned();
        let lower = key.to_ascii_lowercase();
        let secret = ["password", "secret", "root_user"].iter().any(|word| lower.contains(word));
        self.problems.push(if secret {
            ConfigError::SecretInFile { key, file }
        } else {
            let names = SETTINGS.iter().map(|setting| setting.name);
            let hint = hint(suggest::nearest(&key, names));
            ConfigError::UnknownKey { key, file, hint }
        });
    }
}

/// Whether settings stand in a section of this name, which may be empty.
fn is_section(name: &str) -> bool {
    let inside = |setting: &Setting| setting.name.strip_prefix(name)?.strip_prefix('.').map(|_| ());
    SETTINGS.iter().any(|setting| inside(setting).is_some())
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        _ => None,
    }
}

fn check_together(config: &Config, problems: &mut Vec<ConfigError>) {
    let mut refuse = |text: String| problems.push(ConfigError::Conflict(text));
    if let (Some(parity), Some(set_size)) = (config.count("parity"), config.count("set_size"))
        && parity * 2 > set_size
    {
        refuse(format!(
            "`parity` {parity} is more than half of `set_size` {set_size}: a set has at least \
             as many data as parity fragments"
        ));
    }
    let cell = config.bytes("storage.cell_bytes");
    if config.bytes("storage.inline_bytes") > cell {
        refuse("`storage.inline_bytes` is more than `storage.cell_bytes`".to_owned());
    }
    let segment = config.bytes("storage.segment_bytes");
    if segment.is_some() && cell > segment {
        refuse("`storage.cell_bytes` is more than `storage.segment_bytes`".to_owned());
    }
}

#[cfg(test)]
#[path = "layers_tests.rs"]
mod tests;
