//! What is right makes a plan; what is wrong is refused by name.

use super::*;
use crate::plan::TargetPlan;

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let table: toml::Table = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), toml::Value::String((*value).to_owned())))
        .collect();
    let mut settings: Settings = table.try_into().unwrap();
    settings.anonymous = true;
    settings
}

#[test]
fn what_is_not_said_has_a_usual_value() {
    let (plan, options) = settings(&[]).check("run-1").unwrap();
    assert_eq!((plan.lanes, plan.repeats, plan.arrival), (16, 1, ArrivalPlan::Closed));
    assert_eq!((plan.warmup.as_secs(), plan.duration.as_secs()), (5, 30));
    assert_eq!((plan.load.keys.prefix(), plan.load.keys.count()), ("run-1/", 10_000));
    assert!(plan.load.is_prepared && !options.keep && !options.into_existing);
    assert_eq!(plan.target.to_string(), "s3 http://127.0.0.1:9000");
    let (plan, _) = settings(&[("keys", "1")]).check("run-1").unwrap();
    assert_eq!(plan.threads, 1);
    let (plan, _) = settings(&[("rate", "ramp:1..9/10s")]).check("run-1").unwrap();
    assert_eq!(plan.duration.as_secs(), 10);
    let (plan, _) = settings(&[("mix", "put")]).check("run-1").unwrap();
    assert!(!plan.load.is_prepared);
}

#[test]
fn what_is_wrong_is_refused_by_name() {
    for (pairs, wanted) in [
        (vec![("target", "tape")], "--target"),
        (vec![("drive", "/dev/sdx")], "--target raw"),
        (vec![("target", "raw")], "--drive"),
        (vec![("target", "raw"), ("drive", "/does/not/exist")], "--drive-bytes"),
        (vec![("target", "raw"), ("drive", "/proc")], "neither"),
        (vec![("target", "raw"), ("drive", "/x"), ("mix", "get=1,head=1")], "head"),
        (vec![("target", "raw"), ("drive", "/x"), ("size", "5000")], "--size"),
        (vec![("target", "raw"), ("drive", "/x"), ("size", "log2(1GiB)")], "--size"),
        (vec![("target", "raw"), ("drive", "/x"), ("bucket", "abc")], "--bucket"),
        (vec![("target", "net"), ("endpoint", "http://localhost:1")], "tcp://"),
        (vec![("target", "net"), ("mix", "list")], "list"),
        (vec![("target", "net"), ("signing", "signed")], "--signing"),
        (vec![("ca_file", "/x")], "--ca-file"),
        (vec![("target", "net"), ("ca_file", "/x")], "--ca-file"),
        (vec![("endpoint", "https://127.0.0.1:1"), ("ca_file", "/does/not/exist")], "/does/not"),
        (vec![("endpoint", "https://127.0.0.1:1/bucket")], "nothing behind"),
        (vec![("endpoint", "localhost:9000")], "http:// or https://"),
        (vec![("endpoint", "http://localhost:9000/bucket")], "nothing behind"),
        (vec![("bucket", "no/bucket")], "--bucket"),
        (vec![("mix", "get=1,fetch=1")], "fetch"),
        (vec![("size", "huge")], "huge"),
        (vec![("size", "file:/does/not/exist")], "/does/not/exist"),
        (vec![("keys", "0")], "--keys"),
        (vec![("keys", "1"), ("threads", "2")], "--keys"),
        (vec![("inflight", "many")], "--inflight"),
        (vec![("inflight", "1"), ("threads", "2")], "--threads"),
        (vec![("rate", "fast")], "fast"),
        (vec![("rate", "1k"), ("mix", "get@1k")], "--mix"),
        (vec![("rate", "1k"), ("inflight", "4")], "--connections"),
        (vec![("duration", "30")], "--duration"),
        (vec![("duration", "0s")], "--duration"),
        (vec![("timeout", "0s")], "--timeout"),
        (vec![("rate", "ramp:1..9/10s"), ("duration", "30s")], "10 s"),
        (vec![("repeats", "0")], "--repeats"),
        (vec![("slo", "p99=5ms")], "--find-knee"),
        (vec![("signing", "v2")], "--signing"),
        (vec![("verify", "1/0")], "--verify"),
        (vec![("part_size", "1MiB")], "--part-size"),
        (vec![("compressible", "101")], "--compressible"),
        (vec![("cpus", "3-1")], "--cpus"),
        (vec![("server_pid", "x")], "--server-pid"),
        (vec![("server_pid", "4294967295")], "--server-pid"),
    ] {
        let message = settings(&pairs).check("run-1").unwrap_err().to_string();
        assert!(message.contains(wanted), "{pairs:?}: {message}");
    }
    let mut none = settings(&[("access_key", "only-half")]);
    none.anonymous = false;
    // Only where the environment has none either.
    if std::env::var_os("AWS_SECRET_ACCESS_KEY").is_none() {
        assert!(none.check("run-1").unwrap_err().to_string().contains("--anonymous"));
    }
}

/// Settings of a drive that would be made.
#[test]
fn a_step_of_a_search_is_longer_than_the_second_that_does_not_count() {
    let search = |duration| {
        let mut search = settings(&[("slo", "p99=5ms"), ("duration", duration)]);
        search.find_knee = true;
        search.check("run-1").map(|(plan, _)| plan.duration.as_secs())
    };
    assert_eq!(search("2s").unwrap(), 2);
    let message = search("1500ms").unwrap_err().to_string();
    assert!(message.contains("--duration"), "{message}");
}

fn raw(more: &[(&str, &str)]) -> Settings {
    let drive = [("target", "raw"), ("drive", "/does/not/exist"), ("drive_bytes", "1MiB")];
    settings(&[drive.as_slice(), more].concat())
}

#[test]
fn a_drive_has_as_many_keys_as_places() {
    let (plan, _) = raw(&[("size", "uniform(1,10000)"), ("inflight", "8")]).check("run-1").unwrap();
    assert_eq!((plan.load.keys.count(), plan.load.is_prepared, plan.lanes), (85, false, 8));
    let TargetPlan::Raw(drive) = &plan.target else { panic!("{}", plan.target) };
    assert_eq!((drive.slot_bytes, drive.drive_bytes), (12_288, 1 << 20));
    assert!(drive.is_missing && !drive.is_written);
    assert!(plan.load.wrote_before > Some(Generation(0)));
    for (more, wanted) in [
        (vec![("keys", "257")], "--keys"),
        (vec![("size", "2MiB")], "--size"),
        (vec![("mix", "get=1,put=1")], "--overwrite-drive"),
    ] {
        let message = raw(&more).check("run-1").unwrap_err().to_string();
        assert!(message.contains(wanted), "{more:?}: {message}");
    }
    let mut written = raw(&[("mix", "put")]);
    written.overwrite_drive = true;
    let (plan, _) = written.check("run-1").unwrap();
    assert!(matches!(&plan.target, TargetPlan::Raw(drive) if drive.is_written));
    let mut many = raw(&[("inflight", "65536"), ("size", "1MiB"), ("threads", "1")]);
    many.drive_bytes = Some("1GiB".to_owned());
    assert!(many.check("run-1").unwrap_err().to_string().contains("--inflight"));
}

#[test]
fn marks_have_a_time_and_a_kind() {
    let mut marked = settings(&[]);
    marked.duration = Some("1h".to_owned());
    let parted = ["2m", "exec:echo a: b", "10s mark:drive 3 pulled", "3m", "mark:x"];
    marked.at = parted.map(str::to_owned).to_vec();
    let (_, options) = marked.check("run-1").unwrap();
    assert_eq!(options.marks.len(), 3);
    assert_eq!(options.marks[0].text, "drive 3 pulled");
    assert_eq!(options.marks[1].command.as_deref(), Some("echo a: b"));
    assert_eq!(options.marks[1].at.as_secs(), 120);
    for wrong in ["", "10s", "mark:x", "10s shout:x", "soon mark:x", "2h mark:x"] {
        marked.at = vec![wrong.to_owned()];
        assert!(marked.check("run-1").unwrap_err().to_string().contains("--at"), "{wrong}");
    }
}

#[test]
fn flags_go_before_the_file() {
    let directory = std::env::temp_dir().join(format!("bench-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("scenario.toml");
    std::fs::write(&path, "keys = 500\nmix = \"put\"\nrate = \"1k\"\nsweep = true\n").unwrap();
    let flags = settings(&[("mix", "get"), ("inflight", "4")]);
    let all = flags.over_file(&path).unwrap();
    assert_eq!((all.keys.as_deref(), all.mix.as_deref()), (Some("500"), Some("get")));
    assert_eq!((all.rate, all.inflight.as_deref(), all.sweep), (None, Some("4"), true));
    std::fs::write(&path, "kyes = 500\n").unwrap();
    let message = flags.over_file(&path).unwrap_err().to_string();
    assert!(message.contains("kyes") && message.contains("scenario.toml"), "{message}");
    std::fs::remove_dir_all(&directory).unwrap();
}
