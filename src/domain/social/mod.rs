//! People among themselves: relationships, presence, direct messages, groups, and how they want to be reached.

pub mod dm;
pub mod group;
pub mod presence;
pub mod relationship;
pub mod setting;

use super::command::commands;
use crate::id::ChannelId;

commands! { Social:
    9 SettingsPut(setting::SettingsPut) => settings_put -> ();
    10 SettingDelete(setting::SettingDelete) => setting_delete -> (), frees_room;
    11 MessagingEdit(setting::MessagingEdit) => messaging_edit -> ();
    12 FriendRequest(relationship::FriendRequest) => friend_request -> ();
    13 FriendAccept(relationship::FriendAccept) => friend_accept -> ();
    14 RelationshipRemove(relationship::RelationshipRemove) => relationship_remove -> (), frees_room;
    15 Block(relationship::Block) => block -> ();
    16 PresenceSet(presence::PresenceSet) => presence_set -> bool;
    17 DmOpen(dm::DmOpen) => dm_open -> ChannelId;
    18 NotesOpen(dm::NotesOpen) => notes_open -> ChannelId;
    435 GroupOpen(group::GroupOpen) => group_open -> ChannelId;
    436 GroupEdit(group::GroupEdit) => group_edit -> bool;
    437 GroupAdd(group::GroupAdd) => group_add -> bool;
    438 GroupRemove(group::GroupRemove) => group_remove -> (), frees_room;
}
