//! Status and metrics of the node, as the edge serves them.

use super::ServerOptions;
use super::chosen::Chosen;
use super::edge::metrics::{RequestMetrics, head};
use crate::status::{DriveStatus, Status};
use crate::version;
use gateway_core::shards::budget::{BudgetUsage, MemoryBudget};
use gateway_s3::Node as EdgeNode;
use shards_node::{ArenaStatistics, DriveReport, DriveState, Node, NodeReport};
use std::fmt::Write;
use std::sync::Arc;

/// The node as the edge sees it.
pub struct NodeView {
    node: Node,
    requests: Arc<RequestMetrics>,
    budget: MemoryBudget,
    memory_bytes: u64,
    driver: &'static str,
    chosen: Arc<Chosen>,
    metrics_public: bool,
}

impl NodeView {
    /// A view of the node, of what its gateways count, of their memory, and of what was chosen.
    pub fn new(
        node: Node,
        (requests, budget): (Arc<RequestMetrics>, MemoryBudget),
        (options, driver): (&ServerOptions, &'static str),
        chosen: Arc<Chosen>,
    ) -> Self {
        Self {
            node,
            requests,
            budget,
            memory_bytes: options.memory_bytes,
            driver,
            chosen,
            metrics_public: options.metrics_public,
        }
    }
}

impl EdgeNode for NodeView {
    fn ready(&self) -> bool {
        self.node.report().ready
    }

    fn readable(&self) -> bool {
        self.node.report().readable
    }

    fn metrics(&self) -> String {
        let report = self.node.report();
        let mut text = String::new();
        render_build(&mut text, self.driver);
        self.chosen.render(&mut text);
        render_node(&mut text, &report);
        self.requests.render(&mut text);
        render_memory(&mut text, self.memory_bytes, &self.budget.usage());
        render_arenas(&mut text, &report.arenas);
        text
    }

    fn status_json(&self) -> String {
        let report = self.node.report();
        let status = Status {
            version: version::VERSION.to_owned(),
            commit: version::COMMIT.to_owned(),
            driver: self.driver.to_owned(),
            profile: self.chosen.hardware.profile.clone(),
            objects_short_of_protection: short_of_protection(&report),
            objects_short_counted: report.objects_short_of_protection(),
            drives: report.drives.iter().map(|drive| drive_status(drive, &self.chosen)).collect(),
            objects_unreadable: report.objects_unreadable,
        };
        serde_json::to_string(&status).unwrap_or_default()
    }

    fn metrics_public(&self) -> bool {
        self.metrics_public
    }
}

/// Known only while every drive is in sync: otherwise the count lags behind what is written, and a
/// set that does not serve may not be counted at all.
fn short_of_protection(report: &NodeReport) -> Option<u64> {
    (report.drives_out() == 0).then(|| report.objects_short_of_protection())
}

fn drive_status(drive: &DriveReport, chosen: &Chosen) -> DriveStatus {
    let usage = &drive.usage;
    DriveStatus {
        path: drive.path.display().to_string(),
        uuid: drive.uuid.clone(),
        set: drive.set.0.into(),
        position: drive.position.0.into(),
        shard: drive.shard as u64,
        class: chosen.class_of(&drive.path).to_owned(),
        state: drive.state.word().to_owned(),
        used_bytes: used_bytes(drive),
        free_bytes: usage.free_bytes,
        errors: drive.io.errors + drive.io.timeouts + usage.corrupt_blocks,
        advice: drive.advice.clone(),
    }
}

/// A metric of a drive: name, type, help, value.
type DriveMetric = (&'static str, &'static str, &'static str, fn(&DriveReport) -> f64);

const DRIVE_METRICS: [DriveMetric; 36] = [
    ("drive_in_sync", "gauge", "Whether the drive serves.", |d| {
        f64::from(u8::from(d.state == DriveState::InSync))
    }),
    ("drive_used_bytes", "gauge", "What is taken, the reserve included.", |d| used_bytes(d) as f64),
    ("drive_capacity_bytes", "gauge", "The most the drive may hold.", |d| {
        d.usage.capacity_bytes as f64
    }),
    ("drive_free_bytes", "gauge", "What data may still take.", |d| d.usage.free_bytes as f64),
    ("drive_reads_total", "counter", "Reads.", |d| d.io.reads as f64),
    ("drive_writes_total", "counter", "Writes.", |d| d.io.writes as f64),
    ("drive_flushes_total", "counter", "Flushes.", |d| d.io.flushes as f64),
    ("drive_read_bytes_total", "counter", "Bytes read.", |d| d.io.read_bytes as f64),
    ("drive_write_bytes_total", "counter", "Bytes written.", |d| d.io.write_bytes as f64),
    ("drive_errors_total", "counter", "I/O errors and timeouts.", |d| {
        (d.io.errors + d.io.timeouts) as f64
    }),
    ("drive_corrupt_blocks_total", "counter", "Blocks whose sum did not hold.", |d| {
        d.usage.corrupt_blocks as f64
    }),
    ("drive_healed_total", "counter", "Fragments and payloads written anew.", |d| {
        d.usage.healed as f64
    }),
    ("drive_quarantined_segments", "gauge", "Segments left alone, for bytes went bad.", |d| {
        f64::from(d.usage.quarantined_segments)
    }),
    ("drive_objects_short", "gauge", "Objects it owns that are short of protection.", |d| {
        d.objects_short as f64
    }),
    ("drive_read_seconds_total", "counter", "Time of reads, added up.", |d| seconds(d.io.read_us)),
    ("drive_write_seconds_total", "counter", "Time of writes, added up.", |d| {
        seconds(d.io.write_us)
    }),
    ("drive_flush_seconds_total", "counter", "Time of flushes, added up.", |d| {
        seconds(d.io.flush_us)
    }),
    ("drive_queue_depth", "gauge", "I/Os at the drive.", |d| d.io.in_flight as f64),
    ("drive_unsettled", "gauge", "Writes not known to be on all drives yet.", |d| {
        d.usage.pending as f64
    }),
    ("drive_log_batches_total", "counter", "Log batches.", |d| d.usage.batches as f64),
    ("drive_log_records_total", "counter", "Log records.", |d| d.usage.records as f64),
    ("drive_log_sealed_total", "counter", "Log segments given up for failed writes.", |d| {
        d.usage.sealed_segments as f64
    }),
    ("drive_log_depth", "gauge", "Log records not durable yet.", |d| d.usage.log_depth as f64),
    ("drive_checkpoints_total", "counter", "Checkpoints.", |d| d.usage.checkpoints as f64),
    ("drive_cleaned_segments_total", "counter", "Segments cleaned.", |d| {
        d.usage.cleaned_segments as f64
    }),
    ("drive_index_memory_bytes", "gauge", "Memory of the index.", |d| {
        d.usage.index_memory_bytes as f64
    }),
    ("drive_shard", "gauge", "The shard that owns the drive.", |d| d.shard as f64),
    ("drive_read_queue_depth_max", "gauge", "Reads that may be at the drive at once.", |d| {
        f64::from(d.limits.read_queue_depth_max)
    }),
    ("drive_write_queue_depth_max", "gauge", "Writes that may be at the drive at once.", |d| {
        f64::from(d.limits.write_queue_depth_max)
    }),
    ("drive_split_bytes", "gauge", "What larger I/O is split into.", |d| {
        d.limits.split_bytes as f64
    }),
    ("drive_background_share", "gauge", "What background work may take of the drive.", |d| {
        d.limits.background_share
    }),
    ("drive_in_flight_reads_max", "gauge", "Most reads at once since the start.", |d| {
        d.io.in_flight_reads_max as f64
    }),
    ("drive_in_flight_writes_max", "gauge", "Most writes at once since the start.", |d| {
        d.io.in_flight_writes_max as f64
    }),
    ("drive_waited_total", "counter", "I/Os that waited for a place at the drive.", |d| {
        d.io.waited as f64
    }),
    ("drive_background_ios_total", "counter", "I/Os of background work.", |d| {
        d.io.background_ios as f64
    }),
    ("drive_background_bytes_total", "counter", "Bytes of background work.", |d| {
        d.io.background_bytes as f64
    }),
];

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn used_bytes(drive: &DriveReport) -> u64 {
    drive.usage.capacity_bytes.saturating_sub(drive.usage.free_bytes)
}

fn render_build(out: &mut String, driver: &str) {
    head(out, "build_info", "gauge", "What this build is and runs on.");
    let (version, commit) = (version::VERSION, version::COMMIT);
    let kernel = engine_codec::self_test().chosen;
    // Writing to a string does not fail.
    _ = writeln!(
        out,
        "basalt_build_info{{version=\"{version}\",commit=\"{commit}\",driver=\"{driver}\",\
         kernel=\"{kernel}\"}} 1"
    );
}

fn render_node(out: &mut String, report: &NodeReport) {
    let mut gauge = |name: &str, help: &str, value: f64| {
        // Writing to a string does not fail.
        _ = write!(
            out,
            "# HELP basalt_{name} {help}\n# TYPE basalt_{name} gauge\nbasalt_{name} {value}\n"
        );
    };
    gauge("node_ready", "Whether reads and writes are served.", f64::from(u8::from(report.ready)));
    gauge("node_readable", "Whether reads are served.", f64::from(u8::from(report.readable)));
    gauge("node_drives_out", "Drives that do not serve.", report.drives_out() as f64);
    gauge("cluster_positions_out", "Positions out of sync.", report.positions_out as f64);
    let short = report.objects_short_of_protection() as f64;
    let help = "Objects short of copies or fragments, as counted last.";
    gauge("cluster_objects_short_of_protection", help, short);
    let unreadable = report.objects_unreadable as f64;
    gauge("cluster_objects_unreadable", "Objects no drives in sync can make whole.", unreadable);
    gauge("node_view_changes", "Changes of view since the start.", report.view_changes as f64);
    for (name, kind, help, value) in DRIVE_METRICS {
        _ = write!(out, "# HELP basalt_{name} {help}\n# TYPE basalt_{name} {kind}\n");
        for drive in &report.drives {
            _ = writeln!(out, "basalt_{name}{{{}}} {}", labels_of(drive), value(drive));
        }
    }
    render_states(out, &report.drives);
}

/// What names a drive in its samples.
fn labels_of(drive: &DriveReport) -> String {
    let path = drive.path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("drive=\"{path}\",uuid=\"{}\"", drive.uuid)
}

/// A sample for each state, not a number for the state: alerts name it by its word.
fn render_states(out: &mut String, drives: &[DriveReport]) {
    head(out, "drive_state", "gauge", "1 for the state the drive is in, 0 for the others.");
    for drive in drives {
        let labels = labels_of(drive);
        for state in DriveState::ALL {
            let (word, value) = (state.word(), u8::from(state == drive.state));
            // Writing to a string does not fail.
            _ = writeln!(out, "basalt_drive_state{{{labels},state=\"{word}\"}} {value}");
        }
    }
}

/// Memory and CPU time of the process, and what bodies hold of the memory.
fn render_memory(out: &mut String, memory_bytes: u64, usage: &BudgetUsage) {
    // Writing to a string does not fail.
    for (name, kind, help, value) in [
        ("memory_limit_bytes", "gauge", "The memory setting.", Some(memory_bytes)),
        ("memory_resident_bytes", "gauge", "Memory of the process.", resident_bytes()),
        ("memory_bodies_limit_bytes", "gauge", "The budget for bodies.", Some(usage.budget_bytes)),
        ("memory_revoked_total", "counter", "Bodies cut off as too slow.", Some(usage.revoked)),
        ("memory_refused_total", "counter", "Waits for memory in vain.", Some(usage.refused)),
    ] {
        if let Some(value) = value {
            head(out, name, kind, help);
            _ = writeln!(out, "basalt_{name} {value}");
        }
    }
    if let Some(seconds) = shards_executor::process_cpu_seconds(std::process::id()) {
        head(out, "process_cpu_seconds_total", "counter", "CPU time of the process, kernel's too.");
        _ = writeln!(out, "basalt_process_cpu_seconds_total {seconds}");
    }
    head(out, "memory_bodies_held_bytes", "gauge", "What bodies hold of their budget.");
    for lane in &usage.lanes {
        let (word, held) = (lane.lane.word(), lane.held_bytes);
        _ = writeln!(out, "basalt_memory_bodies_held_bytes{{lane=\"{word}\"}} {held}");
    }
    head(out, "memory_bodies_waiting", "gauge", "Bodies that wait for memory.");
    for lane in &usage.lanes {
        let (word, waiting) = (lane.lane.word(), lane.waiting);
        _ = writeln!(out, "basalt_memory_bodies_waiting{{lane=\"{word}\"}} {waiting}");
    }
}

/// The memory that I/O buffers lie in.
fn render_arenas(out: &mut String, arenas: &ArenaStatistics) {
    for (name, kind, help, value) in [
        ("memory_arena_bytes", "gauge", "Memory kept for I/O buffers.", arenas.bytes),
        ("memory_arena_used_bytes", "gauge", "What I/O buffers take of it.", arenas.used_bytes),
        ("memory_arena_buffers_total", "counter", "I/O buffers in it.", arenas.served),
        (
            "memory_arena_missed_total",
            "counter",
            "I/O buffers that had no place in it and were allocated by themselves.",
            arenas.plain,
        ),
    ] {
        head(out, name, kind, help);
        // Writing to a string does not fail.
        _ = writeln!(out, "basalt_{name} {value}");
    }
}

/// Memory of this process; `statm` would need the size of a page.
fn resident_bytes() -> Option<u64> {
    resident_of(&std::fs::read_to_string("/proc/self/status").ok()?)
}

fn resident_of(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drive(path: &str, state: DriveState) -> DriveReport {
        DriveReport {
            path: path.into(),
            shard: 0,
            limits: Default::default(),
            uuid: "u".to_owned(),
            set: Default::default(),
            position: Default::default(),
            state,
            advice: String::new(),
            usage: Default::default(),
            io: Default::default(),
            objects_short: 2,
        }
    }

    fn one_of_two_failed() -> NodeReport {
        let drives = vec![drive("/d1", DriveState::InSync), drive("/d\"2", DriveState::Failed)];
        NodeReport { drives, ..NodeReport::default() }
    }

    #[test]
    fn a_drive_is_in_one_state() {
        let mut text = String::new();
        render_node(&mut text, &one_of_two_failed());
        let shown: Vec<&str> =
            text.lines().filter(|line| line.starts_with("basalt_drive_state{")).collect();
        let expected = [
            r#"basalt_drive_state{drive="/d1",uuid="u",state="in-sync"} 1"#,
            r#"basalt_drive_state{drive="/d1",uuid="u",state="catching-up"} 0"#,
            r#"basalt_drive_state{drive="/d1",uuid="u",state="missing"} 0"#,
            r#"basalt_drive_state{drive="/d1",uuid="u",state="failed"} 0"#,
            r#"basalt_drive_state{drive="/d\"2",uuid="u",state="in-sync"} 0"#,
            r#"basalt_drive_state{drive="/d\"2",uuid="u",state="catching-up"} 0"#,
            r#"basalt_drive_state{drive="/d\"2",uuid="u",state="missing"} 0"#,
            r#"basalt_drive_state{drive="/d\"2",uuid="u",state="failed"} 1"#,
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_counted_is_shown_while_drives_are_out() {
        let report = one_of_two_failed();
        assert_eq!(short_of_protection(&report), None);
        let mut text = String::new();
        render_node(&mut text, &report);
        let counted = "basalt_cluster_objects_short_of_protection 2";
        assert!(text.lines().any(|shown| shown == counted), "{text}");
    }

    #[test]
    fn memory_is_shown() {
        assert_eq!(resident_of("VmSize:\t 9 kB\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident_of("VmSize:\t 9 kB\n"), None);
        let budget = MemoryBudget::new(1 << 20, || 0);
        let mut text = String::new();
        render_memory(&mut text, 5 << 20, &budget.usage());
        for line in [
            "basalt_memory_limit_bytes 5242880",
            "basalt_memory_bodies_limit_bytes 1048576",
            "basalt_memory_bodies_held_bytes{lane=\"long\"} 0",
            "basalt_memory_bodies_waiting{lane=\"small_read\"} 0",
        ] {
            assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
        }
        assert!(text.contains("\nbasalt_memory_resident_bytes "), "{text}");
        assert!(text.contains("\nbasalt_process_cpu_seconds_total "), "{text}");
        let arenas = ArenaStatistics { bytes: 8, used_bytes: 4, served: 3, plain: 2 };
        render_arenas(&mut text, &arenas);
        assert!(text.lines().any(|shown| shown == "basalt_memory_arena_missed_total 2"), "{text}");
    }
}
