//! Whom a text mentions: `<@user>`, `<@&role>`, `@everyone`, `@here`.
//!
//! A text says what it says: who of them is there, may read it or may be called upon is not asked here. Letters are
//! told apart in ASCII only, as the tables of Unicode are another build's.

use memchr::memchr_iter;

use crate::id::{RoleId, UserId, parse_id};

/// Each once, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mentions {
    pub users: Vec<UserId>,
    pub roles: Vec<RoleId>,
    pub everyone: bool,
    pub here: bool,
}

impl Mentions {
    pub fn is_empty(&self) -> bool {
        *self == Mentions::default()
    }
}

/// A place where a text mentions somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mention {
    User(UserId),
    Role(RoleId),
    Everyone,
    Here,
}

/// What a text mentions. It costs a look for `@` where there is none.
pub fn find(text: &str) -> Mentions {
    let mut mentions = Mentions::default();
    for mention in each(text) {
        match mention {
            Mention::User(id) => mentions.users.push(id),
            Mention::Role(id) => mentions.roles.push(id),
            Mention::Everyone => mentions.everyone = true,
            Mention::Here => mentions.here = true,
        }
    }
    mentions.users.sort_unstable();
    mentions.users.dedup();
    mentions.roles.sort_unstable();
    mentions.roles.dedup();
    mentions
}

/// Every mention in a text, in order.
pub fn each(text: &str) -> impl Iterator<Item = Mention> {
    memchr_iter(b'@', text.as_bytes()).filter_map(|at| {
        let (before, after) = (&text.as_bytes()[..at], &text[at + 1..]);
        match before.last() {
            Some(b'<') => in_brackets(after),
            Some(byte) if is_of_word(*byte) => None,
            _ if is_word(after, "everyone") => Some(Mention::Everyone),
            _ if is_word(after, "here") => Some(Mention::Here),
            _ => None,
        }
    })
}

/// The rest of `<@…>`.
fn in_brackets(after: &str) -> Option<Mention> {
    // The longest there is: an ampersand and 20 digits.
    let end = after.bytes().take(22).position(|byte| byte == b'>')?;
    match after[..end].strip_prefix('&') {
        Some(role) => parse_id(role).map(|id| Mention::Role(RoleId(id))),
        None => parse_id(&after[..end]).map(|id| Mention::User(UserId(id))),
    }
}

/// Whether a text begins with a word, and that ends there.
fn is_word(text: &str, word: &str) -> bool {
    let rest = text.strip_prefix(word);
    rest.is_some_and(|rest| {
        rest.bytes().next().is_none_or(|byte| !byte.is_ascii_alphanumeric() && byte != b'_')
    })
}

/// As in addresses, which mention nobody: `ada@here.example`.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-+".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> String {
        let Mentions { users, roles, everyone, here } = find(text);
        let ids = |ids: Vec<u64>| ids.iter().map(|id| format!(" {id}")).collect::<String>();
        format!(
            "users{} roles{}{}{}",
            ids(users.iter().map(|id| id.0).collect()),
            ids(roles.iter().map(|id| id.0).collect()),
            if everyone { " everyone" } else { "" },
            if here { " here" } else { "" },
        )
    }

    #[test]
    fn each_is_found_once() {
        assert!(find("nobody, for 5 €").is_empty());
        assert_eq!(found("<@7> and <@3>, <@7>!"), "users 3 7 roles");
        assert_eq!(found("<@&12><@&3><@9>"), "users 9 roles 3 12");
        assert_eq!(found("@everyone @here"), "users roles everyone here");
        assert_eq!(found("hey,@everyone!"), "users roles everyone");
        assert_eq!(found("(@here)"), "users roles here");
        assert_eq!(found("ü@here"), "users roles here");
        assert_eq!(found("<@18446744073709551615>"), "users 18446744073709551615 roles");
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        for text in [
            "<@>",
            "<@&>",
            "<@a>",
            "<@ 1>",
            "<@1",
            "@1",
            "<1>",
            "<@18446744073709551616>",
            "<@!5>",
            "<@&&5>",
            "<@000000000000000000001>",
            "@everyon",
            "@everyones",
            "@here_",
            "@Here",
            "a@here",
            "mail.me@everyone",
            "ada@here.example",
            "<@everyone>",
            "@",
            "@@",
            "<@é>",
        ] {
            assert!(find(text).is_empty(), "{text}: {}", found(text));
        }
        assert_eq!(found("@here.example"), "users roles here", "a full stop ends a word");
    }
}
