//! What the server says of itself: CPU time, device bytes, flushes, batches.
//!
//! Sources: basalt's `/-/metrics`; for any server on this machine `/proc/PID/stat`; for the engine
//! of this process what its node reports.

use bench_stats::ServerCounters;
use shards_node::NodeReport;
use std::collections::BTreeMap;

/// Counters at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Reading {
    cpu_seconds: f64,
    read_bytes: Option<u64>,
    written_bytes: Option<u64>,
    flushes: Option<u64>,
    log_batches: Option<u64>,
    log_records: Option<u64>,
}

impl Reading {
    /// Of a text of metrics; `None` where it is not basalt's.
    pub(crate) fn of_metrics(text: &str) -> Option<Self> {
        let mut reading = Self { cpu_seconds: -1.0, ..Self::default() };
        for line in text.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let name = series.split('{').next().unwrap_or(series);
            let sum = match name {
                "basalt_process_cpu_seconds_total" => {
                    reading.cpu_seconds = value;
                    continue;
                }
                "basalt_drive_read_bytes_total" => &mut reading.read_bytes,
                "basalt_drive_write_bytes_total" => &mut reading.written_bytes,
                "basalt_drive_flushes_total" => &mut reading.flushes,
                "basalt_drive_log_batches_total" => &mut reading.log_batches,
                "basalt_drive_log_records_total" => &mut reading.log_records,
                _ => continue,
            };
            *sum = Some(sum.unwrap_or(0) + value as u64);
        }
        (reading.cpu_seconds >= 0.0).then_some(reading)
    }

    /// What basalt's metrics say of its build and profile, as a manifest has it.
    pub(crate) fn facts_of_metrics(text: &str) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        for (metric, label, name) in [
            ("basalt_build_info", "version", "build.server_version"),
            ("basalt_build_info", "commit", "build.server_commit"),
            ("basalt_profile_info", "name", "server.profile"),
        ] {
            let mut lines = text.lines();
            let labels = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
            let start = format!("{label}=\"");
            let value = labels.and_then(|labels| {
                let of_label =
                    labels.split(',').find_map(|one| one.strip_prefix(start.as_str()))?;
                of_label.split('"').next()
            });
            if let Some(value) = value {
                facts.insert(name.to_owned(), value.to_owned());
            }
        }
        facts
    }

    /// Of a process of this machine.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let cpu_seconds = shards_executor::process_cpu_seconds(pid)?;
        Some(Self { cpu_seconds, ..Self::default() })
    }

    /// Of the engine of this process, whose threads have spent so much.
    pub(crate) fn of_engine(cpu_seconds: f64, report: &NodeReport) -> Self {
        let mut reading = Self { cpu_seconds, ..Self::default() };
        for drive in &report.drives {
            for (sum, count) in [
                (&mut reading.read_bytes, drive.io.read_bytes),
                (&mut reading.written_bytes, drive.io.write_bytes),
                (&mut reading.flushes, drive.io.flushes),
                (&mut reading.log_batches, drive.usage.batches),
                (&mut reading.log_records, drive.usage.records),
            ] {
                *sum = Some(sum.unwrap_or(0) + count);
            }
        }
        reading
    }

    /// What was spent since an earlier reading.
    pub(crate) fn since(&self, before: &Self) -> ServerCounters {
        let between =
            |later: Option<u64>, earlier: Option<u64>| Some(later?.saturating_sub(earlier?));
        let mut batch_sizes = BTreeMap::new();
        for (name, count) in [
            ("log_batches", between(self.log_batches, before.log_batches)),
            ("log_records", between(self.log_records, before.log_records)),
        ] {
            if let Some(count) = count {
                batch_sizes.insert(name.to_owned(), count);
            }
        }
        ServerCounters {
            cpu_seconds: (self.cpu_seconds - before.cpu_seconds).max(0.0),
            device_bytes_read: between(self.read_bytes, before.read_bytes),
            device_bytes_written: between(self.written_bytes, before.written_bytes),
            flushes: between(self.flushes, before.flushes),
            batch_sizes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_all_drives_are_added() {
        let text = |cpu: f64, bytes: u64| {
            format!(
                "# HELP x\nbasalt_process_cpu_seconds_total {cpu}\n\
                 basalt_drive_write_bytes_total{{drive=\"/a b\",uuid=\"1\"}} {bytes}\n\
                 basalt_drive_write_bytes_total{{drive=\"/c\",uuid=\"2\"}} {bytes}\n\
                 basalt_drive_log_batches_total{{drive=\"/c\",uuid=\"2\"}} 4\n"
            )
        };
        let before = Reading::of_metrics(&text(1.5, 100)).unwrap();
        let after = Reading::of_metrics(&text(2.0, 160)).unwrap();
        let spent = after.since(&before);
        assert_eq!((spent.cpu_seconds, spent.device_bytes_written), (0.5, Some(120)));
        assert_eq!((spent.flushes, spent.device_bytes_read), (None, None));
        assert_eq!(spent.batch_sizes["log_batches"], 0);
        assert_eq!(Reading::of_metrics("go_goroutines 8\n"), None);
    }

    #[test]
    fn build_and_profile_of_the_server_are_facts() {
        let text = "# HELP basalt_build_info x\n\
            basalt_build_info{version=\"0.1.0\",commit=\"abc\",driver=\"uring\"} 1\n\
            basalt_profile_info{name=\"lab\",source=\"measured\"} 1\n";
        let facts: Vec<(String, String)> = Reading::facts_of_metrics(text).into_iter().collect();
        let expected = [
            ("build.server_commit", "abc"),
            ("build.server_version", "0.1.0"),
            ("server.profile", "lab"),
        ];
        assert_eq!(facts, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(Reading::facts_of_metrics("go_goroutines 8\n").is_empty());
    }
}
