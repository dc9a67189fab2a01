//! Mail: random commands about it, which mails each command must leave, and what becomes of them and their tokens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::mail::{MailDone, MailRequest, MailsDone, NewMailToken};
use plexichat::domain::identity::{email_verification, password_reset};
use plexichat::domain::{Op, Reply, identity};
use plexichat::id::UserId;
use plexichat::limits::{MAIL_TOKENS_PER_HOUR_MAX, SIGN_IN_SOURCE_COUNT_MAX};
use plexichat::store::Read;
use plexichat::store::records::{Mail, MailToken, SignIns, account, mail_kind};
use plexichat::store::tables::{MAIL_TOKENS, MAILS, OUTBOX, REMINDERS, SIGN_INS};

use super::generate::Generator;
use super::model::*;

const WITH_TOKEN: [u8; 2] = [mail_kind::PASSWORD_RESET, mail_kind::EMAIL_CONFIRMATION];
const ERRAND: u8 = 22;

/// All there is of it.
#[derive(Clone, Debug, Default)]
pub struct Post {
    tokens: BTreeMap<(u64, u8), Token>,
    mails: BTreeMap<(u64, u64), Waiting>,
    sources: BTreeMap<u64, Vec<String>>,
    requests: VecDeque<MailRequest>,
    /// When, whom, of a deletion when.
    reminders: BTreeSet<(u64, u64, u64)>,
    /// What the command has left, whose ids are not known yet.
    written: Vec<(u64, Waiting)>,
}

#[derive(Clone, Debug, Default)]
struct Token {
    secret_hash: [u8; 32],
    expires_at: u64,
    mail_id: u64,
    since: u64,
    count: u32,
}

#[derive(Clone, Debug, PartialEq)]
struct Waiting {
    kind: u8,
    to: String,
    tries: u32,
    due: u64,
}

impl Generator<'_> {
    pub fn mail_token(&mut self) -> NewMailToken {
        let seed = self.random.u8(1..);
        let life_ms = self.random.u64(..7_200_000);
        NewMailToken { secret_hash: Secret([seed; 32]), sealed: Secret(vec![seed; 3]), life_ms }
    }

    pub fn mail_command(&mut self, model: &Model) -> (u64, Op) {
        let op: Op = match self.random.u32(..10) {
            0..4 => {
                let known = self.pick(model.users.values().map(|user| user.email.to_lowercase()));
                let keys = vec!["nobody@example.com".into(), known.unwrap_or_default()];
                let kind = WITH_TOKEN[self.random.usize(..2)];
                MailRequest { kind, keys, token: self.mail_token() }.into()
            }
            4..6 => {
                let waiting = || model.post.mails.keys().filter(|(user, _)| model.is_here(*user));
                let mut mails = Vec::new();
                for _ in 0..self.random.usize(..4) {
                    let (user, mail_id) = self.pick(waiting()).copied().unwrap_or((1, 1));
                    let again_in_ms = if self.chance(50) { Some(self.random.u64(..60_000)) } else { None };
                    mails.push(MailDone { user_id: UserId(user), mail_id, again_in_ms });
                }
                mails.dedup_by_key(|mail| (mail.user_id, mail.mail_id));
                mails.sort_by_key(|mail| (mail.user_id, mail.mail_id));
                mails.dedup_by_key(|mail| (mail.user_id, mail.mail_id));
                MailsDone { mails }.into()
            }
            roll => {
                let kind = if roll < 8 { mail_kind::PASSWORD_RESET } else { mail_kind::EMAIL_CONFIRMATION };
                // Most of them have been used, replaced, or are over.
                let any = self.chance(30);
                let of_kind = model
                    .post
                    .tokens
                    .iter()
                    .filter(|((_, known), token)| *known == kind && (any || token.expires_at > model.at));
                let found = self.pick(of_kind.map(|((user, _), token)| (*user, token.secret_hash)));
                let (user, hash) = found.unwrap_or((self.junk(), [0; 32]));
                let secret_hash = Secret(if self.chance(90) { hash } else { [0; 32] });
                let user_id = UserId(user);
                if roll < 8 {
                    let (phc, names) = (Secret(format!("reset{}", self.count)), vec![self.random.u64(..8)]);
                    password_reset::PasswordReset { user_id, secret_hash, phc, names }.into()
                } else {
                    email_verification::EmailConfirm { user_id, secret_hash }.into()
                }
            }
        };
        (self.system(model), op)
    }
}

impl Model {
    fn is_here(&self, user: u64) -> bool {
        self.users.get(&user).is_some_and(|user| user.state != account::PURGED)
    }

    fn good(&self, user: u64, kind: u8, secret_hash: &[u8; 32]) -> Result<Want, Refused> {
        let token = some(self.post.tokens.get(&(user, kind)), UNKNOWN_TOKEN)?;
        let user = some(self.users.get(&user), UNKNOWN_TOKEN)?;
        unless(token.secret_hash != *secret_hash || token.expires_at <= self.at, UNKNOWN_TOKEN)?;
        unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
        Ok(Want::Done)
    }

    /// `None` when it is no command of these.
    pub fn judge_mail(&self, actor: u64, op: &identity::Op) -> Option<Result<Want, Refused>> {
        let verdict = match op {
            identity::Op::MailRequest(_) => Ok(Want::Done),
            identity::Op::MailsDone(op) => {
                let there = |mail: &&MailDone| self.post.mails.contains_key(&(mail.user_id.0, mail.mail_id));
                Ok(Want::Count(op.mails.iter().filter(there).count() as u64))
            }
            identity::Op::PasswordReset(op) => {
                self.good(op.user_id.0, mail_kind::PASSWORD_RESET, &op.secret_hash.0)
            }
            identity::Op::EmailConfirm(op) => {
                self.good(op.user_id.0, mail_kind::EMAIL_CONFIRMATION, &op.secret_hash.0)
            }
            _ => return None,
        };
        Some(if actor == 0 { verdict } else { Err(FORBIDDEN) })
    }

    /// Makes the change; false when it is no command of these.
    pub fn take_mail(&mut self, op: &identity::Op) -> bool {
        match op {
            identity::Op::MailRequest(op) => self.post.requests.push_back(op.clone()),
            identity::Op::MailsDone(op) => {
                for mail in &op.mails {
                    let key = (mail.user_id.0, mail.mail_id);
                    let Some(mut waiting) = self.post.mails.remove(&key) else { continue };
                    if let Some(again_in_ms) = mail.again_in_ms {
                        (waiting.due, waiting.tries) = (self.at + again_in_ms, waiting.tries + 1);
                        self.post.mails.insert(key, waiting);
                    }
                }
            }
            identity::Op::PasswordReset(op) => {
                let user = op.user_id.0;
                self.void(user, mail_kind::PASSWORD_RESET);
                self.challenges.retain(|_, found| !found.is_of(user));
                self.login_names.retain(|name, _| !op.names.contains(name));
                let account = self.user(user);
                account.phc.clone_from(&op.phc.0);
                (account.failures, account.locked_until) = (0, 0);
                account.tokens.clear();
                self.tell(user, mail_kind::PASSWORD_CHANGED);
            }
            identity::Op::EmailConfirm(op) => {
                self.void(op.user_id.0, mail_kind::EMAIL_CONFIRMATION);
                self.user(op.user_id.0).verified = true;
            }
            _ => return false,
        }
        true
    }

    /// Which requests an errand has seen to, by what is left of them.
    pub fn carry_out_requests(&mut self, read: Read<'_>) {
        let left = read.scan(OUTBOX, ()).filter(|(_, errand)| errand.kind == ERRAND).count();
        while self.post.requests.len() > left {
            let request = self.post.requests.pop_front().unwrap();
            let found = self.users.iter().find(|(_, user)| {
                let key = user.email.to_lowercase();
                user.state == account::ACTIVE && !key.is_empty() && request.keys.contains(&key)
            });
            let Some((&user, found)) = found else { continue };
            if request.kind == mail_kind::PASSWORD_RESET || !found.verified {
                self.send_token(user, request.kind, &request.token);
            }
        }
    }

    /// Whom a sweep has reminded, by what is left to be.
    pub fn remind(&mut self, read: Read<'_>) {
        let left = |(due, user, _): &(u64, u64, u64)| read.contains(REMINDERS, (*due, UserId(*user)));
        let done: Vec<_> = self.post.reminders.iter().filter(|reminder| !left(reminder)).copied().collect();
        for (due, user, deletion) in done {
            self.post.reminders.remove(&(due, user, deletion));
            let account = &self.users[&user];
            let is_frozen = account.state == account::FROZEN && account.deletion_at == deletion;
            if is_frozen && deletion > self.at {
                self.tell(user, mail_kind::DELETION_REMINDER);
            }
        }
    }

    pub fn schedule_reminders(&mut self, user: u64, deletion: u64, before: &[u64], grace_ms: u64) {
        let within = before.iter().filter(|before| **before < grace_ms);
        self.post.reminders.extend(within.map(|before| (deletion - before, user, deletion)));
    }

    pub fn send_token(&mut self, user: u64, kind: u8, new: &NewMailToken) {
        let at = self.at;
        let token = self.post.tokens.entry((user, kind)).or_default();
        if at >= token.since + 3_600_000 {
            (token.since, token.count) = (at, 0);
        }
        if token.count >= MAIL_TOKENS_PER_HOUR_MAX {
            return;
        }
        token.count += 1;
        (token.secret_hash, token.expires_at) = (new.secret_hash.0, at + new.life_ms);
        let before = std::mem::take(&mut token.mail_id);
        self.post.mails.remove(&(user, before));
        // One of the same command has no id yet.
        self.post.written.retain(|(to, mail)| (*to, mail.kind) != (user, kind));
        let to = self.users[&user].email.clone();
        self.write(user, kind, to);
    }

    pub fn void(&mut self, user: u64, kind: u8) {
        let Some(token) = self.post.tokens.get_mut(&(user, kind)) else { return };
        (token.secret_hash, token.expires_at) = ([0; 32], 0);
        let mail_id = std::mem::take(&mut token.mail_id);
        self.post.mails.remove(&(user, mail_id));
    }

    pub fn tell(&mut self, user: u64, kind: u8) {
        let account = &self.users[&user];
        if account.verified && !account.email.is_empty() {
            let to = account.email.clone();
            self.write(user, kind, to);
        }
    }

    fn write(&mut self, user: u64, kind: u8, to: String) {
        self.post.written.push((user, Waiting { kind, to, tries: 0, due: self.at }));
    }

    pub fn sign_in(&mut self, user: u64, address: &str) {
        let known = self.post.sources.entry(user).or_default();
        if known.iter().any(|known| known == address) {
            return;
        }
        let is_first = known.is_empty();
        known.push(address.into());
        if known.len() > SIGN_IN_SOURCE_COUNT_MAX {
            known.remove(0);
        }
        if !is_first {
            self.tell(user, mail_kind::NEW_SIGN_IN);
        }
    }

    pub fn forget_post(&mut self, user: u64) {
        self.post.tokens.retain(|(of, _), _| *of != user);
        self.post.mails.retain(|(of, _), _| *of != user);
        self.post.written.retain(|(of, _)| *of != user);
        self.post.sources.remove(&user);
    }

    /// Looks for the mails that the command must have left, and for no others.
    pub fn note_mails(&mut self, read: Read<'_>) {
        let written = std::mem::take(&mut self.post.written);
        let new = read.scan(MAILS, ()).map(|((user, id), mail)| ((user.0, id), Mail::from(mail)));
        let mut new: Vec<_> = new.filter(|(key, _)| !self.post.mails.contains_key(key)).collect();
        new.sort_by_key(|((_, id), _)| *id);
        let waiting =
            |mail: &Mail| Waiting { kind: mail.kind, to: mail.to.clone(), tries: mail.tries, due: mail.due };
        let got: Vec<_> = new.iter().map(|((user, _), mail)| (*user, waiting(mail))).collect();
        assert_eq!(got, written, "a command leaves the mails that it must");
        for ((user, id), mail) in new {
            if let Some(token) = self.post.tokens.get_mut(&(user, mail.kind)) {
                token.mail_id = id;
            }
            self.post.mails.insert((user, id), waiting(&mail));
        }
    }

    pub fn compare_mails(&self, read: Read<'_>) {
        let is_active = |user: u64| self.users.get(&user).is_some_and(|user| user.state == account::ACTIVE);
        let stored = |user: u64, mail_id: u64| read.get(MAILS, (UserId(user), mail_id)).map(Mail::from);
        for ((user, id), waiting) in self.post.mails.iter().filter(|((user, _), _)| is_active(*user)) {
            let mail = stored(*user, *id).expect("a mail waits until it is over with it");
            let got = (mail.kind, &mail.to, mail.tries, mail.due);
            assert_eq!(got, (waiting.kind, &waiting.to, waiting.tries, waiting.due), "a mail of {user}");
        }
        for ((user, kind), token) in self.post.tokens.iter().filter(|((user, _), _)| is_active(*user)) {
            let stored = read.get(MAIL_TOKENS, (UserId(*user), *kind)).map(MailToken::from);
            let want = MailToken {
                secret_hash: token.secret_hash,
                expires_at: token.expires_at,
                mail_id: stored.as_ref().map_or(0, |stored| stored.mail_id),
                since: token.since,
                count: token.count,
            };
            assert_eq!(stored, Some(want), "a token of {user}");
        }
        for (user, sources) in self.post.sources.iter().filter(|(user, _)| is_active(**user)) {
            let stored = read.get(SIGN_INS, UserId(*user)).map(SignIns::from).unwrap_or_default();
            assert_eq!(stored.sources, *sources, "from where {user} has signed in");
        }
    }

    /// Sessions of a new account, or how it comes to one.
    pub fn enter(&mut self, reply: &Reply, entry: &identity::account::Entry) {
        let Reply::Account(user_id, token_id) = reply else { unreachable!() };
        match (entry, token_id) {
            (identity::account::Entry::Session(new), Some(token_id)) => {
                self.grant(user_id.0, token_id.0, new)
            }
            (identity::account::Entry::Confirmation(new), None) => {
                self.user(user_id.0).verified = false;
                self.send_token(user_id.0, mail_kind::EMAIL_CONFIRMATION, new);
            }
            other => panic!("{other:?}"),
        }
    }
}
