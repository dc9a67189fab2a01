//! What every session must be sent, computed from the permission rules alone.

use std::collections::{BTreeMap, BTreeSet};

use plexichat::domain::{Asking, Audience, Change, Event, EventName, Output};
use plexichat::id::{ServerId, UserId};
use plexichat::store::Read;

/// Who is in which server, as one core has heard of it.
#[derive(Clone, Default)]
pub struct Members(BTreeSet<(ServerId, UserId)>);

/// One session since its READY.
pub struct Session {
    pub user_id: UserId,
    pub intents: u16,
    pub core: usize,
    /// Dispatches that come from the log, in order.
    pub expected: Vec<(EventName, Vec<u8>)>,
    /// Everything received by number, READY left out: index 0 is number 2.
    pub received: Vec<(String, String)>,
    /// How many of `expected` were received.
    pub matched: usize,
    /// Servers that it was told it is no longer in.
    pub left: BTreeSet<u64>,
    pub channels: BTreeMap<u64, u64>,
}

/// The state before and after a batch.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub before: Read<'a>,
    pub after: Read<'a>,
    pub at: u64,
}

impl Members {
    pub fn change(&mut self, change: &Change) {
        match *change {
            Change::MemberAdded { server_id, user_id } => {
                self.0.insert((server_id, user_id));
            }
            Change::MemberRemoved { server_id, user_id } => {
                self.0.remove(&(server_id, user_id));
            }
            Change::ServerRemoved { server_id } => self.0.retain(|(id, _)| *id != server_id),
            _ => {}
        }
    }

    fn allows(&self, around: Around<'_>, user_id: UserId, event: &Event) -> bool {
        let in_server = |id: ServerId| self.0.contains(&(id, user_id));
        // Who left within the batch has no record after it; what holds for all of a batch held before it, too.
        let standing_in = |server_id: ServerId| {
            let asking = |read| Asking { read, at: around.at, who: user_id };
            let now = asking(around.after).server(server_id);
            now.or_else(|_| asking(around.before).server(server_id))
                .expect("a member has a record before or after the batch")
        };
        match &event.audience {
            Audience::Users(users) => users.contains(&user_id),
            Audience::Server { server_id, any_of } => {
                in_server(*server_id) && (*any_of == 0 || standing_in(*server_id).permissions & any_of != 0)
            }
            Audience::Channel { server_id, channel_id, all_of } => {
                in_server(*server_id)
                    && standing_in(*server_id).permissions_in(*channel_id) & all_of == *all_of
            }
            Audience::Acquaintances(_) | Audience::Neighbours(_) => {
                unreachable!("no command of this simulation emits it")
            }
        }
    }
}

/// Adds what a batch means for the sessions of one core.
pub fn expect<'s>(
    members: &mut Members,
    sessions: impl Iterator<Item = &'s mut Session>,
    around: Around<'_>,
    outputs: &[Output],
) {
    let mut sessions: Vec<&mut Session> = sessions.collect();
    for output in outputs {
        match output {
            Output::Change(change) => members.change(change),
            Output::Event(event) => {
                for session in &mut sessions {
                    let wanted = event.intent == 0 || session.intents & event.intent != 0;
                    let user_id = session.user_id;
                    if wanted && event.except != Some(user_id) && members.allows(around, user_id, event) {
                        session.expected.push((event.name, event.payload.to_vec()));
                    }
                }
            }
        }
    }
}

/// Dispatches that are no part of the log: their place in a session is not known beforehand.
pub fn is_ephemeral(name: &str) -> bool {
    ["TYPING_START", "TYPING_STOP", "PRESENCE_UPDATE", "GUILD_MEMBERS_CHUNK", "SECURITY_LOGOUT"]
        .contains(&name)
}

impl Session {
    /// A dispatch with number `seq` and JSON `d` has arrived.
    pub fn receive(&mut self, seq: usize, name: &str, d: &str) {
        assert!(seq >= 2, "READY is not sent again");
        let index = seq - 2;
        if let Some(before) = self.received.get(index) {
            assert_eq!((before.0.as_str(), before.1.as_str()), (name, d), "number {seq} is reused");
            return;
        }
        assert_eq!(index, self.received.len(), "a gap before {name} {d}");
        self.received.push((name.into(), d.into()));
        self.check_left(name, d);
        if is_ephemeral(name) {
            return;
        }
        let Some((expected, payload)) = self.expected.get(self.matched) else {
            panic!("user {} may not see {name} {d}", self.user_id);
        };
        let payload = std::str::from_utf8(payload).unwrap();
        // Some events gain the presence of a user when they are delivered.
        let same = d == payload || d.starts_with(&format!("{},\"presence\":", &payload[..payload.len() - 1]));
        assert!(
            expected.text() == name && same,
            "user {}: got {name} {d}\nwanted {} {payload}",
            self.user_id,
            expected.text(),
        );
        self.matched += 1;
    }

    /// Nothing of a server after its GUILD_DELETE.
    fn check_left(&mut self, name: &str, d: &str) {
        let id = |key: &str| {
            let (_, rest) = d.split_once(&format!("\"{key}\":\""))?;
            rest.split('"').next()?.parse::<u64>().ok()
        };
        if name == "GUILD_CREATE" {
            self.left.remove(&id("id").unwrap());
        }
        let server = id("guild_id").or_else(|| id("server_id"));
        if let (Some(channel), Some(server)) = (id("channel_id"), server) {
            self.channels.insert(channel, server);
        }
        let server = server.or_else(|| self.channels.get(&id("channel_id")?).copied());
        if let Some(server) = server {
            assert!(!self.left.contains(&server), "after GUILD_DELETE: {name} {d}");
        }
        if name == "GUILD_DELETE" {
            self.left.insert(id("id").unwrap());
        }
    }
}
