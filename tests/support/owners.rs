//! That every row of a store hangs on something that is there, by what its table says of itself.

use std::collections::{BTreeMap, BTreeSet};

use plexichat::store::Read;
use plexichat::store::owners::{Hangs, Kind, Owner, owner_of};
use plexichat::store::records::account;
use plexichat::store::tables::*;

/// # Panics
/// Naming a row that is left of something that is gone and whose end nobody remembers.
pub fn check(read: Read<'_>) {
    let here = here(read);
    let mut taken: BTreeMap<usize, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for (index, row) in ROWS.iter().enumerate() {
        for (key, value) in read.raw(index) {
            if let Some(owner) = owner_of(row.hangs, key) {
                assert!(here.contains(&owner), "{} {key:?} is left of {owner:?}", row.name);
            }
            for (table, key) in (row.along)(key, value).keys {
                taken.entry(table).or_default().insert(key.to_vec());
            }
        }
    }
    for (index, row) in ROWS.iter().enumerate() {
        let Hangs::With(parent) = row.hangs else { continue };
        for (key, _) in read.raw(index) {
            let known = taken.get(&index).is_some_and(|taken| taken.contains(key));
            assert!(
                known,
                "{} {key:?} goes with a row of {}, but none takes it",
                row.name, ROWS[parent].name
            );
        }
    }
}

/// Whatever is there, or has ended and is remembered as that.
fn here(read: Read<'_>) -> BTreeSet<Owner> {
    let mut here = BTreeSet::new();
    let users = read.scan(USERS, ()).filter(|(_, user)| user.state != account::PURGED);
    here.extend(users.map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(SERVERS, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(SERVER_GARBAGE, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(CHANNELS, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(CHANNEL_GARBAGE, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(MESSAGES, ()).map(|((_, id), _)| Owner::from(id)));
    here.extend(read.scan(MESSAGE_GARBAGE, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(POLL_PLACES, ()).map(|(id, _)| Owner::from(id)));
    here.extend(read.scan(POLL_GARBAGE, ()).map(|(id, _)| Owner::from(id)));
    here
}

/// # Panics
/// When a table has no row of the kinds that its owners are of, so that nothing was checked.
#[allow(dead_code, reason = "one of the tests that share this fills every table")]
pub fn kinds_with_rows(read: Read<'_>) -> BTreeSet<Kind> {
    let rows = ROWS.iter().enumerate();
    let owners =
        rows.flat_map(|(index, row)| read.raw(index).filter_map(|(key, _)| owner_of(row.hangs, key)));
    owners.map(|owner| owner.kind).collect()
}
