//! The pages: a row for each.

use super::actions::{Input, Kind};
use super::pages::Column;
use super::pages::{Form, Page, Paging, Section, Shape, act, column};

const REPORT_STATES: &[&str] = &["pending", "reviewed", "actioned", "dismissed"];
const HASH_STATES: &[&str] = &["pending", "blocked", "cleared"];
const LOG_LEVELS: &[&str] = &["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
const SOURCES: &[&str] = &["server", "client"];
const TICKET_STATES: &[&str] = &["open", "in_progress", "resolved", "closed"];
const BY_REPORT: &[Input] = &[Input::optional("status_filter", "State", Kind::Choice(REPORT_STATES))];
const COUNTS: &[Column] = &[
    column("Pending", "pending", Form::Number),
    column("Reviewed", "reviewed", Form::Number),
    column("Actioned", "actioned", Form::Number),
    column("Dismissed", "dismissed", Form::Number),
    column("Total", "total", Form::Number),
];

pub const PAGES: &[Page] = &[
    Page {
        name: "dashboard",
        title: "Dashboard",
        group: "Server",
        sections: &[Section { heading: "Now", shape: Shape::Dashboard, ..Section::PLAIN }],
        ..Page::PLAIN
    },
    Page {
        name: "users",
        title: "Users",
        group: "People",
        sections: &[Section {
            heading: "Search",
            operation: "admin_user_search",
            at: "users",
            filters: &[Input::needed("q", "Part of a name, or an ID", Kind::Line)],
            paging: Paging::Asked,
            columns: &[
                column("Name", "username", Form::Text),
                column("ID", "id", Form::Link("user")),
                column("Mail", "email", Form::Text),
                column("Tier", "tier", Form::State),
                column("Badges", "badges", Form::Words),
                column("Since", "created_at", Form::Time),
                column("Deletion", "deletion_status", Form::State),
            ],
            empty: "Nobody is called so.",
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "user",
        title: "User",
        parent: "users",
        item: "user_id",
        sections: &[
            Section {
                heading: "Account",
                shape: Shape::Facts,
                operation: "admin_user_get",
                columns: &[
                    column("Name", "username", Form::Text),
                    column("ID", "id", Form::Text),
                    column("Mail", "email", Form::Text),
                    column("Tier", "tier", Form::State),
                    column("Badges", "badges", Form::Words),
                    column("Since", "created_at", Form::Time),
                    column("Last login", "last_login", Form::Time),
                    column("Locked", "account_locked", Form::Flag),
                    column("Locked until", "locked_until", Form::Time),
                    column("Has to choose another name", "force_username_change", Form::Flag),
                    column("Deletion", "deletion_status", Form::State),
                    column("Deleted at", "deletion_at", Form::Time),
                ],
                ..Section::PLAIN
            },
            Section {
                heading: "Note",
                shape: Shape::Facts,
                operation: "admin_user_notes_get",
                columns: &[column("Note", "notes", Form::Long)],
                ..Section::PLAIN
            },
        ],
        actions: &[
            "admin_user_lock",
            "admin_user_unlock",
            "admin_user_log_out",
            "admin_user_block",
            "admin_user_unblock",
            "admin_user_tier_set",
            "admin_badge_grant",
            "admin_badge_revoke",
            "admin_username_force",
            "admin_user_notes_set",
            "admin_deletion_cancel",
            "admin_deletion_delay",
            "admin_user_purge",
        ],
        ..Page::PLAIN
    },
    Page {
        name: "deletions",
        title: "Scheduled deletions",
        group: "People",
        sections: &[Section {
            heading: "Accounts to be deleted",
            operation: "admin_deletion_list",
            at: "deletions",
            columns: &[
                column("Name", "username", Form::Text),
                column("ID", "user_id", Form::Link("user")),
                column("Asked for", "scheduled_at", Form::Time),
                column("Deleted at", "deletion_at", Form::Time),
                column("Days left", "days_left", Form::Number),
            ],
            actions: &[act("admin_deletion_cancel", &[("user_id", "user_id")])],
            empty: "No account is to be deleted.",
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "silenced",
        title: "Silenced people",
        group: "People",
        sections: &[Section {
            heading: "May not post, react or upload",
            operation: "admin_blocked_user_list",
            paging: Paging::Asked,
            columns: &[
                column("Name", "username", Form::Text),
                column("ID", "user_id", Form::Link("user")),
                column("Reason", "reason", Form::Long),
                column("Since", "blocked_at", Form::Time),
                column("Until", "expires_at", Form::Time),
            ],
            actions: &[act("admin_user_unblock", &[("user_id", "user_id")])],
            empty: "Nobody is silenced.",
            ..Section::PLAIN
        }],
        actions: &["admin_user_block"],
        ..Page::PLAIN
    },
    Page {
        name: "message-reports",
        title: "Reported messages",
        group: "Moderation",
        sections: &[
            Section {
                heading: "How many",
                shape: Shape::Facts,
                operation: "admin_message_report_counts",
                columns: COUNTS,
                ..Section::PLAIN
            },
            Section {
                heading: "Reports",
                operation: "admin_message_report_list",
                filters: BY_REPORT,
                paging: Paging::Asked,
                columns: &[
                    column("State", "status", Form::State),
                    column("Reported", "reported_at", Form::Time),
                    column("Category", "category", Form::Text),
                    column("Message", "message_content", Form::Long),
                    column("Of", "reported_user_id", Form::Link("user")),
                    column("By", "reporter_id", Form::Link("user")),
                    column("Reason", "reason", Form::Long),
                    column("Details", "details", Form::Long),
                    column("Notes", "admin_notes", Form::Long),
                ],
                actions: &[act("admin_message_report_review", &[("report_id", "id")])],
                empty: "There are no such reports.",
                ..Section::PLAIN
            },
        ],
        ..Page::PLAIN
    },
    Page {
        name: "user-reports",
        title: "Reported people",
        group: "Moderation",
        sections: &[
            Section {
                heading: "How many",
                shape: Shape::Facts,
                operation: "admin_user_report_counts",
                columns: COUNTS,
                ..Section::PLAIN
            },
            Section {
                heading: "Reports",
                operation: "admin_user_report_list",
                filters: BY_REPORT,
                paging: Paging::Asked,
                columns: &[
                    column("State", "status", Form::State),
                    column("Reported", "reported_at", Form::Time),
                    column("Category", "category", Form::Text),
                    column("Whom", "reported_user_id", Form::Link("user")),
                    column("By", "reporter_id", Form::Link("user")),
                    column("Reason", "reason", Form::Long),
                    column("Details", "details", Form::Long),
                    column("Messages", "evidence_message_ids", Form::Words),
                    column("Notes", "admin_notes", Form::Long),
                ],
                actions: &[act("admin_user_report_review", &[("report_id", "id")])],
                empty: "There are no such reports.",
                ..Section::PLAIN
            },
        ],
        ..Page::PLAIN
    },
    Page {
        name: "file-reports",
        title: "Reported files",
        group: "Moderation",
        sections: &[
            Section {
                heading: "How many",
                shape: Shape::Facts,
                operation: "admin_hash_report_counts",
                columns: &[
                    column("Pending", "pending", Form::Number),
                    column("Blocked", "blocked", Form::Number),
                    column("Cleared", "cleared", Form::Number),
                    column("Total", "total", Form::Number),
                ],
                ..Section::PLAIN
            },
            Section {
                heading: "Reports",
                operation: "admin_hash_report_list",
                filters: &[Input::optional("status_filter", "State", Kind::Choice(HASH_STATES))],
                paging: Paging::Asked,
                columns: &[
                    column("State", "status", Form::State),
                    column("Reported", "reported_at", Form::Time),
                    column("File", "hash_value", Form::Long),
                    column("Brought by", "uploader_id", Form::Link("user")),
                    column("By", "reporter_username", Form::Text),
                    column("Reason", "reason", Form::Long),
                    column("Details", "details", Form::Long),
                    column("Notes", "admin_notes", Form::Long),
                ],
                actions: &[act("admin_hash_report_review", &[("report_id", "id")])],
                empty: "There are no such reports.",
                ..Section::PLAIN
            },
        ],
        ..Page::PLAIN
    },
    Page {
        name: "blocked-files",
        title: "Blocked files",
        group: "Moderation",
        sections: &[Section {
            heading: "Files that are not taken",
            operation: "admin_blocked_hash_list",
            paging: Paging::Asked,
            columns: &[
                column("File", "hash_value", Form::Long),
                column("Reason", "reason", Form::Long),
                column("Since", "blocked_at", Form::Time),
                column("By reports alone", "auto_blocked", Form::Flag),
            ],
            actions: &[act("admin_hash_unblock", &[("hash_value", "hash_value")])],
            empty: "No file is blocked.",
            ..Section::PLAIN
        }],
        actions: &["admin_hash_block"],
        ..Page::PLAIN
    },
    Page {
        name: "automod",
        title: "Automod",
        group: "Moderation",
        sections: &[
            Section {
                heading: "Of the whole server",
                shape: Shape::Facts,
                operation: "admin_automod_config_get",
                columns: &[column("Rules act", "enabled", Form::Flag)],
                ..Section::PLAIN
            },
            Section {
                heading: "Rules of a community",
                operation: "admin_rule_list",
                filters: &[Input::needed("server_id", "Server ID", Kind::Line)],
                columns: &[
                    column("Name", "name", Form::Text),
                    column("Kind", "rule_type", Form::Text),
                    column("Acts", "enabled", Form::Flag),
                    column("Settings", "config", Form::Json),
                    column("Actions", "actions", Form::Json),
                    column("Since", "created_at", Form::Time),
                ],
                actions: &[
                    act("admin_rule_edit", &[("rule_id", "id"), ("enabled", "enabled")]),
                    act("admin_rule_delete", &[("rule_id", "id")]),
                ],
                empty: "It has no rules.",
                ..Section::PLAIN
            },
        ],
        actions: &["admin_automod_config_set", "admin_rule_create"],
        ..Page::PLAIN
    },
    Page {
        name: "tickets",
        title: "Tickets",
        group: "People",
        sections: &[Section {
            heading: "What users have written",
            operation: "admin_ticket_list",
            filters: &[Input::optional("status_filter", "State", Kind::Choice(TICKET_STATES))],
            paging: Paging::Asked,
            columns: &[
                column("Ticket", "id", Form::Link("ticket")),
                column("State", "status", Form::State),
                column("Written", "created_at", Form::Time),
                column("By", "username", Form::Text),
                column("Category", "category", Form::Text),
                column("Rating", "rating", Form::Number),
                column("Text", "content", Form::Long),
            ],
            empty: "There are no such tickets.",
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "ticket",
        title: "Ticket",
        parent: "tickets",
        item: "ticket_id",
        sections: &[
            Section {
                heading: "What was written",
                shape: Shape::Facts,
                operation: "admin_ticket_get",
                columns: &[
                    column("State", "status", Form::State),
                    column("Written", "created_at", Form::Time),
                    column("By", "username", Form::Text),
                    column("User", "user_id", Form::Link("user")),
                    column("Category", "category", Form::Text),
                    column("Rating", "rating", Form::Number),
                    column("Text", "content", Form::Long),
                    column("Settled", "resolved_at", Form::Time),
                ],
                ..Section::PLAIN
            },
            Section {
                heading: "Notes",
                operation: "admin_ticket_note_list",
                columns: &[
                    column("Written", "created_at", Form::Time),
                    column("By", "admin_username", Form::Text),
                    column("Note", "content", Form::Long),
                ],
                empty: "There are no notes.",
                ..Section::PLAIN
            },
        ],
        actions: &["admin_ticket_status_set", "admin_ticket_note_add"],
        ..Page::PLAIN
    },
    Page {
        name: "addresses",
        title: "Blocked addresses",
        group: "Security",
        sections: &[Section {
            heading: "Addresses that are not served",
            operation: "admin_address_list",
            columns: &[
                column("Address", "ip_address", Form::Text),
                column("Reason", "reason", Form::Long),
                column("Since", "blocked_at", Form::Time),
                column("Until", "expires_at", Form::Time),
            ],
            actions: &[act("admin_address_unblock", &[("ip_address", "ip_address")])],
            empty: "No address is blocked.",
            ..Section::PLAIN
        }],
        actions: &["admin_address_block"],
        ..Page::PLAIN
    },
    Page {
        name: "names",
        title: "Banned names",
        group: "Security",
        sections: &[Section {
            heading: "Names that nobody may take",
            operation: "admin_name_ban_list",
            columns: &[
                column("Name or pattern", "pattern", Form::Text),
                column("Regular expression", "is_regex", Form::Flag),
                column("Reason", "reason", Form::Long),
                column("Since", "created_at", Form::Time),
            ],
            actions: &[act("admin_name_ban_remove", &[("pattern_id", "id")])],
            empty: "No name is banned.",
            ..Section::PLAIN
        }],
        actions: &["admin_name_ban_create"],
        ..Page::PLAIN
    },
    Page {
        name: "access-tokens",
        title: "Access tokens",
        group: "Security",
        sections: &[Section {
            heading: "Tokens that clients show",
            operation: "admin_access_token_list",
            columns: &[
                column("Name", "name", Form::Text),
                column("ID", "id", Form::Link("access-token")),
                column("Revoked", "revoked", Form::Flag),
                column("Scopes", "scope_mode", Form::State),
                column("Used", "use_count_total", Form::Number),
                column("Refused", "denied_count_total", Form::Number),
                column("Last used", "last_used_at", Form::Time),
                column("Runs out", "expires_at", Form::Time),
            ],
            empty: "There are no access tokens: clients need none.",
            ..Section::PLAIN
        }],
        actions: &["admin_access_token_create"],
        ..Page::PLAIN
    },
    Page {
        name: "access-token",
        title: "Access token",
        parent: "access-tokens",
        item: "token_id",
        sections: &[
            Section {
                heading: "Token",
                shape: Shape::Facts,
                operation: "admin_access_token_get",
                at: "access_token",
                columns: &[
                    column("Name", "name", Form::Text),
                    column("Description", "description", Form::Long),
                    column("Made", "created_at", Form::Time),
                    column("Runs out", "expires_at", Form::Time),
                    column("Revoked", "revoked_at", Form::Time),
                    column("Scopes", "scope_mode", Form::State),
                    column("Used", "use_count_total", Form::Number),
                    column("Refused", "denied_count_total", Form::Number),
                    column("Last used", "last_used_at", Form::Time),
                    column("From", "last_used_ip_address", Form::Text),
                    column("By", "last_used_user_agent", Form::Text),
                ],
                ..Section::PLAIN
            },
            Section {
                heading: "Scopes",
                operation: "admin_access_token_get",
                at: "scopes",
                columns: &[
                    column("Kind", "scope_type", Form::Text),
                    column("Address or network", "value", Form::Text),
                    column("Since", "created_at", Form::Time),
                ],
                actions: &[act("admin_access_scope_remove", &[("scope_id", "id")])],
                empty: "It may be used from everywhere.",
                ..Section::PLAIN
            },
            Section {
                heading: "Addresses",
                operation: "admin_access_token_get",
                at: "top_ips",
                columns: &[
                    column("Address", "ip_address", Form::Text),
                    column("Requests", "request_count", Form::Number),
                    column("Refused", "denied_count", Form::Number),
                    column("Last seen", "last_seen_at", Form::Time),
                ],
                empty: "It was never used.",
                ..Section::PLAIN
            },
            Section {
                heading: "Latest use",
                operation: "admin_access_token_get",
                at: "recent_events",
                columns: &[
                    column("When", "used_at", Form::Time),
                    column("Address", "ip_address", Form::Text),
                    column("Method", "method", Form::Text),
                    column("Path", "path", Form::Text),
                    column("Let in", "allowed", Form::Flag),
                    column("Why not", "reject_reason", Form::Text),
                ],
                empty: "It was never used.",
                ..Section::PLAIN
            },
        ],
        actions: &[
            "admin_access_token_edit",
            "admin_access_scope_add",
            "admin_access_token_rotate",
            "admin_access_token_revoke",
        ],
        ..Page::PLAIN
    },
    Page {
        name: "maintenance",
        title: "Maintenance",
        group: "Server",
        sections: &[Section {
            heading: "State",
            shape: Shape::Facts,
            operation: "admin_maintenance_get",
            columns: &[
                column("Under maintenance", "enabled", Form::Flag),
                column("Message", "message", Form::Long),
                column("Seconds it will take", "estimated_downtime_seconds", Form::Number),
            ],
            ..Section::PLAIN
        }],
        actions: &["admin_maintenance_set", "admin_everybody_log_out"],
        ..Page::PLAIN
    },
    Page {
        name: "operations",
        title: "Operations",
        group: "Server",
        sections: &[
            Section {
                heading: "State",
                shape: Shape::Facts,
                operation: "admin_operation_list",
                columns: &[
                    column("Log level", "log_level", Form::State),
                    column("Sends everybody away", "draining", Form::Flag),
                    column("Gateway connections", "connections", Form::Number),
                ],
                ..Section::PLAIN
            },
            Section {
                heading: "Long work",
                operation: "admin_operation_list",
                at: "jobs",
                columns: &[
                    column("Kind", "kind", Form::Text),
                    column("State", "state", Form::State),
                    column("Begun", "started_at", Form::Time),
                    column("By", "started_by", Form::Text),
                    column("Ended", "ended_at", Form::Time),
                    column("Percent", "progress", Form::Number),
                    column("Says", "message", Form::Long),
                ],
                empty: "Nothing was begun yet.",
                ..Section::PLAIN
            },
        ],
        actions: &[
            "admin_backup_start",
            "admin_verify_start",
            "admin_reindex_start",
            "admin_key_rotate",
            "admin_log_level_set",
            "admin_configuration_reload",
            "admin_drain_set",
            "admin_disconnect",
        ],
        ..Page::PLAIN
    },
    Page {
        name: "logs",
        title: "Log files",
        group: "Server",
        sections: &[Section {
            heading: "Files, the latest first",
            operation: "admin_log_list",
            columns: &[
                column("File", "filename", Form::Link("log")),
                column("Bytes", "size", Form::Number),
                column("Written", "modified", Form::Time),
                column("Packed", "is_zipped", Form::Flag),
            ],
            empty: "No log files are written: see logging in the settings.",
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "log",
        title: "Log file",
        parent: "logs",
        item: "filename",
        sections: &[Section {
            heading: "Lines",
            operation: "admin_log_get",
            at: "lines",
            filters: &[
                Input::optional("search", "Text", Kind::Line),
                Input::optional("level", "Level", Kind::Choice(LOG_LEVELS)),
            ],
            paging: Paging::Asked,
            columns: &[
                column("When", "timestamp", Form::Text),
                column("Level", "level", Form::State),
                column("Says", "message", Form::Long),
            ],
            empty: "There are no such lines.",
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "telemetry",
        title: "Response times",
        group: "Server",
        sections: &[Section {
            heading: "By operation",
            operation: "admin_telemetry_stats",
            at: "stats",
            filters: &[
                Input::optional("hours", "Hours", Kind::Number),
                Input::optional("endpoint", "Endpoint", Kind::Line),
                Input::optional("source", "Measured by", Kind::Choice(SOURCES)),
            ],
            columns: &[
                column("Endpoint", "endpoint", Form::Long),
                column("Method", "method", Form::Text),
                column("Count", "count", Form::Number),
                column("Mean ms", "avg_ms", Form::Text),
                column("95 % ms", "p95_ms", Form::Text),
                column("99 % ms", "p99_ms", Form::Text),
                column("Failed", "error_count", Form::Number),
            ],
            empty: "Nothing was measured.",
            ..Section::PLAIN
        }],
        actions: &["admin_telemetry_reset"],
        export: "admin_telemetry_export",
        ..Page::PLAIN
    },
    Page {
        name: "settings",
        title: "Settings",
        group: "Server",
        sections: &[Section {
            heading: "What is in force, and who has set it",
            shape: Shape::Settings,
            ..Section::PLAIN
        }],
        ..Page::PLAIN
    },
    Page {
        name: "audit-log",
        title: "Audit log",
        group: "Server",
        sections: &[Section {
            heading: "What administrators have done",
            operation: "admin_audit_list",
            paging: Paging::Asked,
            columns: &[
                column("When", "created_at", Form::Time),
                column("Who", "admin_username", Form::Text),
                column("What", "action", Form::Text),
                column("About", "target", Form::Long),
                column("Before", "before", Form::Long),
                column("After", "after", Form::Long),
                column("From", "ip_address", Form::Text),
            ],
            empty: "Nothing was done yet.",
            ..Section::PLAIN
        }],
        export: "admin_audit_export",
        ..Page::PLAIN
    },
    Page {
        name: "account",
        title: "Your account",
        sections: &[Section {
            heading: "Security",
            shape: Shape::Facts,
            operation: "admin_security_status",
            columns: &[
                column("Name", "username", Form::Text),
                column("Last login", "last_login", Form::Time),
                column("One-time codes", "otp_enabled", Form::Flag),
                column("One-time codes are required", "otp_required", Form::Flag),
                column("Backup codes left", "backup_codes_remaining", Form::Number),
            ],
            ..Section::PLAIN
        }],
        actions: &["admin_codes_renew", "admin_password_change", "admin_otp_disable"],
        ..Page::PLAIN
    },
];
