//! The steps of a measurement, and how one is carried out on one drive.
//!
//! Invariants: a sweep ends two points behind the knee; percentiles are of all repeats together, a
//! rate is the mean of its repeats, and how far they were apart is told; memory is bounded whatever
//! depth and size.

use crate::error::MeasureError;
use crate::knee::{Point, is_past_knee, knee};
use crate::load::{Access, BLOCK_BYTES, Drive, LARGE_BYTES, Load, Pattern, Sample, Until};
use bench_stats::Histogram;
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const DEPTH_POWERS: std::ops::RangeInclusive<u32> = 0..=8;
/// 4 KiB to 4 MiB.
const SIZE_POWERS: std::ops::RangeInclusive<u32> = 12..=22;
/// Transfers at once of sequential reads and writes.
const LARGE_DEPTH: u32 = 8;
/// So much is under way at once; larger transfers are fewer then, and enough to fill any drive.
const UNDER_WAY_BYTES_MAX: u64 = 64 << 20;

/// One thing that is found out about a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Everything is written: what never was is read faster than data.
    Prepare,
    /// Random reads of 4 KiB at rising depths.
    ReadDepth,
    /// Random writes of 4 KiB at rising depths.
    WriteDepth,
    /// Reads of 1 MiB one behind the other.
    ReadSequential,
    /// Writes of 1 MiB one behind the other.
    WriteSequential,
    /// Reads of rising sizes.
    ReadSizes,
    /// Writes of rising sizes.
    WriteSizes,
    /// Seven random reads to three writes.
    Mixed,
    /// A read at a time beside sequential writes.
    LoadedRead,
    /// A write at a time, and a flush behind it.
    Flush,
    /// Reads of 1 MiB, of all drives at once.
    AllRead,
    /// Writes of 1 MiB, of all drives at once.
    AllWrite,
}

impl Step {
    /// Those of one drive alone, in their order; later ones use what earlier ones found.
    pub(crate) const ALONE: [Self; 10] = [
        Self::Prepare,
        Self::ReadDepth,
        Self::WriteDepth,
        Self::ReadSequential,
        Self::WriteSequential,
        Self::ReadSizes,
        Self::WriteSizes,
        Self::Mixed,
        Self::LoadedRead,
        Self::Flush,
    ];
    /// Those of all drives together.
    pub(crate) const TOGETHER: [Self; 2] = [Self::AllRead, Self::AllWrite];

    /// As the partial file and the progress have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::ReadDepth => "read-depth",
            Self::WriteDepth => "write-depth",
            Self::ReadSequential => "read-sequential",
            Self::WriteSequential => "write-sequential",
            Self::ReadSizes => "read-sizes",
            Self::WriteSizes => "write-sizes",
            Self::Mixed => "mixed",
            Self::LoadedRead => "loaded-read",
            Self::Flush => "flush",
            Self::AllRead => "all-read",
            Self::AllWrite => "all-write",
        }
    }
}

/// What a step found; what it does not look for is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Time spent.
    pub seconds: f64,
    /// Operations a second; of sequential steps and sizes bytes a second.
    pub rate: f64,
    /// Depth or size beyond which less than 5 % is gained.
    pub knee: Option<u64>,
    /// Median of a transfer alone.
    pub latency_us_p50: Option<f64>,
    /// Its 99th percentile.
    pub latency_us_p99: Option<f64>,
    /// The largest deviation of a repeat, of the mean.
    pub deviation_percent: Option<f64>,
}

impl Found {
    /// The figure in words.
    #[must_use]
    pub fn said(&self, step: Step) -> String {
        let rate = self.rate;
        let knee = self.knee.unwrap_or(0);
        let p50 = self.latency_us_p50.unwrap_or(0.0);
        let p99 = self.latency_us_p99.unwrap_or(0.0);
        let megabytes = format!("{:.0} MB/s", rate / 1e6);
        match step {
            Step::ReadDepth | Step::WriteDepth => {
                format!("{rate:.0} a second at depth {knee}; alone {p50:.0} us, p99 {p99:.0} us")
            }
            Step::ReadSizes | Step::WriteSizes => format!("{megabytes} at {knee} bytes"),
            Step::Mixed => format!("{rate:.0} a second"),
            Step::LoadedRead | Step::Flush => format!("{p50:.0} us, p99 {p99:.0} us"),
            Step::Prepare
            | Step::ReadSequential
            | Step::WriteSequential
            | Step::AllRead
            | Step::AllWrite => megabytes,
        }
    }
}

/// How much care is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Care {
    /// Of each point.
    pub(crate) duration: Duration,
    /// Of each point.
    pub(crate) repeats: u32,
    /// How often everything is written first.
    pub(crate) passes: u64,
}

/// Depths that earlier steps found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Depths {
    pub(crate) read: u32,
    pub(crate) write: u32,
}

/// Carries out steps on one drive.
pub(crate) struct Bench<'a> {
    pub(crate) drive: &'a mut dyn Drive,
    pub(crate) care: Care,
    pub(crate) stop: &'a AtomicBool,
}

/// What is told of a sample: operations or bytes a second.
type Rate = fn(&Sample) -> f64;

/// All repeats of a point.
struct Repeats {
    rate: f64,
    deviation_percent: Option<f64>,
    latencies: Histogram,
    seconds: f64,
}

impl Bench<'_> {
    pub(crate) fn step(&mut self, step: Step, depths: Depths) -> Result<Found, MeasureError> {
        match step {
            Step::Prepare => self.prepare(),
            Step::ReadDepth => self.depths(Access::Read),
            Step::WriteDepth => self.depths(Access::Write),
            Step::ReadSequential | Step::AllRead => self.large(Access::Read),
            Step::WriteSequential | Step::AllWrite => self.large(Access::Write),
            Step::ReadSizes => self.sizes(Access::Read, depths.read),
            Step::WriteSizes => self.sizes(Access::Write, depths.write),
            Step::Mixed => {
                let depth = depths.read.max(depths.write);
                let repeats =
                    self.repeat(&random(Access::Mixed, BLOCK_BYTES, depth), Sample::ios_per_sec)?;
                Ok(repeats.found())
            }
            Step::LoadedRead => self.timed(&sequential(Access::LoadedRead)),
            Step::Flush => self.timed(&random(Access::Flush, BLOCK_BYTES, 1)),
        }
    }

    fn prepare(&mut self) -> Result<Found, MeasureError> {
        let bytes = self.drive.span_bytes().saturating_mul(self.care.passes);
        let load = sequential(Access::Write);
        let sample = self.drive.run(&load, Until::Moved(bytes), self.stop)?;
        let seconds = sample.elapsed.as_secs_f64();
        Ok(Found { seconds, rate: sample.bytes_per_sec(), ..Found::default() })
    }

    fn large(&mut self, access: Access) -> Result<Found, MeasureError> {
        Ok(self.repeat(&sequential(access), Sample::bytes_per_sec)?.found())
    }

    fn timed(&mut self, load: &Load) -> Result<Found, MeasureError> {
        let repeats = self.repeat(load, Sample::ios_per_sec)?;
        let (latency_us_p50, latency_us_p99) = latencies(&repeats.latencies);
        Ok(Found { latency_us_p50, latency_us_p99, ..repeats.found() })
    }

    fn depths(&mut self, access: Access) -> Result<Found, MeasureError> {
        let depths = DEPTH_POWERS.map(|power| 1_u32 << power);
        let loads = depths.map(|depth| (u64::from(depth), random(access, BLOCK_BYTES, depth)));
        self.sweep(&loads.collect::<Vec<_>>(), Sample::ios_per_sec)
    }

    fn sizes(&mut self, access: Access, depth: u32) -> Result<Found, MeasureError> {
        let sizes = SIZE_POWERS.map(|power| 1_u64 << power);
        let loads = sizes.map(|bytes| {
            let most = u32::try_from(UNDER_WAY_BYTES_MAX / bytes).unwrap_or(u32::MAX);
            (bytes, random(access, bytes, depth.clamp(1, most)))
        });
        self.sweep(&loads.collect::<Vec<_>>(), Sample::bytes_per_sec)
    }

    /// Goes through loads, one at least, until more gains nothing.
    fn sweep(&mut self, loads: &[(u64, Load)], rate: Rate) -> Result<Found, MeasureError> {
        let mut points = Vec::new();
        let mut found = Found::default();
        let mut seconds = 0.0;
        for (at, load) in loads {
            let repeats = self.repeat(load, rate)?;
            seconds += repeats.seconds;
            points.push(Point { at: *at, rate: repeats.rate });
            if points.len() == 1 {
                (found.latency_us_p50, found.latency_us_p99) = latencies(&repeats.latencies);
            }
            if let Some(knee) = knee(&points)
                && knee.at == *at
            {
                (found.knee, found.rate) = (Some(knee.at), knee.rate);
                found.deviation_percent = repeats.deviation_percent;
            }
            if is_past_knee(&points) {
                break;
            }
        }
        found.seconds = seconds;
        Ok(found)
    }

    fn repeat(&mut self, load: &Load, rate: Rate) -> Result<Repeats, MeasureError> {
        let mut rates = Vec::new();
        let (mut latencies, mut seconds) = (Histogram::default(), 0.0);
        for _ in 0..self.care.repeats.max(1) {
            let sample = self.drive.run(load, Until::Elapsed(self.care.duration), self.stop)?;
            rates.push(rate(&sample));
            latencies.add(&sample.latencies);
            seconds += sample.elapsed.as_secs_f64();
        }
        let mean = rates.iter().sum::<f64>() / rates.len() as f64;
        let deviation = rates.iter().map(|one| (one - mean).abs()).fold(0.0, f64::max);
        let is_told = rates.len() > 1 && mean > 0.0;
        let deviation_percent = is_told.then(|| tenths(100.0 * deviation / mean));
        Ok(Repeats { rate: mean, deviation_percent, latencies, seconds })
    }
}

impl Repeats {
    fn found(&self) -> Found {
        let (seconds, rate) = (self.seconds, self.rate);
        let deviation_percent = self.deviation_percent;
        Found { seconds, rate, deviation_percent, ..Found::default() }
    }
}

fn random(access: Access, io_bytes: u64, depth: u32) -> Load {
    Load { access, pattern: Pattern::Random, io_bytes, depth }
}

fn sequential(access: Access) -> Load {
    Load { access, pattern: Pattern::Sequential, io_bytes: LARGE_BYTES, depth: LARGE_DEPTH }
}

fn latencies(histogram: &Histogram) -> (Option<f64>, Option<f64>) {
    let quantile = |share: f64| {
        let is_known = !histogram.is_empty();
        is_known.then(|| tenths(histogram.quantile_ns(share) as f64 / 1e3))
    };
    (quantile(0.5), quantile(0.99))
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeDrive;

    const DEPTHS: Depths = Depths { read: 32, write: 256 };

    fn found(drive: &mut FakeDrive, step: Step, repeats: u32) -> Found {
        let care = Care { duration: Duration::from_secs(1), repeats, passes: 2 };
        let stop = AtomicBool::new(false);
        let mut bench = Bench { drive, care, stop: &stop };
        bench.step(step, DEPTHS).expect("a drive that cannot fail")
    }

    #[test]
    fn depths_rise_until_two_gained_nothing() {
        let mut drive = FakeDrive::new(16);
        let reads = found(&mut drive, Step::ReadDepth, 1);
        assert_eq!((reads.knee, reads.deviation_percent), (Some(16), None));
        assert_eq!(drive.depths(), [1, 2, 4, 8, 16, 32, 64]);
        assert!(reads.latency_us_p50.is_some() && reads.seconds > 0.0);
    }

    #[test]
    fn sizes_are_held_against_each_other_by_bytes_and_memory_is_bounded() {
        let mut drive = FakeDrive::new(1 << 20);
        let reads = found(&mut drive, Step::ReadSizes, 1);
        // Of the largest fewer fit into memory, so that they gain nothing here.
        assert_eq!(reads.knee, Some(2 << 20));
        assert!(drive.loads.iter().any(|load| load.io_bytes == 4 << 20), "{:?}", drive.loads);
        found(&mut drive, Step::WriteSizes, 1);
        for load in &drive.loads {
            assert!(u64::from(load.depth) * load.io_bytes <= UNDER_WAY_BYTES_MAX, "{load:?}");
        }
    }

    #[test]
    fn repeats_have_a_mean_and_a_deviation() {
        let mut drive = FakeDrive::new(8);
        drive.noise_percent = 10.0;
        let mixed = found(&mut drive, Step::Mixed, 3);
        assert_eq!(drive.depths(), [256, 256, 256]);
        assert!(mixed.deviation_percent.is_some_and(|percent| percent > 1.0), "{mixed:?}");
    }

    #[test]
    fn everything_is_written_as_often_as_the_care_has_it() {
        let mut drive = FakeDrive::new(8);
        found(&mut drive, Step::Prepare, 1);
        assert_eq!(drive.moved_bytes, 2 * drive.span_bytes());
    }

    #[test]
    fn names_are_those_of_the_file() {
        for step in Step::ALONE.into_iter().chain(Step::TOGETHER) {
            let text = serde_json::to_string(&step).expect("a word");
            assert_eq!(text, format!("\"{}\"", step.name()));
        }
    }
}
