//! Opening a drive: format, superblock, checkpoint, replay.
//!
//! Invariants: the drive is flushed before anything read is believed (rule 11); the newest
//! superblock with two valid copies counts; replay follows the chain and the links of segment
//! headers, cuts a segment where its successor says, and ends at the first break; a break before
//! a batch that a later one calls durable is rot, not a torn tail; the log never goes on behind a
//! torn tail but in a fresh segment that names where it cut.

use crate::config::StoreConfig;
use crate::error::DriveError;
use crate::log::{Log, locate};
use crate::runs::Runs;
use crate::space::Space;
use crate::state::{Pending, State};
use crate::store::{Parts, Store};
use engine_env::{BLOCK_BYTES, DmaBuf, Drive, Env};
use engine_format::{
    BatchHeader, Checkpoint, DriveState, FormatError, LogLink, LogPosition, Record,
    SUPERBLOCK_BYTES, SegmentHeader, Successor, Superblock,
};
use engine_types::{DeploymentId, DriveId, PoolId, Position, SegmentId, SetId};
use std::rc::Rc;

/// What a new drive is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormatOptions {
    /// The drive's own id.
    pub drive: DriveId,
    /// The deployment it joins.
    pub deployment: DeploymentId,
    /// Its erasure set.
    pub set: SetId,
    /// Its place in the set.
    pub position: Position,
    /// Drives of the set.
    pub set_size: u8,
    /// Erasure sets of the pool.
    pub set_count: u16,
    /// Parity cells of a stripe, by default.
    pub parity: u8,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// Whether the set holds data already: the drive must be rebuilt first.
    pub rebuilding: bool,
}

/// The fewest segments a drive can work with: superblocks, three of the log, an index run and a
/// checkpoint twice over, one for data, the reserve.
pub const SEGMENTS_MIN: u32 = 16;

/// The bytes that must be prepared before a drive is formatted.
#[must_use]
pub fn format_bytes(segment_bytes: u64) -> u64 {
    segment_bytes * 8
}

/// What recovery found; for the log line at start and for tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Batches replayed.
    pub batches: u64,
    /// Records replayed.
    pub records: u64,
}

impl<E: Env> Store<E> {
    /// Formats a drive: every old superblock is voided first, the new one comes last, so that an
    /// interrupted format is no format.
    ///
    /// # Errors
    /// Any `DriveError`.
    pub async fn format(drive: &E::Drive, options: &FormatOptions) -> Result<(), DriveError> {
        let segment_bytes = options.segment_bytes;
        let count = drive.geometry().capacity_bytes / segment_bytes;
        let segment_count = u32::try_from(count).unwrap_or(u32::MAX).min(1 << 24);
        if segment_count < SEGMENTS_MIN {
            return Err(DriveError::TooSmall(segment_count, SEGMENTS_MIN));
        }
        drive.prepare(format_bytes(segment_bytes)).await?;
        for offset in Superblock::copy_offsets(segment_bytes) {
            drive.write(offset, DmaBuf::zeroed(SUPERBLOCK_BYTES)).await?;
        }
        drive.flush().await?;
        let first = SegmentHeader {
            drive: options.drive,
            segment: SegmentId(1),
            generation: 1,
            previous: LogLink {
                segment: SegmentId(0),
                generation: 0,
                batch_sequence: 0,
                chain: 0,
            },
        };
        drive.write(segment_bytes, DmaBuf::copy_of(&first.encode())).await?;
        drive.flush().await?;
        let successors = [2, 3].map(|segment: u32| Successor {
            segment: SegmentId(segment),
            generation: u64::from(segment),
        });
        let superblock = Superblock {
            drive: options.drive,
            deployment: options.deployment,
            pool: PoolId(0),
            set: options.set,
            position: options.position,
            set_size: options.set_size,
            parity: options.parity,
            set_count: options.set_count,
            state: if options.rebuilding { DriveState::Rebuilding } else { DriveState::Active },
            segment_bytes,
            segment_count,
            generation: 1,
            incarnation: 0,
            log_start: LogPosition {
                segment: SegmentId(1),
                generation: 1,
                offset_bytes: SegmentHeader::BYTES as u64,
                batch_sequence: 0,
                chain: first.chain(),
                successors,
            },
            log_tail: SegmentId(1),
            checkpoint: SegmentId(0),
            checkpoint_bytes: 0,
            checkpoint_sum: 0,
        };
        write_superblock(drive, &superblock).await
    }

    /// Reads the superblock: the newest generation with two valid copies.
    ///
    /// # Errors
    /// `NotFormatted` where no copy is ours; `Format` where too few of ours are valid, or of a
    /// newer version.
    pub async fn read_superblock(
        drive: &E::Drive,
        segment_bytes: u64,
    ) -> Result<Superblock, DriveError> {
        let mut valid: Vec<Superblock> = Vec::new();
        let (mut foreign, mut newer) = (0, None);
        for offset in Superblock::copy_offsets(segment_bytes) {
            if offset + SUPERBLOCK_BYTES as u64 > drive.prepared_bytes() {
                foreign += 1;
                continue;
            }
            let bytes = drive.read(offset, DmaBuf::zeroed(SUPERBLOCK_BYTES)).await?;
            match Superblock::decode(&bytes) {
                Ok(superblock) => valid.push(superblock),
                Err(FormatError::Magic(_)) => foreign += 1,
                Err(error @ FormatError::Version { .. }) => newer = Some(error),
                Err(_) => {}
            }
        }
        if let Some(error) = newer {
            return Err(error.into());
        }
        valid.sort_by_key(|superblock| std::cmp::Reverse(superblock.generation));
        let twice = valid.windows(2).find(|pair| pair[0] == pair[1]);
        match twice {
            Some([superblock, _]) if superblock.segment_bytes == segment_bytes => {
                Ok(superblock.clone())
            }
            _ if foreign == 4 => Err(DriveError::NotFormatted),
            // A format that was cut off leaves fewer than two copies and zeros elsewhere.
            _ if foreign >= 2 && valid.len() < 2 => Err(DriveError::NotFormatted),
            _ => Err(FormatError::Sum("too many copies of the superblock").into()),
        }
    }

    /// Opens a formatted drive: recovers it and goes on in a fresh log segment.
    ///
    /// # Errors
    /// Any `DriveError`; the drive then counts as missing.
    pub async fn open(
        env: E,
        drive: E::Drive,
        segment_bytes: u64,
        config: StoreConfig,
    ) -> Result<(Self, Recovery), DriveError> {
        drive.flush().await?;
        let mut superblock = Self::read_superblock(&drive, segment_bytes).await?;
        repair_copies(&drive, &superblock).await?;
        let prepared = u32::try_from(drive.prepared_bytes() / segment_bytes).unwrap_or(u32::MAX);
        let mut space = Space::new(segment_bytes, superblock.segment_count, prepared);
        let mut state = State::new(superblock.position);
        let mut runs = Runs::new(config.block_cache_bytes);
        if superblock.checkpoint.0 != 0 {
            let checkpoint = read_checkpoint(&drive, &superblock).await?;
            load_checkpoint(&drive, &checkpoint, &mut state, &mut space, &mut runs).await?;
            space.set_run(superblock.checkpoint);
            runs.checkpoint_segment = Some(superblock.checkpoint);
        }
        let mut replay = Replay { drive: &drive, superblock: &superblock, segment_bytes };
        let (end, recovery) = replay.run(&mut state, &mut space).await?;
        let log = go_on(&drive, &mut superblock, &mut space, end).await?;
        let parts = Parts { env, drive, config, superblock, state, space, log, runs };
        Ok((Self::assemble(parts), recovery))
    }
}

/// Writes the superblock: two copies, flush, the other two, flush. All four must be whole before.
pub(crate) async fn write_superblock<D: Drive>(
    drive: &D,
    superblock: &Superblock,
) -> Result<(), DriveError> {
    let bytes = superblock.encode();
    let [first, second, third, fourth] = Superblock::copy_offsets(superblock.segment_bytes);
    for pair in [[first, second], [third, fourth]] {
        for offset in pair {
            drive.write(offset, DmaBuf::copy_of(&bytes)).await?;
        }
        drive.flush().await?;
    }
    Ok(())
}

/// Makes all four copies equal before any is replaced: a crash may have left only two whole ones,
/// and they may be the two that the next write begins with.
async fn repair_copies<D: Drive>(drive: &D, superblock: &Superblock) -> Result<(), DriveError> {
    let bytes = superblock.encode();
    for offset in Superblock::copy_offsets(superblock.segment_bytes) {
        let found = drive.read(offset, DmaBuf::zeroed(SUPERBLOCK_BYTES)).await?;
        if found[..] != bytes[..] {
            drive.write(offset, DmaBuf::copy_of(&bytes)).await?;
        }
    }
    Ok(drive.flush().await?)
}

async fn read_checkpoint<D: Drive>(
    drive: &D,
    superblock: &Superblock,
) -> Result<Checkpoint, DriveError> {
    let offset = u64::from(superblock.checkpoint.0) * superblock.segment_bytes;
    let len = usize::try_from(superblock.checkpoint_bytes).unwrap_or(usize::MAX);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let piece = (len - bytes.len()).min(drive.geometry().io_bytes_max);
        let at = offset + bytes.len() as u64;
        bytes.extend_from_slice(&drive.read(at, DmaBuf::zeroed(piece)).await?[..piece]);
    }
    Ok(Checkpoint::decode(&bytes, superblock.checkpoint_sum)?)
}

async fn load_checkpoint<D: Drive>(
    drive: &D,
    checkpoint: &Checkpoint,
    state: &mut State,
    space: &mut Space,
    runs: &mut Runs,
) -> Result<(), DriveError> {
    for log in &checkpoint.log {
        space.load_log(log);
    }
    for (segment, usage) in &checkpoint.data {
        if segment.0 == 0 || segment.0 >= space.segment_count() {
            return Err(FormatError::Bounds("the checkpoint").into());
        }
        space.load_data(*segment, usage);
    }
    state.marks = checkpoint.marks.iter().map(|mark| (mark.owner, *mark)).collect();
    state.view = checkpoint.view.clone();
    state.promised = checkpoint.promised.max(checkpoint.view.epoch);
    state.peers = checkpoint.peers.iter().map(|peer| (peer.position, *peer)).collect();
    for (commit, payload) in &checkpoint.pending {
        for fragment in &commit.adopts {
            space.hold(fragment);
        }
        let pending =
            Pending { commit: Rc::new(commit.clone()), payload: *payload, settled: false };
        state.pending.insert(commit.sequence, pending);
    }
    // Releases may wait in the runs; housekeeping looks once.
    state.releases_waiting = 1;
    runs.next_run = checkpoint.next_run;
    for run in &checkpoint.runs {
        for segment in &run.segments {
            if segment.0 == 0 || segment.0 >= space.segment_count() {
                return Err(FormatError::Bounds("the checkpoint").into());
            }
            space.set_run(*segment);
        }
        runs.load(drive, run, space.segment_bytes()).await?;
    }
    Ok(())
}

/// Takes a fresh segment, names in its header where the old log was cut, and raises the
/// incarnation.
async fn go_on<D: Drive>(
    drive: &D,
    superblock: &mut Superblock,
    space: &mut Space,
    end: LogPosition,
) -> Result<Log, DriveError> {
    let incarnation = superblock.incarnation + 1;
    let generation = u64::from(incarnation) << 32;
    let mut take = || space.take_segment().ok_or(DriveError::Full);
    let (fresh, second, third) = (take()?, take()?, take()?);
    let header = SegmentHeader {
        drive: superblock.drive,
        segment: fresh,
        generation: generation + 1,
        previous: LogLink {
            segment: end.segment,
            generation: end.generation,
            batch_sequence: end.batch_sequence,
            chain: end.chain,
        },
    };
    let offset = u64::from(fresh.0) * superblock.segment_bytes;
    drive.write(offset, DmaBuf::copy_of(&header.encode())).await?;
    drive.flush().await?;
    superblock.incarnation = incarnation;
    superblock.generation += 1;
    superblock.log_tail = fresh;
    write_superblock(drive, superblock).await?;
    let successors = [
        Successor { segment: second, generation: generation + 2 },
        Successor { segment: third, generation: generation + 3 },
    ];
    for successor in successors {
        space.set_log(successor.segment, successor.generation, u64::MAX);
    }
    space.set_log(fresh, generation + 1, u64::MAX);
    let position = LogPosition {
        segment: fresh,
        generation: generation + 1,
        offset_bytes: SegmentHeader::BYTES as u64,
        batch_sequence: end.batch_sequence,
        chain: header.chain(),
        successors,
    };
    Ok(Log::new(position, generation + 4))
}

/// A segment on the way of replay, and where its successor cuts it.
struct Step {
    position: LogPosition,
    cut: Option<LogLink>,
}

struct Replay<'a, D: Drive> {
    drive: &'a D,
    superblock: &'a Superblock,
    segment_bytes: u64,
}

impl<D: Drive> Replay<'_, D> {
    async fn run(
        &mut self,
        state: &mut State,
        space: &mut Space,
    ) -> Result<(LogPosition, Recovery), DriveError> {
        let mut recovery = Recovery::default();
        let mut steps = self.steps_back().await?;
        let mut end = self.superblock.log_start;
        while let Some(step) = steps.pop() {
            let mut position = step.position;
            if end.segment != position.segment || end.generation != position.generation {
                position.batch_sequence = end.batch_sequence;
                position.successors = end.successors;
            }
            end = self.replay_segment(position, step.cut, state, space, &mut recovery).await?;
            if steps.is_empty()
                && step.cut.is_none()
                && let Some(next) = self.successor_of(&end).await
            {
                steps.push(Step { position: next, cut: None });
            }
        }
        Ok((end, recovery))
    }

    /// From the tail of this incarnation back to where replay starts; the start comes last.
    async fn steps_back(&self) -> Result<Vec<Step>, DriveError> {
        let start = self.superblock.log_start;
        let mut steps = Vec::new();
        let mut segment = self.superblock.log_tail;
        let mut cut = None;
        while segment != start.segment {
            let header = self.read_header(segment).await?;
            let expected = cut.is_none_or(|link: LogLink| link.generation == header.generation);
            if !expected || steps.len() > self.superblock.segment_count as usize {
                return Err(FormatError::Misplaced("a log segment header").into());
            }
            let position = LogPosition {
                segment,
                generation: header.generation,
                offset_bytes: SegmentHeader::BYTES as u64,
                batch_sequence: header.previous.batch_sequence,
                chain: header.chain(),
                successors: start.successors,
            };
            steps.push(Step { position, cut });
            cut = Some(header.previous);
            segment = header.previous.segment;
        }
        steps.push(Step { position: start, cut });
        Ok(steps)
    }

    async fn read_header(&self, segment: SegmentId) -> Result<SegmentHeader, DriveError> {
        let offset = u64::from(segment.0) * self.segment_bytes;
        let bytes = self.drive.read(offset, DmaBuf::zeroed(SegmentHeader::BYTES)).await?;
        let header = SegmentHeader::decode(&bytes)?;
        if header.drive != self.superblock.drive || header.segment != segment {
            return Err(FormatError::Misplaced("a log segment header").into());
        }
        Ok(header)
    }

    /// The announced successor that really follows, if one does.
    async fn successor_of(&self, end: &LogPosition) -> Option<LogPosition> {
        for successor in end.successors {
            if successor.segment.0 == 0 || successor.segment.0 >= self.superblock.segment_count {
                continue;
            }
            let Ok(header) = self.read_header(successor.segment).await else { continue };
            let follows = header.generation == successor.generation
                && header.previous.segment == end.segment
                && header.previous.generation == end.generation
                && header.previous.batch_sequence == end.batch_sequence
                && header.previous.chain == end.chain;
            if follows {
                return Some(LogPosition {
                    segment: successor.segment,
                    generation: successor.generation,
                    offset_bytes: SegmentHeader::BYTES as u64,
                    batch_sequence: end.batch_sequence,
                    chain: header.chain(),
                    successors: end.successors,
                });
            }
        }
        None
    }

    async fn replay_segment(
        &self,
        mut at: LogPosition,
        cut: Option<LogLink>,
        state: &mut State,
        space: &mut Space,
        recovery: &mut Recovery,
    ) -> Result<LogPosition, DriveError> {
        space.set_log(at.segment, at.generation, at.batch_sequence);
        while cut.is_none_or(|cut| at.batch_sequence < cut.batch_sequence) {
            let Some((header, bytes, chain)) = self.read_batch(&at).await? else { break };
            let payload = &bytes[BatchHeader::BYTES..][..header.payload_bytes as usize];
            let records = Record::decode_all(payload, header.record_count as usize)?;
            let base = at.offset_bytes + BatchHeader::BYTES as u64;
            for (record, offset) in &records {
                let location = locate(record, at.segment, at.generation, base, *offset);
                state.apply(space, record, location);
            }
            recovery.batches += 1;
            recovery.records += records.len() as u64;
            at.offset_bytes +=
                (BatchHeader::BYTES + payload.len()).next_multiple_of(BLOCK_BYTES) as u64;
            at.batch_sequence = header.sequence;
            at.chain = chain;
            at.successors = header.successors;
            space.set_log(at.segment, at.generation, at.batch_sequence);
        }
        match cut {
            // What follows was begun behind a batch that is not here any more.
            Some(cut) if cut.batch_sequence != at.batch_sequence || cut.chain != at.chain => {
                return Err(DriveError::LogRot(at.batch_sequence + 1));
            }
            Some(_) => {}
            None => self.check_rot(&at).await?,
        }
        Ok(at)
    }

    /// The batch at a place, if it is whole and follows what came before.
    async fn read_batch(
        &self,
        at: &LogPosition,
    ) -> Result<Option<(BatchHeader, Vec<u8>, u64)>, DriveError> {
        if at.offset_bytes + BLOCK_BYTES as u64 > self.segment_bytes {
            return Ok(None);
        }
        let offset = u64::from(at.segment.0) * self.segment_bytes + at.offset_bytes;
        let head = self.drive.read(offset, DmaBuf::zeroed(BLOCK_BYTES)).await?;
        let Ok(header) = BatchHeader::peek(&head) else { return Ok(None) };
        let total =
            (BatchHeader::BYTES + header.payload_bytes as usize).next_multiple_of(BLOCK_BYTES);
        let follows = header.segment == at.segment
            && header.generation == at.generation
            && header.sequence == at.batch_sequence + 1
            && header.previous_chain == at.chain
            && at.offset_bytes + total as u64 <= self.segment_bytes;
        if !follows {
            return Ok(None);
        }
        let mut bytes = head.to_vec();
        while bytes.len() < total {
            let piece = (total - bytes.len()).min(self.drive.geometry().io_bytes_max);
            let from = offset + bytes.len() as u64;
            bytes.extend_from_slice(&self.drive.read(from, DmaBuf::zeroed(piece)).await?);
        }
        match BatchHeader::open(&bytes) {
            Ok((header, _, chain)) => Ok(Some((header, bytes, chain))),
            Err(_) => Ok(None),
        }
    }

    /// A valid batch behind the break that calls the missing one durable: rot.
    async fn check_rot(&self, end: &LogPosition) -> Result<(), DriveError> {
        let missing = end.batch_sequence + 1;
        let mut offset = end.offset_bytes + BLOCK_BYTES as u64;
        while offset + BLOCK_BYTES as u64 <= self.segment_bytes {
            let at = u64::from(end.segment.0) * self.segment_bytes + offset;
            let block = self.drive.read(at, DmaBuf::zeroed(BLOCK_BYTES)).await?;
            if let Ok(header) = BatchHeader::peek(&block)
                && header.segment == end.segment
                && header.generation == end.generation
                && header.sequence > missing
                && header.durable_through >= missing
                && self.is_whole(at, &header, end.segment).await?
            {
                return Err(DriveError::LogRot(missing));
            }
            offset += BLOCK_BYTES as u64;
        }
        Ok(())
    }

    async fn is_whole(
        &self,
        at: u64,
        header: &BatchHeader,
        segment: SegmentId,
    ) -> Result<bool, DriveError> {
        let total =
            (BatchHeader::BYTES + header.payload_bytes as usize).next_multiple_of(BLOCK_BYTES);
        let segment_end = (u64::from(segment.0) + 1) * self.segment_bytes;
        if at + total as u64 > segment_end {
            return Ok(false);
        }
        let mut bytes = Vec::with_capacity(total);
        while bytes.len() < total {
            let piece = (total - bytes.len()).min(self.drive.geometry().io_bytes_max);
            let from = at + bytes.len() as u64;
            bytes.extend_from_slice(&self.drive.read(from, DmaBuf::zeroed(piece)).await?);
        }
        Ok(BatchHeader::open(&bytes).is_ok())
    }
}
