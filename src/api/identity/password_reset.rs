//! A new password for those who have forgotten theirs: a token by mail, and what it is good for.

use super::auth::SERVER;
use super::mail_token::{RESET_MS, new_mail_token, typed_keys};
use super::rules::{self, check_password, login_key, login_name};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, EMAIL, Formed, Needed, Text, fields};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::mail::{self, MailRequest};
use crate::domain::identity::password_reset::PasswordReset;
use crate::domain::{Refusal, Result};
use crate::id::UserId;
use crate::store::records::mail_kind;
use crate::store::tables::USERS;
use crate::text;

fields! {
    /// Whose password is to be chosen anew.
    pub REQUEST: PasswordResetRequest {
        email: Needed<Formed> = Needed(Formed(Text(Chars::Any), EMAIL)),
    }
}

fields! {
    /// The token of a mail, and the password from now on.
    pub CONFIRM: PasswordResetConfirm {
        token: Needed<Text> = Needed(Text(Chars::Any)),
        new_password: Needed<Text> = Needed(Text(Chars::Configured(rules::password_range))),
    }
}

/// The same for every address: who has it is looked up when this was answered.
pub async fn password_reset_request(ctx: &mut Ctx<'_>) -> Result<Step> {
    let keys = typed_keys(REQUEST.email.read(&ctx.body()?)?)?;
    let token = new_mail_token(ctx, RESET_MS);
    ctx.decide(SERVER, MailRequest { kind: mail_kind::PASSWORD_RESET, keys, token }).await?;
    ctx.success()
}

pub async fn password_reset_confirm(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (user_id, secret_hash, password) = {
        let body = ctx.body()?;
        let token = CONFIRM.token.read(&body)?;
        let password = CONFIRM.new_password.read(&body)?;
        let snapshot = ctx.snapshot();
        let found = mail::verify(snapshot.read(), token, mail_kind::PASSWORD_RESET, ctx.now_ms());
        let (user_id, secret_hash) = found?;
        // A password that will not do leaves the token as it is.
        check_password(&ctx.state.config.authentication_password, "new_password", password)?;
        (user_id, Secret(secret_hash), password.to_string())
    };
    ctx.account = user_id.0;
    let phc = Secret(ctx.hash(password).await?);
    let names = names(ctx, user_id)?;
    ctx.decide(SERVER, PasswordReset { user_id, secret_hash, phc, names }).await?;
    ctx.success()
}

/// Keys of the names under which he logs in.
fn names(ctx: &Ctx<'_>, user_id: UserId) -> Result<Vec<u64>> {
    let snapshot = ctx.snapshot();
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::MailTokenInvalid)?;
    let forms = text::email::forms(&user.email);
    let typed = [user.username.to_string()].into_iter().chain(forms);
    Ok(typed.map(|name| login_key(&login_name(&name))).collect())
}
