//! Stores that earlier versions made: they open, and their records say what they said.
//!
//! `MAKE_STORE=file.mdb cargo test --test store of_this_version` makes one with a row in every table; compress it, put
//! it beside the others, and add it here when a record gets a new version.

use std::io::Read as _;
use std::path::Path;

use plexichat::store::records::{ArchivedMessage, Message, Server, StoredFile, Upload, User};
use plexichat::store::tables::{MESSAGE_FILES, MESSAGES, SERVERS, UPLOADS, USERS};
use plexichat::store::{Options, Store, Sync};

use super::every_table::{self, CHANNEL, MESSAGE, SERVER, USER};

/// With a row in every table: users, servers and messages of version 1.
const RECORDS_1: &[u8] = include_bytes!("../stores/format-1-records-1.mdb.gz");
/// The same with users, servers and messages of version 2.
const RECORDS_2: &[u8] = include_bytes!("../stores/format-1-records-2.mdb.gz");
/// The same with users of version 3.
const RECORDS_3: &[u8] = include_bytes!("../stores/format-1-records-3.mdb.gz");
/// With files of messages of version 1, and most others as they are today.
const RECORDS_4: &[u8] = include_bytes!("../stores/format-1-records-4.mdb.gz");

fn open(folder: &Path) -> Store {
    let options = Options { path: folder.into(), map_size: 1 << 24, sync: Sync::Always, readers_max: 8 };
    Store::open(&options).unwrap()
}

#[test]
fn a_store_of_this_version_is_sound_with_rows_in_every_table() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    every_table::fill(&store);
    assert!(store.verify().unwrap() > 0);
    drop(store);
    if let Some(file) = std::env::var_os("MAKE_STORE") {
        std::fs::copy(folder.path().join("data.mdb"), file).unwrap();
    }
}

#[test]
fn records_of_earlier_versions_are_read_as_the_newest() {
    for (packed, has_pictures) in [(RECORDS_1, false), (RECORDS_2, false), (RECORDS_3, true)] {
        read_as_the_newest(packed, has_pictures);
    }
}

/// A store that was packed.
fn unpacked(folder: &Path, packed: &[u8]) -> Store {
    let mut data = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut data).unwrap();
    std::fs::write(folder.join("data.mdb"), data).unwrap();
    open(folder)
}

#[test]
fn files_of_earlier_versions_are_those_that_nobody_has_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let store = unpacked(folder.path(), RECORDS_4);
    let snapshot = store.snapshot();
    let old = StoredFile { look: None, ..every_table::file() };
    let uploads: Vec<Upload> =
        snapshot.read().scan(UPLOADS, USER).map(|(_, upload)| Upload::from(upload)).collect();
    assert_eq!(uploads.len(), 1);
    assert_eq!((&uploads[0].file, uploads[0].created_at), (&old, every_table::AT));
    let files = snapshot.read().scan(MESSAGE_FILES, MESSAGE).map(|(_, file)| StoredFile::from(file));
    assert_eq!(files.collect::<Vec<_>>(), [old]);
}

fn read_as_the_newest(packed: &[u8], has_pictures: bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = unpacked(folder.path(), packed);
    assert!(store.verify().unwrap() > 60, "all that earlier versions wrote is sound");

    let snapshot = store.snapshot();
    let read = snapshot.read();
    let user = User::from(read.get(USERS, USER).unwrap());
    assert_eq!((user.username.as_str(), user.deletion_at), ("ada", Some(every_table::AT)));
    assert_eq!(user.avatar.map(|picture| *picture), has_pictures.then(every_table::picture));
    assert_eq!(user.email_key, "ada@example.com", "made from the address");
    assert_eq!((user.owner_id, user.tier_until), (None, None));
    let server = Server::from(read.get(SERVERS, SERVER).unwrap());
    assert_eq!((server.name.as_str(), server.owner_id), ("Society", USER));
    // What was read stays valid beside what is read later.
    let first = read.get(MESSAGES, (CHANNEL, MESSAGE)).unwrap();
    let again: Vec<&ArchivedMessage> =
        (0..1_000).map(|_| read.scan(MESSAGES, CHANNEL).next().unwrap().1).collect();
    assert!(again.iter().chain([&first]).all(|message| message.content == "Grüße"));
    assert!(first.poll == 0 && first.reacted && first.webhook.is_none());

    // A transaction reads them the same, and writes the newest.
    let mut tx = store.begin().unwrap();
    let message = Message { poll: 7, ..Message::from(tx.get(MESSAGES, (CHANNEL, MESSAGE)).unwrap()) };
    tx.put(MESSAGES, (CHANNEL, MESSAGE), &message);
    assert_eq!(tx.get(MESSAGES, (CHANNEL, MESSAGE)).map(Message::from), Some(message));
    tx.commit().unwrap();
    assert!(store.verify().is_ok());
    assert_eq!(first.poll, 0, "a snapshot stays as it is");
}
