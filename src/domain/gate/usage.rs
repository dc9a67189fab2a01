//! What is known of the use of access tokens: counts, addresses, operations, and some of the last uses.
//!
//! A request writes nothing. Each core adds up what it sees and has it noted about once a second, so what is written
//! depends on the time, not on the requests; of those it tells a few as they were.

use std::net::IpAddr;

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::id::{AccessTokenId, UserId};
use crate::limits::{ACCESS_ADDRESS_COUNT_MAX, ACCESS_EVENT_COUNT_MAX, ACCESS_PATH_COUNT_MAX};
use crate::store::Table;
use crate::store::records::{AccessCount, AccessEvent, AccessUse};
use crate::store::tables::{ACCESS_ADDRESSES, ACCESS_EVENTS, ACCESS_PATHS, ACCESS_TOKENS, ACCESS_USES};

/// Notes what one core has seen.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessNote {
    /// Each token once.
    pub usages: Vec<Usage>,
}

/// The use of one token.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct Usage {
    pub token_id: AccessTokenId,
    pub let_in: u64,
    pub denied: u64,
    /// The last one that was let in.
    pub last: Option<Use>,
    /// Each address once.
    pub addresses: Vec<Count>,
    /// Each operation once.
    pub paths: Vec<Count>,
    /// Some of the uses, in their order.
    pub events: Vec<UseEvent>,
}

/// How often an address, or an operation, used it.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct Count {
    pub name: String,
    pub let_in: u64,
    pub denied: u64,
}

/// One use.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct Use {
    pub ip_address: String,
    pub method: String,
    /// As the table of routes has it: what stands for `{channel_id}` is nobody's business here, and would never end.
    pub path: String,
    pub user_agent: Option<String>,
}

/// One use, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct UseEvent {
    pub of: Use,
    pub scope_match: Option<bool>,
    /// Why it was refused; `None`: it was let in.
    pub reject_reason: Option<String>,
}

impl Use {
    /// What an operation is called among the counts.
    pub fn operation(method: &str, path: &str) -> String {
        format!("{method} {path}")
    }
}

/// An address as it stands in counts and events.
pub fn address(ip: IpAddr) -> String {
    ip.to_canonical().to_string()
}

pub(in crate::domain) fn access_note(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessNote,
) -> Result<()> {
    for usage in &op.usages {
        // Of one that was forgotten meanwhile there is nothing to note.
        if machine.read().contains(ACCESS_TOKENS, usage.token_id) {
            note(machine, usage);
        }
    }
    Ok(())
}

fn note(machine: &mut Machine<'_, '_>, usage: &Usage) {
    let (token_id, at) = (usage.token_id, machine.unix_ms);
    let mut known = machine.read().get(ACCESS_USES, token_id).map(AccessUse::from).unwrap_or_default();
    known.use_count += usage.let_in;
    known.denied_count += usage.denied;
    if let Some(last) = &usage.last {
        known.first_used_at.get_or_insert(at);
        known.last_used_at = Some(at);
        known.last_ip_address = Some(last.ip_address.clone());
        known.last_user_agent = last.user_agent.clone();
        known.last_path = Some(last.path.clone());
    }
    let (addresses, paths) = (&usage.addresses, &usage.paths);
    let room = ACCESS_ADDRESS_COUNT_MAX.saturating_sub(known.address_count);
    known.address_count += add(machine, ACCESS_ADDRESSES, token_id, addresses, room);
    let room = ACCESS_PATH_COUNT_MAX.saturating_sub(known.path_count);
    known.path_count += add(machine, ACCESS_PATHS, token_id, paths, room);
    for event in &usage.events {
        let event_id = machine.next_id();
        let Use { ip_address, method, path, user_agent } = event.of.clone();
        let (scope_match, reject_reason) = (event.scope_match, event.reject_reason.clone());
        let event =
            AccessEvent { used_at: at, ip_address, method, path, user_agent, scope_match, reject_reason };
        machine.tx.put(ACCESS_EVENTS, (token_id, event_id), &event);
        known.event_count += 1;
    }
    let surplus = known.event_count.saturating_sub(ACCESS_EVENT_COUNT_MAX);
    known.event_count -= machine.tx.delete_prefix(ACCESS_EVENTS, token_id, surplus as usize) as u64;
    machine.tx.put(ACCESS_USES, token_id, &known);
}

/// Adds counts to those that are known. At most so many new names are entered; how many that were.
fn add<'k>(
    machine: &mut Machine<'_, '_>,
    table: Table<(AccessTokenId, &'k str), AccessCount>,
    token_id: AccessTokenId,
    counts: &'k [Count],
    new_max: u64,
) -> u64 {
    let (mut entered, last_at) = (0, machine.unix_ms);
    for count in counts {
        let key = (token_id, &*count.name);
        let known = machine.read().get(table, key).map(AccessCount::from);
        if known.is_none() && entered == new_max {
            continue;
        }
        entered += u64::from(known.is_none());
        let known = known.unwrap_or_default();
        let (let_in, denied) = (known.let_in + count.let_in, known.denied + count.denied);
        machine.tx.put(table, key, &AccessCount { let_in, denied, last_at });
    }
    entered
}

/// Removes what is known of the use of a token.
pub(super) fn forget(machine: &mut Machine<'_, '_>, token_id: AccessTokenId) {
    let Some(known) = machine.read().get(ACCESS_USES, token_id).map(AccessUse::from) else { return };
    machine.tx.delete(ACCESS_USES, token_id);
    machine.tx.delete_prefix(ACCESS_ADDRESSES, token_id, known.address_count as usize);
    machine.tx.delete_prefix(ACCESS_PATHS, token_id, known.path_count as usize);
    machine.tx.delete_prefix(ACCESS_EVENTS, token_id, known.event_count as usize);
}
