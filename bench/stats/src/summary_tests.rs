use super::*;
use crate::testing::interval;

fn facts() -> RunFacts {
    RunFacts {
        run_id: "2026-11-30T10-00-00".to_owned(),
        repeat: 2,
        target: "s3".to_owned(),
        load: Load::Open,
        started_unix_ms: 1_764_493_200_007,
    }
}

fn summary() -> Summary {
    let mut total = Interval::default();
    for second in 0..4 {
        total.add(&interval(second + 1, second));
    }
    let client = ClientFacts { threads: 2, busiest_thread_percent: 61.5, steal_percent: 0.4 };
    let server = ServerCounters {
        cpu_seconds: 0.1,
        device_bytes_written: Some(5 << 20),
        flushes: Some(40),
        batch_sizes: BTreeMap::from([("16".to_owned(), 12), ("inf".to_owned(), 1)]),
        ..ServerCounters::default()
    };
    Summary::new(facts(), &total, &Interval::default(), (client, Some(server)), &Limits::default())
}

#[test]
fn a_summary_comes_back_from_its_json() {
    let summary = summary();
    let json = summary.to_json().unwrap();
    assert_eq!(Summary::from_json(json.as_bytes()).unwrap(), summary);
}

#[test]
fn the_names_are_those_of_the_documentation() {
    let json: serde_json::Value = serde_json::from_str(&summary().to_json().unwrap()).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["load"], "open");
    assert_eq!(json["total"]["count"], 3_200);
    assert_eq!(json["operations"]["get"]["count"], 1_600);
    assert_eq!(json["operations"]["get"]["errors"]["SlowDown"], 2 + 3 + 3 + 4 + 4 + 5 + 5 + 6);
    assert_eq!(json["operations"]["get"]["operations_per_second"], 400.0);
    assert_eq!(json["operations"]["get"]["sizes"]["to_64KiB"]["count"], 800);
    assert!(json["operations"]["get"]["latency"]["response"]["p999_us"].is_f64());
    assert!(json["operations"]["list"].get("sizes").is_none(), "one class is the operation");
    assert_eq!(json["server"]["flushes"], 40);
    assert_eq!(json["server"]["batch_sizes"]["16"], 12);
    assert!(json["server"].get("device_bytes_read").is_none(), "unknown is absent, not zero");
    assert_eq!(json["server"]["cpu_us_per_operation"], 0.1 * 1e6 / 3_200.0);
    let kinds: Vec<&serde_json::Value> = json["verdict"]["reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| &reason["kind"])
        .collect();
    assert!(kinds.iter().any(|kind| **kind == "mismatches"), "{kinds:?}");
}

#[test]
fn percentiles_are_those_of_the_merged_latencies() {
    let mut merged = Histogram::default();
    for second in 0..4 {
        let interval = interval(second + 1, second);
        merged.add(interval.operation(Operation::Get).latency(LatencyKind::Response));
    }
    let summary = summary();
    let response = summary.operations["get"].latency["response"];
    assert_eq!(response.count, 1_600);
    assert_eq!(response.p99_us, merged.quantile_ns(0.99) as f64 / 1e3);
    assert!(response.min_us <= response.p50_us && response.p9999_us <= response.max_us);
}

#[test]
fn an_empty_run_has_a_finite_summary() {
    let client = ClientFacts::default();
    let server = Some(ServerCounters::default());
    let summary = Summary::new(
        facts(),
        &Interval::default(),
        &Interval::default(),
        (client, server),
        &Limits::default(),
    );
    assert!(!summary.verdict.valid);
    assert_eq!(summary.client.cpu_us_per_operation, None);
    assert_eq!(summary.client.schedule_lag, None, "a closed loop has no schedule");
    assert_eq!(Summary::from_json(summary.to_json().unwrap().as_bytes()).unwrap(), summary);
}

#[test]
fn other_files_are_refused() {
    let newer = summary().to_json().unwrap().replacen("\"schema\": 1", "\"schema\": 9", 1);
    let message = Summary::from_json(newer.as_bytes()).unwrap_err().to_string();
    assert!(message.contains('9') && message.contains('1'), "{message}");
    assert!(matches!(Summary::from_json(b"{}"), Err(StatsError::Json(_))));
    assert!(matches!(Summary::from_json(b"\xff"), Err(StatsError::Json(_))));
    let large = vec![b' '; SUMMARY_BYTES_MAX + 1];
    assert!(matches!(Summary::from_json(&large), Err(StatsError::TooLarge { .. })));
}
