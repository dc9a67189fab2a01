//! Hands mail to the mail server: what commands have written, a batch at a time.
//!
//! What is to be sent stands in the state (see [`crate::domain::identity::mail`]), so nothing is lost with this task: a
//! server that is killed between sending and noting it sends again. Invariants: a mail that cannot be sent is tried again
//! after ever longer pauses, and given up after a day; of what it brings, and of whole addresses, nothing is logged.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::http::Backend;
use crate::api::ctx::Desk;
use crate::config::{Config, EmailNotices};
use crate::domain::identity::mail::{self, MailDone, MailsDone};
use crate::domain::{Command, Refusal};
use crate::effect::mail::letter::Letter;
use crate::effect::mail::{Outcome, PASSWORD_VARIABLE, Send, Settings, masked};
use crate::effect::{Job, Source};
use crate::id::UserId;
use crate::store::Read;
use crate::store::keyring::{Keyring, Purpose};
use crate::store::records::{Mail, mail_kind};
use crate::store::tables::{MAILS, USERS};

/// How often it is looked whether something is due: a look-up in the core's snapshot.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// After a step that could not be noted: the log is full, or the disk.
const PATIENCE: Duration = Duration::from_secs(1);
/// Mails of one conversation.
const BATCH_COUNT_MAX: usize = 50;
/// The pause after the first try; each is twice as long as the one before: within ten minutes there are seven tries.
const PAUSE_MS: u64 = 5_000;
const PAUSE_MAX_MS: u64 = 3_600_000;
/// After that it is no news any more.
const GIVEN_UP_MS: u64 = 24 * 3_600_000;

/// How mail is sent, as it is configured; `None`: not at all. Says what that means for people.
///
/// # Errors
/// When the password is no text.
pub(super) fn settings(config: &Config) -> Result<Option<Settings>, String> {
    let password = std::env::var_os(PASSWORD_VARIABLE).filter(|password| !password.is_empty());
    let password = password.map(|password| password.into_string());
    let password = password.transpose().map_err(|_| format!("{PASSWORD_VARIABLE} is not UTF-8"))?;
    let email = &config.email;
    match (email.smtp_user.is_empty(), &password) {
        (false, None) => tracing::warn!("email.smtp_user is not used: {PASSWORD_VARIABLE} is not set"),
        (true, Some(_)) => tracing::warn!("{PASSWORD_VARIABLE} is not used: email.smtp_user is empty"),
        (false, Some(_)) if !email.use_tls => {
            tracing::warn!(
                "email.use_tls is off: the password of the mail server goes over the network in the clear"
            )
        }
        _ => {}
    }
    let settings = Settings::of(config, password);
    if settings.is_none() {
        let more = match config.authentication_accounts.require_email_verification {
            true => ", and new accounts cannot log in, as nobody can confirm his address",
            false => "",
        };
        tracing::warn!(
            "email.smtp_host is empty: no mail is sent, so passwords cannot be reset by mail{more}"
        );
    }
    Ok(settings)
}

/// Mails whose time has come.
#[derive(Default)]
struct Batch {
    letters: Vec<(UserId, u64, Letter)>,
    /// What is known of the tries of each letter: so far, and since when.
    tries: Vec<(u32, u64)>,
    /// It is over with these.
    done: Vec<MailDone>,
}

/// Runs for as long as its core does.
pub(super) async fn run(core: Rc<Core>, settings: Option<Settings>) {
    let mut is_away = false;
    loop {
        monoio::time::sleep(LOOK_INTERVAL).await;
        let metrics = &core.state.metrics;
        metrics.mails.set(core.state.snapshot().read().len(MAILS));
        let Batch { letters, tries, mut done } = next(&core, settings.is_some());
        if let (Some(settings), false) = (&settings, letters.is_empty()) {
            let outcomes = send(&core, settings, &letters, &mut is_away).await;
            for (((user_id, mail_id, letter), tried), outcome) in letters.iter().zip(tries).zip(outcomes) {
                let again_in_ms = match judge(&core, letter, tried, outcome) {
                    Judged::Over => None,
                    Judged::Again(ms) => Some(ms),
                    Judged::Untried => continue,
                };
                done.push(MailDone { user_id: *user_id, mail_id: *mail_id, again_in_ms });
            }
        }
        if !done.is_empty() {
            note(&core, MailsDone { mails: done }).await;
        }
        if is_away {
            // However many wait, a mail server that is away is not asked for each of them.
            monoio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }
}

/// What is due by what this core has processed.
fn next(core: &Core, is_on: bool) -> Batch {
    let (state, snapshot) = (&core.state, core.state.snapshot());
    let (read, now_ms) = (snapshot.read(), state.now_ms());
    let mut batch = Batch::default();
    for (user_id, mail_id) in mail::due(read, now_ms, BATCH_COUNT_MAX) {
        let Some(record) = read.get(MAILS, (user_id, mail_id)).map(Mail::from) else { continue };
        let wanted = is_on && is_wanted(&state.config.email_notices, record.kind);
        let (tries, made_at) = (record.tries, record.made_at);
        match letter(read, &state.keys, user_id, mail_id, record, now_ms).filter(|_| wanted) {
            Some(letter) => {
                batch.letters.push((user_id, mail_id, letter));
                batch.tries.push((tries, now_ms.saturating_sub(made_at)));
            }
            None => batch.done.push(MailDone { user_id, mail_id, again_in_ms: None }),
        }
    }
    batch
}

/// Whether the operator wants that kind of mail to be sent.
fn is_wanted(notices: &EmailNotices, kind: u8) -> bool {
    match kind {
        mail_kind::NEW_SIGN_IN => notices.sign_in,
        mail_kind::PASSWORD_CHANGED => notices.password_changed,
        mail_kind::TWO_FACTOR_ON | mail_kind::TWO_FACTOR_OFF | mail_kind::PASSKEY_ADDED => {
            notices.two_factor_changed
        }
        mail_kind::EMAIL_CHANGED => notices.email_changed,
        mail_kind::PROVIDER_LINKED => notices.provider_linked,
        mail_kind::DELETION_SCHEDULED => notices.deletion_scheduled,
        _ => true,
    }
}

/// `None` when there is nothing to be sent any more: its token was used, replaced or is over.
fn letter(
    read: Read<'_>,
    keys: &Keyring,
    user_id: UserId,
    mail_id: u64,
    record: Mail,
    now_ms: u64,
) -> Option<Letter> {
    let token = match record.kind {
        mail_kind::PASSWORD_RESET | mail_kind::EMAIL_CONFIRMATION => {
            let token = mail::token_of(read, user_id, mail_id, record.kind, now_ms)?;
            let context = mail::seal_context(&token.secret_hash);
            let Some(secret) = keys.unseal(Purpose::MailToken, context, &record.sealed) else {
                tracing::error!(
                    "a mail cannot be written: server.keys lacks its key, put it back from a backup"
                );
                return None;
            };
            mail::token(user_id, &String::from_utf8(secret).ok()?)
        }
        _ => String::new(),
    };
    Some(Letter {
        kind: record.kind,
        id: mail_id,
        to: record.to,
        username: read.get(USERS, user_id)?.username.to_string(),
        created_at: record.created_at,
        term_ms: record.term_ms,
        token,
        source: record.source,
    })
}

/// Has the lane send them, and tells when that does not work any more, and when it works again.
async fn send(
    core: &Core,
    settings: &Settings,
    letters: &[(UserId, u64, Letter)],
    is_away: &mut bool,
) -> Vec<Outcome> {
    let letters: Vec<Letter> = letters.iter().map(|(_, _, letter)| letter.clone()).collect();
    let (outcomes, trouble) = match ask(core, settings, letters.clone()).await {
        Some(answer) => answer,
        // One of them has ended the job: each for itself, so that it holds up no other.
        None => {
            let mut outcomes = Vec::new();
            for letter in letters {
                let answer = ask(core, settings, vec![letter]).await;
                let failed = || vec![Outcome::Later("it could not be written".into())];
                outcomes.extend(answer.map_or_else(failed, |(outcomes, _)| outcomes));
            }
            (outcomes, None)
        }
    };
    match (&trouble, std::mem::replace(is_away, trouble.is_some())) {
        (Some(why), false) => {
            tracing::warn!(why, "no mail is taken by the mail server; it is tried again, for a day at most")
        }
        (None, true) => tracing::info!("mail is taken again"),
        _ => {}
    }
    outcomes
}

async fn ask(
    core: &Core,
    settings: &Settings,
    letters: Vec<Letter>,
) -> Option<(Vec<Outcome>, Option<String>)> {
    let source = Source::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let job = Job::new(source, Send { settings: settings.clone(), letters });
    let answer = core.effect(job).await.ok()?;
    Some(*answer.downcast().expect("a job answers with what its effect does"))
}

enum Judged {
    Over,
    /// In so many milliseconds.
    Again(u64),
    Untried,
}

/// What follows from a try. `tried`: how often it was in vain before, and for how long.
fn judge(core: &Core, letter: &Letter, (tries, age_ms): (u32, u64), outcome: Outcome) -> Judged {
    let (metrics, to, kind) = (&core.state.metrics, masked(&letter.to), mail_kind::text(letter.kind));
    match outcome {
        Outcome::Untried => Judged::Untried,
        Outcome::Sent => {
            metrics.mails_sent.increment();
            tracing::debug!(to, kind, "a mail was sent");
            Judged::Over
        }
        Outcome::Refused(why) => {
            metrics.mails_given_up.increment();
            tracing::warn!(to, kind, why, "a mail was refused");
            Judged::Over
        }
        Outcome::Later(why) => {
            metrics.mail_failures.increment();
            match pause_ms(tries) {
                pause_ms if age_ms.saturating_add(pause_ms) < GIVEN_UP_MS => Judged::Again(pause_ms),
                _ => {
                    metrics.mails_given_up.increment();
                    tracing::warn!(to, kind, why, "a mail was given up after a day");
                    Judged::Over
                }
            }
        }
    }
}

fn pause_ms(tries: u32) -> u64 {
    PAUSE_MS.checked_shl(tries.min(32)).map_or(PAUSE_MAX_MS, |pause| pause.min(PAUSE_MAX_MS))
}

/// Notes what became of mails; until that is noted nothing more is sent, as it would be sent again and again.
async fn note(core: &Core, op: MailsDone) {
    let mut told = false;
    while let Err(error) = core.submit(Command::new(UserId(0), op.clone().into())).await {
        if error == Refusal::StoreDamaged.into() && !std::mem::replace(&mut told, true) {
            tracing::error!(
                "no more mail is sent, as a record among it is damaged: stop the server, see `plexichat verify`, and put \
                 the last sound backup in place with `plexichat restore FOLDER`"
            );
        }
        monoio::time::sleep(PATIENCE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        let pauses: Vec<u64> = (0..12).map(|tries| pause_ms(tries) / 1_000).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 3_600, 3_600]);
        let within_ten_minutes = pauses.iter().scan(0, |at, pause| {
            *at += pause;
            Some(*at)
        });
        assert!(within_ten_minutes.take_while(|at| *at <= 600).count() >= 3);
        assert_eq!(pause_ms(u32::MAX), PAUSE_MAX_MS);
    }
}
