//! A real drive: a file or a device through io_uring and direct I/O.
//!
//! Invariants: nothing outside of its span is read or written; what is written is random, and no
//! block is ever written twice the same, so that a drive can neither compress nor share it; what
//! ends after the time is waited for and not counted.

use crate::error::MeasureError;
use crate::load::{Access, BLOCK_BYTES, Drive, Load, Pattern, Sample, Until};
use bench_client::Lane;
use bench_client::drive::{DriveRing, Transfer};
use bench_model::Random;
use bench_run::now_ns;
use bench_stats::Histogram;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Random bytes that buffers are filled from.
const POOL_BYTES: usize = 4 << 20;
/// How often the user's wish to end is looked at while nothing ends.
const TICK: Duration = Duration::from_millis(100);
/// Latencies that are put away together.
const LATENCIES_MAX: usize = 65_536;
/// The lane of the reads that are counted beside writes.
const COUNTED_LANE: u32 = 0;

/// A drive that is open for direct I/O.
pub(crate) struct RealDrive {
    path: PathBuf,
    file: File,
    span: Range<u64>,
    random: Random,
    pool: Vec<u8>,
    /// Where the next sequential transfer begins, from the beginning of the span.
    cursor_bytes: u64,
    /// Makes each block that is written another one.
    blocks_written: u64,
}

/// A transfer under way.
#[derive(Debug, Clone, Copy, Default)]
struct Under {
    is_write: bool,
    bytes: u64,
    begin_ns: u64,
}

impl RealDrive {
    /// A drive of which only the span, whole blocks, is used.
    pub(crate) fn new(path: PathBuf, file: File, span: Range<u64>, seed: u64) -> Self {
        let mut random = Random::new(seed, 0);
        let mut pool = Vec::with_capacity(POOL_BYTES);
        while pool.len() < POOL_BYTES {
            pool.extend_from_slice(&random.next_u64().to_le_bytes());
        }
        Self { path, file, span, random, pool, cursor_bytes: 0, blocks_written: 0 }
    }

    fn failed(&self, error: io::Error) -> MeasureError {
        MeasureError::File { path: self.path.clone(), error }
    }

    /// What a lane does next.
    fn next(&mut self, load: &Load, lane: u32) -> (bool, u64, u64) {
        let is_counted_read = load.access == Access::LoadedRead && lane == COUNTED_LANE;
        let (is_write, pattern, bytes) = match load.access {
            _ if is_counted_read => (false, Pattern::Random, BLOCK_BYTES),
            Access::Read => (false, load.pattern, load.io_bytes),
            Access::Mixed => (self.random.below(10) >= 7, load.pattern, load.io_bytes),
            Access::Write | Access::Flush | Access::LoadedRead => {
                (true, load.pattern, load.io_bytes)
            }
        };
        let places = (self.span_bytes() / bytes).max(1);
        let offset = match pattern {
            Pattern::Random => self.random.below(places) * bytes,
            Pattern::Sequential => {
                let offset = self.cursor_bytes;
                let next = offset + bytes;
                // A rest that is too short for one transfer is left out.
                self.cursor_bytes = if next + bytes > self.span_bytes() { 0 } else { next };
                offset
            }
        };
        (is_write, self.span.start + offset, bytes)
    }

    fn begin(&mut self, ring: &mut DriveRing, load: &Load, lane: u32) -> Under {
        let (is_write, offset, bytes) = self.next(load, lane);
        // Bounded by the buffer, which is one of `load.io_bytes`.
        let len = bytes as usize;
        if is_write {
            let buffer = &mut ring.buffer(Lane(lane))[..len];
            for block in buffer.chunks_mut(BLOCK_BYTES as usize) {
                self.blocks_written += 1;
                block[..8].copy_from_slice(&self.blocks_written.to_le_bytes());
            }
        }
        let begin_ns = now_ns();
        if is_write {
            ring.write(Lane(lane), offset, len);
        } else {
            ring.read(Lane(lane), offset, len);
        }
        Under { is_write, bytes, begin_ns }
    }

    /// A ring whose buffers hold what may be written.
    fn ring(&self, load: &Load) -> io::Result<DriveRing> {
        let lanes = lanes_of(load);
        let buffer_bytes = usize::try_from(load.io_bytes).map_err(io::Error::other)?;
        let mut ring = DriveRing::new(self.file.try_clone()?, lanes, buffer_bytes)?;
        for lane in 0..lanes {
            for piece in ring.buffer(Lane(lane)).chunks_mut(POOL_BYTES) {
                piece.copy_from_slice(&self.pool[..piece.len()]);
            }
        }
        Ok(ring)
    }

    /// Checks a transfer that has ended; flushes behind it where the load wants that.
    fn end(&self, load: &Load, transfer: &Transfer, under: Under) -> io::Result<()> {
        match &transfer.result {
            Ok(bytes) if *bytes as u64 == under.bytes => {}
            Ok(_) => return Err(ErrorKind::UnexpectedEof.into()),
            Err(error) => return Err(io::Error::new(error.kind(), error.to_string())),
        }
        if load.access == Access::Flush && under.is_write {
            // Not through the ring: nothing else is under way, so this thread would only wait for
            // the same answer, and the ring would have one more kind of entry.
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// The reads that are counted have a lane beside those of the writes.
fn lanes_of(load: &Load) -> u32 {
    load.depth + u32::from(load.access == Access::LoadedRead)
}

/// Whether transfers are timed one by one: with more at once it is the depth that is timed.
fn is_timed(load: &Load) -> bool {
    load.depth == 1 || load.access == Access::LoadedRead
}

/// When a load ends, and what was seen of it.
struct Tally {
    until: Until,
    begin_ns: u64,
    begun_bytes: u64,
    last_ns: u64,
    sample: Sample,
    latencies_ns: Vec<u64>,
}

impl Tally {
    fn new(until: Until) -> Self {
        let begin_ns = now_ns();
        let (sample, latencies_ns) = (Sample::default(), Vec::new());
        Self { until, begin_ns, begun_bytes: 0, last_ns: begin_ns, sample, latencies_ns }
    }

    fn is_over(&self, now_ns: u64) -> bool {
        match self.until {
            Until::Elapsed(duration) => {
                let passed = Duration::from_nanos(now_ns.saturating_sub(self.begin_ns));
                passed >= duration && self.sample.ios > 0
            }
            Until::Moved(bytes) => self.begun_bytes >= bytes,
        }
    }

    fn count(&mut self, under: Under, ended_ns: u64, is_timed: bool) {
        self.sample.ios += 1;
        self.sample.bytes += under.bytes;
        self.last_ns = ended_ns;
        if is_timed {
            self.latencies_ns.push(ended_ns.saturating_sub(under.begin_ns));
            if self.latencies_ns.len() == LATENCIES_MAX {
                self.put_away();
            }
        }
    }

    fn put_away(&mut self) {
        let latencies: Histogram = self.latencies_ns.drain(..).collect();
        self.sample.latencies.add(&latencies);
    }

    fn finish(mut self) -> Sample {
        self.put_away();
        self.sample.elapsed = Duration::from_nanos(self.last_ns.saturating_sub(self.begin_ns));
        self.sample
    }
}

impl Drive for RealDrive {
    fn span_bytes(&self) -> u64 {
        self.span.end - self.span.start
    }

    fn run(
        &mut self,
        load: &Load,
        until: Until,
        stop: &AtomicBool,
    ) -> Result<Sample, MeasureError> {
        let mut ring = self.ring(load).map_err(|error| self.failed(error))?;
        let lanes = lanes_of(load);
        let mut under = vec![Under::default(); lanes as usize];
        let mut ended: Vec<Transfer> = Vec::new();
        let mut tally = Tally::new(until);
        for lane in 0..lanes {
            if !tally.is_over(now_ns()) {
                under[lane as usize] = self.begin(&mut ring, load, lane);
                tally.begun_bytes += under[lane as usize].bytes;
            }
        }
        while (0..lanes).any(|lane| ring.is_busy(Lane(lane))) {
            let waited = ring.wait(Some(TICK), &mut ended);
            waited.map_err(|error| self.failed(error))?;
            if stop.load(Ordering::Relaxed) {
                return Err(MeasureError::Interrupted);
            }
            for transfer in ended.drain(..) {
                let lane = transfer.lane.0;
                let one = under[lane as usize];
                self.end(load, &transfer, one).map_err(|error| self.failed(error))?;
                let ended_ns = now_ns();
                let is_counted = load.access != Access::LoadedRead || lane == COUNTED_LANE;
                // By time: what comes late is waited for only. By bytes: all of it counts.
                let is_late = matches!(until, Until::Elapsed(_)) && tally.is_over(ended_ns);
                if is_counted && !is_late {
                    tally.count(one, ended_ns, is_timed(load));
                }
                if !tally.is_over(ended_ns) {
                    under[lane as usize] = self.begin(&mut ring, load, lane);
                    tally.begun_bytes += under[lane as usize].bytes;
                }
            }
        }
        Ok(tally.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::LARGE_BYTES;
    use crate::testing::Scratch;
    use std::os::unix::fs::FileExt;

    /// Without direct I/O, which not every file system takes.
    fn drive(scratch: &Scratch, span: Range<u64>) -> RealDrive {
        let path = scratch.path().join("data");
        let mut options = std::fs::OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(true).open(&path);
        let file = opened.expect("a scratch file");
        file.set_len(span.end + LARGE_BYTES).expect("a sparse file");
        RealDrive::new(path, file, span, 1)
    }

    fn run(drive: &mut RealDrive, access: Access, until: Until) -> Result<Sample, MeasureError> {
        let load = Load { access, pattern: Pattern::Sequential, io_bytes: LARGE_BYTES, depth: 2 };
        drive.run(&load, until, &AtomicBool::new(false))
    }

    #[test]
    fn the_whole_span_is_written_and_nothing_else() {
        let scratch = Scratch::new("span");
        let mut drive = drive(&scratch, LARGE_BYTES..5 * LARGE_BYTES);
        let sample = run(&mut drive, Access::Write, Until::Moved(4 * LARGE_BYTES)).unwrap();
        assert_eq!((sample.ios, sample.bytes), (4, 4 * LARGE_BYTES));
        let mut block = [0; 4096];
        for (place, is_written) in [(0, false), (1, true), (2, true), (4, true), (5, false)] {
            drive.file.read_exact_at(&mut block, place * LARGE_BYTES).unwrap();
            assert_eq!(block != [0; 4096], is_written, "MiB {place}");
        }
    }

    #[test]
    fn blocks_differ_from_each_other_and_from_those_before() {
        let scratch = Scratch::new("differ");
        let mut drive = drive(&scratch, 0..LARGE_BYTES);
        let mut heads = std::collections::BTreeSet::new();
        for _ in 0..2 {
            run(&mut drive, Access::Write, Until::Moved(LARGE_BYTES)).unwrap();
            for place in 0..LARGE_BYTES / BLOCK_BYTES {
                let mut head = [0; 8];
                drive.file.read_exact_at(&mut head, place * BLOCK_BYTES).unwrap();
                assert!(heads.insert(head), "block {place}");
            }
        }
    }

    #[test]
    fn one_transfer_at_least_is_counted_and_reads_beside_writes_alone() {
        let scratch = Scratch::new("count");
        let mut drive = drive(&scratch, 0..4 * LARGE_BYTES);
        let until = Until::Elapsed(Duration::ZERO);
        for access in [Access::Read, Access::Write, Access::Mixed, Access::Flush] {
            assert!(run(&mut drive, access, until).unwrap().ios >= 1, "{access:?}");
        }
        let sample = run(&mut drive, Access::LoadedRead, until).unwrap();
        assert_eq!(sample.bytes, sample.ios * BLOCK_BYTES);
        assert_eq!(sample.latencies.count(), sample.ios);
    }

    #[test]
    fn the_user_may_end_it() {
        let scratch = Scratch::new("stop");
        let mut drive = drive(&scratch, 0..LARGE_BYTES);
        let load = Load {
            access: Access::Read,
            pattern: Pattern::Random,
            io_bytes: BLOCK_BYTES,
            depth: 1,
        };
        let until = Until::Elapsed(Duration::from_secs(3600));
        let ended = drive.run(&load, until, &AtomicBool::new(true));
        assert!(matches!(ended, Err(MeasureError::Interrupted)), "{ended:?}");
    }
}
