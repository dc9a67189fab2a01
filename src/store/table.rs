//! Typed tables over LMDB: snapshots to read from, one transaction to write to.
//!
//! A value is `[version | CHECKED][checksum][rkyv bytes]` and is read in place. The checksum (CRC-32C) covers table,
//! version, key and bytes and is compared at every read: a few instructions for every eight bytes. The first release
//! wrote `[version][rkyv bytes]`; such values are validated at every read instead. Records of earlier versions are
//! upgraded at every read (see `upgrade.rs`). Both stay as they are until they are written.
//!
//! A record that fails counts as absent, is logged by table and key, and is noted for the thread
//! ([`take_damage`]): who asked gets an error instead of an answer, and the writer keeps nothing of a command that
//! met one. An I/O error or a tree that leads nowhere stops the process (the operator restores a backup). A write that
//! failed, or was one too many for the room there is, is remembered in the transaction, and the writer refuses to
//! commit it.

use std::marker::PhantomData;
use std::ops::Bound;

use heed::types::Bytes;
use heed::{Database, RoTxn, RwTxn, WithoutTls};
use rkyv::api::high::{HighSerializer, HighValidator};
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;

use super::crc;
use super::damage::{damaged, unreadable};
use super::key::{ByteOrder, Key, KeyBuf, encode, is_key, prefix_end};
use super::opened;
use super::owners::Along;
use super::sealing::{Place, SEALED, Seal, Sealer};
use super::space::Budget;
use super::tables::{ROWS, TABLE_COUNT};
use super::upgrade::Upgraded;
use super::written::{WriteError, Written};

pub(super) type Databases = [Database<'static, Bytes, Bytes, ByteOrder>; TABLE_COUNT];

/// Bit of a value's first byte: a checksum follows it.
const CHECKED: u8 = 0x80;
const SUM_LEN: usize = 4;

/// A struct that is stored as a value. `VERSION` is the first byte of the value, 1 to 127.
///
/// A record that changes gets the next version, and its old form moves to `earlier.rs`. Everything that reads sees the
/// newest version only, everything is written at the newest.
pub trait Record:
    rkyv::Archive<
        Archived: 'static
                      + rkyv::Portable
                      + for<'a> rkyv::bytecheck::CheckBytes<HighValidator<'a, rancor::Error>>,
    > + for<'a> rkyv::Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, rancor::Error>>
{
    const VERSION: u8;

    /// Reads the body of an earlier version; `None` when it is none.
    fn upgrade(version: u8, body: &[u8]) -> Option<Self>
    where
        Self: Sized,
    {
        let _ = (version, body);
        None
    }
}

/// One named table: keys of type `K`, records of type `V`. Rows are in `tables.rs`.
pub struct Table<K, V> {
    pub(super) index: usize,
    seed: u32,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    pub(super) const fn new(index: usize, seed: u32) -> Self {
        Table { index, seed, types: PhantomData }
    }
}

/// Where the checksums of a table begin, so that a record in the wrong table is not taken for one of it (FNV-1a).
pub(super) const fn seed(name: &str) -> u32 {
    let (name, mut hash, mut index) = (name.as_bytes(), 0x811C_9DC5_u32, 0);
    while index < name.len() {
        hash = (hash ^ name[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}

/// The sum of a value of this version. Its body is not to be read as another's, so the version is in it too.
fn checksum(seed: u32, version: u8, key: &[u8], body: &[u8]) -> u32 {
    let seed = seed.wrapping_add(u32::from(version) - 1);
    crc::append(crc::append(seed, key), body)
}

/// What stands for the deletion of a record in [`Written`]: no checksum begins like this.
fn gone(seed: u32, key: &[u8]) -> u32 {
    crc::append(!seed, key)
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Table<K, V> {}

/// Encodes a record without its checksum: version and bytes.
pub fn encode_record<V: Record>(record: &V, mut out: Vec<u8>) -> Vec<u8> {
    out.clear();
    out.push(V::VERSION);
    append(record, out)
}

/// Encodes a record as it stands in the store.
fn encode_checked<V: Record>(seed: u32, key: &[u8], record: &V, mut out: Vec<u8>) -> Vec<u8> {
    const { assert!(V::VERSION > 0 && V::VERSION < SEALED, "what is above stands for other things") }
    assert!(!key.is_empty(), "the empty key stands for a whole table");
    out.clear();
    out.extend_from_slice(&[V::VERSION | CHECKED, 0, 0, 0, 0]);
    let mut out = append(record, out);
    let sum = checksum(seed, V::VERSION, key, &out[1 + SUM_LEN..]);
    out[1..=SUM_LEN].copy_from_slice(&sum.to_le_bytes());
    out
}

/// A value of this version out of its bytes.
fn plain(place: Place<'_>, version: u8, body: &[u8]) -> Vec<u8> {
    let sum = checksum(place.seed, version, place.key, body).to_le_bytes();
    [&[version | CHECKED], &sum[..], body].concat()
}

fn append<V: Record>(record: &V, out: Vec<u8>) -> Vec<u8> {
    rkyv::api::high::to_bytes_in::<_, rancor::Error>(record, out)
        .expect("records hold nothing that cannot be archived")
}

/// Reads a record of the newest version in place; `None` when it is of another, or not what was written.
fn access<'a, V: Record>(seed: u32, key: &[u8], value: &'a [u8]) -> Option<&'a V::Archived> {
    match value {
        [version, a, b, c, d, body @ ..] if *version == V::VERSION | CHECKED => {
            if checksum(seed, V::VERSION, key, body) != u32::from_le_bytes([*a, *b, *c, *d]) {
                return None;
            }
            if cfg!(debug_assertions) {
                return Some(validate::<V>(body).expect("what has its checksum is a valid archive"));
            }
            // SAFETY: bytes with their checksum are those that `encode_checked` made of the same type and version;
            // feature `unaligned` makes any address fit.
            Some(unsafe { rkyv::access_unchecked::<V::Archived>(body) })
        }
        [version, body @ ..] if *version == V::VERSION => validate::<V>(body),
        _ => None,
    }
}

/// Reads a record of an earlier version as the newest; `None` when it is none, or not what was written.
#[cold]
fn access_earlier<'a, V: Record>(
    seed: u32,
    key: &[u8],
    value: &[u8],
    upgraded: &'a Upgraded,
) -> Option<&'a V::Archived> {
    let frame = Frame::open(seed, key, value).ok()?;
    let record = V::upgrade(frame.version, frame.body)?;
    validate::<V>(upgraded.keep(append(&record, Vec::new()).into()))
}

fn validate<V: Record>(body: &[u8]) -> Option<&V::Archived> {
    rkyv::access::<V::Archived, rancor::Error>(body).ok()
}

/// A value of any version, apart.
struct Frame<'a> {
    version: u8,
    /// Whether a checksum says that the body is what was written.
    checked: bool,
    body: &'a [u8],
}

impl<'a> Frame<'a> {
    fn open(seed: u32, key: &[u8], value: &'a [u8]) -> Result<Frame<'a>, &'static str> {
        let frame = Frame::split(value).ok_or(UNKNOWN)?;
        if !frame.checked {
            return Ok(frame);
        }
        let sum = value[1..].first_chunk().expect("a value that was split has its sum");
        match checksum(seed, frame.version, key, frame.body) == u32::from_le_bytes(*sum) {
            true => Ok(frame),
            false => Err("its checksum is wrong"),
        }
    }

    fn split(value: &'a [u8]) -> Option<Frame<'a>> {
        let (first, rest) = value.split_first()?;
        let (version, checked) = (first & !CHECKED, first & CHECKED != 0);
        let body = if checked { rest.get(SUM_LEN..)? } else { rest };
        (version != 0).then_some(Frame { version, checked, body })
    }
}

const UNKNOWN: &str = "it begins with no version that is known";

/// Whether bytes from outside are a record of a table; true when a checksum says so.
pub(super) fn check<K: Key, V: Record>(seed: u32, key: &[u8], value: &[u8]) -> Result<bool, &'static str> {
    if !is_key::<K>(key) {
        return Err("the key is none of this table");
    }
    let frame = Frame::open(seed, key, value)?;
    let valid = match frame.version {
        // Only with its key could more be said.
        SEALED if frame.checked => return Ok(true),
        version if version > V::VERSION => return Err(UNKNOWN),
        version if version == V::VERSION => validate::<V>(frame.body).is_some(),
        version => V::upgrade(version, frame.body).is_some(),
    };
    if valid { Ok(frame.checked) } else { Err("it is no record of this table") }
}

/// A record of any version out of bytes from outside, whose checksum was looked at before.
pub fn decode_record<V: Record + for<'a> From<&'a V::Archived>>(value: &[u8]) -> Option<V> {
    let frame = Frame::split(value)?;
    if frame.version == V::VERSION {
        return validate::<V>(frame.body).map(V::from);
    }
    V::upgrade(frame.version, frame.body)
}

/// The tables as one snapshot or transaction sees them.
struct Tables {
    databases: Databases,
    /// Records that are not read in place: of earlier versions, and those that were sealed.
    upgraded: Upgraded,
    seal: Seal,
}

impl Tables {
    fn new(databases: Databases, seal: Seal) -> Tables {
        Tables { databases, upgraded: Upgraded::default(), seal }
    }

    /// The record that a value is; `None` when it is damaged.
    fn record<V: Record>(&self, seed: u32, key: &[u8], value: &[u8]) -> Option<&V::Archived> {
        let (version, body) = match sealed_part(value) {
            Some(sealed) => open(self.seal.as_deref()?, Place { seed, key }, sealed, &self.upgraded)?,
            None => return access_earlier::<V>(seed, key, value, &self.upgraded),
        };
        if version != V::VERSION {
            return validate::<V>(self.upgraded.keep(append(&V::upgrade(version, body)?, Vec::new()).into()));
        }
        if cfg!(debug_assertions) {
            return Some(validate::<V>(body).expect("what could be opened is a valid archive"));
        }
        // SAFETY: who has made the bytes has this key, and that is `Tx::put` with the same type and version.
        Some(unsafe { rkyv::access_unchecked::<V::Archived>(body) })
    }
}

/// Of a sealed value what is behind its checksum. Its tag says more than that does, so only `verify`, which has no
/// keys, looks at it.
fn sealed_part(value: &[u8]) -> Option<&[u8]> {
    match value {
        [first, _, _, _, _, sealed @ ..] if *first == SEALED | CHECKED => Some(sealed),
        _ => None,
    }
}

/// Version and bytes of a record.
fn open<'a>(sealer: &Sealer, place: Place<'_>, sealed: &[u8], kept: &'a Upgraded) -> Option<(u8, &'a [u8])> {
    let (version, body) = kept.keep(opened::open(sealer, place, sealed)?).split_first()?;
    Some((*version, body))
}

/// A value that is not sealed as one that is.
fn seal(sealer: &Sealer, place: Place<'_>, version: u8, body: &[u8], mut out: Vec<u8>) -> Vec<u8> {
    out.clear();
    out.extend_from_slice(&[SEALED | CHECKED, 0, 0, 0, 0]);
    sealer.seal(place, version, body, &mut out);
    let sum = checksum(place.seed, SEALED, place.key, &out[1 + SUM_LEN..]);
    out[1..=SUM_LEN].copy_from_slice(&sum.to_le_bytes());
    out
}

/// What can be read at one moment. Copy it freely; it lives as long as its snapshot or transaction.
#[derive(Clone, Copy)]
pub struct Read<'a> {
    tx: &'a RoTxn<'a, WithoutTls>,
    tables: &'a Tables,
}

impl<'a> Read<'a> {
    pub fn get<K: Key, V: Record>(self, table: Table<K, V>, key: K) -> Option<&'a V::Archived> {
        let key = encode(key);
        let value =
            self.tables.databases[table.index].get(self.tx, &key).unwrap_or_else(|e| unreadable(e))?;
        let record =
            access::<V>(table.seed, &key, value).or_else(|| self.tables.record::<V>(table.seed, &key, value));
        if record.is_none() {
            damaged(table.index, &key);
        }
        record
    }

    pub fn contains<K: Key, V>(self, table: Table<K, V>, key: K) -> bool {
        let value =
            self.tables.databases[table.index].get(self.tx, &encode(key)).unwrap_or_else(|e| unreadable(e));
        value.is_some()
    }

    /// Records whose key starts with `prefix`, smallest key first.
    pub fn scan<K: Key, V: Record>(self, table: Table<K, V>, prefix: impl Key) -> Scan<'a, K, V> {
        let start = encode(prefix);
        let end = prefix_end(&start);
        self.forward(table, Bound::Included(&start), end)
    }

    /// Records whose key starts with `prefix` and is greater than every key that starts with `after`.
    pub fn scan_after<K: Key, V: Record>(
        self,
        table: Table<K, V>,
        prefix: impl Key,
        after: impl Key,
    ) -> Scan<'a, K, V> {
        let end = prefix_end(&encode(prefix));
        match prefix_end(&encode(after)) {
            Some(start) if end.as_ref().is_none_or(|end| start < *end) => {
                self.forward(table, Bound::Included(&start), end)
            }
            _ => self.walk(table, Walk::Empty),
        }
    }

    /// Records whose key starts with `prefix`, greatest key first.
    pub fn scan_rev<K: Key, V: Record>(self, table: Table<K, V>, prefix: impl Key) -> Scan<'a, K, V> {
        let start = encode(prefix);
        let end = prefix_end(&start);
        self.backward(table, &start, end)
    }

    /// Records whose key starts with `prefix` and is smaller than `before`, greatest key first.
    pub fn scan_rev_before<K: Key, V: Record>(
        self,
        table: Table<K, V>,
        prefix: impl Key,
        before: impl Key,
    ) -> Scan<'a, K, V> {
        let start = encode(prefix);
        let before = encode(before);
        match prefix_end(&start) {
            Some(end) if end < before => self.backward(table, &start, Some(end)),
            _ if before <= start => self.walk(table, Walk::Empty),
            _ => self.backward(table, &start, Some(before)),
        }
    }

    /// Number of records in a table. O(1).
    pub fn len<K, V>(self, table: Table<K, V>) -> u64 {
        self.tables.databases[table.index].len(self.tx).unwrap_or_else(|e| unreadable(e))
    }

    /// Bytes of the pages of a table.
    pub(super) fn used(self, index: usize) -> u64 {
        let stat = self.tables.databases[index].stat(self.tx).unwrap_or_else(|e| unreadable(e));
        stat.non_free_page_size() as u64
    }

    /// Keys and values of a table as bytes, not sealed, for comparing and checking whole stores.
    pub fn raw(self, index: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let iter = self.tables.databases[index].iter(self.tx).unwrap_or_else(|e| unreadable(e));
        iter.map(|item| item.unwrap_or_else(|e| unreadable(e)))
            .map(move |(key, value)| (key, self.unsealed(index, key, value)))
    }

    pub(super) fn raw_get(self, index: usize, key: &[u8]) -> Option<&'a [u8]> {
        let value = self.tables.databases[index].get(self.tx, key).unwrap_or_else(|e| unreadable(e))?;
        Some(self.unsealed(index, key, value))
    }

    /// A value as it would lie there without being sealed; one that cannot be opened as it is.
    fn unsealed(self, index: usize, key: &[u8], value: &'a [u8]) -> &'a [u8] {
        let place = Place { seed: ROWS[index].seed, key };
        let opened = sealed_part(value).zip(self.tables.seal.as_deref()).and_then(|(sealed, sealer)| {
            let mut bytes = sealed.to_vec();
            let range = sealer.open(place, &mut bytes)?;
            let (version, body) = bytes[range].split_first()?;
            Some(plain(place, *version, body))
        });
        opened.map_or(value, |plain| self.tables.upgraded.keep(plain.into()))
    }

    /// The first rows whose key starts with `prefix`, with what goes with each. A damaged one takes nothing along.
    pub(super) fn raw_rows(self, index: usize, prefix: &[u8], count_max: usize) -> Vec<(KeyBuf, Along)> {
        let end = prefix_end(prefix);
        let from = if prefix.is_empty() { Bound::Unbounded } else { Bound::Included(prefix) };
        let bounds = (from, end.as_deref().map_or(Bound::Unbounded, Bound::Excluded));
        let rows = self.tables.databases[index].range(self.tx, &bounds).unwrap_or_else(|e| unreadable(e));
        rows.take(count_max)
            .map(|row| row.unwrap_or_else(|e| unreadable(e)))
            .map(|(key, value)| {
                (KeyBuf::from_slice(key), (ROWS[index].along)(key, self.unsealed(index, key, value)))
            })
            .collect()
    }

    fn walk<K, V>(self, table: Table<K, V>, walk: Walk<'a>) -> Scan<'a, K, V> {
        Scan { walk, table, tables: self.tables }
    }

    fn forward<K, V>(self, table: Table<K, V>, start: Bound<&[u8]>, end: Option<KeyBuf>) -> Scan<'a, K, V> {
        // LMDB knows no empty key: the empty prefix is the whole table.
        let start = if matches!(start, Bound::Included([])) { Bound::Unbounded } else { start };
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.tables.databases[table.index]
            .range(self.tx, &(start, end))
            .unwrap_or_else(|e| unreadable(e));
        self.walk(table, Walk::Forward(range))
    }

    fn backward<K, V>(self, table: Table<K, V>, start: &[u8], end: Option<KeyBuf>) -> Scan<'a, K, V> {
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let start = if start.is_empty() { Bound::Unbounded } else { Bound::Included(start) };
        let bounds = (start, end);
        let range =
            self.tables.databases[table.index].rev_range(self.tx, &bounds).unwrap_or_else(|e| unreadable(e));
        self.walk(table, Walk::Backward(range))
    }
}

/// A walk over records. Bound it with `take`: a core thread reads no more than a page.
pub struct Scan<'a, K, V> {
    walk: Walk<'a>,
    table: Table<K, V>,
    tables: &'a Tables,
}

enum Walk<'a> {
    Empty,
    Forward(heed::RoRange<'a, Bytes, Bytes, ByteOrder>),
    Backward(heed::RoRevRange<'a, Bytes, Bytes, ByteOrder>),
}

impl<'a> Walk<'a> {
    fn row(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let row = match self {
            Walk::Empty => None,
            Walk::Forward(range) => range.next(),
            Walk::Backward(range) => range.next(),
        };
        Some(row?.unwrap_or_else(|e| unreadable(e)))
    }
}

impl<'a, K: Key, V> Scan<'a, K, V> {
    /// The keys alone. Records are not looked at, so that damaged ones are among them, as in [`Read::contains`].
    pub fn keys(mut self) -> impl Iterator<Item = K::Owned> + use<'a, K, V> {
        std::iter::from_fn(move || {
            loop {
                let (mut key, _) = self.walk.row()?;
                if is_key::<K>(key) {
                    return Some(K::read(&mut key));
                }
                damaged(self.table.index, key);
            }
        })
    }
}

impl<'a, K: Key, V: Record> Iterator for Scan<'a, K, V> {
    type Item = (K::Owned, &'a V::Archived);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (mut key, value) = self.walk.row()?;
            let seed = self.table.seed;
            let record = access::<V>(seed, key, value).or_else(|| self.tables.record::<V>(seed, key, value));
            match record {
                // A checksum covers the key too.
                Some(record) if value[0] & CHECKED != 0 || is_key::<K>(key) => {
                    return Some((K::read(&mut key), record));
                }
                _ => damaged(self.table.index, key),
            }
        }
    }
}

/// A consistent view that stays as it is. Keep it for one batch: pages it sees cannot be reused.
pub struct Snapshot {
    tx: RoTxn<'static, WithoutTls>,
    tables: Tables,
}

impl Snapshot {
    pub(super) fn new(tx: RoTxn<'static, WithoutTls>, databases: Databases, seal: Seal) -> Snapshot {
        Snapshot { tx, tables: Tables::new(databases, seal) }
    }

    pub fn read(&self) -> Read<'_> {
        Read { tx: &self.tx, tables: &self.tables }
    }

    /// Lets go of records of earlier versions that were read, when they have become many. Call it between two uses.
    #[inline]
    pub fn trim(&mut self) {
        self.tables.upgraded.trim();
    }

    /// The transaction that it shows.
    pub(super) fn txn(&self) -> u64 {
        self.tx.id() as u64
    }
}

/// The one write transaction: everything a batch of commands changes, all or nothing.
pub struct Tx<'e> {
    tx: RwTxn<'e>,
    tables: Tables,
    error: Option<WriteError>,
    /// LMDB has refused a write: it refuses everything from then on.
    is_broken: bool,
    budget: Budget,
    written: Written,
    scratch: Vec<u8>,
    /// The same for values that are sealed.
    sealed: Vec<u8>,
}

impl<'e> Tx<'e> {
    pub(super) fn new(tx: RwTxn<'e>, databases: Databases, seal: Seal, budget: Budget) -> Tx<'e> {
        let written = Written::default();
        let tables = Tables::new(databases, seal);
        Tx {
            tx,
            tables,
            error: None,
            is_broken: false,
            budget,
            written,
            scratch: Vec::new(),
            sealed: Vec::new(),
        }
    }

    /// What has been written by now, the calls since [`super::Store::begin`] together.
    pub fn written(&self) -> Written {
        self.written
    }

    /// Lets no more than the next `count` writes be committed, as in a map with little room; for tests.
    pub fn limit_writes(&mut self, count: u64) {
        self.budget = Budget::of_writes(count);
    }

    /// Whether so much was written that it is time to commit: one more command may not fit.
    pub fn is_half_spent(&self) -> bool {
        self.budget.is_half_spent()
    }

    /// Whether a write is worth trying. One too many still goes into the transaction, so that the command finds what
    /// it has written and comes to its end; but nothing of it will be committed.
    fn may_write(&mut self, value_len: usize) -> bool {
        self.tables.upgraded.clear();
        if !self.budget.charge(value_len) && self.error.is_none() {
            self.error = Some(WriteError::Full);
        }
        !self.is_broken
    }

    fn wrote<T>(&mut self, result: Result<T, heed::Error>) -> Option<T> {
        result.map_err(|error| (self.is_broken, self.error) = (true, Some(error.into()))).ok()
    }

    /// Reads what this transaction sees, its own writes included.
    pub fn read(&self) -> Read<'_> {
        Read { tx: &self.tx, tables: &self.tables }
    }

    pub fn get<K: Key, V: Record>(&self, table: Table<K, V>, key: K) -> Option<&V::Archived> {
        self.read().get(table, key)
    }

    pub fn put<K: Key, V: Record>(&mut self, table: Table<K, V>, key: K, record: &V) {
        let key = encode(key);
        self.scratch = encode_checked(table.seed, &key, record, std::mem::take(&mut self.scratch));
        let (head, body) = self.scratch.split_at(1 + SUM_LEN);
        let sum =
            u32::from_le_bytes(*head[1..].first_chunk().expect("a value begins with version and checksum"));
        let sealer = self.tables.seal.as_deref().filter(|sealer| sealer.seals() && ROWS[table.index].sealed);
        if let Some(sealer) = sealer {
            let place = Place { seed: table.seed, key: &key };
            self.sealed = seal(sealer, place, V::VERSION, body, std::mem::take(&mut self.sealed));
            std::mem::swap(&mut self.sealed, &mut self.scratch);
        }
        if !self.may_write(self.scratch.len()) {
            return;
        }
        let result = self.tables.databases[table.index].put(&mut self.tx, &key, &self.scratch);
        if self.wrote(result).is_some() {
            self.written.add(sum);
        }
    }

    /// Has at most `count_max` rows of a table, those behind a key, lie as they would if they were written now. Returns
    /// the last key that was looked at, none at the end of the table, and how many were written. What cannot be opened
    /// stays as it is. For whoever reads nothing changes, and [`Written`] has nothing of it.
    pub fn reseal(&mut self, index: usize, after: &[u8], count_max: usize) -> (Option<Vec<u8>>, usize) {
        let start = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        let rows = self.tables.databases[index].range(&self.tx, &(start, Bound::Unbounded));
        let (mut looked, mut last, mut changed) = (0, None, Vec::new());
        for row in rows.unwrap_or_else(|e| unreadable(e)).take(count_max) {
            let (key, value) = row.unwrap_or_else(|e| unreadable(e));
            if let Some(value) = self.resealed(Place { seed: ROWS[index].seed, key }, value) {
                changed.push((KeyBuf::from_slice(key), value));
            }
            (looked, last) = (looked + 1, Some(key.to_vec()));
        }
        let count = changed.len();
        for (key, value) in changed {
            if self.may_write(value.len()) {
                let result = self.tables.databases[index].put(&mut self.tx, &key, &value);
                self.wrote(result);
            }
        }
        (last.filter(|_| looked == count_max), count)
    }

    /// A value as it would be written now; `None` when it is that, or cannot be opened.
    fn resealed(&self, place: Place<'_>, value: &[u8]) -> Option<Vec<u8>> {
        let sealer = self.tables.seal.as_deref()?;
        let mut opened;
        let (version, body) = match sealed_part(value) {
            Some(sealed) if sealer.is_current(sealed) => return None,
            Some(sealed) => {
                opened = sealed.to_vec();
                let range = sealer.open(place, &mut opened)?;
                let (version, body) = opened[range].split_first()?;
                (*version, body)
            }
            None if !sealer.seals() => return None,
            None => {
                let frame = Frame::open(place.seed, place.key, value).ok()?;
                (frame.version, frame.body)
            }
        };
        let new = match sealer.seals() {
            true => seal(sealer, place, version, body, Vec::new()),
            false => plain(place, version, body),
        };
        (new != value).then_some(new)
    }

    /// Removes a record; true when there was one.
    pub fn delete<K: Key, V>(&mut self, table: Table<K, V>, key: K) -> bool {
        self.delete_raw(table.index, &encode(key))
    }

    pub(super) fn delete_raw(&mut self, index: usize, key: &[u8]) -> bool {
        assert!(!key.is_empty(), "the empty key stands for a whole table");
        if !self.may_write(0) {
            return false;
        }
        let result = self.tables.databases[index].delete(&mut self.tx, key);
        let is_gone = self.wrote(result).unwrap_or(false);
        if is_gone {
            self.written.add(gone(ROWS[index].seed, key));
        }
        is_gone
    }

    /// Removes at most `count_max` records whose key starts with `prefix`, and nothing else; returns how many went.
    pub fn delete_prefix<K: Key, V>(
        &mut self,
        table: Table<K, V>,
        prefix: impl Key,
        count_max: usize,
    ) -> usize {
        let rows = self.read().raw_rows(table.index, &encode(prefix), count_max);
        rows.iter().filter(|(key, _)| self.delete_raw(table.index, key)).count()
    }

    /// The first write that failed, if any did.
    pub fn error(&self) -> Option<&WriteError> {
        self.error.as_ref()
    }

    /// Makes the transaction durable (as `store.sync` says) and visible.
    ///
    /// # Errors
    /// When a write of the transaction or the commit failed; then nothing of it was kept.
    pub fn commit(self) -> Result<(), WriteError> {
        match self.error {
            Some(error) => {
                self.tx.abort();
                Err(error)
            }
            None => self.tx.commit().map_err(WriteError::from),
        }
    }
}
