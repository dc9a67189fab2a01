//! The server's outside: time, store and log, cores with their mailboxes, sockets, and what clients do.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fastrand::Rng;
use plexichat::config::{Config, Websocket};
use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::community::channel::{ChannelCreate, ChannelDelete};
use plexichat::domain::community::invite::{InviteCreate, InviteUse};
use plexichat::domain::community::member::{MemberKick, MemberLeave, MemberRoleAdd, MemberRoleRemove};
use plexichat::domain::community::role::{RoleCreate, RoleEdit};
use plexichat::domain::community::server::{ServerCreate, ServerDelete};
use plexichat::domain::identity::account::{Email, Entry, Register};
use plexichat::domain::identity::credential::{Secret, hash_secret};
use plexichat::domain::identity::token::{NewToken, TokenCreate, TokenRevoke};
use plexichat::domain::permission::{CHANNELS_VIEW, EVERYONE_DEFAULT, NAMES};
use plexichat::domain::social::relationship::{FriendAccept, FriendRequest, RelationshipRemove};
use plexichat::domain::{
    Change, Command, Machine, Now, Op, Output, Reply, Result, Revocation, community, identity,
};
use plexichat::gateway::{Action, Ask, ConnectionId, Cx, FILL_LEN_MAX, Facts, Filled, Hub, Liveboard, Mail};
use plexichat::id::{ChannelId, RoleId, ServerId, TokenId, UserId};
use plexichat::runtime::shared_map::shared_map;
use plexichat::store::records::{Grant, Override, channel_kind};
use plexichat::store::tables::{OVERRIDES, SERVERS};
use plexichat::store::{Options, Snapshot, Store, Sync};
use plexichat::wire::json::{self, Value};

mod log;
mod peers;

use super::client::{Client, Frame, Kind, State, frame};
use super::model::{Around, Members, Session, expect};

const START_MS: u64 = 1_800_000_000_000;
/// Letters are under way for so long at most.
const MAIL_DELAY_MS: u64 = 400;
const STEPS: usize = 2_500;

struct Core {
    hub: Hub,
    snapshot: Snapshot,
    members: Members,
    deliveries: VecDeque<(Arc<Vec<Output>>, Snapshot)>,
    /// Per sender, in order; with the time until which it must have arrived.
    inbox: Vec<VecDeque<(u64, Mail)>>,
    turned_at: u64,
}

/// One TCP connection. Both directions are byte streams.
struct Socket {
    /// Core and connection; `None` while it is on its way or shut by the server.
    place: Option<(usize, ConnectionId)>,
    client: usize,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What the kernel keeps unread before it takes no more.
    room: usize,
    wants_write: bool,
    /// The client has ended it.
    dropped: bool,
    /// The server has ended it.
    shut: bool,
}

struct User {
    id: UserId,
    token: (TokenId, String),
    online: bool,
    /// Clients that have a session, as the clients know.
    left_at: u64,
}

struct Place {
    id: ServerId,
    owner: usize,
    everyone: RoleId,
    role: Option<RoleId>,
    channels: Vec<ChannelId>,
    invite: String,
}

pub struct World {
    rng: Rng,
    now: u64,
    folder: tempfile::TempDir,
    store: Arc<Store>,
    cores: Vec<Core>,
    board: Liveboard,
    sockets: Vec<Socket>,
    clients: Vec<Client>,
    users: Vec<User>,
    places: Vec<Place>,
    sessions: BTreeMap<String, Session>,
    queue: VecDeque<Command>,
    /// Random bytes handed to a hub: the sessions that began in the call.
    begun: RefCell<Vec<[u8; 12]>>,
    random: RefCell<Rng>,
    secret_count: u64,
    config: Arc<Config>,
    ending: bool,
    /// How often what happened, so that a run that tests nothing is noticed.
    counts: Counts,
}

pub type Counts = BTreeMap<String, usize>;

impl World {
    pub fn new(seed: u64) -> World {
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            path: folder.path().into(),
            map_size: 1 << 28,
            sync: Sync::Interval,
            readers_max: 4_000,
        };
        let store = Arc::new(Store::open(&options).unwrap());
        let config = Config {
            websocket: Websocket {
                rate_limit_per_minute: 0,
                max_connections_per_user: 3,
                resume_buffer_events: if rng.u8(0..3) == 0 { 40 } else { 1_000 },
                send_queue_events: if rng.u8(0..3) == 0 { 30 } else { 512 },
                members_chunk_size: 2,
                session_timeout_ms: 30_000,
                ..Websocket::default()
            },
            ..Config::default()
        }
        .into();
        let count = rng.usize(1..4);
        let (writers, readers): (Vec<_>, Vec<_>) = (0..count).map(|_| shared_map(16)).unzip();
        let cores = writers.into_iter().enumerate().map(|(index, live)| Core {
            hub: Hub::new(index, count, &config, live, 0xabcd_1234, 1_000),
            snapshot: store.snapshot(),
            members: Members::default(),
            deliveries: VecDeque::new(),
            inbox: (0..count).map(|_| VecDeque::new()).collect(),
            turned_at: 0,
        });
        let cores = cores.collect();
        let mut world = World {
            random: RefCell::new(rng.fork()),
            rng,
            now: 1_000,
            folder,
            store,
            cores,
            board: Liveboard(readers),
            sockets: Vec::new(),
            clients: Vec::new(),
            users: Vec::new(),
            places: Vec::new(),
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            begun: RefCell::default(),
            secret_count: 0,
            config,
            ending: false,
            counts: Counts::new(),
        };
        world.set_up();
        world
    }

    fn set_up(&mut self) {
        for index in 0..6 {
            let token = self.new_token();
            let op = Register {
                username: format!("user{index}"),
                email: email(format!("user{index}@example.org")),
                phc: Secret("phc".into()),
                age_verified: true,
                tier: 0,
                badges: Vec::new(),
                entry: Entry::Session(token.0),
            };
            let Ok(Reply::Account(id, Some(token_id))) = self.apply(UserId(0), op.into()) else {
                panic!("no account")
            };
            let token = (token_id, format!("{token_id}.{}", token.1));
            self.users.push(User { id, token, online: false, left_at: 0 });
        }
        for owner in [0, 1] {
            self.make_server(owner);
            for user in 0..6 {
                if user != owner && self.rng.bool() {
                    let op = InviteUse { code: self.places[owner].invite.clone(), server_count_max: 100 };
                    self.apply(self.users[user].id, op.into()).unwrap();
                }
            }
        }
        for (user, kind) in [(0, Kind::Steady), (1, Kind::Flapper), (2, Kind::Steady)] {
            self.clients.push(Client::new(kind, user, 65_535));
        }
        for _ in 0..8 {
            let intents = if self.rng.bool() { 65_535 } else { self.rng.u16(..) };
            self.clients.push(Client::new(Kind::Wild, self.rng.usize(3..6), intents));
        }
    }

    fn make_server(&mut self, owner: usize) {
        let actor = self.users[owner].id;
        let op = ServerCreate { name: "place".into(), description: None, server_count_max: 100 };
        let Ok(Reply::Server(id)) = self.apply(actor, op.into()) else { panic!("no server") };
        let snapshot = self.store.snapshot();
        let server = snapshot.read().get(SERVERS, id).unwrap();
        let everyone = RoleId::from(&server.everyone_role_id);
        let general = ChannelId::from(server.default_channel_id.as_ref().unwrap());
        let grants = vec![Grant { name: "channels.view".into(), allowed: true }];
        let op = RoleCreate {
            server_id: id,
            name: "role".into(),
            color: None,
            permissions: grants,
            hoist: false,
            mentionable: false,
        };
        let Ok(Reply::Role(role)) = self.apply(actor, op.into()) else { panic!("no role") };
        let invite = format!("invite{}", id.0);
        let op = InviteCreate {
            channel_id: general,
            code: invite.clone(),
            max_age: 0,
            max_uses: 0,
            temporary: false,
        };
        self.apply(actor, op.into()).unwrap();
        self.places.push(Place { id, owner, everyone, role: Some(role), channels: vec![general], invite });
    }

    fn new_token(&mut self) -> (NewToken, String) {
        self.secret_count += 1;
        let secret = format!("secret{}", self.secret_count);
        let token = NewToken {
            secret_hash: Secret(hash_secret(&secret)),
            ip_address: "::1".into(),
            user_agent: None,
            life_ms: 1 << 40,
            count_max: 100,
        };
        (token, secret)
    }

    // ------------------------------------------------------------------------------------------- cores

    fn with_hub<T>(&mut self, core: usize, work: impl FnOnce(&mut Hub, &Cx<'_>) -> T) -> T {
        let (random, begun) = (&self.random, &self.begun);
        let random = || {
            let bytes: [u8; 12] = std::array::from_fn(|_| random.borrow_mut().u8(..));
            begun.borrow_mut().push(bytes);
            bytes
        };
        let allow = |_: Ask| true;
        let Core { hub, snapshot, .. } = &mut self.cores[core];
        let cx = Cx {
            read: snapshot.read(),
            unix_ms: START_MS + self.now,
            steady_ms: START_MS + self.now,
            mono_ms: self.now,
            allow: &allow,
            random: &random,
            live: &self.board,
        };
        work(hub, &cx)
    }

    /// One turn of a core, in the order of the real one.
    fn turn(&mut self, core: usize) {
        let mut letters = Vec::new();
        for from in 0..self.cores.len() {
            let inbox = &mut self.cores[core].inbox[from];
            let due = inbox.iter().filter(|(until, _)| *until <= self.now).count();
            let count = self.rng.usize(due..=inbox.len());
            letters.extend(inbox.drain(..count).map(|(_, mail)| mail));
        }
        while let Some((outputs, snapshot)) = self.cores[core].deliveries.pop_front() {
            let here = &mut self.cores[core];
            let around =
                Around { before: here.snapshot.read(), after: snapshot.read(), at: START_MS + self.now };
            let sessions = self.sessions.values_mut().filter(|session| session.core == core);
            expect(&mut here.members, sessions, around, &outputs);
            here.snapshot = snapshot;
            self.with_hub(core, |hub, cx| hub.apply(cx, &outputs));
        }
        for mail in letters {
            if let Mail::Adopt(adopted) = mail {
                let socket = adopted.fd() as usize;
                let id = self.with_hub(core, |hub, cx| hub.adopt(cx, *adopted));
                self.register(core, socket, id);
            } else {
                self.with_hub(core, |hub, cx| hub.on_mail(cx, mail));
            }
        }
        self.read_sockets(core);
        self.with_hub(core, |hub, cx| hub.tick(cx));
        self.flush(core);
        self.act(core);
        self.cores[core].turned_at = self.now;
        self.check_presence();
    }

    /// A socket has come to a core; sessions that began meanwhile are its client's.
    fn register(&mut self, core: usize, socket: usize, id: ConnectionId) {
        let there = self.cores[core].hub.fd(id) == Some(socket as i32);
        self.sockets[socket].place = there.then_some((core, id));
        self.sockets[socket].wants_write = false;
        self.note_begun(core, socket);
    }

    fn note_begun(&mut self, core: usize, socket: usize) {
        for bytes in self.begun.borrow_mut().drain(..) {
            let client = &self.clients[self.sockets[socket].client];
            let key = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let session = Session {
                user_id: self.users[client.user].id,
                intents: client.intents,
                core,
                expected: Vec::new(),
                received: Vec::new(),
                matched: 0,
                left: Default::default(),
                channels: Default::default(),
            };
            self.sessions.insert(key, session);
        }
    }

    fn read_sockets(&mut self, core: usize) {
        self.with_hub(core, |hub, cx| hub.begin_reading(cx));
        for index in 0..self.sockets.len() {
            let Some((at, id)) = self.sockets[index].place.filter(|(at, _)| *at == core) else { continue };
            if self.cores[at].hub.has_unread(id) {
                continue;
            }
            let socket = &mut self.sockets[index];
            let len =
                if self.rng.u8(0..3) == 0 { self.rng.usize(..=socket.to_server.len()) } else { usize::MAX };
            let mut bytes: Vec<u8> = socket.to_server.drain(..len.min(socket.to_server.len())).collect();
            if !bytes.is_empty() {
                self.with_hub(at, |hub, cx| hub.receive(cx, id, &mut bytes));
                self.note_begun(core, index);
            }
            let socket = &mut self.sockets[index];
            if socket.dropped
                && socket.to_server.is_empty()
                && self.cores[at].hub.fd(id) == Some(index as i32)
            {
                self.with_hub(at, |hub, cx| hub.lost(cx, id));
            } else if socket.wants_write && socket.room > 0 {
                socket.wants_write = false;
                self.cores[at].hub.writable(id);
            }
        }
    }

    fn flush(&mut self, core: usize) {
        let mut dirty = Vec::new();
        let session_count_max = if self.rng.bool() { usize::MAX } else { self.rng.usize(1..4) };
        self.with_hub(core, |hub, cx| hub.take_dirty(cx, session_count_max, &mut dirty));
        for id in dirty {
            loop {
                let len_max = if self.rng.bool() { FILL_LEN_MAX } else { self.rng.usize(1..2_000) };
                let mut buffer = Vec::new();
                let filled = self.cores[core].hub.fill(id, &mut buffer, len_max);
                let Some(fd) = self.cores[core].hub.fd(id) else { break };
                let socket = &mut self.sockets[fd as usize];
                if !buffer.is_empty() {
                    let taken = buffer.len().min(socket.room);
                    socket.to_client.extend_from_slice(&buffer[..taken]);
                    socket.room -= taken;
                    if taken < buffer.len() {
                        socket.wants_write = true;
                        *self.counts.entry("partial send".into()).or_default() += 1;
                        self.with_hub(core, |hub, cx| hub.sent(cx, id, Some(&buffer[taken..])));
                        break;
                    }
                    self.with_hub(core, |hub, cx| hub.sent(cx, id, None));
                }
                match filled {
                    Filled::All => break,
                    Filled::More => {}
                    Filled::Lost => {
                        self.with_hub(core, |hub, cx| hub.close_slow(cx, id));
                        break;
                    }
                }
            }
        }
    }

    fn act(&mut self, core: usize) {
        for action in self.cores[core].hub.take_actions() {
            match action {
                Action::Shut { fd, .. } => {
                    self.sockets[fd as usize].place = None;
                    self.sockets[fd as usize].shut = true;
                }
                Action::ShutWrite { fd } => self.sockets[fd as usize].shut = true,
                Action::Release { .. } => {}
                Action::Submit(command) => self.queue.push_back(command),
                Action::Mail { to, mail } => {
                    if let Mail::Adopt(adopted) = &mail {
                        self.sockets[adopted.fd() as usize].place = None;
                        *self.counts.entry("hand-over".into()).or_default() += 1;
                    }
                    let until = self.now + self.rng.u64(0..=MAIL_DELAY_MS);
                    self.cores[to].inbox[core].push_back((until, mail));
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------ checks

    fn check_told(&self, d: &str) {
        for user in [0, 1, 2] {
            let offline = d.contains(&format!("\"{}\"", self.users[user].id)) && d.contains("\"offline\"");
            assert!(!offline, "falsely offline: {d}");
        }
    }

    /// Who was there once and stays is never shown as gone.
    fn check_presence(&mut self) {
        for (index, user) in self.users.iter_mut().enumerate() {
            let online = self.board.get(user.id).online;
            if user.online && !online {
                assert!(index > 2 || self.ending, "user {index} was shown offline");
                user.left_at = self.now;
            }
            user.online = online;
        }
    }

    // --------------------------------------------------------------------------------------------- run

    pub fn run(mut self) -> Counts {
        for _ in 0..STEPS {
            self.step();
        }
        self.settle();
        self.check_all();
        // Connections whose session went to another one were told so.
        let told = |socket: &&Socket| {
            socket.to_client.windows(25).any(|bytes| bytes == b"Session resumed elsewhere")
        };
        let taken_over = self.sockets.iter().filter(told).count();
        *self.counts.entry("taken over".into()).or_default() += taken_over;
        self.part();
        self.counts
    }

    fn step(&mut self) {
        match self.rng.u8(0..100) {
            0..30 => self.random_command(),
            30..45 => self.take_batch(),
            45..90 => {
                for index in 0..self.clients.len() {
                    if self.clients[index].kind != Kind::Wild || self.rng.u8(0..4) == 0 {
                        self.client_step(index);
                    }
                }
            }
            _ => {}
        }
        self.now += match self.rng.u8(..) {
            0..3 => self.rng.u64(0..400),
            3..200 => self.rng.u64(0..60),
            _ => 0,
        };
        for core in 0..self.cores.len() {
            // A core is never away for long.
            if self.rng.u8(0..3) == 0 || self.now > self.cores[core].turned_at + 200 {
                self.turn(core);
            }
        }
    }

    /// Everybody comes back, reads everything and stays until nothing more happens.
    fn settle(&mut self) {
        self.ending = true;
        for client in &mut self.clients {
            client.back_at = 0;
        }
        // Every kernel has room for what is left to say.
        for round in 0..600 {
            while !self.queue.is_empty() {
                self.take_batch();
            }
            for index in 0..self.clients.len() {
                self.client_step(index);
            }
            self.now += 50;
            (0..self.cores.len()).for_each(|core| self.turn(core));
            // Those who are too many for a user throw each other out for ever.
            if round == 300 {
                self.thin_out();
            }
        }
    }

    fn thin_out(&mut self) {
        for user in 0..self.users.len() {
            let clients: Vec<usize> =
                (0..self.clients.len()).filter(|index| self.clients[*index].user == user).collect();
            for index in clients.into_iter().skip(self.config.websocket.max_connections_per_user as usize) {
                self.sockets[self.clients[index].socket].dropped = true;
                self.clients[index].state = State::Offline;
                self.clients[index].back_at = u64::MAX;
            }
        }
    }

    fn check_all(&mut self) {
        for user in 0..self.users.len() {
            let there = self
                .clients
                .iter()
                .filter(|client| client.user == user && client.state == State::Ready)
                .count();
            assert!(there <= self.config.websocket.max_connections_per_user as usize);
            let want = self
                .clients
                .iter()
                .filter(|client| client.user == user && client.back_at != u64::MAX)
                .count();
            assert_eq!(there, want, "everybody of user {user} is back");
            assert_eq!(self.board.get(self.users[user].id).online, there > 0, "user {user}");
        }
        for client in self.clients.iter().filter(|client| client.state == State::Ready) {
            let (id, seq) = client.session.as_ref().unwrap();
            let session = &self.sessions[&id[8..]];
            assert_eq!(session.matched, session.expected.len(), "{:?}: something is missing", client.kind);
            assert_eq!(session.received.len() as u32 + 1, *seq);
        }
    }

    /// Everybody leaves; nothing is left of them.
    fn part(&mut self) {
        self.ending = true;
        for socket in &mut self.sockets {
            socket.dropped = true;
        }
        for client in &mut self.clients {
            client.state = State::Offline;
            client.back_at = u64::MAX;
        }
        for _ in 0..1_200 {
            self.now += 50;
            (0..self.cores.len()).for_each(|core| self.turn(core));
            while !self.queue.is_empty() {
                self.take_batch();
            }
        }
        for core in &self.cores {
            let left = (core.hub.connection_count(), core.hub.session_count(), core.hub.residue());
            assert_eq!(left, (0, 0, 0), "connections, sessions, index entries");
            assert!(!core.hub.has_work());
        }
        for user in &self.users {
            assert!(!self.board.get(user.id).online);
        }
        assert!(self.folder.path().exists());
    }
}

fn frame_pong() -> Vec<u8> {
    frame(10, b"", [9, 9, 9, 9])
}

/// In lower case already.
fn email(address: String) -> Box<Email> {
    Box::new(Email { key: address.clone(), address })
}
