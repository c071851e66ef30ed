//! Pages of a listing, as a gateway asks for them: all of one member, then those of the next.
//!
//! Invariant: pages of different views do not go together (rule 18); what cannot be whole is
//! refused.

use crate::peers::SimPeers;
use engine_env::{Env, Rule};
use engine_set::{Installed, SetListEntry, SetListQuery, prefix_end};
use engine_types::{BucketId, Position};
use shards_sim::SimEnv;
use std::rc::Rc;

/// A listing under way.
pub struct Pages {
    env: SimEnv,
    peers: SimPeers,
    bucket: BucketId,
    installed: Rc<Installed>,
    /// The next page of the member that is asked.
    query: SetListQuery,
    /// Who is still to be asked, the next one last.
    members: Vec<Position>,
}

/// What a listing gives next.
#[derive(Debug)]
pub enum Page {
    /// Entries that one member leads.
    Entries(Vec<SetListEntry>),
    /// Nothing more: the listing is whole.
    End,
    /// There is no whole listing now.
    Refused,
}

impl Pages {
    /// Begins a listing under the view that is served; `None` where none is.
    #[must_use]
    pub fn begin(
        env: &SimEnv,
        peers: &SimPeers,
        bucket: BucketId,
        query: SetListQuery,
    ) -> Option<Self> {
        let installed = peers.installed()?;
        let mut members: Vec<Position> = installed.active.iter().collect();
        members.reverse();
        let (env, peers) = (env.clone(), peers.clone());
        Some(Self { env, peers, bucket, installed, query, members })
    }

    /// The view it is of.
    #[must_use]
    pub fn installed(&self) -> &Installed {
        &self.installed
    }

    /// Asks for the next page.
    ///
    /// # Errors
    /// A page that is not in order.
    pub async fn next_page(&mut self) -> Result<Page, String> {
        let one_view = !self.env.breaks(Rule::ListOneView);
        let Some(position) = self.members.last().copied() else {
            // Another view may have come behind the last page.
            let now = self.peers.installed();
            let still = now.is_some_and(|now| now.number == self.installed.number);
            return Ok(if still || !one_view { Page::End } else { Page::Refused });
        };
        let Some(member) = self.peers.member(position) else { return Ok(Page::Refused) };
        let page = member.list(self.bucket, &self.query).await;
        let Ok(page) = page else { return Ok(Page::Refused) };
        if one_view && page.installation != self.installed.number {
            return Ok(Page::Refused);
        }
        let next = next_start(&self.query, &page.entries)?;
        if page.truncated {
            self.query.start = next.ok_or("a page that goes on has no last entry")?;
        } else {
            self.members.pop();
            self.query.start.clear();
        }
        Ok(Page::Entries(page.entries))
    }
}

/// Where the page after this one begins; `None` where there is nothing behind it.
fn next_start(query: &SetListQuery, entries: &[SetListEntry]) -> Result<Option<Vec<u8>>, String> {
    let rises = entries.windows(2).all(|pair| pair[0].sort_key() < pair[1].sort_key());
    let first = entries.first().map_or(&[][..], SetListEntry::sort_key);
    if !rises || (!entries.is_empty() && first < query.start.as_slice()) {
        return Err(format!("a page from {:?} on is not in order", query.start));
    }
    Ok(match entries.last() {
        None => None,
        Some(SetListEntry::Object(key, _)) => {
            let mut next = key.as_bytes().to_vec();
            next.push(0);
            Some(next)
        }
        Some(SetListEntry::CommonPrefix(prefix)) => prefix_end(prefix),
    })
}
