//! Servers: their record, their making and their end.
//!
//! Invariant: a server that has no record in `SERVERS` does not exist, whatever else is still stored of it. What a
//! deletion leaves behind (members, bans, audit entries of large servers) is removed in bounded steps by housekeeping;
//! queries must not take `USER_SERVERS` alone for a membership.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::{channel, invite, member, role};
use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Change, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{self, SERVER_MANAGE, Standing, bits_of};
use crate::domain::view;
use crate::id::{ChannelId, RoleId, ServerId, UserId};
use crate::limits::{EMOJI_STORED_COUNT_MAX, STICKER_STORED_COUNT_MAX, WEBHOOK_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedServer, Channel, Grant, Nil, Role, Server, account, channel_kind};
use crate::store::tables::{
    CHANNELS, EMOJIS, ROLES, SERVER_CHANNELS, SERVER_INVITES, SERVER_WEBHOOKS, SERVERS, STICKERS,
    USER_SERVERS, USERS,
};
use crate::wire::json::shape::shape;
use crate::wire::json::{Array, Object};

/// Rows that one command may remove of a deleted server beyond its channels, roles and invites: those of 10,000
/// members, about 40 ms of the writer.
const REMOVED_AT_ONCE_MAX: usize = 20_000;
const EVERYONE: &str = "@everyone";
const FIRST_CHANNEL: &str = "general";

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ServerCreate {
    pub name: String,
    pub description: Option<String>,
    /// In how many servers the actor may be afterwards.
    pub server_count_max: u64,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ServerEdit {
    pub server_id: ServerId,
    pub name: Option<String>,
    pub description: Option<String>,
    pub default_channel_id: Option<ChannelId>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ServerDelete {
    pub server_id: ServerId,
}

pub(in crate::domain) fn server_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ServerCreate,
) -> Result<ServerId> {
    require_room(machine.read(), actor, op.server_count_max)?;
    let now = machine.unix_ms;
    let server_id = ServerId(machine.next_id());
    let everyone_id = RoleId(machine.next_id());
    let channel_id = ChannelId(machine.next_id());
    let grants = permission::NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| permission::EVERYONE_DEFAULT >> bit & 1 != 0)
        .map(|(_, name)| Grant { name: name.to_string(), allowed: true });
    let permissions: Vec<Grant> = grants.collect();
    let everyone = Role {
        name: EVERYONE.to_string(),
        bits: bits_of(&permissions),
        permissions,
        is_default: true,
        created_at: now,
        ..Role::default()
    };
    let general = Channel {
        server_id,
        kind: channel_kind::TEXT,
        name: FIRST_CHANNEL.to_string(),
        read_receipts_enabled: true,
        created_at: now,
        ..Channel::default()
    };
    let server = Server {
        name: op.name.clone(),
        description: op.description.clone(),
        owner_id: actor,
        default_channel_id: Some(channel_id),
        everyone_role_id: everyone_id,
        created_at: now,
        ..Server::default()
    };
    machine.tx.put(SERVERS, server_id, &server);
    machine.tx.put(ROLES, (server_id, everyone_id), &everyone);
    machine.tx.put(CHANNELS, channel_id, &general);
    machine.tx.put(SERVER_CHANNELS, (server_id, channel_id), &Nil {});
    member::add(machine, server_id, actor, false);
    audit::record(
        machine,
        server_id,
        actor,
        Action::ServerCreate,
        Target::server(server_id, &op.name),
        None,
        None,
    );
    Ok(server_id)
}

pub(in crate::domain) fn server_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ServerEdit,
) -> Result<bool> {
    let read = machine.read();
    let standing = machine.asking(actor).server(op.server_id)?;
    standing.require(SERVER_MANAGE)?;
    if let Some(channel_id) = op.default_channel_id {
        let channel = read.get(CHANNELS, channel_id);
        let fits = |channel: &_| channel::is_text_of(channel, op.server_id);
        if !channel.is_some_and(fits) {
            return Err(Error::invalid("default_channel_id", "must be a text channel of this server"));
        }
    }
    let old = Server::from(standing.server);
    let mut new = old.clone();
    new.name = op.name.clone().unwrap_or(new.name);
    new.description = op.description.clone().or(new.description);
    new.default_channel_id = op.default_channel_id.or(new.default_channel_id);
    let mut changes = Changes::default();
    changes.text("name", Some(&old.name), Some(&new.name));
    changes.text("description", old.description.as_deref(), new.description.as_deref());
    let ids = (old.default_channel_id.map(|id| id.0), new.default_channel_id.map(|id| id.0));
    changes.id("default_channel_id", ids.0, ids.1);
    if changes.is_empty() {
        return Ok(false);
    }
    machine.tx.put(SERVERS, op.server_id, &new);
    emit_update(machine, op.server_id);
    let target = Target::server(op.server_id, &new.name);
    audit::record(machine, op.server_id, actor, Action::ServerUpdate, target, changes.finish(), None);
    Ok(true)
}

pub(in crate::domain) fn server_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ServerDelete,
) -> Result<()> {
    require_owner(&machine.asking(actor).server(op.server_id)?)?;
    remove(machine, op.server_id, REMOVED_AT_ONCE_MAX);
    Ok(())
}

/// # Errors
/// 403 unless he is the owner.
pub fn require_owner(standing: &Standing<'_>) -> Result<()> {
    if standing.is_owner() { Ok(()) } else { Err(Refusal::NotOwner.into()) }
}

/// Ends a server: nothing of it can be reached afterwards. Its audit log goes too, so there is no entry about it.
/// Of members, bans and audit entries about `count_max` rows go now, the rest is left to housekeeping; returns how many
/// went.
pub(in crate::domain) fn remove(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    count_max: usize,
) -> usize {
    let payload = payload(|object| {
        object.id("id", server_id.0).bool("unavailable", false);
    });
    let event = Event::new(EventName::GuildDelete, intent::GUILDS, Audience::members(server_id), payload);
    machine.emit(event);
    machine.change(Change::ServerRemoved { server_id });
    let icon = machine.tx.get(SERVERS, server_id).and_then(|server| Server::from(server).icon);
    if let Some(picture) = icon {
        blob::release(machine, &picture.hash);
    }
    machine.tx.delete(SERVERS, server_id);
    // What can be found without the server goes at once.
    machine.tx.remove_prefix(SERVER_CHANNELS, server_id, channel::COUNT_MAX);
    machine.tx.remove_prefix(SERVER_INVITES, server_id, invite::COUNT_MAX);
    machine.tx.remove_prefix(ROLES, server_id, role::COUNT_MAX + 1);
    machine.tx.remove_prefix(SERVER_WEBHOOKS, server_id, WEBHOOK_COUNT_MAX);
    machine.tx.remove_prefix(EMOJIS, server_id, EMOJI_STORED_COUNT_MAX);
    machine.tx.remove_prefix(STICKERS, server_id, STICKER_STORED_COUNT_MAX);
    machine.tx.end(server_id, count_max)
}

/// Whether a user may enter one more server.
///
/// # Errors
/// 401 when the account is gone, 400 when he is in as many servers as he may be.
pub(in crate::domain) fn require_room(read: Read<'_>, user_id: UserId, server_count_max: u64) -> Result<()> {
    let user = read.get(USERS, user_id).filter(|user| user.state != account::PURGED);
    user.ok_or(Refusal::TokenInvalid)?;
    let limit = usize::try_from(server_count_max).unwrap_or(usize::MAX);
    if ids_of(read, user_id).take(limit).count() < limit {
        return Ok(());
    }
    Err(Error::bad_request(format!("You can be in at most {server_count_max} servers: leave one first")))
}

/// The servers of a user, oldest first. At most [`crate::limits::SERVER_COUNT_MAX`] unless he was given more.
pub fn ids_of(read: Read<'_>, user_id: UserId) -> impl Iterator<Item = ServerId> {
    let servers = read.scan(USER_SERVERS, user_id).map(|((_, server_id), _)| server_id);
    servers.filter(move |&server_id| read.contains(SERVERS, server_id))
}

/// GUILD_UPDATE to the members.
pub(in crate::domain) fn emit_update(machine: &mut Machine<'_, '_>, server_id: ServerId) {
    let mut payload = Vec::new();
    let Some(server) = machine.read().get(SERVERS, server_id) else { return };
    ServerResponse::write(&mut payload, server_id, server);
    machine.emit(Event::new(EventName::GuildUpdate, intent::GUILDS, Audience::members(server_id), payload));
}

shape! {
    /// A server, however much else is told of it.
    pub ServerHead(id: ServerId, server: &ArchivedServer) {
        id: id = id.0,
        name: str = &server.name,
        description: opt_str = server.description.as_deref(),
        icon_url: opt_str = view::icon_url(id, server).as_deref(),
        owner_id: id = UserId::from(&server.owner_id).0,
        member_count: u64 = server.member_count.to_native(),
    }
}

shape! {
    /// A server as its members see it.
    pub ServerResponse(id: ServerId, server: &ArchivedServer): ServerHead(id, server) {
        default_channel_id: opt_id = server.default_channel_id.as_ref().map(|id| ChannelId::from(id).0),
        verification_level: u64 = 0,
        default_message_notifications: u64 = 0,
        created_at: time = server.created_at.to_native(),
    }
}

/// The servers of a user as a JSON list.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId) {
    let mut list = Array::new(out);
    for server_id in ids_of(read, user_id).take(crate::limits::SERVER_COUNT_MAX) {
        if let Some(server) = read.get(SERVERS, server_id) {
            ServerResponse::write(list.item(), server_id, server);
        }
    }
}

/// `d` of GUILD_CREATE as this member sees the server: only the channels he may view.
///
/// # Panics
/// When he is no member.
pub fn write_guild_create(read: Read<'_>, out: &mut Vec<u8>, server_id: ServerId, user_id: UserId) {
    // A timeout takes no right to view, so the time does not matter.
    let asking = Asking { read, at: 0, who: user_id };
    let standing = asking.server(server_id).expect("the receiver of GUILD_CREATE is a member");
    let mut object = Object::new(out);
    ServerHead::write_fields(&mut object, server_id, standing.server);
    {
        let mut channels = object.array("channels");
        for (id, record) in channel::visible(&standing) {
            let mut channel = channels.object();
            channel.id("id", id.0).str("name", &record.name).str("type", channel_kind::text(record.kind));
            channel.u64("position", record.position.to_native());
        }
    }
    {
        let mut roles = object.array("roles");
        for (id, record) in role::list(read, server_id) {
            let mut role = roles.object();
            role.id("id", id.0).str("name", &record.name).opt_str("color", record.color.as_deref());
            role.bool("hoist", record.hoist).u64("position", record.position.to_native());
        }
    }
    object.raw("members", b"[]");
}

/// The names a member has server-wide, as `{name:true}`.
pub fn write_permissions(out: &mut Vec<u8>, standing: &Standing<'_>) {
    let mut object = Object::new(out);
    for (bit, name) in permission::NAMES.iter().enumerate() {
        if standing.permissions >> bit & 1 != 0 {
            object.bool(name, true);
        }
    }
}
