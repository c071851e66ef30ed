//! What an object is, as every layer speaks of it. Not a disk layout: `engine-format` has those.

use crate::PartNumber;

/// How the bytes of an object are cut: D data and P parity cells a stripe.
/// A mirror of n copies is D = 1, P = n - 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Data cells of a stripe, 1..=100.
    pub data: u8,
    /// Parity cells of a stripe, 0..=32.
    pub parity: u8,
    /// Bytes of one cell of a full stripe; a multiple of 4,096.
    pub cell_bytes: u32,
}

impl Geometry {
    /// Cells of a stripe.
    #[must_use]
    pub fn width(self) -> usize {
        usize::from(self.data) + usize::from(self.parity)
    }

    /// Object bytes of a full stripe.
    #[must_use]
    pub fn stripe_bytes(self) -> u64 {
        u64::from(self.data) * u64::from(self.cell_bytes)
    }

    /// Bytes of each cell of a stripe that holds `object_bytes` of the object: the full cell, or
    /// for a short last stripe an equal share rounded up to 64 bytes.
    #[must_use]
    pub fn cell_bytes_of(self, object_bytes: u64) -> u32 {
        assert!(object_bytes <= self.stripe_bytes(), "more bytes than a stripe holds");
        let share = object_bytes.div_ceil(u64::from(self.data)).next_multiple_of(64);
        u32::try_from(share).unwrap_or(u32::MAX).min(self.cell_bytes)
    }

    /// Bytes of each fragment of a run of `object_bytes`.
    #[must_use]
    pub fn fragment_bytes(self, object_bytes: u64) -> u64 {
        let full = object_bytes / self.stripe_bytes();
        let rest = object_bytes % self.stripe_bytes();
        full * u64::from(self.cell_bytes) + u64::from(self.cell_bytes_of(rest))
    }
}

/// The checksum algorithms S3 clients send.
/// Source: S3 user guide, "Checking object integrity".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ChecksumKind {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32 = 1,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c = 2,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme = 3,
    /// SHA-1, 20 bytes.
    Sha1 = 4,
    /// SHA-256, 32 bytes.
    Sha256 = 5,
}

impl ChecksumKind {
    /// Bytes of a sum.
    #[must_use]
    pub fn bytes(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// Reads the number stored on disk.
    #[must_use]
    pub fn from_u8(number: u8) -> Option<Self> {
        [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// A checksum kept with an object or a part, as the client sent it and we verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectChecksum {
    /// The algorithm.
    pub kind: ChecksumKind,
    /// Whether it is a sum of the parts' sums (S3: COMPOSITE) and not of the whole bytes.
    pub composite: bool,
    /// The sum, most significant byte first; `kind.bytes()` long.
    pub sum: Vec<u8>,
}

/// What a kept header or property of an object is. The numbers stand on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u16)]
pub enum AttributeKind {
    /// `Content-Type`.
    ContentType = 1,
    /// `Cache-Control`.
    CacheControl = 2,
    /// `Content-Disposition`.
    ContentDisposition = 3,
    /// `Content-Encoding`, without `aws-chunked`.
    ContentEncoding = 4,
    /// `Content-Language`.
    ContentLanguage = 5,
    /// `Expires`, as the client wrote it.
    Expires = 6,
    /// `x-amz-website-redirect-location`.
    WebsiteRedirect = 7,
    /// `x-amz-storage-class`.
    StorageClass = 8,
    /// `x-amz-meta-*`; the name is the part after the prefix, in lower case.
    UserMetadata = 9,
}

impl AttributeKind {
    /// Reads the number stored on disk.
    #[must_use]
    pub fn from_u16(number: u16) -> Option<Self> {
        [
            Self::ContentType,
            Self::CacheControl,
            Self::ContentDisposition,
            Self::ContentEncoding,
            Self::ContentLanguage,
            Self::Expires,
            Self::WebsiteRedirect,
            Self::StorageClass,
            Self::UserMetadata,
        ]
        .into_iter()
        .find(|kind| *kind as u16 == number)
    }
}

/// A kept header or property of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// What it is.
    pub kind: AttributeKind,
    /// The name of a user metadata entry; empty for every other kind.
    pub name: String,
    /// The value as sent.
    pub value: String,
}

/// What a client sees of an object, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Logical bytes.
    pub size_bytes: u64,
    /// Wall clock of the write, milliseconds since 1970.
    pub modified_ms: u64,
    /// The ETag without quotes: 32 hexadecimal digits, for multipart with `-N` behind.
    pub etag: String,
    /// Checksums kept with the object.
    pub checksums: Vec<ObjectChecksum>,
    /// Headers and user metadata.
    pub attributes: Vec<Attribute>,
    /// Parts of a multipart object; 0 for an object written in one PUT.
    pub part_count: u16,
}

/// What a client sees of an uploaded part, or of a part of a completed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartInfo {
    /// Its number.
    pub number: PartNumber,
    /// Logical bytes.
    pub size_bytes: u64,
    /// Wall clock of the write, milliseconds since 1970.
    pub modified_ms: u64,
    /// The MD5 of the part as 32 hexadecimal digits.
    pub etag: String,
    /// The part's checksum, if the client sent one.
    pub checksum: Option<ObjectChecksum>,
}

/// What must hold of the object at the key, judged by the key's owner as it commits.
/// Source: S3 user guide, "Conditional requests".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Condition {
    /// No condition.
    #[default]
    None,
    /// `If-None-Match: *`: no object may be there.
    Absent,
    /// `If-Match`: an object with this ETag (without quotes; `*` for any) must be there.
    Matches(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_hold_the_object_and_waste_little() {
        let geometry = Geometry { data: 4, parity: 2, cell_bytes: 256 * 1024 };
        for object_bytes in [0, 1, 63, 64, 255, 256, 257, 1 << 20, (1 << 20) + 1, 5 << 30] {
            let fragment_bytes = geometry.fragment_bytes(object_bytes);
            assert!(fragment_bytes * 4 >= object_bytes);
            assert!(fragment_bytes * 4 < object_bytes + 4 * 64 + 4);
        }
    }
}
