//! A drive: a run of bytes with reads, writes and flushes.

use crate::DmaBuf;
use engine_types::ErrorClass;
use std::future::Future;

/// Why an I/O failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IoError {
    /// The device refused or lost the I/O (`errno`).
    #[error("I/O error (errno {0})")]
    Failed(i32),
    /// No completion within the drive's deadline. The buffer stays with the device.
    #[error("the drive did not answer within its deadline")]
    Timeout,
    /// The host has no space to grow the drive: full, not failed.
    #[error("no space left on the host file system")]
    NoSpace,
    /// The drive failed or was fenced off earlier and takes no more I/O.
    #[error("the drive is offline")]
    Offline,
}

impl IoError {
    /// What a caller does about it.
    #[must_use]
    pub fn class(self) -> ErrorClass {
        match self {
            Self::NoSpace => ErrorClass::NoSpace,
            Self::Failed(_) | Self::Timeout | Self::Offline => ErrorClass::Device,
        }
    }
}

/// Which half of a `write_and_flush` failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WriteFlushError {
    /// The write: what its range holds is unknown. No flush has failed.
    #[error("write: {0}")]
    Write(IoError),
    /// The flush. The drive must not be trusted again before recovery.
    #[error("flush: {0}")]
    Flush(IoError),
}

/// Facts about a drive that do not change while it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveGeometry {
    /// The most it may ever hold.
    pub capacity_bytes: u64,
    /// The largest single write or read; larger ones must be cut by the caller. A multiple of
    /// `BLOCK_BYTES`.
    pub io_bytes_max: usize,
}

/// For whom reads and writes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IoClass {
    /// Somebody waits for them: a client, or work that makes room for one.
    Foreground,
    /// Nobody does: scrub, heal, catch-up.
    Background,
}

/// One drive, open for direct I/O. Offsets and lengths are multiples of `BLOCK_BYTES`. Clones are
/// handles to the same drive.
///
/// **Media** (docs/format/media-assumptions.md): a completed write is durable only after a later
/// completed flush; until then any subset of its 512-byte sectors may survive a power loss.
/// **Cancel**: dropping a returned future abandons the result, never the I/O.
pub trait Drive: Clone + 'static {
    /// The facts.
    fn geometry(&self) -> DriveGeometry;

    /// A handle whose reads and writes are background work (scrub, heal, catch-up): same drive,
    /// same data. They go behind those of others and take a share of the drive at most, however
    /// long that makes them wait. Flushes are as any.
    ///
    /// Not for work that makes room (cleaning, checkpoints, merging of runs): writes wait for it,
    /// and would wait for its share.
    #[must_use]
    fn background(&self) -> Self;

    /// Bytes from 0 that may be written: zero-written once and durable as such.
    fn prepared_bytes(&self) -> u64;

    /// Makes `prepared_bytes` at least `end_bytes`: allocates, writes zeros, syncs. Runs off the
    /// data path.
    ///
    /// # Errors
    /// `NoSpace` where the host is full; the drive goes on with what it has.
    fn prepare(&self, end_bytes: u64) -> impl Future<Output = Result<(), IoError>> + use<Self>;

    /// Fills the whole buffer from `offset_bytes`.
    ///
    /// # Errors
    /// Any `IoError`; the buffer is not given back then.
    fn read(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<DmaBuf, IoError>> + use<Self>;

    /// Writes the whole buffer at `offset_bytes`.
    ///
    /// # Errors
    /// Any `IoError`; what the range holds then is unknown.
    // The simulator counts crashes for each place that writes.
    #[track_caller]
    fn write(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), IoError>> + use<Self>;

    /// Makes durable every write that completed before the call.
    ///
    /// # Errors
    /// Any `IoError`. After one the drive must not be trusted again before recovery.
    fn flush(&self) -> impl Future<Output = Result<(), IoError>> + use<Self>;

    /// Writes the whole buffer at `offset_bytes` and makes durable it and every write that
    /// completed before the call. A drive that can hands both to the device at once.
    ///
    /// # Errors
    /// Which half failed. Nothing is flushed behind a write that failed.
    #[track_caller]
    fn write_and_flush(
        &self,
        offset_bytes: u64,
        buffer: DmaBuf,
    ) -> impl Future<Output = Result<(), WriteFlushError>> + use<Self> {
        let (write, drive) = (self.write(offset_bytes, buffer), self.clone());
        async move {
            write.await.map_err(WriteFlushError::Write)?;
            drive.flush().await.map_err(WriteFlushError::Flush)
        }
    }
}
