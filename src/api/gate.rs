//! The gate in front of the API: who shows no access token is not let in, whatever login he has.
//!
//! Owns: which requests it stands before, how a token is shown, and what this core has seen of their use.
//! Invariant: nothing of what is behind the gate shows through: it stands before the look-up of paths, and before
//! logins. A request writes nothing; what was seen is handed out in one piece, about once a second.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::admit::NO_ROUTE;
use super::ctx::Request;
use super::router::{Found, Router};
use super::state::State;
use crate::domain::gate::token::{Verdict, closed_until, judge};
use crate::domain::gate::usage::{AccessNote, Count, Usage, Use, UseEvent, address};
use crate::domain::{Command, Refusal, Result};
use crate::id::{AccessTokenId, UserId};
use crate::store::take_damage;
use crate::wire::http::{Head, Query};

/// How a request shows its token.
pub const HEADER: &str = "x-api-access-token";
/// The same in the query of the gateway's address, as pages cannot give a WebSocket a header.
pub const PARAMETER: &str = "api_access_token";

/// Of what one token was used for between two notes: addresses, operations, and uses that are told as they were.
const NAME_COUNT_MAX: usize = 64;
const EVENT_COUNT_MAX: usize = 16;
/// Those that were let in leave so much to refusals.
const EVENT_LET_IN_COUNT_MAX: usize = 8;
/// Characters that are kept of what a client calls itself.
const USER_AGENT_CHARS_MAX: usize = 200;

/// What a core knows of the gate.
#[derive(Default)]
pub struct Gate {
    /// Until when it is closed, by the core's snapshot; `None`: nobody has asked yet.
    closed_until: Cell<Option<u64>>,
    seen: RefCell<BTreeMap<AccessTokenId, Usage>>,
}

impl Gate {
    /// The core has another snapshot.
    pub fn forget(&self) {
        self.closed_until.set(None);
    }

    /// Whether an access token is asked for.
    pub fn is_closed(&self, state: &State) -> bool {
        let until = self.closed_until.get().unwrap_or_else(|| {
            let until = closed_until(state.snapshot().read());
            self.closed_until.set(Some(until));
            until
        });
        state.now_ms() < until
    }

    /// What was seen since the last time, to be noted; `None`: nothing.
    pub fn take_note(&self) -> Option<Command> {
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        let usages: Vec<Usage> = seen.into_values().collect();
        (!usages.is_empty()).then(|| Command::new(UserId(0), AccessNote { usages }.into()))
    }

    #[cold]
    fn saw(&self, token_id: AccessTokenId, verdict: Verdict, entry: &Entry<'_, '_>) {
        let mut seen = self.seen.borrow_mut();
        let usage = seen.entry(token_id).or_insert_with(|| Usage { token_id, ..Usage::default() });
        let of = entry.used();
        let reject_reason = verdict.reason().map(str::to_string);
        let is_let_in = reject_reason.is_none();
        *(if is_let_in { &mut usage.let_in } else { &mut usage.denied }) += 1;
        count(&mut usage.addresses, of.ip_address.clone(), is_let_in);
        count(&mut usage.paths, Use::operation(&of.method, &of.path), is_let_in);
        let scope_match = match verdict {
            Verdict::LetIn(is_match) => is_match,
            Verdict::OutOfScope => Some(false),
            Verdict::Expired | Verdict::Revoked => None,
        };
        if is_let_in {
            usage.last = Some(of.clone());
        }
        if usage.events.len() < if is_let_in { EVENT_LET_IN_COUNT_MAX } else { EVENT_COUNT_MAX } {
            usage.events.push(UseEvent { of, scope_match, reject_reason });
        }
    }
}

/// One more of this name; beyond so many names only the sum knows of it.
fn count(counts: &mut Vec<Count>, name: String, is_let_in: bool) {
    let place = counts.iter().position(|count| count.name == name);
    let place = place.unwrap_or_else(|| {
        counts.push(Count { name, ..Count::default() });
        counts.len() - 1
    });
    let count = &mut counts[place];
    *(if is_let_in { &mut count.let_in } else { &mut count.denied }) += 1;
    counts.truncate(NAME_COUNT_MAX);
}

/// A request before the gate.
struct Entry<'e, 'h> {
    head: &'e Head<'h>,
    ip: IpAddr,
    /// As the table of routes has it.
    path: &'static str,
}

impl Entry<'_, '_> {
    fn used(&self) -> Use {
        let user_agent = self.head.header("user-agent").map(String::from_utf8_lossy);
        Use {
            ip_address: address(self.ip),
            method: self.head.method.as_str().to_string(),
            path: self.path.to_string(),
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
        }
    }

    /// What was shown in the header. Given twice it is none that could be right.
    ///
    /// # Errors
    /// 401.
    fn shown(&self) -> Result<Option<Cow<'_, str>>> {
        let mut values = self.head.header_all(HEADER);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => Ok(Some(String::from_utf8_lossy(value.trim_ascii()))),
            (Some(_), Some(_)) => Err(Refusal::AccessTokenInvalid.into()),
        }
    }

    /// Lets in, or not.
    ///
    /// # Errors
    /// 401 without a token that is good; 403 when it may not be used from there.
    #[cold]
    fn pass(&self, state: &State, shown: Option<&str>, is_noted: bool) -> Result<()> {
        take_damage();
        let snapshot = state.snapshot();
        let shown = shown.filter(|shown| !shown.is_empty()).ok_or(Refusal::AccessTokenRequired)?;
        let judged = judge(snapshot.read(), shown, self.ip, state.now_ms());
        if take_damage() {
            return Err(Refusal::StoreDamaged.into());
        }
        let (token_id, verdict) = judged.ok_or(Refusal::AccessTokenInvalid)?;
        if is_noted {
            state.gate.saw(token_id, verdict, self);
        }
        match verdict {
            Verdict::LetIn(_) => Ok(()),
            Verdict::OutOfScope => Err(Refusal::AccessTokenOutOfScope.into()),
            Verdict::Expired | Verdict::Revoked => Err(Refusal::AccessTokenInvalid.into()),
        }
    }
}

/// Whether a request may go further than to where its path leads. `is_again`: it was asked before, and is not counted.
///
/// # Errors
/// 401 without an access token that is good, 403 when that may not be used from there.
pub fn pass(
    state: &State,
    router: &Router,
    request: &Request<'_>,
    found: &Found<'_>,
    is_again: bool,
) -> Result<()> {
    if !state.gate.is_closed(state) {
        return Ok(());
    }
    let path = match found {
        Found::Route(route, _) if route.root || route.ungated || route.is_admin() => return Ok(()),
        Found::Route(route, _) => route.path,
        _ if router.is_outside(&request.head.target) => return Ok(()),
        _ => NO_ROUTE,
    };
    let entry = Entry { head: &request.head, ip: request.ip, path };
    let pass = || entry.pass(state, entry.shown()?.as_deref(), !is_again);
    pass().inspect_err(|_| state.metrics.gate_refused.add(u64::from(!is_again)))
}

/// The same for a WebSocket, which stays open whatever becomes of the token.
///
/// # Errors
/// As [`pass`].
pub fn pass_upgrade(state: &State, head: &Head<'_>, ip: IpAddr, path: &'static str) -> Result<()> {
    if !state.gate.is_closed(state) {
        return Ok(());
    }
    let entry = Entry { head, ip, path };
    let in_query = |Query(query): Query<'_>| Query(query).get(PARAMETER).ok().flatten().map(Cow::into_owned);
    let pass = || {
        let shown = entry.shown()?.map(Cow::into_owned).or_else(|| in_query(head.target.query));
        entry.pass(state, shown.as_deref(), true)
    };
    pass().inspect_err(|_| state.metrics.gate_refused.increment())
}
