//! What is simulated: what the caller asks for, and what each seed draws (swarm testing: every seed
//! leaves out or exaggerates something else).

use engine_env::BrokenRules;
use engine_placement::SchemaError;
use engine_set::SetConfig;
use engine_store::{IndexMemory, StoreConfig};
use engine_types::{DeploymentId, SetId};
use shards_sim::Random;
use std::fmt;
use std::str::FromStr;

/// Bytes of a cell.
pub const CELL_BYTES: u32 = 64 << 10;
/// Objects up to this size lie in the log.
pub const INLINE_BYTES_MAX: u64 = 4 << 10;
/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 256 << 10;
/// Segments of a drive.
pub const SEGMENTS: u64 = 128;
/// The deployment of every world.
pub const DEPLOYMENT: DeploymentId = DeploymentId([8; 16]);

/// The shape of a set: as many drives as cells in a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Data cells.
    pub data: u8,
    /// Parity cells.
    pub parity: u8,
}

impl Shape {
    /// The shapes that `ci` runs.
    pub const ALL: [Self; 6] = [
        Self { data: 4, parity: 2 },
        Self { data: 2, parity: 1 },
        Self { data: 2, parity: 2 },
        Self { data: 1, parity: 0 },
        Self { data: 1, parity: 1 },
        Self { data: 8, parity: 4 },
    ];

    /// Drives of the set.
    #[must_use]
    pub fn drives(self) -> u8 {
        self.data + self.parity
    }

    /// The configuration of such a set.
    ///
    /// # Errors
    /// A shape that cannot keep what it promises.
    pub fn config(self) -> Result<SetConfig, SchemaError> {
        let limits = (CELL_BYTES, INLINE_BYTES_MAX);
        SetConfig::new(DEPLOYMENT, SetId(0), (self.drives(), self.parity), limits)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.data, self.parity)
    }
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("a shape is written like 4+2, not {text}");
        let (data, parity) = text.split_once('+').ok_or_else(wrong)?;
        let data: u8 = data.parse().map_err(|_| wrong())?;
        let parity: u8 = parity.parse().map_err(|_| wrong())?;
        if data == 0 || data > 16 || parity > 16 {
            return Err(format!("1 to 16 data and 0 to 16 parity cells, not {text}"));
        }
        let shape = Self { data, parity };
        shape.config().map_err(|error| error.to_string())?;
        Ok(shape)
    }
}

/// What the caller asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetOptions {
    /// The shape of the set.
    pub shape: Shape,
    /// Crashes of each seed.
    pub crashes: u64,
    /// Whether drives are lost while in use, stay away and are replaced.
    pub faults: bool,
    /// Whether at most P drives are lost at any time: then nothing may be lost or stay
    /// unreadable. Beyond that only wrong answers are errors.
    pub within_parity: bool,
    /// Whether bits flip on at most P drives.
    pub rot: bool,
    /// Whether drives differ in speed, and readers look at what is being written.
    pub slow: bool,
    /// Whether many processes die while they write a view.
    pub interrupts: bool,
    /// Whether empty drives take the place of lost ones. Where they do not, everything must be
    /// there again once all drives are, whatever was lost meanwhile.
    pub replaces: bool,
    /// Drives come back as they were so many served starts ago; 0 for never.
    pub rolled_back: u8,
    /// Processes die while a write is on its way that comes from one source file of the store.
    pub aimed: bool,
    /// From this place, as `file:line`, where it is aimed.
    pub aimed_at: Option<&'static str>,
    /// Rules that the set is without.
    pub broken: BrokenRules,
}

impl SetOptions {
    /// The usual: everything within what the set promises, no rot.
    #[must_use]
    pub fn new(shape: Shape, crashes: u64) -> Self {
        Self {
            shape,
            crashes,
            faults: true,
            within_parity: true,
            rot: false,
            slow: false,
            interrupts: false,
            replaces: true,
            rolled_back: 0,
            aimed: false,
            aimed_at: None,
            broken: BrokenRules::NONE,
        }
    }

    /// Whether the set must be whole again once all drives are back.
    #[must_use]
    pub fn must_heal(&self) -> bool {
        self.within_parity || !self.replaces
    }

    /// The flags that differ from the usual, as typed.
    #[must_use]
    pub fn flags(&self) -> String {
        let flags = [
            (!self.faults, " --no-faults"),
            (!self.within_parity, " --beyond-parity"),
            (self.rot, " --rot"),
            (self.slow, " --slow"),
            (self.interrupts, " --interrupts"),
            (!self.replaces, " --no-replacing"),
            (self.aimed && self.aimed_at.is_none(), " --aimed"),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| *flag);
        let mut text: String = set.collect();
        if let Some(place) = self.aimed_at {
            text.push_str(&format!(" --aimed-at {place}"));
        }
        if self.rolled_back > 0 {
            text.push_str(&format!(" --rolled-back {}", self.rolled_back));
        }
        text
    }
}

/// As typed behind the program's name.
impl fmt::Display for SetOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.flags();
        write!(formatter, "set --geometry {} --crashes {}{flags}", self.shape, self.crashes)
    }
}

/// What a seed draws.
#[derive(Debug, Clone)]
pub struct Swarm {
    /// Memory of the index, for all drives together.
    pub memory: IndexMemory,
    /// Limits of the drives.
    pub store: StoreConfig,
    /// Tasks that write.
    pub writers: u64,
    /// Keys of all of them.
    pub keys: u64,
    /// Weights of the operations of writers: put, delete, read, abandon, upload, list, condition.
    pub weights: [u64; 7],
    /// Writers pause up to so long.
    pub pause_us: u64,
    /// I/Os take up to so long.
    pub delay_us_max: u64,
    /// Rare branches are taken one time in so many; 0 for never.
    pub rare: u64,
    /// After a change of view the next report of trouble is looked into no sooner.
    pub recheck_us: u64,
    /// Drive faults come about so often; 0 for never.
    pub fault_us: u64,
    /// Out of 8 crashes so many cut the power.
    pub power_cuts: u64,
    /// Reads are of whole objects, not of any range.
    pub whole_reads: bool,
    /// As asked for.
    pub slow: bool,
    /// As asked for.
    pub replaces: bool,
}

impl Swarm {
    /// Draws.
    #[must_use]
    pub fn draw(seed: u64, options: &SetOptions) -> Self {
        let mut random = Random::new(seed, "swarm");
        let drives = usize::from(options.shape.drives());
        let batch_records_max = *random.pick(&[2, 16, 64]);
        let memory = IndexMemory {
            memtable_bytes: drives * *random.pick(&[6 << 10, 6 << 10, 40 << 10]),
            block_cache_bytes: drives * (64 << 10),
        };
        let share = memory.share_without(drives, options.broken);
        let store = StoreConfig {
            batch_bytes_max: 128 << 10,
            batch_records_max,
            memtable_bytes: share.memtable_bytes,
            log_bytes_between_checkpoints: *random.pick(&[150 << 10, 300 << 10, 800 << 10]),
            block_cache_bytes: share.block_cache_bytes,
            runs_per_level: *random.pick(&[2, 3, 4]),
            release_delay_us: *random.pick(&[0, 0, 5000]),
            room_wait_us: 500_000,
            housekeeping_us: 2000,
        };
        let writers = 1 + random.below(6);
        let mut weights = [0; 7];
        for weight in &mut weights {
            *weight = *random.pick(&[0, 1, 2, 4]);
        }
        // Something is always written.
        weights[0] += 2;
        let often = *random.pick(&[3000, 15_000, 60_000]);
        let without = !options.faults || random.one_in(6);
        Self {
            memory,
            store,
            writers,
            keys: writers * (2 + random.below(6)),
            weights,
            pause_us: *random.pick(&[20, 200, 2000]),
            delay_us_max: *random.pick(&[20, 200, 200, 2000]),
            rare: *random.pick(&[0, 3, 20]),
            recheck_us: *random.pick(&[1000, 20_000, 200_000]),
            fault_us: if without { 0 } else { often },
            power_cuts: random.below(9),
            whole_reads: false,
            slow: options.slow,
            replaces: options.replaces,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_env::Rule;

    #[test]
    fn shapes_are_read_and_checked() {
        assert_eq!("8+4".parse::<Shape>(), Ok(Shape { data: 8, parity: 4 }));
        for wrong in ["", "4", "4+", "0+2", "200+2", "a+b"] {
            assert!(wrong.parse::<Shape>().is_err(), "{wrong}");
        }
        assert!(Shape::ALL.iter().all(|shape| shape.config().is_ok()));
    }

    #[test]
    fn drives_share_the_memory_of_the_index() {
        let usual = SetOptions::new(Shape { data: 4, parity: 2 }, 7);
        let broken = BrokenRules::only(Rule::IndexMemoryShared);
        for seed in 1..20 {
            let swarm = Swarm::draw(seed, &usual);
            let store = swarm.store;
            assert!([6 << 10, 40 << 10].contains(&store.memtable_bytes));
            assert_eq!(swarm.memory.memtable_bytes, 6 * store.memtable_bytes);
            assert_eq!(store.block_cache_bytes, 64 << 10);
            let twin = Swarm::draw(seed, &SetOptions { broken, ..usual }).store;
            assert_eq!(twin.memtable_bytes, swarm.memory.memtable_bytes);
            assert_eq!(twin.block_cache_bytes, swarm.memory.block_cache_bytes);
        }
    }

    #[test]
    fn options_are_shown_as_typed() {
        let usual = SetOptions::new(Shape { data: 2, parity: 1 }, 7);
        assert_eq!(usual.to_string(), "set --geometry 2+1 --crashes 7");
        let other = SetOptions { slow: true, replaces: false, rolled_back: 2, ..usual };
        assert_eq!(other.flags(), " --slow --no-replacing --rolled-back 2");
    }
}
