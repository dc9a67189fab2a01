//! The audit log of a server: who changed what.
//!
//! Invariant: entries are only added, and go with their server. Action and target codes are stored: append, never
//! reuse.

use super::invite;
use crate::domain::machine::Machine;
use crate::domain::permission::Standing;
use crate::domain::view::{UserPublicResponse, user_or_null};
use crate::id::{AuditId, ChannelId, EmojiId, RoleId, ServerId, StickerId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedAudit, Audit};
use crate::store::tables::AUDIT;
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

macro_rules! actions {
    ($($name:ident = $code:literal $text:literal;)*) => {
        /// What was done (contract §5); what emojis and stickers go through is an extension.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Action { $($name = $code),* }

        /// Code and word of every action, for the golden file.
        pub const ACTIONS: &[(u8, &str)] = &[$(($code, $text)),*];
    };
}

actions! {
    ServerCreate = 1 "server_create";
    ServerUpdate = 2 "server_update";
    ServerDelete = 3 "server_delete";
    ChannelCreate = 4 "channel_create";
    ChannelUpdate = 5 "channel_update";
    ChannelDelete = 6 "channel_delete";
    RoleCreate = 7 "role_create";
    RoleUpdate = 8 "role_update";
    RoleDelete = 9 "role_delete";
    MemberJoin = 10 "member_join";
    MemberLeave = 11 "member_leave";
    MemberKick = 12 "member_kick";
    MemberBan = 13 "member_ban";
    MemberUnban = 14 "member_unban";
    MemberUpdate = 15 "member_update";
    MemberRoleAdd = 16 "member_role_add";
    MemberRoleRemove = 17 "member_role_remove";
    InviteCreate = 18 "invite_create";
    InviteUse = 19 "invite_use";
    InviteDelete = 20 "invite_delete";
    OverrideCreate = 21 "override_create";
    OverrideUpdate = 22 "override_update";
    OverrideDelete = 23 "override_delete";
    EventCreate = 24 "event_create";
    EventUpdate = 25 "event_update";
    EventDelete = 26 "event_delete";
    TemplateCreate = 27 "template_create";
    TemplateDelete = 28 "template_delete";
    WelcomeScreenUpdate = 29 "welcome_screen_update";
    OnboardingUpdate = 30 "onboarding_update";
    EmojiCreate = 31 "emoji_create";
    EmojiUpdate = 32 "emoji_update";
    EmojiDelete = 33 "emoji_delete";
    StickerCreate = 34 "sticker_create";
    StickerDelete = 35 "sticker_delete";
}

/// Words of the target codes; code 0 is no target.
const TARGETS: &[(u8, &str)] = &[
    (1, "server"),
    (2, "channel"),
    (3, "role"),
    (4, "user"),
    (INVITE, "invite"),
    (6, "emoji"),
    (7, "sticker"),
];
const INVITE: u8 = 5;

fn word(table: &'static [(u8, &'static str)], code: u8) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == code).map(|(_, text)| *text)
}

/// What an action was done to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target<'a> {
    kind: u8,
    /// 0 when the thing has no id.
    id: u64,
    name: &'a str,
}

impl<'a> Target<'a> {
    pub fn server(id: ServerId, name: &'a str) -> Target<'a> {
        Target { kind: 1, id: id.0, name }
    }

    pub fn channel(id: ChannelId, name: &'a str) -> Target<'a> {
        Target { kind: 2, id: id.0, name }
    }

    pub fn role(id: RoleId, name: &'a str) -> Target<'a> {
        Target { kind: 3, id: id.0, name }
    }

    pub fn user(id: UserId, name: &'a str) -> Target<'a> {
        Target { kind: 4, id: id.0, name }
    }

    pub fn emoji(id: EmojiId, name: &'a str) -> Target<'a> {
        Target { kind: 6, id: id.0, name }
    }

    pub fn sticker(id: StickerId, name: &'a str) -> Target<'a> {
        Target { kind: 7, id: id.0, name }
    }

    /// Invites are named by their code.
    pub fn invite(code: &'a str) -> Target<'a> {
        Target { kind: INVITE, id: 0, name: code }
    }
}

/// Collects `{field:{old,new}}` of what really differs.
#[derive(Debug, Default)]
pub struct Changes {
    json: Vec<u8>,
}

impl Changes {
    fn field(&mut self, field: &str, write: impl FnOnce(&mut Object<'_>)) {
        self.json.push(if self.json.is_empty() { b'{' } else { b',' });
        crate::wire::json::write_str(&mut self.json, field);
        self.json.push(b':');
        write(&mut Object::new(&mut self.json));
    }

    pub fn text(&mut self, field: &str, old: Option<&str>, new: Option<&str>) {
        if old != new {
            self.field(field, |object| {
                object.opt_str("old", old).opt_str("new", new);
            });
        }
    }

    pub fn bool(&mut self, field: &str, old: bool, new: bool) {
        if old != new {
            self.field(field, |object| {
                object.bool("old", old).bool("new", new);
            });
        }
    }

    pub fn u64(&mut self, field: &str, old: u64, new: u64) {
        if old != new {
            self.field(field, |object| {
                object.u64("old", old).u64("new", new);
            });
        }
    }

    pub fn id(&mut self, field: &str, old: Option<u64>, new: Option<u64>) {
        if old != new {
            self.field(field, |object| {
                object.opt_id("old", old).opt_id("new", new);
            });
        }
    }

    /// Values that are JSON already.
    pub fn raw(&mut self, field: &str, old: &[u8], new: &[u8]) {
        if old != new {
            self.field(field, |object| {
                object.raw("old", old).raw("new", new);
            });
        }
    }

    pub fn is_empty(&self) -> bool {
        self.json.is_empty()
    }

    /// The object, or `None` when nothing differs.
    pub fn finish(mut self) -> Option<String> {
        if self.json.is_empty() {
            return None;
        }
        self.json.push(b'}');
        Some(String::from_utf8(self.json).expect("made of strings and ASCII"))
    }
}

/// Adds an entry.
pub fn record(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    actor: UserId,
    action: Action,
    target: Target<'_>,
    changes: Option<String>,
    reason: Option<&str>,
) {
    let entry = Audit {
        user_id: actor,
        action: action as u8,
        target_type: target.kind,
        target_id: target.id,
        target_name: Some(target.name.to_string()),
        changes,
        reason: reason.map(str::to_string),
        created_at: machine.unix_ms,
    };
    let id = machine.next_audit_id();
    machine.tx.put(AUDIT, (server_id, id), &entry);
}

/// The newest entries, newest first, as a JSON list. Codes of invites that still let people in are left out for a
/// viewer who may neither list invites nor made the one in question.
pub fn write_list(out: &mut Vec<u8>, viewer: &Standing<'_>, count_max: usize) {
    let (read, server_id) = (viewer.asking.read, viewer.server_id);
    let mut list = Array::new(out);
    for ((_, id), entry) in read.scan_rev(AUDIT, server_id).take(count_max) {
        let is_shown = |name: &&str| entry.target_type != INVITE || !invite::is_hidden_from(viewer, name);
        let target_name = entry.target_name.as_deref().filter(is_shown);
        AuditLogEntryResponse::write(list.item(), read, server_id, id, entry, target_name);
    }
}

shape! {
    /// Who changed what.
    pub AuditLogEntryResponse(
        read: Read<'_>,
        server_id: ServerId,
        id: AuditId,
        entry: &ArchivedAudit,
        target_name: Option<&str>,
    ) {
        id: id = id.0,
        server_id: id = server_id.0,
        user_id: id = UserId::from(&entry.user_id).0,
        user: (Slot::of(Kind::OrNull(&Kind::Object(UserPublicResponse::SHAPE)))) =
            user_or_null(read, Some(UserId::from(&entry.user_id))),
        action: str = word(ACTIONS, entry.action).unwrap_or("unknown"),
        target_type: opt_str = word(TARGETS, entry.target_type),
        target_id: opt_id = Some(entry.target_id.to_native()).filter(|id| *id != 0),
        target_name: opt_str = target_name,
        /// Before and after of each field, by its name.
        changes: (Slot::of(Kind::OrNull(&Kind::Map(&Kind::Any)))) =
            |out: &mut Vec<u8>| out.extend_from_slice(entry.changes.as_deref().unwrap_or("null").as_bytes()),
        reason: opt_str = entry.reason.as_deref(),
        created_at: time = entry.created_at.to_native(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_name_only_what_differs() {
        let mut changes = Changes::default();
        changes.text("name", Some("a"), Some("a"));
        changes.bool("nsfw", true, true);
        assert!(changes.is_empty());
        changes.text("topic", None, Some("x\"y"));
        changes.u64("position", 1, 2);
        changes.id("default_channel_id", Some(7), None);
        changes.raw("permissions", b"{}", b"{\"a\":true}");
        assert_eq!(
            changes.finish().as_deref(),
            Some(
                r#"{"topic":{"old":null,"new":"x\"y"},"position":{"old":1,"new":2},"default_channel_id":{"old":"7","new":null},"permissions":{"old":{},"new":{"a":true}}}"#
            )
        );
        assert_eq!(Changes::default().finish(), None);
    }

    #[test]
    fn actions_in_order() {
        assert_eq!(ACTIONS.len(), 35);
        assert!(ACTIONS.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0));
    }
}
