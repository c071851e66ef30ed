//! Finding and reading objects; deleting them.
//!
//! Invariants: only settled writes are seen; bytes are answered only with their sums checked;
//! what cannot be read from its drive is rebuilt from any D fragments.

use crate::commit::Change;
use crate::error::SetError;
use crate::heal::Rotten;
use crate::member::{Inner, Member};
use crate::message::{DriveReply, DriveRequest, Peers};
use crate::put::{check_condition, release_old};
use bytes::Bytes;
use engine_env::{DmaBuf, Env, IoClass};
use engine_format::{IndexKey, Keyspace, Mutation, ObjectRecord, Order, PartTable, Storage};
use engine_store::DriveError;
use engine_types::{BucketId, Condition, DataId, Geometry, Key};
use futures_util::future::join_all;
use std::rc::Rc;
use std::sync::Arc;

/// An object found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its record.
    pub record: ObjectRecord,
    /// Its bytes, where they are inline.
    pub inline: Option<Bytes>,
    /// Its parts, where it was uploaded in parts.
    pub parts: Option<PartTable>,
    /// The suffix of its index keys.
    suffix: Arc<[u8]>,
}

/// A run of erasure-coded bytes to read from.
#[derive(Debug, Clone)]
pub struct Source {
    /// The run.
    pub data: DataId,
    /// How it is cut.
    pub geometry: Geometry,
    /// Its length.
    pub run_bytes: u64,
    /// Where its fragments are.
    pub order: Order,
    /// The suffix of the object's index keys: for whoever finds that a fragment is gone.
    suffix: Arc<[u8]>,
}

impl<E: Env, P: Peers> Member<E, P> {
    /// Finds the object at a key this member owns.
    ///
    /// # Errors
    /// `NoSuchKey`, `NotOwner`, `Unavailable`.
    pub async fn find(&self, bucket: BucketId, key: &Key) -> Result<Found, SetError> {
        let inner = &self.inner;
        let order = inner.config.order(bucket, key.as_bytes());
        let suffix = IndexKey::current_suffix(bucket, key.as_bytes());
        let view = inner.check_owner(&order, &suffix, false)?;
        let found = inner.current(&order, &suffix).await?;
        // A takeover during the look-up makes it worthless.
        if self.installed().view.epoch != view.view.epoch || !self.installed().serving {
            return Err(SetError::Unavailable);
        }
        let (record, payload) = found.ok_or(SetError::NoSuchKey)?;
        Found::new(record, payload, &suffix)
    }

    /// Reads bytes of one stripe of a run: `offset` lies in the stripe, the range ends in it.
    ///
    /// # Errors
    /// `Unavailable` where fewer than D fragments can be read.
    pub async fn read_stripe(
        &self,
        source: &Source,
        offset: u64,
        len: usize,
    ) -> Result<Vec<Bytes>, SetError> {
        self.inner.read_stripe(source, offset, len).await
    }

    /// Deletes the object at a key. `Ok(false)`: there was none.
    ///
    /// # Errors
    /// `ConditionFailed`, `NotOwner`; after `Unavailable` the outcome is unknown.
    pub async fn delete(
        &self,
        bucket: BucketId,
        key: &Key,
        condition: Condition,
    ) -> Result<bool, SetError> {
        let inner = &self.inner;
        let held = self.hold(bucket, key).await?;
        let old = inner.replaceable(&held.order, &held.suffix).await?;
        check_condition(&condition, old.as_ref().map(|(record, _)| record))?;
        if old.is_none() {
            return Ok(false);
        }
        let mut change = Change::of(vec![Mutation {
            space: Keyspace::Current,
            suffix: held.suffix.clone(),
            value: None,
            has_payload: false,
        }]);
        release_old(inner, &held, old, &mut change)?;
        inner.commit(&held, move |_| change).await?;
        Ok(true)
    }
}

/// A cell to read: which fragment, and where in it.
#[derive(Clone, Copy)]
struct CellRead {
    offset: u64,
    len: usize,
}

impl<E: Env, P: Peers> Inner<E, P> {
    async fn read_stripe(
        self: &Rc<Self>,
        source: &Source,
        offset: u64,
        len: usize,
    ) -> Result<Vec<Bytes>, SetError> {
        let geometry = source.geometry;
        let stripe = offset / geometry.stripe_bytes();
        let stripe_start = stripe * geometry.stripe_bytes();
        let stripe_bytes = (source.run_bytes - stripe_start).min(geometry.stripe_bytes());
        let cell_bytes = geometry.cell_bytes_of(stripe_bytes) as usize;
        let fragment_start = stripe * u64::from(geometry.cell_bytes);
        let inside = usize::try_from(offset - stripe_start).map_err(|_| SetError::Unavailable)?;
        assert!(inside + len <= stripe_bytes as usize, "a read stays within its stripe");
        let (first, last) = (inside / cell_bytes, (inside + len - 1) / cell_bytes);
        let piece_of = |cell: usize| {
            let from = inside.max(cell * cell_bytes) - cell * cell_bytes;
            let to = (inside + len).min((cell + 1) * cell_bytes) - cell * cell_bytes;
            CellRead { offset: fragment_start + from as u64, len: to - from }
        };
        let reads = (first..=last).map(|cell| self.read_cell(source, cell, piece_of(cell)));
        let outcomes = join_all(reads).await;
        if outcomes.iter().all(Option::is_some) {
            return Ok(outcomes.into_iter().flatten().map(Bytes::from_owner).collect());
        }
        let whole = CellRead { offset: fragment_start, len: cell_bytes };
        let cells = self.rebuild_stripe(source, whole).await?;
        let pieces = (first..=last).map(|cell| {
            let piece = piece_of(cell);
            let from = (piece.offset - fragment_start) as usize;
            cells[cell].slice(from..from + piece.len)
        });
        Ok(pieces.collect())
    }

    /// Reads a piece of the fragment of a rank; `None` where that cannot be.
    async fn read_cell(
        self: &Rc<Self>,
        source: &Source,
        rank: usize,
        read: CellRead,
    ) -> Option<DmaBuf> {
        let position = source.order.at(rank)?;
        if !self.view().active.contains(position) {
            return None;
        }
        let class = IoClass::Foreground;
        let request = DriveRequest::ReadFragment(source.data, read.offset, read.len, class);
        match self.peers.call(position, request).await {
            Ok(DriveReply::Bytes(index, bytes)) if usize::from(index.0) == rank => Some(bytes),
            Ok(_) => None,
            Err(error) => {
                self.report_failed(error);
                // What is rotten its drive has healed.
                if error == DriveError::NotFound {
                    let suffix = source.suffix.to_vec();
                    self.want_heal(Rotten::Missing(suffix, source.data, position));
                }
                None
            }
        }
    }

    /// All data cells of a stripe from any D fragments.
    async fn rebuild_stripe(
        self: &Rc<Self>,
        source: &Source,
        read: CellRead,
    ) -> Result<Vec<Bytes>, SetError> {
        let width = source.geometry.width();
        let reads = (0..width).map(|rank| self.read_cell(source, rank, read));
        let cells: Vec<Option<DmaBuf>> = join_all(reads).await;
        let data_count = usize::from(source.geometry.data);
        let rebuilt = rebuild(source.geometry, &cells, &(0..data_count).collect::<Vec<_>>())?;
        let mut rebuilt = rebuilt.into_iter();
        let mut all = Vec::with_capacity(data_count);
        for cell in cells.into_iter().take(data_count) {
            match cell {
                Some(bytes) => all.push(Bytes::from_owner(bytes)),
                None => {
                    all.push(rebuilt.next().map(Bytes::from_owner).ok_or(SetError::Unavailable)?)
                }
            }
        }
        Ok(all)
    }
}

/// Rebuilds the wanted cells that are missing, in the order wanted.
fn rebuild(
    geometry: Geometry,
    cells: &[Option<DmaBuf>],
    wanted: &[usize],
) -> Result<Vec<DmaBuf>, SetError> {
    let codec = engine_codec::Codec::new(geometry.data, geometry.parity)
        .map_err(|_| SetError::Unavailable)?;
    let present: Vec<(u8, &[u8])> = cells
        .iter()
        .enumerate()
        .filter_map(|(rank, cell)| Some((u8::try_from(rank).ok()?, &cell.as_ref()?[..])))
        .collect();
    let len = present.first().map_or(0, |(_, cell)| cell.len());
    let missing: Vec<u8> = wanted
        .iter()
        .filter(|rank| cells[**rank].is_none())
        .filter_map(|rank| u8::try_from(*rank).ok())
        .collect();
    if present.len() < usize::from(geometry.data) || len == 0 {
        return Err(SetError::Unavailable);
    }
    let mut outputs: Vec<DmaBuf> = missing.iter().map(|_| DmaBuf::zeroed(len)).collect();
    let mut slices: Vec<&mut [u8]> = outputs.iter_mut().map(|cell| &mut cell[..]).collect();
    codec.reconstruct(&present, &missing, &mut slices).map_err(|_| SetError::Unavailable)?;
    Ok(outputs)
}

impl Found {
    pub(crate) fn new(
        record: ObjectRecord,
        payload: Option<Vec<u8>>,
        suffix: &[u8],
    ) -> Result<Self, SetError> {
        let parts = match (&record.storage, &payload) {
            (Storage::Parts, Some(payload)) => {
                Some(PartTable::decode(payload).map_err(|_| SetError::Unavailable)?)
            }
            _ => None,
        };
        let inline = payload.filter(|_| record.storage == Storage::Inline).map(Bytes::from);
        Ok(Self { record, inline, parts, suffix: suffix.into() })
    }

    /// The run of bytes of an object that is erasure-coded as a whole.
    #[must_use]
    pub fn source(&self) -> Option<Source> {
        match self.record.storage {
            Storage::Fragments(data, geometry) => Some(Source {
                data,
                geometry,
                run_bytes: self.record.size_bytes,
                order: self.record.order.clone(),
                suffix: Arc::clone(&self.suffix),
            }),
            _ => None,
        }
    }

    /// The runs of bytes of an object, in order, without empty parts.
    #[must_use]
    pub fn sources(&self) -> Vec<Source> {
        if let Some(source) = self.source() {
            return vec![source];
        }
        let parts = self.parts.iter().flat_map(|table| &table.parts);
        parts
            .filter(|part| part.size_bytes > 0)
            .map(|part| Source {
                data: part.data,
                geometry: part.geometry,
                run_bytes: part.size_bytes,
                order: self.record.order.clone(),
                suffix: Arc::clone(&self.suffix),
            })
            .collect()
    }
}
