//! Aligned buffers for direct I/O.
//!
//! Invariants: address and capacity are multiples of `BLOCK_BYTES`; every byte is initialised;
//! the memory is freed, or goes back to its arena, only when the owner drops it, so a driver that
//! keeps the `DmaBuf` until the completion never lets the device write into memory of others.
#![allow(unsafe_code, reason = "aligned allocation")]

use crate::arena::{self, Arena};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// The unit of every offset and length on a drive, also on drives with 512-byte sectors.
pub const BLOCK_BYTES: usize = 4096;

/// An owned, aligned, initialised buffer. It lies in the arena of the thread that makes it, where
/// there is one (`ArenaScope`) with room.
///
/// **Shape**: `len` bytes in use, `len <= capacity`, capacity a multiple of `BLOCK_BYTES`.
/// **Runs on** any thread.
pub struct DmaBuf {
    memory: NonNull<u8>,
    capacity: usize,
    len: usize,
    /// Whose memory it is; nothing for an allocation of its own.
    home: Option<Arc<Arena>>,
}

// SAFETY: the buffer owns its memory exclusively and has no thread affinity.
unsafe impl Send for DmaBuf {}
// SAFETY: shared access only reads plain bytes.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// `len` zero bytes.
    ///
    /// # Panics
    /// If `len` is 0 or does not fit the address space.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buffer = Self::take(len);
        buffer.clear_from(0);
        buffer
    }

    /// A copy of `bytes`, the capacity behind them zero.
    ///
    /// # Panics
    /// As `zeroed`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut buffer = Self::take(bytes.len());
        buffer.copy_from_slice(bytes);
        buffer.clear_from(bytes.len());
        buffer
    }

    /// Whole blocks for a read, which overwrites them all: until then they hold anything.
    ///
    /// # Panics
    /// As `zeroed`, and if `len` is not a multiple of `BLOCK_BYTES`.
    #[must_use]
    pub fn for_read(len: usize) -> Self {
        assert!(len.is_multiple_of(BLOCK_BYTES), "a read is of whole blocks");
        Self::take(len)
    }

    /// Initialised memory: zeros if it is of its own, anything if it is of an arena.
    fn take(len: usize) -> Self {
        assert!(len > 0, "an I/O buffer has at least one byte");
        let capacity = len.next_multiple_of(BLOCK_BYTES);
        if let Some((home, memory)) = arena::take(capacity) {
            return Self { memory, capacity, len, home: Some(home) };
        }
        let layout = Self::layout(capacity);
        // SAFETY: the layout has a size above zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { handle_alloc_error(layout) };
        Self { memory, capacity, len, home: None }
    }

    /// Zeros from `from` to the end of the capacity of a buffer just taken.
    fn clear_from(&mut self, from: usize) {
        if self.home.is_none() {
            return;
        }
        // SAFETY: `capacity` bytes from `memory` are ours and initialised, and borrowed alone.
        let whole = unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.capacity) };
        whole[from..].fill(0);
    }

    /// Whether it lies in this arena.
    #[must_use]
    pub fn lies_in(&self, arena: &Arc<Arena>) -> bool {
        self.home.as_ref().is_some_and(|home| Arc::ptr_eq(home, arena))
    }

    /// Bytes allocated; a multiple of `BLOCK_BYTES`.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets how many bytes are in use.
    ///
    /// # Panics
    /// If `len` is over the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "length within the capacity");
        self.len = len;
    }

    /// Uses all of the capacity: what a device reads and writes.
    pub fn set_len_to_capacity(&mut self) {
        self.len = self.capacity;
    }

    fn layout(capacity: usize) -> Layout {
        match Layout::from_size_align(capacity, BLOCK_BYTES) {
            Ok(layout) => layout,
            Err(_) => panic!("an I/O buffer of {capacity} bytes does not fit the address space"),
        }
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        if let Some(arena) = &self.home {
            arena.give_back(self.memory, self.capacity);
            return;
        }
        // SAFETY: allocated in `take` with this very layout, and freed once.
        unsafe { dealloc(self.memory.as_ptr(), Self::layout(self.capacity)) }
    }
}

impl Deref for DmaBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `capacity` bytes from `memory` are ours and initialised; `len <= capacity`.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), self.len) }
    }
}

impl DerefMut for DmaBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; the exclusive borrow makes the slice the only one.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for DmaBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DmaBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_zeroed_and_writable() {
        let mut buffer = DmaBuf::zeroed(5000);
        assert_eq!(buffer.as_ptr() as usize % BLOCK_BYTES, 0);
        assert_eq!(buffer.capacity(), 8192);
        assert!(buffer.iter().all(|byte| *byte == 0));
        buffer[4999] = 7;
        buffer.set_len_to_capacity();
        assert_eq!((buffer[4999], buffer[5000]), (7, 0));
    }
}
