//! The bucket table.

use engine_format::{FormatError, Reader, Writer, crc64};
use engine_types::BucketId;
use std::collections::BTreeMap;

const MAGIC: u64 = u64::from_le_bytes(*b"BASALTBK");
const VERSION: u32 = 1;
const BUCKETS_MAX: usize = 100_000;

/// What may be done with a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BucketState {
    /// Everything.
    Open = 1,
    /// Nothing new: it is being deleted, or was when the node stopped.
    Deleting = 2,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketEntry {
    /// Never used again.
    pub id: BucketId,
    /// Its state.
    pub state: BucketState,
    /// Wall clock of its creation, milliseconds since 1970.
    pub created_ms: u64,
    /// Whose bucket it is: empty for this deployment's own, else the backend provider.
    pub provider: String,
    /// The provider's namespace.
    pub namespace: String,
    /// The remote cluster, if any.
    pub remote: [u8; 16],
    /// Properties this build does not know: tag and bytes.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

/// All buckets by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BucketTable {
    /// Rises with each change.
    pub version: u64,
    /// The last id given out.
    pub last_id: u64,
    /// By name.
    pub buckets: BTreeMap<String, BucketEntry>,
}

/// Why a change of the table was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// There is a bucket of this name.
    #[error("the bucket exists already")]
    Exists,
    /// There is none.
    #[error("no such bucket")]
    Missing,
    /// No more buckets fit.
    #[error("too many buckets")]
    TooMany,
}

impl BucketTable {
    /// The open bucket of a name.
    #[must_use]
    pub fn open(&self, name: &str) -> Option<&BucketEntry> {
        self.buckets.get(name).filter(|bucket| bucket.state == BucketState::Open)
    }

    /// Whether a bucket id is open.
    #[must_use]
    pub fn is_open(&self, id: BucketId) -> bool {
        id == BucketId::SYSTEM
            || self.buckets.values().any(|b| b.id == id && b.state == BucketState::Open)
    }

    /// The table with one more bucket.
    ///
    /// # Errors
    /// `Exists` (also while one is being deleted) or `TooMany`.
    pub fn with_bucket(&self, name: &str, created_ms: u64) -> Result<Self, TableError> {
        if self.buckets.contains_key(name) {
            return Err(TableError::Exists);
        }
        if self.buckets.len() >= BUCKETS_MAX {
            return Err(TableError::TooMany);
        }
        let mut table = self.clone();
        table.version += 1;
        table.last_id += 1;
        let entry = BucketEntry {
            id: BucketId(table.last_id),
            state: BucketState::Open,
            created_ms,
            provider: String::new(),
            namespace: String::new(),
            remote: [0; 16],
            unknown: Vec::new(),
        };
        table.buckets.insert(name.to_owned(), entry);
        Ok(table)
    }

    /// The table with a bucket in another state.
    ///
    /// # Errors
    /// `Missing`.
    pub fn with_state(&self, name: &str, state: BucketState) -> Result<Self, TableError> {
        let mut table = self.clone();
        table.version += 1;
        table.buckets.get_mut(name).ok_or(TableError::Missing)?.state = state;
        Ok(table)
    }

    /// The table without a bucket.
    ///
    /// # Errors
    /// `Missing`.
    pub fn without(&self, name: &str) -> Result<Self, TableError> {
        let mut table = self.clone();
        table.version += 1;
        table.buckets.remove(name).ok_or(TableError::Missing)?;
        Ok(table)
    }

    /// The document.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.u64(MAGIC).u32(VERSION).u64(self.version).u64(self.last_id);
        out.count(self.buckets.len());
        for (name, bucket) in &self.buckets {
            out.bytes(name.as_bytes()).u64(bucket.id.0).u8(bucket.state as u8);
            out.u64(bucket.created_ms).bytes(bucket.provider.as_bytes());
            out.bytes(bucket.namespace.as_bytes()).raw(&bucket.remote);
            out.unknown_fields(&bucket.unknown);
        }
        let sum = crc64(&out.bytes);
        out.u64(sum);
        out.bytes
    }

    /// Reads the document.
    ///
    /// # Errors
    /// Any `FormatError`.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let what = "the bucket table";
        let body_bytes = bytes.len().checked_sub(8).ok_or(FormatError::Bounds(what))?;
        let (body, sum) = bytes.split_at(body_bytes);
        if crc64(body).to_le_bytes() != sum {
            return Err(FormatError::Sum(what));
        }
        let mut reader = Reader::new(body, what);
        if reader.u64()? != MAGIC {
            return Err(FormatError::Magic(what));
        }
        let found = reader.u32()?;
        if found != VERSION {
            return Err(FormatError::Version { structure: what, found, known: VERSION });
        }
        let (version, last_id) = (reader.u64()?, reader.u64()?);
        let count = reader.count(BUCKETS_MAX)?;
        let mut buckets = BTreeMap::new();
        for _ in 0..count {
            let name = reader.text(255)?;
            let id = reader.bucket()?;
            if id == BucketId::SYSTEM || id.0 > last_id {
                return Err(reader.bounds());
            }
            let state = match reader.u8()? {
                1 => BucketState::Open,
                2 => BucketState::Deleting,
                _ => return Err(reader.bounds()),
            };
            let created_ms = reader.u64()?;
            let (provider, namespace) = (reader.text(255)?, reader.text(1024)?);
            let (remote, unknown) = (reader.array()?, reader.unknown_fields()?);
            let entry = BucketEntry { id, state, created_ms, provider, namespace, remote, unknown };
            buckets.insert(name, entry);
        }
        Ok(Self { version, last_id, buckets })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_never_used_again() {
        let one = BucketTable::default().with_bucket("a", 1).unwrap();
        let two = one.without("a").unwrap().with_bucket("a", 2).unwrap();
        assert_ne!(one.buckets["a"].id, two.buckets["a"].id);
        assert_eq!(two.with_bucket("a", 3), Err(TableError::Exists));
        // Also after the table was read again, and when no bucket is left.
        let none = BucketTable::decode(&two.without("a").unwrap().encode()).unwrap();
        let three = none.with_bucket("a", 4).unwrap();
        assert!(three.buckets["a"].id > two.buckets["a"].id);
    }

    #[test]
    fn unknown_properties_survive_a_change_and_some_refuse_the_table() {
        let mut table = BucketTable::default().with_bucket("photos", 5).unwrap();
        let properties = vec![(77, b"of a later build".to_vec())];
        table.buckets.get_mut("photos").unwrap().unknown = properties.clone();
        let read = BucketTable::decode(&table.encode()).unwrap();
        let changed = read.with_state("photos", BucketState::Deleting).unwrap();
        let read = BucketTable::decode(&changed.encode()).unwrap();
        assert_eq!(read.buckets["photos"].unknown, properties);
        table.buckets.get_mut("photos").unwrap().unknown[0].0 |= 0x8000;
        let error = BucketTable::decode(&table.encode()).unwrap_err();
        let said = "a tagged field has format version 77; this build reads up to 3";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_table_round_trips_and_refuses_flips() {
        let table = BucketTable::default().with_bucket("photos", 5).unwrap();
        let table = table.with_state("photos", BucketState::Deleting).unwrap();
        let bytes = table.encode();
        assert_eq!(BucketTable::decode(&bytes), Ok(table));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(BucketTable::decode(&flipped).is_err());
        }
    }
}
