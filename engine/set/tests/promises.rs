//! Promises of docs/semantics.md that need a whole set and no fault: order without a clock,
//! bodies of one write, keys and buckets.

mod rig;

use engine_env::Env;
use engine_set::{SetError, SetListEntry, SetListQuery};
use engine_types::{BucketId, Key, Sequence};
use rig::{BUCKET, Rig, STRIPE_BYTES, Set, key};
use std::cell::Cell;
use std::rc::Rc;

/// A clock that steps back, and at last before everything.
const CLOCKS_MS: [u64; 5] = [2_000_000, 1_000_000, 1_500_000, 1, 0];
const BODY_BYTES: usize = 4 * STRIPE_BYTES as usize;

/// Overwrites a key at each of the times; the last write must win at once.
async fn overwrite(set: Set, wall_ms: Rc<Cell<u64>>, first: u8, after: Sequence) -> Sequence {
    let (key, mut last) = (key("key"), after);
    for (number, clock_ms) in (first..).zip(CLOCKS_MS) {
        wall_ms.set(clock_ms);
        set.put(BUCKET, &key, &[number; 100], [number; 16]).await.expect("a put");
        let found = set.find(BUCKET, &key).await.expect("the object");
        assert_eq!(set.read(&found, 0).await, Ok(vec![number; 100]));
        assert_eq!(found.record.modified_ms, clock_ms, "the time is the clock's, right or not");
        assert!(found.record.sequence > last, "{} then {}", last, found.record.sequence);
        last = found.record.sequence;
    }
    last
}

#[test]
fn writes_to_a_key_keep_their_order_when_the_clock_steps_back() {
    let rig = Rig::new(1);
    let set = rig.start();
    let last = rig.run(overwrite(set, Rc::clone(&rig.wall_ms), 10, Sequence::ZERO));
    rig.kill();

    // The newest write is still the newest one after a restart at an even earlier time.
    let set = rig.start();
    let newest = set.clone();
    let found = rig.run(async move {
        let found = newest.find(BUCKET, &key("key")).await.expect("the object");
        newest.read(&found, 0).await
    });
    assert_eq!(found, Ok(vec![14; 100]));
    rig.run(overwrite(set.clone(), Rc::clone(&rig.wall_ms), 20, last));

    // A delete at the earliest time removes what was written at the latest.
    let deleted = rig.run(async move {
        let deleted = set.delete(BUCKET, &key("key")).await;
        (deleted, set.find(BUCKET, &key("key")).await.err())
    });
    assert_eq!(deleted, (Ok(true), Some(SetError::NoSuchKey)));
    rig.kill();
    let set = rig.start();
    let error = rig.run(async move { set.find(BUCKET, &key("key")).await.err() });
    assert_eq!(error, Some(SetError::NoSuchKey));
}

/// What readers saw.
#[derive(Default)]
struct Seen {
    whole: Cell<u32>,
    broken: Cell<u32>,
    done: Cell<bool>,
}

/// Reads the key over and over: the bytes are of the write that the record names, or too few.
async fn read_on(set: Set, seen: Rc<Seen>, pause_us: u64) {
    while !seen.done.get() {
        let found = set.find(BUCKET, &key("key")).await.expect("the object is always there");
        let generation = found.record.etag.md5[0];
        match set.read(&found, pause_us).await {
            Ok(bytes) => {
                let is_of_one = bytes.len() == BODY_BYTES && bytes.iter().all(|b| *b == generation);
                assert!(is_of_one, "write {generation} and another, mixed");
                seen.whole.set(seen.whole.get() + 1);
            }
            Err(_) => seen.broken.set(seen.broken.get() + 1),
        }
        set.env.sleep_us(100).await;
    }
}

#[test]
fn a_body_read_during_overwrites_is_of_one_write_or_breaks_off() {
    let rig = Rig::new(2);
    let set = rig.start();
    let seen = Rc::new(Seen::default());
    let watched = Rc::clone(&seen);
    rig.run(async move {
        let key = key("key");
        for generation in 0..40_u8 {
            let body = vec![generation; BODY_BYTES];
            set.put(BUCKET, &key, &body, [generation; 16]).await.expect("a put");
            if generation == 0 {
                for pause_us in [1, 1000, 30_000] {
                    set.env.spawn(read_on(set.clone(), Rc::clone(&watched), pause_us));
                }
            }
            set.env.sleep_us(10_000).await;
        }
        // What is read now is read to its end before the world is judged.
        watched.done.set(true);
        set.env.sleep_us(1_000_000).await;
    });
    let (whole, broken) = (seen.whole.get(), seen.broken.get());
    assert!(whole > 0 && broken > 0, "{whole} whole bodies, {broken} that broke off");
}

/// Keys that a file system, a URL or a normalisation would change or take for one another.
const ODD_KEYS: [&str; 22] = [
    "a", "a/", "a/b", "a//b", "a/b/", "a/../b", "..", "../a", ".", "./a", "/", "//", "/a", " ",
    "a ", "A", "a%2Fb", "a\\b", "a\0b", "a\nb", "\u{e4}", "a\u{308}",
];

async fn listed(set: &Set, bucket: BucketId) -> Vec<Key> {
    let query = SetListQuery { entries_max: 1000, ..SetListQuery::default() };
    let mut keys = Vec::new();
    for member in set.members() {
        let page = member.list(bucket, &query).await.expect("a page");
        assert!(!page.truncated);
        keys.extend(page.entries.into_iter().map(|entry| match entry {
            SetListEntry::Object(key, _) => key,
            SetListEntry::CommonPrefix(prefix) => panic!("no delimiter, yet {prefix:?}"),
        }));
    }
    keys.sort();
    keys
}

#[test]
fn every_odd_key_is_an_object_of_its_own_in_its_bucket() {
    let rig = Rig::new(3);
    let set = rig.start();
    rig.run(async move {
        let mut keys: Vec<Key> = ODD_KEYS.iter().map(|text| key(text)).collect();
        keys.push(key(&"k".repeat(Key::BYTES_MAX)));
        for (number, key) in (0_u8..).zip(&keys) {
            set.put(BUCKET, key, &[number; 10], [number; 16]).await.expect("a put");
        }
        for (number, key) in (0_u8..).zip(&keys) {
            let found = set.find(BUCKET, key).await.expect("the object");
            assert_eq!(set.read(&found, 0).await, Ok(vec![number; 10]), "{key:?}");
            let elsewhere = set.find(BucketId(2), key).await;
            assert_eq!(elsewhere.err(), Some(SetError::NoSuchKey), "{key:?} of another bucket");
        }
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(listed(&set, BUCKET).await, sorted);
        assert!(listed(&set, BucketId(2)).await.is_empty(), "another bucket has none of them");

        // What is deleted takes no other key with it.
        assert_eq!(set.delete(BUCKET, &key("a/")).await, Ok(true));
        sorted.retain(|other| other.as_str() != "a/");
        assert_eq!(listed(&set, BUCKET).await, sorted);
    });
}
