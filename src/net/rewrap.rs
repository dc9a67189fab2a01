//! Brings files of clients to the server's newest key, shelf after shelf, beside everything else.
//!
//! How far it is stands in the state ([`rewrap`]): whoever made the key, the command line or an administrator, and
//! whenever the server was killed, it goes on where it was.

use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::http::Backend;
use crate::api::ctx::Desk as _;
use crate::domain::housekeeping::rewrap::{self, FilesRewrapped};
use crate::domain::{Command, Error};
use crate::effect::{Job, Source, disk};
use crate::id::UserId;
use crate::store::blobs::{Hash, Rewrapped};

/// How often it is looked whether there is a newer key.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// After something that could not be done: the storage is away, the disk full.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs for as long as its core does.
pub(super) async fn run(core: Rc<Core>) {
    let (mut is_told, mut count) = (false, 0);
    loop {
        monoio::time::sleep(LOOK_INTERVAL).await;
        while let Some((mark, shelf)) = next(&core) {
            match shelf_done(&core, mark, shelf).await {
                Ok(done) => {
                    is_told = false;
                    count += done;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let error = &*error.message;
                        tracing::warn!(error, "files are not brought to the newest key; it is tried again");
                    }
                    monoio::time::sleep(PATIENCE).await;
                }
            }
            if next(&core).is_none() {
                tracing::info!(count, "files are brought to the newest key");
                count = 0;
            }
        }
    }
}

/// The newest key, and the shelf that is next; none when there was never another key.
fn next(core: &Core) -> Option<(u64, u16)> {
    let mark = core.state.keys.newest_of_several()?;
    rewrap::next_shelf(core.state.snapshot().read(), mark).map(|shelf| (mark, shelf))
}

/// Brings a shelf to it; how many files those were.
async fn shelf_done(core: &Core, mark: u64, shelf: u16) -> Result<u64, Error> {
    let (mut after, mut count) = (None, 0);
    loop {
        let done = some_done(core, shelf, after).await?;
        count += done.count;
        after = done.next;
        if after.is_none() {
            break;
        }
    }
    let command = FilesRewrapped { mark, shelf: u64::from(shelf) + 1 };
    core.submit(Command::new(UserId(0), command.into())).await?;
    Ok(count)
}

async fn some_done(core: &Core, shelf: u16, after: Option<Hash>) -> Result<Rewrapped, Error> {
    let source = Source::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let rewrap = disk::Rewrap { store: core.state.store.clone(), shelf, after };
    let answer = core.effect(Job::new(source, rewrap)).await?;
    let done = *answer.downcast::<io::Result<Rewrapped>>().expect("it is what it does");
    done.map_err(|error| Error::new(503, error.to_string()))
}
