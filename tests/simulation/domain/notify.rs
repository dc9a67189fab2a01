//! The model of notifications: who must have been told of which message, and what he has read of it.

use std::collections::BTreeMap;

use plexichat::domain::chat::notification::{NotificationsResponse, Page};
use plexichat::domain::permission::{CHANNELS_VIEW, MESSAGES_MENTION_EVERYONE, MESSAGES_READ};
use plexichat::id::UserId;
use plexichat::store::Read;
use plexichat::store::records::account;
use plexichat::wire::json;

use super::model::Model;

/// One of a user: in which channel, why, whether he has read it.
#[derive(Clone, Debug)]
pub struct Told {
    channel: u64,
    title: &'static str,
    read: bool,
}

/// By user and message.
pub type Notifications = BTreeMap<(u64, u64), Told>;

impl Model {
    /// Notes whom a message that was just sent mentions.
    pub fn notify(&mut self, author: u64, channel: u64, message: u64, content: &str) {
        let may_call = self
            .access(author, channel)
            .is_ok_and(|(found, have)| found.server.is_some() && have & MESSAGES_MENTION_EVERYONE != 0);
        let server = self.channels[&channel].server;
        let words: Vec<&str> = content.split(' ').collect();
        let says = |word: String| words.contains(&word.as_str());
        let told: Vec<_> = self
            .users
            .keys()
            .filter_map(|user| {
                let (found, have) = self.access(*user, channel).ok()?;
                let reads = have & CHANNELS_VIEW != 0 || found.server.is_none();
                if !reads || have & MESSAGES_READ == 0 || *user == author || self.blocked(*user, author) {
                    return None;
                }
                let of_server = server.map(|server| &self.servers[&server]);
                let roles = of_server.map(|server| &server.members[user].roles);
                let everyone = of_server.is_some_and(|server| says(format!("<@&{}>", server.everyone)));
                let title = if says(format!("<@{user}>")) {
                    "You were mentioned"
                } else if roles.is_some_and(|roles| roles.iter().any(|role| says(format!("<@&{role}>")))) {
                    "Your role was mentioned"
                } else if may_call && (everyone || says("@everyone".into())) {
                    "@everyone mention"
                } else {
                    return None;
                };
                Some((*user, title))
            })
            .collect();
        for (user, title) in told {
            self.notifications.insert((user, message), Told { channel, title, read: false });
        }
    }

    /// Whether the user is shown a notification of that message.
    pub fn is_told(&self, user: u64, message: u64) -> bool {
        self.notifications.get(&(user, message)).is_some_and(|told| {
            let channel = self.channels.get(&told.channel);
            channel.is_some_and(|channel| channel.messages.contains_key(&message))
        })
    }

    pub fn read_notification(&mut self, user: u64, message: u64) {
        self.notifications.get_mut(&(user, message)).expect("judge has found it").read = true;
    }

    pub fn read_notifications(&mut self, user: u64) {
        let own = self.notifications.range_mut((user, 0)..=(user, u64::MAX));
        own.for_each(|(_, told)| told.read = true);
    }

    /// Compares what each user is shown.
    pub fn compare_notifications(&self, read: Read<'_>) {
        // Of those who are going it goes in steps.
        for (user, _) in self.users.iter().filter(|(_, user)| user.state == account::ACTIVE) {
            let own = self.notifications.range((*user, 0)..=(*user, u64::MAX)).rev();
            let want: Vec<_> = own.filter(|((_, message), _)| self.is_told(*user, *message)).collect();
            let page = Page { limit: 10_000, unread_only: false };
            let mut out = Vec::new();
            NotificationsResponse::write(&mut out, read, UserId(*user), page);
            let answer = json::parse(&mut out).expect("notifications are JSON");
            let list = answer.get("notifications").and_then(json::Value::as_array).expect("a list");
            let got: Vec<_> = list
                .iter()
                .map(|item| {
                    let text = |key| item.get(key).and_then(json::Value::as_str).expect("a text");
                    let is_read = item.get("read").and_then(json::Value::as_bool).expect("read or not");
                    (text("id").to_string(), text("title").to_string(), is_read)
                })
                .collect();
            let wanted: Vec<_> = want
                .iter()
                .map(|((_, message), told)| (message.to_string(), told.title.to_string(), told.read))
                .collect();
            assert_eq!(got, wanted, "notifications of {user}");
            let unread = want.iter().filter(|(_, told)| !told.read).count();
            let got = answer.get("unread_count").and_then(json::Value::as_int);
            assert_eq!(got, Some(unread as i128), "unread notifications of {user}");
        }
    }
}
