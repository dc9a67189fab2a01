//! Users and servers for tests of handlers, and a short spelling of what was made known.

use super::Harness;
use crate::api::authenticate::hash_secret;
use crate::domain::{Audience, Output, permission};
use crate::id::{ServerId, TokenId, UserId};
use crate::store::records::{Token, User};
use crate::store::tables::{TOKENS, USERS};
use crate::store::{Key, Record, Table};

/// A user who is logged in.
pub struct Person {
    pub id: UserId,
    pub token: String,
}

#[derive(Default)]
pub struct World {
    pub harness: Harness,
}

impl World {
    /// Stores a record behind the back of the commands.
    pub fn put<K: Key, V: Record>(&self, table: Table<K, V>, key: K, record: &V) {
        let store = self.harness.state.store.clone();
        let mut tx = store.begin().unwrap();
        tx.put(table, key, record);
        tx.commit().unwrap();
        self.harness.state.set_snapshot(store.snapshot());
    }

    /// A user with a login; `number` becomes his id.
    pub fn user(&self, number: u64, name: &str) -> Person {
        let id = UserId(number);
        let now = self.harness.state.now_ms();
        let user = User { username: name.to_string(), created_at: now, ..User::default() };
        self.put(USERS, id, &user);
        let expires_at = u64::MAX;
        let token = Token { user_id: id, secret_hash: hash_secret(name), expires_at, ..Token::default() };
        self.put(TOKENS, TokenId(number), &token);
        Person { id, token: format!("{number}.{name}") }
    }

    /// Sends a request as `person`; `""` is no body.
    pub fn send(&self, person: &Person, method: &str, path: &str, json: &str) -> (u16, String) {
        let json = (!json.is_empty()).then_some(json);
        self.harness.request(method, path, Some(&person.token), json)
    }

    /// Like [`World::send`] for requests that must succeed; returns the body.
    pub fn ok(&self, person: &Person, method: &str, path: &str, json: &str) -> String {
        let (status, body) = self.send(person, method, path, json);
        assert_eq!(status, 200, "{method} {path} {json}: {body}");
        body
    }

    /// A request that must be refused with this status and a message that contains `text`.
    pub fn refused(&self, person: &Person, request: (&str, &str, &str), status: u16, text: &str) {
        let (method, path, json) = request;
        let answer = self.send(person, method, path, json);
        assert_eq!(answer.0, status, "{method} {path} {json}: {}", answer.1);
        assert!(answer.1.starts_with("{\"error\":{\"code\":"), "{}", answer.1);
        assert!(answer.1.contains(text), "{method} {path} {json}: {}", answer.1);
    }

    /// A server with these members; returns its path and the path of its first channel.
    pub fn server(&self, owner: &Person, members: &[&Person]) -> (String, String) {
        let body = self.ok(owner, "POST", "/servers", r#"{"name":"Home"}"#);
        let channel = format!("/channels/{}", text_of(&body, "default_channel_id"));
        for member in members {
            self.join(owner, &channel, member, "{}");
        }
        let path = format!("/servers/{}", text_of(&body, "id"));
        self.harness.outputs.borrow_mut().clear();
        (path, channel)
    }

    /// Lets a person in by a new invite of `owner`; returns the code.
    pub fn join(&self, owner: &Person, channel: &str, member: &Person, invite: &str) -> String {
        let body = self.ok(owner, "POST", &format!("{channel}/invites"), invite);
        let code = text_of(&body, "code").to_string();
        self.ok(member, "POST", &format!("/channels/invites/{code}"), "");
        code
    }

    /// A role with these permissions, given to `holders`; returns its id.
    pub fn role(&self, owner: &Person, server: &str, permissions: &str, holders: &[&Person]) -> String {
        let json = format!(r#"{{"name":"R","permissions":{permissions}}}"#);
        let body = self.ok(owner, "POST", &format!("{server}/roles"), &json);
        let role_id = text_of(&body, "id").to_string();
        for holder in holders {
            self.ok(owner, "PUT", &format!("{server}/members/{}/roles/{role_id}", holder.id), "");
        }
        self.harness.outputs.borrow_mut().clear();
        role_id
    }

    /// Actions of the audit log, newest first.
    pub fn actions(&self, owner: &Person, server: &str, limit: usize) -> Vec<String> {
        let body = self.ok(owner, "GET", &format!("{server}/audit-logs?limit={limit}"), "");
        body.split("\"action\":\"").skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_string()).collect()
    }

    /// What was made known since the last call, without payloads: `NAME to audience`, `NAME to audience but 7`,
    /// `change <Debug of the change up to its fields>`.
    pub fn known(&self) -> Vec<String> {
        self.harness.outputs.borrow_mut().drain(..).map(|output| short(&output)).collect()
    }

    /// The payload of the newest event of this name.
    pub fn payload(&self, name: &str) -> String {
        let outputs = self.harness.outputs.borrow();
        let found = outputs.iter().rev().find_map(|output| match output {
            Output::Event(event) if event.name.text() == name => Some(event.payload.clone()),
            _ => None,
        });
        String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).to_vec()).unwrap()
    }
}

fn short(output: &Output) -> String {
    let event = match output {
        Output::Event(event) => event,
        Output::Change(change) => {
            let text = format!("{change:?}");
            return format!("change {}", text.split(' ').next().unwrap());
        }
    };
    let names = |bits: u64| {
        let bits = (0..64).filter(|bit| bits >> bit & 1 != 0);
        bits.map(|bit| permission::name(1 << bit)).collect::<Vec<_>>().join("|")
    };
    let audience = match &event.audience {
        Audience::Users(users) => format!("user {}", users[0]),
        Audience::Server { any_of: 0, .. } => "members".to_string(),
        Audience::Server { any_of, .. } => format!("members with {}", names(*any_of)),
        Audience::Channel { all_of, .. } => format!("channel {}", names(*all_of)),
        other => format!("{other:?}"),
    };
    let except = event.except.map(|user_id| format!(" but {user_id}")).unwrap_or_default();
    format!("{} to {audience}{except}", event.name.text())
}

/// The first text of that name in a JSON text.
pub fn text_of<'a>(json: &'a str, name: &str) -> &'a str {
    let start = format!("\"{name}\":\"");
    let from = json.find(&start).unwrap_or_else(|| panic!("no {name} in {json}")) + start.len();
    &json[from..from + json[from..].find('"').unwrap()]
}

pub fn server_id(path: &str) -> ServerId {
    ServerId::parse(path.rsplit('/').next().unwrap()).unwrap()
}
