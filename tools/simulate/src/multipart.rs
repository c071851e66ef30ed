//! What a client does with an upload: create, parts, complete or abort, or leave it open.
//!
//! Invariants: the model knows an upload only while its state is certain; an upload whose end is
//! in doubt is forgotten, and swept away at the end of the run.

use crate::client::{Wrote, finish_of};
use crate::model::{Upload, Value, tag_of};
use crate::process::{BUCKET, Process, SimMember, key_of};
use engine_env::Env;
use engine_format::Etag;
use engine_set::{PutTarget, SetCompletion, SetError};
use engine_types::{Condition, PartNumber, UploadId};
use shards_sim::Random;

/// A part sent: its number and generation.
type Part = (PartNumber, u64);

impl Process {
    /// An upload from its creation to any end.
    pub async fn multipart(&self, key: u64, random: &mut Random) {
        let name = key_of(key);
        let Some(owner) = self.owner(&name) else { return };
        let created = owner.create_upload(BUCKET, &name, Vec::new(), None).await;
        let Ok(upload) = created else { return };
        let fresh = Upload { key, ..Upload::default() };
        self.site.model.borrow_mut().uploads.insert(upload, fresh);
        let mut parts = Vec::new();
        let mut is_certain = true;
        let mut number = 1;
        for _ in 0..=random.below(3) {
            // A part may be sent again: the last one counts.
            number += random.below(3) as u16;
            let Some(number) = PartNumber::new(number) else { break };
            match self.put_part(key, upload, number, random).await {
                Ok(generation) => {
                    parts.retain(|(other, _)| *other != number);
                    parts.push((number, generation));
                }
                Err(wrote) => is_certain &= wrote != Wrote::Unknown,
            }
        }
        // Some parts are left out of the completion; an upload may stay open for good.
        if parts.len() > 1 && random.one_in(4) {
            let left_out = random.below(parts.len() as u64) as usize;
            _ = parts.remove(left_out);
        }
        match random.below(6) {
            0 => {}
            1 => self.abort_upload(key, upload).await,
            _ if is_certain && !parts.is_empty() => {
                self.complete_upload(key, upload, parts, random).await;
            }
            _ => self.abort_upload(key, upload).await,
        }
    }

    async fn put_part(
        &self,
        key: u64,
        upload: UploadId,
        number: PartNumber,
        random: &mut Random,
    ) -> Result<u64, Wrote> {
        let refused = Wrote::Refused(SetError::Unavailable);
        let name = key_of(key);
        let (generation, content) = {
            let mut model = self.site.model.borrow_mut();
            let generation = model.next_generation();
            (generation, model.content(generation))
        };
        let owner = self.owner(&name).ok_or(refused)?;
        let target = PutTarget::Part(upload, number);
        let begun = owner.begin_put(BUCKET, &name, target, content.len() as u64).await;
        if begun.as_ref().is_err_and(|error| *error == SetError::NoSuchUpload) {
            self.site.verdict.wrong(format!("key {key}: upload {upload} is gone"));
        }
        let mut put = begun.map_err(Wrote::Refused)?;
        self.send(&mut put, &content, random).await.map_err(Wrote::Refused)?;
        let mut old = None;
        self.with_upload(upload, |known| {
            old = known.parts.remove(&number.get());
            known.doubtful.insert(number.get());
        });
        match put.finish(finish_of(generation, Condition::None)).await {
            Ok(_) => {
                self.with_upload(upload, |known| {
                    known.doubtful.remove(&number.get());
                    known.parts.insert(number.get(), generation);
                });
                Ok(generation)
            }
            Err(SetError::Unavailable) => Err(Wrote::Unknown),
            Err(error) => {
                self.with_upload(upload, |known| {
                    known.doubtful.remove(&number.get());
                    known.parts.extend(old.map(|old| (number.get(), old)));
                });
                Err(Wrote::Refused(error))
            }
        }
    }

    fn with_upload(&self, upload: UploadId, change: impl FnOnce(&mut Upload)) {
        if let Some(known) = self.site.model.borrow_mut().uploads.get_mut(&upload) {
            change(known);
        }
    }

    /// Forgets an upload until the outcome of its end is known.
    fn forget_upload(&self, upload: UploadId) -> Option<Upload> {
        self.site.model.borrow_mut().uploads.remove(&upload)
    }

    fn remember_upload(&self, upload: UploadId, known: Option<Upload>, ended: bool) {
        if let Some(known) = known {
            self.site.model.borrow_mut().uploads.insert(upload, Upload { ended, ..known });
        }
    }

    /// Aborts an upload.
    pub async fn abort_upload(&self, key: u64, upload: UploadId) {
        let name = key_of(key);
        let Some(owner) = self.owner(&name) else { return };
        let known = self.forget_upload(upload);
        match owner.abort_upload(BUCKET, &name, upload).await {
            Ok(()) => self.remember_upload(upload, known, true),
            Err(SetError::Unavailable) => {}
            Err(SetError::NoSuchUpload) if known.is_some() => {
                self.site.verdict.wrong(format!("key {key}: upload {upload} cannot be aborted"));
            }
            Err(_) => self.remember_upload(upload, known, false),
        }
    }

    async fn complete_upload(
        &self,
        key: u64,
        upload: UploadId,
        parts: Vec<Part>,
        random: &mut Random,
    ) {
        let name = key_of(key);
        let part_count = parts.len() as u16;
        let generations = parts.iter().map(|(_, generation)| *generation).collect();
        let generation = self.site.model.borrow_mut().compose(generations);
        let named = parts.iter().map(|(number, generation)| (*number, tag_of(*generation)));
        let completion = SetCompletion {
            upload,
            parts: named.collect(),
            etag: Etag { md5: tag_of(generation), part_count },
            checksums: Vec::new(),
            condition: Condition::None,
        };
        let Some(owner) = self.owner(&name) else { return };
        let known = self.forget_upload(upload);
        let value = Value::Object(generation);
        self.site.model.borrow_mut().attempt(key, value);
        let first = self.complete_once(&owner, key, completion.clone()).await;
        self.judge_completion(key, upload, first);
        let mut outcome = first;
        // A client that heard nothing, or did not listen, says the same again.
        if first == Err(SetError::Unavailable) || (first.is_ok() && random.one_in(3)) {
            self.env.sleep_us(1 + random.below(40_000)).await;
            if let Some(owner) = self.owner(&name) {
                let repeated = self.complete_once(&owner, key, completion).await;
                self.judge_completion(key, upload, repeated);
                // A refusal of the second does not tell what became of the first.
                outcome = if repeated.is_ok() { repeated } else { first };
            }
        }
        let epoch = self.epoch();
        match self.note_write(key, value, epoch, outcome) {
            Wrote::Done => {
                self.count(|totals| totals.completed += 1);
                self.remember_upload(upload, known, true);
            }
            Wrote::Refused(_) => self.remember_upload(upload, known, false),
            Wrote::Unknown => {}
        }
    }

    /// The upload was there with all named parts: whatever else happens, nobody may deny it.
    fn judge_completion(&self, key: u64, upload: UploadId, outcome: Result<(), SetError>) {
        if let Err(error @ (SetError::NoSuchUpload | SetError::InvalidPart)) = outcome {
            self.site.verdict.wrong(format!("key {key}: completion of upload {upload}: {error}"));
        }
    }

    async fn complete_once(
        &self,
        owner: &SimMember,
        key: u64,
        completion: SetCompletion,
    ) -> Result<(), SetError> {
        let name = key_of(key);
        let etag = completion.etag.text();
        let info = owner.complete(BUCKET, &name, completion).await?;
        if info.etag != etag {
            self.site.verdict.wrong(format!("key {key}: completed as {}, not {etag}", info.etag));
        }
        Ok(())
    }
}
