//! Signing in with an account elsewhere: the way there, and back.
//!
//! What is asked of a provider is asked on a lane, with the time and the bytes that it may take; who that makes of
//! somebody is decided by the log. Whatever goes wrong there is told as it is for him: a code that is not accepted, or
//! a provider that is away. What it said is nowhere, for it may hold what nobody is to read.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::answer::{answer_challenge, answer_new_login};
use super::auth::{SERVER, beginnings, new_token};
use super::email_verification::require_admitted;
use super::rules::{check_age, checked_email};
use super::two_factor::CHALLENGE_S;
use crate::api::authenticate::{BOT_SECRET_LEN, SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Int, Needed, Text, fields};
use crate::api::new_names::{Bans, judged};
use crate::domain::identity::account::Email;
use crate::domain::identity::credential::Secret;
use crate::domain::identity::oauth::{self, Newcomer, SignInBegin, SignInEnd, SignInTake};
use crate::domain::identity::two_factor;
use crate::domain::{Admitted, Error, Refusal, Result};
use crate::effect::oauth::{Inquiry, Profile, Provider, Refused};
use crate::limits::{PROVIDER_CODE_LEN_MAX, REDIRECT_LEN_MAX, VERIFIER_LEN_MAX};
use crate::store::records::{ArchivedProviderSignIn, provider};
use crate::store::tables::USERS;
use crate::text;
use crate::wire::json::shape::shape;

use super::provider_names::name_for;

/// Characters of a state are fewer; anything longer is none.
const STATE_LEN_MAX: usize = 128;
/// To which nothing but a browser's own page could be led.
const SCHEMES_REFUSED: [&str; 6] = ["javascript", "data", "vbscript", "file", "blob", "about"];

fields! {
    /// Where somebody is to be led back to.
    pub LOGIN: OAuthLoginQuery {
        /// As it is known to the provider.
        redirect_uri: Needed<Text> = Needed(Text(Chars::UpTo(REDIRECT_LEN_MAX))),
    }
}

fields! {
    /// What somebody has brought back.
    pub CALLBACK: OAuthCallbackRequest {
        /// From the provider.
        code: Needed<Text> = Needed(Text(Chars::UpTo(PROVIDER_CODE_LEN_MAX))),
        state: Needed<Text> = Needed(Text(Chars::UpTo(STATE_LEN_MAX))),
        /// The one that the sign-in was begun with.
        redirect_uri: Needed<Text> = Needed(Text(Chars::UpTo(REDIRECT_LEN_MAX))),
        /// The one that came with the address.
        code_verifier: Text = Text(Chars::UpTo(VERIFIER_LEN_MAX)),
        /// As in a registration: asked for of those who have no account yet, where an age is asked for.
        dob: Text = Text(Chars::Any),
        age: Int = Int(0..=u64::MAX),
        age_verified: Flag = Flag,
    }
}

shape! {
    /// Where to send somebody who wants to sign in elsewhere.
    pub OAuthLoginResponse(url: &str, state: &str, code_verifier: Option<&str>) {
        url: str = url,
        state: str = state,
        /// To be kept, and sent when he is back.
        code_verifier: opt_str = code_verifier,
    }
}

pub async fn oauth_login(ctx: &mut Ctx<'_>) -> Result<Step> {
    let code = path_provider(ctx)?;
    let redirect_uri = LOGIN.redirect_uri.query(ctx)?;
    check_redirect(&redirect_uri)?;
    let provider = Provider::of(&ctx.state.config, code).ok_or(Refusal::ProviderOff)?;
    let config = &ctx.state.config;
    let secret = new_secret::<SESSION_SECRET_LEN>();
    let verifier = config.oauth.pkce_enabled.then(new_secret::<BOT_SECRET_LEN>);
    let sum = verifier.as_deref().map(hash_secret);
    let op = SignInBegin {
        provider: code,
        secret_hash: Secret(hash_secret(&secret)),
        redirect_hash: hash_secret(&redirect_uri),
        challenge: sum,
        source: source_key(ctx.request.ip),
        source_max: config.oauth.max_states_per_ip,
        life_ms: config.oauth.state_ttl_seconds * 1_000,
    };
    let state = oauth::state(ctx.decide(SERVER, op).await?, &secret);
    let challenge = sum.map(|sum| URL_SAFE_NO_PAD.encode(sum));
    let url = provider.address(&redirect_uri, &state, challenge.as_deref());
    ctx.response.headers.push(("cache-control", "no-store".into()));
    ctx.json(|out| OAuthLoginResponse::write(out, &url, &state, verifier.as_deref()))
}

/// # Errors
/// 400 for one that nobody knows.
fn path_provider(ctx: &Ctx<'_>) -> Result<u8> {
    provider::code(&ctx.param("provider")).ok_or_else(|| {
        Error::invalid("provider", format_args!("must be one of {}", provider::WORDS.join(", ")))
    })
}

/// # Errors
/// 400 for what is no absolute address, or one that is of no use to a provider.
fn check_redirect(uri: &str) -> Result<()> {
    let wrong = |problem: &str| Err(Error::invalid(LOGIN.redirect_uri.name, problem));
    if uri.len() > REDIRECT_LEN_MAX {
        return wrong("is too long");
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return wrong("must be an absolute address") };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let is_web = ["http", "https"].iter().any(|web| web.eq_ignore_ascii_case(scheme));
    let has_host =
        rest.strip_prefix("//").is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '?']));
    if !is_scheme || rest.is_empty() || (is_web && !has_host) {
        return wrong("must be an absolute address");
    }
    if SCHEMES_REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(scheme)) {
        return wrong("nobody can be led back there");
    }
    // RFC 6749 §3.1.2.
    if uri.contains('#') || uri.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return wrong("must have no fragment and no blanks");
    }
    Ok(())
}

/// Stands for where a request comes from: an IPv4 address, or an IPv6 /64, in which one client has as many as he
/// likes. No address of the internet begins with so many zeros that one could be taken for the other.
pub(super) fn source_key(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

/// What came with somebody who is back.
struct Returned {
    code: String,
    state: String,
    redirect_uri: String,
    verifier: Option<String>,
    /// Whether his age was confirmed, if he turns out to be new.
    age_verified: Result<bool>,
}

fn returned(ctx: &mut Ctx<'_>) -> Result<Returned> {
    let body = ctx.body()?;
    Ok(Returned {
        code: CALLBACK.code.read(&body)?.to_owned(),
        state: CALLBACK.state.read(&body)?.to_owned(),
        redirect_uri: CALLBACK.redirect_uri.read(&body)?.to_owned(),
        verifier: CALLBACK.code_verifier.read(&body)?.map(str::to_owned),
        age_verified: check_age(&ctx.state.config.authentication_accounts, &body, ctx.now().unix_ms),
    })
}

pub async fn oauth_callback(ctx: &mut Ctx<'_>) -> Result<Step> {
    let code = path_provider(ctx)?;
    let returned = returned(ctx)?;
    let (sign_in_id, fits, asks) = {
        let snapshot = ctx.snapshot();
        let (id, sign_in) = oauth::open(snapshot.read(), &returned.state, ctx.now_ms())?;
        (id, fits(sign_in, code, &returned), sign_in.challenge.is_some())
    };
    // Whatever comes of it: who has got hold of a state tries once.
    if !ctx.decide(SERVER, SignInTake { sign_in_id }).await? {
        return Err(Refusal::SignInInvalid.into());
    }
    fits?;
    let inquiry = Inquiry {
        provider: Provider::of(&ctx.state.config, code).ok_or(Refusal::ProviderOff)?,
        code: returned.code,
        redirect_uri: returned.redirect_uri,
        verifier: returned.verifier.filter(|_| asks),
        within: Duration::from_millis(ctx.state.config.oauth.timeout_ms),
    };
    let profile = ctx.effect(inquiry).await?.map_err(|refused| told(code, refused))?;
    end(ctx, code, profile, returned.age_verified).await
}

/// # Errors
/// 400 when it was begun for another provider or address, or the verifier is not the one that was given out.
fn fits(sign_in: &ArchivedProviderSignIn, provider: u8, returned: &Returned) -> Result<()> {
    if sign_in.provider != provider {
        return Err(Refusal::SignInInvalid.into());
    }
    if sign_in.redirect_hash != hash_secret(&returned.redirect_uri) {
        let problem = "must be the one that the sign-in was begun with";
        return Err(Error::invalid(CALLBACK.redirect_uri.name, problem));
    }
    let Some(challenge) = sign_in.challenge.as_ref() else { return Ok(()) };
    let shown = returned.verifier.as_deref().map(hash_secret);
    let is_known = shown.is_some_and(|shown| bool::from(shown.ct_eq(challenge)));
    if is_known { Ok(()) } else { Err(Refusal::VerifierWrong.into()) }
}

/// What becomes of a provider's no.
fn told(code: u8, refused: Refused) -> Error {
    let provider = provider::text(code);
    match refused {
        Refused::Code => Refusal::ProviderRefused.into(),
        Refused::Us(error) => {
            tracing::error!(
                provider,
                error,
                "a provider does not know this server: compare oauth.{provider}.client_id and client_secret with what \
                 it shows"
            );
            Refusal::ProviderAway.into()
        }
        Refused::Away(why) => {
            tracing::warn!(provider, why, "a provider does not say who somebody is");
            Refusal::ProviderAway.into()
        }
    }
}

/// Lets somebody in who is known to a provider.
async fn end(ctx: &mut Ctx<'_>, code: u8, profile: Profile, age_verified: Result<bool>) -> Result<Step> {
    // What is no address here is none.
    let address = profile.email.as_deref().and_then(|typed| Some((typed, checked_email(typed).ok()?)));
    let (keys, email) = address.map(|(typed, email)| (text::email::forms(typed), email)).unzip();
    let keys: Vec<String> = keys.unwrap_or_default();
    let newcomer = match is_known(ctx, code, &profile.subject, &keys)? {
        true => None,
        false => Some(Box::new(newcomer(ctx, &profile, email, age_verified).await?)),
    };
    let (secret, token) = new_token(ctx);
    let challenge = new_secret::<SESSION_SECRET_LEN>();
    let op = SignInEnd {
        provider: code,
        subject: profile.subject,
        keys,
        newcomer,
        token: Box::new(token),
        challenge_hash: Secret(hash_secret(&challenge)),
        challenge_life_ms: CHALLENGE_S * 1_000,
    };
    match ctx.decide(SERVER, op).await? {
        Admitted::Session(user_id, token_id) => answer_new_login(ctx, (user_id, token_id), &secret),
        Admitted::Challenge(id) => {
            answer_challenge(ctx, &two_factor::challenge_token(id, &challenge), CHALLENGE_S)
        }
    }
}

/// Whether he has an account.
///
/// # Errors
/// 403 with the reason when it cannot be used, or is not shown to be his.
fn is_known(ctx: &Ctx<'_>, code: u8, subject: &str, keys: &[String]) -> Result<bool> {
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let Some(user_id) = oauth::find(read, code, subject, keys) else { return Ok(false) };
    let user = read.get(USERS, user_id).ok_or(Refusal::ProviderRefused)?;
    require_admitted(&ctx.state.config, read, user)?;
    Ok(true)
}

/// # Errors
/// 400 without an address that the provider has confirmed, or without an age where one is asked for; 403 while nobody
/// can register; 503 when too many wait.
async fn newcomer(
    ctx: &Ctx<'_>,
    profile: &Profile,
    email: Option<Email>,
    age_verified: Result<bool>,
) -> Result<Newcomer> {
    let config = ctx.state.config.clone();
    let email = email.ok_or(Refusal::EmailUnverified)?;
    let accounts = &config.authentication_accounts;
    if !accounts.allow_registration {
        return Err(Refusal::RegistrationClosed.into());
    }
    let age_verified = age_verified?;
    let local = email.address.split('@').next().unwrap_or_default();
    let hints = [profile.name.clone().unwrap_or_default(), local.to_string()];
    let for_lane = config.clone();
    let judge = move |bans: &Bans| {
        name_for(&for_lane.authentication_accounts, hints.each_ref().map(String::as_str), |name| {
            bans.contains(name)
        })
    };
    let username = judged(ctx, judge).await?;
    let (tier, badges) = beginnings(&config);
    Ok(Newcomer {
        username,
        username_len_max: accounts.username_max_length,
        email,
        age_verified,
        tier,
        badges,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_led_back_to_an_absolute_address() {
        for fine in [
            "http://localhost:5000/oauth/cb",
            "https://chat.example/cb?x=1",
            "org.example.chat:/cb",
            "plexichat://cb",
            "HTTPS://chat.example",
        ] {
            assert!(check_redirect(fine).is_ok(), "{fine}");
        }
        for refused in [
            "",
            "r",
            "/cb",
            "//chat.example/cb",
            "http:/cb",
            "http://",
            "http:///cb",
            "https://chat.example/cb#x",
            "https://chat.example/c b",
            "https://chat.example/\r\nx",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "1x:y",
            "x:",
            &format!("https://chat.example/{}", "x".repeat(REDIRECT_LEN_MAX)),
        ] {
            assert!(check_redirect(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn a_client_is_one_source() {
        let key = |address: &str| source_key(address.parse().unwrap());
        assert_eq!(key("192.0.2.7"), key("::ffff:192.0.2.7"));
        assert_eq!(key("2001:db8:1:2:3::"), key("2001:db8:1:2::ffff"));
        assert_ne!(key("2001:db8:1:2::"), key("2001:db8:1:3::"));
    }
}
