//! The gateway of one core without sockets, for benches: a hub over a store whose records stand as the rules would
//! have written them, as far as sessions look at them.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plexichat::config::{Config, Websocket};
use plexichat::domain::identity::credential::hash_secret;
use plexichat::domain::permission::EVERYONE_DEFAULT;
use plexichat::domain::{Audience, Command, Event, EventName, Machine, Now, Op, Output, Reply, intent};
use plexichat::gateway::{ConnectionId, Cx, FILL_LEN_MAX, Facts, Filled, Hub, Liveboard};
use plexichat::id::{ChannelId, RoleId, ServerId, TokenId, UserId};
use plexichat::runtime::shared_map::{Writer, shared_map};
use plexichat::store::records::{Channel, Member, Nil, Role, Server, Token, User, channel_kind};
use plexichat::store::tables::{
    CHANNELS, MEMBERS, ROLES, SERVER_CHANNELS, SERVERS, TOKENS, USER_SERVERS, USERS,
};
use plexichat::store::{Snapshot, Store, Sync, Tx};
use plexichat::wire::websocket::{Data, OpCode, write_frame_header};
use tempfile::TempDir;

use super::{SECRET, START_MS, temporary_store};

pub const EVERYONE: RoleId = RoleId(3);
/// What a client without a word about intents gets, and everything there is.
pub const DEFAULT_INTENTS: u16 = intent::DEFAULT;
pub const ALL_INTENTS: u16 = 32_767;

/// Who is in which server. Users are 1..=n; each has one login.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Users with a login.
    pub users: u64,
    /// So many of them, one after the other, are in the same servers.
    pub members: u64,
    /// In how many.
    pub servers: u64,
    /// Further members of the first server, who never come.
    pub absent: u64,
    /// Every member has a role of his own, instead of none.
    pub roles_differ: bool,
}

impl Shape {
    /// `users` in servers of `members`, one each.
    pub fn new(users: u64, members: u64) -> Shape {
        Shape { users, members, servers: 1, absent: 0, roles_differ: false }
    }

    /// All in one server.
    pub fn one(users: u64) -> Shape {
        Shape::new(users, users)
    }

    /// The servers of a user.
    pub fn servers_of(&self, user: u64) -> impl Iterator<Item = ServerId> + use<> {
        let first = (1 << 40) + (user - 1) / self.members * self.servers;
        (first..first + self.servers).map(ServerId)
    }

    fn prepare(&self, store: &Store) {
        let mut tx = store.begin().expect("nobody else writes");
        for user in 1..=self.users {
            let secret_hash = hash_secret(SECRET);
            let token =
                Token { user_id: UserId(user), secret_hash, expires_at: u64::MAX, ..Token::default() };
            tx.put(TOKENS, TokenId(user), &token);
            self.put_user(&mut tx, user);
            let first = (user - 1) % self.members == 0;
            for server_id in self.servers_of(user) {
                if first {
                    self.put_server(&mut tx, server_id, UserId(user));
                }
                self.put_member(&mut tx, server_id, user);
            }
            // 400 users in 2,000 servers are more than one transaction takes.
            if tx.is_half_spent() {
                tx.commit().expect("there is room");
                tx = store.begin().expect("nobody else writes");
            }
        }
        for user in self.users + 1..=self.users + self.absent {
            self.put_user(&mut tx, user);
            self.put_member(&mut tx, SERVER, user);
        }
        tx.commit().expect("there is room");
    }

    fn put_user(&self, tx: &mut Tx<'_>, user: u64) {
        tx.put(USERS, UserId(user), &User { username: format!("user{user}"), ..User::default() });
    }

    fn put_server(&self, tx: &mut Tx<'_>, server_id: ServerId, owner_id: UserId) {
        let channel_id = ChannelId(server_id.0);
        let server = Server {
            name: "Bench".into(),
            owner_id,
            everyone_role_id: EVERYONE,
            default_channel_id: Some(channel_id),
            member_count: self.members.min(self.users) + self.absent,
            ..Server::default()
        };
        tx.put(SERVERS, server_id, &server);
        let everyone = Role { bits: EVERYONE_DEFAULT, is_default: true, ..Role::default() };
        tx.put(ROLES, (server_id, EVERYONE), &everyone);
        tx.put(SERVER_CHANNELS, (server_id, channel_id), &Nil {});
        let channel = Channel { server_id, kind: channel_kind::TEXT, ..Channel::default() };
        tx.put(CHANNELS, channel_id, &channel);
    }

    fn put_member(&self, tx: &mut Tx<'_>, server_id: ServerId, user: u64) {
        let roles = if self.roles_differ { vec![RoleId((1 << 41) + user)] } else { Vec::new() };
        // Not in the order of the ids: lists of members must sort.
        let joined_at = START_MS + user.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000;
        tx.put(MEMBERS, (server_id, UserId(user)), &Member { roles, joined_at, ..Member::default() });
        tx.put(USER_SERVERS, (UserId(user), server_id), &Nil {});
    }
}

/// The first server and its channel.
pub const SERVER: ServerId = ServerId(1 << 40);
pub const CHANNEL: ChannelId = ChannelId(1 << 40);

pub struct Gateway {
    pub hub: Hub,
    /// Connections in the order of identifying.
    pub ids: Vec<ConnectionId>,
    pub mono_ms: u64,
    stock: Arc<Stock>,
    snapshot: Snapshot,
    live: Liveboard,
    dirty: Vec<ConnectionId>,
    buffer: Vec<u8>,
}

/// The records, in a folder that goes with them.
pub struct Stock {
    store: Store,
    _folder: TempDir,
}

impl Stock {
    pub fn new(shape: Shape) -> Stock {
        let (folder, store) = temporary_store(Sync::Interval);
        shape.prepare(&store);
        Stock { store, _folder: folder }
    }
}

impl Gateway {
    /// `change` the configuration that is meant for benches: a client keeps 128 dispatches unconfirmed.
    pub fn new(shape: Shape, change: impl FnOnce(&mut Config)) -> Gateway {
        let (writer, reader) = shared_map(1);
        Gateway::on_core(0, 1, writer, Liveboard(vec![reader]), Arc::new(Stock::new(shape)), change)
    }

    /// One core of several over the same store.
    pub fn on_core(
        core: usize,
        core_count: usize,
        writer: Writer,
        live: Liveboard,
        stock: Arc<Stock>,
        change: impl FnOnce(&mut Config),
    ) -> Gateway {
        // What a client keeps unconfirmed between two heartbeats.
        let mut config = Config {
            websocket: Websocket { resume_buffer_events: 128, ..Websocket::default() },
            ..Config::default()
        };
        config.websocket.rate_limit_per_minute = 0;
        change(&mut config);
        Gateway {
            hub: Hub::new(core, core_count, &config.into(), writer, 42, 0),
            ids: Vec::new(),
            mono_ms: 1_000,
            snapshot: stock.store.snapshot(),
            stock,
            live,
            dirty: Vec::new(),
            buffer: Vec::with_capacity(FILL_LEN_MAX),
        }
    }

    pub fn with_cx<T>(&mut self, work: impl FnOnce(&Cx<'_>, &mut Hub) -> T) -> T {
        let random = std::cell::Cell::new(self.ids.len() as u64);
        let cx = Cx {
            read: self.snapshot.read(),
            unix_ms: START_MS + self.mono_ms,
            steady_ms: START_MS + self.mono_ms,
            mono_ms: self.mono_ms,
            allow: &|_| true,
            random: &|| {
                let mut bytes = [7; 12];
                bytes[4..].copy_from_slice(&random.replace(random.get() + 1).to_le_bytes());
                bytes
            },
            live: &self.live,
        };
        work(&cx, &mut self.hub)
    }

    /// HELLO, IDENTIFY, READY.
    pub fn identify(&mut self, user: u64) {
        self.identify_with(user, DEFAULT_INTENTS);
    }

    pub fn identify_with(&mut self, user: u64, intents: u16) {
        let id = self.open();
        self.say(
            id,
            &format!(r#"{{"op":2,"d":{{"token":"{user}.{SECRET}","intents":{intents},"properties":{{}}}}}}"#),
        );
        self.ids.push(id);
        self.flush();
    }

    /// A connection that was told HELLO.
    pub fn open(&mut self) -> ConnectionId {
        let ip = Ipv4Addr::LOCALHOST.into();
        let facts = Facts { host: "x".into(), secure: false, ip, version_unknown: false, is_counted: false };
        self.with_cx(|cx, hub| hub.open(cx, -1, facts))
    }

    /// A text from the client.
    pub fn say(&mut self, id: ConnectionId, text: &str) {
        let mut frame = client_frame(text.as_bytes());
        self.with_cx(|cx, hub| {
            hub.begin_reading(cx);
            hub.receive(cx, id, &mut frame);
        });
    }

    /// As at the end of a turn, but for the sockets. Returns the number of sends there would have been.
    pub fn flush(&mut self) -> usize {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut sends = 0;
        self.with_cx(|cx, hub| {
            hub.take_dirty(cx, usize::MAX, &mut dirty);
            for &id in &dirty {
                loop {
                    buffer.clear();
                    let filled = hub.fill(id, &mut buffer, FILL_LEN_MAX);
                    hub.sent(cx, id, None);
                    sends += 1;
                    match filled {
                        Filled::All => break,
                        Filled::More => {}
                        Filled::Lost => panic!("a dispatch was lost"),
                    }
                }
            }
        });
        (self.dirty, self.buffer) = (dirty, buffer);
        sends
    }

    /// The last bytes that went out, for looking into them.
    pub fn last_sent(&self) -> String {
        String::from_utf8_lossy(&self.buffer).into_owned()
    }

    /// One turn of time only; returns how long it took.
    pub fn tick(&mut self) -> Duration {
        let begun = Instant::now();
        self.with_cx(|cx, hub| hub.tick(cx));
        let elapsed = begun.elapsed();
        drop(self.hub.take_actions());
        elapsed
    }

    pub fn apply(&mut self, outputs: &[Output]) {
        self.with_cx(|cx, hub| hub.apply(cx, outputs));
    }

    /// Delivers and sends one event to everybody; the time from the event to the last frame in a send buffer.
    pub fn time_event(&mut self, output: &Output) -> Duration {
        let begun = Instant::now();
        self.apply(std::slice::from_ref(output));
        let sends = self.flush();
        let elapsed = begun.elapsed();
        assert_eq!(sends, self.ids.len());
        elapsed
    }

    /// A batch of one command, committed; the hub has the new snapshot. Returns what it makes known.
    pub fn commit(&mut self, actor: UserId, op: Op) -> (Reply, Vec<Output>) {
        let mut tx = self.stock.store.begin().expect("nobody else writes");
        let mut machine = Machine::begin(&mut tx, Now::at(START_MS + self.mono_ms), 0);
        let reply = machine.apply(&Command::new(actor, op)).expect("a valid command");
        let outputs = machine.finish();
        tx.commit().expect("there is room");
        self.snapshot = self.stock.store.snapshot();
        (reply, outputs)
    }

    /// Records written past the rules.
    pub fn write(&mut self, change: impl FnOnce(&mut Tx<'_>)) {
        let mut tx = self.stock.store.begin().expect("nobody else writes");
        change(&mut tx);
        tx.commit().expect("there is room");
        self.snapshot = self.stock.store.snapshot();
    }
}

/// A text frame as a client sends it. The key is 0: unmasking works as with any other, and leaves the frame as it is.
pub fn client_frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame_header(&mut frame, OpCode::Data(Data::Text), payload.len());
    frame[1] |= 0x80;
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// A message of 300 bytes as the rules make it known, in the first server.
pub fn message() -> Output {
    let world = super::World::new(1, 0);
    let Output::Event(mut event) = world.message_output() else { unreachable!("a message makes an event") };
    let Audience::Channel { all_of, .. } = event.audience else { unreachable!("it goes to a channel") };
    event.audience = Audience::Channel { server_id: SERVER, channel_id: CHANNEL, all_of };
    Output::Event(event)
}

/// An event of a few bytes for the members of a server.
pub fn small_event(server_id: ServerId) -> Output {
    let payload = br#"{"id":"1"}"#.to_vec();
    Output::Event(Event::new(EventName::GuildUpdate, intent::GUILDS, Audience::members(server_id), payload))
}
