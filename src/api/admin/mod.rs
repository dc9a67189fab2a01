//! The administrators' API: served below `api.api_prefix` followed by `/admin`, and below `admin_ui.path`.
//!
//! Every path here begins with `/admin`; that is what [`door`] stands before. What changes something goes through
//! [`Ctx::act`], which has it written down who did it.

pub mod admin_account;
pub mod admin_audit;
pub mod admin_login;
pub mod door;
pub mod first;
pub mod lists;

use super::ctx::Ctx;
use super::routes::Answer::{Export, List, One};
use super::routes::{json, routes};
use crate::domain::admin::account::AdminSecurityStatusResponse;
use crate::domain::admin::act::{AdminAct, AdminAuditEntry};
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
