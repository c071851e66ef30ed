//! Format version 1 of the control documents as committed bytes; later versions get folders of
//! their own.

#[path = "../../../engine/format/tests/fixture/mod.rs"]
mod fixture;

use engine_types::{BucketId, Position, SetId};
use shards_control::{BucketEntry, BucketState, BucketTable, SeatTable};

fn table() -> BucketTable {
    let ours = BucketEntry {
        id: BucketId(3),
        state: BucketState::Open,
        created_ms: 1_800_000_000_123,
        provider: String::new(),
        namespace: String::new(),
        remote: [0; 16],
        unknown: Vec::new(),
    };
    let theirs = BucketEntry {
        id: BucketId(0x0102_0304_0506_0708),
        state: BucketState::Deleting,
        created_ms: 1_800_000_000_456,
        provider: "s3".to_owned(),
        namespace: "tenant".to_owned(),
        remote: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
        unknown: vec![(0x7abc, b"of a later build".to_vec())],
    };
    BucketTable {
        version: 4,
        last_id: 0x0102_0304_0506_0709,
        buckets: [("ours".to_owned(), ours), ("theirs".to_owned(), theirs)].into(),
    }
}

#[test]
fn the_bucket_table_is_of_version_1() {
    let bytes = fixture::check("buckets", "docs/format/buckets.md", &table().encode());
    let read = BucketTable::decode(&bytes);
    assert_eq!(read, Ok(table()));
    // Ids go on behind the last one given out, which no bucket has any more.
    let more = table().with_bucket("more", 1).unwrap();
    assert_eq!(more.buckets["more"].id, BucketId(0x0102_0304_0506_070a));
}

#[test]
fn the_seat_table_is_of_version_1() {
    let seat = |set, position, path: &[u8]| ((SetId(set), Position(position)), path.to_vec());
    let seats =
        [seat(0, 0, b"/srv/d1"), seat(0, 127, b"/srv/\xff"), seat(0x0102, 3, b"/dev/nvme0n1")];
    let table = SeatTable { version: 0x0102_0304_0506_0708, seats: seats.into() };
    let bytes = fixture::check("seats", "docs/format/seats.md", &table.encode());
    assert_eq!(SeatTable::decode(&bytes), Ok(table));
}

#[test]
fn states_of_buckets_keep_their_numbers() {
    assert_eq!([BucketState::Open as u8, BucketState::Deleting as u8], [1, 2]);
}
