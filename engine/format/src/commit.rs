//! The one record every write makes: index mutations, fragments adopted and released, a payload,
//! all under one sequence. Whatever an operation changes, it changes in one step.

use crate::FormatError;
use crate::fragment::FragmentRecord;
use crate::keys::Keyspace;
use crate::object::Order;
use crate::wire::{Reader, Writer};
use bytes::Bytes;
use engine_types::{DataId, Geometry, PositionSet, Sequence};

const MUTATIONS_MAX: usize = 20_000;
const ADOPTS_MAX: usize = 128;
const RELEASES_MAX: usize = 40_000;
/// Keyspace and rank stand before it in a key of the index, of 2,200 bytes at most.
const SUFFIX_BYTES_MAX: usize = 2198;
/// An entry's head stands before it in a value of the index, of 64 KiB at most.
const VALUE_BYTES_MAX: usize = 60 << 10;

/// A change of one entry of a replicated keyspace. Each position puts its own rank before the
/// suffix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    /// The keyspace.
    pub space: Keyspace,
    /// The key behind the rank.
    pub suffix: Vec<u8>,
    /// The new value; `None` deletes.
    pub value: Option<Vec<u8>>,
    /// Whether the entry points to the commit's payload.
    pub has_payload: bool,
}

/// What it takes to read what the commit wrote: how recovery judges whether it can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitData {
    /// Nothing beside the record itself (deletes, uploads, empty objects).
    None,
    /// The payload, whole on each holder.
    Payload,
    /// D fragments of this data id; the run's length follows.
    Fragments(DataId, Geometry, u64),
}

/// A write, as one position logs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its place in the order of writes.
    pub sequence: Sequence,
    /// Already settled elsewhere (catch-up, heal): applied at once if newer, not prepared.
    pub settled: bool,
    /// The positions in the key's order.
    pub order: Order,
    /// All positions that must hold it before it is answered.
    pub positions: PositionSet,
    /// The positions that were out of the view and missed it.
    pub missing: PositionSet,
    /// The positions that hold the payload.
    pub holders: PositionSet,
    /// What reading it takes.
    pub data: CommitData,
    /// Index changes; none on positions without metadata.
    pub mutations: Vec<Mutation>,
    /// Fragments of this drive that become part of it.
    pub adopts: Vec<FragmentRecord>,
    /// Data that nothing refers to once this is settled.
    pub releases: Vec<DataId>,
    /// The inline payload; empty on positions that do not hold it.
    pub payload: Bytes,
}

impl Commit {
    /// Whether the record is one that `decode` takes back and the index can hold.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn check(&self) -> Result<(), FormatError> {
        let fits = |mutation: &Mutation| {
            mutation.space.is_replicated()
                && mutation.suffix.len() <= SUFFIX_BYTES_MAX
                && mutation.value.as_ref().is_none_or(|value| value.len() <= VALUE_BYTES_MAX)
        };
        let sound = self.mutations.len() <= MUTATIONS_MAX
            && self.mutations.iter().all(fits)
            && self.adopts.len() <= ADOPTS_MAX
            && self.releases.len() <= RELEASES_MAX;
        if sound { Ok(()) } else { Err(FormatError::Bounds("a commit")) }
    }

    /// Appends the record; the payload stands last. Gives the offset of the payload behind the
    /// start of the record.
    pub fn encode(&self, out: &mut Writer) -> usize {
        let start = out.bytes.len();
        out.sequence(self.sequence).u8(self.settled.into());
        self.order.encode(out);
        out.positions(self.positions).positions(self.missing).positions(self.holders);
        match self.data {
            CommitData::None => out.u8(0),
            CommitData::Payload => out.u8(1),
            CommitData::Fragments(data, geometry, run_bytes) => {
                out.u8(2).raw(&data.0).geometry(geometry).u64(run_bytes)
            }
        };
        out.count(self.mutations.len());
        for mutation in &self.mutations {
            let flags = u8::from(mutation.value.is_some()) | u8::from(mutation.has_payload) << 1;
            out.u8(mutation.space as u8).u8(flags).bytes(&mutation.suffix);
            if let Some(value) = &mutation.value {
                out.bytes(value);
            }
        }
        out.count(self.adopts.len());
        for fragment in &self.adopts {
            fragment.encode(out);
        }
        out.count(self.releases.len());
        for data in &self.releases {
            out.raw(&data.0);
        }
        out.count(self.payload.len());
        let offset = out.bytes.len() - start;
        out.raw(&self.payload);
        offset
    }

    /// Reads a record; also gives the offset of the payload in `reader`'s bytes.
    ///
    /// # Errors
    /// `Bounds`.
    pub fn decode(reader: &mut Reader<'_>) -> Result<(Self, usize), FormatError> {
        let start_bytes = reader.rest().len();
        let sequence = reader.sequence()?;
        let settled = reader.flag()?;
        let order = Order::decode(reader)?;
        let (positions, missing) = (reader.positions()?, reader.positions()?);
        let holders = reader.positions()?;
        let data = match reader.u8()? {
            0 => CommitData::None,
            1 => CommitData::Payload,
            2 => CommitData::Fragments(reader.data_id()?, reader.geometry()?, reader.u64()?),
            _ => return Err(reader.bounds()),
        };
        let mutations = decode_mutations(reader)?;
        let count = reader.count(ADOPTS_MAX)?;
        let mut adopts = Vec::with_capacity(count);
        for _ in 0..count {
            adopts.push(FragmentRecord::decode(reader)?);
        }
        let count = reader.count(RELEASES_MAX)?;
        let mut releases = Vec::with_capacity(count.min(1024));
        for _ in 0..count {
            releases.push(reader.data_id()?);
        }
        let payload_bytes = reader.count(reader.rest().len())?;
        let offset = start_bytes - reader.rest().len();
        let payload = Bytes::copy_from_slice(reader.take(payload_bytes)?);
        let commit = Self {
            sequence,
            settled,
            order,
            positions,
            missing,
            holders,
            data,
            mutations,
            adopts,
            releases,
            payload,
        };
        Ok((commit, offset))
    }
}

fn decode_mutations(reader: &mut Reader<'_>) -> Result<Vec<Mutation>, FormatError> {
    let count = reader.count(MUTATIONS_MAX)?;
    let mut mutations = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let space = Keyspace::from_u8(reader.u8()?)
            .filter(|space| space.is_replicated())
            .ok_or(reader.bounds())?;
        let flags = reader.u8()?;
        if flags & !3 != 0 {
            return Err(reader.bounds());
        }
        let suffix = reader.bytes(SUFFIX_BYTES_MAX)?.to_vec();
        let value =
            if flags & 1 == 0 { None } else { Some(reader.bytes(VALUE_BYTES_MAX)?.to_vec()) };
        mutations.push(Mutation { space, suffix, value, has_payload: flags & 2 != 0 });
    }
    Ok(mutations)
}
