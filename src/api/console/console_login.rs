//! The log-in of the console: name and password, then a code; a device is set up first where there is none.

use super::ask::{ask, route};
use super::console_pages::{Shell, respond};
use super::session::{self, form_token};
use crate::api::ctx::{Ctx, Response, Step};
use crate::api::forms::Fields;
use crate::console::forms::Call;
use crate::console::view::{Answer, Challenge, Notice, Squares, Step as Stage, secret_of};
use crate::domain::Result;
use crate::effect::qr::Outline;
use crate::wire::json::{Object, Value, parse_own};

/// Longer addresses are none of ours.
const URI_LEN_MAX: usize = 500;

pub fn console_root(ctx: &mut Ctx<'_>) -> Result<Step> {
    let path = format!("{}/login", session::base(&ctx.state.config.admin_ui.path));
    Ok(lead(ctx, 307, path))
}

/// To another page.
pub(super) fn lead(ctx: &mut Ctx<'_>, status: u16, path: String) -> Step {
    ctx.response.is_private = true;
    ctx.response.headers.push(("cache-control", "no-store".to_string()));
    ctx.redirect(status, path)
}

pub fn console_login(ctx: &mut Ctx<'_>) -> Result<Step> {
    let held = session::cookie(&ctx.request.head).filter(|token| session::is_live(ctx, token));
    if held.is_some() {
        let path = format!("{}/ui", session::base(&ctx.state.config.admin_ui.path));
        return Ok(lead(ctx, 303, path));
    }
    show(ctx, 200, None, &Stage::Login)
}

/// A stage of the log-in.
fn show(ctx: &mut Ctx<'_>, status: u16, notice: Option<Notice>, stage: &Stage<'_>) -> Result<Step> {
    let cookie = session::cookie_or_new(ctx);
    let title = match stage {
        Stage::Login => "Administrators",
        Stage::Code(_) => "One-time code",
        Stage::SetUp { .. } => "Set up one-time codes",
        Stage::Nothing => "Not possible",
    };
    let shell = Shell::new(ctx);
    let html = shell.plain(title, &form_token(&cookie), notice.as_ref(), stage);
    Ok(respond(ctx, status, html))
}

/// The same page again, with what is wrong.
fn again(ctx: &mut Ctx<'_>, response: Response, stage: &Stage<'_>) -> Result<Step> {
    let later = response.headers.iter().find(|(name, _)| *name == "retry-after").cloned();
    ctx.response.headers.extend(later);
    let answer = Answer { status: response.status, body: response.body };
    show(ctx, answer.status, Some(Notice::error(answer.message())), stage)
}

/// The fields of a form, unless it is not to be taken; then the answer to it.
pub(super) fn fields(ctx: &mut Ctx<'_>) -> Result<std::result::Result<Fields, Step>> {
    let fields = ctx.form()?;
    let checked = session::check(&ctx.request.head, fields.body()?.root());
    Ok(match checked {
        Ok(()) => Ok(fields),
        Err(why) => Err(show(ctx, 403, Some(Notice::error(why.to_string())), &Stage::Nothing)?),
    })
}

fn text<'v>(value: &Value<'v>, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn body(fields: &[(&str, &str)], is_setup: bool) -> Call {
    let mut call = Call::default();
    let mut body = Object::new(&mut call.body);
    for (name, value) in fields {
        body.str(name, value);
    }
    if is_setup {
        body.bool("is_setup", true);
    }
    drop(body);
    call
}

pub async fn console_sign_in(ctx: &mut Ctx<'_>) -> Result<Step> {
    let call = match fields(ctx)? {
        Err(refused) => return Ok(refused),
        Ok(fields) => {
            let sent = fields.body()?;
            let sent = sent.root();
            body(&[("username", text(sent, "username")), ("password", text(sent, "password"))], false)
        }
    };
    let mut response = ask(ctx, None, route("admin_login"), call).await;
    if response.status != 200 {
        return again(ctx, response, &Stage::Login);
    }
    let outcome = parse_own(&mut response.body).unwrap_or(Value::Null);
    let challenge =
        Challenge { admin_id: text(&outcome, "admin_id"), token: text(&outcome, "challenge_token") };
    match text(&outcome, "status") {
        "success" => Ok(enter(ctx, text(&outcome, "token"), "")),
        "otp_required" => show(ctx, 200, None, &Stage::Code(challenge)),
        _ => set_up(ctx, 200, None, challenge, text(&outcome, "otp_qr_uri")).await,
    }
}

/// Shows what an authenticator is to be told.
async fn set_up(
    ctx: &mut Ctx<'_>,
    status: u16,
    notice: Option<Notice>,
    challenge: Challenge<'_>,
    uri: &str,
) -> Result<Step> {
    let drawn = ctx.effect(Outline { data: uri.to_string() }).await?;
    let code = drawn.ok().map(|(size, path)| Squares { size, path });
    show(ctx, status, notice, &Stage::SetUp { challenge, uri, secret: secret_of(uri), code })
}

pub async fn console_verify(ctx: &mut Ctx<'_>) -> Result<Step> {
    let fields = match fields(ctx)? {
        Err(refused) => return Ok(refused),
        Ok(fields) => fields,
    };
    let sent = fields.body()?;
    let sent = sent.root();
    let uri = Some(text(sent, "otp_qr_uri")).filter(|uri| !uri.is_empty() && uri.len() <= URI_LEN_MAX);
    // The address is what its page was shown with; to anybody else it says nothing.
    let uri = uri.filter(|uri| uri.starts_with("otpauth://"));
    let challenge = Challenge { admin_id: text(sent, "admin_id"), token: text(sent, "challenge_token") };
    let code = text(sent, "code").replace(' ', "");
    let call = [("admin_id", challenge.admin_id), ("challenge_token", challenge.token), ("code", &code)];
    let mut response = ask(ctx, None, route("admin_verify_otp"), body(&call, uri.is_some())).await;
    if response.status == 200 {
        let outcome = parse_own(&mut response.body).unwrap_or(Value::Null);
        // Who has set codes up wants backup codes next.
        let page = if uri.is_some() { "/account?done=set-up" } else { "" };
        return Ok(enter(ctx, text(&outcome, "token"), page));
    }
    match uri {
        None => again(ctx, response, &Stage::Code(challenge)),
        Some(uri) => {
            let answer = Answer { status: response.status, body: response.body };
            set_up(ctx, answer.status, Some(Notice::error(answer.message())), challenge, uri).await
        }
    }
}

/// Begins a session.
fn enter(ctx: &mut Ctx<'_>, token: &str, page: &str) -> Step {
    session::keep(ctx, token);
    let path = format!("{}/ui{page}", session::base(&ctx.state.config.admin_ui.path));
    lead(ctx, 303, path)
}

pub async fn console_sign_out(ctx: &mut Ctx<'_>) -> Result<Step> {
    if let Err(refused) = fields(ctx)? {
        return Ok(refused);
    }
    let token = session::cookie(&ctx.request.head).map(str::to_string);
    // Of a session that is over, too: then there is nothing to end.
    ask(ctx, token.as_deref(), route("admin_logout"), Call::default()).await;
    session::forget(ctx);
    let step = console_root(ctx)?;
    ctx.response.status = 303;
    Ok(step)
}
