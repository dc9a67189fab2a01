//! Messages for bots that did not ask for what is in them (§6.1, bit 15).
//!
//! People see everything: their sessions have the bit whatever they asked for. A bot without it gets messages of servers
//! with nothing in them but for its own and those that mention it. What others get is not touched, and who has no such
//! bot on his core pays nothing.

use std::iter::once;
use std::sync::Arc;

use super::hub::Hub;
use super::replay::Handle;
use super::session::Slot;
use crate::domain::chat::mention::{Mention, each};
use crate::domain::{Audience, Event, EventName, intent};
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::ArchivedUser;
use crate::store::tables::USERS;
use crate::wire::json::{Array, Object, Value, parse};

/// The bits of a session of this account that asked for these.
pub fn intents_of(user: &ArchivedUser, asked: u16) -> u16 {
    if user.is_bot() { asked } else { asked | intent::MESSAGE_CONTENT }
}

/// The same of one that began elsewhere.
pub fn intents_known(read: Read<'_>, user_id: UserId, asked: u16) -> u16 {
    read.get(USERS, user_id).map_or(asked, |user| intents_of(user, asked))
}

/// Whether an event is one of those from which bots have things withheld. Direct messages are written to them.
fn is_of_server(event: &Event) -> bool {
    matches!(event.name, EventName::MessageCreate | EventName::MessageUpdate)
        && matches!(event.audience, Audience::Channel { .. })
}

/// A message as such bots get it, and who gets it as it is.
struct Veiled {
    payload: Arc<[u8]>,
    author_id: Option<u64>,
    mentions: Vec<UserId>,
}

impl Veiled {
    fn is_open_to(&self, user_id: UserId) -> bool {
        self.author_id == Some(user_id.0) || self.mentions.contains(&user_id)
    }
}

fn veil(payload: &[u8]) -> Veiled {
    let mut text = payload.to_vec();
    let message = parse(&mut text).expect("the payload of an event is JSON");
    let content = message.get("content").and_then(Value::as_str).unwrap_or_default();
    let mentions = each(content).filter_map(|mention| match mention {
        Mention::User(user_id) => Some(user_id),
        _ => None,
    });
    let mentions = mentions.collect();
    let author_id = message.get("author_id").and_then(Value::as_id);
    let mut out = Vec::with_capacity(payload.len());
    {
        let mut object = Object::new(&mut out);
        for (key, value) in message.as_object().expect("the payload of an event is an object") {
            match *key {
                "content" => drop(object.str(key, "")),
                "embeds" | "attachments" => drop(Array::new(object.dynamic_key(key))),
                "poll" | "poll_results" => drop(object.null(key)),
                _ => value.write(object.dynamic_key(key)),
            }
        }
    }
    Veiled { payload: out.into(), author_id, mentions }
}

impl Hub {
    /// Takes those out of the recipients from which something is withheld.
    pub(super) fn take_veiled(&self, event: &Event, recipients: &mut Vec<Slot>) -> Vec<Slot> {
        let mut veiled = Vec::new();
        if self.sessions.veiled_count() > 0 && is_of_server(event) {
            recipients.retain(|slot| {
                let is_veiled = self.sessions[*slot].is_veiled();
                if is_veiled {
                    veiled.push(*slot);
                }
                !is_veiled
            });
        }
        veiled
    }

    /// Gives them an event and those in a row with it. Of each there is a further entry at most for what is withheld and
    /// one for what is not: handles only rise, so that a session has a byte for each.
    pub(super) fn hand_out_veiled<'e>(
        &mut self,
        slots: &[Slot],
        event: &'e Event,
        more: impl Iterator<Item = &'e Event>,
    ) {
        for event in once(event).chain(more) {
            let veiled = veil(&event.payload);
            let mut handles: [Option<Handle>; 2] = [None; 2];
            for slot in slots {
                let is_open = veiled.is_open_to(self.sessions.user_of(*slot));
                let payload = if is_open { &event.payload } else { &veiled.payload };
                let known = &mut handles[usize::from(is_open)];
                let handle =
                    *known.get_or_insert_with(|| self.sessions.replay.push(event.name, payload.clone()));
                self.hand_out(&[*slot], handle, 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_message_is_withheld_and_nothing_else() {
        let message = r#"{"id":"5","author_id":"7","content":"a \"b\" <@3> <@&4>","embeds":[{"a":1}],"attachments":[1],"n":null,"poll":{"x":[]},"poll_results":{}}"#;
        let veiled = veil(message.as_bytes());
        assert_eq!(
            std::str::from_utf8(&veiled.payload).unwrap(),
            r#"{"id":"5","author_id":"7","content":"","embeds":[],"attachments":[],"n":null,"poll":null,"poll_results":null}"#
        );
        for (user_id, want) in [(7, true), (3, true), (4, false), (5, false)] {
            assert_eq!(veiled.is_open_to(UserId(user_id)), want, "{user_id}");
        }
    }
}
