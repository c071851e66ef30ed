//! From the figures of drives to the profile of their machine.
//!
//! Invariants: a class has the figures of one drive, the slowest, and never some of each; a drive
//! that no class fits, or that lies on several disks, so that its figures are of none of them, gets
//! one of its own, by its identity; nothing else of the draft is changed.

use crate::partial::FoundDrive;
use crate::session::Target;
use crate::steps::{Found, Step};
use hw_profile::{
    Budget, Class, Device, Machine, Measured, Method, Profile, ProfileSource, class_of_drive,
};
use std::collections::BTreeMap;

/// What two drives of a class are held against each other by.
const COMPARED: [Step; 4] =
    [Step::ReadDepth, Step::WriteDepth, Step::ReadSequential, Step::WriteSequential];

/// A profile with figures, and what a person should know.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The draft, with figures in its classes.
    pub profile: Profile,
    /// One sentence each; they stand in the profile, too.
    pub notes: Vec<String>,
}

/// Figures that nobody has measured, every one of them within its bounds: with them it shows
/// beforehand whether a profile can hold the machine and its drives.
#[must_use]
pub fn placeholders(targets: &[Target]) -> Vec<FoundDrive> {
    let figure = |step| {
        let found = Found {
            seconds: 1.0,
            rate: 1.0,
            // Of a depth and of a size alike.
            knee: Some(4096),
            latency_us_p50: Some(1.0),
            latency_us_p99: Some(1.0),
            deviation_percent: Some(1.0),
        };
        (step, found)
    };
    let with_figures = |target: &Target| {
        let found = Step::ALONE.into_iter().chain(Step::TOGETHER).map(figure).collect();
        FoundDrive { found, ..FoundDrive::new(target) }
    };
    targets.iter().map(with_figures).collect()
}

/// Puts figures into the draft of a machine's profile. `date`: such as `2026-11-30`.
#[must_use]
pub fn merge(
    mut profile: Profile,
    machine: &Machine,
    drives: &[FoundDrive],
    method: Method,
    date: &str,
) -> Merged {
    let mut classes: BTreeMap<String, Vec<&FoundDrive>> = BTreeMap::new();
    for drive in drives {
        let place = machine.drives.iter().find(|place| place.path == drive.path);
        let class = place
            .filter(|place| place.disks.len() <= 1 || is_listed(&profile, drive))
            .and_then(|place| class_of_drive(&profile, machine, place));
        let name = match class.map(|class| class.name.clone()) {
            Some(name) => name,
            None => add_class(&mut profile, &drive.identity),
        };
        classes.entry(name).or_default().push(drive);
    }
    let mut notes = Vec::new();
    for class in &mut profile.class {
        let Some(drives) = classes.get(&class.name) else { continue };
        let mut by_speed = drives.clone();
        by_speed.sort_by(|one, other| speed(one).total_cmp(&speed(other)));
        if let (Some(slowest), Some(fastest)) = (by_speed.first(), by_speed.last()) {
            class.measured = Some(measured(slowest, method, date));
            if by_speed.len() > 1 {
                let percent = 100.0 * ((speed(fastest) - speed(slowest)).exp() - 1.0);
                notes.push(format!(
                    "class {}: figures of the slowest of {} drives; the fastest is {percent:.1} % \
                     faster",
                    class.name,
                    by_speed.len()
                ));
            }
        }
    }
    profile.profile.source = ProfileSource::Measured;
    if !notes.is_empty() {
        profile.profile.notes = Some(notes.join("\n"));
    }
    Merged { profile, notes }
}

/// Whether the draft has a line of its own for a drive.
fn is_listed(profile: &Profile, drive: &FoundDrive) -> bool {
    profile.device.iter().any(|device| device.wwid == drive.identity)
}

/// A class for a drive below which there is no device with a model, or several are.
fn add_class(profile: &mut Profile, identity: &str) -> String {
    let taken = |name: &str| profile.class.iter().any(|class| class.name == name);
    let mut number = 1;
    while taken(&format!("measured-{number}")) {
        number += 1;
    }
    let name = format!("measured-{number}");
    profile.class.push(Class {
        name: name.clone(),
        model: "none".to_owned(),
        firmware: None,
        capacity_bytes: None,
        logical_block_bytes: None,
        physical_block_bytes: None,
        io_bytes_max: None,
        write_cache: None,
        power_loss_protection: None,
        published: None,
        measured: None,
        budget: Budget::default(),
    });
    profile.device.push(Device { wwid: identity.to_owned(), class: name.clone() });
    name
}

/// The mean of the rates that count, as a logarithm: no rate outweighs the others by its unit.
fn speed(drive: &FoundDrive) -> f64 {
    let rates = COMPARED.iter().filter_map(|step| drive.found.get(step)).map(|found| found.rate);
    let logarithms: Vec<f64> = rates.map(|rate| rate.max(1.0).ln()).collect();
    logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64
}

fn measured(drive: &FoundDrive, method: Method, date: &str) -> Measured {
    let found = |step: Step| drive.found.get(&step);
    // A profile knows no rate of nothing.
    let rate = |step| found(step).map(|found| found.rate.max(1.0).round() as u64);
    let p50 = |step| found(step).and_then(|found| found.latency_us_p50);
    let p99 = |step| found(step).and_then(|found| found.latency_us_p99);
    let knee = |step| found(step).and_then(|found| found.knee);
    let depth = |step| knee(step).and_then(|knee| u32::try_from(knee).ok());
    let seconds: f64 = drive.found.values().map(|found| found.seconds).sum();
    let deviation = |found: &Found| found.deviation_percent;
    Measured {
        date: date.to_owned(),
        method,
        seconds: seconds.ceil() as u64,
        deviation_percent: drive.found.values().filter_map(deviation).reduce(f64::max),
        read_iops: rate(Step::ReadDepth),
        write_iops: rate(Step::WriteDepth),
        mixed_iops: rate(Step::Mixed),
        read_bytes_per_sec: rate(Step::ReadSequential),
        write_bytes_per_sec: rate(Step::WriteSequential),
        all_drives_read_bytes_per_sec: rate(Step::AllRead),
        all_drives_write_bytes_per_sec: rate(Step::AllWrite),
        read_latency_us_p50: p50(Step::ReadDepth),
        read_latency_us_p99: p99(Step::ReadDepth),
        write_latency_us_p50: p50(Step::WriteDepth),
        write_latency_us_p99: p99(Step::WriteDepth),
        flush_latency_us_p50: p50(Step::Flush),
        flush_latency_us_p99: p99(Step::Flush),
        loaded_read_latency_us_p99: p99(Step::LoadedRead),
        read_queue_depth_knee: depth(Step::ReadDepth),
        write_queue_depth_knee: depth(Step::WriteDepth),
        read_bytes_knee: knee(Step::ReadSizes),
        write_bytes_knee: knee(Step::WriteSizes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hw_profile::{DraftHeader, draft};
    use std::path::Path;

    fn drive(path: &str, rate: f64) -> FoundDrive {
        let found = |step| {
            let found = Found {
                seconds: 1.5,
                rate,
                knee: Some(4096),
                latency_us_p50: Some(80.0),
                latency_us_p99: Some(100.5),
                deviation_percent: Some(2.5),
            };
            (step, found)
        };
        FoundDrive {
            path: path.to_owned(),
            identity: format!("path:{path}"),
            span_bytes: 1 << 30,
            disks: Vec::new(),
            capacity_bytes: None,
            scratch: None,
            found: Step::ALONE.into_iter().chain(Step::TOGETHER).map(found).collect(),
        }
    }

    fn merged(drives: &[FoundDrive]) -> Merged {
        let header = DraftHeader {
            name: "lab".to_owned(),
            created: "2026-11-30".to_owned(),
            tool_version: "0.1.0".to_owned(),
        };
        let machine = Machine::default();
        let mut draft = draft(&machine, header);
        // As if all drives were of one kind.
        let name = add_class(&mut draft, "path:/d1");
        for drive in &drives[1..] {
            draft.device.push(Device { wwid: drive.identity.clone(), class: name.clone() });
        }
        let mut machine = machine;
        machine.drives = drives.iter().map(place).collect();
        merge(draft, &machine, drives, Method::Full, "2026-11-30")
    }

    fn place(drive: &FoundDrive) -> hw_profile::DrivePlace {
        hw_profile::DrivePlace {
            path: drive.path.clone(),
            kind: hw_profile::PlaceKind::Directory,
            identity: Some(drive.identity.clone()),
            chain: Vec::new(),
            disks: Vec::new(),
            file_system: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn a_class_has_the_figures_of_its_slowest_drive_and_is_valid() {
        let merged = merged(&[drive("/d1", 2000.0), drive("/d2", 1000.0), drive("/d3", 1500.0)]);
        assert_eq!(merged.profile.class.len(), 1);
        let text = merged.profile.to_toml().unwrap();
        let profile = Profile::parse(Path::new("lab.toml"), &text).unwrap();
        let measured = profile.class[0].measured.as_ref().unwrap();
        assert_eq!((measured.read_iops, measured.seconds), (Some(1000), 18));
        assert_eq!(measured.deviation_percent, Some(2.5));
        assert_eq!(profile.profile.source, ProfileSource::Measured);
        assert!(merged.notes[0].contains("of 3 drives") && merged.notes[0].contains("100.0 %"));
    }

    #[test]
    fn with_placeholders_a_profile_has_every_figure_and_is_valid() {
        let target = Target {
            path: "/d1".into(),
            identity: "path:/d1".to_owned(),
            disks: Vec::new(),
            capacity_bytes: None,
        };
        let profile = merged(&placeholders(&[target])).profile;
        let text = profile.to_toml().unwrap();
        let read = Profile::parse(Path::new("lab.toml"), &text).unwrap();
        let figures = read.class[0].measured.as_ref().unwrap();
        assert_eq!(
            (figures.read_queue_depth_knee, figures.read_bytes_knee),
            (Some(4096), Some(4096))
        );
        assert!(figures.flush_latency_us_p99.is_some() && figures.mixed_iops.is_some());
    }

    #[test]
    fn a_drive_without_a_class_gets_one_by_its_identity() {
        let one = drive("/d1", 1000.0);
        let header = DraftHeader {
            name: "lab".to_owned(),
            created: "2026-11-30".to_owned(),
            tool_version: "0.1.0".to_owned(),
        };
        let machine = Machine::default();
        let draft = draft(&machine, header);
        let merged = merge(draft, &machine, &[one], Method::Quick, "2026-11-30");
        assert_eq!(merged.profile.device[0].wwid, "path:/d1");
        assert_eq!(merged.profile.device[0].class, merged.profile.class[0].name);
        assert!(merged.profile.class[0].measured.is_some() && merged.notes.is_empty());
    }
}
