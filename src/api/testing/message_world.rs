//! A small world for tests of messages, written straight to the store: a server with members and channels, a
//! direct message, notes.

use super::Harness;
pub use super::fixture::payload;
use super::fixture::{take_events, text_at};
use crate::api::authenticate::hash_secret;
use crate::config::Config;
use crate::domain::permission::{CHANNELS_VIEW, EVERYONE_DEFAULT, MESSAGES_MANAGE, MESSAGES_READ};
use crate::domain::{Event, EventName};
use crate::id::{ChannelId, MessageId, RoleId, ServerId, TokenId, UserId};
use crate::store::Tx;
use crate::store::records::*;
use crate::store::tables::*;
use crate::wire::json;

pub const ALICE: UserId = UserId(1);
pub const BOB: UserId = UserId(2);
pub const CAROL: UserId = UserId(3);
/// Has a role with `messages.manage`.
pub const MAX: UserId = UserId(4);
/// No member.
pub const GINA: UserId = UserId(5);

pub const SERVER: ServerId = ServerId(100);
const EVERYONE: RoleId = RoleId(101);
const MODERATORS: RoleId = RoleId(102);

pub const TEXT: ChannelId = ChannelId(200);
pub const VOICE: ChannelId = ChannelId(201);
/// 30 seconds between messages.
pub const SLOW: ChannelId = ChannelId(202);
/// Nobody but the owner may view it.
pub const HIDDEN: ChannelId = ChannelId(203);
/// May be viewed, not read.
pub const MUTE: ChannelId = ChannelId(204);
/// Alice and Bob.
pub const DM: ChannelId = ChannelId(300);
/// Alice's.
pub const NOTES: ChannelId = ChannelId(301);
/// There is no such channel.
pub const NOWHERE: ChannelId = ChannelId(999);

pub struct World {
    pub harness: Harness,
}

impl Default for World {
    fn default() -> World {
        World::with_config(Config::default())
    }
}

impl World {
    pub fn with_config(config: Config) -> World {
        let world = World { harness: Harness::with_config(config) };
        world.write(build);
        world
    }

    /// Changes the store without a command.
    pub fn write(&self, change: impl FnOnce(&mut Tx<'_>)) {
        let store = &self.harness.state.store;
        let mut tx = store.begin().unwrap();
        change(&mut tx);
        tx.commit().unwrap();
        self.harness.state.set_snapshot(store.snapshot());
    }

    pub fn call(&self, who: UserId, method: &str, path: &str, body: Option<&str>) -> (u16, String) {
        self.harness.request(method, path, Some(&format!("{}.secret", who.0)), body)
    }

    /// The body of a request that succeeds.
    pub fn ok(&self, who: UserId, method: &str, path: &str, body: Option<&str>) -> String {
        let (status, text) = self.call(who, method, path, body);
        assert_eq!(status, 200, "{method} {path}: {text}");
        text
    }

    /// The message of a request that is refused.
    pub fn refused(&self, who: UserId, method: &str, path: &str, body: Option<&str>, status: u16) -> String {
        let (got, text) = self.call(who, method, path, body);
        assert_eq!(got, status, "{method} {path}: {text}");
        text_at(&text, &["error", "message"])
    }

    /// Posts a text.
    pub fn say(&self, who: UserId, channel: ChannelId, text: &str) -> MessageId {
        let body = format!("{{\"content\":\"{text}\"}}");
        let answer = self.ok(who, "POST", &format!("/channels/{channel}/messages"), Some(&body));
        MessageId::parse(&field(&answer, "id")).unwrap()
    }

    /// Events since the last call.
    pub fn events(&self) -> Vec<Event> {
        take_events(&self.harness)
    }

    /// Names of the events since the last call.
    pub fn event_names(&self) -> Vec<EventName> {
        self.events().iter().map(|event| event.name).collect()
    }
}

/// A member of a JSON object: texts as they are, everything else as JSON.
pub fn field(text: &str, name: &str) -> String {
    text_at(text, &[name])
}

/// A member of every object of a JSON list.
pub fn column(text: &str, name: &str) -> Vec<String> {
    let mut bytes = text.as_bytes().to_vec();
    let value = json::parse(&mut bytes).unwrap();
    value.as_array().unwrap().iter().map(|item| field(&item.to_json(), name)).collect()
}

fn build(tx: &mut Tx<'_>) {
    for (id, name) in [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol"), (MAX, "max"), (GINA, "gina")] {
        let user = User { username: name.into(), badges: vec![badge::ALPHA_TESTER], ..User::default() };
        tx.put(USERS, id, &user);
        tx.put(USER_NAMES, name, &id.into());
        let secret_hash = hash_secret("secret");
        let token = Token { user_id: id, secret_hash, expires_at: u64::MAX, ..Token::default() };
        tx.put(TOKENS, TokenId(id.0), &token);
    }
    let server = Server { owner_id: ALICE, everyone_role_id: EVERYONE, ..Server::default() };
    tx.put(SERVERS, SERVER, &server);
    for (id, bits) in [(EVERYONE, EVERYONE_DEFAULT), (MODERATORS, MESSAGES_MANAGE)] {
        tx.put(ROLES, (SERVER, id), &Role { bits, ..Role::default() });
    }
    for id in [ALICE, BOB, CAROL, MAX] {
        let roles = if id == MAX { vec![MODERATORS] } else { Vec::new() };
        tx.put(MEMBERS, (SERVER, id), &Member { roles, ..Member::default() });
        tx.put(USER_SERVERS, (id, SERVER), &Nil {});
    }
    for (id, kind, slowmode_seconds) in [
        (TEXT, channel_kind::TEXT, 0),
        (VOICE, channel_kind::VOICE, 0),
        (SLOW, channel_kind::TEXT, 30),
        (HIDDEN, channel_kind::TEXT, 0),
        (MUTE, channel_kind::TEXT, 0),
    ] {
        let channel = Channel {
            server_id: SERVER,
            kind,
            slowmode_seconds,
            read_receipts_enabled: true,
            ..Channel::default()
        };
        tx.put(CHANNELS, id, &channel);
        tx.put(SERVER_CHANNELS, (SERVER, id), &Nil {});
    }
    for (id, deny) in [(HIDDEN, CHANNELS_VIEW), (MUTE, MESSAGES_READ)] {
        tx.put(OVERRIDES, (id, 0, EVERYONE.0), &Override { allow: 0, deny });
    }
    for (id, kind, participants) in
        [(DM, channel_kind::DM, vec![ALICE, BOB]), (NOTES, channel_kind::NOTES, vec![ALICE])]
    {
        let channel = Channel { kind, participants, read_receipts_enabled: true, ..Channel::default() };
        tx.put(CHANNELS, id, &channel);
    }
    tx.put(USER_DMS, (ALICE, DM), &BOB.into());
    tx.put(USER_DMS, (BOB, DM), &ALICE.into());
    tx.put(DM_PAIRS, (ALICE, BOB), &DM.into());
    tx.put(DM_PAIRS, (ALICE, ALICE), &NOTES.into());
}
