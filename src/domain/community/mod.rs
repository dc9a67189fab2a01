//! Servers with all that makes them: members, roles, channels, bans, invites, the audit log.

pub mod arrangement;
pub mod audit;
pub mod ban;
pub mod channel;
pub mod invite;
pub mod member;
pub mod member_edit;
pub mod overrides;
pub mod owner;
pub mod role;
pub mod server;

use super::command::commands;
use crate::id::{ChannelId, RoleId, ServerId};

commands! { Community:
    40 ServerCreate(server::ServerCreate) => server_create -> ServerId;
    41 ServerEdit(server::ServerEdit) => server_edit -> bool;
    42 ServerDelete(server::ServerDelete) => server_delete -> (), isolated, frees_room;
    43 MemberLeave(member::MemberLeave) => member_leave -> (), frees_room;
    44 MemberKick(member::MemberKick) => member_kick -> (), frees_room;
    45 MemberExpire(member::MemberExpire) => member_expire -> bool, frees_room, system;
    46 MemberRoleAdd(member::MemberRoleAdd) => member_role_add -> bool, isolated;
    47 MemberRoleRemove(member::MemberRoleRemove) => member_role_remove -> bool, isolated, frees_room;
    48 RoleCreate(role::RoleCreate) => role_create -> RoleId;
    49 RoleEdit(role::RoleEdit) => role_edit -> bool, isolated;
    50 RoleDelete(role::RoleDelete) => role_delete -> (), isolated, frees_room;
    51 BanCreate(ban::BanCreate) => ban_create -> u64;
    52 BanDelete(ban::BanDelete) => ban_delete -> (), frees_room;
    53 BanMessagesDelete(ban::BanMessagesDelete) => ban_messages_delete -> u64, frees_room;
    54 ChannelCreate(channel::ChannelCreate) => channel_create -> ChannelId;
    55 ChannelEdit(channel::ChannelEdit) => channel_edit -> bool;
    56 ChannelDelete(channel::ChannelDelete) => channel_delete -> (), frees_room;
    57 InviteCreate(invite::InviteCreate) => invite_create -> bool;
    58 InviteUse(invite::InviteUse) => invite_use -> ServerId;
    59 InviteDelete(invite::InviteDelete) => invite_delete -> (), frees_room;
    60 MemberEdit(member_edit::MemberEdit) => member_edit -> bool;
    61 OverridePut(overrides::OverridePut) => override_put -> bool, isolated;
    62 OwnerSet(owner::OwnerSet) => owner_set -> bool, isolated;
    63 ChannelsArrange(arrangement::ChannelsArrange) => channels_arrange -> bool;
}
