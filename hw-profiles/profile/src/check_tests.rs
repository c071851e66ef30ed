//! Checking machines made of files against profiles.

use crate::testing::{FakeRoot, profile};
use crate::{CheckRow, CheckVerdict, DraftHeader, Profile, check, draft, probe};
use std::path::PathBuf;

fn rows(fake: &FakeRoot, profile: &Profile, drives: &[&str]) -> Vec<CheckRow> {
    let drives: Vec<PathBuf> = drives.iter().map(PathBuf::from).collect();
    check(profile, &probe(&fake.root(), &drives), &fake.root())
}

/// The row of that check.
fn row(rows: &[CheckRow], check: &str) -> CheckRow {
    let found = rows.iter().find(|row| row.check == check);
    found.unwrap_or_else(|| panic!("no row {check}: {rows:#?}")).clone()
}

fn machine() -> FakeRoot {
    let fake = FakeRoot::new();
    fake.cpus(4);
    fake.nvme(0, "eui.00");
    fake.file("/dev/nvme0n1", "");
    fake.file("/proc/sys/kernel/osrelease", "6.18.1-test\n");
    fake
}

fn drafted(fake: &FakeRoot) -> Profile {
    let header = DraftHeader {
        name: "lab".to_owned(),
        created: "2026-11-30".to_owned(),
        tool_version: "0.1.0".to_owned(),
    };
    draft(&probe(&fake.root(), &[]), header)
}

#[test]
fn a_machine_agrees_with_its_own_draft() {
    let fake = machine();
    let profile = drafted(&fake);
    assert_eq!(profile.class.len(), 1);
    assert_eq!(profile.class[0].name, "fast-ssd-1000gb");
    // What was drafted is valid, so it survives a file.
    let text = profile.to_toml().unwrap();
    let profile = Profile::parse(std::path::Path::new("lab.toml"), &text).unwrap();
    let rows = rows(&fake, &profile, &["/dev/nvme0n1"]);
    let worst = rows.iter().map(|row| row.verdict).max();
    assert_eq!(worst, Some(CheckVerdict::Ok), "{rows:#?}");
    assert!(row(&rows, "drive eui.00").wanted.contains("fast-ssd"));
}

#[test]
fn drift_is_named() {
    let fake = machine();
    let profile = drafted(&fake);
    fake.file("/sys/class/nvme/nvme0/firmware_rev", "F2");
    fake.file("/sys/class/nvme/nvme0/device/current_link_width", "1");
    fake.file("/sys/block/nvme0n1/queue/logical_block_size", "4096");
    fake.file("/proc/sys/kernel/osrelease", "6.19.0-test\n");
    let rows = rows(&fake, &profile, &["/dev/nvme0n1"]);
    for check in ["fingerprint", "kernel", "drive eui.00, firmware", "nvme0 link"] {
        let row = row(&rows, check);
        assert_eq!(row.verdict, CheckVerdict::Warn, "{row:?}");
        assert!(!row.reason.is_empty(), "{row:?}");
    }
    assert_eq!(row(&rows, "nvme0n1 logical block").verdict, CheckVerdict::Warn);
}

#[test]
fn a_layout_that_cannot_be_kept_to_fails() {
    let fake = machine();
    let verdict = |layout: &str, check: &str| {
        let rows = rows(&fake, &profile(layout), &[]);
        (row(&rows, check).verdict, row(&rows, check).reason)
    };
    let (ok, _) = verdict("[layout]\nshard_cpus = \"0,2\"\n", "layout.shard_cpus");
    assert_eq!(ok, CheckVerdict::Ok);
    let (fails, reason) = verdict("[layout]\nshard_cpus = \"2-5\"\n", "layout.shard_cpus");
    assert_eq!(fails, CheckVerdict::Fail);
    assert!(reason.contains("4-5 are not online"), "{reason}");
    fake.file("/proc/self/status", "Cpus_allowed_list:\t0-1\n");
    let (fails, reason) = verdict("[layout]\ngateway_cpus = \"1-2\"\n", "layout.gateway_cpus");
    assert_eq!(fails, CheckVerdict::Fail);
    assert!(reason.contains("pinned to 2: this process may not use them"), "{reason}");
}

#[test]
fn shards_on_one_core_and_gateways_beside_shards_are_warned_of() {
    let fake = machine();
    let layout = "[layout]\nshard_cpus = \"0-2\"\ngateway_cpus = \"2-3\"\n";
    let rows = rows(&fake, &profile(layout), &[]);
    assert_eq!(row(&rows, "shards per core").found, "two on 0-1");
    assert_eq!(row(&rows, "shards and gateways").found, "both on 2");
}

#[test]
fn a_listed_drive_that_is_gone_fails_and_a_directory_is_none() {
    let fake = machine();
    fake.directory("/srv/d1");
    let text = "[[class]]\nname = \"a\"\nmodel = \"A\"\n\
                [[device]]\nwwid = \"eui.77\"\nclass = \"a\"\n\
                [[device]]\nwwid = \"path:/srv/d1\"\nclass = \"a\"\n";
    let rows = rows(&fake, &profile(text), &["/srv/d1"]);
    assert_eq!(row(&rows, "drive eui.77").verdict, CheckVerdict::Fail);
    assert!(!rows.iter().any(|row| row.check == "drive path:/srv/d1"), "{rows:#?}");
}

#[test]
fn what_is_no_device_is_found_also_where_no_drive_was_named() {
    let fake = machine();
    fake.partition(0, 2);
    fake.directory("/srv/d1");
    let text = "[[class]]\nname = \"a\"\nmodel = \"A\"\n\
                [[device]]\nwwid = \"eui.00/part2\"\nclass = \"a\"\n\
                [[device]]\nwwid = \"eui.00/part3\"\nclass = \"a\"\n\
                [[device]]\nwwid = \"path:/srv/d1\"\nclass = \"a\"\n\
                [[device]]\nwwid = \"path:/srv/d2\"\nclass = \"a\"\n";
    let rows = rows(&fake, &profile(text), &[]);
    let failed = rows.iter().filter(|row| row.verdict == CheckVerdict::Fail);
    let names: Vec<&str> = failed.map(|row| row.check.as_str()).collect();
    assert_eq!(names, ["drive eui.00/part3", "drive path:/srv/d2"]);
}

#[test]
fn what_the_machine_does_not_say_is_unsupported_with_a_reason() {
    let fake = FakeRoot::new();
    let text = "[machine]\ncpu_model = \"X\"\n[layout]\nshard_cpus = \"0\"\n\
                [os]\nclocksource = \"tsc\"\nwrite_cache = \"write through\"\n";
    let rows = rows(&fake, &profile(text), &[]);
    for check in ["CPU model", "layout.shard_cpus", "clocksource"] {
        let row = row(&rows, check);
        assert_eq!(row.verdict, CheckVerdict::Unsupported, "{row:?}");
        assert!(!row.reason.is_empty(), "{row:?}");
    }
}

#[test]
fn a_split_size_above_the_kernels_limit_is_warned_of() {
    let fake = machine();
    let class = |bytes: u32| {
        format!(
            "[[class]]\nname = \"a\"\nmodel = \"Fast SSD\"\n[class.budget]\nsplit_bytes = {bytes}\n"
        )
    };
    let verdict = |bytes: u32| {
        let rows = rows(&fake, &profile(&class(bytes)), &["/dev/nvme0n1"]);
        row(&rows, "nvme0n1 split size").verdict
    };
    assert_eq!(verdict(131_072), CheckVerdict::Ok);
    assert_eq!(verdict(135_168), CheckVerdict::Warn);
}
