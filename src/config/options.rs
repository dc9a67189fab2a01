//! The table of options: one row per option, the only place that names its key, type, default, bounds and help.
//!
//! Owns: the structs of the sections and the rows from which `--help`, the sample file and the golden listing are
//! printed.
//! Invariant: no option exists that is not a row here, and no row that nothing reads (`tests/tidy/`).
//!
//! An option is spelled once. A section has a key and a field, which a test compares: `macro_rules` cannot make them.

use super::buckets::bucket_rows;
use super::lists::{
    ADMIN_HOSTS, AUDIO_TYPES, AVATAR_COLORS, CORS_HEADERS, CORS_METHODS, CORS_ORIGINS, DOCUMENT_TYPES,
    IMAGE_TYPES, LEVELS, STUN_URLS, TIERS, VIDEO_TYPES,
};
use super::value::{Given, Rule, Setting};
use super::{API_LEVEL, BucketSpec};
use crate::limits;

/// One row of the table, with accessors that read and write its field as text.
pub struct OptionRow {
    /// Dotted key, as in the file: `section.name` or `section.group.name`.
    pub key: &'static str,
    /// Its field of [`Config`]: `section.name`.
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
    // The table in two parts, and the rows of the section between them.
    ({ $($before:tt)* } { $($after:tt)* } {
        $($rule:ident $bucket:ident = $default:literal, $key:ident, $bot:literal, $scope:literal $(, within $outer:ident)?, $help:literal;)*
    }) => {
        options! {
            $($before)*
            rate_limiting_buckets: RateLimitingBuckets "rate_limiting.buckets" {
                $($bucket: BucketSpec = $default, ANY, $help;)*
            }
            $($after)*
        }
    };
    // The struct of a section, unless it shares one.
    (@struct [] $Section:ident $path:literal $($name:ident $ty:ty, $default:expr, $help:literal;)*) => {
        #[doc = concat!("The options of section `", $path, "`.")]
        #[derive(Clone, PartialEq)]
        pub struct $Section { $(#[doc = $help] pub $name: $ty,)* }

        impl Default for $Section {
            fn default() -> $Section {
                $Section { $($name: <$ty as Setting>::from_literal($default),)* }
            }
        }
    };
    (@struct [shared] $($rest:tt)*) => {};
    (@default [] $Section:ident $($rest:tt)*) => {
        $Section::default()
    };
    (@default [shared] $Section:ident $($name:ident $ty:ty, $default:expr;)*) => {
        $Section { $($name: <$ty as Setting>::from_literal($default),)* ..$Section::default() }
    };
    ($($section:ident: $Section:ident $path:literal $(, $shared:ident)? {
        $($name:ident: $ty:ty = $default:expr, $rule:expr, $help:literal;)*
    })*) => {
        $(options! { @struct [$($shared)?] $Section $path $($name $ty, $default, $help;)* })*

        /// Every option, with its value in force, by section: whoever needs some takes theirs. Built by
        /// [`super::load`]; `Config::default()` is the table's defaults.
        #[derive(Clone, PartialEq)]
        pub struct Config { $(pub $section: $Section,)* }

        impl Default for Config {
            fn default() -> Config {
                Config { $($section: options!(@default [$($shared)?] $Section $($name $ty, $default;)*),)* }
            }
        }

        /// The rows in the order of the table, sections together.
        pub static OPTIONS: &[OptionRow] = &[$($(OptionRow {
            key: concat!($path, ".", stringify!($name)),
            field: concat!(stringify!($section), ".", stringify!($name)),
            kind: <$ty as Setting>::kind,
            rule: $rule,
            help: $help,
            set: |config, given, rule| {
                config.$section.$name = <$ty as Setting>::read(given, rule)?;
                Ok(())
            },
            get: |config, rule| config.$section.$name.to_toml(rule),
        },)*)*];
    };
}

/// The options of the sections `oauth.*`: what all of them have, and what one of them has, which is empty elsewhere.
#[derive(Clone, Default, PartialEq)]
pub struct OauthProvider {
    pub client_id: String,
    pub client_secret: String,
    pub auth_url: String,
    pub token_url: String,
    pub user_info_url: String,
    pub emails_url: String,
    pub trust_email: bool,
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

bucket_rows! { options! {
    application: Application "application" {
        name: String = "Plexichat", Rule::Text(1, 64), "Name shown to clients";
        version: String = API_LEVEL, Rule::Version, "API level told to clients, not the version of this program";
        environment: String = "development", Rule::Text(1, 32), "Free label of this installation, shown at start";
    }

    server: Server "server" {
        host: String = "127.0.0.1", Rule::Address, "Address to listen on; 0.0.0.0 or :: for all";
        port: u64 = 8000, range(0, 65_535), "Port of REST and gateway; 0 lets the system choose";
        shutdown_grace_ms: u64 = 2000, range(0, 600_000), "How long connections may finish after SIGTERM";
        core_dumps: bool = false, ANY, "Let the system dump the memory after a crash, and debuggers attach; it holds what clients send";
    }

    runtime: Runtime "runtime" {
        cores: u64 = 0, range(0, 256), "Core threads; 0 = one per available core";
        pin: bool = true, ANY, "Bind each core thread to its core";
        any_clock: bool = false, ANY, "Start although the system clock looks wrong";
    }

    store: Store "store" {
        path: String = "~/.plexichat/data", Rule::Path, "Folder of the database";
        map_size: u64 = 64 * GIB, bytes(16 * MIB, 64 * TIB), "Address space for the database, the most it can grow to; not allocated";
        sync: String = "always", choice(&["always", "interval"]), "always: answered means on disk; interval: faster, a power cut may lose the last interval";
        sync_interval_ms: u64 = 1000, range(10, 60_000), "Time between syncs when store.sync is interval";
        backup_folder: String = "", Rule::Text(0, 4_096), "Where backups go that administrators ask for; empty: backups, in the folder of the database";
        backup_count: u64 = 7, range(1, 1_000), "How many of those are kept";
        batch_max: u64 = 1024, range(1, 65_536), "Commands in one transaction at most";
    }

    logging: Logging "logging" {
        level: String = "INFO", choice(LEVELS), "Least severity that is logged";
        format: String = "text", choice(&["text", "json"]), "Lines on stderr for people or for machines";
        files: bool = true, ANY, "Write log files too, which administrators read";
        folder: String = "", Rule::Text(0, 4_096), "Folder of the log files; empty: logs, in the folder of the database";
        max_bytes: u64 = 10 * MIB, bytes(64 * KIB, 64 * MIB), "Length of a log file; then the next begins";
        backup_count: u64 = 5, range(0, 1_000), "Full log files that are kept";
        rotate: bool = true, ANY, "Begin the next file at logging.max_bytes; false: another program moves the file away";
        zip_logs: bool = true, ANY, "Compress full log files";
        slow_turn_ms: u64 = 50, range(0, 60_000), "Warn when a turn of a core's loop, or a request handler, takes longer; 0 = off";
    }

    metrics: Metrics "metrics" {
        enabled: bool = true, ANY, "Serve GET /metrics for Prometheus";
        host: String = "127.0.0.1", Rule::Address, "Address of /metrics; beyond loopback needs metrics.allow_public";
        port: u64 = 9600, range(0, 65_535), "Port of /metrics; 0 = off";
        allow_public: bool = false, ANY, "Allow /metrics on an address others can reach; it has no password";
    }

    authentication_accounts: AuthenticationAccounts "authentication.accounts" {
        allow_registration: bool = true, ANY, "Let anyone create an account";
        max_bots_per_user: u64 = 5, range(0, limits::BOT_COUNT_MAX as u64), "Bots of one owner";
        require_email_verification: bool = false, ANY, "Let nobody log in before he has confirmed his address, by a token in a mail";
        username_min_length: u64 = 3, range(1, 64), "Characters of a user name, at least";
        username_max_length: u64 = 32, range(1, limits::USERNAME_LEN_MAX as u64), "Characters of a user name, at most";
        age_gate_enabled: bool = false, ANY, "Ask for the age on registration";
        minimum_age: u64 = 13, range(0, 120), "Years, when the age gate is on";
        age_verification_type: String = "boolean", choice(&["boolean", "dob"]), "What the age gate asks for: a confirmed age or a date of birth";
    }

    authentication_account_deletion: AuthenticationAccountDeletion "authentication.account_deletion" {
        enabled: bool = true, ANY, "Let users delete their account";
        grace_period_days: u64 = 30, range(0, 3650), "Days in which a deletion can be taken back";
        reminder_days_before_purge: Vec<u64> = &[7, 1], range(1, 3650), "Days before the deletion on which its owner is reminded by mail; empty = never";
    }

    authentication_sessions: AuthenticationSessions "authentication.sessions" {
        expire_hours: u64 = 168, range(1, 87_600), "Life of a login";
        max_per_user: u64 = 10, range(1, limits::LOGIN_COUNT_CONFIGURED_MAX as u64), "Live logins of one user; one more revokes the least recently active";
        extend_on_activity: bool = true, ANY, "Renew a login that is used shortly before its end";
        extend_threshold_hours: u64 = 24, range(0, 87_600), "Renew when less than this is left";
    }

    authentication_security: AuthenticationSecurity "authentication.security" {
        max_failed_attempts: u64 = 5, range(1, 1000), "Wrong passwords in a row, wherever one is asked for, before an account is locked";
        lockout_duration_minutes: u64 = 15, range(1, 525_600), "How long it stays locked";
        token_verify_rate_limit: u64 = 100, range(0, 1_000_000), "Bad tokens per minute and address before all are refused; 0 = off";
        fresh_login_minutes: u64 = 5, range(0, 10_080), "How long after a login the e-mail address can be changed without the password; 0 = never";
    }

    authentication_totp: AuthenticationTotp "authentication.totp" {
        issuer: String = "Plexichat", ANY, "Name of this server in authenticators";
        digits: u64 = 6, range(6, 8), "Digits of a one-time code";
        interval: u64 = 30, range(15, 300), "Seconds for which a one-time code is shown";
        backup_code_count: u64 = 10, range(0, 50), "Backup codes of a set-up";
    }

    authentication_passkeys: AuthenticationPasskeys "authentication.passkeys" {
        rp_id: String = "localhost", Rule::Text(0, 253), "Host of the pages that passkeys are for, chat.example.org; empty = no passkeys";
        origins: Vec<String> = &[], ANY, "Pages and apps that may ask for them; empty = https pages of that host and below it";
        max_per_user: u64 = 10, range(1, limits::PASSKEY_COUNT_MAX as u64), "Passkeys of one user";
    }

    authentication_password: AuthenticationPassword "authentication.password" {
        min_length: u64 = 12, range(1, 1024), "Characters, at least";
        max_length: u64 = 128, range(8, 1024), "Characters, at most";
        require_uppercase: bool = true, ANY, "Demand an upper-case letter";
        require_lowercase: bool = true, ANY, "Demand a lower-case letter";
        require_digit: bool = true, ANY, "Demand a digit";
        require_special: bool = true, ANY, "Demand a character that is neither letter nor digit";
    }

    email: Email "email" {
        smtp_host: String = "localhost", Rule::Host, "Mail server that takes our mail; empty = no mail is sent";
        smtp_port: u64 = 587, range(1, 65_535), "Its port; with email.use_tls, 465 is encrypted from the first byte";
        smtp_user: String = "", Rule::Text(0, 512), "Whom to log in as there; the password is in the environment, PLEXICHAT_SMTP_PASSWORD";
        from_email: String = "noreply@plexichat.internal", Rule::Mailbox, "Address that mail is from";
        use_tls: bool = true, ANY, "Encrypt by STARTTLS and check the certificate, or send nothing; false = in the clear";
    }

    email_notices: EmailNotices "email.notices" {
        sign_in: bool = true, ANY, "Mail who is signed in from an address for the first time";
        password_changed: bool = true, ANY, "Mail whose password was changed";
        two_factor_changed: bool = true, ANY, "Mail whose two-factor login was switched on or off, or who has a new passkey";
        provider_linked: bool = true, ANY, "Mail who signs in with another provider for the first time";
        email_changed: bool = true, ANY, "Mail the address before, when an account gets another one";
        deletion_scheduled: bool = false, ANY, "Mail whose account will be deleted, at once; see also reminder_days_before_purge";
    }

    oauth: Oauth "oauth" {
        state_ttl_seconds: u64 = 600, range(30, 86_400), "How long somebody may take to sign in at another provider";
        max_states_per_ip: u64 = 10, range(1, limits::SIGN_INS_PER_SOURCE_MAX as u64), "Such sign-ins of an address (IPv6 /64) that may be open at once";
        pkce_enabled: bool = true, ANY, "Ask clients for a verifier when the provider has led back (PKCE, S256)";
        timeout_ms: u64 = 10_000, range(100, 60_000), "How long a provider may take to say who somebody is";
    }

    oauth_google: OauthProvider "oauth.google", shared {
        client_id: String = "", Rule::Text(0, 512), "What Google knows this server by; empty = nobody signs in with it";
        client_secret: String = "", Rule::Credential, "The secret that goes with it";
        auth_url: String = "https://accounts.google.com/o/oauth2/v2/auth", Rule::HttpUrl, "Where people agree";
        token_url: String = "https://oauth2.googleapis.com/token", Rule::HttpUrl, "Where codes are exchanged";
        user_info_url: String = "https://openidconnect.googleapis.com/v1/userinfo", Rule::HttpUrl, "Where it is told who somebody is";
    }

    oauth_github: OauthProvider "oauth.github", shared {
        client_id: String = "", Rule::Text(0, 512), "What GitHub knows this server by; empty = nobody signs in with it";
        client_secret: String = "", Rule::Credential, "The secret that goes with it";
        auth_url: String = "https://github.com/login/oauth/authorize", Rule::HttpUrl, "Where people agree";
        token_url: String = "https://github.com/login/oauth/access_token", Rule::HttpUrl, "Where codes are exchanged";
        user_info_url: String = "https://api.github.com/user", Rule::HttpUrl, "Where it is told who somebody is";
        emails_url: String = "https://api.github.com/user/emails", Rule::HttpUrl, "Where it is told which of his addresses are confirmed";
    }

    oauth_microsoft: OauthProvider "oauth.microsoft", shared {
        client_id: String = "", Rule::Text(0, 512), "What Microsoft knows this server by; empty = nobody signs in with it";
        client_secret: String = "", Rule::Credential, "The secret that goes with it";
        auth_url: String = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize", Rule::HttpUrl, "Where people agree";
        token_url: String = "https://login.microsoftonline.com/common/oauth2/v2.0/token", Rule::HttpUrl, "Where codes are exchanged";
        user_info_url: String = "https://graph.microsoft.com/v1.0/me", Rule::HttpUrl, "Where it is told who somebody is";
        trust_email: bool = false, ANY, "Take every address for confirmed, also without the claim xms_edov: for a tenant of your own";
    }

    oauth_gitlab: OauthProvider "oauth.gitlab", shared {
        client_id: String = "", Rule::Text(0, 512), "What GitLab knows this server by; empty = nobody signs in with it";
        client_secret: String = "", Rule::Credential, "The secret that goes with it";
        auth_url: String = "https://gitlab.com/oauth/authorize", Rule::HttpUrl, "Where people agree";
        token_url: String = "https://gitlab.com/oauth/token", Rule::HttpUrl, "Where codes are exchanged";
        user_info_url: String = "https://gitlab.com/api/v4/user", Rule::HttpUrl, "Where it is told who somebody is";
    }

    encryption_argon2: EncryptionArgon2 "encryption.argon2" {
        time_cost: u64 = 2, range(1, 64), "Passes over the memory, for new password hashes";
        memory_kib: u64 = 65_536, range(8, 4_194_304), "KiB used by one hash";
        parallelism: u64 = 2, range(1, 64), "Lanes of one hash";
        workers: u64 = 1, range(1, 64), "Threads that hash; memory in use is workers times memory_kib";
        queue_len_max: u64 = 64, range(1, 65_536), "Logins waiting for a thread; of more, the newest of whoever has most is refused with 503";
    }

    encryption_snowflake: EncryptionSnowflake "encryption.snowflake" {
        worker_id: u64 = 0, range(0, 31), "Worker number inside new ids";
        datacenter_id: u64 = 0, range(0, 31), "Datacenter number inside new ids";
    }

    api: Api "api" {
        api_prefix: String = "/api/v1", Rule::Prefix, "Path before every REST route";
        cors_origins: Vec<String> = CORS_ORIGINS, Rule::Origins, "Web origins that may call the API";
        cors_allow_credentials: bool = true, ANY, "Let those origins send cookies";
        cors_allow_methods: Vec<String> = CORS_METHODS, Rule::Tokens, "Methods those origins may use; * = all";
        cors_allow_headers: Vec<String> = CORS_HEADERS, Rule::Tokens, "Request headers those origins may send; * = any";
        trusted_proxies: Vec<String> = &[], Rule::Networks, "Addresses or networks (CIDR) of reverse proxies";
        trust_x_forwarded_for: bool = false, ANY, "Take the client's address from a trusted proxy's X-Forwarded-For";
        timestamp_unit: String = "s", choice(&["s", "ms"]), "Unit of every time in REST and gateway";
        public_url: String = "", Rule::HttpUrl, "Base of the addresses that are given out, https://chat.example.org; empty = from the Host";
        max_body_size: u64 = MIB, bytes(KIB, limits::JSON_LEN_MAX as u64), "JSON body of a request, at most";
    }

    docs: Docs "docs" {
        enabled: bool = true, ANY, "Serve the documentation: /docs, /redoc, /openapi.json, /asyncapi.json";
        path: String = "/docs/api", Rule::Prefix, "Where the pages of the documentation are";
    }

    http: Http "http" {
        header_timeout_ms: u64 = 10_000, range(100, HOUR_MS), "From the first byte of a request to the end of its head";
        body_timeout_ms: u64 = 30_000, range(100, HOUR_MS), "From the end of the head to the end of the body";
        idle_timeout_ms: u64 = 75_000, range(100, HOUR_MS), "Between two requests of one connection";
        connections_per_address_max: u64 = 25_000, range(1, 10_000_000), "Open connections of a client (IPv6 /64; /56 x4, /48 x16); 3/4 of all at most but for loopback";
        connections_max: u64 = 100_000, range(1, 10_000_000), "Open connections in all, REST and gateway";
        proxy_protocol_from: Vec<String> = &[], Rule::Networks, "Addresses or networks (CIDR) whose connections begin with a PROXY protocol v2 header";
    }

    messaging: Messaging "messaging" {
        encrypt_messages: bool = true, ANY, "Keep what people write encrypted in the store, by the keys in server.keys";
        max_message_length: u64 = 4000, range(1, 100_000), "Characters of a message";
        max_attachments_per_message: u64 = 10, range(0, limits::ATTACHMENT_COUNT_MAX), "Files of a message";
        max_attachment_size: u64 = 10 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "The most that users may set as a limit of their own; see media.size_limits and the tiers";
        max_group_participants: u64 = 100, range(2, limits::GROUP_PARTICIPANT_COUNT_MAX as u64), "Participants of a group, its owner among them";
    }

    rate_limiting: RateLimiting "rate_limiting" {
        enabled: bool = true, ANY, "Enforce the limits below";
        bot_multiplier_percent: u64 = 150, range(1, 100_000), "Share of a message limit that bots get";
        webhook_multiplier_percent: u64 = 100, range(1, 100_000), "Share of the limits of webhooks that they get";
        bypass_secret: String = "", Rule::Secret, "Value of X-RateLimit-Bypass that is never limited, 16 characters or more; empty = none";
        global: BucketSpec = "100+50/60s token", ANY, "All requests of a user, or of an address when not logged in";
        user: BucketSpec = "120+20/60s sliding; 3600/h; 50000/d", ANY, "All requests of a user";
        ip: BucketSpec = "60+10/60s sliding; 1800/h; 10000/d", ANY, "All requests of an address (IPv6 /64; /56 x4, /48 x16: as all limits by address) not logged in";
    }
} {
    servers: Servers "servers" {
        server_name_min_length: u64 = 2, range(1, 1000), "Characters of a server name, at least";
        server_name_max_length: u64 = 100, range(1, 1000), "Characters of a server name, at most";
        channel_name_max_length: u64 = 100, range(1, 1000), "Characters of a channel name, at most";
        role_name_max_length: u64 = 100, range(1, 1000), "Characters of a role name, at most";
        invite_code_length: u64 = 12, range(6, limits::INVITE_CODE_LEN_MAX as u64), "Characters of a new invite code";
    }

    webhooks: Webhooks "webhooks" {
        max_per_channel: u64 = 100, range(1, limits::WEBHOOK_COUNT_MAX as u64), "Webhooks of a channel";
        max_per_server: u64 = 50, range(1, limits::WEBHOOK_COUNT_MAX as u64), "Webhooks of a server";
    }

    polls: Polls "polls" {
        max_options: u64 = 10, range(2, limits::POLL_OPTION_COUNT_MAX as u64), "Options of a poll";
        max_duration_hours: u64 = 168, range(1, 8760), "How long a poll may run that ends by itself";
    }

    user_features: UserFeatures "user_features" {
        alpha_registration_enabled: bool = true, ANY, "New users get tier alpha and badge alpha_tester";
        default_tier: String = "standard", choice(TIERS), "Tier of new users otherwise";
        badge_display_limit: u64 = 5, range(0, 100), "Badges shown with a user";
    }

    user_features_admin_rate_limit: UserFeaturesAdminRateLimit "user_features.admin_rate_limit" {
        max_per_minute: u64 = 30, range(0, 100_000), "Changes by one administrator in a minute; 0 does not bound them";
        max_per_hour: u64 = 200, range(0, 1_000_000), "The same in an hour";
    }

    admin_ui: AdminUi "admin_ui" {
        enabled: bool = true, ANY, "Serve the administrators' API and console";
        path: String = "/admin", Rule::Prefix, "Where, beside api.api_prefix followed by /admin";
        require_otp: bool = true, ANY, "Have administrators set up one-time codes before anything else";
        credentials_path: String = "~/.plexichat/admin_credentials.txt", Rule::Path, "File that the first start writes the first administrator's password to";
    }

    admin_ui_host_restriction: AdminUiHostRestriction "admin_ui.host_restriction" {
        enabled: bool = true, ANY, "Let administrators in from some addresses alone";
        allowed_hosts: Vec<String> = ADMIN_HOSTS, Rule::Sources, "Which; localhost is 127.0.0.1 and ::1, an empty list allows all";
    }

    admin_ui_rate_limit: AdminUiRateLimit "admin_ui.rate_limit" {
        max_attempts: u64 = 5, range(1, 1000), "Wrong passwords and codes of administrators from one address, then it is locked";
        window_seconds: u64 = 300, range(1, 86_400), "In how long";
        lockout_seconds: u64 = 900, range(1, 604_800), "For how long";
    }

    avatars: Avatars "avatars" {
        default_colors: Vec<String> = AVATAR_COLORS, Rule::Colors, "Backgrounds of generated avatars";
        max_size: u64 = 512, range(16, 4096), "Pixels of an avatar's longer side";
        max_file_size: u64 = 5 * MIB, bytes(KIB, 128 * MIB), "Avatar upload, at most";
    }

    emojis: Emojis "emojis" {
        max_static: u64 = 50, range(0, limits::EMOJI_COUNT_MAX as u64), "Emojis of a server that stand still; the tier of its owner may allow fewer";
        max_animated: u64 = 50, range(0, limits::EMOJI_COUNT_MAX as u64), "Emojis of a server that move; the tier of its owner may allow fewer";
        max_size: u64 = 128, range(16, 512), "Pixels of an emoji's longer side";
        max_file_size: u64 = 256 * KIB, bytes(KIB, 16 * MIB), "Emoji upload, at most";
        allow_jpeg: bool = true, ANY, "Take JPEG beside PNG, GIF and WebP";
    }

    stickers: Stickers "stickers" {
        max_per_server: u64 = 100, range(0, limits::STICKER_COUNT_MAX as u64), "Stickers of a server";
        max_size: u64 = 320, range(16, 1024), "Pixels of a sticker's longer side";
        max_file_size: u64 = 512 * KIB, bytes(KIB, 16 * MIB), "Sticker upload, at most";
    }

    media: Media "media" {
        storage_backend: String = "local", choice(&["local", "s3"]), "Where files of clients are kept: a folder beside the store, or object storage";
        thumbnail_sizes: Vec<u64> = &[64, 128, 256, 512], range(16, 2048), "Pixels of the longer side of small pictures of one in a message; none that is not smaller";
        image_quality: u64 = 85, range(1, 100), "Quality of those that are JPEG; the picture itself is not encoded anew";
        thumbnailer: String = "", Rule::Text(0, 4_096), "Program that gives videos their small pictures: ffmpeg, or its path; empty = they have none";
        encrypt_at_rest: bool = true, ANY, "Encrypt files of clients on the disk; those that lie there already stay readable as they are";
        signing_key: String = "", Rule::Secret, "Key of addresses of files that need no login for a time; empty = one of server.keys";
        signing_expiry: u64 = 3600, range(10, 30 * 86_400), "How many seconds such an address is good";
    }

    media_s3: MediaS3 "media.s3" {
        endpoint: String = "", Rule::HttpUrl, "Object storage: https://s3.eu-central-1.amazonaws.com";
        region: String = "us-east-1", Rule::Text(1, 64), "Its region; most others than Amazon take any";
        bucket: String = "", Rule::Text(0, 255), "The bucket, which has to be there";
        prefix: String = "", Rule::Text(0, 200), "What the names of all objects begin with: plexichat/";
        path_style: bool = true, ANY, "Name the bucket in the path instead of the host; Amazon wants false";
        access_key: String = "", Rule::Text(0, 200), "Who asks";
        secret_key: String = "", Rule::Credential, "The secret that goes with it";
    }

    media_size_limits: MediaSizeLimits "media.size_limits" {
        image: u64 = 10 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "Picture in a message, at most; the tier of its uploader may allow less, as with the others";
        video: u64 = 100 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "Video in a message, at most";
        audio: u64 = 50 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "Sound in a message, at most";
        document: u64 = 25 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "Document in a message, at most";
        other: u64 = 10 * MIB, bytes(KIB, limits::CHUNKED_LEN_MAX), "Any other file in a message, at most";
        icon: u64 = 2 * MIB, bytes(KIB, 64 * MIB), "Icon upload on its older path (POST /servers/{server_id}/icon), at most";
    }

    media_deduplication: MediaDeduplication "media.deduplication" {
        auto_block_threshold: u64 = 5, range(0, 1_000), "People whose reports block a file; 0 = an administrator decides";
        phash_threshold: u64 = 4, range(0, 16), "Bits of 64 by which a picture may differ from a blocked one and count as it; 0 = the same file";
    }

    media_allowed_types: MediaAllowedTypes "media.allowed_types" {
        image: Vec<String> = IMAGE_TYPES, Rule::MediaTypes, "Types that are pictures";
        video: Vec<String> = VIDEO_TYPES, Rule::MediaTypes, "Types that are videos";
        audio: Vec<String> = AUDIO_TYPES, Rule::MediaTypes, "Types that are sound";
        document: Vec<String> = DOCUMENT_TYPES, Rule::MediaTypes, "Types that are documents";
        other: bool = true, ANY, "Take files of all other types too, but for programs, scripts and pages";
    }

    media_rate_limit: MediaRateLimit "media.rate_limit" {
        enabled: bool = true, ANY, "Enforce the limits below; what a tier allows in a day holds all the same";
        uploads_per_minute: u64 = 10, range(1, 1_000_000), "Files of a user in a minute";
        uploads_per_hour: u64 = 100, range(1, 1_000_000), "The same in an hour";
        max_total_size_per_day: u64 = 512 * MIB, bytes(KIB, 64 * TIB), "Bytes of his files in a day";
    }

    search: Search "search" {
        enabled: bool = true, ANY, "Searching for messages and people; without it there is no index";
        result_limit: u64 = 100, range(1, 100), "Results on a page, however many are asked for";
        write_interval_ms: u64 = 15_000, range(100, HOUR_MS), "How long new messages are in memory, where they are found, before the index is written";
    }

    automod: Automod "automod" {
        enabled: bool = true, ANY, "Let servers have rules for what is written in them";
        exempt_owners: bool = true, ANY, "Rules are not for the owner of a server";
        exempt_admins: bool = true, ANY, "Rules are not for members with the permission administrator";
        default_rules: bool = false, ANY, "Give each new server a rule against spam and two against slurs";
        default_slurs: Vec<String> = &[], Rule::Words, "Words that the first of those two refuses; empty = a list of this program's";
        default_insults: Vec<String> = &[], Rule::Words, "Words that the second one refuses; empty = a list of this program's";
        rules_memory: u64 = 64 * MIB, bytes(MIB, 64 * GIB), "Compiled rules that are kept ready, of all servers together";
        violations_max: u64 = 10_000, range(1, 1_000_000), "Violations that are kept of a server; the oldest make room";
        violation_days: u64 = 90, range(1, 36_500), "How long a violation is kept";
    }

    automod_ai: AutomodAi "automod.ai" {
        openai_url: String = "https://api.openai.com/v1/moderations", Rule::HttpUrl, "Where rules with backend openai have texts judged";
        openai_key: String = "", Rule::Secret, "Its key; empty = rules with this backend find nothing";
        openai_model: String = "omni-moderation-latest", Rule::Text(1, 100), "The model that judges there";
        perspective_url: String = "https://commentanalyzer.googleapis.com/v1alpha1/comments:analyze", Rule::HttpUrl, "The same for backend perspective";
        perspective_key: String = "", Rule::Secret, "Its key; empty = rules with this backend find nothing";
        custom_url: String = "", Rule::HttpUrl, "The same for backend custom; it answers with scores by category, or with flagged";
        custom_key: String = "", Rule::Secret, "Sent to it as a bearer token; empty = none";
        timeout_ms: u64 = 5000, range(100, 60_000), "How long they may take; later, or unreachable, they have found nothing";
    }

    reports: Reports "reports" {
        enabled: bool = true, ANY, "Let users report messages, files and each other";
    }

    feedback: Feedback "feedback" {
        enabled: bool = true, ANY, "Let users write to the operators";
    }

    feedback_rate_limit: FeedbackRateLimit "feedback.rate_limit" {
        max_per_hour: u64 = 5, range(1, 1000), "Feedback of a user in an hour, also when rate_limiting.enabled is off";
        max_per_day: u64 = 20, range(1, 10_000), "The same in a day";
    }

    telemetry: Telemetry "telemetry" {
        enabled: bool = true, ANY, "Keep how long requests take, what clients tell of it, and what browsers refuse to load";
        retention_days: u64 = 30, range(1, 365), "For how long, by the hour; by five minutes for two days of it";
    }

    voice: Voice "voice" {
        enabled: bool = true, ANY, "Let people join voice channels";
        stun_urls: Vec<String> = STUN_URLS, Rule::IceUrls, "STUN servers that clients are told of";
        turn_urls: Vec<String> = &[], Rule::IceUrls, "TURN servers that clients are told of, such as turn:turn.example.org:3478";
        turn_username: String = "", Rule::Text(0, 200), "Name of everybody there, without turn_secret";
        turn_credential: String = "", Rule::Credential, "Password of everybody there, without turn_secret";
        turn_secret: String = "", Rule::Credential, "Shared with coturn (static-auth-secret): each gets a name and a password for a time";
        turn_ttl: u64 = 86_400, range(60, 30 * 86_400), "How many seconds these last";
        max_participants: u64 = 100, range(1, 10_000), "People in one channel; more are not let in";
    }

    presence: Presence "presence" {
        typing_timeout_ms: u64 = 10_000, range(100, HOUR_MS), "A typing start lapses after this";
        timeout_ms: u64 = 300_000, range(1000, 24 * HOUR_MS), "A user without a gateway session counts as seen for this long";
        offline_grace_ms: u64 = 10_000, range(0, HOUR_MS), "From the loss of the last session to being shown offline";
    }

    websocket: Websocket "websocket" {
        heartbeat_interval_ms: u64 = 45_000, range(100, HOUR_MS), "Interval told in HELLO";
        heartbeat_timeout_ms: u64 = 0, range(0, 24 * HOUR_MS), "Close 4009 without a heartbeat for this long; 0 = twice the interval";
        identify_timeout_ms: u64 = 120_000, range(0, HOUR_MS), "Close 4003 when not identified by then; 0 = off";
        session_timeout_ms: u64 = 60_000, range(0, 24 * HOUR_MS), "A lost session can be resumed for this long; 0 = never";
        resume_buffer_events: u64 = 1000, range(0, 1_000_000), "Dispatches of a session kept for RESUME; 0 = as many as there are";
        resume_buffer_bytes: u64 = 8 * MIB, bytes(0, GIB), "The same in bytes";
        replay_bytes: u64 = 64 * MIB, bytes(64 * KIB, 64 * GIB), "Recent events kept for RESUME by all sessions of a core together";
        send_queue_events: u64 = 512, range(0, 1_000_000), "Unsent dispatches, for 5 s, before close 4008; 0 = off";
        send_queue_bytes: u64 = MIB, bytes(0, GIB), "The same in bytes; 0 = off";
        send_timeout_ms: u64 = 15_000, range(0, HOUR_MS), "A write stalled for this long closes 4008; 0 = off";
        socket_send_buffer: u64 = 256 * KIB, bytes(0, 64 * MIB), "Kernel send buffer of a gateway socket; 0 = the system's";
        rate_limit_per_minute: u64 = 120, range(0, 1_000_000), "Messages, pings, pongs and pieces of messages a client may send on one connection; 0 = off";
        max_connections_per_user: u64 = 5, range(0, 100_000), "Live sessions of one user, bots apart; 0 = off";
        identify_burst: u64 = 5, range(0, 100_000), "IDENTIFYs of one token in a row; 0 = off";
        identify_interval_ms: u64 = 5000, range(0, HOUR_MS), "One more each; 0 = off";
        identify_per_ip_per_minute: u64 = 100, range(0, 1_000_000), "IDENTIFYs and RESUMEs of one address; 0 = off";
        max_message_size: u64 = 64 * KIB, bytes(KIB, limits::FRAME_LEN_MAX as u64), "Message from a client, as sent";
        max_decompressed_size: u64 = 256 * KIB, bytes(KIB, 64 * MIB), "Message from a client, inflated";
        compression_enabled: bool = true, ANY, "Grant compress (zlib-stream) in IDENTIFY";
        allowed_origins: Vec<String> = &[], Rule::Origins, "Web origins that may connect; empty = all";
        public_url: String = "", Rule::WsUrl, "resume_gateway_url in READY; empty = from the Host of the request";
        ping_interval_ms: u64 = 20_000, range(0, HOUR_MS), "Between protocol pings to a silent connection; 0 = off";
        ping_timeout_ms: u64 = 20_000, range(0, HOUR_MS), "A ping not answered by then ends the connection; 0 = off";
        close_timeout_ms: u64 = 5000, range(0, 60_000), "Wait for the client's close frame";
        members_chunk_size: u64 = 1000, range(1, 10_000), "Members in one GUILD_MEMBERS_CHUNK";
    }

    versioning: Versioning "versioning" {
        min_supported_version: String = "", Rule::OptionalVersion, "Oldest client that may connect; empty = application.version";
        update_url: String = "", Rule::HttpUrl, "Where outdated clients are sent; empty = nowhere";
    }
} }

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
        if self.rule.is_secret() && text != "\"\"" { "\"***\"".to_owned() } else { text }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_of_a_section_is_its_key_with_underscores() {
        for row in OPTIONS {
            let field = format!("{}.{}", row.section().replace('.', "_"), row.name());
            assert_eq!(row.field, field);
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
        let config = Config {
            rate_limiting: RateLimiting {
                bypass_secret: "correct-horse-battery".into(),
                ..RateLimiting::default()
            },
            ..Config::default()
        };
        let text = format!("{config:?}");
        assert!(!text.contains("horse"));
        assert!(text.contains("***"));
    }
}
