//! Files that are not taken, by their hash.
//!
//! Invariant: what is compared is the hash in lower case, as it is stored. To ask for one is one look-up.

use crate::domain::error::{Refusal, Result};
use crate::domain::machine::Machine;
use crate::limits::{HASH_CHARS_MAX, HASH_CHARS_MIN};
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::hex;
use crate::store::records::{ArchivedBlockedHash, BlockedHash, HashRef};
use crate::store::tables::{BLOCKED_HASH_ORDER, BLOCKED_HASHES};
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

/// Blocks a hash that is not blocked.
pub(super) fn block(machine: &mut Machine<'_, '_>, hash_value: &str, reason: &str, by: Option<u64>) {
    let order = machine.next_id();
    let blocked = BlockedHash {
        reason: reason.to_string(),
        blocked_at: machine.unix_ms,
        blocked_by: by,
        order,
        look: None,
    };
    machine.tx.put(BLOCKED_HASHES, hash_value, &blocked);
    machine.tx.put(BLOCKED_HASH_ORDER, order, &HashRef { value: hash_value.to_string() });
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
