//! Files that are not taken: by their hash, and pictures also by what they look like.
//!
//! Invariants: what is compared is the hash in lower case, as it is stored; to ask for one is one look-up. A picture
//! that is here when it is blocked is known by its look from then on, and so is every other one that looks like it.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::blob;
use crate::domain::error::{Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::UserId;
use crate::limits::{HASH_CHARS_MAX, HASH_CHARS_MIN};
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::hex;
use crate::store::records::{ArchivedBlockedHash, BlockedHash, HashRef, Meta, Nil};
use crate::store::tables::{BLOCKED_HASH_ORDER, BLOCKED_HASHES, BLOCKED_LOOKS, HASH_COUNTS};
use crate::wire::json::shape::shape;

/// A hash as it is compared; `None` when it cannot be one. Which kind it is, nobody asks: those of other kinds than
/// SHA-256 in hexadecimal digits are those of no file here.
pub fn normalised(typed: &str) -> Option<String> {
    let is_one = (HASH_CHARS_MIN..=HASH_CHARS_MAX).contains(&typed.len())
        && typed.bytes().all(|byte| byte.is_ascii_graphic());
    is_one.then(|| typed.to_ascii_lowercase())
}

/// How a hash that is normalised is blocked, if it is.
pub fn find<'r>(read: Read<'r>, hash_value: &str) -> Option<&'r ArchivedBlockedHash> {
    read.get(BLOCKED_HASHES, hash_value)
}

/// Whether a file may be kept, by the SHA-256 of what is in it.
///
/// # Errors
/// 400 when it is blocked.
pub fn check_file(read: Read<'_>, hash: &Hash) -> Result<()> {
    match find(read, &hex::encode(hash)) {
        Some(_) => Err(Refusal::FileBlocked.into()),
        None => Ok(()),
    }
}

/// Whether any picture is known not to be taken by what it looks like.
pub fn knows_looks(read: Read<'_>) -> bool {
    read.len(BLOCKED_LOOKS) > 0
}

/// Whether a picture may be kept that looks like this. It walks over all looks: some 10 ns for each.
///
/// # Errors
/// 400 when no more than `threshold` bits of it differ from one that is not taken; 0: nothing is compared.
pub fn check_look(read: Read<'_>, look: u64, threshold: u64) -> Result<()> {
    let is_near = |(known, _): (u64, u64)| u64::from((known ^ look).count_ones()) <= threshold;
    match threshold > 0 && read.scan(BLOCKED_LOOKS, ()).keys().any(is_near) {
        true => Err(Refusal::FileBlocked.into()),
        false => Ok(()),
    }
}

/// What a file looks like by its hash, if that is of a picture that is here.
fn look_of(read: Read<'_>, hash_value: &str) -> Option<u64> {
    blob::look(read, &hex::decode(hash_value)?)
}

/// Blocks a hash that is not blocked.
pub(super) fn block(machine: &mut Machine<'_, '_>, hash_value: &str, reason: &str, by: Option<u64>) {
    let order = machine.next_id();
    let look = look_of(machine.read(), hash_value);
    let blocked =
        BlockedHash { reason: reason.to_string(), blocked_at: machine.unix_ms, blocked_by: by, order, look };
    machine.tx.put(BLOCKED_HASH_ORDER, order, &HashRef { value: hash_value.to_string() });
    store(machine, hash_value, &blocked);
}

fn store(machine: &mut Machine<'_, '_>, hash_value: &str, blocked: &BlockedHash) {
    machine.tx.put(BLOCKED_HASHES, hash_value, blocked);
    if let Some(look) = blocked.look {
        machine.tx.put(BLOCKED_LOOKS, (look, blocked.order), &Nil {});
    }
}

/// Blocks a hash, or says anew why and by whom it is.
pub(super) fn put(machine: &mut Machine<'_, '_>, hash_value: &str, reason: &str, by: Option<u64>) {
    match machine.tx.get(BLOCKED_HASHES, hash_value).map(BlockedHash::from) {
        Some(known) => {
            let look = known.look.or_else(|| look_of(machine.read(), hash_value));
            let blocked = BlockedHash { reason: reason.to_string(), blocked_by: by, look, ..known };
            store(machine, hash_value, &blocked);
        }
        None => block(machine, hash_value, reason, by),
    }
}

/// Takes a file again; whether it was blocked.
pub(super) fn remove(machine: &mut Machine<'_, '_>, hash_value: &str) -> bool {
    machine.tx.remove(BLOCKED_HASHES, hash_value)
}

/// A file is not taken any more.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct HashBlock {
    /// Normalised.
    pub hash_value: String,
    pub reason: String,
}

/// It is taken again.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct HashUnblock {
    /// Normalised.
    pub hash_value: String,
}

pub(in crate::domain) fn hash_block(machine: &mut Machine<'_, '_>, _: UserId, op: &HashBlock) -> Result<()> {
    let by = machine.admin().map(|admin| admin.0);
    put(machine, &op.hash_value, &op.reason, by);
    machine.note(Note::of(&op.hash_value).after(&op.reason));
    Ok(())
}

/// Replies whether it was blocked. So many reporters have to come anew.
pub(in crate::domain) fn hash_unblock(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &HashUnblock,
) -> Result<bool> {
    let was_blocked = remove(machine, &op.hash_value);
    if machine.read().contains(HASH_COUNTS, op.hash_value.as_str()) {
        machine.tx.put(HASH_COUNTS, op.hash_value.as_str(), &Meta { value: 0 });
    }
    machine.note(Note::of(&op.hash_value).before(if was_blocked { "blocked" } else { "not blocked" }));
    Ok(was_blocked)
}

/// Which kind of hash one is, by its length.
pub fn kind_of(hash_value: &str) -> &'static str {
    let is_hex = hash_value.bytes().all(|byte| byte.is_ascii_hexdigit());
    match hash_value.len() {
        64 if is_hex => "sha256",
        96 if is_hex => "sha384",
        128 if is_hex => "sha512",
        _ => "other",
    }
}

shape! {
    /// A file that is not taken.
    pub BlockedHashResponse(hash_value: &str, blocked: &ArchivedBlockedHash, threshold: u64) {
        hash_value: str = hash_value,
        reason: str = &blocked.reason,
        blocked_at: time = blocked.blocked_at.to_native(),
        blocked_by: opt_id = blocked.blocked_by.as_ref().map(|id| id.to_native()),
        auto_blocked: bool = blocked.blocked_by.is_none(),
        hash_type: str = kind_of(hash_value),
        /// How many bits of what it looks like may differ; 0: none is compared.
        phash_threshold: u64 = if blocked.look.is_some() { threshold } else { 0 },
    }
}

shape! {
    /// A file has been blocked.
    pub BlockHashResponse(hash_value: &str) {
        success: bool = true,
        hash_value: str = hash_value,
        hash_type: str = kind_of(hash_value),
    }
}

shape! {
    /// Whether a file is taken.
    pub HashStatusResponse(hash_value: &str, blocked: Option<&ArchivedBlockedHash>) {
        hash_value: str = hash_value,
        is_blocked: bool = blocked.is_some(),
        reason: opt_str = blocked.map(|blocked| blocked.reason.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_a_hash() {
        assert_eq!(normalised("ABCDEF0123456789"), Some("abcdef0123456789".into()));
        assert_eq!(normalised(&"f".repeat(128)), Some("f".repeat(128)));
        for bad in [
            "",
            &"f".repeat(15),
            &"f".repeat(129),
            "abcdef 0123456789",
            "abcdef012345678é",
            "abcdef0123456789\0",
        ] {
            assert_eq!(normalised(bad), None, "{bad}");
        }
    }
}
