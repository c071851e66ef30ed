//! Bytes to and from the drive, and room for them.
//!
//! Invariants: a write is submitted when it is asked for; one growth at a time; a host without
//! space makes a drive full, never failed.

use crate::error::DriveError;
use crate::space::{NoSpace, Space};
use crate::store::Shared;
use crate::work::Work;
use engine_env::{BLOCK_BYTES, DmaBuf, Drive, Env, IoClass, IoError, Rule, WriteFlushError};
use engine_format::{SUPERBLOCK_BYTES, SegmentHeader};
use futures_util::future::{join_all, try_join_all};
use std::cell::Cell;
use std::future::Future;

/// How often a write that waits for room looks for it.
const ROOM_POLL_US: u64 = 5000;

// These, and the head of a batch, are handed to a drive whole. All else is cut to what it takes, be
// it a block.
const _: () = assert!(SUPERBLOCK_BYTES <= BLOCK_BYTES && SegmentHeader::BYTES <= BLOCK_BYTES);

impl<E: Env> Shared<E> {
    /// Writes a buffer at an offset of the drive, in pieces the drive takes. Submitted at once.
    #[track_caller]
    pub(crate) fn write_pieces(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), DriveError>> + 'static + use<E> {
        self.write_pieces_as(IoClass::Foreground, offset_bytes, buffer)
    }

    /// The same for a class.
    #[track_caller]
    pub(crate) fn write_pieces_as(
        &self,
        class: IoClass,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), DriveError>> + 'static + use<E> {
        let writes = self.submit_pieces(class, offset_bytes, buffer);
        async move {
            try_join_all(writes).await?;
            Ok(())
        }
    }

    #[track_caller]
    fn submit_pieces(
        &self,
        class: IoClass,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> Vec<impl Future<Output = Result<(), IoError>> + 'static + use<E>> {
        let drive = self.drive_of(class);
        let piece_bytes = drive.geometry().io_bytes_max;
        if buffer.len() <= piece_bytes {
            return vec![drive.write(offset_bytes, buffer)];
        }
        let mut writes = Vec::new();
        let mut at = offset_bytes;
        for piece in buffer.chunks(piece_bytes) {
            writes.push(drive.write(at, DmaBuf::copy_of(piece)));
            at += piece.len() as u64;
        }
        writes
    }

    /// Writes a buffer and flushes the drive behind it, in one go where the drive takes it whole.
    /// Submitted at once. All of it has come back when this answers, failed or not.
    #[track_caller]
    pub(crate) fn write_durably(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), WriteFlushError>> + 'static + use<E> {
        self.counters.flushes.set(self.counters.flushes.get() + 1);
        let (mut whole, mut pieces) = (None, Vec::new());
        if buffer.len() <= self.drive.geometry().io_bytes_max {
            whole = Some(self.drive.write_and_flush(offset_bytes, buffer));
        } else {
            pieces = self.submit_pieces(IoClass::Foreground, offset_bytes, buffer);
        }
        let drive = self.drive.clone();
        async move {
            if let Some(whole) = whole {
                return whole.await;
            }
            for written in join_all(pieces).await {
                written.map_err(WriteFlushError::Write)?;
            }
            drive.flush().await.map_err(WriteFlushError::Flush)
        }
    }

    /// Reads whole blocks at an offset of the drive.
    pub(crate) async fn read_at(
        &self,
        offset_bytes: u64,
        len: usize,
    ) -> Result<DmaBuf, DriveError> {
        self.read_at_as(IoClass::Foreground, offset_bytes, len).await
    }

    /// The same for a class.
    pub(crate) async fn read_at_as(
        &self,
        class: IoClass,
        offset_bytes: u64,
        len: usize,
    ) -> Result<DmaBuf, DriveError> {
        let drive = self.drive_of(class);
        let piece_bytes = drive.geometry().io_bytes_max;
        if len <= piece_bytes {
            return Ok(drive.read(offset_bytes, DmaBuf::for_read(len)).await?);
        }
        let mut whole = DmaBuf::for_read(len);
        let mut reads = Vec::new();
        for at in (0..len).step_by(piece_bytes) {
            let piece = DmaBuf::for_read(piece_bytes.min(len - at));
            reads.push(drive.read(offset_bytes + at as u64, piece));
        }
        for (piece, at) in try_join_all(reads).await?.iter().zip((0..len).step_by(piece_bytes)) {
            whole[at..at + piece.len()].copy_from_slice(piece);
        }
        Ok(whole)
    }

    /// Flushes the drive and counts it.
    pub(crate) async fn flush_now(&self) -> Result<(), DriveError> {
        self.counters.flushes.set(self.counters.flushes.get() + 1);
        Ok(self.drive.flush().await?)
    }

    /// Prepares more segments where few are left; one at a time.
    pub(crate) async fn grow(&self, wanted: u32) -> Result<(), DriveError> {
        if self.growing.replace(true) {
            // Somebody grows already; come back after a moment.
            self.env.sleep_us(1000).await;
            return Ok(());
        }
        let _growing = Growing(&self.growing);
        let (prepared, count, segment_bytes) = {
            let space = self.space.borrow();
            (space.prepared(), space.segment_count(), space.segment_bytes())
        };
        let target = (prepared + wanted).min(count);
        let _working = (target > prepared).then(|| self.works.begin(Work::Growth));
        let result = self.drive.prepare(u64::from(target) * segment_bytes).await;
        let ready = self.drive.prepared_bytes() / segment_bytes;
        let mut space = self.space.borrow_mut();
        space.set_prepared(u32::try_from(ready).unwrap_or(u32::MAX));
        match result {
            Ok(()) => space.set_host_full(false),
            Err(IoError::NoSpace) => space.set_host_full(true),
            Err(_) => {}
        }
        drop(space);
        if result == Err(IoError::NoSpace) && self.env.breaks(Rule::HostFull) {
            self.fail(IoError::NoSpace.into());
        }
        Ok(result?)
    }

    /// Runs an allocation of data; where cleaning can make room it waits for that.
    pub(crate) async fn with_room<T>(
        &self,
        mut allocate: impl FnMut(&mut Space) -> Result<T, NoSpace>,
    ) -> Result<T, DriveError> {
        let end_us = self.env.now_us() + self.config.room_wait_us;
        loop {
            let mut outcome = self.with_growth(&mut allocate).await;
            // What was deleted a moment ago is room soon.
            let frees = self.state.borrow().releases_waiting > 0;
            if frees && matches!(outcome, Err(DriveError::Full)) {
                outcome = Err(DriveError::Cleaning);
            }
            if outcome.is_err() {
                self.housekeeping_wanted();
            }
            if !matches!(outcome, Err(DriveError::Cleaning)) || self.env.now_us() >= end_us {
                return outcome;
            }
            if let Some(error) = self.failed() {
                return Err(error);
            }
            self.env.sleep_us(ROOM_POLL_US).await;
        }
    }

    /// Runs an allocation, growing the drive as long as that helps.
    pub(crate) async fn with_growth<T>(
        &self,
        mut allocate: impl FnMut(&mut Space) -> Result<T, NoSpace>,
    ) -> Result<T, DriveError> {
        loop {
            let outcome = allocate(&mut self.space.borrow_mut());
            match outcome {
                Ok(value) => return Ok(value),
                Err(NoSpace::Full) => return Err(DriveError::Full),
                Err(NoSpace::Cleaning) => return Err(DriveError::Cleaning),
                Err(NoSpace::Growth) => match self.grow(4).await {
                    // A full host is remembered: the space may do without growing.
                    Ok(()) | Err(DriveError::Io(IoError::NoSpace)) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
}

/// Growth under way; abandoning it must not bar the next.
struct Growing<'a>(&'a Cell<bool>);

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
