//! Limits of one drive.

/// Limits of one drive. The defaults are those of a server; the simulator lowers them so that
/// rare things happen often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreConfig {
    /// A batch is closed at this many bytes of records.
    pub batch_bytes_max: usize,
    /// A batch is closed at this many records.
    pub batch_records_max: usize,
    /// The memtable is flushed at this many bytes.
    pub memtable_bytes: usize,
    /// A checkpoint is taken after this many bytes of log, so that recovery stays short.
    pub log_bytes_between_checkpoints: u64,
    /// Bytes of index blocks kept in memory.
    pub block_cache_bytes: usize,
    /// Runs of one level before they are merged.
    pub runs_per_level: usize,
    /// How long released fragments stay readable for reads under way.
    pub release_delay_us: u64,
    /// How long a write waits for cleaning to make room.
    pub room_wait_us: u64,
    /// How often idle housekeeping looks for work.
    pub housekeeping_us: u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            batch_bytes_max: 1 << 20,
            batch_records_max: 256,
            memtable_bytes: 16 << 20,
            log_bytes_between_checkpoints: 256 << 20,
            block_cache_bytes: 32 << 20,
            runs_per_level: 6,
            release_delay_us: 2_000_000,
            room_wait_us: 2_000_000,
            housekeeping_us: 200_000,
        }
    }
}
