//! Accounts: registration, log-in, login sessions, one's own and others' profiles.

pub mod answer;
pub mod auth;
pub mod email_verification;
pub mod lockout;
#[cfg(test)]
mod mail_tests;
mod mail_token;
pub mod oauth;
pub mod passkeys;
pub mod password_reset;
mod provider_names;
pub mod rules;
pub mod two_factor;
pub mod users;

use super::routes::Answer::{List, One};
use super::routes::{json, optional_json, routes};
use crate::domain::identity::passkey::PasskeyResponse;
use crate::domain::identity::right::Right;
use crate::domain::identity::tier::PublicFeaturesResponse;
use crate::domain::identity::token::SessionResponse;
use crate::domain::identity::two_factor::TwoFactorStatusResponse;
use crate::domain::view::{UserPublicResponse, UserResponse};
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Finish a login that needs a second factor.
    Post secret "/auth/2fa" => two_factor::two_factor_login.await, Public, AuthTwoFactor {
        body: json(FORM_LEN_MAX),
        form: Some(&two_factor::LOGIN),
        answer: One(answer::LoginResponse::SHAPE),
    };
    /// Whether two-factor login is on, and how many backup codes are left.
    Get "/auth/2fa/status" => two_factor::two_factor_status, User, Default {
        answer: One(TwoFactorStatusResponse::SHAPE),
    };
    /// Begin to set up two-factor login.
    Post secret "/auth/2fa/enable" => two_factor::two_factor_enable.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&two_factor::ENABLE),
        answer: One(two_factor::TwoFactorSetupResponse::SHAPE),
    };
    /// Switch two-factor login on.
    Post secret "/auth/2fa/confirm" => two_factor::two_factor_confirm.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&two_factor::CONFIRM),
    };
    /// Switch two-factor login off.
    Post secret "/auth/2fa/disable" => two_factor::two_factor_disable.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&two_factor::DISABLE),
    };
    /// Create an account and log in.
    Post secret "/auth/register" => auth::register.await, Public, AuthRegister {
        body: json(FORM_LEN_MAX),
        form: Some(&auth::REGISTER),
        answer: One(answer::LoginResponse::SHAPE),
    };
    /// Log in with name or e-mail and password.
    Post secret "/auth/login" => auth::login.await, Public, AuthLogin {
        body: json(FORM_LEN_MAX),
        form: Some(&auth::LOGIN),
        answer: One(answer::LoginResponse::SHAPE),
    };
    /// Ask for a mail with which a new password can be chosen.
    Post "/auth/password-reset/request" => password_reset::password_reset_request.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&password_reset::REQUEST),
    };
    /// Choose a new password.
    Post secret "/auth/password-reset/confirm" => password_reset::password_reset_confirm.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&password_reset::CONFIRM),
    };
    /// Confirm one's e-mail address.
    Post "/auth/verify-email" => email_verification::email_verify.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&email_verification::VERIFY),
    };
    /// Ask for another mail with which one's address can be confirmed.
    Post "/auth/verify-email/resend" => email_verification::email_verification_resend.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&email_verification::RESEND),
    };
    /// Begin to sign in with an account elsewhere: where to send somebody, and what to keep until he is back.
    Get "/auth/oauth/{provider}/login" => oauth::oauth_login.await, Public, Default {
        query: Some(&oauth::LOGIN),
        answer: One(oauth::OAuthLoginResponse::SHAPE),
    };
    /// Finish signing in with an account elsewhere.
    Post secret "/auth/oauth/{provider}/callback" => oauth::oauth_callback.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&oauth::CALLBACK),
        answer: One(answer::LoginResponse::SHAPE),
    };
    /// Own passkeys (beside the contract).
    Get "/auth/passkeys" => passkeys::passkey_list, Person, Default { answer: List(PasskeyResponse::SHAPE) };
    /// Begin to make a passkey: what a browser is to be asked (beside the contract).
    Post secret "/auth/passkeys/register/begin" => passkeys::passkey_register_begin.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: optional_json(FORM_LEN_MAX),
        form: Some(&passkeys::BEGIN),
        answer: One(passkeys::PasskeyOptions::SHAPE),
    };
    /// Keep a passkey that was made (beside the contract).
    Post "/auth/passkeys/register/finish" => passkeys::passkey_register_finish.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&passkeys::FINISH),
        answer: One(PasskeyResponse::SHAPE),
    };
    /// Begin to log in with a passkey, by itself or after a password (beside the contract).
    Post "/auth/passkeys/login/begin" => passkeys::passkey_login_begin.await, Public, Default {
        body: optional_json(FORM_LEN_MAX),
        form: Some(&passkeys::LOGIN_BEGIN),
        answer: One(passkeys::PasskeyOptions::SHAPE),
    };
    /// Log in with a passkey (beside the contract).
    Post "/auth/passkeys/login/finish" => passkeys::passkey_login_finish.await, Public, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&passkeys::LOGIN_FINISH),
        answer: One(answer::LoginResponse::SHAPE),
    };
    /// Call a passkey something else (beside the contract).
    Patch "/auth/passkeys/{passkey_id}" => passkeys::passkey_rename.await, User, Default {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&passkeys::RENAME),
        answer: One(PasskeyResponse::SHAPE),
    };
    /// Delete a passkey (beside the contract).
    Delete "/auth/passkeys/{passkey_id}" => passkeys::passkey_delete, User, Default {
        right: Some(Right::AccountEditProfile),
    };
    /// End the calling session.
    Post "/auth/logout" => auth::logout, Restricted, Default;
    /// Extend the calling session.
    Post "/auth/refresh" => auth::refresh, Person, Default { answer: One(answer::LoginResponse::SHAPE) };
    /// Own live sessions.
    Get "/auth/sessions" => auth::session_list, User, Default { answer: List(SessionResponse::SHAPE) };
    /// End one session.
    Delete "/auth/sessions/{session_id}" => auth::session_delete, User, Default;
    /// End all other sessions, or all.
    Post "/auth/sessions/revoke-all" => auth::session_revoke_all, User, Default {
        body: optional_json(FORM_LEN_MAX),
        form: Some(&auth::REVOKE_ALL),
        answer: One(auth::RevokeAllSessionsResponse::SHAPE),
    };
    /// Password and age-gate policy. No access token: it stands beside the form that people are shown first.
    Get "/auth/password-requirements" => auth::password_requirements, Public, Default {
        ungated: true,
        answer: One(auth::PasswordRequirementsResponse::SHAPE),
    };

    /// Own profile.
    Get "/users/@me" => users::me_get, Restricted, UsersMeGet { answer: One(UserResponse::SHAPE) };
    /// Change user name, e-mail or password.
    Patch secret "/users/@me" => users::me_edit.await, Restricted, UsersMeEdit {
        right: Some(Right::AccountEditProfile),
        body: json(FORM_LEN_MAX),
        form: Some(&users::ME_EDIT),
        answer: One(UserResponse::SHAPE),
    };
    /// Schedule the deletion of the account.
    Delete secret "/users/@me" => users::me_delete.await, User, Default {
        right: Some(Right::AccountDelete),
        body: json(FORM_LEN_MAX),
        form: Some(&users::ME_DELETE),
    };
    /// Own tier, badges and limits.
    Get "/users/@me/features" => users::features_get, User, Default { answer: One(PublicFeaturesResponse::SHAPE) };
    /// One user by exact name.
    Get "/users/search" => users::user_search, User, Default {
        right: Some(Right::AccountViewOthers),
        query: Some(&users::USER_SEARCH),
        answer: One(UserPublicResponse::SHAPE),
    };
    /// Public profile.
    Get "/users/{user_id}" => users::user_get, User, Default {
        right: Some(Right::AccountViewOthers),
        answer: One(UserPublicResponse::SHAPE),
    };
}
