//! Records of the log. A batch holds a run of them, each `kind, length, body`, 8-byte aligned.

use crate::FormatError;
use crate::commit::Commit;
use crate::fragment::FragmentRecord;
use crate::wire::{Reader, Writer};
use bytes::Bytes;
use engine_types::{DataId, DriveId, Epoch, Position, PositionSet, Sequence};

/// A set's view, durable on a majority of its drives before it is in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Its number.
    pub epoch: Epoch,
    /// The positions in sync.
    pub in_sync: PositionSet,
    /// Who is at each position.
    pub members: Vec<ViewMember>,
}

/// The drive at a position, as a view knows it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ViewMember {
    /// The drive; zero where none was ever seen.
    pub drive: DriveId,
    /// The view that admitted it: it may lack what was written under earlier ones and was not
    /// decided by then.
    pub joined: Epoch,
}

/// Everything of an owner up to a sequence is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The last settled sequence of its owner.
    pub through: Sequence,
}

/// What this drive knows another to have made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerKnown {
    /// The other drive: knowledge of one that was replaced says nothing of its successor.
    pub drive: DriveId,
    /// Its position.
    pub position: Position,
    /// Its incarnation.
    pub incarnation: u32,
    /// Its newest durable batch.
    pub batch_sequence: u64,
}

/// A payload copied by cleaning, so that its old segment can be freed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The whole index key of the entry.
    pub key: Vec<u8>,
    /// The entry's sequence; the move is void if the key was written again meanwhile.
    pub sequence: Sequence,
    /// The entry's value, so that applying needs no read.
    pub value: Vec<u8>,
    /// The payload.
    pub payload: Bytes,
}

/// A fragment is gone and its space is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drop {
    /// The data id.
    pub data: DataId,
    /// The record it had; `None` if this drive held no fragment of it.
    pub fragment: Option<FragmentRecord>,
}

/// A fragment has moved (cleaning) or was written anew (heal): its new record, and the old one
/// whose space is free.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relocate {
    /// Where it lies now.
    pub new: FragmentRecord,
    /// Where it lay; `None` if it was missing.
    pub old: Option<FragmentRecord>,
}

/// A record of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A write.
    Commit(Box<Commit>),
    /// Settled-through marks.
    Marks(Vec<Mark>),
    /// Writes that never were.
    Aborts(Vec<Sequence>),
    /// A view of the set.
    View(View),
    /// No view below this epoch may be written by anyone else.
    Promise(Epoch),
    /// What the other drives have made durable.
    Peers(Vec<PeerKnown>),
    /// A payload moved.
    Move(Move),
    /// A fragment freed.
    Drop(Drop),
    /// A fragment moved.
    Relocate(Relocate),
}

impl Record {
    /// Appends the record, aligned. Gives the offset of its payload (of a commit or a move)
    /// behind the start of `out`, 0 where there is none.
    pub fn encode(&self, out: &mut Writer) -> usize {
        out.pad(8);
        let start = out.bytes.len();
        out.u32(0).u32(0);
        let mut payload_offset = 0;
        let kind = match self {
            Self::Commit(commit) => {
                payload_offset = out.bytes.len();
                payload_offset += commit.encode(out);
                1
            }
            Self::Marks(marks) => {
                out.count(marks.len());
                marks.iter().for_each(|mark| {
                    out.sequence(mark.through);
                });
                2
            }
            Self::Aborts(sequences) => {
                out.count(sequences.len());
                sequences.iter().for_each(|sequence| {
                    out.sequence(*sequence);
                });
                3
            }
            Self::View(view) => {
                view.encode(out);
                4
            }
            Self::Promise(epoch) => {
                out.u32(epoch.0);
                5
            }
            Self::Peers(peers) => {
                out.count(peers.len());
                for peer in peers {
                    out.raw(&peer.drive.0)
                        .u8(peer.position.0)
                        .u32(peer.incarnation)
                        .u64(peer.batch_sequence);
                }
                6
            }
            Self::Move(moved) => {
                out.bytes(&moved.key).sequence(moved.sequence).bytes(&moved.value);
                out.count(moved.payload.len());
                payload_offset = out.bytes.len();
                out.raw(&moved.payload);
                7
            }
            Self::Drop(dropped) => {
                out.raw(&dropped.data.0);
                encode_optional(out, dropped.fragment.as_ref());
                8
            }
            Self::Relocate(relocate) => {
                relocate.new.encode(out);
                encode_optional(out, relocate.old.as_ref());
                9
            }
        };
        let Ok(len) = u32::try_from(out.bytes.len() - start - 8) else {
            panic!("a record is bounded by its batch");
        };
        out.bytes[start..start + 4].copy_from_slice(&u32::to_le_bytes(kind));
        out.bytes[start + 4..start + 8].copy_from_slice(&len.to_le_bytes());
        payload_offset
    }

    /// Reads all records of a batch, each with the offset of its payload behind the start of
    /// `payload` (0 where there is none).
    ///
    /// # Errors
    /// `Bounds` or `Version`; the sum was checked before, so this is not a torn write.
    pub fn decode_all(payload: &[u8], count: usize) -> Result<Vec<(Self, usize)>, FormatError> {
        let mut records = Vec::with_capacity(count.min(4096));
        let mut at = 0_usize;
        for _ in 0..count {
            at = at.next_multiple_of(8);
            let bytes = payload.get(at..).ok_or(FormatError::Bounds("a log record"))?;
            let mut reader = Reader::new(bytes, "a log record");
            let kind = reader.u32()?;
            let len = reader.count(bytes.len())?;
            let body = reader.take(len)?;
            let (record, offset) = Self::decode_body(kind, body)?;
            let payload_offset = if offset == 0 { 0 } else { at + 8 + offset };
            records.push((record, payload_offset));
            at += 8 + len;
        }
        Ok(records)
    }

    fn decode_body(kind: u32, body: &[u8]) -> Result<(Self, usize), FormatError> {
        let mut reader = Reader::new(body, "a log record");
        let mut payload_offset = 0;
        let record = match kind {
            1 => {
                let (commit, offset) = Commit::decode(&mut reader)?;
                payload_offset = offset;
                Self::Commit(Box::new(commit))
            }
            2 => Self::Marks(decode_list(&mut reader, |r| Ok(Mark { through: r.sequence()? }))?),
            3 => Self::Aborts(decode_list(&mut reader, Reader::sequence)?),
            4 => Self::View(View::decode(&mut reader)?),
            5 => Self::Promise(Epoch(reader.u32()?)),
            6 => Self::Peers(decode_list(&mut reader, |r| {
                Ok(PeerKnown {
                    drive: r.drive_id()?,
                    position: Position(r.u8()?),
                    incarnation: r.u32()?,
                    batch_sequence: r.u64()?,
                })
            })?),
            7 => {
                let key = reader.bytes(4096)?.to_vec();
                let sequence = reader.sequence()?;
                let value = reader.bytes(64 << 10)?.to_vec();
                let len = reader.count(body.len())?;
                payload_offset = body.len() - reader.rest().len();
                let payload = Bytes::copy_from_slice(reader.take(len)?);
                Self::Move(Move { key, sequence, value, payload })
            }
            8 => Self::Drop(Drop {
                data: reader.data_id()?,
                fragment: decode_optional(&mut reader)?,
            }),
            9 => Self::Relocate(Relocate {
                new: FragmentRecord::decode(&mut reader)?,
                old: decode_optional(&mut reader)?,
            }),
            found => {
                return Err(FormatError::Version { structure: "a log record", found, known: 9 });
            }
        };
        Ok((record, payload_offset))
    }
}

fn encode_optional(out: &mut Writer, fragment: Option<&FragmentRecord>) {
    out.u8(fragment.is_some().into());
    if let Some(fragment) = fragment {
        fragment.encode(out);
    }
}

fn decode_optional(reader: &mut Reader<'_>) -> Result<Option<FragmentRecord>, FormatError> {
    if reader.flag()? { FragmentRecord::decode(reader).map(Some) } else { Ok(None) }
}

fn decode_list<'a, T>(
    reader: &mut Reader<'a>,
    mut one: impl FnMut(&mut Reader<'a>) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = reader.count(1 << 20)?;
    let mut list = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        list.push(one(reader)?);
    }
    Ok(list)
}

impl View {
    pub(crate) fn encode(&self, out: &mut Writer) {
        out.u32(self.epoch.0).positions(self.in_sync).count(self.members.len());
        for member in &self.members {
            out.raw(&member.drive.0).u32(member.joined.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let epoch = Epoch(reader.u32()?);
        let in_sync = reader.positions()?;
        let count = reader.count(128)?;
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            members.push(ViewMember { drive: reader.drive_id()?, joined: Epoch(reader.u32()?) });
        }
        Ok(Self { epoch, in_sync, members })
    }
}
