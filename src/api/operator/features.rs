//! Tiers and badges: shown, given, taken back.

use super::{Place, date, read_days, user};
use crate::api::body::Body;
use crate::api::fields::{Chars, Needed, Text, Word, fields};
use crate::api::identity::rules::default_tier;
use crate::domain::identity::feature::{BadgeGrant, BadgeRevoke, TierSet};
use crate::domain::identity::tier::{in_force, limits};
use crate::domain::{Result, view};
use crate::id::UserId;
use crate::store::records::{badge, tier};

const DAY_MS: u64 = 86_400_000;

fields! {
    /// A tier for an account.
    pub USER_TIER: UserTierRequest {
        /// Its name or its id.
        name: Needed<Text> = Needed(Text(Chars::Any)),
        tier: Needed<Word> = Needed(Word(tier::WORDS)),
        /// For how long; then the default one is in force.
        days: Text = Text(Chars::Any),
    }
}

fields! {
    /// A badge of an account.
    pub USER_BADGE: UserBadgeRequest {
        /// Its name or its id.
        name: Needed<Text> = Needed(Text(Chars::Any)),
        badge: Needed<Word> = Needed(Word(badge::WORDS)),
    }
}

fields! {
    /// Which account.
    pub USER: UserRequest {
        /// Its name or its id.
        name: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

pub async fn show(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (user_id, name) = account(place, USER.name.read(body)?)?;
    let (moment, default) = (place.moment(), default_tier(place.config()));
    place.look(|read| {
        let user = view::existing(read, user_id)?;
        let code = in_force(user, moment.steady_ms, || default);
        let until = user.tier_until.as_ref().map(|until| until.to_native());
        let until = until.filter(|until| *until > moment.steady_ms);
        let until = until.map(|until| format!(" until {}", date(moment.offset().shown(until))));
        let badges: Vec<&str> = user.badges.iter().map(|code| badge::text(*code)).collect();
        let badges = if badges.is_empty() { "none".to_string() } else { badges.join(", ") };
        Ok(format!(
            "{name} is account {user_id}.\nTier: {}{}, {} times the rate limits\nBadges: {badges}\n",
            tier::text(code),
            until.unwrap_or_default(),
            limits(code).multiplier,
        ))
    })
}

pub async fn set_tier(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (user_id, name) = account(place, USER_TIER.name.read(body)?)?;
    let word = USER_TIER.tier.read(body)?;
    let tier = tier::code(word).expect("it is one of the words");
    let days = USER_TIER.days.read(body)?.map(read_days).transpose()?;
    place.submit(TierSet { user_id, tier, life_ms: days.map(|days| days * DAY_MS) }).await?;
    let long = days.map_or("from now on".to_string(), |days| format!("for {days} days"));
    Ok(format!("{name} has tier {word} {long}.\n"))
}

pub async fn add_badge(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (user_id, name) = account(place, USER_BADGE.name.read(body)?)?;
    let word = USER_BADGE.badge.read(body)?;
    let badge = badge::code(word).expect("it is one of the words");
    let is_new = place.submit(BadgeGrant { user_id, badge }).await?;
    Ok(format!("{name} has badge {word}{}.\n", if is_new { "" } else { " already" }))
}

pub async fn remove_badge(place: &dyn Place, body: &Body<'_>) -> Result<String> {
    let (user_id, name) = account(place, USER_BADGE.name.read(body)?)?;
    let word = USER_BADGE.badge.read(body)?;
    let badge = badge::code(word).expect("it is one of the words");
    let was_there = place.submit(BadgeRevoke { user_id, badge }).await?;
    Ok(format!("{name} {} badge {word}.\n", if was_there { "no longer has" } else { "does not have" }))
}

/// The account that is meant, and its name.
fn account(place: &dyn Place, name: &str) -> Result<(UserId, String)> {
    place.look(|read| {
        let user_id = user(read, name)?;
        Ok((user_id, view::username(read, user_id).to_string()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::ask;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{payload, register, take_events, text_at};
    use crate::config::{Config, UserFeatures};
    use crate::domain::EventName;

    const DAY_MS: u64 = 86_400_000;

    fn harness(limited: bool) -> Harness {
        let config = Config {
            user_features: UserFeatures { alpha_registration_enabled: false, ..UserFeatures::default() },
            ..Config::default()
        };
        if limited { Harness::limited(config) } else { Harness::with_config(config) }
    }

    fn tier(harness: &Harness, token: &str) -> (String, String) {
        let (_, text) = harness.request("GET", "/users/@me/features", Some(token), None);
        (text_at(&text, &["tier"]), text_at(&text, &["tier_limits", "max_message_length"]))
    }

    #[test]
    fn a_tier_is_in_force_with_the_answer_and_ends() {
        let harness = harness(false);
        let ada = register(&harness, "ada");
        let words = |tier: &str, len: &str| (tier.to_string(), len.to_string());
        assert_eq!(tier(&harness, &ada.token), words("standard", "2000"));
        let said = ask(&harness, r#"{"do":"user_tier","name":"ADA","tier":"staff"}"#).unwrap();
        assert_eq!(said, "ada has tier staff from now on.\n");
        assert_eq!(tier(&harness, &ada.token), words("staff", "8000"));
        let said = ask(&harness, r#"{"do":"user_tier","name":"ada","tier":"premium","days":"2"}"#).unwrap();
        assert_eq!(said, "ada has tier premium for 2 days.\n");
        assert_eq!(tier(&harness, &ada.token), words("premium", "4000"));
        let shown = ask(&harness, r#"{"do":"user_show","name":"ada"}"#).unwrap();
        assert!(
            shown.contains("Tier: premium until ") && shown.contains("3 times the rate limits"),
            "{shown}"
        );
        harness.advance(2 * DAY_MS - 1);
        assert_eq!(tier(&harness, &ada.token), words("premium", "4000"));
        harness.advance(1);
        assert_eq!(tier(&harness, &ada.token), words("standard", "2000"));
        let shown = ask(&harness, r#"{"do":"user_show","name":"ada"}"#).unwrap();
        assert!(shown.contains("Tier: standard, 1 times"), "{shown}");
    }

    #[test]
    fn its_multiplier_is_that_of_the_limits_of_a_user() {
        let harness = harness(true);
        let ada = register(&harness, "ada");
        let limit = || {
            let head = format!(
                "GET /api/v1/users/@me HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n",
                ada.token
            );
            harness.respond(&head, "").limits.unwrap().limit
        };
        assert_eq!(limit(), 40);
        for (tier, want) in [("alpha", 80), ("premium", 120), ("staff", 400), ("standard", 40)] {
            ask(&harness, &format!(r#"{{"do":"user_tier","name":"ada","tier":"{tier}"}}"#)).unwrap();
            assert_eq!(limit(), want, "{tier}");
        }
        ask(&harness, r#"{"do":"user_tier","name":"ada","tier":"staff","days":"1"}"#).unwrap();
        harness.advance(DAY_MS);
        assert_eq!(limit(), 40);
    }

    #[test]
    fn badges_come_and_go_and_are_told() {
        let harness = harness(false);
        let ada = register(&harness, "ada");
        take_events(&harness);
        let give = |badge: &str| {
            ask(&harness, &format!(r#"{{"do":"user_badge_add","name":"ada","badge":"{badge}"}}"#))
        };
        assert_eq!(give("verified").unwrap(), "ada has badge verified.\n");
        let events = take_events(&harness);
        assert_eq!(events[0].name, EventName::UserUpdate);
        assert!(payload(&events[0]).contains(r#""badges":["verified"]"#), "{}", payload(&events[0]));
        assert_eq!(give("verified").unwrap(), "ada has badge verified already.\n");
        assert!(take_events(&harness).is_empty());
        give("staff").unwrap();
        let (_, me) = harness.request("GET", "/users/@me", Some(&ada.token), None);
        assert_eq!(text_at(&me, &["badges"]), r#"["verified","staff"]"#);
        take_events(&harness);
        let take = || ask(&harness, r#"{"do":"user_badge_remove","name":"ada","badge":"verified"}"#).unwrap();
        assert_eq!(take(), "ada no longer has badge verified.\n");
        assert_eq!(take_events(&harness).len(), 2);
        assert_eq!(take(), "ada does not have badge verified.\n");
        let shown = ask(&harness, r#"{"do":"user_show","name":"ada"}"#).unwrap();
        assert!(shown.ends_with("Badges: staff\n"), "{shown}");
    }

    #[test]
    fn what_there_is_not_is_refused() {
        let harness = harness(false);
        register(&harness, "ada");
        for (request, want) in [
            (r#"{"do":"user_tier","name":"bob","tier":"staff"}"#, "There is no account bob"),
            (
                r#"{"do":"user_tier","name":"ada","tier":"gold"}"#,
                "must be one of standard, alpha, premium, staff",
            ),
            (r#"{"do":"user_tier","name":"ada","tier":"staff","days":"0"}"#, "days: must be 1 to"),
            (r#"{"do":"user_badge_add","name":"ada","badge":"Staff"}"#, "must be one of alpha_tester"),
            (r#"{"do":"user_badge_remove","name":"ada"}"#, "badge: this field is required"),
            (r#"{"do":"user_show","name":"bob"}"#, "There is no account bob"),
        ] {
            let refused = ask(&harness, request).unwrap_err();
            assert!(refused.contains(want), "{request}: {refused}");
        }
    }
}
