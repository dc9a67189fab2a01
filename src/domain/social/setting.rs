//! Settings: the key-value store of clients, and the messaging preferences the server itself heeds.

use rkyv::{Archive, Deserialize, Serialize};

use std::collections::BTreeSet;

use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::limits::SETTING_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedSetting, Messaging, Setting, dm_policy};
use crate::store::tables::{MESSAGING, SETTINGS};
use crate::wire::json::Object;
use crate::wire::json::shape::{Kind, Slot, shape};

/// Sets client settings of the acting user, all or none. Keys and values are within their limits.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct SettingsPut {
    pub entries: Vec<(String, String)>,
}

/// Deletes one client setting of the acting user.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct SettingDelete {
    pub key: String,
}

/// Changes messaging preferences of the acting user; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessagingEdit {
    pub read_receipts_enabled: Option<bool>,
    pub typing_indicators_enabled: Option<bool>,
    pub compact_messages_enabled: Option<bool>,
    /// A [`dm_policy`] code.
    pub allow_dms_from: Option<u8>,
    pub auto_create_dms: Option<bool>,
    pub max_message_length: Option<u64>,
    pub max_attachment_size: Option<u64>,
    pub max_attachments_per_message: Option<u64>,
}

/// The preferences of a user, defaults where he never chose.
pub fn messaging(read: Read<'_>, user_id: UserId) -> Messaging {
    read.get(MESSAGING, user_id).map_or_else(default_messaging, Messaging::from)
}

/// Characters that a message of this user may have: he may want less than `len_max`.
pub fn message_len_max(read: Read<'_>, user_id: UserId, len_max: u64) -> u64 {
    let own = read.get(MESSAGING, user_id).and_then(|settings| settings.max_message_length.as_ref());
    own.map_or(len_max, |own| own.to_native().min(len_max))
}

/// Bytes that a file of this user may have, and files of a message of his, where others may have so many.
pub fn attachment_max(read: Read<'_>, user_id: UserId, len_max: u64, count_max: u64) -> (u64, u64) {
    let own = read.get(MESSAGING, user_id);
    let len = own.and_then(|own| own.max_attachment_size.as_ref()).map(|own| own.to_native());
    let count = own.and_then(|own| own.max_attachments_per_message.as_ref()).map(|own| own.to_native());
    (len.map_or(len_max, |own| own.min(len_max)), count.map_or(count_max, |own| own.min(count_max)))
}

fn default_messaging() -> Messaging {
    Messaging {
        read_receipts_enabled: true,
        typing_indicators_enabled: true,
        compact_messages_enabled: true,
        allow_dms_from: dm_policy::EVERYONE,
        auto_create_dms: true,
        ..Messaging::default()
    }
}

shape! {
    /// A setting that a client has stored.
    pub SettingResponse(key: &str, setting: &ArchivedSetting) {
        key: str = key,
        value: str = &setting.value,
        created_at: time = setting.created_at.to_native(),
        updated_at: time = setting.updated_at.to_native(),
    }
}

/// Appends the settings of a user; how many they are goes to `count`.
fn settings<'a>(read: Read<'a>, user_id: UserId, count: &'a mut u64) -> impl FnOnce(&mut Vec<u8>) + 'a {
    move |out| {
        let mut settings = Object::new(out);
        for ((_, key), setting) in read.scan(SETTINGS, user_id).take(SETTING_COUNT_MAX) {
            crate::wire::json::write_str(settings.dynamic_key(&key), &setting.value);
            *count += 1;
        }
    }
}

/// All settings of a user.
pub fn write_settings(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId) {
    SettingsResponse::write(out, read, user_id, &mut 0);
}

shape! {
    /// All settings that a client has stored.
    pub SettingsResponse(read: Read<'_>, user_id: UserId, count: &mut u64) {
        settings: (Slot::map(&Kind::Text)) = settings(read, user_id, count),
        count: u64 = *count,
        /// How many there may be.
        limit: u64 = SETTING_COUNT_MAX as u64,
    }
}

shape! {
    /// How a user wants to write and to be written to.
    pub MessagingSettingsResponse(user_id: UserId, messaging: &Messaging) {
        user_id: id = user_id.0,
        read_receipts_enabled: bool = messaging.read_receipts_enabled,
        typing_indicators_enabled: bool = messaging.typing_indicators_enabled,
        compact_messages_enabled: bool = messaging.compact_messages_enabled,
        allow_dms_from: (Slot::word(dm_policy::WORDS)) = dm_policy::text(messaging.allow_dms_from),
        auto_create_dms: bool = messaging.auto_create_dms,
        max_message_length: opt_u64 = messaging.max_message_length,
        max_attachment_size: opt_u64 = messaging.max_attachment_size,
        max_attachments_per_message: opt_u64 = messaging.max_attachments_per_message,
    }
}

pub(in crate::domain) fn settings_put(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &SettingsPut,
) -> Result<()> {
    let read = machine.read();
    let new: BTreeSet<&str> = op.entries.iter().map(|(key, _)| key.as_str()).collect();
    let added = new.iter().filter(|key| !read.contains(SETTINGS, (actor, **key))).count();
    let stored = read.scan(SETTINGS, actor).take(SETTING_COUNT_MAX).count();
    if added > 0 && stored + added > SETTING_COUNT_MAX {
        return Err(Error::invalid(
            "key",
            format_args!("at most {SETTING_COUNT_MAX} settings can be stored"),
        ));
    }
    for (key, value) in &op.entries {
        let key = (actor, key.as_str());
        let created_at = machine.tx.get(SETTINGS, key).map(|setting| setting.created_at.to_native());
        let (created_at, updated_at) = (created_at.unwrap_or(machine.unix_ms), machine.unix_ms);
        machine.tx.put(SETTINGS, key, &Setting { value: value.clone(), created_at, updated_at });
    }
    Ok(())
}

pub(in crate::domain) fn setting_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &SettingDelete,
) -> Result<()> {
    if !machine.tx.delete(SETTINGS, (actor, op.key.as_str())) {
        return Err(Refusal::SettingNotFound.into());
    }
    Ok(())
}

pub(in crate::domain) fn messaging_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessagingEdit,
) -> Result<()> {
    let before = messaging(machine.read(), actor);
    let after = Messaging {
        read_receipts_enabled: op.read_receipts_enabled.unwrap_or(before.read_receipts_enabled),
        typing_indicators_enabled: op.typing_indicators_enabled.unwrap_or(before.typing_indicators_enabled),
        compact_messages_enabled: op.compact_messages_enabled.unwrap_or(before.compact_messages_enabled),
        allow_dms_from: op.allow_dms_from.unwrap_or(before.allow_dms_from),
        auto_create_dms: op.auto_create_dms.unwrap_or(before.auto_create_dms),
        max_message_length: op.max_message_length.or(before.max_message_length),
        max_attachment_size: op.max_attachment_size.or(before.max_attachment_size),
        max_attachments_per_message: op.max_attachments_per_message.or(before.max_attachments_per_message),
    };
    if after != before {
        machine.tx.put(MESSAGING, actor, &after);
    }
    Ok(())
}
