//! The deterministic state machine: a batch of commands over one write transaction.
//!
//! Invariant: no clock, no randomness, no configuration. Time is given: wall time for what people see, which steps
//! whenever somebody sets the clock, and steady time for everything that is measured, which never runs backwards
//! (see [`super::time`]). Ids are counted out here, so a later command never gets a smaller id whatever
//! the clock does; secrets come in the command.

use super::asking::Asking;
use super::command::{Command, dispatch};
use super::error::Result;
use super::event::{Change, Event, Output};
use super::noted::Acting;
use super::reply::Reply;
use super::time::{Now, Offset};
use super::touched::Touched;
use super::verdict::{Judging, Outcome, Verdict};
use crate::id::{AuditId, UserId, created_ms, next_id};
use crate::store::records::Meta;
use crate::store::tables::META;
use crate::store::{Read, Tx, is_damaged};

const LAST_ID: &str = "last_id";
/// Steady time of the last batch. Stores of earlier versions have wall time here that never ran backwards: steady
/// time goes on from it, so that what they have stored keeps its length.
const LAST_AT: &str = "last_at";
/// Wall time of the last batch.
const LAST_UNIX: &str = "last_unix";
const APPLIED: &str = "applied";

/// A write transaction with the counters that make applying deterministic.
pub struct Machine<'t, 'e> {
    pub tx: &'t mut Tx<'e>,
    /// Steady time in milliseconds, the same for the whole batch, never before an earlier batch: for everything that
    /// is measured or judged. Stored with the name of a moment, it is shown with [`Machine::offset`].
    pub at: u64,
    /// Unix milliseconds by the clock, the same for the whole batch: for what is shown as it was then.
    pub unix_ms: u64,
    last_id: u64,
    node: u16,
    applied: u64,
    outputs: Vec<Output>,
    /// Messages that were made or changed, in order.
    pub touched: Vec<Touched>,
    /// What the command that runs brings along of its text.
    judging: Option<Judging>,
    /// The administrator whose command runs.
    pub(super) acting: Option<Acting>,
}

impl<'t, 'e> Machine<'t, 'e> {
    /// Begins a batch. `node` is datacenter << 5 | worker of the ids given out.
    pub fn begin(tx: &'t mut Tx<'e>, now: Now, node: u16) -> Machine<'t, 'e> {
        let meta = |key: &'static str| tx.get(META, key).map_or(0, |meta| meta.value.to_native());
        let (last_id, last_at, applied) = (meta(LAST_ID), meta(LAST_AT), meta(APPLIED));
        let (at, unix_ms) = (now.steady_ms.max(last_at), now.unix_ms);
        assert!(at >= last_at, "steady time never runs backwards");
        let (outputs, touched) = (Vec::new(), Vec::new());
        Machine { tx, at, unix_ms, last_id, node, applied, outputs, touched, judging: None, acting: None }
    }

    /// Applies one command: all of it or, with an error, nothing.
    pub fn apply(&mut self, command: &Command) -> Result<Reply> {
        assert_eq!(command.partition, 0, "one machine has one log");
        self.applied += 1;
        let before = (self.outputs.len(), self.tx.written().count);
        let result = dispatch(self, command.actor, &command.op);
        // What could not be written, or read, is not kept, and may have led to any refusal.
        if result.is_err() && self.tx.error().is_none() && !is_damaged() {
            assert_eq!(self.outputs.len(), before.0, "a refused command makes nothing known");
            assert_eq!(self.tx.written().count, before.1, "a refused command has written nothing");
        }
        result
    }

    /// Ends the batch: counters are written, outputs handed over. The caller commits.
    pub fn finish(self) -> Vec<Output> {
        self.tx.put(META, LAST_ID, &Meta { value: self.last_id });
        self.tx.put(META, LAST_AT, &Meta { value: self.at });
        self.tx.put(META, LAST_UNIX, &Meta { value: self.unix_ms });
        self.tx.put(META, APPLIED, &Meta { value: self.applied });
        self.outputs
    }

    /// The state including what this batch has changed so far.
    pub fn read(&self) -> Read<'_> {
        self.tx.read()
    }

    /// The state as above, asked by somebody now.
    pub fn asking(&self, who: UserId) -> Asking<'_> {
        Asking { read: self.read(), at: self.at, who }
    }

    /// With what steady time is shown.
    pub fn offset(&self) -> Offset {
        Offset::between(self.unix_ms, self.at)
    }

    /// The next id of the one generator; wrap it: `ChannelId(machine.next_id())`. It has the time of the clock in it,
    /// or, after the clock was set back, that of the id before.
    pub fn next_id(&mut self) -> u64 {
        self.last_id = next_id(self.last_id, self.unix_ms, self.node);
        self.last_id
    }

    pub fn next_audit_id(&mut self) -> AuditId {
        AuditId(self.next_id())
    }

    /// Runs a command, or a part of one, that is about a text of which this was found; what became of that.
    pub(super) fn with_verdict<T>(
        &mut self,
        verdict: Verdict,
        work: impl FnOnce(&mut Self) -> T,
    ) -> (T, Verdict, Outcome) {
        assert!(self.judging.is_none(), "a command is about one text");
        self.judging = Some(Judging { verdict, outcome: Outcome::Unused.into() });
        let result = work(self);
        let Judging { verdict, outcome } = self.judging.take().expect("nobody else takes it");
        (result, verdict, outcome.get())
    }

    /// What was found of the text that the command is about.
    pub(super) fn judging(&self) -> Option<&Judging> {
        self.judging.as_ref()
    }

    /// Asserts what must hold now. What could not be written, or read, says nothing: it is not kept.
    pub fn ensure(&self, holds: impl FnOnce(Read<'_>) -> bool, what: &str) {
        let holds = holds(self.read());
        assert!(holds || self.tx.error().is_some() || is_damaged(), "{what}");
    }

    pub fn emit(&mut self, event: Event) {
        self.outputs.push(Output::Event(event));
    }

    pub fn change(&mut self, change: Change) {
        self.outputs.push(Output::Change(change));
    }
}

/// When the last batch of a store was; `None` before the first.
pub fn last_moment(read: Read<'_>) -> Option<Now> {
    let meta = |key: &'static str| read.get(META, key).map(|meta| meta.value.to_native());
    let steady_ms = meta(LAST_AT)?;
    Some(Now { unix_ms: meta(LAST_UNIX).unwrap_or(steady_ms), steady_ms })
}

/// The last id that a store has given out; 0 before the first.
pub fn last_id(read: Read<'_>) -> u64 {
    read.get(META, LAST_ID).map_or(0, |meta| meta.value.to_native())
}

/// The time in the last id that a store has given out, Unix milliseconds; `None` before the first.
pub fn last_id_ms(read: Read<'_>) -> Option<u64> {
    read.get(META, LAST_ID).map(|meta| created_ms(meta.value.to_native()))
}
