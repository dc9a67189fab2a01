//! Two-factor login: setting it up, switching it off, and the second step of a log-in.
//!
//! Codes are compared here, where the server's keys are; that each serves once is decided by the log. A wrong code of
//! a log-in counts towards its challenge alone, so that nobody can lock anybody out with them.

use subtle::ConstantTimeEq;
use totp_rs::{Algorithm, Builder, Totp};

use super::answer::{answer_challenge, answer_new_login};
use super::auth::{SERVER, new_token};
use super::email_verification::require_admitted;
use super::lockout::{MINUTE_MS, verify_own};
use crate::api::authenticate::{SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Formed, Needed, Text, fields};
use crate::config::Config;
use crate::domain::identity::credential::Secret;
use crate::domain::identity::two_factor::{
    self, ChallengeCreate, ChallengeFailed, ChallengePass, Proof, TwoFactorBegin, TwoFactorConfirm,
    TwoFactorDisable, TwoFactorFailed, TwoFactorStatusResponse, TwoFactorUse,
};
use crate::domain::{Error, Refusal, Result};
use crate::id::UserId;
use crate::runtime::random;
use crate::store::keyring::{Keyring, Purpose};
use crate::store::records::ArchivedTwoFactor;
use crate::store::tables::{TWO_FACTORS, USERS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// Bytes of a secret: 32 characters of base32, as long as a sum of SHA-1.
pub const SECRET_LEN: usize = 20;
/// Steps of time before and after now whose codes are taken.
const SKEW: u16 = 1;
/// How long a challenge can be answered, and how often wrongly (contract, `POST /auth/2fa`).
pub const CHALLENGE_S: u64 = 300;
pub const CHALLENGE_FAILURES_MAX: u64 = 5;
const CODE_LEN_MIN: usize = 6;
const CODE_LEN_MAX: usize = 16;
/// Eight hexadecimal digits.
pub const BACKUP_LEN: usize = 4;

fields! {
    /// The second step of a log-in.
    pub LOGIN: TwoFactorRequest {
        challenge_token: Needed<Text> = Needed(Text(Chars::Any)),
        /// A one-time code, or a backup code with or without its dash.
        code: Needed<Text> = Needed(Text(Chars::Configured(|_| CODE_LEN_MIN..=CODE_LEN_MAX))),
    }
}

fields! {
    /// That it is oneself who sets up two-factor login.
    pub ENABLE: TwoFactorSetupRequest {
        password: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// That one's device makes the right codes.
    pub CONFIRM: TwoFactorConfirmRequest {
        code: Needed<Formed> = Needed(Formed(Text(Chars::Any), "^[0-9]+$")),
    }
}

fields! {
    /// That it is oneself who switches two-factor login off.
    pub DISABLE: TwoFactorDisableRequest {
        password: Needed<Text> = Needed(Text(Chars::Any)),
        /// A one-time code, or a backup code with or without its dash.
        code: Needed<Text> = Needed(Text(Chars::Configured(|_| CODE_LEN_MIN..=CODE_LEN_MAX))),
    }
}

shape! {
    /// What an authenticator is set up with. It is shown this once.
    pub TwoFactorSetupResponse(totp: &Totp, codes: &[String]) {
        secret: str = &totp.secret().to_base32(),
        qr_uri: str = &totp.to_url().expect("it was made with names that fit"),
        backup_codes: (Slot::list(&Kind::Text)) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            codes.iter().for_each(|code| list.str(code));
        },
    }
}

/// Makes the codes of a secret.
pub fn totp(config: &Config, name: &str, secret: &[u8]) -> Totp {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(config.authentication_totp.digits as u8)
        .with_skew(SKEW)
        .with_step_duration(config.authentication_totp.interval)
        .with_secret(secret)
        .with_issuer(Some(config.authentication_totp.issuer.as_str()))
        .with_account_name(name)
        .build_noncompliant()
}

/// What a code proves, if anything.
fn prove(ctx: &Ctx<'_>, user_id: UserId, record: &ArchivedTwoFactor, code: &str) -> Option<Proof> {
    let (keys, code) = (&ctx.state.keys, code.trim());
    let step = step_of(ctx, user_id, record, code);
    let proof = step.map(Proof::Step).or_else(|| {
        let sums = keys.sums(Purpose::BackupCode, user_id.0, &backup_code(code)?);
        let known = |sum: &[u8; 32]| record.codes.iter().any(|code| code.ct_eq(sum).into());
        sums.into_iter().find(known).map(|sum| Proof::Backup(Secret(sum)))
    });
    proof.filter(|proof| two_factor::holds(record, proof))
}

/// The step of time whose code this is.
fn step_of(ctx: &Ctx<'_>, user_id: UserId, record: &ArchivedTwoFactor, code: &str) -> Option<u64> {
    let Some(secret) = ctx.state.keys.unseal(Purpose::TotpSecret, user_id.0, &record.sealed) else {
        tracing::error!(
            user_id = user_id.0,
            "a second factor cannot be read: server.keys lacks its key, put it back from a backup"
        );
        return None;
    };
    totp(&ctx.state.config, "", &secret).check(code, ctx.now().unix_ms / 1_000)
}

/// The bytes of a backup code as it was typed: any case, blanks and dashes as one likes.
pub fn backup_code(text: &str) -> Option<[u8; BACKUP_LEN]> {
    let digits: String = text.chars().filter(|char| !matches!(char, '-' | ' ')).collect();
    let is_code = digits.len() == 2 * BACKUP_LEN && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_code.then(|| u32::from_str_radix(&digits, 16).ok()).flatten().map(u32::to_be_bytes)
}

/// A code that must have so many characters.
///
/// # Errors
/// 400.
pub fn checked_code(code: &str) -> Result<&str> {
    let len = code.trim().chars().count();
    if (CODE_LEN_MIN..=CODE_LEN_MAX).contains(&len) {
        return Ok(code);
    }
    Err(Error::invalid("code", format_args!("must have {CODE_LEN_MIN} to {CODE_LEN_MAX} characters")))
}

// ------------------------------------------------------------------------------------------- log-in

/// Goes on with a log-in whose password was right.
pub(super) async fn challenge(ctx: &mut Ctx<'_>, user_id: UserId, name: u64, phc: String) -> Result<Step> {
    let secret = new_secret::<SESSION_SECRET_LEN>();
    let op = ChallengeCreate {
        user_id,
        name,
        phc: Secret(phc),
        secret_hash: Secret(hash_secret(&secret)),
        life_ms: CHALLENGE_S * 1_000,
    };
    let id = ctx.decide(SERVER, op).await?;
    answer_challenge(ctx, &two_factor::challenge_token(id, &secret), CHALLENGE_S)
}

pub async fn two_factor_login(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (challenge_id, user_id, code) = {
        let body = ctx.body()?;
        let token = LOGIN.challenge_token.read(&body)?;
        let code = checked_code(LOGIN.code.read(&body)?)?.to_string();
        let snapshot = ctx.snapshot();
        let (id, user_id) = two_factor::challenge(snapshot.read(), token, ctx.now_ms())?;
        (id, user_id, code)
    };
    let proof = {
        let snapshot = ctx.snapshot();
        let read = snapshot.read();
        let user = read.get(USERS, user_id).ok_or(Refusal::ChallengeInvalid)?;
        require_admitted(&ctx.state.config, read, user)?;
        let record = two_factor::of(read, user_id).ok_or(Refusal::ChallengeInvalid)?;
        prove(ctx, user_id, record, &code)
    };
    let Some(proof) = proof else {
        ctx.state.metrics.login_failures.increment();
        let failures_max = CHALLENGE_FAILURES_MAX;
        ctx.decide(SERVER, ChallengeFailed { challenge_id, failures_max }).await?;
        return Err(Refusal::CodeWrong.into());
    };
    let (secret, token) = new_token(ctx);
    let session = ctx.decide(SERVER, ChallengePass { challenge_id, proof, token }).await?;
    answer_new_login(ctx, session, &secret)
}

// ------------------------------------------------------------------------------------------- set-up

pub fn two_factor_status(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let record = two_factor::of(snapshot.read(), ctx.user_id());
    ctx.json(|out| TwoFactorStatusResponse::write(out, record))
}

pub async fn two_factor_enable(ctx: &mut Ctx<'_>) -> Result<Step> {
    let password = ENABLE.password.read(&ctx.body()?)?.to_string();
    let user_id = ctx.user_id();
    let name = {
        let snapshot = ctx.snapshot();
        if two_factor::of(snapshot.read(), user_id).is_some() {
            return Err(Refusal::TwoFactorOn.into());
        }
        snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?.username.to_string()
    };
    let phc = verify_own(ctx, password, Refusal::CredentialsInvalid.into()).await?;
    let keys = &ctx.state.keys;
    let secret = random::bytes::<SECRET_LEN>();
    let count = ctx.state.config.authentication_totp.backup_code_count;
    let codes: Vec<[u8; BACKUP_LEN]> = (0..count).map(|_| random::bytes()).collect();
    let op = TwoFactorBegin {
        phc: Secret(phc),
        sealed: Secret(keys.seal(Purpose::TotpSecret, user_id.0, &secret)),
        codes: Secret(codes.iter().map(|code| sum_of(keys, user_id, code)).collect()),
    };
    ctx.decide(user_id, op).await?;
    let shown: Vec<String> = codes.iter().map(shown).collect();
    let totp = totp(&ctx.state.config, &name, &secret);
    ctx.json(|out| TwoFactorSetupResponse::write(out, &totp, &shown))
}

fn sum_of(keys: &Keyring, user_id: UserId, code: &[u8]) -> [u8; 32] {
    keys.sums(Purpose::BackupCode, user_id.0, code)[0]
}

/// A backup code as people read it.
pub fn shown(code: &[u8; BACKUP_LEN]) -> String {
    let [a, b, c, d] = code;
    format!("{a:02X}{b:02X}-{c:02X}{d:02X}")
}

pub async fn two_factor_confirm(ctx: &mut Ctx<'_>) -> Result<Step> {
    let code = CONFIRM.code.read(&ctx.body()?)?.trim().to_string();
    let digits = ctx.state.config.authentication_totp.digits as usize;
    if code.len() != digits || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid("code", format_args!("must have {digits} digits")));
    }
    let user_id = ctx.user_id();
    let proved = {
        let snapshot = ctx.snapshot();
        let pending = snapshot.read().get(TWO_FACTORS, user_id).filter(|record| !record.enabled);
        let pending = pending.ok_or(Refusal::TwoFactorNotBegun)?;
        two_factor::require_code_unlocked(pending, ctx.now_ms())?;
        step_of(ctx, user_id, pending, &code).map(|step| (Secret(pending.sealed.to_vec()), step))
    };
    let Some((sealed, step)) = proved else { return Err(count_wrong(ctx).await) };
    ctx.decide(user_id, TwoFactorConfirm { sealed, step }).await?;
    ctx.success()
}

pub async fn two_factor_disable(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (password, code) = {
        let body = ctx.body()?;
        let password = DISABLE.password.read(&body)?.to_string();
        (password, checked_code(DISABLE.code.read(&body)?)?.to_string())
    };
    let user_id = ctx.user_id();
    two_factor::of(ctx.snapshot().read(), user_id).ok_or(Refusal::TwoFactorOff)?;
    let phc = verify_own(ctx, password, Refusal::CredentialsInvalid.into()).await?;
    let proof = own_proof(ctx, &code).await?;
    ctx.decide(user_id, TwoFactorDisable { phc: Secret(phc), proof }).await?;
    ctx.success()
}

/// Asks the caller for his second factor where he has one, for something that is not taken back.
pub(super) async fn require_own(ctx: &Ctx<'_>, code: Option<&str>) -> Result<()> {
    if two_factor::of(ctx.snapshot().read(), ctx.user_id()).is_none() {
        return Ok(());
    }
    let code = code.ok_or_else(|| Error::invalid("code", "this field is required with two-factor login"))?;
    let wrong = |error: Error| match error {
        error if error == Refusal::CodeWrong.into() => {
            Error::invalid("code", "the code is wrong or was used before")
        }
        error => error,
    };
    let proof = own_proof(ctx, checked_code(code)?).await.map_err(wrong)?;
    ctx.decide(ctx.user_id(), TwoFactorUse { proof }).await.map_err(wrong)
}

/// What the caller's code proves. A wrong one is counted.
async fn own_proof(ctx: &Ctx<'_>, code: &str) -> Result<Proof> {
    let proof = {
        let snapshot = ctx.snapshot();
        let record = two_factor::of(snapshot.read(), ctx.user_id()).ok_or(Refusal::TwoFactorOff)?;
        two_factor::require_code_unlocked(record, ctx.now_ms())?;
        prove(ctx, ctx.user_id(), record, code)
    };
    match proof {
        Some(proof) => Ok(proof),
        None => Err(count_wrong(ctx).await),
    }
}

async fn count_wrong(ctx: &Ctx<'_>) -> Error {
    ctx.state.metrics.login_failures.increment();
    let config = &ctx.state.config;
    let failures_max = config.authentication_security.max_failed_attempts;
    let lockout_ms = config.authentication_security.lockout_duration_minutes * MINUTE_MS;
    let counted = ctx.decide(ctx.user_id(), TwoFactorFailed { failures_max, lockout_ms }).await;
    counted.err().unwrap_or(Refusal::CodeWrong.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, PASSWORD, login, register, text_at};

    const STEP_MS: u64 = 30_000;

    struct SetUp {
        account: Account,
        totp: Totp,
        codes: Vec<String>,
    }

    fn post(harness: &Harness, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        harness.request("POST", path, token, Some(body))
    }

    fn begin(harness: &Harness, account: &Account) -> (Totp, Vec<String>) {
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        let (status, text) = post(harness, "/auth/2fa/enable", Some(&account.token), &body);
        assert_eq!(status, 200, "{text}");
        let address = text_at(&text, &["qr_uri"]);
        let totp = Totp::from_url(&address).unwrap();
        assert_eq!(totp.secret().to_base32(), text_at(&text, &["secret"]));
        let codes = (0..10).map(|index| text_at(&text, &["backup_codes", &index.to_string()])).collect();
        (totp, codes)
    }

    fn code(harness: &Harness, totp: &Totp, steps: i64) -> String {
        let time = (harness.state.now().unix_ms as i64 + steps * STEP_MS as i64) / 1_000;
        totp.generate(time as u64).to_string()
    }

    fn confirm(harness: &Harness, account: &Account, code: &str) -> u16 {
        let body = format!(r#"{{"code":"{code}"}}"#);
        post(harness, "/auth/2fa/confirm", Some(&account.token), &body).0
    }

    fn set_up(harness: &Harness, name: &str) -> SetUp {
        let account = register(harness, name);
        let (totp, codes) = begin(harness, &account);
        assert_eq!(confirm(harness, &account, &code(harness, &totp, 0)), 200);
        harness.advance(4 * STEP_MS);
        SetUp { account, totp, codes }
    }

    fn challenge_of(harness: &Harness, name: &str) -> String {
        let (status, text) = login(harness, name, PASSWORD);
        assert_eq!(status, 200, "{text}");
        text_at(&text, &["challenge_token"])
    }

    fn answer(harness: &Harness, challenge: &str, code: &str) -> (u16, String) {
        let body = format!(r#"{{"challenge_token":"{challenge}","code":"{code}"}}"#);
        post(harness, "/auth/2fa", None, &body)
    }

    fn status_of(harness: &Harness, account: &Account) -> String {
        harness.request("GET", "/auth/2fa/status", Some(&account.token), None).1
    }

    #[test]
    fn nobody_is_asked_before_it_is_confirmed() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        assert_eq!(confirm(&harness, &alice, "123456"), 400, "nothing was begun");
        assert_eq!(post(&harness, "/auth/2fa/enable", Some(&alice.token), r#"{"password":"x"}"#).0, 401);
        assert_eq!(post(&harness, "/auth/2fa/enable", Some(&alice.token), "{}").0, 400);
        let (old, _) = begin(&harness, &alice);
        let (totp, codes) = begin(&harness, &alice);
        assert!(codes.iter().all(|code| code.len() == 9 && code.as_bytes()[4] == b'-'), "{codes:?}");
        assert_eq!(login(&harness, "alice", PASSWORD).0, 200);
        assert!(login(&harness, "alice", PASSWORD).1.starts_with(r#"{"status":"success""#));
        for (code, status) in [("12", 400), ("1234567", 400), ("12345x", 400), ("", 400)] {
            assert_eq!(confirm(&harness, &alice, code), status, "{code}");
        }
        assert_eq!(confirm(&harness, &alice, &code(&harness, &old, 0)), 401, "that set-up was replaced");
        assert_eq!(confirm(&harness, &alice, &code(&harness, &totp, -3)), 401);
        assert_eq!(status_of(&harness, &alice), r#"{"enabled":false,"backup_codes_remaining":0}"#);
        assert_eq!(confirm(&harness, &alice, &code(&harness, &totp, -1)), 200);
        assert_eq!(status_of(&harness, &alice), r#"{"enabled":true,"backup_codes_remaining":10}"#);
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        assert_eq!(post(&harness, "/auth/2fa/enable", Some(&alice.token), &body).0, 409);
        let me = harness.request("GET", "/users/@me", Some(&alice.token), None).1;
        assert!(me.contains(r#""totp_enabled":true"#), "nobody is logged out, and it is seen: {me}");
    }

    #[test]
    fn a_login_takes_password_and_code() {
        let harness = Harness::default();
        let SetUp { totp, codes, account } = set_up(&harness, "alice");
        let (_, text) = login(&harness, "alice", PASSWORD);
        let challenge = text_at(&text, &["challenge_token"]);
        assert_eq!(
            text,
            format!(
                r#"{{"status":"two_factor_required","token":null,"user":null,"challenge_token":"{challenge}","methods":["totp","backup_code"],"expires_in":300}}"#
            )
        );
        assert_eq!(harness.request("GET", "/users/@me", Some(&challenge), None).0, 401);
        assert_eq!(login(&harness, "alice", "wrong").0, 401);
        let now = code(&harness, &totp, 0);
        for (token, code, status) in [
            ("2fa.1.zzz", now.as_str(), 401),
            ("", &now, 401),
            (&challenge[..challenge.len() - 1], &now, 401),
            (&challenge, "12345", 400),
            (&challenge, "12345678901234567", 400),
            (&challenge, "000000", 401),
            (&challenge, &code(&harness, &totp, 2), 401),
            (&challenge, "ABCD-EFGH", 401),
            (&challenge, &now, 200),
            (&challenge, &now, 401),
        ] {
            let (got, text) = answer(&harness, token, code);
            assert_eq!(got, status, "{token} {code}: {text}");
            if status == 200 {
                assert!(text.contains(r#""totp_enabled":true"#));
                let token = text_at(&text, &["token"]);
                assert_eq!(harness.request("GET", "/users/@me", Some(&token), None).0, 200);
            }
        }
        let again = challenge_of(&harness, "alice");
        assert_eq!(answer(&harness, &again, &now).0, 401, "a code works once");
        assert_eq!(answer(&harness, &again, &code(&harness, &totp, -1)).0, 401, "nor an earlier one");
        assert_eq!(answer(&harness, &again, &code(&harness, &totp, 1)).0, 200);
        for (index, typed) in [codes[0].to_lowercase(), codes[1].replace('-', "")].iter().enumerate() {
            let again = challenge_of(&harness, "alice");
            assert_eq!(answer(&harness, &again, typed).0, 200, "{typed}");
            let left = format!(r#"{{"enabled":true,"backup_codes_remaining":{}}}"#, 9 - index);
            assert_eq!(status_of(&harness, &account), left);
            let again = challenge_of(&harness, "alice");
            assert_eq!(answer(&harness, &again, typed).0, 401, "{typed} works once");
        }
    }

    #[test]
    fn a_challenge_ends() {
        let harness = Harness::default();
        let SetUp { totp, account, .. } = set_up(&harness, "alice");
        let now = |harness: &Harness| code(harness, &totp, 0);
        let late = challenge_of(&harness, "alice");
        harness.advance(CHALLENGE_S * 1_000);
        assert_eq!(answer(&harness, &late, &now(&harness)).0, 401, "after five minutes");
        let tried = challenge_of(&harness, "alice");
        for _ in 0..CHALLENGE_FAILURES_MAX {
            assert_eq!(answer(&harness, &tried, "000000").0, 401);
        }
        assert!(answer(&harness, &tried, &now(&harness)).1.contains("challenge"), "after five wrong codes");
        let many: Vec<String> = (0..6).map(|_| challenge_of(&harness, "alice")).collect();
        assert_eq!(answer(&harness, &many[0], &now(&harness)).0, 401, "when there are more than five");
        assert_eq!(answer(&harness, &many[1], &now(&harness)).0, 200, "and nobody was locked out");
        let before = challenge_of(&harness, "alice");
        let body = format!(r#"{{"password":"Other-password-1","current_password":"{PASSWORD}"}}"#);
        let (status, text) = harness.request("PATCH", "/users/@me", Some(&account.token), Some(&body));
        assert_eq!(status, 200, "{text}");
        harness.advance(STEP_MS);
        assert_eq!(answer(&harness, &before, &now(&harness)).0, 401, "when the password has changed");
    }

    #[test]
    fn it_is_switched_off_with_password_and_code() {
        let harness = Harness::default();
        let SetUp { totp, codes, account } = set_up(&harness, "alice");
        let disable = |password: &str, code: &str| {
            let body = format!(r#"{{"password":"{password}","code":"{code}"}}"#);
            post(&harness, "/auth/2fa/disable", Some(&account.token), &body).0
        };
        let open = challenge_of(&harness, "alice");
        assert_eq!(disable("wrong", &codes[0]), 401);
        assert_eq!(disable(PASSWORD, "000000"), 401);
        assert_eq!(disable(PASSWORD, "1"), 400);
        assert_eq!(disable(PASSWORD, &codes[0]), 200);
        assert_eq!(disable(PASSWORD, &codes[1]), 400, "it is off");
        assert_eq!(status_of(&harness, &account), r#"{"enabled":false,"backup_codes_remaining":0}"#);
        assert!(login(&harness, "alice", PASSWORD).1.starts_with(r#"{"status":"success""#));
        assert_eq!(answer(&harness, &open, &code(&harness, &totp, 0)).0, 401);
    }

    #[test]
    fn wrong_codes_of_a_session_are_counted_apart() {
        let harness = Harness::default();
        let SetUp { totp, account, .. } = set_up(&harness, "alice");
        let delete = |code: &str| {
            let body = format!(r#"{{"password":"{PASSWORD}"{code}}}"#);
            harness.request("DELETE", "/users/@me", Some(&account.token), Some(&body))
        };
        assert_eq!(delete("").0, 400, "a code is asked for");
        for _ in 0..5 {
            assert_eq!(delete(r#","code":"000000""#).0, 400);
        }
        let right = || format!(r#","code":"{}""#, code(&harness, &totp, 0));
        assert_eq!(delete(&right()).0, 403, "no code is taken for a while");
        assert_eq!(answer(&harness, &challenge_of(&harness, "alice"), &code(&harness, &totp, 0)).0, 200);
        harness.advance(15 * MINUTE_MS);
        let (status, text) = delete(&right());
        assert_eq!(status, 200, "{text}");
    }

    #[test]
    fn secrets_are_nowhere_in_the_store() {
        let harness = Harness::default();
        let SetUp { totp, codes, account } = set_up(&harness, "alice");
        let snapshot = harness.state.snapshot();
        let record = snapshot.read().get(TWO_FACTORS, UserId(account.id)).unwrap();
        let secret = totp.secret().as_bytes();
        assert!(!record.sealed.windows(secret.len()).any(|window| window == secret));
        let plain: Vec<_> = codes.iter().map(|code| backup_code(code).unwrap()).collect();
        assert!(record.codes.iter().all(|sum| plain.iter().all(|code| !sum.starts_with(code))));
    }
}
