//! Requests without sockets: a store in a temporary folder, commands applied at once, cheap password hashes.
//! For unit tests of handlers; what a client sees over the wire is tested in `tests/contract/`.

pub mod fixture;
pub mod message_world;
pub mod server_world;
pub mod upload;

use std::cell::RefCell;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::content::Content;
use super::ctx::{Awaited, Ctx, Desk, Request, Response, Step};
use super::dispatch::{Dispatched, dispatch, finish, whole, write};
use super::rate_limit::new_limiter;
use super::router::Router;
use super::routes::{Answer, BodyRule, multipart, routes};
use super::site::Site;
use super::state::State;
use super::times::Times;
use crate::config::{Config, EncryptionArgon2, RateLimiting};
use crate::domain::housekeeping::outbox;
use crate::domain::social::presence::Liveness;
use crate::domain::{Command, Machine, Output, Reply, Result};
use crate::effect;
use crate::effect::Job;
use crate::effect::LANES;
use crate::effect::automod::Shared;
use crate::id::UserId;
use crate::limits::{KIB, MIB, PIECE_LEN};
use crate::log::Touches;
use crate::observe::{Names, Registry};
use crate::runtime::clock::Turn;
use crate::runtime::wake::Wake;
use crate::search::{Running, Search, Settings};
use crate::store::{Options, Store, Sync};
use crate::wire::http::{ResponseOptions, header_slots, http_date, parse_head};

routes! {
    /// Tells how long a body was that it took in pieces.
    Post "/testing/upload" => upload::upload, User, Exempt { body: BodyRule::Stream(100 * MIB), answer: Answer::Json };
    /// Tells of the file of a form.
    Post "/testing/form" => upload::form.await, User, Exempt {
        body: multipart(|_| 300 * KIB as u64), form: Some(&upload::FORM), answer: Answer::Json,
    };
    /// A stream.
    Get "/testing/stream" => upload::stream, Public, Exempt { answer: Answer::Json };
    /// A stream that breaks off.
    Get "/testing/broken" => upload::broken, Public, Exempt { answer: Answer::Json };
    /// A file that is kept.
    Get "/testing/files/{hash}" => upload::file.await, Public, Exempt { answer: Answer::Json };
    /// Is somewhere else.
    Get "/testing/elsewhere" => upload::elsewhere, Public, Exempt { answer: Answer::Json };
    /// Refuses a body after its first piece.
    Post "/testing/refusal" => upload::refusal, User, Exempt { body: BodyRule::Stream(100 * MIB) };
}

pub struct Harness {
    pub state: State,
    pub router: Router,
    /// Everything made known so far.
    pub outputs: RefCell<Vec<Output>>,
    /// Whoever follows messages, and the threads that keep an index of them.
    index: RefCell<Option<(Arc<Touches>, Running)>>,
    _folder: tempfile::TempDir,
}

/// What a step of errands may look at.
const ERRAND_LOOKS: u64 = 1_200;

/// 2026-01-01T00:00:00Z.
pub const START_MS: u64 = 1_767_225_600_000;

impl Default for Harness {
    fn default() -> Harness {
        Harness::with_config(Config::default())
    }
}

impl Harness {
    /// Rate limits are off whatever the configuration says.
    pub fn with_config(config: Config) -> Harness {
        Harness::limited(Config {
            rate_limiting: RateLimiting { enabled: false, ..config.rate_limiting },
            ..config
        })
    }

    /// Rate limits as configured.
    pub fn limited(config: Config) -> Harness {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let options = Options { path, map_size: 1 << 28, sync: Sync::Interval, readers_max: 16 };
        let store = Arc::new(Store::open(&options).unwrap());
        let keys = store.unlock(config.messaging.encrypt_messages).unwrap();
        let router = Router::new(&config.api.api_prefix, &config.admin_ui.path);
        let site = Arc::new(Site::of_api(&config));
        let liveness = Box::new(|_| Liveness::default());
        let now = Turn::at(START_MS, 1_000_000);
        let limiter = new_limiter(&config, 1 << 10, now);
        let config = Arc::new(Config {
            encryption_argon2: EncryptionArgon2 {
                time_cost: 1,
                memory_kib: 8,
                parallelism: 1,
                ..config.encryption_argon2
            },
            ..config
        });
        // Written often, so that there is something to be seen.
        let settings =
            Settings { fresh_count: 20, fresh_age: Duration::from_millis(100), ..Settings::new(1 << 28) };
        let search = Search::new(store.clone(), &[7; 32], settings, Arc::default());
        let state = State::new(
            config,
            store,
            Arc::default(),
            limiter,
            keys,
            Arc::new(Registry::new(
                1,
                Names { lanes: LANES.iter().map(|row| row.name).collect(), ..Names::default() },
            )),
            (0, Arc::new(Times::new(1, now.unix_ms, 0))),
            now,
            Arc::new(Wake::new().unwrap()),
            liveness,
            Shared::new(64 * MIB),
            search,
            site,
        );
        Harness { state, router, outputs: RefCell::default(), index: RefCell::default(), _folder: folder }
    }

    /// Has an index of messages kept. Without one, searches read the store.
    pub fn keep_index(&self) {
        let touches: Arc<Touches> = Arc::default();
        let running = self.state.search.start(touches.clone()).unwrap();
        *self.index.borrow_mut() = Some((touches, running));
    }

    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        self.state.set_now(self.state.now().after(ms));
    }

    /// Sets the clock, forwards or backwards.
    pub fn set_clock(&self, by_ms: i64) {
        let now = self.state.now();
        self.state.set_now(Turn { unix_ms: now.unix_ms.strict_add_signed(by_ms), ..now });
    }

    /// Applies a command as the log would.
    pub fn apply(&self, command: &Command) -> Result<Reply> {
        let store = self.state.store.clone();
        let mut tx = store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, self.state.moment(), 0);
        let reply = machine.apply(command);
        let touched = std::mem::take(&mut machine.touched);
        self.outputs.borrow_mut().extend(machine.finish());
        tx.commit().unwrap();
        if let Some((touches, _)) = &*self.index.borrow() {
            touches.tell(touched);
        }
        self.state.set_snapshot(store.snapshot());
        reply
    }

    /// Carries out what is due, as the server does beside its requests. Nobody is there.
    pub fn run_errands(&self) {
        let plan = || {
            let is_there = |user_id| self.state.liveness(user_id).online;
            outbox::plan(self.state.snapshot().read(), self.state.now_ms(), ERRAND_LOOKS, is_there)
        };
        while let Some(step) = plan() {
            self.apply(&Command::new(UserId(0), step.into())).unwrap();
        }
    }

    /// Does what requests have left behind.
    pub fn run_afterwork(&self) {
        for work in self.state.take_afterwork() {
            let command = (work.then)(&self.state, Ok(work.job.run()));
            command.into_iter().for_each(|command| drop(self.apply(&command)));
        }
    }

    /// Sends a request; `path` is below the API prefix unless it begins with `!`. Returns status and body text.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        json: Option<&str>,
    ) -> (u16, String) {
        let target = match path.strip_prefix('!') {
            Some(root) => root.to_string(),
            None => format!("{}{path}", self.state.config.api.api_prefix),
        };
        let mut text = format!("{method} {target} HTTP/1.1\r\nhost: x\r\n");
        if let Some(token) = token {
            text += &format!("authorization: Bearer {token}\r\n");
        }
        let body = json.unwrap_or_default();
        if json.is_some() {
            text += &format!("content-type: application/json\r\ncontent-length: {}\r\n", body.len());
        }
        text += "\r\n";
        let response = self.respond(&text, body);
        // A stream has no bytes before somebody asks for them.
        let is_stream = matches!(response.content, Some(Content::Stream(_)));
        if response.status == 200 && method != "HEAD" && !is_stream {
            self.check_shape(method, &target, &response.bytes());
        }
        (response.status, String::from_utf8(response.bytes()).unwrap())
    }

    /// Every answer is what its row says.
    fn check_shape(&self, method: &str, target: &str, body: &[u8]) {
        let route = self.router.row(method, target).expect("what was answered has a row");
        let checked = route.answer.check(body);
        assert_eq!(checked, Ok(()), "{method} {target}: {}", String::from_utf8_lossy(body));
    }

    /// Sends a request with the head as given; returns the answer as it goes over the wire.
    pub fn exchange(&self, head: &str, body: &str) -> String {
        let response = self.respond(head, body);
        let mut out = Vec::new();
        let lines = self.state.cors.lines_for_raw(head.as_bytes());
        let mut response = response;
        let rest = response.take_long_content();
        write(&self.state, &response, rest.as_ref(), lines, 1, ResponseOptions::new(&http_date(0)), &mut out);
        String::from_utf8(out).unwrap()
    }

    /// Sends a request with the head as given.
    pub fn respond(&self, head: &str, body: &str) -> Response {
        let mut slots = header_slots();
        let head = parse_head(head.as_bytes(), &mut slots).unwrap().unwrap();
        let mut body = body.as_bytes().to_vec();
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let request = Request { head, body: &mut body, ip, id: 1 };
        let (mut ctx, mut step) = match dispatch(&self.state, self, &self.router, request) {
            Dispatched::Handler(ctx, step) => (ctx, step),
            Dispatched::Answered(response, _) => return response,
        };
        let result = loop {
            step = match step {
                Ok(Step::Done) => break Ok(()),
                Err(error) => break Err(error),
                Ok(next) => self.perform(&mut ctx, next),
            };
        };
        finish(&mut ctx, result)
    }

    fn perform(&self, ctx: &mut Ctx<'_>, step: Step) -> Result<Step> {
        match step {
            Step::Done => Ok(Step::Done),
            Step::Submit(command, then) => {
                let reply = self.apply(&command);
                then(ctx, reply)
            }
            Step::Receive(then) => {
                let body = std::mem::take(&mut ctx.request.body);
                let (piece, rest) = body.split_at_mut(body.len().min(PIECE_LEN));
                ctx.request.body = rest;
                then(ctx, (!piece.is_empty()).then(|| piece.to_vec()))
            }
            Step::Task(task) => {
                let mut waker = Context::from_waker(Waker::noop());
                let pieces = ctx.pieces.clone().unwrap_or_default();
                let body =
                    if ctx.route.body.is_stream() { std::mem::take(&mut ctx.request.body) } else { &mut [] };
                let mut body = body.chunks(PIECE_LEN);
                let mut steps = task(ctx);
                loop {
                    match whole(|| Ok(steps.as_mut().poll(&mut waker))) {
                        Ok(Poll::Ready(step)) => return step,
                        Ok(Poll::Pending) if pieces.is_asked() => {
                            pieces.give(Ok(body.next().map(<[u8]>::to_vec)))
                        }
                        Ok(Poll::Pending) => panic!("everything is answered at once here"),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl Response {
    /// The body, if its length is known.
    pub fn bytes(&self) -> Vec<u8> {
        match &self.content {
            Some(content) => content.bytes().map(|bytes| bytes.to_vec()).unwrap_or_default(),
            None => self.body.clone(),
        }
    }
}

impl Desk for Harness {
    fn decide(&self, command: Command) -> Awaited<'_, Reply> {
        Box::pin(std::future::ready(self.apply(&command)))
    }

    fn effect(&self, job: Job) -> Awaited<'_, effect::Answer> {
        Box::pin(std::future::ready(Ok(job.run())))
    }

    fn router(&self) -> &Router {
        &self.router
    }
}
