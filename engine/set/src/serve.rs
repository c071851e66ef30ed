//! Requests for space and bytes, as one member serves them.
//!
//! Invariants: space is given only under the epoch in force; bytes that are bad here are reported
//! for healing, and read elsewhere by who asked.

use crate::heal::Rotten;
use crate::member::{Member, Serving, done};
use crate::message::{DriveReply, DriveRequest, Peers};
use engine_env::Env;
use engine_store::DriveError;
use std::rc::Rc;

impl<E: Env, P: Peers> Member<E, P> {
    /// Space, and what goes into it.
    pub(crate) fn serve_data(&self, request: DriveRequest) -> Serving {
        let inner = &self.inner;
        let store = inner.store.clone();
        match request {
            DriveRequest::Reserve(epoch, plan) => {
                if epoch != inner.accepts.get() {
                    return done(Err(DriveError::Fenced));
                }
                inner.note_if_behind();
                Box::pin(async move {
                    store.reserve_fragment(plan).await?;
                    Ok(DriveReply::Done)
                })
            }
            DriveRequest::Discard(data) => {
                store.discard_fragment(data);
                done(Ok(DriveReply::Done))
            }
            DriveRequest::Write(data, buffer, class) => {
                match store.with_class(class).write_fragment(data, buffer) {
                    Err(error) => done(Err(error)),
                    Ok(()) => Box::pin(async move {
                        store.fragment_progress(data, 2).await?;
                        Ok(DriveReply::Done)
                    }),
                }
            }
            DriveRequest::Finish(data) => Box::pin(async move {
                store.finish_fragment(data).await?;
                Ok(DriveReply::Done)
            }),
            DriveRequest::PromisePayload(epoch, _) if epoch != inner.accepts.get() => {
                done(Err(DriveError::Fenced))
            }
            DriveRequest::PromisePayload(_, bytes) => {
                inner.note_if_behind();
                Box::pin(async move {
                    store.promise_payload(bytes).await?;
                    Ok(DriveReply::Done)
                })
            }
            DriveRequest::ReturnPromise(epoch, bytes) => {
                // With the epoch all its promises went.
                if epoch == inner.accepts.get() {
                    store.return_payload_promise(bytes);
                }
                done(Ok(DriveReply::Done))
            }
            other => self.serve_reads(other),
        }
    }

    /// What is there.
    fn serve_reads(&self, request: DriveRequest) -> Serving {
        let inner = &self.inner;
        let store = inner.store.clone();
        match request {
            DriveRequest::Get(key, class) => {
                let inner = Rc::clone(inner);
                Box::pin(async move {
                    let found = store.with_class(class).get_with_payload(&key).await;
                    if matches!(found, Err(DriveError::Format(_))) {
                        inner.want_heal(Rotten::Payload(key));
                    }
                    Ok(DriveReply::Entry(found?))
                })
            }
            DriveRequest::Scan(start, end, entries_max) => Box::pin(async move {
                Ok(DriveReply::Page(store.scan(&start, &end, entries_max).await?))
            }),
            DriveRequest::ReadFragment(data, offset, len, class) => {
                let inner = Rc::clone(inner);
                Box::pin(async move {
                    let read = store.with_class(class).read_fragment(data, offset, len).await;
                    if matches!(read, Err(DriveError::Format(_))) {
                        inner.want_heal(Rotten::Fragment(data));
                    }
                    let (index, bytes) = read?;
                    Ok(DriveReply::Bytes(index, bytes))
                })
            }
            DriveRequest::VerifyFragment(data, class) => Box::pin(async move {
                Ok(DriveReply::Was(store.with_class(class).verify_fragment(data).await?))
            }),
            DriveRequest::FragmentRecord(data) => Box::pin(async move {
                let record = store.fragment_record(data).await?;
                Ok(DriveReply::Fragment(record.map(Box::new)))
            }),
            _ => unreachable!("served before"),
        }
    }
}
