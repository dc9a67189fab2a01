//! Order-preserving keys: tuples of big-endian integers, with at most one text at the end.
//!
//! Invariant: comparing two encoded keys as bytes gives the order of the tuples, so a prefix is a range.

use crate::id::{AuditId, ChannelId, MessageId, RoleId, ServerId, TokenId, UserId};
use smallvec::SmallVec;

/// An encoded key. LMDB allows 511 bytes; ours are 8 to 34 but for texts.
pub type KeyBuf = SmallVec<[u8; 36]>;

/// Something that can stand in a key.
pub trait Key: Copy {
    /// What reading a key gives back: the type itself, or an owned text.
    type Owned;
    fn write(&self, out: &mut KeyBuf);
    /// Reads from the front of `bytes` and moves it on.
    fn read(bytes: &mut &[u8]) -> Self::Owned;
}

/// Encodes a whole key.
pub fn encode(key: impl Key) -> KeyBuf {
    let mut out = KeyBuf::new();
    key.write(&mut out);
    debug_assert!(out.len() <= 511);
    out
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
        }
    )*};
}

integer_keys!(u8 u16 u64);
id_keys!(UserId TokenId ServerId ChannelId MessageId RoleId AuditId);

/// The empty prefix: the whole table.
impl Key for () {
    type Owned = ();
    fn write(&self, _: &mut KeyBuf) {}
    fn read(_: &mut &[u8]) {}
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
        }
    };
}

tuple_keys!(A B);
tuple_keys!(A B C);
tuple_keys!(A B C D);

#[cfg(test)]
mod tests {
    use super::*;

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
    fn end_of_a_prefix() {
        let check = |prefix: &[u8], want: Option<&[u8]>| assert_eq!(prefix_end(prefix).as_deref(), want);
        check(&[1, 2], Some(&[1, 3]));
        check(&[1, 0xff], Some(&[2]));
        check(&[0xff, 0xff], None);
        check(&[], None);
    }
}
