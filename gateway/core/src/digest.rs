//! Sums of bodies: computed piece by piece, joined over parts, and written as S3 writes them.
//!
//! Invariant: `joined` of the CRCs of the pieces of some bytes is the CRC of those bytes.
//! Source: S3 user guide, "Checking object integrity for data uploads".

use crate::api::{ChecksumText, ChecksumType};
use crate::encoding::{base64, from_base64};
use crate::failure::{ErrorCode, S3Failure};
use crc_fast::CrcAlgorithm;
use engine_types::{ChecksumKind, ObjectChecksum};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// What is kept when the client sent no checksum, as S3 does.
pub const DEFAULT_KIND: ChecksumKind = ChecksumKind::Crc64Nvme;

const KINDS: [ChecksumKind; 5] = [
    ChecksumKind::Crc32,
    ChecksumKind::Crc32c,
    ChecksumKind::Crc64Nvme,
    ChecksumKind::Sha1,
    ChecksumKind::Sha256,
];

/// The algorithm as `x-amz-checksum-algorithm` names it.
#[must_use]
pub fn algorithm_name(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::Crc32 => "CRC32",
        ChecksumKind::Crc32c => "CRC32C",
        ChecksumKind::Crc64Nvme => "CRC64NVME",
        ChecksumKind::Sha1 => "SHA1",
        ChecksumKind::Sha256 => "SHA256",
    }
}

/// Reads the name of an algorithm, in either case.
#[must_use]
pub fn kind_of_algorithm(name: &str) -> Option<ChecksumKind> {
    KINDS.into_iter().find(|kind| algorithm_name(*kind).eq_ignore_ascii_case(name))
}

/// The header or trailer that carries the checksum.
#[must_use]
pub fn header_name(kind: ChecksumKind) -> &'static str {
    match kind {
        ChecksumKind::Crc32 => "x-amz-checksum-crc32",
        ChecksumKind::Crc32c => "x-amz-checksum-crc32c",
        ChecksumKind::Crc64Nvme => "x-amz-checksum-crc64nvme",
        ChecksumKind::Sha1 => "x-amz-checksum-sha1",
        ChecksumKind::Sha256 => "x-amz-checksum-sha256",
    }
}

/// Reads the name of a checksum's header or trailer, in either case.
#[must_use]
pub fn kind_of_header(name: &str) -> Option<ChecksumKind> {
    KINDS.into_iter().find(|kind| header_name(*kind).eq_ignore_ascii_case(name))
}

/// The checksum as an answer shows it; `part_count` stands behind a composite one.
#[must_use]
pub fn text_of(checksum: &ObjectChecksum, part_count: u16) -> ChecksumText {
    let sum = base64(&checksum.sum);
    if checksum.composite {
        ChecksumText {
            kind: checksum.kind,
            text: format!("{sum}-{part_count}"),
            checksum_type: ChecksumType::Composite,
        }
    } else {
        ChecksumText { kind: checksum.kind, text: sum, checksum_type: ChecksumType::FullObject }
    }
}

/// The bytes of a sum sent as base64.
pub(crate) fn sum_of(kind: ChecksumKind, text: &str) -> Result<Vec<u8>, S3Failure> {
    from_base64(text).filter(|sum| sum.len() == kind.bytes()).ok_or_else(|| {
        S3Failure::with_message(
            ErrorCode::InvalidRequest,
            format!("Value for {} header is invalid.", header_name(kind)),
        )
    })
}

/// That bytes do not have the sum the client gave.
pub(crate) fn bad_digest(kind: ChecksumKind) -> S3Failure {
    S3Failure::with_message(
        ErrorCode::BadDigest,
        format!(
            "The {} you specified did not match the calculated checksum.",
            algorithm_name(kind)
        ),
    )
}

/// That another algorithm was agreed on.
pub(crate) fn kind_mismatch(expected: ChecksumKind, actual: ChecksumKind) -> S3Failure {
    S3Failure::with_message(
        ErrorCode::InvalidRequest,
        format!(
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            algorithm_name(expected).to_ascii_lowercase(),
            algorithm_name(actual).to_ascii_lowercase()
        ),
    )
}

enum Running {
    Crc(Box<crc_fast::Digest>),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Running {
    fn new(kind: ChecksumKind) -> Self {
        match crc_algorithm(kind) {
            Some(algorithm) => Self::Crc(Box::new(crc_fast::Digest::new(algorithm))),
            None if kind == ChecksumKind::Sha1 => Self::Sha1(Sha1::new()),
            None => Self::Sha256(Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    fn finish(self, kind: ChecksumKind) -> Vec<u8> {
        match self {
            Self::Crc(digest) => crc_bytes(kind, digest.finalize()),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

fn crc_algorithm(kind: ChecksumKind) -> Option<CrcAlgorithm> {
    match kind {
        ChecksumKind::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        ChecksumKind::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        ChecksumKind::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        ChecksumKind::Sha1 | ChecksumKind::Sha256 => None,
    }
}

/// The last `kind.bytes()` bytes of the number, most significant first.
fn crc_bytes(kind: ChecksumKind, crc: u64) -> Vec<u8> {
    crc.to_be_bytes()[8 - kind.bytes()..].to_vec()
}

fn crc_number(sum: &[u8]) -> u64 {
    sum.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The MD5 and further sums of bytes that come piece by piece.
pub(crate) struct BodySums {
    md5: Md5,
    sums: Vec<(ChecksumKind, Running)>,
}

/// What `BodySums` ends with.
pub(crate) struct BodyDigests {
    /// The MD5, of which the ETag is made.
    pub(crate) md5: [u8; 16],
    sums: Vec<(ChecksumKind, Vec<u8>)>,
}

impl BodySums {
    /// Sums of these kinds besides the MD5; a kind named twice is computed once.
    pub(crate) fn new(kinds: &[ChecksumKind]) -> Self {
        let mut sums: Vec<(ChecksumKind, Running)> = Vec::new();
        for kind in kinds {
            if !sums.iter().any(|(other, _)| other == kind) {
                sums.push((*kind, Running::new(*kind)));
            }
        }
        Self { md5: Md5::new(), sums }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, sum) in &mut self.sums {
            sum.update(bytes);
        }
    }

    pub(crate) fn finish(self) -> BodyDigests {
        BodyDigests {
            md5: self.md5.finalize().into(),
            sums: self.sums.into_iter().map(|(kind, sum)| (kind, sum.finish(kind))).collect(),
        }
    }
}

impl BodyDigests {
    /// The sum of this kind.
    ///
    /// # Panics
    /// If the kind was not among those asked for.
    pub(crate) fn sum(&self, kind: ChecksumKind) -> ObjectChecksum {
        let found = self.sums.iter().find(|(other, _)| *other == kind);
        let (_, sum) = found.expect("the kind was asked for when the sums were begun");
        ObjectChecksum { kind, composite: false, sum: sum.clone() }
    }
}

/// The MD5 of these bytes.
pub(crate) fn md5(bytes: &[u8]) -> [u8; 16] {
    Md5::digest(bytes).into()
}

/// The CRC of bytes from the CRCs of their pieces: (sum, length). `None` for a kind that cannot
/// be joined.
pub(crate) fn joined(kind: ChecksumKind, pieces: &[(&[u8], u64)]) -> Option<ObjectChecksum> {
    let algorithm = crc_algorithm(kind)?;
    let mut whole = crc_number(&BodySums::new(&[kind]).finish().sum(kind).sum);
    for (sum, size_bytes) in pieces {
        if *size_bytes > 0 {
            whole = crc_fast::checksum_combine(algorithm, whole, crc_number(sum), *size_bytes);
        }
    }
    Some(ObjectChecksum { kind, composite: false, sum: crc_bytes(kind, whole) })
}

/// The sum of the parts' sums.
pub(crate) fn composite(kind: ChecksumKind, sums: &[&[u8]]) -> ObjectChecksum {
    let mut whole = Running::new(kind);
    for sum in sums {
        whole.update(sum);
    }
    ObjectChecksum { kind, composite: true, sum: whole.finish(kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::hex;

    #[test]
    fn sums_of_the_check_string() {
        let mut sums = BodySums::new(&KINDS);
        sums.update(b"1234");
        sums.update(b"");
        sums.update(b"56789");
        let digests = sums.finish();
        assert_eq!(hex(&digests.md5), "25f9e794323b453885f5181f1b624d0b");
        for (kind, sum) in [
            (ChecksumKind::Crc32, "cbf43926"),
            (ChecksumKind::Crc32c, "e3069283"),
            (ChecksumKind::Crc64Nvme, "ae8b14860a799888"),
            (ChecksumKind::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (
                ChecksumKind::Sha256,
                "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
            ),
        ] {
            let found = digests.sum(kind);
            assert_eq!(hex(&found.sum), sum, "{kind:?}");
            assert_eq!(found.sum.len(), kind.bytes());
        }
    }

    #[test]
    fn joined_crcs_are_the_crc_of_the_whole() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|n| ((n * 31) >> 3) as u8).collect();
        for kind in [ChecksumKind::Crc32, ChecksumKind::Crc32c, ChecksumKind::Crc64Nvme] {
            let sum = |bytes: &[u8]| {
                let mut sums = BodySums::new(&[kind]);
                sums.update(bytes);
                sums.finish().sum(kind)
            };
            for cuts in [vec![], vec![0], vec![1], vec![65_536], vec![7, 7, 99_999], vec![100_000]]
            {
                let mut pieces = Vec::new();
                let mut start = 0;
                for end in cuts.into_iter().chain([bytes.len()]) {
                    pieces.push((sum(&bytes[start..end]).sum, (end - start) as u64));
                    start = end;
                }
                let pieces: Vec<(&[u8], u64)> =
                    pieces.iter().map(|(sum, size)| (sum.as_slice(), *size)).collect();
                assert_eq!(joined(kind, &pieces), Some(sum(&bytes)));
            }
            assert_eq!(joined(kind, &[]), Some(sum(b"")));
        }
        assert_eq!(joined(ChecksumKind::Sha1, &[]), None);
    }

    #[test]
    fn composite_sums_are_sums_of_sums() {
        let parts: [&[u8]; 2] = [b"first", b"second"];
        let composite = composite(ChecksumKind::Sha256, &parts);
        let mut whole = BodySums::new(&[ChecksumKind::Sha256]);
        whole.update(b"firstsecond");
        assert_eq!(composite.sum, whole.finish().sum(ChecksumKind::Sha256).sum);
        let text = text_of(&composite, 2);
        assert!(text.text.ends_with("=-2"), "{}", text.text);
        assert_eq!(text.checksum_type, ChecksumType::Composite);
    }

    #[test]
    fn names_round_trip() {
        for kind in KINDS {
            assert_eq!(kind_of_algorithm(&algorithm_name(kind).to_ascii_lowercase()), Some(kind));
            assert_eq!(kind_of_header(&header_name(kind).to_ascii_uppercase()), Some(kind));
        }
        assert_eq!(kind_of_algorithm("MD5"), None);
        assert_eq!(kind_of_header("x-amz-checksum-type"), None);
    }

    #[test]
    fn sums_of_another_length_are_refused() {
        assert_eq!(sum_of(ChecksumKind::Crc32, "y/Q5Jg=="), Ok(vec![0xcb, 0xf4, 0x39, 0x26]));
        for text in ["", "y/Q5Jg", "y/Q5", "y/Q5Jgo="] {
            let failure = sum_of(ChecksumKind::Crc32, text).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidRequest, "{text}");
        }
    }
}
