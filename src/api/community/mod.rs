//! Servers with their members, roles, channels, bans and invites.

pub mod arrangement;
pub mod bans;
pub mod channels;
pub mod invites;
pub mod member_edit;
pub mod members;
pub mod overrides;
pub mod roles;
pub mod servers;

use super::routes::Answer::{List, Map, One};
use super::routes::{json, optional_json, routes};
use crate::domain::community::audit::AuditLogEntryResponse;
use crate::domain::community::ban::BanResponse;
use crate::domain::community::channel::ChannelResponse;
use crate::domain::community::invite::{ChannelInviteResponse, InviteInfoResponse, InviteResponse};
use crate::domain::community::member::MemberResponse;
use crate::domain::community::overrides::OverrideResponse;
use crate::domain::community::role::RoleResponse;
use crate::domain::community::server::ServerResponse;
use crate::domain::identity::right::Right;
use crate::limits::FORM_LEN_MAX;
use crate::wire::json::shape::Kind;

routes! {
    /// Servers the caller is a member of.
    Get "/servers" => servers::server_list, User, Default { answer: List(ServerResponse::SHAPE) };
    /// Create a server, with a channel "general" and the role @everyone.
    Post "/servers" => servers::server_create, User, ServersCreate {
        right: Some(Right::ServersCreate),
        body: json(FORM_LEN_MAX),
        form: Some(&servers::SERVER_CREATE),
        answer: One(ServerResponse::SHAPE),
    };
    /// One server.
    Get "/servers/{server_id}" => servers::server_get, User, ServersGet { answer: One(ServerResponse::SHAPE) };
    /// Change name, description or default channel.
    Patch "/servers/{server_id}" => servers::server_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&servers::SERVER_EDIT),
        answer: One(ServerResponse::SHAPE),
    };
    /// Delete a server with all that is in it.
    Delete "/servers/{server_id}" => servers::server_delete, User, ServersDelete;
    /// The caller's permissions.
    Get "/servers/{server_id}/permissions" => servers::server_permissions, User, Default { answer: Map(&Kind::Bool) };
    /// Who changed what, newest first.
    Get "/servers/{server_id}/audit-logs" => servers::server_audit_log, User, Default {
        query: Some(&servers::AUDIT_LOG),
        answer: List(AuditLogEntryResponse::SHAPE),
    };
    /// An extension: hand a server over to one of its members.
    Put "/servers/{server_id}/owner" => servers::server_owner_set, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&servers::OWNER_SET),
        answer: One(ServerResponse::SHAPE),
    };
    /// Leave a server.
    Post "/servers/{server_id}/leave" => servers::server_leave, User, Default {
        right: Some(Right::ConversationsLeave),
    };

    /// Members by user id.
    Get "/servers/{server_id}/members" => members::member_list, User, Default {
        query: Some(&members::MEMBER_LIST),
        answer: List(MemberResponse::SHAPE),
    };
    /// An extension: members whose user name or nickname begins with a text, in the order in which they joined.
    Get "/servers/{server_id}/members/search" => members::member_search, User, Default {
        query: Some(&members::MEMBER_SEARCH),
        answer: List(MemberResponse::SHAPE),
    };
    /// An extension: change a member's nickname or timeout.
    Patch "/servers/{server_id}/members/{member_id}" => member_edit::member_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&member_edit::MEMBER_EDIT),
        answer: One(MemberResponse::SHAPE),
    };
    /// Kick a member.
    Delete "/servers/{server_id}/members/{member_id}" => members::member_kick, User, Default;
    /// Give a role to a member.
    Put "/servers/{server_id}/members/{member_id}/roles/{role_id}" => members::member_role_add, User, Default;
    /// Take a role from a member.
    Delete "/servers/{server_id}/members/{member_id}/roles/{role_id}" => members::member_role_remove, User, Default;

    /// Bans, newest first.
    Get "/servers/{server_id}/bans" => bans::ban_list, User, Default { answer: List(BanResponse::SHAPE) };
    /// Ban a user, member or not.
    Put "/servers/{server_id}/bans/{user_id}" => bans::ban_create, User, Default {
        body: optional_json(FORM_LEN_MAX),
        form: Some(&bans::BAN_CREATE),
    };
    /// Lift a ban.
    Delete "/servers/{server_id}/bans/{user_id}" => bans::ban_delete, User, Default;

    /// Roles, highest first.
    Get "/servers/{server_id}/roles" => roles::role_list, User, Default { answer: List(RoleResponse::SHAPE) };
    /// Create a role.
    Post "/servers/{server_id}/roles" => roles::role_create, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&roles::ROLE_CREATE),
        answer: One(RoleResponse::SHAPE),
    };
    /// Change or move a role.
    Patch "/servers/{server_id}/roles/{role_id}" => roles::role_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&roles::ROLE_EDIT),
        answer: One(RoleResponse::SHAPE),
    };
    /// Delete a role.
    Delete "/servers/{server_id}/roles/{role_id}" => roles::role_delete, User, Default;

    /// Channels the caller may view, in their order.
    Get "/servers/{server_id}/channels" => channels::channel_list, User, ServersChannelsList {
        answer: List(ChannelResponse::SHAPE),
    };
    /// Create a channel.
    Post "/servers/{server_id}/channels" => channels::channel_create, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&channels::CHANNEL_CREATE),
        answer: One(ChannelResponse::SHAPE),
    };
    /// An extension: give channels other places, and other categories, all at once.
    Patch "/servers/{server_id}/channels" => arrangement::channel_arrange, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&arrangement::CHANNELS_ARRANGE),
        answer: List(ChannelResponse::SHAPE),
    };
    /// One channel of any kind.
    Get "/channels/{channel_id}" => channels::channel_get, User, Default { answer: One(ChannelResponse::SHAPE) };
    /// Change or move a channel.
    Patch "/channels/{channel_id}" => channels::channel_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&channels::CHANNEL_EDIT),
        answer: One(ChannelResponse::SHAPE),
    };
    /// Delete a channel.
    Delete "/channels/{channel_id}" => channels::channel_delete, User, Default;

    /// An extension: what a channel allows and denies to roles and members.
    Get "/channels/{channel_id}/permissions" => overrides::override_list, User, Default {
        answer: List(OverrideResponse::SHAPE),
    };
    /// An extension: say what a channel allows and denies to a role or a member.
    Put "/channels/{channel_id}/permissions/{target_id}" => overrides::override_put, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&overrides::OVERRIDE_PUT),
        answer: One(OverrideResponse::SHAPE),
    };
    /// An extension: have a role or a member do in a channel what they do in its server.
    Delete "/channels/{channel_id}/permissions/{target_id}" => overrides::override_delete, User, Default;

    /// Create an invite.
    Post "/channels/{channel_id}/invites" => invites::invite_create, User, Default {
        right: Some(Right::ConversationsInvite),
        body: optional_json(FORM_LEN_MAX),
        form: Some(&invites::INVITE_CREATE),
        answer: One(ChannelInviteResponse::SHAPE),
    };
    /// Look at an invite.
    Get "/channels/invites/{invite_code}" => invites::invite_get, User, Default {
        answer: One(InviteInfoResponse::SHAPE),
    };
    /// Join by an invite.
    Post "/channels/invites/{invite_code}" => invites::invite_use, User, Default {
        right: Some(Right::ConversationsJoin),
        answer: One(invites::InviteJoinResponse::SHAPE),
    };
    /// Revoke an invite.
    Delete "/channels/invites/{invite_code}" => invites::invite_delete, User, Default;
    /// Invites that still work, newest first.
    Get "/servers/{server_id}/invites" => invites::invite_list, User, Default { answer: List(InviteResponse::SHAPE) };
}
