//! Opening a drive: format, superblock, checkpoint, and going on behind what was replayed.
//!
//! Invariants: the drive is flushed before anything read is believed (rule 11); the newest
//! superblock with two valid copies counts; the log never goes on behind a torn tail but in a
//! fresh segment that names where it cut; segments without a batch are left out of that chain, so
//! that opening again and again takes no space.

use crate::anew::{first_position, first_segment};
use crate::checkpoint::free_dead_log;
use crate::config::StoreConfig;
use crate::error::DriveError;
use crate::log::Log;
use crate::replay::{Replay, Replayed};
use crate::runs::Runs;
use crate::space::{Filling, Space};
use crate::state::{Pending, State};
use crate::store::{Parts, Store};
use engine_env::{BrokenRules, DmaBuf, Drive, Env, IoError, Rule};
use engine_format::{
    Checkpoint, DriveState, FormatError, LogLink, LogPosition, SUPERBLOCK_BYTES, SegmentHeader,
    Successor, Superblock,
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

/// The fewest segments a drive can work with: superblocks, four of the log, a few index runs and a
/// checkpoint, the reserve and as much of it for their replacement, some data.
pub const SEGMENTS_MIN: u32 = 24;

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
        let first = first_segment(options.drive);
        drive.write(segment_bytes, DmaBuf::copy_of(&first.encode())).await?;
        drive.flush().await?;
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
            log_start: first_position(&first),
            log_tail: first.segment,
            checkpoint: SegmentId(0),
            checkpoint_bytes: 0,
            checkpoint_sum: 0,
        };
        write_superblock(drive, &superblock, BrokenRules::NONE).await
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
        let broken = BrokenRules::of(&env);
        drive.flush().await?;
        let mut superblock = Self::read_superblock(&drive, segment_bytes).await?;
        if !broken.contains(Rule::SuperblockRepair) {
            repair_copies(&drive, &superblock).await?;
        }
        let prepared = u32::try_from(drive.prepared_bytes() / segment_bytes).unwrap_or(u32::MAX);
        let mut space = Space::new(segment_bytes, superblock.segment_count, prepared);
        space.set_keeps_reserve(!broken.contains(Rule::Reserve));
        let mut state = State::new(superblock.position, broken);
        let mut runs = Runs::new(config.block_cache_bytes);
        if superblock.checkpoint.0 != 0 {
            let checkpoint = read_checkpoint(&drive, &superblock).await?;
            load_checkpoint(&drive, &checkpoint, &mut state, &mut space, &mut runs).await?;
            space.set_run(superblock.checkpoint);
            runs.checkpoint_segment = Some(superblock.checkpoint);
        }
        let replay = Replay { drive: &drive, superblock: &superblock, segment_bytes, broken };
        let replayed = replay.run(&mut state, &mut space).await?;
        state.replays = false;
        let recovery = replayed.recovery;
        free_dead_log(&state, &mut space, &superblock.log_start);
        let mut log = go_on(&drive, &mut superblock, &mut space, &replayed, broken).await?;
        log.bytes_since_checkpoint = replayed.log_bytes;
        let parts = Parts { env, drive, config, superblock, state, space, log, runs };
        Ok((Self::assemble(parts), recovery))
    }
}

/// Writes the superblock: two copies, flush, the other two, flush. All four must be whole before.
pub(crate) async fn write_superblock<D: Drive>(
    drive: &D,
    superblock: &Superblock,
    broken: BrokenRules,
) -> Result<(), DriveError> {
    let bytes = superblock.encode();
    let [first, second, third, fourth] = Superblock::copy_offsets(superblock.segment_bytes);
    for offset in [first, second] {
        drive.write(offset, DmaBuf::copy_of(&bytes)).await?;
    }
    if !broken.contains(Rule::SuperblockPairs) {
        drive.flush().await?;
    }
    for offset in [third, fourth] {
        drive.write(offset, DmaBuf::copy_of(&bytes)).await?;
    }
    Ok(drive.flush().await?)
}

/// Makes all four copies equal before any is replaced: a crash may have left only two whole ones,
/// and they may be the two that the next write begins with.
pub(crate) async fn repair_copies<D: Drive>(
    drive: &D,
    superblock: &Superblock,
) -> Result<(), DriveError> {
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
    let segment_count = space.segment_count();
    let check = |segment: SegmentId| {
        let inside = (1..segment_count).contains(&segment.0);
        if inside { Ok(()) } else { Err(FormatError::Bounds("the checkpoint")) }
    };
    for log in &checkpoint.log {
        check(log.segment)?;
        space.load_log(log);
    }
    for (segment, usage) in &checkpoint.data {
        check(*segment)?;
        space.load_data(*segment, usage);
    }
    space.filling = Filling::from_stored(checkpoint.filling);
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
            check(*segment)?;
            space.set_run(*segment);
        }
        runs.load(drive, run, space.segment_bytes()).await?;
    }
    Ok(())
}

/// How many bad places are passed over at an opening.
const HEADER_TRIES: u32 = 3;

/// Takes a fresh segment, names in its header where the old log was cut, and raises the
/// incarnation.
async fn go_on<D: Drive>(
    drive: &D,
    superblock: &mut Superblock,
    space: &mut Space,
    replayed: &Replayed,
    broken: BrokenRules,
) -> Result<Log, DriveError> {
    let end = replayed.end;
    let mut tries = 0;
    let incarnation = superblock.incarnation + 1;
    let generation = u64::from(incarnation) << 32;
    let (fresh, header) = loop {
        let fresh = space.take_segment().ok_or(DriveError::Full)?;
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
        match drive.write(offset, DmaBuf::copy_of(&header.encode())).await {
            Ok(()) => break (fresh, header),
            // A bad place costs no drive; a drive that takes nothing does.
            Err(IoError::Failed(_)) if tries < HEADER_TRIES => {
                tries += 1;
                space.quarantine(fresh);
            }
            Err(error) => return Err(error.into()),
        }
    };
    drive.flush().await?;
    let mut take = || space.take_segment().ok_or(DriveError::Full);
    let (second, third) = (take()?, take()?);
    superblock.incarnation = incarnation;
    superblock.generation += 1;
    superblock.log_tail = fresh;
    write_superblock(drive, superblock, broken).await?;
    // The chain leads past them now.
    for segment in &replayed.empty {
        space.free_segment(*segment);
    }
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
