//! Tiers: what an account may use, as one table (contract §9, `user_features.rate_limit_tiers`).
//!
//! Commands carry the limits they depend on; handlers look them up here by the tier of the principal.

use crate::store::records::tier;

/// The limits of one tier; `None` is unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Factor on the rate limits that are counted per user.
    pub rate_multiplier: u64,
    pub voice_minutes_per_day: Option<u64>,
    pub video_minutes_per_day: Option<u64>,
    pub uploads_per_day: Option<u64>,
    /// MiB of one uploaded file.
    pub file_mib: u64,
    /// Servers a user may own or be in.
    pub servers: Option<u64>,
    /// Characters of a message.
    pub message_len: u64,
    /// Different emoji on one message.
    pub reactions_per_message: Option<u64>,
    pub pins_per_channel: Option<u64>,
    pub emoji_slots: Option<u64>,
}

/// Servers of one user even when his tier has no limit: READY and the server list name all of them.
pub const SERVER_COUNT_MAX: u64 = 2_000;

const ROWS: &[(u8, Limits)] = &[
    (
        tier::STANDARD,
        Limits {
            rate_multiplier: 1,
            voice_minutes_per_day: Some(120),
            video_minutes_per_day: Some(60),
            uploads_per_day: Some(50),
            file_mib: 10,
            servers: Some(100),
            message_len: 2_000,
            reactions_per_message: Some(20),
            pins_per_channel: Some(50),
            emoji_slots: Some(50),
        },
    ),
    (
        tier::ALPHA,
        Limits {
            rate_multiplier: 2,
            voice_minutes_per_day: Some(480),
            video_minutes_per_day: Some(240),
            uploads_per_day: Some(200),
            file_mib: 25,
            servers: Some(200),
            message_len: 4_000,
            reactions_per_message: Some(50),
            pins_per_channel: Some(100),
            emoji_slots: Some(100),
        },
    ),
    (
        tier::PREMIUM,
        Limits {
            rate_multiplier: 3,
            voice_minutes_per_day: None,
            video_minutes_per_day: None,
            uploads_per_day: Some(500),
            file_mib: 100,
            servers: Some(500),
            message_len: 4_000,
            reactions_per_message: Some(100),
            pins_per_channel: Some(200),
            emoji_slots: Some(250),
        },
    ),
    (
        tier::STAFF,
        Limits {
            rate_multiplier: 10,
            voice_minutes_per_day: None,
            video_minutes_per_day: None,
            uploads_per_day: None,
            file_mib: 500,
            servers: None,
            message_len: 8_000,
            reactions_per_message: None,
            pins_per_channel: None,
            emoji_slots: None,
        },
    ),
];

/// The limits of a [`tier`] code; an unknown code counts as standard.
pub fn limits(code: u8) -> &'static Limits {
    let row = ROWS.iter().find(|(known, _)| *known == code).unwrap_or(&ROWS[0]);
    &row.1
}

/// How many servers a user of this tier may be in.
pub fn server_count_max(code: u8) -> u64 {
    limits(code).servers.unwrap_or(SERVER_COUNT_MAX).min(SERVER_COUNT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_code() {
        let check = |code: u8, servers: u64, file_mib: u64, message_len: u64| {
            let row = limits(code);
            assert_eq!(
                (server_count_max(code), row.file_mib, row.message_len),
                (servers, file_mib, message_len)
            );
        };
        check(tier::STANDARD, 100, 10, 2_000);
        check(tier::ALPHA, 200, 25, 4_000);
        check(tier::PREMIUM, 500, 100, 4_000);
        check(tier::STAFF, SERVER_COUNT_MAX, 500, 8_000);
        check(99, 100, 10, 2_000);
    }
}
