//! Bodies on their way in: `PutObject` and `UploadPart`.
//!
//! Invariants: nothing is committed before the length, the MD5 and every checksum the client gave
//! were verified; every object and part keeps one checksum, the default if the client gave none.
//! Source: S3 API reference, "PutObject" and "UploadPart".

use crate::api::{
    BodyClaims, BodySource, ChecksumText, Gateway, PutObject, Stored, Trailer, UploadPart,
};
use crate::conditions;
use crate::digest::{self, BodySums};
use crate::encoding::{from_base64, hex};
use crate::failure::{ErrorCode, S3Failure};
use crate::names;
use crate::objects::{BodySize, Finish, Objects, Target, Writer};
use bytes::Bytes;
use engine_types::{ChecksumKind, Condition, ObjectChecksum, ObjectInfo};
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// The most bytes one PUT or one part has: 5 GiB.
pub(crate) const PUT_BYTES_MAX: u64 = 5 << 30;

impl<S: Objects> Gateway<S> {
    /// `PutObject`.
    ///
    /// # Errors
    /// What is wrong with the request or its body, `PreconditionFailed`, or the store's.
    pub async fn put_object<B: BodySource>(
        &self,
        request: PutObject,
        body: B,
    ) -> Result<Stored, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        names::check_attributes(&request.attributes)?;
        let condition = conditions::of_write(&request.conditions)?;
        let client = announced(&request.claims)?;
        let kept = client.or(request.claims.algorithm).unwrap_or(digest::DEFAULT_KIND);
        let intake = Intake::new(request.claims, client, kept)?;
        let writer = self.store.begin(bucket.id, &key, Target::Object, intake.size).await?;
        let (writer, verified) = intake.receive(writer, body).await?;
        let finish = Finish {
            etag: verified.etag,
            checksums: vec![verified.kept],
            attributes: request.attributes,
            condition,
        };
        let info = writer.finish(finish).await?;
        Ok(stored(&info, &verified.shown))
    }

    /// `UploadPart`.
    ///
    /// # Errors
    /// `NoSuchUpload`, what is wrong with the request or its body, or the store's.
    pub async fn upload_part<B: BodySource>(
        &self,
        request: UploadPart,
        body: B,
    ) -> Result<Stored, S3Failure> {
        let bucket = self.bucket(&request.bucket)?;
        let key = names::key(&request.key)?;
        let number = names::part_number(request.part_number)?;
        let id = names::upload_id(&request.upload_id)?;
        let client = announced(&request.claims)?;
        let upload = self.store.upload(bucket.id, &key, id).await?;
        let named = client.or(request.claims.algorithm);
        if let (Some((expected, _)), Some(actual)) = (upload.checksum, named)
            && expected != actual
        {
            return Err(digest::kind_mismatch(expected, actual));
        }
        let kept = upload.checksum.map_or(digest::DEFAULT_KIND, |(kind, _)| kind);
        let intake = Intake::new(request.claims, named, kept)?;
        let target = Target::Part(id, number);
        let writer = self.store.begin(bucket.id, &key, target, intake.size).await?;
        let (writer, verified) = intake.receive(writer, body).await?;
        let finish = Finish {
            etag: verified.etag,
            checksums: vec![verified.kept],
            attributes: Vec::new(),
            condition: Condition::None,
        };
        let info = writer.finish(finish).await?;
        Ok(stored(&info, &verified.shown))
    }
}

/// The answer to a write that was committed.
pub(crate) fn stored(info: &ObjectInfo, shown: &ObjectChecksum) -> Stored {
    let checksums: Vec<ChecksumText> = vec![digest::text_of(shown, 0)];
    Stored {
        etag: info.etag.clone(),
        modified_ms: info.modified_ms,
        size_bytes: info.size_bytes,
        checksums,
    }
}

/// The one algorithm the client gives a checksum of, in a header or a trailer.
fn announced(claims: &BodyClaims) -> Result<Option<ChecksumKind>, S3Failure> {
    let refused = |message: &str| Err(S3Failure::with_message(ErrorCode::InvalidRequest, message));
    let headers = claims.checksums.iter().map(|(kind, _)| *kind);
    let trailer = claims.trailer.as_ref().map(|trailer| trailer.kind);
    let kinds: Vec<ChecksumKind> = headers.chain(trailer).collect();
    let sdk = claims.sdk_algorithm;
    if let ([kind], Some(algorithm)) = (kinds.as_slice(), claims.algorithm)
        && *kind != algorithm
    {
        return refused("Value for x-amz-checksum-algorithm header is invalid.");
    }
    match (kinds.as_slice(), sdk) {
        ([], None) => Ok(None),
        ([], Some(_)) => refused(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or \
             x-amz-trailer headers were found.",
        ),
        ([kind], Some(sdk)) if *kind != sdk => {
            refused("Value for x-amz-sdk-checksum-algorithm header is invalid.")
        }
        ([kind], _) => Ok(Some(*kind)),
        _ => refused(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
        ),
    }
}

/// A body being received: what it shall be, and what it was so far.
struct Intake {
    size: BodySize,
    received_bytes: u64,
    md5: Option<[u8; 16]>,
    /// The sum the client gave in a header.
    expected: Option<(ChecksumKind, Vec<u8>)>,
    trailer: Option<Trailer>,
    /// The kind the client named, or gave a sum of.
    client: Option<ChecksumKind>,
    kept: ChecksumKind,
    sums: BodySums,
}

/// A body that is what the client said it is.
struct Verified {
    etag: String,
    /// The checksum to keep.
    kept: ObjectChecksum,
    /// The checksum to answer: of the client's kind if it has one.
    shown: ObjectChecksum,
}

impl Intake {
    fn new(
        claims: BodyClaims,
        client: Option<ChecksumKind>,
        kept: ChecksumKind,
    ) -> Result<Self, S3Failure> {
        let Some(size_bytes) = claims.content_length else {
            return Err(S3Failure::new(ErrorCode::MissingContentLength));
        };
        if size_bytes > PUT_BYTES_MAX {
            return Err(S3Failure::new(ErrorCode::EntityTooLarge));
        }
        let md5 = claims.content_md5.as_deref().map(content_md5).transpose()?;
        let expected = match claims.checksums.first() {
            Some((kind, text)) => Some((*kind, digest::sum_of(*kind, text)?)),
            None => None,
        };
        let sums = BodySums::new(&[kept, client.unwrap_or(kept)]);
        let held_back_bytes = claims.held_back_bytes.min(size_bytes);
        Ok(Self {
            size: BodySize { bytes: size_bytes, held_back_bytes },
            received_bytes: 0,
            md5,
            expected,
            trailer: claims.trailer,
            client,
            kept,
            sums,
        })
    }

    /// Passes the body to the writer and verifies it. The writer comes back ready to finish.
    /// Reads on to the body's end even when all bytes came: a chunked body may still turn out to
    /// be cut off, or its trailer to be wrong.
    async fn receive<W: Writer, B: BodySource>(
        mut self,
        mut writer: W,
        mut body: B,
    ) -> Result<(W, Verified), S3Failure> {
        while let Some(piece) = next_piece(&writer, &mut body).await {
            let bytes = piece?;
            self.received_bytes = self.received_bytes.saturating_add(bytes.len() as u64);
            if self.received_bytes > self.size.bytes {
                return Err(S3Failure::new(ErrorCode::IncompleteBody));
            }
            if !bytes.is_empty() {
                self.sums.update(&bytes);
                writer.write(bytes).await?;
            }
        }
        if self.received_bytes < self.size.bytes {
            return Err(S3Failure::new(ErrorCode::IncompleteBody));
        }
        Ok((writer, self.verify()?))
    }

    fn verify(self) -> Result<Verified, S3Failure> {
        let digests = self.sums.finish();
        if self.md5.is_some_and(|md5| md5 != digests.md5) {
            return Err(S3Failure::with_message(
                ErrorCode::BadDigest,
                "The Content-MD5 you specified did not match what we received.",
            ));
        }
        let expected = match (self.expected, self.trailer) {
            (Some(expected), _) => Some(expected),
            (None, Some(trailer)) => {
                let text = (trailer.read)()
                    .ok_or_else(|| S3Failure::new(ErrorCode::MalformedTrailerError))?;
                Some((trailer.kind, digest::sum_of(trailer.kind, &text)?))
            }
            (None, None) => None,
        };
        if let Some((kind, sum)) = expected
            && digests.sum(kind).sum != sum
        {
            return Err(digest::bad_digest(kind));
        }
        Ok(Verified {
            etag: hex(&digests.md5),
            kept: digests.sum(self.kept),
            shown: digests.sum(self.client.unwrap_or(self.kept)),
        })
    }
}

/// The body's next piece, unless the store ends the write while the client is awaited.
async fn next_piece<W: Writer, B: BodySource>(
    writer: &W,
    body: &mut B,
) -> Option<Result<Bytes, S3Failure>> {
    let mut next = pin!(body.next());
    let mut lost = pin!(writer.lost());
    poll_fn(|context| {
        if let Poll::Ready(piece) = next.as_mut().poll(context) {
            return Poll::Ready(piece.map(|piece| piece.map_err(S3Failure::from)));
        }
        lost.as_mut().poll(context).map(|error| Some(Err(S3Failure::from(error))))
    })
    .await
}

/// Reads `Content-MD5`.
fn content_md5(text: &str) -> Result<[u8; 16], S3Failure> {
    from_base64(text).and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        S3Failure::with_message(
            ErrorCode::InvalidDigest,
            "The Content-MD5 you specified was invalid.",
        )
    })
}
