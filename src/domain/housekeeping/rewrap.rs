//! How far files of clients have come to the server's newest key.
//!
//! A file keeps the key it was sealed with; that key lies beside it, sealed by one of the server's. Where that is an
//! older one, [`crate::store::blobs::Blobs::rewrap`] seals it anew, shelf after shelf. Which is next stands in the
//! state, so a server that is killed goes on there. Reading does not depend on it.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::store::Read;
use crate::store::blobs::SHELF_COUNT;
use crate::store::records::Meta;
use crate::store::tables::META;

/// By what the key is known to which files are brought, or were.
const MARK: &str = "files_sealed_as";
/// All shelves before this one are done.
const SHELF: &str = "files_sealed_up_to";

/// All shelves before one have nothing under another key than this. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FilesRewrapped {
    pub mark: u64,
    pub shelf: u64,
}

/// The shelf that is next; `None` when no file is under another key than that with this mark.
pub fn next_shelf(read: Read<'_>, mark: u64) -> Option<u16> {
    let value = |name| read.get(META, name).map_or(0, |meta| meta.value.to_native());
    let shelf = if value(MARK) == mark { value(SHELF) } else { 0 };
    u16::try_from(shelf).ok().filter(|shelf| *shelf < SHELF_COUNT)
}

pub(in crate::domain) fn files_rewrapped(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &FilesRewrapped,
) -> Result<()> {
    machine.tx.put(META, MARK, &Meta { value: op.mark });
    machine.tx.put(META, SHELF, &Meta { value: op.shelf });
    Ok(())
}
