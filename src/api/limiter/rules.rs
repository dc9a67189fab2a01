//! The table of rate-limit buckets (contract README §6). Routes name a row; its numbers are an option's.

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
    ($($(#[$doc:meta])* $id:ident = $name:literal, $key:ident, $bot:literal, $scope:literal, $section:ident.$option:ident $(, within $outer:ident)?;)*) => {
        /// The rows of the table, in its order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum RuleId { $($(#[$doc])* $id,)* }

        impl RuleId {
            /// Every row.
            pub const ALL: [RuleId; RULE_COUNT] = [$(RuleId::$id,)*];
        }

        const RULES: &[Rule] = &[$(Rule { name: $name, key: KeyKind::$key, bot: $bot, scope: $scope, spec: |config| &config.$section.$option, within: rules!(@within $($outer)?) },)*];

        /// Rows in the table.
        pub const RULE_COUNT: usize = [$($name,)*].len();
    };
}

rules! {
    /// Everything a caller does.
    Global = "global", Principal, false, "global", rate_limiting.global;
    /// Everything a user does.
    User = "user", User, false, "user", rate_limiting.user;
    /// Everything an anonymous caller does.
    Ip = "ip", Ip, false, "ip", rate_limiting.ip;
    AuthLogin = "auth_login", Ip, false, "route", rate_limiting_buckets.auth_login;
    AuthRegister = "auth_register", Ip, false, "route", rate_limiting_buckets.auth_register;
    AuthTwoFactor = "auth_two_factor", Ip, false, "route", rate_limiting_buckets.auth_two_factor;
    MessagesCreate = "messages_create", UserChannel, true, "resource", rate_limiting_buckets.messages_create;
    /// PATCH and DELETE.
    MessagesEdit = "messages_edit", UserChannel, false, "resource", rate_limiting_buckets.messages_edit;
    /// PUT and DELETE.
    Reactions = "reactions", UserChannel, true, "resource", rate_limiting_buckets.reactions;
    MessagesList = "messages_list", UserChannel, true, "resource", rate_limiting_buckets.messages_list;
    UsersMeGet = "users_me_get", User, false, "route", rate_limiting_buckets.users_me_get;
    UsersMeEdit = "users_me_edit", User, false, "route", rate_limiting_buckets.users_me_edit;
    ServersCreate = "servers_create", User, false, "route", rate_limiting_buckets.servers_create;
    ServersDelete = "servers_delete", User, false, "route", rate_limiting_buckets.servers_delete;
    ServersGet = "servers_get", User, false, "route", rate_limiting_buckets.servers_get;
    ServersChannelsList = "servers_channels_list", User, false, "route", rate_limiting_buckets.servers_channels_list;
    RelationshipsList = "relationships_list", User, false, "route", rate_limiting_buckets.relationships_list;
    RelationshipsCreate = "relationships_create", User, false, "route", rate_limiting_buckets.relationships_create;
    RelationshipsBlock = "relationships_block", User, false, "route", rate_limiting_buckets.relationships_block;
    /// Files of all kinds.
    Uploads = "uploads", User, false, "route", rate_limiting_buckets.uploads;
    WebhooksCreate = "webhooks_create", User, false, "route", rate_limiting_buckets.webhooks_create;
    /// All that the webhooks of a channel say.
    WebhooksChannel = "webhooks_channel", WebhookChannel, false, "webhook", rate_limiting_buckets.webhooks_channel;
    WebhooksExecute = "webhooks_execute", Webhook, false, "webhook", rate_limiting_buckets.webhooks_execute, within WebhooksChannel;
    Qr = "qr", Ip, false, "route", rate_limiting_buckets.qr;
    Feedback = "feedback", User, false, "route", rate_limiting_buckets.feedback;
    /// What programs tell by themselves.
    Telemetry = "telemetry", Ip, false, "route", rate_limiting_buckets.telemetry;
    /// Every route without a bucket of its own.
    Default = "default", UserRoute, false, "route", rate_limiting_buckets.default;
}

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
