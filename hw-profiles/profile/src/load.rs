//! Text to profile and back. Every refusal names the file, the line or field, and what is valid.
//!
//! Invariants: no more than `PROFILE_BYTES_MAX` is read; the version of the schema is judged
//! before any field, so that a newer file is not refused for a field we do not know.

use crate::error::ProfileError;
use crate::file::{Profile, SCHEMA};
use crate::validate::validate;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Larger files are no profiles.
pub const PROFILE_BYTES_MAX: u64 = 1 << 20;

impl Profile {
    /// Reads a file.
    ///
    /// # Errors
    /// Where the file cannot be read or is not a valid profile of this schema.
    pub fn load(file: &Path) -> Result<Self, ProfileError> {
        Self::parse(file, &read(file)?)
    }

    /// Reads the text of a file; `file` is for messages only.
    ///
    /// # Errors
    /// Where the text is not a valid profile of this schema.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ProfileError> {
        check_schema(file, text)?;
        let profile: Self = toml::from_str(text).map_err(|error| bad_field(file, text, &error))?;
        validate(&profile).map_err(|problem| ProfileError::Invalid {
            file: file.to_owned(),
            field: problem.field,
            found: problem.found,
            expected: problem.expected,
        })?;
        Ok(profile)
    }

    /// The file's text.
    ///
    /// # Errors
    /// A number above `i64::MAX`, which no valid profile has.
    pub fn to_toml(&self) -> Result<String, ProfileError> {
        Ok(toml::to_string(self)?)
    }
}

/// Reads a text that somebody else may have made huge.
pub(crate) fn read(file: &Path) -> Result<String, ProfileError> {
    let unreadable = |source| ProfileError::Unreadable { file: file.to_owned(), source };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(PROFILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PROFILE_BYTES_MAX {
        return Err(ProfileError::TooLarge { file: file.to_owned(), bytes_max: PROFILE_BYTES_MAX });
    }
    String::from_utf8(bytes).map_err(|_| ProfileError::NotToml {
        file: file.to_owned(),
        line: 1,
        reason: "the file is not UTF-8 text".to_owned(),
    })
}

#[derive(Deserialize)]
struct SchemaOnly {
    schema: Option<toml::Value>,
}

fn check_schema(file: &Path, text: &str) -> Result<(), ProfileError> {
    let only: SchemaOnly = toml::from_str(text).map_err(|error| not_toml(file, text, &error))?;
    let schema = only.schema;
    if schema == Some(toml::Value::Integer(i64::from(SCHEMA))) {
        return Ok(());
    }
    Err(ProfileError::Schema {
        file: file.to_owned(),
        found: schema.map_or_else(|| "(no `schema` line)".to_owned(), |value| value.to_string()),
        expected: SCHEMA,
    })
}

fn not_toml(file: &Path, text: &str, error: &toml::de::Error) -> ProfileError {
    let (line, _) = locate(text, start_of(error));
    let reason = error.message().to_owned();
    ProfileError::NotToml { file: file.to_owned(), line, reason }
}

pub(crate) fn bad_field(file: &Path, text: &str, error: &toml::de::Error) -> ProfileError {
    let (line, field) = locate(text, start_of(error));
    let field = if field.is_empty() { "(file)".to_owned() } else { field };
    ProfileError::BadField {
        file: file.to_owned(),
        line,
        field,
        reason: error.message().to_owned(),
    }
}

fn start_of(error: &toml::de::Error) -> usize {
    error.span().map_or(0, |span| span.start)
}

/// The line (1-based) of a place in the text, and the section and key that hold it. The parser
/// knows the path of the key but does not tell.
fn locate(text: &str, offset: usize) -> (usize, String) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let (mut section, mut key) = ("", "");
    for candidate in text.lines().take(line) {
        let candidate = candidate.trim_start();
        if let Some(rest) = candidate.strip_prefix('[') {
            let name = rest.trim_start_matches('[').split(']').next().unwrap_or("");
            (section, key) = (name.trim(), "");
        } else if let Some((name, _)) = candidate.split_once('=')
            && is_bare_key(name.trim())
        {
            key = name.trim();
        }
    }
    let parted = if section.is_empty() || key.is_empty() { "" } else { "." };
    (line, format!("{section}{parted}{key}"))
}

fn is_bare_key(name: &str) -> bool {
    let fine = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !name.is_empty() && name.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CpuList;
    use crate::testing::FakeRoot;

    const SMALL: &str = "\
schema = 1

[profile]
name = \"small\"
source = \"manual\"
created = \"2026-11-30\"
";

    fn refusal(text: &str) -> String {
        Profile::parse(Path::new("p.toml"), text).unwrap_err().to_string()
    }

    #[test]
    fn a_profile_survives_writing_and_reading() {
        let text = format!(
            "{SMALL}
[layout]
shard_cpus = \"0-3\"
control_cpus = \"4\"
[[layout.drive]]
wwid = \"eui.01\"
shard = 3
[runtime]
ring_entries = 512
[os]
scheduler = \"none\"
[[class]]
name = \"fast\"
model = \"Fast SSD\"
capacity_bytes = 3_840_755_982_336
[class.measured]
date = \"2026-11-30\"
method = \"quick\"
seconds = 60
read_latency_us_p50 = 81.5
[class.budget]
split_bytes = 131072
background_share = 0.25
[[device]]
wwid = \"eui.01\"
class = \"fast\"
"
        );
        let profile = Profile::parse(Path::new("p.toml"), &text).unwrap();
        assert_eq!(profile.layout.shard_cpus.as_ref().map(CpuList::len), Some(4));
        assert_eq!(profile.class[0].budget.split_bytes, Some(131_072));
        let written = profile.to_toml().unwrap();
        assert!(!written.contains("published"), "{written}");
        assert_eq!(Profile::parse(Path::new("q.toml"), &written).unwrap(), profile);
    }

    #[test]
    fn another_schema_is_named_before_any_field() {
        let newer = "schema = 2\nnew_field = 1\n";
        assert_eq!(refusal(newer), "p.toml has schema 2; this build reads schema 1");
        assert!(refusal("[profile]\n").contains("(no `schema` line)"));
        assert!(refusal("schema = \"1\"\n").contains("has schema \"1\""));
    }

    #[test]
    fn an_unknown_field_is_named_with_the_known_ones() {
        let said = refusal(&format!("{SMALL}[runtime]\nring_entires = 8\n"));
        assert!(said.starts_with("p.toml, line 8, `runtime.ring_entires`"), "{said}");
        assert!(said.contains("ring_entries"), "{said}");
    }

    #[test]
    fn a_wrong_type_or_word_is_named_with_its_place() {
        let class = "[[class]]\nname = \"a\"\nmodel = \"b\"\n[class.budget]\n";
        let said = refusal(&format!("{SMALL}{class}read_queue_depth_max = \"deep\"\n"));
        assert!(said.contains("line 11, `class.budget.read_queue_depth_max`"), "{said}");
        let said = refusal(&SMALL.replace("manual", "guessed"));
        assert!(said.contains("`profile.source`") && said.contains("preset"), "{said}");
        let said = refusal(&format!("{SMALL}[layout]\nshard_cpus = \"3-1\"\n"));
        assert!(said.contains("`layout.shard_cpus`") && said.contains("0-3,8"), "{said}");
    }

    #[test]
    fn what_is_no_toml_is_named_with_its_line() {
        let said = refusal("schema = 1\nb = = 2\nc = 3\n");
        assert!(said.starts_with("p.toml, line 2: "), "{said}");
    }

    #[test]
    fn files_are_bounded_and_missing_ones_named() {
        let fake = FakeRoot::new();
        fake.file("/ok.toml", SMALL);
        fake.file("/big.toml", &"#".repeat(PROFILE_BYTES_MAX as usize + 1));
        assert_eq!(Profile::load(&fake.path("/ok.toml")).unwrap().profile.name, "small");
        let large = Profile::load(&fake.path("/big.toml"));
        assert!(matches!(large, Err(ProfileError::TooLarge { .. })), "{large:?}");
        let absent = Profile::load(&fake.path("/none.toml")).unwrap_err().to_string();
        assert!(absent.contains("none.toml cannot be read"), "{absent}");
    }
}
