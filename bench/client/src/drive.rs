//! One drive on the io_uring of one thread: a file or a block device, read and written in place.
//!
//! Invariants: a lane has at most one transfer under way; its buffer belongs to the ring and is
//! lent out only while no transfer uses it; nothing is allocated per transfer; a ring that ends
//! with transfers under way leaks their buffers. Whether writes are allowed is decided by how the
//! file was opened.
#![allow(unsafe_code, reason = "submission entries carry raw addresses")]

use crate::ring::Lane;
use crate::uring;
use io_uring::types::Fixed;
use io_uring::{IoUring, opcode, squeue};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Buffers begin at a multiple of this many bytes, as direct I/O wants it.
pub const ALIGNMENT_BYTES: usize = 4096;

/// More memory than this is not pinned for the kernel: the transfers pin it one by one.
const REGISTERED_BYTES_MAX: usize = 256 << 20;
/// Rounds that the end of a ring waits for the kernel to let go of its buffers.
const END_ROUNDS: u32 = 100;
/// The only file of the ring's table.
const DRIVE: Fixed = Fixed(0);

/// A transfer that has ended.
#[derive(Debug)]
pub struct Transfer {
    /// On which lane.
    pub lane: Lane,
    /// Bytes that were moved, fewer than asked for at the end of a file; or what went wrong.
    pub result: io::Result<usize>,
}

/// One lane: memory that holds an aligned buffer.
struct Place {
    memory: Vec<u8>,
    begin: usize,
    buffer_bytes: usize,
    used_bytes: usize,
    is_busy: bool,
}

impl Place {
    fn new(buffer_bytes: usize) -> Self {
        let memory = vec![0; buffer_bytes + ALIGNMENT_BYTES];
        let begin = memory.as_ptr().addr().wrapping_neg() % ALIGNMENT_BYTES;
        Self { memory, begin, buffer_bytes, used_bytes: 0, is_busy: false }
    }

    fn buffer(&mut self) -> &mut [u8] {
        &mut self.memory[self.begin..self.begin + self.buffer_bytes]
    }
}

/// The ring of one thread over one drive.
pub struct DriveRing {
    ring: IoUring,
    /// In the ring's table of files, and open for as long as the ring is.
    _file: File,
    places: Vec<Place>,
    has_fixed_buffers: bool,
}

impl DriveRing {
    /// A ring of so many lanes, each with a buffer of so many bytes.
    ///
    /// **Runs on** the thread that will use it.
    ///
    /// # Errors
    /// Where the kernel refuses io_uring.
    pub fn new(file: File, lanes: u32, buffer_bytes: usize) -> io::Result<Self> {
        assert!(buffer_bytes > 0, "a transfer moves something");
        let ring = uring::build(lanes.next_power_of_two().clamp(8, 4096))?;
        ring.submitter().register_files(&[file.as_raw_fd()])?;
        let mut places: Vec<Place> = (0..lanes).map(|_| Place::new(buffer_bytes)).collect();
        let all_bytes = places.len().saturating_mul(buffer_bytes);
        // Refused where this process may not pin so much; it works without, at some cost.
        let has_fixed_buffers =
            all_bytes <= REGISTERED_BYTES_MAX && register(&ring, &mut places).is_ok();
        Ok(Self { ring, _file: file, places, has_fixed_buffers })
    }

    /// How many transfers there can be at once.
    #[must_use]
    pub fn lane_count(&self) -> u32 {
        u32::try_from(self.places.len()).unwrap_or(u32::MAX)
    }

    /// Whether a transfer is under way on a lane.
    #[must_use]
    pub fn is_busy(&self, lane: Lane) -> bool {
        self.places[lane.0 as usize].is_busy
    }

    /// What is written next, to be filled from its beginning.
    pub fn buffer(&mut self, lane: Lane) -> &mut [u8] {
        let place = &mut self.places[lane.0 as usize];
        assert!(!place.is_busy, "the kernel is using this buffer");
        place.buffer()
    }

    /// What was read last.
    #[must_use]
    pub fn bytes(&self, lane: Lane) -> &[u8] {
        let place = &self.places[lane.0 as usize];
        assert!(!place.is_busy, "the kernel is using this buffer");
        &place.memory[place.begin..place.begin + place.used_bytes]
    }

    /// Begins to read so many bytes at an offset of the drive.
    pub fn read(&mut self, lane: Lane, offset_bytes: u64, len_bytes: usize) {
        let (buffer, len) = self.begin(lane, len_bytes);
        let entry = match self.buffer_index(lane) {
            Some(index) => {
                opcode::ReadFixed::new(DRIVE, buffer, len, index).offset(offset_bytes).build()
            }
            None => opcode::Read::new(DRIVE, buffer, len).offset(offset_bytes).build(),
        };
        self.push(&entry.user_data(u64::from(lane.0)));
    }

    /// Begins to write the beginning of the lane's buffer to an offset of the drive.
    pub fn write(&mut self, lane: Lane, offset_bytes: u64, len_bytes: usize) {
        let (buffer, len) = self.begin(lane, len_bytes);
        let buffer = buffer.cast_const();
        let entry = match self.buffer_index(lane) {
            Some(index) => {
                opcode::WriteFixed::new(DRIVE, buffer, len, index).offset(offset_bytes).build()
            }
            None => opcode::Write::new(DRIVE, buffer, len).offset(offset_bytes).build(),
        };
        self.push(&entry.user_data(u64::from(lane.0)));
    }

    /// Takes the buffer of a lane for the kernel.
    fn begin(&mut self, lane: Lane, len_bytes: usize) -> (*mut u8, u32) {
        let place = &mut self.places[lane.0 as usize];
        assert!(!place.is_busy, "one transfer at a time");
        assert!(len_bytes <= place.buffer_bytes, "a transfer fits into its buffer");
        (place.is_busy, place.used_bytes) = (true, 0);
        (place.buffer().as_mut_ptr(), u32::try_from(len_bytes).unwrap_or(u32::MAX))
    }

    fn buffer_index(&self, lane: Lane) -> Option<u16> {
        if self.has_fixed_buffers { u16::try_from(lane.0).ok() } else { None }
    }

    /// Waits for a transfer to end, at most so long; `None`: without end. Those that have ended are
    /// appended.
    ///
    /// # Errors
    /// Where the ring itself fails.
    pub fn wait(&mut self, timeout: Option<Duration>, ended: &mut Vec<Transfer>) -> io::Result<()> {
        uring::wait(&self.ring, timeout)?;
        for completion in self.ring.completion() {
            let lane = Lane((completion.user_data() & u64::from(u32::MAX)) as u32);
            let place = &mut self.places[lane.0 as usize];
            place.is_busy = false;
            let result = match completion.result() {
                bytes if bytes >= 0 => Ok(bytes.unsigned_abs() as usize),
                code => Err(io::Error::from_raw_os_error(-code)),
            };
            place.used_bytes = *result.as_ref().unwrap_or(&0);
            ended.push(Transfer { lane, result });
        }
        Ok(())
    }

    /// Hands an entry to the kernel at once: the drive works on it while the next one is made. Drives
    /// of virtual machines answer what they got together together, and idle until they get more.
    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: the buffer an entry names belongs to a place of this ring, is as long as the
        // entry says, is not touched while the place is busy, and is leaked by `Drop` where it
        // stays busy; the file is open for as long as the ring is.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // A full queue is submitted; an error shows at the next wait.
            if self.ring.submit().is_err() {
                std::hint::spin_loop();
            }
        }
        // What the kernel does not take now it takes at the next wait.
        let _ = self.ring.submit();
    }
}

/// Pins the buffers once instead of at every transfer.
fn register(ring: &IoUring, places: &mut [Place]) -> io::Result<()> {
    let vector_of = |place: &mut Place| {
        let buffer = place.buffer();
        libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
    };
    let vectors: Vec<libc::iovec> = places.iter_mut().map(vector_of).collect();
    // SAFETY: the buffers live as long as the ring does, or are leaked; they never move, for a
    // place's memory neither grows nor shrinks.
    unsafe { ring.submitter().register_buffers(&vectors) }
}

impl Drop for DriveRing {
    fn drop(&mut self) {
        let mut rounds = 0;
        while self.places.iter().any(|place| place.is_busy) && rounds < END_ROUNDS {
            if self.wait(Some(Duration::from_millis(10)), &mut Vec::new()).is_err() {
                break;
            }
            rounds += 1;
        }
        for place in self.places.drain(..).filter(|place| place.is_busy) {
            // The kernel may still use it.
            Box::leak(Box::new(place.memory));
        }
    }
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
