//! What runs did, added up.

use engine_store::Structure;
use std::fmt;

/// What runs did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Seeds run to their end.
    pub seeds: u64,
    /// Processes killed, with or without the power.
    pub crashes: u64,
    /// Writes acknowledged.
    pub acknowledged: u64,
    /// Reads judged.
    pub reads: u64,
    /// Views installed.
    pub view_changes: u64,
    /// Writes rolled forward by a change of view.
    pub rolled_forward: u64,
    /// Writes aborted by one.
    pub aborted: u64,
    /// Writes settled by one though nobody can read them.
    pub lost: u64,
    /// Drives that caught up.
    pub catch_ups: u64,
    /// Catch-ups that were cut short.
    pub catch_ups_failed: u64,
    /// Fragments rebuilt on them.
    pub rebuilt: u64,
    /// Drives that were made to fail, stall or stay away.
    pub faults: u64,
    /// Drives that came back as they were some starts ago.
    pub rolled_back: u64,
    /// Drives replaced by empty ones.
    pub replaced: u64,
    /// Bits flipped.
    pub flipped: u64,
    /// Of those in known structures, how many in each.
    pub flips: [u64; Structure::ALL.len()],
    /// Fragments and payloads that drives wrote anew.
    pub healed: u64,
    /// Of those, what clients' reads alone brought about.
    pub healed_by_reads: u64,
    /// Drives whose log, index or checkpoint was rotten and that began anew.
    pub begun_anew: u64,
    /// Drives scrubbed.
    pub scrubs: u64,
    /// Records of fragments that drives were made to forget.
    pub forgotten: u64,
    /// Fragments that owners brought back because a drive had no record of them.
    pub restored: u64,
    /// Uploads completed.
    pub completed: u64,
    /// Listings judged.
    pub listings: u64,
    /// Races of conditional writes judged.
    pub races: u64,
    /// Times everything was judged on all drives.
    pub whole_checks: u64,
    /// Buckets created.
    pub buckets_made: u64,
    /// Buckets deleted.
    pub buckets_deleted: u64,
    /// Checkpoints of drives.
    pub checkpoints: u64,
    /// Segments cleaned.
    pub cleaned: u64,
    /// Steps of the simulator.
    pub steps: u64,
}

/// What a seed came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeedReport {
    /// What it did.
    pub totals: Totals,
    /// The same for the same seed, options and commit.
    pub trace: u64,
}

impl Totals {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        for ((_, sum), (_, value)) in self.fields_mut().into_iter().zip(other.fields()) {
            *sum += value;
        }
    }

    fn fields(&self) -> Vec<(&'static str, u64)> {
        let mut copy = *self;
        copy.fields_mut().into_iter().map(|(name, value)| (name, *value)).collect()
    }

    fn fields_mut(&mut self) -> Vec<(&'static str, &mut u64)> {
        let words = Structure::ALL.map(Structure::word);
        let flips = words.into_iter().zip(&mut self.flips);
        let others = vec![
            ("seeds", &mut self.seeds),
            ("crashes", &mut self.crashes),
            ("writes acknowledged", &mut self.acknowledged),
            ("reads judged", &mut self.reads),
            ("view changes", &mut self.view_changes),
            ("rolled forward", &mut self.rolled_forward),
            ("aborted", &mut self.aborted),
            ("settled without their bytes", &mut self.lost),
            ("catch-ups", &mut self.catch_ups),
            ("catch-ups cut short", &mut self.catch_ups_failed),
            ("fragments rebuilt", &mut self.rebuilt),
            ("drives lost", &mut self.faults),
            ("drives rolled back", &mut self.rolled_back),
            ("drives replaced", &mut self.replaced),
            ("bits flipped", &mut self.flipped),
            ("uploads completed", &mut self.completed),
            ("listings judged", &mut self.listings),
            ("races judged", &mut self.races),
            ("whole checks", &mut self.whole_checks),
            ("buckets made", &mut self.buckets_made),
            ("buckets deleted", &mut self.buckets_deleted),
            ("checkpoints", &mut self.checkpoints),
            ("segments cleaned", &mut self.cleaned),
            ("fragments and payloads healed", &mut self.healed),
            ("of them by reads", &mut self.healed_by_reads),
            ("drives begun anew", &mut self.begun_anew),
            ("scrubs", &mut self.scrubs),
            ("records forgotten", &mut self.forgotten),
            ("fragments brought back", &mut self.restored),
            ("steps", &mut self.steps),
        ];
        others.into_iter().chain(flips).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.fields().into_iter().filter(|(_, value)| *value > 0);
        let shown: Vec<String> = shown.map(|(name, value)| format!("{value} {name}")).collect();
        formatter.write_str(&shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_added_and_shown() {
        let mut one = Totals::default();
        for ((_, field), value) in one.fields_mut().into_iter().zip(1..) {
            *field = value;
        }
        let mut sum = one;
        sum.add(&one);
        assert!(sum.fields().iter().zip(1..).all(|((_, value), number)| *value == 2 * number));
        assert!(sum.to_string().contains("2 seeds, 4 crashes"));
    }
}
