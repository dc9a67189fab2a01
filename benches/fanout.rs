//! The gateway of one core without sockets: sessions of one server that all get one message; time per delivery, from
//! the event to the frame in the send buffer. And the memory of identified sessions, printed before the times.
//!
//! Reference: a delivery costs 3.8 µs in the kernel; what is measured here should stay below a tenth of that also
//! when the sessions no longer fit the caches. Memory: below 400 bytes beside the 4 KiB of the kernel for a socket.
//!
//! `PLEXICHAT_BENCH_SESSIONS=1000000` measures the memory of so many sessions instead of 100,000.

use std::alloc::{GlobalAlloc, Layout};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use plexichat::config::Config;
use plexichat::domain::credential::hash_secret;
use plexichat::domain::{Audience, Output};
use plexichat::gateway::{Cx, FILL_LEN_MAX, Facts, Filled, Hub, Liveboard};
use plexichat::id::{ChannelId, RoleId, ServerId, TokenId, UserId};
use plexichat::runtime::shared_map::shared_map;
use plexichat::store::records::{Channel, Member, Nil, Role, Server, Token, User, channel_kind};
use plexichat::store::tables::{CHANNELS, MEMBERS, ROLES, SERVERS, TOKENS, USER_SERVERS, USERS};
use plexichat::store::{Snapshot, Store, Sync};
use plexichat::wire::websocket::{Data, OpCode, write_frame_header};
use tempfile::TempDir;

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

/// Counts the bytes that are in use, as asked for (without the allocator's rounding).
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to mimalloc as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        IN_USE.fetch_add(len, Relaxed);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.realloc(start, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EVERYONE: RoleId = RoleId(3);

/// Users 1..=n with one login and one session each, spread over servers of `members` members.
struct Gateway {
    hub: Hub,
    live: Liveboard,
    snapshot: Snapshot,
    ids: Vec<u32>,
    dirty: Vec<u32>,
    buffer: Vec<u8>,
    _store: (TempDir, Store),
}

fn server_of(user: u64, members: u64) -> ServerId {
    ServerId((1 << 40) + (user - 1) / members)
}

/// Records as the rules would write them, as far as sessions look at them.
fn prepare(store: &Store, count: u64, members: u64, channel: &Channel) {
    let mut tx = store.begin().expect("nobody else writes");
    let bits = plexichat::domain::permission::EVERYONE_DEFAULT;
    for user in 1..=count {
        let server_id = server_of(user, members);
        if (user - 1) % members == 0 {
            let server = Server {
                name: "Bench".into(),
                owner_id: UserId(user),
                everyone_role_id: EVERYONE,
                ..Server::default()
            };
            tx.put(SERVERS, server_id, &server);
            tx.put(ROLES, (server_id, EVERYONE), &Role { bits, ..Role::default() });
            tx.put(CHANNELS, ChannelId(server_id.0), &Channel { server_id, ..channel.clone() });
        }
        let user_id = UserId(user);
        tx.put(USERS, user_id, &User { username: format!("user{user}"), ..User::default() });
        let secret_hash = hash_secret(world::SECRET);
        let token = Token { user_id, secret_hash, expires_at: u64::MAX, ..Token::default() };
        tx.put(TOKENS, TokenId(user), &token);
        tx.put(MEMBERS, (server_id, user_id), &Member::default());
        tx.put(USER_SERVERS, (user_id, server_id), &Nil {});
    }
    tx.commit().expect("there is room");
}

impl Gateway {
    fn new(count: u64, members: u64) -> Gateway {
        let (folder, store) = world::temporary_store(Sync::Interval);
        prepare(&store, count, members, &Channel { kind: channel_kind::TEXT, ..Channel::default() });
        let (writer, reader) = shared_map(1);
        // What a client keeps unconfirmed between two heartbeats.
        let config = Config { websocket_resume_buffer_events: 128, ..Config::default() };
        let hub = Hub::new(0, 1, &config, writer, 42, 0);
        Gateway {
            hub,
            live: Liveboard(vec![reader]),
            snapshot: store.snapshot(),
            ids: Vec::new(),
            dirty: Vec::new(),
            buffer: Vec::with_capacity(FILL_LEN_MAX),
            _store: (folder, store),
        }
    }

    fn with_cx<T>(&mut self, work: impl FnOnce(&Cx<'_>, &mut Hub) -> T) -> T {
        let cx = Cx {
            read: self.snapshot.read(),
            unix_ms: world::START_MS,
            mono_ms: 1_000,
            allow: &|_| true,
            random: &|| [7; 12],
            live: &self.live,
        };
        work(&cx, &mut self.hub)
    }

    /// HELLO, IDENTIFY, READY.
    fn identify(&mut self, user: u64) {
        let ip = Ipv4Addr::LOCALHOST.into();
        let facts = Facts { host: "x".into(), secure: false, ip, version_unknown: false, ticket: 0 };
        let secret = world::SECRET;
        let text = format!(r#"{{"op":2,"d":{{"token":"{user}.{secret}","properties":{{}}}}}}"#);
        let mut frame = Vec::new();
        write_frame_header(&mut frame, OpCode::Data(Data::Text), text.len());
        frame[1] |= 0x80;
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        let id = self.with_cx(|cx, hub| {
            let id = hub.open(cx, -1, facts);
            hub.receive(cx, id, &mut frame);
            id
        });
        self.ids.push(id);
        self.flush();
    }

    /// As at the end of a turn, but for the sockets. Returns the number of sends there would have been.
    fn flush(&mut self) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut buffer = std::mem::take(&mut self.buffer);
        self.with_cx(|cx, hub| {
            hub.take_dirty(cx, &mut dirty);
            for &id in &dirty {
                buffer.clear();
                assert_eq!(hub.fill(id, &mut buffer, FILL_LEN_MAX), Filled::All);
                hub.sent(cx, id, None);
            }
        });
        (self.dirty, self.buffer) = (dirty, buffer);
        self.dirty.len()
    }

    fn time_event(&mut self, output: &Output) -> Duration {
        let begun = Instant::now();
        self.with_cx(|cx, hub| hub.apply(cx, std::slice::from_ref(output)));
        let sends = self.flush();
        let elapsed = begun.elapsed();
        assert_eq!(sends, self.ids.len());
        elapsed
    }
}

/// A message of 300 bytes as the rules make it known, in the only server.
fn message(members: u64) -> Output {
    let world = world::World::new(1, 0);
    let Output::Event(mut event) = world.message_output() else { unreachable!("a message makes an event") };
    let server_id = server_of(1, members);
    let Audience::Channel { all_of, .. } = event.audience else { unreachable!("it goes to a channel") };
    event.audience = Audience::Channel { server_id, channel_id: ChannelId(server_id.0), all_of };
    Output::Event(event)
}

fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out, per delivery");
    let counts: &[u64] = if world::is_test() { &[1_000] } else { &[1_000, 10_000, 100_000] };
    for &count in counts {
        let mut gateway = Gateway::new(count, count);
        (1..=count).for_each(|user| gateway.identify(user));
        let output = message(count);
        group.bench_function(format!("{count} sessions"), |bencher| {
            world::per_part(bencher, count as usize, || gateway.time_event(&output));
        });
    }
    group.finish();
}

/// Anonymous resident memory; the store's pages are not part of it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

fn memory(_: &mut Criterion) {
    let asked = std::env::var("PLEXICHAT_BENCH_SESSIONS").ok().and_then(|text| text.parse().ok());
    let count: u64 = asked.unwrap_or(if world::is_test() { 1_000 } else { 100_000 });
    const MEMBERS: u64 = 1_000;
    let mut gateway = Gateway::new(count, MEMBERS);
    gateway.ids.reserve(count as usize);
    let before = (IN_USE.load(Relaxed), resident());
    let begun = Instant::now();
    (1..=count).for_each(|user| gateway.identify(user));
    let each = begun.elapsed() / count as u32;
    let (in_use, resident) = (IN_USE.load(Relaxed) - before.0, resident().saturating_sub(before.1));
    assert_eq!(gateway.hub.session_count() as u64, count);
    println!(
        "memory of {count} identified sessions in servers of {MEMBERS}: {} bytes each allocated, {} resident; \
         {each:?} per IDENTIFY\n",
        in_use as u64 / count,
        resident as u64 / count,
    );
}

criterion_group! { name = benches; config = world::config(); targets = memory, fanout }
criterion_main!(benches);
