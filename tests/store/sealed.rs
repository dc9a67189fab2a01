//! What people write lies sealed: nobody reads it who has the file alone, whatever is done with the file.

use std::fs;
use std::path::Path;

use plexichat::id::{ChannelId, MessageId};
use plexichat::store::keyring::Keyring;
use plexichat::store::records::Message;
use plexichat::store::tables::MESSAGES;
use plexichat::store::{Options, Store, Sync};

use super::support::{Http, User, Value};
use super::*;

const SECRETS: [&str; 7] = [
    "unheard-of-content",
    "unheard-of-edit",
    "unheard-of-embed",
    "unheard-of-question",
    "unheard-of-option",
    "unheard-of-hook",
    "unheard-of-report",
];

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn call(http: &mut Http, user: &User, line: &str, body: Value) -> Value {
    let (method, path) = line.split_once(' ').unwrap();
    let body = Some(&body).filter(|body| !body.is_null());
    http.call(method, &format!("/api/v1{path}"), Some(&user.token), body).want(200)
}

/// Everything by which a text comes into the store; the channel that all of it is in.
fn say_it_all(server: &Server, ada: &User, bob: &User) -> String {
    let mut http = server.http();
    let made = call(&mut http, ada, "POST /servers", json!({"name": "place"}));
    let channel = made["default_channel_id"].as_str().unwrap().to_owned();
    let code = call(&mut http, ada, &format!("POST /channels/{channel}/invites"), json!({}))["code"].clone();
    call(&mut http, bob, &format!("POST /channels/invites/{}", code.as_str().unwrap()), json!({}));
    let messages = format!("/channels/{channel}/messages");
    let body = json!({"content": format!("<@{}> {}", bob.id, SECRETS[0]), "embeds": [{"title": SECRETS[2]}]});
    let told = call(&mut http, ada, &format!("POST {messages}"), body);
    let edited = call(&mut http, ada, &format!("POST {messages}"), json!({"content": SECRETS[0]}));
    let one = format!("{messages}/{}", edited["id"].as_str().unwrap());
    call(&mut http, ada, &format!("PATCH {one}"), json!({"content": SECRETS[1]}));
    call(&mut http, ada, &format!("PUT {one}/reactions/%F0%9F%91%8D"), Value::Null);
    let poll = json!({"question": SECRETS[3], "options": [SECRETS[4], "other"]});
    call(&mut http, ada, &format!("POST {messages}"), json!({"content": "", "poll": poll}));
    let hook = call(&mut http, ada, "POST /webhooks", json!({"name": "hook", "channel_id": channel}));
    let path = hook["url"].as_str().unwrap();
    let path = &path[path.find("/api/").unwrap()..];
    http.post(path, None, &json!({"content": SECRETS[5]})).want(200);
    let message_id = told["id"].clone();
    let report =
        json!({"message_id": message_id, "channel_id": channel, "reason": SECRETS[6], "category": "spam"});
    call(&mut http, bob, "POST /reports/messages", report);
    channel
}

/// What is read again of it.
fn read_again(server: &Server, bob: &User, channel: &str) {
    let mut http = server.http();
    let page = call(&mut http, bob, &format!("GET /channels/{channel}/messages"), Value::Null).to_string();
    for text in &SECRETS[..6] {
        assert!(page.contains(text), "{text} is not in {page}");
    }
    let told = call(&mut http, bob, "GET /users/@me/notifications", Value::Null).to_string();
    assert!(told.contains(SECRETS[0]), "{told}");
}

#[test]
fn no_text_of_anybody_is_in_the_file() {
    let folder = support::temporary_folder();
    let server = Server::start_in(folder.path(), &[]);
    let (ada, bob) = (server.register("ada"), server.register("bob"));
    let channel = say_it_all(&server, &ada, &bob);
    read_again(&server, &bob, &channel);
    assert_eq!(server.stop().code(), Some(0));
    let file = bytes(folder.path());
    assert!(holds(&file, "default_channel") || holds(&file, "place"), "the file is read");
    for text in SECRETS {
        assert!(!holds(&file, text), "{text} is in the file");
    }
    succeeds(folder.path(), &["verify"]);

    // A backup brings it back elsewhere, with the keys that it brings along.
    let (copy, other) = (support::temporary_folder(), support::temporary_folder());
    succeeds(folder.path(), &["backup", path(copy.path())]);
    drop(Server::start_in(other.path(), &[]));
    succeeds(other.path(), &["restore", path(copy.path())]);
    let server = Server::start_in(other.path(), &[]);
    read_again(&server, &bob, &channel);
    drop(server);

    // Without its keys, or with those of another, it is not started, and they are not made anew.
    let keys = folder.path().join("server.keys");
    let own = fs::read(&keys).unwrap();
    fs::remove_file(&keys).unwrap();
    refuses(folder.path(), &["server.keys is missing", "put it back from a backup"]);
    assert!(!keys.exists());
    let strange = support::temporary_folder();
    Keyring::open(strange.path()).unwrap();
    fs::copy(strange.path().join("server.keys"), &keys).unwrap();
    refuses(folder.path(), &["is not the file with whose keys this store was written", "from a backup"]);
    fails(folder.path(), &["keys", "list"], &["is not the file with whose keys"]);
    fs::write(&keys, own).unwrap();
    let server = Server::start_in(folder.path(), &[]);
    read_again(&server, &bob, &channel);
}

fn refuses(folder: &Path, words: &[&str]) {
    let (status, said) = Server::try_start_in(folder, &[]).err().expect("it is refused");
    assert_eq!(status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in {said}");
    }
}

#[test]
fn it_is_switched_off_and_on() {
    let off = ["messaging.encrypt_messages=false"];
    let folder = support::temporary_folder();
    let server = Server::start_in(folder.path(), &off);
    let (ada, bob) = (server.register("ada"), server.register("bob"));
    let channel = say_it_all(&server, &ada, &bob);
    drop(server);
    assert!(SECRETS.iter().all(|text| holds(&bytes(folder.path()), text)));
    // A copy has no pages in it that are free, and so nothing of what was there before.
    let lies_open = |folder: &Path| {
        let copy = support::temporary_folder();
        succeeds(folder, &["backup", path(copy.path())]);
        SECRETS.map(|text| holds(&bytes(copy.path()), text))
    };
    for (options, want) in [(&[][..], false), (&off[..], true), (&[][..], false)] {
        let server = Server::start_in(folder.path(), options);
        read_again(&server, &bob, &channel);
        let done =
            || server.operate(&json!({"do": "keys_list"})).unwrap().contains("Everything lies as it should");
        while !done() {
            std::thread::sleep(Duration::from_millis(20));
        }
        read_again(&server, &bob, &channel);
        drop(server);
        assert_eq!(lies_open(folder.path()), [want; 7], "{options:?}");
    }
}

#[test]
fn the_first_version_s_texts_are_sealed_too() {
    let folder = plain_store();
    let server = Server::start_in(folder.path(), &[]);
    while !server.operate(&json!({"do": "keys_list"})).unwrap().contains("Everything lies as it should") {
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(server);
    let options =
        Options { path: folder.path().into(), map_size: 1 << 26, sync: Sync::Interval, readers_max: 8 };
    let open = || Store::open(&options).unwrap();
    let rows = |store: &Store| -> Vec<((ChannelId, MessageId), Message)> {
        let snapshot = store.snapshot();
        snapshot.read().scan(MESSAGES, ()).map(|(key, message)| (key, Message::from(message))).collect()
    };
    let store = open();
    assert!(store.snapshot().read().len(MESSAGES) > 0);
    assert_eq!(rows(&store), [], "without its keys nothing is read");
    store.unlock(true).unwrap();
    let read = rows(&store);
    assert_eq!(read.len() as u64, store.snapshot().read().len(MESSAGES));
    assert!(read.iter().all(|(_, message)| !message.content.is_empty()));
}
