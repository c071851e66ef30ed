//! What index entries say: who has them, what they refer to; and the records that copy them.

use crate::error::SetError;
use bytes::Bytes;
use engine_format::{
    Commit, CommitData, Entry, Keyspace, Mutation, ObjectRecord, Order, PartRecord, PartTable,
    Storage, UploadRecord,
};
use engine_types::{DataId, Geometry, Position, PositionSet, Sequence};

/// A write that is settled elsewhere, for one position.
pub(crate) fn settled(
    sequence: Sequence,
    order: Order,
    mutations: Vec<Mutation>,
    payload: Bytes,
) -> Commit {
    Commit {
        sequence,
        settled: true,
        order,
        positions: PositionSet::EMPTY,
        missing: PositionSet::EMPTY,
        holders: PositionSet::EMPTY,
        data: CommitData::None,
        mutations,
        adopts: Vec::new(),
        releases: Vec::new(),
        payload,
    }
}

/// The runs an entry that is replaced refers to; those of a part table go with what is left over.
pub(super) fn replaced_runs(
    space: Keyspace,
    found: Option<(Entry, Option<Vec<u8>>)>,
) -> Vec<DataId> {
    let Some((entry, payload)) = found else { return Vec::new() };
    let Some(value) = entry.value else { return Vec::new() };
    let runs = runs_of(space, &value, payload.as_deref()).unwrap_or_default();
    runs.into_iter().map(|(data, ..)| data).collect()
}

pub(super) fn order_of(space: Keyspace, value: &[u8]) -> Result<Order, SetError> {
    let order = match space {
        Keyspace::Current => ObjectRecord::decode(value).map(|record| record.order),
        Keyspace::Uploads => UploadRecord::decode(value).map(|record| record.order),
        _ => PartRecord::decode(value).map(|record| record.order),
    };
    order.map_err(|_| SetError::Unavailable)
}

/// Whether the drive at a position holds the payload of an entry, or it tells what else it holds.
pub(super) fn needs_payload(
    space: Keyspace,
    value: &[u8],
    position: Position,
) -> Result<bool, SetError> {
    if space != Keyspace::Current {
        return Ok(false);
    }
    let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
    Ok(match record.storage {
        Storage::Inline => record.holders.contains(position),
        Storage::Parts => true,
        Storage::Empty | Storage::Fragments(..) => false,
    })
}

pub(super) fn holders_of(space: Keyspace, value: &[u8]) -> Result<PositionSet, SetError> {
    if space != Keyspace::Current {
        return Ok(PositionSet::EMPTY);
    }
    Ok(ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?.holders)
}

/// The runs of bytes an entry refers to.
pub(super) fn runs_of(
    space: Keyspace,
    value: &[u8],
    payload: Option<&[u8]>,
) -> Result<Vec<(DataId, Geometry, u64)>, SetError> {
    match space {
        Keyspace::Current => {
            let record = ObjectRecord::decode(value).map_err(|_| SetError::Unavailable)?;
            match record.storage {
                Storage::Empty | Storage::Inline => Ok(Vec::new()),
                Storage::Fragments(data, geometry) => Ok(vec![(data, geometry, record.size_bytes)]),
                Storage::Parts => {
                    let table = PartTable::decode(payload.ok_or(SetError::Unavailable)?)
                        .map_err(|_| SetError::Unavailable)?;
                    let parts = table.parts.into_iter().filter(|part| part.size_bytes > 0);
                    Ok(parts.map(|part| (part.data, part.geometry, part.size_bytes)).collect())
                }
            }
        }
        Keyspace::Parts => {
            let entry = PartRecord::decode(value).map_err(|_| SetError::Unavailable)?.entry;
            let has_bytes = entry.size_bytes > 0;
            Ok(has_bytes
                .then_some((entry.data, entry.geometry, entry.size_bytes))
                .into_iter()
                .collect())
        }
        _ => Ok(Vec::new()),
    }
}
