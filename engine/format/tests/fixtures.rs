//! Format version 1 as committed bytes: every structure still encodes to them, and they still
//! decode to the same value. A structure that changes gets a new version and a new folder; what
//! stands here stays and must still be read (docs/format/README.md).

mod fixture;
mod sample;

use engine_format::{
    BatchHeader, Checkpoint, Entry, FragmentFooter, FragmentRecord, IndexKey, Keyspace,
    ObjectRecord, PartRecord, PartTable, Record, SegmentHeader, Storage, Superblock, UploadRecord,
    Writer, payload_sum,
};
use engine_types::{BucketId, DataId, Key, UploadId};
use fixture::check;
use sample::{id, objects};

#[test]
fn the_superblock_is_of_version_1() {
    let bytes = check("superblock", "docs/format/superblock.md", &sample::superblock().encode());
    assert_eq!(Superblock::decode(&bytes), Ok(sample::superblock()));
}

#[test]
fn the_header_of_a_log_segment_is_of_version_1() {
    let header = sample::segment_header();
    let bytes = check("log-segment", "docs/format/log.md, segment header", &header.encode());
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    // The chain of the first batch begins with the header's own sum.
    assert_eq!(header.chain().to_le_bytes(), bytes[SegmentHeader::BYTES - 8..]);
}

#[test]
fn a_batch_is_of_version_1() {
    let mut payload = Writer::new();
    let records = sample::records();
    for (_, _, record) in &records {
        record.encode(&mut payload);
    }
    let payload_bytes = u32::try_from(payload.bytes.len()).unwrap();
    let header = sample::batch_header(payload_bytes, u32::try_from(records.len()).unwrap());
    let mut bytes = vec![0; BatchHeader::BYTES];
    let chain = header.seal(&mut bytes, &payload.bytes);
    bytes.extend_from_slice(&payload.bytes);
    let bytes = check("log-batch", "docs/format/log.md, batch of all records", &bytes);
    let (found, body, found_chain) = BatchHeader::open(&bytes).unwrap();
    assert_eq!((found, found_chain), (header, chain));
    let found = Record::decode_all(body, records.len()).unwrap();
    let found: Vec<Record> = found.into_iter().map(|(record, _)| record).collect();
    let records: Vec<Record> = records.into_iter().map(|(_, _, record)| record).collect();
    assert_eq!(found, records);
}

#[test]
fn the_records_of_the_log_are_of_version_1() {
    for (_, name, record) in sample::records() {
        let mut out = Writer::new();
        let payload_offset = record.encode(&mut out);
        let bytes = check(name, "docs/format/log.md, records", &out.bytes);
        if payload_offset > 0 && name != "record-1-commit-none" {
            let payload = bytes.get(payload_offset..payload_offset + sample::PAYLOAD.len());
            assert_eq!(payload, Some(sample::PAYLOAD), "{name}: where the payload lies");
        }
        let found = Record::decode_all(&bytes, 1);
        assert_eq!(found, Ok(vec![(record, payload_offset)]), "{name}");
    }
}

#[test]
fn fragments_are_of_version_1() {
    for (name, record) in [
        ("fragment-append", sample::fragment(100_000, true)),
        ("fragment-extents", sample::fragment(5_000_000, false)),
    ] {
        let bytes = check(name, "docs/format/fragment.md, record", &record.to_value());
        assert_eq!(FragmentRecord::from_value(&bytes), Ok(record), "{name}");
    }
    let footer = sample::footer();
    let (bytes, sum) = footer.encode();
    let bytes = check("fragment-footer", "docs/format/fragment.md, footer", &bytes);
    assert_eq!(FragmentFooter::decode(&bytes, sum, footer.sums.len()), Ok(footer));
}

#[test]
fn keys_of_the_index_are_of_version_1() {
    for (name, key) in sample::keys() {
        let bytes = check(name, "docs/format/index.md, keys", &key.0);
        assert_eq!(IndexKey(bytes), key, "{name}");
    }
    let (bucket, upload) = (BucketId(0x0102_0304_0506_0708), UploadId(id(0x50)));
    let key = Key::new("a/\0b").unwrap();
    let current = fixture::read("key-current");
    assert_eq!(IndexKey::parse_current(&current[2..]), Some((bucket, key.clone())));
    let uploads = fixture::read("key-upload");
    assert_eq!(IndexKey::parse_upload(&uploads[2..]), Some((bucket, key, upload)));
    for name in ["key-fragment", "key-release"] {
        assert_eq!(IndexKey(fixture::read(name)).data_id(), Some(DataId(id(0x40))), "{name}");
    }
    assert_eq!(Keyspace::from_u8(fixture::read("key-part")[0]), Some(Keyspace::Parts));
}

#[test]
fn entries_of_the_index_are_of_version_1() {
    for (name, entry) in [("entry", sample::entry()), ("entry-tombstone", sample::tombstone())] {
        let bytes = check(name, "docs/format/index.md, entry", &entry.encode());
        assert_eq!(Entry::decode(&bytes), Ok(entry), "{name}");
    }
    let location = Entry::decode(&fixture::read("entry")).unwrap().payload.unwrap();
    let sum = payload_sum(sample::sequence(4), location.generation, sample::PAYLOAD);
    assert_eq!(location.sum, sum, "what the sum of a payload covers");
}

#[test]
fn objects_are_of_version_1() {
    let parts = objects::plain_object(Storage::Parts, 5 << 30);
    for (name, record) in [
        ("object", objects::object()),
        ("object-empty", objects::plain_object(Storage::Empty, 0)),
        ("object-inline", objects::plain_object(Storage::Inline, 17)),
        ("object-parts", parts),
    ] {
        let bytes = check(name, "docs/format/object.md, object record", &record.encode());
        assert_eq!(ObjectRecord::decode(&bytes), Ok(record), "{name}");
    }
}

#[test]
fn uploads_and_parts_are_of_version_1() {
    let upload = objects::upload();
    let bytes = check("upload", "docs/format/object.md, upload record", &upload.encode());
    assert_eq!(UploadRecord::decode(&bytes), Ok(upload));
    let part = objects::part();
    let bytes = check("part", "docs/format/object.md, part record", &part.encode());
    assert_eq!(PartRecord::decode(&bytes), Ok(part));
    let table = objects::part_table();
    let bytes = check("part-table", "docs/format/object.md, part table", &table.encode());
    assert_eq!(PartTable::decode(&bytes), Ok(table));
}

#[test]
fn the_checkpoint_is_of_version_1() {
    let (bytes, sum) = sample::checkpoint().encode();
    let bytes = check("checkpoint", "docs/format/checkpoint.md", &bytes);
    assert_eq!(Checkpoint::decode(&bytes, sum), Ok(sample::checkpoint()));
    assert!(Checkpoint::decode(&bytes, sum ^ 1).is_err());
}
