//! Carries out errands: what commands have left to do ([`crate::domain::errand`]), a bounded amount per step.
//!
//! The oldest that is due has its turn; what is left of it stands behind the others, and ends the step. Whether
//! somebody is there right now is not part of the state, so who asks for a step looks it up and says so in it
//! ([`plan`]).

use rkyv::{Archive, Deserialize, Serialize, rancor};

use crate::domain::chat::{clearing, notification, poll};
use crate::domain::community::ban;
use crate::domain::errand::{Errand, Work, bytes};
use crate::domain::error::Result;
use crate::domain::housekeeping::reseal;
use crate::domain::identity::mail;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::store::tables::OUTBOX;
use crate::store::{Read, records};

/// Takes up errands that are due. Only the server itself submits it, as long as [`plan`] finds one.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct OutboxStep {
    /// Looks at records, about; see [`Work::left`].
    pub looks_max: u64,
    pub present: Option<Present>,
}

/// Which of the users that an errand is about next are there.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Present {
    /// The id in the errand's key.
    pub errand: u64,
    /// Nobody beyond has been looked at.
    pub up_to: UserId,
    /// Ascending.
    pub users: Vec<UserId>,
}

/// Does a part of what the bytes say; returns the bytes of what is left. `None` from bytes that are none of its kind.
type Step = fn(&mut Machine<'_, '_>, &[u8], &mut Work<'_>) -> Option<Option<Vec<u8>>>;

/// A kind of errand, as the table knows it.
pub struct Kind {
    pub code: u8,
    pub name: &'static str,
    step: Step,
    asks: fn(Read<'_>, &[u8], usize) -> Vec<UserId>,
}

/// All kinds, by code: append, never reuse.
pub const KINDS: &[Kind] = &[
    kind::<ban::CleanUp>(),
    kind::<notification::FanOut>(),
    kind::<mail::MailRequest>(),
    kind::<poll::Look>(),
    kind::<clearing::Clear>(),
    kind::<reseal::Rows>(),
];

/// What it costs to see whether somebody is there, on a core: more would be asked about than a step gets to.
const ASK_LOOKS: usize = 4;

/// An errand that no kind of this version is waits for one that knows it.
const UNKNOWN_WAIT_MS: u64 = 3_600_000;

const fn kind<E>() -> Kind
where
    E: Errand + Archive,
    E::Archived: for<'a> rkyv::bytecheck::CheckBytes<rkyv::api::high::HighValidator<'a, rancor::Error>>
        + Deserialize<E, rkyv::api::high::HighDeserializer<rancor::Error>>,
{
    let step = |machine: &mut Machine<'_, '_>, what: &[u8], work: &mut Work<'_>| {
        let errand: E = rkyv::from_bytes::<E, rancor::Error>(what).ok()?;
        Some(errand.step(machine, work).map(|left| bytes(&left)))
    };
    let asks = |read: Read<'_>, what: &[u8], count_max: usize| {
        let errand = rkyv::from_bytes::<E, rancor::Error>(what);
        errand.map(|errand| errand.asks(read, count_max)).unwrap_or_default()
    };
    Kind { code: E::KIND, name: E::NAME, step, asks }
}

fn first_due(read: Read<'_>, at: u64) -> Option<((u64, u64), &records::ArchivedErrand)> {
    read.scan(OUTBOX, ()).next().filter(|((due, _), _)| *due <= at)
}

/// How many errands are due, as far as the metric asks: of more it says that they are so many.
pub fn due_count(read: Read<'_>, at: u64) -> u64 {
    const COUNTED_MAX: usize = 1_000;
    read.scan(OUTBOX, ()).keys().take(COUNTED_MAX).take_while(|(due, _)| *due <= at).count() as u64
}

/// The next step; none when nothing is due. `is_there`: whether a user is visibly there.
pub fn plan(
    read: Read<'_>,
    at: u64,
    looks_max: u64,
    is_there: impl Fn(UserId) -> bool,
) -> Option<OutboxStep> {
    let ((_, errand), record) = first_due(read, at)?;
    let kind = KINDS.iter().find(|kind| kind.code == record.kind);
    let asked_max = looks_max as usize / ASK_LOOKS;
    let asked = kind.map_or(Vec::new(), |kind| (kind.asks)(read, &record.what, asked_max.max(1)));
    let present = asked.last().map(|&up_to| Present {
        errand,
        up_to,
        users: asked.iter().copied().filter(|user_id| is_there(*user_id)).collect(),
    });
    Some(OutboxStep { looks_max, present })
}

/// Replies how many errands it has taken up.
pub(in crate::domain) fn outbox_step(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &OutboxStep,
) -> Result<u64> {
    let mut work = Work { left: usize::try_from(op.looks_max).unwrap_or(usize::MAX).max(1), present: None };
    let present = |errand| op.present.as_ref().filter(|present| present.errand == errand);
    let mut count = 0;
    while !work.is_spent() {
        let due = first_due(machine.read(), machine.at);
        let Some((key, errand)) = due.map(|(key, errand)| (key, records::Errand::from(errand))) else {
            break;
        };
        machine.tx.delete(OUTBOX, key);
        work.present = present(key.1).map(|present| (present.up_to, present.users.as_slice()));
        let kind = KINDS.iter().find(|kind| kind.code == errand.kind);
        let (due, left) = match kind.and_then(|kind| (kind.step)(machine, &errand.what, &mut work)) {
            Some(left) => (machine.at, left),
            None => (machine.at + UNKNOWN_WAIT_MS, Some(errand.what)),
        };
        count += 1;
        work.take(1);
        if let Some(what) = left {
            let key = (due, machine.next_id());
            machine.tx.put(OUTBOX, key, &records::Errand { kind: errand.kind, what });
            break;
        }
    }
    Ok(count)
}
