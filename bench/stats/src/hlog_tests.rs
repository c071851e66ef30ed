use super::*;
use crate::testing::interval;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry as TheirEntry};

const STARTED_UNIX_MS: u64 = 1_764_493_200_007;

fn written(intervals: &[Interval], detail: Detail) -> Vec<u8> {
    let mut writer = HlogWriter::new(Vec::new(), STARTED_UNIX_MS, detail).unwrap();
    for interval in intervals {
        writer.write(interval).unwrap();
    }
    writer.comment("mark:\ndrive 3 offline").unwrap();
    writer.finish().unwrap()
}

fn seconds() -> Vec<Interval> {
    (0..4).map(|second| interval(second + 1, second)).collect()
}

#[test]
fn the_head_is_that_of_the_format() {
    let log = String::from_utf8(written(&seconds(), Detail::Operations)).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines[1], "#[Histogram log format version 1.3]");
    assert_eq!(lines[2], "#[StartTime: 1764493200.007 (seconds since epoch)]");
    assert_eq!(lines[3], "#[BaseTime: 1764493200.007 (seconds since epoch)]");
    assert_eq!(
        lines[4],
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    );
    assert!(lines[5].starts_with("Tag=put.response,0.000,1.000,"), "{}", lines[5]);
    assert!(lines[5].contains(",HISTFAAA"), "{}", lines[5]);
    assert_eq!(lines[lines.len() - 1], "# mark: drive 3 offline");
}

#[test]
fn the_reference_reads_the_log() {
    let log = written(&seconds(), Detail::Operations);
    let mut histograms = 0;
    for entry in IntervalLogIterator::new(&log) {
        let entry = entry.expect("the reference reads every line");
        let TheirEntry::Interval(line) = entry else {
            continue;
        };
        let tag = line.tag().unwrap().as_str().to_owned();
        let second = line.start_timestamp().as_secs();
        let (operation, kind) = tag.split_once('.').unwrap();
        let cell = seconds()[second as usize].operation(operation_of(operation).unwrap());
        let ours = cell.latency(LatencyKind::parse(kind).unwrap()).clone();
        let bytes = base64_simd::STANDARD.decode_to_vec(line.encoded_histogram()).unwrap();
        let mut input = bytes.as_slice();
        let theirs = Deserializer::new().deserialize::<u64, _>(&mut input).unwrap();
        assert_eq!(theirs.len(), ours.count());
        assert_eq!(theirs.value_at_quantile(0.99), ours.quantile_ns(0.99));
        histograms += 1;
    }
    // Three operations, two kinds, four seconds.
    assert_eq!(histograms, 24);
}

#[test]
fn size_classes_come_back_where_they_are_told_apart() {
    let read = read_intervals(written(&seconds(), Detail::SizeClasses).as_slice()).unwrap();
    assert_eq!(read.len(), 4);
    for (read, original) in read.iter().zip(seconds()) {
        assert_eq!((read.start_ns, read.end_ns), (original.start_ns, original.end_ns));
        assert_eq!(read.cells().len(), original.cells().len());
        for (operation, size_class, cell) in original.cells() {
            let again = read.cell(operation, size_class).unwrap();
            assert_eq!(again.count, cell.count);
            for kind in LatencyKind::ALL {
                assert_eq!(again.latency(kind), cell.latency(kind));
            }
        }
    }
}

#[test]
fn operations_come_back_merged() {
    let read = read_intervals(written(&seconds(), Detail::Operations).as_slice()).unwrap();
    let mut whole = Interval::default();
    for interval in &read {
        whole.add(interval);
    }
    let mut original = Interval::default();
    for interval in seconds() {
        original.add(&interval);
    }
    let cell = whole.cell(Operation::Get, SizeClass::Any).unwrap();
    let expected = original.operation(Operation::Get);
    assert_eq!(cell.count, 1_600);
    assert_eq!(cell.latency(LatencyKind::Response), expected.latency(LatencyKind::Response));
}

#[test]
fn bad_lines_are_named() {
    let good = String::from_utf8(written(&seconds()[..1], Detail::Operations)).unwrap();
    let line = good.lines().nth(5).unwrap().to_owned();
    let cases = [
        (line.replace("Tag=put.response", "Tag=putt.response"), "`putt`"),
        (line.replace("Tag=put.response", "Tag=put.middle"), "`middle`"),
        (line.replace("Tag=put.response", "Tag=put"), "is not like"),
        (line.replace("Tag=put.response,", ""), "no tag"),
        (line.replace(",0.000,", ",-1,"), "`-1`"),
        (line.replace(",0.000,", ",NaN,"), "`NaN`"),
        (line.replace(",0.000,", ",1e300,"), "`1e300`"),
        (line.replace(",HISTF", ",!"), "base64"),
        ("Tag=put.response,1,2".to_owned(), "five fields"),
        (line[..line.len() - 8].to_owned(), "damaged histogram"),
    ];
    for (text, expected) in cases {
        let log = format!("#comment\n{text}\n{line}\n");
        let mut reader = HlogReader::new(log.as_bytes());
        let message = reader.next().unwrap().unwrap_err().to_string();
        assert!(message.starts_with("line 2 "), "{message}");
        assert!(message.contains(expected), "{message}");
        assert!(reader.next().is_none(), "the first error ends the log");
    }
}

#[test]
fn a_line_without_end_is_not_read_into_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = HlogReader::new(endless).next().unwrap().unwrap_err();
    assert!(matches!(error, StatsError::TooLarge { .. }), "{error}");
}
