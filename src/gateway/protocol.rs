//! Opcodes and close codes, as tables.

macro_rules! opcodes {
    ($($constant:ident = $code:literal, $sendable:literal, $early:literal, $object:literal;)*) => {
        /// Opcode numbers.
        pub mod op { $(pub const $constant: i128 = $code;)* }

        /// What the protocol says of an opcode that a client may send.
        pub struct OpRow {
            pub code: i128,
            pub name: &'static str,
            /// Clients may send it.
            pub sendable: bool,
            /// Allowed before IDENTIFY.
            pub early: bool,
            /// `d` must be an object; otherwise null is ignored and other types close 4002.
            pub object: bool,
        }

        pub const OPS: &[OpRow] = &[$(OpRow {
            code: $code, name: stringify!($constant), sendable: $sendable, early: $early, object: $object,
        }),*];
    };
}

opcodes! {
    DISPATCH = 0, false, false, false;
    HEARTBEAT = 1, true, true, false;
    IDENTIFY = 2, true, true, true;
    PRESENCE_UPDATE = 3, true, false, false;
    VOICE_STATE_UPDATE = 4, true, false, true;
    RESUME = 6, true, true, true;
    RECONNECT = 7, false, false, false;
    REQUEST_GUILD_MEMBERS = 8, true, false, false;
    INVALID_SESSION = 9, false, false, false;
    HELLO = 10, false, false, false;
    HEARTBEAT_ACK = 11, false, false, false;
    SERVER_STATUS = 12, false, false, false;
    VERSION_CHECK = 13, true, true, true;
    VOICE_CONNECT = 20, true, false, true;
    VOICE_DISCONNECT = 21, true, false, false;
    VOICE_SDP_OFFER = 22, true, false, true;
    VOICE_SDP_ANSWER = 23, false, false, false;
    VOICE_ICE_CANDIDATE = 24, true, false, true;
    VOICE_SPEAKING = 25, true, false, false;
    VOICE_QUALITY = 26, true, false, false;
    INTERACTION = 30, false, false, false;
    TYPING_START = 40, true, false, false;
    TYPING_STOP = 41, true, false, false;
}

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
    UNKNOWN_OPCODE = 4001 "Unknown opcode";
    DECODE_ERROR = 4002 "Decode error";
    NOT_AUTHENTICATED = 4003 "Not authenticated";
    AUTHENTICATION_FAILED = 4004 "Authentication failed";
    LOGGED_OUT = 4004 "Logged out";
    SECURITY_LOGOUT = 4004 "Security logout";
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
    SERVER_SHUTDOWN = 4017 "Server shutdown";
    PROTOCOL_ERROR = 1002 "Protocol error";
    INVALID_UTF8 = 1007 "Invalid UTF-8";
    TOO_BIG = 1009 "Frame too large";
    PONG_MISSING = 1011 "No answer to ping";
}

/// The row of an opcode that a client may send.
pub fn sendable(code: i128) -> Option<&'static OpRow> {
    OPS.iter().find(|row| row.code == code && row.sendable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sendable_opcodes_of_the_contract() {
        let codes: Vec<i128> = OPS.iter().filter(|row| row.sendable).map(|row| row.code).collect();
        assert_eq!(codes, [1, 2, 3, 4, 6, 8, 13, 20, 21, 22, 24, 25, 26, 40, 41]);
        assert!(OPS.iter().filter(|row| row.early).map(|row| row.code).eq([1, 2, 6, 13]));
    }

    #[test]
    fn reasons_fit_a_close_frame() {
        assert!(CLOSES.iter().all(|(_, close)| (1..=123).contains(&close.reason.len())));
    }
}
