//! Where figures come from: a preset holds published figures only, each with its source.
//!
//! Invariants: in a preset every figure has a `[[source]]`, and there is nothing that only a
//! measurement or one machine could tell; in any file, no source speaks of a field that is not
//! there.

use crate::file::{Class, Profile, ProfileSource};
use crate::validate::{Checked, Problem, date};
use std::collections::BTreeSet;

const FIGURE_BYTES_MAX: usize = 512;

pub(crate) fn check(profile: &Profile) -> Checked {
    let figures = figures(profile);
    let texts = texts(profile);
    for source in &profile.source {
        if !figures.contains(&source.field) && !texts.contains(&source.field) {
            let expected = "a source names a field that this file sets";
            return Err(Problem::new("source.field", format!("{:?}", source.field), expected));
        }
        date("source.date", &source.date)?;
        let is_url = source.url.starts_with("https://") || source.url.starts_with("http://");
        if !is_url || source.url.len() > 2048 || source.url.chars().any(char::is_whitespace) {
            let expected = "an address that starts with https:// is valid";
            return Err(Problem::new("source.url", format!("{:?}", source.url), expected));
        }
        let plain = !source.figure.chars().any(char::is_control);
        if source.figure.is_empty() || source.figure.len() > FIGURE_BYTES_MAX || !plain {
            let expected = "the figure as it was published is valid, in one line";
            return Err(Problem::new("source.figure", format!("{:?}", source.figure), expected));
        }
    }
    if profile.profile.source == ProfileSource::Preset { preset(profile, &figures) } else { Ok(()) }
}

fn preset(profile: &Profile, figures: &BTreeSet<String>) -> Checked {
    let of_one_machine = [
        ("device", !profile.device.is_empty()),
        ("numa", !profile.numa.is_empty()),
        ("layout", profile.layout != crate::Layout::default()),
        ("profile.fingerprint", profile.profile.fingerprint.is_some()),
        ("class.measured", profile.class.iter().any(|class| class.measured.is_some())),
    ];
    for (field, present) in of_one_machine {
        if present {
            let expected = "a preset holds published figures only, so leave it out";
            return Err(Problem::new(field, "set", expected));
        }
    }
    let sourced: BTreeSet<&str> =
        profile.source.iter().map(|source| source.field.as_str()).collect();
    match figures.iter().find(|field| !sourced.contains(field.as_str())) {
        Some(field) => {
            let expected = "every figure of a preset has a [[source]] with this `field`";
            Err(Problem::new(field.as_str(), "without a source", expected))
        }
        None => Ok(()),
    }
}

/// Figures that are a rate, by key below the class.
pub(crate) fn rates(class: &Class) -> Vec<(&'static str, Option<u64>)> {
    let mut rates = Vec::new();
    if let Some(published) = &class.published {
        rates.extend([
            ("published.read_iops", published.read_iops),
            ("published.write_iops", published.write_iops),
            ("published.read_bytes_per_sec", published.read_bytes_per_sec),
            ("published.write_bytes_per_sec", published.write_bytes_per_sec),
        ]);
    }
    if let Some(measured) = &class.measured {
        rates.extend([
            ("measured.read_iops", measured.read_iops),
            ("measured.write_iops", measured.write_iops),
            ("measured.mixed_iops", measured.mixed_iops),
            ("measured.read_bytes_per_sec", measured.read_bytes_per_sec),
            ("measured.write_bytes_per_sec", measured.write_bytes_per_sec),
            ("measured.all_drives_read_bytes_per_sec", measured.all_drives_read_bytes_per_sec),
            ("measured.all_drives_write_bytes_per_sec", measured.all_drives_write_bytes_per_sec),
        ]);
    }
    rates
}

/// Every figure that the file sets, as a `[[source]]` names it.
fn figures(profile: &Profile) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for class in &profile.class {
        let budget = &class.budget;
        let mut set = vec![
            ("capacity_bytes", class.capacity_bytes.is_some()),
            ("logical_block_bytes", class.logical_block_bytes.is_some()),
            ("physical_block_bytes", class.physical_block_bytes.is_some()),
            ("io_bytes_max", class.io_bytes_max.is_some()),
            ("write_cache", class.write_cache.is_some()),
            ("power_loss_protection", class.power_loss_protection.is_some()),
            ("budget.read_queue_depth_max", budget.read_queue_depth_max.is_some()),
            ("budget.write_queue_depth_max", budget.write_queue_depth_max.is_some()),
            ("budget.split_bytes", budget.split_bytes.is_some()),
            ("budget.background_share", budget.background_share.is_some()),
        ];
        set.extend(rates(class).into_iter().map(|(key, figure)| (key, figure.is_some())));
        let name = &class.name;
        found.extend(
            set.into_iter()
                .filter(|(_, is_set)| *is_set)
                .map(|(key, _)| format!("class.{name}.{key}")),
        );
    }
    found.extend(profile.os.wanted().into_iter().map(|(knob, _)| format!("os.{knob}")));
    if profile.runtime.ring_entries.is_some() {
        found.insert("runtime.ring_entries".to_owned());
    }
    for nic in profile.nic.iter().filter(|nic| nic.bytes_per_sec.is_some()) {
        found.insert(format!("nic.{}.bytes_per_sec", nic.name));
    }
    found
}

/// Texts that may have a source, but need none.
fn texts(profile: &Profile) -> BTreeSet<String> {
    let mut found: BTreeSet<String> =
        profile.class.iter().map(|class| format!("class.{}.model", class.name)).collect();
    let machine = [("vendor", &profile.machine.vendor), ("product", &profile.machine.product)];
    let set = machine.into_iter().filter(|(_, value)| value.is_some());
    found.extend(set.map(|(key, _)| format!("machine.{key}")));
    found
}
