//! Tiers and badges: what they allow and how they look (contract README §9, `user_features`).

use crate::domain::chat::{pin, reaction};
use crate::store::records::{ArchivedUser, badge, tier};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// What accounts of one tier may use. `None` = unlimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A [`tier`] code.
    pub tier: u8,
    /// Factor of rate limits that are counted per user.
    pub multiplier: u64,
    pub voice_minutes_per_day_max: Option<u64>,
    pub video_minutes_per_day_max: Option<u64>,
    pub uploads_per_day_max: Option<u64>,
    pub file_size_mb_max: Option<u64>,
    pub servers_max: Option<u64>,
    /// Characters of a message.
    pub message_len_max: Option<u64>,
    pub reactions_per_message_max: Option<u64>,
    pub pins_per_channel_max: Option<u64>,
    pub emoji_slots_max: Option<u64>,
}

macro_rules! tiers {
    ($($tier:ident $multiplier:literal: $($limit:literal)*;)*) => {
        const TIERS: &[Limits] = &[$(row(tier::$tier, $multiplier, [$($limit),*])),*];
    };
}

// voice min/day, video min/day, uploads/day, file MB, servers, message length, reactions, pins, emoji; -1 = unlimited
tiers! {
    STANDARD 1: 120 60 50 10 100 2000 20 50 50;
    ALPHA 2: 480 240 200 25 200 4000 50 100 100;
    PREMIUM 3: -1 -1 500 100 500 4000 100 200 250;
    STAFF 10: -1 -1 -1 500 -1 8000 -1 -1 -1;
}

const fn row(tier: u8, multiplier: u64, limits: [i64; 9]) -> Limits {
    const fn limit(value: i64) -> Option<u64> {
        if value < 0 { None } else { Some(value.unsigned_abs()) }
    }
    Limits {
        tier,
        multiplier,
        voice_minutes_per_day_max: limit(limits[0]),
        video_minutes_per_day_max: limit(limits[1]),
        uploads_per_day_max: limit(limits[2]),
        file_size_mb_max: limit(limits[3]),
        servers_max: limit(limits[4]),
        message_len_max: limit(limits[5]),
        reactions_per_message_max: limit(limits[6]),
        pins_per_channel_max: limit(limits[7]),
        emoji_slots_max: limit(limits[8]),
    }
}

const _: () = {
    let mut index = 0;
    while index < TIERS.len() {
        let len_max = TIERS[index].message_len_max;
        assert!(matches!(len_max, Some(len_max) if len_max <= crate::limits::CONTENT_CHARS_MAX as u64));
        index += 1;
    }
};

/// The limits of a [`tier`] code; unknown codes get the standard ones.
pub fn limits(tier: u8) -> &'static Limits {
    TIERS.iter().find(|limits| limits.tier == tier).unwrap_or(&TIERS[0])
}

/// The [`tier`] code of an account now: his own, or the default one when his has ended.
pub fn in_force(user: &ArchivedUser, at: u64, default: impl FnOnce() -> u8) -> u8 {
    let has_ended = user.tier_until.as_ref().is_some_and(|until| until.to_native() <= at);
    if has_ended { default() } else { user.tier }
}

/// Its factor of the rate limits of a user, in percent (contract README §6).
pub fn rate_percent(code: u8) -> u32 {
    u32::try_from(limits(code).multiplier * 100).unwrap_or(u32::MAX)
}

/// How many servers a user of this tier may be in.
pub fn server_count_max(code: u8) -> u64 {
    const SERVER_COUNT_MAX: u64 = crate::limits::SERVER_COUNT_MAX as u64;
    limits(code).servers_max.map_or(SERVER_COUNT_MAX, |max| max.min(SERVER_COUNT_MAX))
}

/// Characters that a message of a user of this tier may have, where the server allows `server_max`.
pub fn message_len_max(code: u8, server_max: u64) -> u64 {
    limits(code).message_len_max.map_or(server_max, |max| max.min(server_max))
}

/// Different emojis that a user of this tier may bring a message to.
pub fn reactions_max(code: u8) -> u64 {
    limits(code).reactions_per_message_max.unwrap_or(reaction::KINDS_MAX).min(reaction::KINDS_MAX)
}

/// Bytes of a file of a user of this tier, where its kind allows `kind_max`.
pub fn file_len_max(code: u8, kind_max: u64) -> u64 {
    const MIB: u64 = crate::limits::MIB as u64;
    limits(code).file_size_mb_max.map_or(kind_max, |max| kind_max.min(max * MIB))
}

/// Emojis of either kind that a server of a user of this tier may have, where the server allows `server_max`.
pub fn emoji_count_max(code: u8, server_max: u64) -> u64 {
    limits(code).emoji_slots_max.map_or(server_max, |max| max.min(server_max))
}

/// Pins that a user of this tier may bring a channel to.
pub fn pins_max(code: u8) -> u64 {
    limits(code).pins_per_channel_max.unwrap_or(pin::PINS_MAX).min(pin::PINS_MAX)
}

/// How a badge is shown: code, name for people, description, icon, colour.
const BADGES: &[(u8, &str, &str, &str, &str)] = &[
    (badge::ALPHA_TESTER, "Alpha Tester", "Joined during the alpha", "flask", "#9b59b6"),
    (badge::EARLY_SUPPORTER, "Early Supporter", "Supported the project early on", "heart", "#eb459e"),
    (badge::STAFF, "Staff", "Works on this server", "shield", "#5865f2"),
    (badge::VERIFIED, "Verified", "Is who the profile says", "check", "#3ba55c"),
    (badge::BUG_HUNTER, "Bug Hunter", "Reported bugs that were fixed", "bug", "#faa61a"),
    (badge::CONTRIBUTOR, "Contributor", "Contributed to the project", "code", "#1abc9c"),
    (badge::MODERATOR, "Moderator", "Keeps the peace", "gavel", "#ed4245"),
    (badge::PARTNER, "Partner", "Runs a partnered community", "handshake", "#607d8b"),
];

shape! {
    /// A badge, as people see it.
    pub BadgeInfo(badge: &(u8, &str, &str, &str, &str)) {
        name: (Slot::word(badge::WORDS)) = badge::text(badge.0),
        display_name: str = badge.1,
        description: str = badge.2,
        icon: str = badge.3,
        color: str = badge.4,
    }
}

/// A limit; -1 for none.
fn limit(limit: Option<u64>) -> i64 {
    limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX))
}

shape! {
    /// What a tier allows; -1 is without limit.
    pub TierLimits(limits: &Limits) {
        name: (Slot::word(tier::WORDS)) = tier::text(limits.tier),
        multiplier: u64 = limits.multiplier,
        max_voice_minutes_per_day: i64 = limit(limits.voice_minutes_per_day_max),
        max_video_minutes_per_day: i64 = limit(limits.video_minutes_per_day_max),
        max_file_uploads_per_day: i64 = limit(limits.uploads_per_day_max),
        max_file_size_mb: i64 = limit(limits.file_size_mb_max),
        max_servers: i64 = limit(limits.servers_max),
        max_message_length: i64 = limit(limits.message_len_max),
        max_reactions_per_message: i64 = limit(limits.reactions_per_message_max),
        max_pins_per_channel: i64 = limit(limits.pins_per_channel_max),
        custom_emoji_slots: i64 = limit(limits.emoji_slots_max),
    }
}

/// The badges of these codes in their order, `count_max` at most.
fn shown_badges(codes: &[u8], count_max: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        let mut list = Array::new(out);
        let known = codes.iter().filter_map(|code| BADGES.iter().find(|badge| badge.0 == *code));
        known.take(count_max).for_each(|badge| BadgeInfo::write(list.item(), badge));
    }
}

shape! {
    /// Badges, at most `badge_count_max` in the order they were granted, and what the tier allows.
    pub PublicFeaturesResponse(tier_code: u8, badges: &[u8], badge_count_max: usize) {
        badges: (Slot::list(&Kind::Object(BadgeInfo::SHAPE))) = shown_badges(badges, badge_count_max),
        tier: (Slot::word(tier::WORDS)) = tier::text(limits(tier_code).tier),
        tier_limits: (Slot::object(TierLimits::SHAPE)) = |out: &mut Vec<u8>| TierLimits::write(out, limits(tier_code)),
    }
}

shape! {
    /// The tiers there are, by name.
    pub TiersResponse(default: u8) {
        tiers: (Slot::of(Kind::Map(&Kind::Object(TierLimits::SHAPE)))) = |out: &mut Vec<u8>| {
            let mut tiers = Object::new(out);
            TIERS.iter().for_each(|limits| TierLimits::write(tiers.key(tier::text(limits.tier)), limits));
        },
        default: (Slot::word(tier::WORDS)) = tier::text(default),
    }
}

shape! {
    /// The badges there are.
    pub BadgesResponse() {
        badges: (Slot::list(&Kind::Object(BadgeInfo::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            BADGES.iter().for_each(|badge| BadgeInfo::write(list.item(), badge));
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tier_and_badge_has_its_row() {
        for code in tier::STANDARD..=tier::STAFF {
            assert_eq!(limits(code).tier, code);
        }
        assert_eq!(limits(99).tier, tier::STANDARD);
        let percents = [tier::STANDARD, tier::ALPHA, tier::PREMIUM, tier::STAFF].map(rate_percent);
        assert_eq!(percents, [100, 200, 300, 1_000]);
        let (small, large) = (1 << 20, 50 << 20);
        assert_eq!([small, large].map(|max| file_len_max(tier::STANDARD, max)), [small, 10 << 20]);
        assert_eq!([small, large].map(|max| file_len_max(tier::STAFF, max)), [small, large]);
        assert_eq!(
            [tier::STANDARD, tier::ALPHA, tier::STAFF].map(|code| emoji_count_max(code, 80)),
            [50, 80, 80]
        );
        assert_eq!((reactions_max(tier::ALPHA), pins_max(tier::PREMIUM)), (50, 200));
        assert_eq!((reactions_max(tier::STAFF), pins_max(tier::STAFF)), (reaction::KINDS_MAX, pin::PINS_MAX));
        for code in badge::ALPHA_TESTER..=badge::PARTNER {
            assert!(BADGES.iter().any(|badge| badge.0 == code), "{code}");
        }
    }

    #[test]
    fn features_of_staff_are_unlimited() {
        let mut out = Vec::new();
        PublicFeaturesResponse::write(&mut out, tier::STAFF, &[badge::STAFF, badge::VERIFIED], 1);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"badges":[{"name":"staff","display_name":"Staff""#), "{text}");
        assert!(!text.contains("verified"), "{text}");
        assert!(text.contains(r#""max_servers":-1,"max_message_length":8000"#), "{text}");
    }
}
