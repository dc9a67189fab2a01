//! Confirming one's e-mail address, by a token that was sent there.

use super::auth::SERVER;
use super::mail_token::{CONFIRMATION_MS, new_mail_token, typed_keys};
use crate::api::authenticate::require_present;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, EMAIL, Formed, Needed, Text, fields};
use crate::config::Config;
use crate::domain::Result;
use crate::domain::identity::credential::Secret;
use crate::domain::identity::email_verification::{self, EmailConfirm};
use crate::domain::identity::mail::{self, MailRequest};
use crate::store::Read;
use crate::store::records::{ArchivedUser, mail_kind};

fields! {
    /// The token of a mail.
    pub VERIFY: EmailVerificationRequest {
        token: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// Where another mail is to go.
    pub RESEND: EmailVerificationResend {
        email: Needed<Formed> = Needed(Formed(Text(Chars::Any), EMAIL)),
    }
}

/// Whether an account may log in, whatever it has proved.
///
/// # Errors
/// 403 with the reason when it is locked, scheduled for deletion, or its address is still to be confirmed.
pub(super) fn require_admitted(config: &Config, read: Read<'_>, user: &ArchivedUser) -> Result<()> {
    require_present(read, user)?;
    if config.authentication_accounts.require_email_verification {
        email_verification::require(user)?;
    }
    Ok(())
}

pub async fn email_verify(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let token = VERIFY.token.read(&body)?;
        let snapshot = ctx.snapshot();
        let found = mail::verify(snapshot.read(), token, mail_kind::EMAIL_CONFIRMATION, ctx.now_ms());
        let (user_id, secret_hash) = found?;
        EmailConfirm { user_id, secret_hash: Secret(secret_hash) }
    };
    ctx.decide(SERVER, op).await?;
    ctx.success()
}

/// The same for every address, as for a forgotten password.
pub async fn email_verification_resend(ctx: &mut Ctx<'_>) -> Result<Step> {
    let keys = typed_keys(RESEND.email.read(&ctx.body()?)?)?;
    let token = new_mail_token(ctx, CONFIRMATION_MS);
    ctx.decide(SERVER, MailRequest { kind: mail_kind::EMAIL_CONFIRMATION, keys, token }).await?;
    ctx.success()
}
