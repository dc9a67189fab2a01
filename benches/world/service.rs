//! Requests of one core without sockets: from the bytes of a head to the bytes of the answer.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use plexichat::api::ctx::{Awaited, Desk};
use plexichat::api::dispatch::{Dispatched, dispatch, finish, write};
use plexichat::api::limiter::Limiter;
use plexichat::api::rate_limit::new_limiter;
use plexichat::api::router::Router;
use plexichat::api::site::Site;
use plexichat::api::times::{Times, operations};
use plexichat::api::{Request, State};
use plexichat::config::Config;
use plexichat::domain::social::presence::Liveness;
use plexichat::domain::{Command, Reply};
use plexichat::effect::{Answer, Job, automod};
use plexichat::observe::{Names, Registry};
use plexichat::runtime::clock::Turn;
use plexichat::runtime::wake::Wake;
use plexichat::search::{Search, Settings};
use plexichat::store::keyring::Keyring;
use plexichat::wire::http::{ResponseOptions, header_slots, http_date, parse_head};

use super::{START_MS, World};

const NOW: Turn = Turn::at(START_MS + 1_000, 1_000_000);

/// What all cores share.
pub struct Shared {
    config: Arc<Config>,
    limiter: Arc<Limiter>,
    router: Arc<Router>,
}

impl Shared {
    /// Limits are counted as by default, but so high that nobody comes near them.
    pub fn new() -> Shared {
        let mut config = Config::default();
        let buckets = [
            &mut config.rate_limiting.global,
            &mut config.rate_limiting.user,
            &mut config.rate_limiting.ip,
            &mut config.rate_limiting_buckets.users_me_get,
        ];
        buckets.into_iter().for_each(|bucket| {
            (bucket.requests, bucket.burst) = (10_000_000, 10_000_000);
            bucket.caps.clear();
        });
        let limiter = new_limiter(&config, 1 << 14, NOW);
        let router = Arc::new(Router::new(&config.api.api_prefix, &config.admin_ui.path));
        Shared { config: Arc::new(config), limiter, router }
    }
}

pub struct Service {
    state: State,
    router: Arc<Router>,
    /// `GET /users/@me` of each user.
    heads: Vec<Vec<u8>>,
    out: Vec<u8>,
    date: [u8; 29],
    /// Who is first.
    first: usize,
    count: usize,
}

impl Service {
    pub fn new(shared: &Shared, world: &World, first: usize) -> Service {
        let (config, limiter) = (shared.config.clone(), shared.limiter.clone());
        let wake = Arc::new(Wake::new().expect("there are descriptors"));
        let liveness = Box::new(|_| Liveness::default());
        let (store, run) = (world.store.clone(), Arc::default());
        let registry = Arc::new(Registry::new(1, Names { operations: operations(), ..Names::default() }));
        let times = (0, Arc::new(Times::new(1, NOW.unix_ms, 0)));
        let (keys, rules) = (Arc::new(Keyring::new()), automod::Shared::new(1 << 20));
        let index = Search::new(store.clone(), &[0; 32], Settings::new(1 << 20), Arc::default());
        let site = Arc::new(Site::of_api(&config));
        let state = State::new(
            config, store, run, limiter, keys, registry, times, NOW, wake, liveness, rules, index, site,
        );
        let head = |token: &String| {
            let path = "/api/v1/users/@me";
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into()
        };
        let heads = world.tokens.iter().map(head).collect();
        let date = http_date(START_MS / 1_000);
        Service { state, router: shared.router.clone(), heads, out: Vec::new(), date, first, count: 0 }
    }

    /// The next user asks for himself; ten requests per millisecond.
    pub fn me(&mut self) {
        self.count += 1;
        self.state.set_now(NOW.after(self.count as u64 / 10));
        let mut slots = header_slots();
        let head = &self.heads[(self.first + self.count) % self.heads.len()];
        let head = parse_head(head, &mut slots).expect("valid").expect("whole");
        let lines = self.state.cors.lines_for(&head);
        let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let request = Request { head, body: &mut Vec::new(), ip, id: 1 };
        let (response, route) = match dispatch(&self.state, &ReadsOnly, &self.router, request) {
            Dispatched::Handler(mut ctx, step) => (finish(&mut ctx, step.map(drop)), Some(ctx.route)),
            Dispatched::Answered(response, route) => (response, route),
        };
        let body = || String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, 200, "request {}: {}", self.count, body());
        self.out.clear();
        self.state.set_handled(self.count as u64 % 100 * 1_000);
        self.state.answered(route, response.status, 0);
        write(&self.state, &response, None, lines, 1, ResponseOptions::new(&self.date), &mut self.out);
    }
}

/// What is measured here asks its core for nothing.
struct ReadsOnly;

impl Desk for ReadsOnly {
    fn decide(&self, _: Command) -> Awaited<'_, Reply> {
        unreachable!("a read submits nothing")
    }

    fn effect(&self, _: Job) -> Awaited<'_, Answer> {
        unreachable!("a read has no slow work done")
    }

    fn router(&self) -> &Router {
        unreachable!("a read asks no other operation")
    }
}
