//! One erasure set: how its drives commit together, agree who is in sync, and serve objects.
//!
//! A `Member` is one drive's part: it serves the requests of the others and owns the keys whose
//! order it leads. A `Coordinator` changes the view: fence, promise, write, decide, install.
//! Nothing here knows threads, sockets or HTTP; members reach each other through `Peers`.

mod catchup;
mod commit;
mod config;
mod decide;
mod error;
mod get;
mod heal;
mod known;
mod list;
mod member;
mod message;
mod put;
mod scrub;
mod serve;
mod short;
mod trust;
mod upload;
mod view;

pub use catchup::CatchUp;
pub use config::SetConfig;
pub use error::SetError;
pub use get::{Found, Source};
pub use list::{SetListEntry, SetListPage, SetListQuery, SetUpload, prefix_end};
pub use member::{Member, Serving};
pub use message::{
    Dirty, DriveOutcome, DriveReply, DriveRequest, Hello, Installed, Peers, Prepare,
};
pub use put::{Put, PutFinish, PutTarget};
pub use scrub::Scrubbed;
pub use upload::SetCompletion;
pub use view::{Change, Coordinator};
