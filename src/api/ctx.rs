//! One request on its way to an answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;

use crate::domain::hooks::webhook::Bearer;
use crate::domain::identity::right::Kind;
use crate::domain::{Answer as _, Asking, Command, Error, Now, Operation, Refusal, Reply, Result};
use crate::effect::read::Read;
use crate::effect::{Answer, Effect, Job, Source, password};
use crate::id::{
    AdminId, ChannelId, EmojiId, MessageId, PasskeyId, PollId, RoleId, RuleId, ServerId, StickerId, TokenId,
    UserId, WebhookId, parse_id,
};
use crate::limits::KIB;
use crate::store::{self, Snapshot};
use crate::wire::http::Head;

use super::body::Body;
use super::content::Content;
use super::cors::Sharing;
use super::dispatch::{undamaged, whole};
use super::forms::Fields;
use super::limiter::Numbers;
use super::pieces::{Piece, Pieces};
use super::router::{Params, Router};
use super::routes::{BodyRule, Route};
use super::state::State;
use super::unsent::Payer;

/// Most answers that are not lists fit: one allocation instead of one per doubling.
const ANSWER_LEN_USUAL: usize = 512;

/// Shared bytes that are copied behind the head, for one write instead of two.
const SHARED_COPY_LEN_MAX: usize = 16 * KIB;

/// What the socket layer knows of a request.
pub struct Request<'r> {
    pub head: Head<'r>,
    /// Complete and within the limit of the route's row; empty when that says that it is a stream.
    pub body: &'r mut [u8],
    /// The peer, or what a trusted proxy says of it.
    pub ip: IpAddr,
    /// For the log, the same in the answer's `x-request-id`.
    pub id: u64,
}

/// Who is asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Principal {
    pub user_id: UserId,
    /// His login session, or a bot's token.
    pub token_id: TokenId,
    pub kind: Kind,
    /// A [`crate::store::records::tier`] code.
    pub tier: u8,
    /// The last use that is stored of the session is a minute old: see [`super::touch::touch`].
    pub touch_due: bool,
}

impl Principal {
    pub fn is_bot(self) -> bool {
        self.kind == Kind::Bot
    }
}

/// Who has shown what the route's row asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    Nobody,
    /// Whose login it is.
    User(Principal),
    /// The webhook whose token is in the path.
    Webhook(Bearer),
    /// Whose session of an administrator it is.
    Admin(AdminCaller),
}

/// An administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdminCaller {
    pub admin_id: AdminId,
    /// SHA-256 of the token of his session.
    pub session: [u8; 32],
}

impl Caller {
    pub fn principal(self) -> Option<Principal> {
        match self {
            Caller::User(principal) => Some(principal),
            Caller::Nobody | Caller::Webhook(_) | Caller::Admin(_) => None,
        }
    }
}

/// The answer as far as a handler decides it.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// What its body is instead of that.
    pub content: Option<Content>,
    /// An `etag` among them has requests that name it answered with a 304, and parts of the body asked for.
    pub headers: Vec<(&'static str, String)>,
    /// Which header lines of the origin that asks it carries.
    pub sharing: Sharing,
    /// May stand in frames of others.
    pub is_framed: bool,
    /// No other page may frame it, or learn its address.
    pub is_private: bool,
    /// Whose memory it is counted as. Set before any handler; without one it is whose the last answer of the
    /// connection was.
    pub payer: Option<Payer>,
    /// The rate limit to show. Set before any handler.
    pub limits: Option<Numbers>,
}

impl Default for Response {
    fn default() -> Response {
        Response {
            status: 200,
            content_type: "application/json",
            body: Vec::new(),
            content: None,
            headers: Vec::new(),
            sharing: Sharing::Origin,
            is_framed: false,
            is_private: false,
            payer: None,
            limits: None,
        }
    }
}

impl Response {
    /// The value of a header that was set.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Bytes of the body, if that is known.
    pub fn body_len(&self) -> Option<u64> {
        self.content.as_ref().map_or(Some(self.body.len() as u64), Content::known_len)
    }

    /// Leaves so many bytes of the body from `start` on.
    pub(super) fn narrow(&mut self, start: u64, len: u64) {
        match &mut self.content {
            Some(content) => content.narrow(start, len),
            None => {
                self.body.truncate((start + len) as usize);
                self.body.drain(..start as usize);
            }
        }
    }

    /// The body, when it is to be sent behind the head instead of with it.
    pub fn take_long_content(&mut self) -> Option<Content> {
        let is_short =
            |content: &Content| content.bytes().is_some_and(|bytes| bytes.len() <= SHARED_COPY_LEN_MAX);
        if self.content.as_ref().is_none_or(is_short) { None } else { self.content.take() }
    }
}

/// Goes on after a command was decided: `Err` when apply refused.
pub type AfterCommand = Box<dyn FnOnce(&mut Ctx<'_>, Result<Reply>) -> Result<Step>>;
/// The rest of a handler that waits more than once.
pub type Steps<'a> = Pin<Box<dyn Future<Output = Result<Step>> + 'a>>;
/// Begins one: an `async fn` of the request, with what was found out before it.
pub type Task = Box<dyn for<'a, 'r> FnOnce(&'a mut Ctx<'r>) -> Steps<'a>>;

/// Goes on with the next piece of the body, `None` at its end.
pub type AfterPiece = Box<dyn FnOnce(&mut Ctx<'_>, Option<Vec<u8>>) -> Result<Step>>;

/// What a handler wants next.
pub enum Step {
    /// `ctx.response` is complete.
    Done,
    /// Have the log decide a command, then answer.
    Submit(Command, AfterCommand),
    /// Wait for the next piece of a body that is a stream, then go on: [`crate::limits::PIECE_LEN`] bytes, the last
    /// one fewer. A handler that is done before the end has the rest thrown away, and the connection ends with it.
    Receive(AfterPiece),
    /// Go on as a task of the connection, which waits as often as it has to.
    Task(Task),
}

impl Step {
    /// Goes on as an `async fn`: `Step::task(|ctx| Box::pin(rest(ctx)))`.
    pub fn task(task: impl for<'a, 'r> FnOnce(&'a mut Ctx<'r>) -> Steps<'a> + 'static) -> Step {
        Step::Task(Box::new(task))
    }
}

/// A handler: checks, reads, answers or names the next step. One that waits more than once is an `async fn`, and its
/// row names it with `.await`: it asks with [`Ctx::decide`] and [`Ctx::effect`], from top to bottom.
///
/// Those that wait for one command are no tasks: what [`Step::Submit`] names is submitted before the requests in front
/// of it are answered, and it costs no more than its command.
pub type Handler = fn(&mut Ctx<'_>) -> Result<Step>;

/// An answer that a task waits for.
pub type Awaited<'d, T> = Pin<Box<dyn Future<Output = Result<T>> + 'd>>;

/// What a task asks of its core. Whatever was asked for happens, even when nobody waits for the answer any more.
pub trait Desk {
    /// Has the log decide a command.
    fn decide(&self, command: Command) -> Awaited<'_, Reply>;
    /// Has a lane do a job.
    fn effect(&self, job: Job) -> Awaited<'_, Answer>;
    /// Where requests lead, for a page that asks operations of the API.
    fn router(&self) -> &Router;
}

pub struct Ctx<'r> {
    pub state: &'r State,
    pub desk: &'r dyn Desk,
    pub request: Request<'r>,
    pub route: &'static Route,
    pub params: Params<'r>,
    /// What the route asks for, never less.
    pub caller: Caller,
    /// Whose slow work is done: the caller's account, or what a login form names.
    pub account: u64,
    pub response: Response,
    /// Where the body comes from when it is a stream.
    pub pieces: Option<Rc<Pieces>>,
}

impl<'r> Ctx<'r> {
    /// Milliseconds of steady time in this turn: what is measured or judged goes by it.
    pub fn now_ms(&self) -> u64 {
        self.state.now_ms()
    }

    /// The moment of this turn, with wall time for what is shown.
    pub fn now(&self) -> Now {
        self.state.moment()
    }

    /// The state as this core knows it now. Do not keep it over a step.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        self.state.snapshot()
    }

    /// A question of the user who asks, to a state that the caller keeps. Only for routes with `user` in their row.
    pub fn asking<'s>(&self, snapshot: &'s Snapshot) -> Asking<'s> {
        Asking { read: snapshot.read(), at: self.now_ms(), who: self.user_id() }
    }

    /// Who asks. Only for routes with `user` in their row.
    pub fn principal(&self) -> Principal {
        self.caller.principal().expect("the route's row demands a login, so the router has set it")
    }

    /// The webhook that asks. Only for routes with `webhook` in their row.
    pub fn webhook(&self) -> Bearer {
        let Caller::Webhook(bearer) = self.caller else {
            unreachable!("the route's row demands the token of a webhook, so the router has set it");
        };
        bearer
    }

    /// The administrator who asks. Only for routes with `admin` in their row.
    pub fn admin(&self) -> AdminCaller {
        let Caller::Admin(admin) = self.caller else {
            unreachable!("the route's row demands an administrator, so the router has set him");
        };
        admin
    }

    pub fn user_id(&self) -> UserId {
        self.principal().user_id
    }

    /// A path parameter, decoded.
    pub fn param(&self, name: &str) -> Cow<'r, str> {
        self.params.get(name)
    }

    fn path_id(&self, name: &str, thing: &str) -> Result<u64> {
        parse_id(&self.param(name)).ok_or_else(|| Error::invalid_id(thing))
    }

    pub fn path_server(&self) -> Result<ServerId> {
        self.path_id("server_id", "server").map(ServerId)
    }

    pub fn path_channel(&self) -> Result<ChannelId> {
        self.path_id("channel_id", "channel").map(ChannelId)
    }

    /// A group is named by its channel.
    ///
    /// # Errors
    /// 400 when it is no id.
    pub fn path_group(&self) -> Result<ChannelId> {
        self.path_id("group_id", "group").map(ChannelId)
    }

    pub fn path_message(&self) -> Result<MessageId> {
        self.path_id("message_id", "message").map(MessageId)
    }

    /// A notification has the id of its message.
    ///
    /// # Errors
    /// 400 when it is no id.
    pub fn path_notification(&self) -> Result<MessageId> {
        self.path_id("notification_id", "notification").map(MessageId)
    }

    pub fn path_role(&self) -> Result<RoleId> {
        self.path_id("role_id", "role").map(RoleId)
    }

    /// # Errors
    /// 400 when it is no id.
    pub fn path_poll(&self) -> Result<PollId> {
        self.path_id("poll_id", "poll").map(PollId)
    }

    /// A rule of automod.
    ///
    /// # Errors
    /// 400 when it is no id.
    pub fn path_rule(&self) -> Result<RuleId> {
        self.path_id("rule_id", "rule").map(RuleId)
    }

    /// Whom an override is for: a role or a user.
    ///
    /// # Errors
    /// 400 when it is no id.
    pub fn path_target(&self) -> Result<u64> {
        self.path_id("target_id", "target")
    }

    pub fn path_user(&self) -> Result<UserId> {
        self.path_id("user_id", "user").map(UserId)
    }

    /// The member in a path is named by his user id.
    pub fn path_member(&self) -> Result<UserId> {
        self.path_id("member_id", "member").map(UserId)
    }

    /// # Errors
    /// 400 when it is no id.
    pub fn path_webhook(&self) -> Result<WebhookId> {
        self.path_id("webhook_id", "webhook").map(WebhookId)
    }

    /// # Errors
    /// 400 when it is no id.
    pub fn path_emoji(&self) -> Result<EmojiId> {
        self.path_id("emoji_id", "emoji").map(EmojiId)
    }

    /// # Errors
    /// 400 when it is no id.
    pub fn path_sticker(&self) -> Result<StickerId> {
        self.path_id("sticker_id", "sticker").map(StickerId)
    }

    /// # Errors
    /// 400 when it is no id.
    pub fn path_passkey(&self) -> Result<PasskeyId> {
        self.path_id("passkey_id", "passkey").map(PasskeyId)
    }

    pub fn path_session(&self) -> Result<TokenId> {
        self.path_id("session_id", "session").map(TokenId)
    }

    /// A query value, decoded.
    ///
    /// # Errors
    /// 400 for broken percent-encoding or invalid UTF-8.
    pub fn query(&self, name: &str) -> Result<Option<Cow<'r, str>>> {
        let value = self.request.head.target.query.get(name);
        value.map_err(|error| Error::new(error.status(), error.message()))
    }

    /// The request body, which must be a JSON object; where the row says that it may be left out, no body and `null`
    /// count as `{}`.
    ///
    /// # Errors
    /// 400 for a wrong content type, malformed JSON, another type of value, or no body.
    pub fn body(&mut self) -> Result<Body<'r>> {
        let body = std::mem::take(&mut self.request.body);
        match self.route.body {
            BodyRule::OptionalJson(_) if body.is_empty() || body.trim_ascii() == b"null" => Ok(Body::empty()),
            BodyRule::Json(_) | BodyRule::OptionalJson(_) => {
                Body::parse(body, self.request.head.header("content-type"))
            }
            BodyRule::JsonOrForm(_) => {
                Body::parse_json_or_form(body, self.request.head.header("content-type"))
            }
            _ => unreachable!("the row of {} names no body", self.route.name),
        }
    }

    /// The fields of the request body, which must be a form.
    ///
    /// # Errors
    /// 400 for a wrong content type, or malformed.
    pub fn form(&mut self) -> Result<Fields> {
        let content_type = self.request.head.header("content-type").unwrap_or_default();
        Fields::parse(self.request.body, content_type)
    }

    /// Waits for the next piece of a body that is a stream, `None` at its end: for tasks. They are of
    /// [`crate::limits::PIECE_LEN`] bytes, the last one fewer. What a task leaves is thrown away, and the connection
    /// ends with it.
    ///
    /// # Errors
    /// When what comes is no body.
    pub async fn piece(&self) -> Piece {
        let pieces = self.pieces.as_ref().expect("the route's row says that the body is a stream");
        pieces.next().await
    }

    /// Submits a command of the asking user; `then` answers when it was applied.
    pub fn submit<C: Operation>(
        &self,
        op: C,
        then: impl FnOnce(&mut Ctx<'_>, C::Reply) -> Result<Step> + 'static,
    ) -> Result<Step> {
        self.submit_as(self.user_id(), op, then)
    }

    /// The same for a command of `actor`.
    ///
    /// # Errors
    /// None yet: those of apply come with the reply.
    pub fn submit_as<C: Operation>(
        &self,
        actor: UserId,
        op: C,
        then: impl FnOnce(&mut Ctx<'_>, C::Reply) -> Result<Step> + 'static,
    ) -> Result<Step> {
        let then = move |ctx: &mut Ctx<'_>, reply: Result<Reply>| then(ctx, C::Reply::take(reply?));
        Ok(Step::Submit(Command::new(actor, op.into()), Box::new(then)))
    }

    /// Has the log decide a command of `actor`, and waits for it: for tasks.
    ///
    /// # Errors
    /// Those of apply; 503 when the log is full.
    pub async fn decide<C: Operation>(&self, actor: UserId, op: C) -> Result<C::Reply> {
        undamaged()?;
        self.desk.decide(Command::new(actor, op.into())).await.map(C::Reply::take)
    }

    /// For whom lanes do what is asked for.
    pub fn source(&self) -> Source {
        Source::new(self.request.ip, self.account)
    }

    /// Has slow work done off the core thread, for tasks. Turns are shared out by address and account.
    ///
    /// # Errors
    /// 503 when too many wait, 500 when it panicked.
    pub async fn effect<E: Effect>(&self, effect: E) -> Result<E::Answer> {
        undamaged()?;
        let source = self.source();
        let answer = self.desk.effect(Job::new(source, effect)).await?;
        Ok(*answer.downcast().expect("a job answers with what its effect does"))
    }

    /// Has something looked up off the core thread, for what may take milliseconds there. It sees at least what this
    /// core has processed: its snapshot is opened later than the one that came with that.
    ///
    /// # Errors
    /// Those of `look`, and of [`Ctx::effect`].
    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(Asking<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (at, who) = (self.now_ms(), self.user_id());
        self.read_store(move |read| look(Asking { read, at, who })).await
    }

    /// The same for what is asked by nobody.
    ///
    /// # Errors
    /// Those of `look`, and of [`Ctx::effect`].
    pub async fn read_store<T: Send + 'static>(
        &self,
        look: impl FnOnce(store::Read<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.state.store.clone();
        let look = move || {
            let snapshot = store.snapshot();
            whole(|| look(snapshot.read()))
        };
        self.effect(Read(look)).await?
    }

    /// The PHC string of a password, made off the core thread.
    ///
    /// # Errors
    /// Those of [`Ctx::effect`].
    pub async fn hash(&self, password: String) -> Result<String> {
        let effect =
            password::Hash::new(password::Params::of(&self.state.config.encryption_argon2), password);
        self.effect(effect).await?.map_err(|_| Refusal::Internal.into())
    }

    /// Whether a password matches a PHC string, compared off the core thread. Without a string the same work is done
    /// and the answer is no, so that unknown names take the same time.
    ///
    /// # Errors
    /// Those of [`Ctx::effect`].
    pub async fn verify(&self, password: String, phc: Option<String>) -> Result<bool> {
        let params = password::Params::of(&self.state.config.encryption_argon2);
        self.effect(password::Verify::new(params, password, phc)).await
    }

    /// Submits a command and answers `{"success": true}`.
    pub fn submit_success(&self, op: impl Operation) -> Result<Step> {
        self.submit(op, |ctx, _| ctx.success())
    }

    /// Answers 200 `{"success": true}`.
    pub fn success(&mut self) -> Result<Step> {
        self.json(|out| out.extend_from_slice(b"{\"success\":true}"))
    }

    /// Answers that it is somewhere else: 302, 303, 307 or 308.
    pub fn redirect(&mut self, status: u16, location: String) -> Step {
        debug_assert!(matches!(status, 302 | 303 | 307 | 308), "{status} is no redirect");
        self.response.status = status;
        self.response.headers.push(("location", location));
        Step::Done
    }

    /// Answers 200 with what `write` appends.
    pub fn json(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<Step> {
        self.response.body.reserve(ANSWER_LEN_USUAL);
        write(&mut self.response.body);
        Ok(Step::Done)
    }
}
