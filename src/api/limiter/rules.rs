//! The rules of the table of rate-limit buckets (contract README §6). Routes name a row; its numbers are an option's.

use crate::config::buckets::bucket_rows;
use crate::config::{BucketSpec, Config};

/// What a bucket is counted by. Without a user, the user's part is the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// The user, or the address of an anonymous caller.
    Principal,
    Ip,
    User,
    /// User and channel (or whatever the request names as its resource).
    UserChannel,
    /// User, method and route.
    UserRoute,
    /// The webhook whose token was shown. Without one, as all that is not known, the address.
    Webhook,
    /// The channel of that webhook, whichever webhook of it.
    WebhookChannel,
}

/// One bucket.
#[derive(Debug)]
pub struct Rule {
    /// As in the option `rate_limiting.buckets.<name>`.
    pub name: &'static str,
    pub key: KeyKind,
    /// Whether a bot gets the bot multiplier here: the rows marked B.
    pub bot: bool,
    /// `X-RateLimit-Scope` and `scope` in a refusal.
    pub scope: &'static str,
    /// Its option.
    pub spec: fn(&Config) -> &BucketSpec,
    /// A wider one that is asked before it.
    pub within: Option<RuleId>,
}

macro_rules! rules {
    (@within) => { None };
    (@within $outer:ident) => { Some(RuleId::$outer) };
    (
        { $($wide:ident = $section:ident.$wide_name:ident, $wide_key:ident;)* }
        { $($id:ident $name:ident = $default:literal, $key:ident, $bot:literal, $scope:literal $(, within $outer:ident)?, $help:literal;)* }
    ) => {
        /// The rows of the table, in its order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum RuleId { $($wide,)* $(#[doc = $help] $id,)* }

        impl RuleId {
            /// Every row.
            pub const ALL: [RuleId; RULE_COUNT] = [$(RuleId::$wide,)* $(RuleId::$id,)*];
        }

        const RULES: &[Rule] = &[
            $(Rule {
                name: stringify!($wide_name),
                key: KeyKind::$wide_key,
                bot: false,
                scope: stringify!($wide_name),
                spec: |config| &config.$section.$wide_name,
                within: None,
            },)*
            $(Rule {
                name: stringify!($name),
                key: KeyKind::$key,
                bot: $bot,
                scope: $scope,
                spec: |config| &config.rate_limiting_buckets.$name,
                within: rules!(@within $($outer)?),
            },)*
        ];

        /// Rows in the table.
        pub const RULE_COUNT: usize = [$(stringify!($wide_name),)* $(stringify!($name),)*].len();
    };
}

// Those that every request goes by, whatever its route.
bucket_rows! { rules! {
    Global = rate_limiting.global, Principal;
    User = rate_limiting.user, User;
    Ip = rate_limiting.ip, Ip;
} }

impl RuleId {
    /// The row.
    pub fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }

    /// `X-RateLimit-Bucket`: the same for every caller and every start of the server.
    pub fn bucket_hash(self) -> u64 {
        BUCKET_HASHES[self as usize]
    }
}

/// What the limiter reads of the configuration.
#[derive(Clone, Debug)]
pub struct RuleSpecs {
    /// `rate_limiting.enabled`. Off: every request is [`super::Verdict::Unlimited`].
    pub enabled: bool,
    /// `rate_limiting.bot_multiplier` × 100.
    pub bot_multiplier_percent: u32,
    /// `rate_limiting.webhook_multiplier` × 100.
    pub webhook_multiplier_percent: u32,
    /// `authentication.security.token_verify_rate_limit`, per minute and address; 0 is off. Independent of
    /// `enabled`.
    pub token_verify_rate_limit: u32,
    /// By [`RuleId`]; `requests == 0` switches a bucket off.
    pub buckets: [BucketSpec; RULE_COUNT],
}

const BUCKET_HASHES: [u64; RULE_COUNT] = {
    let mut hashes = [0; RULE_COUNT];
    let mut index = 0;
    while index < RULE_COUNT {
        let key = match RULES[index].key {
            KeyKind::Principal => ":principal",
            KeyKind::Ip => ":ip",
            KeyKind::User => ":user",
            KeyKind::UserChannel => ":user:channel",
            KeyKind::UserRoute => ":user:route",
            KeyKind::Webhook => ":webhook",
            KeyKind::WebhookChannel => ":webhook:channel",
        };
        hashes[index] = fnv1a(fnv1a(0xCBF2_9CE4_8422_2325, RULES[index].name), key);
        index += 1;
    }
    hashes
};

/// FNV-1a, 64 bits: stable and const; nothing here is chosen by a client.
const fn fnv1a(mut hash: u64, text: &str) -> u64 {
    let mut index = 0;
    while index < text.len() {
        hash = (hash ^ text.as_bytes()[index] as u64).wrapping_mul(0x0000_0100_0000_01B3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Inputs, OPTIONS, load};

    #[test]
    fn rows_are_distinct_and_in_order() {
        for (index, id) in RuleId::ALL.into_iter().enumerate() {
            assert_eq!(id as usize, index);
            let same = |other: &RuleId| {
                other.rule().name == id.rule().name || other.bucket_hash() == id.bucket_hash()
            };
            assert_eq!(RuleId::ALL.iter().filter(|other| same(other)).count(), 1);
        }
        assert_eq!(RuleId::Default.rule().name, "default");
        assert_eq!(fnv1a(0xCBF2_9CE4_8422_2325, "a"), 0xAF63_DC4C_8601_EC8C, "published test vector");
    }

    #[test]
    fn options_are_named_as_their_buckets() {
        let key =
            |name: &str| match OPTIONS.iter().find(|option| option.key == format!("rate_limiting.{name}")) {
                Some(option) => option.key.to_string(),
                None => format!("rate_limiting.buckets.{name}"),
            };
        // Another number for each.
        let lines =
            RuleId::ALL.map(|id| format!("{} = \"{}/60s fixed\"\n", key(id.rule().name), 7 + id as u32));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, lines.concat()).unwrap();
        let config = load(&Inputs { file: Some(file), home: Some("/home/ada".into()), ..Inputs::default() })
            .unwrap()
            .config;
        for id in RuleId::ALL {
            assert_eq!((id.rule().spec)(&config).requests, 7 + id as u32, "{}", id.rule().name);
        }
    }

    #[test]
    fn rows_marked_b_are_the_contracts() {
        let marked: Vec<_> = RULES.iter().filter(|rule| rule.bot).map(|rule| rule.name).collect();
        assert_eq!(marked, ["messages_create", "reactions", "messages_list"]);
    }
}
