//! Mail: what is to be sent to the address of an account, and tokens that get there by it.
//!
//! What is to be sent is a row until it was sent or given up; sending is the server's ([`due`], [`MailsDone`]). A server
//! that is killed in between sends again: each mail goes at least once.
//!
//! Invariants: an account has one token of a kind, a new one takes the place of the one before, with the mail that has
//! not left yet. Whoever asks with an address leaves an errand behind, and only that sees whether anybody has it: the
//! answer, and what is written for it, are the same for all. Secrets are sums here, or sealed.

use rkyv::{Archive, Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::account;
use super::credential::{self, Secret, hash_secret};
use crate::domain::errand::{self, Errand, Work};
use crate::domain::error::{Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::view::may_log_in;
use crate::id::UserId;
use crate::limits::{MAIL_COUNT_MAX, MAIL_TOKENS_PER_HOUR_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedMailToken, Mail, MailToken, Nil, User, mail_kind};
use crate::store::tables::{MAIL_TIMES, MAIL_TOKENS, MAILS, USERS};

/// Tells tokens that come by mail from those of sessions.
const PREFIX: &str = "email.";
const HOUR_MS: u64 = 3_600_000;
/// What an errand costs: the account, its token and its mail.
const REQUEST_LOOKS: usize = 20;

/// A token before anybody has it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NewMailToken {
    /// SHA-256 of the secret part.
    pub secret_hash: Secret<[u8; 32]>,
    /// The secret part under the server's key, for whoever writes the mail; its context is [`seal_context`].
    pub sealed: Secret<Vec<u8>>,
    pub life_ms: u64,
}

/// Asks for a token to be sent to whoever has the address. Only the server itself submits it, and carries it out later.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MailRequest {
    /// A [`mail_kind`] code of those with a token.
    pub kind: u8,
    /// Keys under which the address may be stored.
    pub keys: Vec<String>,
    pub token: NewMailToken,
}

/// What became of mails that were to be sent. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MailsDone {
    pub mails: Vec<MailDone>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MailDone {
    pub user_id: UserId,
    pub mail_id: u64,
    /// Where it was tried in vain: when the next try is. Else it is over with it.
    pub again_in_ms: Option<u64>,
}

impl Errand for MailRequest {
    const KIND: u8 = 22;
    const NAME: &'static str = "mail request";

    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<MailRequest> {
        work.take(REQUEST_LOOKS);
        let read = machine.read();
        let found = self.keys.iter().find_map(|key| account::by_email(read, key));
        let user_id = found?;
        let user = read.get(USERS, user_id).map(User::from)?;
        let is_wanted = self.kind != mail_kind::EMAIL_CONFIRMATION || !user.email_verified;
        if may_log_in(user.state) && is_wanted {
            send_token(machine, user_id, &user, self.kind, &self.token);
        }
        None
    }
}

/// What the secret of a token is sealed for: no other.
pub fn seal_context(secret_hash: &[u8; 32]) -> u64 {
    u64::from_be_bytes(*secret_hash.first_chunk().expect("a sum has 32 bytes"))
}

/// What stands in the mail: `email.<id>.<secret>`, the id of the account.
pub fn token(user_id: UserId, secret: &str) -> String {
    format!("{PREFIX}{user_id}.{secret}")
}

/// Whose token of a kind this is, and the sum of its secret part.
///
/// # Errors
/// 401 when it is unknown, wrong, used, replaced or over, or of an account that cannot be used.
pub fn verify(read: Read<'_>, token: &str, kind: u8, now_ms: u64) -> Result<(UserId, [u8; 32])> {
    let invalid = Refusal::MailTokenInvalid;
    let token = token.trim().strip_prefix(PREFIX).ok_or(invalid)?;
    let (id, secret) = credential::parts(token).ok_or(invalid)?;
    let (user_id, secret_hash) = (UserId(id), hash_secret(secret));
    live(read, user_id, kind, &secret_hash, now_ms)?;
    Ok((user_id, secret_hash))
}

/// # Errors
/// 401 as [`verify`].
fn live(read: Read<'_>, user_id: UserId, kind: u8, secret_hash: &[u8; 32], at: u64) -> Result<()> {
    let invalid = Refusal::MailTokenInvalid;
    let known = read.get(MAIL_TOKENS, (user_id, kind)).ok_or(invalid)?;
    let matches = bool::from(known.secret_hash.ct_eq(secret_hash));
    let user = read.get(USERS, user_id).ok_or(invalid)?;
    let is_good = matches && known.expires_at.to_native() > at && may_log_in(user.state);
    if is_good { Ok(()) } else { Err(invalid.into()) }
}

/// Uses a token up that [`verify`] has found.
///
/// # Errors
/// 401 when it is not good any more.
pub(super) fn spend(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    kind: u8,
    secret_hash: &Secret<[u8; 32]>,
) -> Result<()> {
    live(machine.read(), user_id, kind, &secret_hash.0, machine.at)?;
    void(machine, user_id, kind);
    Ok(())
}

/// The token of a kind is good no more, and a mail with it does not leave. How many there were stays.
pub(super) fn void(machine: &mut Machine<'_, '_>, user_id: UserId, kind: u8) {
    let Some(known) = machine.tx.get(MAIL_TOKENS, (user_id, kind)).map(MailToken::from) else { return };
    machine.tx.remove(MAILS, (user_id, known.mail_id));
    let void = MailToken { secret_hash: [0; 32], expires_at: 0, mail_id: 0, ..known };
    machine.tx.put(MAIL_TOKENS, (user_id, kind), &void);
}

/// Replaces the token of a kind and has it sent to the address of the account. Nobody gets more of them in an hour than
/// he can have asked for: what is beyond is not sent, and leaves the one before in force.
pub(super) fn send_token(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    user: &User,
    kind: u8,
    new: &NewMailToken,
) {
    let at = machine.at;
    let known = machine.tx.get(MAIL_TOKENS, (user_id, kind)).map(MailToken::from).unwrap_or_default();
    let (since, count) = match at < known.since.saturating_add(HOUR_MS) {
        true => (known.since, known.count),
        false => (at, 0),
    };
    if count >= MAIL_TOKENS_PER_HOUR_MAX {
        return;
    }
    machine.tx.remove(MAILS, (user_id, known.mail_id));
    let mail = Mail {
        kind,
        to: user.email.clone(),
        sealed: new.sealed.0.clone(),
        term_ms: new.life_ms,
        ..Mail::default()
    };
    let mail_id = post(machine, user_id, mail);
    let token = MailToken {
        secret_hash: new.secret_hash.0,
        expires_at: at + new.life_ms,
        mail_id,
        since,
        count: count + 1,
    };
    machine.tx.put(MAIL_TOKENS, (user_id, kind), &token);
}

/// Tells the owner of an account what was done with it: at the address that he has confirmed, if there is one.
pub(super) fn tell(machine: &mut Machine<'_, '_>, user_id: UserId, kind: u8, source: &str, term_ms: u64) {
    let Some(user) = machine.tx.get(USERS, user_id).filter(|user| user.email_verified) else { return };
    let (to, source) = (user.email.to_string(), source.to_owned());
    if !to.is_empty() {
        post(machine, user_id, Mail { kind, to, source, term_ms, ..Mail::default() });
    }
}

/// The id of the mail; 0 when too many wait.
fn post(machine: &mut Machine<'_, '_>, user_id: UserId, mail: Mail) -> u64 {
    if machine.read().len(MAILS) >= MAIL_COUNT_MAX {
        return 0;
    }
    let mail_id = machine.next_id();
    let (at, created_at) = (machine.at, machine.unix_ms);
    put(machine, user_id, mail_id, &Mail { created_at, made_at: at, due: at, ..mail });
    mail_id
}

fn put(machine: &mut Machine<'_, '_>, user_id: UserId, mail_id: u64, mail: &Mail) {
    machine.tx.put(MAILS, (user_id, mail_id), mail);
    machine.tx.put(MAIL_TIMES, (mail.due, user_id, mail_id), &Nil {});
}

pub(in crate::domain) fn request(machine: &mut Machine<'_, '_>, _: UserId, op: &MailRequest) -> Result<()> {
    errand::leave(machine, op);
    Ok(())
}

/// Replies how many of them were still there.
pub(in crate::domain) fn done(machine: &mut Machine<'_, '_>, _: UserId, op: &MailsDone) -> Result<u64> {
    let mut count = 0;
    for MailDone { user_id, mail_id, again_in_ms } in &op.mails {
        let key = (*user_id, *mail_id);
        let Some(mail) = machine.tx.get(MAILS, key).map(Mail::from) else { continue };
        machine.tx.remove(MAILS, key);
        if let Some(again_in_ms) = again_in_ms {
            let (due, tries) = (machine.at.saturating_add(*again_in_ms), mail.tries.saturating_add(1));
            put(machine, *user_id, *mail_id, &Mail { due, tries, ..mail });
        }
        count += 1;
    }
    Ok(count)
}

/// Mails whose time has come, the longest due first.
pub fn due(read: Read<'_>, at: u64, count_max: usize) -> Vec<(UserId, u64)> {
    let waiting = read.scan(MAIL_TIMES, ()).map(|(key, _)| key);
    let due = waiting.take_while(|(due, ..)| *due <= at).take(count_max);
    due.map(|(_, user_id, mail_id)| (user_id, mail_id)).collect()
}

/// The token that a mail is to bring, as long as it is good.
pub fn token_of(
    read: Read<'_>,
    user_id: UserId,
    mail_id: u64,
    kind: u8,
    at: u64,
) -> Option<&ArchivedMailToken> {
    let token = read.get(MAIL_TOKENS, (user_id, kind))?;
    (token.mail_id == mail_id && token.expires_at.to_native() > at).then_some(token)
}
