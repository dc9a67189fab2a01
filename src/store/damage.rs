//! What cannot be read: records that are damaged on disk, and trees that lead nowhere.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use super::crc;
use super::key::key_text;
use super::table::seed;
use super::tables::ROWS;

thread_local! {
    static DAMAGE: Cell<bool> = const { Cell::new(false) };
    /// Hashes of the damaged records this thread has logged.
    static LOGGED: RefCell<HashSet<u32>> = RefCell::default();
}

/// Whether this thread has met a damaged record since it was last asked.
pub fn take_damage() -> bool {
    DAMAGE.replace(false)
}

/// Whether [`take_damage`] would say so.
pub fn is_damaged() -> bool {
    DAMAGE.get()
}

/// Notes a damaged record for [`take_damage`], and logs each once.
#[cold]
pub(super) fn damaged(table: usize, key: &[u8]) {
    const LOGGED_MAX: usize = 1_000;
    DAMAGE.set(true);
    let name = ROWS[table].name;
    let new = LOGGED
        .with_borrow_mut(|logged| logged.len() < LOGGED_MAX && logged.insert(crc::append(seed(name), key)));
    if new {
        tracing::error!(
            table = name,
            key = key_text(key),
            "a record is damaged on disk and counts as absent: stop the server, `plexichat verify` lists what else \
             is, `plexichat restore` puts a backup in place"
        );
    }
}

#[cold]
pub(super) fn unreadable(error: heed::Error) -> ! {
    panic!(
        "the store cannot be read ({error}); check the disk, then restore a backup with `plexichat restore`"
    );
}
