//! Numbers that stand for words in records. They are never reused.

/// Codes of a small set, with the words that clients see.
macro_rules! codes {
    ($($(#[$doc:meta])* $module:ident { $($constant:ident = $code:literal $text:literal;)* })*) => {$(
        $(#[$doc])*
        pub mod $module {
            $(pub const $constant: u8 = $code;)*
            const TEXTS: &[(u8, &str)] = &[$(($code, $text)),*];
            pub const WORDS: &[&str] = &[$($text),*];

            /// The word for a code.
            pub fn text(code: u8) -> &'static str {
                TEXTS.iter().find(|(known, _)| *known == code).map_or("unknown", |(_, text)| text)
            }

            /// The code for a word.
            pub fn code(text: &str) -> Option<u8> {
                TEXTS.iter().find(|(_, known)| *known == text).map(|(code, _)| *code)
            }
        }
    )*};
}

codes! {
    /// State of an account.
    account { ACTIVE = 0 "active"; FROZEN = 1 "frozen"; LOCKED = 2 "locked"; PURGED = 3 "purged"; RENAMING = 4 "renaming"; }
    /// Tier of an account.
    tier { STANDARD = 0 "standard"; ALPHA = 1 "alpha"; PREMIUM = 2 "premium"; STAFF = 3 "staff"; }
    /// Badges in the order of the contract.
    badge {
        ALPHA_TESTER = 1 "alpha_tester"; EARLY_SUPPORTER = 2 "early_supporter"; STAFF = 3 "staff";
        VERIFIED = 4 "verified"; BUG_HUNTER = 5 "bug_hunter"; CONTRIBUTOR = 6 "contributor";
        MODERATOR = 7 "moderator"; PARTNER = 8 "partner";
    }
    /// Kind of a relationship, from the side of the first user of the key.
    relation {
        FRIEND = 1 "friend"; PENDING_INCOMING = 2 "pending_incoming";
        PENDING_OUTGOING = 3 "pending_outgoing"; BLOCKED = 4 "blocked";
    }
    /// Presence status.
    status { ONLINE = 0 "online"; IDLE = 1 "idle"; DND = 2 "dnd"; INVISIBLE = 3 "invisible"; OFFLINE = 4 "offline"; }
    /// Who may open a direct message.
    dm_policy { EVERYONE = 0 "everyone"; FRIENDS = 1 "friends"; NONE = 2 "none"; }
    /// Format of a picture, as its media type.
    picture { JPEG = 1 "image/jpeg"; PNG = 2 "image/png"; GIF = 3 "image/gif"; WEBP = 4 "image/webp"; }
    /// Why somebody is told of a message, from the most personal reason to the least.
    mention_reason {
        USER = 0 "You were mentioned"; ROLE = 1 "Your role was mentioned"; EVERYONE = 2 "@everyone mention";
    }
    /// What a rule of automod looks for.
    automod_rule {
        KEYWORD = 1 "keyword"; REGEX = 2 "regex"; MENTION_SPAM = 3 "mention_spam"; MESSAGE_SPAM = 4 "message_spam";
        INVITE_LINKS = 5 "invite_links"; MASS_EMOJI = 6 "mass_emoji"; CAPS_PERCENTAGE = 7 "caps_percentage";
        REPEATED_CHARS = 8 "repeated_chars"; EXTERNAL_LINKS = 9 "external_links"; AI_MODERATION = 10 "ai_moderation";
    }
    /// What is done about a text that hits one.
    automod_action {
        DELETE_MESSAGE = 1 "delete_message"; TIMEOUT_USER = 2 "timeout_user"; KICK_USER = 3 "kick_user";
        BAN_USER = 4 "ban_user"; ALERT_MODERATORS = 5 "alert_moderators"; LOG_ONLY = 6 "log_only";
    }
    /// How bad it is; a worse one has a greater code.
    severity { LOW = 1 "low"; MEDIUM = 2 "medium"; HIGH = 3 "high"; CRITICAL = 4 "critical"; }
    /// Kind of a mail.
    mail_kind {
        PASSWORD_RESET = 1 "password_reset"; EMAIL_CONFIRMATION = 2 "email_confirmation";
        NEW_SIGN_IN = 3 "new_sign_in"; PASSWORD_CHANGED = 4 "password_changed"; TWO_FACTOR_ON = 5 "two_factor_on";
        TWO_FACTOR_OFF = 6 "two_factor_off"; EMAIL_CHANGED = 7 "email_changed";
        DELETION_SCHEDULED = 8 "deletion_scheduled"; DELETION_REMINDER = 9 "deletion_reminder";
        PROVIDER_LINKED = 10 "provider_linked"; PASSKEY_ADDED = 11 "passkey_added";
    }
    /// How a passkey signs.
    passkey_algorithm { ES256 = 1 "ES256"; EDDSA = 2 "EdDSA"; RS256 = 3 "RS256"; }
    /// Who vouches for people beside this server.
    provider { GOOGLE = 1 "google"; GITHUB = 2 "github"; MICROSOFT = 3 "microsoft"; GITLAB = 4 "gitlab"; }
    /// Kind of a channel.
    channel_kind {
        TEXT = 0 "text"; VOICE = 1 "voice"; CATEGORY = 2 "category"; ANNOUNCEMENT = 3 "announcement";
        STAGE = 4 "stage"; DM = 5 "dm"; NOTES = 6 "notes"; GROUP = 7 "group_dm";
    }
    /// Whom an override is for.
    override_kind { ROLE = 0 "role"; MEMBER = 1 "member"; }
    /// State of a report.
    report_status { PENDING = 0 "pending"; REVIEWED = 1 "reviewed"; ACTIONED = 2 "actioned"; DISMISSED = 3 "dismissed"; }
    /// State of the report of a file.
    hash_status { PENDING = 0 "pending"; BLOCKED = 1 "blocked"; CLEARED = 2 "cleared"; }
    /// Who is shown the results of a poll before it is over.
    poll_visibility { ALWAYS = 0 "always"; AFTER_VOTE = 1 "after_vote"; AFTER_END = 2 "after_end"; }
    /// State of a ticket.
    ticket_status { OPEN = 0 "open"; IN_PROGRESS = 1 "in_progress"; RESOLVED = 2 "resolved"; CLOSED = 3 "closed"; }
    /// What the scopes of an access token do: nothing, have mismatches recorded, have them refused.
    scope_mode { NONE = 0 "none"; MONITOR = 1 "monitor"; ENFORCE = 2 "enforce"; }
    /// What such a scope is.
    scope_kind { IP = 1 "ip"; CIDR = 2 "cidr"; }
}
