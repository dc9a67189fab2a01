//! Opcodes with their handlers, and close codes, as tables.

use super::client::Resume;
use super::connections::ConnectionId;
use super::hub::{Cx, Hub};
use crate::id::parse_id;
use crate::wire::http::Query;
use crate::wire::json::Value;

/// What handling an opcode comes to: a RESUME that another core must decide, or why the connection is closed.
pub(super) type Outcome = Result<Option<Resume>, &'static Close>;

/// Handles an opcode of a connection, with the `d` that its row lets through.
pub(super) type Handler = fn(&mut Hub, &Cx<'_>, ConnectionId, &Value<'_>) -> Outcome;

/// When a client may send an opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Once; afterwards it closes 4005.
    BeforeSession,
    /// Before, it closes 4003.
    InSession,
    Always,
}

/// What `d` must be; other types close 4002.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Object,
    /// With null, or without `d`, nothing happens.
    ObjectOrNull,
    /// The handler looks.
    Any,
}

/// What the protocol says of an opcode.
pub struct OpRow {
    pub code: i128,
    pub name: &'static str,
    /// What a client has to keep to, when it may send it.
    pub taken: Option<Taken>,
}

/// An opcode that a client may send.
pub struct Taken {
    pub when: When,
    pub data: Data,
    /// What it costs of a turn, in dispatches of 30 ns, besides what it delivers: see [`super::input`].
    pub effort: u64,
    pub(super) handler: Handler,
}

/// What reading a message and answering it costs.
pub(super) const MESSAGE_EFFORT: u64 = 64;

const fn sent(code: i128, name: &'static str) -> OpRow {
    OpRow { code, name, taken: None }
}

const fn taken(
    code: i128,
    name: &'static str,
    when: When,
    data: Data,
    effort: u64,
    handler: Handler,
) -> OpRow {
    OpRow { code, name, taken: Some(Taken { when, data, effort, handler }) }
}

use Data::{Any, Object, ObjectOrNull};
use When::{Always, BeforeSession, InSession};

/// All opcodes. Without a media server what is about media is checked and otherwise ignored (§9, D15).
#[rustfmt::skip]
pub const OPS: &[OpRow] = &[
    sent(0, "DISPATCH"),
    taken(1, "HEARTBEAT", Always, Any, MESSAGE_EFFORT, Hub::heartbeat),
    taken(2, "IDENTIFY", BeforeSession, Object, MESSAGE_EFFORT, Hub::identify),
    taken(3, "PRESENCE_UPDATE", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::presence),
    taken(4, "VOICE_STATE_UPDATE", InSession, Object, MESSAGE_EFFORT, Hub::voice_state),
    taken(6, "RESUME", Always, Object, MESSAGE_EFFORT, Hub::resume),
    sent(7, "RECONNECT"),
    taken(8, "REQUEST_GUILD_MEMBERS", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::request_members),
    sent(9, "INVALID_SESSION"),
    sent(10, "HELLO"),
    sent(11, "HEARTBEAT_ACK"),
    sent(12, "SERVER_STATUS"),
    taken(13, "VERSION_CHECK", Always, Object, MESSAGE_EFFORT, Hub::version_check),
    taken(20, "VOICE_CONNECT", InSession, Object, MESSAGE_EFFORT, Hub::voice_connect),
    taken(21, "VOICE_DISCONNECT", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::voice_disconnect),
    taken(22, "VOICE_SDP_OFFER", InSession, Object, MESSAGE_EFFORT, Hub::voice_offer),
    sent(23, "VOICE_SDP_ANSWER"),
    taken(24, "VOICE_ICE_CANDIDATE", InSession, Object, MESSAGE_EFFORT, Hub::voice_candidate),
    taken(25, "VOICE_SPEAKING", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::voice_ignored),
    taken(26, "VOICE_QUALITY", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::voice_ignored),
    sent(30, "INTERACTION"),
    taken(40, "TYPING_START", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::typing_start),
    taken(41, "TYPING_STOP", InSession, ObjectOrNull, MESSAGE_EFFORT, Hub::typing_stop),
];

/// Why the server closes a connection: code and reason text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close {
    pub code: u16,
    pub reason: &'static str,
}

macro_rules! closes {
    ($($constant:ident = $code:literal $reason:literal;)*) => {
        impl Close { $(pub const $constant: Close = Close { code: $code, reason: $reason };)* }

        /// All of them, for the golden file.
        pub const CLOSES: &[(&str, Close)] = &[$((stringify!($constant), Close::$constant)),*];
    };
}

closes! {
    UNKNOWN_ERROR = 4000 "Unknown error";
    RECONNECT = 4000 "Reconnect";
    UNKNOWN_OPCODE = 4001 "Unknown opcode";
    DECODE_ERROR = 4002 "Decode error";
    NOT_AUTHENTICATED = 4003 "Not authenticated";
    AUTHENTICATION_FAILED = 4004 "Authentication failed";
    LOGGED_OUT = 4004 "Logged out";
    SECURITY_LOGOUT = 4004 "Security logout";
    SECURITY_RESET = 4004 "Security reset";
    ACCOUNT_SUSPENDED = 4004 "Account suspended";
    ALREADY_AUTHENTICATED = 4005 "Already authenticated";
    INVALID_SEQ = 4007 "Invalid seq";
    RATE_LIMITED = 4008 "Rate limited";
    TOO_MANY_CONNECTIONS = 4008 "Too many connections";
    SLOW_CONSUMER = 4008 "Slow consumer";
    SESSION_TIMED_OUT = 4009 "Session timed out";
    RESUMED_ELSEWHERE = 4009 "Session resumed elsewhere";
    INVALID_VERSION = 4012 "Invalid API version";
    INVALID_INTENTS = 4013 "Invalid intents";
    VERSION_OUTDATED = 4015 "Version outdated";
    SERVER_MAINTENANCE = 4016 "Server maintenance";
    SERVER_SHUTDOWN = 4017 "Server shutdown";
    PROTOCOL_ERROR = 1002 "Protocol error";
    INVALID_UTF8 = 1007 "Invalid UTF-8";
    TOO_BIG = 1009 "Frame too large";
    PONG_MISSING = 1011 "No answer to ping";
}

/// What an opcode asks of clients, if they may send it.
pub(super) fn taken_by(code: i128) -> Option<&'static Taken> {
    OPS.iter().find(|row| row.code == code)?.taken.as_ref()
}

/// `v` of the gateway's query, undecoded: absent or a number from 1 to 10 (§1).
pub fn version_is_known(query: &str) -> bool {
    match Query(query).get("v") {
        Ok(None) => true,
        Ok(Some(text)) => matches!(parse_id(&text), Some(1..=10)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_of_the_contract() {
        let codes = |pick: fn(&Taken) -> bool| -> Vec<i128> {
            let rows = OPS.iter().filter(|row| row.taken.as_ref().is_some_and(pick));
            rows.map(|row| row.code).collect()
        };
        assert_eq!(codes(|_| true), [1, 2, 3, 4, 6, 8, 13, 20, 21, 22, 24, 25, 26, 40, 41]);
        assert_eq!(codes(|taken| taken.when != When::InSession), [1, 2, 6, 13]);
        assert!(OPS.is_sorted_by(|one, next| one.code < next.code));
    }

    #[test]
    fn versions_from_1_to_10_are_known() {
        for query in ["", "encoding=json", "v=1", "v=10", "encoding=json&v=9"] {
            assert!(version_is_known(query), "{query}");
        }
        for query in ["v=0", "v=11", "v=", "v=ten", "v=%zz", "v=-1"] {
            assert!(!version_is_known(query), "{query}");
        }
    }

    #[test]
    fn reasons_fit_a_close_frame() {
        assert!(CLOSES.iter().all(|(_, close)| (1..=123).contains(&close.reason.len())));
    }
}
