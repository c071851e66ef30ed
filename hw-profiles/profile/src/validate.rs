//! Bounds of the fields, and what must go together.
//!
//! Invariants: nothing here looks at a machine (`check.rs` does); after it, every text is short
//! and free of control characters, every value of a knob is a plain word, every number fits what
//! the server takes, and every name that is referred to exists.

use crate::CpuList;
use crate::file::{Class, Header, Layout, OsKnobs, Profile};
use crate::plan;
use crate::provenance;
use std::collections::BTreeSet;

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Section and key.
    pub(crate) field: String,
    /// The value.
    pub(crate) found: String,
    /// What would be valid.
    pub(crate) expected: String,
}

impl Problem {
    pub(crate) fn new(
        field: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self { field: field.into(), found: found.into(), expected: expected.into() }
    }
}

pub(crate) type Checked = Result<(), Problem>;

pub(crate) const TEXT_BYTES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 64;
const NOTES_BYTES_MAX: usize = 8192;
const WORD_BYTES_MAX: usize = 32;
const ROWS_MAX: usize = 4096;
const BLOCK_BYTES: u64 = 4096;
/// Nothing smaller is a drive.
pub(crate) const CAPACITY_BYTES_MIN: u64 = 1 << 20;
const SPLIT_BYTES_MAX: u64 = 1 << 30;
/// The most of one direction at a drive at once: each operation has a deadline of seconds.
const AT_ONCE_BYTES_MAX: u64 = 1 << 30;
const BYTES_MAX: u64 = 1 << 60;
const DEPTH_MAX: u64 = 65_536;
const SHARDS_MAX: u64 = 1024;

pub(crate) fn validate(profile: &Profile) -> Checked {
    header(&profile.profile)?;
    row_counts(profile)?;
    machine(profile)?;
    layout(&profile.layout)?;
    if let Some(entries) = profile.runtime.ring_entries {
        let fits = entries.is_power_of_two() && (8..=32_768).contains(&entries);
        let expected = "a power of two from 8 to 32768 is valid";
        require(fits, "runtime.ring_entries", entries.to_string(), expected)?;
    }
    os(&profile.os)?;
    for one in &profile.class {
        class(one)?;
    }
    names(profile)?;
    provenance::check(profile)
}

fn require(fits: bool, field: &str, found: String, expected: &str) -> Checked {
    if fits { Ok(()) } else { Err(Problem::new(field, found, expected)) }
}

fn within(field: &str, value: Option<u64>, least: u64, most: u64) -> Checked {
    let Some(value) = value else { return Ok(()) };
    let fits = (least..=most).contains(&value);
    require(fits, field, value.to_string(), &format!("{least} to {most} is valid"))
}

/// A text that is printed: not empty, short, without control characters.
fn text(field: &str, value: Option<&str>, bytes_max: usize) -> Checked {
    let Some(value) = value else { return Ok(()) };
    let plain = |letter: char| !letter.is_control() || (letter == '\n' && field.ends_with("notes"));
    let fits = !value.is_empty() && value.len() <= bytes_max && value.chars().all(plain);
    let expected = format!("1 to {bytes_max} bytes without control characters are valid");
    require(fits, field, format!("{value:?}"), &expected)
}

fn name(field: &str, value: &str) -> Checked {
    let fine = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '_'
    };
    let fits = !value.is_empty() && value.len() <= NAME_BYTES_MAX && value.chars().all(fine);
    let expected = "1 to 64 lower-case letters, digits, `-` and `_` are valid";
    require(fits, field, format!("{value:?}"), expected)
}

/// Whether this is a date such as `2026-11-30`.
fn is_date(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let &[year, month, day] = parts.as_slice() else { return false };
    let number = |part: &str, length: usize| {
        let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits { part.parse::<u32>().ok() } else { None }
    };
    number(year, 4).is_some()
        && number(month, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(day, 2).is_some_and(|day| (1..=31).contains(&day))
}

pub(crate) fn date(field: &str, value: &str) -> Checked {
    require(is_date(value), field, format!("{value:?}"), "a date such as 2026-11-30 is valid")
}

fn header(header: &Header) -> Checked {
    name("profile.name", &header.name)?;
    date("profile.created", &header.created)?;
    text("profile.tool_version", header.tool_version.as_deref(), TEXT_BYTES_MAX)?;
    text("profile.fingerprint", header.fingerprint.as_deref(), NAME_BYTES_MAX)?;
    text("profile.notes", header.notes.as_deref(), NOTES_BYTES_MAX)
}

fn row_counts(profile: &Profile) -> Checked {
    for (field, rows) in [
        ("numa", profile.numa.len()),
        ("class", profile.class.len()),
        ("device", profile.device.len()),
        ("nic", profile.nic.len()),
        ("source", profile.source.len()),
        ("layout.drive", profile.layout.drive.len()),
    ] {
        let expected = format!("at most {ROWS_MAX} tables are valid");
        require(rows <= ROWS_MAX, field, format!("{rows} tables"), &expected)?;
    }
    Ok(())
}

fn machine(profile: &Profile) -> Checked {
    let facts = &profile.machine;
    text("machine.vendor", facts.vendor.as_deref(), TEXT_BYTES_MAX)?;
    text("machine.product", facts.product.as_deref(), TEXT_BYTES_MAX)?;
    text("machine.cpu_model", facts.cpu_model.as_deref(), TEXT_BYTES_MAX)?;
    text("machine.kernel", facts.kernel.as_deref(), TEXT_BYTES_MAX)?;
    text("machine.virtualisation", facts.virtualisation.as_deref(), TEXT_BYTES_MAX)?;
    let cpus_max = u64::from(crate::CPUS_MAX);
    within("machine.cpus", facts.cpus.map(u64::from), 1, cpus_max)?;
    within("machine.cores", facts.cores.map(u64::from), 1, cpus_max)?;
    within("machine.sockets", facts.sockets.map(u64::from), 1, cpus_max)?;
    within("machine.memory_bytes", facts.memory_bytes, 1, BYTES_MAX)?;
    for node in &profile.numa {
        within("numa.memory_bytes", node.memory_bytes, 0, BYTES_MAX)?;
    }
    for nic in &profile.nic {
        text("nic.name", Some(&nic.name), NAME_BYTES_MAX)?;
        text("nic.pci", nic.pci.as_deref(), NAME_BYTES_MAX)?;
        within("nic.bytes_per_sec", nic.bytes_per_sec, 1, BYTES_MAX)?;
    }
    Ok(())
}

fn layout(layout: &Layout) -> Checked {
    for (field, cpus) in [
        ("layout.shard_cpus", &layout.shard_cpus),
        ("layout.gateway_cpus", &layout.gateway_cpus),
        ("layout.control_cpus", &layout.control_cpus),
    ] {
        let empty = cpus.as_ref().is_some_and(CpuList::is_empty);
        require(!empty, field, "empty".to_owned(), "leave it out, or name CPUs such as 0-3,8")?;
    }
    let per_shard = layout.drives_per_shard.map(u64::from);
    within("layout.drives_per_shard", per_shard, 1, ROWS_MAX as u64)?;
    let shards = layout.shard_cpus.as_ref().map_or(SHARDS_MAX, |cpus| cpus.len() as u64);
    let mut known = BTreeSet::new();
    for drive in &layout.drive {
        text("layout.drive.wwid", Some(&drive.wwid), TEXT_BYTES_MAX)?;
        let shard = Some(u64::from(drive.shard));
        within("layout.drive.shard", shard, 0, shards.saturating_sub(1))?;
        let fresh = known.insert(drive.wwid.as_str());
        let expected = "each drive has one shard";
        require(fresh, "layout.drive.wwid", format!("{:?} twice", drive.wwid), expected)?;
    }
    Ok(())
}

/// Words go to files of the kernel and into a shell script, so they are plain.
pub(crate) fn is_plain_word(value: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !value.is_empty() && value.len() <= WORD_BYTES_MAX && value.bytes().all(fine)
}

fn os(os: &OsKnobs) -> Checked {
    within("os.nomerges", os.nomerges, 0, 2)?;
    within("os.rq_affinity", os.rq_affinity, 0, 2)?;
    within("os.wbt_lat_usec", os.wbt_lat_usec, 0, 10_000_000)?;
    within("os.iostats", os.iostats, 0, 1)?;
    within("os.add_random", os.add_random, 0, 1)?;
    within("os.swappiness", os.swappiness, 0, 200)?;
    within("os.somaxconn", os.somaxconn, 1, 1 << 24)?;
    within("os.tcp_max_syn_backlog", os.tcp_max_syn_backlog, 1, 1 << 24)?;
    for (knob, value) in os.wanted() {
        // It is refused when it is wanted, not when it is read: the refusal is a row of the table.
        let fits = knob == "write_cache" || is_plain_word(&value);
        let expected = "1 to 32 letters, digits, `-` and `_` are valid";
        require(fits, &format!("os.{knob}"), format!("{value:?}"), expected)?;
    }
    text("os.write_cache", os.write_cache.as_deref(), WORD_BYTES_MAX)
}

/// Whether blocks of a drive may have this size.
pub(crate) fn is_block_size(bytes: u64) -> bool {
    bytes.is_power_of_two() && (512..=1 << 20).contains(&bytes)
}

fn class(class: &Class) -> Checked {
    name("class.name", &class.name)?;
    let field = |key: &str| format!("class.{}.{key}", class.name);
    text(&field("model"), Some(&class.model), TEXT_BYTES_MAX)?;
    text(&field("firmware"), class.firmware.as_deref(), TEXT_BYTES_MAX)?;
    within(&field("capacity_bytes"), class.capacity_bytes, CAPACITY_BYTES_MIN, BYTES_MAX)?;
    within(&field("io_bytes_max"), class.io_bytes_max, 512, 1 << 42)?;
    for (key, bytes) in [
        ("logical_block_bytes", class.logical_block_bytes),
        ("physical_block_bytes", class.physical_block_bytes),
    ] {
        let fits = bytes.is_none_or(is_block_size);
        let found = bytes.unwrap_or(0).to_string();
        require(fits, &field(key), found, "a power of two from 512 to 1048576 is valid")?;
    }
    for (key, figure) in provenance::rates(class) {
        within(&field(key), figure, 1, BYTES_MAX)?;
    }
    if let Some(measured) = &class.measured {
        date(&field("measured.date"), &measured.date)?;
        for (key, depth) in [
            ("measured.read_queue_depth_knee", measured.read_queue_depth_knee),
            ("measured.write_queue_depth_knee", measured.write_queue_depth_knee),
        ] {
            within(&field(key), depth.map(u64::from), 1, DEPTH_MAX)?;
        }
        piece(&field("measured.read_bytes_knee"), measured.read_bytes_knee)?;
        piece(&field("measured.write_bytes_knee"), measured.write_bytes_knee)?;
    }
    budget(class)
}

/// A size that I/O can be split into.
fn piece(field: &str, bytes: Option<u64>) -> Checked {
    let Some(bytes) = bytes else { return Ok(()) };
    let fits =
        bytes.is_multiple_of(BLOCK_BYTES) && (BLOCK_BYTES..=SPLIT_BYTES_MAX).contains(&bytes);
    require(fits, field, bytes.to_string(), "a multiple of 4096 up to 1073741824 is valid")
}

fn budget(class: &Class) -> Checked {
    let field = |key: &str| format!("class.{}.budget.{key}", class.name);
    let budget = &class.budget;
    let depth = budget.read_queue_depth_max.map(u64::from);
    within(&field("read_queue_depth_max"), depth, 1, DEPTH_MAX)?;
    let depth = budget.write_queue_depth_max.map(u64::from);
    within(&field("write_queue_depth_max"), depth, 1, DEPTH_MAX)?;
    piece(&field("split_bytes"), budget.split_bytes)?;
    if let Some(share) = budget.background_share {
        // Also false for NaN.
        let fits = (0.01..=1.0).contains(&share);
        let expected = "a number from 0.01 to 1 is valid";
        require(fits, &field("background_share"), share.to_string(), expected)?;
    }
    let (limits, _) = plan::limits(class);
    let depth = limits.read_queue_depth_max.max(limits.write_queue_depth_max);
    let at_once = u64::from(depth).saturating_mul(limits.split_bytes);
    let expected =
        "at once is more than a drive does within its deadline; up to 1073741824 is valid";
    let found = format!("{depth} pieces of {} bytes", limits.split_bytes);
    require(at_once <= AT_ONCE_BYTES_MAX, &field("split_bytes"), found, expected)
}

fn names(profile: &Profile) -> Checked {
    let mut classes = BTreeSet::new();
    for class in &profile.class {
        let fresh = classes.insert(class.name.as_str());
        require(fresh, "class.name", format!("{:?} twice", class.name), "names are unique")?;
    }
    let mut known = BTreeSet::new();
    for device in &profile.device {
        text("device.wwid", Some(&device.wwid), TEXT_BYTES_MAX)?;
        let fresh = known.insert(device.wwid.as_str());
        let found = format!("{:?} twice", device.wwid);
        require(fresh, "device.wwid", found, "each drive stands once")?;
        let exists = classes.contains(device.class.as_str());
        let all = classes.iter().copied().collect::<Vec<_>>().join(", ");
        let expected = format!("the classes of this file are valid: {all}");
        require(exists, "device.class", format!("{:?}", device.class), &expected)?;
    }
    Ok(())
}
