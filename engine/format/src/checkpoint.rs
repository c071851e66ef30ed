//! A checkpoint: the state of a drive at one place of its log. Replay goes on from there.

use crate::FormatError;
use crate::commit::Commit;
use crate::entry::PayloadLocation;
use crate::record::{PeerKnown, View};
use crate::wire::{Reader, Writer, crc64};
use engine_types::{Epoch, SegmentId, Sequence};

const MAGIC: u64 = u64::from_le_bytes(*b"BASALTCP");
const VERSION: u32 = 1;

/// A run of the index and the segments it lies in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEntry {
    /// The run's own summary, as `engine-index` encodes it.
    pub summary: Vec<u8>,
    /// Its segments, in order.
    pub segments: Vec<SegmentId>,
}

/// A log segment that still holds payloads, or that replay needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSegment {
    /// The segment.
    pub segment: SegmentId,
    /// Its generation.
    pub generation: u64,
    /// Bytes of payloads in it that the index refers to.
    pub live_bytes: u64,
    /// The last batch in it: a scan that ends before it has met rot.
    pub last_batch: u64,
}

/// What a data segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentUse {
    /// Fragments below 1 MiB, appended: bytes still in use.
    Append(u64),
    /// Extents: a bit for each 64 KiB granule in use.
    Extents(Vec<u64>),
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checkpoint {
    /// Newest settled-through mark of each owner.
    pub marks: Vec<Sequence>,
    /// The view, if one was ever written.
    pub view: View,
    /// The highest epoch promised.
    pub promised: Epoch,
    /// What the other drives are known to have durable.
    pub peers: Vec<PeerKnown>,
    /// Writes prepared and not settled, with where their payload lies.
    pub pending: Vec<(Commit, Option<PayloadLocation>)>,
    /// Runs of the index, newest first.
    pub runs: Vec<RunEntry>,
    /// Log segments in use.
    pub log: Vec<LogSegment>,
    /// Data segments in use.
    pub data: Vec<(SegmentId, SegmentUse)>,
    /// The id of the next run.
    pub next_run: u64,
    /// How often data has filled the drive: 0, not yet; `u32::MAX`, it was full and was deleted
    /// from since; anything else, it refused data or
    /// was about to, and so many segments were live at the most.
    pub filling: u32,
}

impl Checkpoint {
    /// The bytes, padded to 4 KiB, and their sum.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, u64) {
        let mut out = Writer::new();
        out.u64(MAGIC).u32(VERSION).u32(self.promised.0).u64(self.next_run);
        out.count(self.marks.len());
        self.marks.iter().for_each(|mark| {
            out.sequence(*mark);
        });
        self.view.encode(&mut out);
        out.count(self.peers.len());
        for peer in &self.peers {
            out.raw(&peer.drive.0)
                .u8(peer.position.0)
                .u32(peer.incarnation)
                .u64(peer.batch_sequence);
        }
        out.count(self.pending.len());
        for (commit, location) in &self.pending {
            commit.encode(&mut out);
            out.u8(location.is_some().into());
            if let Some(location) = location {
                out.u32(location.segment.0).u64(location.generation);
                out.u32(location.offset_bytes).u32(location.bytes).u64(location.sum);
            }
        }
        out.count(self.runs.len());
        for run in &self.runs {
            out.bytes(&run.summary).count(run.segments.len());
            run.segments.iter().for_each(|segment| {
                out.u32(segment.0);
            });
        }
        out.count(self.log.len());
        for log in &self.log {
            out.u32(log.segment.0).u64(log.generation);
            out.u64(log.live_bytes).u64(log.last_batch);
        }
        out.count(self.data.len());
        for (segment, usage) in &self.data {
            out.u32(segment.0);
            match usage {
                SegmentUse::Append(live_bytes) => {
                    out.u8(0).u64(*live_bytes);
                }
                SegmentUse::Extents(bits) => {
                    out.u8(1).count(bits.len());
                    bits.iter().for_each(|word| {
                        out.u64(*word);
                    });
                }
            }
        }
        out.u32(self.filling);
        out.pad(4096);
        let sum = crc64(&out.bytes);
        (out.bytes, sum)
    }

    /// Reads the checkpoint with this sum.
    ///
    /// # Errors
    /// Any `FormatError`.
    pub fn decode(bytes: &[u8], sum: u64) -> Result<Self, FormatError> {
        if crc64(bytes) != sum {
            return Err(FormatError::Sum("the checkpoint"));
        }
        let reader = &mut Reader::new(bytes, "the checkpoint");
        if reader.u64()? != MAGIC {
            return Err(FormatError::Magic("the checkpoint"));
        }
        let found = reader.u32()?;
        if found != VERSION {
            return Err(FormatError::Version {
                structure: "the checkpoint",
                found,
                known: VERSION,
            });
        }
        let promised = Epoch(reader.u32()?);
        let next_run = reader.u64()?;
        let marks = list(reader, Reader::sequence)?;
        let view = View::decode(reader)?;
        let peers = list(reader, |r| {
            Ok(PeerKnown {
                drive: r.drive_id()?,
                position: engine_types::Position(r.u8()?),
                incarnation: r.u32()?,
                batch_sequence: r.u64()?,
            })
        })?;
        let pending = list(reader, |r| {
            let (commit, _) = Commit::decode(r)?;
            let location = if r.flag()? { Some(location(r)?) } else { None };
            Ok((commit, location))
        })?;
        let runs = list(reader, |r| {
            let summary = r.bytes(4096)?.to_vec();
            Ok(RunEntry { summary, segments: list(r, |r| Ok(SegmentId(r.u32()?)))? })
        })?;
        let log = list(reader, |r| {
            let segment = SegmentId(r.u32()?);
            Ok(LogSegment {
                segment,
                generation: r.u64()?,
                live_bytes: r.u64()?,
                last_batch: r.u64()?,
            })
        })?;
        let data = list(reader, |r| {
            let segment = SegmentId(r.u32()?);
            let usage = match r.u8()? {
                0 => SegmentUse::Append(r.u64()?),
                1 => SegmentUse::Extents(list(r, Reader::u64)?),
                _ => return Err(r.bounds()),
            };
            Ok((segment, usage))
        })?;
        // Builds before it was kept have padding there, or too little for it.
        let filling = reader.rest().first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        Ok(Self { marks, view, promised, peers, pending, runs, log, data, next_run, filling })
    }
}

fn location(reader: &mut Reader<'_>) -> Result<PayloadLocation, FormatError> {
    Ok(PayloadLocation {
        segment: SegmentId(reader.u32()?),
        generation: reader.u64()?,
        offset_bytes: reader.u32()?,
        bytes: reader.u32()?,
        sum: reader.u64()?,
    })
}

fn list<'a, T>(
    reader: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = reader.count(1 << 26)?;
    let mut items = Vec::with_capacity(count.min(4096));
    for _ in 0..count {
        items.push(one(reader)?);
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_ends_before_filling_was_never_full() {
        let checkpoint = Checkpoint { next_run: 7, filling: 41, ..Checkpoint::default() };
        let (bytes, sum) = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes, sum).unwrap(), checkpoint);
        let filling = bytes.iter().rposition(|byte| *byte == 41).unwrap();
        for padding in 0..=3 {
            let mut old = bytes[..filling].to_vec();
            old.resize(filling + padding, 0);
            let read = Checkpoint::decode(&old, crc64(&old)).unwrap();
            assert_eq!(read, Checkpoint { filling: 0, ..checkpoint.clone() }, "{padding} bytes");
        }
    }
}
