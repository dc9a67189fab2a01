//! Passkeys: making, naming and deleting them, and logging in with one, instead of a password or after it.
//!
//! This server's own, beside the contract. What is asked and answered is what browsers take and give
//! (`PublicKeyCredential.parseCreationOptionsFromJSON` and its kin), in flat fields. A ceremony is begun and ended by
//! two requests; what lies between is a row like that of a sign-in elsewhere: it is used up by the first that comes
//! back with it, whatever comes of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

use super::answer::answer_new_login;
use super::auth::{SERVER, new_token};
use super::email_verification::require_admitted;
use super::lockout::verify_own;
use super::oauth::source_key;
use super::rules::{by_login, login_key, login_name};
use super::users::is_fresh;
use crate::api::authenticate::{SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Name, Needed, Text, fields};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::oauth::{self, SignInBegin, SignInTake};
use crate::domain::identity::passkey::{
    self, PasskeyAdd, PasskeyPass, PasskeyRemove, PasskeyRename, PasskeySignIn, Signed,
};
use crate::domain::identity::two_factor;
use crate::domain::{Error, Refusal, Result};
use crate::effect::passkey::{Assertion, Key, Party, Registration};
use crate::id::{PasskeyId, UserId};
use crate::limits::{PASSKEY_NAME_LEN_MAX, PASSKEY_TEXT_LEN_MAX};
use crate::store::keyring::Purpose;
use crate::store::tables::{PASSKEYS, USERS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// How long somebody may take to touch his authenticator, in seconds.
const CEREMONY_S: u64 = 300;
/// That may be open at once from one address: pages begin one when they are opened, to offer passkeys in a form.
const CEREMONIES_MAX: u64 = 200;
/// What they are kept as among sign-ins at providers.
const HERE: u8 = 0;
/// Tells their source from that of those.
const SOURCE: u64 = 1 << 40;
/// COSE numbers of what is understood: ES256, EdDSA, RS256.
const ALGORITHMS: [i64; 3] = [-7, -8, -257];

const fn sent() -> Needed<Text> {
    Needed(Text(Chars::UpTo(PASSKEY_TEXT_LEN_MAX)))
}

fields! {
    /// That it is oneself who wants a passkey.
    pub BEGIN: PasskeyRegistrationBegin {
        /// Asked for unless the session is a few minutes old.
        password: Text = Text(Chars::Any),
        /// Asked for of those with two-factor login.
        code: Text = Text(Chars::Any),
    }
}

fields! {
    /// What an authenticator has made.
    pub FINISH: PasskeyRegistration {
        state: Needed<Text> = sent(),
        name: Needed<Name> = Needed(Name(Chars::Configured(|_| 1..=PASSKEY_NAME_LEN_MAX))),
        /// `response.clientDataJSON`, in base64url.
        client_data: Needed<Text> = sent(),
        /// `response.attestationObject`, in base64url.
        attestation_object: Needed<Text> = sent(),
    }
}

fields! {
    /// What a passkey is called.
    pub RENAME: PasskeyName {
        name: Needed<Name> = Needed(Name(Chars::Configured(|_| 1..=PASSKEY_NAME_LEN_MAX))),
    }
}

fields! {
    /// Who wants to log in with a passkey, if that is known.
    pub LOGIN_BEGIN: PasskeyLoginBegin {
        /// Or the e-mail address.
        username: Text = Text(Chars::Any),
        /// Of a login whose password was right, when the passkey is its second step.
        challenge_token: Text = Text(Chars::Any),
    }
}

fields! {
    /// What an authenticator has signed.
    pub LOGIN_FINISH: PasskeyLogin {
        state: Needed<Text> = sent(),
        /// As in the beginning.
        challenge_token: Text = Text(Chars::Any),
        /// The credential's `id`.
        credential_id: Needed<Text> = sent(),
        /// `response.clientDataJSON`, in base64url.
        client_data: Needed<Text> = sent(),
        /// `response.authenticatorData`, in base64url.
        authenticator_data: Needed<Text> = sent(),
        /// `response.signature`, in base64url.
        signature: Needed<Text> = sent(),
    }
}

shape! {
    /// What a browser is to be asked.
    pub PasskeyOptions(state: &str, options: impl FnOnce(&mut Vec<u8>)) {
        /// To be sent with what comes of it.
        state: str = state,
        /// Seconds.
        expires_in: u64 = CEREMONY_S,
        /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON`.
        public_key: (Slot::of(Kind::Any)) = options,
    }
}

/// # Errors
/// 503 where the operator has not said for which host they are.
fn party(ctx: &Ctx<'_>) -> Result<Party> {
    let config = &ctx.state.config;
    let id = config.authentication_passkeys.rp_id.to_ascii_lowercase();
    if id.is_empty() {
        return Err(Refusal::PasskeysOff.into());
    }
    Ok(Party { id, origins: config.authentication_passkeys.origins.clone() })
}

/// What a ceremony is for, so that none ends as another.
fn purpose(what: &str, id: u64) -> [u8; 32] {
    hash_secret(&format!("passkey {what} {id}"))
}

/// Begins a ceremony; its state. The challenge is the secret part of that.
async fn begin(ctx: &Ctx<'_>, purpose: [u8; 32]) -> Result<String> {
    let secret = new_secret::<SESSION_SECRET_LEN>();
    let op = SignInBegin {
        provider: HERE,
        secret_hash: Secret(hash_secret(&secret)),
        redirect_hash: purpose,
        challenge: None,
        source: source_key(ctx.request.ip) ^ SOURCE,
        source_max: CEREMONIES_MAX,
        life_ms: CEREMONY_S * 1_000,
    };
    Ok(oauth::state(ctx.decide(SERVER, op).await?, &secret))
}

fn challenge_of(state: &str) -> &str {
    state.split_once('.').map_or("", |(_, secret)| secret)
}

/// Uses a ceremony up; its challenge.
async fn take(ctx: &Ctx<'_>, state: &str, purpose: [u8; 32]) -> Result<String> {
    let (sign_in_id, fits) = {
        let snapshot = ctx.snapshot();
        let (id, begun) = oauth::open(snapshot.read(), state, ctx.now_ms())?;
        (id, begun.provider == HERE && bool::from(begun.redirect_hash.ct_eq(&purpose)))
    };
    let is_open = ctx.decide(SERVER, SignInTake { sign_in_id }).await?;
    if is_open && fits { Ok(challenge_of(state).to_owned()) } else { Err(Refusal::SignInInvalid.into()) }
}

// ------------------------------------------------------------------------------------------- one's own

pub fn passkey_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let asking = ctx.asking(&snapshot);
    ctx.json(|out| passkey::write_list(asking, offset, out))
}

pub async fn passkey_register_begin(ctx: &mut Ctx<'_>) -> Result<Step> {
    let party = party(ctx)?;
    let (password, code) = {
        let body = ctx.body()?;
        (BEGIN.password.read(&body)?.map(str::to_owned), BEGIN.code.read(&body)?.map(str::to_owned))
    };
    // Who finds an open session must not make himself a way in that stays.
    match password {
        Some(password) => drop(verify_own(ctx, password, Refusal::CredentialsInvalid.into()).await?),
        None if is_fresh(ctx) => {}
        None => {
            return Err(Error::invalid(
                BEGIN.password.name,
                "this field is required some minutes after a login",
            ));
        }
    }
    super::two_factor::require_own(ctx, code.as_deref()).await?;
    let user_id = ctx.user_id();
    let state = begin(ctx, purpose("register", user_id.0)).await?;
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let name = read.get(USERS, user_id).ok_or(Refusal::TokenInvalid)?.username.to_string();
    let known: Vec<Vec<u8>> =
        passkey::of(read, user_id).map(|(_, known)| known.credential_id.to_vec()).collect();
    let server = ctx.state.config.application.name.clone();
    let options = |out: &mut Vec<u8>| {
        let mut options = Object::new(out);
        options.object("rp").str("id", &party.id).str("name", &server);
        let handle = URL_SAFE_NO_PAD.encode(user_id.0.to_be_bytes());
        options.object("user").str("id", &handle).str("name", &name).str("displayName", &name);
        options.str("challenge", challenge_of(&state)).u64("timeout", CEREMONY_S * 1_000);
        let mut kinds = options.array("pubKeyCredParams");
        for number in ALGORITHMS {
            kinds.object().str("type", "public-key").i64("alg", number);
        }
        drop(kinds);
        write_credentials(&mut options.array("excludeCredentials"), &known);
        let mut wanted = options.object("authenticatorSelection");
        wanted.str("residentKey", "preferred").str("userVerification", "required");
        drop(wanted);
        options.str("attestation", "none");
    };
    ctx.json(|out| PasskeyOptions::write(out, &state, options))
}

fn write_credentials(list: &mut Array<'_>, ids: &[Vec<u8>]) {
    for id in ids {
        list.object().str("type", "public-key").str("id", &URL_SAFE_NO_PAD.encode(id));
    }
}

pub async fn passkey_register_finish(ctx: &mut Ctx<'_>) -> Result<Step> {
    let party = party(ctx)?;
    let (state, name, client_data, attestation) = {
        let body = ctx.body()?;
        let text = |field: &crate::api::fields::Named<Needed<Text>>| field.read(&body).map(str::to_owned);
        let name = FINISH.name.read(&body, &ctx.state.config)?;
        (text(&FINISH.state)?, name, text(&FINISH.client_data)?, text(&FINISH.attestation_object)?)
    };
    let user_id = ctx.user_id();
    let challenge = take(ctx, &state, purpose("register", user_id.0)).await?;
    let made = ctx.effect(Registration { party, challenge, client_data, attestation }).await?;
    let made = made.map_err(|wrong| Error::bad_request(format!("Invalid passkey: {wrong}")))?;
    let op = PasskeyAdd {
        name,
        credential_hash: sum(&made.credential_id),
        credential_id: made.credential_id,
        algorithm: made.key.algorithm,
        key: made.key.bytes,
        exponent: made.key.exponent,
        counter: made.counter,
        count_max: ctx.state.config.authentication_passkeys.max_per_user,
    };
    let id = ctx.decide(user_id, op).await?;
    answer_one(ctx, id)
}

fn sum(credential_id: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    sha2::Sha256::digest(credential_id).into()
}

fn answer_one(ctx: &mut Ctx<'_>, id: PasskeyId) -> Result<Step> {
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let record = snapshot.read().get(PASSKEYS, (ctx.user_id(), id)).ok_or(Refusal::PasskeyNotFound)?;
    ctx.json(|out| passkey::PasskeyResponse::write(out, id, record, offset))
}

pub async fn passkey_rename(ctx: &mut Ctx<'_>) -> Result<Step> {
    let passkey_id = ctx.path_passkey()?;
    let name = RENAME.name.read(&ctx.body()?, &ctx.state.config)?;
    ctx.decide(ctx.user_id(), PasskeyRename { passkey_id, name }).await?;
    answer_one(ctx, passkey_id)
}

pub fn passkey_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let passkey_id = ctx.path_passkey()?;
    ctx.submit_success(PasskeyRemove { passkey_id })
}

// ------------------------------------------------------------------------------------------- log-in

pub async fn passkey_login_begin(ctx: &mut Ctx<'_>) -> Result<Step> {
    let party = party(ctx)?;
    let (purpose, known, is_alone) = {
        let body = ctx.body()?;
        let snapshot = ctx.snapshot();
        let read = snapshot.read();
        let of = |user_id: UserId| -> Vec<Vec<u8>> {
            passkey::of(read, user_id).map(|(_, known)| known.credential_id.to_vec()).collect()
        };
        match (LOGIN_BEGIN.challenge_token.read(&body)?, LOGIN_BEGIN.username.read(&body)?) {
            (Some(token), _) => {
                let (id, user_id) = two_factor::challenge(read, token, ctx.now_ms())?;
                (purpose("second", id.0), of(user_id), false)
            }
            (None, None) => (purpose("login", 0), Vec::new(), true),
            (None, Some(typed)) => {
                let mut known = by_login(read, typed).map(of).unwrap_or_default();
                if known.is_empty() {
                    // Who has none looks like somebody with one, the same each time.
                    let name = login_key(&login_name(typed));
                    known.push(ctx.state.keys.sums(Purpose::PasskeyDecoy, name, b"")[0].to_vec());
                }
                (purpose("login", 0), known, true)
            }
        }
    };
    let state = begin(ctx, purpose).await?;
    let options = |out: &mut Vec<u8>| {
        let mut options = Object::new(out);
        options
            .str("rpId", &party.id)
            .str("challenge", challenge_of(&state))
            .u64("timeout", CEREMONY_S * 1_000);
        options.str("userVerification", if is_alone { "required" } else { "preferred" });
        write_credentials(&mut options.array("allowCredentials"), &known);
    };
    ctx.json(|out| PasskeyOptions::write(out, &state, options))
}

/// What came with somebody.
struct Brought {
    state: String,
    challenge_token: Option<String>,
    credential_hash: [u8; 32],
    client_data: String,
    authenticator_data: String,
    signature: String,
}

fn brought(ctx: &mut Ctx<'_>) -> Result<Brought> {
    let body = ctx.body()?;
    let text = |field: &crate::api::fields::Named<Needed<Text>>| field.read(&body).map(str::to_owned);
    let id = URL_SAFE_NO_PAD.decode(LOGIN_FINISH.credential_id.read(&body)?.trim_end_matches('='));
    let id = id.map_err(|_| Error::invalid(LOGIN_FINISH.credential_id.name, "must be base64url"))?;
    Ok(Brought {
        state: text(&LOGIN_FINISH.state)?,
        challenge_token: LOGIN_FINISH.challenge_token.read(&body)?.map(str::to_owned),
        credential_hash: sum(&id),
        client_data: text(&LOGIN_FINISH.client_data)?,
        authenticator_data: text(&LOGIN_FINISH.authenticator_data)?,
        signature: text(&LOGIN_FINISH.signature)?,
    })
}

pub async fn passkey_login_finish(ctx: &mut Ctx<'_>) -> Result<Step> {
    let party = party(ctx)?;
    let brought = brought(ctx)?;
    let second = match &brought.challenge_token {
        Some(token) => Some(two_factor::challenge(ctx.snapshot().read(), token, ctx.now_ms())?),
        None => None,
    };
    let purpose = second.map_or(purpose("login", 0), |(id, _)| purpose("second", id.0));
    let challenge = take(ctx, &brought.state, purpose).await?;
    let key = {
        let snapshot = ctx.snapshot();
        let read = snapshot.read();
        let (user_id, passkey_id) =
            passkey::find(read, &brought.credential_hash).ok_or(Refusal::PasskeyInvalid)?;
        let record = read.get(PASSKEYS, (user_id, passkey_id)).ok_or(Refusal::PasskeyInvalid)?;
        Key { algorithm: record.algorithm, bytes: record.key.to_vec(), exponent: record.exponent.to_vec() }
    };
    let assertion = Assertion {
        party,
        challenge,
        client_data: brought.client_data,
        authenticator_data: brought.authenticator_data,
        signature: brought.signature,
        key,
        is_alone: second.is_none(),
    };
    let counter = ctx.effect(assertion).await?;
    let counter = counter.map_err(|wrong| Error::new(401, format!("Invalid passkey: {wrong}")))?;
    {
        // What the account is, is told to whoever has its passkey alone.
        let snapshot = ctx.snapshot();
        let read = snapshot.read();
        let (user_id, _) = passkey::find(read, &brought.credential_hash).ok_or(Refusal::PasskeyInvalid)?;
        require_admitted(&ctx.state.config, read, read.get(USERS, user_id).ok_or(Refusal::PasskeyInvalid)?)?;
    }
    let signed = Signed { credential_hash: brought.credential_hash, counter };
    let (secret, token) = new_token(ctx);
    let session = match second {
        Some((challenge_id, _)) => ctx.decide(SERVER, PasskeyPass { challenge_id, signed, token }).await?,
        None => ctx.decide(SERVER, PasskeySignIn { signed, token }).await?,
    };
    answer_new_login(ctx, session, &secret)
}
