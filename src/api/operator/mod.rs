//! What the operator asks of the server on its command line: bots, access tokens, tiers and badges, keys, and whatever else no route is there for.
//!
//! Owns: the requests by name (`plexichat bot create` sends `bot_create`), what they take, and what is printed.
//! Invariant: a request is carried out where the store is open, be it in the server that runs or in the command itself
//! while none does; both are a [`Place`]. Nobody asks who sends one: who can reach the place can read the store.

pub mod access_tokens;
pub mod bots;
pub mod features;
pub mod index;
pub mod keys;

use std::pin::Pin;
use std::rc::Rc;

use super::admin::first;
use super::body::Body;
use super::dispatch::whole;
use crate::config::Config;
use crate::domain::identity::account;
use crate::domain::{Answer as _, Command, Error, Now, Operation, Reply, Result, view};
use crate::effect::credentials::Credentials;
use crate::id::{UserId, parse_id};
use crate::store::keyring::{KeyInfo, Keyring};
use crate::store::{Read, Snapshot};
use crate::wire::http::http_date;

/// Bytes of a request, and of what is said to it.
pub const REQUEST_LEN_MAX: usize = 64 * 1024;
pub const SAID_LEN_MAX: usize = 1024 * 1024;
/// Lines of a list.
const LISTED_COUNT_MAX: usize = 1_000;

/// Where requests are carried out.
pub trait Place {
    fn config(&self) -> &Config;
    fn snapshot(&self) -> Rc<Snapshot>;
    fn moment(&self) -> Now;
    /// Has the log decide a command.
    fn decide(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Reply>> + '_>>;
    /// The server's keys.
    fn keys(&self) -> &Keyring;
    /// Makes a new one, which is in use from then on.
    fn rotate(&self) -> Pin<Box<dyn Future<Output = Result<KeyInfo>> + '_>>;
    /// Has the index of messages made anew; what is to be said of it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn renew_index(&self) -> Result<String>;
    /// Has the password of an administrator written down.
    fn credentials(&self, work: Credentials) -> Pin<Box<dyn Future<Output = Result<String>> + '_>>;
}

impl dyn Place + '_ {
    /// Has the log decide a command of the server itself.
    pub(super) async fn submit<C: Operation>(&self, op: C) -> Result<C::Reply> {
        self.decide(Command::new(UserId(0), op.into())).await.map(C::Reply::take)
    }

    /// What can be found out of the state.
    pub(super) fn look<T>(&self, look: impl FnOnce(Read<'_>) -> Result<T>) -> Result<T> {
        let snapshot = self.snapshot();
        whole(|| look(snapshot.read()))
    }
}

/// What is printed, once it is known.
type Said<'p> = Pin<Box<dyn Future<Output = Result<String>> + 'p>>;

struct Row {
    name: &'static str,
    run: for<'p> fn(&'p dyn Place, &'p Body<'p>) -> Said<'p>,
}

macro_rules! requests {
    ($($name:literal => $module:ident::$handler:ident;)*) => {
        const ROWS: &[Row] = &[$(Row {
            name: $name,
            run: |place, body| Box::pin($module::$handler(place, body)),
        }),*];
    };
}

requests! {
    "bot_create" => bots::create;
    "bot_list" => bots::list;
    "bot_token" => bots::token;
    "bot_delete" => bots::delete;
    "access_token_create" => access_tokens::create;
    "access_token_list" => access_tokens::list;
    "access_token_revoke" => access_tokens::revoke;
    "user_show" => features::show;
    "user_tier" => features::set_tier;
    "user_badge_add" => features::add_badge;
    "user_badge_remove" => features::remove_badge;
    "keys_list" => keys::list;
    "keys_rotate" => keys::rotate;
    "reindex" => index::renew;
    "admin_reset_password" => first::reset;
}

/// Carries out a request: a JSON object with what to `do`.
///
/// # Errors
/// When it is none, or is refused.
pub async fn carry_out(place: &dyn Place, request: &mut [u8]) -> Result<String> {
    let body = Body::parse(request, Some(b"application/json"))?;
    let name = body.str("do", 1..=64)?;
    let row = ROWS.iter().find(|row| row.name == name).ok_or_else(|| {
        Error::bad_request(format!("The server that runs does not know {name}: it is of another version"))
    })?;
    (row.run)(place, &body).await
}

/// Whom a name or an id means.
///
/// # Errors
/// 404.
fn user(read: Read<'_>, text: &str) -> Result<UserId> {
    let by_id = || parse_id(text).map(UserId).filter(|id| view::existing(read, *id).is_ok());
    let found = account::by_name(read, text.trim()).or_else(by_id);
    found.ok_or_else(|| Error::new(404, format!("There is no account {text}")))
}

/// A number of days.
///
/// # Errors
/// 400 when it is none, or more than a hundred years.
fn read_days(text: &str) -> Result<u64> {
    const DAYS_MAX: u64 = 36_500;
    let days = parse_id(text).filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| Error::invalid("days", format_args!("must be 1 to {DAYS_MAX}")))
}

/// A moment as people read it.
fn date(unix_ms: u64) -> String {
    String::from_utf8_lossy(&http_date(unix_ms / 1_000)).into_owned()
}

/// Lines with a head above them, each column as wide as what is in it; `none` when there are none.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]], none: &str) -> String {
    if rows.is_empty() {
        return format!("{none}\n");
    }
    let mut text = String::new();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].len())
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let start = text.len();
        for (cell, width) in cells.zip(&widths) {
            text += &format!("{cell:<width$}  ");
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    };
    line(&mut head.iter().copied());
    rows.iter().for_each(|row| line(&mut row.iter().map(String::as_str)));
    if rows.len() == LISTED_COUNT_MAX {
        text += &format!("Only the first {LISTED_COUNT_MAX} are shown.\n");
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::ctx::Desk;
    use crate::api::testing::Harness;
    use crate::effect::Effect as _;
    use std::task::{Context, Poll, Waker};

    impl Place for Harness {
        fn config(&self) -> &Config {
            &self.state.config
        }

        fn snapshot(&self) -> Rc<Snapshot> {
            self.state.snapshot()
        }

        fn moment(&self) -> Now {
            self.state.moment()
        }

        fn decide(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Reply>> + '_>> {
            Desk::decide(self, command)
        }

        fn keys(&self) -> &Keyring {
            &self.state.keys
        }

        fn rotate(&self) -> Pin<Box<dyn Future<Output = Result<KeyInfo>> + '_>> {
            let made = self.state.store.rotate(&self.state.keys);
            Box::pin(std::future::ready(made.map_err(|why| Error::new(503, why))))
        }

        fn renew_index(&self) -> Result<String> {
            Ok(index::begun(self.state.search.message_count()))
        }

        fn credentials(&self, work: Credentials) -> Pin<Box<dyn Future<Output = Result<String>> + '_>> {
            Box::pin(std::future::ready(work.run().map_err(|why| Error::new(503, why))))
        }
    }

    /// What is said to a request.
    pub fn ask(harness: &Harness, request: &str) -> std::result::Result<String, String> {
        let mut request = request.as_bytes().to_vec();
        let mut said = Box::pin(carry_out(harness, &mut request));
        match said.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(said) => said.map_err(|error| error.message.into_owned()),
            Poll::Pending => panic!("everything is answered at once here"),
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let harness = Harness::default();
        for (request, want) in [
            ("", "A JSON body is required"),
            ("[]", "must be a JSON object"),
            ("{}", "Invalid do: this field is required"),
            (r#"{"do":"dance"}"#, "does not know dance: it is of another version"),
            (r#"{"do":"bot_create","name":"rosie"}"#, "Invalid owner: this field is required"),
            (r#"{"do":"bot_create","name":7,"owner":"ada"}"#, "Invalid name: must be a string"),
        ] {
            let refused = ask(&harness, request).unwrap_err();
            assert!(refused.contains(want), "{request}: {refused}");
        }
    }

    #[test]
    fn lists_are_as_wide_as_what_is_in_them() {
        let row = |a: &str, b: &str| [a.to_string(), b.to_string()];
        let text = table(["ID", "NAME"], &[row("1", "ada"), row("1234", "é")], "Nobody.");
        assert_eq!(text, "ID    NAME\n1     ada\n1234  é\n");
        assert_eq!(table(["ID", "NAME"], &[], "Nobody."), "Nobody.\n");
        let many: Vec<_> = (0..LISTED_COUNT_MAX).map(|n| row(&n.to_string(), "x")).collect();
        assert!(table(["ID", "NAME"], &many, "").ends_with("Only the first 1000 are shown.\n"));
    }
}
