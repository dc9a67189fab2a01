//! Accounts: registration, log-in, login sessions, one's own and others' profiles.

pub mod auth;
pub mod lockout;
pub mod rules;
pub mod users;

use super::routes::{json, routes};
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Create an account and log in.
    Post secret "/auth/register" => auth::register.await, Public, AuthRegister { body: json(FORM_LEN_MAX) };
    /// Log in with name or e-mail and password.
    Post secret "/auth/login" => auth::login.await, Public, AuthLogin { body: json(FORM_LEN_MAX) };
    /// End the calling session.
    Post "/auth/logout" => auth::logout, User, Default;
    /// Extend the calling session.
    Post "/auth/refresh" => auth::refresh, User, Default;
    /// Own live sessions.
    Get "/auth/sessions" => auth::session_list, User, Default;
    /// End one session.
    Delete "/auth/sessions/{session_id}" => auth::session_delete, User, Default;
    /// End all other sessions, or all.
    Post "/auth/sessions/revoke-all" => auth::session_revoke_all, User, Default { body: json(FORM_LEN_MAX) };
    /// Password and age-gate policy.
    Get "/auth/password-requirements" => auth::password_requirements, Public, Default;

    /// Own profile.
    Get "/users/@me" => users::me_get, User, UsersMeGet;
    /// Change user name, e-mail or password.
    Patch secret "/users/@me" => users::me_edit.await, User, UsersMeEdit { body: json(FORM_LEN_MAX) };
    /// Schedule the deletion of the account.
    Delete secret "/users/@me" => users::me_delete.await, User, Default { body: json(FORM_LEN_MAX) };
    /// Own tier, badges and limits.
    Get "/users/@me/features" => users::features_get, User, Default;
    /// One user by exact name.
    Get "/users/search" => users::user_search, User, Default;
    /// Public profile.
    Get "/users/{user_id}" => users::user_get, User, Default;
}
