//! A fragment's space as one run of bytes, over all its extents.

use crate::error::DriveError;
use crate::store::Shared;
use engine_env::{BLOCK_BYTES, DmaBuf, Env, IoClass, Rule};
use engine_format::{Extent, FragmentRecord};
use futures_util::future::try_join_all;

impl<E: Env> Shared<E> {
    /// Writes a fragment's whole space, data and footer, and flushes it: nobody verifies later
    /// what is only moved. Cleaning does this: writes may wait for the room.
    pub(crate) async fn write_linear(
        &self,
        record: &FragmentRecord,
        bytes: DmaBuf,
    ) -> Result<(), DriveError> {
        self.write_linear_at(IoClass::Foreground, record, 0, &bytes).await?;
        if self.env.breaks(Rule::DataFlushed) {
            return Ok(());
        }
        self.flush_now().await
    }

    /// Writes bytes of a fragment's space, padded with zeros; `offset` is a multiple of
    /// `BLOCK_BYTES`. Not flushed.
    pub(crate) async fn write_linear_at(
        &self,
        class: IoClass,
        record: &FragmentRecord,
        offset: u64,
        bytes: &[u8],
    ) -> Result<(), DriveError> {
        let mut padded = DmaBuf::copy_of(bytes);
        padded.set_len_to_capacity();
        let writes = pieces_of(record, offset, padded.len() as u64).into_iter().map(|piece| {
            let from = piece.from as usize;
            let part = DmaBuf::copy_of(&padded[from..from + piece.bytes as usize]);
            let at = self.segment_offset(piece.extent.segment) + piece.offset_bytes;
            self.write_pieces_as(class, at, part)
        });
        try_join_all(writes).await?;
        Ok(())
    }

    /// Reads `len` bytes of a fragment's space; `offset` is a multiple of `BLOCK_BYTES`.
    pub(crate) async fn read_linear(
        &self,
        class: IoClass,
        record: &FragmentRecord,
        offset: u64,
        len: u64,
    ) -> Result<DmaBuf, DriveError> {
        let padded = len.next_multiple_of(BLOCK_BYTES as u64);
        let pieces = pieces_of(record, offset, padded);
        let reads = pieces.iter().map(|piece| {
            let at = self.segment_offset(piece.extent.segment) + piece.offset_bytes;
            self.read_at_as(class, at, piece.bytes as usize)
        });
        let mut parts = try_join_all(reads).await?;
        let mut whole = if parts.len() == 1 {
            parts.remove(0)
        } else {
            let mut whole = DmaBuf::zeroed(padded as usize);
            for (piece, part) in pieces.iter().zip(&parts) {
                let from = piece.from as usize;
                whole[from..from + part.len()].copy_from_slice(part);
            }
            whole
        };
        whole.set_len(len as usize);
        Ok(whole)
    }
}

/// A piece of a range of a fragment's space within one extent.
pub(crate) struct Piece {
    pub extent: Extent,
    /// Where it begins in the segment.
    pub offset_bytes: u64,
    /// Where it begins in the range.
    pub from: u64,
    pub bytes: u64,
}

pub(crate) fn pieces_of(record: &FragmentRecord, offset: u64, len: u64) -> Vec<Piece> {
    let end = offset + len;
    let mut pieces = Vec::new();
    let mut extent_start = 0;
    for extent in &record.extents {
        let extent_end = extent_start + extent.bytes();
        let (from, to) = (offset.max(extent_start), end.min(extent_end));
        if from < to {
            pieces.push(Piece {
                extent: *extent,
                offset_bytes: u64::from(extent.offset_units) * BLOCK_BYTES as u64
                    + (from - extent_start),
                from: from - offset,
                bytes: to - from,
            });
        }
        extent_start = extent_end;
    }
    assert_eq!(pieces.iter().map(|piece| piece.bytes).sum::<u64>(), len, "within the fragment");
    pieces
}
