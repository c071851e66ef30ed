//! Keys of the index of one drive: keyspace, rank, then what the keyspace sorts by.
//!
//! `C | rank | bucket | key` newest version; `U | rank | bucket | escaped key | upload`;
//! `P | rank | upload | part number`; `F | data id` fragments of this drive;
//! `R | data id` fragments to free (a durable to-do list). The rank is the place of this drive in
//! the key's order, so that entries it leads (rank 0) lie together and LIST reads only those.

use engine_types::{BucketId, DataId, Key, PartNumber, UploadId};

/// The first byte of an index key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Keyspace {
    /// The newest version at a key.
    Current = b'C',
    /// Uploads under way.
    Uploads = b'U',
    /// Parts of uploads under way.
    Parts = b'P',
    /// Fragments that lie on this drive.
    Fragments = b'F',
    /// Fragments of this drive that a settled write released.
    Releases = b'R',
}

impl Keyspace {
    /// Reads the first byte of a key.
    #[must_use]
    pub fn from_u8(byte: u8) -> Option<Self> {
        [Self::Current, Self::Uploads, Self::Parts, Self::Fragments, Self::Releases]
            .into_iter()
            .find(|space| *space as u8 == byte)
    }

    /// Whether entries are replicated over the key's metadata positions (and so have a rank).
    #[must_use]
    pub fn is_replicated(self) -> bool {
        matches!(self, Self::Current | Self::Uploads | Self::Parts)
    }
}

/// A key of the index; sorts as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IndexKey(pub Vec<u8>);

/// Escapes a key so that it can stand before other fields and still sort as the key does:
/// 0x00 becomes 0x00 0xFF, the end is 0x00 0x01.
#[must_use]
pub fn escape_key(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 2);
    for byte in key {
        out.push(*byte);
        if *byte == 0 {
            out.push(0xff);
        }
    }
    out.extend_from_slice(&[0, 1]);
    out
}

/// Undoes `escape_key`; gives the key and what stands behind it.
#[must_use]
pub fn unescape_key(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut key = Vec::new();
    let mut rest = bytes;
    loop {
        match rest {
            [0, 1, behind @ ..] => return Some((key, behind)),
            [0, 0xff, behind @ ..] => {
                key.push(0);
                rest = behind;
            }
            [0, ..] | [] => return None,
            [byte, behind @ ..] => {
                key.push(*byte);
                rest = behind;
            }
        }
    }
}

impl IndexKey {
    /// A key of a replicated keyspace: its rank, then the suffix all positions share.
    #[must_use]
    pub fn ranked(space: Keyspace, rank: u8, suffix: &[u8]) -> Self {
        assert!(space.is_replicated(), "{space:?} has no ranks");
        let mut bytes = Vec::with_capacity(2 + suffix.len());
        bytes.extend_from_slice(&[space as u8, rank]);
        bytes.extend_from_slice(suffix);
        Self(bytes)
    }

    /// A key of `Fragments` or `Releases`.
    #[must_use]
    pub fn local(space: Keyspace, data: DataId) -> Self {
        assert!(!space.is_replicated(), "{space:?} is replicated");
        let mut bytes = Vec::with_capacity(17);
        bytes.push(space as u8);
        bytes.extend_from_slice(&data.0);
        Self(bytes)
    }

    /// The data id of a `Fragments` or `Releases` key.
    #[must_use]
    pub fn data_id(&self) -> Option<DataId> {
        let (space, id) = self.0.split_first()?;
        if Keyspace::from_u8(*space)?.is_replicated() {
            return None;
        }
        Some(DataId(id.try_into().ok()?))
    }

    /// The suffix of `Current`: bucket, key.
    #[must_use]
    pub fn current_suffix(bucket: BucketId, key: &[u8]) -> Vec<u8> {
        let mut bytes = bucket.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(key);
        bytes
    }

    /// The suffix of `Uploads`: bucket, escaped key, upload.
    #[must_use]
    pub fn upload_suffix(bucket: BucketId, key: &[u8], upload: UploadId) -> Vec<u8> {
        let mut bytes = bucket.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(&escape_key(key));
        bytes.extend_from_slice(&upload.0);
        bytes
    }

    /// The suffix of `Parts`: upload (unique for ever), then the part number.
    #[must_use]
    pub fn part_suffix(upload: UploadId, part: PartNumber) -> Vec<u8> {
        let mut bytes = upload.0.to_vec();
        bytes.extend_from_slice(&part.get().to_be_bytes());
        bytes
    }

    /// Bucket and key of a suffix of `Current`.
    #[must_use]
    pub fn parse_current(suffix: &[u8]) -> Option<(BucketId, Key)> {
        let (bucket, key) = suffix.split_first_chunk::<8>()?;
        Some((BucketId(u64::from_be_bytes(*bucket)), Key::from_bytes(key).ok()?))
    }

    /// Bucket, key and upload of a suffix of `Uploads`.
    #[must_use]
    pub fn parse_upload(suffix: &[u8]) -> Option<(BucketId, Key, UploadId)> {
        let (bucket, rest) = suffix.split_first_chunk::<8>()?;
        let (key, rest) = unescape_key(rest)?;
        let upload = UploadId(rest.try_into().ok()?);
        Some((BucketId(u64::from_be_bytes(*bucket)), Key::from_bytes(&key).ok()?, upload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_keys_sort_as_the_keys_do() {
        let keys: [&[u8]; 7] = [b"", b"\0", b"\0\0", b"\0\x01", b"a", b"a\0", b"ab"];
        for pair in keys.windows(2) {
            assert!(escape_key(pair[0]) < escape_key(pair[1]), "{pair:?}");
        }
        for key in keys {
            let escaped = escape_key(key);
            assert_eq!(unescape_key(&escaped), Some((key.to_vec(), &[][..])));
        }
        assert_eq!(unescape_key(b"ab"), None);
        assert_eq!(unescape_key(b"a\0\x02"), None);
    }

    #[test]
    fn uploads_round_trip() {
        let suffix = IndexKey::upload_suffix(BucketId(9), b"a/b", UploadId([7; 16]));
        let (bucket, key, upload) = IndexKey::parse_upload(&suffix).unwrap();
        assert_eq!((bucket, key.as_str(), upload), (BucketId(9), "a/b", UploadId([7; 16])));
        let part = IndexKey::part_suffix(upload, PartNumber::new(258).unwrap());
        assert_eq!(part[16..], [1, 2]);
    }
}
