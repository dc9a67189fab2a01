//! Members: joining, leaving, being removed, having roles.
//!
//! Invariant: `MEMBERS` and `USER_SERVERS` name the same pairs, and a server's `member_count` is their number.
//! A member's record may still name roles that were deleted since (a role can have too many holders to touch them
//! all); role ids are never reused, and everything here that shows or counts roles skips those.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Target};
use super::server::write_guild_create;
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Change, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{MEMBERS_KICK, MEMBERS_MANAGE_ROLES, Standing};
use crate::domain::time::Offset;
use crate::domain::view::{BriefUser, PresenceStatus, avatar_url, username, write_badges};
use crate::id::{RoleId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedMember, ArchivedServer, Member, Nil, Server};
use crate::store::tables::{BANS, MEMBERS, ROLES, SERVERS, TEMPORARY_MEMBERS, USER_SERVERS, USERS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberLeave {
    pub server_id: ServerId,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberKick {
    pub server_id: ServerId,
    pub user_id: UserId,
}

/// The last session of a temporary member is gone. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberExpire {
    pub server_id: ServerId,
    pub user_id: UserId,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberRoleAdd {
    pub server_id: ServerId,
    pub user_id: UserId,
    pub role_id: RoleId,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberRoleRemove {
    pub server_id: ServerId,
    pub user_id: UserId,
    pub role_id: RoleId,
}

pub(in crate::domain) fn member_leave(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MemberLeave,
) -> Result<()> {
    check_leave(&machine.asking(actor).server(op.server_id)?)?;
    remove(machine, op.server_id, actor);
    record(machine, op.server_id, actor, Action::MemberLeave, actor, None, None);
    Ok(())
}

/// # Errors
/// 403 for the owner.
pub fn check_leave(standing: &Standing<'_>) -> Result<()> {
    if !standing.is_owner() {
        return Ok(());
    }
    Err(Error::forbidden("The owner cannot leave the server: hand it over or delete it first"))
}

pub(in crate::domain) fn member_kick(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MemberKick,
) -> Result<()> {
    check_kick(machine.asking(actor), op.server_id, op.user_id)?;
    kick(machine, op.server_id, actor, op.user_id, None);
    Ok(())
}

/// Throws a member out who is not the owner. Whoever calls has checked that it may be done.
pub(in crate::domain) fn kick(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    actor: UserId,
    user_id: UserId,
    reason: Option<&str>,
) {
    remove(machine, server_id, user_id);
    record(machine, server_id, actor, Action::MemberKick, user_id, None, reason);
}

/// Whether the actor may remove this member.
///
/// # Errors
/// 404 server or member; 403 not a member, without permission, owner, himself, role order.
pub fn check_kick(asking: Asking<'_>, server_id: ServerId, user_id: UserId) -> Result<()> {
    let actor = asking.server(server_id)?;
    let target = target_standing(asking, server_id, user_id)?;
    actor.require(MEMBERS_KICK)?;
    if !target.is_owner() && asking.who == user_id {
        return Err(Error::forbidden("You cannot remove yourself: leave the server instead"));
    }
    actor.require_above(&target)
}

/// The standing of the member an operation is about.
///
/// # Errors
/// 404 when he is no member.
pub fn target_standing(asking: Asking<'_>, server_id: ServerId, user_id: UserId) -> Result<Standing<'_>> {
    if !asking.read.contains(MEMBERS, (server_id, user_id)) {
        return Err(Refusal::MemberNotFound.into());
    }
    asking.of(user_id).server(server_id)
}

pub(in crate::domain) fn member_expire(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &MemberExpire,
) -> Result<bool> {
    let read = machine.read();
    let member = read.get(MEMBERS, (op.server_id, op.user_id));
    let expires =
        |member: &ArchivedMember| member.temporary && role_ids(read, op.server_id, member).next().is_none();
    // A server that is gone has nothing left to leave; its rows are swept elsewhere. Whoever was given it stays.
    let stays = |server: &ArchivedServer| UserId::from(&server.owner_id) == op.user_id;
    if read.get(SERVERS, op.server_id).is_none_or(stays) || !member.is_some_and(expires) {
        return Ok(false);
    }
    remove(machine, op.server_id, op.user_id);
    let reason = Some("Temporary membership ended");
    record(machine, op.server_id, op.user_id, Action::MemberLeave, op.user_id, None, reason);
    Ok(true)
}

pub(in crate::domain) fn member_role_add(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MemberRoleAdd,
) -> Result<bool> {
    change_role(machine, actor, (op.server_id, op.user_id, op.role_id), true)
}

pub(in crate::domain) fn member_role_remove(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MemberRoleRemove,
) -> Result<bool> {
    change_role(machine, actor, (op.server_id, op.user_id, op.role_id), false)
}

fn change_role(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    (server_id, user_id, role_id): (ServerId, UserId, RoleId),
    give: bool,
) -> Result<bool> {
    check_role_change(machine.asking(actor), server_id, user_id, role_id)?;
    let read = machine.read();
    let stored = read.get(MEMBERS, (server_id, user_id)).expect("checked above");
    let mut member = Member::from(stored);
    member.roles = role_ids(read, server_id, stored).collect();
    if member.roles.contains(&role_id) == give {
        return Ok(false);
    }
    if give {
        member.roles.push(role_id);
    } else {
        member.roles.retain(|&id| id != role_id);
    }
    let role_name = read.get(ROLES, (server_id, role_id)).expect("checked above").name.to_string();
    machine.tx.put(MEMBERS, (server_id, user_id), &member);
    machine.change(Change::MemberRolesChanged { server_id, user_id });
    emit_update(machine, server_id, user_id);
    let mut changes = audit::Changes::default();
    let (old, new) = if give { (None, Some(&*role_name)) } else { (Some(&*role_name), None) };
    changes.text("role", old, new);
    let action = if give { Action::MemberRoleAdd } else { Action::MemberRoleRemove };
    record(machine, server_id, actor, action, user_id, changes.finish(), None);
    Ok(true)
}

/// Whether the actor may give this role to, or take it from, this member.
///
/// # Errors
/// 404 server, member or role; 403 not a member, without permission, @everyone, role order, owner.
pub fn check_role_change(
    asking: Asking<'_>,
    server_id: ServerId,
    user_id: UserId,
    role_id: RoleId,
) -> Result<()> {
    let actor = asking.server(server_id)?;
    let target = target_standing(asking, server_id, user_id)?;
    let role = asking.read.get(ROLES, (server_id, role_id)).ok_or(Refusal::RoleNotFound)?;
    actor.require(MEMBERS_MANAGE_ROLES)?;
    if role.is_default {
        return Err(Error::forbidden("Every member has @everyone: it cannot be given or taken"));
    }
    if role.position.to_native() >= actor.top_position() {
        return Err(Refusal::RoleTooHigh.into());
    }
    // Everybody may change his own roles below his highest one.
    if asking.who == user_id { Ok(()) } else { actor.require_above(&target) }
}

/// Makes a user a member: GUILD_CREATE to him, then he belongs. The caller has checked that he does not yet.
pub(in crate::domain) fn add(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    user_id: UserId,
    temporary: bool,
) {
    let key = (server_id, user_id);
    machine.ensure(|read| !read.contains(MEMBERS, key), "who joins is no member yet");
    machine.ensure(|read| !read.contains(BANS, key), "who is banned does not join");
    let member = Member { joined_at: machine.unix_ms, temporary, ..Member::default() };
    machine.tx.put(MEMBERS, (server_id, user_id), &member);
    machine.tx.put(USER_SERVERS, (user_id, server_id), &Nil {});
    if temporary {
        machine.tx.put(TEMPORARY_MEMBERS, (user_id, server_id), &Nil {});
    }
    count(machine, server_id, 1);
    let mut payload = Vec::new();
    write_guild_create(machine.read(), &mut payload, server_id, user_id);
    machine.emit(Event::new(EventName::GuildCreate, intent::GUILDS, Audience::user(user_id), payload));
    machine.change(Change::MemberAdded { server_id, user_id });
}

/// GUILD_MEMBER_ADD to everybody else.
pub(in crate::domain) fn emit_added(machine: &mut Machine<'_, '_>, server_id: ServerId, user_id: UserId) {
    let (read, joined_at) = (machine.read(), machine.unix_ms);
    let payload = payload(|object| {
        write_user(object, read, server_id, user_id);
        object.raw("roles", b"[]").time("joined_at", joined_at);
    });
    let audience = Audience::members(server_id);
    let event = Event::new(EventName::GuildMemberAdd, intent::GUILD_MEMBERS, audience, payload);
    machine.emit(event.except(user_id));
}

/// Ends a membership: he gets GUILD_DELETE and nothing more, the others GUILD_MEMBER_REMOVE.
/// The caller has checked that he is a member and not the owner.
pub(in crate::domain) fn remove(machine: &mut Machine<'_, '_>, server_id: ServerId, user_id: UserId) {
    let owner = machine.read().get(SERVERS, server_id).map(|server| UserId::from(&server.owner_id));
    assert_ne!(owner, Some(user_id), "the owner stays as long as his server");
    machine.tx.remove(MEMBERS, (server_id, user_id));
    machine.ensure(|read| !read.contains(USER_SERVERS, (user_id, server_id)), "no index names who left");
    count(machine, server_id, -1);
    machine.change(Change::MemberRemoved { server_id, user_id });
    let gone = payload(|object| {
        object.id("id", server_id.0).bool("unavailable", false);
    });
    machine.emit(Event::new(EventName::GuildDelete, intent::GUILDS, Audience::user(user_id), gone));
    let read = machine.read();
    let left = payload(|object| write_user(object, read, server_id, user_id));
    let audience = Audience::members(server_id);
    machine.emit(Event::new(EventName::GuildMemberRemove, intent::GUILD_MEMBERS, audience, left));
}

fn count(machine: &mut Machine<'_, '_>, server_id: ServerId, difference: i64) {
    let stored = machine.read().get(SERVERS, server_id).expect("members are in servers that exist");
    let mut server = Server::from(stored);
    server.member_count = server.member_count.saturating_add_signed(difference);
    machine.tx.put(SERVERS, server_id, &server);
}

/// GUILD_MEMBER_UPDATE to the members, and to himself whatever he asked for.
pub(in crate::domain) fn emit_update(machine: &mut Machine<'_, '_>, server_id: ServerId, user_id: UserId) {
    let (read, offset) = (machine.read(), machine.offset());
    let Some(member) = read.get(MEMBERS, (server_id, user_id)) else { return };
    let payload = payload(|object| {
        write_user(object, read, server_id, user_id);
        object.opt_str("nickname", member.nickname.as_deref());
        let mut roles = object.array("roles");
        role_ids(read, server_id, member).for_each(|id| roles.id(id.0));
        drop(roles);
        object.time("joined_at", member.joined_at.to_native());
        if let Some(until) = member.timeout_until.as_ref() {
            object.time("timeout_until", offset.shown(until.to_native()));
        }
    });
    let audience = Audience::members(server_id);
    let event = Event::new(EventName::GuildMemberUpdate, intent::GUILD_MEMBERS, audience, payload);
    let own = Event { intent: intent::NONE, audience: Audience::user(user_id), ..event.clone() };
    machine.emit(event.except(user_id));
    machine.emit(own);
}

fn write_user(object: &mut Object<'_>, read: Read<'_>, server_id: ServerId, user_id: UserId) {
    object.id("guild_id", server_id.0);
    BriefUser::write(object.key("user"), read, user_id);
}

pub(super) fn record(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    actor: UserId,
    action: Action,
    user_id: UserId,
    changes: Option<String>,
    reason: Option<&str>,
) {
    let name = username(machine.read(), user_id).to_string();
    audit::record(machine, server_id, actor, action, Target::user(user_id, &name), changes, reason);
}

/// The roles a member has, without @everyone and without roles that are gone.
pub fn role_ids<'a>(
    read: Read<'a>,
    server_id: ServerId,
    member: &'a ArchivedMember,
) -> impl Iterator<Item = RoleId> + 'a {
    member.role_ids().filter(move |&id| read.contains(ROLES, (server_id, id)))
}

shape! {
    /// A member, however much else is told of him.
    pub MemberHead(read: Read<'_>, server_id: ServerId, everyone: RoleId, user_id: UserId, member: &ArchivedMember) {
        user_id: id = user_id.0,
        username: str = username(read, user_id),
        nickname: opt_str = member.nickname.as_deref(),
        avatar_url: (Slot::str) = avatar_url(user_id),
        joined_at: time = member.joined_at.to_native(),
        /// @everyone first.
        roles: (Slot::list(&Kind::Id)) = |out: &mut Vec<u8>| {
            let mut roles = Array::new(out);
            roles.id(everyone.0);
            role_ids(read, server_id, member).for_each(|id| roles.id(id.0));
        },
    }
}

/// The badges of a user; none of one who is gone.
fn badges_of(read: Read<'_>, user_id: UserId) -> impl FnOnce(&mut Vec<u8>) {
    move |out| match read.get(USERS, user_id) {
        Some(user) => write_badges(out, user),
        None => out.extend_from_slice(b"[]"),
    }
}

shape! {
    /// A member, with the status that is shown of him.
    pub MemberResponse(
        read: Read<'_>,
        server_id: ServerId,
        everyone: RoleId,
        user_id: UserId,
        member: &ArchivedMember,
        shown_status: u8,
        offset: Offset,
    ): MemberId(user_id), MemberHead(read, server_id, everyone, user_id, member) {
        presence: (Slot::object(PresenceStatus::SHAPE)) = |out: &mut Vec<u8>| PresenceStatus::write(out, shown_status),
        badges: (Slot::list(&Kind::Text)) = badges_of(read, user_id),
        timeout_until: opt_time = member.timeout_until.as_ref().map(|until| offset.shown(until.to_native())),
        timeout_reason: opt_str = member.timeout_reason.as_deref(),
    }
}

shape! {
    /// How a member is called in paths: as the user.
    pub MemberId(user_id: UserId) {
        member_id: id = user_id.0,
    }
}

shape! {
    /// A member in GUILD_MEMBERS_CHUNK (gateway.md §5.4); without a status there is no `presence`.
    pub ChunkMember(
        read: Read<'_>,
        server_id: ServerId,
        everyone: RoleId,
        user_id: UserId,
        member: &ArchivedMember,
        shown_status: Option<u8>,
    ): MemberHead(read, server_id, everyone, user_id, member) {
        presence: (Slot::object(PresenceStatus::SHAPE).sometimes()) =
            shown_status.map(|status| move |out: &mut Vec<u8>| PresenceStatus::write(out, status)),
    }
}

/// Members whose user name or nickname begins with `prefix` (compared without regard to case; empty = all), in the
/// order they joined. Looks at no more than `scan_max` members, in the order of their ids.
pub fn find(read: Read<'_>, server_id: ServerId, prefix: &str, scan_max: usize) -> Vec<UserId> {
    let mut found = Vec::new();
    find_some(read, server_id, &prefix.to_lowercase(), None, scan_max, &mut found);
    found.sort_unstable();
    found.into_iter().map(|(_, user_id)| user_id).collect()
}

/// One step of [`find`]: looks at `scan_max` members behind `after` and appends time of joining and id of those who
/// match. Returns where to go on; `None` when that was all. `prefix` is lower case.
pub fn find_some(
    read: Read<'_>,
    server_id: ServerId,
    prefix: &str,
    after: Option<UserId>,
    scan_max: usize,
    found: &mut Vec<(u64, UserId)>,
) -> Option<UserId> {
    let begins = |name: &str| name.to_lowercase().starts_with(prefix);
    let matches = |user_id: UserId, member: &ArchivedMember| {
        prefix.is_empty() || begins(username(read, user_id)) || member.nickname.as_deref().is_some_and(begins)
    };
    // No user has the id 0.
    let members = read.scan_after(MEMBERS, server_id, (server_id, after.unwrap_or(UserId(0))));
    let mut last = None;
    for (count, ((_, user_id), member)) in (1..=scan_max).zip(members) {
        if matches(user_id, member) {
            found.push((member.joined_at.to_native(), user_id));
        }
        last = (count == scan_max).then_some(user_id);
    }
    last
}
