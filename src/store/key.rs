//! Order-preserving keys: tuples of big-endian integers and hashes, with at most one text at the end.
//!
//! Invariant: comparing two encoded keys as bytes gives the order of the tuples, so a prefix is a range.

use std::cmp::Ordering;

use heed::Comparator;

use super::hex;
use crate::id::{
    AccessScopeId, AccessTokenId, AdminId, AttachmentId, AuditId, ChallengeId, ChannelId, EmojiId, MessageId,
    NameBanId, PasskeyId, PollId, ReportId, RoleId, RuleId, ServerId, SignInId, StickerId, TicketId, TokenId,
    UserId, ViolationId, WebhookId,
};
use smallvec::SmallVec;

/// An encoded key. LMDB allows 511 bytes; ours are 8 to 34 but for texts and the sessions of uploads.
pub type KeyBuf = SmallVec<[u8; 36]>;

/// LMDB takes no longer keys.
const KEY_LEN_MAX: usize = 511;

/// Something that can stand in a key.
pub trait Key: Copy {
    /// What reading a key gives back: the type itself, or an owned text.
    type Owned;
    fn write(&self, out: &mut KeyBuf);
    /// Reads from the front of `bytes` and moves it on.
    fn read(bytes: &mut &[u8]) -> Self::Owned;
    /// Whether [`Key::read`] would find what it needs; moves `bytes` on as it does.
    fn fits(bytes: &mut &[u8]) -> bool;
}

/// Whether the bytes are a whole key of this type.
pub fn is_key<K: Key>(mut bytes: &[u8]) -> bool {
    K::fits(&mut bytes) && bytes.is_empty()
}

/// Encodes a whole key.
pub fn encode(key: impl Key) -> KeyBuf {
    let mut out = KeyBuf::new();
    key.write(&mut out);
    assert!(out.len() <= KEY_LEN_MAX, "whoever makes a key of a text bounds it");
    out
}

/// The order of keys: bytes, then length, which is LMDB's own. LMDB calls `memcmp` for it, through two pointers; most
/// keys are one or two numbers of eight bytes, and a look-up compares some fifteen of them.
pub(super) enum ByteOrder {}

impl Comparator for ByteOrder {
    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        let (a_words, b_words) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
        for (a, b) in a_words.iter().zip(b_words) {
            let (a, b) = (u64::from_be_bytes(*a), u64::from_be_bytes(*b));
            if a != b {
                return a.cmp(&b);
            }
        }
        let equal = 8 * a_words.len().min(b_words.len());
        a[equal..].cmp(&b[equal..])
    }
}

/// The smallest key greater than every key that starts with `prefix`; `None` when there is none.
pub fn prefix_end(prefix: &[u8]) -> Option<KeyBuf> {
    let last = prefix.iter().rposition(|&byte| byte < 0xff)?;
    let mut end = KeyBuf::from_slice(&prefix[..=last]);
    end[last] += 1;
    Some(end)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (head, tail) = bytes.split_first_chunk().expect("a stored key has the length of its type");
    *bytes = tail;
    *head
}

macro_rules! integer_keys {
    ($($int:ty)*) => {$(
        impl Key for $int {
            type Owned = $int;
            fn write(&self, out: &mut KeyBuf) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn read(bytes: &mut &[u8]) -> $int {
                <$int>::from_be_bytes(take(bytes))
            }
            fn fits(bytes: &mut &[u8]) -> bool {
                bytes.split_off(..size_of::<$int>()).is_some()
            }
        }
    )*};
}

macro_rules! id_keys {
    ($($id:ident)*) => {$(
        impl Key for $id {
            type Owned = $id;
            fn write(&self, out: &mut KeyBuf) {
                self.0.write(out);
            }
            fn read(bytes: &mut &[u8]) -> $id {
                $id(u64::read(bytes))
            }
            fn fits(bytes: &mut &[u8]) -> bool {
                u64::fits(bytes)
            }
        }
    )*};
}

integer_keys!(u8 u16 u64);
id_keys!(AdminId NameBanId UserId TokenId ServerId ChannelId MessageId RoleId AuditId ChallengeId WebhookId RuleId ViolationId ReportId TicketId AccessTokenId AccessScopeId PollId SignInId);
id_keys!(EmojiId StickerId PasskeyId AttachmentId);

/// Names of blobs.
impl Key for [u8; 32] {
    type Owned = [u8; 32];
    fn write(&self, out: &mut KeyBuf) {
        out.extend_from_slice(self);
    }
    fn read(bytes: &mut &[u8]) -> [u8; 32] {
        take(bytes)
    }
    fn fits(bytes: &mut &[u8]) -> bool {
        bytes.split_off(..32).is_some()
    }
}

/// The empty prefix: the whole table.
impl Key for () {
    type Owned = ();
    fn write(&self, _: &mut KeyBuf) {}
    fn read(_: &mut &[u8]) {}
    fn fits(_: &mut &[u8]) -> bool {
        true
    }
}

/// A text is the last part of its key and runs to the end.
impl Key for &str {
    type Owned = String;
    fn write(&self, out: &mut KeyBuf) {
        out.extend_from_slice(self.as_bytes());
    }
    fn read(bytes: &mut &[u8]) -> String {
        String::from_utf8(std::mem::take(bytes).to_vec()).expect("texts were UTF-8 when stored")
    }
    fn fits(bytes: &mut &[u8]) -> bool {
        std::str::from_utf8(std::mem::take(bytes)).is_ok()
    }
}

macro_rules! tuple_keys {
    ($($name:ident)+) => {
        impl<$($name: Key),+> Key for ($($name,)+) {
            type Owned = ($($name::Owned,)+);
            #[allow(non_snake_case)]
            fn write(&self, out: &mut KeyBuf) {
                let ($($name,)+) = self;
                $($name.write(out);)+
            }
            fn read(bytes: &mut &[u8]) -> Self::Owned {
                ($($name::read(bytes),)+)
            }
            fn fits(bytes: &mut &[u8]) -> bool {
                $($name::fits(bytes))&&+
            }
        }
    };
}

tuple_keys!(A B);
tuple_keys!(A B C);
tuple_keys!(A B C D);

/// A key as people can read it: texts as they are, numbers of eight bytes in decimal.
pub fn key_text(key: &[u8]) -> String {
    let printable = |text: &&str| text.chars().all(|letter| letter.is_ascii_graphic());
    if let Some(text) = std::str::from_utf8(key).ok().filter(printable) {
        return text.to_owned();
    }
    let (words, rest) = key.as_chunks::<8>();
    let mut parts: Vec<String> = words.iter().map(|word| u64::from_be_bytes(*word).to_string()).collect();
    if !rest.is_empty() {
        parts.push(hex::encode(rest));
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_bytes() {
        let mut random = fastrand::Rng::with_seed(7);
        // Few different bytes, so that common beginnings and prefixes of one another are frequent.
        let mut bytes = || -> Vec<u8> { (0..random.usize(..28)).map(|_| 255 * random.u8(..2)).collect() };
        for _ in 0..20_000 {
            let (a, b) = (bytes(), bytes());
            assert_eq!(ByteOrder::compare(&a, &b), a.cmp(&b), "{a:?} {b:?}");
        }
    }

    #[test]
    fn order_of_bytes_is_order_of_tuples() {
        let keys = [(1u64, 5u16), (1, 6), (1, 256), (2, 0), (255, 9), (256, 1), (u64::MAX, u16::MAX)];
        for pair in keys.windows(2) {
            assert!(encode(pair[0]) < encode(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn reads_back() {
        let key = (UserId(7), ChannelId(9), "ümlaut");
        let bytes = encode(key);
        let mut rest = &bytes[..];
        assert_eq!(
            <(UserId, ChannelId, &str)>::read(&mut rest),
            (UserId(7), ChannelId(9), "ümlaut".to_string())
        );
        assert!(rest.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_no_key() {
        let bytes = encode((UserId(7), ChannelId(9), "ümlaut"));
        for len in 0..bytes.len() {
            let whole_text = std::str::from_utf8(bytes[..len].get(16..).unwrap_or(&[0xff])).is_ok();
            assert_eq!(is_key::<(UserId, ChannelId, &str)>(&bytes[..len]), whole_text, "{len}");
        }
        assert!(is_key::<(u8, u16)>(&[1, 2, 3]) && !is_key::<(u8, u16)>(&[1, 2, 3, 4]));
    }

    #[test]
    fn end_of_a_prefix() {
        let check = |prefix: &[u8], want: Option<&[u8]>| assert_eq!(prefix_end(prefix).as_deref(), want);
        check(&[1, 2], Some(&[1, 3]));
        check(&[1, 0xff], Some(&[2]));
        check(&[0xff, 0xff], None);
        check(&[], None);
    }

    #[test]
    fn keys_are_spelled_for_people() {
        assert_eq!(key_text(b"format"), "format");
        assert_eq!(key_text(&[0, 0, 0, 0, 0, 0, 1, 0]), "256");
        assert_eq!(key_text(&[&7_u64.to_be_bytes()[..], &8_u64.to_be_bytes(), &[0, 9]].concat()), "7/8/0009");
    }
}
