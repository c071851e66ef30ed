//! What the server has chosen for this machine, as its log and its metrics tell it.
//!
//! Invariants: what is told is what the shards were told, not what the profile wanted; everything
//! is told once, at the start; a trial that nobody gave a profile gets one line.

use super::edge::metrics::head;
use super::hardware::Hardware;
use super::placement::Placement;
use crate::logging::{self, Level};
use hw_profile::{CheckRow, CheckVerdict, DrivePlan, LimitsSource};
use shards_node::NodeConfig;
use std::fmt::Write;
use std::path::Path;

/// Lines about what is not as it should be; more are counted.
const LINES_MAX: usize = 10;

/// The hardware and what was made of it.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Profile, plan and drift.
    pub hardware: Hardware,
    /// Threads and drives.
    pub placement: Placement,
}

impl Chosen {
    /// The class of a drive of that path; empty where the profile has none.
    pub fn class_of(&self, path: &Path) -> &str {
        let path = path.display().to_string();
        let drive = self.hardware.plan.drives.iter().find(|drive| drive.path == path);
        drive.and_then(|drive| drive.class.as_deref()).unwrap_or_default()
    }

    /// Writes the lines of the log about it.
    pub fn log(&self, config: &NodeConfig) {
        let (hardware, placement) = (&self.hardware, &self.placement);
        logging::info(
            "hardware profile",
            &[
                ("profile", &hardware.profile),
                ("source", &hardware.source),
                ("chosen", &hardware.chosen),
                ("fingerprint", &hardware.fingerprint),
                ("shards", &placement.shards),
                ("shard_cpus", &shown(&placement.shard_cpus)),
                ("gateways", &placement.gateways),
                ("gateway_cpus", &shown(&placement.gateway_cpus)),
                ("control_cpus", &shown(&placement.control_cpus)),
                ("ring_entries", &config.ring_entries),
            ],
        );
        let (news, trouble) = if hardware.is_trial {
            (Level::Debug, Level::Debug)
        } else {
            (Level::Info, Level::Warn)
        };
        for remark in hardware.remarks.iter().chain(&placement.remarks) {
            logging::log(news, remark, &[]);
        }
        self.log_drives(config, news);
        for warning in &placement.warnings {
            logging::log(trouble, warning, &[]);
        }
        self.log_drift(trouble);
    }

    fn log_drives(&self, config: &NodeConfig, level: Level) {
        for (index, drive) in config.drives.iter().enumerate() {
            let plan = self.hardware.plan.drives.get(index);
            let class = plan.and_then(|plan| plan.class.as_deref()).unwrap_or("none");
            let limits = &drive.limits;
            logging::log(
                level,
                "drive limits",
                &[
                    ("drive", &drive.path.display()),
                    ("class", &class),
                    ("shard", &drive.shard.unwrap_or(0)),
                    ("read_queue_depth_max", &limits.read_queue_depth_max),
                    ("write_queue_depth_max", &limits.write_queue_depth_max),
                    ("split_bytes", &limits.split_bytes),
                    ("background_share", &limits.background_share),
                    ("limits_from", &limits_source(plan)),
                ],
            );
        }
    }

    fn log_drift(&self, level: Level) {
        // What becomes of CPUs that are not there, the placement has said.
        let is_told = |row: &&CheckRow| !row.check.starts_with("layout.");
        let rows: Vec<&CheckRow> = self.hardware.drift.iter().filter(is_told).collect();
        // The worst are first; there is one warning for each drive that nobody knows.
        for row in rows.iter().take(LINES_MAX) {
            logging::log(
                level,
                "the machine is not as the profile has it",
                &[
                    ("verdict", &row.verdict.name()),
                    ("check", &row.check),
                    ("found", &row.found),
                    ("wanted", &row.wanted),
                    ("reason", &row.reason),
                ],
            );
        }
        let lines_left = LINES_MAX.saturating_sub(rows.len());
        for warning in self.hardware.warnings.iter().take(lines_left) {
            logging::log(level, warning, &[]);
        }
        let left_out = (self.hardware.warnings.len() + rows.len()).saturating_sub(LINES_MAX);
        if left_out > 0 {
            let text = "more is not as the profile has it: run `basalt profile check` with it and these drives";
            logging::log(level, text, &[("more", &left_out)]);
        }
    }

    /// Adds the metrics about it.
    pub fn render(&self, out: &mut String) {
        let (hardware, placement) = (&self.hardware, &self.placement);
        let (name, source) = (&hardware.profile, hardware.source);
        let (chosen, fingerprint) = (hardware.chosen, hardware.fingerprint);
        head(out, "profile_info", "gauge", "The hardware profile that is obeyed.");
        // Writing to a string does not fail. Names of profiles need no escapes.
        _ = writeln!(
            out,
            "basalt_profile_info{{name=\"{name}\",source=\"{source}\",chosen=\"{chosen}\",\
             fingerprint=\"{fingerprint}\"}} 1"
        );
        head(out, "profile_drift", "gauge", "Where the machine is not as the profile has it.");
        for (severity, verdict) in [("fail", CheckVerdict::Fail), ("warn", CheckVerdict::Warn)] {
            let count = hardware.drift.iter().filter(|row| row.verdict == verdict).count();
            _ = writeln!(out, "basalt_profile_drift{{severity=\"{severity}\"}} {count}");
        }
        for (word, cpus) in [("shard", &placement.shard_cpus), ("gateway", &placement.gateway_cpus)]
        {
            let name = format!("{word}_cpu");
            head(out, &name, "gauge", "The CPU that the thread is pinned to.");
            for (index, cpu) in cpus.iter().enumerate() {
                _ = writeln!(out, "basalt_{name}{{{word}=\"{index}\"}} {cpu}");
            }
        }
        head(out, "control_cpu", "gauge", "1 for each CPU that control and helpers are kept to.");
        for cpu in &placement.control_cpus {
            _ = writeln!(out, "basalt_control_cpu{{cpu=\"{cpu}\"}} 1");
        }
    }
}

fn limits_source(plan: Option<&DrivePlan>) -> &'static str {
    plan.map_or(LimitsSource::Default, |plan| plan.limits_source).word()
}

/// CPUs in the order of their threads.
fn shown(cpus: &[usize]) -> String {
    if cpus.is_empty() {
        return "any".to_owned();
    }
    cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hw_profile::{DriveLimits, Plan};

    fn chosen() -> Chosen {
        let drive = DrivePlan {
            path: "/d1".to_owned(),
            wwid: None,
            class: Some("fast".to_owned()),
            shard: None,
            limits: DriveLimits::default(),
            limits_source: LimitsSource::Budget,
        };
        let row = CheckRow {
            verdict: CheckVerdict::Warn,
            check: "kernel".to_owned(),
            found: "6.18".to_owned(),
            wanted: "6.12".to_owned(),
            reason: "another".to_owned(),
        };
        Chosen {
            hardware: Hardware {
                profile: "lab".to_owned(),
                source: "measured",
                chosen: "given",
                fingerprint: "matches",
                plan: Plan { drives: vec![drive], ..Plan::default() },
                drift: vec![row],
                ..Hardware::default()
            },
            placement: Placement {
                shards: 2,
                shard_cpus: vec![1, 3],
                control_cpus: vec![0],
                ..Placement::default()
            },
        }
    }

    #[test]
    fn metrics_say_what_was_chosen() {
        let mut text = String::new();
        chosen().render(&mut text);
        for line in [
            "basalt_profile_info{name=\"lab\",source=\"measured\",chosen=\"given\",\
             fingerprint=\"matches\"} 1",
            "basalt_profile_drift{severity=\"fail\"} 0",
            "basalt_profile_drift{severity=\"warn\"} 1",
            "basalt_shard_cpu{shard=\"0\"} 1",
            "basalt_shard_cpu{shard=\"1\"} 3",
            "basalt_control_cpu{cpu=\"0\"} 1",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(!text.contains("basalt_gateway_cpu{"), "{text}");
    }

    #[test]
    fn drives_have_their_class_and_threads_their_cpus() {
        let chosen = chosen();
        assert_eq!(chosen.class_of(Path::new("/d1")), "fast");
        assert_eq!(chosen.class_of(Path::new("/d2")), "");
        assert_eq!(limits_source(chosen.hardware.plan.drives.first()), "budget");
        assert_eq!(limits_source(None), "default");
        assert_eq!((shown(&[1, 3]), shown(&[])), ("1,3".to_owned(), "any".to_owned()));
    }
}
