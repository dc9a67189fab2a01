//! What can be done on pages: a row for each operation of the API that has a form.

/// A form, and the operation that it is for.
pub struct Action {
    /// Name of the operation.
    pub operation: &'static str,
    /// On its button.
    pub label: &'static str,
    /// What is said when it is done.
    pub done: &'static str,
    /// What is to be known before: a sentence, or nothing.
    pub note: &'static str,
    pub inputs: &'static [Input],
    /// It cannot be taken back: whoever does it says so.
    pub is_grave: bool,
    /// What the page is about is gone then: it leads to the one it was reached from.
    pub ends: bool,
    /// Names and fields of what the answer has that is shown this once.
    pub shows: &'static [(&'static str, &'static str)],
}

/// A field of a form. Its name is that of the operation's path, query or body.
pub struct Input {
    pub name: &'static str,
    pub label: &'static str,
    pub kind: Kind,
    pub is_needed: bool,
    pub help: &'static str,
}

/// What is put into a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It is known from where the form stands.
    Known,
    /// The same value always.
    Fixed(&'static str),
    Line,
    Secret,
    Text,
    /// A whole number.
    Number,
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A moment.
    Moment,
    /// An object or a list, as JSON.
    Json,
    /// Words with commas between them.
    Words,
}

const fn input(name: &'static str, label: &'static str, kind: Kind) -> Input {
    Input { name, label, kind, is_needed: true, help: "" }
}

const fn known(name: &'static str) -> Input {
    input(name, "", Kind::Known)
}

impl Input {
    pub const fn optional(name: &'static str, label: &'static str, kind: Kind) -> Input {
        Input { is_needed: false, ..input(name, label, kind) }
    }

    pub const fn needed(name: &'static str, label: &'static str, kind: Kind) -> Input {
        input(name, label, kind)
    }

    const fn help(self, help: &'static str) -> Input {
        Input { help, ..self }
    }

    /// Whether somebody fills it in.
    pub fn is_visible(&self) -> bool {
        !matches!(self.kind, Kind::Known | Kind::Fixed(_))
    }
}

impl Action {
    const PLAIN: Action = Action {
        operation: "",
        label: "",
        done: "Done.",
        note: "",
        inputs: &[],
        is_grave: false,
        ends: false,
        shows: &[],
    };

    pub fn find(operation: &str) -> Option<&'static Action> {
        ACTIONS.iter().find(|action| action.operation == operation)
    }
}

pub const TIERS: &[&str] = &["standard", "alpha", "premium", "staff"];
const BADGES: &[&str] = &[
    "alpha_tester",
    "early_supporter",
    "staff",
    "verified",
    "bug_hunter",
    "contributor",
    "moderator",
    "partner",
];
const REVIEW: &[&str] = &["action", "review", "dismiss"];
const HASH_REVIEW: &[&str] = &["block", "clear", "dismiss"];
const TICKET: &[&str] = &["open", "in_progress", "resolved", "closed"];
const SCOPE_MODES: &[&str] = &["none", "monitor", "enforce"];
const SCOPE_KINDS: &[&str] = &["ip", "cidr"];
const LOG_LEVELS: &[&str] = &["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
const RULES: &[&str] = &[
    "keyword",
    "regex",
    "mention_spam",
    "message_spam",
    "invite_links",
    "mass_emoji",
    "caps_percentage",
    "repeated_chars",
    "external_links",
    "ai_moderation",
];

const USER: Input = known("user_id");
const TOKEN: Input = known("token_id");
const OWN_PASSWORD: Input = input("current_password", "Your password", Kind::Secret);
const NOTES: Input = Input::optional("notes", "Notes", Kind::Text).help("For other administrators.");
const HOURS: Input =
    Input::optional("duration_hours", "Hours", Kind::Number).help("Empty: until it is taken back.");
const VALUE: Input =
    Input::optional("token", "Value", Kind::Line).help("32 to 128 characters. Empty: one is made.");
const EXPIRES: Input =
    Input::optional("expires_at", "Runs out (UTC)", Kind::Moment).help("Empty: it does not.");
const SHOWN_TOKEN: &[(&str, &str)] = &[("Token", "token")];

pub const ACTIONS: &[Action] = &[
    // People
    Action {
        operation: "admin_user_tier_set",
        label: "Set tier",
        done: "The tier is set.",
        inputs: &[
            USER,
            input("tier", "Tier", Kind::Choice(TIERS)),
            Input::optional("expires_at", "Until (UTC)", Kind::Moment).help("Empty: for good."),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_badge_grant",
        label: "Give badge",
        done: "The badge is given.",
        inputs: &[USER, input("badge", "Badge", Kind::Choice(BADGES))],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_badge_revoke",
        label: "Take badge",
        done: "The badge is taken.",
        inputs: &[USER, input("badge", "Badge", Kind::Choice(BADGES))],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_notes_set",
        label: "Write note",
        done: "The note is kept.",
        note: "It takes the place of the one before. Only administrators see it.",
        inputs: &[USER, input("notes", "Note", Kind::Text)],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_lock",
        label: "Lock account",
        done: "The account is locked.",
        note: "All sessions end, and whatever the account asks for is refused.",
        inputs: &[
            USER,
            Input::optional("duration_seconds", "Seconds", Kind::Number).help("Empty: until you unlock it."),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_unlock",
        label: "Unlock account",
        done: "The account is unlocked.",
        inputs: &[USER],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_log_out",
        label: "Log out everywhere",
        done: "All sessions of the account have ended.",
        inputs: &[USER],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_username_force",
        label: "Have another name chosen",
        done: "The account has to choose another name before anything else.",
        inputs: &[
            USER,
            Input::optional("reason", "Reason", Kind::Line).help("The user is told."),
            Input::optional("ban_current", "Ban the name it has now", Kind::Flag),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_deletion_cancel",
        label: "Cancel deletion",
        done: "The account is not deleted after all.",
        inputs: &[USER],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_deletion_delay",
        label: "Move deletion",
        done: "The account is deleted at another time.",
        inputs: &[USER, input("deletion_at", "When (UTC)", Kind::Moment)],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_purge",
        label: "Delete account now",
        done: "The account is deleted.",
        note: "The account is made anonymous at once, and nobody can undo it.",
        inputs: &[USER],
        is_grave: true,
        ends: true,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_block",
        label: "Silence",
        done: "The user may not post, react or upload.",
        note: "Somebody silenced can still read.",
        inputs: &[input("user_id", "User ID", Kind::Line), input("reason", "Reason", Kind::Line), HOURS],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_unblock",
        label: "Let speak again",
        done: "The user may post, react and upload again.",
        inputs: &[USER],
        ..Action::PLAIN
    },
    // Addresses and names
    Action {
        operation: "admin_address_block",
        label: "Block address",
        done: "The address is blocked.",
        inputs: &[
            input("ip_address", "Address or network", Kind::Line).help("Such as 192.0.2.7 or 192.0.2.0/24."),
            Input::optional("reason", "Reason", Kind::Line),
            HOURS,
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_address_unblock",
        label: "Unblock",
        done: "The address is served again.",
        inputs: &[known("ip_address")],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_name_ban_create",
        label: "Ban name",
        done: "Nobody can take that name any more.",
        inputs: &[
            input("pattern", "Name or pattern", Kind::Line),
            Input::optional("reason", "Reason", Kind::Line),
            Input::optional("is_regex", "It is a regular expression", Kind::Flag),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_name_ban_remove",
        label: "Lift ban",
        done: "The name may be taken again.",
        inputs: &[known("pattern_id")],
        ..Action::PLAIN
    },
    // Access tokens
    Action {
        operation: "admin_access_token_create",
        label: "Make access token",
        done: "The token is made.",
        note: "As long as one token is good, every client has to show one. Its value is shown this once.",
        inputs: &[
            Input::optional("name", "Name", Kind::Line),
            Input::optional("description", "Description", Kind::Line),
            VALUE,
            EXPIRES,
            input("scope_mode", "Scopes", Kind::Choice(SCOPE_MODES))
                .help("What scopes do: nothing, have mismatches recorded, have them refused."),
        ],
        shows: SHOWN_TOKEN,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_access_token_edit",
        label: "Change token",
        done: "The token is changed.",
        note: "What is left empty stays as it is.",
        inputs: &[
            TOKEN,
            Input::optional("name", "Name", Kind::Line),
            Input::optional("description", "Description", Kind::Line),
            Input::optional("expires_at", "Runs out (UTC)", Kind::Moment),
            Input::optional("clear_expiry", "It does not run out any more", Kind::Flag),
            Input::optional("scope_mode", "Scopes", Kind::Choice(SCOPE_MODES)),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_access_token_rotate",
        label: "Give another value",
        done: "The token has another value.",
        note: "The value it has now is void at once.",
        inputs: &[TOKEN, VALUE],
        is_grave: true,
        shows: SHOWN_TOKEN,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_access_token_revoke",
        label: "Revoke token",
        done: "The token is void.",
        note: "Whoever uses it is refused at once.",
        inputs: &[TOKEN],
        is_grave: true,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_access_scope_add",
        label: "Add scope",
        done: "The scope is added.",
        inputs: &[
            TOKEN,
            input("scope_type", "Kind", Kind::Choice(SCOPE_KINDS)),
            input("value", "Address or network", Kind::Line),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_access_scope_remove",
        label: "Remove",
        done: "The scope is removed.",
        inputs: &[TOKEN, known("scope_id")],
        ..Action::PLAIN
    },
    // The server
    Action {
        operation: "admin_maintenance_set",
        label: "Set maintenance",
        done: "It is set.",
        note: "While it is on, users are refused. The state survives a restart.",
        inputs: &[
            Input::optional("enabled", "The server is under maintenance", Kind::Flag),
            Input::optional("message", "Message", Kind::Line).help("Users are told."),
            Input::optional("estimated_downtime_seconds", "Seconds it will take", Kind::Number),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_everybody_log_out",
        label: "Log out everybody",
        done: "All sessions of all users have ended.",
        note: "All users have to log in again. Administrators stay.",
        is_grave: true,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_log_level_set",
        label: "Set log level",
        done: "It is set until the server starts anew.",
        inputs: &[input("level", "Level", Kind::Choice(LOG_LEVELS))],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_configuration_reload",
        label: "Read configuration again",
        done: "The configuration was read.",
        shows: &[("In force now", "applied"), ("In force after the next start", "restart_needed")],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_drain_set",
        label: "Send everybody away",
        done: "It is set.",
        note: "Clients are told to connect elsewhere, and nobody is taken in as long as it is on.",
        inputs: &[
            Input::optional("enabled", "Send everybody away", Kind::Flag),
            Input::optional("spread_seconds", "Over how many seconds", Kind::Number),
        ],
        is_grave: true,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_disconnect",
        label: "Close connections",
        done: "The connections are closed.",
        note: "Of a user, or of one of his sessions.",
        inputs: &[
            Input::optional("user_id", "User ID", Kind::Line),
            Input::optional("session_id", "Session ID", Kind::Line),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_backup_start",
        label: "Make backup",
        done: "The backup is begun.",
        ..Action::PLAIN
    },
    Action {
        operation: "admin_verify_start",
        label: "Verify store",
        done: "The store is being verified.",
        ..Action::PLAIN
    },
    Action {
        operation: "admin_reindex_start",
        label: "Build search index anew",
        done: "The index is being built.",
        ..Action::PLAIN
    },
    Action {
        operation: "admin_key_rotate",
        label: "Rotate keys",
        done: "There is a new key; what is stored is sealed with it from now on.",
        is_grave: true,
        ..Action::PLAIN
    },
    Action {
        operation: "admin_telemetry_reset",
        label: "Forget response times",
        done: "They are forgotten.",
        is_grave: true,
        ..Action::PLAIN
    },
    // Moderation
    Action {
        operation: "admin_message_report_review",
        label: "Decide",
        done: "The report is decided on.",
        inputs: &[known("report_id"), input("action", "Decision", Kind::Choice(REVIEW)), NOTES],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_user_report_review",
        label: "Decide",
        done: "The report is decided on.",
        inputs: &[known("report_id"), input("action", "Decision", Kind::Choice(REVIEW)), NOTES],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_hash_report_review",
        label: "Decide",
        done: "The report is decided on.",
        inputs: &[known("report_id"), input("action", "Decision", Kind::Choice(HASH_REVIEW)), NOTES],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_hash_block",
        label: "Block file",
        done: "The file is not taken any more.",
        inputs: &[
            input("hash_value", "SHA-256", Kind::Line).help("64 hexadecimal digits."),
            input("reason", "Reason", Kind::Line),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_hash_unblock",
        label: "Take it again",
        done: "The file is taken again.",
        inputs: &[known("hash_value")],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_automod_config_set",
        label: "Switch rules",
        done: "It is set.",
        note: "Switched off, no rule of any server acts; the rules stay.",
        inputs: &[Input::optional("enabled", "Rules act", Kind::Flag)],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_rule_create",
        label: "Make rule",
        done: "The rule is made.",
        inputs: &[
            input("server_id", "Server ID", Kind::Line),
            input("name", "Name", Kind::Line),
            input("rule_type", "Kind", Kind::Choice(RULES)),
            input("config", "Settings", Kind::Json).help("JSON, such as {\"keywords\": [\"word\"]}."),
            input("actions", "Actions", Kind::Json)
                .help("JSON, such as [{\"action_type\": \"delete_message\"}]."),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_rule_edit",
        label: "Change",
        done: "The rule is changed.",
        inputs: &[
            known("rule_id"),
            Input::optional("name", "Name", Kind::Line),
            Input::optional("config", "Settings", Kind::Json),
            Input::optional("actions", "Actions", Kind::Json),
            Input::optional("enabled", "It acts", Kind::Flag),
        ],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_rule_delete",
        label: "Delete",
        done: "The rule is deleted.",
        inputs: &[known("rule_id")],
        is_grave: true,
        ..Action::PLAIN
    },
    // Tickets
    Action {
        operation: "admin_ticket_status_set",
        label: "Set status",
        done: "The status is set.",
        inputs: &[known("ticket_id"), input("status", "Status", Kind::Choice(TICKET))],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_ticket_note_add",
        label: "Add note",
        done: "The note is added.",
        inputs: &[known("ticket_id"), input("content", "Note", Kind::Text)],
        ..Action::PLAIN
    },
    // One's own account
    Action {
        operation: "admin_password_change",
        label: "Change password",
        done: "The password is changed. Your other sessions have ended.",
        inputs: &[OWN_PASSWORD, input("new_password", "New password", Kind::Secret)],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_codes_renew",
        label: "Make backup codes",
        done: "Ten backup codes are made. Keep them where you keep passwords; they are shown this once.",
        note: "Each serves once in the place of a one-time code. Codes from before are void.",
        inputs: &[OWN_PASSWORD],
        shows: &[("Backup codes", "backup_codes")],
        ..Action::PLAIN
    },
    Action {
        operation: "admin_otp_disable",
        label: "Switch one-time codes off",
        done: "One-time codes are off.",
        inputs: &[OWN_PASSWORD, input("code", "Code", Kind::Line)],
        ..Action::PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_one_form() {
        for (index, action) in ACTIONS.iter().enumerate() {
            assert!(
                ACTIONS[..index].iter().all(|other| other.operation != action.operation),
                "{}",
                action.operation
            );
            assert!(!action.label.is_empty() && action.done.ends_with('.'), "{}", action.operation);
            let labelled = |input: &Input| !input.is_visible() || !input.label.is_empty();
            assert!(action.inputs.iter().all(labelled), "{}", action.operation);
        }
    }
}
