//! Ids: 64-bit snowflakes behind newtypes, so that a user is never passed for a channel.
//!
//! Layout (contract §1.3): milliseconds since 2024-01-01 << 22 | datacenter(5) << 17 | worker(5) << 12 | sequence(12).
//! In JSON an id is a decimal string; in keys it is eight big-endian bytes.

/// 2024-01-01T00:00:00Z in Unix milliseconds.
pub const EPOCH_MS: u64 = 1_704_067_200_000;
const SEQUENCE_BITS: u32 = 12;
const NODE_BITS: u32 = 10;
const TIME_SHIFT: u32 = SEQUENCE_BITS + NODE_BITS;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
/// The last millisecond that ids have room for, a day before their end: the ids of a day may still follow it.
const TIME_MAX: u64 = (u64::MAX >> TIME_SHIFT) - 86_400_000;

/// The archived form of an id inside a record.
macro_rules! archived {
    ($name:ident) => {
        <$name as rkyv::Archive>::Archived
    };
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
        #[rkyv(derive(Clone, Copy, PartialEq, Eq))]
        pub struct $name(pub u64);

        impl $name {
            pub const MIN: $name = $name(0);
            pub const MAX: $name = $name(u64::MAX);

            /// One to twenty digits that fit 64 bits; anything else is no id.
            pub fn parse(text: &str) -> Option<$name> {
                parse_id(text).map($name)
            }

            /// When the thing was created, Unix milliseconds.
            pub fn created_ms(self) -> u64 {
                created_ms(self.0)
            }
        }

        impl From<&archived!($name)> for $name {
            fn from(archived: &archived!($name)) -> $name {
                $name(archived.0.to_native())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// An account.
    UserId
    /// A login session; the first part of its token.
    TokenId
    ServerId
    ChannelId
    MessageId
    RoleId
    AuditId
    /// A login between password and second factor; part of its token.
    ChallengeId
    /// A webhook; part of its token.
    WebhookId
    /// A rule of automod.
    RuleId
    /// What somebody wrote against such a rule.
    ViolationId
    /// A report of a message or of somebody.
    ReportId
    /// What somebody wrote to those who run the server.
    TicketId
    /// A token that lets a client in at all.
    AccessTokenId
    /// An address or network that may use one.
    AccessScopeId
    PollId
    /// A sign-in at another provider before he has led back; the first part of its state.
    SignInId
    /// An emoji of a server.
    EmojiId
    StickerId
    /// A passkey.
    PasskeyId
    /// A file that was uploaded for messages.
    AttachmentId
    /// Somebody who runs the server.
    AdminId
    /// A name, or a pattern, that nobody may take.
    NameBanId
}

/// Reads an id as it stands in paths and bodies: 1..20 ASCII digits within 64 bits.
pub fn parse_id(text: &str) -> Option<u64> {
    let digits = text.as_bytes();
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Unix milliseconds in which an id was given out.
pub fn created_ms(id: u64) -> u64 {
    (id >> TIME_SHIFT) + EPOCH_MS
}

/// The smallest id that can have been given out at or after `unix_ms`.
pub fn first_id_at(unix_ms: u64) -> u64 {
    unix_ms.saturating_sub(EPOCH_MS) << TIME_SHIFT
}

/// The id that follows `last`, given out at `now_ms` by node `node` (datacenter << 5 | worker). A clock beyond the
/// year 2163, where the milliseconds of ids end, counts as that.
///
/// Strictly greater than `last` even when the clock stands still or steps back, and when more than
/// 4,096 ids fall into one millisecond: then the millisecond in the id runs ahead of the clock.
pub fn next_id(last: u64, now_ms: u64, node: u16) -> u64 {
    assert!(node < 1 << NODE_BITS, "a node is a datacenter and a worker");
    let compose = |time: u64, sequence: u64| time << TIME_SHIFT | u64::from(node) << SEQUENCE_BITS | sequence;
    let now = now_ms.saturating_sub(EPOCH_MS).min(TIME_MAX);
    let last_time = last >> TIME_SHIFT;
    let id = if now > last_time {
        compose(now, 0)
    } else if last & SEQUENCE_MASK < SEQUENCE_MASK {
        compose(last_time, (last & SEQUENCE_MASK) + 1)
    } else {
        compose(last_time + 1, 0)
    };
    // A store that was written under a larger node number: skip to the next millisecond.
    let id = if id > last { id } else { compose(last_time + 1, 0) };
    assert!(id > last, "an id is given out once");
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_only_decimal_64_bit() {
        let check = |input: &str, want: Option<u64>| assert_eq!(parse_id(input), want, "{input:?}");
        check("0", Some(0));
        check("18446744073709551615", Some(u64::MAX));
        check("18446744073709551616", None);
        check("000000000000000000001", None);
        check("", None);
        check("-1", None);
        check("+1", None);
        check("1a", None);
        check("１", None);
    }

    #[test]
    fn ids_rise_whatever_the_clock_does() {
        let mut last = 0;
        for step in 0..20_000u64 {
            let now = EPOCH_MS + 1_000_000 - step / 7;
            let id = next_id(last, now, (step % 3) as u16);
            assert!(id > last, "step {step}");
            last = id;
        }
    }

    #[test]
    fn ids_rise_after_a_clock_beyond_their_end() {
        let last = next_id(0, u64::MAX, 0);
        assert_eq!(created_ms(last), EPOCH_MS + TIME_MAX);
        assert!(next_id(last, u64::MAX, 0) > last);
        assert!(next_id(last, EPOCH_MS, 1023) > last);
    }

    #[test]
    fn id_carries_its_time_and_node() {
        let id = next_id(0, EPOCH_MS + 5, 33);
        assert_eq!(created_ms(id), EPOCH_MS + 5);
        assert_eq!(id >> 12 & 0x3ff, 33);
        assert_eq!(first_id_at(EPOCH_MS + 5), 5 << 22);
    }
}
