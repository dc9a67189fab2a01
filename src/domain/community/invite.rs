//! Invites: codes that let people in.
//!
//! Invariant: `INVITES` and `SERVER_INVITES` name the same invites. One that is used up stays for a day, so that who
//! came by it is told that he is a member already; those and expired ones go when the next one is created, or are swept.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Target};
use super::server::require_room;
use super::{ban, member};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{INVITES_CREATE, INVITES_MANAGE, SERVER_MANAGE, Standing};
use crate::domain::time::{Now, Offset};
use crate::domain::view::username;
use crate::id::{ChannelId, ServerId, UserId};
use crate::limits::{INVITE_CODE_LEN_MAX, INVITE_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedInvite, Invite, Nil};
use crate::store::tables::{INVITES, MEMBERS, SERVER_INVITES, SERVERS};
use crate::wire::json::Array;
use crate::wire::json::shape::shape;

/// Invites of a server, those that are used up and still kept included.
pub const COUNT_MAX: usize = INVITE_COUNT_MAX;
/// Either permission shows the invites of a server and revokes them.
const MAY_LIST: &[u64] = &[INVITES_MANAGE, SERVER_MANAGE];
const USED_UP_KEPT_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct InviteCreate {
    pub channel_id: ChannelId,
    /// Random. When it is taken nothing happens and the reply is no: try again with another.
    pub code: String,
    /// Seconds; 0 = never expires.
    pub max_age: u64,
    /// 0 = unlimited.
    pub max_uses: u64,
    pub temporary: bool,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct InviteUse {
    pub code: String,
    /// In how many servers the actor may be afterwards.
    pub server_count_max: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct InviteDelete {
    pub code: String,
}

pub(in crate::domain) fn invite_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &InviteCreate,
) -> Result<bool> {
    let read = machine.read();
    let server_id = check_create(machine.asking(actor), op.channel_id)?;
    if read.contains(INVITES, &*op.code) {
        return Ok(false);
    }
    let stored = codes(read, server_id);
    let is_dead =
        |code: &&String| read.get(INVITES, code).is_none_or(|invite| is_prunable(invite, machine.at));
    let dead: Vec<&String> = stored.iter().filter(is_dead).collect();
    if stored.len() - dead.len() >= COUNT_MAX {
        let text = format!("A server can have at most {COUNT_MAX} invites: revoke one first");
        return Err(Error::bad_request(text));
    }
    for code in dead {
        remove(machine, code);
    }
    let invite = Invite {
        id: machine.next_id(),
        server_id,
        channel_id: op.channel_id,
        inviter_id: actor,
        uses: 0,
        max_uses: op.max_uses,
        max_age: op.max_age,
        temporary: op.temporary,
        created_at: machine.at,
    };
    machine.tx.put(INVITES, &*op.code, &invite);
    machine.tx.put(SERVER_INVITES, (server_id, &*op.code), &Nil {});
    let mut json = Vec::new();
    let stored = machine.read().get(INVITES, &*op.code).expect("just written");
    InviteResponse::write(&mut json, &op.code, stored, machine.offset());
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).raw("invite", &json);
    });
    emit(machine, EventName::InviteCreate, server_id, actor, payload);
    audit::record(machine, server_id, actor, Action::InviteCreate, Target::invite(&op.code), None, None);
    Ok(true)
}

/// The server of a channel to which the actor may invite.
///
/// # Errors
/// 404 unknown channel; 403 not his to view, without `invites.create`, a direct message or notes.
pub fn check_create(asking: Asking<'_>, channel_id: ChannelId) -> Result<ServerId> {
    let access = asking.channel(channel_id)?;
    access.require(INVITES_CREATE)?;
    Ok(access.channel.server().expect("private channels give no right to invite"))
}

/// Codes of all invites that are stored of a server.
fn codes(read: Read<'_>, server_id: ServerId) -> Vec<String> {
    read.scan(SERVER_INVITES, server_id).take(COUNT_MAX).map(|((_, code), _)| code).collect()
}

/// Whether nobody needs it any more: expired, or used up long enough ago.
pub(in crate::domain) fn is_prunable(invite: &ArchivedInvite, at: u64) -> bool {
    let kept_until = invite.created_at.to_native().saturating_add(USED_UP_KEPT_MS);
    is_expired(invite, at) || (is_used_up(invite) && kept_until <= at)
}

pub(in crate::domain) fn invite_use(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &InviteUse,
) -> Result<ServerId> {
    let server_id = check_use(machine.asking(actor), &op.code)?;
    require_room(machine.read(), actor, op.server_count_max)?;
    let stored = machine.read().get(INVITES, &*op.code).expect("checked above");
    let mut invite = Invite::from(stored);
    invite.uses += 1;
    assert!(invite.max_uses == 0 || invite.uses <= invite.max_uses, "a used-up invite is not found");
    machine.tx.put(INVITES, &*op.code, &invite);
    member::add(machine, server_id, actor, invite.temporary);
    member::emit_added(machine, server_id, actor);
    if invite.max_uses != 0 && invite.uses >= invite.max_uses {
        emit_deleted(machine, server_id, &op.code, invite.inviter_id);
    }
    let name = username(machine.read(), actor).to_string();
    audit::record(machine, server_id, actor, Action::MemberJoin, Target::user(actor, &name), None, None);
    audit::record(machine, server_id, actor, Action::InviteUse, Target::invite(&op.code), None, None);
    Ok(server_id)
}

/// The server that this code opens to the user.
///
/// # Errors
/// 404 unknown; 409 already a member; 404 expired or used up; 403 banned.
pub fn check_use(asking: Asking<'_>, code: &str) -> Result<ServerId> {
    let Asking { read, at, who } = asking;
    let invite = find_any(read, code)?;
    let server_id = ServerId::from(&invite.server_id);
    if read.contains(MEMBERS, (server_id, who)) {
        return Err(Refusal::AlreadyMember.into());
    }
    find(read, at, code)?;
    ban::require_not_banned(read, server_id, who)?;
    Ok(server_id)
}

pub(in crate::domain) fn invite_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &InviteDelete,
) -> Result<()> {
    let server_id = check_delete(machine.asking(actor), &op.code)?;
    remove(machine, &op.code);
    audit::record(machine, server_id, actor, Action::InviteDelete, Target::invite(&op.code), None, None);
    Ok(())
}

/// The server of an invite that the actor may revoke.
///
/// # Errors
/// 404 unknown, expired or used up; 403 unless he made it or manages invites or the server.
pub fn check_delete(asking: Asking<'_>, code: &str) -> Result<ServerId> {
    let invite = find(asking.read, asking.at, code)?;
    let server_id = ServerId::from(&invite.server_id);
    if UserId::from(&invite.inviter_id) != asking.who {
        asking.server(server_id)?.require_any(MAY_LIST)?;
    }
    Ok(server_id)
}

/// Removes an invite; whoever follows invites is told, unless he was told when it was used up.
pub(in crate::domain) fn remove(machine: &mut Machine<'_, '_>, code: &str) {
    let Some(invite) = machine.read().get(INVITES, code) else { return };
    let (server_id, inviter_id) = (ServerId::from(&invite.server_id), UserId::from(&invite.inviter_id));
    let tell = !is_used_up(invite);
    machine.tx.remove(INVITES, code);
    if tell {
        emit_deleted(machine, server_id, code, inviter_id);
    }
}

/// Removes the invites to a channel that was deleted.
pub(in crate::domain) fn remove_of_channel(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    channel_id: ChannelId,
) {
    let leads_there = |read: Read<'_>, code: &str| {
        read.get(INVITES, code).is_some_and(|invite| ChannelId::from(&invite.channel_id) == channel_id)
    };
    for code in codes(machine.read(), server_id) {
        if leads_there(machine.read(), &code) {
            remove(machine, &code);
        }
    }
}

fn emit_deleted(machine: &mut Machine<'_, '_>, server_id: ServerId, code: &str, inviter_id: UserId) {
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).str("code", code);
    });
    emit(machine, EventName::InviteDelete, server_id, inviter_id, payload);
}

/// To members who manage invites, and to the creator if he is still a member.
fn emit(
    machine: &mut Machine<'_, '_>,
    event: EventName,
    server_id: ServerId,
    inviter_id: UserId,
    payload: Vec<u8>,
) {
    let audience = Audience::Server { server_id, any_of: INVITES_MANAGE };
    let event = Event::new(event, intent::GUILD_INVITES, audience, payload);
    let standing = machine.asking(inviter_id).server(server_id);
    if standing.is_ok_and(|standing| !standing.has(INVITES_MANAGE)) {
        machine.emit(Event { audience: Audience::user(inviter_id), ..event.clone() });
    }
    machine.emit(event);
}

fn is_expired(invite: &ArchivedInvite, at: u64) -> bool {
    expires_at(invite).is_some_and(|expires_at| expires_at <= at)
}

fn is_used_up(invite: &ArchivedInvite) -> bool {
    let max_uses = invite.max_uses.to_native();
    max_uses != 0 && invite.uses.to_native() >= max_uses
}

/// In steady time; `None` = never.
fn expires_at(invite: &ArchivedInvite) -> Option<u64> {
    let max_age_ms = invite.max_age.to_native().saturating_mul(1_000);
    (max_age_ms != 0).then(|| invite.created_at.to_native().saturating_add(max_age_ms))
}

/// An invite that still works.
///
/// # Errors
/// 404 unknown, revoked, expired or used up.
pub fn find<'a>(read: Read<'a>, at: u64, code: &str) -> Result<&'a ArchivedInvite> {
    let invite = find_any(read, code)?;
    if is_expired(invite, at) || is_used_up(invite) {
        Err(Refusal::InviteNotFound.into())
    } else {
        Ok(invite)
    }
}

fn find_any<'a>(read: Read<'a>, code: &str) -> Result<&'a ArchivedInvite> {
    // Longer texts cannot be keys, an empty one neither.
    let possible = (1..=INVITE_CODE_LEN_MAX).contains(&code.len());
    let invite = possible.then(|| read.get(INVITES, code)).flatten();
    invite.ok_or_else(|| Refusal::InviteNotFound.into())
}

/// `ChannelInviteResponse`, for whoever created it.
///
/// # Errors
/// 404 when it is gone.
pub fn write_created(out: &mut Vec<u8>, read: Read<'_>, offset: Offset, code: &str) -> Result<()> {
    let invite = find_any(read, code)?;
    ChannelInviteResponse::write(out, code, invite, offset);
    Ok(())
}

shape! {
    /// An invite just made.
    pub ChannelInviteResponse(code: &str, invite: &ArchivedInvite, offset: Offset) {
        code: str = code,
        channel_id: id = ChannelId::from(&invite.channel_id).0,
        server_id: id = ServerId::from(&invite.server_id).0,
        /// Seconds; 0 for ever.
        max_age: u64 = invite.max_age.to_native(),
        /// 0 without end.
        max_uses: u64 = invite.max_uses.to_native(),
        temporary: bool = invite.temporary,
        uses: u64 = invite.uses.to_native(),
        created_at: time = offset.shown(invite.created_at.to_native()),
    }
}

/// `InviteInfoResponse`, for anybody.
///
/// # Errors
/// 404 unknown, revoked, expired or used up.
pub fn write_info(out: &mut Vec<u8>, read: Read<'_>, now: Now, code: &str) -> Result<()> {
    let invite = find(read, now.steady_ms, code)?;
    InviteInfoResponse::write(out, read, code, invite, now.offset());
    Ok(())
}

shape! {
    /// An invite as anybody sees who knows its code.
    pub InviteInfoResponse(read: Read<'_>, code: &str, invite: &ArchivedInvite, offset: Offset) {
        code: str = code,
        server_id: id = ServerId::from(&invite.server_id).0,
        server_name: opt_str =
            read.get(SERVERS, ServerId::from(&invite.server_id)).map(|server| server.name.as_str()),
        channel_id: id = ChannelId::from(&invite.channel_id).0,
        inviter_id: id = UserId::from(&invite.inviter_id).0,
        uses: u64 = invite.uses.to_native(),
        max_uses: u64 = invite.max_uses.to_native(),
        expires_at: opt_time = expires_at(invite).map(|at| offset.shown(at)),
    }
}

/// Whether somebody may see the invites of a server.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn check_list(asking: Asking<'_>, server_id: ServerId) -> Result<()> {
    asking.server(server_id)?.require_any(MAY_LIST)
}

/// Whether a code that somebody comes across is none of his business: it still lets people in, and he may neither
/// list the invites of its server nor made it.
pub fn is_hidden_from(viewer: &Standing<'_>, code: &str) -> bool {
    let Asking { read, at, who } = viewer.asking;
    let inviter_id = |invite: &ArchivedInvite| UserId::from(&invite.inviter_id);
    find(read, at, code).is_ok_and(|invite| inviter_id(invite) != who)
        && viewer.require_any(MAY_LIST).is_err()
}

/// The invites of a server that still work, newest first, as a JSON list.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, now: Now, server_id: ServerId) {
    let codes = codes(read, server_id);
    let live =
        codes.iter().filter_map(|code| find(read, now.steady_ms, code).ok().map(|invite| (code, invite)));
    let mut live: Vec<_> = live.collect();
    live.sort_by_key(|(_, invite)| std::cmp::Reverse(invite.id.to_native()));
    let mut list = Array::new(out);
    for (code, invite) in live {
        InviteResponse::write(list.item(), code, invite, now.offset());
    }
}

shape! {
    /// An invite as those see it who manage them.
    pub InviteResponse(code: &str, invite: &ArchivedInvite, offset: Offset) {
        code: str = code,
        server_id: id = ServerId::from(&invite.server_id).0,
        channel_id: id = ChannelId::from(&invite.channel_id).0,
        inviter_id: id = UserId::from(&invite.inviter_id).0,
        uses: u64 = invite.uses.to_native(),
        max_uses: u64 = invite.max_uses.to_native(),
        /// Seconds; 0 for ever.
        max_age: u64 = invite.max_age.to_native(),
        temporary: bool = invite.temporary,
        created_at: time = offset.shown(invite.created_at.to_native()),
        expires_at: opt_time = expires_at(invite).map(|at| offset.shown(at)),
    }
}
