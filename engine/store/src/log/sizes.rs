//! How much of the log things take, at most.

use engine_format::Record;

/// What batch and segment headers take of a segment, and a block of padding.
pub(crate) const SEGMENT_OVERHEAD_BYTES: u64 = 8192;

/// What a move takes beside key, value and payload, at most.
pub(crate) const MOVE_BYTES: usize = 64;

/// At most how many bytes a record takes in a batch.
pub(crate) fn record_bytes(record: &Record) -> usize {
    match record {
        Record::Commit(commit) => {
            let values = |m: &engine_format::Mutation| {
                m.suffix.len() + m.value.as_ref().map_or(0, Vec::len) + 16
            };
            256 + commit.order.len()
                + commit.payload.len()
                + commit.mutations.iter().map(values).sum::<usize>()
                + commit.adopts.iter().map(|f| 96 + f.extents.len() * 12).sum::<usize>()
                + commit.releases.len() * 16
        }
        Record::Move(moved) => {
            MOVE_BYTES + moved.key.len() + moved.value.len() + moved.payload.len()
        }
        Record::Marks(list) => 32 + list.len() * 16,
        Record::Aborts(list) => 32 + list.len() * 16,
        Record::Peers(list) => 32 + list.len() * 29,
        Record::View(view) => 64 + view.members.len() * 20,
        Record::Drop(dropped) => {
            128 + dropped.fragment.as_ref().map_or(0, |f| 96 + f.extents.len() * 12)
        }
        Record::Relocate(relocate) => {
            320 + relocate.new.extents.len() * 12
                + relocate.old.as_ref().map_or(0, |f| f.extents.len() * 12)
        }
        Record::Promise(_) => 32,
    }
}
