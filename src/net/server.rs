//! Starting and stopping: store, writer, lanes, one thread per core, signals.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use monoio::io::{CancelHandle, Canceller};

use super::admission::Admission;
use super::alone::first_admin;
use super::clock::start_clock;
use super::connections::Connections;
use super::control;
use super::core::{Core, Parts};
use super::http::{self, Backend};
use super::listen::{self, listeners};
use super::pace::{Relay, Sleep};
use super::ring::Ring;
use super::rings;
use super::service::{self, Doors, Service};
use super::signals::Signals;
use super::{mail, outbox, rewrap};
use crate::api::State;
use crate::api::ctx::Desk;
use crate::api::limiter::{ENTRY_COUNT, Limiter};
use crate::api::rate_limit::new_limiter;
use crate::api::router::Router;
use crate::api::site::{self, Site};
use crate::api::state::{Afterwork, RunState};
use crate::api::times::{Times, operations};
use crate::config::{self, Config, Loaded, Source};
use crate::docs;
use crate::domain::contact::times;
use crate::domain::housekeeping::sweep::Sweep;
use crate::domain::identity::custody::is_lock_due;
use crate::domain::{Command, Refusal, Reply};
use crate::effect::password::Params;
use crate::effect::s3::S3;
use crate::effect::{self, Job, LANES, Lanes, automod, disk, lane};
use crate::gateway::protocol::CLOSES;
use crate::gateway::{Hub, Liveboard, Mail};
use crate::id::UserId;
use crate::limits::SWEEP_RECORDS_MAX;
use crate::log::{self, Port, Touches};
use crate::observe::{self, Names, Registry};
use crate::runtime::clock::Turn;
use crate::runtime::cpu::{self, lower_priority};
use crate::runtime::heap::give_back;
use crate::runtime::mailbox::{Endpoint, mesh_on};
use crate::runtime::shared_map::{Writer as LiveWriter, shared_map};
use crate::runtime::wake::Wake;
use crate::search::{self, Running, Search};
use crate::store::blobs::{Blobs, Folder, SHELF_COUNT};
use crate::store::closing;
use crate::store::keyring::{Keyring, Purpose};
use crate::store::{Options, Store, Sync, side};

/// Letters per pair of cores that may wait in a ring; more wait in the sender's backlog.
const MAIL_COUNT: usize = 4_096;
/// Commands per core that may wait for the writer.
const QUEUE_LEN_MAX: usize = 8_192;
/// How often timers, presence and time-outs are looked at when nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// Every so many ticks a core gives freed memory back, and the first of them pages of the data file: 3 s.
const GIVE_BACK_TICKS: u32 = 30;
/// Every so many ticks a core has it noted which access tokens were used: 1 s.
const NOTE_TICKS: u32 = 10;
/// How often the server looks for accounts to purge and other leftovers.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Everything a core thread is started with.
struct Seed {
    index: usize,
    cpu: Option<usize>,
    config: Arc<Config>,
    store: Arc<Store>,
    run: Arc<RunState>,
    limiter: Arc<Limiter>,
    keys: Arc<Keyring>,
    registry: Arc<Registry>,
    times: Arc<Times>,
    router: Arc<Router>,
    lanes: Arc<Lanes>,
    automod: Arc<automod::Shared>,
    search: Arc<Search>,
    site: Arc<Site>,
    admission: Arc<Admission>,
    port: Port,
    mailbox: Endpoint<Mail>,
    wake: Arc<Wake>,
    live: LiveWriter,
    board: Liveboard,
    secret: u32,
    started: Turn,
    smtp: Option<effect::mail::Settings>,
}

/// What there is to say of a server that is up.
pub struct Started<'a> {
    /// `application.environment`.
    pub environment: &'a str,
    /// Where REST and gateway listen, as bound.
    pub http: SocketAddr,
    /// `api.api_prefix`.
    pub api_prefix: &'a str,
    /// Whether the documentation is served.
    pub docs: bool,
    /// Where `/metrics` listens, unless it is off.
    pub metrics: Option<SocketAddr>,
    pub core_count: usize,
    /// Whether core threads are bound to their cores.
    pub pinned: bool,
    /// io_uring features in use, in the kernel's words: `SINGLE_ISSUER`.
    pub ring_features: &'a [&'a str],
    pub data: &'a Path,
    /// `store.sync`.
    pub sync: &'a str,
}

/// Runs the server until a signal stops it; `on_started` hears when it accepts connections.
///
/// # Errors
/// One sentence that says what is wrong and what to do.
pub fn serve(loaded: Loaded, on_started: impl FnOnce(&Started<'_>)) -> Result<(), String> {
    let by_default = |key: &str| matches!(loaded.source_of(key), Source::Default);
    let metrics_by_default = by_default("metrics.port") && by_default("metrics.host");
    let settings = site::settings(&loaded);
    let config = Arc::new(loaded.config);
    let signals = Signals::block();
    crate::wire::json::set_time_unit_ms(if config.api.timestamp_unit == "ms" { 1 } else { 1_000 });
    crate::domain::view::set_api_prefix(&config.api.api_prefix);
    let available = cpu::available().map_err(|e| format!("cannot read the list of cores: {e}"))?;
    let core_count = match config.runtime.cores {
        0 => available.len(),
        count => count as usize,
    };
    threads_can_be_started(&config, available.len(), core_count)?;
    let mut store = Store::open(&store_options(&config.store, core_count)).map_err(|e| e.to_string())?;
    let keys = store.unlock(config.messaging.encrypt_messages)?;
    store.keep_blobs_in(blobs(&config, store.path(), keys.clone())?);
    let store = Arc::new(store);
    start_clock(&store, config.runtime.any_clock)?;
    Params::of(&config.encryption_argon2)
        .check()
        .map_err(|e| format!("cannot start password hashing: {e}"))?;
    store.blobs().clear().map_err(|error| format!("cannot remove what a crash has left: {error}"))?;
    if let Some(path) = first_admin(&config, &store, &keys)? {
        tracing::info!(path, "the first administrator is made: his name and password stand in this file");
    }
    let registry = Arc::new(Registry::new(core_count, counted()));
    // Started before any thread is pinned, so that slow work roams over all cores.
    closing::start(|| lower_priority(19)).map_err(|e| format!("cannot start a thread: {e}"))?;
    let lanes = Lanes::start(&config, &registry.lanes).map_err(|e| format!("cannot start a thread: {e}"))?;
    let lanes = Arc::new(lanes);
    effect::image::frame::warn_if_missing(&config.media.thumbnailer);
    let listening = listening(&config, core_count)?;
    let address = listening[0].sockets[0].local_addr().map_err(|e| e.to_string())?;
    let origin = loaded.origin;
    let site = Arc::new(Site { settings, ..docs::site(&config) });
    let seeds = seeds(&config, &origin, &store, &keys, &registry, &lanes, &available, site)?;
    let (seeds, writer, run, wakes, indexing) = seeds;
    let metrics = match config.metrics_address() {
        Some(address) => match observe::serve_metrics(address, registry.clone()) {
            Ok(bound) => Some(bound),
            // A second server on the machine: nobody asked for this port, so nobody misses it.
            Err(error) if metrics_by_default => {
                let why = listen::explain(address, "metrics.host", "metrics.port", &error);
                tracing::warn!("metrics are off: {why}");
                None
            }
            Err(error) => {
                let why = listen::explain(address, "metrics.host", "metrics.port", &error);
                return Err(format!("no metrics: {why}"));
            }
        },
        None => None,
    };
    let (ready, started) = std::sync::mpsc::channel();
    let mut threads = Vec::new();
    for (seed, listening) in seeds.into_iter().zip(listening) {
        let ready = ready.clone();
        let name = format!("core-{}", seed.index);
        let thread = std::thread::Builder::new().name(name).spawn(move || run_core(seed, listening, &ready));
        threads.push(thread.map_err(|e| format!("cannot start a core thread: {e}"))?);
    }
    for _ in 0..core_count {
        started.recv().map_err(|_| "a core thread ended while starting".to_string())??;
    }
    on_started(&Started {
        environment: &config.application.environment,
        http: address,
        api_prefix: &config.api.api_prefix,
        docs: config.docs.enabled,
        metrics,
        core_count,
        pinned: config.runtime.pin,
        ring_features: &["SINGLE_ISSUER", "DEFER_TASKRUN", "TASKRUN_FLAG", "multishot poll"],
        data: store.path(),
        sync: &config.store.sync,
    });
    let mut service = Service::of_environment();
    service.is_ready(&format!("Serves at {address}"));
    loop {
        match signals.wait(service.pause()) {
            None => service.sign_of_life(&registry),
            Some(libc::SIGHUP) => {
                service.reloads();
                if let Err(problems) = effect::reload::reload(&origin) {
                    tracing::warn!(%problems, "the configuration is left as it is");
                }
                service.is_ready(&format!("Serves at {address}"));
            }
            Some(_) => break,
        }
    }
    service.stops();
    tracing::info!("shutting down");
    run.begin_shutdown();
    wakes.iter().for_each(|wake| wake.signal());
    signals.exit_on_next(service);
    for thread in threads {
        thread.join().map_err(|_| "a core thread panicked".to_string())?;
    }
    control::remove(store.path());
    writer.stop();
    // With what was changed last.
    drop(indexing);
    tracing::info!("stopped");
    Ok(())
}

/// What each core accepts from: sockets that a service manager has opened, or else its own.
fn listening(config: &Config, core_count: usize) -> Result<Vec<Doors>, String> {
    let given = service::sockets()?;
    if !given.is_empty() {
        tracing::info!(
            count = given.len(),
            "sockets were handed over: server.host and server.port count for nothing"
        );
        return service::spread(&given, core_count).map_err(|e| format!("cannot share a socket: {e}"));
    }
    let wanted = config.http_address();
    let own = listeners(wanted, core_count)
        .map_err(|error| listen::explain(wanted, "--host (server.host)", "--port (server.port)", &error))?;
    Ok(own.into_iter().map(|listener| Doors { sockets: vec![listener], outlive: false }).collect())
}

/// Where files of clients are kept.
/// The rows that counters are kept for.
fn counted() -> Names {
    Names {
        lanes: LANES.iter().map(|row| row.name).collect(),
        operations: operations(),
        closes: CLOSES.iter().map(|(_, close)| (close.code, close.reason)).collect(),
    }
}

fn blobs(config: &Config, store: &Path, keys: Arc<Keyring>) -> Result<Arc<dyn Blobs>, String> {
    let seals = config.media.encrypt_at_rest;
    Ok(match config.media.storage_backend.as_str() {
        "s3" => Arc::new(S3::open(&config.media_s3, store, keys, seals)?),
        _ => Arc::new(Folder::with_keys(store, keys, seals)),
    })
}

/// Whether the system lets this process have as many threads as it will have: cores, lanes, those of a hash, writer,
/// log and the like. They are started one by one, some when the first password comes, where a refusal ends the server.
fn threads_can_be_started(config: &Config, available: usize, core_count: usize) -> Result<(), String> {
    const OTHERS: usize = 11;
    let of_hashes = if config.encryption_argon2.parallelism > 1 { available } else { 0 };
    let count = core_count + lane::thread_count(config) + of_hashes + OTHERS;
    let gate = Arc::new(std::sync::Mutex::new(()));
    let closed = gate.lock().expect("nobody else has it");
    let mut threads = Vec::with_capacity(count);
    let mut refused = None;
    for _ in 0..count {
        let gate = gate.clone();
        match std::thread::Builder::new().spawn(move || drop(gate.lock())) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                refused = Some(error);
                break;
            }
        }
    }
    drop(closed);
    let started = threads.len();
    threads.into_iter().for_each(|thread| drop(thread.join()));
    match refused {
        None => Ok(()),
        Some(error) => Err(format!(
            "cannot start thread {} of {count} that the server needs: {error}; raise the limit of processes \
             (LimitNPROC= and TasksMax= in the systemd unit, --pids-limit for a container, `ulimit -u` for a login) or \
             of addresses (`ulimit -v unlimited`), or take fewer --cores",
            started + 1
        )),
    }
}

/// How the configuration opens the store.
pub fn store_options(store: &config::Store, core_count: usize) -> Options {
    Options {
        path: store.path.clone().into(),
        map_size: store.map_size as usize,
        sync: if store.sync == "interval" { Sync::Interval } else { Sync::Always },
        // A few for backups and jobs.
        readers_max: (core_count * log::SNAPSHOTS_PER_CORE + 64) as u32,
    }
}

/// Datacenter << 5 | worker of the ids given out.
pub(super) fn node(config: &Config) -> u16 {
    (config.encryption_snowflake.datacenter_id << 5 | config.encryption_snowflake.worker_id) as u16
}

type Prepared = (Vec<Seed>, log::Writer, Arc<RunState>, Vec<Arc<Wake>>, Option<Running>);

#[allow(clippy::too_many_arguments, reason = "everything that cores share")]
fn seeds(
    config: &Arc<Config>,
    origin: &Arc<config::Origin>,
    store: &Arc<Store>,
    keys: &Arc<Keyring>,
    registry: &Arc<Registry>,
    lanes: &Arc<Lanes>,
    available: &[usize],
    site: Arc<Site>,
) -> Result<Prepared, String> {
    let core_count = registry.cores.len();
    let started = Turn::now();
    let mut random = [0u8; 4];
    getrandom::fill(&mut random).map_err(|e| format!("the kernel gives no random bytes: {e}"))?;
    let secret = u32::from_le_bytes(random);
    let limiter = new_limiter(config, ENTRY_COUNT, started);
    let smtp = mail::settings(config)?;
    let wakes: Result<Vec<_>, _> = (0..core_count).map(|_| Wake::new().map(Arc::new)).collect();
    let wakes = wakes.map_err(|e| format!("cannot make an eventfd: {e}"))?;
    let options = log::Options {
        batch_max: config.store.batch_max as usize,
        sync_interval: (config.store.sync == "interval")
            .then(|| Duration::from_millis(config.store.sync_interval_ms)),
        node: node(config),
        queue_len_max: QUEUE_LEN_MAX,
    };
    let touches: Arc<Touches> = Arc::default();
    let writer = log::start(store.clone(), options, &wakes, registry.writer.clone(), touches.clone());
    let (ports, writer) = writer.map_err(|e| format!("cannot start the writer thread: {e}"))?;
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..core_count {
        let (writer, reader) = shared_map(1_024);
        writers.push(writer);
        readers.push(reader);
    }
    let run = Arc::new(RunState::new(writer.health(), origin.clone()));
    let router = Router::with_portal(&config.api.api_prefix, &config.admin_ui.path, &config.docs.path);
    let router = Arc::new(router);
    let admission = Admission::new(&config.http);
    let (search, indexing) = start_search(config, store, keys, registry, touches)?;
    let automod = automod::Shared::new(config.automod.rules_memory as usize);
    let times = Times::new(core_count, started.unix_ms, times::resets(store.snapshot().read()));
    let times = Arc::new(times);
    let mail = mesh_on(&wakes, MAIL_COUNT);
    let parts = ports.into_iter().zip(mail).zip(writers).enumerate();
    let seeds = parts.map(|(index, ((port, mailbox), live))| Seed {
        index,
        cpu: config.runtime.pin.then(|| available[index % available.len()]),
        config: config.clone(),
        store: store.clone(),
        run: run.clone(),
        limiter: limiter.clone(),
        keys: keys.clone(),
        registry: registry.clone(),
        times: times.clone(),
        router: router.clone(),
        lanes: lanes.clone(),
        automod: automod.clone(),
        search: search.clone(),
        site: site.clone(),
        admission: admission.clone(),
        port,
        mailbox,
        wake: wakes[index].clone(),
        live,
        board: Liveboard(readers.clone()),
        secret,
        started,
        smtp: smtp.clone(),
    });
    Ok((seeds.collect(), writer, run, wakes, indexing))
}

/// The index of messages, and the threads that keep it when it is wanted; without it none is left from before, as it would
/// not know what it has missed.
fn start_search(
    config: &Config,
    store: &Arc<Store>,
    keys: &Keyring,
    registry: &Registry,
    touches: Arc<Touches>,
) -> Result<(Arc<Search>, Option<Running>), String> {
    let fresh_age = Duration::from_millis(config.search.write_interval_ms);
    let settings = search::Settings { fresh_age, ..search::Settings::new(config.store.map_size as usize) };
    let key = keys.derive(Purpose::SearchTerms);
    let search = Search::new(store.clone(), &key, settings, registry.search.clone());
    if !config.search.enabled {
        let folder = store.path().join(search::FOLDER);
        side::remove(&folder).map_err(|error| format!("cannot remove {}: {error}", folder.display()))?;
        return Ok((search, None));
    }
    let running = search.start(touches).map_err(|error| format!("cannot start a thread: {error}"))?;
    Ok((search, Some(running)))
}

type Ready = Sender<Result<(), String>>;
type Runtime = monoio::Runtime<monoio::time::TimeDriver<monoio::IoUringDriver>>;

/// The runtime of a core.
///
/// # Errors
/// When the kernel lacks or forbids io_uring.
pub(super) fn new_runtime() -> std::io::Result<Runtime> {
    let mut builder = io_uring_monoio::IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun();
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(rings::HTTP_SUBMISSION_COUNT)
        .uring_builder(builder)
        .enable_timer()
        .build()
}

fn run_core(seed: Seed, doors: Doors, ready: &Ready) {
    if let Some(cpu) = seed.cpu
        && let Err(error) = cpu::pin(cpu)
    {
        tracing::warn!(cpu, %error, "the core thread is not pinned");
    }
    let (index, core_count) = (seed.index, seed.registry.cores.len());
    match rings::patiently(new_runtime) {
        Ok(mut runtime) => {
            let result = runtime.block_on(core_main(seed, doors, ready));
            if let Err(error) = result {
                let _ = ready.send(Err(error));
            }
        }
        Err(error) => {
            let _ = ready.send(Err(rings::explain(&error, index, core_count, memlock_limit())));
        }
    }
}

async fn core_main(seed: Seed, doors: Doors, ready: &Ready) -> Result<(), String> {
    use std::os::fd::AsFd;
    let listening = doors.sockets.into_iter().map(monoio::net::TcpListener::from_std);
    let listening = listening.collect::<io::Result<Vec<_>>>().map_err(|e| e.to_string())?;
    let core_count = seed.registry.cores.len();
    let ring = rings::patiently(|| Ring::new(seed.wake.as_fd()));
    let ring = ring.map_err(|e| rings::explain(&e, seed.index, core_count, memlock_limit()))?;
    let sleep = Sleep::new(&seed.wake).map_err(|e| format!("cannot watch an eventfd: {e}"))?;
    let relay = Relay::new().map_err(|e| format!("cannot make an eventfd: {e}"))?;
    let (index, admission, smtp) = (seed.index, seed.admission.clone(), seed.smtp.clone());
    let core = Rc::new(build(seed, ring));
    let started = core.state.started.unix_ms;
    let metrics = core.state.metrics.clone();
    let connections =
        Connections::new(index, started, &core.state.config.http, admission, metrics, core.share.clone());
    let mut accepting = doors.outlive.then(Canceller::new);
    for listening in listening {
        let stop = accepting.as_ref().map(Canceller::handle);
        monoio::spawn(accept(listening, stop, core.clone(), connections.clone()));
    }
    monoio::spawn(tick(index, core.clone(), connections.clone()));
    if index == 0 {
        monoio::spawn(sweep(core.clone()));
        monoio::spawn(outbox::run(core.clone()));
        monoio::spawn(rewrap::run(core.clone()));
        if let Some(listener) = control::listen(core.state.store.path()) {
            monoio::spawn(control::run(core.clone(), listener));
        }
        monoio::spawn(mail::run(core.clone(), smtp));
    }
    let _ = ready.send(Ok(()));
    while !core.is_finished(|| connections.is_busy()) {
        core.turn();
        // Those who come while the server stops are left to the one that listens after it.
        if accepting.is_some() && core.state.run.is_shutting_down() {
            accepting.take().map(Canceller::cancel);
        }
        core.state
            .take_afterwork()
            .into_iter()
            .for_each(|work| drop(monoio::spawn(do_after(core.clone(), work))));
        core.wake.arm();
        if core.has_work() {
            core.wake.disarm_shared();
            relay.pass(&core.share).await;
        } else {
            sleep.sleep().await;
            core.wake.disarm_shared();
        }
    }
    // Of requests that were answered last.
    note_times(&core);
    Ok(())
}

/// RLIMIT_MEMLOCK, unless there is none.
fn memlock_limit() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    (result == 0 && limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

fn build(seed: Seed, ring: Ring) -> Core {
    seed.registry.cores[seed.index].thread.attach();
    let board = seed.board.clone();
    let core_count = seed.mailbox.count();
    let hub =
        Hub::new(seed.index, core_count, &seed.config, seed.live, seed.secret, Turn::now().monotonic_ms);
    let liveness = Box::new(move |user_id: UserId| board.get(user_id));
    let state = State::new(
        seed.config,
        seed.store,
        seed.run,
        seed.limiter,
        seed.keys,
        seed.registry,
        (seed.index, seed.times),
        seed.started,
        seed.wake.clone(),
        liveness,
        seed.automod,
        seed.search,
        seed.site,
    );
    Core::new(Parts {
        index: seed.index,
        state,
        router: seed.router,
        hub,
        ring,
        port: seed.port,
        mailbox: seed.mailbox,
        wake: seed.wake,
        lanes: seed.lanes,
        board: seed.board,
        admission: seed.admission,
    })
}

/// Does what a request has left behind.
async fn do_after(core: Rc<Core>, work: Afterwork) {
    let answer = core.effect(work.job).await;
    if let Some(command) = (work.then)(&core.state, answer) {
        // Refused, it has nothing to do any more.
        let _ = core.submit(command).await;
    }
}

/// `stop`: what ends it.
async fn accept(
    listening: monoio::net::TcpListener,
    stop: Option<CancelHandle>,
    core: Rc<Core>,
    connections: Rc<Connections>,
) {
    let mut is_told = false;
    loop {
        connections.share.take().await;
        let accepted = match &stop {
            Some(stop) => listening.cancelable_accept(stop.clone()).await,
            None => listening.accept().await,
        };
        match accepted {
            Ok((stream, peer)) => {
                is_told = false;
                monoio::spawn(http::serve(stream, peer, core.clone(), connections.clone()));
            }
            Err(_) if stop.is_some() && core.state.run.is_shutting_down() => return,
            Err(error) => {
                // Out of descriptors or memory: those who are connected go on, newcomers wait in the backlog.
                if !std::mem::replace(&mut is_told, true) {
                    tracing::warn!(%error, "cannot accept connections; raise the open-file limit (`plexichat check`)");
                }
                monoio::time::sleep(TICK).await;
            }
        }
    }
}

/// Lets time pass for the gateway and for HTTP connections.
async fn tick(index: usize, core: Rc<Core>, connections: Rc<Connections>) {
    for count in 1u32.. {
        monoio::time::sleep(TICK).await;
        core.turn();
        connections.sweep(&core.state, core.state.now().monotonic_ms);
        if (count.is_multiple_of(NOTE_TICKS) || core.state.run.is_shutting_down())
            && let Some(note) = core.state.gate.take_note()
        {
            core.submit_and_forget(note);
        }
        note_times(&core);
        // One core is enough: a lock ends for all.
        if index == 0
            && count.is_multiple_of(NOTE_TICKS)
            && is_lock_due(core.state.snapshot().read(), core.state.now_ms())
        {
            core.submit_and_forget(Command::new(UserId(0), Sweep { records_max: SWEEP_RECORDS_MAX }.into()));
        }
        if count.is_multiple_of(GIVE_BACK_TICKS) {
            give_back();
            core.state.recent_files.forget_idle(core.state.now_ms());
            // One core is enough: the mapping is the process's.
            if index == 0 {
                core.state.store.release();
            }
        }
        if core.state.run.is_shutting_down() {
            connections.close_idle(&core.state);
            // The core's loop sees only when it is awake that it may end, and that time is up.
            core.wake.signal();
        }
    }
}

/// Has it noted how long requests took in the span that is over; when the server stops, also in the one that is not.
fn note_times(core: &Core) {
    if let Some(note) = core.state.take_times(core.state.run.is_shutting_down()) {
        core.submit_and_forget(note);
    }
}

/// Housekeeping, in small steps between which others get their turn.
async fn sweep(core: Rc<Core>) {
    let (mut told, mut shelf) = (false, 0);
    loop {
        monoio::time::sleep(SWEEP_INTERVAL).await;
        let command = || Command::new(UserId(0), Sweep { records_max: SWEEP_RECORDS_MAX }.into());
        let mut reply = core.submit(command()).await;
        while let Ok(Reply::Count(1..)) = reply {
            reply = core.submit(command()).await;
        }
        collect_blobs(&core, shelf).await;
        shelf = (shelf + 1) % SHELF_COUNT;
        let is_damaged = reply == Err(Refusal::StoreDamaged.into());
        if is_damaged && !told {
            tracing::error!(
                "nothing that has run out is removed any more, as a record among it is damaged: stop the server, see \
                 `plexichat verify`, and put the last sound backup in place with `plexichat restore FOLDER`"
            );
        }
        told = is_damaged;
    }
}

/// Removes files of one shelf that no record names: all of them in 43 minutes.
async fn collect_blobs(core: &Core, shelf: u16) {
    let source = effect::Source::new(Ipv4Addr::UNSPECIFIED.into(), 0);
    let collect = disk::Collect { store: core.state.store.clone(), shelf };
    // Without room in the lane it is done in the next round.
    let Ok(answer) = core.effect(Job::new(source, collect)).await else { return };
    match answer.downcast::<io::Result<u64>>().map(|collected| *collected) {
        Ok(Ok(0)) | Err(_) => {}
        Ok(Ok(count)) => tracing::debug!(count, "files that nothing names were removed"),
        Ok(Err(error)) => tracing::warn!(%error, "files that nothing names cannot be removed"),
    }
}
