//! On what the rows of a table hang, and how they go with it.
//!
//! Each row of `tables.rs` says it once, and everything that removes goes by that: [`Tx::remove`] takes a row with the
//! rows of other tables that only repeat it, [`Tx::sweep`] takes what hangs on an owner. What is too much for one
//! command is remembered in a table of things that ended, so it survives the process, and [`Tx::sweep_ended`] goes on
//! with it: what is gone already is not looked for again.
//!
//! Invariant: what an owner has is never left without being remembered: no row hangs on an owner that neither is there
//! nor ended, nor accounts whose deletion is due.

use smallvec::SmallVec;

use super::blobs::Hash;
use super::key::{Key, KeyBuf, encode};
use super::records::{Meta, Nil};
use super::table::{Read, Record, Table, Tx, decode_record};
use super::tables::{
    BLOB_LOOKS, BLOBS, CHANNEL_GARBAGE, MESSAGE_GARBAGE, POLL_GARBAGE, ROWS, SERVER_GARBAGE,
};
use crate::id::{ChannelId, MessageId, PollId, ServerId, UserId};

/// Kinds of things on which rows hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    User,
    Server,
    Channel,
    Message,
    Poll,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    pub kind: Kind,
    pub id: u64,
}

/// On what the rows of a table hang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangs {
    /// On nothing: commands remove them one by one, if at all.
    Root,
    /// On what their key begins with, after this byte if there is one.
    On { kind: Kind, tag: Option<u8> },
    /// On a row of another table, by its place in [`ROWS`], which takes them along.
    With(usize),
    /// On nothing: they say what is to be done, and go when it was.
    Due,
}

/// The id of an owner, and so the type that keys begin with.
pub(super) trait OwnerId: Into<Owner> {
    const KIND: Kind;
}

/// A key that begins with an id of this type.
pub(super) trait BeginsWith<I> {}

impl<I: OwnerId> BeginsWith<I> for I {}
impl<I: OwnerId, A> BeginsWith<I> for (I, A) {}
impl<I: OwnerId, A, B> BeginsWith<I> for (I, A, B) {}
impl<I: OwnerId, A, B, C> BeginsWith<I> for (I, A, B, C) {}

macro_rules! owner_ids {
    ($($id:ident = $kind:ident;)*) => {$(
        impl OwnerId for $id {
            const KIND: Kind = Kind::$kind;
        }

        impl From<$id> for Owner {
            fn from(id: $id) -> Owner {
                Owner { kind: Kind::$kind, id: id.0 }
            }
        }
    )*};
}

owner_ids! {
    UserId = User;
    ServerId = Server;
    ChannelId = Channel;
    MessageId = Message;
    PollId = Poll;
}

/// `on UserId` of a row; keys of another kind do not compile.
pub(super) const fn on<K: BeginsWith<I>, I: OwnerId>() -> Hangs {
    Hangs::On { kind: I::KIND, tag: None }
}

/// `on UserId after 1` of a row.
pub(super) const fn on_after<I: OwnerId>(tag: u8) -> Hangs {
    Hangs::On { kind: I::KIND, tag: Some(tag) }
}

/// What goes with a row: keys of other tables by their places in [`ROWS`], what ends, and what is let go of.
#[derive(Debug, Default)]
pub struct Along {
    pub keys: SmallVec<[(usize, KeyBuf); 2]>,
    pub ended: Option<Owner>,
    /// Blobs that it names: one record fewer does so without it.
    pub blobs: SmallVec<[Hash; 1]>,
}

/// What `make` says of a row; `None` when the row is damaged, so that nothing can be said.
pub(super) fn of_row<K: Key, V: Record + for<'a> From<&'a V::Archived>, T>(
    mut key: &[u8],
    value: &[u8],
    make: impl FnOnce(K::Owned, V) -> T,
) -> Option<T> {
    let fits = K::fits(&mut { key });
    let record = decode_record::<V>(value).filter(|_| fits)?;
    Some(make(K::read(&mut key), record))
}

/// What `make` says of a key and a record; that it is a closure in a table needs the types.
pub(super) fn of_parts<K: Clone, V, T>(key: &K, record: &V, make: impl FnOnce(K, &V) -> T) -> T {
    make(key.clone(), record)
}

fn prefix(owner: Owner, tag: Option<u8>) -> KeyBuf {
    match tag {
        Some(tag) => encode((tag, owner.id)),
        None => encode(owner.id),
    }
}

impl Tx<'_> {
    /// Removes a row with the rows that it takes along. What ends with it is left to [`Tx::sweep_ended`]. True when the
    /// row was there.
    pub fn remove<K: Key, V>(&mut self, table: Table<K, V>, key: K) -> bool {
        self.remove_within(table, key, 0) > 0
    }

    /// As [`Tx::remove`], but of what ends with it about `at_once_max` rows go now. Returns how many rows went.
    pub fn remove_within<K: Key, V>(&mut self, table: Table<K, V>, key: K, at_once_max: usize) -> usize {
        let (index, key) = (table.index, encode(key));
        let along = self.read().raw_get(index, &key).map(|value| (ROWS[index].along)(&key, value));
        along.map_or(0, |along| self.remove_row(index, &key, along, at_once_max))
    }

    /// Removes at most `count_max` rows whose key starts with `prefix` as [`Tx::remove`] does.
    pub fn remove_prefix<K: Key, V>(&mut self, table: Table<K, V>, prefix: impl Key, count_max: usize) {
        for (key, along) in self.read().raw_rows(table.index, &encode(prefix), count_max) {
            self.remove_row(table.index, &key, along, 0);
        }
    }

    /// Removes about `count_max` rows of what hangs on an owner, in the order of the tables, with those that they take
    /// along. Returns how many went: fewer than `count_max` only when none is left.
    pub fn sweep(&mut self, owner: impl Into<Owner>, count_max: usize) -> usize {
        let (owner, mut count) = (owner.into(), 0);
        for (index, row) in ROWS.iter().enumerate() {
            match row.hangs {
                Hangs::On { kind, tag } if kind == owner.kind => {
                    count += self.sweep_table(index, &prefix(owner, tag), count_max.saturating_sub(count));
                }
                _ => {}
            }
        }
        debug_assert!(count >= count_max || self.error().is_some() || !self.has_rows(owner));
        count
    }

    /// Whether anything hangs on an owner.
    fn has_rows(&self, owner: Owner) -> bool {
        ROWS.iter().enumerate().any(|(index, row)| match row.hangs {
            Hangs::On { kind, tag } if kind == owner.kind => {
                !self.read().raw_rows(index, &prefix(owner, tag), 1).is_empty()
            }
            _ => false,
        })
    }

    fn sweep_table(&mut self, index: usize, prefix: &[u8], count_max: usize) -> usize {
        let mut count = 0;
        for (key, along) in self.read().raw_rows(index, prefix, count_max) {
            if count >= count_max {
                break;
            }
            count += self.remove_row(index, &key, along, count_max - count);
        }
        count
    }

    fn remove_row(&mut self, index: usize, key: &[u8], along: Along, at_once_max: usize) -> usize {
        let mut count = usize::from(self.delete_raw(index, key));
        for (other, key) in &along.keys {
            assert_ne!(*other, index, "a row goes with one of another table");
            count += usize::from(self.delete_raw(*other, key));
        }
        if count > 0 {
            for hash in &along.blobs {
                self.release_blob(hash);
            }
        }
        if let Some(owner) = along.ended {
            count += self.end(owner, at_once_max.saturating_sub(count));
        }
        count
    }

    /// One record fewer names a blob; one that no record names may be removed. Returns how many named it before.
    pub fn release_blob(&mut self, hash: &Hash) -> u64 {
        let count = self.get(BLOBS, *hash).map_or(0, |meta| meta.value.to_native());
        match count {
            0 | 1 => {
                self.delete(BLOBS, *hash);
                self.delete(BLOB_LOOKS, *hash);
            }
            count => self.put(BLOBS, *hash, &Meta { value: count - 1 }),
        }
        count
    }

    /// Takes note that an owner ended. About `at_once_max` rows of what hangs on it go now; returns how many.
    pub fn end(&mut self, owner: impl Into<Owner>, at_once_max: usize) -> usize {
        let owner = owner.into();
        let count = self.sweep(owner, at_once_max);
        if count >= at_once_max {
            match owner.kind {
                Kind::Server => self.put(SERVER_GARBAGE, ServerId(owner.id), &Nil {}),
                Kind::Channel => self.put(CHANNEL_GARBAGE, ChannelId(owner.id), &Nil {}),
                Kind::Message => self.put(MESSAGE_GARBAGE, MessageId(owner.id), &Nil {}),
                Kind::Poll => self.put(POLL_GARBAGE, PollId(owner.id), &Nil {}),
                Kind::User => {
                    unreachable!("an account ends in steps of its own, which the due table remembers")
                }
            }
        }
        count
    }

    /// Removes about `count_max` rows of what ended. Returns how many went: fewer than `count_max` only when none is
    /// left.
    pub fn sweep_ended(&mut self, count_max: usize) -> usize {
        let mut count = 0;
        // A store that refuses writes would keep this going for ever; the batch is lost anyway.
        while count < count_max && self.error().is_none() {
            let Some(owner) = first_ended(self.read()) else { break };
            let swept = self.sweep(owner, count_max - count);
            if swept < count_max - count {
                self.forget(owner);
                count += 1;
            }
            count += swept;
        }
        count
    }

    fn forget(&mut self, owner: Owner) -> bool {
        match owner.kind {
            Kind::Server => self.delete(SERVER_GARBAGE, ServerId(owner.id)),
            Kind::Channel => self.delete(CHANNEL_GARBAGE, ChannelId(owner.id)),
            Kind::Message => self.delete(MESSAGE_GARBAGE, MessageId(owner.id)),
            Kind::Poll => self.delete(POLL_GARBAGE, PollId(owner.id)),
            Kind::User => false,
        }
    }
}

/// Something that ended and of which rows may be left.
fn first_ended(read: Read<'_>) -> Option<Owner> {
    let channel = read.scan(CHANNEL_GARBAGE, ()).next().map(|(id, _)| id.into());
    let server = || read.scan(SERVER_GARBAGE, ()).next().map(|(id, _)| id.into());
    let message = || read.scan(MESSAGE_GARBAGE, ()).next().map(|(id, _)| id.into());
    let poll = || read.scan(POLL_GARBAGE, ()).next().map(|(id, _)| id.into());
    channel.or_else(server).or_else(message).or_else(poll)
}

/// How many things ended of which rows may be left.
pub fn ended_count(read: Read<'_>) -> u64 {
    read.len(CHANNEL_GARBAGE) + read.len(SERVER_GARBAGE) + read.len(MESSAGE_GARBAGE) + read.len(POLL_GARBAGE)
}

/// On what a row of a table hangs by its key.
pub fn owner_of(hangs: Hangs, key: &[u8]) -> Option<Owner> {
    let Hangs::On { kind, tag } = hangs else { return None };
    let key = match tag {
        Some(tag) => key.strip_prefix(&[tag])?,
        None => key,
    };
    key.first_chunk().map(|id| Owner { kind, id: u64::from_be_bytes(*id) })
}

#[cfg(test)]
mod tests {
    use super::super::records::{Ban, ChannelRef, Member, Message, Meta, Reaction};
    use super::super::tables::*;
    use super::super::{Options, Store, Sync};
    use super::*;

    const SERVER: ServerId = ServerId(1);
    const CHANNEL: ChannelId = ChannelId(2);
    const AUTHOR: UserId = UserId(3);

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let options = Options { path, map_size: 1 << 26, sync: Sync::Interval, readers_max: 8 };
        (folder, Store::open(&options).unwrap())
    }

    fn post(tx: &mut Tx<'_>, id: u64, reactions: u64) {
        let message = Message { author_id: AUTHOR, ..Message::default() };
        tx.put(MESSAGES, (CHANNEL, MessageId(id)), &message);
        tx.put(AUTHOR_MESSAGES, (AUTHOR, MessageId(id)), &ChannelRef { id: CHANNEL });
        for user in 0..reactions {
            tx.put(REACTIONS, (MessageId(id), 0, UserId(user)), &Reaction::default());
        }
    }

    #[test]
    fn a_row_goes_with_those_that_repeat_it() {
        let (_folder, store) = store();
        let mut tx = store.begin().unwrap();
        for user in [7, 8].map(UserId) {
            tx.put(MEMBERS, (SERVER, user), &Member::default());
            tx.put(USER_SERVERS, (user, SERVER), &Nil {});
            tx.put(TEMPORARY_MEMBERS, (user, SERVER), &Nil {});
            tx.put(BANS, (SERVER, user), &Ban { order: user.0, ..Ban::default() });
            tx.put(BAN_ORDER, (SERVER, user.0), &user.into());
        }
        assert!(tx.remove(MEMBERS, (SERVER, UserId(7))));
        assert!(!tx.remove(MEMBERS, (SERVER, UserId(7))));
        assert!(tx.remove(BANS, (SERVER, UserId(8))));
        let left: Vec<u64> = tx.read().scan(USER_SERVERS, ()).map(|((user, _), _)| user.0).collect();
        assert_eq!(left, [8]);
        assert!(tx.read().scan(BAN_ORDER, ()).map(|((_, order), _)| order).eq([7]));
        // From the other side too.
        assert_eq!(tx.sweep(UserId(8), 10), 3);
        assert_eq!((tx.read().len(MEMBERS), tx.read().len(TEMPORARY_MEMBERS)), (0, 0));
        assert_eq!(ended_count(tx.read()), 0);
    }

    #[test]
    fn what_is_too_much_is_remembered() {
        for (reactions, at_once_max, left) in [(5, 20, 0), (50, 20, 32), (50, 0, 50)] {
            let (_folder, store) = store();
            let mut tx = store.begin().unwrap();
            post(&mut tx, 1, reactions);
            post(&mut tx, 2, 1);
            tx.remove_within(MESSAGES, (CHANNEL, MessageId(1)), at_once_max);
            assert_eq!(tx.read().scan(REACTIONS, MessageId(1)).count(), left);
            assert_eq!(ended_count(tx.read()), u64::from(left > 0));
            // Whoever goes on knows nothing but the store.
            tx.commit().unwrap();
            for _ in 0..=left / 10 {
                let mut tx = store.begin().unwrap();
                assert!(tx.sweep_ended(10) <= 11);
                tx.commit().unwrap();
            }
            let snapshot = store.snapshot();
            assert_eq!(ended_count(snapshot.read()), 0);
            assert!(snapshot.read().scan(REACTIONS, ()).map(|((id, ..), _)| id.0).eq([2]));
        }
    }

    #[test]
    fn owners_of_owners_go_with_them() {
        for step in [1, 2, 7, 1_000] {
            let (_folder, store) = store();
            let mut tx = store.begin().unwrap();
            tx.put(SERVER_CHANNELS, (SERVER, CHANNEL), &Nil {});
            tx.put(CHANNELS, CHANNEL, &Default::default());
            for id in 1..5 {
                post(&mut tx, id, id);
            }
            tx.put(LEDGER_WINDOWS, (0, CHANNEL.0, 4), &Meta::default());
            tx.put(LEDGER_WINDOWS, (1, AUTHOR.0, 4), &Meta::default());
            tx.end(SERVER, 0);
            let mut steps = 0;
            while tx.sweep_ended(step) >= step {
                steps += 1;
            }
            assert!(steps * step <= 60, "{steps} steps");
            let mut left = Vec::new();
            for (index, row) in ROWS.iter().enumerate().filter(|(_, row)| row.name != "meta") {
                left.extend(tx.read().raw(index).map(|(key, _)| (row.name, key[0])));
            }
            assert_eq!(left, [("ledger_windows", 1)], "that of the author");
        }
    }
}
