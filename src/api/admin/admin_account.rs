//! What an administrator does about his own account.

use super::admin_login::{answer_setup, failed, new_challenge, prove};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Needed, Text, fields};
use crate::api::identity::rules::check_password;
use crate::api::identity::two_factor::{BACKUP_LEN, SECRET_LEN, checked_code, shown};
use crate::domain::admin::account::{
    AdminCodesRenew, AdminOtpDisable, AdminPasswordChange, AdminSecurityStatusResponse,
};
use crate::domain::identity::credential::Secret;
use crate::domain::{Error, Refusal, Result};
use crate::id::AdminId;
use crate::runtime::random;
use crate::store::keyring::Purpose;
use crate::store::records::Admin;
use crate::store::tables::ADMINS;
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// How many backup codes are made at a time.
const BACKUP_COUNT: usize = 10;

fields! {
    /// That it is oneself.
    pub PASSWORD: AdminPasswordConfirmRequest {
        current_password: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// Another password.
    pub PASSWORD_CHANGE: AdminPasswordChangeRequest {
        current_password: Needed<Text> = Needed(Text(Chars::Any)),
        new_password: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// That it is oneself who switches one-time codes off.
    pub OTP_DISABLE: AdminOTPDisableRequest {
        current_password: Needed<Text> = Needed(Text(Chars::Any)),
        /// A one-time code, or a backup code with or without its dash.
        code: Needed<Text> = Needed(Text(Chars::Configured(|_| 6..=16))),
    }
}

shape! {
    /// Backup codes. They are shown this once.
    pub AdminBackupCodesResponse(codes: &[String]) {
        success: bool = true,
        backup_codes: (Slot::list(&Kind::Text)) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            codes.iter().for_each(|code| list.str(code));
        },
    }
}

/// The account of who asks, when the given password is his.
async fn verified(ctx: &Ctx<'_>, password: String) -> Result<(AdminId, Admin)> {
    let admin_id = ctx.admin().admin_id;
    let admin = ctx.snapshot().read().get(ADMINS, admin_id).map(Admin::from).ok_or(Refusal::TokenInvalid)?;
    if ctx.verify(password, Some(admin.phc.clone())).await? {
        return Ok((admin_id, admin));
    }
    Err(failed(ctx, Error::invalid("current_password", "the password is wrong")).await)
}

pub fn admin_security_status(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, admin_id) = (ctx.snapshot(), ctx.admin().admin_id);
    let admin = snapshot.read().get(ADMINS, admin_id).ok_or(Refusal::TokenInvalid)?;
    let is_otp_required = ctx.state.config.admin_ui.require_otp;
    ctx.json(|out| AdminSecurityStatusResponse::write(out, admin_id, admin, is_otp_required))
}

pub async fn admin_password_change(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (current, new) = {
        let body = ctx.body()?;
        let current = PASSWORD_CHANGE.current_password.read(&body)?.to_string();
        (current, PASSWORD_CHANGE.new_password.read(&body)?.to_string())
    };
    check_password(&ctx.state.config.authentication_password, "new_password", &new)?;
    let (_, admin) = verified(ctx, current).await?;
    let phc = Secret(ctx.hash(new).await?);
    let session = Secret(ctx.admin().session);
    ctx.act(AdminPasswordChange { verified: Secret(admin.phc), phc, session }).await?;
    ctx.success()
}

pub async fn admin_otp_begin(ctx: &mut Ctx<'_>) -> Result<Step> {
    let current = PASSWORD.current_password.read(&ctx.body()?)?.to_string();
    let (admin_id, admin) = verified(ctx, current).await?;
    let secret = random::bytes::<SECRET_LEN>();
    let sealed = ctx.state.keys.seal(Purpose::TotpSecret, admin_id.0, &secret);
    let (token, op) = new_challenge(admin_id, admin.phc, sealed);
    ctx.act(op).await?;
    answer_setup(ctx, admin_id, &admin.username, &secret, &token)
}

pub async fn admin_otp_disable(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (current, code) = {
        let body = ctx.body()?;
        let current = OTP_DISABLE.current_password.read(&body)?.to_string();
        (current, checked_code(OTP_DISABLE.code.read(&body)?)?.trim().to_string())
    };
    let (admin_id, admin) = verified(ctx, current).await?;
    if ctx.state.config.admin_ui.require_otp {
        return Err(Error::forbidden("One-time codes are required here: see admin_ui.require_otp"));
    }
    let wrong = || Error::invalid("code", "the code is wrong or was used before");
    let proof = {
        let snapshot = ctx.snapshot();
        let known = snapshot.read().get(ADMINS, admin_id).ok_or(Refusal::TokenInvalid)?;
        if known.sealed.is_empty() {
            return Err(Refusal::TwoFactorOff.into());
        }
        prove(ctx, admin_id, known, &code)
    };
    let Some(proof) = proof else { return Err(failed(ctx, wrong()).await) };
    ctx.act(AdminOtpDisable { verified: Secret(admin.phc), proof }).await?;
    ctx.success()
}

pub async fn admin_codes_renew(ctx: &mut Ctx<'_>) -> Result<Step> {
    let current = PASSWORD.current_password.read(&ctx.body()?)?.to_string();
    let (admin_id, admin) = verified(ctx, current).await?;
    let codes: Vec<[u8; BACKUP_LEN]> = (0..BACKUP_COUNT).map(|_| random::bytes()).collect();
    let keys = &ctx.state.keys;
    let sums = codes.iter().map(|code| keys.sums(Purpose::BackupCode, admin_id.0, code)[0]).collect();
    ctx.act(AdminCodesRenew { verified: Secret(admin.phc), codes: Secret(sums) }).await?;
    let shown: Vec<String> = codes.iter().map(shown).collect();
    ctx.response.headers.push(("cache-control", "no-store".to_string()));
    ctx.json(|out| AdminBackupCodesResponse::write(out, &shown))
}
