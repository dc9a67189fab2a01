//! Options and fixed limits as people read them.

use crate::config::{Config, OPTIONS, OptionRow};
use crate::limits;

/// A value in force, without the signs of a file: `5 MiB`, `png, gif`.
pub fn readable(row: &OptionRow, config: &Config) -> String {
    let text = row.shown(config);
    let bare = text.trim_matches(['[', ']']).replace('"', "");
    let digits = bare.find(|c: char| !c.is_ascii_digit()).unwrap_or(bare.len());
    match bare[digits..].as_ref() {
        "KiB" | "MiB" | "GiB" | "TiB" => format!("{} {}", &bare[..digits], &bare[digits..]),
        _ => bare,
    }
}

/// Limits that no option changes: a name for pages, the value, what of.
const LIMITS: &[(&str, u64, &str)] = &[
    ("servers", limits::SERVER_COUNT_MAX as u64, "servers of an account, whatever its tier"),
    ("channels", limits::CHANNEL_COUNT_MAX as u64, "channels of a server"),
    ("roles", limits::ROLE_COUNT_MAX as u64, "roles of a server"),
    ("overrides", limits::OVERRIDE_COUNT_MAX as u64, "overrides of a channel"),
    ("invites", limits::INVITE_COUNT_MAX as u64, "invites of a server"),
    ("webhooks", limits::WEBHOOK_COUNT_MAX as u64, "webhooks of a server"),
    ("webhook_name", limits::WEBHOOK_NAME_LEN_MAX as u64, "characters of a webhook's name"),
    ("webhook_content", limits::WEBHOOK_CONTENT_CHARS_MAX as u64, "characters that a webhook says at once"),
    ("nickname", limits::NICKNAME_LEN_MAX as u64, "characters of a nickname"),
    ("timeout_days", limits::TIMEOUT_SECONDS_MAX / 86_400, "days of a timeout"),
    ("relationships", limits::RELATIONSHIP_COUNT_MAX as u64, "friends, requests and blocks of an account"),
    ("dms", limits::DM_COUNT_MAX as u64, "direct messages that are listed"),
    ("groups", limits::GROUP_COUNT_MAX as u64, "groups of an account"),
    ("bulk_delete", limits::MESSAGE_DELETE_COUNT_MAX as u64, "messages deleted at once"),
    ("embed", limits::EMBED_CHARS_MAX as u64, "characters in the embeds of a message"),
    (
        "reaction_kinds",
        limits::REACTION_KIND_COUNT_MAX as u64,
        "different reactions of a message, whatever the tier",
    ),
    ("poll_options", limits::POLL_OPTION_COUNT_MAX as u64, "options of a poll, whatever is configured"),
    ("poll_option", limits::POLL_OPTION_LEN_MAX as u64, "characters of a poll's option"),
    ("poll_question", limits::POLL_QUESTION_LEN_MAX as u64, "characters of a poll's question"),
    ("notifications", limits::NOTIFICATION_COUNT_MAX as u64, "notifications that are kept for an account"),
    ("custom_status", limits::CUSTOM_STATUS_LEN_MAX as u64, "characters of a custom status"),
    ("settings", limits::SETTING_COUNT_MAX as u64, "settings of an account"),
    ("setting_value", limits::SETTING_VALUE_LEN_MAX as u64, "characters of a setting"),
    ("bots", limits::BOT_COUNT_MAX as u64, "bots of an account, whatever is configured"),
    ("passkeys", limits::PASSKEY_COUNT_MAX as u64, "passkeys of an account"),
    ("chunk_mib", limits::CHUNK_LEN / limits::MIB as u64, "MiB of a chunk of an upload"),
    (
        "upload_minutes",
        limits::UPLOAD_SESSION_MS / 60_000,
        "minutes in which an upload in chunks is completed",
    ),
    ("upload_sessions", limits::UPLOAD_SESSION_COUNT_MAX as u64, "uploads in chunks of an account at once"),
    ("upload_hours", limits::UPLOAD_LIFE_MS / 3_600_000, "hours that a file is kept without a message"),
    ("file_name", limits::FILE_NAME_LEN_MAX as u64, "bytes of a file's name"),
    ("search_query", limits::SEARCH_LEN_MAX as u64, "characters of a search"),
    (
        "detached",
        limits::DETACHED_OF_USER_MAX as u64,
        "gateway sessions of an account that wait to be resumed",
    ),
    ("head", limits::HEAD_LEN_MAX as u64, "bytes of a request's head"),
    ("target", limits::TARGET_LEN_MAX as u64, "bytes of a request's path and query"),
];

/// One of them.
pub fn limit(name: &str) -> Option<u64> {
    LIMITS.iter().find(|(known, ..)| *known == name).map(|(_, value, _)| *value)
}

/// All of them as a table.
pub fn limits_table() -> String {
    let mut out = String::from("| at most | of |\n|--:|---|\n");
    LIMITS.iter().for_each(|(_, value, what)| out.push_str(&format!("| {value} | {what} |\n")));
    out
}

/// Every option with its default: what is in force is nobody's business but the operator's.
pub fn options_table() -> String {
    let defaults = Config::default();
    let mut out = String::new();
    let mut section = "";
    for row in OPTIONS {
        if row.section() != section {
            section = row.section();
            out.push_str(&format!(
                "\n## {section}\n\n| key | default | what it says | values |\n|---|---|---|---|\n"
            ));
        }
        let cells =
            [row.shown(&defaults), row.help.to_string(), row.allowed()].map(|cell| cell.replace('|', "\\|"));
        let [default, help, allowed] = cells;
        let default = if default.len() > 60 { "a list".to_string() } else { format!("`{default}`") };
        out.push_str(&format!("| `{}` | {default} | {help} | {allowed} |\n", row.name()));
    }
    out
}
