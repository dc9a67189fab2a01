//! What every handler of a core may use.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::address::{Networks, TrustedProxies};
use super::admin::door::Door;
use super::blocked::Blocked;
use super::closure::Closure;
use super::contact::telemetry::retention_ms;
use super::cors::Cors;
use super::gate::Gate;
use super::limiter::Limiter;
use super::new_names::NewNames;
use super::pages::Pages;
use super::recent_files::RecentFiles;
use super::routes::Route;
use super::site::Site;
use super::times::{CoreTimes, Times, row_of};
use super::touch::Touches;
use super::unsent::Unsent;
use crate::config::{Config, Origin};
use crate::domain::contact::times;
use crate::domain::social::presence::Liveness;
use crate::domain::version::Versions;
use crate::domain::{Command, Event, Now, Result};
use crate::effect::automod::{Known, Shared};
use crate::effect::jobs::Jobs;
use crate::effect::{Answer, Job};
use crate::id::UserId;
use crate::log::Health;
use crate::observe::{CoreMetrics, Registry};
use crate::runtime::clock::Turn;
use crate::runtime::wake::Wake;
use crate::search::Search;
use crate::store::keyring::Keyring;
use crate::store::{Snapshot, Store};

/// Run state of the process (contract, `ServerState`), shared by all cores.
#[derive(Default)]
pub struct RunState {
    shutting_down: AtomicBool,
    draining: AtomicBool,
    health: Arc<Health>,
    /// What administrators have asked for.
    pub jobs: Arc<Jobs>,
    /// Where the configuration came from; tests make theirs.
    pub origin: Option<Arc<Origin>>,
}

impl RunState {
    /// `health` is the writer's.
    pub fn new(health: Arc<Health>, origin: Arc<Origin>) -> RunState {
        RunState { health, origin: Some(origin), ..RunState::default() }
    }

    /// Whether everybody is sent away, and nobody taken in.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub fn set_draining(&self, is_draining: bool) {
        self.draining.store(is_draining, Ordering::Relaxed);
    }

    pub fn is_shutting_down(&self) -> bool {
        self.shutting_down.load(Ordering::Relaxed)
    }

    pub fn begin_shutdown(&self) {
        self.shutting_down.store(true, Ordering::Relaxed);
    }

    /// Whether changes are taken.
    pub fn health(&self) -> &Health {
        &self.health
    }

    pub fn text(&self) -> &'static str {
        if self.is_shutting_down() { "shutting_down" } else { "running" }
    }
}

/// Goes on with what a job came to.
type AfterJob = Box<dyn FnOnce(&State, Result<Answer>) -> Option<Command>>;

/// Slow work that a request leaves behind: nobody waits for it, and it may lead to a command.
pub struct Afterwork {
    pub job: Job,
    pub then: AfterJob,
}

/// Per core: shared parts of the process, and the core's own view of the store.
///
/// The snapshot is the one that came with the last batch this core has processed. Requests and gateway read the
/// same one, so a client never sees an event that a following request does not know of.
pub struct State {
    pub config: Arc<Config>,
    pub store: Arc<Store>,
    pub run: Arc<RunState>,
    pub limiter: Arc<Limiter>,
    /// The server's own keys.
    pub keys: Arc<Keyring>,
    /// This core's counters.
    pub metrics: Arc<CoreMetrics>,
    /// The counters of all of the process.
    pub registry: Arc<Registry>,
    /// How long requests have taken lately, on all cores.
    pub times: Arc<Times>,
    /// Which core it is.
    core: usize,
    pub cors: Cors,
    pub proxies: TrustedProxies,
    /// Who says first, by the PROXY protocol, for whom it connects.
    pub introducers: Networks,
    pub versions: Versions,
    pub pages: Pages,
    /// The documentation, made once for all cores.
    pub site: Arc<Site>,
    /// When the process started.
    pub started: Turn,
    snapshot: RefCell<Rc<Snapshot>>,
    /// Events that are not part of the log (typing); the core hands them on after the handler.
    ephemeral: RefCell<Vec<Event>>,
    /// What requests leave to be done after their answers.
    afterwork: RefCell<Vec<Afterwork>>,
    pub touches: RefCell<Touches>,
    /// The gate in front of the API.
    pub gate: Gate,
    /// The door of the administrators' API.
    pub door: Door,
    /// Whether there is maintenance, and which sessions are over.
    pub closure: Closure,
    /// Addresses that are not served.
    pub blocked: Blocked,
    /// Names that nobody may take.
    pub new_names: NewNames,
    /// Answers that clients have not read yet.
    pub unsent: Unsent,
    /// Files that were asked for lately.
    pub recent_files: RecentFiles,
    /// Rules of automod that are ready.
    pub automod: Known,
    /// The index of messages.
    pub search: Arc<Search>,
    /// Read once per turn.
    now: Cell<Turn>,
    /// When a handler, or a part of one, was last done, by the monotonic clock.
    handled_ns: Cell<u64>,
    /// Wakes the core's task for what a request has left to it.
    wake: Arc<Wake>,
    /// Whether a user is there; the gateway's shared table.
    liveness: Box<dyn Fn(UserId) -> Liveness>,
}

impl State {
    /// `now` is also the start of the process; `core`, which of those of `registry` and `times` it is.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        config: Arc<Config>,
        store: Arc<Store>,
        run: Arc<RunState>,
        limiter: Arc<Limiter>,
        keys: Arc<Keyring>,
        registry: Arc<Registry>,
        (core, times): (usize, Arc<Times>),
        now: Turn,
        wake: Arc<Wake>,
        liveness: Box<dyn Fn(UserId) -> Liveness>,
        automod: Arc<Shared>,
        search: Arc<Search>,
        site: Arc<Site>,
    ) -> State {
        let versions = Versions::new(
            &config.application.version,
            &config.versioning.min_supported_version,
            &config.versioning.update_url,
        );
        State {
            cors: Cors::new(&config.api),
            proxies: TrustedProxies::new(&config.api),
            introducers: Networks::new(&config.http.proxy_protocol_from),
            pages: Pages::new(&config, &versions),
            snapshot: RefCell::new(Rc::new(store.snapshot())),
            ephemeral: RefCell::default(),
            afterwork: RefCell::default(),
            touches: RefCell::default(),
            gate: Gate::default(),
            door: Door::new(&config),
            closure: Closure::default(),
            blocked: Blocked::default(),
            new_names: NewNames::default(),
            unsent: Unsent::default(),
            recent_files: RecentFiles::default(),
            automod: Known::new(automod),
            search,
            site,
            started: now,
            now: Cell::new(now),
            handled_ns: Cell::default(),
            config,
            store,
            run,
            limiter,
            keys,
            metrics: registry.cores[core].clone(),
            registry,
            times,
            core,
            versions,
            wake,
            liveness,
        }
    }

    /// The state after the last batch this core has processed.
    pub fn snapshot(&self) -> Rc<Snapshot> {
        let mut snapshot = self.snapshot.borrow_mut();
        if let Some(unused) = Rc::get_mut(&mut snapshot) {
            unused.trim();
        }
        snapshot.clone()
    }

    pub fn set_snapshot(&self, snapshot: Snapshot) {
        *self.snapshot.borrow_mut() = Rc::new(snapshot);
        self.gate.forget();
        self.blocked.look_again();
        self.closure.forget();
    }

    /// All clocks of this turn.
    pub fn now(&self) -> Turn {
        self.now.get()
    }

    /// The moment of this turn by wall and steady time.
    pub fn moment(&self) -> Now {
        let turn = self.now.get();
        Now { unix_ms: turn.unix_ms, steady_ms: turn.steady_ms }
    }

    /// Milliseconds of steady time in this turn: what is measured or judged goes by it.
    pub fn now_ms(&self) -> u64 {
        self.now.get().steady_ms
    }

    pub fn set_now(&self, now: Turn) {
        self.now.set(now);
    }

    /// A handler, or a part of one, is done.
    pub fn set_handled(&self, now_ns: u64) {
        self.handled_ns.set(now_ns);
    }

    /// A request that was taken up at `begun_ns` is answered: when its handler was last done.
    pub fn answered(&self, route: Option<&Route>, status: u16, begun_ns: u64) {
        let took_ns = self.handled_ns.get().saturating_sub(begun_ns);
        self.core_times().record(route, status, took_ns);
        self.metrics.operation(row_of(route), took_ns);
    }

    /// How long requests have taken lately on this core.
    pub fn core_times(&self) -> &CoreTimes {
        self.times.of(self.core)
    }

    /// What this core is to have noted of how long requests have taken; `is_end`: nothing comes after it.
    pub fn take_times(&self, is_end: bool) -> Option<Command> {
        let resets = times::resets(self.snapshot().read());
        let retention_ms = retention_ms(&self.config);
        let note = self.core_times().take_note(self.now().unix_ms, resets, is_end, retention_ms)?;
        self.config.telemetry.enabled.then(|| Command::new(UserId(0), note.into()))
    }

    pub fn liveness(&self, user_id: UserId) -> Liveness {
        (self.liveness)(user_id)
    }

    /// Sends an event that is not stored, to all cores, after the events of everything answered so far.
    pub fn emit(&self, event: Event) {
        self.ephemeral.borrow_mut().push(event);
        self.wake.signal();
    }

    pub fn take_ephemeral(&self) -> Vec<Event> {
        std::mem::take(&mut self.ephemeral.borrow_mut())
    }

    /// Has something done after the answer. It is lost when the server stops before it was done.
    pub fn leave(&self, work: Afterwork) {
        self.afterwork.borrow_mut().push(work);
        self.wake.signal();
    }

    pub fn take_afterwork(&self) -> Vec<Afterwork> {
        std::mem::take(&mut self.afterwork.borrow_mut())
    }
}
