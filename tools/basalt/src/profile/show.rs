//! `basalt profile show`: a profile for people.
//!
//! Invariants: every field that a profile sets is shown under its own name, without a list of
//! fields here that could fall behind; sizes and rates have their unit beside the exact figure.

use super::arguments::ShowArguments;
use super::{Refused, choice, plain, refused};
use crate::{exit, output};
use hw_profile::{Profile, ProfileError, ProfileSource};
use toml::Value;

/// Sections in the order in which a person asks. `profile` and `source` are told otherwise.
const SECTIONS: [&str; 8] =
    ["machine", "numa", "nic", "layout", "runtime", "os", "class", "device"];
/// Fields that name a row; the first that it has stands in its head.
const TITLES: [&str; 3] = ["name", "wwid", "id"];
const INDENT: &str = "  ";

/// Runs it and returns the exit code.
pub(super) fn command(arguments: &ShowArguments) -> Result<u8, Refused> {
    let profile = choice::load(&arguments.profile)?;
    let shown = text(&profile, arguments.sources).map_err(|error| refused(&error))?;
    output::out(&plain(&shown));
    Ok(exit::OK)
}

fn text(profile: &Profile, with_sources: bool) -> Result<String, ProfileError> {
    let all = Value::try_from(profile)?;
    let header = &profile.profile;
    let mut text = format!("profile {}, {}\n", header.name, header.created);
    push(&mut text, 1, kind(header.source));
    if let Some(version) = &header.tool_version {
        push(&mut text, 1, &format!("written by basalt {version}"));
    }
    if let Some(fingerprint) = &header.fingerprint {
        push(&mut text, 1, &format!("fingerprint {fingerprint}"));
    }
    for line in header.notes.iter().flat_map(|notes| notes.lines()) {
        push(&mut text, 1, line);
    }
    for name in SECTIONS {
        if let Some(value) = all.get(name) {
            section(&mut text, 0, name, value);
        }
    }
    if with_sources {
        for source in &profile.source {
            push(&mut text, 0, &format!("source of {}", source.field));
            push(&mut text, 1, &source.figure);
            push(&mut text, 1, &format!("{} ({})", source.url, source.date));
        }
    } else if !profile.source.is_empty() {
        let count = profile.source.len();
        push(&mut text, 0, &format!("{count} sources of figures, shown by --sources"));
    }
    Ok(text)
}

fn kind(source: ProfileSource) -> &'static str {
    match source {
        ProfileSource::Probe => "probed: facts of a machine, nothing was measured",
        ProfileSource::Measured => "measured on a machine",
        ProfileSource::Preset => "preset: published figures, nothing was measured by basalt",
        ProfileSource::Manual => "written by hand",
    }
}

fn push(text: &mut String, depth: usize, line: &str) {
    text.push_str(&INDENT.repeat(depth));
    text.push_str(line);
    text.push('\n');
}

/// A table, or each row of an array of tables.
fn section(text: &mut String, depth: usize, name: &str, value: &Value) {
    match value {
        Value::Array(rows) => {
            for row in rows {
                section(text, depth, name, row);
            }
        }
        Value::Table(table) => {
            let title = TITLES.into_iter().find_map(|title| Some((title, table.get(title)?)));
            let head = title.map(|(key, value)| format!("{name} {}", shown(key, value)));
            push(text, depth, head.as_deref().unwrap_or(name));
            let title = title.map_or("", |(key, _)| key);
            entries(text, depth + 1, table, title);
        }
        value => push(text, depth, &format!("{name}{INDENT}{}", shown(name, value))),
    }
}

/// The fields of a table but the one in its head; tables below it come last.
fn entries(text: &mut String, depth: usize, table: &toml::Table, title: &str) {
    let fields = table.iter().filter(|(key, _)| key.as_str() != title);
    let (nested, plain): (Vec<_>, Vec<_>) =
        fields.partition(|(_, value)| value.is_table() || value.is_array());
    let rows: Vec<Vec<String>> =
        plain.into_iter().map(|(key, value)| vec![key.clone(), shown(key, value)]).collect();
    for line in output::table(&rows).lines() {
        push(text, depth, line);
    }
    for (key, value) in nested {
        section(text, depth, key, value);
    }
}

fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Integer(number) => integer(key, *number),
        other => other.to_string(),
    }
}

/// Rates are in powers of ten, as makers publish them, sizes of memory and I/O in powers of two.
fn integer(key: &str, number: i64) -> String {
    const MEGA: i64 = 1_000_000;
    const GIGA: i64 = 1_000 * MEGA;
    const KIBI: i64 = 1 << 10;
    const GIBI: i64 = 1 << 30;
    let exact = grouped(number);
    let unit = if key.ends_with("bytes_per_sec") {
        (number >= MEGA).then(|| format!("{} MB/s", grouped(number / MEGA)))
    } else if key == "capacity_bytes" {
        (number >= GIGA).then(|| format!("{} GB", grouped(number / GIGA)))
    } else if !key.contains("bytes") {
        None
    } else if number >= GIBI {
        Some(format!("{:.1} GiB", number as f64 / GIBI as f64))
    } else {
        (number >= KIBI).then(|| format!("{} KiB", grouped(number / KIBI)))
    };
    unit.map_or_else(|| exact.clone(), |unit| format!("{exact} ({unit})"))
}

/// `1,234,567`; numbers of profiles are never negative.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    const LAB: &str = "\
schema = 1
[profile]
name = \"lab\"
source = \"manual\"
created = \"2026-11-30\"
notes = \"first\\nsecond\"
[machine]
cpus = 8
[layout]
shard_cpus = \"0-3\"
[[layout.drive]]
wwid = \"eui.01\"
shard = 1
[[numa]]
id = 0
cpus = \"0-7\"
[[class]]
name = \"fast\"
model = \"Fast SSD\"
capacity_bytes = 3_840_755_982_336
[class.budget]
split_bytes = 131072
[[device]]
wwid = \"eui.01\"
class = \"fast\"
";

    #[test]
    fn every_section_is_shown_in_order() {
        let profile = Profile::parse(Path::new("lab.toml"), LAB).unwrap();
        let expected = "\
profile lab, 2026-11-30
  written by hand
  first
  second
machine
  cpus  8
numa 0
  cpus  0-7
layout
  shard_cpus  0-3
  drive eui.01
    shard  1
class fast
  capacity_bytes  3,840,755,982,336 (3,840 GB)
  model           Fast SSD
  budget
    split_bytes  131,072 (128 KiB)
device eui.01
  class  fast
";
        assert_eq!(text(&profile, true).unwrap(), expected);
    }

    #[test]
    fn sources_are_counted_or_listed() {
        let profile = hw_profile::preset("aws-i4i").unwrap();
        let short = text(&profile, false).unwrap();
        assert!(short.contains("sources of figures") && !short.contains("https://"), "{short}");
        let long = text(&profile, true).unwrap();
        assert!(long.contains("source of os.scheduler\n") && long.contains("https://"), "{long}");
        assert!(short.contains("378,494,048 (378 MB/s)"), "{short}");
    }

    #[test]
    fn figures_have_their_unit() {
        assert_eq!(integer("read_iops", 1_234_567), "1,234,567");
        assert_eq!(integer("memory_bytes", 3 << 29), "1,610,612,736 (1.5 GiB)");
        assert_eq!(integer("logical_block_bytes", 512), "512");
        assert_eq!(integer("cpus", 100), "100");
    }
}
