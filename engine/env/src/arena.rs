//! A shard's own memory for I/O buffers: one aligned region, cut by halving.
//!
//! Invariants: a piece belongs to one buffer from its making until that buffer drops, on whatever
//! thread; a driver drops a buffer at its completion only. Only the thread of the scope cuts and
//! joins pieces; other threads push them on a stack which that thread empties. The region lives
//! as long as the last of its buffers and holders, and every byte of it is initialised.
//!
//! Absent: any knowledge of a ring; waiting (what does not fit is allocated by itself and counted).
#![allow(unsafe_code, reason = "one allocation, cut by hand")]

use crate::BLOCK_BYTES;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::AddAssign;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many sizes pieces have: 4 KiB and its doubles up to 2 MiB, a batch of 1 MiB with its frame.
const SIZES: usize = 10;

/// The largest piece. A region is whole pieces of this size and aligned to it, as huge pages are.
const PIECE_BYTES_MAX: usize = BLOCK_BYTES << (SIZES - 1);

/// No block.
const NONE: u32 = u32::MAX;

/// The region of one shard, shared by its buffers, its thread and its driver.
pub struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
    /// The piece that was given back last; `next` leads from there to older ones.
    returned: AtomicU32,
    next: Box<[AtomicU32]>,
    used_bytes: AtomicU64,
    served: AtomicU64,
    plain: AtomicU64,
}

// SAFETY: the region is reached through buffers only, each of which owns a piece of it alone; all
// else is constant or atomic.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// What arenas have done. Sums of several are sums of their fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ArenaStatistics {
    /// Bytes of the region.
    pub bytes: u64,
    /// Bytes of the pieces that are buffers now.
    pub used_bytes: u64,
    /// Buffers that got a piece.
    pub served: u64,
    /// Buffers that were too large or found none free, and were allocated by themselves.
    pub plain: u64,
}

impl AddAssign for ArenaStatistics {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.used_bytes += other.used_bytes;
        self.served += other.served;
        self.plain += other.plain;
    }
}

impl Arena {
    fn new(bytes: usize) -> Option<Self> {
        let bytes = bytes - bytes % PIECE_BYTES_MAX;
        let blocks = u32::try_from(bytes / BLOCK_BYTES).ok().filter(|blocks| *blocks < NONE)?;
        let layout = Layout::from_size_align(bytes, PIECE_BYTES_MAX).ok()?;
        if layout.size() == 0 {
            return None;
        }
        // SAFETY: the layout has a size above zero.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self {
            memory,
            layout,
            returned: AtomicU32::new(NONE),
            next: (0..blocks).map(|_| AtomicU32::new(NONE)).collect(),
            used_bytes: AtomicU64::new(0),
            served: AtomicU64::new(0),
            plain: AtomicU64::new(0),
        })
    }

    /// Where the region lies and how long it is, for a driver that tells the kernel once for all.
    #[must_use]
    pub fn region(&self) -> (NonNull<u8>, usize) {
        (self.memory, self.layout.size())
    }

    /// What it has done so far.
    #[must_use]
    pub fn statistics(&self) -> ArenaStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ArenaStatistics {
            bytes: self.layout.size() as u64,
            used_bytes: get(&self.used_bytes),
            served: get(&self.served),
            plain: get(&self.plain),
        }
    }

    /// Takes back the piece of a buffer of `bytes` that is no more. **Runs on** any thread.
    pub(crate) fn give_back(&self, piece: NonNull<u8>, bytes: usize) {
        let offset_bytes = piece.addr().get() - self.memory.addr().get();
        let block = u32::try_from(offset_bytes / BLOCK_BYTES).unwrap_or(NONE);
        self.used_bytes.fetch_sub(piece_bytes(bytes) as u64, Ordering::Relaxed);
        let mut newest = self.returned.load(Ordering::Relaxed);
        loop {
            self.next[block as usize].store(newest, Ordering::Relaxed);
            // Release: whoever empties the stack sees what was done with the bytes. Nothing is
            // ever popped alone, so that an old head found again is no danger.
            match self.returned.compare_exchange_weak(
                newest,
                block,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => newest = found,
            }
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once; every buffer in it held the
        // arena, so none is left.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// The power of two that a piece for `bytes` has, in blocks.
fn size_for(bytes: usize) -> usize {
    bytes.div_ceil(BLOCK_BYTES).next_power_of_two().trailing_zeros() as usize
}

fn piece_bytes(bytes: usize) -> usize {
    BLOCK_BYTES << size_for(bytes)
}

/// A block at which a piece begins, as long as one does.
#[derive(Clone, Copy)]
struct Head {
    size: usize,
    /// Its place in the list of free pieces; `NONE` while it is no free piece.
    place: u32,
}

/// Which pieces are free, known to one thread only.
struct Pieces {
    free: [Vec<u32>; SIZES],
    heads: Vec<Head>,
}

impl Pieces {
    fn new(blocks: usize) -> Self {
        let heads = vec![Head { size: 0, place: NONE }; blocks];
        let mut pieces = Self { free: std::array::from_fn(|_| Vec::new()), heads };
        let step = 1 << (SIZES - 1);
        for block in (0..blocks).step_by(step).rev() {
            pieces.put(block as u32, SIZES - 1);
        }
        pieces
    }

    fn put(&mut self, block: u32, size: usize) {
        self.heads[block as usize] = Head { size, place: self.free[size].len() as u32 };
        self.free[size].push(block);
    }

    fn remove(&mut self, block: u32) {
        let head = &mut self.heads[block as usize];
        let place = std::mem::replace(&mut head.place, NONE);
        let list = &mut self.free[head.size];
        list.swap_remove(place as usize);
        if let Some(moved) = list.get(place as usize) {
            self.heads[*moved as usize].place = place;
        }
    }

    fn take(&mut self, size: usize) -> Option<u32> {
        let found = (size..SIZES).find(|size| !self.free[*size].is_empty())?;
        let block = *self.free[found].last()?;
        self.remove(block);
        for half in (size..found).rev() {
            self.put(block + (1 << half), half);
        }
        self.heads[block as usize].size = size;
        Some(block)
    }

    /// Joins a piece with its other half as often as that is free and whole.
    fn give_back(&mut self, block: u32) {
        let (mut block, mut size) = (block, self.heads[block as usize].size);
        while size + 1 < SIZES {
            let other = block ^ (1 << size);
            let head = self.heads[other as usize];
            if head.place == NONE || head.size != size {
                break;
            }
            self.remove(other);
            block = block.min(other);
            size += 1;
        }
        self.put(block, size);
    }
}

/// The arena that the buffers of a thread come from.
struct Owner {
    arena: Arc<Arena>,
    pieces: Pieces,
}

impl Owner {
    fn take(&mut self, bytes: usize) -> Option<(Arc<Arena>, NonNull<u8>)> {
        let size = size_for(bytes);
        let Some(block) = self.block(size) else {
            count(&self.arena.plain);
            return None;
        };
        count(&self.arena.served);
        self.arena.used_bytes.fetch_add((BLOCK_BYTES << size) as u64, Ordering::Relaxed);
        // SAFETY: `pieces` knows the blocks of this region only, so the place lies inside.
        let piece = unsafe { self.arena.memory.add(block as usize * BLOCK_BYTES) };
        Some((Arc::clone(&self.arena), piece))
    }

    fn block(&mut self, size: usize) -> Option<u32> {
        if size >= SIZES {
            return None;
        }
        let mut chosen = None;
        if self.arena.returned.load(Ordering::Relaxed) != NONE {
            // Acquire: what other threads did with these bytes is over.
            let mut block = self.arena.returned.swap(NONE, Ordering::Acquire);
            while block != NONE {
                let older = self.arena.next[block as usize].load(Ordering::Relaxed);
                // What was used last lies in the cache still, and need be neither joined nor cut.
                if chosen.is_none() && self.pieces.heads[block as usize].size == size {
                    chosen = Some(block);
                } else {
                    self.pieces.give_back(block);
                }
                block = older;
            }
        }
        chosen.or_else(|| self.pieces.take(size))
    }
}

/// Adds one to a counter that one thread writes.
fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

thread_local! {
    static OWNER: RefCell<Option<Owner>> = const { RefCell::new(None) };
}

/// A piece of this thread's arena for `bytes`, if there is an arena and it has one.
pub(crate) fn take(bytes: usize) -> Option<(Arc<Arena>, NonNull<u8>)> {
    let taken = OWNER.try_with(|owner| owner.borrow_mut().as_mut()?.take(bytes));
    // A thread that is ending has no arena.
    taken.ok().flatten()
}

/// As long as it lives, the buffers made on this thread lie in an arena where they can.
///
/// **Runs on** the thread that began it.
pub struct ArenaScope {
    arena: Option<Arc<Arena>>,
    outer: Option<Owner>,
    /// Ends where it began.
    stays: PhantomData<*const ()>,
}

impl ArenaScope {
    /// Begins with an arena of at most `bytes`. With less than 2 MiB, or where the system gives
    /// no memory, there is none, and buffers are made as without a scope.
    #[must_use]
    pub fn begin(bytes: usize) -> Self {
        let arena = Arena::new(bytes).map(Arc::new);
        let owner = arena
            .as_ref()
            .map(|arena| Owner { arena: Arc::clone(arena), pieces: Pieces::new(arena.next.len()) });
        Self { arena, outer: OWNER.replace(owner), stays: PhantomData }
    }

    /// The arena, if there is one.
    #[must_use]
    pub fn arena(&self) -> Option<&Arc<Arena>> {
        self.arena.as_ref()
    }
}

impl Drop for ArenaScope {
    fn drop(&mut self) {
        drop(OWNER.replace(self.outer.take()));
    }
}

#[cfg(test)]
mod tests;
