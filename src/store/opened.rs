//! Sealed records that this thread has opened, for when they are read again.
//!
//! The newest messages of a channel are read by everybody who looks at it, and opening one takes half a microsecond:
//! more than all the rest that is done with it. So each thread remembers what it has opened, in slots that the nonces
//! choose, and whoever comes to a slot that is taken takes it over.
//! Invariants:
//! - What is remembered is the record that was sealed: nonce and tag depend on table, key, version and bytes
//!   (`sealing.rs`), and the row is compared too, so that a value that was moved is none. The ciphertext is not looked at:
//!   when it is damaged while the record is remembered, the right one is given, and the damage is found later.
//! - At most [`SLOTS`] records of at most [`LEN_MAX`] bytes, 4 MiB of a thread; a thread that opens nothing has none.

use std::cell::RefCell;
use std::sync::Arc;

use smallvec::SmallVec;

use super::sealing::{HEAD_LEN, Place, Sealer, TAG_LEN, nonce_of};

/// A power of two. The newest pages of some 80 channels.
const SLOTS: usize = 4096;
/// Longer records take long anyway.
const LEN_MAX: usize = 1024;

/// A record that was opened.
struct Opened {
    /// Of the value: number of the key and nonce, and its tag.
    head: [u8; HEAD_LEN],
    tag: [u8; TAG_LEN],
    seed: u32,
    key: SmallVec<[u8; 16]>,
    /// Version and bytes.
    record: Arc<[u8]>,
}

impl Opened {
    fn is(&self, place: Place<'_>, sealed: &[u8]) -> bool {
        self.seed == place.seed
            && self.key[..] == *place.key
            && sealed.starts_with(&self.head)
            && sealed.ends_with(&self.tag)
    }
}

thread_local! {
    /// Empty until the first record is opened.
    static OPENED: RefCell<Vec<Option<Opened>>> = const { RefCell::new(Vec::new()) };
}

/// Version and bytes of the record that was sealed; `None` when it was not, or its key is gone.
pub(super) fn open(sealer: &Sealer, place: Place<'_>, sealed: &[u8]) -> Option<Arc<[u8]>> {
    let (head, nonce) = nonce_of(sealed)?;
    let slot = usize::from(u16::from_le_bytes([nonce[0], nonce[1]])) % SLOTS;
    OPENED.with_borrow_mut(|opened| {
        if let Some(known) = opened.get(slot).and_then(Option::as_ref).filter(|known| known.is(place, sealed))
        {
            return Some(known.record.clone());
        }
        let mut bytes: SmallVec<[u8; 512]> = SmallVec::from_slice(sealed);
        let range = sealer.open(place, &mut bytes)?;
        let record: Arc<[u8]> = Arc::from(&bytes[range]);
        if record.len() <= LEN_MAX {
            if opened.is_empty() {
                opened.resize_with(SLOTS, || None);
            }
            let tag = *sealed.last_chunk().expect("what was opened has a tag");
            let key = SmallVec::from_slice(place.key);
            opened[slot] = Some(Opened { head: *head, tag, seed: place.seed, key, record: record.clone() });
        }
        Some(record)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::keyring::Keyring;

    fn sealed(sealer: &Sealer, place: Place<'_>, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(place, 3, body, &mut out);
        out
    }

    #[test]
    fn what_is_remembered_is_what_opening_says() {
        let sealer = Sealer::new(&Keyring::new(), true);
        let keys: Vec<[u8; 2]> = (0..20_000_u16).map(u16::to_be_bytes).collect();
        let values: Vec<Vec<u8>> =
            keys.iter().map(|key| sealed(&sealer, Place { seed: 7, key }, key)).collect();
        for _ in 0..2 {
            for (key, value) in keys.iter().zip(&values) {
                let place = Place { seed: 7, key };
                // The second time it is remembered.
                for _ in 0..2 {
                    let record = open(&sealer, place, value).expect("it was sealed so");
                    assert_eq!((record[0], &record[1..]), (3, &key[..]));
                }
            }
        }
        assert!(OPENED.with_borrow(|opened| opened.iter().flatten().count()) > SLOTS / 2);
    }

    #[test]
    fn what_was_moved_or_changed_is_none_though_it_is_remembered() {
        let sealer = Sealer::new(&Keyring::new(), true);
        let place = Place { seed: 7, key: b"key" };
        let value = sealed(&sealer, place, b"hello");
        assert!(open(&sealer, place, &value).is_some());
        assert!(open(&sealer, Place { seed: 8, ..place }, &value).is_none());
        assert!(open(&sealer, Place { key: b"kez", ..place }, &value).is_none());
        for at in (0..13).chain(value.len() - TAG_LEN..value.len()) {
            let mut other = value.clone();
            other[at] ^= 1;
            assert!(open(&sealer, place, &other).is_none(), "{at}");
        }
        assert!((0..value.len()).all(|len| open(&sealer, place, &value[..len]).is_none()));
        let other = Sealer::new(&Keyring::new(), true);
        assert!(open(&other, place, &sealed(&other, place, b"hello")).is_some(), "another server's keys");
        assert!(open(&sealer, place, &value).is_some());
    }

    #[test]
    fn long_records_are_opened_but_not_remembered() {
        let sealer = Sealer::new(&Keyring::new(), true);
        let (place, body) = (Place { seed: 7, key: b"long" }, [1; LEN_MAX]);
        let value = sealed(&sealer, place, &body);
        assert_eq!(open(&sealer, place, &value).expect("it was sealed so")[1..], body);
        assert!(OPENED.with_borrow(Vec::is_empty));
    }
}
