//! How records lie sealed on the disk.
//!
//! What people have written to one another, and addresses of mails, stand in tables that are marked `sealed`
//! (`tables.rs`). A value there is `[127 | CHECKED][checksum][number of its key][nonce][ciphertext][tag]`; the
//! plaintext is the version of the record and its bytes. It is opened where the record is read, and kept as those of
//! earlier versions are (`upgrade.rs`). Keys of tables are never sealed: looking whether a row is there and walking
//! over keys open nothing; removing a row does, as what goes with it is read from it. With `messaging.encrypt_messages` off records are written as they are; each value
//! says what it is, so that either kind is read whatever the option says.
//!
//! AES-256-GCM (NIST SP 800-38D), with a key made of the server's for this use alone. Table and key of the row are
//! part of what is authenticated: a value that is moved to another row is none. The nonce is made, not drawn: it is the
//! beginning of an HMAC-SHA256, under a key of its own, over table, key and plaintext. So writing needs no random
//! numbers, and the same command on the same state writes the same bytes. Two values have the same nonce when they are
//! the same record in the same row, which makes them the same value and tells no more than that; others only when 96
//! bits of the HMAC coincide: below one in 10^10 for 2^32 records under one key. Nothing else may use these keys.
//!
//! How a record lies is no part of the state: what [`Written`](super::Written) says of a transaction is about the
//! records themselves, and the same whatever the keys are.

use std::ops::Range;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use smallvec::SmallVec;

use super::keyring::{Keyring, Purpose};

/// The version that stands for a sealed record: no record gets there.
pub(super) const SEALED: u8 = 127;
const NONCE_LEN: usize = 12;
/// Number of the key and nonce, before the ciphertext.
pub(super) const HEAD_LEN: usize = 1 + NONCE_LEN;
pub(super) const TAG_LEN: usize = 16;

/// Number of the key and nonce of a sealed value, and the nonce alone.
pub(super) fn nonce_of(sealed: &[u8]) -> Option<(&[u8; HEAD_LEN], &[u8])> {
    let head = sealed.first_chunk::<HEAD_LEN>()?;
    Some((head, &head[1..]))
}

/// What seals records and opens them: all keys of the server.
pub(super) struct Sealer {
    /// As in the keyring: the newest is last. Never empty.
    keys: Vec<RecordKey>,
    /// Whether records are sealed when they are written.
    seals: bool,
}

struct RecordKey {
    number: u8,
    aead: LessSafeKey,
    nonce: hmac::Key,
}

/// Table and key of a row.
#[derive(Clone, Copy)]
pub(super) struct Place<'k> {
    pub seed: u32,
    pub key: &'k [u8],
}

impl Place<'_> {
    /// Keys are short: 64 bytes hold nearly all.
    fn bytes(self) -> SmallVec<[u8; 64]> {
        let mut bytes = SmallVec::from_slice(&self.seed.to_le_bytes());
        bytes.extend_from_slice(self.key);
        bytes
    }
}

impl Sealer {
    pub fn new(keyring: &Keyring, seals: bool) -> Sealer {
        let of_records = keyring.derive_all(Purpose::Records);
        let of_nonces = keyring.derive_all(Purpose::RecordNonces);
        let keys = of_records.into_iter().zip(of_nonces).map(|((number, key), (_, nonce))| {
            let aead = UnboundKey::new(&AES_256_GCM, &key).expect("a key has the length of one");
            RecordKey {
                number,
                aead: LessSafeKey::new(aead),
                nonce: hmac::Key::new(hmac::HMAC_SHA256, &nonce),
            }
        });
        Sealer { keys: keys.collect(), seals }
    }

    pub fn seals(&self) -> bool {
        self.seals
    }

    /// Appends what lies on the disk behind the checksum for a record of this version. The same comes of the same.
    pub fn seal(&self, place: Place<'_>, version: u8, body: &[u8], out: &mut Vec<u8>) {
        let key = self.keys.last().expect("there is a key");
        let place = place.bytes();
        let mut context = hmac::Context::with_key(&key.nonce);
        // The length tells where the key of the row ends.
        context.update(&(place.len() as u32).to_le_bytes());
        context.update(&place);
        context.update(&[version]);
        context.update(body);
        let nonce: [u8; NONCE_LEN] = *context.sign().as_ref().first_chunk().expect("an HMAC has 32 bytes");
        out.push(key.number);
        out.extend_from_slice(&nonce);
        let start = out.len();
        out.push(version);
        out.extend_from_slice(body);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.aead.seal_in_place_separate_tag(nonce, Aad::from(&place[..]), &mut out[start..]);
        out.extend_from_slice(tag.expect("records are far shorter than 64 GiB").as_ref());
    }

    /// Opens what [`Sealer::seal`] has made, in place: says where version and bytes of the record, at least the former,
    /// are now. `None` when it is not that, or its key is gone.
    pub fn open(&self, place: Place<'_>, sealed: &mut [u8]) -> Option<Range<usize>> {
        let (head, rest) = sealed.split_at_mut_checked(HEAD_LEN)?;
        let nonce: [u8; NONCE_LEN] = *head[1..].first_chunk()?;
        let place = place.bytes();
        let try_key = |key: &RecordKey, bytes: &mut [u8]| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            key.aead.open_in_place(nonce, Aad::from(&place[..]), bytes).ok().map(|plain| plain.len())
        };
        let mut keys = self.keys.iter().filter(|key| key.number == head[0]).peekable();
        let mut len = None;
        while let Some(key) = keys.next().filter(|_| len.is_none()) {
            // Two stores that became one by a restore have a key of the same number each; what is tried in vain is
            // overwritten.
            let copy = keys.peek().map(|_| rest.to_vec());
            len = try_key(key, rest);
            if let (None, Some(copy)) = (len, copy) {
                rest.copy_from_slice(&copy);
            }
        }
        len.filter(|len| *len > 0).map(|len| HEAD_LEN..HEAD_LEN + len)
    }

    /// Whether a sealed value is what would be written now, as far as that can be seen without opening it.
    pub fn is_current(&self, sealed: &[u8]) -> bool {
        let newest = self.keys.last().expect("there is a key").number;
        let is_alone = self.keys.iter().filter(|key| key.number == newest).count() == 1;
        self.seals && is_alone && sealed.first() == Some(&newest)
    }
}

/// What a store seals with; `None` before its keys were given.
pub(super) type Seal = Option<Arc<Sealer>>;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { seed: 7, key: b"key" };

    fn sealed(sealer: &Sealer, place: Place<'_>, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(place, 3, body, &mut out);
        out
    }

    fn opened(sealer: &Sealer, place: Place<'_>, sealed: &[u8]) -> Option<(u8, Vec<u8>)> {
        let mut bytes = sealed.to_vec();
        let record = sealer.open(place, &mut bytes)?;
        bytes[record].split_first().map(|(version, body)| (*version, body.to_vec()))
    }

    #[test]
    fn what_is_sealed_is_of_one_row_and_whole() {
        let sealer = Sealer::new(&Keyring::new(), true);
        for body in [&b""[..], b"hello", &[7; 5_000]] {
            let made = sealed(&sealer, HERE, body);
            assert_eq!(made.len(), HEAD_LEN + 1 + body.len() + TAG_LEN);
            assert_eq!(made, sealed(&sealer, HERE, body), "the same comes of the same");
            assert_eq!(opened(&sealer, HERE, &made), Some((3, body.to_vec())));
            assert_eq!(opened(&sealer, Place { seed: 8, ..HERE }, &made), None);
            assert_eq!(opened(&sealer, Place { key: b"kez", ..HERE }, &made), None);
            assert_eq!(opened(&Sealer::new(&Keyring::new(), true), HERE, &made), None, "another key");
            for at in (0..made.len()).step_by(1 + made.len() / 50) {
                let mut other = made.clone();
                other[at] ^= 1;
                assert_eq!(opened(&sealer, HERE, &other), None, "{at}");
                assert_eq!(opened(&sealer, HERE, &made[..at]), None, "{at}");
            }
        }
    }

    #[test]
    fn rows_and_texts_have_nonces_of_their_own() {
        let sealer = Sealer::new(&Keyring::new(), true);
        let nonce = |place: Place<'_>, body: &[u8]| sealed(&sealer, place, body)[1..HEAD_LEN].to_vec();
        let mut nonces = Vec::new();
        for key in 0..100_u8 {
            for body in 0..10_u8 {
                nonces.push(nonce(Place { key: &[key], ..HERE }, &[body]));
            }
        }
        // What moves from the key to the body is something else.
        nonces.push(nonce(Place { key: b"ab", ..HERE }, b"c"));
        nonces.push(nonce(Place { key: b"a", ..HERE }, b"bc"));
        let count = nonces.len();
        nonces.sort_unstable();
        nonces.dedup();
        assert_eq!(nonces.len(), count);
    }

    #[test]
    fn older_keys_open_what_they_have_sealed() {
        let keyring = Keyring::new();
        let before = Sealer::new(&keyring, true);
        let made = sealed(&before, HERE, b"hello");
        keyring.add_for_tests(2, [9; 32]);
        let after = Sealer::new(&keyring, true);
        assert_eq!(opened(&after, HERE, &made), Some((3, b"hello".to_vec())));
        assert_eq!((before.is_current(&made), after.is_current(&made)), (true, false));
        let new = sealed(&after, HERE, b"hello");
        assert_eq!((new[0], after.is_current(&new), opened(&before, HERE, &new)), (2, true, None));
        assert!(!Sealer::new(&keyring, false).is_current(&new), "it would be written as it is");
        // Of two keys with one number either opens its own.
        keyring.add_for_tests(2, [8; 32]);
        let both = Sealer::new(&keyring, true);
        let newer = sealed(&both, HERE, b"hello");
        assert_ne!(new, newer);
        assert_eq!(opened(&both, HERE, &new), Some((3, b"hello".to_vec())));
        assert_eq!(opened(&both, HERE, &newer), Some((3, b"hello".to_vec())));
        assert!(!both.is_current(&new) && !both.is_current(&newer), "only opening would tell");
    }
}
