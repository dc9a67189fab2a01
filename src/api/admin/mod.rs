//! The administrators' API: served below `api.api_prefix` followed by `/admin`, and below `admin_ui.path`.
//!
//! Every path here begins with `/admin`; that is what [`door`] stands before. What changes something goes through
//! [`Ctx::act`], which has it written down who did it.

pub mod admin_access_tokens;
pub mod admin_account;
pub mod admin_audit;
pub mod admin_automod;
pub mod admin_blocks;
pub mod admin_dashboard;
pub mod admin_login;
pub mod admin_logs;
pub mod admin_operations;
pub mod admin_reports;
pub mod admin_security;
pub mod admin_service;
pub mod admin_telemetry;
pub mod admin_tickets;
pub mod admin_users;
pub mod door;
pub mod first;
pub mod lists;

use super::ctx::Ctx;
use super::routes::Answer::{Export, List, One};
use super::routes::{json, optional_json, routes};
use crate::api::moderation::automod::AUTOMOD_RULE_EDIT;
use crate::domain::admin::account::AdminSecurityStatusResponse;
use crate::domain::admin::act::{AdminAct, AdminAuditEntry};
use crate::domain::contact::blocked::{BlockHashResponse, BlockedHashResponse};
use crate::domain::contact::review::{
    AdminHashReportResponse, HashReportCountsResponse, MessageReportResponse, ModerationReportCountsResponse,
    ModerationReportReviewResponse, UserReportResponse,
};
use crate::domain::contact::silenced::{BlockUserResponse, BlockedUserResponse};
use crate::domain::contact::ticket::{NoteResponse, TicketResponse};
use crate::domain::gate::address::BlockedIPResponse;
use crate::domain::gate::closure::MaintenanceResponse;
use crate::domain::gate::view::{
    AccessTokenCreateResponse, AccessTokenDetailResponse, AccessTokenResponse, AccessTokenScopeResponse,
};
use crate::domain::identity::banned_name::BannedUsernameResponse;
use crate::domain::identity::tier::{BadgesResponse, TiersResponse};
use crate::domain::moderation::switch::AutomodConfigResponse;
use crate::domain::{Operation, Result};
use crate::id::UserId;
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Log in as an administrator.
    Post secret "/admin/login" => admin_login::admin_login.await, Public, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_login::LOGIN),
        answer: One(admin_login::AdminLoginResponse::SHAPE),
    };
    /// End a log-in with a one-time code.
    Post secret "/admin/verify-otp" => admin_login::admin_verify_otp.await, Public, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_login::VERIFY),
        answer: One(admin_login::AdminLoginResponse::SHAPE),
    };
    /// End the session.
    Post "/admin/logout" => admin_login::admin_logout.await, Public, Exempt;
    /// Choose another password. The other sessions end.
    Post secret "/admin/auth/change-password" => admin_account::admin_password_change.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_account::PASSWORD_CHANGE),
    };
    /// How one's own account is guarded.
    Get "/admin/auth/security-status" => admin_account::admin_security_status, Admin, Exempt {
        answer: One(AdminSecurityStatusResponse::SHAPE),
    };
    /// Begin to set up other one-time codes; those in force stay until one of the new is shown.
    Post secret "/admin/auth/2fa/begin-setup" => admin_account::admin_otp_begin.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_account::PASSWORD),
        answer: One(admin_login::AdminLoginResponse::SHAPE),
    };
    /// Switch one-time codes off, where they may be.
    Post secret "/admin/auth/2fa/disable" => admin_account::admin_otp_disable.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_account::OTP_DISABLE),
    };
    /// Make other backup codes; those from before are void.
    Post secret "/admin/auth/2fa/regenerate-backup-codes" => admin_account::admin_codes_renew.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_account::PASSWORD),
        answer: One(admin_account::AdminBackupCodesResponse::SHAPE),
    };
    /// What administrators have done, newest first.
    Get "/admin/audit-log" => admin_audit::admin_audit_list, Admin, Exempt {
        query: Some(&admin_audit::AUDIT_QUERY),
        answer: List(AdminAuditEntry::SHAPE),
    };
    /// The same as a table of comma-separated values, oldest first.
    Get "/admin/audit-log/export" => admin_audit::admin_audit_export, Admin, Exempt {
        query: Some(&admin_audit::EXPORT_QUERY),
        answer: Export,
    };
    /// The server's log files, the latest first.
    Get "/admin/logs" => admin_logs::admin_log_list.await, Admin, Exempt { answer: List(admin_logs::LogFileInfo::SHAPE) };
    /// Lines of one, from the oldest to the latest.
    Get "/admin/logs/{filename}" => admin_logs::admin_log_get.await, Admin, Exempt {
        query: Some(&admin_logs::VIEW_QUERY),
        answer: One(admin_logs::LogViewResponse::SHAPE),
    };
    /// An extension: how the server runs, and what becomes of what was asked of it.
    Get "/admin/operations" => admin_operations::admin_operation_list, Admin, Exempt {
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: log from another severity on, until the server starts anew.
    Put "/admin/operations/log-level" => admin_operations::admin_log_level_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_operations::LOG_LEVEL),
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: read the configuration again, and have in force what can be while the server runs.
    Post "/admin/operations/reload" => admin_operations::admin_configuration_reload.await, Admin, Exempt {
        answer: One(admin_operations::ConfigurationReloadResponse::SHAPE),
    };
    /// An extension: send everybody away from the gateway, a few at a time, and take nobody in; or end that.
    Put "/admin/operations/drain" => admin_operations::admin_drain_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_operations::DRAIN),
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: close the gateway connections of an account, or of one of its sessions. They may come back.
    Post "/admin/operations/disconnect" => admin_operations::admin_disconnect.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_operations::DISCONNECT),
    };
    /// An extension: make a backup.
    Post "/admin/operations/backup" => admin_operations::admin_backup_start.await, Admin, Exempt {
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: look at every page and record of the store, and at all files.
    Post "/admin/operations/verify" => admin_operations::admin_verify_start.await, Admin, Exempt {
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: make the index of messages anew.
    Post "/admin/operations/reindex" => admin_operations::admin_reindex_start.await, Admin, Exempt {
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// An extension: make another key, and bring everything to it that lies under older ones.
    Post "/admin/operations/keys/rotate" => admin_operations::admin_key_rotate.await, Admin, Exempt {
        answer: One(admin_operations::OperationsResponse::SHAPE),
    };
    /// Accounts whose name has a text in it.
    Get "/admin/users/search" => admin_users::admin_user_search.await, Admin, Exempt {
        query: Some(&admin_users::SEARCH_QUERY),
        answer: One(admin_users::UserSearchListResponse::SHAPE),
    };
    /// Accounts that are to be deleted.
    Get "/admin/users/scheduled-deletions" => admin_users::admin_deletion_list, Admin, Exempt {
        answer: One(admin_users::ScheduledDeletionListResponse::SHAPE),
    };
    /// An account as a whole.
    Get "/admin/users/{user_id}" => admin_users::admin_user_get, Admin, Exempt {
        answer: One(admin_users::UserDetailsResponse::SHAPE),
    };
    /// Give somebody another tier.
    Put "/admin/users/{user_id}/tier" => admin_users::admin_user_tier_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_users::TIER),
        answer: One(admin_users::UserFeaturesResponse::SHAPE),
    };
    /// Give somebody a badge.
    Post "/admin/users/{user_id}/badges/{badge}" => admin_users::admin_badge_grant.await, Admin, Exempt {
        answer: One(admin_users::UserBadgeUpdateResponse::SHAPE),
    };
    /// Take a badge from somebody.
    Delete "/admin/users/{user_id}/badges/{badge}" => admin_users::admin_badge_revoke.await, Admin, Exempt {
        answer: One(admin_users::UserBadgeUpdateResponse::SHAPE),
    };
    /// Tier, badges and limits of an account.
    Get "/admin/users/{user_id}/features" => admin_users::admin_user_features_get, Admin, Exempt {
        answer: One(admin_users::UserFeaturesResponse::SHAPE),
    };
    /// Change the tier, and what there is to be said of it.
    Put "/admin/users/{user_id}/features" => admin_users::admin_user_features_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_users::FEATURES),
        answer: One(admin_users::UserFeaturesResponse::SHAPE),
    };
    /// The tiers there are.
    Get "/admin/tiers" => admin_users::admin_tier_list, Admin, Exempt { answer: One(TiersResponse::SHAPE) };
    /// The badges there are.
    Get "/admin/badges" => admin_users::admin_badge_list, Admin, Exempt { answer: One(BadgesResponse::SHAPE) };
    /// What administrators keep in mind about somebody.
    Get "/admin/users/{user_id}/notes" => admin_users::admin_user_notes_get, Admin, Exempt {
        answer: One(admin_users::UserNotesResponse::SHAPE),
    };
    /// Write it down.
    Post "/admin/users/{user_id}/notes" => admin_users::admin_user_notes_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_users::NOTES),
    };
    /// Have somebody choose another name before anything else.
    Post "/admin/users/{user_id}/force-username-change" => admin_users::admin_username_force.await, Admin, Exempt {
        body: optional_json(FORM_LEN_MAX),
        form: Some(&admin_users::FORCE_NAME),
    };
    /// An account is not deleted after all.
    Post "/admin/users/{user_id}/cancel-deletion" => admin_users::admin_deletion_cancel.await, Admin, Exempt;
    /// It is deleted at another time.
    Post "/admin/users/{user_id}/delay-deletion" => admin_users::admin_deletion_delay.await, Admin, Exempt {
        query: Some(&admin_users::DELAY_QUERY),
    };
    /// It is deleted now.
    Post "/admin/users/{user_id}/force-purge" => admin_users::admin_user_purge.await, Admin, Exempt;
    /// Lock an account: whatever it asks for is refused.
    Post "/admin/security/lock-user" => admin_security::admin_user_lock.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_security::LOCK),
    };
    /// Unlock it, and forget wrong passwords.
    Post "/admin/security/unlock-user" => admin_security::admin_user_unlock.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_security::USER),
    };
    /// End all sessions of somebody.
    Post "/admin/security/force-logout" => admin_security::admin_user_log_out.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_security::USER),
    };
    /// Addresses that are not served, the latest first.
    Get "/admin/security/blocked-ips" => admin_security::admin_address_list, Admin, Exempt {
        answer: List(BlockedIPResponse::SHAPE),
    };
    /// Serve an address, or a network, no more.
    Post "/admin/security/block-ip" => admin_security::admin_address_block.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_security::BLOCK),
    };
    /// Serve it again.
    Delete "/admin/security/unblock-ip/{ip_address}" => admin_security::admin_address_unblock.await, Admin, Exempt;
    /// Names that nobody may take, the latest first.
    Get "/admin/security/banned-usernames" => admin_security::admin_name_ban_list, Admin, Exempt {
        answer: List(BannedUsernameResponse::SHAPE),
    };
    /// Ban a name, or a pattern of names.
    Post "/admin/security/banned-usernames" => admin_security::admin_name_ban_create.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_security::NAME_BAN),
    };
    /// Lift a ban.
    Delete "/admin/security/banned-usernames/{pattern_id}" => admin_security::admin_name_ban_remove.await, Admin, Exempt;
    /// Access tokens, the latest first.
    Get "/admin/security/access-tokens" => admin_access_tokens::admin_access_token_list, Admin, Exempt {
        query: Some(&admin_access_tokens::LIST_QUERY),
        answer: List(AccessTokenResponse::SHAPE),
    };
    /// Make one. As long as there is one that is good, clients have to show one.
    Post "/admin/security/access-tokens" => admin_access_tokens::admin_access_token_create.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_access_tokens::CREATE),
        answer: One(AccessTokenCreateResponse::SHAPE),
    };
    /// A token, and how it is used.
    Get "/admin/security/access-tokens/{token_id}" => admin_access_tokens::admin_access_token_get, Admin, Exempt {
        query: Some(&admin_access_tokens::DETAIL_QUERY),
        answer: One(AccessTokenDetailResponse::SHAPE),
    };
    /// Change what is said of a token.
    Patch "/admin/security/access-tokens/{token_id}" => admin_access_tokens::admin_access_token_edit.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_access_tokens::EDIT),
        answer: One(AccessTokenResponse::SHAPE),
    };
    /// Give it another value. The one before is void.
    Post "/admin/security/access-tokens/{token_id}/rotate" => admin_access_tokens::admin_access_token_rotate.await, Admin, Exempt {
        body: optional_json(FORM_LEN_MAX),
        form: Some(&admin_access_tokens::ROTATE),
        answer: One(AccessTokenCreateResponse::SHAPE),
    };
    /// Let a token be used from an address, or a network.
    Post "/admin/security/access-tokens/{token_id}/scopes" => admin_access_tokens::admin_access_scope_add.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_access_tokens::SCOPE),
        answer: One(AccessTokenScopeResponse::SHAPE),
    };
    /// Do so no more.
    Delete "/admin/security/access-tokens/{token_id}/scopes/{scope_id}" => admin_access_tokens::admin_access_scope_remove.await, Admin, Exempt;
    /// Make a token void.
    Post "/admin/security/access-tokens/{token_id}/revoke" => admin_access_tokens::admin_access_token_revoke.await, Admin, Exempt;
    /// Whether there is maintenance.
    Get "/admin/maintenance" => admin_service::admin_maintenance_get, Admin, Exempt { answer: One(MaintenanceResponse::SHAPE) };
    /// Begin maintenance, change what is said of it, or end it. Users are refused meanwhile.
    Put "/admin/maintenance" => admin_service::admin_maintenance_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_service::MAINTENANCE),
        answer: One(MaintenanceResponse::SHAPE),
    };
    /// End all sessions of all users.
    Post "/admin/security/logout-all" => admin_service::admin_everybody_log_out.await, Admin, Exempt;
    /// Reports of files, the latest first.
    Get "/admin/hash-reports" => admin_reports::admin_hash_report_list, Admin, Exempt {
        query: Some(&admin_reports::HASH_LIST_QUERY),
        answer: List(AdminHashReportResponse::SHAPE),
    };
    /// How many of them are in each state.
    Get "/admin/hash-reports/counts" => admin_reports::admin_hash_report_counts, Admin, Exempt {
        answer: One(HashReportCountsResponse::SHAPE),
    };
    /// Decide on one. It may be done again; the last time counts.
    Post "/admin/hash-reports/{report_id}/review" => admin_reports::admin_hash_report_review.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_reports::HASH_REVIEW),
        answer: One(ModerationReportReviewResponse::SHAPE),
    };
    /// Reports of messages, the latest first.
    Get "/admin/message-reports" => admin_reports::admin_message_report_list, Admin, Exempt {
        query: Some(&admin_reports::LIST_QUERY),
        answer: List(MessageReportResponse::SHAPE),
    };
    /// How many of them are in each state.
    Get "/admin/message-reports/counts" => admin_reports::admin_message_report_counts, Admin, Exempt {
        answer: One(ModerationReportCountsResponse::SHAPE),
    };
    /// Decide on one. It may be done again; the last time counts.
    Post "/admin/message-reports/{report_id}/review" => admin_reports::admin_message_report_review.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_reports::REVIEW),
        answer: One(ModerationReportReviewResponse::SHAPE),
    };
    /// Reports of people, the latest first.
    Get "/admin/user-reports" => admin_reports::admin_user_report_list, Admin, Exempt {
        query: Some(&admin_reports::LIST_QUERY),
        answer: List(UserReportResponse::SHAPE),
    };
    /// How many of them are in each state.
    Get "/admin/user-reports/counts" => admin_reports::admin_user_report_counts, Admin, Exempt {
        answer: One(ModerationReportCountsResponse::SHAPE),
    };
    /// Decide on one. It may be done again; the last time counts.
    Post "/admin/user-reports/{report_id}/review" => admin_reports::admin_user_report_review.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_reports::REVIEW),
        answer: One(ModerationReportReviewResponse::SHAPE),
    };
    /// Files that are not taken, the latest first.
    Get "/admin/blocked-hashes" => admin_blocks::admin_blocked_hash_list, Admin, Exempt {
        query: Some(&admin_blocks::LIST_QUERY),
        answer: List(BlockedHashResponse::SHAPE),
    };
    /// Take a file no more.
    Post "/admin/blocked-hashes" => admin_blocks::admin_hash_block.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_blocks::HASH),
        answer: One(BlockHashResponse::SHAPE),
    };
    /// Take it again.
    Delete "/admin/blocked-hashes/{hash_value}" => admin_blocks::admin_hash_unblock.await, Admin, Exempt;
    /// People who may bring nothing before others, the latest first.
    Get "/admin/blocked-users" => admin_blocks::admin_blocked_user_list, Admin, Exempt {
        query: Some(&admin_blocks::LIST_QUERY),
        answer: List(BlockedUserResponse::SHAPE),
    };
    /// Let somebody post, react and upload no more.
    Post "/admin/blocked-users" => admin_blocks::admin_user_block.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_blocks::USER),
        answer: One(BlockUserResponse::SHAPE),
    };
    /// Let him again.
    Delete "/admin/blocked-users/{user_id}" => admin_blocks::admin_user_unblock.await, Admin, Exempt;
    /// The rules of a server.
    Get "/admin/automod/rules" => admin_automod::admin_rule_list, Admin, Exempt {
        query: Some(&admin_automod::LIST_QUERY),
        answer: List(admin_automod::AdminAutomodRuleResponse::SHAPE),
    };
    /// Make a rule of a server.
    Post "/admin/automod/rules" => admin_automod::admin_rule_create.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_automod::RULE_CREATE),
        answer: One(admin_automod::AdminAutomodRuleResponse::SHAPE),
    };
    /// Change a rule.
    Patch "/admin/automod/rules/{rule_id}" => admin_automod::admin_rule_edit.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&AUTOMOD_RULE_EDIT),
        answer: One(admin_automod::AdminAutomodRuleResponse::SHAPE),
    };
    /// Delete it.
    Delete "/admin/automod/rules/{rule_id}" => admin_automod::admin_rule_delete.await, Admin, Exempt;
    /// Whether rules act at all.
    Get "/admin/automod/config" => admin_automod::admin_automod_config_get, Admin, Exempt {
        answer: One(AutomodConfigResponse::SHAPE),
    };
    /// Have them act, or not; the rules stay.
    Put "/admin/automod/config" => admin_automod::admin_automod_config_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_automod::CONFIG),
        answer: One(AutomodConfigResponse::SHAPE),
    };
    /// What users have written, the latest first.
    Get "/admin/tickets" => admin_tickets::admin_ticket_list, Admin, Exempt {
        query: Some(&admin_tickets::LIST_QUERY),
        answer: List(TicketResponse::SHAPE),
    };
    /// One ticket.
    Get "/admin/tickets/{ticket_id}" => admin_tickets::admin_ticket_get, Admin, Exempt { answer: One(TicketResponse::SHAPE) };
    /// Say how far it is with it.
    Patch "/admin/tickets/{ticket_id}/status" => admin_tickets::admin_ticket_status_set.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_tickets::STATUS),
    };
    /// Notes of administrators to it, the oldest first.
    Get "/admin/tickets/{ticket_id}/notes" => admin_tickets::admin_ticket_note_list, Admin, Exempt {
        answer: List(NoteResponse::SHAPE),
    };
    /// Add one.
    Post "/admin/tickets/{ticket_id}/notes" => admin_tickets::admin_ticket_note_add.await, Admin, Exempt {
        body: json(FORM_LEN_MAX),
        form: Some(&admin_tickets::NOTE),
        answer: One(NoteResponse::SHAPE),
    };
    /// What there is to be seen at a glance.
    Get "/admin/dashboard" => admin_dashboard::admin_dashboard_get.await, Admin, Exempt {
        answer: One(admin_dashboard::AdminDashboardResponse::SHAPE),
    };
    /// Who reads the store, and whether it takes changes.
    Get "/admin/database/pool-health" => admin_dashboard::admin_store_health_get.await, Admin, Exempt {
        answer: One(admin_dashboard::AdminStoreHealthResponse::SHAPE),
    };
    /// How fast operations are, the most used first.
    Get "/admin/telemetry/stats" => admin_telemetry::admin_telemetry_stats.await, Admin, Exempt {
        query: Some(&admin_telemetry::STATS_QUERY),
        answer: One(admin_telemetry::TelemetryStatsResponse::SHAPE),
    };
    /// How fast one operation was, by time.
    Get "/admin/telemetry/history" => admin_telemetry::admin_telemetry_history.await, Admin, Exempt {
        query: Some(&admin_telemetry::HISTORY_QUERY),
        answer: One(admin_telemetry::TelemetryHistoryResponse::SHAPE),
    };
    /// Forget how fast operations were.
    Post "/admin/telemetry/reset" => admin_telemetry::admin_telemetry_reset.await, Admin, Exempt {
        answer: One(admin_telemetry::TelemetryResetResponse::SHAPE),
    };
    /// How fast operations are, as JSON, a table of comma-separated values, or text.
    Get "/admin/telemetry/export" => admin_telemetry::admin_telemetry_export.await, Admin, Exempt {
        query: Some(&admin_telemetry::EXPORT_QUERY),
        answer: Export,
    };
}

impl Ctx<'_> {
    /// Has the log decide a command in the name of the administrator who asks; only for routes with `admin` in their
    /// row. It is written down what has changed.
    ///
    /// # Errors
    /// Those of the command, and 401 when the session has ended meanwhile.
    pub async fn act<C: Operation>(&self, op: C) -> Result<C::Reply> {
        let session = self.admin().session;
        let act = AdminAct::new(session, self.request.ip.to_canonical().to_string(), &op.into());
        self.decide(UserId(0), act).await.map(<C::Reply as crate::domain::Answer>::take)
    }
}
