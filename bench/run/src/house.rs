//! The bucket of a run: found or made, and left as it was found.
//!
//! Invariants: a bucket that holds anything is left alone without the user's word; only names that
//! this run's keys have are ever deleted.

use crate::admin::Admin;
use crate::error::RunError;
use crate::plan::Load;
use crate::run::{RunOptions, Screen};
use crate::s3::COPY_SUFFIX;
use bench_client::Endpoint;
use bench_model::Operation;

/// Names of a page when cleaning up.
const PAGE_NAMES: u32 = 1000;

/// The bucket of a run.
pub(crate) struct House {
    pub(crate) admin: Admin,
    is_made: bool,
}

impl House {
    /// Makes the bucket where it is missing; refuses one with anything in it, or, where the user
    /// allows that, with anything under the run's own prefix.
    pub(crate) fn enter(
        endpoint: &Endpoint,
        bucket: &str,
        prefix: &str,
        options: &RunOptions,
    ) -> Result<Self, RunError> {
        let mut admin = Admin::new(endpoint, bucket)?;
        let is_made = admin.make_bucket()?;
        if options.is_prepared {
            return Ok(Self { admin, is_made });
        }
        let under = if options.into_existing { prefix } else { "" };
        let page = admin.list(under.as_bytes(), b"", 1)?;
        let Some(name) = page.names.first() else { return Ok(Self { admin, is_made }) };
        let name = String::from_utf8_lossy(name).into_owned();
        let bucket = bucket.to_owned();
        Err(match options.into_existing {
            true => RunError::PrefixTaken { bucket, prefix: prefix.to_owned(), name },
            false => RunError::NotEmpty { bucket, name },
        })
    }

    /// Takes back what `enter` made, as far as it can.
    pub(crate) fn leave_empty(&mut self) {
        if self.is_made {
            // The error that made the run end is told.
            _ = self.admin.delete_bucket();
        }
    }

    /// Deletes what this run wrote: names that its keys have, and copies of those.
    pub(crate) fn leave(&mut self, load: &Load, screen: &mut dyn Screen) -> Result<(), RunError> {
        let has_copies = load.mix.share(Operation::Copy) > 0.0;
        let is_ours = |name: &[u8]| {
            let copied = name.strip_suffix(COPY_SUFFIX.as_bytes()).filter(|_| has_copies);
            load.keys.id_of(copied.unwrap_or(name)).is_some()
        };
        let (mut after, mut deleted, mut foreign) = (Vec::new(), 0_u64, 0_u64);
        loop {
            let page = self.admin.list(load.keys.prefix().as_bytes(), &after, PAGE_NAMES)?;
            let ours: Vec<&[u8]> =
                page.names.iter().map(Vec::as_slice).filter(|name| is_ours(name)).collect();
            if !ours.is_empty() {
                self.admin.delete_all(&ours)?;
            }
            deleted += ours.len() as u64;
            foreign += (page.names.len() - ours.len()) as u64;
            match page.next {
                Some(next) => after = next,
                None => break,
            }
            if deleted.is_multiple_of(100 * u64::from(PAGE_NAMES)) {
                screen.note(&format!("{deleted} objects deleted so far"));
            }
        }
        if self.is_made && foreign == 0 && self.admin.list(b"", b"", 1)?.names.is_empty() {
            self.admin.delete_bucket()?;
        }
        let kept = match foreign {
            0 => String::new(),
            _ => format!("; {foreign} names of others stay"),
        };
        screen.note(&format!("{deleted} objects deleted{kept}"));
        Ok(())
    }
}
