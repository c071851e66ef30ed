//! Content-MD5 and checksums of XML bodies, which s3s reads but does not verify.
//!
//! Invariant: an operation whose body does not have the sums it claims is not begun: the stream
//! fails at its end, and the verdict replaces s3s's answer.

use bytes::Bytes;
use engine_types::ChecksumKind;
use futures_util::Stream;
use gateway_core::{ErrorCode, digest, encoding};
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5};
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use crate::operation::Operation;
use crate::refusal::Refusal;

/// What became of a body's check: set if it failed.
pub(crate) type Verdict = Arc<OnceLock<Refusal>>;

#[derive(Debug, thiserror::Error)]
#[error("BadDigest: the body does not have the sums it claims")]
struct BadDigest;

struct Sums {
    md5: Option<(Md5, String)>,
    hasher: ChecksumHasher,
    claims: Vec<(ChecksumKind, String)>,
}

struct Checked {
    inner: Body,
    sums: Option<Sums>,
    verdict: Verdict,
}

/// Wraps the body of an operation with an XML body, if it claims sums.
pub(crate) fn checked(operation: Operation, headers: &HeaderMap, body: Body) -> (Body, Verdict) {
    let verdict = Verdict::default();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let md5 = text("content-md5").map(|claim| (Md5::new(), claim.to_owned()));
    let mut claims = Vec::new();
    // Those of a completion speak of the object, not of the XML.
    if operation != Operation::CompleteMultipartUpload {
        for name in headers.keys() {
            let kind = digest::kind_of_header(name.as_str());
            if let (Some(kind), Some(claim)) = (kind, text(name.as_str())) {
                claims.push((kind, claim.to_owned()));
            }
        }
    }
    if md5.is_none() && claims.is_empty() {
        return (body, verdict);
    }
    let has = |kind: ChecksumKind| claims.iter().any(|claim| claim.0 == kind);
    let hasher = ChecksumHasher {
        crc32: has(ChecksumKind::Crc32).then(s3s::crypto::Crc32::new),
        crc32c: has(ChecksumKind::Crc32c).then(s3s::crypto::Crc32c::new),
        sha1: has(ChecksumKind::Sha1).then(s3s::crypto::Sha1::new),
        sha256: has(ChecksumKind::Sha256).then(s3s::crypto::Sha256::new),
        crc64nvme: has(ChecksumKind::Crc64Nvme).then(s3s::crypto::Crc64Nvme::new),
    };
    let sums = Some(Sums { md5, hasher, claims });
    let checked = Checked { inner: body, sums, verdict: Arc::clone(&verdict) };
    let stream: DynByteStream = Box::pin(checked);
    (Body::from(stream), verdict)
}

impl Sums {
    fn update(&mut self, bytes: &[u8]) {
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
        self.hasher.update(bytes);
    }

    /// What does not hold.
    fn problem(self) -> Option<Refusal> {
        if let Some((md5, claim)) = self.md5
            && encoding::base64(&md5.finalize()) != claim.trim()
        {
            let message = "The Content-MD5 you specified did not match what we received.";
            return Some(Refusal::new(ErrorCode::BadDigest, message));
        }
        let sums = self.hasher.finalize();
        for (kind, claim) in self.claims {
            let sum = match kind {
                ChecksumKind::Crc32 => &sums.checksum_crc32,
                ChecksumKind::Crc32c => &sums.checksum_crc32c,
                ChecksumKind::Crc64Nvme => &sums.checksum_crc64nvme,
                ChecksumKind::Sha1 => &sums.checksum_sha1,
                ChecksumKind::Sha256 => &sums.checksum_sha256,
            };
            if sum.as_deref() != Some(claim.trim()) {
                let name = digest::algorithm_name(kind);
                let message =
                    format!("The {name} you specified did not match the calculated checksum.");
                return Some(Refusal::new(ErrorCode::BadDigest, message));
            }
        }
        None
    }
}

impl Stream for Checked {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_next(context);
        Poll::Ready(match std::task::ready!(polled) {
            Some(Ok(bytes)) => {
                if let Some(sums) = &mut this.sums {
                    sums.update(&bytes);
                }
                Some(Ok(bytes))
            }
            None => match this.sums.take().and_then(Sums::problem) {
                Some(refusal) => {
                    // Only this stream sets it, and only once: the sums are taken.
                    let _ = this.verdict.set(refusal);
                    Some(Err(Box::new(BadDigest)))
                }
                None => None,
            },
            failed => failed,
        })
    }
}

impl ByteStream for Checked {
    fn remaining_length(&self) -> RemainingLength {
        self.inner.remaining_length()
    }
}
