//! Replay of the log of one drive.
//!
//! Invariants: replay follows the chain and the links of segment headers, cuts a segment where its
//! successor says, whole batches behind that included (a write that failed may be there all the
//! same), and ends at the first break; a break before a batch that a later one calls
//! durable is rot, not a torn tail, be the later one in the same segment or in a successor that
//! the last whole batch announced.

use crate::error::DriveError;
use crate::log::locate;
use crate::recover::Recovery;
use crate::space::Space;
use crate::state::State;
use engine_env::{BLOCK_BYTES, BrokenRules, DmaBuf, Drive, Rule};
use engine_format::{
    BatchHeader, FormatError, LogLink, LogPosition, Record, SegmentHeader, Successor, Superblock,
};
use engine_types::{DriveId, SegmentId};

/// A segment on the way of replay, and where its successor cuts it.
struct Step {
    position: LogPosition,
    cut: Option<LogLink>,
}

/// What replay found.
pub(crate) struct Replayed {
    /// Behind the last batch.
    pub end: LogPosition,
    /// Segments behind it in which no batch was written.
    pub empty: Vec<SegmentId>,
    pub recovery: Recovery,
    /// Bytes of the batches.
    pub log_bytes: u64,
}

/// A replay to be done.
pub(crate) struct Replay<'a, D: Drive> {
    pub drive: &'a D,
    pub superblock: &'a Superblock,
    pub segment_bytes: u64,
    pub broken: BrokenRules,
}

impl<D: Drive> Replay<'_, D> {
    pub(crate) async fn run(
        &self,
        state: &mut State,
        space: &mut Space,
    ) -> Result<Replayed, DriveError> {
        let start = self.superblock.log_start;
        let mut recovery = Recovery::default();
        let mut log_bytes = 0;
        let mut empty = Vec::new();
        let mut steps = self.steps_back().await?;
        let mut end = start;
        while let Some(step) = steps.pop() {
            let mut position = step.position;
            let is_start =
                position.segment == start.segment && position.generation == start.generation;
            // The start may hold nothing but what came before. Any other segment of the chain
            // stays until the log starts behind it, batch or no batch.
            let last_batch = position.batch_sequence + u64::from(!is_start);
            space.begin_log(position.segment, position.generation, last_batch);
            if !is_start {
                position.batch_sequence = end.batch_sequence;
                position.successors = end.successors;
            }
            let at = self.replay_segment(position, step.cut, state, space, &mut recovery).await?;
            log_bytes += at.offset_bytes - position.offset_bytes;
            if step.cut.is_none() && !self.broken.contains(Rule::Successors) {
                match self.successor_of(&at).await? {
                    Some(next) => steps.push(Step { position: next, cut: None }),
                    None => self.check_rot(&at).await?,
                }
            }
            let is_empty = at.offset_bytes == SegmentHeader::BYTES as u64;
            if is_empty && !is_start && step.cut.is_none() {
                empty.push(at.segment);
            } else {
                end = at;
            }
        }
        Ok(Replayed { end, empty, recovery, log_bytes })
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
        if !(1..self.superblock.segment_count).contains(&segment.0) {
            return Err(FormatError::Bounds("a log segment header").into());
        }
        let offset = u64::from(segment.0) * self.segment_bytes;
        if offset + SegmentHeader::BYTES as u64 > self.drive.prepared_bytes() {
            return Err(FormatError::Bounds("a log segment header").into());
        }
        let bytes = self.drive.read(offset, DmaBuf::zeroed(SegmentHeader::BYTES)).await?;
        let header = SegmentHeader::decode(&bytes)?;
        if header.drive != self.superblock.drive || header.segment != segment {
            return Err(FormatError::Misplaced("a log segment header").into());
        }
        Ok(header)
    }

    /// The header of the announced segment that goes on from the segment of `at`, if one does.
    /// The second counts before the first: it is begun only where writing the first has failed.
    async fn follower(&self, at: &LogPosition) -> Result<Option<SegmentHeader>, DriveError> {
        // Generations rise along the chain: what is older was given up for this one, and a bad
        // place there is nobody's loss.
        let newer = |successor: &&Successor| successor.generation > at.generation;
        for successor in at.successors.iter().rev().filter(newer) {
            let header = match self.read_header(successor.segment).await {
                Ok(header) => header,
                Err(DriveError::Format(_)) => continue,
                Err(error) => return Err(error),
            };
            let follows = header.generation == successor.generation
                && header.previous.segment == at.segment
                && header.previous.generation == at.generation;
            if follows {
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Where the log goes on behind `end`, if the follower of the segment was begun there.
    async fn successor_of(&self, end: &LogPosition) -> Result<Option<LogPosition>, DriveError> {
        let follower = self.follower(end).await?.filter(|header| {
            header.previous.batch_sequence == end.batch_sequence
                && header.previous.chain == end.chain
        });
        Ok(follower.map(|header| LogPosition {
            segment: header.segment,
            generation: header.generation,
            offset_bytes: SegmentHeader::BYTES as u64,
            batch_sequence: end.batch_sequence,
            chain: header.chain(),
            successors: end.successors,
        }))
    }

    async fn replay_segment(
        &self,
        mut at: LogPosition,
        cut: Option<LogLink>,
        state: &mut State,
        space: &mut Space,
        recovery: &mut Recovery,
    ) -> Result<LogPosition, DriveError> {
        let mut last = cut.map(|cut| cut.batch_sequence);
        let mut asked: Option<[Successor; 2]> = None;
        loop {
            if cut.is_none() && asked != Some(at.successors) {
                asked = Some(at.successors);
                let follower = self.follower(&at).await?;
                last = follower.map(|header| header.previous.batch_sequence);
            }
            if last.is_some_and(|last| at.batch_sequence >= last) {
                break;
            }
            let Some((header, bytes, chain)) = self.read_batch(&at).await? else { break };
            if cut.is_none() && header.successors != at.successors {
                // Those that it announces may cut even before it.
                at.successors = header.successors;
                continue;
            }
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
        // What follows was begun behind a batch that is not here any more.
        match cut {
            Some(cut) if cut.batch_sequence != at.batch_sequence || cut.chain != at.chain => {
                Err(DriveError::LogRot(at.batch_sequence + 1))
            }
            _ => Ok(at),
        }
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
        let total = bytes_on_drive(&header);
        let follows = header.drive_low == low_half(self.superblock.drive)
            && header.segment == at.segment
            && header.generation == at.generation
            && header.sequence == at.batch_sequence + 1
            && header.previous_chain == at.chain
            && at.offset_bytes + total as u64 <= self.segment_bytes;
        if !follows {
            return Ok(None);
        }
        let bytes = self.read_bytes(offset, total).await?;
        match BatchHeader::open(&bytes) {
            Ok((header, _, chain)) => Ok(Some((header, bytes, chain))),
            Err(_) => Ok(None),
        }
    }

    /// A whole batch behind the break that calls the missing one durable: rot. It stands in the
    /// same segment, or in a successor whose own header is what was lost.
    async fn check_rot(&self, end: &LogPosition) -> Result<(), DriveError> {
        let missing = end.batch_sequence + 1;
        let mut places = vec![(end.segment, end.generation, end.offset_bytes)];
        for successor in end.successors {
            if (1..self.superblock.segment_count).contains(&successor.segment.0) {
                let first = SegmentHeader::BYTES as u64;
                places.push((successor.segment, successor.generation, first));
            }
        }
        for (segment, generation, from) in places {
            if self.is_durable_in(segment, generation, from, missing).await? {
                return Err(DriveError::LogRot(missing));
            }
        }
        Ok(())
    }

    /// Whether a whole batch in a segment, from an offset on, calls `missing` durable.
    async fn is_durable_in(
        &self,
        segment: SegmentId,
        generation: u64,
        from: u64,
        missing: u64,
    ) -> Result<bool, DriveError> {
        let start = u64::from(segment.0) * self.segment_bytes;
        let end = start + self.segment_bytes;
        if end > self.drive.prepared_bytes() {
            return Ok(false);
        }
        let mut piece_at = start + from;
        // What an earlier format left behind is of another drive.
        let drive_low = low_half(self.superblock.drive);
        while piece_at < end {
            let len = (end - piece_at).min(self.drive.geometry().io_bytes_max as u64) as usize;
            let piece = self.drive.read(piece_at, DmaBuf::zeroed(len)).await?;
            for (index, block) in piece.chunks(BLOCK_BYTES).enumerate() {
                let at = piece_at + (index * BLOCK_BYTES) as u64;
                let Ok(header) = BatchHeader::peek(block) else { continue };
                let says_so = header.drive_low == drive_low
                    && header.segment == segment
                    && header.generation == generation
                    && header.sequence > missing
                    && header.durable_through >= missing
                    && at + bytes_on_drive(&header) as u64 <= end;
                if says_so {
                    let bytes = self.read_bytes(at, bytes_on_drive(&header)).await?;
                    if BatchHeader::open(&bytes).is_ok() {
                        return Ok(true);
                    }
                }
            }
            piece_at += len as u64;
        }
        Ok(false)
    }

    async fn read_bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, DriveError> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let piece = (len - bytes.len()).min(self.drive.geometry().io_bytes_max);
            let from = offset + bytes.len() as u64;
            bytes.extend_from_slice(&self.drive.read(from, DmaBuf::zeroed(piece)).await?);
        }
        Ok(bytes)
    }
}

/// Bytes of a batch with its padding.
pub(crate) fn bytes_on_drive(header: &BatchHeader) -> usize {
    (BatchHeader::BYTES + header.payload_bytes as usize).next_multiple_of(BLOCK_BYTES)
}

/// The half of a drive's id that stands in its batches.
fn low_half(drive: DriveId) -> u64 {
    u64::from_le_bytes(drive.0.first_chunk().copied().unwrap_or_default())
}
