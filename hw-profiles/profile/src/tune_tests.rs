//! Tuning machines made of files.

use crate::testing::{FakeRoot, profile};
use crate::{Knob, KnobState, apply, knobs, probe, revert};
use std::path::PathBuf;

const SCHEDULER: &str = "/sys/block/nvme0n1/queue/scheduler";
const NOMERGES: &str = "/sys/block/nvme0n1/queue/nomerges";

fn machine() -> FakeRoot {
    let fake = FakeRoot::new();
    fake.nvme(0, "eui.00");
    fake.nvme(1, "eui.01");
    fake.partition(0, 1);
    fake.file("/proc/sys/net/core/somaxconn", "8192\n");
    fake.file("/proc/sys/vm/swappiness", "60\n");
    fake
}

fn table(fake: &FakeRoot, os: &str) -> Vec<Knob> {
    let machine = probe(&fake.root(), &[PathBuf::from("/dev/nvme0n1p1")]);
    knobs(&profile(&format!("[os]\n{os}")), &machine, &fake.root())
}

fn problems(outcomes: &[crate::Outcome]) -> Vec<String> {
    outcomes.iter().filter_map(|one| one.problem.clone()).collect()
}

#[test]
fn the_table_names_the_disk_of_a_partition_and_changes_nothing() {
    let fake = machine();
    let rows = table(&fake, "scheduler = \"none\"\nnomerges = 2\nsomaxconn = 4096\n");
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    assert_eq!(names, ["nvme0n1 scheduler", "nvme0n1 nomerges", "somaxconn"]);
    assert_eq!(rows[0].now.as_deref(), Some("mq-deadline"));
    assert_eq!(rows[0].files[0].wwid.as_deref(), Some("eui.00"));
    assert!(matches!(rows[0].state, KnobState::Differs { .. }), "{:?}", rows[0]);
    // More than what is wanted is no reason to lower it.
    assert_eq!(rows[2].state, KnobState::Set);
    assert_eq!(fake.read(SCHEDULER), "none [mq-deadline] bfq");
}

#[test]
fn what_cannot_be_set_is_a_row_with_the_reason() {
    let fake = machine();
    let rows = table(&fake, "scheduler = \"kyber\"\ngovernor = \"performance\"\niostats = 1\n");
    let reasons: Vec<String> = rows
        .into_iter()
        .map(|row| match row.state {
            KnobState::CannotSet { reason } => reason,
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(reasons[0], "the kernel offers none, mq-deadline, bfq");
    assert!(reasons[1].contains("no such setting") && reasons[2].contains("no such setting"));
}

#[test]
fn a_write_cache_is_never_flipped() {
    let fake = machine();
    let rows = table(&fake, "write_cache = \"write through\"\n");
    let KnobState::Refused { reason } = &rows[0].state else { panic!("{:?}", rows[0]) };
    assert!(reason.contains("power loss"), "{reason}");
    let log = fake.path("/log.toml");
    let outcomes = apply(&fake.root(), &rows, &log, "now").unwrap();
    assert_eq!(problems(&outcomes).len(), 1);
    // Not even if the table is changed on its way.
    let mut forged = rows;
    forged[0].state = KnobState::Differs { needs_root: false };
    forged[0].wanted = "through".to_owned();
    let outcomes = apply(&fake.root(), &forged, &log, "now").unwrap();
    assert!(problems(&outcomes)[0].contains("no file that tuning may write"));
    assert_eq!(fake.read("/sys/block/nvme0n1/queue/write_cache"), "write back");
}

#[test]
fn what_is_applied_is_logged_and_taken_back() {
    let fake = machine();
    let log = fake.path("/log.toml");
    let os = "scheduler = \"none\"\nnomerges = 2\nswappiness = 1\n";
    let outcomes = apply(&fake.root(), &table(&fake, os), &log, "2026-11-30").unwrap();
    assert_eq!(problems(&outcomes), Vec::<String>::new());
    assert_eq!(outcomes.len(), 3);
    assert_eq!((fake.read(SCHEDULER), fake.read(NOMERGES)), ("none".to_owned(), "2".to_owned()));
    assert!(fake.read("/log.toml").contains("before = \"mq-deadline\""));
    // A second run has nothing to do and logs nothing.
    assert!(apply(&fake.root(), &table(&fake, os), &log, "later").unwrap().is_empty());
    assert!(!fake.read("/log.toml").contains("later"));
    let outcomes = revert(&fake.root(), &log).unwrap();
    assert_eq!(problems(&outcomes), Vec::<String>::new());
    assert_eq!(outcomes[0].path, "/proc/sys/vm/swappiness");
    assert_eq!(
        (fake.read(SCHEDULER), fake.read(NOMERGES)),
        ("mq-deadline".to_owned(), "0".to_owned())
    );
    assert!(revert(&fake.root(), &log).unwrap().is_empty());
}

#[test]
fn taking_back_leaves_alone_what_others_changed_and_other_drives() {
    let fake = machine();
    let log = fake.path("/log.toml");
    let os = "scheduler = \"none\"\nnomerges = 2\nswappiness = 1\n";
    apply(&fake.root(), &table(&fake, os), &log, "now").unwrap();
    fake.file("/proc/sys/vm/swappiness", "33\n");
    fake.file("/sys/block/nvme0n1/wwid", "eui.99\n");
    let outcomes = revert(&fake.root(), &log).unwrap();
    let found = problems(&outcomes);
    assert_eq!(found.len(), 3, "{outcomes:?}");
    assert!(found[0].contains("33 since"), "{found:?}");
    assert!(found[1].contains("another drive"), "{found:?}");
    assert_eq!(fake.read("/proc/sys/vm/swappiness"), "33");
    // They stay in the log, in their order.
    fake.file("/sys/block/nvme0n1/wwid", "eui.00\n");
    let outcomes = revert(&fake.root(), &log).unwrap();
    assert_eq!(problems(&outcomes).len(), 1);
    assert_eq!(fake.read(SCHEDULER), "mq-deadline");
}

#[test]
fn a_log_cannot_make_us_write_elsewhere() {
    let fake = machine();
    fake.file("/etc/shadow", "secret\n");
    fake.file(
        "/log.toml",
        "schema = 1\n[[change]]\nname = \"x\"\npath = \"/etc/shadow\"\nbefore = \"gone\"\n\
         after = \"secret\"\ntime = \"now\"\n",
    );
    let outcomes = revert(&fake.root(), &fake.path("/log.toml")).unwrap();
    assert!(problems(&outcomes)[0].contains("no file that tuning may write"), "{outcomes:?}");
    assert_eq!(fake.read("/etc/shadow"), "secret");
}

#[test]
fn nothing_is_changed_where_the_log_cannot_be_written() {
    let fake = machine();
    let rows = table(&fake, "nomerges = 2\n");
    let error = apply(&fake.root(), &rows, &fake.path("/absent/log.toml"), "now").unwrap_err();
    assert!(error.to_string().contains("absent/log.toml cannot be written"), "{error}");
    assert_eq!(fake.read(NOMERGES), "0");
}
