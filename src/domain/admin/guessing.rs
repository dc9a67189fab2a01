//! Wrong passwords and codes of administrators, counted by where they come from.
//!
//! They are in the store, so that a lock holds on all cores and over a restart. Whoever is at another address is not
//! concerned, nor is a session that is there.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::limits::ADMIN_FAILURE_COUNT_MAX;
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::records::{AdminChallenge, AdminFailures, Nil};
use crate::store::tables::{ADMIN_CHALLENGES, ADMIN_FAILURE_LAPSES, ADMIN_FAILURES};

/// Of those that are over, so many go with each that comes.
const LAPSED_PER_FAILURE: usize = 2;

/// How many are one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct Guesses {
    pub count_max: u64,
    pub window_ms: u64,
    pub lockout_ms: u64,
}

/// Somebody has shown a wrong password, or named an administrator who is none; or shows a code, which is counted before
/// it is looked at: many at the same time are not looked at before one of them counts.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminFailed {
    /// The address, or the network that stands for it.
    pub source: String,
    pub guesses: Guesses,
    /// The challenge that the code is for, and how many it takes.
    pub challenge: Option<(Hash, u64)>,
}

/// # Errors
/// 429 with the time until the lock is over.
pub fn require_unlocked(read: Read<'_>, source: &str, at: u64) -> Result<()> {
    let until = read.get(ADMIN_FAILURES, source).map_or(0, |known| known.locked_until.to_native());
    match until.checked_sub(at).filter(|left| *left > 0) {
        Some(left) => Err(Error::too_many_open("Too many wrong passwords or codes from this address", left)),
        None => Ok(()),
    }
}

/// Replies whether the place is locked now. Who logs in after all is forgotten.
pub(in crate::domain) fn admin_failed(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminFailed,
) -> Result<bool> {
    let (at, source, Guesses { count_max, window_ms, lockout_ms }) = (machine.at, &*op.source, op.guesses);
    require_unlocked(machine.read(), source, at)?;
    if let Some((challenge, failures_max)) = &op.challenge {
        count_for(machine, challenge, *failures_max)?;
    }
    forget_lapsed(machine);
    let known = machine.tx.get(ADMIN_FAILURES, source).map(AdminFailures::from).unwrap_or_default();
    forget(machine, source);
    let is_over = known.locked_until != 0 || known.window_until <= at;
    let (before, window_until) =
        if is_over { (0, at.saturating_add(window_ms)) } else { (known.count, known.window_until) };
    let count = before.saturating_add(1);
    let is_locked = u64::from(count) >= count_max;
    let locked_until = if is_locked { at.saturating_add(lockout_ms) } else { 0 };
    let lapses_at = window_until.max(locked_until);
    let failures = AdminFailures { count, window_until, locked_until, lapses_at };
    machine.tx.put(ADMIN_FAILURES, source, &failures);
    machine.tx.put(ADMIN_FAILURE_LAPSES, (lapses_at, source), &Nil {});
    Ok(is_locked)
}

/// A challenge that has seen too many codes takes no more.
fn count_for(machine: &mut Machine<'_, '_>, challenge: &Hash, failures_max: u64) -> Result<()> {
    let known = machine.tx.get(ADMIN_CHALLENGES, *challenge).map(AdminChallenge::from);
    let takes_more = |known: &AdminChallenge| u64::from(known.failures) < failures_max;
    let known = known.filter(takes_more).ok_or(Refusal::ChallengeInvalid)?;
    let failures = known.failures.saturating_add(1);
    machine.tx.put(ADMIN_CHALLENGES, *challenge, &AdminChallenge { failures, ..known });
    Ok(())
}

/// Who has logged in begins anew.
pub(super) fn forget(machine: &mut Machine<'_, '_>, source: &str) {
    let Some(known) = machine.tx.get(ADMIN_FAILURES, source) else { return };
    let lapses_at = known.lapses_at.to_native();
    machine.tx.delete(ADMIN_FAILURES, source);
    machine.tx.delete(ADMIN_FAILURE_LAPSES, (lapses_at, source));
}

/// Removes some whose time is over, and the one that is next when there are too many.
fn forget_lapsed(machine: &mut Machine<'_, '_>) {
    for _ in 0..LAPSED_PER_FAILURE {
        let first = machine.read().scan(ADMIN_FAILURE_LAPSES, ()).next();
        let Some((lapses_at, source)) = first.map(|((at, source), _)| (at, source.to_string())) else {
            return;
        };
        if lapses_at > machine.at && machine.read().len(ADMIN_FAILURES) < ADMIN_FAILURE_COUNT_MAX {
            return;
        }
        forget(machine, &source);
    }
}
