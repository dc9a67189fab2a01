//! What messages are found by: their words, who wrote them, what they have.
//!
//! A term stands in the index under a number that is made of it with a key of the server, so that no word of a message
//! can be read there. Terms of one place (a server, or a private channel) stand together. Two terms may have one number:
//! whoever is found is looked at before he is shown.

use std::borrow::Cow;
use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use crate::domain::chat::mention;
use crate::id::{ChannelId, UserId};
use crate::limits::TERM_COUNT_MAX;
use crate::store::records::ArchivedMessage;
use crate::text::links;
use crate::text::words::{self, Kind};

/// Of a term in its place: four bytes of the place, six of the term.
pub type TermKey = [u8; 10];
const PLACE_LEN: usize = 4;

/// What a message can be found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Term<'t> {
    /// Every message has it.
    Any,
    /// A word, or a sign.
    Word(&'t str),
    /// Two signs, one right behind the other.
    Pair(&'t str, &'t str),
    Author(UserId),
    Mention(UserId),
    Has(Has),
    Pinned,
    /// There are too many words in it: it may have any.
    Long,
}

/// What a message has beside words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Has {
    Link = 1,
    Embed,
    Attachment,
    Image,
    Video,
    Audio,
}

impl Has {
    pub const ALL: [Has; 6] = [Has::Link, Has::Embed, Has::Attachment, Has::Image, Has::Video, Has::Audio];

    /// Whether a message with that text has it.
    pub fn is_in(self, message: &ArchivedMessage, content: &str) -> bool {
        let of_kind = |kind: &str| {
            message.attachments.iter().any(|attachment| attachment.content_type.starts_with(kind))
        };
        match self {
            Has::Link => has_link(content),
            Has::Embed => !message.embeds.is_empty(),
            Has::Attachment => !message.attachments.is_empty(),
            Has::Image => of_kind("image/"),
            Has::Video => of_kind("video/"),
            Has::Audio => of_kind("audio/"),
        }
    }
}

fn has_link(content: &str) -> bool {
    let may =
        content.contains("://") || memchr::memchr2_iter(b'w', b'W', content.as_bytes()).nth(2).is_some();
    may && links::find(content).iter().any(|link| link.is_address)
}

/// The text of a message: the one place where search reads it.
pub fn content(message: &ArchivedMessage) -> Cow<'_, str> {
    Cow::Borrowed(&message.content)
}

/// Makes the numbers of terms: SipHash-2-4, which is made for keyed numbers of short texts and takes a tenth of what
/// HMAC-SHA256 does. A message has a dozen.
pub struct Keys(SipHasher24);

impl Keys {
    pub fn new(key: &[u8; 32]) -> Keys {
        Keys(SipHasher24::new_with_key(key.first_chunk().expect("it is half of the key")))
    }

    /// Stands for the key itself: terms that were made with another one are not found.
    pub fn check(&self) -> u64 {
        u64::from_le_bytes(self.number(b'k', &[]))
    }

    /// Of a server, or of a private channel.
    pub fn place(&self, id: u64) -> Place {
        Place(self.number(b's', &[&id.to_le_bytes()]))
    }

    pub fn key(&self, place: Place, term: Term<'_>) -> TermKey {
        let term: [u8; 6] = match term {
            Term::Any => self.number(b'y', &[]),
            Term::Word(word) => self.number(b'w', &[word.as_bytes()]),
            Term::Pair(first, second) => self.number(b'w', &[first.as_bytes(), second.as_bytes()]),
            Term::Author(id) => self.number(b'a', &[&id.0.to_le_bytes()]),
            Term::Mention(id) => self.number(b'm', &[&id.0.to_le_bytes()]),
            Term::Has(has) => self.number(b'h', &[&[has as u8]]),
            Term::Pinned => self.number(b'p', &[]),
            Term::Long => self.number(b'l', &[]),
        };
        let mut key = TermKey::default();
        key[..PLACE_LEN].copy_from_slice(&place.0);
        key[PLACE_LEN..].copy_from_slice(&term);
        key
    }

    fn number<const LEN: usize>(&self, tag: u8, parts: &[&[u8]]) -> [u8; LEN] {
        const { assert!(LEN <= 8) }
        let mut hasher = self.0;
        hasher.write(&[tag]);
        parts.iter().for_each(|part| hasher.write(part));
        *hasher.finish().to_le_bytes().first_chunk().expect("a number is longer")
    }

    /// The numbers of all terms of a message, each once, ascending.
    pub fn of(&self, place: Place, message: &ArchivedMessage) -> Vec<TermKey> {
        let content = content(message);
        let mut keys = self.of_words(place, &content);
        let mut add = |term: Term<'_>| keys.push(self.key(place, term));
        add(Term::Any);
        add(Term::Author(UserId::from(&message.author_id)));
        Has::ALL.into_iter().filter(|has| has.is_in(message, &content)).for_each(|has| add(Term::Has(has)));
        mention::find(&content).users.into_iter().for_each(|id| add(Term::Mention(id)));
        if message.pin != 0 {
            add(Term::Pinned);
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    fn of_words(&self, place: Place, content: &str) -> Vec<TermKey> {
        let mut keys = Vec::new();
        let folded = words::fold(content);
        let mut before = "";
        for token in words::tokens(&folded) {
            match token.kind {
                Kind::Symbol => continue,
                Kind::Sign { glued: true } => keys.push(self.key(place, Term::Pair(before, token.text))),
                Kind::Word | Kind::Sign { .. } => {}
            }
            keys.push(self.key(place, Term::Word(token.text)));
            before = token.text;
        }
        if keys.len() > TERM_COUNT_MAX {
            keys.sort_unstable();
            keys.dedup();
            if keys.len() > TERM_COUNT_MAX {
                keys.truncate(TERM_COUNT_MAX);
                keys.push(self.key(place, Term::Long));
            }
        }
        keys
    }
}

/// Where the terms of a server, or of a private channel, stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place([u8; PLACE_LEN]);

/// What is kept of the channel of a message: enough to tell most channels of a server.
pub fn mark(channel_id: ChannelId) -> u8 {
    (channel_id.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::store::records::{Attachment, Message};
    use crate::store::tables::MESSAGES;
    use crate::store::tests::temporary;

    fn of(message: &Message, test: impl FnOnce(&Keys, &ArchivedMessage)) {
        let (_folder, store) = temporary(1 << 24);
        let mut tx = store.begin().unwrap();
        tx.put(MESSAGES, (ChannelId(1), MessageId(1)), message);
        test(&Keys::new(&[7; 32]), tx.get(MESSAGES, (ChannelId(1), MessageId(1))).unwrap());
    }

    fn said(content: &str) -> Message {
        Message { content: content.into(), author_id: UserId(5), ..Message::default() }
    }

    #[test]
    fn a_message_has_its_words_and_marks() {
        let attachment = Attachment { content_type: "image/png".into(), ..Attachment::default() };
        let message =
            Message {
                pin: 3, attachments: vec![attachment], ..said("See https://x.org/a <@7>, see 東京!")
            };
        of(&message, |keys, message| {
            let place = keys.place(9);
            let words = ["see", "https", "x", "org", "a", "7", "東", "京"].map(Term::Word);
            let marks = [
                Term::Any,
                Term::Pair("東", "京"),
                Term::Author(UserId(5)),
                Term::Mention(UserId(7)),
                Term::Has(Has::Link),
                Term::Has(Has::Attachment),
                Term::Has(Has::Image),
                Term::Pinned,
            ];
            let mut want: Vec<TermKey> =
                words.into_iter().chain(marks).map(|term| keys.key(place, term)).collect();
            want.sort_unstable();
            assert_eq!(keys.of(place, message), want);
            assert!(keys.of(keys.place(8), message).iter().all(|key| !want.contains(key)));
            assert_ne!(Keys::new(&[8; 32]).of(place, message), want);
            assert_ne!(Keys::new(&[8; 32]).check(), keys.check());
        });
    }

    #[test]
    fn too_many_words_are_said_to_be_too_many() {
        let text: Vec<String> = (0..TERM_COUNT_MAX + 1).map(|number| format!("w{number}")).collect();
        let long = |keys: &Keys| keys.key(keys.place(1), Term::Long);
        of(&said(&text.join(" ")), |keys, message| {
            let found = keys.of(keys.place(1), message);
            assert!(found.contains(&long(keys)) && found.len() < TERM_COUNT_MAX + 8);
        });
        of(&said(&"x y ".repeat(TERM_COUNT_MAX)), |keys, message| {
            let found = keys.of(keys.place(1), message);
            assert!(!found.contains(&long(keys)) && found.len() == 4);
        });
    }

    #[test]
    fn links() {
        for (text, want) in [
            ("see https://example.org/page", true),
            ("HTTP://EXAMPLE.ORG", true),
            ("www.example.org", true),
            ("example.org", false),
            ("a://", false),
            ("wow, how", false),
        ] {
            assert_eq!(has_link(text), want, "{text}");
        }
    }
}
