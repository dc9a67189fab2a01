//! What opcodes, close codes, intents and permissions mean: a sentence for each name that the code has.

use crate::domain::intent;

/// Opcodes by name: what they are for, and their `d`.
pub const OPS: &[(&str, &str, &str)] = &[
    ("DISPATCH", "An event: its name in `t`, its number in `s`.", "see [Events](events)"),
    ("HEARTBEAT", "You are there. Answered by HEARTBEAT_ACK.", "anything; the last `s` by custom"),
    ("IDENTIFY", "Begins a session. Answered by READY.", "`token`, `intents?`, `compress?`, `properties?`"),
    ("PRESENCE_UPDATE", "Sets your status.", "`status?`, `custom_status?`, `custom_emoji?`, `activities?`"),
    (
        "VOICE_STATE_UPDATE",
        "Joins, changes or leaves a voice channel.",
        "`channel_id`, `self_mute?`, `self_deaf?`, `self_video?`, `self_stream?`",
    ),
    (
        "RESUME",
        "Goes on with a session. Answered by RESUMED and what was missed.",
        "`token`, `session_id`, `seq`",
    ),
    ("RECONNECT", "Connect anew: this server goes.", "null"),
    (
        "REQUEST_GUILD_MEMBERS",
        "Asks for members. Answered by GUILD_MEMBERS_CHUNK.",
        "`guild_id`, `query?`, `limit?`, `user_ids?`, `presences?`, `nonce?`",
    ),
    ("INVALID_SESSION", "RESUME was refused: identify on the same connection.", "false"),
    ("HELLO", "The first thing that the server says.", "`heartbeat_interval` in milliseconds"),
    ("HEARTBEAT_ACK", "Your heartbeat has arrived.", "none"),
    (
        "SERVER_STATUS",
        "The server is about to stop, or to be worked on.",
        "`state`, `message`, `closing_in_seconds`, and `restart_at` or `estimated_downtime_seconds`",
    ),
    (
        "VERSION_CHECK",
        "Asks whether a client version is accepted; answered by the same opcode.",
        "`client_version`; the answer is that of `POST /api/v1/version/negotiate`",
    ),
    ("VOICE_CONNECT", "Joins a voice channel.", "`channel_id`"),
    ("VOICE_DISCONNECT", "Leaves it.", "`channel_id?`"),
    ("VOICE_SDP_OFFER", "Offers media (WebRTC).", "`channel_id`, `sdp`"),
    (
        "VOICE_SDP_ANSWER",
        "The answer to an offer.",
        "`type`, `sdp`, `session_id`; or `type:\"error\"`, `code`, `message`, `channel_id`",
    ),
    (
        "VOICE_ICE_CANDIDATE",
        "Another way to reach you.",
        "`channel_id`, `candidate`, `sdpMid?`, `sdpMLineIndex?`",
    ),
    ("VOICE_SPEAKING", "You speak, or stop.", "`channel_id`, `speaking`"),
    ("VOICE_QUALITY", "How the connection does.", "anything"),
    ("INTERACTION", "Kept for later versions: never sent.", "none"),
    ("TYPING_START", "You are writing.", "`channel_id`"),
    ("TYPING_STOP", "You are not, any more.", "`channel_id`"),
];

/// Close codes by their constants: when, and what a client does then.
pub const CLOSES: &[(&str, &str, &str)] = &[
    ("UNKNOWN_ERROR", "something went wrong here", "resume"),
    (
        "RECONNECT",
        "this server sends everybody away, or an administrator you; RECONNECT came before",
        "resume",
    ),
    ("UNKNOWN_OPCODE", "an opcode that clients do not send", "mend the client, then resume"),
    ("DECODE_ERROR", "no JSON object, too long, or of the wrong shape", "mend the client, then resume"),
    ("NOT_AUTHENTICATED", "something else before IDENTIFY, or no IDENTIFY in time", "identify"),
    ("AUTHENTICATION_FAILED", "the token is not known, or over", "log in"),
    ("LOGGED_OUT", "this login has logged out", "log in"),
    ("SECURITY_LOGOUT", "this login was ended from elsewhere; SECURITY_LOGOUT came before", "log in"),
    ("SECURITY_RESET", "an administrator has ended all logins", "log in"),
    ("ACCOUNT_SUSPENDED", "the account was suspended", "tell the user"),
    ("ALREADY_AUTHENTICATED", "a second IDENTIFY", "mend the client, then resume"),
    ("INVALID_SEQ", "`seq` of RESUME is no number, or above the last one given out", "identify"),
    ("RATE_LIMITED", "more messages or identifies than are allowed", "wait, then resume"),
    ("TOO_MANY_CONNECTIONS", "a newer session of the account took its place", "nothing"),
    ("SLOW_CONSUMER", "you read more slowly than events come", "resume"),
    ("SESSION_TIMED_OUT", "no heartbeat in time", "resume"),
    ("RESUMED_ELSEWHERE", "another connection has resumed this session", "nothing"),
    ("INVALID_VERSION", "`v` of the address is not known", "mend the client"),
    ("INVALID_INTENTS", "`intents` is no number from 0 to 65535", "mend the client"),
    ("VERSION_OUTDATED", "the client is too old; the answer to VERSION_CHECK came before", "update"),
    ("SERVER_MAINTENANCE", "the server is being worked on; SERVER_STATUS came before", "wait, then resume"),
    ("SERVER_SHUTDOWN", "the server stops", "connect again in a while, and identify"),
    ("PROTOCOL_ERROR", "no WebSocket frame", "mend the client, then resume"),
    ("INVALID_UTF8", "text that is no UTF-8", "mend the client, then resume"),
    ("TOO_BIG", "a frame of more than 16 MiB", "mend the client, then resume"),
    ("PONG_MISSING", "no answer to a WebSocket ping", "resume"),
];

/// Intents by name and bit. Those that default to off are for who needs them.
pub const INTENTS: &[(&str, u16)] = &[
    ("GUILDS", intent::GUILDS),
    ("GUILD_MEMBERS", intent::GUILD_MEMBERS),
    ("GUILD_BANS", intent::GUILD_BANS),
    ("GUILD_EMOJIS", intent::GUILD_EMOJIS),
    ("GUILD_INTEGRATIONS", 1 << 4),
    ("GUILD_WEBHOOKS", intent::GUILD_WEBHOOKS),
    ("GUILD_INVITES", intent::GUILD_INVITES),
    ("GUILD_VOICE_STATES", intent::GUILD_VOICE_STATES),
    ("GUILD_PRESENCES", intent::GUILD_PRESENCES),
    ("GUILD_MESSAGES", intent::GUILD_MESSAGES),
    ("GUILD_MESSAGE_REACTIONS", intent::GUILD_MESSAGE_REACTIONS),
    ("GUILD_MESSAGE_TYPING", intent::GUILD_MESSAGE_TYPING),
    ("DIRECT_MESSAGES", intent::DIRECT_MESSAGES),
    ("DIRECT_MESSAGE_REACTIONS", intent::DIRECT_MESSAGE_REACTIONS),
    ("DIRECT_MESSAGE_TYPING", intent::DIRECT_MESSAGE_TYPING),
    ("MESSAGE_CONTENT", intent::MESSAGE_CONTENT),
];

/// Permissions in a server, by name.
pub const PERMISSIONS: &[(&str, &str)] = &[
    ("channels.view", "see channels, and what is told of them"),
    ("messages.send", "post messages"),
    ("messages.read", "read messages"),
    ("messages.embed_links", "put embeds into messages"),
    ("messages.attach_files", "put files into messages"),
    ("messages.add_reactions", "react to messages"),
    ("voice.connect", "join voice channels"),
    ("voice.speak", "speak in them"),
    ("invites.create", "invite others"),
    ("events.view", "see events of the server"),
    ("server.manage", "change name, description, icon"),
    ("server.view_audit_log", "read the audit log"),
    ("server.automod", "read and change the rules of automod"),
    ("channels.manage", "create, change, order, delete channels"),
    ("roles.manage", "create, change, order, delete roles below the own highest one"),
    ("members.kick", "remove members"),
    ("members.ban", "ban and unban users"),
    ("members.manage_nicknames", "change nicknames of others"),
    ("members.manage_roles", "give and take roles below the own highest one"),
    ("invites.manage", "see and delete invites of others"),
    ("emojis.manage", "create, rename, delete emojis and stickers"),
    ("messages.manage", "delete messages of others, pin, clear reactions"),
    ("messages.mention_everyone", "mention @everyone, @here and any role"),
    ("messages.use_external_emojis", "use emojis and stickers of other servers"),
    ("messages.bypass_slowmode", "post without waiting"),
    ("voice.mute_members", "mute others in voice channels"),
    ("voice.deafen_members", "deafen others in voice channels"),
    ("voice.move_members", "move others between voice channels"),
    ("events.manage", "manage events of the server"),
    ("templates.manage", "manage templates of the server"),
    ("onboarding.manage", "manage what newcomers see"),
    ("administrator", "everything, in all channels"),
    ("bans.view", "see who is banned"),
    ("webhooks.manage", "create, change, delete webhooks"),
    ("threads.create_public", "begin public threads"),
    ("threads.create_private", "begin private threads"),
    ("threads.manage", "manage threads of others"),
];

/// What an opcode is for, and its `d`.
pub fn of_op(name: &str) -> (&'static str, &'static str) {
    OPS.iter().find(|row| row.0 == name).map_or(("", ""), |row| (row.1, row.2))
}

/// When a close code comes, and what to do then.
pub fn of_close(name: &str) -> (&'static str, &'static str) {
    CLOSES.iter().find(|row| row.0 == name).map_or(("", ""), |row| (row.1, row.2))
}

/// What a permission lets somebody do.
pub fn of_permission(name: &str) -> &'static str {
    PERMISSIONS.iter().find(|row| row.0 == name).map_or("", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::permission;
    use crate::gateway::protocol;

    #[test]
    fn every_name_of_the_code_has_a_sentence() {
        let names = |list: &[(&'static str, &str, &str)]| list.iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(names(OPS), protocol::OPS.iter().map(|row| row.name).collect::<Vec<_>>());
        assert_eq!(names(CLOSES), protocol::CLOSES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let permissions: Vec<&str> = PERMISSIONS.iter().map(|row| row.0).collect();
        assert_eq!(permissions, permission::NAMES);
        let bits: Vec<u16> = INTENTS.iter().map(|row| row.1).collect();
        assert_eq!(bits, (0..16).map(|bit| 1 << bit).collect::<Vec<_>>());
    }
}
