//! Checks of XML bodies that s3s does not make, or answers with InternalError: their length, their
//! end, and the sums that the request claims of them.
//!
//! Invariant: an operation whose body does not hold what is claimed of it is not begun: the stream
//! fails at its end, and the verdict replaces s3s's answer.

use bytes::Bytes;
use engine_types::ChecksumKind;
use futures_util::Stream;
use gateway_core::{ErrorCode, digest, encoding};
use http::HeaderMap;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Md5, Sha256};
use s3s::stream::{ByteStream, DynByteStream, RemainingLength};
use s3s::{Body, StdError};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use crate::operation::Operation;
use crate::refusal::Refusal;

/// The largest XML body: 1,000 keys or 10,000 parts, with room.
pub(crate) const XML_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What became of a body's check: set if it failed.
pub(crate) type Verdict = Arc<OnceLock<Refusal>>;

#[derive(Debug, thiserror::Error)]
#[error("the body is refused")]
struct Refused;

struct Sums {
    md5: Option<(Md5, String)>,
    /// `x-amz-content-sha256`, which s3s verifies too, but answers badly.
    payload: Option<(Sha256, String)>,
    hasher: ChecksumHasher,
    claims: Vec<(ChecksumKind, String)>,
}

struct Checked {
    inner: Body,
    /// How many bytes may still come.
    left_bytes: usize,
    sums: Option<Sums>,
    verdict: Verdict,
}

/// Wraps the body of an operation with an XML body. The verdict may be there at once.
pub(crate) fn checked(operation: Operation, headers: &HeaderMap, body: Body) -> (Body, Verdict) {
    let verdict = Verdict::default();
    let mut checked = Checked {
        inner: body,
        left_bytes: XML_BYTES_MAX,
        sums: Some(Sums::claimed(operation, headers)),
        verdict: Arc::clone(&verdict),
    };
    // A body known to be empty is never read.
    if checked.is_at_end() {
        checked.holds();
    }
    let stream: DynByteStream = Box::pin(checked);
    (Body::from(stream), verdict)
}

impl Sums {
    fn claimed(operation: Operation, headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
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
        let has = |kind: ChecksumKind| claims.iter().any(|claim| claim.0 == kind);
        let hasher = ChecksumHasher {
            crc32: has(ChecksumKind::Crc32).then(s3s::crypto::Crc32::new),
            crc32c: has(ChecksumKind::Crc32c).then(s3s::crypto::Crc32c::new),
            sha1: has(ChecksumKind::Sha1).then(s3s::crypto::Sha1::new),
            sha256: has(ChecksumKind::Sha256).then(Sha256::new),
            crc64nvme: has(ChecksumKind::Crc64Nvme).then(s3s::crypto::Crc64Nvme::new),
        };
        // Anything but a hash is UNSIGNED-PAYLOAD, or refused by s3s.
        let is_hash = |claim: &&str| claim.len() == 64;
        let payload = text("x-amz-content-sha256").filter(is_hash);
        Self {
            md5: text("content-md5").map(|claim| (Md5::new(), claim.to_owned())),
            payload: payload.map(|claim| (Sha256::new(), claim.to_owned())),
            hasher,
            claims,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some((payload, _)) = &mut self.payload {
            payload.update(bytes);
        }
        self.hasher.update(bytes);
    }

    /// What does not hold.
    fn problem(self) -> Option<Refusal> {
        if let Some((payload, claim)) = self.payload
            && encoding::hex(&payload.finalize()) != claim
        {
            return Some(refusal(ErrorCode::XAmzContentSHA256Mismatch));
        }
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

fn refusal(code: ErrorCode) -> Refusal {
    Refusal::new(code, code.default_message())
}

impl Checked {
    /// Gives the verdict. Only this stream does; the first one stays.
    fn refuse(&self, refusal: Refusal) -> Refused {
        let _ = self.verdict.set(refusal);
        Refused
    }

    /// Whether all came, as far as the length tells.
    fn is_at_end(&self) -> bool {
        self.inner.remaining_length().exact() == Some(0)
    }

    /// Whether all that was read has the sums claimed of it.
    fn holds(&mut self) -> bool {
        match self.sums.take().and_then(Sums::problem) {
            Some(refusal) => {
                self.refuse(refusal);
                false
            }
            None => true,
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let Some(left_bytes) = self.left_bytes.checked_sub(bytes.len()) else {
            return Err(self.refuse(refusal(ErrorCode::MaxMessageLengthExceeded)));
        };
        self.left_bytes = left_bytes;
        if let Some(sums) = &mut self.sums {
            sums.update(bytes);
        }
        // s3s fails at the last byte if the hash is wrong, and does not ask for the end.
        if self.is_at_end() && !self.holds() {
            return Err(Refused);
        }
        Ok(())
    }
}

impl Stream for Checked {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_next(context);
        Poll::Ready(match std::task::ready!(polled) {
            Some(Ok(bytes)) => match this.take(&bytes) {
                Ok(()) => Some(Ok(bytes)),
                Err(refused) => Some(Err(Box::new(refused))),
            },
            Some(Err(error)) => {
                this.refuse(refusal(ErrorCode::IncompleteBody));
                Some(Err(error))
            }
            None if this.holds() => None,
            None => Some(Err(Box::new(Refused))),
        })
    }
}

impl ByteStream for Checked {
    fn remaining_length(&self) -> RemainingLength {
        self.inner.remaining_length()
    }
}

#[cfg(test)]
#[path = "bodycheck_tests.rs"]
mod tests;
