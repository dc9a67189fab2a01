//! The table of options: one row per option, the only place that names its key, type, default, bounds and help.
//!
//! Owns: the `Config` struct and the rows from which `--help`, the sample file and the golden listing are printed.
//! Invariant: no option exists that is not a row here, and no row that nothing reads.
//!
//! The field is the key with `_` for `.`; `macro_rules` cannot join identifiers, so a row spells both and a test
//! compares them.

use super::value::{self, Given, Rule, Setting};
use super::{API_LEVEL, BucketSpec};

/// One row of the table, with accessors that read and write its field as text.
pub struct OptionRow {
    /// Dotted key, as in the file: `section.name` or `section.group.name`.
    pub key: &'static str,
    /// Name of the field of [`Config`].
    pub field: &'static str,
    /// Type and bounds in words: `integer 1..65535`.
    pub kind: fn(&Rule) -> String,
    pub rule: Rule,
    /// One line.
    pub help: &'static str,
    pub(super) set: fn(&mut Config, &Given<'_>, &Rule) -> Result<(), String>,
    pub(super) get: fn(&Config, &Rule) -> String,
}

macro_rules! options {
    ($($field:ident $key:literal: $ty:ty = $default:expr, $rule:expr, $help:literal;)*) => {
        /// Every option, with its value in force. Built by [`super::load`]; `Config::default()` is the table's defaults.
        #[derive(Clone, PartialEq)]
        pub struct Config {
            $(#[doc = $help] pub $field: $ty,)*
        }

        impl Default for Config {
            fn default() -> Config {
                Config { $($field: <$ty as Setting>::from_literal($default),)* }
            }
        }

        /// The rows in the order of the table, sections together.
        pub static OPTIONS: &[OptionRow] = &[
            $(OptionRow {
                key: $key,
                field: stringify!($field),
                kind: <$ty as Setting>::kind,
                rule: $rule,
                help: $help,
                set: |config, given, rule| {
                    config.$field = <$ty as Setting>::read(given, rule)?;
                    Ok(())
                },
                get: |config, rule| config.$field.to_toml(rule),
            },)*
        ];
    };
}

const ANY: Rule = Rule::Any;
const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;
const HOUR_MS: u64 = 3_600_000;

const fn range(min: u64, max: u64) -> Rule {
    Rule::Range(min, max)
}

const fn bytes(min: u64, max: u64) -> Rule {
    Rule::Bytes(min, max)
}

const fn choice(values: &'static [&'static str]) -> Rule {
    Rule::Choice(values)
}

const LEVELS: &[&str] = &["TRACE", "DEBUG", "INFO", "WARNING", "WARN", "ERROR"];
const TIERS: &[&str] = &["standard", "alpha", "premium", "staff"];
const CORS_ORIGINS: &[&str] = &[
    "http://localhost:5000",
    "http://localhost:8000",
    "http://127.0.0.1:5000",
    "http://127.0.0.1:8000",
    "https://localhost:8443",
    "https://plexichat.com",
    "https://app.plexichat.com",
    "https://api.plexichat.com",
];
const CORS_METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"];
const CORS_HEADERS: &[&str] =
    &["Authorization", "Content-Type", "X-Requested-With", "Accept", "Origin", "X-API-Access-Token"];
const AVATAR_COLORS: &[&str] =
    &["#5865f2", "#3ba55c", "#faa61a", "#ed4245", "#eb459e", "#9b59b6", "#1abc9c", "#607d8b"];

options! {
    application_name "application.name": String = "Plexichat", Rule::Text(1, 64), "Name shown to clients";
    application_version "application.version": String = API_LEVEL, Rule::Version, "API level told to clients, not the version of this program";
    application_environment "application.environment": String = "development", Rule::Text(1, 32), "Free label of this installation";

    server_host "server.host": String = "127.0.0.1", Rule::Address, "Address to listen on; 0.0.0.0 or :: for all";
    server_port "server.port": u64 = 8000, range(0, 65_535), "Port of REST and gateway; 0 lets the system choose";
    server_shutdown_grace_ms "server.shutdown_grace_ms": u64 = 2000, range(0, 600_000), "How long connections may finish after SIGTERM";
    server_core_dumps "server.core_dumps": bool = false, ANY, "Let the system dump the memory after a crash, and debuggers attach; it holds what clients send";

    runtime_cores "runtime.cores": u64 = 0, range(0, 256), "Core threads; 0 = one per available core";
    runtime_pin "runtime.pin": bool = true, ANY, "Bind each core thread to its core";

    runtime_any_clock "runtime.any_clock": bool = false, ANY, "Start although the system clock looks wrong";

    store_path "store.path": String = "~/.plexichat/data", Rule::Path, "Folder of the database";
    store_map_size "store.map_size": u64 = 64 * GIB, bytes(16 * MIB, 64 * TIB), "Address space for the database, the most it can grow to; not allocated";
    store_sync "store.sync": String = "always", choice(&["always", "interval"]), "always: answered means on disk; interval: faster, a power cut may lose the last interval";
    store_sync_interval_ms "store.sync_interval_ms": u64 = 1000, range(10, 60_000), "Time between syncs when store.sync is interval";
    store_batch_max "store.batch_max": u64 = 1024, range(1, 65_536), "Commands in one transaction at most";

    logging_level "logging.level": String = "INFO", choice(LEVELS), "Least severity that is logged";
    logging_format "logging.format": String = "text", choice(&["text", "json"]), "Lines on stderr for people or for machines";
    logging_slow_turn_ms "logging.slow_turn_ms": u64 = 50, range(0, 60_000), "Warn when a turn of a core's loop, or a request handler, takes longer; 0 = off";

    metrics_enabled "metrics.enabled": bool = true, ANY, "Serve GET /metrics for Prometheus";
    metrics_host "metrics.host": String = "127.0.0.1", Rule::Address, "Address of /metrics; beyond loopback needs metrics.allow_public";
    metrics_port "metrics.port": u64 = 9600, range(0, 65_535), "Port of /metrics; 0 = off";
    metrics_allow_public "metrics.allow_public": bool = false, ANY, "Allow /metrics on an address others can reach; it has no password";

    authentication_accounts_allow_registration "authentication.accounts.allow_registration": bool = true, ANY, "Let anyone create an account";
    authentication_accounts_username_min_length "authentication.accounts.username_min_length": u64 = 3, range(1, 64), "Characters of a user name, at least";
    authentication_accounts_username_max_length "authentication.accounts.username_max_length": u64 = 32, range(1, 64), "Characters of a user name, at most";
    authentication_accounts_age_gate_enabled "authentication.accounts.age_gate_enabled": bool = false, ANY, "Ask for the age on registration";
    authentication_accounts_minimum_age "authentication.accounts.minimum_age": u64 = 13, range(0, 120), "Years, when the age gate is on";
    authentication_accounts_age_verification_type "authentication.accounts.age_verification_type": String = "boolean", choice(&["boolean", "dob"]), "What the age gate asks for: a confirmed age or a date of birth";

    authentication_account_deletion_enabled "authentication.account_deletion.enabled": bool = true, ANY, "Let users delete their account";
    authentication_account_deletion_grace_period_days "authentication.account_deletion.grace_period_days": u64 = 30, range(0, 3650), "Days in which a deletion can be taken back";

    authentication_sessions_expire_hours "authentication.sessions.expire_hours": u64 = 168, range(1, 87_600), "Life of a login";
    authentication_sessions_max_per_user "authentication.sessions.max_per_user": u64 = 10, range(1, 1000), "Live logins of one user; one more revokes the least recently active";
    authentication_sessions_extend_on_activity "authentication.sessions.extend_on_activity": bool = true, ANY, "Renew a login that is used shortly before its end";
    authentication_sessions_extend_threshold_hours "authentication.sessions.extend_threshold_hours": u64 = 24, range(0, 87_600), "Renew when less than this is left";

    authentication_security_max_failed_attempts "authentication.security.max_failed_attempts": u64 = 5, range(1, 1000), "Wrong passwords in a row, wherever one is asked for, before an account is locked";
    authentication_security_lockout_duration_minutes "authentication.security.lockout_duration_minutes": u64 = 15, range(1, 525_600), "How long it stays locked";
    authentication_security_token_verify_rate_limit "authentication.security.token_verify_rate_limit": u64 = 100, range(0, 1_000_000), "Bad tokens per minute and address before all are refused; 0 = off";
    authentication_security_fresh_login_minutes "authentication.security.fresh_login_minutes": u64 = 5, range(0, 10_080), "How long after a login the e-mail address can be changed without the password; 0 = never";

    authentication_password_min_length "authentication.password.min_length": u64 = 12, range(1, 1024), "Characters, at least";
    authentication_password_max_length "authentication.password.max_length": u64 = 128, range(8, 1024), "Characters, at most";
    authentication_password_require_uppercase "authentication.password.require_uppercase": bool = true, ANY, "Demand an upper-case letter";
    authentication_password_require_lowercase "authentication.password.require_lowercase": bool = true, ANY, "Demand a lower-case letter";
    authentication_password_require_digit "authentication.password.require_digit": bool = true, ANY, "Demand a digit";
    authentication_password_require_special "authentication.password.require_special": bool = true, ANY, "Demand a character that is neither letter nor digit";

    encryption_argon2_time_cost "encryption.argon2.time_cost": u64 = 2, range(1, 64), "Passes over the memory, for new password hashes";
    encryption_argon2_memory_kib "encryption.argon2.memory_kib": u64 = 65_536, range(8, 4_194_304), "KiB used by one hash";
    encryption_argon2_parallelism "encryption.argon2.parallelism": u64 = 2, range(1, 64), "Lanes of one hash";
    encryption_argon2_workers "encryption.argon2.workers": u64 = 1, range(1, 64), "Threads that hash; memory in use is workers times memory_kib";
    encryption_argon2_queue_len_max "encryption.argon2.queue_len_max": u64 = 64, range(1, 65_536), "Logins waiting for a thread; of more, the newest of whoever has most is refused with 503";

    encryption_snowflake_worker_id "encryption.snowflake.worker_id": u64 = 0, range(0, 31), "Worker number inside new ids";
    encryption_snowflake_datacenter_id "encryption.snowflake.datacenter_id": u64 = 0, range(0, 31), "Datacenter number inside new ids";

    api_api_prefix "api.api_prefix": String = "/api/v1", Rule::Prefix, "Path before every REST route";
    api_cors_origins "api.cors_origins": Vec<String> = CORS_ORIGINS, Rule::Origins, "Web origins that may call the API";
    api_cors_allow_credentials "api.cors_allow_credentials": bool = true, ANY, "Let those origins send cookies";
    api_cors_allow_methods "api.cors_allow_methods": Vec<String> = CORS_METHODS, Rule::Tokens, "Methods those origins may use; * = all";
    api_cors_allow_headers "api.cors_allow_headers": Vec<String> = CORS_HEADERS, Rule::Tokens, "Request headers those origins may send; * = any";
    api_trusted_proxies "api.trusted_proxies": Vec<String> = &[], Rule::Networks, "Addresses or networks (CIDR) of reverse proxies";
    api_trust_x_forwarded_for "api.trust_x_forwarded_for": bool = false, ANY, "Take the client's address from a trusted proxy's X-Forwarded-For";
    api_timestamp_unit "api.timestamp_unit": String = "s", choice(&["s", "ms"]), "Unit of every time in REST and gateway";
    api_max_body_size "api.max_body_size": u64 = MIB, bytes(KIB, 64 * MIB), "JSON body of a request, at most";

    http_header_timeout_ms "http.header_timeout_ms": u64 = 10_000, range(100, HOUR_MS), "From the first byte of a request to the end of its head";
    http_body_timeout_ms "http.body_timeout_ms": u64 = 30_000, range(100, HOUR_MS), "From the end of the head to the end of the body";
    http_idle_timeout_ms "http.idle_timeout_ms": u64 = 75_000, range(100, HOUR_MS), "Between two requests of one connection";
    http_connections_per_address_max "http.connections_per_address_max": u64 = 25_000, range(1, 10_000_000), "Open connections of a client (IPv6 /64; /56 x4, /48 x16); 3/4 of all at most but for loopback";
    http_connections_max "http.connections_max": u64 = 100_000, range(1, 10_000_000), "Open connections in all, REST and gateway";

    messaging_max_message_length "messaging.max_message_length": u64 = 4000, range(1, 100_000), "Characters of a message";

    rate_limiting_enabled "rate_limiting.enabled": bool = true, ANY, "Enforce the limits below";
    rate_limiting_bot_multiplier_percent "rate_limiting.bot_multiplier_percent": u64 = 150, range(1, 100_000), "Share of a message limit that bots get";
    rate_limiting_bypass_secret "rate_limiting.bypass_secret": String = "", Rule::Secret, "Value of X-RateLimit-Bypass that is never limited, 16 characters or more; empty = none";
    rate_limiting_global "rate_limiting.global": BucketSpec = "100+50/60s token", ANY, "All requests of a user, or of an address when not logged in";
    rate_limiting_user "rate_limiting.user": BucketSpec = "120+20/60s sliding; 3600/h; 50000/d", ANY, "All requests of a user";
    rate_limiting_ip "rate_limiting.ip": BucketSpec = "60+10/60s sliding; 1800/h; 10000/d", ANY, "All requests of an address (IPv6 /64; /56 x4, /48 x16: as all limits by address) not logged in";
    rate_limiting_buckets_auth_login "rate_limiting.buckets.auth_login": BucketSpec = "5/60s fixed; 20/h", ANY, "POST /auth/login, per address";
    rate_limiting_buckets_auth_register "rate_limiting.buckets.auth_register": BucketSpec = "3/60s fixed; 10/h; 20/d", ANY, "POST /auth/register, per address";
    rate_limiting_buckets_messages_create "rate_limiting.buckets.messages_create": BucketSpec = "5+3/5s token", ANY, "POST a message, per user and channel";
    rate_limiting_buckets_messages_edit "rate_limiting.buckets.messages_edit": BucketSpec = "5+2/5s sliding", ANY, "PATCH or DELETE a message, per user and channel";
    rate_limiting_buckets_reactions "rate_limiting.buckets.reactions": BucketSpec = "1+1/250ms token", ANY, "PUT or DELETE a reaction, per user and channel";
    rate_limiting_buckets_messages_list "rate_limiting.buckets.messages_list": BucketSpec = "10+5/10s sliding", ANY, "GET the messages of a channel, per user and channel";
    rate_limiting_buckets_users_me_get "rate_limiting.buckets.users_me_get": BucketSpec = "30+10/60s sliding", ANY, "GET /users/@me, per user";
    rate_limiting_buckets_users_me_edit "rate_limiting.buckets.users_me_edit": BucketSpec = "2/60s fixed; 20/h", ANY, "PATCH /users/@me, per user";
    rate_limiting_buckets_servers_create "rate_limiting.buckets.servers_create": BucketSpec = "10+2/60s sliding; 100/d", ANY, "POST /servers, per user";
    rate_limiting_buckets_servers_delete "rate_limiting.buckets.servers_delete": BucketSpec = "1/60s fixed", ANY, "DELETE a server, per user";
    rate_limiting_buckets_servers_get "rate_limiting.buckets.servers_get": BucketSpec = "20+10/10s sliding", ANY, "GET a server, per user";
    rate_limiting_buckets_servers_channels_list "rate_limiting.buckets.servers_channels_list": BucketSpec = "100+20/60s sliding", ANY, "GET the channels of a server, per user";
    rate_limiting_buckets_relationships_list "rate_limiting.buckets.relationships_list": BucketSpec = "100+20/60s sliding", ANY, "GET /relationships/@me, per user";
    rate_limiting_buckets_relationships_create "rate_limiting.buckets.relationships_create": BucketSpec = "5+2/60s sliding; 50/h", ANY, "POST /relationships, per user";
    rate_limiting_buckets_relationships_block "rate_limiting.buckets.relationships_block": BucketSpec = "10+5/60s sliding", ANY, "POST /relationships/block, per user";
    rate_limiting_buckets_uploads "rate_limiting.buckets.uploads": BucketSpec = "10+2/60s token; 100/h", ANY, "Uploads of files, per user";
    rate_limiting_buckets_default "rate_limiting.buckets.default": BucketSpec = "30+5/30s sliding", ANY, "Every other route, per user or address, method and route";

    servers_server_name_min_length "servers.server_name_min_length": u64 = 2, range(1, 1000), "Characters of a server name, at least";
    servers_server_name_max_length "servers.server_name_max_length": u64 = 100, range(1, 1000), "Characters of a server name, at most";
    servers_channel_name_max_length "servers.channel_name_max_length": u64 = 100, range(1, 1000), "Characters of a channel name, at most";
    servers_role_name_max_length "servers.role_name_max_length": u64 = 100, range(1, 1000), "Characters of a role name, at most";
    servers_invite_code_length "servers.invite_code_length": u64 = 12, range(6, 64), "Characters of a new invite code";

    user_features_alpha_registration_enabled "user_features.alpha_registration_enabled": bool = true, ANY, "New users get tier alpha and badge alpha_tester";
    user_features_default_tier "user_features.default_tier": String = "standard", choice(TIERS), "Tier of new users otherwise";
    user_features_badge_display_limit "user_features.badge_display_limit": u64 = 5, range(0, 100), "Badges shown with a user";

    avatars_default_colors "avatars.default_colors": Vec<String> = AVATAR_COLORS, Rule::Colors, "Backgrounds of generated avatars";
    avatars_max_size "avatars.max_size": u64 = 512, range(16, 4096), "Pixels of an avatar's longer side";
    avatars_max_file_size "avatars.max_file_size": u64 = 5 * MIB, bytes(KIB, 64 * MIB), "Avatar upload, at most";

    media_size_limits_icon "media.size_limits.icon": u64 = 2 * MIB, bytes(KIB, 64 * MIB), "Icon upload on its older path (POST /servers/{server_id}/icon), at most";

    presence_typing_timeout_ms "presence.typing_timeout_ms": u64 = 10_000, range(100, HOUR_MS), "A typing start lapses after this";
    presence_timeout_ms "presence.timeout_ms": u64 = 300_000, range(1000, 24 * HOUR_MS), "A user without a gateway session counts as seen for this long";
    presence_offline_grace_ms "presence.offline_grace_ms": u64 = 10_000, range(0, HOUR_MS), "From the loss of the last session to being shown offline";

    websocket_heartbeat_interval_ms "websocket.heartbeat_interval_ms": u64 = 45_000, range(100, HOUR_MS), "Interval told in HELLO";
    websocket_heartbeat_timeout_ms "websocket.heartbeat_timeout_ms": u64 = 0, range(0, 24 * HOUR_MS), "Close 4009 without a heartbeat for this long; 0 = twice the interval";
    websocket_identify_timeout_ms "websocket.identify_timeout_ms": u64 = 120_000, range(0, HOUR_MS), "Close 4003 when not identified by then; 0 = off";
    websocket_session_timeout_ms "websocket.session_timeout_ms": u64 = 60_000, range(0, 24 * HOUR_MS), "A lost session can be resumed for this long; 0 = never";
    websocket_resume_buffer_events "websocket.resume_buffer_events": u64 = 1000, range(0, 1_000_000), "Dispatches of a session kept for RESUME";
    websocket_resume_buffer_bytes "websocket.resume_buffer_bytes": u64 = 8 * MIB, bytes(0, GIB), "The same in bytes";
    websocket_replay_bytes "websocket.replay_bytes": u64 = 64 * MIB, bytes(64 * KIB, 64 * GIB), "Recent events kept for RESUME by all sessions of a core together";
    websocket_send_queue_events "websocket.send_queue_events": u64 = 512, range(0, 1_000_000), "Unsent dispatches, for 5 s, before close 4008; 0 = off";
    websocket_send_queue_bytes "websocket.send_queue_bytes": u64 = MIB, bytes(0, GIB), "The same in bytes; 0 = off";
    websocket_send_timeout_ms "websocket.send_timeout_ms": u64 = 15_000, range(0, HOUR_MS), "A write stalled for this long closes 4008; 0 = off";
    websocket_socket_send_buffer "websocket.socket_send_buffer": u64 = 256 * KIB, bytes(0, 64 * MIB), "Kernel send buffer of a gateway socket; 0 = the system's";
    websocket_rate_limit_per_minute "websocket.rate_limit_per_minute": u64 = 120, range(0, 1_000_000), "Messages, pings, pongs and pieces of messages a client may send on one connection; 0 = off";
    websocket_max_connections_per_user "websocket.max_connections_per_user": u64 = 5, range(0, 100_000), "Live sessions of one user, bots apart; 0 = off";
    websocket_identify_burst "websocket.identify_burst": u64 = 5, range(0, 100_000), "IDENTIFYs of one token in a row; 0 = off";
    websocket_identify_interval_ms "websocket.identify_interval_ms": u64 = 5000, range(0, HOUR_MS), "One more each; 0 = off";
    websocket_identify_per_ip_per_minute "websocket.identify_per_ip_per_minute": u64 = 100, range(0, 1_000_000), "IDENTIFYs and RESUMEs of one address; 0 = off";
    websocket_max_message_size "websocket.max_message_size": u64 = 64 * KIB, bytes(KIB, 16 * MIB), "Message from a client, as sent";
    websocket_max_decompressed_size "websocket.max_decompressed_size": u64 = 256 * KIB, bytes(KIB, 64 * MIB), "Message from a client, inflated";
    websocket_compression_enabled "websocket.compression_enabled": bool = true, ANY, "Grant compress (zlib-stream) in IDENTIFY";
    websocket_permessage_deflate "websocket.permessage_deflate": bool = true, ANY, "Taken for files that have it: the extension may be negotiated, and is not yet";
    websocket_allowed_origins "websocket.allowed_origins": Vec<String> = &[], Rule::Origins, "Web origins that may connect; empty = all";
    websocket_public_url "websocket.public_url": String = "", Rule::WsUrl, "resume_gateway_url in READY; empty = from the Host of the request";
    websocket_ping_interval_ms "websocket.ping_interval_ms": u64 = 20_000, range(0, HOUR_MS), "Between protocol pings to a silent connection; 0 = off";
    websocket_ping_timeout_ms "websocket.ping_timeout_ms": u64 = 20_000, range(0, HOUR_MS), "A ping not answered by then ends the connection; 0 = off";
    websocket_close_timeout_ms "websocket.close_timeout_ms": u64 = 5000, range(0, 60_000), "Wait for the client's close frame";
    websocket_members_chunk_size "websocket.members_chunk_size": u64 = 1000, range(1, 10_000), "Members in one GUILD_MEMBERS_CHUNK";

    versioning_min_supported_version "versioning.min_supported_version": String = "", Rule::OptionalVersion, "Oldest client that may connect; empty = application.version";
    versioning_update_url "versioning.update_url": String = "", Rule::HttpUrl, "Where outdated clients are sent; empty = nowhere";
}

impl OptionRow {
    /// The row of a dotted key.
    #[must_use]
    pub fn find(key: &str) -> Option<&'static OptionRow> {
        OPTIONS.iter().find(|row| row.key == key)
    }

    /// The section: everything before the last dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.key.rsplit_once('.').expect("a test checks that every key has a section").0
    }

    /// The key within its section.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').expect("a test checks that every key has a section").1
    }

    /// The value in TOML; a secret that is set comes as `"***"`.
    #[must_use]
    pub fn shown(&self, config: &Config) -> String {
        let text = (self.get)(config, &self.rule);
        if self.rule == Rule::Secret && text != "\"\"" { "\"***\"".to_owned() } else { text }
    }

    /// Type and bounds in words.
    #[must_use]
    pub fn allowed(&self) -> String {
        (self.kind)(&self.rule)
    }
}

/// Without the secrets, so that a config may be logged.
impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(OPTIONS.iter().map(|row| (row.key, row.shown(self)))).finish()
    }
}

impl Config {
    /// Where REST and gateway listen.
    #[must_use]
    pub fn http_address(&self) -> std::net::SocketAddr {
        address(&self.server_host, self.server_port)
    }

    /// Where `/metrics` listens, unless it is off.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        let on = self.metrics_enabled && self.metrics_port != 0;
        on.then(|| address(&self.metrics_host, self.metrics_port))
    }

    /// `versioning.min_supported_version`, or the own version when that is empty.
    #[must_use]
    pub fn min_supported_version(&self) -> &str {
        match self.versioning_min_supported_version.as_str() {
            "" => &self.application_version,
            version => version,
        }
    }

    /// `websocket.heartbeat_timeout_ms`, or twice the interval when that is 0 (gateway.md §7).
    #[must_use]
    pub fn heartbeat_timeout_ms(&self) -> u64 {
        match self.websocket_heartbeat_timeout_ms {
            0 => 2 * self.websocket_heartbeat_interval_ms,
            timeout_ms => timeout_ms,
        }
    }
}

fn address(host: &str, port: u64) -> std::net::SocketAddr {
    let host = value::parse_address(host).expect("Rule::Address let it in");
    std::net::SocketAddr::new(host, u16::try_from(port).expect("the range ends at 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_the_key_with_underscores() {
        for row in OPTIONS {
            assert_eq!(row.field, row.key.replace('.', "_"));
            assert!(row.key.contains('.'), "{} has no section", row.key);
        }
    }

    #[test]
    fn keys_are_unique_and_sections_stand_together() {
        let mut sections: Vec<&str> = Vec::new();
        for (index, row) in OPTIONS.iter().enumerate() {
            assert!(OPTIONS[..index].iter().all(|other| other.key != row.key), "{} twice", row.key);
            if sections.last() != Some(&row.section()) {
                assert!(!sections.contains(&row.section()), "{} is split", row.section());
                sections.push(row.section());
            }
        }
    }

    #[test]
    fn defaults_pass_their_own_rules() {
        let mut config = Config::default();
        for row in OPTIONS {
            let text = (row.get)(&config, &row.rule);
            let document = format!("value = {text}");
            let document = toml_edit::Document::parse(document.as_str()).expect("a default prints as TOML");
            let item = document.get("value").and_then(toml_edit::Item::as_value).expect("a value");
            (row.set)(&mut config, &Given::Toml(item), &row.rule)
                .unwrap_or_else(|e| panic!("{}: {e}", row.key));
        }
        assert_eq!(config, Config::default());
    }

    #[test]
    fn debug_hides_secrets() {
        let config =
            Config { rate_limiting_bypass_secret: "correct-horse-battery".into(), ..Config::default() };
        let text = format!("{config:?}");
        assert!(!text.contains("horse"));
        assert!(text.contains("***"));
    }

    #[test]
    fn empty_means_derived() {
        let config = Config::default();
        assert_eq!(config.min_supported_version(), "a.1.0-49");
        assert_eq!(config.heartbeat_timeout_ms(), 90_000);
        assert_eq!(config.http_address().to_string(), "127.0.0.1:8000");
        assert_eq!(config.metrics_address().map(|a| a.to_string()).as_deref(), Some("127.0.0.1:9600"));
        assert_eq!(Config { metrics_port: 0, ..config }.metrics_address(), None);
    }
}
