//! Bodies between s3s's streams (`Send`) and the gateway's pull traits (`!Send`).
//!
//! Invariants: nothing is read ahead: one pull here is one pull there; an answer's body that ends
//! early is an error, so that hyper breaks the connection instead of ending it as if whole.

use bytes::Bytes;
use futures_util::Stream;
use gateway_core::objects::{Body as StoreBody, StoreError};
use gateway_core::{BodyError, BodySource, ErrorCode, S3Failure};
use s3s::StdError;
use s3s::dto::StreamingBlob;
use s3s::stream::{ByteStream, RemainingLength};
use send_wrapper::SendWrapper;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A request's body: decoded by s3s, its signatures and hash verified as it flows.
pub(crate) struct BodyIn {
    stream: Option<StreamingBlob>,
}

impl BodyIn {
    pub(crate) fn new(stream: Option<StreamingBlob>) -> Self {
        Self { stream }
    }
}

impl BodySource for BodyIn {
    async fn next(&mut self) -> Option<Result<Bytes, BodyError>> {
        let stream = self.stream.as_mut()?;
        let piece = poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await?;
        Some(piece.map_err(|error| body_error(&error)))
    }
}

/// s3s keeps its error types private; their texts tell them apart.
fn body_error(error: &StdError) -> BodyError {
    let text = error.to_string();
    let refused = |code, message: &str| BodyError::Refused(S3Failure::with_message(code, message));
    if text.contains("Sha256Mismatch") {
        let code = ErrorCode::XAmzContentSHA256Mismatch;
        return refused(code, code.default_message());
    }
    if text.contains("SignatureMismatch") {
        let code = ErrorCode::SignatureDoesNotMatch;
        return refused(code, code.default_message());
    }
    if text.contains("LengthMismatch") {
        let code = ErrorCode::IncompleteBody;
        return refused(code, code.default_message());
    }
    if text.contains("a signed chunk has more") {
        return refused(ErrorCode::InvalidRequest, "A signed chunk has more than 1 MiB.");
    }
    let malformed =
        ["FormatError", "TooLarge", "TooMany"].into_iter().any(|word| text.contains(word));
    if malformed {
        return refused(ErrorCode::InvalidRequest, "The chunks of the body are malformed.");
    }
    BodyError::Closed
}

/// That the store gave fewer bytes than it promised.
#[derive(Debug, thiserror::Error)]
#[error("the object's bytes ended early")]
struct Truncated;

type Piece<B> = (Box<B>, Option<Result<Bytes, StoreError>>);

enum State<B> {
    Idle(Box<B>),
    Reading(Pin<Box<dyn Future<Output = Piece<B>>>>),
    Ended,
}

/// An answer's body.
struct BodyOut<B> {
    state: SendWrapper<State<B>>,
    remaining_bytes: u64,
}

/// The stream s3s answers with; `length` bytes.
pub(crate) fn blob<B: StoreBody + 'static>(body: B, length: u64) -> StreamingBlob {
    let state = SendWrapper::new(State::Idle(Box::new(body)));
    StreamingBlob::new(BodyOut { state, remaining_bytes: length })
}

impl<B: StoreBody + 'static> Stream for BodyOut<B> {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            match mem::replace(&mut *this.state, State::Ended) {
                State::Idle(mut body) => {
                    *this.state = State::Reading(Box::pin(async move {
                        let piece = body.next().await;
                        (body, piece)
                    }));
                }
                State::Reading(mut reading) => {
                    let Poll::Ready((body, piece)) = reading.as_mut().poll(context) else {
                        *this.state = State::Reading(reading);
                        return Poll::Pending;
                    };
                    return Poll::Ready(match piece {
                        Some(Ok(bytes)) => {
                            let length = bytes.len() as u64;
                            this.remaining_bytes = this.remaining_bytes.saturating_sub(length);
                            *this.state = State::Idle(body);
                            Some(Ok(bytes))
                        }
                        Some(Err(error)) => Some(Err(Box::new(error))),
                        None if this.remaining_bytes > 0 => Some(Err(Box::new(Truncated))),
                        None => None,
                    });
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl<B: StoreBody + 'static> ByteStream for BodyOut<B> {
    fn remaining_length(&self) -> RemainingLength {
        match usize::try_from(self.remaining_bytes) {
            Ok(bytes) => RemainingLength::new_exact(bytes),
            Err(_) => RemainingLength::unknown(),
        }
    }
}
