//! Where every structure of a drive lies; for tests and for looking at a drive.
//!
//! Invariant: only what is in use is named: free space and what an older life left behind are not.

use crate::error::DriveError;
use crate::fragments::pieces_of;
use crate::runs::{Run, locate};
use crate::store::{Shared, Store};
use engine_env::{BLOCK_BYTES, Env};
use engine_format::{
    BatchHeader, FragmentRecord, Keyspace, SUPERBLOCK_BYTES, SegmentHeader, Superblock,
    footer_bytes,
};
use engine_types::SegmentId;

/// What a run of bytes of a drive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Structure {
    /// One copy of the superblock.
    Superblock,
    /// The header of a log segment.
    LogHeader,
    /// A batch of the log.
    LogBatch,
    /// A block of an index run.
    RunBlock,
    /// The tail of an index run.
    RunTail,
    /// The checkpoint.
    Checkpoint,
    /// Bytes of a fragment in an append segment.
    AppendedFragment,
    /// Bytes of a fragment in extents.
    ExtentFragment,
    /// The footer of a fragment.
    Footer,
}

impl Structure {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Superblock,
        Self::LogHeader,
        Self::LogBatch,
        Self::RunBlock,
        Self::RunTail,
        Self::Checkpoint,
        Self::AppendedFragment,
        Self::ExtentFragment,
        Self::Footer,
    ];

    /// In words.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Superblock => "superblock copies",
            Self::LogHeader => "log segment headers",
            Self::LogBatch => "log batches",
            Self::RunBlock => "run blocks",
            Self::RunTail => "run tails",
            Self::Checkpoint => "checkpoints",
            Self::AppendedFragment => "appended fragments",
            Self::ExtentFragment => "extent fragments",
            Self::Footer => "footers",
        }
    }
}

/// A structure and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// What it is.
    pub structure: Structure,
    /// Where it begins on the drive.
    pub offset_bytes: u64,
    /// Its bytes, without padding where that is known.
    pub bytes: u64,
}

impl<E: Env> Store<E> {
    /// Every structure in use on the drive, as far as it can be read.
    ///
    /// # Errors
    /// A device error, or an index that cannot be read.
    pub async fn structures(&self) -> Result<Vec<Placed>, DriveError> {
        let shared = &self.shared;
        let segment_bytes = shared.space.borrow().segment_bytes();
        let mut found = Vec::new();
        for offset_bytes in Superblock::copy_offsets(segment_bytes) {
            let bytes = SUPERBLOCK_BYTES as u64;
            found.push(Placed { structure: Structure::Superblock, offset_bytes, bytes });
        }
        let (checkpoint, bytes) = {
            let superblock = shared.superblock.borrow();
            (superblock.checkpoint, superblock.checkpoint_bytes)
        };
        if checkpoint.0 != 0 {
            let offset_bytes = shared.segment_offset(checkpoint);
            found.push(Placed { structure: Structure::Checkpoint, offset_bytes, bytes });
        }
        for run in shared.runs.borrow().list.iter() {
            place_run(run, segment_bytes, &mut found);
        }
        let logs = shared.space.borrow().log_segments();
        for log in logs {
            shared.place_log(log.segment, log.generation, &mut found).await?;
        }
        shared.place_fragments(&mut found).await?;
        Ok(found)
    }
}

impl<E: Env> Shared<E> {
    async fn place_log(
        &self,
        segment: SegmentId,
        generation: u64,
        found: &mut Vec<Placed>,
    ) -> Result<(), DriveError> {
        let segment_bytes = self.space.borrow().segment_bytes();
        let start = self.segment_offset(segment);
        let bytes = self.read_at(start, usize::try_from(segment_bytes).unwrap_or(0)).await?;
        found.push(Placed {
            structure: Structure::LogHeader,
            offset_bytes: start,
            bytes: SegmentHeader::BYTES as u64,
        });
        let mut at = SegmentHeader::BYTES;
        while at + BatchHeader::BYTES <= bytes.len() {
            let Ok((header, payload, _)) = BatchHeader::open(&bytes[at..]) else { break };
            if header.generation != generation || header.segment != segment {
                break;
            }
            let batch_bytes = BatchHeader::BYTES + payload.len();
            found.push(Placed {
                structure: Structure::LogBatch,
                offset_bytes: start + at as u64,
                bytes: batch_bytes as u64,
            });
            at += batch_bytes.next_multiple_of(BLOCK_BYTES);
        }
        Ok(())
    }

    async fn place_fragments(&self, found: &mut Vec<Placed>) -> Result<(), DriveError> {
        let (mut start, end) = (vec![Keyspace::Fragments as u8], [Keyspace::Fragments as u8 + 1]);
        loop {
            let page = self.scan(&start, &end, 256).await?;
            for value in page.entries.iter().filter_map(|(_, entry)| entry.value.as_deref()) {
                self.place_fragment(&FragmentRecord::from_value(value)?, found);
            }
            match page.next {
                Some(next) => start = next,
                None => return Ok(()),
            }
        }
    }

    fn place_fragment(&self, record: &FragmentRecord, found: &mut Vec<Placed>) {
        let block = BLOCK_BYTES as u64;
        let fragment_bytes = record.fragment_bytes();
        let data = match record.append {
            true => Structure::AppendedFragment,
            false => Structure::ExtentFragment,
        };
        let footer_at = fragment_bytes.next_multiple_of(block);
        let footer_bytes = footer_bytes(fragment_bytes).next_multiple_of(block);
        for (structure, offset, bytes) in
            [(data, 0, footer_at), (Structure::Footer, footer_at, footer_bytes)]
        {
            for piece in pieces_of(record, offset, bytes) {
                let offset_bytes = self.segment_offset(piece.extent.segment) + piece.offset_bytes;
                found.push(Placed { structure, offset_bytes, bytes: piece.bytes });
            }
        }
    }
}

fn place_run(run: &Run, segment_bytes: u64, found: &mut Vec<Placed>) {
    let blocks = (0..run.index.block_count()).filter_map(|index| run.index.block(index));
    let blocks =
        blocks.map(|at| (Structure::RunBlock, at.offset_bytes, u64::from(at.length_bytes)));
    let tail = (Structure::RunTail, run.summary.blocks_bytes, run.summary.tail_bytes);
    for (structure, mut at, mut left) in blocks.chain([tail]) {
        while left > 0 {
            let (offset_bytes, room) = locate(&run.segments, at, segment_bytes);
            let bytes = left.min(room as u64);
            found.push(Placed { structure, offset_bytes, bytes });
            at += bytes;
            left -= bytes;
        }
    }
}
